"""Optimiser updates in NumPy, in place on the parameter and its state; reference_optim.py has the formulas.

Factors such as 1 − β are worked out in Python's doubles and rounded once: float32 is 5e-5 off in 1 − 0.999.
"""

from __future__ import annotations

import math

import numpy as np

from tinymed.kernels.reference_optim import each_parameter

Array = np.ndarray


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
    if weight_decay:
        g = g + weight_decay * p
    if b is not None:
        if first:
            b[...] = g
        else:
            b *= momentum
            b += g if dampening == 0 else (1 - dampening) * g
        g = g + momentum * b if nesterov else b
    p -= lr * g


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
    if weight_decay and decoupled:
        p *= 1 - lr * weight_decay
    elif weight_decay:
        g = g + weight_decay * p
    t = np.empty_like(p)
    np.multiply(g, 1 - beta1, out=t)
    m *= beta1
    m += t
    np.multiply(g, g, out=t)
    t *= 1 - beta2
    v *= beta2
    v += t
    np.sqrt(v, out=t)
    t *= 1 / math.sqrt(1 - beta2**step)
    t += eps
    np.divide(m, t, out=t)
    t *= lr / (1 - beta1**step)
    p -= t


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
    if weight_decay:
        g = g + weight_decay * p
    v *= alpha
    v += (1 - alpha) * g * g
    if mean is None:
        spread = np.sqrt(v)
    else:
        mean *= alpha
        mean += (1 - alpha) * g
        spread = np.sqrt(v - mean * mean)
    spread += eps
    if b is None:
        p -= lr * g / spread
    else:
        b *= momentum
        b += g / spread
        p -= lr * b


@each_parameter
def adagrad_step(
    p: Array, g: Array, s: Array, step: int, lr: float, lr_decay: float, eps: float, weight_decay: float
) -> None:
    if weight_decay:
        g = g + weight_decay * p
    s += g * g
    spread = np.sqrt(s)
    spread += eps
    p -= lr / (1 + (step - 1) * lr_decay) * g / spread
