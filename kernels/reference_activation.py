"""Activations, softmax and the loss of several classes as plain loops, in the letters of their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

# ---------------------------------------------------------------- activations (article 1.4.3, 4.2.1)


def relu(x: float) -> float:
    """max(0, x)"""
    return 0.0 if x <= 0 else x  # NaN passes, as everywhere


def relu_slope(x: float) -> float:
    """1 where x > 0, else 0"""
    return float(x > 0)


def relu6(x: float) -> float:
    """min(max(0, x), 6)"""
    return 6.0 if x >= 6 else relu(x)


def relu6_slope(x: float) -> float:
    """1 where 0 < x < 6, else 0"""
    return float(0 < x < 6)


def sigmoid(a: float) -> float:
    """σ(a) = 1 / (1 + e^−a), written so that e^… never overflows."""
    if a >= 0:
        return 1 / (1 + math.exp(-a))
    return math.exp(a) / (1 + math.exp(a))


def sigmoid_slope(x: float) -> float:
    """y·(1 − y), y = σ(x)"""
    return sigmoid(x) * (1 - sigmoid(x))


def elementwise(f: Callable[[Any], float], x: np.ndarray) -> np.ndarray:
    """y = f(x), number by number"""
    y = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        y[at] = f(x[at])
    return y


def elementwise_grad(slope: Callable[[Any], float], g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """∂L/∂x = g · f′(x), number by number"""
    gx = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        gx[at] = g[at] * slope(x[at])
    return gx


def softmax(x: np.ndarray, log: bool) -> np.ndarray:
    """y[n,c,i] = e^x[n,c,i] / Σ_k e^x[n,k,i], with the largest x taken out first, which changes no quotient

    log: ln y[n,c,i] = x[n,c,i] − top − ln Σ_k e^(x[n,k,i] − top), right also where y is too small for a float
    """
    (N, C, P), y = x.shape, np.zeros_like(x)
    for n, i in np.ndindex(N, P):
        top = max(x[n, :, i])
        total = 0.0
        for c in range(C):
            total += np.exp(x[n, c, i] - top)
        for c in range(C):
            y[n, c, i] = x[n, c, i] - top - np.log(total) if log else np.exp(x[n, c, i] - top) / total
    return y


def softmax_grad(g: np.ndarray, y: np.ndarray, log: bool) -> np.ndarray:
    """∂L/∂x[n,c,i] = y · (g − Σ_k g[n,k,i]·y[n,k,i]);  for the logarithm y: g − e^y · Σ_k g[n,k,i]"""
    gx = np.empty_like(y)
    for n, c, i in np.ndindex(y.shape):
        if log:
            gx[n, c, i] = g[n, c, i] - np.exp(y[n, c, i]) * sum(g[n, :, i])
        else:
            gx[n, c, i] = y[n, c, i] * (g[n, c, i] - sum(g[n, :, i] * y[n, :, i]))
    return gx


# ---------------------------------------------------------------- the loss of several classes (article 3.1.2, Softmax)


def cross_entropy(x: np.ndarray, t: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ℓ = −w · ln p[t],  p = softmax(x) over classes;  x (N,C,P), classes t and weights w (N,P) → ℓ (N,P), p (N,C,P)"""
    loss, log_p = np.zeros_like(w), softmax(x, log=True)  # right also where p is too small for a float
    for n, i in np.ndindex(t.shape):
        loss[n, i] = -w[n, i] * log_p[n, t[n, i], i]
    return loss, np.exp(log_p)


def cross_entropy_grad(g: np.ndarray, p: np.ndarray, t: np.ndarray, w: np.ndarray) -> np.ndarray:
    """∂ℓ/∂x[c] = w · (p[c] − 1 where c is t, else p[c]), for g (N,P) into ℓ → (N,C,P)"""
    gx = np.zeros_like(p)
    for n, c, i in np.ndindex(p.shape):
        gx[n, c, i] = g[n, i] * w[n, i] * (p[n, c, i] - (c == t[n, i]))
    return gx
