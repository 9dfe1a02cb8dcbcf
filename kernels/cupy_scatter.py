"""Adding to places of which some are named several times, on a GPU: always in the same order (cuda/scatter.cu)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinymed.kernels.cupy_launch import BLOCK, Array, grid_of, run


def scatter_add(out: Array, index: Any, rows: Array) -> None:
    """out[index] += rows, where what is named twice gets both: np.add.at, and its very bits.

    out in C order; index: integer arrays and masks, whole slices and `...`, one of these or a tuple.
    """
    import cupy

    if not rows.size:
        return
    if out.dtype.char == "e":  # half as wide, but summed up in float32
        wide = out.astype(np.float32)
        scatter_add(wide, index, rows.astype(np.float32))
        out[...] = wide
        return
    index, axes = _leading(index if isinstance(index, tuple) else (index,), out.ndim)
    shape, C = out.shape[:axes], math.prod(out.shape[axes:])
    places = cupy.arange(math.prod(shape)).reshape(shape)[index].ravel()
    order = places.argsort(kind="stable")
    sizes, rows = (np.int64(places.size), np.int32(C)), cupy.ascontiguousarray(rows)
    run(
        "scatter", "scatter_add", grid_of(rows.size), (BLOCK,), *sizes, places[order], order, rows, out, dtype=out.dtype
    )


def _leading(index: tuple, ndim: int) -> tuple[tuple, int]:
    """The index up to its last array, and how many axes that is: behind them, all is whole rows."""
    arrays = [k for k, part in enumerate(index) if hasattr(part, "ndim")]
    index = index[: arrays[-1] + 1]
    if any(part is Ellipsis for part in index):
        return index, ndim
    return index, sum(part.ndim if hasattr(part, "ndim") and part.dtype == bool else 1 for part in index)
