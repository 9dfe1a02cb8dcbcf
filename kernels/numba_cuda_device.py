"""Between the host's memory and the device's, and how a kernel is started: what all the numba_cuda files share.

A kernel is a Python function that every thread runs; `cuda.grid(1)` tells a thread its number. Numba compiles it
at its first call, for the types that it is called with: float32 and float64 are one source.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from numba import cuda

Array = Any  # of NumPy, or on the device: anything that offers __cuda_array_interface__

if not hasattr(np, "row_stack"):  # gone since NumPy 2.5, and numba-cuda compiles nothing without (its issue 907)
    np.row_stack = np.vstack  # type: ignore[attr-defined]
cuda.config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # small arrays make small grids, and that is no news

THREADS = 256  # of a block
# A number written out in a kernel makes doubles of the float32 it meets. These stay float32 among float32, and widen
# among float64; in the simulator Python's own floats do so, and np.float32 would round what `math` returns.
ZERO, HALF, ONE = map(float if cuda.config.ENABLE_CUDASIM else np.float32, (0, 0.5, 1))


def on_device(a: Any) -> bool:
    return hasattr(a, "__cuda_ndarray__") or hasattr(a, "__cuda_array_interface__")


def to_device(a: Any) -> Any:
    """The array on the device: copied there, or as it is if it is there. What is no array stays as it is."""
    if isinstance(a, np.ndarray):
        return cuda.to_device(np.ascontiguousarray(a))
    if on_device(a) and not hasattr(a, "__cuda_ndarray__"):  # another library's, seen as Numba's without a copy
        a = cuda.as_cuda_array(a)
    if on_device(a) and not a.is_c_contiguous():
        raise ValueError(f"numba_cuda: an array {a.shape} on the device is not contiguous; make a contiguous copy")
    return a


def to_host(found: Any) -> Any:
    """An array or a tuple of arrays, copied to the host; None stays None."""
    if isinstance(found, tuple):
        return tuple(map(to_host, found))
    return None if found is None else found.copy_to_host()


def empty(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    return cuda.device_array(shape, dtype)


def zeros(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    return cuda.to_device(np.zeros(shape, dtype))


def for_each(size: int, kernel: Any, *args: Any) -> None:
    """Run the kernel with a thread for each of `size` numbers, and some more: the last block is filled up."""
    if size:
        threads = min(size, THREADS)
        kernel[-(-size // threads), threads](*args)


def hosted(other: Callable) -> Callable:
    """Let a function of device arrays take NumPy arrays too: copied to the device before, and back afterwards.

    With an array that is already on the device, the results stay there. Types other than float32 and float64 are
    computed on the host, by `other`.
    """

    def decorate(function: Callable) -> Callable:
        @wraps(function)
        def run(*args: Any) -> Any:
            stays = any(map(on_device, args))
            if not stays and args[0].dtype.char not in "fd":
                return other(*args)
            found = function(*map(to_device, args))
            return found if stays else to_host(found)

        return run

    return decorate


@cuda.jit(device=True)
def place(t, shape):
    """Number t of an array (N,C,H,W) → n, c, h, q"""
    C, H, W = shape[1], shape[2], shape[3]
    return t // (C * H * W), t // (H * W) % C, t // W % H, t % W
