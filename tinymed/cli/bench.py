"""tinymed bench: what the engine is worth on this machine, beside PyTorch where it is installed."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Time workloads beside PyTorch.")
@click.argument("workloads", nargs=-1, metavar="[WORKLOAD]...")
@click.option("--threads", type=click.IntRange(1), help="Threads of every engine.  [default: all processors]")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Batches of every engine.")
@click.option("--seconds", type=click.FloatRange(0.01), default=0.3, show_default=True, help="Length of a batch.")
@click.option("--engine", "chosen", multiple=True, help="Only these engines; may be given several times.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for bench.json and the pictures: bars, roofline, growth."
)
def bench(
    workloads: tuple[str, ...],
    threads: int | None,
    rounds: int,
    seconds: float,
    chosen: tuple[str, ...],
    out: Path | None,
) -> None:
    """Time workloads, each engine in its own process, in turns; compare the answers; print a Markdown table.

    \b
    tinymed bench                           all of them: some minutes
    tinymed bench cnn-train conv            two of them
    tinymed bench growth --out runs/growth  how cost grows: batch, image, sequence, states
    tinymed bench --engine tinymed matmul   without peers
    """
    import tinymed
    from tinymed.bench import measure, report
    from tinymed.bench.workloads import WORKLOADS

    there = measure.engines()
    if unknown := [name for name in chosen if name not in there]:
        known = ", ".join(there)
        cure = "; it is not installed" if unknown[0] in measure.ENGINES else ""
        raise click.UsageError(f"no engine {unknown[0]!r} here{cure}; there are: {known}")
    names = _names(workloads, list(WORKLOADS))
    threads = threads or tinymed.get_num_threads()
    peaks = measure.peaks(threads)
    about = measure.machine(threads) | peaks | {"rounds": rounds, "seconds": seconds}
    click.echo(", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in about.items()))

    def say(row: dict) -> None:
        click.echo(f"  {row['workload']} {row['case']}: {row['engine']} {row['ms']:.3g} ms", err=True)

    rows = measure.measure(names, list(chosen) or there, threads, rounds, seconds, say)
    if "import" in workloads or not workloads:
        about["import_s"] = measure.import_times()
    click.echo("\n" + report.table(rows, peaks) if rows else "")
    if count := report.unsteady(rows):
        click.echo(f"{count} of {len(rows)} times vary by half or more: the machine is busy, their ratios mean little")
    if measure.PEER not in there:
        click.echo("PyTorch is not installed: there are no ratios, and no picture of them (pip install torch)")
    for name, spent in about.get("import_s", {}).items():
        click.echo(f"import {name}: {spent:.3f} s")
    if out:
        out.mkdir(parents=True, exist_ok=True)
        title = f"{about['processor']}, {threads} threads"
        report.save(out / "bench.json", rows, about)
        report.draw(out, rows, peaks, title)
        click.echo(f"\nWritten to {out}/")


def _names(asked: tuple[str, ...], known: list[str]) -> list[str]:
    """The workloads asked for, all but the growths where none is; a word before a space stands for all that follow."""
    if not asked:
        return [name for name in known if not name.startswith("growth")]
    found = []
    for word in asked:
        fitting = [name for name in known if name == word or name.split()[0] == word]
        if not fitting and word != "import":
            kinds = ", ".join(dict.fromkeys(name.split()[0] for name in known))
            raise click.UsageError(f"no workload is called {word!r}; there are: {kinds}, import")
        found += fitting
    return found
