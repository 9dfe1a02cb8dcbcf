"""Losses: how wrong an output is, as one number to be made small; `reduction` is "mean", "sum" or "none"."""

from __future__ import annotations

from typing import Any, ClassVar

from tinymed.nn import functional as F
from tinymed.nn.module import Module
from tinymed.tensor import Tensor, as_tensor


class _Loss(Module):
    reductions: ClassVar[tuple[str, ...]] = ("none", "mean", "sum")

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in self.reductions:
            one_of = ", ".join(self.reductions)
            raise ValueError(f"{type(self).__name__}: reduction is one of {one_of}, got {reduction!r}")
        self.reduction = reduction

    def _keep(self, name: str, values: Any) -> None:
        self.register_buffer(name, None if values is None else as_tensor(values))


class MSELoss(_Loss):
    """(x − t)²"""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """|x − t|"""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """(x − t)² / 2β where |x − t| < β, else |x − t| − β/2"""

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """(x − t)² / 2 where |x − t| < δ, else δ · (|x − t| − δ/2)"""

    def __init__(self, *, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class CrossEntropyLoss(_Loss):
    """−w[t] · ln softmax(x)[t]: raw scores x (N,C) or (N,C,…), classes t (N) or (N,…)

    t may also hold probabilities, of x's shape. weight (C) counts classes differently; targets equal to
    ignore_index do not count; label_smoothing moves so much of each target to all classes evenly.
    """

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction=reduction)
        self._keep("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """−w[t] · x[t]: log-probabilities x (N,C) or (N,C,…), classes t (N) or (N,…)"""

    def __init__(self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self._keep("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class BCELoss(_Loss):
    """−w · (t · ln x + (1 − t) · ln(1 − x)): probabilities x, targets t in [0, 1]        (article 5.2)"""

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self._keep("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """BCELoss of σ(x), exact for any score x; pos_weight multiplies what the positive class counts"""

    def __init__(self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction=reduction)
        self._keep("weight", weight)
        self._keep("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(_Loss):
    """t · (ln t − x): log-probabilities x, probabilities t, or ln t in its place with log_target

    reduction may also be "batchmean": the sum divided by N, which is the true divergence.
    """

    reductions: ClassVar = ("none", "mean", "sum", "batchmean")

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)
