"""A run: a trained model and all that is needed to ask it again, kept in a folder.

model.safetensors        the weights
run.json                 what was asked for, what was fitted to the training part, and what came of it
checkpoint.safetensors   the state after the last epoch, for going on
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from tinymed import nn
from tinymed.data.prepare import from_state
from tinymed.data.tabular import Layout
from tinymed.tasks.config import Config
from tinymed.tasks.registry import task_called
from tinymed.tasks.task import Data, Task
from tinymed.training import load_weights, predict, save_weights

ABOUT, WEIGHTS, CHECKPOINT = "run.json", "model.safetensors", "checkpoint.safetensors"


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

    @property
    def task(self) -> Task:
        return task_called(self.config.task)

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

    def save(self, folder: str | Path) -> None:
        """Write weights and run.json; each appears whole or not at all, run.json last."""
        folder = Path(folder)
        save_weights(self.model, folder / WEIGHTS)
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("model", "prepared")}
        kept |= {"config": asdict(self.config), "settled": asdict(self.settled), "prepared": self.prepared.state()}
        kept["layout"] = None if self.layout is None else self.layout.state()
        partial = folder / f".{ABOUT}.part"
        partial.write_text(as_json(kept), encoding="utf-8")
        os.replace(partial, folder / ABOUT)


def load(folder: str | Path) -> Run:
    """The run in a folder. Raises ValueError where there is none, or what it says cannot be."""
    folder = Path(folder)
    if not (folder / ABOUT).is_file():
        raise ValueError(f"{folder} is no run: there is no {ABOUT} in it; make one with `tinymed train --out {folder}`")
    try:
        kept = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder}/{ABOUT} is damaged: {error}; train the run anew") from None
    wanted = {f.name for f in fields(Run)} - {"model"}
    if missing := wanted - set(kept if isinstance(kept, dict) else ()):
        raise ValueError(f"{folder}/{ABOUT} does not say {', '.join(sorted(missing))}, as train writes it; train anew")
    kept = {name: kept[name] for name in wanted}
    try:
        config, settled = (Config.of(kept[name], f"{folder}/{ABOUT}: ") for name in ("config", "settled"))
        kept |= {"config": config, "settled": settled, "prepared": from_state(kept["prepared"])}
        kept |= {name: tuple(kept[name]) for name in ("shape", "classes", "columns")}
        if kept["layout"] is not None:
            kept["layout"] = Layout.from_state(kept["layout"])
        model = build(settled, kept["shape"], kept["classes"], kept["prepared"])
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{folder}/{ABOUT} is damaged: {error}; train the run anew") from None
    model.load_state_dict(load_weights(folder / WEIGHTS))
    return Run(**kept, model=model)


def build(config: Config, shape: tuple[int, ...], classes: tuple[str, ...], prepared: Any) -> nn.Module:
    """The network that a settled config names, its weights drawn anew; for a value, one output."""
    data = task_called(config.task).of(config)
    return data.models[config.model].build(shape, len(classes) or 1, config, prepared)


def loss_for(classes: tuple[str, ...]) -> str:
    """The loss that fits what is told: a value, one of two classes, one of more."""
    return {0: "mse_loss", 2: "binary_cross_entropy_with_logits"}.get(len(classes), "cross_entropy")


def as_json(about: dict) -> str:
    """JSON, which knows no NaN and no arrays: null and lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(v) for key, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        if hasattr(value, "tolist"):
            return plain(value.tolist())
        return None if isinstance(value, float) and value != value else value

    return json.dumps(plain(about), indent=1, ensure_ascii=False) + "\n"
