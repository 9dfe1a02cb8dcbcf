"""A task: a question of the article, the data it is asked of, the models that answer, and what to beware of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinymed.nn.errors import nearest
from tinymed.tasks import parts as splitting
from tinymed.tasks.augment import check_augment
from tinymed.tasks.config import Config
from tinymed.tasks.parts import FOLDS, Parts, Samples, folded, number, official

if TYPE_CHECKING:
    from tinymed.nn import Module
    from tinymed.tasks.forms import Form

__all__ = ["FOLDS", "Data", "Model", "Parts", "Samples", "Task", "folded", "number", "official"]
OWN = ("test", "label", "text", "group", "encoding", "image_shape")  # keys that tell how data of one's own are read
WATCHED, SPLIT = ("validation",), ("validation", "fold")  # keys that split data: with an official test part, without
SOMETIMES = (*SPLIT, "genes", "tokens", "length", "dropout")  # keys that some data or models use, and others do not


@dataclass(frozen=True)
class Model:
    """A network and how it is trained.

    build   (shape, classes, **more) → Module; more is what it takes by the name of a key of Config, such as dropout,
            and `vocabulary`, how many words there are
    recipe  keys of a Config
    """

    build: Callable[..., Module]
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def keys(self) -> set[str]:
        """What its builder takes, by name."""
        return set(signature(self.build).parameters)

    def made(self, shape: tuple[int, ...], classes: int, config: Config, prepared: Any) -> Module:
        """The network, its weights drawn anew."""
        known = {**vars(config), "vocabulary": len(getattr(prepared, "vocabulary", ()))}
        return self.build(shape, classes, **{name: known[name] for name in self.keys & set(known)})


@dataclass(frozen=True)
class Data:
    """A data set of a task: how it is read, of which form, what is fitted to its training part, and its models.

    keys    of those that only some data use, what its reading and its preparation heed
    choose  (config, training part, loss) → what was tried, a row each of keys and their `loss`, the mean over folds
            inside the training part; loss(config, inside, outside) trains and judges. The least is taken
    limits  what to beware of in them; "" where the task's say it
    """

    load: Callable[[Config, Path | None], Parts]
    form: Form
    prepare: Callable[[Config], Any]
    models: Mapping[str, Model]
    keys: tuple[str, ...] = SPLIT
    choose: Callable[[Config, Samples, Callable], list[dict[str, float]]] | None = None
    limits: str = ""


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
        """The whole Config: the model's recipe, and over it what was given; paths from the root on.

        A fold of data whose split is official is 0, there being one. Raises ValueError for unknown names, for keys
        that nothing here would use, and for what could not be trained whatever the data hold.
        """
        config = Config.of({"task": self.name, **given})
        mine, where = self.is_own(config), self.data_name(config)
        if not mine and (told := [key for key in OWN if getattr(config, key) != getattr(Config, key)]):
            raise ValueError(f"{', '.join(told)}: only for data of your own; how {where} is read and split is fixed")
        if mine and not Path(config.data).exists():
            raise ValueError(
                f"{self.name}: there is no data set, file or folder {config.data!r}{nearest(config.data, self.data)}; "
                f"its data sets are {', '.join(self.data)}"
            )
        splitting.require(config.test, "to judge by")
        data = self.of(config)
        name = config.model or next(iter(data.models))
        if name not in data.models:
            raise ValueError(
                f"{self.name}: {where} has no model {name!r}{nearest(name, data.models)}; "
                f"it has {', '.join(data.models)}"
            )
        model = data.models[name]
        recipe = {**model.recipe, **given}
        paths = {key: recipe[key] for key in (("data", "test", "start") if mine else ("start",)) if recipe.get(key)}
        recipe |= {key: str(Path(path).absolute()) for key, path in paths.items()}
        settled = Config.of({"task": self.name, **recipe, "model": name})
        used = {*data.keys, *model.keys}
        if "fold" not in used:
            settled = replace(settled, fold=0)
        idle = [key for key in SOMETIMES if key not in used]
        idle += [key for key in OWN if mine and key not in data.form.keys]
        if told := [key for key in idle if getattr(settled, key) != getattr(Config, key)]:
            raise ValueError(f"{', '.join(told)}: nothing that {name} on {where} would use; leave it out")
        if settled.class_weight == settled.sampling == "balanced":
            raise ValueError("class_weight and sampling both count rare classes more, together twice; give one of them")
        check_augment(settled, data.form)
        _check_threshold(settled.threshold)
        return settled

    def of(self, config: Config, judged: bool = True) -> Data:
        """The data that the config names; of one's own, the form and models of the task's first. `judged` as below."""
        first = next(iter(self.data.values()))
        if not self.is_own(config):
            return self.data.get(config.data, first)
        keys = {*first.keys, *SPLIT} - ({"fold"} if config.test else set())
        return replace(
            first,
            load=lambda config, home: splitting.own(config, first.form, judged),
            prepare=lambda config: first.form.prepare() or first.prepare(config),
            keys=tuple(keys),
            limits="",
        )

    def parts(self, config: Config, data_home: Path | None = None, judged: bool = True) -> Parts:
        """The data, split; with part of the training labels, if `fraction` says so. Patients never on both sides.

        judged  False leaves a test file of one's own unread, and the test part empty
        """
        return splitting.few(config, self.of(config, judged).load(config, data_home))

    def looked_for(self, classes: Sequence[str], wanted: str) -> int:
        """The number of the class to be found."""
        if not wanted:
            return next((k for k, name in enumerate(classes) if name.lower() in self.positive), len(classes) - 1)
        if wanted not in classes:
            raise ValueError(f"positive: {wanted!r} is no class; there are {', '.join(map(repr, classes))}")
        return list(classes).index(wanted)

    def data_name(self, config: Config) -> str:
        """The name of the data set, or the file or folder."""
        return config.data or next(iter(self.data))

    def is_own(self, config: Config) -> bool:
        """Whether they are a file or folder of one's own."""
        return self.data_name(config) not in self.data

    def is_generated(self, config: Config) -> bool:
        """Whether the data come from no patient; a file of one's own may be called as it likes."""
        return (name := self.data_name(config)) in self.data and name.startswith("generated")


def _check_threshold(threshold: str) -> None:
    """Refuse what is no probability and no rule to choose one by."""
    from tinymed.evaluation import choose_threshold

    value = number(threshold)
    if value is None:
        choose_threshold([0.2, 0.8], [0, 1], rule=threshold)
    elif not 0 <= value <= 1:
        raise ValueError(f"threshold must lie in 0…1, or be the name of a rule, got {threshold}")
