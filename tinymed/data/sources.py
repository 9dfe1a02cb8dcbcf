"""Where real data come from: a registry of files, and `fetch`, which finds one here or downloads it.

tinymed ships no data. A file placed by hand is as good as a downloaded one: it is known by its name and hash.
"""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

LOG = logging.getLogger(__name__)
TIMEOUT = (5, 30)  # seconds to connect, and between two pieces of an answer
_MEDMNIST = "https://zenodo.org/records/10519652/files/{}.npz?download=1"
_MIRROR = (
    "https://huggingface.co/datasets/albertvillanova/medmnist-v2/resolve/"
    "f6dd981c7400b3e3738bde12ff948b7cc8f0d623/data/{}.npz"
)
_MEDMNIST_PAPER = "Yang et al., MedMNIST v2, Scientific Data 10:41, 2023, doi:10.1038/s41597-022-01721-8"


class DataNotFoundError(FileNotFoundError):
    """A data file is not on this machine, and was not downloaded."""


class DataHashError(ValueError):
    """A file has the name of a known data file, but not its contents."""


@dataclass(frozen=True)
class DataFile:
    """One file: `digest` is "sha256:..." or "md5:..."; `note` says how it differs from the official one."""

    filename: str
    digest: str
    size: int
    note: str = ""

    def digest_of(self, path: Path) -> str:
        algorithm = self.digest.partition(":")[0]
        with path.open("rb") as stream:
            return f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"


@dataclass(frozen=True)
class Source:
    """A data set: its official file, the addresses of that file (the publisher's first), and whose it is.

    twins are files with the same contents in another form, taken where someone has placed them.
    """

    name: str
    what: str
    file: DataFile
    urls: tuple[str, ...]
    licence: str
    citation: str
    twins: tuple[DataFile, ...] = ()


SOURCES = {
    source.name: source
    for source in (
        Source(
            "breastmnist",
            "breast ultrasound 28x28, malignant or not: 546 train, 78 val, 156 test",
            DataFile(
                "breastmnist.npz",
                "sha256:3a22d2a4625e7dd8903f0f59030e81a3d0c222bece2e5e10927456cb50efdec1",
                559_580,
            ),
            (_MEDMNIST.format("breastmnist"), _MIRROR.format("breastmnist")),
            "CC BY 4.0",
            f"{_MEDMNIST_PAPER}; pictures: Al-Dhabyani et al., Data in Brief 28:104863, 2020",
        ),
        Source(
            "pneumoniamnist",
            "chest X-rays of children 28x28, pneumonia or not: 4708 train, 524 val, 624 test",
            DataFile("pneumoniamnist.npz", "md5:28209eda62fecd6e6a2d98b1501bb15f", 4_170_669),
            (_MEDMNIST.format("pneumoniamnist"), _MIRROR.format("pneumoniamnist")),
            "CC BY 4.0",
            f"{_MEDMNIST_PAPER}; pictures: Kermany et al., Cell 172:1122, 2018",
            twins=(
                DataFile(
                    "pneumoniamnist_merged.npz",
                    "sha256:4b8cbbb4a5285ef4be33e12c14e37fd9fc1892a2f358907458109a3dc3ff0d7a",
                    4_170_256,
                    note="the official pictures put together again, the training rows in another order",
                ),
            ),
        ),
    )
}


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
    """The path of a data set's file, its hash checked: found in the folder of data, or downloaded into it.

    data_home  see `data_folder`; a file may lie in that folder or one folder below it. Only the cache is made
    download   False never touches the network; nor does anything while TINYMED_OFFLINE=1 is set
    progress   show a bar

    Raises DataNotFoundError (a FileNotFoundError) with all that is needed to place the file by hand,
    DataHashError (a ValueError) if only a wrong file of that name is there: it is neither used nor deleted.
    """
    if name == WISCONSIN["name"]:
        raise ValueError(f"{name} {WISCONSIN['state']} and needs no download: load_wisconsin() reads it")
    if name not in SOURCES:
        raise ValueError(f"there is no data set {name!r}; there are {', '.join(SOURCES)}")
    source, folder = SOURCES[name], data_folder(data_home)
    if found := find(source, folder):
        return found[0]
    reasons = []
    if missing := missing_folder(data_home):
        reasons.append(missing)
    if not download:
        reasons.append("download=False was given")
    elif os.environ.get("TINYMED_OFFLINE", "0") not in ("", "0"):
        reasons.append("TINYMED_OFFLINE is set")
    elif not missing:
        LOG.info("downloading %s (%.1f MB) into %s", source.file.filename, source.file.size / 1e6, folder)
        for url in source.urls:
            try:
                return _download(url, source.file, folder, progress)
            except (OSError, ValueError) as error:  # no connection, no such page, no space; a wrong hash
                cause = getattr(next(iter(error.args), None), "reason", error)  # what requests wraps, if it does
                reasons.append(f"{url}\n    {type(cause).__name__}: {shorten(str(cause), 300)}")
    raise DataNotFoundError(_how_to_place(source, folder, reasons))


def find(source: Source, folder: Path) -> tuple[Path, DataFile] | None:
    """The file of a data set, or a twin of it, in `folder` or one folder below; None if there is none.

    A file with the right name and a wrong hash is passed over with a warning.
    Raises DataHashError if there is no other.
    """
    found, wrong = None, []
    for file in (source.file, *source.twins):
        for path in (folder / file.filename, *sorted(folder.glob(f"*/{file.filename}"))):
            if found or not path.is_file():
                continue
            if (digest := file.digest_of(path)) == file.digest:
                found = path, file
            else:
                sizes = f"{path.stat().st_size:,} bytes, expected {file.size:,}"
                wrong.append(f"{path} has {digest} ({sizes}), expected {file.digest}")
    if wrong:
        message = (
            f"not the {source.name} that tinymed knows: {'; '.join(wrong)}. It is another version, or was "
            "cut short: move it away, then fetch or place it again"
        )
        if not found:
            raise DataHashError(message)
        warnings.warn(f"{message}. {found[0]} was taken", stacklevel=3)
    return found


WISCONSIN = {
    "name": "wisconsin",
    "what": "breast cytology, 30 measures, malignant or benign: 455 train, 114 test",
    "size": "569 rows",
    "licence": "CC BY 4.0",
    "citation": "Street, Wolberg and Mangasarian, Proc. SPIE 1905:861, 1993; doi:10.24432/C5DW2B",
    "state": "comes with scikit-learn",
}


def list_datasets(data_home: str | Path | None = None) -> list[dict[str, Any]]:
    """The data sets: name, what, size (bytes, or in words), licence, citation, and state (its path, if here)."""
    folder = data_folder(data_home)
    rows = [
        {
            "name": source.name,
            "what": source.what,
            "size": source.file.size,
            "licence": source.licence,
            "citation": source.citation,
            "state": _state(source, folder),
        }
        for source in SOURCES.values()
    ]
    return [*rows, dict(WISCONSIN)]


def _state(source: Source, folder: Path) -> str:
    try:
        found = find(source, folder)
    except DataHashError as error:
        return f"wrong file: {error}"
    return str(found[0]) if found else "not here"


def _how_to_place(source: Source, folder: Path, reasons: list[str]) -> str:
    file = source.file
    return (
        f"{file.filename} is not in {folder} ({source.what}).\n"
        f"To place it by hand, download {source.urls[0]}\n"
        f"  to    {folder / file.filename}\n"
        f"  size  {file.size:,} bytes\n"
        f"  hash  {file.digest}\n"
        "It was not downloaded:\n  " + "\n  ".join(reasons)
    )


def _download(url: str, file: DataFile, folder: Path, progress: bool) -> Path:
    """One try at one address: into a temporary file, which takes its name once its hash is right."""
    import pooch
    from rich.progress import Progress

    from tinymed import __version__

    log = pooch.get_logger()
    before = log.level
    log.setLevel(logging.WARNING)  # LOG has said it in tinymed's words
    with Progress(transient=True, disable=not progress) as bar:
        get = pooch.HTTPDownloader(
            progressbar=_Bar(bar, file) if progress else False,
            timeout=TIMEOUT,
            headers={"User-Agent": f"tinymed/{__version__}"},
        )
        try:
            return Path(pooch.retrieve(url, file.digest, fname=file.filename, path=folder, downloader=get))
        finally:
            log.setLevel(before)


class _Bar:
    """What pooch asks of a progress bar, on a bar of rich."""

    def __init__(self, bar: Any, file: DataFile) -> None:
        self.bar, self.task, self.total = bar, bar.add_task(file.filename), file.size

    def update(self, amount: int) -> None:
        self.bar.update(self.task, advance=amount, total=self.total)

    def reset(self) -> None:
        self.bar.reset(self.task)

    def close(self) -> None:
        pass
