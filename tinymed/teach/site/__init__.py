"""The course as web pages: lessons with what they show, the API, and the pages of docs/. No network, no server.

A folder is filled first, with every lesson run once and written as a notebook; Sphinx then turns it into pages and
runs nothing. A Chinese twin shows what its English lesson shows: their code is the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from tinymed.data.extras import install, needed
from tinymed.teach import lessons as files
from tinymed.teach.site import pages
from tinymed.teach.site.run import run

OURS = Path(__file__).resolve().parent
MARK = ".tinymed-site"  # a folder that has it is one of ours, and may be replaced
NEEDS = "sphinx", "myst_nb", "furo", "sphinx_copybutton", "jupytext", "nbclient", "ipykernel"
FILES = "sphinx-mathjax-offline"  # a package of files, with nothing to import


def build(
    out: Path | str, jobs: int | None = None, folder: Path | None = None, say: Callable[[str], None] = print
) -> Path:
    """Write the site into a folder, in place of one that is there; return its first page.

    jobs    lessons that run at a time; as many as there are processors, if not given
    folder  of the lessons; the course's own, if not given
    say     is told how far it is
    Before any lesson runs, raises ImportError where the extra `docs` is missing; ValueError for a folder that holds
    something else, or no lessons, or a lesson that is not marked well; OSError for one that cannot be written to;
    RuntimeError for a twin with other cells. Later, RuntimeError for a lesson that fails, and for a page that Sphinx
    warns of: what was there then stays.
    """
    _have_extra()
    folder, out = folder or files.folder(), Path(out)
    if not (course := files.lessons(folder)):
        raise ValueError(f"{folder} holds no lessons: files such as 01_convolution.py")
    _may_replace(out)
    pages.Course(folder).rehearse()
    shown = run(course, jobs or os.cpu_count() or 1, say)
    with tempfile.TemporaryDirectory() as temporary:
        staged, made = Path(temporary, "pages"), Path(temporary, "site")
        say("writing pages")
        pages.stage(staged, folder, shown)
        shutil.copy(OURS / "conf.py", staged)
        (staged / "_files").mkdir()
        for name in ("site.css", "present.js"):
            shutil.copy(OURS / name, staged / "_files")
        _sphinx(staged, made)
        _replace(out, made)
    return out / "index.html"


def _have_extra() -> None:
    for module in NEEDS:
        needed(module, "docs")
    try:
        metadata.distribution(FILES)
    except metadata.PackageNotFoundError:
        raise ImportError(f"this needs {FILES}, which is not installed: {install('docs')}") from None


def _may_replace(out: Path) -> None:
    """Make the folder if it is not there. Raises ValueError if it holds what we did not write, or OSError."""
    if out.exists() and any(out.iterdir()) and not (out / MARK).exists():
        raise ValueError(f"{out} holds something that is no site of tinymed's; name a new folder, or an empty one")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        pass


def _replace(out: Path, made: Path) -> None:
    """Put a site where another was. The folder itself stays, and what is hidden in it, such as .git."""
    (out / MARK).touch()
    for old in out.iterdir():
        if old.name.startswith("."):
            continue
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink()
    shutil.copytree(made, out, dirs_exist_ok=True)


def _sphinx(staged: Path, made: Path) -> None:
    """Pages from a filled folder. In one process: what several write may come in another order each time."""
    doctrees = staged.parent / "doctrees"
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", doctrees, staged, made]
    environment = os.environ | {"PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": "0"}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"Sphinx is not content:\n{done.stderr.strip() or done.stdout.strip()}")
    shutil.rmtree(made / "_sources", ignore_errors=True)
