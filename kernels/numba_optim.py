"""Optimiser updates in one pass over memory, in place; reference_optim.py has the formulas.

Factors are worked out in Python's doubles and rounded once, as in numpy_optim.py.
"""

from __future__ import annotations

import math

import numpy as np

from tinymed.kernels import numpy_optim
from tinymed.kernels.numba_jit import jit
from tinymed.kernels.numba_launch import fetch, launch

Array = np.ndarray
BLOCK = 1 << 14  # numbers to a task


@jit
def _sgd(t, me, args):
    p, g, b, first, lr, momentum, fresh, weight_decay, nesterov = fetch(args)
    ps, gs = p[t * BLOCK : (t + 1) * BLOCK], g[t * BLOCK : (t + 1) * BLOCK]
    if b.size:
        bs = b[t * BLOCK : (t + 1) * BLOCK]
        for i in range(ps.size):
            d = gs[i] + weight_decay * ps[i]
            bs[i] = d if first else momentum * bs[i] + fresh * d
            ps[i] -= lr * (d + momentum * bs[i] if nesterov else bs[i])
    else:
        for i in range(ps.size):
            ps[i] -= lr * (gs[i] + weight_decay * ps[i])


@jit
def _adam(t, me, args):
    p, g, m, v, keep, decay, beta1, fresh1, beta2, fresh2, root, eps, lr = fetch(args)
    a, z = t * BLOCK, (t + 1) * BLOCK
    ps, gs, ms, vs = p[a:z], g[a:z], m[a:z], v[a:z]
    for i in range(ps.size):
        d = gs[i] + decay * ps[i]
        ms[i] = beta1 * ms[i] + fresh1 * d
        vs[i] = beta2 * vs[i] + fresh2 * d * d
        ps[i] = keep * ps[i] - lr * ms[i] / (np.sqrt(vs[i]) * root + eps)


@jit
def _rmsprop(t, me, args):
    p, g, v, mean, b, lr, alpha, fresh, eps, weight_decay, momentum = fetch(args)
    a, z = t * BLOCK, (t + 1) * BLOCK
    ps, gs, vs, means, bs = p[a:z], g[a:z], v[a:z], mean[a:z], b[a:z]
    for i in range(ps.size):
        d = gs[i] + weight_decay * ps[i]
        vs[i] = alpha * vs[i] + fresh * d * d
        spread = vs[i]
        if means.size:
            means[i] = alpha * means[i] + fresh * d
            spread -= means[i] * means[i]
        d /= np.sqrt(spread) + eps
        if bs.size:
            bs[i] = momentum * bs[i] + d
            d = bs[i]
        ps[i] -= lr * d


@jit
def _adagrad(t, me, args):
    p, g, s, lr, eps, weight_decay = fetch(args)
    a, z = t * BLOCK, (t + 1) * BLOCK
    ps, gs, ss = p[a:z], g[a:z], s[a:z]
    for i in range(ps.size):
        d = gs[i] + weight_decay * ps[i]
        ss[i] += d * d
        ps[i] -= lr * d / (np.sqrt(ss[i]) + eps)


def sgd_step(
    p: Array,
    g: Array,
    b: Array | None,
    first: bool,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    if not _flat(p, g, b):
        return numpy_optim.sgd_step(p, g, b, first, lr, momentum, dampening, weight_decay, nesterov)
    f = p.dtype.type
    launch(
        _sgd,
        -(-p.size // BLOCK),
        *_lines(p, g, b),
        first,
        f(lr),
        f(momentum),
        f(1 - dampening),
        f(weight_decay),
        nesterov,
    )


def adam_step(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    if not _flat(p, g, m, v):
        return numpy_optim.adam_step(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, decoupled)
    keep, decay = (1 - lr * weight_decay, 0) if decoupled else (1, weight_decay)
    root = 1 / math.sqrt(1 - beta2**step)
    factors = keep, decay, beta1, 1 - beta1, beta2, 1 - beta2, root, eps, lr / (1 - beta1**step)
    launch(_adam, -(-p.size // BLOCK), *_lines(p, g, m, v), *map(p.dtype.type, factors))


def rmsprop_step(
    p: Array,
    g: Array,
    v: Array,
    mean: Array | None,
    b: Array | None,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
) -> None:
    if not _flat(p, g, v, mean, b):
        return numpy_optim.rmsprop_step(p, g, v, mean, b, lr, alpha, eps, weight_decay, momentum)
    launch(
        _rmsprop,
        -(-p.size // BLOCK),
        *_lines(p, g, v, mean, b),
        *map(p.dtype.type, (lr, alpha, 1 - alpha, eps, weight_decay, momentum)),
    )


def adagrad_step(p: Array, g: Array, s: Array, lr: float, eps: float, weight_decay: float) -> None:
    if not _flat(p, g, s):
        return numpy_optim.adagrad_step(p, g, s, lr, eps, weight_decay)
    launch(_adagrad, -(-p.size // BLOCK), *_lines(p, g, s), *map(p.dtype.type, (lr, eps, weight_decay)))


def _flat(*arrays: Array | None) -> bool:
    """Whether all can be walked as one line, in place, in the kernels' types."""
    return all(a is None or (a.flags.carray and a.dtype.char in "fd") for a in arrays)


def _lines(*arrays: Array | None) -> list[Array]:
    """Each as a line; an empty one for None."""
    dtype = arrays[0].dtype  # type: ignore[union-attr]
    return [np.empty(0, dtype) if a is None else a.reshape(-1) for a in arrays]
