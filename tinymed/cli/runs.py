"""tinymed train, evaluate, predict: a run is a folder of weights (model.safetensors) and their meaning (run.json)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tinymed.cli.data import FILE, FOLDER, HOME
from tinymed.cli.demo import DISCLAIMER, LOSS, as_json, heed, judge, print_figures
from tinymed.cli.inputs import NAMED, layout_of, positive_class, read_picture, splits, test_split, told

WRITTEN = {"data": str, "test": str, "seed": int, "init": str, "input_shape": list, "classes": list, "positive": int}


@click.command(short_help="Train a network, and write it to a folder: a run.")
@click.option("--data", default="breastmnist", show_default=True, help=f"{', '.join(NAMED)}, or a CSV file.")
@click.option("--test", type=FILE, help="The CSV file to judge by, where --data is one.")
@click.option("--label", help="The CSV's column of classes [diagnosis].")
@click.option("--image-shape", metavar="HxW", help="The CSV's columns are pixels of such a picture, as 28x28.")
@click.option("--epochs", type=click.IntRange(1), default=10, show_default=True, help="Passes over the data.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Samples a step.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=1e-3, show_default=True, help="Learning rate.")
@click.option(
    "--init", type=click.Choice(["keras", "torch"]), default="keras", show_default=True, help="Whose initial weights."
)
@click.option("--class-weight", type=click.Choice(["balanced"]), help="Count rare classes more.")
@click.option(
    "--patience",
    type=click.IntRange(1),
    help="Stop after so many epochs without a better validation loss, and keep the weights of the best [the last].",
)
@click.option("--positive", metavar="NAME", help="The class to be found [malignant, else the last in order].")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of weights, order and split.")
@click.option("--out", type=FOLDER, required=True, help="Folder of the run.")
@click.option("--overwrite", is_flag=True, help="Write over a run that is there.")
@HOME
def train(data: str, out: Path, seed: int, data_home: Path | None, overwrite: bool, **how: Any) -> None:
    """Train the article's network on pictures, or a dense one on a table of measures.

    \b
    tinymed train --data breastmnist --epochs 50 --out runs/breast
    tinymed train --data wisconsin --epochs 40 --out runs/cells
    tinymed train --data train.csv --test test.csv --label diagnosis --out runs/mine
    tinymed train --data train.csv --test test.csv --label label --image-shape 28x28 --out runs/pixels
    """
    import tinymed
    from tinymed.cli.picture import draw
    from tinymed.optim import Adam
    from tinymed.training import BestModel, fit, save_weights

    if (out / "run.json").exists() and not overwrite:
        raise click.UsageError(f"{out} holds a run already: name another folder, or give --overwrite")
    of_a_file = [f"--{name.replace('_', '-')}" for name in ("test", "label", "image_shape") if how[name]]
    if data in NAMED and of_a_file:
        raise click.UsageError(f"{', '.join(of_a_file)}: only where --data is a CSV file, but it is {data}")
    about = {"data": data, "test": str(how["test"] or ""), "seed": seed, "init": how["init"]}
    about |= {"label": how["label"] or "diagnosis", "image_shape": _sizes(how["image_shape"])}
    training, validation, test = splits(about, data_home)
    about |= {"input_shape": training.tensors[0].shape[1:], "classes": training.classes}
    about["positive"] = positive_class(data, training.classes, how["positive"])
    if hasattr(training, "layout"):
        about["layout"] = asdict(training.layout)
    out.mkdir(parents=True, exist_ok=True)  # before the work whose outcome it is to hold
    tinymed.manual_seed(seed)
    model = build(about)
    click.echo(told(about, training, validation, test))
    best = BestModel(model)
    history = fit(
        model,
        training,
        loss=LOSS,
        optimizer=Adam(model.parameters(), lr=how["lr"], eps=1e-7),
        epochs=how["epochs"],
        batch_size=how["batch_size"],
        validation=validation,
        class_weight=how["class_weight"],
        early_stopping=how["patience"],
        callbacks=[best] if how["patience"] else [],
        seed=seed,
    )
    heed(history)
    if how["patience"]:
        best.restore()
        click.echo(f"the weights kept are those of epoch {best.best.epoch}, whose validation loss was the least")
    figures, probabilities = judge(model, test, about["positive"])
    figures["data"] = about["test"] or data
    save_weights(model, out / "model.safetensors")
    (out / "run.json").write_text(as_json(about | {"figures": figures, "history": history.history}))
    draw(out / "run.png", history, figures, probabilities, test)
    print_figures(figures)
    click.echo(f"\nWritten to {out}/: model.safetensors (the weights), run.json, run.png (the picture)")
    click.echo(DISCLAIMER)


@click.command(short_help="Judge the network of a run on its test data.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--test", type=FILE, help="Another CSV file of the same columns.")
@HOME
def evaluate(run: Path, test: Path | None, data_home: Path | None) -> None:
    """Judge the network of a RUN on its test data.

    \b
    tinymed evaluate runs/breast
    tinymed evaluate runs/mine --test new.csv
    """
    model, about = load_run(run)
    if test is not None:
        if about["data"] in NAMED:
            raise click.UsageError(f"{run} was trained on {about['data']}, whose test split is fixed: leave --test out")
        about["test"] = str(test)
    figures, _ = judge(model, test_split(about, data_home), about["positive"])
    print_figures(figures | {"data": about["test"] or about["data"]})
    click.echo(DISCLAIMER)


@click.command(short_help="What the network of a run says of pictures, or of a table.")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("--run", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
def predict(files: tuple[Path, ...], run: Path) -> None:
    """What the network of a run says of pictures, PNG, JPEG, or npy (uint8, or floats in 0..1), or of the rows of
    a CSV file with the columns it was trained on; the label column may be missing.

    \b
    tinymed predict --run runs/breast scan.png
    tinymed predict --run runs/cells new.csv
    """
    import numpy as np

    from tinymed.data import load_rows
    from tinymed.training import predict as predict_all

    model, about = load_run(run)
    shape = tuple(about["input_shape"])
    names, inputs = [], []
    for path in files:
        if path.suffix == ".csv" and "layout" in about:
            rows, x = load_rows(path, layout_of(about))
            names += [f"{path}, {row}" for row in rows]
            inputs.append(x)
        elif path.suffix == ".csv":
            raise click.UsageError(f"{run} reads pictures {shape}, not tables")
        elif len(shape) != 3:
            raise click.UsageError(f"{run} reads tables of {shape[0]} measures, not pictures: give a .csv file")
        else:
            names.append(str(path))
            inputs.append(read_picture(path, shape)[None])
    probabilities = np.asarray(predict_all(model, np.concatenate(inputs), loss=LOSS)).reshape(-1)
    for name, p in zip(names, probabilities):
        click.echo(f"{name}: {about['classes'][int(p >= 0.5)]} ({max(p, 1 - p):.1%})")
    click.echo(DISCLAIMER)


# -------------------------------------------------------------------- models of a run


def build(about: dict) -> Any:
    """The article's network for 28x28 pictures, a dense one for tables."""
    from tinymed import nn
    from tinymed.training import article_cnn

    shape = tuple(about["input_shape"])
    if shape == (1, 28, 28):
        return article_cnn(init=about["init"])
    if len(shape) == 1:
        return nn.Sequential(nn.Linear(shape[0], 32), nn.ReLU(), nn.Linear(32, 1))
    raise click.UsageError(f"the article's network reads pictures of (1, 28, 28), the data are {shape}")


def load_run(run: Path) -> tuple[Any, dict]:
    """The network of a run, its weights loaded, and what its run.json says."""
    from tinymed.training import load_weights

    if not (run / "run.json").is_file():
        raise click.UsageError(
            f"{run} is no run: there is no run.json in it; make one with `tinymed train --out {run}`"
        )
    try:
        about = json.loads((run / "run.json").read_text())
    except ValueError as error:
        raise ValueError(f"{run}/run.json is damaged: {error}; train the run anew") from None
    entries = about if isinstance(about, dict) else {}
    written = WRITTEN if entries.get("data") in NAMED else WRITTEN | {"layout": dict}
    if wrong := [name for name, kind in written.items() if not isinstance(entries.get(name), kind)]:
        raise ValueError(f"{run}/run.json does not say {', '.join(wrong)}, as train writes it; train the run anew")
    model = build(about)
    model.load_state_dict(load_weights(run / "model.safetensors"))
    return model, about


def _sizes(text: str | None) -> tuple[int, ...] | None:
    """28x28 → (28, 28)"""
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.isdigit() and int(part) for part in parts) or len(parts) != 2:
        raise click.UsageError(f"--image-shape is HxW, such as 28x28, got {text!r}")
    return tuple(int(part) for part in parts)
