"""Adagrad: every step divided by the size of all gradients of that number so far."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tinymed import kernels
from tinymed.optim.optimizer import Optimizer, not_negative, positive
from tinymed.tensor import Tensor


class Adagrad(Optimizer):
    """s ← s + d²;  p ← p − η·d / (√s + eps);  η = lr / (1 + (t − 1)·lr_decay), t the number of the step

    d = g + weight_decay·p; s starts from initial_accumulator_value        (Duchi, Hazan and Singer 2011)
    """

    checks: ClassVar = {
        "lr": positive,
        "lr_decay": not_negative,
        "weight_decay": not_negative,
        "initial_accumulator_value": not_negative,
        "eps": not_negative,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
    ) -> None:
        defaults = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        super().__init__(params, {**defaults, "initial_accumulator_value": initial_accumulator_value})

    def update(self, ps: list, gs: list, states: list[dict[str, Any]], group: dict[str, Any]) -> None:
        for p, state in zip(ps, states):
            if not state:
                state.update(step=0, sum=Tensor(np.full_like(p, group["initial_accumulator_value"])))
            state["step"] += 1
        kernels.adagrad_step(
            ps,
            gs,
            [state["sum"].array for state in states],
            [state["step"] for state in states],
            group["lr"],
            group["lr_decay"],
            group["eps"],
            group["weight_decay"],
        )
