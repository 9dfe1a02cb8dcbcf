"""Finding a data set's files on this machine, or downloading them: `fetch_all`, and `fetch` for sets of one file.

tinymed ships no data. A file placed by hand is as good as a downloaded one: it is known by its name and hash.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from tinymed.data.download import download_any, in_words
from tinymed.data.registry import SOURCES, UNTRIED, DataFile, Source

SHOWN = 6  # files that a message tells in full


class DataNotFoundError(FileNotFoundError):
    """A data file is not on this machine, and was not downloaded."""


class DataHashError(ValueError):
    """A file has the name of a known data file, but not its contents."""


def data_folder(data_home: str | Path | None = None) -> Path:
    """The folder of data: `data_home`, else the environment's TINYMED_DATA, else the user's cache."""
    if not (chosen := data_home or os.environ.get("TINYMED_DATA")):
        import pooch

        chosen = pooch.os_cache("tinymed")
    return Path(chosen).expanduser()


def missing_folder(data_home: str | Path | None = None) -> str:
    """What to say of a folder that the user named and that is not there; empty for the cache, which is made."""
    folder, named = data_folder(data_home), "data_home" if data_home else "TINYMED_DATA"
    if folder.is_dir() or not (data_home or os.environ.get("TINYMED_DATA")):
        return ""
    return f"the folder {folder} does not exist: make it, or correct {named}"


def fetch(name: str, data_home: str | Path | None = None, download: bool = True, progress: bool = False) -> Path:
    """The path of the file of a data set that is one file; see `fetch_all`.

    Raises ValueError for a set of several files.
    """
    if len(files := _source(name).files) > 1:
        raise ValueError(f"{name} is {len(files)} files: fetch_all({name!r}) gives the path of each")
    (path,) = fetch_all(name, data_home, download, progress).values()
    return path


def fetch_all(
    name: str,
    data_home: str | Path | None = None,
    download: bool = True,
    progress: bool = False,
    files: str | Sequence[str] | None = None,
) -> dict[str, Path]:
    """{filename: path} of a data set's files, hashes checked: found in the folder of data, or downloaded into it.

        fetch_all("golub")
        fetch_all("mitdb", files=("100", "101.atr"))  # a record has three files: "100" asks for all of them

    Where a twin is there, and not all of the official files, it is {the twin's filename: path}.

    data_home  see `data_folder`; a file may lie in that folder or one folder below it. Only the cache is made
    download   False never touches the network; nor does anything while TINYMED_OFFLINE=1 is set
    progress   show a bar
    files      of which files, by name, or by what stands before the dot; all if None

    Raises DataNotFoundError (a FileNotFoundError) with all that is needed to place the files by hand,
    DataHashError (a ValueError) if only a wrong file of that name is there: it is neither used nor deleted.
    """
    source, folder = _source(name), data_folder(data_home)
    if not source.files:
        raise ValueError(f"{name} comes with scikit-learn and needs no download: load_{name}() reads it")
    names = (files,) if isinstance(files, str) else files
    wanted = source.files if names is None else source.select(tuple(names))
    here = find(source, folder, wanted)
    absent = [file for file in wanted if file.filename not in here]
    if not absent or any(twin.filename in here for twin in source.twins):
        return here
    reasons = []
    if missing := missing_folder(data_home):
        reasons.append(missing)
    if not download:
        reasons.append("download=False was given")
    elif os.environ.get("TINYMED_OFFLINE", "0") not in ("", "0"):
        reasons.append("TINYMED_OFFLINE is set")
    elif not missing:
        while absent and not reasons:  # where one file cannot be had, the next is not tried
            came, reasons = download_any(absent[0], source.files, folder, progress)
            here |= came
            absent = [file for file in absent if file.filename not in here]
        if not absent:
            return {file.filename: here[file.filename] for file in wanted}
    raise DataNotFoundError(_how_to_place(source, absent, folder, reasons))


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise ValueError(f"there is no data set {name!r}; there are {', '.join(SOURCES)}")
    return SOURCES[name]


def find(source: Source, folder: Path, wanted: Sequence[DataFile]) -> dict[str, Path]:
    """{filename: path} of the wanted files that lie in `folder` or one folder below; a twin alone stands for all.

    A file with the right name and a wrong hash is passed over with a warning.
    Raises DataHashError if there is no other.
    """
    wrong: dict[str, list[str]] = {}
    found = {file.filename: path for file in wanted if (path := _look(file, folder, wrong))}
    twins = source.twins if len(found) < len(wanted) else ()
    twin = next(((file, path) for file in twins if (path := _look(file, folder, wrong))), None)
    if twin:
        found = {twin[0].filename: twin[1]}
    if wrong:
        message = (
            f"not the {source.name} that tinymed knows: {'; '.join(chain(*wrong.values()))}. It is another version, "
            "or was cut short: move it away, then fetch or place it again"
        )
        if not (twin or wrong.keys() <= found.keys()):
            raise DataHashError(message)
        taken = [twin[1]] if twin else [found[name] for name in wrong]
        warnings.warn(f"{message}. {', '.join(map(str, taken))} was taken", stacklevel=3)
    return found


def _look(file: DataFile, folder: Path, wrong: dict[str, list[str]]) -> Path | None:
    """Where a file lies; what has its name and not its hash is told of in `wrong`."""
    for name in (file.filename, *file.aliases):
        for path in (folder / name, *sorted(folder.glob(f"*/{name}"))):
            if not path.is_file():
                continue
            if not file.digest or name != file.filename or (digest := file.digest_of(path)) == file.digest:
                return path
            sizes = f"{path.stat().st_size:,} bytes" + (f", expected {file.size:,}" if file.size else "")
            wrong.setdefault(file.filename, []).append(f"{path} has {digest} ({sizes}), expected {file.digest}")
    return None


def list_datasets(data_home: str | Path | None = None) -> list[dict[str, Any]]:
    """The data sets: name, what, size (bytes, or in words), licence, citation, and state (its path, if here)."""
    folder = data_folder(data_home)
    return [
        {
            "name": source.name,
            "what": source.what,
            "size": _size(source),
            "licence": source.licence,
            "citation": source.citation,
            "state": _state(source, folder),
        }
        for source in SOURCES.values()
    ]


def _size(source: Source) -> int | str:
    known = sum(file.size for file in source.files)
    if source.extent or not known:
        return source.extent or "size not known"
    return known if all(file.size for file in source.files) else f"over {in_words(known)}"


def _state(source: Source, folder: Path) -> str:
    if not source.files:
        return "comes with scikit-learn"
    try:
        here = find(source, folder, source.files)
    except DataHashError as error:
        return f"wrong file: {error}"
    if not here:
        return "not here"
    path, *more = here.values()
    where = str(path.parent if more else path)
    digests = {file.filename: file.digest for file in (*source.files, *source.twins)}
    unknown = sum(not digests[name] or path.name != name for name, path in here.items())
    if len(here) < len(source.files) and path.name not in [twin.filename for twin in source.twins]:
        where += f", {len(here)} of {len(source.files)} files"
    return where + (f" (hash{'' if unknown == len(here) else f' of {unknown}'} not known)" if unknown else "")


def _how_to_place(source: Source, absent: Sequence[DataFile], folder: Path, reasons: list[str]) -> str:
    names = [file.filename for file in absent]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    lines = [f"{', '.join(names[:SHOWN])}{more} {'are' if names[1:] else 'is'} not in {folder} ({source.what})."]
    for k, file in enumerate(absent[:SHOWN]):
        address, _, member = file.urls[0].partition("#")
        lines += [
            f"{'and' if k else 'To place it by hand,'} download {address}"
            + (f" and take {member} out of it" if member else ""),
            f"  to    {folder / file.filename}",
            f"  size  {f'{file.size:,} bytes' if file.size else 'not known'}",
            f"  hash  {file.digest or 'not known: it is taken by its name, and read with care'}",
            *["  note  nobody has tried this address yet"] * address.startswith(UNTRIED),
        ]
    if more:
        lines.append(f"Likewise {', '.join(names[SHOWN:])}")
    return "\n".join([*lines, "It was not downloaded:", *(f"  {reason}" for reason in reasons)])
