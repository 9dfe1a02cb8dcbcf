"""Mining a run's data (article 2.2): copies, odd cases, groups and a map; and beside errors, what they looked like.

found = mine(run, parts, "mining.html")
found.twins.groups(conflicting=True)        # cases that are alike and labelled differently
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinymed.evaluation import Twins, clusters, features, map2d, nearest_cases, outliers
from tinymed.evaluation.mining import Clusters, Nearest
from tinymed.evaluation.page import write_whole
from tinymed.tasks.judge import judge, near_twins, twin_rule
from tinymed.tasks.pages import mining_page
from tinymed.tasks.run import Run
from tinymed.tasks.task import Parts, Samples

PARTS = ("training", "validation", "test")
SHOWN, BESIDE = 12, 3  # cards of each kind on the page; training cases beside an error
MAPPED = 1500  # items on the map at most: more take minutes, and cover each other
NEIGHBOURS = 20  # that an odd item is compared with


@dataclass(frozen=True, eq=False)
class Findings:
    """What mining finds. Items are numbered on through training, validation and test part.

    samples    all N of them
    part       (N,) 0 training, 1 validation, 2 test
    features   (N,F) what goes into the network's last Linear
    mapped     (M,) the numbers of the items on the map, drawn at random where there are many
    positions  (M,2) where they are
    clusters   k-means of the features, as many clusters as classes (two, where values are told)
    new        agreement of these clusters with the labels of the test part alone, which the network was not told
    plain      the same of what goes into the network; None of texts, whose numbers are words
    odd        (N,) local outlier factors of the features, about 1 for usual ones
    errors     (E,) items of the test part that are predicted wrongly (or furthest off), the worst first
    predicted  (E,) what was predicted of them: a class, or a value
    nearest    for each of these the nearest training items, by features
    twins      items that are equal or nearly so, with labels that differ told; rule: which are
    """

    samples: Samples
    part: np.ndarray
    features: np.ndarray
    mapped: np.ndarray
    positions: np.ndarray
    clusters: Clusters
    new: float | None
    plain: Clusters | None
    odd: np.ndarray
    errors: np.ndarray
    predicted: np.ndarray
    nearest: Nearest
    twins: Twins
    rule: str

    def __len__(self) -> int:
        return len(self.samples)

    def name(self, k: int) -> str:
        """What an item is called: its own name, or the number it has in its part."""
        if self.samples.names:
            return str(self.samples.names[k])
        return f"{PARTS[self.part[k]]} case {k - np.argmax(self.part == self.part[k])}"

    def twins_by_part(self) -> list[dict[str, Any]]:
        """Of each two parts: how many pairs of twins they share, are equal, and have labels that differ."""
        ends = self.part[self.twins.pairs]
        found = []
        for a in range(3):
            for b in range(a, 3):
                of = (ends.min(1) == a) & (ends.max(1) == b) if len(ends) else np.zeros(0, bool)
                differ = None if self.twins.conflicting is None else int((of & self.twins.conflicting).sum())
                found.append({
                    "a": PARTS[a], "b": PARTS[b], "pairs": int(of.sum()),
                    "exact": int((of & self.twins.exact).sum()), "conflicting": differ,
                })  # fmt: skip
        return found

    def __str__(self) -> str:
        across = sum(row["pairs"] for row in self.twins_by_part() if row["a"] != row["b"])
        twins, differ = self.twins, self.twins.conflicting
        alike = [f"{_many(len(twins), 'pair')} of cases alike ({self.rule})"]
        if len(twins):
            alike += [_many(len(twins.groups()), "group"), f"{twins.exact.sum()} equal"]
            alike += [] if differ is None else [f"{differ.sum()} with labels that differ"]
            alike += [f"{across} across training, validation and test part"]
        clusters = f"{len(self.clusters.centres)} clusters: silhouette {self.clusters.silhouette:.2f}"
        clusters += "" if self.new is None else f", adjusted Rand {self.new:.2f} on the test part"
        return f"{len(self)} cases\n{'; '.join(alike)}\n{clusters}\n{_many(len(self.errors), 'error')}"


def mine(run: Run, parts: Parts, path: str | Path | None = None, command: str = "") -> Findings:
    """Look at all data of a run through its network; write what is found as an HTML page, if `path` is given.

    Raises ValueError where the data are too few or the network sees them all alike, OSError for a path that cannot
    be written.
    """
    samples = _together(list(parts.sides.values()))
    part = np.concatenate([np.full(len(side), PARTS.index(name)) for name, side in parts.sides.items()])
    prepared = np.asarray(run.prepared(samples.x))
    seen = features(run.model, prepared)
    from sklearn.metrics import adjusted_rand_score

    labels, k = (samples.y, len(run.classes)) if run.classes else (None, 2)

    mapped = np.sort(np.random.default_rng(0).permutation(len(seen))[:MAPPED])
    judged: Any = judge(run, parts.test)
    worst = judged.errors()[: None if run.classes else SHOWN]
    errors = worst + np.argmax(part == 2)
    beside = min(BESIDE, len(parts.train))
    near = Nearest(np.empty((0, beside), int), np.empty((0, beside)))
    if len(errors):
        near = nearest_cases(seen[part == 0], seen[errors], beside)
    grouped = clusters(seen, k, labels=labels)
    untold = part == 2
    found = Findings(
        samples, part, seen, mapped, map2d(seen[mapped]),
        clusters=grouped,
        new=None if labels is None else float(adjusted_rand_score(labels[untold], grouped.members[untold])),
        plain=None if isinstance(samples.x, list) else clusters(prepared, k, labels=labels),
        odd=_odd(seen),
        errors=errors,
        predicted=judged.predicted[worst],
        nearest=near,
        twins=near_twins(run.data.form, samples.x, labels=labels), rule=twin_rule(run.data.form, samples.x),
    )  # fmt: skip
    if path is not None:
        write_whole(path, mining_page(run, found, command))
    return found


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _together(sides: Sequence[Samples]) -> Samples:
    """All parts as one."""
    texts = isinstance(sides[0].x, list)
    x = [text for side in sides for text in side.x] if texts else np.concatenate([side.x for side in sides])
    names = [str(name) for side in sides for name in side.names] if all(len(side.names) for side in sides) else ()
    return Samples(x, np.concatenate([side.y for side in sides]), names)


def _odd(seen: np.ndarray) -> np.ndarray:
    """Local outlier factors; equal items count once, else the factors of their neighbours are huge."""
    distinct, place = np.unique(seen, axis=0, return_inverse=True)
    if len(distinct) < 3:
        return np.ones(len(seen))
    return outliers(distinct, min(NEIGHBOURS, len(distinct) - 1))[place.reshape(-1)]
