"""Convolutions, and the transposed ones that enlarge, along one, two or three axes of space."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tinymed.nn import functional as F
from tinymed.nn.checks import divides, per_axis, whole
from tinymed.nn.linear import default_weights_
from tinymed.nn.module import Module, Parameter
from tinymed.tensor import Tensor


class _Convolution(Module):
    """What all six share: sizes for n axes of space, a weight and a bias from U(−1/√fan_in, 1/√fan_in)."""

    n: ClassVar[int]
    function: ClassVar[Callable[..., Tensor]]

    def _build(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
    ) -> None:
        name = type(self).__name__
        whole(name, in_channels=in_channels, out_channels=out_channels, groups=groups)
        divides(name, groups, in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.n)
        self.stride = per_axis(name, "stride", stride, self.n)
        self.dilation = per_axis(name, "dilation", dilation, self.n)
        self.padding = padding
        shape = (*self._channels_of_weight(), *self.kernel_size)
        self.weight = Parameter(np.empty(shape, np.float32))
        self.register_parameter("bias", Parameter(np.empty(out_channels, np.float32)) if bias else None)
        self.reset_parameters()

    def _channels_of_weight(self) -> tuple[int, int]:
        return self.out_channels, self.in_channels // self.groups

    def reset_parameters(self) -> None:
        default_weights_(self.weight, self.bias)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}"
        text += f", kernel_size={self.kernel_size}, stride={self.stride}"
        for what, usual in {"padding": 0, "dilation": 1, "output_padding": 0}.items():
            if getattr(self, what, None) not in (None, (usual,) * self.n):
                text += f", {what}={getattr(self, what)}"
        text += f", groups={self.groups}" if self.groups != 1 else ""
        return text + (", bias=False" if self.bias is None else "")


class _Conv(_Convolution):
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
        name = type(self).__name__
        if not isinstance(padding, str):
            padding = per_axis(name, "padding", padding, self.n, 0)
        elif padding not in ("same", "valid"):
            raise ValueError(f'{name}: padding is a size, "same" or "valid", got {padding!r}')
        self._build(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        if padding == "same" and max(self.stride) > 1:
            raise ValueError(f'{name}: padding "same" needs stride 1, got {stride!r}')

    def forward(self, input: Tensor) -> Tensor:
        return self.function(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def macs(self, input_shape: tuple, output_shape: tuple) -> int:
        return math.prod(output_shape) * math.prod(self.weight.shape[1:])


class Conv1d(_Conv):
    """O kernels slide along a signal: (N,C,L) → (N,O,OL); weight (O,C/groups,K), bias (O)."""

    n, function = 1, staticmethod(F.conv1d)


class Conv2d(_Conv):
    """O kernels slide over an image: (N,C,H,W) → (N,O,OH,OW); weight (O,C/groups,KH,KW), bias (O).

    y[n,o,i,j] = b[o] + Σ_c Σ_u Σ_v  w[o,c,u,v] · x[n,c, i·s+u·d-p, j·s+v·d-p]        (article 4.1.1)

    kernel_size, stride, padding and dilation are a number or a pair; padding also "same" or "valid".
    """

    n, function = 2, staticmethod(F.conv2d)


class Conv3d(_Conv):
    """O kernels slide through a volume: (N,C,D,H,W) → (N,O,OD,OH,OW); weight (O,C/groups,KD,KH,KW)."""

    n, function = 3, staticmethod(F.conv3d)


class _ConvTranspose(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        padding = per_axis(name, "padding", padding, self.n, 0)
        self.output_padding = per_axis(name, "output_padding", output_padding, self.n, 0)
        self._build(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)

    def _channels_of_weight(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels // self.groups

    def forward(self, input: Tensor) -> Tensor:
        return self.function(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )

    def macs(self, input_shape: tuple, output_shape: tuple) -> int:
        return math.prod(input_shape) * math.prod(self.weight.shape[1:])


class ConvTranspose1d(_ConvTranspose):
    """Conv1d run backwards: (N,C,L) → (N,O,OL); weight (C,O/groups,K), bias (O)."""

    n, function = 1, staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """Conv2d run backwards, to enlarge: (N,C,H,W) → (N,O,OH,OW); weight (C,O/groups,KH,KW), bias (O).

    OH = (H−1)·stride − 2·padding + dilation·(KH−1) + output_padding + 1
    """

    n, function = 2, staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """Conv3d run backwards: (N,C,D,H,W) → (N,O,OD,OH,OW); weight (C,O/groups,KD,KH,KW), bias (O)."""

    n, function = 3, staticmethod(F.conv_transpose3d)
