"""What was read of a data set, and how it is split: nobody, and no text, stands on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinymed.data.folds import apart, stratified_folds, stratified_split
from tinymed.tasks.config import Config

if TYPE_CHECKING:
    from tinymed.tasks.forms import Form

FOLDS = 5  # where there is no official split, a fifth is judged by
WATCHED = 0.15  # share of the training part that is kept to choose by, if no other is asked for


@dataclass(frozen=True, eq=False)
class Samples:
    """What was read, with nothing fitted to it yet.

    x       (N,...) array, where NaN is missing, or N texts
    y       (N,) int64 classes, or float32 values
    names   what each is called, as in "record 100, beat 3"
    groups  (N,) whose each is, or None
    """

    x: Any
    y: np.ndarray
    names: Sequence[str] = ()
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> Samples:
        """Those of these numbers, in that order."""
        x = self.x[rows] if isinstance(self.x, np.ndarray) else [self.x[k] for k in rows]
        names = [self.names[k] for k in rows] if self.names else ()
        return Samples(x, self.y[rows], names, None if self.groups is None else self.groups[rows])

    @classmethod
    def of(cls, dataset: Any) -> Samples:
        """Of a labelled data set."""
        x = getattr(dataset, "texts", None)
        x = dataset.inputs.array if x is None else list(x)
        return cls(x, np.asarray(dataset.labels), getattr(dataset, "names", None) or (), dataset.groups)

    @property
    def together(self) -> np.ndarray | None:
        """(N,) what stays on one side of a split: whose each is, or, of texts of nobody known, equal ones."""
        if self.groups is not None or isinstance(self.x, np.ndarray):
            return self.groups
        return np.unique(self.x, return_inverse=True)[1]

    def digests(self) -> list[str]:
        """Of each x, by which it is known again."""
        each = (np.ascontiguousarray(x).tobytes() if isinstance(x, np.ndarray) else x.encode() for x in self.x)
        return [hashlib.sha256(item).hexdigest()[:12] for item in each]

    def digest(self) -> str:
        """Of all x and y, in their order."""
        return hashlib.sha256(" ".join(self.digests()).encode() + self.y.tobytes()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Parts:
    """What is learnt from, what is watched meanwhile (or None), and what is judged by; and whose it is.

    classes  their names; none where a value is told
    layout   how a table was read, for later files of the same kind
    unit     of the value that is told, where it is one
    whose    what is known of the patients, beyond what `groups` say
    judged   the file or folder of the test part, where it is one's own
    """

    train: Samples
    validation: Samples | None
    test: Samples
    classes: tuple[str, ...]
    source: str
    licence: str = ""
    citation: str = ""
    columns: tuple[str, ...] = ()
    layout: Any = None
    unit: str = ""
    whose: str = ""
    judged: str = ""

    @property
    def sides(self) -> dict[str, Samples]:
        """Those that there are, by name."""
        each = {"training": self.train, "validation": self.validation, "test": self.test}
        return {name: side for name, side in each.items() if side is not None}

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one item as it was read; () of a text."""
        return self.train.x.shape[1:] if isinstance(self.train.x, np.ndarray) else ()

    @property
    def patients(self) -> str:
        """Whose the cases are, in words."""
        if self.whose:
            return self.whose
        groups = [side.groups for side in self.sides.values() if side.groups is not None]
        if len(groups) == len(self.sides):
            return f"{len(np.unique(np.concatenate(groups)))} in all, each kept on one side of every split"
        if self.shape:
            return "not known"
        if again := self.repeated():
            return f"not known; {again} of the {len(self.test)} texts judged by are learnt from too"
        return "not known; equal texts are kept on one side of every split"

    def repeated(self) -> int:
        """How many cases of the test part stand in the training part too, equal in every number or letter."""
        learnt = set(self.train.digests())
        return sum(digest in learnt for digest in self.test.digests())


def official(config: Config, train: Any, test: Any, validation: Any = None, whose: str = "") -> Parts:
    """Parts of data sets that are split already; something to watch is cut off the training part if need be."""
    watched = None if validation is None else Samples.of(validation)
    learnt = Samples.of(train)
    judged = learnt.take(np.arange(0)) if test is None else Samples.of(test)
    if watched is None:
        learnt, watched = _kept_back(config, learnt)
    return Parts(learnt, watched, judged, whose=whose, **_about(train))


def folded(config: Config, whole: Any, whose: str = "") -> Parts:
    """Parts of a data set without a split: one of five stratified parts is judged by, groups kept together."""
    samples = Samples.of(whole)
    folds = stratified_folds(samples.y, FOLDS, config.fold // FOLDS, samples.together)
    train, test = folds[config.fold % FOLDS]
    learnt, watched = _kept_back(config, samples.take(train))
    return Parts(learnt, watched, samples.take(test), whose=whose, **_about(whole))


def own(config: Config, form: Form, judged: bool = True) -> Parts:
    """Parts of a file or folder of one's own; without `judged`, a test file of its own is left unread."""
    train = form.dataset(config.data, config)
    if len(train.classes) < 2:
        raise ValueError(f"{config.data} holds one class alone, {train.classes[0]!r}: there is nothing to tell it from")
    if config.test:
        parts = official(config, train, form.dataset(config.test, config, like=train) if judged else None)
        return replace(parts, judged=config.test)
    samples = Samples.of(train)
    kept = samples.together
    for k, name in enumerate(train.classes):
        mine = samples.y == k
        count, of = (mine.sum(), "rows") if kept is None else (len(np.unique(kept[mine])), "groups")
        if count < FOLDS:
            raise ValueError(
                f"{config.data}: class {name!r} has {count} {of}, too few to keep a fifth to judge by; {FOLDS} are "
                "needed: leave the class out, or give test"
            )
    return folded(config, train)


def few(config: Config, parts: Parts) -> Parts:
    """The same with part of the training labels, as `fraction` says. Raises ValueError for a group on two sides."""
    train = parts.train
    if config.fraction < 1:
        shares = [config.fraction, 1 - config.fraction]
        try:
            train = train.take(stratified_split(train.y, shares, config.seed, train.together)[0])
        except ValueError as error:
            raise ValueError(f"fraction: {config.fraction} of {len(train)} is too few: {error}") from None
    parts = replace(parts, train=train)
    apart({name: side.groups for name, side in parts.sides.items() if side.groups is not None})
    return parts


def number(threshold: str) -> float | None:
    """The number that a threshold is, or None where it is a rule."""
    try:
        return float(threshold)
    except ValueError:
        return None


def require(path: str, what: str) -> None:
    """Refuse a file or folder of one's own that is not there any more."""
    if path and not Path(path).exists():
        raise ValueError(f"{path}: no such file or folder, {what}")


def _kept_back(config: Config, train: Samples) -> tuple[Samples, Samples | None]:
    """Training part and what is watched, where a share is asked for or something is chosen by it."""
    chosen = config.patience or config.keep == "best" or number(config.threshold) is None
    share = config.validation or (WATCHED if chosen else 0)
    if not share:
        return train, None
    learnt, watched = stratified_split(train.y, [1 - share, share], config.seed, train.together)
    return train.take(learnt), train.take(watched)


def _about(dataset: Any) -> dict[str, Any]:
    layout = getattr(dataset, "layout", None)
    columns = next((getattr(dataset, name) for name in ("columns", "genes") if hasattr(dataset, name)), ())
    return {
        "classes": tuple(getattr(dataset, "classes", ())),
        "source": dataset.source,
        "licence": dataset.licence or "",
        "citation": dataset.citation or "",
        "columns": tuple(map(str, columns)),
        "layout": layout,
        "unit": getattr(dataset, "unit", ""),
    }
