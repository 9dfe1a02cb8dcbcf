"""Softmax and cross-entropy on the device: a thread for each place of each sample walks over the classes."""

from __future__ import annotations

import math

from numba import cuda

from tinymed.kernels import numpy_backend
from tinymed.kernels.numba_cuda_device import ONE, ZERO, Array, empty, for_each, hosted


@cuda.jit
def _softmax(x, log, y):
    """y[c] = e^(x[c] − top) / Σ e^(x[c] − top), or its logarithm"""
    at = cuda.grid(1)
    if at < x.shape[0] * x.shape[2]:
        n, i = at // x.shape[2], at % x.shape[2]
        top = x[n, 0, i]
        for c in range(1, x.shape[1]):
            top = max(top, x[n, c, i])
        total = ZERO
        for c in range(x.shape[1]):
            total += math.exp(x[n, c, i] - top)
        for c in range(x.shape[1]):
            if log:
                y[n, c, i] = x[n, c, i] - top - math.log(total)
            else:
                y[n, c, i] = math.exp(x[n, c, i] - top) / total


@cuda.jit
def _softmax_grad(g, y, log, gx):
    """∂L/∂x[c] = y[c] · (g[c] − Σ g·y), and for the logarithm g[c] − e^y[c] · Σ g"""
    at = cuda.grid(1)
    if at < y.shape[0] * y.shape[2]:
        n, i = at // y.shape[2], at % y.shape[2]
        total = ZERO
        for c in range(y.shape[1]):
            total += g[n, c, i] if log else g[n, c, i] * y[n, c, i]
        for c in range(y.shape[1]):
            if log:
                gx[n, c, i] = g[n, c, i] - math.exp(y[n, c, i]) * total
            else:
                gx[n, c, i] = y[n, c, i] * (g[n, c, i] - total)


@cuda.jit
def _cross_entropy(x, t, w, loss, p):
    """ℓ = −w · ln p[t],  p[c] = e^(x[c] − top) / Σ e^(x[c] − top): the largest taken out changes no quotient"""
    at = cuda.grid(1)
    if at < loss.size:
        n, i = at // loss.shape[1], at % loss.shape[1]
        top = x[n, 0, i]
        for c in range(1, x.shape[1]):
            top = max(top, x[n, c, i])
        total = ZERO
        for c in range(x.shape[1]):
            p[n, c, i] = math.exp(x[n, c, i] - top)
            total += p[n, c, i]
        for c in range(x.shape[1]):
            p[n, c, i] /= total
        loss[n, i] = w[n, i] * (math.log(total) + top - x[n, t[n, i], i])


@cuda.jit
def _cross_entropy_grad(g, p, t, w, gx):
    """∂ℓ/∂x[c] = w · (p[c] − 1 where c is t, else p[c])"""
    at = cuda.grid(1)
    if at < g.size:
        n, i = at // g.shape[1], at % g.shape[1]
        for c in range(p.shape[1]):
            gx[n, c, i] = g[n, i] * w[n, i] * (p[n, c, i] - (ONE if c == t[n, i] else ZERO))


@hosted(numpy_backend.softmax)
def softmax(x: Array, log: bool) -> Array:
    """softmax of x (N,C,P) over C, or its logarithm"""
    y = empty(tuple(x.shape), x.dtype)
    for_each(x.shape[0] * x.shape[2], _softmax, x, log, y)
    return y


@hosted(numpy_backend.softmax_grad)
def softmax_grad(g: Array, y: Array, log: bool) -> Array:
    """From g into y, which softmax gave, to g into x: (N,C,P)"""
    gx = empty(tuple(y.shape), y.dtype)
    for_each(y.shape[0] * y.shape[2], _softmax_grad, g, y, log, gx)
    return gx


@hosted(numpy_backend.cross_entropy)
def cross_entropy(x: Array, t: Array, w: Array) -> tuple[Array, Array]:
    """−w · ln softmax(x)[t], and softmax(x): x (N,C,P), t and w (N,P) → (N,P), (N,C,P)"""
    loss, p = empty(tuple(w.shape), w.dtype), empty(tuple(x.shape), x.dtype)
    for_each(loss.size, _cross_entropy, x, t, w, loss, p)
    return loss, p


@hosted(numpy_backend.cross_entropy_grad)
def cross_entropy_grad(g: Array, p: Array, t: Array, w: Array) -> Array:
    """g · w · (softmax(x) − 1 at t) → (N,C,P)"""
    gx = empty(tuple(p.shape), p.dtype)
    for_each(g.size, _cross_entropy_grad, g, p, t, w, gx)
    return gx
