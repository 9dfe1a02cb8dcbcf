"""One step of each recurrent cell on the device, forwards and backwards: a thread for each unit j of each sample n.

`from_x` is W_ih·x of all steps (T,N,kH) and `from_h` is W_hh·h_{t−1} of this step (N,kH); biases are added here.
`da` is the gradient into what stands inside σ and tanh. Gate q of unit j has number q·H + j.
"""

from __future__ import annotations

import math

from numba import cuda

from tinymed.kernels.numba_cuda_device import HALF, ONE, ZERO


@cuda.jit(device=True)
def _sigmoid(a):
    """σ(a) = ½ + ½·tanh(a/2), which cannot overflow"""
    return HALF + HALF * math.tanh(HALF * a)


@cuda.jit
def rnn_cell(from_x, from_h, b_ih, b_hh, hs, t, tanh):
    """h_t = φ(W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh)"""
    at = cuda.grid(1)
    if at < from_h.size:
        n, j = at // from_h.shape[1], at % from_h.shape[1]
        a = from_x[t, n, j] + b_ih[j] + from_h[n, j] + b_hh[j]
        hs[t, n, j] = math.tanh(a) if tanh else (ZERO if a < ZERO else a)


@cuda.jit
def rnn_cell_grad(g, dh, hs, da, t, tanh):
    """da = (g_t + dh) · φ′;  tanh′ = 1 − h²,  relu′ = 1 where h > 0"""
    at = cuda.grid(1)
    if at < dh.size:
        n, j = at // dh.shape[1], at % dh.shape[1]
        h = hs[t, n, j]
        slope = ONE - h * h if tanh else (ONE if h > ZERO else ZERO)
        da[t, n, j] = (g[t, n, j] + dh[n, j]) * slope


@cuda.jit
def lstm_cell(from_x, from_h, b_ih, b_hh, c_before, hs, cs, gates, t):
    """i, f, o = σ(·), g = tanh(·);  c_t = f∘c_{t−1} + i∘g,  h_t = o∘tanh(c_t)"""
    at = cuda.grid(1)
    if at < c_before.size:
        H = c_before.shape[1]
        n, j = at // H, at % H
        for q in range(j, 4 * H, H):
            a = from_x[t, n, q] + b_ih[q] + from_h[n, q] + b_hh[q]
            gates[t, n, q] = math.tanh(a) if q // H == 2 else _sigmoid(a)
        i, f, g, o = gates[t, n, j], gates[t, n, H + j], gates[t, n, 2 * H + j], gates[t, n, 3 * H + j]
        c = f * c_before[n, j] + i * g
        cs[t, n, j] = c
        hs[t, n, j] = o * math.tanh(c)


@cuda.jit
def lstm_cell_grad(gh, gc, dh, dc, c_before, cs, gates, da, t):
    """From dh and dc, into h_t and c_t by the step after: da, and dc into c_{t−1};  σ′ = σ(1 − σ), tanh′ = 1 − tanh²"""
    at = cuda.grid(1)
    if at < dh.size:
        H = dh.shape[1]
        n, j = at // H, at % H
        i, f, g, o = gates[t, n, j], gates[t, n, H + j], gates[t, n, 2 * H + j], gates[t, n, 3 * H + j]
        tanh_c = math.tanh(cs[t, n, j])
        into_h = gh[t, n, j] + dh[n, j]
        into_c = gc[t, n, j] + dc[n, j] + into_h * o * (ONE - tanh_c * tanh_c)
        da[t, n, j] = into_c * g * i * (ONE - i)
        da[t, n, H + j] = into_c * c_before[n, j] * f * (ONE - f)
        da[t, n, 2 * H + j] = into_c * i * (ONE - g * g)
        da[t, n, 3 * H + j] = into_h * tanh_c * o * (ONE - o)
        dc[n, j] = into_c * f


@cuda.jit
def gru_cell(from_x, from_h, b_ih, b_hh, h_before, hs, gates, t):
    """r, z = σ(·);  m = W_hn·h_{t−1} + b_hn,  n = tanh(W_in·x + b_in + r∘m),  h_t = (1 − z)∘n + z∘h_{t−1}"""
    at = cuda.grid(1)
    if at < h_before.size:
        H = h_before.shape[1]
        s, j = at // H, at % H  # a sample of the batch: n is the gate's letter here
        J, K = H + j, 2 * H + j
        r = _sigmoid(from_x[t, s, j] + b_ih[j] + from_h[s, j] + b_hh[j])
        z = _sigmoid(from_x[t, s, J] + b_ih[J] + from_h[s, J] + b_hh[J])
        m = from_h[s, K] + b_hh[K]
        n = math.tanh(from_x[t, s, K] + b_ih[K] + r * m)
        hs[t, s, j] = (ONE - z) * n + z * h_before[s, j]
        gates[t, s, j], gates[t, s, J], gates[t, s, K], gates[t, s, 3 * H + j] = r, z, n, m


@cuda.jit
def gru_cell_grad(g, dh, past, h_before, gates, da_x, da_h, t):
    """From dh + past, into h_t by the step after: da into W_ih·x + b_ih and into W_hh·h + b_hh, and past ← z∘(…)"""
    at = cuda.grid(1)
    if at < dh.size:
        H = dh.shape[1]
        s, j = at // H, at % H
        J, K = H + j, 2 * H + j
        r, z, n, m = gates[t, s, j], gates[t, s, J], gates[t, s, K], gates[t, s, 3 * H + j]
        into_h = g[t, s, j] + dh[s, j] + past[s, j]
        da_n = into_h * (ONE - z) * (ONE - n * n)
        da_r = da_n * m * r * (ONE - r)
        da_z = into_h * (h_before[s, j] - n) * z * (ONE - z)
        da_x[t, s, j], da_x[t, s, J], da_x[t, s, K] = da_r, da_z, da_n
        da_h[t, s, j], da_h[t, s, J], da_h[t, s, K] = da_r, da_z, da_n * r
        past[s, j] = into_h * z


@cuda.jit
def before(hs, h0, y):
    """y[t] = h_{t−1}"""
    at = cuda.grid(1)
    if at < hs.size:
        N, H = h0.shape
        t, n, j = at // (N * H), at // H % N, at % H
        y[t, n, j] = hs[t - 1, n, j] if t > 0 else h0[n, j]


@cuda.jit
def add(a, b, y):
    """y = a + b, of (N,H)"""
    at = cuda.grid(1)
    if at < y.size:
        n, j = at // y.shape[1], at % y.shape[1]
        y[n, j] = a[n, j] + b[n, j]
