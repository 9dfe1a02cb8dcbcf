"""Which layers of a Sequential run as one op: Conv2d, then ReLU or ReLU6, then MaxPool2d with windows side by side.

The numbers are those of the layers one by one, but for where a gradient goes if adding the bias rounds two cells of a
window to the same number. Inside `with tinymed.no_fusion():` a graph is made of their ops.
"""

from __future__ import annotations

import math
from typing import Any

from tinymed.kernels.shapes import DEAD
from tinymed.modes import modes
from tinymed.nn.activation import ReLU, ReLU6
from tinymed.nn.conv import Conv2d
from tinymed.nn.errors import locate
from tinymed.nn.module import Module
from tinymed.nn.pooling import MaxPool2d
from tinymed.ops.fused import conv2d_max_pool2d
from tinymed.tensor import Tensor

BOUNDS = {ReLU: (0.0, math.inf), ReLU6: (0.0, 6.0)}


def fusible(modules: list[Module]) -> int:
    """How many of the modules, from the first on, run as one op; 1 where nothing fuses.

    Whoever watches a layer (a hook) or has changed it (a subclass) gets it run by itself.
    """
    if not modes.fusion or modes.anomaly or type(modules[0]) is not Conv2d or _watched(modules[0]):
        return 1
    n = 2 if len(modules) > 1 and type(modules[1]) in BOUNDS and not _watched(modules[1]) else 1
    if len(modules) > n and type(modules[n]) is MaxPool2d and not _watched(modules[n]) and _side_by_side(modules[n]):
        n += 1
    return n


def _watched(module: Module) -> bool:
    return bool(module._hooks or module._pre_hooks or module._backward_hooks)


def _side_by_side(pool: Any) -> bool:
    """Whether its windows tile the image: then no output is needed twice."""
    window = pair(pool.kernel_size)
    plain = pair(pool.stride) == window and pair(pool.padding) == (0, 0) and pair(pool.dilation) == (1, 1)
    return plain and not pool.ceil_mode and window[0] * window[1] < DEAD


def pair(value: Any) -> tuple[int, int]:
    """One number for both axes, or one for each."""
    return tuple(value) if isinstance(value, tuple | list) else (value, value)  # type: ignore[return-value]


def run(modules: list[Module], input: Any) -> Any:
    """The modules one after another, fused where they can be."""
    k = 0
    while k < len(modules):
        n = fusible(modules[k:])
        if n > 1 and _fits(modules[k], input):
            input = _fused(modules[k : k + n], input)
        else:
            n = 1
            input = modules[k](input)
        k += n
    return input


def _fits(conv: Any, input: Any) -> bool:
    """Whether one op can take it; if not, the layers say what is wrong, or take a single picture."""
    return isinstance(input, Tensor) and input.ndim == 4 and 0 not in input.shape and input.dtype == conv.weight.dtype


def _fused(modules: list[Module], input: Tensor) -> Tensor:
    conv: Any = modules[0]
    low, high = BOUNDS.get(type(modules[1]), (-math.inf, math.inf))  # type: ignore[arg-type]
    window = pair(modules[-1].kernel_size) if isinstance(modules[-1], MaxPool2d) else (1, 1)
    how = conv.stride, conv.padding, conv.dilation, conv.groups
    try:
        return conv2d_max_pool2d(input, conv.weight, conv.bias, *how, window, low, high)
    except ValueError as error:
        locate(error, conv)
        raise
