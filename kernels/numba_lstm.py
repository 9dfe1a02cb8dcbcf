"""The LSTM in Numba (article 4.3): its cell, the cell's gradient, the whole sequence."""

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
from tinymed.kernels.numba_tanh import sigmoid, tanh

Array = np.ndarray


@jit
def _lstm(task, me, args):
    x, h0, c0, b, strips, offsets, height, both, gates, hs, cs = fetch(args)
    (T, N, H), apart = hs.shape, x.shape[2] == 0  # W_ih·x_t is there already
    flat = gates.reshape(-1)
    r0, r1 = task * height, min(N, (task + 1) * height)
    for t in range(T):
        beside(x[t], hs[t - 1] if t else h0, r0, r1, both)
        times(both, r0, r1, strips, offsets, flat, t * N * 4 * H, 4 * H, apart)
        before = cs[t - 1] if t else c0
        for n in range(r0, r1):
            _lstm_cell(gates[t, n], b, before[n], cs[t, n], hs[t, n])


@jit
def _lstm_cell(gates, b, before, c, h):
    for j in range(h.size):
        i, f = sigmoid(gates[0, j] + b[0, j]), sigmoid(gates[1, j] + b[1, j])
        g, o = tanh(gates[2, j] + b[2, j]), sigmoid(gates[3, j] + b[3, j])
        new = f * before[j] + i * g
        gates[0, j], gates[1, j], gates[2, j], gates[3, j] = i, f, g, o
        c[j] = new
        h[j] = o * tanh(new)


@of_floats
def lstm(
    x: Array, h0: Array, c0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array
) -> tuple[Array, Array, Array]:
    """c_t = f∘c_{t−1} + i∘g,  h_t = o∘tanh(c_t) → hs (T,N,H), cs (T,N,H), gates i f g o (T,N,4H)."""
    T, N, H = *x.shape[:2], h0.shape[1]
    height = share_out(N)
    part, w = joined(x, w_ih, w_hh, height)
    gates = np.empty((T, N, 4 * H), x.dtype) if part.shape[2] else inputs(x, w_ih)
    hs, cs, both = (np.empty(size, x.dtype) for size in ((T, N, H), (T, N, H), (N, w.shape[1])))
    launch(
        *(_lstm, -(-N // height), plain(part), plain(h0), plain(c0), (b_ih + b_hh).reshape(4, H)),
        *(*in_strips(w.T), height, both, gates.reshape(T, N, 4, H), hs, cs),
    )
    return hs, cs, gates


@jit
def _lstm_grad(task, me, args):
    gh, gc, x, h0, hs, c0, cs, gates, strips, offsets, height, da, dboth, dc, both, gx = fetch(args)
    (T, N, H), I = gh.shape, gx.shape[2]
    flat = dboth.reshape(-1)
    r0, r1 = task * height, min(N, (task + 1) * height)
    for t in range(T - 1, -1, -1):
        before = cs[t - 1] if t else c0
        for n in range(r0, r1):
            if gc.size:
                for j in range(H):
                    dc[n, j] += gc[t, n, j]
            _lstm_cell_grad(gh[t, n], gates[t, n], before[n], cs[t, n], dboth[n, I:], dc[n], da[t, n])
        times(da[t].reshape(N, 4 * H), r0, r1, strips, offsets, flat, 0, I + H, False)
        for n in range(r0, r1):
            gx[t, n] = dboth[n, :I]
        beside(x[t], hs[t - 1] if t else h0, r0, r1, both[t])


@jit
def _lstm_cell_grad(gh, gates, before, c, dh, dc, da):
    one = gh.dtype.type(1)
    for j in range(gh.size):
        i, f, g, o = gates[0, j], gates[1, j], gates[2, j], gates[3, j]
        bent = tanh(c[j])
        into_h = gh[j] + dh[j]
        into_c = dc[j] + into_h * o * (one - bent * bent)
        da[0, j] = into_c * g * i * (one - i)
        da[1, j] = into_c * before[j] * f * (one - f)
        da[2, j] = into_c * i * (one - g * g)
        da[3, j] = into_h * bent * o * (one - o)
        dc[j] = into_c * f


@of_floats
def lstm_grad(
    gh: Array,
    gc: Array | None,
    x: Array,
    h0: Array,
    c0: Array,
    hs: Array,
    cs: Array,
    gates: Array,
    w_ih: Array,
    w_hh: Array,
) -> tuple[Array, ...]:
    """gh and gc (T,N,H), into every h_t and c_t → gx, gh0, gc0, gw_ih, gw_hh, gb."""
    T, N, I, H = *x.shape, h0.shape[1]
    height = share_out(N)
    part, w = joined(x, w_ih, w_hh, height)
    da, both, gx = (np.empty((T, N, *size), hs.dtype) for size in ((4, H), (I + H,), (part.shape[2],)))
    dboth, dc = np.zeros((N, w.shape[1]), hs.dtype), np.zeros((N, H), hs.dtype)
    gc = np.empty((0, 0, 0), hs.dtype) if gc is None else plain(gc)
    gates = plain(gates).reshape(T, N, 4, H)
    launch(
        *(_lstm_grad, -(-N // height), plain(gh), gc, plain(x), plain(h0), plain(hs), plain(c0), plain(cs), gates),
        *(*in_strips(w), height, da, dboth, dc, both, gx),
    )
    da = da.reshape(T, N, 4 * H)
    gx, gw = gx if part.shape[2] else input_grad(da, w_ih), weight_grad(da, both)
    return gx, dboth[:, -H:].copy(), dc, gw[:, :I], gw[:, I:], bias_grad(da)
