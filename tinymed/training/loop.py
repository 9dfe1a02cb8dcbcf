"""The training loop: fit, evaluate, predict."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tinymed.autograd import no_grad
from tinymed.data import DataLoader, RandomSampler, WeightedRandomSampler
from tinymed.data.sampler import count
from tinymed.nn.module import Module
from tinymed.optim import Optimizer
from tinymed.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau
from tinymed.optim.optimizer import positive
from tinymed.random import default_generator
from tinymed.training.batches import Batches
from tinymed.training.callbacks import BestModel, Callback, EarlyStopping
from tinymed.training.checkpoint import Checkpoint
from tinymed.training.history import History
from tinymed.training.objective import Objective, class_weights
from tinymed.training.progress import Silent, progress
from tinymed.training.step import CapturedStep, Step
from tinymed.training.transfer import hold_statistics


def fit(
    model: Module,
    train: Any,
    *,
    loss: Any,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int = 32,
    validation: Any = None,
    metrics: Sequence[str | Callable] | None = None,
    class_weight: Any = None,
    callbacks: Sequence[Callback] = (),
    scheduler: Any = None,
    early_stopping: int | EarlyStopping | None = None,
    keep_best: str | None = None,
    seed: int | None = None,
    shuffle: bool = True,
    verbose: Any = "auto",
    capture: bool = False,
    clip_grad_norm: float | None = None,
    checkpoint: str | Path | None = None,
) -> History:
    """Train the model; the figures of each epoch come back.

    train, validation  a Dataset, a DataLoader (which settles batches and order itself) or a pair (x, y)
    loss               a name ("binary_cross_entropy_with_logits", "cross_entropy", "mse"), a function, a module
    metrics            names of training.metrics, or functions f(probabilities, labels); accuracy if None
    class_weight       "balanced" or {class: weight}: what a sample counts in the training loss
    scheduler          of optim.lr_scheduler, stepped after every epoch; OneCycleLR after every batch
    early_stopping     so many epochs without a better val_loss (loss, without validation), or an EarlyStopping
    keep_best          the figure, such as "val_loss" or "val_auc", at whose best epoch the weights are put back;
                       None leaves those of the last epoch, with early_stopping too
    seed               governs shuffling and dropout: with equal weights to start from, runs are equal bit for bit
    verbose            False: silent; 2: a line an epoch; else a bar where the output is a terminal
    capture            on a GPU: record a step as CUDA graphs and replay them, for every batch of the first one's shape;
                       many times as fast where layers are small. The model must not look at its numbers in forward
    clip_grad_norm     before each step, scale all gradients together to a norm of no more than this
    checkpoint         a file that holds all that is needed to go on, written at the start and after every epoch, whole
                       or not at all. Called so again, fit goes on after the last finished epoch, and ends with the
                       weights and figures of a run that nothing cut short, bit for bit; a run that has finished gives
                       them at once. With more epochs than before it goes on, unless a callback has ended the run

    The figures of training are taken as it goes, while the weights still change; those of validation
    (val_...) after the epoch. Ctrl-C ends training cleanly; the history's note tells. Labels may be soft, as mixup
    makes them: class 1's share of two, or rows of probabilities; metrics then go by the likelier class. Normalisation
    layers that are frozen keep their running statistics. A dataset with set_epoch(epoch) is told each epoch, from 1.

    Raises FloatingPointError as soon as the loss is NaN or infinite; the weights are then those before the step
    that broke them. Raises ValueError or TypeError for data that cannot be meant, CheckpointError for a checkpoint of
    another run.
    """
    count("epochs", epochs)
    objective = Objective(loss)
    functions = objective.metrics(metrics)
    _check_optimizer(model, optimizer, scheduler)
    if clip_grad_norm is not None:
        positive("fit: clip_grad_norm", clip_grad_norm)
    batches = Batches(model, train, batch_size, shuffle, "train")
    held_out = None if validation is None else Batches(model, validation, batch_size, False, "validation")
    batches.set_epoch(1)
    weights = None if class_weight is None else class_weights(class_weight, batches.labels())
    if isinstance(early_stopping, int):
        early_stopping = EarlyStopping(early_stopping, "val_loss" if held_out else "loss")
    best = None if keep_best is None else BestModel(model, keep_best)
    called = [*callbacks, *(c for c in (best, early_stopping) if c is not None)]
    by_batch = scheduler if isinstance(scheduler, OneCycleLR) else None
    if by_batch is not None and by_batch.total_steps != epochs * len(batches):
        raise ValueError(
            f"OneCycleLR was made for {by_batch.total_steps} steps, but {epochs} epochs of {len(batches)} batches "
            f"are {epochs * len(batches)}; give total_steps={epochs * len(batches)}"
        )
    if capture and batches.device == "cpu":
        raise ValueError('fit: capture=True records what a GPU does, but the model is on the CPU; use model.to("cuda")')
    history, saved = History(), None
    if checkpoint is not None:
        generators = [default_generator, *batches.generators(), *(held_out.generators() if held_out else [])]
        parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "callbacks": called}
        arguments = {"loss": loss, "metrics": functions, "class_weight": weights, "clip_grad_norm": clip_grad_norm}
        arguments |= {"seed": seed, "train": batches, "validation": held_out}
        saved = Checkpoint(checkpoint, {**parts, "history": history, "random": generators}, arguments)
    with _modes_kept(model), _seeded(seed), progress(verbose, epochs, len(batches)) as shown:
        if saved is not None:
            saved.resume(epochs)
            if history.epochs:
                shown.resume(len(history))
        step = (CapturedStep if capture else Step)(model, objective, optimizer, weights, by_batch, clip_grad_norm)
        try:
            while len(history) < epochs and not history.note:
                epoch = len(history) + 1
                logs = _train(step, batches, functions, epoch, shown)
                if held_out is not None:
                    figures = _figures(model, held_out, objective, functions)
                    logs |= {f"val_{name}": value for name, value in figures.items()}
                if scheduler is not None:
                    logs["lr"] = optimizer.param_groups[0]["lr"]
                if isinstance(scheduler, ReduceLROnPlateau):
                    scheduler.step(logs.get("val_loss", logs["loss"]))
                elif scheduler is not by_batch:
                    scheduler.step()
                history.append(epoch, logs)
                stopped = [c for c in called if c.on_epoch_end(epoch, logs) is True]
                if stopped:
                    history.note = f"stopped after epoch {epoch} by {stopped[0]!r}"
                if saved is not None:
                    saved.save()
                shown.epoch(epoch, logs)  # an epoch that was seen has been saved
        except KeyboardInterrupt:
            history.note = (
                f"interrupted in epoch {len(history) + 1}; the figures are of the {len(history)} finished before"
            )
    if best is not None:
        best.restore()
    return history


def evaluate(
    model: Module,
    data: Any,
    *,
    loss: Any,
    metrics: Sequence[str | Callable] | None = None,
    batch_size: int = 256,
) -> dict[str, float]:
    """{"loss": ..., "accuracy": ...} of the model on the data, in eval mode; arguments as in `fit`."""
    objective = Objective(loss)
    batches = Batches(model, data, batch_size)
    with _modes_kept(model):
        return _figures(model, batches, objective, objective.metrics(metrics))


def predict(model: Module, data: Any, *, loss: Any = None, batch_size: int = 256) -> np.ndarray:
    """The model's outputs for all of the data, in order and in eval mode.

    data  an array x, a pair (x, y), a Dataset or a DataLoader; labels are passed over
    loss  the loss it was trained with, to get probabilities: σ of logits, softmax of scores. None: as they come

    Raises ValueError for a DataLoader that shuffles: nobody could tell whose output is whose.
    """
    if isinstance(data, DataLoader) and isinstance(data.sampler, RandomSampler | WeightedRandomSampler):
        raise ValueError("predict: the DataLoader draws its order at random; give one with shuffle=False")
    batches = Batches(model, data, batch_size, labelled=False)
    with _modes_kept(model), no_grad():
        model.eval()
        outputs = np.concatenate([model(x).cpu().array for x, _ in batches])
    return outputs if loss is None else Objective(loss).probabilities(outputs)


# -------------------------------------------------------------------- one epoch


def _train(step: Step, batches: Batches, functions: dict[str, Callable], epoch: int, shown: Silent) -> dict[str, float]:
    step.model.train()
    hold_statistics(step.model)
    step.begin()
    batches.set_epoch(epoch)
    tally = _Tally(step.objective, functions)
    with np.errstate(over="ignore", invalid="ignore"):  # what matters of it is refused, in words
        for number, (x, y) in enumerate(batches, 1):
            tally.add(*step(x, y, f"epoch {epoch}, batch {number} of {len(batches)}"))
            shown.batch(epoch, tally.loss)
    step.check(epoch)
    return tally.figures()


def _figures(model: Module, batches: Batches, objective: Objective, functions: dict[str, Callable]) -> dict[str, float]:
    model.eval()
    tally = _Tally(objective, functions)
    with no_grad(), np.errstate(over="ignore", invalid="ignore"):
        for x, y in batches:
            output = model(x)
            target = objective.target(output, y)
            loss = float(objective(output, target.to(output.device)).item())
            if not math.isfinite(loss):
                raise FloatingPointError(f"the loss on {batches.name} is {loss}; are weights or inputs huge?")
            tally.add(loss, output.cpu().array, objective.labels(target.cpu().array))
    return tally.figures()


class _Tally:
    """The mean loss over samples, and what metrics are computed from."""

    def __init__(self, objective: Objective, functions: dict[str, Callable]) -> None:
        self.objective, self.functions = objective, functions
        self.total, self.samples = 0.0, 0
        self.outputs: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []

    @property
    def loss(self) -> float:
        return self.total / self.samples

    def add(self, loss: float, output: np.ndarray, labels: np.ndarray) -> None:
        self.total += loss * len(output)
        self.samples += len(output)
        if self.functions:
            self.outputs.append(output)
            self.labels.append(labels)

    def figures(self) -> dict[str, float]:
        figures = {"loss": self.loss}
        if self.functions:
            probabilities = self.objective.probabilities(np.concatenate(self.outputs))
            labels = np.concatenate(self.labels)
            figures |= {name: float(f(probabilities, labels)) for name, f in self.functions.items()}
        return figures


# -------------------------------------------------------------------- around it


@contextmanager
def _modes_kept(model: Module) -> Iterator[None]:
    """Every layer comes out in the mode, training or not, in which it came."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """The default generator starts from the seed, and goes on afterwards as if nothing had been drawn."""
    if seed is None:
        yield
        return
    before = default_generator.get_state()
    default_generator.manual_seed(seed)
    try:
        yield
    finally:
        default_generator.set_state(before)


def _check_optimizer(model: Module, optimizer: Any, scheduler: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be one of tinymed.optim, such as Adam(model.parameters()), got {optimizer!r}")
    own = {id(p) for p in model.parameters()}
    moved = [p for group in optimizer.param_groups for p in group["params"] if id(p) in own]
    if not moved:
        raise ValueError("the optimizer has none of this model's parameters; make it anew after the model")
    if not any(p.requires_grad for p in moved):
        raise ValueError(
            "all of the model's parameters that the optimizer has are frozen; unfreeze a layer, the last one"
        )
    known, groups = len(getattr(scheduler, "base_lrs", optimizer.param_groups)), len(optimizer.param_groups)
    if known != groups:
        raise ValueError(
            f"the scheduler knows of {known} groups of parameters, the optimizer has {groups}; make the scheduler last"
        )
