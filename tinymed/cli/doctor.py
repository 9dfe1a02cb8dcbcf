"""tinymed doctor: what this machine has, and why it lacks the rest."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import click

LIBRARIES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "matplotlib",
    "rich",
    "pooch",
    "safetensors",
    "click",
    "pillow",
    "numba",
    "torch",
)


@click.command(short_help="What this machine has.")
def doctor() -> None:
    """Say what tinymed found: versions, backends, data.

    \b
    tinymed doctor
    """
    import tinymed
    from tinymed.data.sources import data_folder, missing_folder

    in_force = tinymed.get_backend()
    click.echo(f"tinymed {tinymed.__version__}, Python {platform.python_version()}, {platform.platform()}")
    click.echo(f"processors: {os.cpu_count()}, of which kernels use {tinymed.get_num_threads()}")
    click.echo("\nbackends")
    for name, (usable, reason) in tinymed.backends().items():
        mark = "in force" if name == in_force else "there" if usable else "missing"
        click.echo(f"  {name:<14}{mark:<10}{reason}")
    click.echo("\nlibraries")
    for name in LIBRARIES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = "not installed" + (" (the tests and tinymed bench compare with it)" if name == "torch" else "")
        click.echo(f"  {name:<14}{version}")
    click.echo(f"\ndata folder: {missing_folder() or data_folder()}")
