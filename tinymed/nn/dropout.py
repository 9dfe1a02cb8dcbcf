"""Dropout: in training some activations are left out at random."""

from __future__ import annotations

from tinymed.nn import functional as F
from tinymed.nn.module import Module
from tinymed.ops.norm import check_probability
from tinymed.tensor import Tensor


class Dropout(Module):
    """In training y = x / (1 − p), or 0 with probability p; in eval y = x        (Srivastava et al. 2014)"""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = check_probability(type(self).__name__, p)

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout2d(Dropout):
    """As Dropout, of whole channels: x (N,C,H,W), y of the same shape        (Tompson et al. 2015)"""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training)
