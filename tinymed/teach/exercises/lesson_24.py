"""Exercises of lesson 24: samples of 12 bits, rare classes, and whose a beat is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- format 212


def unpack_212(data: Array) -> Array:
    return _signed(*_pairs(data))


def _pairs(data: Array) -> tuple[Array, Array]:
    """Both samples of each three bytes, as numbers of 0…4095."""
    low_a, high, low_b = data.astype(np.int64).reshape(-1, 3).T
    return (high & 15) * 256 + low_a, (high >> 4) * 256 + low_b


def _signed(first: Array, second: Array, from_: int = 2048, off: int = 4096) -> Array:
    samples = np.stack([first, second], axis=1).reshape(-1)
    return np.where(samples >= from_, samples - off, samples)


def _bytes(rng: np.random.Generator) -> list[Case]:
    plain = [{"data": np.array(row)} for row in ([0xE3, 0x33, 0xF3], [0xFF, 0x0F, 0x01], [0x10, 0x84, 0x20])]
    return plain + [{"data": rng.integers(0, 256, 3 * n)} for n in (2, 3, 8)]


def _nibbles_exchanged(data: Array) -> Array:
    low_a, high, low_b = data.reshape(-1, 3).T
    return _signed((high >> 4) * 256 + low_a, (high & 15) * 256 + low_b)


def _big_endian(data: Array) -> Array:
    a, b, c = data.reshape(-1, 3).T
    return _signed(a * 16 + (b >> 4), (b & 15) * 256 + c)


def _not_masked(data: Array) -> Array:
    low_a, high, low_b = data.reshape(-1, 3).T
    return _signed(high * 256 + low_a, (high >> 4) * 256 + low_b)


def _shifted_by_4(data: Array) -> Array:
    low_a, high, low_b = data.reshape(-1, 3).T
    return _signed((high & 15) * 256 + low_a, (high & 0xF0) + low_b)


UNPACK_212 = Exercise(
    "unpack_212",
    24,
    "the samples (2K,) of 3K bytes of format 212, in the order of time, in two's complement of 12 bits",
    unpack_212,
    _bytes,
    {
        "no two's complement: from 2048 on a number of 12 bits is negative, take off 4096": (
            lambda data: np.stack(_pairs(data), axis=1).reshape(-1)
        ),
        "the halves of the middle byte are exchanged: its lower four bits belong to the first sample": (
            _nibbles_exchanged
        ),
        "read from the front, as one writes numbers: here the first byte is the low one": _big_endian,
        "the middle byte was used whole for the first sample: keep its lower four bits, high & 15": _not_masked,
        "the upper four bits weigh 256 and more: (high >> 4) · 256, not high & 0xF0 as it is": _shifted_by_4,
        "all first samples, then all second ones: they take turns": (
            lambda data: np.concatenate([unpack_212(data)[0::2], unpack_212(data)[1::2]])
        ),
        "the sign was taken at 128 and 256, as of a byte: here it is 2048 and 4096": (
            lambda data: _signed(*_pairs(data), 128, 256)
        ),
    },
    ("samples",),
)  # fmt: skip

# ---------------------------------------------------------------- macro-F1


def macro_f1(matrix: Array) -> float:
    return float(_f1(matrix).mean())


def _f1(matrix: Array) -> Array:
    return 2 * np.diag(matrix) / (matrix.sum(0) + matrix.sum(1))


def _rates(matrix: Array) -> tuple[Array, Array]:
    """Precision, 0 for a class that was never said, and recall of each class."""
    hits = np.diag(matrix)
    return hits / np.maximum(matrix.sum(0), 1), hits / matrix.sum(1)


def _matrices(rng: np.random.Generator) -> list[Case]:
    plain = np.array([[6, 2], [2, 0]])
    rare = np.array([[90, 0, 0], [5, 5, 0], [2, 0, 0]])  # nobody is told to be of the last class
    drawn = [rng.integers(0, 9, (C, C)) + np.diag(rng.integers(1, 40, C)) for C in (2, 3, 5)]
    return [{"matrix": m} for m in (plain, rare, *drawn)]


@np.errstate(all="ignore")
def _by_hand(matrix: Array, mean: Callable[[Array], float]) -> float:
    p, r = np.diag(matrix) / matrix.sum(0), np.diag(matrix) / matrix.sum(1)
    return float(mean(2 * p * r / (p + r)))


def _of_means(matrix: Array) -> float:
    p, r = (rates.mean() for rates in _rates(matrix))
    return float(2 * p * r / (p + r))


MACRO_F1 = Exercise(
    "macro_f1",
    24,
    "the mean over the classes of 2 · hits / (cases + said), of a (C,C) confusion matrix whose rows are true classes",
    macro_f1,
    _matrices,
    {
        "that is the accuracy, which is also the F1 of all classes counted together (micro): take the mean of each "
        "class's own": lambda matrix: float(np.trace(matrix) / matrix.sum()),
        "classes were weighted by how many cases they have: then the frequent one decides again": (
            lambda matrix: float((_f1(matrix) * matrix.sum(1)).sum() / matrix.sum())
        ),
        "that is the mean recall, the balanced accuracy: false alarms do not count in it": (
            lambda matrix: float(_rates(matrix)[1].mean())
        ),
        "that is the mean precision: missed cases do not count in it": lambda matrix: float(_rates(matrix)[0].mean()),
        "0/0: a class without a single hit has precision 0 or none; 2 · hits / (cases + said) is 0 there": (
            lambda matrix: _by_hand(matrix, np.mean)
        ),
        "a class without a single hit was left out of the mean; its F1 is 0, and counts": (
            lambda matrix: _by_hand(matrix, np.nanmean)
        ),
        "F1 of the mean precision and the mean recall: first F1 of each class, then the mean": _of_means,
        "the factor 2 is missing": lambda matrix: macro_f1(matrix) / 2,
    },
    ("f1",),
)  # fmt: skip

# ---------------------------------------------------------------- class weights


def balanced_weights(labels: Array, C: int) -> Array:
    return len(labels) / (C * np.bincount(labels, minlength=C))


def _labels(rng: np.random.Generator) -> list[Case]:
    plain = {"labels": np.array([0, 0, 0, 1]), "C": 2}
    drawn = [
        {"labels": rng.permutation(np.concatenate([np.arange(C), rng.integers(0, 2, n)])), "C": C}
        for C, n in ((3, 6), (5, 20))
    ]
    return [plain, *drawn]


BALANCED_WEIGHTS = Exercise(
    "balanced_weights",
    24,
    "the weight (C,) of each class, N / (C · N_c), N_c > 0: all classes count alike, the samples' mean weight is 1",
    balanced_weights,
    _labels,
    {
        "1 / N_c alone makes every weight small, and with it every step: times N / C the mean over the samples is 1": (
            lambda labels, C: 1 / np.bincount(labels, minlength=C)
        ),
        "N / N_c: divide by the number of classes too, or every step is C times as long": (
            lambda labels, C: len(labels) / np.bincount(labels, minlength=C)
        ),
        "those are the classes' shares, N_c / N: a rare class must weigh more, not less; take the inverse": (
            lambda labels, C: np.bincount(labels, minlength=C) / len(labels)
        ),
        "turned round: the rare class must weigh more, not less": (
            lambda labels, C: C * np.bincount(labels, minlength=C) / len(labels)
        ),
        "the weights sum to 1: it is the samples' mean weight that must be 1": (
            lambda labels, C: (1 / np.bincount(labels, minlength=C)) / (1 / np.bincount(labels, minlength=C)).sum()
        ),
        "the weights sum to C: it is the samples' mean weight that must be 1": (
            lambda labels, C: (1 / np.bincount(labels, minlength=C)) / (1 / np.bincount(labels, minlength=C)).mean()
        ),
        "a weight of each sample was returned; one of each class is asked for": (
            lambda labels, C: balanced_weights(labels, C)[labels]
        ),
    },
    ("weights",),
)  # fmt: skip

# ---------------------------------------------------------------- whose is it?


def own_neighbour(x: Array, who: Array) -> float:
    return _nearest(x, who, _unit(x - x.mean(1, keepdims=True)))


def _unit(x: Array) -> Array:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _nearest(
    x: Array, who: Array, a: Array, itself: float = -np.inf, change: Callable[[Array], Array] = np.positive
) -> float:
    r = change(a @ a.T)
    if itself:
        np.fill_diagonal(r, itself)
    return float((who[r.argmax(1)] == who).mean())


def _beats(rng: np.random.Generator) -> list[Case]:
    rows = [[0, 1, 0, 0], [0, 3, 0, 1], [1, 0, 1, 1], [2, 0, 2, 3]]
    plain = {"x": np.array(rows, float), "who": np.array([0, 0, 1, 0])}
    drawn = []
    for n, T, spread in ((12, 6, 0.6), (30, 8, 0.9), (40, 5, 1.2)):
        shape = rng.standard_normal((3, T))
        shape[2] = -shape[0]
        who = rng.permutation(np.arange(n) % 3)
        beats = shape[who] + spread * rng.standard_normal((n, T))
        drawn.append({"x": beats * rng.uniform(0.3, 4, (n, 1)) + rng.normal(0, 3, (n, 1)), "who": who})
    return [plain, *drawn]


def _by_distance(x: Array, who: Array) -> float:
    d = np.linalg.norm(x[:, None] - x, axis=2)
    np.fill_diagonal(d, np.inf)
    return float((who[d.argmin(1)] == who).mean())


def _all_pairs(x: Array, who: Array) -> float:
    return float(((who[:, None] == who).sum() - len(who)) / (len(who) * (len(who) - 1)))


OWN_NEIGHBOUR = Exercise(
    "own_neighbour",
    24,
    "the share of beats whose most correlated other beat is of the same person",
    own_neighbour,
    _beats,
    {
        "every beat is its own nearest: leave it out, and look at the others": (
            lambda x, who: _nearest(x, who, _unit(x - x.mean(1, keepdims=True)), itself=0)
        ),
        "that is the smallest distance: height and offset decide there, the correlation knows neither": _by_distance,
        "each beat's own mean is to be taken off first: without it that is the cosine, not the correlation": (
            lambda x, who: _nearest(x, who, _unit(x))
        ),
        "the sum of products alone favours high beats: divide by the length of each": (
            lambda x, who: _nearest(x, who, x - x.mean(1, keepdims=True))
        ),
        "a beat upside down is not alike: the largest correlation, not the largest amount": (
            lambda x, who: _nearest(x, who, _unit(x - x.mean(1, keepdims=True)), change=np.abs)
        ),
        "the least correlated was taken: the largest correlation is the nearest": (
            lambda x, who: _nearest(x, who, _unit(x - x.mean(1, keepdims=True)), change=np.negative)
        ),
        "the means of the columns were taken off: it is each beat's own mean, a row's": (
            lambda x, who: _nearest(x, who, _unit(x - x.mean(0)))
        ),
        "the share of all pairs: only the nearest of each beat counts": _all_pairs,
    },
    ("share",),
)  # fmt: skip

EXERCISES = [UNPACK_212, MACRO_F1, BALANCED_WEIGHTS, OWN_NEIGHBOUR]
