"""What stands behind `Module.register_*_hook`: handles to take hooks off, and the watch on a backward."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from tinymed.autograd import Function
from tinymed.tensor import Tensor

_numbers = itertools.count()


class Handle:
    """Takes its hook off with `remove()`, or at the end of a `with` block."""

    def __init__(self, hooks: dict[int, Callable], hook: Callable) -> None:
        self.hooks, self.number = hooks, next(_numbers)
        hooks[self.number] = hook

    def remove(self) -> None:
        self.hooks.pop(self.number, None)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Watch(Function):
    """y = x;  ∂L/∂x = ∂L/∂y, or what `seen` makes of it"""

    def forward(ctx, seen, *xs):
        ctx.seen = seen
        return xs

    def backward(ctx, *gs):
        return None, *ctx.seen(gs)


def call_watched(module: Any, *args: Any, **kwargs: Any) -> Any:
    """module.forward between two Watches: what passes them in backward goes to the backward hooks."""
    grad_output: tuple = ()
    tensors = [a for a in args if isinstance(a, Tensor)]

    def leaves(gs: tuple) -> tuple:
        nonlocal grad_output
        grad_output = _tensors(gs)
        if not any(t.requires_grad for t in tensors):  # the other Watch will not be reached
            enters((None,) * len(tensors))
        return gs

    def enters(gs: tuple) -> tuple:
        grad_input = _tensors(gs)
        for hook in tuple(module._backward_hooks.values()):
            if (changed := hook(module, grad_input, grad_output)) is not None:
                grad_input = changed if isinstance(changed, tuple) else (changed,)
        return tuple(None if g is None else g.array for g in grad_input)

    output = module.forward(*_watch(enters, args), **kwargs)
    return _watch(leaves, output) if isinstance(output, tuple) else _watch(leaves, (output,))[0]


def _watch(seen: Callable, values: tuple) -> tuple:
    """The values with every Tensor among them led through one Watch."""
    watched = iter(Watch.apply(seen, *(v for v in values if isinstance(v, Tensor))))
    return tuple(next(watched) if isinstance(v, Tensor) else v for v in values)


def _tensors(gs: tuple) -> tuple:
    return tuple(None if g is None else Tensor(g) for g in gs)
