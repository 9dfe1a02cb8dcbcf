"""RMSprop: every step divided by the recent size of that number's gradients."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tinymed import kernels
from tinymed.optim.optimizer import Optimizer, decay, not_negative, positive
from tinymed.tensor import Tensor


class RMSprop(Optimizer):
    """v ← alpha·v + (1 − alpha)·d²;  p ← p − lr·d / (√v + eps);  d = g + weight_decay·p        (Hinton 2012)

    centered: √(v − mean²), mean ← alpha·mean + (1 − alpha)·d, in the place of √v (Graves 2013).
    With momentum b ← momentum·b + d / (√v + eps), p ← p − lr·b.
    """

    checks: ClassVar = {
        "lr": positive,
        "alpha": decay,
        "eps": not_negative,
        "weight_decay": not_negative,
        "momentum": not_negative,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "momentum": momentum, "centered": centered})

    def update(self, ps: list, gs: list, states: list[dict[str, Any]], group: dict[str, Any]) -> None:
        def kept(name: str) -> list:
            """The arrays of that name in the states, at first 0"""
            for p, state in zip(ps, states):
                if name not in state:
                    state[name] = Tensor(np.zeros_like(p))
            return [state[name].array for state in states]

        kernels.rmsprop_step(
            ps,
            gs,
            kept("square_avg"),
            kept("grad_avg") if group["centered"] else None,
            kept("momentum_buffer") if group["momentum"] else None,
            group["lr"],
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
        )
