"""Transposed convolution: convolution's gradient by its input, as a layer that enlarges."""

from __future__ import annotations

from typing import Any

from tinymed import kernels
from tinymed.autograd import Function
from tinymed.kernels.shapes import ConvShape
from tinymed.ops.conv import batched, fitting_bias, same_dtype, spatial
from tinymed.ops.join import pad
from tinymed.tensor import Tensor


class ConvTranspose2d(Function):
    """Convolution's ∂L/∂x as a layer: each x[n,c,i,j] lays a copy of w[c], weighted by it, onto y

    x (N,C,H,W), w (C,O/g,KH,KW), b (O) → y (N,O,OH,OW), with `shape` that of the convolution y → x
    ∂L/∂x is that convolution of g;  ∂L/∂w its ∂L/∂w, with x and g in each other's place        (Dumoulin & Visin 2016)
    """

    def forward(ctx, x, w, b, shape):
        ctx.x, ctx.w, ctx.shape = x, w, shape
        y = kernels.conv2d_input_grad(x, w, shape)
        return y if b is None else y + b[:, None, None]

    def backward(ctx, g):
        gx = kernels.conv2d(g, ctx.w, None, ctx.shape) if ctx.needs[0] else None
        gw = kernels.conv2d_weight_grad(g, ctx.x, ctx.shape) if ctx.needs[1] else None
        return gx, gw, g.sum(axis=(0, 2, 3)) if ctx.needs[2] else None


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """conv2d run backwards, to enlarge an image.

    input (N,C,H,W) or (C,H,W), weight (C,O/groups,KH,KW), bias (O) → (N,O,OH,OW),
    OH = (H−1)·stride − 2·padding + dilation·(KH−1) + output_padding + 1
    """
    name = "conv_transpose2d"
    x, single = batched(name, input, 2)
    same_dtype(name, x, weight)
    if weight.ndim != 4 or x.shape[1] != weight.shape[0] or groups < 1 or x.shape[1] % groups:
        raise ValueError(
            f"{name}: expected w ({x.shape[1]},O/groups,KH,KW) for x {x.shape}, groups {groups}, got {weight.shape}"
        )
    S, P, D = (
        spatial(name, what, v, 2) for what, v in (("stride", stride), ("padding", padding), ("dilation", dilation))
    )
    extra = spatial(name, "output_padding", output_padding, 2)
    if min(S + D) < 1 or min(P + extra) < 0:
        raise ValueError(
            f"{name}: stride {S} and dilation {D} must be at least 1, padding {P} and output_padding {extra} at least 0"
        )
    if any(e >= max(s, d) for e, s, d in zip(extra, S, D)):
        raise ValueError(f"{name}: output_padding {extra} must be smaller than the stride {S} or the dilation {D}")
    H, W = x.shape[2:]
    KH, KW = weight.shape[2:]
    OH, OW = ((n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, s, p, d, k, e in zip((H, W), S, P, D, (KH, KW), extra))
    if OH < 1 or OW < 1:
        raise ValueError(f"{name}: x {x.shape} with w {weight.shape}, stride {S}, padding {P} leaves no output")
    O = weight.shape[1] * groups
    fitting_bias(name, bias, O)
    shape = ConvShape._make((x.shape[0], O, OH, OW, x.shape[1], KH, KW, H, W, *S, *P, *D, groups))
    y = ConvTranspose2d.apply(x, weight, bias, shape)
    return y.squeeze(0) if single else y


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """conv1d run backwards: conv_transpose2d over an image of height 1; weight (C,O/groups,K)."""
    name = "conv_transpose1d"
    x, single = batched(name, input, 1)
    if weight.ndim != 3:
        raise ValueError(f"{name}: expected w (C,O/groups,K), got {weight.shape}")
    y = conv_transpose2d(
        x.unsqueeze(2),
        weight.unsqueeze(2),
        bias,
        (1, *spatial(name, "stride", stride, 1)),
        (0, *spatial(name, "padding", padding, 1)),
        (0, *spatial(name, "output_padding", output_padding, 1)),
        groups,
        (1, *spatial(name, "dilation", dilation, 1)),
    ).squeeze(2)
    return y.squeeze(0) if single else y


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """conv3d run backwards: each layer of the kernel's depth lays its own layers onto the output.

    input (N,C,D,H,W) or (C,D,H,W), weight (C,O/groups,KD,KH,KW), bias (O) → (N,O,OD,OH,OW)
    """
    name = "conv_transpose3d"
    x, single = batched(name, input, 3)
    if weight.ndim != 5:
        raise ValueError(f"{name}: expected w (C,O/groups,KD,KH,KW), got {weight.shape}")
    (SD, *S), (PD, *P), (ED, *E), (DD, *D) = (
        spatial(name, what, v, 3)
        for what, v in (
            ("stride", stride),
            ("padding", padding),
            ("output_padding", output_padding),
            ("dilation", dilation),
        )
    )
    if SD < 1 or DD < 1 or not 0 <= ED < max(SD, DD):
        raise ValueError(
            f"{name}: stride {stride} and dilation {dilation} must be at least 1, "
            f"output_padding {output_padding} smaller than one of them"
        )
    depth, KD = x.shape[2], weight.shape[2]
    if SD > 1:  # SD − 1 empty layers between the layers of x
        x = pad(x.unsqueeze(3), (0, 0, 0, 0, 0, SD - 1)).flatten(2, 3)[:, :, : (depth - 1) * SD + 1]
    FD = x.shape[2] + DD * (KD - 1) + ED  # the full depth, of which padding takes PD away at both ends
    if PD < 0 or FD - 2 * PD < 1:
        raise ValueError(f"{name}: x {input.shape} with w {weight.shape}, padding {padding} leaves no output")
    total: Any = None
    for k in range(KD):
        y = conv_transpose2d(x.transpose(1, 2).flatten(0, 1), weight[:, :, k], None, S, P, E, groups, D)
        y = y.unflatten(0, (-1, x.shape[2])).transpose(1, 2)  # (N,O,D,OH,OW): layer d lands on d + k·DD
        y = pad(y, (0, 0, 0, 0, k * DD, FD - k * DD - y.shape[2]))
        total = y if total is None else total + y
    total = total[:, :, PD : FD - PD]
    if bias is not None:
        fitting_bias(name, bias, total.shape[1])
        total = total + bias.reshape(-1, 1, 1, 1)
    return total.squeeze(0) if single else total
