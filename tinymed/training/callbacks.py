"""Callbacks: what is called after every epoch, with the figures so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tinymed.autograd import no_grad
from tinymed.nn.module import Module
from tinymed.training import weights


class Callback(Protocol):
    """Anything with this method; if it returns True, training stops after this epoch.

    What it remembers from epoch to epoch is in the checkpoint if it has state_dict() and load_state_dict(state), too.
    """

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> bool | None: ...


class Best:
    """The best figure so far: the smallest ("min") or largest ("max"); by default "min" for losses."""

    def __init__(self, monitor: str, mode: str | None = None, min_delta: float = 0.0) -> None:
        if mode not in (None, "min", "max"):
            raise ValueError(f'mode is "min", "max" or None, got {mode!r}')
        if not min_delta >= 0:
            raise ValueError(f"min_delta must be 0 or more, got {min_delta}")
        self.monitor, self.min_delta = monitor, min_delta
        self.sign = 1 if (mode or ("min" if "loss" in monitor else "max")) == "min" else -1
        self.value, self.epoch = math.nan, 0

    def improved(self, epoch: int, logs: Mapping[str, float]) -> bool:
        """Take in an epoch's figure; NaN is no improvement. Raises ValueError if it is not among the logs."""
        if self.monitor not in logs:
            cure = "; give fit validation data" if self.monitor.startswith("val_") else ""
            raise ValueError(f"there is no {self.monitor!r} to watch; there are {', '.join(logs)}{cure}")
        value = float(logs[self.monitor])
        if math.isnan(value):
            return False
        if math.isnan(self.value) or self.sign * (self.value - value) > self.min_delta:
            self.value, self.epoch = value, epoch
            return True
        return False

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "epoch": self.epoch}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.value, self.epoch = state_dict["value"], state_dict["epoch"]


class EarlyStopping:
    """Stop once `monitor` has not improved by more than min_delta for `patience` epochs; epoch 1 starts afresh."""

    def __init__(
        self, patience: int = 5, monitor: str = "val_loss", min_delta: float = 0.0, mode: str | None = None
    ) -> None:
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise ValueError(f"EarlyStopping: patience must be a whole number of at least 1, got {patience!r}")
        self.patience, self.monitor = patience, monitor
        self.best = Best(monitor, mode, min_delta)
        self.waited = 0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> bool:
        if epoch == 1:  # used again: what an earlier run reached is not this one's to beat
            self.best.value, self.waited = math.nan, 0
        self.waited = 0 if self.best.improved(epoch, logs) else self.waited + 1
        return self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best.state_dict(), "waited": self.waited}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.best.load_state_dict(state_dict["best"])
        self.waited = state_dict["waited"]

    def __repr__(self) -> str:
        return f"EarlyStopping(patience={self.patience}, monitor={self.monitor!r})"


class BestModel:
    """Keep the weights of the epoch at which `monitor` was best; `restore()` puts them back.

    path  also write them there, at each improvement, as a safetensors file
    """

    def __init__(
        self,
        model: Module,
        monitor: str = "val_loss",
        path: str | Path | None = None,
        min_delta: float = 0.0,
        mode: str | None = None,
    ) -> None:
        self.model, self.monitor, self.path = model, monitor, path
        self.best = Best(monitor, mode, min_delta)
        self.state: dict[str, np.ndarray] = {}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        if self.best.improved(epoch, logs):
            self.state = {name: t.array.copy() for name, t in self.model.state_dict().items()}
            if self.path is not None:
                about = {"epoch": str(epoch), "monitor": self.monitor, "value": repr(self.best.value)}
                weights.save(self.state, self.path, about)

    def restore(self) -> None:
        """Put the best weights back into the model; before the first epoch has ended, leave it as it is."""
        if self.state:
            with no_grad():
                self.model.load_state_dict(self.state)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best.state_dict(), "state": self.state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.best.load_state_dict(state_dict["best"])
        self.state = dict(state_dict["state"])

    def __repr__(self) -> str:
        return f"BestModel(monitor={self.monitor!r}, best={self.best.value:.4g} at epoch {self.best.epoch})"
