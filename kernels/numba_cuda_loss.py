"""Softmax and cross-entropy on the device: a thread for each place of each sample walks over the classes."""

from __future__ import annotations

import math

from numba import cuda

from tinymed.kernels import numpy_backend
from tinymed.kernels.numba_cuda_device import ONE, ZERO, Array, empty, for_each, hosted


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
