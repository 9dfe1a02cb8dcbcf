"""The article's worked examples: what it prints, what its equations give, and the verdict.

Every number in `computed` comes out of the engine when `findings()` is called. What the article prints is data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed.kernels.reference import article_rnn, sigmoid
from tinymed.tensor import Tensor


@dataclass(frozen=True)
class Finding:
    """One place of the article, held against the engine.

    where, formula, printed  the section, what it computes, what it prints for it
    computed                 what the equation gives: names and numbers, in the order of reading
    agrees                   whether the printed numbers are the equation's
    verdict                  why, in a sentence
    """

    where: str
    formula: str
    printed: Any
    computed: dict[str, Any]
    agrees: bool
    verdict: str


IMAGE = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]
IDENTITY = [[1.0, 0.0], [0.0, 1.0]]
PRINTED_MAP = [[5.0, 6.0], [8.0, 9.0]]


def findings() -> list[Finding]:
    """Every worked example of the article, in its order."""
    return [
        _window_sum(),
        _convolution(),
        _max_pooling(),
        _hidden_states(),
        _outputs(),
        _shapes(),
        _lstm(),
        _listing(),
    ]


def _image(rows: Any) -> Tensor:
    return tinymed.tensor(rows)[None, None]


def _plain(x: Tensor) -> Any:
    """The numbers of a (1,1,H,W) map as rows."""
    return x[0, 0].tolist()


def _slid(kernel: Any) -> Any:
    return _plain(F.conv2d(_image(IMAGE), _image(kernel)))


def _window_sum() -> Finding:
    return Finding(
        "4.1.1",
        "Σ wᵢ · f(xᵢ), kernel [[1, 2], [3, 4]] over 1…9",
        "a sum over one window",
        {
            "cross-correlation, kernel as it stands": _slid([[1.0, 2.0], [3.0, 4.0]]),
            "true convolution, kernel flipped": _slid([[4.0, 3.0], [2.0, 1.0]]),
        },
        True,
        "the formula is cross-correlation, what PyTorch, TensorFlow and JAX call convolution; a true one flips w",
    )


def _convolution() -> Finding:
    return Finding(
        "4.1.3",
        "convolution of 1…9 (3x3) with the 2x2 identity",
        PRINTED_MAP,
        {
            "convolution": _slid(IDENTITY),
            "max pooling of the input, window 2, stride 1": _plain(F.max_pool2d(_image(IMAGE), 2, stride=1)),
            "the same with stride 2, rounded up": _plain(F.max_pool2d(_image(IMAGE), 2, ceil_mode=True)),
            "convolution with [[0, 0], [0, 1]]": _slid([[0.0, 0.0], [0.0, 1.0]]),
        },
        False,
        "misprint: what is printed is max pooling of the input (window 2; stride 1, or 2 rounded up), "
        "not its convolution",
    )


def _max_pooling() -> Finding:
    true, printed = _image(_slid(IDENTITY)), _image(PRINTED_MAP)
    return Finding(
        "4.1.3",
        "max pooling, window 2, of the convolution's result",
        [[5.0], [9.0]],
        {
            "true map, window 2x2": _plain(F.max_pool2d(true, 2)),
            "true map, windows 1x2": _plain(F.max_pool2d(true, (1, 2))),
            "printed map, windows 1x2": _plain(F.max_pool2d(printed, (1, 2))),
            "printed map, windows 2x1": _plain(F.max_pool2d(printed, (2, 1))),
            "printed map's diagonal": np.diag(np.array(PRINTED_MAP)).tolist(),
        },
        False,
        "no reading gives [[5], [9]], which it writes as [5; 9]: they are the printed map's diagonal",
    )


def _example(carry: Callable[[float], float] = float) -> tuple[np.ndarray, np.ndarray]:
    """4.2.3 with a scalar state: x = 1, 2, 3, h0 = 0, all weights and biases 1; y from [h, h], as printed."""
    h, _ = article_rnn([1, 2, 3], [0], [[1, 1]], [1], [[1]], [1], carry=carry)
    y = [sigmoid(2 * carry(float(h_t)) + 1) for h_t in h[:, 0]]
    return h[:, 0], np.array(y)


def _rounded(numbers: np.ndarray) -> list[float]:
    return [float(v) for v in np.round(numbers, 4)]


def _hidden_states() -> Finding:
    h, _ = _example()
    h_rounded, _ = _example(carry=round)
    return Finding(
        "4.2.3",
        "h_t = σ(W_h·[h_{t−1}, x_t] + b_h),  x = 1, 2, 3,  h₀ = 0",
        [1.0, 1.0, 1.0],
        {"h carried exactly": _rounded(h), "h rounded to 1 before it is used again": _rounded(h_rounded)},
        False,
        "equal after rounding each to the nearest integer; the article carries the rounded value on (2, 4, 5 inside σ)",
    )


def _outputs() -> Finding:
    _, y = _example()
    _, y_rounded = _example(carry=round)
    return Finding(
        "4.2.3",
        "y_t = σ(W_y·[h_t, h_t] + b_y)",
        [1.0, 1.0, 1.0],
        {"h carried exactly": _rounded(y), "h rounded to 1": _rounded(y_rounded)},
        False,
        "equal after rounding",
    )


def _shapes() -> Finding:
    try:
        article_rnn([1, 2, 3], [0, 1], np.ones((2, 2)), [1, 1], np.ones((2, 2)), [1, 1])
        refusal = "accepted"
    except ValueError as error:
        refusal = str(error)
    return Finding(
        "4.2.3",
        "W_h·[h₀, x₁] with h₀ = [0, 1] and scalar x",
        "W_h of 2x2",
        {"the engine says": refusal},
        False,
        "a 2-vector h and a scalar x need W_h of 2x3; the example works only with a scalar state, "
        'for which its "[0, 1]" is [h₀, x₁]',
    )


def _lstm() -> Finding:
    h_plain, _ = _example()
    one = tinymed.ones(1, 4)
    h = c = tinymed.zeros(1, 1)
    gated = []
    for x_t in (1.0, 2.0, 3.0):
        a = h * one + x_t * one + one  # W·[h, x] + b for the gates i, f, g, o, all weights 1
        i, f, g, o = a.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        gated.append(h.item())
    return Finding(
        "4.3.1",
        "h_t = σ(W_h·[h_{t−1}, x_t] + b_h), under the name of the LSTM",
        "the plain RNN's equation again",
        {"as printed": _rounded(h_plain), "with gates i, f, g, o and a cell c": _rounded(np.array(gated))},
        False,
        "it prints the plain RNN; 3.3 speaks of gates and a memory cell: "
        "c_t = f∘c_{t−1} + i∘g, h_t = o∘tanh(c_t), with i, f, o = σ(·), g = tanh(·)",
    )


def _listing() -> Finding:
    from tinymed.training import article_cnn

    parameters = sum(p.numel() for p in article_cnn().parameters())
    return Finding(
        "5.2",
        "the listing: read, normalise, build, compile, fit, evaluate, plot, predict",
        "does not run",
        {"parameters of its network": parameters},
        False,
        "`train_data normalization` is no Python, fit gets no labels, a DataFrame goes into Conv2D, and "
        "`pip install python==3.8` installs nothing; it runs on tinymed.keras with these mended",
    )
