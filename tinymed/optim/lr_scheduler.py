"""Schedules of the learning rate: how it changes from one epoch (or batch) to the next, by PyTorch's names.

Make one after the optimiser, and call `step()` after `optimizer.step()`: every epoch, OneCycleLR every batch.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tinymed.optim.optimizer import Optimizer
from tinymed.optim.schedule import Absolute, Formula, LRScheduler, count, each

__all__ = [
    "CosineAnnealingLR", "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "OneCycleLR",
    "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip


class LambdaLR(Absolute):
    """lr_t = base · f(t), f any function of one's own, or a list of them, one for each group"""

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable | Sequence[Callable]) -> None:
        self.lr_lambdas = each(optimizer, "lr_lambda", lr_lambda)
        super().__init__(optimizer)

    def rate(self, t: int, k: int) -> float:
        return self.base_lrs[k] * self.lr_lambdas[k](t)


class StepLR(Formula):
    """lr_t = base · gamma^⌊t / step_size⌋"""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = count("step_size", step_size), gamma
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma ** (t // self.step_size)


class MultiStepLR(Formula):
    """lr_t = base · gamma^(how many milestones are ≤ t)"""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma ** bisect_right(self.milestones, t)


class ExponentialLR(Formula):
    """lr_t = base · gamma^t"""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma**t


class LinearLR(Formula):
    """lr_t = base · (start + (end − start) · min(t, total_iters) / total_iters): a warm-up"""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ValueError(
                f"start_factor must be in (0, 1], end_factor in [0, 1], got {start_factor} and {end_factor}"
            )
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = count("total_iters", total_iters)
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        share = min(t, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * share


class CosineAnnealingLR(Formula):
    """lr_t = eta_min + (base − eta_min) · (1 + cos(π·t / T_max)) / 2        (Loshchilov and Hutter 2017)"""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.floor = count("T_max", T_max), eta_min
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        if t % (2 * self.T_max) == self.T_max:  # cos π = −1 exactly
            return 0.0
        return (1 + math.cos(math.pi * t / self.T_max)) / 2


class OneCycleLR(Absolute):
    """From max_lr / div_factor up to max_lr, then down to that / final_div_factor    (Smith and Topin 2018)

    The way up takes pct_start of all steps; momentum (or beta1) goes the other way, from max_momentum to
    base_momentum and back. With three_phase the way down first mirrors the way up. Step it after every batch;
    total_steps may be given as epochs and steps_per_epoch. Raises ValueError for a step too many.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        if total_steps is None:
            total_steps = count("epochs", epochs) * count("steps_per_epoch", steps_per_epoch)
        if anneal_strategy not in ("cos", "linear") or not 0 <= pct_start <= 1:
            raise ValueError(
                f'anneal_strategy is "cos" or "linear", pct_start in [0, 1], got {anneal_strategy!r} and {pct_start}'
            )
        self.total_steps = N = count("total_steps", total_steps)
        self.anneal_strategy = anneal_strategy
        self.max_lrs = each(optimizer, "max_lr", max_lr)
        low, end = 1 / div_factor, 1 / div_factor / final_div_factor
        slow, fast = max_momentum, base_momentum
        up = pct_start * N - 1
        # (last step, rate from, to, momentum from, to); rates in parts of max_lr
        self.phases = [(up, low, 1.0, slow, fast), (N - 1, 1.0, end, fast, slow)]
        if three_phase:
            self.phases[1:] = [(2 * up, 1.0, low, fast, slow), (N - 1, low, end, slow, slow)]
        self.momentum = ""
        if cycle_momentum:
            self.momentum = next((m for m in ("betas", "momentum") if m in optimizer.defaults), "")
            if not self.momentum:
                raise ValueError(f"{type(optimizer).__name__} has no momentum: use cycle_momentum=False")
        for group, rate in zip(optimizer.param_groups, self.max_lrs):
            group["initial_lr"] = rate * low
        super().__init__(optimizer)

    def rate(self, t: int, k: int) -> float:
        return self.max_lrs[k] * self._at(t)[0]

    def _set(self, rate: Callable[[int, int], float]) -> None:
        super()._set(rate)
        momentum = self._at(self.last_epoch)[1]
        for group in self.optimizer.param_groups:
            if self.momentum == "betas":
                group["betas"] = (momentum, group["betas"][1])
            elif self.momentum:
                group["momentum"] = momentum

    def _at(self, t: int) -> tuple[float, float]:
        """The rate, in parts of max_lr, and the momentum at step t."""
        if t > self.total_steps:
            raise ValueError(f"OneCycleLR was made for {self.total_steps} steps, this is step {t}")
        start = 0.0
        for phase in self.phases:
            last, *values = phase
            if t <= last or phase is self.phases[-1]:
                break
            start = last
        share = (t - start) / (last - start) if last > start else 1.0
        if self.anneal_strategy == "cos":
            share = (1 - math.cos(math.pi * share)) / 2
        lr_from, lr_to, momentum_from, momentum_to = values
        return lr_from + (lr_to - lr_from) * share, momentum_from + (momentum_to - momentum_from) * share


class SequentialLR(LRScheduler):
    """One schedule after another, each from its own time 0: the next takes over at its milestone."""

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[Formula], milestones: Sequence[int]) -> None:
        if len(schedulers) != len(milestones) + 1 or list(milestones) != sorted(milestones):
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers need {len(schedulers) - 1} milestones "
                f"in ascending order, got {list(milestones)}"
            )
        for k, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, Formula):
                raise TypeError(f"SequentialLR cannot join scheduler {k}, a {type(scheduler).__name__}")
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"SequentialLR: scheduler {k} belongs to another optimiser")
        super().__init__(optimizer)
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        self.schedulers[0].restart()
        self._note()

    def step(self) -> None:
        self.last_epoch += 1
        scheduler = self.schedulers[bisect_right(self.milestones, self.last_epoch)]
        scheduler.restart() if self.last_epoch in self.milestones else scheduler.step()
        self._note()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "schedulers": [s.state_dict() for s in self.schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for scheduler, state in zip(self.schedulers, state_dict["schedulers"], strict=True):
            scheduler.load_state_dict(state)


class ReduceLROnPlateau(LRScheduler):
    """lr ← max(factor · lr, min_lr) once a metric has not improved for more than `patience` steps

    Improved: smaller (mode "min") or larger ("max") than the best so far by `threshold`, a share of the best
    (threshold_mode "rel") or a difference ("abs"); NaN is no improvement. After each cut, `cooldown` steps do
    not count; a cut of no more than eps is not made. step(metric) takes a number or a Tensor of one element.
    """

    kept: ClassVar = (*LRScheduler.kept, "best", "num_bad_epochs", "cooldown_counter")

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f'mode is "min" or "max", threshold_mode "rel" or "abs", got {mode!r} and {threshold_mode!r}'
            )
        if not 0 <= factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be 0 or more, and below 1, got {factor}")
        super().__init__(optimizer)
        self.sign = 1 if mode == "min" else -1  # "max" is "min" of −metric
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.threshold, self.relative = threshold, threshold_mode == "rel"
        self.min_lrs = each(optimizer, "min_lr", min_lr)
        self.best, self.num_bad_epochs, self.cooldown_counter = self.sign * math.inf, 0, 0

    def step(self, metrics: Any) -> None:
        self.last_epoch += 1
        value = float(metrics)
        if self._improves(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            for group, least in zip(self.optimizer.param_groups, self.min_lrs):
                lr = max(group["lr"] * self.factor, least)
                if group["lr"] - lr > self.eps:
                    group["lr"] = lr
        self._note()

    def _improves(self, value: float) -> bool:
        s = self.sign
        bar = s * self.best * (1 - s * self.threshold) if self.relative else s * self.best - self.threshold
        return s * value < bar
