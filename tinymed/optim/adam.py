"""Adam and AdamW: steps of one size for every number, whatever the size of its gradient."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tinymed import kernels
from tinymed.optim.optimizer import Optimizer, decays, not_negative, positive
from tinymed.tensor import Tensor


class Adam(Optimizer):
    """m ← β1·m + (1 − β1)·d;  v ← β2·v + (1 − β2)·d²;  p ← p − lr·m̂ / (√v̂ + eps);  d = g + weight_decay·p

    m̂ = m / (1 − β1^t) and v̂ = v / (1 − β2^t) make up for the start at zero, t the number of the step
    (Kingma and Ba 2015).
    """

    decoupled: ClassVar = False  # whether weight decay stays out of the gradient: AdamW
    checks: ClassVar = {"lr": positive, "betas": decays, "eps": not_negative, "weight_decay": not_negative}

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def update(self, ps: list, gs: list, states: list[dict[str, Any]], group: dict[str, Any]) -> None:
        for p, state in zip(ps, states):
            if not state:
                state.update(step=0, exp_avg=Tensor(np.zeros_like(p)), exp_avg_sq=Tensor(np.zeros_like(p)))
            state["step"] += 1
        kernels.adam_step(
            ps,
            gs,
            [state["exp_avg"].array for state in states],
            [state["exp_avg_sq"].array for state in states],
            [state["step"] for state in states],
            group["lr"],
            *group["betas"],
            group["eps"],
            group["weight_decay"],
            self.decoupled,
        )


class AdamW(Adam):
    """p ← (1 − lr·weight_decay)·p, then Adam without decay        (Loshchilov and Hutter 2019)"""

    decoupled: ClassVar = True

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
