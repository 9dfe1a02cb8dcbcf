"""Softmax and its logarithm on a GPU: a row is held in the registers of a few threads (cuda/softmax.cu)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinymed.kernels.cupy_launch import BLOCK, Array, blocks, run
from tinymed.kernels.cupy_loss import images_of, rows_of

HELD = 128  # bytes of rows in a thread's registers
TEAM = 512  # threads to a row, at most


def softmax(x: Array, log: bool) -> Array:
    """softmax of x (N,C,P) over C, or its logarithm"""
    return _launch("softmax", log, x)


def softmax_grad(g: Array, y: Array, log: bool) -> Array:
    """From g into y, which softmax gave, to g into x: (N,C,P)"""
    return _launch("softmax_grad", log, g, y)


class Team(NamedTuple):
    """How a row is shared out: threads to it, numbers to a load, a thread's loads, rows at once (softmax.cu)."""

    threads: int
    V: int
    loads: int
    rows: int


def team(C: int, V: int, held: int, itemsize: int) -> Team:
    """For rows of C numbers in loads of V, of which a thread may hold `held` numbers.

    As few threads as hold a row, for each step over all of them takes time: but enough that neighbours read 32 bytes
    together, which is how memory comes. Longer rows get a block, with half as much to hold, until it is a large one.
    """
    packs = blocks(C, V)
    if 32 * held >= C:
        threads = min(32, _power_of_2(max(blocks(packs, 4), min(packs, 32 // (V * itemsize)))))
        loads = blocks(packs, threads)
        return Team(threads, V, loads, max(1, min(4, 8 // (loads * V))))
    threads = min(TEAM, _power_of_2(blocks(C, held // 2)))
    if threads * held < C:  # in pieces
        return Team(threads, V, held // 2 // V, 1)
    return Team(threads, V, blocks(packs, threads), 1)


def _power_of_2(n: int) -> int:
    """The smallest that is not below n."""
    return 1 << (n - 1).bit_length()


def _launch(name: str, log: bool, *arrays: Array) -> Array:
    import cupy

    if arrays[0].dtype.char == "e":  # half as wide, but summed up in float32
        return _launch(name, log, *(a.astype(np.float32) for a in arrays)).astype(np.float16)
    rows = [rows_of(a) for a in arrays]
    y = cupy.empty(rows[0].shape, rows[0].dtype)
    if y.size:
        (R, C), size = y.shape, y.itemsize
        fits = (V for V in (16 // size, 2) if C % V == 0 and not any(a.data.ptr % (V * size) for a in rows))
        t = team(C, next(fits, 1), HELD // size // len(rows), size)
        block = BLOCK if t.threads <= 32 else t.threads
        macros = {"TEAM": t.threads, "VEC": t.V, "HOLD": t.loads, "ROWS": t.rows}
        args = np.int32(R), np.int32(C), np.int32(log), *rows, y
        run("softmax", name, (blocks(R, block // t.threads * t.rows),), (block,), *args, dtype=y.dtype, **macros)
    return images_of(y, arrays[0].shape)
