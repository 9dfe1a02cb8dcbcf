"""Downloading a file of a data set: it is there when it is whole and right, and nothing is before."""

from __future__ import annotations

import logging
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from textwrap import shorten
from typing import Any

from tinymed.data.registry import DataFile

LOG = logging.getLogger(__name__)
TIMEOUT = (5, 30)  # seconds to connect, and between two pieces of an answer
WRONG = (OSError, ValueError, zipfile.BadZipFile, zlib.error)  # no connection or space; a wrong hash; a torn archive


def download_any(
    file: DataFile, others: Sequence[DataFile], folder: Path, progress: bool
) -> tuple[dict[str, Path], list[str]]:
    """({filename: path}, []) from the first address that gives the file, or ({}, why not) with a line for each address.

    others  the files of its set: those in the same archive come with it, unless something of their name is there
    """
    LOG.info("downloading %s%s into %s", file.filename, f" ({in_words(file.size)})" if file.size else "", folder)
    reasons = []
    for url in file.urls:
        try:
            return _download(url, file, others, folder, progress), []
        except WRONG as error:
            cause = getattr(next(iter(error.args), None), "reason", error)  # what requests wraps, if it does
            reasons.append(f"{url}\n    {type(cause).__name__}: {shorten(str(cause), 300)}")
    return {}, reasons


def in_words(size: int) -> str:
    """23,278 bytes are "23 kB"."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"


def _download(url: str, file: DataFile, others: Sequence[DataFile], folder: Path, progress: bool) -> dict[str, Path]:
    """One try at one address: into a temporary folder, from which a file moves once it is whole and right."""
    import pooch
    from rich.progress import Progress

    from tinymed import __version__

    address, _, member = url.partition("#")
    log = pooch.get_logger()
    before = log.level
    log.setLevel(logging.WARNING)  # LOG has said it in tinymed's words
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".tinymed-") as part,
        Progress(transient=True, disable=not progress) as bar,
    ):
        get = pooch.HTTPDownloader(
            progressbar=_Bar(bar, file) if progress else False,
            timeout=TIMEOUT,
            headers={"User-Agent": f"tinymed/{__version__}"},
        )
        try:
            known = None if member else file.digest or None
            path = Path(
                pooch.retrieve(address, known, fname="archive" if member else "file", path=part, downloader=get)
            )
        finally:
            log.setLevel(before)
        came = {file.filename: _placed(_member(path, member, file) if member else path, file, folder)}
        for other in others if member else ():
            inside = next((u.partition("#")[2] for u in other.urls if u.startswith(f"{address}#")), "")
            if inside and not (folder / other.filename).exists():
                with suppress(*WRONG):  # which is told when it is asked for
                    came[other.filename] = _placed(_member(path, inside, other), other, folder)
        return came


def _placed(path: Path, file: DataFile, folder: Path) -> Path:
    """Moved into the folder, unless it is no such file."""
    with path.open("rb") as stream:
        if not file.digest and stream.read(64).lstrip()[:1] in (b"", b"<"):
            raise ValueError("a page or nothing came, not the file")
    return path.replace(folder / file.filename)


def _member(archive: Path, member: str, file: DataFile) -> Path:
    """A member of a zip file, taken out beside it, its hash checked."""
    with zipfile.ZipFile(archive) as members:
        name = next((name for name in members.namelist() if name.rpartition("/")[2] == member), None)
        if name is None:
            raise ValueError(f"the archive holds no {member}, but {shorten(', '.join(members.namelist()), 200)}")
        path = archive.with_name("file")
        path.write_bytes(members.read(name))
    if file.digest and (digest := file.digest_of(path)) != file.digest:
        raise ValueError(f"hash of {member} ({digest}) does not match the known hash ({file.digest})")
    return path


class _Bar:
    """What pooch asks of a progress bar, on a bar of rich."""

    def __init__(self, bar: Any, file: DataFile) -> None:
        self.bar, self.task, self.total = bar, bar.add_task(file.filename, total=file.size or None), file.size

    def update(self, amount: int) -> None:
        self.bar.update(self.task, advance=amount, total=self.total or None)

    def reset(self) -> None:
        self.bar.reset(self.task)

    def close(self) -> None:
        pass
