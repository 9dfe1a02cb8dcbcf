"""The plain recurrent layer in Numba (article 4.2): its step, its gradient, the whole sequence."""

from __future__ import annotations

import numpy as np

from tinymed.kernels.numba_jit import jit, of_floats, plain
from tinymed.kernels.numba_launch import fetch, launch
from tinymed.kernels.numba_steps import beside, both_grads, in_strips, inputs, share_out, times
from tinymed.kernels.numba_tanh import tanh

Array = np.ndarray


@jit
def _rnn(task, me, args):
    hs, h0, b, strips, offsets, relu, height = fetch(args)
    T, N, H = hs.shape
    flat = hs.reshape(-1)
    zero = hs.dtype.type(0)
    r0, r1 = task * height, min(N, (task + 1) * height)
    for t in range(T):
        times(hs[t - 1] if t else h0, r0, r1, strips, offsets, flat, t * N * H, H, True)
        for n in range(r0, r1):
            row = hs[t, n]
            if relu:
                for j in range(H):
                    a = row[j] + b[j]
                    row[j] = zero if a < zero else a
            else:
                for j in range(H):
                    row[j] = tanh(row[j] + b[j])


@of_floats
def rnn(x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, nonlinearity: str) -> Array:
    """h_t = φ(W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh) → hs (T,N,H);  φ is tanh or relu."""
    hs = inputs(x, w_ih)
    height, offsets = share_out(hs.shape[1], hs.shape[2], hs.dtype)
    relu = nonlinearity == "relu"
    launch(_rnn, -(-len(h0) // height), hs, plain(h0), b_ih + b_hh, in_strips(w_hh.T), offsets, relu, height)
    return hs


@jit
def _rnn_grad(task, me, args):
    g, x, h0, hs, strips, offsets, relu, height, da, dh, both = fetch(args)
    T, N, H = g.shape
    flat = dh.reshape(-1)
    zero, one = g.dtype.type(0), g.dtype.type(1)
    r0, r1 = task * height, min(N, (task + 1) * height)
    for t in range(T - 1, -1, -1):
        for n in range(r0, r1):
            for j in range(H):
                h = hs[t, n, j]
                slope = (one if h > zero else zero) if relu else one - h * h
                da[t, n, j] = (g[t, n, j] + dh[n, j]) * slope
        times(da[t], r0, r1, strips, offsets, flat, 0, H, False)
        beside(x[t], hs[t - 1] if t else h0, r0, r1, both[t])


@of_floats
def rnn_grad(
    g: Array, x: Array, h0: Array, hs: Array, w_ih: Array, w_hh: Array, nonlinearity: str
) -> tuple[Array, ...]:
    """g (T,N,H), into every h_t → gx, gh0, gw_ih, gw_hh, gb."""
    da, dh = np.empty_like(hs), np.zeros(h0.shape, hs.dtype)
    both = np.empty((*x.shape[:2], x.shape[2] + h0.shape[1]), hs.dtype)
    height, offsets = share_out(h0.shape[0], h0.shape[1], hs.dtype)
    launch(
        _rnn_grad,
        -(-len(h0) // height),
        plain(g),
        plain(x),
        plain(h0),
        plain(hs),
        in_strips(w_hh),
        offsets,
        nonlinearity == "relu",
        height,
        da,
        dh,
        both,
    )
    gx, gw_ih, gw_hh, gb = both_grads(da, both, w_ih)
    return gx, dh, gw_ih, gw_hh, gb
