"""ConvShape, PoolShape: every size worked out and checked once, shared by all backends.

One vocabulary: N batch, C channels in, O channels out, H W height and width, K kernel, S stride, P padding
*before* the image, D dilation, G groups; OH OW the output's. What lies after the image needs no name:
a window may reach past the end, where it reads padding too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

Pair = tuple[int, int]
DEAD = 255  # in the `where` of conv2d_max_pool2d: the largest was cut off by a bound, so no gradient passes


class ConvShape(NamedTuple):
    """(N,C,H,W) * (O,C/G,KH,KW) → (N,O,OH,OW);  y[i,j] reads x[i·SH + u·DH − PH, j·SW + v·DW − PW]."""

    N: int
    C: int
    H: int
    W: int
    O: int
    KH: int
    KW: int
    OH: int
    OW: int
    SH: int
    SW: int
    PH: int
    PW: int
    DH: int
    DW: int
    G: int

    @property
    def x(self) -> tuple[int, int, int, int]:
        return self.N, self.C, self.H, self.W

    @property
    def w(self) -> tuple[int, int, int, int]:
        return self.O, self.C // self.G, self.KH, self.KW

    @property
    def y(self) -> tuple[int, int, int, int]:
        return self.N, self.O, self.OH, self.OW


class PoolShape(NamedTuple):
    """(N,C,H,W) → (N,C,OH,OW), one window of KH x KW for each output; letters as in ConvShape."""

    N: int
    C: int
    H: int
    W: int
    KH: int
    KW: int
    OH: int
    OW: int
    SH: int
    SW: int
    PH: int
    PW: int
    DH: int
    DW: int

    @property
    def x(self) -> tuple[int, int, int, int]:
        return self.N, self.C, self.H, self.W

    @property
    def y(self) -> tuple[int, int, int, int]:
        return self.N, self.C, self.OH, self.OW


@lru_cache(maxsize=1024)
def conv_shape(x: tuple, w: tuple, stride: Pair, padding: Pair | str, dilation: Pair, groups: int) -> ConvShape:
    """The sizes of conv2d; `padding` may be "same" or "valid". Raises ValueError with every size in it."""
    if len(x) != 4 or len(w) != 4:
        raise ValueError(f"conv2d: expected x (N,C,H,W) and w (O,C/g,KH,KW), got x {x} and w {w}")
    (N, C, H, W), (O, CG, KH, KW) = x, w
    sizes = f"x {x}, w {w}, stride {stride}, padding {padding}, dilation {dilation}, groups {groups}"
    if groups < 1 or C % groups or O % groups:
        raise ValueError(f"conv2d: {C} channels in and {O} out must both be divisible by groups = {groups} ({sizes})")
    if CG * groups != C:
        hint = ""
        if x[3] == CG * groups:
            hint = f"; the last axis has {x[3]}: is x (N,H,W,C)? tinymed is N,C,H,W: x.permute(0, 3, 1, 2)"
        raise ValueError(f"conv2d: x has {C} channel{'s' * (C != 1)}, w expects {CG * groups} ({sizes}){hint}")
    if min(KH, KW) < 1:
        raise ValueError(f"conv2d: the kernel must be at least 1 ({sizes})")
    _check("conv2d", sizes, stride, dilation)
    if padding == "valid":
        padding = (0, 0)
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(f'conv2d: padding "same" needs stride 1 ({sizes})')
        PH, PW = dilation[0] * (KH - 1) // 2, dilation[1] * (KW - 1) // 2  # an odd one goes after the image
        OH, OW = H, W
    elif isinstance(padding, str):
        raise ValueError(f'conv2d: padding is a number, a pair, "same" or "valid", got {padding!r}')
    else:
        PH, PW = padding
        if min(padding) < 0:
            raise ValueError(f"conv2d: padding cannot be negative ({sizes})")
        OH, OW = (
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, k, s, p, d in zip((H, W), (KH, KW), stride, padding, dilation)
        )
    if OH < 1 or OW < 1:
        raise ValueError(f"conv2d: the kernel is larger than the padded image ({sizes})")
    return ConvShape(N, C, H, W, O, KH, KW, OH, OW, *stride, PH, PW, *dilation, groups)


@lru_cache(maxsize=1024)
def pool_shape(
    name: str,
    x: tuple,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair = (1, 1),
    ceil_mode: bool = False,
) -> PoolShape:
    """The sizes of a pooling layer, by PyTorch's rules. Raises ValueError with every size in it."""
    if len(x) != 4:
        raise ValueError(f"{name}: expected x (N,C,H,W), got {x}")
    N, C, H, W = x
    sizes = f"x {x}, kernel {kernel}, stride {stride}, padding {padding}, dilation {dilation}"
    if min(kernel) < 1:
        raise ValueError(f"{name}: the window must be at least 1 ({sizes})")
    _check(name, sizes, stride, dilation)
    if any(p < 0 or p > k // 2 for p, k in zip(padding, kernel)):
        raise ValueError(f"{name}: padding must be between 0 and half the window ({sizes})")
    out = []
    for size, k, s, p, d in zip((H, W), kernel, stride, padding, dilation):
        room = size + 2 * p - d * (k - 1) - 1
        n = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (n - 1) * s >= size + p:
            n -= 1  # the last window must start inside the image or its left padding
        out.append(n)
    if min(out) < 1:
        raise ValueError(f"{name}: the window is larger than the padded image ({sizes})")
    return PoolShape._make((N, C, H, W, *kernel, *out, *stride, *padding, *dilation))


def _check(name: str, sizes: str, stride: Pair, dilation: Pair) -> None:
    if min(stride) < 1:
        raise ValueError(f"{name}: stride must be at least 1 ({sizes})")
    if min(dilation) < 1:
        raise ValueError(f"{name}: dilation must be at least 1 ({sizes})")
