"""The plain recurrent layer in Numba (article 4.2): its step, its gradient, the whole sequence."""

from __future__ import annotations

import numpy as np

from tinymed.kernels.numba_jit import jit, of_floats, plain
from tinymed.kernels.numba_launch import fetch, launch
from tinymed.kernels.numba_steps import (
    beside,
    bias_grad,
    in_strips,
    input_grad,
    inputs,
    joined,
    share_out,
    times,
    weight_grad,
)
from tinymed.kernels.numba_tanh import tanh

Array = np.ndarray


@jit
def _rnn(task, me, args):
    x, h0, b, strips, offsets, relu, height, both, hs = fetch(args)
    (T, N, H), apart = hs.shape, x.shape[2] == 0  # W_ih·x_t is there already
    flat = hs.reshape(-1)
    zero = hs.dtype.type(0)
    r0, r1 = task * height, min(N, (task + 1) * height)
    for t in range(T):
        beside(x[t], hs[t - 1] if t else h0, r0, r1, both)
        times(both, r0, r1, strips, offsets, flat, t * N * H, H, apart)
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
    T, N, H = *x.shape[:2], h0.shape[1]
    height, relu = share_out(N), nonlinearity == "relu"
    part, w = joined(x, w_ih, w_hh, height)
    hs = np.empty((T, N, H), x.dtype) if part.shape[2] else inputs(x, w_ih)
    both = np.empty((N, w.shape[1]), x.dtype)
    launch(_rnn, -(-N // height), plain(part), plain(h0), b_ih + b_hh, *in_strips(w.T), relu, height, both, hs)
    return hs


@jit
def _rnn_grad(task, me, args):
    g, x, h0, hs, strips, offsets, relu, height, da, dboth, both, gx = fetch(args)
    (T, N, H), I = g.shape, gx.shape[2]
    flat = dboth.reshape(-1)
    zero, one = g.dtype.type(0), g.dtype.type(1)
    r0, r1 = task * height, min(N, (task + 1) * height)
    for t in range(T - 1, -1, -1):
        for n in range(r0, r1):
            for j in range(H):
                h = hs[t, n, j]
                slope = (one if h > zero else zero) if relu else one - h * h
                da[t, n, j] = (g[t, n, j] + dboth[n, I + j]) * slope
        times(da[t], r0, r1, strips, offsets, flat, 0, I + H, False)
        for n in range(r0, r1):
            gx[t, n] = dboth[n, :I]
        beside(x[t], hs[t - 1] if t else h0, r0, r1, both[t])


@of_floats
def rnn_grad(
    g: Array, x: Array, h0: Array, hs: Array, w_ih: Array, w_hh: Array, nonlinearity: str
) -> tuple[Array, ...]:
    """g (T,N,H), into every h_t → gx, gh0, gw_ih, gw_hh, gb."""
    T, N, I, H = *x.shape, h0.shape[1]
    height, relu = share_out(N), nonlinearity == "relu"
    part, w = joined(x, w_ih, w_hh, height)
    da, both, gx = (np.empty((T, N, size), hs.dtype) for size in (H, I + H, part.shape[2]))
    dboth = np.zeros((N, w.shape[1]), hs.dtype)
    arrays = plain(g), plain(x), plain(h0), plain(hs)
    launch(_rnn_grad, -(-N // height), *arrays, *in_strips(w), relu, height, da, dboth, both, gx)
    gx, gw = gx if part.shape[2] else input_grad(da, w_ih), weight_grad(da, both)
    return gx, dboth[:, -H:].copy(), gw[:, :I], gw[:, I:], bias_grad(da)
