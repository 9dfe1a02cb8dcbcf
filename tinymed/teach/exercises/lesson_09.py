"""Exercises of lesson 09: the LSTM, its cell forwards and back, its size and its memory."""

from __future__ import annotations

import numpy as np

from tinymed.kernels import numpy_recurrent
from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- how many parameters


def lstm_parameters(I: int, H: int) -> int:
    return 4 * (H * I + H * H + 2 * H)


def _sizes(rng: np.random.Generator) -> list[Case]:
    return [{"I": I, "H": H} for I, H in [(1, 1), (3, 5), (5, 3), (64, 128), (7, 7)]]


PARAMETERS = Exercise(
    "lstm_parameters",
    9,
    "how many numbers an LSTM of I inputs and H units learns, with both biases",
    lstm_parameters,
    _sizes,
    {
        "that is an RNN: an LSTM has four such blocks, one for each of i, f, g, o": lambda I, H: H * I + H * H + 2 * H,
        "one bias is missing: PyTorch has two for each gate, b_ih and b_hh": lambda I, H: 4 * (H * I + H * H + H),
        "the biases are missing": lambda I, H: 4 * (H * I + H * H),
        "the weights of the state are missing: W_hh has 4H rows and H columns": lambda I, H: 4 * (H * I + 2 * H),
        "three blocks are a GRU; i, f, g, o are four": lambda I, H: 3 * (H * I + H * H + 2 * H),
    },
    ("count",),
)

# ---------------------------------------------------------------- a step forwards


def lstm_cell(x: Array, h: Array, c: Array, w_ih: Array, w_hh: Array, b: Array) -> tuple[Array, Array]:
    hs, cs, _ = numpy_recurrent.lstm(x[None], h, c, w_ih, w_hh, b, np.zeros_like(b))
    return hs[0], cs[0]


def _cells(rng: np.random.Generator) -> list[Case]:
    plain = {"x": np.ones((1, 1)), "h": np.zeros((1, 1)), "c": np.ones((1, 1)),
             "w_ih": np.array([[1.0], [2.0], [0.5], [-1.0]]), "w_hh": np.zeros((4, 1)), "b": np.zeros(4)}  # fmt: skip
    sizes = [(1, 1, 1), (2, 3, 2), (3, 2, 4), (1, 2, 2)]
    return [plain] + [
        {
            "x": rng.standard_normal((N, I)),
            "h": rng.standard_normal((N, H)),
            "c": rng.standard_normal((N, H)),
            "w_ih": rng.standard_normal((4 * H, I)),
            "w_hh": rng.standard_normal((4 * H, H)),
            "b": rng.standard_normal(4 * H),
        }
        for N, I, H in sizes
    ]


def _sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def _wrong_cell(
    x: Array,
    h: Array,
    c: Array,
    w_ih: Array,
    w_hh: Array,
    b: Array,
    *,
    order: str = "ifgo",
    candidate=np.tanh,
    shown=np.tanh,
    late: bool = True,
    coupled: bool = False,
    carried: bool = True,
) -> tuple[Array, Array]:
    """A cell with one thing done wrong; `order` is how the blocks are read."""
    blocks = dict(zip(order, np.split(x @ w_ih.T + h @ w_hh.T * carried + b, 4, axis=1)))
    i, f, o = (_sigmoid(blocks[q]) for q in "ifo")
    after = f * c + (1 - f if coupled else i) * candidate(blocks["g"])
    return o * shown(after if late else c), after


CELL = Exercise(
    "lstm_cell",
    9,
    "one step of an LSTM: the new h and c; weights in the order i, f, g, o",
    lstm_cell,
    _cells,
    {
        "the gates are taken in the order i, f, o, g: PyTorch's order is i, f, g, o": (
            lambda **case: _wrong_cell(**case, order="ifog")
        ),
        "the gates are taken in the order f, i, g, o: PyTorch's order is i, f, g, o": (
            lambda **case: _wrong_cell(**case, order="figo")
        ),
        "the gates are taken in the order i, o, f, g, as ONNX has them: PyTorch's order is i, f, g, o": (
            lambda **case: _wrong_cell(**case, order="iofg")
        ),
        "the candidate g has a sigmoid: it is what is written, may be negative, and has a tanh": (
            lambda **case: _wrong_cell(**case, candidate=_sigmoid)
        ),
        "the tanh of the cell is missing: h = o·tanh(c)": lambda **case: _wrong_cell(**case, shown=lambda c: c),
        "h is computed from the old cell: h = o·tanh(c) with the c of this step": (
            lambda **case: _wrong_cell(**case, late=False)
        ),
        "the input gate is replaced by 1 − f: that is how the GRU does it, the LSTM has a gate of its own": (
            lambda **case: _wrong_cell(**case, coupled=True)
        ),
        "the state before is ignored: W_hh·h belongs into all four sums": (
            lambda **case: _wrong_cell(**case, carried=False)
        ),
    },
    ("h", "c"),
)  # fmt: skip

# ---------------------------------------------------------------- a step backwards


def lstm_cell_backward(dh: Array, dc: Array, gates: Array, c_before: Array, c: Array) -> tuple[Array, Array]:
    return _backward(dh, dc, gates, c_before, c)


def _backward(
    dh: Array,
    dc: Array,
    gates: Array,
    c_before: Array,
    c: Array,
    *,
    through_h: bool = True,
    from_after: bool = True,
    slopes: bool = True,
    slope_of_c: bool = True,
    memory: str = "before",
    order: str = "ifgo",
    road: str = "f",
) -> tuple[Array, Array]:
    """The way back, with at most one thing done wrong."""
    i, f, g, o = np.split(gates, 4, axis=1)
    tanh_c = np.tanh(c)
    dc = dc * from_after + dh * o * ((1 - tanh_c**2) if slope_of_c else 1) * through_h
    slope = {"i": i * (1 - i), "f": f * (1 - f), "g": 1 - g**2, "o": o * (1 - o)}
    part = {"i": dc * g, "f": dc * (c_before if memory == "before" else c), "g": dc * i, "o": dh * tanh_c}
    da = [part[q] * (slope[q] if slopes else 1) for q in order]
    return np.concatenate(da, 1), dc * {"f": f, "1": np.ones_like(f), "i": i}[road]


def _steps_back(rng: np.random.Generator) -> list[Case]:
    half = np.array([[0.5, 0.5, 0.5, 0.5]])
    plain = {"dh": np.ones((1, 1)), "dc": np.zeros((1, 1)), "gates": half, "c_before": np.array([[1.0]]),
             "c": np.array([[0.75]])}  # fmt: skip
    cases = [plain]
    for N, H in [(1, 1), (2, 2), (3, 4)]:
        a, c_before = rng.standard_normal((N, 4 * H)), rng.standard_normal((N, H))
        gates = _sigmoid(a)
        gates[:, 2 * H : 3 * H] = np.tanh(a[:, 2 * H : 3 * H])
        i, f, g, _ = np.split(gates, 4, axis=1)
        dh, dc = rng.standard_normal((2, N, H))
        cases.append({"dh": dh, "dc": dc, "gates": gates, "c_before": c_before, "c": f * c_before + i * g})
    return cases


CELL_BACKWARD = Exercise(
    "lstm_cell_backward",
    9,
    "∂L/∂a of the four gates (N,4H), and ∂L/∂c of the step before, from ∂L/∂h and ∂L/∂c of this step",
    lstm_cell_backward,
    _steps_back,
    {
        "the road from h to c is missing: c also went into h = o·tanh(c), so dc += dh·o·(1 − tanh²c)": (
            lambda **case: _backward(**case, through_h=False)
        ),
        "what comes from the step after is missing: add the dc that was given": (
            lambda **case: _backward(**case, from_after=False)
        ),
        "the slopes of the gates are missing: σ′ = σ(1 − σ) for i, f, o and 1 − g² for g": (
            lambda **case: _backward(**case, slopes=False)
        ),
        "the slope of tanh(c) is missing: from h = o·tanh(c), dc += dh·o·(1 − tanh²c)": (
            lambda **case: _backward(**case, slope_of_c=False)
        ),
        "the forget gate is given the new cell: f multiplied the cell of the step before": (
            lambda **case: _backward(**case, memory="now")
        ),
        "the gates are in the order i, f, o, g: PyTorch's order is i, f, g, o": (
            lambda **case: _backward(**case, order="ifog")
        ),
        "the forget gate is missing on the way to the cell before: ∂c_t/∂c_{t−1} = f": (
            lambda **case: _backward(**case, road="1")
        ),
        "the cell before gets the input gate's share: ∂c_t/∂c_{t−1} = f": lambda **case: _backward(**case, road="i"),
    },
    ("da", "dc_before"),
)  # fmt: skip

# ---------------------------------------------------------------- the road along the cell


def memory_road(f: Array) -> Array:
    return f.prod(0)


def _gates(rng: np.random.Generator) -> list[Case]:
    plain = {"f": np.array([[0.5], [0.5], [1.0]])}
    return [plain] + [{"f": rng.uniform(0.2, 1, (T, H))} for T, H in [(1, 2), (4, 3), (10, 2)]]


MEMORY_ROAD = Exercise(
    "lstm_memory_road",
    9,
    "∂c_T/∂c_0 straight along the cell, of each unit, from the forget gates (T,H)",
    memory_road,
    _gates,
    {
        "the gates are added: each step multiplies the gradient by its f": lambda f: f.sum(0),
        "this is the mean of the gates: over T steps they multiply": lambda f: f.mean(0),
        "the mean gate to the power of T is not the product, but larger: multiply the gates themselves": (
            lambda f: f.mean(0) ** len(f)
        ),
        "the first step is left out: c_0 passes the forget gate of step 1 too": lambda f: f[1:].prod(0),
        "the units are multiplied together: each has a road of its own, the product runs over time": (
            lambda f: f.prod(1)
        ),
    },
    ("factor",),
)

# ---------------------------------------------------------------- the forget bias


def forget_bias(n: int) -> float:
    f = 0.5 ** (1 / n)
    return float(np.log(f / (1 - f)))


def _half_lives(rng: np.random.Generator) -> list[Case]:
    return [{"n": n} for n in (1, 2, 5, 10, 100)]


FORGET_BIAS = Exercise(
    "lstm_forget_bias",
    9,
    "the bias b of a forget gate with σ(b)ⁿ = ½",
    forget_bias,
    _half_lives,
    {
        "this is the gate, not its bias: b is the inverse of the sigmoid, ln(f / (1 − f))": lambda n: 0.5 ** (1 / n),
        "f = 1 − 1/(2n) takes the same amount away at every step; σ(b)ⁿ = ½ takes the same share, "
        "so f is the n-th root of ½": (lambda n: float(np.log((1 - 0.5 / n) / (0.5 / n)))),
        "ln n is the rule of thumb, which leaves about 1/e: solve σ(b)ⁿ = ½": lambda n: float(np.log(n)),
        "the logarithm of f alone: the inverse of the sigmoid is ln(f / (1 − f))": lambda n: float(np.log(0.5) / n),
    },
    ("bias",),
)

EXERCISES = [PARAMETERS, CELL, CELL_BACKWARD, MEMORY_ROAD, FORGET_BIAS]
