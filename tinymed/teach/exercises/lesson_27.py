"""Exercises of lesson 27: copies, groups, and what labels allow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- the most alike


def most_alike(train: Array, test: Array) -> Array:
    return _correlations(train, test).max(1)


def _correlations(train: Array, test: Array) -> Array:
    def unit(x: Array) -> Array:
        x = x - x.mean(1, keepdims=True)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    return unit(test) @ unit(train).T


def _tables(rng: np.random.Generator) -> list[Case]:
    plain = {
        "train": np.array([[0.0, 1, 0, 1], [4, 3, 2, 1]]),
        "test": np.array([[5.0, 7, 5, 7], [1, 2, 3, 4], [0, 0, 1, 1]]),  # a brighter copy, one upside down, one else
    }
    drawn = [{"train": rng.random((n, F)), "test": rng.random((m, F))} for n, m, F in ((6, 4, 5), (9, 3, 12))]
    return [plain, *drawn]


def _cosine(train: Array, test: Array) -> Array:
    return ((test / np.linalg.norm(test, axis=1)[:, None]) @ (train / np.linalg.norm(train, axis=1)[:, None]).T).max(1)


def _column_means(train: Array, test: Array) -> Array:
    return _cosine(train - train.mean(0), test - test.mean(0))


MOST_ALIKE = Exercise(
    "most_alike",
    27,
    "for each row of test, its largest correlation with a row of train",
    most_alike,
    _tables,
    {
        "the means were not taken away: that is the cosine, and any two bright pictures are alike by it": _cosine,
        "the mean of each column was taken away: what makes a picture bright is the mean of its row": _column_means,
        "the other way round: one number for each row of train": lambda train, test: most_alike(test, train),
        "the largest of all was returned: each row of test has its own": (
            lambda train, test: _correlations(train, test).max()
        ),
        "the mean over train: one copy among a thousand strangers would vanish in it": (
            lambda train, test: _correlations(train, test).mean(1)
        ),
        "of absolute values: a picture and its negative correlate by -1, and are no copies": (
            lambda train, test: np.abs(_correlations(train, test)).max(1)
        ),
        "covariance: divide by both standard deviations": (
            lambda train, test: (
                ((test - test.mean(1, keepdims=True)) @ (train - train.mean(1, keepdims=True)).T).max(1) / test.shape[1]
            )
        ),
    },
    ("r",),
)  # fmt: skip

# ---------------------------------------------------------------- one step of k-means


def kmeans_step(x: Array, centres: Array) -> tuple[Array, Array]:
    members = _distances(x, centres).argmin(1)
    return members, _means(x, centres, members)


def _distances(x: Array, centres: Array) -> Array:
    return ((x[:, None] - centres) ** 2).sum(2)


def _means(x: Array, centres: Array, members: Array) -> Array:
    """The mean of each cluster's members; a centre without members stays."""
    return np.stack([x[members == k].mean(0) if (members == k).any() else c for k, c in enumerate(centres)])


def _points(rng: np.random.Generator) -> list[Case]:
    plain = {"x": np.array([[0.0, 0], [0, 2], [6, 0], [9, 0]]), "centres": np.array([[1.0, 1], [5, 1]])}
    alone = {"x": np.array([[0.0], [1], [5]]), "centres": np.array([[0.0], [4], [100]])}  # nobody is near the last
    drawn = [{"x": 4 * rng.random((n, F)), "centres": 4 * rng.random((k, F))} for n, k, F in ((12, 3, 2), (30, 4, 5))]
    return [plain, alone, *drawn]


def _then(means: Callable[[Array, Array, Array], Array]) -> Callable[[Array, Array], tuple[Array, Array]]:
    def step(x: Array, centres: Array) -> tuple[Array, Array]:
        members = _distances(x, centres).argmin(1)
        return members, means(x, centres, members)

    return step


def _furthest(x: Array, centres: Array) -> tuple[Array, Array]:
    members = _distances(x, centres).argmax(1)
    return members, _means(x, centres, members)


def _empty_at_zero(x: Array, centres: Array, members: Array) -> Array:
    return np.stack([x[members == k].sum(0) / max((members == k).sum(), 1) for k in range(len(centres))])


def _assigned_again(x: Array, centres: Array) -> tuple[Array, Array]:
    _, moved = kmeans_step(x, centres)
    return _distances(x, moved).argmin(1), moved


KMEANS_STEP = Exercise(
    "kmeans_step",
    27,
    "one step of k-means: the cluster of each item, then the new centres; one without members stays",
    kmeans_step,
    _points,
    {
        "argmax takes the furthest centre": _furthest,
        "the sum of the members, not their mean": _then(
            lambda x, centres, members: np.stack(
                [x[members == k].sum(0) if (members == k).any() else c for k, c in enumerate(centres)]
            )
        ),
        "the centres did not move": _then(lambda x, centres, members: centres),
        "a cluster without members was sent to 0: it stays where it was": _then(_empty_at_zero),
        "the mean of no members is NaN: a centre without members stays where it was": _then(
            lambda x, centres, members: np.stack(
                [x[members == k].mean(0) if (members == k).any() else c * np.nan for k, c in enumerate(centres)]
            )
        ),
        "items were assigned again to the moved centres: that is the next step's half": _assigned_again,
        "medians were taken: that is k-medians": _then(
            lambda x, centres, members: np.stack(
                [np.median(x[members == k], 0) if (members == k).any() else c for k, c in enumerate(centres)]
            )
        ),
    },
    ("members", "centres"),
)  # fmt: skip

# ---------------------------------------------------------------- the adjusted Rand index


def adjusted_rand(counts: Array) -> float:
    together, rows, columns, every = _pairs_of(counts)
    expected = rows * columns / every
    return float((together - expected) / ((rows + columns) / 2 - expected))


def _pairs_of(counts: Array) -> tuple[float, float, float, float]:
    """Pairs in the same cell, in the same row, in the same column, and all pairs."""

    def pairs(n: Array) -> float:
        return float((n * (n - 1) / 2).sum())

    return pairs(counts), pairs(counts.sum(1)), pairs(counts.sum(0)), pairs(counts.sum(keepdims=True))


def _counts(rng: np.random.Generator) -> list[Case]:
    plain = [np.array([[2, 0], [1, 2]]), np.array([[0, 5], [4, 0]])]
    return [{"counts": counts} for counts in (*plain, *(rng.integers(0, 12, s) for s in ((2, 2), (3, 2), (4, 5))))]


def _purity(counts: Array) -> float:
    return float(counts.max(0).sum() / counts.sum())


def _rand(counts: Array) -> float:
    together, rows, columns, every = _pairs_of(counts)
    return (every + 2 * together - rows - columns) / every


def _with_squares(counts: Array) -> float:
    together, rows, columns, every = (
        float((n.astype(float) ** 2).sum() / 2)
        for n in (counts, counts.sum(1), counts.sum(0), counts.sum(keepdims=True))
    )
    return (together - rows * columns / every) / ((rows + columns) / 2 - rows * columns / every)


ADJUSTED_RAND = Exercise(
    "adjusted_rand",
    27,
    "the adjusted Rand index of a table of counts, a row a class, a column a cluster",
    adjusted_rand,
    _counts,
    {
        "that is the share on the diagonal: a cluster's number means nothing, columns may change places": (
            lambda counts: float(np.trace(counts) / counts.sum())
        ),
        "that is the purity: enough clusters make it 1, whatever they are": _purity,
        "that is the Rand index, not adjusted: chance alone gives it more than 0": _rand,
        "together / all pairs: the agreement that chance gives was not taken away": (
            lambda counts: _pairs_of(counts)[0] / _pairs_of(counts)[3]
        ),
        "not divided by what perfect agreement would give": (
            lambda counts: _pairs_of(counts)[0] - _pairs_of(counts)[1] * _pairs_of(counts)[2] / _pairs_of(counts)[3]
        ),
        "n² / 2 counts an item as a pair with itself: n items make n (n − 1) / 2 pairs": _with_squares,
    },
    ("index",),
)  # fmt: skip

# ---------------------------------------------------------------- what labels allow


def label_ceiling(groups: Array, labels: Array) -> float:
    return sum(int(np.bincount(labels[groups == g]).max()) for g in np.unique(groups)) / len(labels)


def _labelled(rng: np.random.Generator) -> list[Case]:
    plain = {"groups": np.array([0, 0, 1, 2, 2, 2]), "labels": np.array([0, 1, 1, 2, 2, 0])}
    tied = {"groups": np.array([7, 7, 7, 7, 3]), "labels": np.array([1, 0, 1, 0, 0])}
    drawn = [{"groups": rng.integers(0, n // 2, n), "labels": rng.integers(0, C, n)} for n, C in ((20, 2), (40, 5))]
    return [plain, tied, *drawn]


def _fair(groups: Array, labels: Array, share: Callable[[Array], float]) -> float:
    return float(np.mean([share(np.bincount(labels[groups == g])) for g in np.unique(groups)]))


LABEL_CEILING = Exercise(
    "label_ceiling",
    27,
    "the greatest accuracy that any function of the input can have, where items of one group are equal",
    label_ceiling,
    _labelled,
    {
        "a group in conflict was counted as all wrong: the most frequent of its labels can be right": (
            lambda groups, labels: (
                sum(
                    int((groups == g).sum()) for g in np.unique(groups) if len(np.unique(labels[groups == g])) == 1
                )
                / len(labels)
            )
        ),
        "each group counts once: count its items, since accuracy is a share of items": (
            lambda groups, labels: _fair(groups, labels, lambda n: float(n.max() / n.sum()))
        ),
        "that is the share of groups without conflict": (
            lambda groups, labels: _fair(groups, labels, lambda n: float((n > 0).sum() == 1))
        ),
        "divided by the number of groups: accuracy is a share of items": (
            lambda groups, labels: label_ceiling(groups, labels) * len(labels) / len(np.unique(groups))
        ),
        "that is what guessing among a group's labels gives; saying the most frequent one is better": (
            lambda groups, labels: (
                sum(
                    float((n**2).sum() / n.sum())
                    for n in (np.bincount(labels[groups == g]) for g in np.unique(groups))
                )
                / len(labels)
            )
        ),
        "that is the majority's share: the input was not looked at": (
            lambda groups, labels: float(np.bincount(labels).max() / len(labels))
        ),
    },
    ("accuracy",),
)  # fmt: skip

EXERCISES = [MOST_ALIKE, KMEANS_STEP, ADJUSTED_RAND, LABEL_CEILING]
