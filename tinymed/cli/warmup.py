"""tinymed warmup: compile the kernels before they are needed."""

from __future__ import annotations

import time

import click


@click.command(short_help="Compile the kernels now, not when first used.")
def warmup() -> None:
    """Compile every kernel of the Numba backend for float32, and say how long each took. It is kept on disk.

    \b
    tinymed warmup
    """
    import tinymed
    from tinymed.kernels.warm import KERNELS

    if tinymed.get_backend() != "numba":
        raise click.UsageError(f"the backend in force is {tinymed.get_backend()!r}, which compiles nothing")
    begin = time.perf_counter()
    for number, (name, run) in enumerate(KERNELS.items(), 1):
        click.echo(f"[{number}/{len(KERNELS)}] {name:<28}", nl=False)
        start = time.perf_counter()
        run()
        click.echo(f"{time.perf_counter() - start:6.2f} s")
    from tinymed.kernels.numba_jit import CACHE

    click.echo(f"ready in {time.perf_counter() - begin:.1f} s; what was compiled is kept in {CACHE}")
