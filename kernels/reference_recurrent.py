"""Recurrent layers as plain loops: one number at a time, in the letters of the equations.

RNN: article 4.2. LSTM: Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000.
GRU: Cho et al. 2014, with r applied after the product, as in PyTorch.
Gate q of unit j has row q·H + j of each weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinymed.kernels.reference_activation import sigmoid

Array = np.ndarray


# ---------------------------------------------------------------- the parts of every cell


def dot(w: Array, v: Array | list[float]) -> float:
    """Σ_k w[k]·v[k]"""
    total = 0.0
    for k in range(len(v)):
        total += float(w[k]) * float(v[k])
    return total


def dot_grad(da: Array, w: Array, v: Array, gw: Array, gv: Array) -> None:
    """a[j] = Σ_k w[j,k]·v[k], backwards:  gw[j,k] += da[j]·v[k],  gv[k] += da[j]·w[j,k]"""
    for j in range(len(da)):
        for k in range(len(v)):
            gw[j, k] += da[j] * v[k]
            gv[k] += da[j] * w[j, k]


# ---------------------------------------------------------------- the article's form (4.2.1, 4.2.2)


def article_rnn(
    x: Any,
    h0: Any,
    W_h: Any,
    b_h: Any,
    W_y: Any,
    b_y: Any,
    activation: Callable[[float], float] = sigmoid,
    carry: Callable[[float], float] = float,
) -> tuple[Array, Array]:
    """h_t = σ(W_h·[h_{t−1}, x_t] + b_h),  y_t = σ(W_y·h_t + b_y) → h (T,H), y (T,O)

    x (T,I) or (T,), h0 (H,) or a number, W_h (H,H+I), b_h (H,), W_y (O,H), b_y (O,). Article 4.2.1 and 4.2.2;
    its 4.3.1 prints the same equations once more under the name of the LSTM.
    `carry` is what becomes of a state before it is used again: the example of 4.2.3 rounds it.
    Raises ValueError where the shapes do not fit, as those of 4.2.3 do not.
    """
    x, h0, W_h, b_h, W_y, b_y = (np.asarray(v, float) for v in (x, h0, W_h, b_h, W_y, b_y))
    x, h0, b_h, b_y = x.reshape(len(x), -1), h0.reshape(-1), b_h.reshape(-1), b_y.reshape(-1)
    (T, I), H, O = x.shape, len(h0), len(b_y)
    if W_h.shape != (H, H + I) or b_h.shape != (H,):
        raise ValueError(
            f"[h, x] joins {H} state and {I} input numbers, so W_h must be {H}x{H + I} and b_h {H}; "
            f"got W_h {'x'.join(map(str, W_h.shape))} and b_h {len(b_h)}"
        )
    if W_y.shape != (O, H):
        got = "x".join(map(str, W_y.shape))
        raise ValueError(f"W_y must be {O}x{H}, from {H} states to {O} outputs; got {got}")
    h, y = np.zeros((T, H)), np.zeros((T, O))
    h_before = h0
    for t in range(T):
        h_x = [*h_before, *x[t]]
        for j in range(H):
            h[t, j] = activation(dot(W_h[j], h_x) + b_h[j])
        h_before = [carry(h_j) for h_j in h[t]]
        for j in range(O):
            y[t, j] = activation(dot(W_y[j], h_before) + b_y[j])
    return h, y


# ---------------------------------------------------------------- plain RNN


def rnn(x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, nonlinearity: str) -> Array:
    """h_t = φ(W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh) → hs (T,N,H);  φ is tanh or relu."""
    (T, N, _), H = x.shape, h0.shape[1]
    hs = np.zeros((T, N, H), x.dtype)
    for n in range(N):
        h = h0[n]
        for t in range(T):
            for j in range(H):
                a = dot(w_ih[j], x[t, n]) + b_ih[j] + dot(w_hh[j], h) + b_hh[j]
                hs[t, n, j] = math.tanh(a) if nonlinearity == "tanh" else max(a, 0.0)
            h = hs[t, n]
    return hs


def rnn_grad(
    g: Array, x: Array, h0: Array, hs: Array, w_ih: Array, w_hh: Array, nonlinearity: str
) -> tuple[Array, ...]:
    """g (T,N,H), into every h_t → gx, gh0, gw_ih, gw_hh, gb;  tanh′ = 1 − h²,  relu′ = 1 where h > 0."""
    T, N, H = hs.shape
    gx, gh0, gw_ih, gw_hh = (np.zeros_like(v) for v in (x, h0, w_ih, w_hh))
    gb = np.zeros(H, w_ih.dtype)
    for n in range(N):
        dh = np.zeros(H)  # what flows back from the step after
        for t in reversed(range(T)):
            da = np.zeros(H)
            for j in range(H):
                h = hs[t, n, j]
                slope = 1 - h * h if nonlinearity == "tanh" else float(h > 0)
                da[j] = (g[t, n, j] + dh[j]) * slope
                gb[j] += da[j]
            dh = np.zeros(H)
            dot_grad(da, w_ih, x[t, n], gw_ih, gx[t, n])
            dot_grad(da, w_hh, hs[t - 1, n] if t else h0[n], gw_hh, dh)
        gh0[n] = dh
    return gx, gh0, gw_ih, gw_hh, gb


# ---------------------------------------------------------------- LSTM


def lstm(
    x: Array, h0: Array, c0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array
) -> tuple[Array, Array, Array]:
    """i, f, o = σ(·), g = tanh(·);  c_t = f∘c_{t−1} + i∘g,  h_t = o∘tanh(c_t)

    → hs (T,N,H), cs (T,N,H), gates i f g o (T,N,4H)
    """
    (T, N, _), H = x.shape, h0.shape[1]
    hs, cs, gates = (np.zeros((T, N, size), x.dtype) for size in (H, H, 4 * H))
    for n in range(N):
        h, c = h0[n], c0[n]
        for t in range(T):
            a = np.zeros(4 * H)
            for q in range(4 * H):
                a[q] = dot(w_ih[q], x[t, n]) + b_ih[q] + dot(w_hh[q], h) + b_hh[q]
            for j in range(H):
                i = sigmoid(a[j])  # how much of the new enters the memory
                f = sigmoid(a[H + j])  # how much of the old stays
                g = math.tanh(a[2 * H + j])  # the new
                o = sigmoid(a[3 * H + j])  # how much of the memory is shown
                cs[t, n, j] = f * c[j] + i * g
                hs[t, n, j] = o * math.tanh(cs[t, n, j])
                gates[t, n, j::H] = i, f, g, o
            h, c = hs[t, n], cs[t, n]
    return hs, cs, gates


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
    """gh and gc (T,N,H), into every h_t and c_t → gx, gh0, gc0, gw_ih, gw_hh, gb;  σ′ = σ(1 − σ)."""
    T, N, H = hs.shape
    gx, gh0, gc0, gw_ih, gw_hh = (np.zeros_like(v) for v in (x, h0, c0, w_ih, w_hh))
    gb = np.zeros(4 * H, w_ih.dtype)
    for n in range(N):
        dh, dc = np.zeros(H), np.zeros(H)  # what flows back from the step after
        for t in reversed(range(T)):
            h_before, c_before = (hs[t - 1, n], cs[t - 1, n]) if t else (h0[n], c0[n])
            da = np.zeros(4 * H)
            for j in range(H):
                i, f, g, o = gates[t, n, j::H]
                tanh_c = math.tanh(cs[t, n, j])
                dh_j = gh[t, n, j] + dh[j]
                dc_j = dc[j] + dh_j * o * (1 - tanh_c * tanh_c) + (0 if gc is None else gc[t, n, j])
                da[j] = dc_j * g * i * (1 - i)
                da[H + j] = dc_j * c_before[j] * f * (1 - f)
                da[2 * H + j] = dc_j * i * (1 - g * g)
                da[3 * H + j] = dh_j * tanh_c * o * (1 - o)
                dc[j] = dc_j * f  # no weight in between: this road keeps gradients alive
            for q in range(4 * H):
                gb[q] += da[q]
            dh = np.zeros(H)
            dot_grad(da, w_ih, x[t, n], gw_ih, gx[t, n])
            dot_grad(da, w_hh, h_before, gw_hh, dh)
        gh0[n], gc0[n] = dh, dc
    return gx, gh0, gc0, gw_ih, gw_hh, gb


# ---------------------------------------------------------------- GRU


def gru(x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array) -> tuple[Array, Array]:
    """r, z = σ(·);  m = W_hn·h_{t−1} + b_hn,  n = tanh(W_in·x + b_in + r∘m),  h_t = (1 − z)∘n + z∘h_{t−1}

    → hs (T,N,H), gates r z n m (T,N,4H)
    """
    (T, N, _), H = x.shape, h0.shape[1]
    hs, gates = (np.zeros((T, N, size), x.dtype) for size in (H, 4 * H))
    for s in range(N):  # a sample of the batch: n is the gate's letter here
        h = h0[s]
        for t in range(T):
            of_x = [dot(w_ih[q], x[t, s]) + b_ih[q] for q in range(3 * H)]
            of_h = [dot(w_hh[q], h) + b_hh[q] for q in range(3 * H)]
            for j in range(H):
                r = sigmoid(of_x[j] + of_h[j])  # how much of the past the proposal sees
                z = sigmoid(of_x[H + j] + of_h[H + j])  # how much of the past stays
                m = of_h[2 * H + j]
                n = math.tanh(of_x[2 * H + j] + r * m)  # the proposal
                hs[t, s, j] = (1 - z) * n + z * h[j]
                gates[t, s, j::H] = r, z, n, m
            h = hs[t, s]
    return hs, gates


def gru_grad(g: Array, x: Array, h0: Array, hs: Array, gates: Array, w_ih: Array, w_hh: Array) -> tuple[Array, ...]:
    """g (T,N,H), into every h_t → gx, gh0, gw_ih, gw_hh, gb_ih, gb_hh."""
    T, N, H = hs.shape
    gx, gh0, gw_ih, gw_hh = (np.zeros_like(v) for v in (x, h0, w_ih, w_hh))
    gb_ih, gb_hh = np.zeros((2, 3 * H), w_ih.dtype)
    for s in range(N):
        dh = np.zeros(H)  # what flows back from the step after
        for t in reversed(range(T)):
            h_before = hs[t - 1, s] if t else h0[s]
            da_x, da_h, past = np.zeros(3 * H), np.zeros(3 * H), np.zeros(H)
            for j in range(H):
                r, z, n, m = gates[t, s, j::H]
                dh_j = g[t, s, j] + dh[j]
                da_n = dh_j * (1 - z) * (1 - n * n)
                da_r = da_n * m * r * (1 - r)
                da_z = dh_j * (h_before[j] - n) * z * (1 - z)
                da_x[j::H] = da_r, da_z, da_n
                da_h[j::H] = da_r, da_z, da_n * r
                past[j] = dh_j * z
            gb_ih += da_x.astype(gb_ih.dtype)
            gb_hh += da_h.astype(gb_hh.dtype)
            dh = past
            dot_grad(da_x, w_ih, x[t, s], gw_ih, gx[t, s])
            dot_grad(da_h, w_hh, h_before, gw_hh, dh)
        gh0[s] = dh
    return gx, gh0, gw_ih, gw_hh, gb_ih, gb_hh
