"""tinymed evaluate, predict, runs: what can be asked of runs that `tinymed train` has written."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tinymed.cli.data import HOME
from tinymed.cli.train import PREDICTIONS, REPORT, keys, print_figures, shown

RUN: Any = click.Path(path_type=Path)
ANY: Any = click.Path(path_type=Path, exists=True)


@click.command(short_help="Judge a run on its test data, and write the report.")
@click.argument("run", type=RUN)
@click.option("--test", type=ANY, help="Another file or folder of the same form, to judge by.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False),
              help="The report [RUN/report.html, of another test RUN/report-NAME.html].")  # fmt: skip
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
    found = tasks.load(run)
    parts = found.task.parts(found.config, data_home)
    command = ["tinymed", "evaluate", str(run)]
    if test is not None:
        parts = found.judged_by(str(test), parts, **told)
        command += ["--test", str(test), *(word for name, value in told.items() for word in (f"--{name}", value))]
    evaluation = tasks.judge(found, parts.test)
    print_figures(evaluation, found)
    out = out or run / (REPORT if test is None else f"report-{test.stem}.html")
    path = tasks.report(out, found, parts, evaluation, shlex.join(command))
    click.echo(f"\nWritten: {path}\n{DISCLAIMER}")


@click.command(short_help="What a run says of pictures, tables, signals or texts.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
                metavar="FILE...")  # fmt: skip
@click.option("--run", type=RUN, required=True, help="Folder of the run.")
def predict(files: tuple[Path, ...], run: Path) -> None:
    """What a run says of files nobody has labelled: pictures (PNG, JPEG, DICOM, npy), the rows of a table with the
    columns it was trained on, signals (rows of numbers), or texts.

    \b
    tinymed predict --run runs/breast scan.png
    tinymed predict --run runs/cells new.csv
    """
    from tinymed import tasks
    from tinymed.tasks.judge import DISCLAIMER

    found = tasks.load(run)
    for path in files:
        names, x = found.data.form.read(path, found)
        for name, told in zip(names, found.predict(x)):
            where = name if name.startswith(str(path)) else f"{path}, {name}"
            click.echo(shown(f"{where}: {_said(found, told)}"))
    click.echo(DISCLAIMER)


def _said(run: Any, told: Any) -> str:
    """The class and its probability, or the value."""
    if not run.classes:
        return f"{told:.3g} {run.about['unit']}"
    if len(run.classes) > 2:
        return f"{run.classes[told.argmax()]} ({told.max():.1%})"
    sought = told if run.positive == 1 else 1 - told
    k = run.positive if sought > run.threshold else 1 - run.positive
    return f"{run.classes[k]} ({sought if k == run.positive else 1 - sought:.1%})"


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
    from tinymed.tasks.run import ABOUT

    paths = paths or (Path("runs"),)
    folders = [folder for path in paths for folder in (
        [path] if (path / ABOUT).is_file() else sorted(about.parent for about in path.rglob(ABOUT)))]  # fmt: skip
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
    heads = ["run", "task", "data", "model", "seed", "epochs", "figure", "value", "95 % interval"]
    rows = [heads]
    for folder, run in found.items():
        config, name = run.config, "accuracy" if run.classes else "r2"
        figure = run.figures.get("figures", {}).get(name, {})  # none of a run that was saved unjudged
        value, low, high = (figure.get(key) for key in ("value", "low", "high"))
        rows.append([
            folder, config.task, config.data or next(iter(run.task.data)), config.model, str(config.seed),
            str(int(run.history["epoch"][-1])), name, "undefined" if value is None else f"{value:.3f}",
            "" if low is None else f"{low:.3f} to {high:.3f}",
        ])  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


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
        lines.append(f"second less first, on the same cases, with 95 % intervals\n{compare(before, after)}")
    except (ValueError, OSError) as error:
        lines.append(f"not compared case by case: {error}")
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
