"""Pooling on a GPU (cuda/pool.cu). Images are (N,C,H,W), with the channels last in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed.kernels import cupy_graph
from tinymed.kernels.cupy_launch import BLOCK, Array, first, grid_of, last, run, sizes
from tinymed.kernels.shapes import PoolShape

_kept: dict[tuple, Array] = {}  # counts of windows


def max_pool2d(x: Array, s: PoolShape) -> tuple[Array, Array]:
    """(N,C,H,W) → the largest of each window and where it stood, u·KW + v: both (N,C,OH,OW)

    where has a byte an entry, or four where a window has more than 256 cells.
    """
    import cupy

    y = cupy.empty((s.N, s.OH, s.OW, s.C), x.dtype)
    where = cupy.empty(y.shape, np.int32 if s.KH * s.KW > 256 else np.uint8)
    _launch("max_pool2d", s, y, last(x), y, where, **_cells(where))
    return first(y), first(where)


def max_pool2d_grad(g: Array, where: Array, s: PoolShape) -> Array:
    """g (N,C,OH,OW), each back to where the largest stood → (N,C,H,W)"""
    import cupy

    gx = cupy.empty((s.N, s.H, s.W, s.C), g.dtype)
    if where.dtype != np.uint8:
        where = where.astype(np.int32, copy=False)
    _launch("max_pool2d_grad", s, gx, last(g), last(where), gx, **_cells(where))
    return first(gx)


def avg_pool2d(x: Array, count: Any, s: PoolShape) -> Array:
    """(N,C,H,W) → each window's sum over `count` (OH,OW or 1,1), of the GPU or not → (N,C,OH,OW)"""
    import cupy

    y = cupy.empty((s.N, s.OH, s.OW, s.C), x.dtype)
    _launch("avg_pool2d", s, y, last(x), *_counts(count, x.dtype), y)
    return first(y)


def avg_pool2d_grad(g: Array, count: Any, s: PoolShape) -> Array:
    """g/count (N,C,OH,OW) to every cell of its window → (N,C,H,W)"""
    import cupy

    gx = cupy.empty((s.N, s.H, s.W, s.C), g.dtype)
    _launch("avg_pool2d_grad", s, gx, last(g), *_counts(count, g.dtype), gx)
    return first(gx)


def _launch(name: str, s: PoolShape, result: Array, *args: Any, **macros: Any) -> None:
    """A thread for each number of the result, or for 16 bytes of them."""
    run("pool", name, grid_of(result.size), (BLOCK,), sizes(s), *args, dtype=result.dtype, **macros)


def _cells(where: Array) -> dict[str, str]:
    return {"WHERE": "int"} if where.dtype == np.int32 else {}


def _counts(count: Any, dtype: np.dtype) -> tuple[Array, np.int32]:
    import cupy

    if isinstance(count, np.ndarray):  # the same few at every call: they stay there
        key = count.astype(dtype).tobytes(), dtype.char, cupy.cuda.runtime.getDevice()
        if key not in _kept:
            _kept[key] = cupy_graph.upload(np.frombuffer(key[0], dtype))
        return _kept[key], np.int32(count.size)
    return cupy.ascontiguousarray(count, dtype), np.int32(count.size)
