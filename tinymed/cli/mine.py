"""tinymed mine: what a run's data hold that nobody asked for."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from tinymed.cli.data import HOME

PAGE = "mining.html"


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
    from tinymed import tasks

    found = tasks.load(run)
    write_mining(found, found.task.parts(found.config, data_home), run, out)


def write_mining(run: Any, parts: Any, folder: Path, out: Path | None = None) -> None:
    """Mine, tell, and write the page."""
    from tinymed.tasks import mine as look
    from tinymed.tasks.judge import DISCLAIMER

    path = out or folder / PAGE
    found = look(run, parts, path, shlex.join(["tinymed", "mine", str(folder)]))
    click.echo(f"\n{found}\n\nWritten: {path}\n{DISCLAIMER}")
