"""tinymed bench: what the engine is worth on this machine, beside PyTorch where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource


@click.command(short_help="Time workloads beside PyTorch.")
@click.argument("workloads", nargs=-1, metavar="[WORKLOAD]...")
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="What is measured."
)
@click.option("--threads", type=click.IntRange(1), help="Threads of every engine.  [default: all processors]")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Batches of every engine.")
@click.option("--seconds", type=click.FloatRange(0.01), default=0.3, show_default=True, help="Length of a batch.")
@click.option("--engine", "chosen", multiple=True, help="Only these engines; may be given several times.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for bench.json and the pictures: bars, roofline, growth or crossover.",
)
def bench(
    workloads: tuple[str, ...],
    device: str,
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
    tinymed bench --device cuda             a GPU: beside PyTorch there, and from which size on it pays
    tinymed bench ladder                    kernels for a GPU, from the simplest to the fastest
    """
    import tinymed
    from tinymed.bench import measure
    from tinymed.bench.worker import table

    if "ladder" in workloads:
        _refuse_more_than_ladder(workloads)
        from tinymed.bench import ladder

        ladder.main(out, seconds)
        return
    names = _names(workloads, list(table(device)), device)
    if device == "cuda":
        tinymed.cuda.cupy()  # refuses where there is none
    there = measure.engines(device)
    if unknown := [name for name in chosen if name not in there]:
        known = ", ".join(there)
        why = f": {measure.lacking(unknown[0])}" if unknown[0] in measure.BY_DEVICE[device] else ""
        raise click.UsageError(f"no engine {unknown[0]!r} here{why}; there are: {known}")
    threads = threads or tinymed.get_num_threads()
    if out:
        out.mkdir(parents=True, exist_ok=True)
    how = names, list(chosen) or there, threads, rounds, seconds, out
    failed: list[str] = []
    if device == "cuda":
        failed = _on_gpu(*how)
    else:
        _on_cpu(*how, imports=not workloads or "import" in workloads)
    if out:
        click.echo(f"\nWritten to {out}/")
    if failed:
        raise ValueError(f"{len(failed)} failed, among them {failed[0]}")


def _on_cpu(
    names: list[str], engines: list[str], threads: int, rounds: int, seconds: float, out: Path | None, imports: bool
) -> None:
    from tinymed.bench import measure, report

    peaks = measure.peaks(threads)
    about = measure.machine(threads) | peaks | {"rounds": rounds, "seconds": seconds}
    _tell(about)
    rows = measure.measure(names, engines, threads, rounds, seconds, _say)
    if imports:
        about["import_s"] = measure.import_times()
    click.echo("\n" + report.table(rows, peaks) if rows else "")
    _tell_unsteady(rows)
    if measure.PEER not in measure.engines():
        click.echo("PyTorch is not installed: there are no ratios, and no picture of them (pip install torch)")
    for name, spent in about.get("import_s", {}).items():
        click.echo(f"import {name}: {spent:.3f} s")
    if out:
        report.save(out / "bench.json", rows, about)
        report.draw(out, rows, peaks, f"{about['processor']}, {threads} threads")


def _on_gpu(
    names: list[str], engines: list[str], threads: int, rounds: int, seconds: float, out: Path | None
) -> list[str]:
    """Workload by workload, kept as they come. What fails on a card does not take the rest with it; it is returned."""
    from tinymed.bench import card, crossover, cuda_report, measure, report

    about = measure.machine(threads) | card.card() | {"rounds": rounds, "seconds": seconds}
    _tell(about)
    rows: list[dict] = []
    failed: list[str] = []

    def complain(message: str) -> None:
        failed.append(message)
        click.echo(message, err=True)

    for name in dict.fromkeys(("peak", *names)):
        rows += measure.measure([name], engines, threads, rounds, seconds, _say, "cuda", complain)
        peaks = card.peaks(rows)
        for row in rows:
            row["of_roof"] = card.of_roof(row, peaks)
        about |= peaks | {"failed": failed}
        if out:
            report.save(out / "bench.json", rows, about)
    click.echo(f"\n{cuda_report.table(rows, peaks)}\n\n{cuda_report.HOW}\n\n{cuda_report.bars_table(rows, peaks)}")
    click.echo(f"\n{crossover.table(rows)}")
    _tell_unsteady(rows)
    for message in failed:
        click.echo(f"failed: {message}")
    if cuda_report.PEER not in measure.engines("cuda"):
        click.echo(f"{measure.lacking(cuda_report.PEER)}: there are no ratios")
    if out:
        cuda_report.draw(out, rows, peaks, f"{about['card']}, {about['processor']} with {threads} threads")
    return failed


def _tell(about: dict[str, Any]) -> None:
    click.echo(", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in about.items()))


def _say(row: dict) -> None:
    click.echo(f"  {row['workload']} {row['case']}: {row['engine']} {row['ms']:.3g} ms", err=True)


def _tell_unsteady(rows: list[dict]) -> None:
    from tinymed.bench import report

    if count := report.unsteady(rows):
        click.echo(f"{count} of {len(rows)} times vary by half or more: the machine is busy, their ratios mean little")


def _refuse_more_than_ladder(workloads: tuple[str, ...]) -> None:
    if len(workloads) > 1:
        raise click.UsageError("ladder stands alone: tinymed bench ladder")
    context = click.get_current_context()
    for option in context.command.params:
        given = option.name and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
        if given and option.name not in ("workloads", "seconds", "out"):
            raise click.UsageError(f"ladder takes --seconds and --out only, not {option.opts[0]}")


def _names(asked: tuple[str, ...], known: list[str], device: str) -> list[str]:
    """The workloads asked for, all but the growths where none is; a word before a space stands for all that follow."""
    if not asked:
        return [name for name in known if not name.startswith("growth")]
    more = ["import"] if device == "cpu" else []  # what is timed of the host alone
    found = []
    for word in asked:
        fitting = [name for name in known if name == word or name.split()[0] == word]
        if not fitting and word not in more:
            kinds = ", ".join(dict.fromkeys([*(name.split()[0] for name in known), *more, "ladder"]))
            raise click.UsageError(f"no workload is called {word!r}; there are: {kinds}")
        found += fitting
    return found
