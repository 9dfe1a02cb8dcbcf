"""Layers under Keras's names, sizes channels last; each builds the tinymed.nn layers that do its work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinymed import nn
from tinymed.nn.module import Module
from tinymed.tensor import Tensor

ACTIVATIONS: dict[str | None, Callable[[], list[Module]]] = {
    None: list,
    "linear": list,
    "relu": lambda: [nn.ReLU()],
    "sigmoid": lambda: [nn.Sigmoid()],
    "tanh": lambda: [nn.Tanh()],
    "softmax": lambda: [nn.Softmax(1)],  # inside, the channels stand second
}


class Layer:
    """A layer that learns the shape of its input, (H,W,C) or (I,), when the model is built."""

    def build(self, shape: tuple[int, ...]) -> list[Module]:
        """The nn layers that do it, channels first."""
        raise NotImplementedError(f"{type(self).__name__} must define build(shape)")


class Input(Layer):
    """Input(shape=(28, 28, 1)): the shape of one sample."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)

    def build(self, shape: tuple[int, ...]) -> list[Module]:
        return []


class Conv2D(Layer):
    """filters kernels slide over an image: (N,H,W,C) → (N,OH,OW,filters)        (article 4.1.1)"""

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        activation: str | None = None,
    ) -> None:
        self.sizes, self.activation = (filters, kernel_size, strides, padding), activated(self, activation)

    def build(self, shape: tuple[int, ...]) -> list[Module]:
        return [nn.Conv2d(image(self, shape)[2], *self.sizes), *self.activation]


class MaxPooling2D(Layer):
    """The largest number of every window: (N,H,W,C) → (N,OH,OW,C)"""

    kind: Any = nn.MaxPool2d

    def __init__(self, pool_size: Any = (2, 2), strides: Any = None) -> None:
        self.sizes = (pool_size, strides)

    def build(self, shape: tuple[int, ...]) -> list[Module]:
        image(self, shape)
        return [self.kind(*self.sizes)]


class AveragePooling2D(MaxPooling2D):
    """The mean of every window: (N,H,W,C) → (N,OH,OW,C)"""

    kind = nn.AvgPool2d


class Flatten(Layer):
    """(N,H,W,C) → (N,H·W·C), in this order: channels vary fastest."""

    def build(self, shape: tuple[int, ...]) -> list[Module]:
        return [ChannelsLastFlatten() if len(shape) == 3 else nn.Flatten()]


class Dense(Layer):
    """y = x·W + b: (N,I) → (N,units)"""

    def __init__(self, units: int, activation: str | None = None) -> None:
        self.units, self.activation = units, activated(self, activation)

    def build(self, shape: tuple[int, ...]) -> list[Module]:
        if len(shape) != 1:
            raise ValueError(f"Dense expects (N,I), got {batch(shape)}; put Flatten() before it")
        return [nn.Linear(shape[0], self.units), *self.activation]


class Dropout(Layer):
    """In training, each number is left out with probability `rate`."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def build(self, shape: tuple[int, ...]) -> list[Module]:
        return [nn.Dropout(self.rate)]


class ChannelsLastFlatten(nn.Flatten):
    """(N,C,H,W) → (N,H·W·C): Keras's order"""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1))


def activated(layer: Layer, activation: str | None) -> list[Module]:
    """The module of an activation by name; none for None and "linear"."""
    if activation not in ACTIVATIONS:
        known = ", ".join(str(name) for name in ACTIVATIONS)
        raise ValueError(f"{type(layer).__name__}: no activation {activation!r}; there are {known}")
    return ACTIVATIONS[activation]()


def image(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, if it is an image's (H,W,C)."""
    if len(shape) != 3:
        raise ValueError(f"{type(layer).__name__} expects images (N,H,W,C), got {batch(shape)}")
    return shape


def batch(shape: Sequence[int]) -> str:
    """(28, 28, 1) as (N,28,28,1)"""
    return f"({','.join(['N', *map(str, shape)])})"
