"""Checkpoints: all that a run of `fit` needs to go on after its last finished epoch, in one safetensors file.

The arrays stand there by their paths ("model.0.weight", "optimizer.state.3.exp_avg"), all else as JSON in the metadata:
no pickle, for that would run what a file from elsewhere says. Beside them stands what fit was called with.
"""

from __future__ import annotations

import glob
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tinymed.data import TensorDataset
from tinymed.data.augmented import inner
from tinymed.nn.module import Module, array_of
from tinymed.optim import Optimizer
from tinymed.random import Generator
from tinymed.tensor import Tensor
from tinymed.training import weights
from tinymed.training.batches import Batches
from tinymed.training.weights import CheckpointError

FORMAT = "1"  # of the metadata, to be told apart from later ones


@runtime_checkable
class Stateful(Protocol):
    """What a checkpoint keeps: models, optimisers, schedules, and callbacks that have these two methods.

    A state is made of dictionaries, lists, tuples, strings, numbers, None, arrays and tensors.
    """

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


class Checkpoint:
    """The state of a run in a file, for `fit` called so again.

    parts      what has a state: the model, optimizer, scheduler, callbacks, history and random (generators) of a run,
               by these names. What is neither Stateful nor a Generator, nor a list of them, stays as it is
    arguments  what else the run was called with, by name; it must be the same again, as `described` tells it
    """

    def __init__(self, path: str | Path, parts: dict[str, Any], arguments: dict[str, Any]) -> None:
        if not isinstance(path, str | Path):
            raise TypeError(f"fit: checkpoint is the path of a file, got a {type(path).__name__}")
        self.path, self.parts = Path(path), parts
        model, optimizer, scheduler = (parts[name] for name in ("model", "optimizer", "scheduler"))
        about = {"model": _layers(model), "optimizer": _groups(optimizer, scheduler), "scheduler": scheduler}
        about |= {"callbacks": parts["callbacks"], "generators": len(parts["random"])}
        self.arguments = json.loads(json.dumps(described(about | arguments)))

    def save(self) -> None:
        """Write the state as it is; the file of before is there until this one is whole."""
        arrays: dict[str, np.ndarray] = {}
        states = {name: _pack(_state(part), name, arrays) for name, part in self.parts.items()}
        about = {"checkpoint": FORMAT, "arguments": json.dumps(self.arguments), "state": json.dumps(states)}
        weights.save(arrays, self.path, about)

    def resume(self, epochs: int) -> None:
        """Put all parts back as they were after the last finished epoch; where there is none, write how they begin.

        Raises CheckpointError, with all parts untouched, for a file that is damaged, of another run, or of more epochs.
        """
        for left in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.tmp"):  # by a run that was killed
            left.unlink(missing_ok=True)
        if not self.path.exists():
            return self.save()
        try:
            arrays, about = weights.read(self.path)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; to train from the start, remove it") from None
        if about.get("checkpoint") != FORMAT:
            what = "another version of fit" if "checkpoint" in about else "weights, not a run of fit"
            raise CheckpointError(f"{self.path} is a file of {what}; give another path for the checkpoint")
        states = _unpack(json.loads(about["state"]), arrays)
        done = len(states["history"]["epochs"])
        if found := difference(json.loads(about["arguments"]), self.arguments):
            if not done:  # it came to nothing, perhaps for the very argument that is now mended
                return self.save()
            raise CheckpointError(
                f"{self.path} is the checkpoint of another run: {found}; call fit as before, or give another path"
            )
        if done > epochs:
            raise CheckpointError(f"{self.path} has {done} finished epochs, but only {epochs} are asked for")
        for name, part in self.parts.items():
            _restore(part, states[name])


def _state(part: Any) -> Any:
    if isinstance(part, list):
        return [_state(p) for p in part]
    if isinstance(part, Generator):
        return part.get_state()
    return part.state_dict() if isinstance(part, Stateful) else None


def _restore(part: Any, state: Any) -> None:
    if isinstance(part, list):
        for p, s in zip(part, state, strict=True):
            _restore(p, s)
    elif isinstance(part, Generator):
        part.set_state(state)
    elif isinstance(part, Stateful):
        part.load_state_dict(state)


# -------------------------------------------------------------------- states as JSON and arrays


def _pack(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """The value as JSON has it, its arrays laid into `arrays`; what JSON has not is marked with $."""
    if isinstance(value, Tensor | np.ndarray):
        while path in arrays:
            path += "'"
        arrays[path] = array_of(path, value)
        return {"$array": path}
    if isinstance(value, Mapping):
        if odd := [key for key in value if not isinstance(key, str | int)]:
            raise TypeError(
                f"a checkpoint keeps dictionaries by strings and numbers, but {path} has the key {odd[0]!r}"
            )
        packed = [(key, _pack(v, f"{path}.{key}", arrays)) for key, v in value.items()]
        plain = all(isinstance(key, str) and not key.startswith("$") for key in value)
        return dict(packed) if plain else {"$dict": packed}
    if isinstance(value, list | tuple):
        items = [_pack(v, f"{path}.{k}", arrays) for k, v in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"a checkpoint keeps numbers, strings, arrays, and lists and dictionaries of them, "
        f"but {path} is a {type(value).__name__}"
    )


def _unpack(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unpack(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        return arrays[value["$array"]]
    if "$tuple" in value:
        return tuple(_unpack(value["$tuple"], arrays))
    return {key: _unpack(v, arrays) for key, v in value.get("$dict", value.items())}


# -------------------------------------------------------------------- what a run was called with


def described(value: Any) -> Any:
    """What can be told of a thing in JSON, and stays the same while it is used, in every process.

    Of tinymed's own things that is all they were made with; of others the type, or what their repr says.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor | np.ndarray):
        return _digest(array_of("an argument", value))
    if isinstance(value, Mapping):
        return {str(key): described(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [described(v) for v in value]
    if isinstance(value, Batches):
        return _data(value)
    name = getattr(value, "__qualname__", type(value).__qualname__)  # a function's own, or the type's
    if type(value).__module__.startswith("tinymed.") and not isinstance(value, Optimizer):
        state = set(value.state_dict()) if isinstance(value, Stateful) else set()
        told = {key: v for key, v in vars(value).items() if key not in state or _stateful(v)}
        return {"type": name} | {key: described(v) for key, v in told.items() if not isinstance(v, Module)}
    return name


def _stateful(value: Any) -> bool:
    """Whether it has a state of its own beside what it was made with, or is a list of such things."""
    each = value if isinstance(value, list) else [value]
    return bool(each) and all(isinstance(v, Stateful) for v in each)


def _layers(model: Module) -> dict[str, Any]:
    """Its layers line by line, and the type and shape of all that it keeps."""
    sizes = {name: f"{t.dtype} {t.shape}" for name, t in model.state_dict().items()}
    return {"layers": _repr(model).splitlines(), "sizes": sizes}


def _groups(optimizer: Optimizer, scheduler: Any) -> dict[str, Any]:
    """Its groups, but for what a schedule changes: of that, where it began."""
    changing = {"params", "initial_lr"} | ({"momentum", "betas"} if getattr(scheduler, "momentum", "") else set())
    groups = [
        {name: value for name, value in group.items() if name not in changing}
        | {"lr": group.get("initial_lr", group["lr"]), "params": [p.shape for p in group["params"]]}
        for group in optimizer.param_groups
    ]
    return {"type": type(optimizer).__qualname__, "groups": groups}


def _data(batches: Batches) -> dict[str, Any]:
    """How it is cut into batches, what its repr says, and the sum over the numbers, where they lie in memory."""
    loader, sampler = batches.loader, batches.loader.sampler
    told = {name: getattr(loader, name) for name in ("batch_size", "drop_last")}
    told |= {"dataset": _repr(loader.dataset), "order": type(sampler).__name__, "items": len(sampler)}
    arrays = [np.asarray(getattr(sampler, "weights", []))]
    for dataset in inner(loader.dataset):
        arrays.append(np.asarray(getattr(dataset, "indices", [])))
        if isinstance(dataset, TensorDataset):
            arrays += [array_of("data", t) for t in dataset.tensors]
    return told | {"numbers": _digest(*arrays)}


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def _repr(value: Any) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # addresses differ from run to run


def difference(was: Any, now: Any, name: str = "") -> str:
    """The first thing that differs, in words: "train.batch_size was 32, is now 16"; empty if nothing does."""
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        was, now = dict(enumerate(was)), dict(enumerate(now))
    if isinstance(was, dict) and isinstance(now, dict):
        inside = (difference(was.get(key), now.get(key), f"{name}.{key}" if name else key) for key in was | now)
        return next(filter(None, inside), "")
    return "" if was == now else f"{name} was {_short(was)}, is now {_short(now)}"


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 120 else f"{text[:119]}…"
