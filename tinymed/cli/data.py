"""tinymed data: which data sets there are, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

HOME = click.option(
    "--data-home", type=click.Path(path_type=Path), help="Folder of the files [TINYMED_DATA, else your cache]."
)
FOLDER: Any = click.Path(path_type=Path, file_okay=False, writable=True)
FILE: Any = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def data() -> None:
    """List the data sets, fetch one, or say where it lies.

    \b
    tinymed data list
    tinymed data fetch breastmnist
    tinymed data path breastmnist
    """


@data.command("list")
@HOME
def list_(data_home: Path | None) -> None:
    """What there is, how large, under which licence, and whether it is here."""
    from rich.console import Console
    from rich.table import Table

    from tinymed.data import list_datasets

    table = Table(box=None, pad_edge=False)
    for column in ("name", "what", "size", "licence", "state"):
        table.add_column(column, justify="right" if column == "size" else "left", overflow="fold")
    for row in list_datasets(data_home):
        size = "" if row["size"] is None else f"{row['size'] / 1e6:.1f} MB"
        table.add_row(row["name"], row["what"], size, row["licence"], str(row["state"]))
    Console().print(table)


@data.command()
@click.argument("name")
@HOME
def fetch(name: str, data_home: Path | None) -> None:
    """Download NAME, check it, and print where it lies."""
    from tinymed.data import fetch as fetch_file

    click.echo(fetch_file(name, data_home, progress=True))


@data.command()
@click.argument("name")
@HOME
def path(name: str, data_home: Path | None) -> None:
    """Print where NAME lies, without downloading it."""
    from tinymed.data import fetch as fetch_file

    click.echo(fetch_file(name, data_home, download=False))
