"""A task: a question of the article, the data it is asked of, the models that answer, and what to beware of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinymed.data.folds import apart, stratified_folds, stratified_split
from tinymed.nn.errors import nearest
from tinymed.tasks.config import Config

if TYPE_CHECKING:
    from tinymed.nn import Module
    from tinymed.tasks.forms import Form

OWN = ("test", "label", "text", "group", "encoding", "image_shape")  # keys that tell how data of one's own are read
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


@dataclass(frozen=True, eq=False)
class Parts:
    """What is learnt from, what is watched meanwhile (or None), and what is judged by; and whose it is.

    classes  their names; none where a value is told
    layout   how a table was read, for later files of the same kind
    unit     of the value that is told, where it is one
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
    judged: str = ""


@dataclass(frozen=True)
class Model:
    """A network and how it is trained: build(shape, classes, config, prepared), and the keys of a Config."""

    build: Callable[[tuple[int, ...], int, Config, Any], Module]
    recipe: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    """A data set of a task: how it is read, of which form, what is fitted to its training part, and its models.

    choose  settles keys of the config by folds inside the training part
    """

    load: Callable[[Config, Path | None], Parts]
    form: Form
    prepare: Callable[[Config], Any]
    models: Mapping[str, Model]
    choose: Callable[[Config, Samples], Config] | None = None


@dataclass(frozen=True)
class Task:
    """A question of the article.

    data      by name, the first one by default; those whose names start with "generated" come from no patient
    positive  names of the class to be found; where no class is called so, it is the last
    intended  what its models are for; limits: what they are not
    mined     whether what the data hold is told after training, see `mine`
    """

    name: str
    section: str
    question: str
    data: Mapping[str, Data]
    positive: tuple[str, ...]
    intended: str
    limits: str
    mined: bool = False

    def settle(self, given: Mapping[str, Any]) -> Config:
        """The whole Config: the model's recipe, and over it what was given. Raises ValueError for unknown names."""
        config = Config.of({"task": self.name, **given})
        if config.data in ("", *self.data):
            if told := [key for key in OWN if getattr(config, key) != getattr(Config, key)]:
                where = config.data or next(iter(self.data))
                raise ValueError(
                    f"{', '.join(told)}: only for data of your own; how {where} is read and split is fixed"
                )
        elif not Path(config.data).exists():
            raise ValueError(
                f"{self.name}: there is no data set, file or folder {config.data!r}{nearest(config.data, self.data)}; "
                f"its data sets are {', '.join(self.data)}"
            )
        data = self.of(config)
        name = config.model or next(iter(data.models))
        if name not in data.models:
            where = config.data or next(iter(self.data))
            raise ValueError(
                f"{self.name}: {where} has no model {name!r}{nearest(name, data.models)}; "
                f"it has {', '.join(data.models)}"
            )
        return Config.of({"task": self.name, **data.models[name].recipe, **given, "model": name})

    def of(self, config: Config) -> Data:
        """The data that the config names; of one's own, the form, preparation and models of the task's first."""
        first = next(iter(self.data.values()))
        if not config.data:
            return first
        if config.data in self.data:
            return self.data[config.data]
        return replace(first, load=lambda config, home: _own(config, first.form))

    def parts(self, config: Config, data_home: Path | None = None) -> Parts:
        """The data, split; with part of the training labels, if `fraction` says so. Patients never on both sides."""
        parts = self.of(config).load(config, data_home)
        if config.fraction < 1:
            shares = [config.fraction, 1 - config.fraction]
            try:
                few, _ = stratified_split(parts.train.y, shares, config.seed, parts.train.groups)
            except ValueError as error:
                raise ValueError(f"fraction: {config.fraction} of {len(parts.train)} is too few: {error}") from None
            parts = replace(parts, train=parts.train.take(few))
        sides = {"training": parts.train, "validation": parts.validation, "test": parts.test}
        apart({name: side.groups for name, side in sides.items() if side is not None and side.groups is not None})
        return parts

    def looked_for(self, classes: Sequence[str], wanted: str) -> int:
        """The number of the class to be found."""
        if not wanted:
            return next((k for k, name in enumerate(classes) if name.lower() in self.positive), len(classes) - 1)
        if wanted not in classes:
            raise ValueError(f"positive: {wanted!r} is no class; there are {', '.join(map(repr, classes))}")
        return list(classes).index(wanted)


# -------------------------------------------------------------------- splitting


def _own(config: Config, form: Form) -> Parts:
    train = form.dataset(config.data, config)
    if len(train.classes) < 2:
        raise ValueError(f"{config.data} holds one class alone, {train.classes[0]!r}: there is nothing to tell it from")
    if train.groups is None and hasattr(train, "texts"):  # of a split made here, equal texts stand on one side
        train.groups = np.unique(train.texts, return_inverse=True)[1]
    if config.test:
        parts = official(config, train, form.dataset(config.test, config, like=train))
        return replace(parts, judged=config.test)
    y = np.asarray(train.labels)
    for k, name in enumerate(train.classes):
        count, of = ((y == k).sum(), "rows") if train.groups is None else (len(set(train.groups[y == k])), "groups")
        if count < FOLDS:
            raise ValueError(
                f"{config.data}: class {name!r} has {count} {of}, too few to keep a fifth to judge by; {FOLDS} are "
                "needed: leave the class out, or give test"
            )
    return folded(config, train)


def official(config: Config, train: Any, test: Any, validation: Any = None) -> Parts:
    """Parts of data sets that are split already; something to watch is cut off the training part if need be."""
    watched = None if validation is None else Samples.of(validation)
    learnt = Samples.of(train)
    if watched is None:
        learnt, watched = _kept_back(config, learnt)
    return Parts(learnt, watched, Samples.of(test), **_about(train))


def folded(config: Config, whole: Any) -> Parts:
    """Parts of a data set without a split: one of five stratified parts is judged by, groups kept together."""
    samples = Samples.of(whole)
    folds = stratified_folds(samples.y, FOLDS, config.fold // FOLDS, samples.groups)
    train, test = folds[config.fold % FOLDS]
    learnt, watched = _kept_back(config, samples.take(train))
    return Parts(learnt, watched, samples.take(test), **_about(whole))


def _kept_back(config: Config, train: Samples) -> tuple[Samples, Samples | None]:
    """Training part and what is watched, where a share is asked for or something is chosen by it."""
    chosen = config.patience or config.keep == "best" or number(config.threshold) is None
    share = config.validation or (WATCHED if chosen else 0)
    if not share:
        return train, None
    learnt, watched = stratified_split(train.y, [1 - share, share], config.seed, train.groups)
    return train.take(learnt), train.take(watched)


def number(threshold: str) -> float | None:
    """The number that a threshold is, or None where it is a rule."""
    try:
        return float(threshold)
    except ValueError:
        return None


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
