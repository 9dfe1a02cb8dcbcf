"""tinymed train: a task, its data and a model into a folder, the run."""

from __future__ import annotations

import json
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from tinymed.cli.data import FILE, FOLDER, HOME
from tinymed.cli.mine import PAGE, write_mining
from tinymed.cli.words import figures, shown
from tinymed.tasks import TASKS
from tinymed.tasks.config import Config

ASKED, PREDICTIONS, REPORT = "config.toml", "predictions.csv", "report.html"


def keys(*names: str) -> Callable:
    """Keys of a Config as options, those of these names; all of them if there are none."""

    def with_options(command: Callable) -> Callable:
        for f in reversed([f for f in fields(Config) if f.name in names or not names]):
            rule, option = f.metadata, f"--{f.name.replace('_', '-')}"
            default = f" [{rule['shown']}]" if rule["shown"] and not names else ""  # else it is the run's
            kind: Any = click.Choice(list(filter(None, rule["choices"]))) if rule["choices"] else type(f.default)
            command = click.option(option, f.name, type=kind, default=None, help=rule["means"] + default)(command)
        return command

    return with_options


@click.command(short_help="Train a network on a task, and write it to a folder: a run.")
@keys()
@click.option("--config", type=FILE, help="A TOML file of the same keys; an option given beside it wins.")
@click.option("--out", type=FOLDER, required=True, help="Folder of the run.")
@click.option("--repeats", type=click.IntRange(1), default=1, show_default=True,
              help="So many runs, OUT/0, OUT/1, …, each with the next seed and the next fold.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Write over another run that is there.")
@HOME
def train(config: Path | None, out: Path, repeats: int, overwrite: bool, data_home: Path | None, **given: Any) -> None:
    """Train a model on one of the article's tasks, and judge it on the task's test part.

    \b
    tinymed train --task breast-ultrasound --out runs/breast
    tinymed train --task ecg --model lstm --epochs 40 --seed 0 --out runs/ecg
    tinymed train --task diabetes --repeats 5 --out runs/folds
    tinymed train --task breast-cytology --data my.csv --label kind --out runs/my
    tinymed train --config runs/ecg/config.toml --seed 1 --out runs/ecg-1

    \b
    Tasks, and of each the data sets and the models; the first is taken if none is
    named:
    {tasks}

    What is not given is the recipe of task and model. A run that was interrupted goes on with the same line, to the
    same weights as if it had not been.
    """
    from tinymed.evaluation import over_seeds
    from tinymed.tasks import read_config, settled

    keys_given = (read_config(config) if config else {}) | {k: v for k, v in given.items() if v is not None}
    if not keys_given.get("task"):
        raise click.UsageError("Missing option '--task'; `tinymed train --help` lists the tasks")
    asked = settled(keys_given)
    if repeats == 1:
        one(asked, out, overwrite, data_home)
        return
    found = []
    for k in range(repeats):
        click.echo(f"\n{out}/{k}")
        again = {"seed": asked.seed + k, "fold": asked.fold + k}
        found.append(one(settled(keys_given | again), out / str(k), overwrite, data_home))
    click.echo(f"\nOver {repeats} runs, mean ± standard deviation; `tinymed runs {shlex.quote(str(out))}` lists them")
    for name, spread in over_seeds([_values(run) for run in found]).items():
        click.echo(f"  {name.replace('_', ' '):32} {spread.mean:.3f} ± {spread.sd:.3f}")


def _listed() -> str:
    """The tasks for the help: a line each, and below it data sets and models."""
    lines = []
    for task in TASKS.values():
        models = dict.fromkeys(model for data in task.data.values() for model in data.models)
        lines.append(f"{task.name} (article {task.section})")
        for head, told in (("", task.question), ("data:  ", ", ".join(task.data)), ("model: ", ", ".join(models))):
            later = " " * (4 + len(head))
            lines += textwrap.wrap(
                head + told, 76, initial_indent="    ", subsequent_indent=later, break_on_hyphens=False
            )
    return "\n    ".join(lines)  # indented as the docstring is


train.help = str(train.help).replace("{tasks}", _listed())


def _values(run: Any) -> dict[str, float]:
    return {name: float("nan") if f["value"] is None else f["value"] for name, f in run.figures["figures"].items()}


def one(asked: Config, out: Path, overwrite: bool, data_home: Path | None) -> Any:
    """Train, judge and write one run; of one that is there already, tell. Exits with 130 if it was interrupted."""
    from tinymed import tasks
    from tinymed.tasks.judge import DISCLAIMER, write_predictions
    from tinymed.tasks.run import ABOUT, CHECKPOINT, WEIGHTS

    if not overwrite and ((out / ABOUT).exists() or (out / ASKED).exists()):
        _refuse_another(asked, out)
        if (out / ABOUT).exists():
            run = tasks.load(out)
            click.echo(f"{out} is trained already; `tinymed evaluate {shlex.quote(str(out))}` judges it again")
            return run
    if overwrite and asked.start and Path(asked.start).resolve() == out.resolve():
        raise click.UsageError(f"start: {asked.start} is what would be written over; name another folder for --out")
    parts = read(asked, data_home)
    click.echo(told(asked, parts))
    with _kept(asked, out):
        run, parts = tasks.train(asked, parts=parts, checkpoint=out / CHECKPOINT)
    if run.about["note"].startswith("interrupted"):
        click.echo(f"tinymed: {run.about['note']}; the same command goes on from there", err=True)
        sys.exit(130)
    if run.about["note"]:
        click.echo(f"tinymed: {run.about['note']}", err=True)
    evaluation = tasks.judge(run, parts.test)
    run.figures = evaluation.to_dict()
    write_predictions(out / PREDICTIONS, evaluation)
    run.save(out)
    print_figures(evaluation, run)
    click.echo(f"\nWritten to {out}/: {WEIGHTS} (the weights), {ABOUT}, {ASKED}, {PREDICTIONS}, {CHECKPOINT}")
    click.echo(f"`tinymed evaluate {shlex.quote(str(out))}` writes the report\n{DISCLAIMER}")
    if run.task.mined:
        write_mining(run, parts, out)
    return run


def read(asked: Config, data_home: Path | None) -> Any:
    """The parts of the data; where their files are missing, generated ones are named too."""
    from tinymed.data import DataNotFoundError
    from tinymed.tasks import task_called

    task = task_called(asked.task)
    try:
        return task.parts(asked, data_home)
    except DataNotFoundError as error:
        instead = [name for name in task.data if task.is_generated(replace(asked, data=name))]
        offer = f"\nOr train on generated ones, of no patient: --data {', '.join(instead)}" if instead else ""
        raise DataNotFoundError(f"{error}{offer}") from None


@contextmanager
def _kept(asked: Config, out: Path) -> Iterator[None]:
    """What is asked for, in the folder, and another run's files aside; if it cannot be trained so, all is put back."""
    from tinymed.tasks.run import ABOUT, CHECKPOINT, CHOSEN, WEIGHTS

    goes_on = not (out / ABOUT).exists() and (out / ASKED).exists() and not _changed(asked, out)
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    files = (ABOUT, ASKED, CHECKPOINT, CHOSEN, WEIGHTS, PREDICTIONS, PAGE, "report*.html")
    old = [] if goes_on else [path for pattern in files for path in out.glob(pattern)]
    out.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix=".before-", dir=out) if old else nullcontext("") as aside:
            kept = [path.rename(Path(aside) / path.name) for path in old]
            (out / ASKED).write_text(as_toml(asked), encoding="utf-8")
            try:
                yield
            except BaseException as error:
                if isinstance(error, Exception) or not (out / CHECKPOINT).exists():  # nothing to go on from
                    for name in () if goes_on else (ASKED, CHECKPOINT, CHOSEN):
                        (out / name).unlink(missing_ok=True)
                    for path in kept:
                        path.rename(out / path.name)
                raise
    except BaseException:
        with suppress(OSError):  # something else lies there
            for folder in made:
                folder.rmdir()
        raise


def _refuse_another(asked: Config, out: Path) -> None:
    """Refuse a folder that holds a run of another config, naming what differs."""
    if not (out / ASKED).exists():
        raise click.UsageError(f"{out} holds a run of an older version: name another folder, or give --overwrite")
    if changed := _changed(asked, out):
        raise click.UsageError(
            f"{out} holds another run ({'; '.join(changed[:3])}): name another folder, or give --overwrite"
        )


def _changed(asked: Config, out: Path) -> list[str]:
    """In what the config in a folder differs from what is asked."""
    from tinymed.tasks import read_config

    there = asdict(Config.of(read_config(out / ASKED)))
    return [f"{name} was {there[name]!r}, is now {value!r}" for name, value in asdict(asked).items()
            if there[name] != value]  # fmt: skip


def as_toml(config: Config) -> str:
    """Its keys as TOML; a JSON text or number is one of TOML's too."""
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in asdict(config).items())


def told(asked: Config, parts: Any) -> str:
    """Which data, how many, and which class is to be found."""
    from tinymed.tasks import task_called

    task = task_called(asked.task)
    generated = "GENERATED, no patients: " if task.is_generated(asked) else ""
    watched = f"{len(parts.validation)} validation, " if parts.validation is not None else ""
    each = f"; {task.of(asked).form.told(parts.shape)}" if parts.shape else ""
    lines = [
        f"{task.question} (article {task.section})",
        f"data: {task.data_name(asked)}: {generated}{len(parts.train)} train, {watched}{len(parts.test)} test{each}",
    ]
    if parts.layout is not None and parts.layout.dropped:
        lines.append(f"  column {', '.join(map(repr, parts.layout.dropped))} dropped")
    if len(parts.classes) == 2:
        disease = parts.classes[task.looked_for(parts.classes, asked.positive)]
        classes = ", ".join(map(repr, parts.classes))
        lines.append(f"  taken as the disease: {disease!r}, of {classes}; --positive NAME takes another")
    lines += known_already(parts)
    lines.append(f"model: {asked.model}, {asked.epochs} epoch{'s' * (asked.epochs > 1)}, seed {asked.seed}")
    return "\n".join(lines)


def known_already(parts: Any) -> list[str]:
    """A line where cases that a run is judged by are among those it has learnt from."""
    again = parts.repeated()
    return [f"  {again} of the {len(parts.test)} test cases stand in the training part too"] if again else []


def print_figures(evaluation: Any, run: Any) -> None:
    """The figures with their intervals, and the cases that they are counted from."""
    positive = f" ({shown(run.classes[run.positive])} is what is looked for)" if len(run.classes) == 2 else ""
    click.echo(f"\nOn the test part{positive}: value and 95 % interval")
    for line in figures(evaluation).splitlines():
        click.echo(f"  {line}")
    if not run.classes:
        return
    click.echo("  confusion matrix, cases")
    short = run.classes if len(run.classes) == 2 else [f"{k}" for k in range(1, len(run.classes) + 1)]
    heads, rows = [f"predicted {shown(name)}" for name in short], [f"true {shown(name)}" for name in run.classes]
    if len(run.classes) > 2:
        rows = [f"{k} {row}" for k, row in zip(short, rows)]
    left = max(map(len, rows)) + 4
    click.echo(" " * left + "".join(f"  {head}" for head in heads))
    for row, counts in zip(rows, evaluation.confusion_matrix.tolist()):
        click.echo(f"    {row}".ljust(left) + "".join(f"  {n:>{len(head)}}" for n, head in zip(counts, heads)))
