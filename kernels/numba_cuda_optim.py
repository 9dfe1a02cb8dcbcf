"""Optimiser updates on the device, a thread for each number; reference_optim.py has the formulas.

Factors are worked out in Python's doubles and rounded once, as in numpy_optim.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from numba import cuda

from tinymed.kernels import numpy_optim
from tinymed.kernels.numba_cuda_device import Array, for_each, on_device, to_device
from tinymed.kernels.reference_optim import each_parameter


@cuda.jit
def _sgd(p, g, b, first, lr, momentum, fresh, weight_decay, nesterov):
    """d = g + λ·p;  b ← μ·b + (1 − τ)·d, the first time b ← d;  p ← p − η·b"""
    i = cuda.grid(1)
    if i < p.size:
        d = g[i] + weight_decay * p[i]
        if b.size > 0:
            b[i] = d if first else momentum * b[i] + fresh * d
            d = d + momentum * b[i] if nesterov else b[i]
        p[i] -= lr * d


@cuda.jit
def _adam(p, g, m, v, keep, decay, beta1, fresh1, beta2, fresh2, root, eps, lr):
    """m ← β1·m + (1 − β1)·d;  v ← β2·v + (1 − β2)·d²;  p ← p − η·m̂ / (√v̂ + ε): lr and root hold the hats"""
    i = cuda.grid(1)
    if i < p.size:
        d = g[i] + decay * p[i]
        m[i] = beta1 * m[i] + fresh1 * d
        v[i] = beta2 * v[i] + fresh2 * d * d
        p[i] = keep * p[i] - lr * m[i] / (math.sqrt(v[i]) * root + eps)


@cuda.jit
def _rmsprop(p, g, v, mean, b, lr, alpha, fresh, eps, weight_decay, momentum):
    """v ← α·v + (1 − α)·d²;  p ← p − η·d / (√v + ε), with v − mean² where centred, through b with momentum"""
    i = cuda.grid(1)
    if i < p.size:
        d = g[i] + weight_decay * p[i]
        v[i] = alpha * v[i] + fresh * d * d
        spread = v[i]
        if mean.size > 0:
            mean[i] = alpha * mean[i] + fresh * d
            spread -= mean[i] * mean[i]
        d /= math.sqrt(spread) + eps
        if b.size > 0:
            b[i] = momentum * b[i] + d
            d = b[i]
        p[i] -= lr * d


@cuda.jit
def _adagrad(p, g, s, lr, eps, weight_decay):
    """s ← s + d²;  p ← p − η·d / (√s + ε)"""
    i = cuda.grid(1)
    if i < p.size:
        d = g[i] + weight_decay * p[i]
        s[i] += d * d
        p[i] -= lr * d / (math.sqrt(s[i]) + eps)


# ---------------------------------------------------------------- what starts them


def _in_place(step: Callable) -> Callable:
    """hosted() for what changes its arguments: all arrays but the gradient, the second, are copied back."""
    other = getattr(numpy_optim, step.__name__)

    @each_parameter
    @wraps(step)
    def run(*args: Any) -> None:
        if not on_device(args[0]) and args[0].dtype.char not in "fd":
            return other(*([a] if isinstance(a, np.ndarray) else a for a in args))
        copies = [to_device(a) for a in args]
        step(*copies)
        for k, (a, copy) in enumerate(zip(args, copies)):
            if isinstance(a, np.ndarray) and k != 1:
                a[...] = copy.copy_to_host().reshape(a.shape)

    return run


def _lines(p: Array, *rest: Array | None) -> list[Array]:
    """Each array as a line; an empty one for None."""
    nothing = to_device(np.empty(0, p.dtype))
    return [nothing if a is None else a.reshape(a.size) for a in (p, *rest)]


@_in_place
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
    lr, momentum, fresh, weight_decay = map(p.dtype.type, (lr, momentum, 1 - dampening, weight_decay))
    for_each(p.size, _sgd, *_lines(p, g, b), first, lr, momentum, fresh, weight_decay, nesterov)


@_in_place
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
    keep, decay = (1 - lr * weight_decay, 0) if decoupled else (1, weight_decay)
    root = 1 / math.sqrt(1 - beta2**step)
    factors = keep, decay, beta1, 1 - beta1, beta2, 1 - beta2, root, eps, lr / (1 - beta1**step)
    for_each(p.size, _adam, *_lines(p, g, m, v), *map(p.dtype.type, factors))


@_in_place
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
    factors = lr, alpha, 1 - alpha, eps, weight_decay, momentum
    for_each(p.size, _rmsprop, *_lines(p, g, v, mean, b), *map(p.dtype.type, factors))


@_in_place
def adagrad_step(
    p: Array, g: Array, s: Array, step: int, lr: float, lr_decay: float, eps: float, weight_decay: float
) -> None:
    rate = lr / (1 + (step - 1) * lr_decay)
    for_each(p.size, _adagrad, *_lines(p, g, s), *map(p.dtype.type, (rate, eps, weight_decay)))
