"""What a run reads: the splits of its data, pictures, and rows of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tinymed.cli.demo import phantoms
from tinymed.data.pictures import read_picture as read_picture

NAMED = ("breastmnist", "pneumoniamnist", "phantoms", "wisconsin")
FEWEST = 7  # rows of which 15 % is one
DISEASE = ("malignant", "m")  # names, in lower case, of the class to be found; where there is none, the last is


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

    if about["data"] in NAMED:
        return splits(about, data_home)[2]
    return load_csv(about["test"], like=layout_of(about))


def layout_of(about: dict) -> Any:
    """How the table of a run is read; JSON's lists become the tuples they were."""
    from tinymed.data.tabular import Layout

    saved: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in about["layout"].items()}
    return Layout(**saved)


def positive_class(data: str, classes: tuple[str, ...], wanted: str | None) -> int:
    """The number of the class to be found. Raises UsageError for a name that is none."""
    if wanted is None:
        return next((k for k, name in enumerate(classes) if name.lower() in DISEASE), len(classes) - 1)
    if wanted not in classes:
        raise click.UsageError(
            f"--positive: {wanted!r} is no class of {data}; there are {', '.join(map(repr, classes))}"
        )
    return classes.index(wanted)


def told(about: dict, training: Any, validation: Any, test: Any) -> str:
    """Which data, how many, what was left out, and which class is to be found: two lines."""
    shape = training.tensors[0].shape[1:]
    what = f"{shape[0]} measures" if len(shape) == 1 else f"pictures {'x'.join(map(str, shape[1:]))}"
    dropped = about.get("layout", {}).get("dropped")
    left_out = f"; column {', '.join(map(repr, dropped))} dropped" if dropped else ""
    disease, classes = about["classes"][about["positive"]], ", ".join(map(repr, about["classes"]))
    return (
        f"data: {about['data']}, {what}: {len(training)} train, {len(validation)} validation, "
        f"{len(test)} test{left_out}\n"
        f"taken as the disease: {disease!r}, of {classes}; --positive NAME takes another"
    )
