"""Transfer learning (article 1.4.2): weights that another task has taught, layers frozen and thawed, their rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tinymed import nn
from tinymed.nn.errors import nearest
from tinymed.nn.module import Module, Parameter, array_of
from tinymed.optim import Optimizer
from tinymed.optim.optimizer import positive

BATCH_NORMS = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
NORMS = BATCH_NORMS | nn.LayerNorm | nn.GroupNorm


class TransferKeys(NamedTuple):
    """What `transfer` could not match: names of the model's alone, of the state's alone, and of unequal shapes."""

    missing_keys: list[str]
    unexpected_keys: list[str]
    mismatched_keys: list[str]


def transfer(model: Module, state_dict: Mapping[str, Any]) -> TransferKeys:
    """Load what fits by name and shape, leave all else as it is, and tell what that was.

    A head for other classes has another size, and keeps its fresh weights; one for as many classes is loaded too.
    Raises ValueError, with the model untouched, for a state of which nothing fits.
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            f"transfer(model, state_dict) expects a dictionary of arrays, got a {type(state_dict).__name__}; "
            "a file is read by load_weights(path)"
        )
    own = {name: t.shape for name, t in model.state_dict().items()}
    given = {name: array_of(name, value) for name, value in state_dict.items()}
    fits = {name: array for name, array in given.items() if own.get(name) == array.shape}
    if not fits:
        theirs = _first({name: array.shape for name, array in given.items()})
        raise ValueError(
            f"the state shares no name and shape with this {type(model).__name__}: it has {theirs} "
            f"where the model has {_first(own)}; rename its keys, or build the model that it is of"
        )
    model.load_state_dict(fits, strict=False)
    return TransferKeys(
        [name for name in own if name not in given],
        [name for name in given if name not in own],
        [name for name in given if name in own and name not in fits],
    )


def _first(shapes: Mapping[str, tuple[int, ...]]) -> str:
    told = [f"{name} {shape}" for name, shape in shapes.items()]
    return ", ".join(told[:2] + ["…"] * (len(told) > 2)) or "nothing"


# -------------------------------------------------------------------- frozen layers


def freeze(module: Module, *names: str) -> None:
    """Leave the weights of a module, or of those in it that are named ("0", "features.3"), as they are.

    While `fit` trains the rest, frozen normalisation layers stay in eval mode: by their running statistics of before,
    which do not move. Raises ValueError for a name that there is not.
    """
    _require(_named(module, names), False)


def unfreeze(module: Module, *names: str) -> None:
    """Train a module, or those in it that are named, again."""
    _require(_named(module, names), True)


def _named(module: Module, names: tuple[str, ...]) -> list[Module]:
    """All modules in the module, or in those of its modules."""
    inside = dict(module.named_modules(remove_duplicate=False))
    for name in names:
        if name not in inside:
            raise ValueError(f"{type(module).__name__} has no layer {name!r}{nearest(name, inside)}")
    return [m for part in ([inside[name] for name in names] or [module]) for m in part.modules()]


def _require(modules: Iterable[Module], requires_grad: bool) -> None:
    for module in modules:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(requires_grad)
        if isinstance(module, BATCH_NORMS):
            module.frozen = not requires_grad


def hold_statistics(model: Module) -> None:
    """Bring frozen normalisation layers into eval mode; one without weights is what freeze and unfreeze said last."""
    for layer in model.modules():
        if isinstance(layer, BATCH_NORMS):
            own = [p.requires_grad for p in layer.parameters()]
            frozen = not any(own) if own else getattr(layer, "frozen", False)
            if frozen:
                layer.eval()


# -------------------------------------------------------------------- layer by layer


def layers(model: Module) -> list[list[Module]]:
    """The layers of a model in the order in which they were assigned, each as the modules that it is made of.

    A layer is what holds weights and stands in the model itself, or in a Sequential or ModuleList in it; a block of
    one's own class is one layer. Normalisation belongs to the layer before it, the model's own weights to the first.
    """
    found: list[list[Module]] = []

    def walk(module: Module) -> None:
        for child in module.children():
            if isinstance(child, nn.Sequential | nn.ModuleList):
                walk(child)
            elif found and isinstance(child, NORMS):
                found[-1] += child.modules()
            elif next(child.parameters(), None) is not None:
                found.append([*child.modules()])

    walk(model)
    return [[model, *found[0]], *found[1:]] if found else [[*model.modules()]]


def layerwise_groups(model: Module, lr: float, decay: float) -> list[dict[str, Any]]:
    """Groups of parameters for an optimiser, from the last layer to the first: layer k from the end at lr · decay^k

    Early layers see edges and blobs, which serve any task, and so should move less (Howard and Ruder 2018, who divide
    by 2.6). Frozen parameters are left out. Raises ValueError if all are frozen, or a number is out of range.
    """
    positive("layerwise_groups: lr", lr)
    positive("layerwise_groups: decay", decay)
    if decay > 1:
        raise ValueError(f"layerwise_groups: decay must be no more than 1, got {decay}: earlier layers learn slower")
    groups, seen = [], set()
    for k, layer in enumerate(reversed(layers(model))):
        params = [p for p in _parameters(layer) if p.requires_grad and id(p) not in seen]
        seen |= {id(p) for p in params}
        if params:
            groups.append({"params": params, "lr": lr * decay**k})
    if not groups:
        raise ValueError(f"all parameters of this {type(model).__name__} are frozen; unfreeze a layer, the last one")
    return groups


def _parameters(layer: Iterable[Module]) -> list[Parameter]:
    return [p for module in layer for p in module.parameters(recurse=False)]


class GradualUnfreezing:
    """A callback: train the last layer alone, and with it one more, from the end, after every `every` epochs

    (Howard and Ruder 2018). It freezes the others when it is made, and gives the optimiser those that it lacks, by the
    options of its last group; make it before the scheduler. Layers are those of `layers(model)`.
    """

    def __init__(self, model: Module, optimizer: Optimizer, every: int = 1) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"GradualUnfreezing: every must be a whole number of epochs, at least 1, got {every!r}")
        self.model, self.every = model, every
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if rest := [p for p in model.parameters() if id(p) not in held]:
            last = optimizer.param_groups[-1]
            optimizer.add_param_group({name: last[name] for name in optimizer.defaults} | {"params": rest})
        self._thaw(1)

    def _thaw(self, count: int) -> None:
        found = layers(self.model)
        self.thawed = min(count, len(found))
        freeze(self.model)
        for layer in found[-self.thawed :]:
            _require(layer, True)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        self._thaw(max(self.thawed, 1 + epoch // self.every))

    def state_dict(self) -> dict[str, Any]:
        return {"thawed": self.thawed}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self._thaw(state_dict["thawed"])

    def __repr__(self) -> str:
        return f"GradualUnfreezing(every={self.every}): {self.thawed} of {len(layers(self.model))} layers"
