"""tinymed site: the course as web pages that need no network."""

from __future__ import annotations

from pathlib import Path

import click

from tinymed.cli.data import FOLDER


@click.group(short_help="The course as a site that needs no network.")
def site() -> None:
    """Build the course as web pages that open from a folder, with no network and no server.

    \b
    tinymed site build -o site
    """


@site.command(short_help="Build it.")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder to write to.")
@click.option("--jobs", type=click.IntRange(1), help="Lessons to run at a time [the processors there are].")
@click.option("--lessons", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Lessons of your own.")
def build(out: Path, jobs: int | None, lessons: Path | None) -> None:
    """Run every lesson and write the pages: lessons, the API, design, questions, terms, errata, formulas."""
    from tinymed.teach.site import build as build_site

    click.echo(f"open {build_site(out, jobs=jobs, folder=lessons, say=click.echo)}")
