"""Recurrent sequences: one layer, one direction, all time steps in one op; whole layers are in `nn/rnn.py`.

x (T,N,I), states (N,H), weights w_ih (k·H,I) and w_hh (k·H,H), k gates one under another, biases (k·H).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed import kernels
from tinymed.autograd import Function
from tinymed.tensor import Tensor


class RNN(Function):
    """h_t = φ(W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh)        (article 4.2.1, where W_h = [W_hh, W_ih])

    ∂L/∂a_t = φ′∘(g_t + W_hhᵀ·∂L/∂a_{t+1}), a_t inside φ;  ∂L/∂W_ih = Σ_t ∂L/∂a_t ⊗ x_t, and so on
    """

    def forward(ctx, x, h0, w_ih, w_hh, b_ih, b_hh, nonlinearity):
        hs = kernels.rnn(x, h0, w_ih, w_hh, b_ih, b_hh, nonlinearity)
        ctx.kept = x, h0, hs, w_ih, w_hh, nonlinearity
        return hs

    def backward(ctx, g):
        *grads, gb = kernels.rnn_grad(g, *ctx.kept)
        return *grads, gb, gb


class LSTM(Function):
    """i, f, g, o = σ, σ, tanh, σ of W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh
    c_t = f∘c_{t−1} + i∘g,  h_t = o∘tanh(c_t)        (article 3.3, Hochreiter & Schmidhuber 1997)

    ∂L/∂c_t = ∂L/∂h_t∘o∘(1 − tanh²c_t) + f_{t+1}∘∂L/∂c_{t+1}: back through time it meets no weight, only f.
    Article 4.3.1 prints the plain RNN's equation under this name.
    """

    def forward(ctx, x, h0, c0, w_ih, w_hh, b_ih, b_hh):
        hs, cs, gates = kernels.lstm(x, h0, c0, w_ih, w_hh, b_ih, b_hh)
        ctx.kept = x, h0, c0, hs, cs, gates, w_ih, w_hh
        return hs, cs

    def backward(ctx, gh, gc):
        if gh is None:
            gh = np.zeros_like(gc)
        *grads, gb = kernels.lstm_grad(gh, gc, *ctx.kept)
        return *grads, gb, gb


class GRU(Function):
    """r, z = σ(W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh)        (Cho et al. 2014)
    n = tanh(W_in·x_t + b_in + r∘(W_hn·h_{t−1} + b_hn)),  h_t = (1 − z)∘n + z∘h_{t−1}

    ∂L/∂h_{t−1} = z∘∂L/∂h_t + what comes through the gates
    """

    def forward(ctx, x, h0, w_ih, w_hh, b_ih, b_hh):
        hs, gates = kernels.gru(x, h0, w_ih, w_hh, b_ih, b_hh)
        ctx.kept = x, h0, hs, gates, w_ih, w_hh
        return hs

    def backward(ctx, g):
        return kernels.gru_grad(g, *ctx.kept)


def rnn(
    x: Tensor,
    h0: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
    *,
    nonlinearity: str = "tanh",
) -> Tensor:
    """Every state h_t of a plain RNN, (T,N,H); φ is "tanh" or "relu"."""
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f'rnn: nonlinearity is "tanh" or "relu", got {nonlinearity!r}')
    biases = _checked("rnn", 1, x, w_ih, w_hh, b_ih, b_hh, h0=h0)
    return RNN.apply(x, h0, w_ih, w_hh, *biases, nonlinearity)


def lstm(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Every state h_t and every memory c_t of an LSTM, (T,N,H) each; gates in the order i, f, g, o."""
    biases = _checked("lstm", 4, x, w_ih, w_hh, b_ih, b_hh, h0=h0, c0=c0)
    return LSTM.apply(x, h0, c0, w_ih, w_hh, *biases)


def gru(
    x: Tensor,
    h0: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """Every state h_t of a GRU, (T,N,H); gates in the order r, z, n."""
    biases = _checked("gru", 3, x, w_ih, w_hh, b_ih, b_hh, h0=h0)
    return GRU.apply(x, h0, w_ih, w_hh, *biases)


def _checked(
    name: str, k: int, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any, b_hh: Any, **states: Tensor
) -> tuple[Tensor, Tensor]:
    """The biases, zeros where there are none. ValueError for shapes, TypeError for dtypes that disagree."""
    if x.ndim != 3 or len(x) == 0:
        raise ValueError(f"{name}: expected x (T,N,I) of at least one time step, got shape {x.shape}")
    (_, N, I), H = x.shape, w_hh.shape[-1]
    none = x.new_zeros(k * H)
    b_ih, b_hh = none if b_ih is None else b_ih, none if b_hh is None else b_hh
    given = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh, **states}
    shapes = {"w_ih": (k * H, I), "w_hh": (k * H, H), "b_ih": (k * H,), "b_hh": (k * H,)}
    for what, tensor in given.items():
        if tensor.shape != (shape := shapes.get(what, (N, H))):
            raise ValueError(
                f"{name}: {what} must have shape {shape}, got {tensor.shape}, "
                f"for x {x.shape}, hidden size {H} and {k} gate(s)"
            )
        if tensor.dtype != x.dtype:
            raise TypeError(
                f"{name}: x is {x.dtype}, {what} is {tensor.dtype}; convert x with x.to({what}.dtype), "
                f"or the layer with layer.to(x.dtype)"
            )
    return b_ih, b_hh
