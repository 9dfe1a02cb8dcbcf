"""Splits that keep the classes' shares, draw by a seed, and never put one patient on both sides."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

HEAPS = 20  # into so many heaps whole groups are dealt before the heaps become parts


def stratified_folds(labels: Any, k: int, seed: int = 0, groups: Any = None) -> list[tuple[np.ndarray, np.ndarray]]:
    """k times (what to learn from, what to judge by), as indices in order; each item is judged by once.

    labels  (N,) class numbers; or float values, of which each fifth counts as a class
    groups  (N,) whose each item is, such as the patient's number: all of a group's items are in one fold

    Every fold has about the same share of each class, as nearly as groups allow. Raises ValueError where a class
    has fewer than k items, or k groups, and for groups that are None or NaN.
    """
    if isinstance(k, bool) or int(k) != k or k < 2:
        raise ValueError(f"stratified_folds: there must be 2 folds or more, got {k!r}")
    y, name = _classes("stratified_folds", labels, int(k))
    members = None if groups is None else _groups("stratified_folds", groups, len(y))
    for c in np.unique(y):
        mine = y == c
        count, of = (mine.sum(), "item") if members is None else (len(np.unique(members[mine])), "group")
        if count < k:
            raise ValueError(
                f"stratified_folds: {name(c)} has {count} {of}{'s' if count > 1 else ''}, too few for {k} folds: "
                + (f"ask for {count}, or leave the class out" if count > 1 else "leave the class out")
            )
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    splitter = (StratifiedKFold if members is None else StratifiedGroupKFold)(k, shuffle=True, random_state=seed)
    folds = [(train, test) for train, test in splitter.split(y, y, members)]
    for train, test in folds:
        _learnable("stratified_folds", y, [train, test], name)
    return folds


def stratified_split(labels: Any, fractions: Sequence[float], seed: int = 0, groups: Any = None) -> list[np.ndarray]:
    """Indices, in order, of parts that are such fractions of the items; labels and groups as in `stratified_folds`.

    Raises ValueError for fractions that do not sum to 1, for a class of too few items to be cut so often, and where
    groups leave a part empty, or the first part without a class.
    """
    shares = [float(f) for f in fractions]
    if len(shares) < 2 or min(shares) <= 0 or not math.isclose(sum(shares), 1):
        raise ValueError(f"stratified_split: expected two or more fractions that sum to 1, got {list(fractions)}")
    y, name = _classes("stratified_split", labels, len(shares))
    members = None if groups is None else _groups("stratified_split", groups, len(y))
    for c, count in zip(*np.unique(y, return_counts=True)):
        if count < len(shares):
            raise ValueError(
                f"stratified_split: {name(c)} has {count} item{'s' if count > 1 else ''}, too few for "
                f"{len(shares)} parts: leave the class out"
            )
    parts = _cut(y, shares, seed, name) if members is None else _dealt(y, shares, seed, members)
    _learnable("stratified_split", y, parts, name)
    return parts


def apart(parts: Mapping[str, Any]) -> None:
    """Refuse a split in which a group stands in two parts: apart({"training": groups, "test": groups}).

    Raises ValueError that names the group and the parts.
    """
    # as texts: one part may come from a file, where 7 is "7", and the other from an array
    found = {part: set(map(str, _groups(f"the {part} part", groups).tolist())) for part, groups in parts.items()}
    names = list(found)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            if both := found[one] & found[other]:
                first = min(both)
                more = f", and {len(both) - 1} more," if len(both) > 1 else ""
                raise ValueError(
                    f"patient (or other group) {first!r}{more} stands in the {one} part and in the {other} part: "
                    "what is learnt from in one is known again in the other; split with stratified_split(groups=...)"
                )


# -------------------------------------------------------------------- parts


def _cut(y: np.ndarray, shares: list[float], seed: int, name: Callable[[int], str]) -> list[np.ndarray]:
    """One part after the other, cut off what is left: each time of every class two items or more."""
    from sklearn.model_selection import train_test_split

    rng, rest, parts = np.random.RandomState(seed), np.arange(len(y)), []
    for k in range(len(shares) - 1):
        size = round(len(rest) * shares[k] / sum(shares[k:]))
        classes, counts = np.unique(y[rest], return_counts=True)
        if counts.min() < 2:
            c = classes[counts.argmin()]
            raise ValueError(
                f"stratified_split: {name(c)} has {(y == c).sum()} items, too few for parts of {shares}: one would be "
                "left for the last parts to share; leave the class out, or make the first part smaller"
            )
        if not len(classes) <= size <= len(rest) - len(classes):
            raise ValueError(
                f"stratified_split: {len(y)} items cannot be cut into parts of {shares}: part {k} would have {size} of "
                f"{len(rest)}, and it and the rest need one of each of the {len(classes)} classes"
            )
        part, rest = train_test_split(rest, train_size=size, random_state=rng, stratify=y[rest])
        parts.append(np.sort(part))
    return [*parts, np.sort(rest)]


def _dealt(y: np.ndarray, shares: list[float], seed: int, members: np.ndarray) -> list[np.ndarray]:
    """Whole groups, dealt into stratified heaps; each part gets its share of the heaps."""
    from sklearn.model_selection import StratifiedGroupKFold

    heaps = min(HEAPS, len(np.unique(members)), np.bincount(y).max())
    if heaps < len(shares):
        raise ValueError(
            f"stratified_split: there are too few groups, {len(np.unique(members))}, to deal into {len(shares)} parts"
        )
    ends = np.round(np.cumsum(shares) * heaps).astype(int)
    ends = np.maximum(ends, np.arange(len(shares)) + 1)  # one heap each at least
    ends = np.minimum(ends, heaps - np.arange(len(shares))[::-1])
    splitter = StratifiedGroupKFold(heaps, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a class may well be in fewer groups than there are heaps
        warnings.simplefilter("ignore", UserWarning)
        dealt = [test for _, test in splitter.split(y, y, members)]
    return [np.sort(np.concatenate(dealt[a:b])) for a, b in zip([0, *ends], ends)]


# -------------------------------------------------------------------- what is refused


def _classes(where: str, labels: Any, parts: int) -> tuple[np.ndarray, Callable[[int], str]]:
    """(N,) class numbers from 0, and what each is called."""
    y = np.asarray(labels)
    if y.ndim != 1 or not len(y):
        raise ValueError(f"{where}: labels must have shape (N,), got {y.shape}")
    if y.dtype.kind != "f":
        values, y = np.unique(y, return_inverse=True)
        return y, lambda c: f"class {values[c]!s}"
    if not np.isfinite(y).all():
        at = int(np.flatnonzero(~np.isfinite(y))[0])
        raise ValueError(f"{where}: the value of item {at} is {y[at]}; leave it out or fill it in")
    strata = max(1, min(5, len(y) // parts))
    rank = np.argsort(np.argsort(y, kind="stable"), kind="stable")
    return rank * strata // len(y), lambda c: f"the {c + 1}. of {strata} strata of values"


def _groups(where: str, groups: Any, n: int | None = None) -> np.ndarray:
    if groups is None:
        raise ValueError(f"{where}: nobody knows whose the items are: groups is None")
    found = np.asarray(groups)
    if found.ndim != 1 or n not in (None, len(found)):
        raise ValueError(f"{where}: groups must say whose each of the {n or 'N'} items is, got shape {found.shape}")
    for at, group in enumerate(found.tolist()):
        if group is None or group != group:
            raise ValueError(
                f"{where}: item {at} belongs to nobody (its group is {group}): "
                "give it a number of its own, or leave it out"
            )
    return found


def _learnable(where: str, y: np.ndarray, parts: Iterable[np.ndarray], name: Callable[[int], str]) -> None:
    parts = list(parts)
    sizes = [len(part) for part in parts]
    if not all(sizes):
        raise ValueError(f"{where}: whole groups leave a part empty, sizes would be {sizes}; ask for fewer parts")
    if len(lost := np.setdiff1d(y, y[parts[0]])):
        raise ValueError(f"{where}: the first part would have no item of {name(lost[0])}; try another seed")
