"""The article's building blocks (1.4.3): ReLU6-Conv and ReLU6-Conv-Pool."""

from __future__ import annotations

from typing import Any

from tinymed.nn.activation import ReLU6
from tinymed.nn.checks import per_axis
from tinymed.nn.conv import Conv2d
from tinymed.nn.fusion import run
from tinymed.nn.module import Module
from tinymed.nn.pooling import MaxPool2d
from tinymed.tensor import Tensor


class ConvReLU6(Module):
    """y = ReLU6(conv(x)), the article's ReLU6-Conv: (N,C,H,W) → (N,O,OH,OW); sizes as in Conv2d."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.conv = Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)

    def forward(self, input: Tensor) -> Tensor:
        return run([self.conv, ReLU6()], input)


class ConvReLU6Pool(ConvReLU6):
    """y = max_pool(ReLU6(conv(x))), the article's ReLU6-Conv-Pool: ConvReLU6, then windows of pool_size."""

    def __init__(self, *args: Any, pool_size: Any = 2, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pool_size = per_axis("ConvReLU6Pool", "pool_size", pool_size, 2)

    def forward(self, input: Tensor) -> Tensor:
        return run([self.conv, ReLU6(), MaxPool2d(self.pool_size)], input)

    def extra_repr(self) -> str:
        return f"pool_size={self.pool_size}"
