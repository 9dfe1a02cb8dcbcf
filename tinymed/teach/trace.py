"""Traces of the article's formulas: each runs the formula's plain-loop twin and keeps every step.

    t = trace.conv2d([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 0], [0, 1]], g=1)
    t.show()

Arguments are those of the op of that name, as numbers, lists, arrays or tensors of any size that a person would
walk through. g is ∂L/∂y, an array or one number for all of it: then the trace goes on backwards, with the
gradients ∂L/∂x, ∂L/∂w, … as the arrays gx, gw, …. `t.final` has every array as the trace leaves it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tinymed.kernels import reference, reference_optim, reference_recurrent
from tinymed.kernels.shapes import Pair, conv_shape, pool_shape
from tinymed.teach import formulas
from tinymed.teach.arguments import array, cotangent, pair, recurrent, scores, updates, vector
from tinymed.teach.graph import backward
from tinymed.teach.record import Recorder
from tinymed.teach.steps import Trace
from tinymed.tensor import Tensor

__all__ = [
    "adam", "article_rnn", "avg_pool2d", "backward", "conv2d", "cross_entropy", "function", "linear", "lstm", "matmul",
    "max_pool2d", "relu", "relu6", "rnn", "sgd", "sigmoid", "softmax",
]  # fmt: skip


# ---------------------------------------------------------------- CNN (article 4.1)


def conv2d(
    x: Any,
    w: Any,
    b: Any = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    g: Any = None,
) -> Trace:
    """y = b + Σ w·x over every window (article 4.1.1): x (N,C,H,W), (C,H,W) or (H,W), w (O,C/g,KH,KW) or (KH,KW)

    Backwards: gx, gw, and gb where there is a b. Raises ValueError for shapes that do not fit.
    """
    x, w = array(x, 4), array(w, 4)
    b = None if b is None else vector("b", b, len(w), "kernel")
    pad = padding if isinstance(padding, str) else pair(padding)
    s = conv_shape(x.shape, w.shape, pair(stride), pad, pair(dilation), groups)
    recorder = Recorder("convolution")
    y = recorder.run("forward", reference.conv2d, x, w, b, s, formulas=formulas.CONV2D)
    if g is not None:
        g = cotangent(g, y)
        recorder.run("backward", reference.conv2d_input_grad, g, w, s, formulas=formulas.CONV2D)
        recorder.run("backward", reference.conv2d_weight_grad, x, g, s, formulas=formulas.CONV2D)
        if b is not None:
            recorder.run("backward", reference.conv2d_bias_grad, g, s, formulas=formulas.CONV2D)
    return recorder.trace()


def max_pool2d(
    x: Any, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0, g: Any = None
) -> Trace:
    """y = max of every window (article 4.1.2): x (N,C,H,W), (C,H,W) or (H,W); `where` holds which cell that was."""
    x, size = array(x, 4), pair(kernel_size)
    s = pool_shape("max_pool2d", x.shape, size, size if stride is None else pair(stride), pair(padding))
    recorder = Recorder("max pooling")
    y, where = recorder.run("forward", reference.max_pool2d, x, s, formulas=formulas.MAX_POOL2D)
    if g is not None:
        recorder.run("backward", reference.max_pool2d_grad, cotangent(g, y), where, s, formulas=formulas.MAX_POOL2D)
    return recorder.trace()


def avg_pool2d(
    x: Any, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0, g: Any = None
) -> Trace:
    """y = 1/k Σ of every window (article 4.1.2): x (N,C,H,W), (C,H,W) or (H,W); k counts padding, as PyTorch does."""
    x, size = array(x, 4), pair(kernel_size)
    s = pool_shape("avg_pool2d", x.shape, size, size if stride is None else pair(stride), pair(padding))
    count = np.full((1, 1), float(s.KH * s.KW))
    recorder = Recorder("average pooling")
    y = recorder.run("forward", reference.avg_pool2d, x, count, s, formulas=formulas.AVG_POOL2D)
    if g is not None:
        recorder.run("backward", reference.avg_pool2d_grad, cotangent(g, y), count, s, formulas=formulas.AVG_POOL2D)
    return recorder.trace()


def matmul(a: Any, b: Any, g: Any = None) -> Trace:
    """y[i,j] = Σ_k a[i,k]·b[k,j]: a (I,K), b (K,J). Backwards: ga = g·bᵀ and gb = aᵀ·g, by the same loops."""
    a, b = array(a, 2), array(b, 2)
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"matmul: a {a.shape} has {a.shape[1]} columns, b {b.shape} has {b.shape[0]} rows")
    recorder = Recorder("matrix product")
    y = recorder.run("forward", reference.matmul, a, b, formulas=formulas.MATMUL)
    if g is not None:
        g = cotangent(g, y)
        recorder.memory.look("g", g, given=True)
        recorder.run("backward", reference.matmul, g, b.T, formulas=formulas.MATMUL_GRAD_A, names={"y": "ga"})
        recorder.run("backward", reference.matmul, a.T, g, formulas=formulas.MATMUL_GRAD_B, names={"y": "gb"})
    return recorder.trace()


def linear(x: Any, w: Any, b: Any = None, g: Any = None) -> Trace:
    """y = W·x + b, the fully connected layer FC (article 3.1.2): x (N,I) or (I), w (O,I), b (O) or none"""
    x, w = array(x, 2), array(w, 2)
    b = vector("b", b, len(w), "output")
    if w.shape[1] != x.shape[1]:
        raise ValueError(f"linear: x {x.shape} needs w (O,{x.shape[1]}), got w {w.shape}")
    recorder = Recorder("fully connected layer")
    y = recorder.run("forward", reference.linear, x, w, b, formulas=formulas.LINEAR)
    if g is not None:
        recorder.run("backward", reference.linear_grad, cotangent(g, y), x, w, formulas=formulas.LINEAR)
    return recorder.trace()


# ---------------------------------------------------------------- activations and losses (article 1.4.3, 3.1.2)


def relu(x: Any, g: Any = None) -> Trace:
    """y = max(0, x), number by number (article 1.4.3)"""
    return _elementwise("ReLU", reference.relu, reference.relu_slope, x, g)


def relu6(x: Any, g: Any = None) -> Trace:
    """y = min(max(0, x), 6), number by number (article 1.4.3)"""
    return _elementwise("ReLU6", reference.relu6, reference.relu6_slope, x, g)


def sigmoid(x: Any, g: Any = None) -> Trace:
    """y = σ(x), number by number (article 4.2.1)"""
    return _elementwise("sigmoid", reference.sigmoid, reference.sigmoid_slope, x, g)


def _elementwise(title: str, f: Callable, slope: Callable, x: Any, g: Any) -> Trace:
    x, recorder = array(x), Recorder(title)
    x = np.atleast_1d(x)
    there, back = formulas.ACTIVATIONS[f.__name__]
    y = recorder.run("forward", reference.elementwise, f, x, formulas={"elementwise": {"y[at] = f(x[at])": there}})
    if g is not None:
        table = {"elementwise_grad": {"gx[at] = g[at] * slope(x[at])": back}}
        recorder.run("backward", reference.elementwise_grad, slope, cotangent(g, y), x, formulas=table)
    return recorder.trace()


def softmax(x: Any, g: Any = None) -> Trace:
    """y_c = e^x_c / Σ_k e^x_k over the classes of x (C) or (N,C)        (article 1.4.3, 3.1.2)"""
    recorder = Recorder("softmax")
    y = recorder.run("forward", reference.softmax, scores(x), False, formulas=formulas.SOFTMAX)
    if g is not None:
        recorder.run("backward", reference.softmax_grad, cotangent(g, y), y, False, formulas=formulas.SOFTMAX)
    return recorder.trace()


def cross_entropy(x: Any, target: Any, g: Any = None) -> Trace:
    """ℓ = −ln softmax(x)[t] for scores x (C) or (N,C) and a class or classes t. Raises IndexError for no such class."""
    x = scores(x)
    t = np.array(target).reshape(-1, 1)
    if t.dtype.kind not in "iu" or len(t) != len(x) or t.min() < 0 or t.max() >= x.shape[1]:
        raise IndexError(f"cross_entropy: expected {len(x)} class(es) from 0 to {x.shape[1] - 1}, got {target}")
    w = np.ones(t.shape)
    recorder = Recorder("cross-entropy")
    table, names = formulas.CROSS_ENTROPY, {"y": "log_p"}  # as the softmax inside is called by who called it
    loss, p = recorder.run("forward", reference.cross_entropy, x, t, w, formulas=table, names=names)
    if g is not None:
        g = cotangent(g, loss)
        recorder.run("backward", reference.cross_entropy_grad, g, p, t, w, formulas=formulas.CROSS_ENTROPY)
    return recorder.trace()


# ---------------------------------------------------------------- RNN and LSTM (article 4.2, 4.3)


def article_rnn(
    x: Any, h0: Any, W_h: Any, b_h: Any, W_y: Any, b_y: Any, carry: Callable[[float], float] = float
) -> Trace:
    """The article's own form (4.2.1, 4.2.2): h_t = σ(W_h·[h_{t−1}, x_t] + b_h), y_t = σ(W_y·h_t + b_y)

    `carry` is what becomes of a state before it is used again: its example (4.2.3) rounds it.
    """
    recorder = Recorder("RNN, as the article writes it")
    given = [np.atleast_1d(array(v)) for v in (x, h0, W_h, b_h, W_y, b_y)]
    given[2], given[4] = np.atleast_2d(given[2]), np.atleast_2d(given[4])
    recorder.run("forward", reference.article_rnn, *given, reference.sigmoid, carry, formulas=formulas.ARTICLE_RNN)
    return recorder.trace()


def rnn(
    x: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    h0: Any = None,
    nonlinearity: str = "tanh",
    g: Any = None,
) -> Trace:
    """h_t = φ(W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh): x (T,I) or (T,N,I), w_ih (H,I), w_hh (H,H), states hs (T,N,H)

    Backwards it goes through time: g (T,N,H), or (T,H), flows into every h_t; one number into every one of them.
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f'rnn: nonlinearity is "tanh" or "relu", got {nonlinearity!r}')
    x, given, states = recurrent("rnn", 1, x, w_ih, w_hh, b_ih, b_hh, h0)
    recorder = Recorder("RNN")
    hs = recorder.run("forward", reference.rnn, x, *states, *given, nonlinearity, formulas=formulas.RNN)
    if g is not None:
        kept = x, *states, hs, given[0], given[1], nonlinearity
        recorder.run("backward", reference.rnn_grad, cotangent(g, hs), *kept, formulas=formulas.RNN)
    return recorder.trace()


def lstm(
    x: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None, h0: Any = None, c0: Any = None, g: Any = None
) -> Trace:
    """i, f, o = σ(·), g = tanh(·), c_t = f∘c_{t−1} + i∘g, h_t = o∘tanh(c_t)        (article 3.3)

    x (T,I) or (T,N,I), w_ih (4H,I), w_hh (4H,H), states hs and cs (T,N,H).
    Rows of the weights: H of each gate, in the order i, f, g, o. Backwards as in rnn.
    """
    x, given, states = recurrent("lstm", 4, x, w_ih, w_hh, b_ih, b_hh, h0, c0)
    recorder = Recorder("LSTM")
    hs, cs, gates = recorder.run("forward", reference.lstm, x, *states, *given, formulas=formulas.LSTM)
    if g is not None:
        kept = x, *states, hs, cs, gates, given[0], given[1]
        recorder.run("backward", reference_recurrent.lstm_grad, cotangent(g, hs), None, *kept, formulas=formulas.LSTM)
    return recorder.trace()


# ---------------------------------------------------------------- optimisers


def sgd(p: Any, gradients: Any, lr: float = 0.1, momentum: float = 0.0) -> Trace:
    """b ← μ·b + g, p ← p − η·b, once for each of the gradients (T, then p's shape); lr large enough to see the step"""
    p, several = updates(p, gradients)
    b, recorder = np.zeros_like(p) if momentum else None, Recorder("SGD")
    step = reference_optim.sgd_step.__wrapped__  # type: ignore[attr-defined]
    for k, g in enumerate(several):
        recorder.run("update", step, p, g, b, k == 0, lr, momentum, 0.0, 0.0, False, formulas=formulas.SGD)
    return recorder.trace()


def adam(
    p: Any, gradients: Any, lr: float = 0.1, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
) -> Trace:
    """Adam's step (Kingma and Ba 2015), once for each of the gradients (T, then p's shape)"""
    p, several = updates(p, gradients)
    m, v, recorder = np.zeros_like(p), np.zeros_like(p), Recorder("Adam")
    step = reference_optim.adam_step.__wrapped__  # type: ignore[attr-defined]
    for k, g in enumerate(several, 1):
        recorder.run("update", step, p, g, m, v, k, lr, *betas, eps, 0.0, False, formulas=formulas.ADAM)
    return recorder.trace()


# ---------------------------------------------------------------- anything else


def function(f: Callable, *args: Any) -> Trace:
    """A function of your own, each assignment, question, call and answer of it a step: your convolution, say.

    Lists and tensors become arrays, of their own number type; f works on copies.
    Raises ValueError where there is no source to follow, or more steps or numbers than anyone would walk through.
    """
    if not inspect.isroutine(f) and not hasattr(f, "__wrapped__"):
        raise ValueError(f"trace.function follows a function written with def; this is of type {type(f).__name__}")
    own = [a.detach().numpy() if isinstance(a, Tensor) else np.array(a) if isinstance(a, list) else a for a in args]
    recorder = Recorder(f.__name__)
    try:
        recorder.run("forward", f, *(a.copy() if isinstance(a, np.ndarray) else a for a in own))
    except Exception as error:
        if recorder.steps and not recorder.refused:
            error.add_note(f"the last steps before it: {'; '.join(step.places for step in recorder.steps[-3:])}")
        raise
    if not recorder.steps:
        raise ValueError(
            f"nothing in {f.__name__} could be followed: a lambda or a generator gives no steps; "
            "write a function with def that assigns what it computes"
        )
    return recorder.trace()
