"""Upsample: a larger image, with every pixel repeated."""

from __future__ import annotations

from typing import Any

from tinymed.nn import functional as F
from tinymed.nn.module import Module
from tinymed.tensor import Tensor


class Upsample(Module):
    """y[i] = x[⌊i · H/OH⌋], axis by axis: (N,C,H,W) → (N,C,OH,OW); give the size or the scale_factor."""

    def __init__(self, size: Any = None, scale_factor: Any = None, mode: str = "nearest") -> None:
        super().__init__()
        if (size is None) == (scale_factor is None):
            raise ValueError(f"Upsample: give size or scale_factor, got {size} and {scale_factor}")
        if mode != "nearest":
            raise ValueError(f'Upsample: mode "nearest" is offered, got {mode!r}')
        self.size, self.scale_factor, self.mode = size, scale_factor, mode

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(input, self.size, self.scale_factor, self.mode)

    def extra_repr(self) -> str:
        by = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{by}, mode={self.mode!r}"
