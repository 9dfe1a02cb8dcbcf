"""Convolution, as all deep-learning libraries compute it: cross-correlation (the kernel is not flipped).

Only two dimensions are computed by kernels. One dimension is an image of height 1; three are a sum of
two-dimensional convolutions, one for each layer of the kernel's depth.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed import kernels
from tinymed.autograd import Function
from tinymed.kernels.shapes import ConvShape, conv_shape
from tinymed.ops.join import pad
from tinymed.tensor import Tensor


class Conv2d(Function):
    """y[n,o,i,j] = b[o] + Σ_c Σ_u Σ_v  w[o,c,u,v] · x[n,c, i·s+u·d−p, j·s+v·d−p]        (article 4.1.1)

    x (N,C,H,W) * w (O,C/g,KH,KW) + b (O) → y (N,O,OH,OW)
    ∂L/∂x: g spread back over every window it came from;  ∂L/∂w: windows of x weighted by g;  ∂L/∂b: g summed
    """

    def forward(ctx, x, w, b, shape):
        ctx.x, ctx.w, ctx.shape = x, w, shape
        return kernels.conv2d(x, w, b, shape)

    def backward(ctx, g):
        x, w = ctx.x if ctx.needs[1] else None, ctx.w if ctx.needs[0] else None  # what the gradients wanted take
        return kernels.conv2d_grad(g, x, w, ctx.shape)


def spatial(name: str, what: str, value: Any, n: int) -> tuple[int, ...]:
    """A number, or one number for each of n space axes, as a tuple of n."""
    if type(value) is tuple and len(value) == n and set(map(type, value)) == {int}:  # as a layer keeps it
        return value
    values = tuple(value) if isinstance(value, tuple | list) else (value,) * n
    if len(values) == 1:
        values *= n
    if len(values) != n or not all(isinstance(v, int | np.integer) for v in values):
        raise ValueError(f"{name}: {what} must be one whole number or {n} of them, got {value!r}")
    return tuple(int(v) for v in values)


def batched(name: str, x: Tensor, n: int) -> tuple[Tensor, bool]:
    """x with a batch axis, and whether it had none. Raises ValueError unless x has n space axes."""
    letters = "DHW"[3 - n :] if n > 1 else "L"
    if x.ndim not in (n + 1, n + 2):
        axes = "(N,C," + ",".join(letters) + ")"
        cure = f"; add the missing axes, such as x.reshape(1, 1, {', '.join(map(str, x.shape[-n:]))})"
        raise ValueError(f"{name}: expected x {axes}, got {x.shape}{cure if x.ndim <= n else ''}")
    if 0 in x.shape:
        raise ValueError(f"{name}: x {x.shape} is empty: there is nothing to slide over")
    return (x.unsqueeze(0), True) if x.ndim == n + 1 else (x, False)


def same_dtype(name: str, x: Tensor, w: Tensor) -> None:
    if x.dtype != w.dtype:
        cure = "x.float() / 255 for pictures" if x.dtype == np.uint8 else f"x.to(tinymed.{w.dtype})"
        raise TypeError(f"{name}: x is {x.dtype} and w is {w.dtype}; convert one of them: {cure}")


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Slides O kernels over an image (article 4.1.1).

    input (N,C,H,W) or (C,H,W), weight (O,C/groups,KH,KW), bias (O) → (N,O,OH,OW);
    stride, padding and dilation are a number or a pair, padding also "same" or "valid".
    OH = ⌊(H + 2·padding − dilation·(KH−1) − 1) / stride⌋ + 1. Raises ValueError for sizes that do not fit.
    """
    x, single = batched("conv2d", input, 2)
    if single and x.shape[1] > 1 == groups == weight.shape[1]:
        raise ValueError(
            f"conv2d: x {input.shape} is read as one picture (C,H,W), but w expects 1 channel; "
            "a batch without its channel axis becomes (N,1,H,W) by x.unsqueeze(1)"
        )
    shape = conv2d_shape(x, weight, bias, stride, padding, dilation, groups)
    y = Conv2d.apply(x, weight, bias, shape)
    return y.squeeze(0) if single else y


def conv2d_shape(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> ConvShape:
    """Every size of a conv2d from what a user writes. Raises TypeError and ValueError for what does not fit."""
    same_dtype("conv2d", x, weight)
    shape = conv_shape(
        x.shape,
        weight.shape,
        spatial("conv2d", "stride", stride, 2),
        padding if isinstance(padding, str) else spatial("conv2d", "padding", padding, 2),
        spatial("conv2d", "dilation", dilation, 2),
        groups,
    )
    fitting_bias("conv2d", bias, shape.O)
    return shape


def _fitting_channels(name: str, x: Tensor, w: Tensor, groups: int) -> None:
    C = w.shape[1] * groups
    if x.shape[1] != C:
        hint = "; the last axis has as many: x.movedim(-1, 1)" if x.shape[-1] == C else ""
        raise ValueError(
            f"{name}: x {x.shape} has {x.shape[1]} channel{'s' * (x.shape[1] != 1)}, w {w.shape} expects {C}{hint}"
        )


def fitting_bias(name: str, bias: Tensor | None, O: int) -> None:
    if bias is not None and bias.shape != (O,):
        raise ValueError(f"{name}: {O} channel{'s' * (O != 1)} out need a bias of shape ({O},), got {bias.shape}")


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Slides O kernels along a signal: conv2d over an image of height 1.

    input (N,C,L) or (C,L), weight (O,C/groups,K), bias (O) → (N,O,OL)
    """
    x, single = batched("conv1d", input, 1)
    if weight.ndim != 3:
        raise ValueError(f"conv1d: expected w (O,C/groups,K), got {weight.shape}")
    _fitting_channels("conv1d", x, weight, groups)
    y = conv2d(
        x.unsqueeze(2),
        weight.unsqueeze(2),
        bias,
        (1, *spatial("conv1d", "stride", stride, 1)),
        padding if isinstance(padding, str) else (0, *spatial("conv1d", "padding", padding, 1)),
        (1, *spatial("conv1d", "dilation", dilation, 1)),
        groups,
    ).squeeze(2)
    return y.squeeze(0) if single else y


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Slides O kernels through a volume: Σ over the kernel's depth of conv2d on the layers it meets.

    input (N,C,D,H,W) or (C,D,H,W), weight (O,C/groups,KD,KH,KW), bias (O) → (N,O,OD,OH,OW)
    """
    x, single = batched("conv3d", input, 3)
    if weight.ndim != 5:
        raise ValueError(f"conv3d: expected w (O,C/groups,KD,KH,KW), got {weight.shape}")
    _fitting_channels("conv3d", x, weight, groups)
    SD, *stride2 = spatial("conv3d", "stride", stride, 3)
    DD, *dilation2 = spatial("conv3d", "dilation", dilation, 3)
    KD = weight.shape[2]
    padding2: str | list[int]
    if isinstance(padding, str):
        after = DD * (KD - 1) if padding == "same" else 0
        before, padding2 = after // 2, padding
        after -= before
    else:
        before, *padding2 = spatial("conv3d", "padding", padding, 3)
        after = before
    OD = (x.shape[2] + before + after - DD * (KD - 1) - 1) // max(SD, 1) + 1
    if OD < 1 or min(SD, DD) < 1 or before < 0:
        raise ValueError(
            f"conv3d: a kernel of depth {KD} does not fit x {x.shape} (w {weight.shape}, stride {stride}, "
            f"padding {padding}, dilation {dilation})"
        )
    x = pad(x, (0, 0, 0, 0, before, after)) if before or after else x
    total: Any = None
    for k in range(KD):
        layers = x[:, :, k * DD : k * DD + (OD - 1) * SD + 1 : SD].transpose(1, 2)  # (N,OD,C,H,W)
        y = conv2d(
            layers.flatten(0, 1),
            weight[:, :, k],
            bias if k == 0 else None,
            stride2,
            padding2,
            dilation2,
            groups,
        )
        total = y if total is None else total + y
    y = total.unflatten(0, (-1, OD)).transpose(1, 2)
    return y.squeeze(0) if single else y
