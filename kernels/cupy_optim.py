"""Optimiser updates on a GPU, in place; reference_optim.py has the formulas, cuda/optim.cu the kernels.

Each step is one launch for any number of parameters: lists of arrays, alike in length and order. What the kernel reads
besides, a table of addresses, the options and the count of steps, lies in device memory. It is written there when it
differs from what lies there already: for most steps never, and a captured graph follows its schedule all the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinymed.kernels import cupy_graph
from tinymed.kernels.cupy_launch import BLOCK, Array, run

Arrays = Sequence[Array]

CHUNK = np.dtype([("places", np.int64, 5), ("n", np.int32), ("group", np.int32)])  # as in optim.cu: p, g, state[3]
LENGTH = 2048  # numbers in a chunk; a multiple of 16 bytes, so that each chunk is aligned as its parameter is
ALL = np.iinfo(np.int32).max  # every count of steps matters


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
    _update("sgd", options, ps, gs, (bs,), [not first for first in firsts], 1)


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
    _update("adam", (lr, *factors, eps, weight_decay, decoupled), ps, gs, (ms, vs), [step - 1 for step in steps], ALL)


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
    _update("rmsprop", options, ps, gs, (vs, means, bs), [0] * len(ps), 0)


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
    _update("adagrad", (lr, lr_decay, eps, weight_decay), ps, gs, (ss,), [step - 1 for step in steps], ALL)


# ---------------------------------------------------------------- what starts them


class Launch:
    """What a launch for the same arrays reads in device memory, and what was last written there."""

    def __init__(self, rows: Sequence[Arrays | None], options: np.ndarray, made: np.ndarray) -> None:
        table, self.which = _chunks(rows)
        self.count = len(table)
        self.options, self.made = options, made
        self.on_device = [cupy_graph.upload(a) for a in (table.view(np.uint8), options, made[self.which])]

    def tell(self, options: np.ndarray, made: np.ndarray, most: int) -> None:
        """Write what has changed; of counts it matters up to `most`."""
        import cupy

        stream = cupy.cuda.get_current_stream()
        if not np.array_equal(self.options, options):
            self.on_device[1].set(options, stream)
        if not np.array_equal(np.minimum(self.made, most), np.minimum(made, most)):
            self.on_device[2].set(made[self.which], stream)
        self.options, self.made = options, made + 1  # the kernel counts on


_launches: dict[tuple, Launch] = {}


def _update(
    kernel: str,
    options: Sequence[float],
    ps: Arrays,
    gs: Arrays,
    states: Sequence[Arrays | None],
    made: Sequence[int],
    most: int,
) -> None:
    """One launch for all parameters; `made` counts the steps behind each, of which numbers up to `most` matter.

    When a CUDA graph is replayed, the launch is in there. Raises ValueError for arrays that are not alike, or, while
    one is recorded, not in order.
    """
    import cupy

    if not sum(p.size for p in ps):
        return
    news = np.array(options, ps[0].dtype), np.array(made, np.int32)
    if (graph := cupy_graph.replaying()) is not None:
        return next(graph.waiting).tell(*news, most)
    rows = [row for row in (ps, gs, *states) if row is not None]
    for alike in zip(*rows, strict=True):
        if len({a.shape for a in alike}) > 1 or any(a.dtype != ps[0].dtype for a in alike):
            came = ", ".join(f"{a.dtype} {a.shape}" for a in alike)
            raise ValueError(
                f"{kernel}: a gradient and its parameter and state need one shape, and all parameters of a launch "
                f"one number type ({ps[0].dtype}); got {came}"
            )
    dense = [None if row is None else [cupy.ascontiguousarray(a) for a in row] for row in (ps, gs, *states)]
    if (graph := cupy_graph.recording()) is None:
        launch = _launch(kernel, dense, *news)
        launch.tell(*news, most)
    elif all(a.flags.c_contiguous for row in rows for a in row):
        launch = Launch(dense, *news)
        graph.launches.append(launch)
        graph.kept.append(rows)  # it writes there, whatever state the optimiser has by then
    else:
        raise ValueError(f"{kernel}: in a CUDA graph a parameter's memory must be in order; use p.contiguous()")
    run("optim", kernel, (launch.count,), (BLOCK,), np.int32(launch.count), *launch.on_device, dtype=ps[0].dtype)
    for row, copies in zip((ps, *states), (dense[0], *dense[2:])):
        for a, copy in zip(row or (), copies or ()):
            if a.data.ptr != copy.data.ptr:  # its memory was not in order
                a[...] = copy


def _launch(kernel: str, rows: Sequence[Arrays | None], options: np.ndarray, made: np.ndarray) -> Launch:
    """The launch for these arrays: that of an earlier step, where memory is where it was."""
    key = kernel, options.dtype, *(row and tuple((a.data.ptr, a.size) for a in row) for row in rows)
    if key not in _launches:
        if len(_launches) > 100:  # of models long gone
            _launches.clear()
        _launches[key] = Launch(rows, options, made)
    return _launches[key]


def _chunks(rows: Sequence[Arrays | None]) -> tuple[np.ndarray, np.ndarray]:
    """optim.cu's table for rows of p, g and states, and the number of each chunk's parameter."""
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
    return table, which
