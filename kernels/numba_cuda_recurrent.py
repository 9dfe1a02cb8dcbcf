"""Recurrent layers on the device, a whole sequence at a time: x (T,N,I), a state (N,H), gates (T,N,4H).

What does not wait for a state is one product over all steps: W_ih·x before the loop, the weights' gradients after it.
Each step of the loop starts two kernels, W_hh·h_{t−1} and the cell; the host waits for none of them.
"""

from __future__ import annotations

from tinymed.kernels import numba_cuda_cells as cells
from tinymed.kernels import numpy_backend
from tinymed.kernels.numba_cuda_conv import channel_sums
from tinymed.kernels.numba_cuda_device import Array, empty, for_each, hosted, zeros
from tinymed.kernels.numba_cuda_matmul import matmul, multiply, turned


@hosted(numpy_backend.rnn)
def rnn(x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, nonlinearity: str) -> Array:
    """h_t = φ(W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh) → hs (T,N,H);  φ is tanh or relu"""
    (T, N, _), (_, H) = x.shape, h0.shape
    hs, from_h = empty((T, N, H), x.dtype), empty((N, H), x.dtype)
    from_x, w, h = _inputs(x, w_ih), turned(w_hh), h0
    for t in range(T):
        multiply(h, w, from_h)
        for_each(N * H, cells.rnn_cell, from_x, from_h, b_ih, b_hh, hs, t, nonlinearity == "tanh")
        h = hs[t]
    return hs


@hosted(numpy_backend.rnn_grad)
def rnn_grad(
    g: Array, x: Array, h0: Array, hs: Array, w_ih: Array, w_hh: Array, nonlinearity: str
) -> tuple[Array, ...]:
    """g (T,N,H), into every h_t → gx, gh0, gw_ih, gw_hh, gb"""
    T, N, H = hs.shape
    da, dh = empty((T, N, H), g.dtype), zeros((N, H), g.dtype)
    for t in reversed(range(T)):
        for_each(N * H, cells.rnn_cell_grad, g, dh, hs, da, t, nonlinearity == "tanh")
        multiply(da[t], w_hh, dh)
    return _times(da, w_ih), dh, _weights(da, x), _weights(da, _before(hs, h0)), _bias(da)


@hosted(numpy_backend.lstm)
def lstm(
    x: Array, h0: Array, c0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array
) -> tuple[Array, Array, Array]:
    """c_t = f∘c_{t−1} + i∘g,  h_t = o∘tanh(c_t) → hs (T,N,H), cs (T,N,H), gates i f g o (T,N,4H)"""
    (T, N, _), (_, H) = x.shape, h0.shape
    hs, cs, gates = (empty((T, N, size), x.dtype) for size in (H, H, 4 * H))
    from_x, from_h, w = _inputs(x, w_ih), empty((N, 4 * H), x.dtype), turned(w_hh)
    h, c = h0, c0
    for t in range(T):
        multiply(h, w, from_h)
        for_each(N * H, cells.lstm_cell, from_x, from_h, b_ih, b_hh, c, hs, cs, gates, t)
        h, c = hs[t], cs[t]
    return hs, cs, gates


@hosted(numpy_backend.lstm_grad)
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
    """gh and gc (T,N,H), into every h_t and c_t → gx, gh0, gc0, gw_ih, gw_hh, gb"""
    T, N, H = hs.shape
    gc = zeros((T, N, H), gh.dtype) if gc is None else gc
    da, dh, dc = empty((T, N, 4 * H), gh.dtype), zeros((N, H), gh.dtype), zeros((N, H), gh.dtype)
    for t in reversed(range(T)):
        for_each(N * H, cells.lstm_cell_grad, gh, gc, dh, dc, cs[t - 1] if t else c0, cs, gates, da, t)
        multiply(da[t], w_hh, dh)
    return _times(da, w_ih), dh, dc, _weights(da, x), _weights(da, _before(hs, h0)), _bias(da)


@hosted(numpy_backend.gru)
def gru(x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array) -> tuple[Array, Array]:
    """n = tanh(W_in·x_t + b_in + r∘m),  h_t = (1 − z)∘n + z∘h_{t−1} → hs (T,N,H), gates r z n m (T,N,4H)"""
    (T, N, _), (_, H) = x.shape, h0.shape
    hs, gates = (empty((T, N, size), x.dtype) for size in (H, 4 * H))
    from_x, from_h, w, h = _inputs(x, w_ih), empty((N, 3 * H), x.dtype), turned(w_hh), h0
    for t in range(T):
        multiply(h, w, from_h)
        for_each(N * H, cells.gru_cell, from_x, from_h, b_ih, b_hh, h, hs, gates, t)
        h = hs[t]
    return hs, gates


@hosted(numpy_backend.gru_grad)
def gru_grad(g: Array, x: Array, h0: Array, hs: Array, gates: Array, w_ih: Array, w_hh: Array) -> tuple[Array, ...]:
    """g (T,N,H), into every h_t → gx, gh0, gw_ih, gw_hh, gb_ih, gb_hh"""
    T, N, H = hs.shape
    da_x, da_h = (empty((T, N, 3 * H), g.dtype) for _ in range(2))
    dh, past, gh0 = zeros((N, H), g.dtype), zeros((N, H), g.dtype), empty((N, H), g.dtype)
    for t in reversed(range(T)):
        for_each(N * H, cells.gru_cell_grad, g, dh, past, hs[t - 1] if t else h0, gates, da_x, da_h, t)
        multiply(da_h[t], w_hh, dh)
    for_each(N * H, cells.add, dh, past, gh0)
    gw_ih, gw_hh = _weights(da_x, x), _weights(da_h, _before(hs, h0))
    return _times(da_x, w_ih), gh0, gw_ih, gw_hh, _bias(da_x), _bias(da_h)


# ---------------------------------------------------------------- products over all steps


def _flat(a: Array) -> Array:
    """(T,N,K) → (T·N,K)"""
    T, N, K = a.shape
    return a.reshape(T * N, K)


def _times(a: Array, w: Array) -> Array:
    """(T,N,K) · (K,J) → (T,N,J)"""
    T, N, _ = a.shape
    return matmul(_flat(a), w).reshape(T, N, w.shape[1])


def _inputs(x: Array, w_ih: Array) -> Array:
    """W_ih·x_t for all t"""
    return _times(x, turned(w_ih))


def _before(hs: Array, h0: Array) -> Array:
    """h_{t−1} for every t"""
    y = empty(tuple(hs.shape), hs.dtype)
    for_each(y.size, cells.before, hs, h0, y)
    return y


def _weights(da: Array, x: Array) -> Array:
    """∂L/∂W = Σ_t Σ_n da ⊗ x"""
    return matmul(turned(_flat(da)), _flat(x))


def _bias(da: Array) -> Array:
    """∂L/∂b = Σ_t Σ_n da"""
    T, N, K = da.shape
    return channel_sums(da.reshape(T * N, K, 1))
