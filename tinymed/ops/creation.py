"""New tensors: constants, ranges, random numbers. No gradient flows into these."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinymed.ops.checks import checks_values
from tinymed.random import Generator, default_generator
from tinymed.tensor import DEFAULT_DTYPE, Tensor, method

Size = Any  # zeros(2, 3) and zeros((2, 3)) alike


def _shape(size: tuple) -> tuple[int, ...]:
    if len(size) == 1 and isinstance(size[0], tuple | list):
        size = tuple(size[0])
    if any(not isinstance(n, int | np.integer) or n < 0 for n in size):
        raise ValueError(f"a shape is made of whole numbers of at least 0, got {size}")
    return tuple(int(n) for n in size)


def _new(array: np.ndarray, dtype: Any, requires_grad: bool) -> Tensor:
    return Tensor(array.astype(dtype or DEFAULT_DTYPE, copy=False), requires_grad)


def zeros(*size: Size, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """All 0."""
    return Tensor(np.zeros(_shape(size), dtype or DEFAULT_DTYPE), requires_grad)


def ones(*size: Size, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """All 1."""
    return Tensor(np.ones(_shape(size), dtype or DEFAULT_DTYPE), requires_grad)


def full(size: Any, fill_value: float, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """All fill_value; its Python type chooses the dtype unless one is given."""
    dtype = dtype or (DEFAULT_DTYPE if isinstance(fill_value, float) else np.asarray(fill_value).dtype)
    return Tensor(np.full(_shape((size,)), fill_value, dtype), requires_grad)


def empty(*size: Size, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Room for numbers, not yet set."""
    return Tensor(np.empty(_shape(size), dtype or DEFAULT_DTYPE), requires_grad)


def arange(start: float, end: float | None = None, step: float = 1, *, dtype: Any = None) -> Tensor:
    """start, start + step, … below end; integers stay int64."""
    start, end = (0, start) if end is None else (start, end)
    if step == 0 or (end - start) * step < 0:
        raise ValueError(f"arange: a step of {step} does not lead from {start} to {end}")
    array = np.arange(start, end, step)
    return Tensor(array.astype(dtype or (DEFAULT_DTYPE if array.dtype.kind == "f" else np.int64)))


def linspace(start: float, end: float, steps: int, *, dtype: Any = None) -> Tensor:
    """steps numbers from start to end, both included, evenly apart."""
    return _new(np.linspace(start, end, steps), dtype, False)


def eye(n: int, m: int | None = None, *, dtype: Any = None) -> Tensor:
    """The identity matrix."""
    return _new(np.eye(n, m), dtype, False)


def rand(*size: Size, generator: Generator | None = None, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Uniform in [0, 1)."""
    return _new((generator or default_generator).numpy.random(_shape(size)), dtype, requires_grad)


def randn(*size: Size, generator: Generator | None = None, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Normal, mean 0, variance 1."""
    return _new((generator or default_generator).numpy.standard_normal(_shape(size)), dtype, requires_grad)


def randint(low: int, high: int, size: Any, *, generator: Generator | None = None, dtype: Any = np.int64) -> Tensor:
    """Whole numbers from low to high − 1."""
    if high <= low:
        raise ValueError(f"randint: no whole number lies in [{low}, {high})")
    return _new((generator or default_generator).numpy.integers(low, high, _shape((size,))), dtype, False)


def randperm(n: int, *, generator: Generator | None = None) -> Tensor:
    """0 … n − 1 in random order."""
    return Tensor((generator or default_generator).numpy.permutation(n))


def zeros_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """All 0, of input's shape and dtype."""
    return Tensor(np.zeros_like(input.array, dtype), requires_grad)


def ones_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """All 1, of input's shape and dtype."""
    return Tensor(np.ones_like(input.array, dtype), requires_grad)


def full_like(input: Tensor, fill_value: float, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """All fill_value, of input's shape and dtype."""
    return Tensor(np.full_like(input.array, fill_value, dtype), requires_grad)


def rand_like(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Uniform in [0, 1), of input's shape and dtype."""
    return rand(input.shape, generator=generator, dtype=input.dtype).to(input.device)


def randn_like(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Normal, of input's shape and dtype."""
    return randn(input.shape, generator=generator, dtype=input.dtype).to(input.device)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """(…) classes → (…,C): 1 at the class, 0 elsewhere, in int64."""
    if tensor.dtype.kind not in "iu":
        raise TypeError(f"one_hot: classes must be integers, got {tensor.dtype}; use x.long()")
    t, low, top = tensor.array, 0, -1
    if t.size and (num_classes == -1 or checks_values()):
        low, top = int(t.min()), int(t.max())
    C = top + 1 if num_classes == -1 else num_classes
    if top >= C or low < 0:
        raise IndexError(f"one_hot: classes must lie in 0…{C - 1}, got {low}…{top}")
    return Tensor((t[..., None] == np.arange(C, like=t)).astype(np.int64))


@method()
def new_zeros(input: Tensor, *size: Size) -> Tensor:
    """All 0, of input's dtype and device and another shape."""
    shape = _shape(size)
    return Tensor(np.zeros_like(input.array, shape=(math.prod(shape),)).reshape(shape))  # CuPy ignores shape=()
