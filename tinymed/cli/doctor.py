"""tinymed doctor: what this machine has, and why it lacks the rest."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
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
    "numba-cuda",
    "cupy-cuda13x",
    "cupy-cuda12x",
    "torch",
)
EXTRAS = (580, "tinymed[cuda13]"), (525, "tinymed[cuda12]")  # and the first driver that takes each


@click.command(short_help="What this machine has.")
def doctor() -> None:
    """Say what tinymed found: versions, backends, GPUs, data.

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
    click.echo("\nGPU")
    for name, about in _gpu():
        click.echo(f"  {name:<14}{about}")
    click.echo("\nlibraries")
    for name in LIBRARIES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = "not installed" + (" (the tests and tinymed bench compare with it)" if name == "torch" else "")
        click.echo(f"  {name:<14}{version}")
    click.echo(f"\ndata folder: {missing_folder() or data_folder()}")


def _gpu() -> Iterator[tuple[str, str]]:
    """Cards, driver and runtime; where they cannot be used, what is known of them, and what is missing."""
    from tinymed import cuda
    from tinymed.bench.card import card

    if reason := cuda.missing():
        found = _nvidia_smi()
        yield from (("card", name) for name, _ in found)
        if found:
            driver = found[0][1]
            yield "driver", driver
            reason += f"; for this driver: {_extra(driver)}"
        yield "missing", reason
        return
    for k in range(cuda.device_count()):
        about = cuda.cupy().cuda.runtime.getDeviceProperties(k)
        size = f"{about['totalGlobalMem'] / 2**30:.1f} GiB"
        yield f"cuda:{k}", f"{cuda.get_device_name(k)}, {size}, compute capability {about['major']}.{about['minor']}"
    first = card()
    yield "driver", f"{first['driver']}, for CUDA up to {first['driver_cuda']}"
    yield "CUDA runtime", first["cuda_runtime"]


def _nvidia_smi() -> list[tuple[str, str]]:
    """Name and driver of every card, as NVIDIA's own tool sees them; none where it is not there or sees none."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    if not shutil.which(command[0]):
        return []
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    cards = (line.rpartition(",") for line in said.splitlines() if "," in line)
    return [(name.strip(), driver.strip()) for name, _, driver in cards]


def _extra(driver: str) -> str:
    """What to install for a driver, such as 535.104.05."""
    release = driver.partition(".")[0]
    takes = next((extra for first, extra in EXTRAS if release.isdecimal() and int(release) >= first), None)
    return f'pip install "{takes}"' if takes else f"it is too old, install one from r{EXTRAS[0][0]} on"
