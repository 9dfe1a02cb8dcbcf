"""Recurrent layers in NumPy: one layer, one direction, a whole sequence; time first.

What does not wait for a state is one big product: all inputs before the loop, all weight gradients after it.
Inside the loop stand one product with the state and one cell. x is (T,N,I), a state (N,H), gates (T,N,4H).
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def rnn(x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, nonlinearity: str) -> Array:
    """h_t = φ(W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh) → hs (T,N,H);  φ is tanh or relu."""
    hs = _inputs(x, w_ih, b_ih + b_hh)
    h = h0
    for a in hs:
        a += h @ w_hh.T
        h = np.tanh(a, out=a) if nonlinearity == "tanh" else np.maximum(a, 0, out=a)
    return hs


def rnn_grad(
    g: Array, x: Array, h0: Array, hs: Array, w_ih: Array, w_hh: Array, nonlinearity: str
) -> tuple[Array, ...]:
    """g (T,N,H), into every h_t → gx, gh0, gw_ih, gw_hh, gb."""
    da = 1 - hs * hs if nonlinearity == "tanh" else (hs > 0).astype(hs.dtype)  # φ′, until the loop has passed
    dh = np.zeros_like(h0)
    for t in reversed(range(len(hs))):
        da[t] *= g[t] + dh
        dh = da[t] @ w_hh
    gx, gw_ih, gb = _input_grads(da, x, w_ih)
    return gx, dh, gw_ih, _flat(da).T @ _flat(_before(hs, h0)), gb


def lstm(
    x: Array, h0: Array, c0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array
) -> tuple[Array, Array, Array]:
    """c_t = f∘c_{t−1} + i∘g,  h_t = o∘tanh(c_t) → hs (T,N,H), cs (T,N,H), gates i f g o (T,N,4H)."""
    gates = _inputs(x, w_ih, b_ih + b_hh)
    H = h0.shape[1]
    hs, cs = np.empty((2, *x.shape[:2], H), gates.dtype)
    # σ(a) = ½ + ½·tanh(a/2): with ½ for i, f, o and 1 for g, all four gates are one tanh
    scale = np.repeat(np.array([0.5, 0.5, 1, 0.5], gates.dtype), H)
    shift = np.repeat(np.array([0.5, 0.5, 0, 0.5], gates.dtype), H)
    h, c = h0, c0
    for t, a in enumerate(gates):
        a += h @ w_hh.T
        a *= scale
        np.tanh(a, out=a)
        a *= scale
        a += shift
        i, f, g, o = _split(a, 4)
        c = np.add(f * c, i * g, out=cs[t])
        h = np.multiply(o, np.tanh(c), out=hs[t])
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
    N, H = h0.shape
    i, f, g, o = _split(gates, 4)
    tanh_c = np.tanh(cs)
    dh_to_dc = o * (1 - tanh_c * tanh_c)
    da = np.empty_like(gates)  # first the slopes: ∂c/∂a for i, f, g and ∂h/∂a for o
    da_i, da_f, da_g, da_o = _split(da, 4)
    da_i[:] = g * i * (1 - i)
    da_f[:] = _before(cs, c0) * f * (1 - f)
    da_g[:] = i * (1 - g * g)
    da_o[:] = tanh_c * o * (1 - o)
    dh, dc = np.zeros_like(h0), np.zeros_like(c0)
    for t in reversed(range(len(hs))):
        dh = gh[t] + dh
        dc = dc + dh * dh_to_dc[t]
        if gc is not None:
            dc += gc[t]
        by_gate = da[t].reshape(N, 4, H)  # a view
        by_gate[:, :3] *= dc[:, None]
        by_gate[:, 3] *= dh
        dh, dc = da[t] @ w_hh, dc * f[t]
    gx, gw_ih, gb = _input_grads(da, x, w_ih)
    return gx, dh, dc, gw_ih, _flat(da).T @ _flat(_before(hs, h0)), gb


def gru(x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array) -> tuple[Array, Array]:
    """n = tanh(W_in·x + b_in + r∘m),  h_t = (1 − z)∘n + z∘h_{t−1} → hs (T,N,H), gates r z n m (T,N,4H).

    m = W_hn·h_{t−1} + b_hn is the hidden part of n, before r multiplies it.
    """
    H = h0.shape[1]
    from_x = _inputs(x, w_ih, b_ih)
    gates, hs = (np.empty((*x.shape[:2], size), from_x.dtype) for size in (4 * H, H))
    h = h0
    for t, a in enumerate(from_x):
        from_h = h @ w_hh.T + b_hh
        rz = np.add(a[:, : 2 * H], from_h[:, : 2 * H], out=gates[t, :, : 2 * H])
        _sigmoid(rz)
        r, z, n, m = _split(gates[t], 4)
        m[:] = from_h[:, 2 * H :]
        np.tanh(a[:, 2 * H :] + r * m, out=n)
        h = np.add(n, z * (h - n), out=hs[t])
    return hs, gates


def gru_grad(g: Array, x: Array, h0: Array, hs: Array, gates: Array, w_ih: Array, w_hh: Array) -> tuple[Array, ...]:
    """g (T,N,H), into every h_t → gx, gh0, gw_ih, gw_hh, gb_ih, gb_hh."""
    N, H = h0.shape
    r, z, n, m = _split(gates, 4)
    h_before = _before(hs, h0)
    slope_n = (1 - z) * (1 - n * n)
    slope_r = slope_n * m * r * (1 - r)
    slope_z = (h_before - n) * z * (1 - z)
    da_x = np.concatenate([slope_r, slope_z, slope_n], -1)  # ∂h/∂a, to become the gradient into W_ih·x + b_ih
    da_h = np.concatenate([slope_r, slope_z, slope_n * r], -1)  # the same for W_hh·h + b_hh
    dh = np.zeros_like(h0)
    for t in reversed(range(len(hs))):
        dh = g[t] + dh
        for da in (da_x[t], da_h[t]):
            by_gate = da.reshape(N, 3, H)  # a view
            by_gate *= dh[:, None]
        dh = dh * z[t] + da_h[t] @ w_hh
    gx, gw_ih, gb_ih = _input_grads(da_x, x, w_ih)
    return gx, dh, gw_ih, _flat(da_h).T @ _flat(h_before), gb_ih, da_h.sum((0, 1))


# ---------------------------------------------------------------- parts


def _inputs(x: Array, w_ih: Array, b: Array) -> Array:
    """W_ih·x_t + b for all t: one product over the (T·N,I) rows of x."""
    return (_flat(x) @ w_ih.T + b).reshape(*x.shape[:2], len(w_ih))


def _input_grads(da: Array, x: Array, w_ih: Array) -> tuple[Array, Array, Array]:
    """From da, into W_ih·x + b: gx, gw_ih, gb."""
    return (_flat(da) @ w_ih).reshape(x.shape), _flat(da).T @ _flat(x), da.sum((0, 1))


def _before(hs: Array, h0: Array) -> Array:
    """h_{t−1} for every t."""
    return np.concatenate([h0[None], hs[:-1]])


def _flat(a: Array) -> Array:
    """(T,N,K) → (T·N,K)"""
    return a.reshape(-1, a.shape[-1])


def _split(a: Array, k: int) -> list[Array]:
    """(N,kH) → k views (N,H)"""
    H = a.shape[-1] // k
    return [a[..., j * H : (j + 1) * H] for j in range(k)]


def _sigmoid(a: Array) -> None:
    """In place: σ(a) = ½ + ½·tanh(a/2), which cannot overflow."""
    a *= 0.5
    np.tanh(a, out=a)
    a *= 0.5
    a += 0.5
