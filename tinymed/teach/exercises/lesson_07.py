"""Exercises of lesson 07: the RNN, forwards and back through time."""

from __future__ import annotations

import numpy as np

from tinymed.kernels import numpy_recurrent
from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- the article's matrix as PyTorch's two


def split_weights(W_h: Array, hidden_size: int) -> tuple[Array, Array]:
    return W_h[:, hidden_size:], W_h[:, :hidden_size]


def _joined(rng: np.random.Generator) -> list[Case]:
    article = {"W_h": np.array([[1.0, 2.0]]), "hidden_size": 1}
    sizes = [(2, 1), (3, 2), (2, 5), (4, 4)]
    return [article] + [{"W_h": rng.standard_normal((H, H + I)), "hidden_size": H} for H, I in sizes]


SPLIT_WEIGHTS = Exercise(
    "rnn_split_weights",
    7,
    "PyTorch's w_ih (H,I) and w_hh (H,H) from the article's W_h (H,H+I)",
    split_weights,
    _joined,
    {
        "the two are exchanged: in [h, x] the state comes first, so the first H columns are w_hh": (
            lambda W_h, hidden_size: (W_h[:, :hidden_size], W_h[:, hidden_size:])
        ),
        "W_h is split by rows: each row gives one unit of the state, so it is the columns that belong to h and to x": (
            lambda W_h, hidden_size: (W_h[hidden_size:], W_h[:hidden_size])
        ),
        "the input is taken to come first: the article joins [h, x], so w_ih is the columns from H on": (
            lambda W_h, hidden_size: (W_h[:, : W_h.shape[1] - hidden_size], W_h[:, W_h.shape[1] - hidden_size :])
        ),
    },
    ("w_ih", "w_hh"),
)

# ---------------------------------------------------------------- the output of one step


def rnn_output(h: Array, W_y: Array, b_y: Array) -> Array:
    return _sigmoid(W_y @ h + b_y)


def _sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def _tops(rng: np.random.Generator) -> list[Case]:
    article = {"h": np.ones(2), "W_y": np.ones((2, 2)), "b_y": np.ones(2)}
    sizes = [(3, 3), (4, 1), (2, 5)]
    return [article] + [
        {"h": rng.standard_normal(H), "W_y": rng.standard_normal((O, H)), "b_y": rng.standard_normal(O)}
        for H, O in sizes
    ]


def _softmax(a: Array) -> Array:
    return np.exp(a) / np.exp(a).sum()


OUTPUT = Exercise(
    "rnn_output",
    7,
    "y_t = σ(W_y·h_t + b_y), the sigmoid for σ (article 4.2.2)",
    rnn_output,
    _tops,
    {
        "the sigmoid is missing: y = σ(W_y·h + b_y)": lambda h, W_y, b_y: W_y @ h + b_y,
        "this is softmax: the article's σ works on each number alone, and its outputs need not sum to 1": (
            lambda h, W_y, b_y: _softmax(W_y @ h + b_y)
        ),
        "the bias stands outside the sigmoid; it belongs inside": lambda h, W_y, b_y: _sigmoid(W_y @ h) + b_y,
        "the bias is forgotten": lambda h, W_y, b_y: _sigmoid(W_y @ h),
        "this is tanh: the article's example takes the sigmoid": lambda h, W_y, b_y: np.tanh(W_y @ h + b_y),
    },
)

# ---------------------------------------------------------------- forwards


def rnn_forward(x: Array, h0: Array, w_ih: Array, w_hh: Array, b: Array) -> Array:
    return numpy_recurrent.rnn(x, h0, w_ih, w_hh, b, np.zeros_like(b), "tanh")


def _sequences(rng: np.random.Generator) -> list[Case]:
    plain = {
        "x": np.array([[[1.0]], [[0.0]], [[2.0]]]),
        "h0": np.zeros((1, 2)),
        "w_ih": np.array([[1.0], [0.0]]),
        "w_hh": np.array([[0.0, 1.0], [0.5, 0.0]]),
        "b": np.zeros(2),
    }
    sizes = [(3, 1, 1, 1), (4, 2, 3, 2), (1, 3, 2, 4), (5, 2, 3, 3)]
    return [plain] + [
        {
            "x": rng.standard_normal((T, N, I)),
            "h0": rng.standard_normal((N, H)),
            "w_ih": rng.standard_normal((H, I)),
            "w_hh": rng.standard_normal((H, H)),
            "b": rng.standard_normal(H),
        }
        for T, N, I, H in sizes
    ]


def _no_carry(x: Array, h0: Array, w_ih: Array, w_hh: Array, b: Array) -> Array:
    return np.tanh(x @ w_ih.T + h0 @ w_hh.T + b)


def _no_activation(x: Array, h0: Array, w_ih: Array, w_hh: Array, b: Array) -> Array:
    hs, h = np.zeros((len(x), *h0.shape)), h0
    for t in range(len(x)):
        h = hs[t] = x[t] @ w_ih.T + h @ w_hh.T + b
    return hs


def _sum_of_two(x: Array, h0: Array, w_ih: Array, w_hh: Array, b: Array) -> Array:
    hs, h = np.zeros((len(x), *h0.shape)), h0
    for t in range(len(x)):
        h = hs[t] = np.tanh(x[t] @ w_ih.T) + np.tanh(h @ w_hh.T + b)
    return hs


FORWARD = Exercise(
    "rnn_forward",
    7,
    "every state of an RNN: h_t = tanh(W_ih·x_t + W_hh·h_{t−1} + b)",
    rnn_forward,
    _sequences,
    {
        "the state is not carried on: every step starts from h0 instead of the state before it": _no_carry,
        "the activation is missing: h_t = tanh(…)": _no_activation,
        "W_hh is transposed: with states as rows, W·h is written h @ w_hh.T": (
            lambda x, h0, w_ih, w_hh, b: rnn_forward(x, h0, w_ih, w_hh.T, b)
        ),
        "h0 is ignored: the first step takes the state that was given, not zeros": (
            lambda x, h0, w_ih, w_hh, b: rnn_forward(x, h0 * 0, w_ih, w_hh, b)
        ),
        "the bias is forgotten": lambda x, h0, w_ih, w_hh, b: rnn_forward(x, h0, w_ih, w_hh, b * 0),
        "input and state each have a tanh of their own: there is one, around the sum": _sum_of_two,
    },
    ("hs",),
)

# ---------------------------------------------------------------- backwards


def rnn_backward(g: Array, x: Array, h0: Array, hs: Array, w_ih: Array, w_hh: Array) -> tuple[Array, ...]:
    return numpy_recurrent.rnn_grad(g, x, h0, hs, w_ih, w_hh, "tanh")


def _with_gradients(rng: np.random.Generator) -> list[Case]:
    cases = _sequences(rng)
    for case in cases:
        case["hs"] = rnn_forward(**case)
        case["g"] = rng.standard_normal(case["hs"].shape)
        del case["b"]
    cases[0]["g"] = np.ones_like(cases[0]["g"])
    return cases


def _wrong_backward(
    g: Array,
    x: Array,
    h0: Array,
    hs: Array,
    w_ih: Array,
    w_hh: Array,
    *,
    sums: bool = True,
    carried: bool = True,
    transposed: bool = True,
    slope: str = "1 - h²",
    before: bool = True,
    first: bool = True,
) -> tuple[Array, ...]:
    """BPTT with one thing done wrong."""
    gx, gw_ih, gw_hh, gb, dh = (np.zeros(v.shape) for v in (x, w_ih, w_hh, w_hh[0], h0))
    for t in reversed(range(len(x))):
        h, h_before = hs[t], h0 if t == 0 and first else hs[t - 1]
        da = (g[t] + dh * carried) * {"1 - h²": 1 - h * h, "none": 1.0, "of h": 1 - np.tanh(h) ** 2}[slope]
        gx[t] = da @ w_ih
        keep = 1.0 if sums else 0.0
        gw_ih, gb = gw_ih * keep + da.T @ x[t], gb * keep + da.sum(0)
        gw_hh = gw_hh * keep + da.T @ (h_before if before else h)
        dh = da @ (w_hh if transposed else w_hh.T)
    return gx, dh, gw_ih, gw_hh, gb


BACKWARD = Exercise(
    "rnn_backward",
    7,
    "gx, gh0, gw_ih, gw_hh, gb of the tanh RNN, from the gradient into every state",
    rnn_backward,
    _with_gradients,
    {
        "the sum over time is missing: a weight is used at every step, so += its gradients, do not overwrite them": (
            lambda **case: _wrong_backward(**case, sums=False)
        ),
        "nothing flows back from the step after: h_t also went into h_{t+1}, so add W_hhᵀ·∂L/∂a_{t+1} to g[t]": (
            lambda **case: _wrong_backward(**case, carried=False)
        ),
        "W_hh is not transposed on the way back: forwards h @ w_hh.T, so backwards da @ w_hh": (
            lambda **case: _wrong_backward(**case, transposed=False)
        ),
        "the slope of tanh is missing: ∂L/∂a = ∂L/∂h · (1 − h²)": (
            lambda **case: _wrong_backward(**case, slope="none")
        ),
        "tanh is taken twice in the slope: hs holds tanh(a) already, so the slope is 1 − h², not 1 − tanh²(h)": (
            lambda **case: _wrong_backward(**case, slope="of h")
        ),
        "gw_hh takes h_t: what W_hh multiplied at step t was the state before, h_{t−1}": (
            lambda **case: _wrong_backward(**case, before=False)
        ),
        "at t = 0, hs[t − 1] is the last state, for Python counts −1 from the end: the state before it is h0": (
            lambda **case: _wrong_backward(**case, first=False)
        ),
    },
    ("gx", "gh0", "gw_ih", "gw_hh", "gb"),
)  # fmt: skip

# ---------------------------------------------------------------- through the last k steps only


def truncated_gradient(x: Array, w: float, k: int) -> float:
    h = _states(x, w)
    return sum(w**back * h[len(x) - back - 1] for back in range(k))


def _states(x: Array, w: float) -> list[float]:
    """h_0, h_1, …, h_T"""
    h = [0.0]
    for x_t in x:
        h.append(w * h[-1] + float(x_t))
    return h


def _cuts(rng: np.random.Generator) -> list[Case]:
    ones = np.ones(3)
    plain: list[Case] = [{"x": ones, "w": 2.0, "k": 3}, {"x": ones, "w": 2.0, "k": 1}, {"x": ones, "w": 2.0, "k": 2}]
    return plain + [{"x": rng.standard_normal(T), "w": w, "k": k} for T, w, k in [(5, 0.5, 3), (6, -1.5, 4), (8, 1, 8)]]


TRUNCATED = Exercise(
    "rnn_truncated_gradient",
    7,
    "∂h_T/∂w of h_t = w·h_{t−1} + x_t, h_0 = 0, where the gradient goes back through the last k steps",
    truncated_gradient,
    _cuts,
    {
        "all steps are summed: stop after k of them": lambda x, w, k: truncated_gradient(x, w, len(x)),
        "the sequence is cut, not the gradient: the states still come from all of x": (
            lambda x, w, k: truncated_gradient(x[-k:], w, k)
        ),
        "one step too few: k steps back means k terms, the first with the factor 1": (
            lambda x, w, k: truncated_gradient(x, w, k - 1)
        ),
        "step t is paired with h_t: w multiplied the state before, h_{t−1}": (
            lambda x, w, k: sum(w**back * _states(x, w)[len(x) - back] for back in range(k))
        ),
        "the factor w is missing: each step further back multiplies the gradient by w once more": (
            lambda x, w, k: sum(_states(x, w)[len(x) - back - 1] for back in range(k))
        ),
    },
    ("gw",),
)  # fmt: skip


EXERCISES = [SPLIT_WEIGHTS, OUTPUT, FORWARD, BACKWARD, TRUNCATED]
