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
from tinymed.evaluation.page import number, rendered, write_whole
from tinymed.tasks.judge import DISCLAIMER, alike, data_name, judge, near_twins
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
    errors     (E,) items of the test part that are said wrongly (or furthest off), the worst first
    said       (E,) what was said of them: a class, or a value
    nearest    for each of these the nearest training items, by features
    twins      items that are equal or nearly so, with labels that differ told; of tables, equal rows only
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
    said: np.ndarray
    nearest: Nearest
    twins: Twins

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
        agreement = self.new
        return (
            f"{len(self)} cases: {self.twins}, {across} pairs across parts; "
            f"silhouette {self.clusters.silhouette:.2f}"
            + ("" if agreement is None else f", adjusted Rand {agreement:.2f} on the test part")
            + f"; {len(self.errors)} errors"
        )


def mine(run: Run, parts: Parts, path: str | Path | None = None, command: str = "") -> Findings:
    """Look at all data of a run through its network; write what is found as an HTML page, if `path` is given.

    Raises ValueError where the data are too few or the network sees them all alike, OSError for a path that cannot
    be written.
    """
    sides = [(k, s) for k, s in enumerate((parts.train, parts.validation, parts.test)) if s is not None]
    samples = _together([side for _, side in sides])
    part = np.concatenate([np.full(len(side), k) for k, side in sides])
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
        said=(judged.said if run.classes else judged.predicted)[worst],
        nearest=near,
        twins=near_twins(run.data.form, samples.x, labels=labels),
    )  # fmt: skip
    if path is not None:
        write_whole(path, _page(run, found, command))
    return found


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


# -------------------------------------------------------------------- the page


def _page(run: Run, found: Findings, command: str) -> str:
    from tinymed.evaluation import drawings

    def case(k: int, note: str = "") -> dict[str, Any]:
        truth = run.classes[found.samples.y[k]] if run.classes else f"{found.samples.y[k]:.3g}"
        return {
            "name": found.name(k), "truth": truth, "note": note,
            "fragment": run.data.form.shown(found.samples.x[k], run),
        }  # fmt: skip

    groups, by_part = found.twins.groups(), found.twins_by_part()
    conflicts = [] if found.twins.conflicting is None else found.twins.groups(conflicting=True)
    across = sum(row["pairs"] for row in by_part if row["a"] != row["b"])
    y, classes = (found.samples.y, run.classes) if run.classes else (np.zeros(len(found), int), ("a case",))
    wrong = np.isin(found.mapped, found.errors) if run.classes else np.zeros(len(found.mapped), bool)
    said = [run.classes[k] for k in found.said] if run.classes else [f"{value:.3g}" for value in found.said]
    return rendered(
        "mining.html",
        title=f"What do the data hold? {run.config.model} on {data_name(run)}",
        n=len(found),
        narrow=not isinstance(found.samples.x, list) and found.samples.x.ndim == 4,
        tiles=[
            ("groups of twins", len(groups), "cases that are equal, or nearly so"),
            ("pairs across parts", across, "one learnt from, one judged by"),
            ("groups in conflict", len(conflicts) if run.classes else "–", "alike, but labelled differently"),
            ("adjusted Rand", _or_dash(found.new), "of clusters of features, with the test part's labels"),
        ],
        alike=_rule(run, found),
        parts=[row for row in by_part if row["pairs"]],
        groups=[_group(found, group, case) for group in _worst_first(found, groups, conflicts)[:SHOWN]],
        drawing=drawings.feature_map(found.positions, y[found.mapped], classes, wrong),
        mapped=f"{len(found.mapped)} of {len(found)} cases, by t-SNE of {found.features.shape[1]} features.",
        grouped=_grouped(run, found),
        classes=classes,
        crossed=[
            np.bincount(y[found.clusters.members == k], minlength=len(classes)).tolist()
            for k in range(len(found.clusters.centres))
        ] if run.classes else [],
        odd=[case(k, f"outlier factor {found.odd[k]:.2f}") for k in np.argsort(-found.odd, kind="stable")[:SHOWN]],
        errors=[
            {
                "title": f"Said to be {told}",
                "cases": [case(k), *(case(j, f"distance {d:.2f}") for j, d in zip(near, apart))],
            }
            for k, told, near, apart in list(zip(found.errors, said, *found.nearest))[: SHOWN // 2]
        ],
        command=command,
        about=f"{run.about['source']}. Licence: {run.about['licence'] or 'none stated'}. {DISCLAIMER}",
    )  # fmt: skip


def _rule(run: Run, found: Findings) -> str:
    x = found.samples.x
    if isinstance(x, list):
        return (
            "Texts that are equal but for case and white space, or whose words are nearly the same (cosine above 0.9)."
        )
    if x.ndim == 2:
        return "Rows that are equal in every measure."
    above = alike(run.data.form)
    return f"Cases that are equal, or correlate by more than {above:g}."


def _grouped(run: Run, found: Findings) -> str:
    said = f"k-means with k = {len(found.clusters.centres)}. Features: silhouette {found.clusters.silhouette:.2f}"
    if run.classes:
        said += f", adjusted Rand {found.clusters.agreement:.2f} ({found.new:.2f} on the test part alone)"
    if found.plain is not None:
        said += f"; what goes into the network: silhouette {found.plain.silhouette:.2f}"
        if run.classes:
            said += f", adjusted Rand {found.plain.agreement:.2f}"
    return said + "."


def _worst_first(found: Findings, groups: list[np.ndarray], conflicts: list[np.ndarray]) -> list[np.ndarray]:
    """Groups whose labels differ first, then those across parts; among these, equal ones before nearly equal ones."""
    differ, equal = {int(g[0]) for g in conflicts}, {int(g[0]) for g in found.twins.groups(exact=True)}
    return sorted(
        groups,
        key=lambda g: (int(g[0]) not in differ, len(np.unique(found.part[g])) == 1, int(g[0]) not in equal),
    )


def _group(found: Findings, group: np.ndarray, case: Any) -> dict[str, Any]:
    conflict = found.twins.conflicting is not None and len(np.unique(found.samples.y[group])) > 1
    inside = np.isin(found.twins.pairs, group).all(1)
    alike = found.twins.similarity[inside]
    title = "equal" if found.twins.exact[inside].all() else f"alike by {number(float(alike.min()))} or more"
    title += "; labels differ" if conflict else ""
    more = f"; {len(group) - 4} more" if len(group) > 4 else ""
    return {"title": (title + more).capitalize(), "conflict": conflict, "cases": [case(k) for k in group[:4]]}


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
