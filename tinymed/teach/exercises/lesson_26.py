"""Exercises of lesson 26: texts as numbers, and what flows back to their vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed import Tensor
from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- words to numbers


def encode_text(words: tuple[str, ...], known: tuple[str, ...], length: int) -> Array:
    return _encoded(words, known, length)


def _encoded(
    words: tuple[str, ...], known: tuple[str, ...], length: int, unknown: int | None = 1, first: int = 2,
    left: bool = True, end: bool = False,
) -> Array:  # fmt: skip
    """unknown: its number, None to leave such words out; first: the number of the first known word."""
    numbers = [known.index(word) + first if word in known else unknown for word in words]
    row = [number for number in numbers if number is not None]
    row = row[-length:] if end else row[:length]
    padding = [0] * (length - len(row))
    return np.array(padding + row if left else row + padding)


def _texts(rng: np.random.Generator) -> list[Case]:
    known = ("pain", "chest", "no", "days", "fever")
    drawn = (*known, "cough", "asthma")
    plain = {"words": ("no", "chest", "pain", "today"), "known": ("pain", "chest", "no"), "length": 6}
    longer = {"words": ("fever", "cough", "chest", "pain", "no", "fever"), "known": known, "length": 3}
    more = [
        {"words": tuple(str(w) for w in rng.choice(drawn, n)), "known": known, "length": length}
        for n, length in ((5, 8), (9, 6), (4, 4), (1, 5))
    ]
    return [plain, longer, *more]


ENCODE_TEXT = Exercise(
    "encode_text",
    26,
    "the numbers of a text's words, unknown ones 1, cut at its end or padded with 0 on the left to `length`",
    encode_text,
    _texts,
    {
        "padded on the right: the last words are to stand at the last step": (
            lambda words, known, length: _encoded(words, known, length, left=False)
        ),
        "unknown words were left out: each is a 1, so that it is seen that something stood there": (
            lambda words, known, length: _encoded(words, known, length, unknown=None)
        ),
        "an unknown word is not padding: its number is 1, and 0 is where no word is": (
            lambda words, known, length: _encoded(words, known, length, unknown=0)
        ),
        "known words begin at 2: 0 and 1 are taken": (
            lambda words, known, length: _encoded(words, known, length, first=0)
        ),
        "known words begin at 2, not at 1: 1 is for the unknown": (
            lambda words, known, length: _encoded(words, known, length, first=1)
        ),
        "a long text is cut at its end: its first words stay": (
            lambda words, known, length: _encoded(words, known, length, end=True)
        ),
    },
    ("row",),
)  # fmt: skip

# ---------------------------------------------------------------- an embedding, backwards


def embedding_gradient(x: Array, g: Array, V: int) -> Array:
    return _added(x, g, V)


def _lookups(rng: np.random.Generator) -> list[Case]:
    plain = {"x": np.array([[0, 2, 1, 2]]), "g": np.array([[[9.0, 9], [1, 2], [3, 4], [5, 6]]]), "V": 4}
    drawn = [
        {"x": np.sort(rng.integers(0, V, (N, T)), 1), "g": rng.standard_normal((N, T, E)), "V": V}
        for N, T, E, V in ((2, 5, 3, 4), (3, 8, 2, 12), (1, 6, 4, 3))
    ]
    return [plain, *drawn]


def _added(x: Array, g: Array, V: int, padding: bool = False) -> Array:
    """Rows added up, padding's too if so asked."""
    dW = np.zeros((V, g.shape[-1]))
    np.add.at(dW, x, g)
    if not padding:
        dW[0] = 0
    return dW


def _last_one(x: Array, g: Array, V: int) -> Array:
    dW = np.zeros((V, g.shape[-1]))
    dW[x] = g
    dW[0] = 0
    return dW


def _every_text_once(x: Array, g: Array, V: int) -> Array:
    """Within a text, a word's last row alone counts."""
    dW = np.zeros((V, g.shape[-1]))
    for row, gradient in zip(x, g):
        dW[row] += gradient
    dW[0] = 0
    return dW


EMBEDDING_GRADIENT = Exercise(
    "embedding_gradient",
    26,
    "∂L/∂W (V,E) of a look-up e = W[x], given ∂L/∂e; row 0 is padding and is not learnt",
    embedding_gradient,
    _lookups,
    {
        "dW[x] = g, and dW[x] += g on a whole array too, keep one row of a word: loop, or np.add.at": _last_one,
        "text by text, dW[row] += g still counts a word once that a text holds twice; use np.add.at": _every_text_once,
        "row 0 is padding: nothing is learnt there": lambda x, g, V: _added(x, g, V, padding=True),
        "the rows of a word are added up, not averaged": (
            lambda x, g, V: _added(x, g, V) / np.maximum(np.bincount(x.ravel(), minlength=V), 1)[:, None]
        ),
    },
    ("dW",),
)  # fmt: skip

# ---------------------------------------------------------------- attention pooling


def attention_pool(e: Tensor, q: Tensor, words: Array) -> Tensor:
    return (_shares(e, q, words).unsqueeze(-1) * e).sum(1)


def _shares(e: Tensor, q: Tensor, words: Any, dim: int = 1) -> Tensor:
    return (e @ q).masked_fill(words == 0, -1e9).softmax(dim)


def _to_pool(rng: np.random.Generator) -> list[Case]:
    e = np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]])
    plain = {"e": e, "q": np.array([0.0, 0.5]), "words": np.array([[0, 1, 1]])}
    drawn = []
    for N, T, E in ((2, 4, 3), (3, 5, 2), (1, 6, 4)):
        words = (np.arange(T) >= rng.integers(0, T - 1, (N, 1))).astype(int)
        words[0, 0] = 0
        drawn.append({"e": rng.standard_normal((N, T, E)), "q": rng.standard_normal(E), "words": words})
    return [plain, *drawn]


def _pooled(weights: Tensor, e: Tensor) -> Tensor:
    return (weights.unsqueeze(-1) * e).sum(1)


def _kept(words: Any) -> Tensor:
    return words if isinstance(words, Tensor) else Tensor(np.asarray(words, dtype=np.float64))


ATTENTION_POOL = Exercise(
    "attention_pool",
    26,
    "ē (N,E): the mean of e (N,T,E), weighted by the softmax of q·e over the words, padding left out",
    attention_pool,
    _to_pool,
    {
        "padding takes part: where `words` is 0, the weight is 0": lambda e, q, words: _pooled((e @ q).softmax(1), e),
        "the plain mean of the words: q·e says how much each counts": (
            lambda e, q, words: _pooled(_kept(words) / _kept(words).sum(1, keepdim=True), e)
        ),
        "softmax over the texts of a batch: the weights of one text's words sum to 1, dim=1": (
            lambda e, q, words: _pooled(_shares(e, q, words, dim=0), e)
        ),
        "scores of 0 are not weights of 0: e⁰ = 1; fill with a large negative number before the softmax": (
            lambda e, q, words: _pooled((e @ q).masked_fill(words == 0, 0.0).softmax(1), e)
        ),
        "padding was cut off after the softmax: what is left no longer sums to 1": (
            lambda e, q, words: _pooled((e @ q).softmax(1).masked_fill(words == 0, 0.0), e)
        ),
        "the scores themselves are no weights: a softmax makes shares of them": (
            lambda e, q, words: _pooled((e @ q).masked_fill(words == 0, 0.0), e)
        ),
    },
    ("ē",),
    gradient=True,
)  # fmt: skip

# ---------------------------------------------------------------- what no model can beat


def accuracy_ceiling(text: Array, label: Array) -> float:
    return sum(np.bincount(label[text == t]).max() for t in np.unique(text)) / len(text)


def _labelled_twice(rng: np.random.Generator) -> list[Case]:
    plain = {"text": np.array([0, 0, 1, 2, 2, 2]), "label": np.array([3, 1, 1, 0, 4, 4])}
    drawn = [
        {"text": rng.integers(0, texts, n), "label": rng.integers(0, C, n)}
        for n, texts, C in ((12, 6, 2), (40, 25, 5), (30, 4, 3))
    ]
    return [plain, *drawn]


def _sure(text: Array, label: Array) -> Array:
    """(N,) whether the row's text has one label only."""
    return np.array([len(np.unique(label[text == t])) == 1 for t in text])


ACCURACY_CEILING = Exercise(
    "accuracy_ceiling",
    26,
    "the largest share of rows on which anything can be right that gives equal texts equal answers",
    accuracy_ceiling,
    _labelled_twice,
    {
        "a text of several labels is not lost: its most frequent one is right for some of its rows": (
            lambda text, label: float(_sure(text, label).mean())
        ),
        "rows were asked for, not texts: a text that stands three times counts three times": (
            lambda text, label: float(np.mean([(label[text == t] == np.bincount(label[text == t]).argmax()).mean()
                                               for t in np.unique(text)]))
        ),
        "distinct texts by rows: that is one right row a text, and too few where a label comes twice": (
            lambda text, label: len(np.unique(text)) / len(text)
        ),
        "that is the stone's share, the most frequent label of all rows; each text may have an answer of its own": (
            lambda text, label: float(np.bincount(label).max() / len(label))
        ),
    },
    ("share",),
)  # fmt: skip

EXERCISES = [ENCODE_TEXT, EMBEDDING_GRADIENT, ATTENTION_POOL, ACCURACY_CEILING]
