"""The fully connected layer (the article's FC), and the layer that does nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinymed.nn import functional as F
from tinymed.nn import init
from tinymed.nn.checks import whole
from tinymed.nn.module import Module, Parameter
from tinymed.tensor import Tensor


class Linear(Module):
    """y = x·Wᵀ + b        (article 3.1.2)

    x (…,I) → y (…,O); weight (O,I) and bias (O) start from U(−1/√I, 1/√I).
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        whole("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(np.empty((out_features, in_features), np.float32))
        self.register_parameter("bias", Parameter(np.empty(out_features, np.float32)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        default_weights_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def macs(self, input_shape: tuple, output_shape: tuple) -> int:
        return math.prod(output_shape) * self.in_features

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Identity(Module):
    """y = x, whatever it is made with: it takes a layer's place."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


def default_weights_(weight: Tensor, bias: Tensor | None) -> None:
    """PyTorch's start of linear layers and convolutions: both from U(−1/√fan_in, 1/√fan_in)."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(init.fans(weight)[0])
        init.uniform_(bias, -bound, bound)
