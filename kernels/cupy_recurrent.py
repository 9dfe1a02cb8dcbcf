"""Recurrent layers on a GPU: one layer, one direction, a whole sequence; time first.

What does not wait for a state is one big product: all inputs before the loop, all weight gradients after it. A step
of the loop is one product with the state and one cell of cuda/recurrent.cu, and the host waits for neither.
x is (T,N,I), a state (N,H), gates (T,N,4H).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed.kernels.cupy_launch import BLOCK, Array, grid_of, run
from tinymed.kernels.cupy_matmul import matmul


def rnn(x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, nonlinearity: str) -> Array:
    """h_t = φ(W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh) → hs (T,N,H);  φ is tanh or relu."""
    h, b_ih, b_hh = _contiguous(h0, b_ih, b_hh)
    relu = np.int32(nonlinearity == "relu")
    hs = _times(x, w_ih.T)  # W_ih·x_t, until the loop has passed
    for h_next in hs:
        _cell("rnn_cell", h, relu, h_next, matmul(h, w_hh.T), b_ih, b_hh, h_next)
        h = h_next
    return hs


def rnn_grad(
    g: Array, x: Array, h0: Array, hs: Array, w_ih: Array, w_hh: Array, nonlinearity: str
) -> tuple[Array, ...]:
    """g (T,N,H), into every h_t → gx, gh0, gw_ih, gw_hh, gb."""
    import cupy

    g, hs = _contiguous(g, hs)
    relu = np.int32(nonlinearity == "relu")
    da, dh = cupy.empty_like(hs), cupy.zeros(h0.shape, h0.dtype)
    for t in reversed(range(len(hs))):
        _cell("rnn_cell_grad", dh, relu, g[t], dh, hs[t], da[t])
        dh = matmul(da[t], w_hh)
    return _times(da, w_ih), dh, _weight_grad(da, x), _weight_grad(da, _before(hs, h0)), da.sum((0, 1))


def lstm(
    x: Array, h0: Array, c0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array
) -> tuple[Array, Array, Array]:
    """c_t = f∘c_{t−1} + i∘g,  h_t = o∘tanh(c_t) → hs (T,N,H), cs (T,N,H), gates i f g o (T,N,4H)."""
    import cupy

    h, c, b_ih, b_hh = _contiguous(h0, c0, b_ih, b_hh)
    gates = _times(x, w_ih.T)  # W_ih·x_t, until the loop has passed
    hs, cs = (cupy.empty((len(x), *h.shape), x.dtype) for _ in range(2))
    for a, h_next, c_next in zip(gates, hs, cs):
        _cell("lstm_cell", h, a, matmul(h, w_hh.T), b_ih, b_hh, c, a, c_next, h_next)
        h, c = h_next, c_next
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
    """gh and gc (T,N,H), into every h_t and c_t → gx, gh0, gc0, gw_ih, gw_hh, gb."""
    import cupy

    gh, c0, cs, gates = _contiguous(gh, c0, cs, gates)
    gc = [cupy.zeros(c0.shape, c0.dtype)] * len(gh) if gc is None else cupy.ascontiguousarray(gc)
    da, dh, dc = cupy.empty_like(gates), cupy.zeros(h0.shape, h0.dtype), cupy.zeros(c0.shape, c0.dtype)
    for t in reversed(range(len(hs))):
        c_before = cs[t - 1] if t else c0
        _cell("lstm_cell_grad", dh, gh[t], gc[t], dh, gates[t], c_before, cs[t], dc, da[t])
        dh = matmul(da[t], w_hh)
    return _times(da, w_ih), dh, dc, _weight_grad(da, x), _weight_grad(da, _before(hs, h0)), da.sum((0, 1))


def gru(x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array) -> tuple[Array, Array]:
    """n = tanh(W_in·x + b_in + r∘m),  h_t = (1 − z)∘n + z∘h_{t−1} → hs (T,N,H), gates r z n m (T,N,4H).

    m = W_hn·h_{t−1} + b_hn is the hidden part of n, before r multiplies it.
    """
    import cupy

    h, b_ih, b_hh = _contiguous(h0, b_ih, b_hh)
    (T, N, _), H = x.shape, h.shape[1]
    hs, gates = (cupy.empty((T, N, size), x.dtype) for size in (H, 4 * H))
    for from_x, gates_t, h_next in zip(_times(x, w_ih.T), gates, hs):
        _cell("gru_cell", h, from_x, matmul(h, w_hh.T), b_ih, b_hh, h, gates_t, h_next)
        h = h_next
    return hs, gates


def gru_grad(g: Array, x: Array, h0: Array, hs: Array, gates: Array, w_ih: Array, w_hh: Array) -> tuple[Array, ...]:
    """g (T,N,H), into every h_t → gx, gh0, gw_ih, gw_hh, gb_ih, gb_hh."""
    import cupy

    g, h0, hs, gates = _contiguous(g, h0, hs, gates)
    T, N, H = hs.shape
    da_x, da_h = (cupy.empty((T, N, 3 * H), hs.dtype) for _ in range(2))
    dh, past = (cupy.zeros((N, H), hs.dtype) for _ in range(2))
    for t in reversed(range(T)):
        h_before = hs[t - 1] if t else h0
        _cell("gru_cell_grad", dh, g[t], dh, gates[t], h_before, past, da_x[t], da_h[t])
        dh = matmul(da_h[t], w_hh)
    gw_ih, gw_hh = _weight_grad(da_x, x), _weight_grad(da_h, _before(hs, h0))
    return _times(da_x, w_ih), dh + past, gw_ih, gw_hh, da_x.sum((0, 1)), da_h.sum((0, 1))


# ---------------------------------------------------------------- parts


def _cell(name: str, state: Array, *args: Any) -> None:
    """One launch of a cell, a thread for each unit of `state` (N,H)."""
    N, H = state.shape
    run("recurrent", name, grid_of(N * H), (BLOCK,), np.int32(N), np.int32(H), *args, dtype=state.dtype)


def _contiguous(*arrays: Array) -> list[Array]:
    """As a kernel must have them: it sees memory, not strides."""
    import cupy

    return [cupy.ascontiguousarray(a) for a in arrays]


def _times(a: Array, w: Array) -> Array:
    """(T,N,K) · (K,J) → (T,N,J), in one product of T·N rows"""
    return matmul(_flat(a), w).reshape(*a.shape[:2], w.shape[1])


def _weight_grad(da: Array, x: Array) -> Array:
    """∂L/∂W = Σ_t Σ_n da ⊗ x, in one product"""
    return matmul(_flat(da).T, _flat(x))


def _before(hs: Array, h0: Array) -> Array:
    """h_{t−1} for every t."""
    import cupy

    return cupy.concatenate([h0[None], hs[:-1]])


def _flat(a: Array) -> Array:
    """(T,N,K) → (T·N,K)"""
    return a.reshape(-1, a.shape[-1])
