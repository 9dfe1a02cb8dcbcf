"""tinymed evaluate, predict, runs: what can be asked of runs that `tinymed train` has written; `mine` has its own."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from tinymed.cli.data import HOME
from tinymed.cli.mine import run_in
from tinymed.cli.train import PREDICTIONS, REPORT, keys, known_already, print_figures
from tinymed.cli.words import figures, in_options, shown

RUN: Any = click.Path(path_type=Path)
ANY: Any = click.Path(path_type=Path, exists=True)


@click.command(short_help="Judge a run on its test data, and write the report.")
@click.argument("run", type=RUN)
@click.option("--test", type=ANY, help="Another file or folder of the same form, to judge by.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False),
              help="The report [RUN/report.html, of another test RUN/report-TEST.html].")  # fmt: skip
@keys("label", "text", "group", "encoding")
@HOME
def evaluate(run: Path, test: Path | None, out: Path | None, data_home: Path | None, **given: str | None) -> None:
    """Judge a RUN on its test data, and write one self-contained page: figures with intervals, curves, calibration,
    thresholds, the worst errors as they look, and where the data come from.

    \b
    tinymed evaluate runs/breast
    tinymed evaluate runs/mine --test new.csv --out new.html
    tinymed evaluate runs/cells --test other.csv --label class
    """
    from tinymed import tasks
    from tinymed.tasks.judge import DISCLAIMER

    told = {name: value for name, value in given.items() if value is not None}
    if told and test is None:
        raise click.UsageError(f"{', '.join(told)}: only beside --test, whose file is read so")
    found = run_in(run)
    parts = found.parts(data_home, str(test or ""), **told)
    command = ["tinymed", "evaluate", str(run)]
    if test is not None:
        command += ["--test", str(test), *(word for name, value in told.items() for word in (f"--{name}", value))]
    evaluation = tasks.judge(found, parts.test)
    click.echo("\n".join(known_already(parts)), nl=False)
    print_figures(evaluation, found)
    out = out or run / (REPORT if test is None else _report_of(test))
    path = tasks.report(out, found, parts, evaluation, shlex.join(command))
    click.echo(f"\nWritten: {path}\n{DISCLAIMER}")


def _report_of(test: Path) -> str:
    """A report's name: tests of one name in two folders have two reports."""
    path = test.resolve()
    inside = path.relative_to(Path.cwd() if path.is_relative_to(Path.cwd()) else path.anchor)
    return f"report-{'-'.join(inside.with_suffix('').parts)[-200:]}.html"


@click.command(short_help="What a run says of pictures, tables, signals or texts.")
@click.argument("files", nargs=-1, required=True, type=ANY, metavar="FILE...")
@click.option("--run", type=RUN, required=True, help="Folder of the run.")
@keys("encoding")
def predict(files: tuple[Path, ...], run: Path, encoding: str | None) -> None:
    """What a run says of files nobody has labelled, or of all files in a folder: pictures (PNG, JPEG, DICOM, npy),
    the rows of a table with the columns it was trained on, signals (rows of numbers), or texts.

    \b
    tinymed predict --run runs/breast scan.png
    tinymed predict --run runs/cells new.csv
    """
    from tinymed.tasks.judge import DISCLAIMER

    found = run_in(run)
    if encoding is not None:
        layout = found.layout and replace(found.layout, encoding=encoding)
        found = replace(found, config=replace(found.config, encoding=encoding), layout=layout)
    for path in _all(files):
        names, x = found.data.form.read(path, found)
        for name, told in zip(names, _told(found, found.predict(x))):
            where = name if name.startswith(str(path)) else f"{path}, {name}"
            click.echo(shown(f"{where}: {told}"))
    click.echo(DISCLAIMER)


def _all(paths: tuple[Path, ...]) -> Iterator[Path]:
    """The files, and those within the folders; not what systems leave there."""
    from tinymed.data.folder import SYSTEM

    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        found = [p for p in inside if p == path or not (p.name.startswith(".") or p.name.lower() in SYSTEM)]
        if not found:
            raise click.UsageError(f"{path} holds no files")
        yield from found


def _told(run: Any, found: Any) -> list[str]:
    """Of each case the class and its probability, or the value."""
    if not run.classes:
        return [f"{value:.3g} {run.about['unit']}" for value in found]
    both = found if found.ndim == 2 else np.stack([1 - found, found], 1)
    return [f"{run.classes[k]} ({p[k]:.1%})" for p, k in zip(both, run.said(found))]


@click.command(short_help="List runs, and compare them.")
@click.argument("paths", nargs=-1, type=RUN, metavar="[PATH]...")
@click.option("--curves", type=click.Path(path_type=Path, dir_okay=False), help="Draw their training curves here.")
def runs(paths: tuple[Path, ...], curves: Path | None) -> None:
    """List the runs under PATH... [runs]; of two, compare what they said of the same test cases.

    \b
    tinymed runs
    tinymed runs runs/ecg runs/gru --curves curves.png
    """
    from tinymed import tasks
    from tinymed.tasks.run import ABOUT, CHECKPOINT

    paths = paths or (Path("runs"),)
    folders = [folder for path in paths for folder in (
        [path] if (path / ABOUT).is_file() else sorted(about.parent for about in path.rglob(ABOUT)))]  # fmt: skip
    for left in sorted({c.parent for path in paths for c in path.rglob(CHECKPOINT)} - set(folders)):
        click.echo(f"tinymed: left out: {left} is not finished; the same `tinymed train` goes on with it", err=True)
    if not folders:
        raise click.UsageError(
            f"there is no run in {', '.join(map(str, paths))}; `tinymed train --out FOLDER` makes one"
        )
    found = {}
    for folder in folders:
        try:
            found[str(folder)] = tasks.load(folder)
        except (ValueError, OSError) as error:
            if folder in paths or len(folders) == 1:
                raise
            click.echo(f"tinymed: left out: {error}", err=True)
    if not found:
        raise click.UsageError(f"none of the {len(folders)} runs can be read")
    click.echo(_table(found))
    if curves is not None:
        _draw(curves, found)
        click.echo(f"Written: {curves}")
    if len(found) == 2:
        click.echo(_compared(found))


def _table(found: dict[str, Any]) -> str:
    """A line each. Balanced accuracy has the interval: always saying the most frequent class does not help there."""
    judged = [run.figures.get("figures", {}) for run in found.values()]  # none of a run that was saved unjudged
    names = [name for name in ("balanced_accuracy", "accuracy", "auc", "r2") if any(name in own for own in judged)]
    rows = [["run", "task", "data", "model", "seed", "epochs", *(name.replace("_", " ") for name in names)]]
    for (folder, run), own in zip(found.items(), judged):
        config, epochs = run.config, str(int(run.history["epoch"][-1]))
        about = [folder, config.task, Path(run.task.data_name(config)).name, config.model, str(config.seed), epochs]
        rows.append([*about, *(_figure(own.get(name), name) for name in names)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _figure(figure: Any, name: str) -> str:
    """Its value; of two, the interval too."""
    if figure is None:
        return ""
    if figure["value"] is None:
        return "undefined"
    interval = name in ("balanced_accuracy", "r2") and figure["low"] is not None
    return f"{figure['value']:.3f}" + (f" ({figure['low']:.3f} to {figure['high']:.3f})" if interval else "")


def _compared(found: dict[str, Any]) -> str:
    """What differs between two runs, and what that made of the same test cases."""
    from tinymed.evaluation import compare
    from tinymed.tasks.judge import read_predictions

    (one, first), (other, second) = found.items()
    there = asdict(second.config)
    changed = [f"{k}: {v!r} → {there[k]!r}" for k, v in asdict(first.config).items() if there[k] != v]
    lines = [f"\n{one} → {other}: {'; '.join(changed) or 'the same config'}"]
    try:
        before, after = (read_predictions(Path(folder) / PREDICTIONS, run) for folder, run in found.items())
        lines.append(f"second less first, on the same cases, with 95 % intervals\n{figures(compare(before, after))}")
    except (ValueError, OSError) as error:
        lines.append(f"not compared case by case: {in_options(str(error))}")
    return "\n".join(lines)


def _draw(path: Path, found: dict[str, Any]) -> None:
    """Losses over the epochs, those of validation dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5 + 0.22 * len(found)), layout="constrained", dpi=120)
    axes = figure.subplots()
    for k, (folder, run) in enumerate(found.items()):
        axes.plot(run.history["epoch"], run.history["loss"], color=f"C{k}", label=folder)
        if "val_loss" in run.history:
            axes.plot(run.history["epoch"], run.history["val_loss"], "--", color=f"C{k}")
    axes.set(title="Training loss (dashed: validation)", xlabel="epoch", ylabel="mean loss a sample (nats)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, frameon=False)
    figure.savefig(path)
