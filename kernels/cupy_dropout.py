"""Dropout on a GPU (cuda/dropout.cu): random numbers that are computed where they are used, and no mask in memory."""

from __future__ import annotations

import numpy as np

from tinymed.kernels import cupy_graph
from tinymed.kernels.cupy_launch import BLOCK, Array, blocks, first, grid_of, last, number, run


class Stream:
    """Philox's random numbers: a seed, and how many were used up. Both lie in device memory, there to be moved on.

    So a CUDA graph, replayed, draws the numbers after those of the replay before.
    """

    def __init__(self, seed: int, at: int) -> None:
        self.state = cupy_graph.upload(np.array([seed, at], np.uint64))

    def begin(self, seed: int, at: int) -> None:
        """Start anew, in the same memory: graphs hold its address."""
        self.state.set(np.array([seed, at], np.uint64))

    def at(self) -> int:
        """How many numbers were used up; the host waits for it."""
        return int(self.state[1])

    def take(self, count: int) -> Array:
        """Where the next `count` numbers begin, in device memory: the host never knows."""
        start = self.state.copy()
        run("dropout", "advance", (1,), (1,), self.state, np.uint64(4 * blocks(count, 4)))
        return start


class Dropped:
    """Which numbers of an array are dropped: not a mask, but where the numbers that decide begin in the stream."""

    def __init__(self, x: Array, p: float, stream: Stream) -> None:
        self.p, self.start = p, stream.take(x.size)
        self.images = x.ndim == 4 and not x.flags.c_contiguous  # with the channels last in memory

    def of(self, x: Array) -> Array:
        """x / (1 − p), or 0 where dropped; of a gradient as of what it is the gradient of."""
        import cupy

        real = number(x.dtype, "dropout")
        x = last(x) if self.images else cupy.ascontiguousarray(x)
        y, scale = cupy.empty(x.shape, x.dtype), 1 / (1 - self.p) if self.p < 1 else 0
        args = np.int64(x.size), x, y, real(self.p), real(scale), self.start, np.uint64(0)
        run("dropout", "dropout", grid_of(blocks(x.size, 4)), (BLOCK,), *args, dtype=real)
        return first(y) if self.images else y


def uniform(shape: tuple[int, ...], dtype: np.dtype, stream: Stream) -> Array:
    """Fresh numbers in [0, 1)"""
    import cupy

    y = cupy.empty(shape, dtype)
    args = np.int64(y.size), y, stream.take(y.size), np.uint64(0)
    run("dropout", "uniform", grid_of(blocks(y.size, 4)), (BLOCK,), *args, dtype=number(dtype, "uniform"))
    return y
