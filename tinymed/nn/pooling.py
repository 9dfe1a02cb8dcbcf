"""Pooling: one number for every window of a signal (N,C,L), an image (N,C,H,W) or a volume (N,C,D,H,W)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tinymed.nn import functional as F
from tinymed.nn.checks import per_axis
from tinymed.nn.module import Module
from tinymed.tensor import Tensor


class _Pool(Module):
    n: ClassVar[int]
    function: ClassVar[Callable[..., Tensor]]

    def _build(self, kernel_size: Any, stride: Any, padding: Any) -> None:
        name = type(self).__name__
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride
        per_axis(name, "stride", self.stride, self.n)
        sizes = per_axis(name, "kernel_size", kernel_size, self.n)
        if any(2 * p > k for p, k in zip(per_axis(name, "padding", padding, self.n, 0), sizes)):
            raise ValueError(f"{name}: padding {padding} is more than half the window {kernel_size}")


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self._build(kernel_size, stride, padding)
        per_axis(type(self).__name__, "dilation", dilation, self.n)
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return self.function(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest number of every window of a signal: (N,C,L) → (N,C,OL)."""

    n, function = 1, staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """The largest number of every window of an image: (N,C,H,W) → (N,C,OH,OW)        (article 4.1.2)

    stride defaults to kernel_size; padding never wins; ceil_mode keeps a last, incomplete window.
    """

    n, function = 2, staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    """The largest number of every window of a volume: (N,C,D,H,W) → (N,C,OD,OH,OW)."""

    n, function = 3, staticmethod(F.max_pool3d)


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self._build(kernel_size, stride, padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return self.function(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The average of every window of a signal: (N,C,L) → (N,C,OL)."""

    n, function = 1, staticmethod(F.avg_pool1d)


class AvgPool2d(_AvgPool):
    """The average of every window of an image: (N,C,H,W) → (N,C,OH,OW)        (article 4.1.2)

    count_include_pad: whether padding counts as cells of value 0.
    """

    n, function = 2, staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPool):
    """The average of every window of a volume: (N,C,D,H,W) → (N,C,OD,OH,OW)."""

    n, function = 3, staticmethod(F.avg_pool3d)


class _AdaptivePool(Module):
    """output_size windows that cover an axis evenly: a number, or one for each axis; None keeps the axis."""

    function: ClassVar[Callable[..., Tensor]]

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return self.function(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptivePool):
    """Averages of output_size windows: (N,C,L) → (N,C,output_size)."""

    function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptivePool):
    """Averages of output_size windows: (N,C,H,W) → (N,C,*output_size); of 1, the mean of each channel."""

    function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptivePool):
    """Averages of output_size windows: (N,C,D,H,W) → (N,C,*output_size)."""

    function = staticmethod(F.adaptive_avg_pool3d)


class AdaptiveMaxPool1d(_AdaptivePool):
    """The largest numbers of output_size windows: (N,C,L) → (N,C,output_size)."""

    function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptivePool):
    """The largest numbers of output_size windows: (N,C,H,W) → (N,C,*output_size)."""

    function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptivePool):
    """The largest numbers of output_size windows: (N,C,D,H,W) → (N,C,*output_size)."""

    function = staticmethod(F.adaptive_max_pool3d)
