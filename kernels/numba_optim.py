"""Optimiser updates in one pass over memory and one launch, in place; reference_optim.py has the formulas.

A model has many small parameters and a few big ones. They are walked as one line of numbers, of which each task takes
BLOCK, be they of one parameter or of ten: `_table` says where in the line each parameter begins and where in memory it
and its state lie. Factors are worked out in Python's doubles and rounded once, as in numpy_optim.py.
"""

from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numba
import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from tinymed.kernels import numpy_optim
from tinymed.kernels.numba_jit import jit
from tinymed.kernels.numba_launch import fetch, launch

Array = np.ndarray
Arrays = list[Array]
BLOCK = 1 << 14  # numbers to a task


@intrinsic
def _pointer(typing_context, address, i, like):
    """To the i-th of the numbers that lie from an address on; `like` is a number of their type."""
    pointer = types.CPointer(like)

    def generate(context, builder, signature, values):
        start = builder.inttoptr(values[0], context.get_value_type(pointer))
        return builder.gep(start, [values[1]])

    return pointer(address, i, like), generate


def _plain_pointer(address, i, like):
    kind = np.ctypeslib.as_ctypes_type(like.dtype)
    place = ctypes.cast(int(address + i * like.itemsize), ctypes.POINTER(kind))
    return place if address else ctypes.pointer(kind())  # carray refuses null, even for no numbers


pointer = _plain_pointer if numba.config.DISABLE_JIT else _pointer


@jit
def _part(table, k, which, t, like):
    """What of parameter k is task t's, or of its gradient, or a state of it; nothing, where it has no such state."""
    start, size, address = table[k, 0], table[k, 1], table[k, 2 + which]
    a = max(0, t * BLOCK - start)
    z = min((t + 1) * BLOCK - start, size)
    return carray(pointer(address, a, like), max(0, z - a) if address else 0)


@jit
def _sgd(t, me, args):
    table, first, lr, momentum, fresh, weight_decay, nesterov = fetch(args)
    for k in range(len(table)):
        p, g, b = _part(table, k, 0, t, lr), _part(table, k, 1, t, lr), _part(table, k, 2, t, lr)
        if b.size:
            for i in range(p.size):
                d = g[i] + weight_decay * p[i]
                b[i] = d if first[k] else momentum * b[i] + fresh * d
                p[i] -= lr * (d + momentum * b[i] if nesterov else b[i])
        else:
            for i in range(p.size):
                p[i] -= lr * (g[i] + weight_decay * p[i])


@jit
def _adam(t, me, args):
    table, rates, roots, keep, decay, beta1, fresh1, beta2, fresh2, eps = fetch(args)
    for k in range(len(table)):
        p, g = _part(table, k, 0, t, eps), _part(table, k, 1, t, eps)
        m, v = _part(table, k, 2, t, eps), _part(table, k, 3, t, eps)
        rate, root = rates[k], roots[k]
        for i in range(p.size):
            d = g[i] + decay * p[i]
            m[i] = beta1 * m[i] + fresh1 * d
            v[i] = beta2 * v[i] + fresh2 * d * d
            p[i] = keep * p[i] - rate * m[i] / (np.sqrt(v[i]) * root + eps)


@jit
def _rmsprop(t, me, args):
    table, lr, alpha, fresh, eps, weight_decay, momentum = fetch(args)
    for k in range(len(table)):
        p, g, v = _part(table, k, 0, t, lr), _part(table, k, 1, t, lr), _part(table, k, 2, t, lr)
        mean, b = _part(table, k, 3, t, lr), _part(table, k, 4, t, lr)
        for i in range(p.size):
            d = g[i] + weight_decay * p[i]
            v[i] = alpha * v[i] + fresh * d * d
            spread = v[i]
            if mean.size:
                mean[i] = alpha * mean[i] + fresh * d
                spread -= mean[i] * mean[i]
            d /= np.sqrt(spread) + eps
            if b.size:
                b[i] = momentum * b[i] + d
                d = b[i]
            p[i] -= lr * d


@jit
def _adagrad(t, me, args):
    table, rates, eps, weight_decay = fetch(args)
    for k in range(len(table)):
        p, g, s = _part(table, k, 0, t, eps), _part(table, k, 1, t, eps), _part(table, k, 2, t, eps)
        rate = rates[k]
        for i in range(p.size):
            d = g[i] + weight_decay * p[i]
            s[i] += d * d
            p[i] -= rate * d / (np.sqrt(s[i]) + eps)


# ---------------------------------------------------------------- what starts them


def _where_plain(step: Callable[..., None]) -> Callable[..., None]:
    """The step for parameters that can be walked as lines of one number type, in place; others go to numpy_optim."""
    other = getattr(numpy_optim, step.__name__)

    @wraps(step)
    def steps(ps: Arrays, *args: Any) -> None:
        rows = [row for row in (ps, *args) if isinstance(row, list) and row and isinstance(row[0], np.ndarray)]
        plain = [_plain(ps[0].dtype, arrays) for arrays in zip(*rows)]
        if plain and all(plain):
            return step(ps, *args)
        for do, wanted in (step, True), (other, False):
            if wanted in plain:
                do(*(_chosen(a, plain, wanted) if isinstance(a, list) else a for a in (ps, *args)))

    return steps


def _chosen(row: list, plain: list[bool], wanted: bool) -> list:
    return [entry for entry, is_so in zip(row, plain) if is_so is wanted]


def _plain(dtype: np.dtype, arrays: tuple[Array, ...]) -> bool:
    size = arrays[0].size
    return dtype.char in "fd" and all(a.flags.carray and a.dtype == dtype and a.size == size for a in arrays)


@_where_plain
def sgd_step(
    ps: Arrays,
    gs: Arrays,
    bs: Arrays | None,
    firsts: list[bool],
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    factors = map(ps[0].dtype.type, (lr, momentum, 1 - dampening, weight_decay))
    _run(_sgd, _table(ps, gs, bs), np.array(firsts), *factors, nesterov)


@_where_plain
def adam_step(
    ps: Arrays,
    gs: Arrays,
    ms: Arrays,
    vs: Arrays,
    steps: list[int],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    rates = [lr / (1 - beta1**t) for t in steps]
    roots = [1 / math.sqrt(1 - beta2**t) for t in steps]
    keep, decay = (1 - lr * weight_decay, 0) if decoupled else (1, weight_decay)
    dtype = ps[0].dtype
    factors = map(dtype.type, (keep, decay, beta1, 1 - beta1, beta2, 1 - beta2, eps))
    _run(_adam, _table(ps, gs, ms, vs), np.array(rates, dtype), np.array(roots, dtype), *factors)


@_where_plain
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
    factors = map(ps[0].dtype.type, (lr, alpha, 1 - alpha, eps, weight_decay, momentum))
    _run(_rmsprop, _table(ps, gs, vs, means, bs), *factors)


@_where_plain
def adagrad_step(
    ps: Arrays,
    gs: Arrays,
    ss: Arrays,
    steps: list[int],
    lr: float,
    lr_decay: float,
    eps: float,
    weight_decay: float,
) -> None:
    dtype = ps[0].dtype
    rates = np.array([lr / (1 + (t - 1) * lr_decay) for t in steps], dtype)
    _run(_adagrad, _table(ps, gs, ss), rates, dtype.type(eps), dtype.type(weight_decay))


def _table(*rows: Arrays | None) -> Array:
    """A line for each parameter: the numbers before it, its own, and the addresses of its entry in each row."""
    sizes = [p.size for p in rows[0] or ()]
    starts = itertools.accumulate(sizes, initial=0)
    places = [[_address(a) for a in row] if row else [0] * len(sizes) for row in rows]
    return np.array(list(zip(starts, sizes, *places)))


def _address(a: Array) -> int:
    """As a.ctypes.data, in a quarter of its time"""
    return ctypes.addressof(ctypes.c_char.from_buffer(a)) if a.size else 0  # type: ignore[arg-type]


def _run(task: Callable, table: Array, *args: Any) -> None:
    launch(task, -(-int(table[-1, 0] + table[-1, 1]) // BLOCK), table, *args)
