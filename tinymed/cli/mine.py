"""tinymed mine: what a run's data hold that nobody asked for."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from tinymed.cli.data import HOME

PAGE = "mining.html"


def run_in(folder: Path) -> Any:
    """The run in a folder; where there is none, what the folder holds instead."""
    from tinymed.tasks import load
    from tinymed.tasks.run import ABOUT, CHECKPOINT

    if not (folder / ABOUT).is_file():
        if not folder.is_dir():
            raise click.UsageError(f"{folder}: there is no such folder; `tinymed runs` lists the runs")
        if within := sorted(path.parent.name for path in folder.glob(f"*/{ABOUT}")):
            raise click.UsageError(f"{folder} is no run, but holds some: name {folder / within[0]}, or another of "
                                   f"{', '.join(within)}")  # fmt: skip
        if (folder / CHECKPOINT).is_file():
            raise click.UsageError(
                f"{folder} holds a run that is not finished: the same `tinymed train` goes on with it"
            )
    return load(folder)


@click.command(short_help="Search the data of a run for copies, odd cases and groups.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help=f"The page [RUN/{PAGE}].")
@HOME
def mine(run: Path, out: Path | None, data_home: Path | None) -> None:
    """Look at all data of a RUN through its network, and write what is found as one page: near-duplicates and labels
    that contradict each other, cases far from all others, groups, a map, and the training cases nearest to errors.

    \b
    tinymed mine runs/breast
    """
    found = run_in(run)
    write_mining(found, found.parts(data_home), run, out)


def write_mining(run: Any, parts: Any, folder: Path, out: Path | None = None) -> None:
    """Mine, tell, and write the page."""
    from tinymed.tasks import mine as look
    from tinymed.tasks.judge import DISCLAIMER

    path = out or folder / PAGE
    found = look(run, parts, path, shlex.join(["tinymed", "mine", str(folder)]))
    click.echo(f"\n{found}\n\nWritten: {path}\n{DISCLAIMER}")
