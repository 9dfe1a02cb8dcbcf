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


@click.group(short_help="List data sets, fetch one, or say where it lies.")
def data() -> None:
    """List the data sets, fetch one, or say where it lies.

    \b
    tinymed data list
    tinymed data fetch breastmnist
    tinymed data path breastmnist
    """


@data.command("list", short_help="What there is, and whether it is here.")
@HOME
def list_(data_home: Path | None) -> None:
    """What there is, how large, under which licence, and whether it is here."""
    from tinymed.data import list_datasets
    from tinymed.data.sources import missing_folder

    rows = list_datasets(data_home)
    sizes = [row["size"] if isinstance(row["size"], str) else f"{row['size'] / 1e6:.1f} MB" for row in rows]
    names, most = max(len(row["name"]) for row in rows), max(map(len, sizes))
    for row, size in zip(rows, sizes):  # a path stands on its own line, whole, however wide the terminal
        click.echo(f"{row['name']:<{names}}  {size:>{most}}  {row['licence']}")
        click.echo(f"  {row['what']}\n  {row['state']}")
    if missing := missing_folder(data_home):
        click.echo(missing)


@data.command()
@click.argument("name")
@HOME
def fetch(name: str, data_home: Path | None) -> None:
    """Download NAME, check it, and print where it lies."""
    from tinymed.data import fetch as fetch_file
    from tinymed.data.sources import WISCONSIN

    if name == WISCONSIN["name"]:
        click.echo(f"{name} {WISCONSIN['state']} and needs no download: tinymed train --data {name}")
    else:
        click.echo(fetch_file(name, data_home, progress=True))


@data.command()
@click.argument("name")
@HOME
def path(name: str, data_home: Path | None) -> None:
    """Print where NAME lies, without downloading it."""
    from tinymed.data import fetch as fetch_file

    click.echo(fetch_file(name, data_home, download=False))
