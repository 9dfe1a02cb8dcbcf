"""tinymed tutorials: the lessons, in the terminal, as notebooks, and as copies for students."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tinymed.cli.data import FOLDER

OUT = click.option("-o", "--out", type=FOLDER, required=True, help="Folder to write to.")
FORCE = click.option("--force", is_flag=True, help="Write over files that are there.")
APPLICATIONS = 20  # the number of the first lesson on them
LANGUAGE = click.option("--lang", type=click.Choice(("en", "zh")), default="en", show_default=True)


@click.group(short_help="The lessons: list, read, step through, hand out.")
def tutorials() -> None:
    """Read the lessons, walk through them, or write them as notebooks and copies for students.

    \b
    tinymed tutorials list
    tinymed tutorials open 1                     read lesson 1 here
    tinymed tutorials step 1                     walk it cell by cell
    tinymed tutorials notebook 1 -o notebooks    as a notebook for Jupyter
    tinymed tutorials student -o mine            all lessons, with the solutions taken out
    """


@tutorials.command("list", short_help="What there is.")
def list_() -> None:
    """Number, title, how many minutes it takes, and whether it is there in Chinese; from 20 on, the applications."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from tinymed.teach.lessons import lessons

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("", "lesson", "minutes", "article", "中文"):
        table.add_column(column, justify="right" if column == "minutes" else "left")
    before = 0
    for found in lessons():
        if before < APPLICATIONS <= found.number:
            table.add_row("", Text("— the article's applications, with real data —", "dim"))
        before = found.number
        twin = found.twin.title if found.twin else ""
        row = f"{found.number:02}", found.title, str(found.minutes or ""), ", ".join(found.sections), twin
        table.add_row(*map(Text, row))
    Console().print(table if table.rows else "there are no lessons here")


@tutorials.command("open", short_help="Read one here.")
@click.argument("lesson")
@LANGUAGE
def open_(lesson: str, lang: str) -> None:
    """Show LESSON, a number or a name, in the terminal, through a pager; at its end, how to run it."""
    from rich.console import Console
    from rich.text import Text

    from tinymed.cli.walk import drawn
    from tinymed.teach.lessons import cells

    console, found = Console(), _found(lesson, lang)
    with console.capture() as shown:
        for cell in cells(found.student):
            console.print(drawn(cell))
            console.print()
        there = " --lang zh" if found.path.parent.name == "zh" else ""
        walk, copy = (
            "一格一格地运行" if there else "run it cell by cell",
            "不带答案的副本" if there else "copies to work in",
        )
        for said, does in ((f"step {found.number}{there}", walk), (f"student -o mine{there}", copy)):
            console.print(Text(f"tinymed tutorials {said:<28} {does}", "dim"))
    click.echo_via_pager(shown.get(), color=None if console.is_terminal else False)  # None: as the pager can


@tutorials.command(short_help="Walk one cell by cell.")
@click.argument("lesson")
@LANGUAGE
@click.option("--from", "first", type=click.IntRange(1), default=1, help="Cell to begin at; those before run unseen.")
def step(lesson: str, lang: str, first: int) -> None:
    """Walk LESSON cell by cell: Enter runs the next one, b shows the one before, p is a Python prompt, q quits.

    At an exercise, p is the place to write it, and s shows a solution. A cell that failed runs again after b.
    Where the input is not a terminal, it runs to the end; a cell that failed then gives exit code 1.
    """
    from tinymed.cli.walk import walk

    if walk(_found(lesson, lang), first) and not sys.stdin.isatty():
        sys.exit(1)


@tutorials.command(short_help="Write notebooks.")
@click.argument("lesson")
@OUT
@LANGUAGE
@click.option("--run", is_flag=True, help="Run it, and keep what it shows.")
@FORCE
def notebook(lesson: str, out: Path, lang: str, run: bool, force: bool) -> None:
    """Write LESSON, a number, a name or "all", as notebooks with the solutions in them.

    Files that are there already, which may hold a student's work, stay as they are.
    """
    from tinymed.teach.lessons import lessons

    files: dict[Path, str] = {}
    for found in [_in(lang, one) for one in lessons()] if lesson == "all" else [_found(lesson, lang)]:
        path = out / f"{found.name}.ipynb"
        if run and path.exists() and not force:
            click.echo(_stays(path))  # known before it has run
        else:
            files[path] = _notebook(found.text, found, run)
    _write(files, force)


@tutorials.command(short_help="Write copies for students.")
@OUT
@LANGUAGE
@click.option("--solutions", is_flag=True, help="Leave the solutions in: for lecturers.")
@click.option("--format", "form", type=click.Choice(("py", "ipynb", "both")), default="py", show_default=True)
@FORCE
def student(out: Path, lang: str, solutions: bool, form: str, force: bool) -> None:
    """Write every lesson without its solutions: each exercise is a function to be written, and a check of it.

    Files that are there already, which may hold a student's work, stay as they are.
    """
    from tinymed.teach.lessons import lessons

    files: dict[Path, str] = {}
    for english in lessons():
        found = _in(lang, english)
        if out.resolve() in (english.path.parent.resolve(), english.path.parent.resolve() / "zh"):
            raise ValueError(f"{out} holds the lessons themselves; name another folder")
        text = found.text if solutions else found.student
        for ending in ("py", "ipynb") if form == "both" else (form,):
            files[out / f"{found.name}.{ending}"] = text if ending == "py" else _notebook(text, found)
    if _write(files, force) and form != "ipynb":
        one = sorted(path for path in files if path.suffix == ".py")[:2][-1]  # lesson 01: 00 may have been read
        click.echo(f"now write the functions of a lesson, and run it: python {one}", err=True)


def _found(wanted: str, lang: str) -> Any:
    from tinymed.teach.lessons import lesson

    return _in(lang, lesson(wanted))


def _in(lang: str, english: Any) -> Any:
    """The lesson in that language; where it is not there, in English, and so said."""
    if lang == "zh" and english.twin is None:
        click.echo(f"tinymed: {english.name} is not there in Chinese, so it is in English", err=True)
        return english
    return english.twin if lang == "zh" else english


def _notebook(text: str, lesson: Any, run: bool = False) -> str:
    """The lesson's text as a notebook's; with `run`, with what it shows."""
    from tinymed.teach.lessons import needed, notebook

    made = notebook(text, lesson.path)
    if run:
        from tinymed.teach.site.run import execute

        execute(made, lesson.name)
    return needed("nbformat", "notebook").writes(made) + "\n"


def _write(files: dict[Path, str], force: bool) -> bool:
    """Write files and name each; one that is there with other contents stays, unless `force` is given.

    Whether any was written is returned.
    """
    written = False
    for path, text in files.items():
        if path.exists() and not force and path.read_bytes() != text.encode():
            click.echo(_stays(path))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        click.echo(path)
        written = True
    return written


def _stays(path: Path) -> str:
    return f"{path} is there and stays as it is; --force writes over it"
