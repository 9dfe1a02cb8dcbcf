"""The GRU in Numba: its cell, the cell's gradient, the whole sequence."""

from __future__ import annotations

import numpy as np

from tinymed.kernels.numba_jit import jit, of_floats, plain
from tinymed.kernels.numba_launch import fetch, launch
from tinymed.kernels.numba_steps import (
    bias_grad,
    in_strips,
    input_grad,
    inputs,
    share_out,
    states_before,
    times,
    weight_grad,
)
from tinymed.kernels.numba_tanh import sigmoid, tanh

Array = np.ndarray


@jit
def _gru(task, me, args):
    from_x, h0, strips, offsets, b_ih, b_hh, height, from_h, hs, gates = fetch(args)
    T, N, H = hs.shape
    flat = from_h.reshape(-1)
    r0, r1 = task * height, min(N, (task + 1) * height)
    for t in range(T):
        before = hs[t - 1] if t else h0
        times(before, r0, r1, strips, offsets, flat, 0, 3 * H, False)
        for n in range(r0, r1):
            _gru_cell(from_x[t, n], from_h[n], b_ih, b_hh, before[n], gates[t, n], hs[t, n])


@jit
def _gru_cell(from_x, from_h, b_ih, b_hh, before, gates, h):
    for j in range(h.size):
        r = sigmoid(from_x[0, j] + b_ih[0, j] + from_h[0, j] + b_hh[0, j])
        z = sigmoid(from_x[1, j] + b_ih[1, j] + from_h[1, j] + b_hh[1, j])
        m = from_h[2, j] + b_hh[2, j]
        n = tanh(from_x[2, j] + b_ih[2, j] + r * m)
        gates[0, j], gates[1, j], gates[2, j], gates[3, j] = r, z, n, m
        h[j] = n + z * (before[j] - n)


@of_floats
def gru(x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array) -> tuple[Array, Array]:
    """n = tanh(W_in·x + b_in + r∘m),  h_t = (1 − z)∘n + z∘h_{t−1} → hs (T,N,H), gates r z n m (T,N,4H).

    m = W_hn·h_{t−1} + b_hn is the hidden part of n, before r multiplies it.
    """
    from_x = inputs(x, w_ih)
    T, N, H = *x.shape[:2], h0.shape[1]
    hs, gates, from_h = (np.empty(size, from_x.dtype) for size in ((T, N, H), (T, N, 4, H), (N, 3, H)))
    height = share_out(N)
    launch(
        _gru,
        -(-len(h0) // height),
        from_x.reshape(T, N, 3, H),
        plain(h0),
        *in_strips(w_hh.T),
        plain(b_ih).reshape(3, H),
        plain(b_hh).reshape(3, H),
        height,
        from_h,
        hs,
        gates,
    )
    return hs, gates.reshape(T, N, 4 * H)


@jit
def _gru_grad(task, me, args):
    g, h0, hs, gates, strips, offsets, height, da_x, da_h, dh, direct = fetch(args)
    T, N, H = g.shape
    flat = dh.reshape(-1)
    r0, r1 = task * height, min(N, (task + 1) * height)
    for t in range(T - 1, -1, -1):
        before = hs[t - 1] if t else h0
        for n in range(r0, r1):
            _gru_cell_grad(g[t, n], gates[t, n], before[n], dh[n], da_x[t, n], da_h[t, n], direct[n])
        times(da_h[t].reshape(N, 3 * H), r0, r1, strips, offsets, flat, 0, H, False)
        for n in range(r0, r1):
            for j in range(H):
                dh[n, j] += direct[n, j]


@jit
def _gru_cell_grad(g, gates, before, dh, da_x, da_h, direct):
    one = g.dtype.type(1)
    for j in range(g.size):
        r, z, n, m = gates[0, j], gates[1, j], gates[2, j], gates[3, j]
        into_h = g[j] + dh[j]
        into_n = into_h * (one - z) * (one - n * n)
        into_r = into_n * m * r * (one - r)
        into_z = into_h * (before[j] - n) * z * (one - z)
        da_x[0, j], da_x[1, j], da_x[2, j] = into_r, into_z, into_n
        da_h[0, j], da_h[1, j], da_h[2, j] = into_r, into_z, into_n * r
        direct[j] = into_h * z


@of_floats
def gru_grad(g: Array, x: Array, h0: Array, hs: Array, gates: Array, w_ih: Array, w_hh: Array) -> tuple[Array, ...]:
    """g (T,N,H), into every h_t → gx, gh0, gw_ih, gw_hh, gb_ih, gb_hh."""
    T, N, H = hs.shape
    da_x, da_h = np.empty((T, N, 3, H), hs.dtype), np.empty((T, N, 3, H), hs.dtype)
    dh, direct = np.zeros((N, H), hs.dtype), np.empty((N, H), hs.dtype)
    height = share_out(N)
    gates = plain(gates).reshape(T, N, 4, H)
    launch(
        _gru_grad,
        -(-N // height),
        plain(g),
        plain(h0),
        plain(hs),
        gates,
        *in_strips(w_hh),
        height,
        da_x,
        da_h,
        dh,
        direct,
    )
    da_x, da_h = da_x.reshape(T, N, 3 * H), da_h.reshape(T, N, 3 * H)
    gw_ih, gw_hh = weight_grad(da_x, x), weight_grad(da_h, states_before(hs, h0))
    return input_grad(da_x, w_ih), dh, gw_ih, gw_hh, bias_grad(da_x), bias_grad(da_h)
