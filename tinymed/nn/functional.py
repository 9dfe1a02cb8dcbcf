"""Functions of tensors under PyTorch's names: `import tinymed.nn.functional as F`. The sums stand in tinymed/ops."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed.ops.activation import (
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    prelu,
    relu,
    relu6,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from tinymed.ops.attention import scaled_dot_product_attention
from tinymed.ops.conv import (
    conv1d,
    conv2d,
    conv3d,
    spatial,
)
from tinymed.ops.conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from tinymed.ops.creation import one_hot
from tinymed.ops.index import index_select
from tinymed.ops.join import pad
from tinymed.ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from tinymed.ops.matmul import linear
from tinymed.ops.norm import batch_norm, dropout, dropout2d, embedding, group_norm, layer_norm, normalize
from tinymed.ops.pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from tinymed.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "batch_norm",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cross_entropy", "dropout", "dropout2d", "elu",
    "embedding", "gelu", "group_norm", "huber_loss", "interpolate", "kl_div", "l1_loss", "layer_norm",
    "leaky_relu", "linear", "log_softmax", "max_pool1d", "max_pool2d", "max_pool3d", "mse_loss", "nll_loss",
    "normalize", "one_hot", "pad", "prelu", "relu", "relu6", "scaled_dot_product_attention", "sigmoid", "silu",
    "smooth_l1_loss", "softmax", "softplus", "tanh",
]  # fmt: skip


def interpolate(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest") -> Tensor:
    """An image in another size, every pixel copied from the nearest: y[i] = x[⌊i · H/OH⌋], axis by axis.

    With a scale_factor f the size is OH = ⌊f · H⌋, and i · H/OH is i/f.
    input (N,C,L), (N,C,H,W) or (N,C,D,H,W); give size or scale_factor, one number or one for each space axis.
    """
    n = input.ndim - 2
    if mode != "nearest":
        raise ValueError(f'interpolate: mode "nearest" is offered, got {mode!r}')
    if n not in (1, 2, 3) or (size is None) == (scale_factor is None):
        raise ValueError(f"interpolate: expected x (N,C,…) and either size or scale_factor, got x {input.shape}")
    if size is not None:
        sizes = spatial("interpolate", "size", size, n)
        steps = [length / out for length, out in zip(input.shape[2:], sizes)]
    else:
        factors = tuple(scale_factor) if isinstance(scale_factor, tuple | list) else (scale_factor,) * n
        if len(factors) != n:
            raise ValueError(f"interpolate: expected {n} scale factors for x {input.shape}, got {scale_factor!r}")
        sizes = tuple(int(length * f) for length, f in zip(input.shape[2:], factors))
        # as PyTorch does, in two dimensions only: a size that stays or doubles goes by the sizes, not by the factor
        steps = [
            length / out if n == 2 and out in (length, 2 * length) else 1 / f
            for length, out, f in zip(input.shape[2:], sizes, factors)
        ]
    if min(sizes) < 1:
        raise ValueError(f"interpolate: x {input.shape} cannot become {sizes}")
    for axis, (out, step) in enumerate(zip(sizes, steps), 2):
        cells = np.arange(out, like=input.array) * np.float32(step)
        source = np.minimum(cells.astype(int), input.shape[axis] - 1)
        input = index_select(input, axis, Tensor(source))
    return input
