"""Between images and features: several axes made one, and one made several."""

from __future__ import annotations

from collections.abc import Sequence

from tinymed.nn.module import Module
from tinymed.tensor import Tensor


class Flatten(Module):
    """The axes from start_dim to end_dim made one: (N,C,H,W) → (N,C·H·W)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """The axis dim made several, of these sizes: Unflatten(1, (C,H,W)) takes (N,C·H·W) to (N,C,H,W)."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
