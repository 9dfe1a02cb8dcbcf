"""Learning: from a config to a trained run. What is fitted is fitted to the training part alone."""

from __future__ import annotations

import datetime
import json
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

import tinymed
from tinymed import nn
from tinymed.data import DataLoader, TensorDataset
from tinymed.data.sampler import balanced_sampler
from tinymed.evaluation import choose_threshold
from tinymed.evaluation.page import write_whole
from tinymed.optim import Adam, AdamW, Optimizer
from tinymed.optim.lr_scheduler import CosineAnnealingLR
from tinymed.tasks.augment import augmented
from tinymed.tasks.config import Config
from tinymed.tasks.parts import Parts, Samples, number
from tinymed.tasks.registry import task_called
from tinymed.tasks.run import CHOSEN, Run, as_json, build, loss_for, require_run
from tinymed.tasks.run import load as load_run
from tinymed.tasks.start import begin_from, freeze_named, refuse_known
from tinymed.tasks.task import Task
from tinymed.training import History, evaluate, fit
from tinymed.training.models import keras_weights_
from tinymed.training.transfer import layerwise_groups

FOR_CLASSES = ("positive", "class_weight", "sampling", "mixup")


def settled(given: Mapping[str, Any], task: Task | None = None) -> Config:
    """The whole Config of what was given: the recipe of its task and model, and over it what was given."""
    given = dict(given)
    name = given.pop("task", "")
    config = (task or task_called(name)).settle(given)
    if config.start:
        require_run(config.start)
    return config


def train(
    given: Mapping[str, Any] | Config,
    data_home: str | Path | None = None,
    *,
    task: Task | None = None,
    parts: Parts | None = None,
    checkpoint: str | Path | None = None,
    verbose: Any = "auto",
) -> tuple[Run, Parts]:
    """Train what is asked for: the run, not yet judged, and the parts of its data.

    given       keys of a Config, those that are not given are the recipe's of task and model; or a settled Config
    task        where it is none of TASKS
    parts       the data, where they have been read already
    checkpoint  see `fit`: the same call goes on where it was interrupted; what was chosen first stands beside it

    Raises ValueError for keys and data that cannot be meant, DataNotFoundError for data that are not here.
    """
    if isinstance(given, Config) and not given.model:
        raise ValueError("this Config names no model: give `tasks.settled(...)`, or the keys themselves, {...}")
    config = settled(vars(given) if isinstance(given, Config) else given, task)
    asks = task or task_called(config.task)
    parts = asks.parts(config, None if data_home is None else Path(data_home)) if parts is None else parts
    positive = _positive(asks, config, parts.classes)
    if config.start:
        refuse_known(load_run(config.start), parts, config.start)
    digests = {name: side.digest() for name, side in parts.sides.items()}
    beside = None if checkpoint is None else Path(checkpoint).with_name(CHOSEN)
    choice, worth, seconds = chosen(config, parts, asks, beside)
    clock = Clock(seconds)
    prepared, model, history = learnt(
        choice, parts.train, parts.validation, parts.classes, parts.columns,
        task=asks, callbacks=[clock], checkpoint=checkpoint, verbose=verbose,
    )  # fmt: skip
    shape = prepared(parts.train.take(np.arange(1)).x).shape[1:]
    run = Run(
        config, choice, shape, parts.classes, parts.columns, parts.layout, prepared, model, positive,
        counts={"train": len(parts.train), "validation": len(parts.validation or ()), "test": len(parts.test)},
        about={
            "source": parts.source, "licence": parts.licence, "citation": parts.citation, "unit": parts.unit,
            "tinymed": tinymed.__version__, "numpy": np.__version__, "python": platform.python_version(),
            "date": datetime.date.today().isoformat(), "seconds": round(clock.seconds, 1), "note": history.note,
        },
        typical=_typical(parts.train.x),
        history={"epoch": list(map(float, history.epochs)), **history.history},
        digests=digests, learnt=" ".join(parts.train.digests()), worth=worth, asks=task,
    )  # fmt: skip
    run.threshold = _threshold(run, parts)
    return run, parts


def learnt(
    config: Config,
    train: Samples,
    watched: Samples | None,
    classes: tuple[str, ...],
    columns: tuple[str, ...] = (),
    *,
    task: Task | None = None,
    **how: Any,
) -> tuple[Any, nn.Module, History]:
    """What was fitted to the training part, the model trained on it, and its history; `how` goes to `fit`."""
    prepared = (task or task_called(config.task)).of(config).prepare(config).fit(train.x, train.y, columns or None)
    dataset = _tensors(prepared, train)
    tinymed.manual_seed(config.seed)
    model = build(config, dataset.tensors[0].shape[1:], classes, prepared, task)
    if config.init == "keras":
        model.apply(keras_weights_)
    if config.start:
        begin_from(load_run(config.start), model, prepared, classes, config.start)
    freeze_named(model, config.freeze)
    optimizer = _optimizer(model, config)
    history = fit(
        model,
        _drawn(dataset, train.y, classes, config),
        loss=loss_for(classes),
        optimizer=optimizer,
        epochs=config.epochs,
        batch_size=config.batch_size,
        validation=None if watched is None else _tensors(prepared, watched),
        class_weight="balanced" if config.class_weight == "balanced" else None,
        clip_grad_norm=config.clip or None,
        scheduler=CosineAnnealingLR(optimizer, config.epochs) if config.schedule == "cosine" else None,
        early_stopping=config.patience or None,
        keep_best="val_loss" if config.patience or config.keep == "best" else None,
        seed=config.seed,
        **how,
    )
    return prepared, model, history


class Clock:
    """A callback: the seconds of all epochs; of those before an interruption too, as they are in the checkpoint."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.since = seconds, time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        now = time.perf_counter()
        self.seconds, self.since = self.seconds + now - self.since, now

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "since": 0.0}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.seconds, self.since = state_dict["seconds"], time.perf_counter()


# -------------------------------------------------------------------- what is chosen first


def chosen(
    config: Config, parts: Parts, task: Task | None = None, beside: Path | None = None
) -> tuple[Config, list[dict[str, float]], float]:
    """The config with what it leaves open chosen inside the training part, what was tried for that, and the seconds.

    beside  where that is kept, so that a run which goes on need not choose again
    """
    choose = (task or task_called(config.task)).of(config).choose
    if choose is None:
        return config, [], 0.0
    asked = {"config": asdict(config), "training": parts.train.digest()}
    kept = json.loads(beside.read_text(encoding="utf-8")) if beside and beside.exists() else {}
    if kept.get("asked") != asked:
        began = time.perf_counter()

        def loss(tried: Config, inside: Samples, outside: Samples) -> float:
            prepared, model, _ = learnt(tried, inside, None, parts.classes, parts.columns, task=task, verbose=False)
            held = _tensors(prepared, outside)
            return evaluate(model, held, loss=loss_for(parts.classes), metrics=())["loss"]

        kept = {"asked": asked, "worth": choose(config, parts.train, loss)}
        kept["seconds"] = time.perf_counter() - began
        if beside:
            write_whole(beside, as_json(kept))
    worth = kept["worth"]
    best: dict[str, Any] = min(worth, key=lambda row: row["loss"], default={})
    return replace(config, **{k: v for k, v in best.items() if k != "loss"}), worth, kept["seconds"]


# -------------------------------------------------------------------- parts of learning


def _tensors(prepared: Any, side: Samples) -> TensorDataset:
    y = side.y if side.y.dtype.kind == "i" else side.y.astype(np.float32)[:, None]
    return TensorDataset(prepared(side.x), y)


def _drawn(dataset: TensorDataset, y: np.ndarray, classes: tuple[str, ...], config: Config) -> Any:
    """The training part as it is learnt from: changed, mixed and drawn as the config says."""
    changed = augmented(dataset, config, len(classes))
    if config.sampling == "none":
        return changed
    return DataLoader(changed, config.batch_size, sampler=balanced_sampler(y))


def _optimizer(model: nn.Module, config: Config) -> Optimizer:
    params = (
        layerwise_groups(model, config.lr, config.layer_decay) if config.layer_decay < 1 else list(model.parameters())
    )
    eps = 1e-7 if config.init == "keras" else 1e-8  # as Keras and PyTorch have it
    if config.weight_decay:
        return AdamW(params, lr=config.lr, eps=eps, weight_decay=config.weight_decay)
    return Adam(params, lr=config.lr, eps=eps)


def _typical(x: Any) -> list[list[float]] | None:
    """Medians and quartile ranges, (2,F), of a table's columns, to see what is unusual in a row; None of others."""
    if not isinstance(x, np.ndarray) or x.ndim != 2:
        return None
    low, middle, high = np.nanpercentile(x, [25, 50, 75], axis=0)
    return [middle.tolist(), (high - low).tolist()]


def _positive(task: Task, config: Config, classes: tuple[str, ...]) -> int:
    """The number of the class to be found. Refuses, before anything is learnt, what would fit no such classes."""
    if not classes and (told := [key for key in FOR_CLASSES if getattr(config, key) != getattr(Config, key)]):
        raise ValueError(f"{', '.join(told)}: only where classes are told; here it is a value")
    if len(classes) != 2 and config.threshold != Config.threshold:
        raise ValueError(f"threshold: only where there are two classes; here {len(classes) or 'it is a value'}")
    return task.looked_for(classes, config.positive) if classes else 0


def _threshold(run: Run, parts: Parts) -> float:
    """The number that the config gives, or what its rule chooses on the validation part."""
    given = number(run.config.threshold)
    if given is not None:
        return given
    watched = parts.validation
    if watched is None:
        raise ValueError(f"threshold: {run.config.threshold} is chosen on a validation part, and there is none")
    return choose_threshold(run.predict(watched.x), watched.y, run.positive, run.config.threshold)
