"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tinymed import kernels
from tinymed.optim.optimizer import Optimizer, not_negative, positive
from tinymed.tensor import Tensor


class SGD(Optimizer):
    """p ← p − lr·b,  b ← momentum·b + (1 − dampening)·d, the first time b ← d;  d = g + weight_decay·p

    With nesterov p ← p − lr·(d + momentum·b); without momentum p ← p − lr·d        (Sutskever et al. 2013)
    """

    checks: ClassVar = {
        "lr": positive,
        "momentum": not_negative,
        "dampening": not_negative,
        "weight_decay": not_negative,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "dampening": dampening}
        super().__init__(params, {**defaults, "weight_decay": weight_decay, "nesterov": nesterov})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        options = self.defaults | param_group
        if options["nesterov"] and (options["momentum"] == 0 or options["dampening"] != 0):
            raise ValueError("SGD: nesterov needs momentum above 0 and dampening 0")
        super().add_param_group(param_group)

    def update(self, ps: list, gs: list, states: list[dict[str, Any]], group: dict[str, Any]) -> None:
        buffers, firsts = None, [False] * len(ps)
        if group["momentum"]:
            firsts = ["momentum_buffer" not in state for state in states]
            for p, state in zip(ps, states):
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = Tensor(np.empty_like(p))
            buffers = [state["momentum_buffer"].array for state in states]
        kernels.sgd_step(
            ps,
            gs,
            buffers,
            firsts,
            group["lr"],
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
        )
