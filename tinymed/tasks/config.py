"""What a run is asked for.

Each key stands here once: it is a field of Config, a key of a TOML file, and an option of `tinymed train`.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tinymed.nn.errors import nearest


def key(default: Any, means: str, shown: str = "", *, least: float | None = None, above: float | None = None,
        most: float | None = None, choices: tuple[str, ...] = ()) -> Any:  # fmt: skip
    """A key with what it means and what it may be: least ≤ value ≤ most, above < value, or one of choices.

    shown  the default in words, where the value itself does not tell
    """
    told = shown or ("" if default in ("", 0) else str(default))
    rule = {"least": least, "above": above, "most": most, "choices": choices}
    return field(default=default, metadata={"means": means, "shown": told, **rule})


@dataclass(frozen=True)
class Config:
    """A run: what is learnt from, by which model, how, and how it is judged."""

    task: str = key("", "What is to be told; tinymed train --help lists the tasks.")
    model: str = key("", "Which network", "the task's first")
    # data
    data: str = key("", "A data set of the task by name, or a file or folder of your own", "the task's first")
    test: str = key("", "File or folder to judge by, where --data is your own", "a fifth of --data is kept for that")
    label: str = key("diagnosis", "Column of classes in a table of your own.")
    text: str = key("text", "Column of texts in a table of your own.")
    group: str = key(
        "",
        "Column that says whose a row is, or a pattern that finds it in a picture's path: nobody stands on both sides.",
    )
    encoding: str = key("", "How a table of your own is encoded, such as gb18030", "utf-8")
    image_shape: str = key(
        "", "Columns of your table are pixels of such a picture, HxW, or what pictures are brought to."
    )
    validation: float = key(0.0, "Share of the training data kept to watch, where there is no official part for it.",
                            least=0, most=0.5)  # fmt: skip
    fold: int = key(0, "Which of five parts is judged by; from 5 on, of other fives. Where the split is official there "
                    "is but one, 0; of mitbih, odd ones swap its two records.", least=0)  # fmt: skip
    fraction: float = key(1.0, "Share of the training labels that is used.", above=0, most=1)
    tokens: str = key("word", "What a text is cut into.", choices=("word", "char"))
    length: int = key(0, "How many tokens of a text are read", "all of the longest", least=0)
    genes: int = key(0, "How many genes are used", "chosen by folds inside the training part", least=0)
    # how it learns
    epochs: int = key(10, "Passes over the data.", least=1)
    batch_size: int = key(32, "Samples a step.", least=1)
    lr: float = key(1e-3, "Learning rate.", above=0)
    weight_decay: float = key(0.0, "Decay of weights (AdamW)", "none; of genes, chosen as their number is", least=0)
    schedule: str = key("constant", "How the learning rate falls, over all epochs.", choices=("constant", "cosine"))
    clip: float = key(0.0, "Greatest norm of all gradients together.", least=0)
    dropout: float = key(0.0, "Share of units left out, where the model has dropout.", least=0, most=0.95)
    init: str = key("torch", "Whose initial weights.", choices=("torch", "keras"))
    augment: str = key("", "Changes drawn anew for every sample, by name, such as flip,shift,contrast.")
    mixup: float = key(0.0, "α of mixup: samples are mixed in pairs by a share from Beta(α, α).", least=0)
    class_weight: str = key("none", "Count rare classes more.", choices=("none", "balanced"))
    sampling: str = key("none", "Draw rare classes more often.", choices=("none", "balanced"))
    patience: int = key(0, "Stop after so many epochs without a better validation loss, and keep the best.", least=0)
    keep: str = key(
        "last", "Whose weights: the last epoch's, or the best one's by validation loss.", choices=("last", "best")
    )
    seed: int = key(0, "Of weights, of order, and of what is kept back to watch.", least=0)
    # starting from another run
    start: str = key("", "A run to start from: whatever fits of its weights is taken.")
    freeze: str = key("", "Layers that do not learn, by name, or `features`: all but the last.")
    layer_decay: float = key(1.0, "Each earlier layer learns at so many times the rate of the next.", above=0, most=1)
    # how it is judged
    positive: str = key("", "The class to be found", "the disease, else the last in order")
    threshold: str = key("0.5", "From which probability on, or the rule that chooses it on validation data, such as "
                         "youden or sensitivity=0.90.")  # fmt: skip

    @classmethod
    def of(cls, given: Mapping[str, Any], where: str = "") -> Config:
        """A Config of these keys, checked. Raises ValueError for an unknown key, naming the nearest, and for a
        value that cannot be meant; `where` says where they stand.
        """
        known = {f.name: f for f in fields(cls)}
        checked = {}
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"{where}there is no key {name!r}{nearest(name, known)}; keys are {', '.join(known)}")
            checked[name] = _checked(f"{where}{name}", value, known[name])
        return cls(**checked)


def read_config(path: str | Path) -> dict[str, Any]:
    """The keys of a TOML file, checked as `Config.of` does. Raises ValueError naming the file."""
    try:
        with open(path, "rb") as stream:
            given = tomllib.load(stream)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML file: {error}") from None
    Config.of(given, f"{path}: ")
    return given


def names(text: str) -> list[str]:
    """ "flip, shift," → ["flip", "shift"]"""
    return [name.strip() for name in text.split(",") if name.strip()]


def _checked(name: str, value: Any, f: Any) -> Any:
    kind, rule = type(f.default), f.metadata
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        names = {int: "a whole number", float: "a number", str: "a text"}
        raise ValueError(f"{name} must be {names[kind]}, got {value!r}")
    if rule["choices"] and value not in rule["choices"]:
        raise ValueError(f"{name} is one of {', '.join(map(repr, rule['choices']))}, got {value!r}")
    if kind is str:
        return value
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value}")
    for bound, holds, said in (
        ("least", lambda limit: value >= limit, "at least"),
        ("above", lambda limit: value > limit, "above"),
        ("most", lambda limit: value <= limit, "at most"),
    ):
        if (limit := rule[bound]) is not None and not holds(limit):
            raise ValueError(f"{name} must be {said} {limit}, got {value}")
    return value
