"""Optimizer: parameters in groups, the options of each group, the state of each parameter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from types import MethodType
from typing import Any, ClassVar

import numpy as np

from tinymed.autograd import enable_grad
from tinymed.kernels import cupy_graph
from tinymed.nn.module import Module, array_of, clear_grad
from tinymed.tensor import Tensor


class Optimizer:
    """Base of all optimisers: `step()` calls `update` for a group's parameters that have a gradient.

    params    Tensors, or dictionaries {"params": Tensors, option: value} where groups differ in their options
    defaults  the options of a group that does not say otherwise
    checks    for each numeric option, what is right for it

    Raises TypeError for what is no Tensor, ValueError for a parameter given twice or none to train at all.
    """

    checks: ClassVar[dict[str, Callable[[str, Any], None]]] = {}

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        if isinstance(params, Module | Tensor | str | set) or not isinstance(params, Iterable):
            hint = ": pass model.parameters()" if isinstance(params, Module) else ""
            hint = f": call it: model.{params.__name__}()" if isinstance(params, MethodType) else hint
            raise TypeError(f"{type(self).__name__} expects parameters in a list, got a {type(params).__name__}{hint}")
        groups = list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__} got no parameters: an empty list, or an iterator already used up")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)
        if not any(p.requires_grad for group in self.param_groups for p in group["params"]):
            raise ValueError(f"{type(self).__name__}: no parameter requires a gradient, all are frozen")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take on more parameters, with options of their own."""
        name = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f'{name}: a group is a dictionary with "params", got {param_group!r}')
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        if not params:
            raise ValueError(f"{name}: group {len(self.param_groups)} has no parameters")
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        for k, p in enumerate(params):
            if not isinstance(p, Tensor):
                hint = ": pass model.parameters(), without the names" if isinstance(p, tuple) else ""
                raise TypeError(f"{name}: parameter {k} is a {type(p).__name__}, expected a Tensor{hint}")
            if not p.is_leaf:
                raise ValueError(f"{name}: parameter {k} {p.shape} is the result of {p.grad_fn}, not a leaf")
            if id(p) in seen:
                raise ValueError(f"{name}: parameter {k} {p.shape} is given twice")
            seen.add(id(p))
        if unknown := set(param_group) - {"params", *self.defaults}:
            known = ", ".join(self.defaults)
            raise ValueError(f"{name} has no option {min(unknown)!r}; a group may set: {known}")
        group = self.defaults | param_group | {"params": params}
        for option, check in self.checks.items():
            check(f"{name}: {option}", group[option])
        self.param_groups.append(group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters by their gradients. `closure` may compute the loss anew, and is returned."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        alike = [(params, group) for group in self.param_groups for params in _alike(group["params"])]
        if (graph := cupy_graph.recording()) is not None:
            self._record(graph, alike)
        else:
            for params, group in alike:
                self._update(params, group)
        return loss

    def _update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        gs = [p.grad.array for p in params if p.grad is not None]
        with np.errstate(over="ignore", invalid="ignore"):  # a loss that diverges says so itself
            self.update([p.array for p in params], gs, [self.state[p] for p in params], group)
        for p in params:
            p._version[0] += 1  # a graph made before is stale now

    def _record(self, graph: cupy_graph.CUDAGraph, alike: list[tuple[list[Tensor], dict[str, Any]]]) -> None:
        """The step as part of a CUDA graph: nothing counts as done, but at each replay the host does its part.

        That is the same update, whose launches are in the graph already: it counts, and hands on new learning rates.
        """
        if not type(self).update.__module__.startswith("tinymed.optim."):
            raise ValueError(
                f"{type(self).__name__}: an update() of one's own is no part of a CUDA graph, for the host would do it "
                "once more at each replay; record the gradients alone, and call step() after the replay"
            )
        grads = {p: p.grad for params, _ in alike for p in params}
        before = {p: dict(self.state[p]) for p in grads}
        try:
            for params, group in alike:
                self._update(params, group)
            made = any(set(self.state[p]) != set(state) for p, state in before.items())
        finally:
            self.state.update(before)
        if made:
            raise ValueError(
                f"{type(self).__name__}: the first step makes the state, which each replay would make anew; "
                "take a step before recording"
            )

        def again() -> None:
            for p, g in grads.items():
                p.grad = g
            for params, group in alike:
                self._update(params, group)

        graph.at_replay(again)

    def update(self, ps: list, gs: list, states: list[dict[str, Any]], group: dict[str, Any]) -> None:
        """Change parameters in place, each by its gradient and its own state, all by their group's options.

        ps, gs  arrays of one number type on one device, at least one; a gradient is of its parameter's shape
        states  a dictionary for each, empty at first: Tensors of the parameter's shape, and numbers
        group   {"lr": …}, the options that __init__ gave as defaults, and what the group changed

            for p, g, state in zip(ps, gs, states):  # momentum
                if not state:
                    state["velocity"] = Tensor(np.zeros_like(p))
                v = state["velocity"].array
                v[...] = 0.9 * v + g
                p -= group["lr"] * v
        """
        raise NotImplementedError(f"{type(self).__name__} has no update()")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, before the next backward adds new ones."""
        for group in self.param_groups:
            for p in group["params"]:
                clear_grad(p, set_to_none)

    # ---------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number of the parameter: its state}, "param_groups": options, "params" being numbers}"""
        numbers = {p: k for k, p in enumerate(p for group in self.param_groups for p in group["params"])}
        groups = [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups]
        return {"state": {numbers[p]: dict(s) for p, s in self.state.items() if s}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state of tinymed's or PyTorch's; arrays are copied.

        Raises ValueError where groups, options or shapes differ from this optimiser's.
        """
        name = type(self).__name__
        if not {"state", "param_groups"} <= set(state_dict):
            raise ValueError(f"{name}: an optimiser's state has 'state' and 'param_groups', got {list(state_dict)}")
        saved = state_dict["param_groups"]
        ours, theirs = ([len(group["params"]) for group in groups] for groups in (self.param_groups, saved))
        if ours != theirs:
            raise ValueError(f"{name}: the state has groups of {theirs} parameters, there are {ours} here")
        for group in saved:
            if missing := set(self.defaults) - set(group):
                raise ValueError(f"{name}: the state is another optimiser's, it has no {min(missing)!r}")
            for option in ("amsgrad", "maximize"):
                if group.get(option):
                    raise ValueError(f"{name}: the state was made with {option}=True, which is not offered")
        params = [p for group in self.param_groups for p in group["params"]]
        numbers = [k for group in saved for k in group["params"]]
        state = {p: _copied(state_dict["state"].get(k, {}), p) for p, k in zip(params, numbers)}
        for p, loaded in state.items():
            _into(self.state.get(p, {}), loaded)
        self.state = defaultdict(dict, {p: s for p, s in state.items() if s})
        for mine, group in zip(self.param_groups, saved):
            mine |= {**group, "params": mine["params"]}  # in place: a CUDA graph goes on asking them for the rate

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for k, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {k}")
            lines += [f"    {option}: {group[option]}" for option in sorted(group) if option != "params"]
        return "\n".join([*lines, ")"])


def _alike(params: list[Tensor]) -> list[list[Tensor]]:
    """Those that have a gradient, a list for each number type and device. Raises ValueError where one does not fit."""
    kinds: dict[tuple, list[Tensor]] = defaultdict(list)
    for p in params:
        if (g := p.grad) is not None:
            if g.shape != p.shape or g.dtype != p.dtype or g.device != p.device:
                ours, theirs = (f"{t.dtype} {t.shape} on {t.device}" for t in (p, g))
                raise ValueError(f"a gradient of {theirs} does not fit its parameter of {ours}")
            kinds[p.dtype, p.device].append(p)
    return list(kinds.values())


def _copied(state: Mapping[str, Any], p: Tensor) -> dict[str, Any]:
    """The state of one parameter; PyTorch counts steps in a float tensor, and keeps None for nothing."""
    copy: dict[str, Any] = {}
    for name, value in state.items():
        if name == "step":
            copy[name] = int(value)
        elif isinstance(value, Real):
            copy[name] = value
        elif value is not None:
            array = array_of(name, value)
            if array.shape != p.shape:
                raise ValueError(f"the state's {name} has shape {array.shape}, its parameter {p.shape}")
            copy[name] = Tensor(np.array(array, dtype=p.dtype)).to(p.device)
    return copy


def _into(state: Mapping[str, Any], loaded: dict[str, Any]) -> None:
    """Put what was loaded where the state has been: a CUDA graph goes on writing there."""
    for name, value in loaded.items():
        place = state.get(name)
        if isinstance(value, Tensor) and isinstance(place, Tensor) and place.dtype == value.dtype:
            loaded[name] = place.copy_(value)


# -------------------------------------------------------------------- what an option may be


def number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")


def positive(name: str, value: Any) -> None:
    number(name, value)
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be above 0, got {value}")


def not_negative(name: str, value: Any) -> None:
    number(name, value)
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be 0 or more, got {value}")


def decay(name: str, value: Any) -> None:
    number(name, value)
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be 0 or more, and below 1, got {value}")


def decays(name: str, value: Any) -> None:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{name} must be two numbers, got {value!r}")
    for k, beta in enumerate(value):
        decay(f"{name}[{k}]", beta)
