"""Every op. Importing this package hangs the methods on Tensor."""

from tinymed.ops import (
    activation,
    arithmetic,
    attention,
    conv,
    conv_transpose,
    creation,
    dtypes,
    elementwise,
    index,
    inplace,
    join,
    loss,
    matmul,
    norm,
    order,
    pool,
    recurrent,
    reduce,
    shape,
)

__all__ = [
    "activation", "arithmetic", "attention", "conv", "conv_transpose", "creation", "dtypes", "elementwise", "index",
    "inplace", "join", "loss", "matmul", "norm", "order", "pool", "recurrent", "reduce", "shape",
]  # fmt: skip
