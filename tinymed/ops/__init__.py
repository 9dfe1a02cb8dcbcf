"""Every op. Importing this package hangs the methods on Tensor."""

from tinymed.ops import (
    activation,
    arithmetic,
    attention,
    conv,
    creation,
    elementwise,
    inplace,
    loss,
    matmul,
    norm,
    pool,
    recurrent,
    reduce,
    shape,
)

__all__ = [
    "activation", "arithmetic", "attention", "conv", "creation", "elementwise", "inplace", "loss", "matmul", "norm",
    "pool", "recurrent", "reduce", "shape",
]  # fmt: skip
