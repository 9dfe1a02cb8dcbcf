"""Optimiser updates as their formulas, one number at a time, in place on the parameter p and its state.

g is the gradient ∂L/∂p, η the learning rate lr, λ the weight decay.

A step is called for all parameters at once, adam_step([p, …], [g, …], [m, …], [v, …], [t, …], lr, …), all of one
number type: fast backends run through them as if they were one. Here it goes one parameter after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

Array = np.ndarray


def each_parameter(step: Callable[..., None]) -> Callable[..., None]:
    """The step of one parameter, made one for all: of each list it takes an entry, of all else the whole."""

    @wraps(step)
    def steps(ps: list[Array], *args: Any) -> None:
        for k, p in enumerate(ps):
            step(p, *(a[k] if isinstance(a, list) else a for a in args))

    return steps


@each_parameter
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
    """d = g + λ·p;  b ← μ·b + (1 − τ)·d, the first time b ← d;  p ← p − η·b

    μ momentum, τ dampening. With nesterov p ← p − η·(d + μ·b). Without momentum b is None, and p ← p − η·d.
    """
    for i in np.ndindex(p.shape):
        d = g[i] + weight_decay * p[i]
        if b is not None:
            b[i] = d if first else momentum * b[i] + (1 - dampening) * d
            d = d + momentum * b[i] if nesterov else b[i]
        p[i] = p[i] - lr * d


@each_parameter
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
    """m ← β1·m + (1 − β1)·d;  v ← β2·v + (1 − β2)·d²;  p ← p − η·m̂ / (√v̂ + ε)        (Kingma and Ba 2015)

    m̂ = m / (1 − β1^t), v̂ = v / (1 − β2^t), t the number of the step from 1; d = g + λ·p.
    With decoupled decay d = g, and p ← (1 − η·λ)·p comes first: AdamW (Loshchilov and Hutter 2019).
    """
    for i in np.ndindex(p.shape):
        d = g[i] if decoupled else g[i] + weight_decay * p[i]
        if decoupled:
            p[i] = (1 - lr * weight_decay) * p[i]
        m[i] = beta1 * m[i] + (1 - beta1) * d
        v[i] = beta2 * v[i] + (1 - beta2) * d * d
        m_hat = m[i] / (1 - beta1**step)
        v_hat = v[i] / (1 - beta2**step)
        p[i] = p[i] - lr * m_hat / (math.sqrt(v_hat) + eps)


@each_parameter
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
    """v ← α·v + (1 − α)·d²;  p ← p − η·d / (√v + ε), d = g + λ·p        (Hinton, Coursera lecture 6e, 2012)

    Centred: mean ← α·mean + (1 − α)·d, and √(v − mean²) in the place of √v (Graves 2013); else mean is None.
    With momentum μ: b ← μ·b + d / (√v + ε), p ← p − η·b; else b is None.
    """
    for i in np.ndindex(p.shape):
        d = g[i] + weight_decay * p[i]
        v[i] = alpha * v[i] + (1 - alpha) * d * d
        spread = v[i]
        if mean is not None:
            mean[i] = alpha * mean[i] + (1 - alpha) * d
            spread = v[i] - mean[i] * mean[i]
        d = d / (math.sqrt(spread) + eps)
        if b is not None:
            b[i] = momentum * b[i] + d
            d = b[i]
        p[i] = p[i] - lr * d


@each_parameter
def adagrad_step(
    p: Array, g: Array, s: Array, step: int, lr: float, lr_decay: float, eps: float, weight_decay: float
) -> None:
    """s ← s + d²;  p ← p − η·d / (√s + ε), d = g + λ·p        (Duchi, Hazan and Singer 2011)

    η = lr / (1 + (t − 1)·lr_decay), t the number of the step from 1.
    """
    lr = lr / (1 + (step - 1) * lr_decay)
    for i in np.ndindex(p.shape):
        d = g[i] + weight_decay * p[i]
        s[i] = s[i] + d * d
        p[i] = p[i] - lr * d / (math.sqrt(s[i]) + eps)
