"""Starting from another run: what it may not have learnt from, what fits of its weights, and what is frozen."""

from __future__ import annotations

import logging
from typing import Any

from tinymed import nn
from tinymed.data.prepare import Identity
from tinymed.data.tables import listed
from tinymed.tasks.config import names
from tinymed.tasks.parts import Parts
from tinymed.tasks.run import Run
from tinymed.training.transfer import freeze, transfer

LOG = logging.getLogger(__name__)


def refuse_known(start: Run, parts: Parts, where: str) -> None:
    """Refuse a start that has learnt from what is watched or judged by here, and not learnt from."""
    known = set(start.learnt.split()) - set(parts.train.digests())
    for name, side in parts.sides.items():
        if name != "training" and (leaked := sum(digest in known for digest in side.digests())):
            raise ValueError(
                f"start: {where} has learnt from {leaked} of the {len(side)} cases of the {name} part, as of another "
                "fold or seed of the same data; start from a run of this split"
            )


def begin_from(start: Run, model: nn.Module, prepared: Any, classes: tuple[str, ...], where: str) -> None:
    """Take over the weights of another run: not of a head for other classes, nor of a first layer for other inputs."""
    state, own = start.model.state_dict(), model.state_dict()
    drop = [] if start.classes == classes else [_head(start.model)]
    ours, theirs = _inputs(prepared), _inputs(start.prepared)
    drop += _learning(start.model)[:1] if ours and theirs and ours != theirs else []
    state = {name: t for name, t in state.items() if name.split(".")[0] not in drop}
    if not state:
        raise ValueError(f"start: nothing of {where} can be taken over: it takes other inputs, and tells other classes")
    left = transfer(model, state)
    fresh = [*left.missing_keys, *left.mismatched_keys]
    LOG.info(
        "%s: %d of %d arrays of weights taken over%s", where, len(own) - len(fresh), len(own),
        f"; as they were drawn: {listed(fresh)}" if fresh else "",
    )  # fmt: skip


def _inputs(prepared: Any) -> list[str]:
    """What the numbers that go into a model are called: words, or columns; none of pictures and signals."""
    if hasattr(prepared, "vocabulary"):
        return list(prepared.vocabulary.tokens)
    return [] if isinstance(prepared, Identity) else list(prepared.columns_out or ())


def freeze_named(model: nn.Module, wanted: str) -> None:
    """Leave the layers of these names, apart by commas, as they are; `features` are all but the last."""
    layers = [name for name, _ in model.named_children()]
    frozen = names(wanted)
    if frozen == ["features"]:
        frozen = [name for name in layers if name != _head(model)]
        if not set(frozen) & set(_learning(model)):
            raise ValueError("freeze: this model is its last layer alone, and has no features")
    if not frozen:
        return
    try:
        freeze(model, *frozen)
    except ValueError as error:
        raise ValueError(f"freeze: {error}; its layers are {', '.join(layers)}, and those within") from None


def _head(model: nn.Module) -> str:
    """The name of the layer that tells: `head`, or the last one that has weights."""
    learning = _learning(model)
    return "head" if "head" in learning else learning[-1]


def _learning(model: nn.Module) -> list[str]:
    """The names of the layers that have weights."""
    return [name for name, layer in model.named_children() if next(layer.parameters(), None) is not None]
