"""What all schedules of the learning rate share: where they stand, and a rate that follows a formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tinymed.optim.optimizer import Optimizer


class LRScheduler:
    """Base of all schedules. last_epoch counts the steps; base_lrs are the rates before any schedule."""

    kept: ClassVar[tuple[str, ...]] = ("last_epoch", "base_lrs", "_last_lr")

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__} expects an optimiser, got a {type(optimizer).__name__}")
        self.optimizer = optimizer
        self.base_lrs = [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]
        self.last_epoch = 0
        self._note()

    def _note(self) -> None:
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The rates now in force, one for each group."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands; its settings come from its constructor, the rates from the optimiser."""
        return {name: getattr(self, name) for name in self.kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if missing := set(self.kept) - set(state_dict):
            raise ValueError(f"this is no state of a {type(self).__name__}: {min(missing)!r} is missing")
        self.__dict__.update({name: state_dict[name] for name in self.kept})


class Formula(LRScheduler):
    """lr_t = floor + (lr_{t−1} − floor) · factor(t) / factor(t−1);  lr_0 = floor + (lr − floor) · factor(0)

    So a schedule is its `factor`; two schedules on one optimiser multiply, and a rate changed by hand counts.
    """

    floor = 0.0

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer)
        self._set(self.next_rate)

    def factor(self, t: int) -> float:
        """What the rate, above the floor, is multiplied by at time t."""
        raise NotImplementedError(f"{type(self).__name__} has no factor()")

    def rate(self, t: int, k: int) -> float:
        """The rate of group k at time t, going by the formula alone."""
        return self.floor + (self.base_lrs[k] - self.floor) * self.factor(t)

    def next_rate(self, t: int, k: int) -> float:
        """The rate of group k at time t, going on from the present one."""
        before = self.factor(t - 1) if t else 1.0
        if before == 0:  # nothing is left to go on from
            return self.rate(t, k)
        present = self.optimizer.param_groups[k]["lr"]
        return self.floor + (present - self.floor) * (self.factor(t) / before)

    def step(self) -> None:
        """Go on by one epoch, or batch."""
        self.last_epoch += 1
        self._set(self.next_rate)

    def restart(self) -> None:
        """Go back to time 0, and to the formula's rate there."""
        self.last_epoch = 0
        self._set(self.rate)

    def _set(self, rate: Callable[[int, int], float]) -> None:
        for k, group in enumerate(self.optimizer.param_groups):
            group["lr"] = rate(self.last_epoch, k)
        self._note()


class Absolute(Formula):
    """Schedules that set the rate by their formula alone, whatever it was."""

    def next_rate(self, t: int, k: int) -> float:
        return self.rate(t, k)


def count(what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{what} must be a whole number of at least 1, got {value!r}")
    return value


def each(optimizer: Optimizer, what: str, value: Any) -> list:
    """One value for each group of parameters: given so, or one for all."""
    groups = len(optimizer.param_groups)
    values = list(value) if isinstance(value, list | tuple) else [value] * groups
    if len(values) != groups:
        raise ValueError(f"{what}: the optimiser has {groups} groups of parameters, got {len(values)} values")
    return values
