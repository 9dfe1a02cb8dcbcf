"""Learning: from a config to a trained run. What is fitted is fitted to the training part alone."""

from __future__ import annotations

import datetime
import logging
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import tinymed
from tinymed import nn
from tinymed.data import DataLoader, TensorDataset
from tinymed.data.sampler import balanced_sampler
from tinymed.data.tables import listed
from tinymed.evaluation import choose_threshold
from tinymed.optim import Adam, AdamW, Optimizer
from tinymed.optim.lr_scheduler import CosineAnnealingLR
from tinymed.tasks.augment import augmented
from tinymed.tasks.config import Config
from tinymed.tasks.registry import task_called
from tinymed.tasks.run import Run, build, loss_for
from tinymed.tasks.run import load as load_run
from tinymed.tasks.task import Parts, Samples, Task, number
from tinymed.training import History, fit
from tinymed.training.models import keras_weights_
from tinymed.training.transfer import freeze, layerwise_groups, transfer

LOG = logging.getLogger(__name__)
FOR_CLASSES = ("positive", "class_weight", "sampling", "mixup")


def train(
    given: Mapping[str, Any] | Config,
    data_home: str | Path | None = None,
    *,
    parts: Parts | None = None,
    checkpoint: str | Path | None = None,
    verbose: Any = "auto",
) -> tuple[Run, Parts]:
    """Train what is asked for: the run, not yet judged, and the parts of its data.

    given       keys of a Config; those that are not given are the recipe's of task and model
    parts       the data, where they have been read already
    checkpoint  see `fit`: the same call goes on where it was interrupted

    Raises ValueError for keys and data that cannot be meant, DataNotFoundError for data that are not here.
    """
    config = given if isinstance(given, Config) else settled(given)
    task = task_called(config.task)
    data = task.of(config)
    parts = task.parts(config, None if data_home is None else Path(data_home)) if parts is None else parts
    chosen = data.choose(config, parts.train) if data.choose else config
    positive = _positive(task, config, parts.classes)
    began = time.perf_counter()
    prepared, model, history = learnt(
        chosen, parts.train, parts.validation, parts.classes, parts.columns, checkpoint=checkpoint, verbose=verbose
    )
    shape = prepared(parts.train.take(np.arange(1)).x).shape[1:]
    run = Run(
        config, chosen, shape, parts.classes, parts.columns, parts.layout, prepared, model, positive,
        counts={"train": len(parts.train), "validation": len(parts.validation or ()), "test": len(parts.test)},
        about={
            "source": parts.source, "licence": parts.licence, "citation": parts.citation, "unit": parts.unit,
            "tinymed": tinymed.__version__, "numpy": np.__version__, "python": platform.python_version(),
            "date": datetime.date.today().isoformat(), "seconds": round(time.perf_counter() - began, 1),
            "note": history.note,
        },
        typical=_typical(parts.train.x),
        history={"epoch": list(map(float, history.epochs)), **history.history},
    )  # fmt: skip
    run.threshold = _threshold(run, parts)
    return run, parts


def learnt(
    config: Config,
    train: Samples,
    watched: Samples | None,
    classes: tuple[str, ...],
    columns: tuple[str, ...] = (),
    **how: Any,
) -> tuple[Any, nn.Module, History]:
    """What was fitted to the training part, the model trained on it, and its history; `how` goes to `fit`."""
    prepared = task_called(config.task).of(config).prepare(config).fit(train.x, train.y, columns or None)
    dataset = _tensors(prepared, train)
    tinymed.manual_seed(config.seed)
    model = build(config, dataset.tensors[0].shape[1:], classes, prepared)
    if config.init == "keras":
        model.apply(keras_weights_)
    _begin_elsewhere(model, config, classes)
    optimizer = _optimizer(model, config)
    history = fit(
        model,
        _drawn(dataset, train.y, classes, config),
        loss=loss_for(classes),
        optimizer=optimizer,
        epochs=config.epochs,
        batch_size=config.batch_size,
        validation=None if watched is None else _tensors(prepared, watched),
        class_weight=config.class_weight or None,
        clip_grad_norm=config.clip or None,
        scheduler=CosineAnnealingLR(optimizer, config.epochs) if config.schedule == "cosine" else None,
        early_stopping=config.patience or None,
        keep_best="val_loss" if config.patience or config.keep == "best" else None,
        seed=config.seed,
        **how,
    )
    return prepared, model, history


def settled(given: Mapping[str, Any]) -> Config:
    """The whole Config of what was given: the recipe of its task and model, and over it what was given."""
    given = dict(given)
    return task_called(given.pop("task", "")).settle(given)


def _tensors(prepared: Any, side: Samples) -> TensorDataset:
    y = side.y if side.y.dtype.kind == "i" else side.y.astype(np.float32)[:, None]
    return TensorDataset(prepared(side.x), y)


def _drawn(dataset: TensorDataset, y: np.ndarray, classes: tuple[str, ...], config: Config) -> Any:
    """The training part as it is learnt from: changed, mixed and drawn as the config says."""
    changed = augmented(dataset, config, len(classes))
    if not config.sampling:
        return changed
    return DataLoader(changed, config.batch_size, sampler=balanced_sampler(y))


def _begin_elsewhere(model: nn.Module, config: Config, classes: tuple[str, ...]) -> None:
    """Take over weights of another run, and freeze what is not to learn."""
    if config.start:
        start = load_run(config.start)
        state = start.model.state_dict()
        if start.classes != classes:  # a head that tells other classes is no start
            head = _head(start.model)
            state = {name: t for name, t in state.items() if not name.startswith(f"{head}.")}
        left = transfer(model, state)
        own = model.state_dict()
        fresh = [*left.missing_keys, *left.mismatched_keys]
        LOG.info(
            "%s: %d of %d arrays of weights taken over%s", config.start, len(own) - len(fresh), len(own),
            f"; as they were drawn: {listed(fresh)}" if fresh else "",
        )  # fmt: skip
    layers = [name for name, _ in model.named_children()]
    if config.freeze == "features":
        frozen = [name for name in layers if name != _head(model)]
    else:
        frozen = [name.strip() for name in config.freeze.split(",") if name.strip()]
    if not frozen:
        return
    try:
        freeze(model, *frozen)
    except ValueError as error:
        raise ValueError(f"freeze: {error}; its layers are {', '.join(layers)}, and those within") from None


def _head(model: nn.Module) -> str:
    """The name of the layer that tells: `head`, or the last one that has weights."""
    learning = [name for name, layer in model.named_children() if any(True for _ in layer.parameters())]
    return "head" if "head" in learning else learning[-1]


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
    if not classes and (told := [key for key in FOR_CLASSES if getattr(config, key)]):
        raise ValueError(f"{', '.join(told)}: only where classes are told; here it is a value")
    if len(classes) == 2:
        threshold = number(config.threshold)
        if threshold is None:
            choose_threshold([0.2, 0.8], [0, 1], rule=config.threshold)  # refuses an unknown rule
        elif not 0 <= threshold <= 1:
            raise ValueError(f"threshold must lie in 0…1, or be the name of a rule, got {config.threshold}")
    elif config.threshold != Config.threshold:
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
