"""Duplicates: items that stand in the data twice, within a set or on both sides of a split.

leaks = twins(train, test)
leaks.twinned()[1].mean()                       # the share of the test set that was there to be learnt by heart
[group for group in leaks.groups(conflicting=True)]     # equal, or nearly so, under different labels
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinymed.data import Dataset
from tinymed.data.augmented import labels_of

BLOCK = 512  # rows compared with all others at a time: 5,856 pictures take 12 MB of correlations, not 137
WORD = r"[^\W\u3400-\u9fff]+|[\u3400-\u9fff]"  # a word, or one Chinese character


@dataclass(frozen=True, eq=False)
class Twins:
    """Pairs of items that are equal, or nearly so.

    sizes        how many items a and b have; 0 for b where a was compared with itself
    pairs        (P,2) numbers in a and in b; within a, the smaller one first
    similarity   (P,) correlation of inputs, or cosine of texts; 1 for equal ones
    exact        (P,) bool: equal in every number, as float32; or as texts
    conflicting  (P,) bool: the two have different labels; None where labels are not known
    """

    sizes: tuple[int, int]
    pairs: np.ndarray
    similarity: np.ndarray
    exact: np.ndarray
    conflicting: np.ndarray | None = None

    def groups(self, exact: bool = False, conflicting: bool = False) -> list[np.ndarray]:
        """Items that hang together by pairs, each group in order; b's items are numbered on from len(a).

        exact        by pairs of equal items only
        conflicting  only groups whose labels are not all the same
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        pairs = (self.pairs + [0, self.sizes[0] if self.sizes[1] else 0])[self.exact | (not exact)]
        n = sum(self.sizes)
        _, member = connected_components(coo_array((np.ones(len(pairs)), pairs.T), (n, n)), directed=False)
        order = np.argsort(member, kind="stable")
        found = np.split(order, np.flatnonzero(np.diff(member[order])) + 1)
        if conflicting:
            if self.conflicting is None:
                raise ValueError("no labels were given, so nobody knows which twins conflict; give twins the labels")
            # a group with two labels has a pair with two labels: somewhere along the way they change
            wrong = np.unique(pairs[self.conflicting[self.exact | (not exact)]])
            found = [group for group in found if np.isin(group, wrong).any()]
        return [group for group in found if len(group) > 1]

    def twinned(self) -> tuple[np.ndarray, np.ndarray]:
        """Which items have a twin: bool (Na,) and (Nb,). Within one set the second is empty."""
        both = [np.zeros(size, bool) for size in self.sizes]
        for column, mask in zip(self.pairs.T, both if self.sizes[1] else both[:1] * 2):
            mask[column] = True
        return both[0], both[1]

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        told = "" if self.conflicting is None else f", {self.conflicting.sum()} with different labels"
        return f"Twins({len(self)} pairs in {len(self.groups())} groups; {self.exact.sum()} exact{told})"


def twins(a: Any, b: Any = None, above: float = 0.98, labels: Any = None) -> Twins:
    """Near-duplicates by the correlation of inputs, within a (N,...) or between a and b; exact ones are told apart.

        leaks = twins(train, test)
        leaks.twinned()[1].sum()        # test items that have a twin in the training set

    a, b    arrays, tensors or data sets; of these, the labels are taken too
    above   the correlation above which two are twins. 0.98 is for pictures of 28x28, on which a picture and its twin
            look alike; of other data, look at some pairs first. 1 finds the exact ones only
    labels  (N,) of a, or a pair of them, of a and of b, where these are plain arrays

    Rows are compared in blocks, so memory grows with N, not with N². A constant item correlates with nothing.
    Raises ValueError for items of different sizes, NaN, and a threshold outside (0, 1].
    """
    if not 0 < above <= 1:
        raise ValueError(f"twins: above is a correlation in (0, 1], got {above}")
    known = known_labels(a, b, labels)
    x = rows(a, "a")
    y = x if b is None else rows(b, "b")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"twins: items of a have {x.shape[1]} numbers each, those of b {y.shape[1]}")
    same = _numbered([row.tobytes() for row in x], None if b is None else [row.tobytes() for row in y])
    ux = _unit(x)
    uy = ux if b is None else _unit(y)
    blocks = ((k, ux[k : k + BLOCK] @ uy.T) for k in range(0, len(x), BLOCK))
    return _twins(blocks, same, b is None, above, known)


def text_twins(a: Any, b: Any = None, above: float = 0.9, labels: Any = None) -> Twins:
    """Texts that are equal but for case and white space, and those with nearly the same words.

    a, b    sequences of texts or data sets of texts; of these, the labels are taken too
    above   the cosine of TF-IDF vectors (words, and Chinese characters) above which two texts are twins
    labels  (N,) of a, or a pair of them

    `.groups(exact=True, conflicting=True)` are texts that carry more than one label: no classifier can be right
    on all of them. Raises TypeError for what is not a sequence of texts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not 0 < above <= 1:
        raise ValueError(f"text_twins: above is a cosine in (0, 1], got {above}")
    known = known_labels(a, b, labels)
    plain = [_folded(a, "a"), [] if b is None else _folded(b, "b")]
    same = _numbered(plain[0], None if b is None else plain[1])
    if not any(re.search(WORD, text) for text in plain[0] + plain[1]):
        return _twins(iter([(0, np.zeros((len(same[0]), len(same[1]))))]), same, b is None, above, known)
    vectors = TfidfVectorizer(token_pattern=WORD, dtype=np.float32).fit_transform(plain[0] + plain[1])
    x, y = vectors[: len(plain[0])], vectors[len(plain[0]) :] if plain[1] else vectors
    blocks = ((k, (x[k : k + BLOCK] @ y.T).toarray()) for k in range(0, x.shape[0], BLOCK))
    return _twins(blocks, same, b is None, above, known)


def _twins(
    blocks: Iterator[tuple[int, np.ndarray]],
    same: tuple[np.ndarray, np.ndarray],
    within: bool,
    above: float,
    labels: tuple[np.ndarray, np.ndarray] | None,
) -> Twins:
    """Pairs from blocks (first row, similarities), and from numbers that equal items share."""
    pairs, similarity = [np.empty((0, 2), int)], [np.empty(0)]
    for first, s in blocks:
        equal = same[0][first : first + len(s), None] == same[1]
        s = np.where(equal, 1.0, np.minimum(s, 1))
        close = equal | (s > above)
        if within:  # each pair once, and none of an item with itself
            close = np.triu(close, first + 1)
        found = np.argwhere(close)
        similarity.append(s[tuple(found.T)])
        pairs.append(found + [first, 0])
    ij = np.concatenate(pairs)
    exact = same[0][ij[:, 0]] == same[1][ij[:, 1]]
    differ = None if labels is None else labels[0][ij[:, 0]] != labels[1][ij[:, 1]]
    sizes = len(same[0]), 0 if within else len(same[1])
    return Twins(sizes, ij, np.concatenate(similarity), exact, differ)


def _numbered(a: list, b: list | None) -> tuple[np.ndarray, np.ndarray]:
    """A number for each item, the same for equal items."""
    numbers: dict[Any, int] = {}
    first = np.array([numbers.setdefault(item, len(numbers)) for item in a])
    return first, first if b is None else np.array([numbers.setdefault(item, len(numbers)) for item in b])


def known_labels(a: Any, b: Any, labels: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """The labels of a and of b (of a again, where there is no b), if all of them are known."""
    sets = [a] if b is None else [a, b]
    if labels is None:
        if not all(isinstance(data, Dataset) and len(data) and len(data[0]) > 1 for data in sets):
            return None
        found = [labels_of(data) for data in sets]
    else:
        found = [np.asarray(part) for part in ([labels] if b is None else labels)]
        for part, data in zip(found, sets):
            if part.shape != (len(data),):
                raise ValueError(f"labels of {len(data)} items must have shape ({len(data)},), got {part.shape}")
    return found[0], found[-1]


def rows(x: Any, name: str) -> np.ndarray:
    """Items as rows (N,F) of finite float32."""
    if isinstance(x, Dataset):
        x = x.inputs if hasattr(x, "inputs") else _stacked(x, name)
    x = np.asarray(getattr(x, "array", x))
    if x.ndim < 2 or not x.size or x.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be numbers (N,...), an item in each row, got {x.dtype} {x.shape}")
    x = np.ascontiguousarray(x.reshape(len(x), -1), np.float32) + np.float32(0)  # -0 becomes 0: equal bytes
    if not (finite := np.isfinite(x).all(1)).all():
        raise ValueError(f"item {np.argmin(finite)} of {name} holds NaN or infinity; fill the gaps first")
    return x


def _stacked(data: Dataset, name: str) -> np.ndarray:
    items = [np.asarray(data[k][0]) for k in range(len(data))]
    for k, item in enumerate(items):
        if item.dtype.kind == "U":
            raise TypeError(f"{name} holds texts; these are compared by text_twins")
        if item.shape != items[0].shape:
            raise ValueError(f"{name}: item {k} has shape {item.shape}, item 0 {items[0].shape}; resize them first")
    return np.array(items)


def _unit(x: np.ndarray) -> np.ndarray:
    """Rows less their mean, of length 1: their scalar products are correlations. A constant row becomes 0."""
    x = x - x.mean(1, keepdims=True, dtype=np.float64).astype(np.float32)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    flat = length <= 1e-6 * max(float(np.abs(x).max()), 1)
    return np.where(flat, 0, x / np.where(flat, 1, length))


def _folded(texts: Any, name: str) -> list[str]:
    """Texts in lower case, with single blanks."""
    if isinstance(texts, Dataset):
        texts = [texts[k][0] for k in range(len(texts))]
    if isinstance(texts, str) or any(not isinstance(text, str) for text in texts):
        raise TypeError(f"{name} must be a sequence of texts, got {type(texts).__name__}")
    if not len(texts):
        raise ValueError(f"{name}: there are no texts in it")
    return [" ".join(text.casefold().split()) for text in texts]
