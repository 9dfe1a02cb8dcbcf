"""A run: a trained model and all that is needed to ask it again, kept in a folder.

model.safetensors        the weights
run.json                 what was asked for, what was fitted to the training part, and what came of it
checkpoint.safetensors   the state after the last epoch, for going on
chosen.json              what was chosen by folds inside the training part, where something was, for going on
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinymed import nn
from tinymed.data.folds import apart
from tinymed.data.prepare import from_state
from tinymed.data.tabular import Layout
from tinymed.tasks.config import Config
from tinymed.tasks.parts import Parts, Samples, require
from tinymed.tasks.registry import task_called
from tinymed.tasks.task import Data, Task
from tinymed.training import load_weights, predict, save_weights
from tinymed.training.metrics import predicted

ABOUT, WEIGHTS, CHECKPOINT, CHOSEN = "run.json", "model.safetensors", "checkpoint.safetensors", "chosen.json"


@dataclass(eq=False)
class Run:
    """What `tinymed.tasks.train` gives, and `load` reads back.

    config     what was asked for; settled: the same with what was chosen inside the training part
    shape      of one prepared item
    prepared   what was fitted to the training part: x as read → array
    positive   the number of the class to be found
    threshold  from which probability on it is said
    counts     how many samples each part has
    about      source, licence and citation of the data, the unit of a value; versions, date, seconds
    typical    of a table, median and quartile range of each measure in the training part
    figures    of the test part
    digests    of each part, by which the data are known again
    learnt     of each item of the training part
    worth      where keys were chosen inside the training part, what was tried: keys, and the mean loss over its folds
    asks       the Task; None: that of the config's name
    """

    config: Config
    settled: Config
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    layout: Layout | None
    prepared: Any
    model: nn.Module
    positive: int = 0
    threshold: float = 0.5
    counts: dict[str, int] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    typical: list[list[float]] | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    learnt: str = ""
    worth: list[dict[str, float]] = field(default_factory=list)
    asks: Task | None = field(default=None, repr=False)

    @property
    def task(self) -> Task:
        return self.asks or task_called(self.config.task)

    @property
    def data(self) -> Data:
        return self.task.of(self.config)

    @property
    def loss(self) -> str:
        return loss_for(self.classes)

    def predict(self, x: Any) -> np.ndarray:
        """Of x as it was read: probabilities (N,) of class 1 of two, (N,C) of more, or values (N,)."""
        found = predict(self.model, np.asarray(self.prepared(x)), loss=self.loss)
        return found[:, 0] if found.shape[1] == 1 else found

    def said(self, probabilities: np.ndarray) -> np.ndarray:
        """The numbers of the classes (N,) that what `predict` gives makes of N cases."""
        p = np.stack([1 - probabilities, probabilities], 1) if probabilities.ndim == 1 else probabilities
        return predicted(p, self.threshold, self.positive)

    def parts(self, data_home: str | Path | None = None, test: str | Path = "", **keys: str) -> Parts:
        """The data as the run has learnt from them; judged by a file or folder of one's own, if `test` names one.

        keys  label, text, group, encoding: how that is read, where it differs from what the run's config says

        Raises ValueError for data that are not what they were; of `test`, for other columns or sizes, for a class that
        is none of the run's, and for a patient of the training part.
        """
        if self.task.is_own(self.config):
            require(self.config.data, "which the run has learnt from")
            require("" if test else self.config.test, "by which the run was judged; give test")
        parts = self.task.parts(self.config, None if data_home is None else Path(data_home), judged=not test)
        digests = {name: side.digest() for name, side in parts.sides.items() if not (test and name == "test")}
        if changed := [name for name, digest in digests.items() if self.digests.get(name, digest) != digest]:
            raise ValueError(
                f"{self.task.data_name(self.config)}: the {' and the '.join(changed)} part are not what they were when "
                "the run learnt: what it has learnt from may stand in the test part; train anew, or give test, "
                "a file of new cases"
            )
        if not test:
            return parts
        config = Config.of(asdict(self.config) | keys)
        judged = Samples.of(self.data.form.dataset(str(test), config, like=self))
        if judged.groups is not None and parts.train.groups is not None:
            apart({"training": parts.train.groups, "test": judged.groups})
        return replace(parts, test=judged, whose="", judged=str(test))

    def save(self, folder: str | Path) -> None:
        """Write weights and run.json; each appears whole or not at all, run.json last.

        Raises ValueError for a run that was interrupted before it had learnt anything.
        """
        if not self.history.get("epoch"):
            raise ValueError("there is nothing to save: no epoch was finished")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(self.model, folder / WEIGHTS)
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in (*APART, "prepared")}
        kept |= {"config": asdict(self.config), "settled": asdict(self.settled), "prepared": self.prepared.state()}
        kept["layout"] = None if self.layout is None else self.layout.state()
        partial = folder / f".{ABOUT}.part"
        try:
            partial.write_text(as_json(kept), encoding="utf-8")
            os.replace(partial, folder / ABOUT)
        finally:
            partial.unlink(missing_ok=True)


APART = ("model", "asks")  # what run.json does not hold
SOUND = {  # what an entry must be that nothing else looks at when it is read
    "positive": lambda kept: type(kept["positive"]) is int and 0 <= kept["positive"] < max(1, len(kept["classes"])),
    "threshold": lambda kept: isinstance(kept["threshold"], int | float),
    "counts": lambda kept: isinstance(kept["counts"], dict),
    "about": lambda kept: isinstance(kept["about"], dict) and "unit" in kept["about"],
    "history": lambda kept: isinstance(kept["history"], dict) and bool(kept["history"].get("epoch")),
    "figures": lambda kept: isinstance(kept["figures"], dict),
    "digests": lambda kept: isinstance(kept["digests"], dict),
    "learnt": lambda kept: isinstance(kept["learnt"], str),
}


def load(folder: str | Path, task: Task | None = None) -> Run:
    """The run in a folder, of a task that stands in TASKS, or of `task`. Raises ValueError where there is none, or
    what it says cannot be.
    """
    folder = Path(folder)
    require_run(folder)
    try:
        kept = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder}/{ABOUT} is damaged: {error}; train the run anew") from None
    wanted = {f.name for f in fields(Run)} - set(APART)
    if missing := wanted - set(kept if isinstance(kept, dict) else ()):
        raise ValueError(f"{folder}/{ABOUT} does not say {', '.join(sorted(missing))}, as train writes it; train anew")
    kept = {name: kept[name] for name in wanted}
    try:
        if wrong := [name for name, sound in SOUND.items() if not sound(kept)]:
            raise TypeError(f"{wrong[0]} cannot be {kept[wrong[0]]!r}")
        config, settled = (Config.of(kept[name]) for name in ("config", "settled"))
        kept |= {"config": config, "settled": settled, "prepared": from_state(kept["prepared"])}
        kept |= {name: tuple(kept[name]) for name in ("shape", "classes", "columns")}
        if kept["layout"] is not None:
            kept["layout"] = Layout.from_state(kept["layout"])
        model = build(settled, kept["shape"], kept["classes"], kept["prepared"], task)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise ValueError(f"{folder}/{ABOUT} is damaged: {error}; train the run anew") from None
    weights = load_weights(folder / WEIGHTS)
    try:
        model.load_state_dict(weights)
    except (ValueError, RuntimeError, KeyError) as error:
        raise ValueError(f"{folder}/{WEIGHTS} does not fit {ABOUT}: {error}") from None
    return Run(**kept, model=model, asks=task)


def require_run(folder: str | Path) -> None:
    """Refuse a folder in which no run was saved."""
    if not (Path(folder) / ABOUT).is_file():
        raise ValueError(f"{folder} is no run: there is no {ABOUT} in it")


def build(
    config: Config, shape: tuple[int, ...], classes: tuple[str, ...], prepared: Any, task: Task | None = None
) -> nn.Module:
    """The network that a settled config names, its weights drawn anew; for a value, one output."""
    data = (task or task_called(config.task)).of(config)
    return data.models[config.model].made(shape, len(classes) or 1, config, prepared)


def loss_for(classes: tuple[str, ...]) -> str:
    """The loss that fits what is told: a value, one of two classes, one of more."""
    return {0: "mse_loss", 2: "binary_cross_entropy_with_logits"}.get(len(classes), "cross_entropy")


def as_json(about: dict) -> str:
    """JSON, which knows no NaN, no infinity and no arrays: null and lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(v) for key, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        if hasattr(value, "tolist"):
            return plain(value.tolist())
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(plain(about), indent=1, ensure_ascii=False) + "\n"
