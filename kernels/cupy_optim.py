"""Optimiser updates on a GPU, in place; reference_optim.py has the formulas, cuda/optim.cu the kernels.

Each step is one launch for any number of parameters: lists of arrays, alike in length and order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinymed.kernels.cupy_launch import BLOCK, Array, run

Arrays = Sequence[Array]

CHUNK = np.dtype([("places", np.int64, 5), ("n", np.int32), ("group", np.int32)])  # as in optim.cu: p, g, state[3]
LENGTH = 2048  # numbers in a chunk; a multiple of 16 bytes, so that each chunk is aligned as its parameter is


def sgd_step(
    ps: Arrays,
    gs: Arrays,
    bs: Arrays | None,
    firsts: Sequence[bool],
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """d = g + λ·p;  b ← μ·b + (1 − τ)·d, the first time b ← d;  p ← p − η·b"""
    options = lr, 0 if bs is None else momentum, 1 - dampening, weight_decay, nesterov
    _update("sgd", options, ps, gs, (bs,), [0 if first else 1 for first in firsts])


def adam_step(
    ps: Arrays,
    gs: Arrays,
    ms: Arrays,
    vs: Arrays,
    steps: Sequence[int],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """m ← β1·m + (1 − β1)·d;  v ← β2·v + (1 − β2)·d²;  p ← p − η·m̂ / (√v̂ + ε)"""
    factors = [f for b in (beta1, beta2) for f in (b, 1 - b, math.log(b) if b else -math.inf)]
    _update("adam", (lr, *factors, eps, weight_decay, decoupled), ps, gs, (ms, vs), [step - 1 for step in steps])


def rmsprop_step(
    ps: Arrays,
    gs: Arrays,
    vs: Arrays,
    means: Arrays | None,
    bs: Arrays | None,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
) -> None:
    """v ← α·v + (1 − α)·d²;  p ← p − η·d / (√v + ε), with v − mean² where centred, through b with momentum"""
    options = lr, alpha, 1 - alpha, eps, weight_decay, 0 if bs is None else momentum, means is not None
    _update("rmsprop", options, ps, gs, (vs, means, bs), [0] * len(ps))


def adagrad_step(
    ps: Arrays,
    gs: Arrays,
    ss: Arrays,
    steps: Sequence[int],
    lr: float,
    lr_decay: float,
    eps: float,
    weight_decay: float,
) -> None:
    """s ← s + d²;  p ← p − η·d / (√s + ε),  η = lr / (1 + (t − 1)·lr_decay)"""
    _update("adagrad", (lr, lr_decay, eps, weight_decay), ps, gs, (ss,), [step - 1 for step in steps])


# ---------------------------------------------------------------- what starts them


def _update(
    kernel: str,
    options: Sequence[float],
    ps: Arrays,
    gs: Arrays,
    states: Sequence[Arrays | None],
    made: Any,
) -> None:
    """One launch for all parameters; `made` counts the steps behind each. Raises ValueError for arrays not alike."""
    import cupy

    if not sum(p.size for p in ps):
        return
    changed = [ps, *(row for row in states if row is not None)]
    for alike in zip(gs, *changed, strict=True):
        if len({a.shape for a in alike}) > 1 or any(a.dtype != ps[0].dtype for a in alike):
            came = ", ".join(f"{a.dtype} {a.shape}" for a in alike)
            raise ValueError(
                f"{kernel}: a gradient and its parameter and state need one shape, and all parameters of a launch "
                f"one number type ({ps[0].dtype}); got {came}"
            )
    rows = [None if row is None else [cupy.ascontiguousarray(a) for a in row] for row in (ps, gs, *states)]
    table, made = _chunks(rows, made)
    values = table.view(np.uint8), np.array(options, ps[0].dtype), made
    count = len(table)
    run("optim", kernel, (count,), (BLOCK,), np.int32(count), *map(cupy.asarray, values), dtype=ps[0].dtype)
    for row, dense in zip((ps, *states), (rows[0], *rows[2:])):
        for a, copy in zip(row or (), dense or ()):
            if a.data.ptr != copy.data.ptr:  # its memory was not in order
                a[...] = copy


def _chunks(rows: Sequence[Arrays | None], made: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """optim.cu's table for rows of p, g and states, and how many steps each chunk has made."""
    assert rows[0] is not None
    sizes = np.array([p.size for p in rows[0]])
    chunks = -(-sizes // LENGTH)
    which = np.repeat(np.arange(len(sizes)), chunks)  # each chunk's parameter
    at = LENGTH * (np.arange(len(which)) - (np.cumsum(chunks) - chunks)[which])  # and its place in there
    table = np.zeros(len(which), CHUNK)
    for k, row in enumerate(rows):
        if row is not None:
            table["places"][:, k] = np.array([a.data.ptr for a in row])[which] + at * row[0].itemsize
    table["n"] = np.minimum(LENGTH, sizes[which] - at)
    return table, np.array(made, np.int32)[which]
