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
    tinymed data fetch mitdb 100 101
    tinymed data path breastmnist
    """


@data.command("list", short_help="What there is, and whether it is here.")
@HOME
def list_(data_home: Path | None) -> None:
    """What there is, how large, under which licence, and whether it is here."""
    from tinymed.data import list_datasets
    from tinymed.data.sources import in_words, missing_folder

    rows = list_datasets(data_home)
    sizes = [row["size"] if isinstance(row["size"], str) else in_words(row["size"]) for row in rows]
    names, most = max(len(row["name"]) for row in rows), max(map(len, sizes))
    for row, size in zip(rows, sizes):  # a path stands on its own line, whole, however wide the terminal
        click.echo(f"{row['name']:<{names}}  {size:>{most}}  {row['licence']}")
        click.echo(f"  {row['what']}\n  {row['state']}")
    if missing := missing_folder(data_home):
        click.echo(missing)


@data.command()
@click.argument("name")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@HOME
def fetch(name: str, files: tuple[str, ...], data_home: Path | None) -> None:
    """Download the files of NAME, check them, and print where they lie.

    Of a set of many files, FILE asks for some, by name or by what stands before the dot:

    \b
    tinymed data fetch mitdb 100 101
    """
    from tinymed.data.sources import SOURCES, fetch_all

    if name in SOURCES and not SOURCES[name].files:
        click.echo(f"{name} comes with scikit-learn and needs no download: tinymed train --data {name}")
        return
    for found in fetch_all(name, data_home, progress=True, files=files or None).values():
        click.echo(found)


@data.command()
@click.argument("name")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@HOME
def path(name: str, files: tuple[str, ...], data_home: Path | None) -> None:
    """Print where the files of NAME lie, without downloading them; FILE as in `tinymed data fetch`."""
    from tinymed.data.sources import fetch_all

    for found in fetch_all(name, data_home, download=False, files=files or None).values():
        click.echo(found)
