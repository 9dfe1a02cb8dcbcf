"""What dtype an op computes in: promotion of two operands to one, and casts."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed.autograd import Function
from tinymed.cuda import cupy as gpu
from tinymed.cuda import is_available, moved, place
from tinymed.kernels import cupy_memory
from tinymed.tensor import DEFAULT_DTYPE, Tensor, as_tensor, device_of, method


def operands(a: Any, b: Any) -> tuple[Any, Any]:
    """a and b, made ready for a binary op by PyTorch's promotion rules.

    A number, Python's or NumPy's, takes the tensor's dtype (an integer tensor with a float becomes float32).
    Of two tensors the higher kind wins, then the one that has axes, then the wider.
    """
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.array.dtype is b.array.dtype:
            return a, b
    elif (type(b) in _NUMBERS and _is_float(a)) or (type(a) in _NUMBERS and _is_float(b)):
        return a, b
    a, b = tensor_or_number(a), tensor_or_number(b)
    dtype = promote(a, b)
    return (
        cast(a, dtype) if isinstance(a, Tensor) else a,
        cast(b, dtype) if isinstance(b, Tensor) else b,
    )


_NUMBERS = (int, float)  # these exactly: a bool counts for less than an int, a NumPy number is made one of them


def _is_float(x: Any) -> bool:
    return isinstance(x, Tensor) and x.array.dtype.kind == "f"


def tensor_or_number(x: Any) -> Any:
    """A Tensor, or a number of Python's own."""
    if isinstance(x, np.number | np.bool_):
        return x.item()  # as a 0-d array it would make float32 float64
    return x if isinstance(x, Tensor | bool | int | float) else as_tensor(x)


def promote(*values: Any) -> np.dtype:
    """The dtype that PyTorch gives to an op on these tensors and Python numbers."""
    dtypes, ranks = [], []
    for value in values:
        if isinstance(value, Tensor):
            dtypes.append(value.dtype)
            weight = 1 if value.ndim == 0 else 2
        else:
            dtypes.append(DEFAULT_DTYPE if isinstance(value, float) else np.dtype(type(value)))
            weight = 0
        ranks.append(("buif".index(dtypes[-1].kind.replace("u", "i")), weight))
    return np.result_type(*(dtype for dtype, rank in zip(dtypes, ranks) if rank == max(ranks)))


class Cast(Function):
    """y = x in another dtype;  the gradient comes back in x's own"""

    def forward(ctx, x, dtype):
        return x.astype(dtype)

    def backward(ctx, g):
        return g


def cast(x: Tensor, dtype: Any) -> Tensor:
    return x if x.dtype == dtype else Cast.apply(x, np.dtype(dtype))


def scalar_like(array: Any, value: float, dtype: Any) -> Any:
    """A number as a 0-d array on the other's device, filled in there: nothing is copied to it."""
    return np.full_like(array, value, dtype, shape=(1,)).reshape(())  # CuPy takes shape=() for none given


def floating(x: Any) -> Any:
    """x, or where x is a tensor of integers, x in float32."""
    return cast(x, DEFAULT_DTYPE) if isinstance(x, Tensor) and x.dtype.kind != "f" else x


# ---------------------------------------------------------------- to another dtype


class Move(Function):
    """y = x on another device;  the gradient goes back to x's own"""

    def forward(ctx, x, device, non_blocking):
        ctx.device = device_of(x)
        return moved(x, device, non_blocking)

    def backward(ctx, g):
        return moved(g, ctx.device)


@method()
def to(input: Tensor, target: Any, non_blocking: bool = False) -> Tensor:
    """The tensor in another dtype, on another device ("cpu", "cuda"), or like another tensor.

    non_blocking: from pinned memory to a GPU the host goes on while the copy is made; it must not write there before
    it is (cuda.synchronize()). Raises ValueError for a device that is not there.
    """
    if isinstance(target, Tensor):
        return to(cast(input, target.dtype), target.device, non_blocking)
    if isinstance(target, str) and target.split(":")[0] in ("cpu", "cuda"):
        device = place(target)
        return input if device == input.device else Move.apply(input, device, non_blocking)
    try:
        return cast(input, target)
    except TypeError:
        raise TypeError(
            f"to({target!r}): expected a dtype, such as tinymed.float32, or a device, cpu or cuda"
        ) from None


@method()
def cpu(input: Tensor) -> Tensor:
    """The tensor in the processor's own memory."""
    return to(input, "cpu")


@method()
def cuda(input: Tensor, device: int = 0, non_blocking: bool = False) -> Tensor:
    """The tensor on a GPU."""
    return to(input, f"cuda:{device}", non_blocking)


@method()
def pin_memory(input: Tensor) -> Tensor:
    """A copy in page-locked memory, or the tensor itself where it is there: its way to a GPU is short (see `to`).

    Raises ValueError where there is no GPU, and for a tensor on one.
    """
    if input.device != "cpu":
        raise ValueError(f"pin_memory: the memory of the CPU is pinned, but the tensor is on {input.device}")
    gpu()  # raises what is missing
    return input if cupy_memory.is_pinned(input.array) else Tensor(cupy_memory.pinned(input.array))


@method()
def is_pinned(input: Tensor) -> bool:
    """Whether the tensor is in page-locked memory; never where there is no GPU."""
    return is_available() and cupy_memory.is_pinned(input.array)


def _caster(name: str, dtype: str) -> Any:
    def convert(input: Tensor) -> Tensor:
        return cast(input, dtype)

    convert.__doc__ = f"The tensor in {dtype}."
    return method(name)(convert)


for _name, _dtype in {"float": "float32", "double": "float64", "half": "float16", "long": "int64",
                      "int": "int32", "bool": "bool"}.items():  # fmt: skip
    _caster(_name, _dtype)


@method()
def type_as(input: Tensor, other: Tensor) -> Tensor:
    """The tensor in the other's dtype."""
    return cast(input, other.dtype)
