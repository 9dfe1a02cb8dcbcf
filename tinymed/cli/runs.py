"""tinymed train, evaluate, predict: a run is a folder of weights (model.safetensors) and their meaning (run.json)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tinymed.cli.data import FILE, FOLDER, HOME
from tinymed.cli.demo import DISCLAIMER, LOSS, as_json, heed, judge, phantoms, print_figures

NAMED = ("breastmnist", "pneumoniamnist", "phantoms", "wisconsin")
FEWEST = 7  # rows of which 15 % is one
WRITTEN = {"data": str, "test": str, "seed": int, "init": str, "input_shape": list, "classes": list, "positive": int}
FOUND = {"breastmnist": 0, "phantoms": 0}  # the class to be found: malignant is 0 there, else the last class


@click.command()
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
@click.option("--patience", type=click.IntRange(1), help="Stop after so many epochs without a better validation loss.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of weights, order and split.")
@click.option("--out", type=FOLDER, required=True, help="Folder of the run.")
@HOME
def train(data: str, out: Path, seed: int, data_home: Path | None, **how: Any) -> None:
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
    from tinymed.training import fit, save_weights

    of_a_file = [f"--{name.replace('_', '-')}" for name in ("test", "label", "image_shape") if how[name]]
    if data in NAMED and of_a_file:
        raise click.UsageError(f"{', '.join(of_a_file)}: only where --data is a CSV file, but it is {data}")
    about = {"data": data, "test": str(how["test"] or ""), "seed": seed, "init": how["init"]}
    about |= {"label": how["label"] or "diagnosis", "image_shape": _sizes(how["image_shape"])}
    training, validation, test = splits(about, data_home)
    about |= {"input_shape": training.tensors[0].shape[1:], "classes": training.classes}
    about["positive"] = FOUND.get(data, len(training.classes) - 1)
    if hasattr(training, "layout"):
        about["layout"] = asdict(training.layout)
    out.mkdir(parents=True, exist_ok=True)  # before the work whose outcome it is to hold
    tinymed.manual_seed(seed)
    model = build(about)
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
        seed=seed,
    )
    heed(history)
    figures, probabilities = judge(model, test, about["positive"])
    figures["data"] = data
    save_weights(model, out / "model.safetensors")
    (out / "run.json").write_text(as_json(about | {"figures": figures, "history": history.history}))
    draw(out / "run.png", history, figures, probabilities, test)
    print_figures(figures)
    click.echo(f"\nWritten to {out}/: model.safetensors (the weights), run.json, run.png (the picture)")
    click.echo(DISCLAIMER)


@click.command()
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
    print_figures(figures)
    click.echo(DISCLAIMER)


@click.command()
@click.argument("images", nargs=-1, required=True, type=FILE, metavar="IMAGE...")
@click.option("--run", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
def predict(images: tuple[Path, ...], run: Path) -> None:
    """What the network of a run says of pictures: PNG, JPEG, or npy (uint8, or floats in 0..1).

    \b
    tinymed predict --run runs/breast scan.png
    tinymed predict --run runs/breast *.npy
    """
    import numpy as np

    from tinymed.training import predict as predict_all

    model, about = load_run(run)
    if len(about["input_shape"]) != 3:
        raise click.UsageError(f"{run} reads tables of {about['input_shape'][0]} measures, not pictures")
    pictures = [read_picture(path, tuple(about["input_shape"])) for path in images]
    probabilities = np.asarray(predict_all(model, np.stack(pictures), loss=LOSS)).reshape(-1)
    for path, p in zip(images, probabilities):
        name = about["classes"][int(p >= 0.5)]
        click.echo(f"{path}: {name} ({max(p, 1 - p):.1%})")
    click.echo(DISCLAIMER)


# -------------------------------------------------------------------- data and models of a run


def splits(about: dict, data_home: Path | None) -> tuple[Any, Any, Any]:
    """(training, validation, test) of what a run names."""
    from tinymed.data import (
        load_breastmnist,
        load_csv,
        load_pneumoniamnist,
        load_wisconsin,
        random_split,
    )
    from tinymed.random import Generator

    data = about["data"]
    if data in ("breastmnist", "pneumoniamnist"):
        loader = load_breastmnist if data == "breastmnist" else load_pneumoniamnist
        return loader("train", data_home), loader("val", data_home), loader("test", data_home)
    if data == "phantoms":
        return tuple(phantoms())  # type: ignore[return-value]
    if data == "wisconsin":
        whole = load_wisconsin("train")
    elif Path(data).suffix != ".csv":
        raise click.UsageError(f"--data is {', '.join(NAMED)} or a .csv file, got {data!r}")
    elif not about["test"]:
        raise click.UsageError("--data names a CSV file, so --test must name the one to judge by")
    else:
        whole = load_csv(data, label=about["label"], image_shape=about["image_shape"])
    if len(whole.classes) != 2:
        raise click.UsageError(f"two classes are expected, {data} has {len(whole.classes)}: {', '.join(whole.classes)}")
    if len(whole) < FEWEST:
        raise click.UsageError(f"{data} has {len(whole)} rows; {FEWEST} are needed, to keep 15 % for validation")
    test = load_wisconsin("test") if data == "wisconsin" else load_csv(about["test"], like=whole)
    training, validation = random_split(whole, [0.85, 0.15], generator=Generator(about["seed"]))
    return _part(whole, training), _part(whole, validation), test


def _part(whole: Any, subset: Any) -> Any:
    """A random part as a data set that still knows its classes and columns."""
    x, y = (t.numpy()[subset.indices] for t in whole.tensors)
    return type(whole)(x, y, whole.layout, source=whole.source)


def test_split(about: dict, data_home: Path | None) -> Any:
    """The split that a run is judged by."""
    from tinymed.data import load_csv
    from tinymed.data.tabular import Layout

    if about["data"] in NAMED:
        return splits(about, data_home)[2]
    return load_csv(about["test"], like=Layout(**_tuples(about["layout"])))


def _tuples(saved: dict) -> dict:
    """JSON's lists as the tuples they were."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in saved.items()}


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


def read_picture(path: Path, shape: tuple[int, ...]) -> Any:
    """A grey picture as float32 (1,H,W) in 0..1, resized if need be. Raises ValueError for what is none."""
    import numpy as np
    from PIL import Image

    try:
        if path.suffix == ".npy":
            with path.open("rb") as file:
                x = np.lib.format.read_array(file, allow_pickle=False).squeeze()
        else:
            with Image.open(path) as picture:
                if picture.mode.startswith(("I", "F")):  # as grey levels 0..255 they would be cut off at white
                    raise ValueError(f"its pixels are deeper than 8 bits, mode {picture.mode}; save it with 8")
                x = np.asarray(picture.convert("L"))
    except (ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:  # as Pillow and NumPy raise them
        raise ValueError(f"{path} is no picture that can be read, give PNG, JPEG or npy: {error}") from None
    if x.ndim != 2 or not x.size or (x.dtype != np.uint8 and x.dtype.kind != "f"):
        raise ValueError(f"{path}: expected one grey picture (H,W), uint8 or floats in 0..1, got {x.shape} {x.dtype}")
    x = x.astype(np.float32) / (255 if x.dtype == np.uint8 else 1)
    if not (np.isfinite(x).all() and x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"{path}: floats must lie in 0..1, got {x.min():g}..{x.max():g}; divide by 255?")
    if x.shape != shape[1:]:
        click.echo(f"{path}: resized from {x.shape[0]}x{x.shape[1]} to {shape[1]}x{shape[2]}", err=True)
        x = np.asarray(Image.fromarray(x).resize((shape[2], shape[1]), Image.Resampling.BOX))
    return x[None]


def _sizes(text: str | None) -> tuple[int, ...] | None:
    """28x28 → (28, 28)"""
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.isdigit() and int(part) for part in parts) or len(parts) != 2:
        raise click.UsageError(f"--image-shape is HxW, such as 28x28, got {text!r}")
    return tuple(int(part) for part in parts)
