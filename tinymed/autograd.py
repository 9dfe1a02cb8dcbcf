"""Reverse-mode differentiation: Function and the backward sweep; the switches around them are in modes.py.

A Function is one op. Calling `apply` runs its forward on plain arrays and, if a gradient is wanted, keeps the
Function as the `grad_fn` of what came out. `backward` walks those Functions from the newest to the oldest.
"""

from __future__ import annotations

import itertools
import sys
import traceback
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import numpy as np

from tinymed.modes import detect_anomaly, enable_grad, inference_mode, is_grad_enabled, modes, no_grad
from tinymed.tensor import Tensor, device_of, is_writable, method

__all__ = [
    "Function", "backward", "detect_anomaly", "enable_grad", "grad", "inference_mode", "is_grad_enabled", "modes",
    "no_grad", "unbroadcast",
]  # fmt: skip


def _count_of_one_name() -> int:
    """What getrefcount says of an array that one name holds: 2, but 1 from Python 3.14 on."""
    array = np.empty(0)
    return sys.getrefcount(array)


_ALONE = _count_of_one_name()
_order = itertools.count(0, -1)  # downwards: the newest comes first in a heap


class Function:
    """One op: `forward` takes arrays and returns arrays, `backward` takes ∂L/∂outputs and returns ∂L/∂inputs.

    `self` is called `ctx`, as in PyTorch: it is the place to keep what backward needs.

        class Mul(Function):
            def forward(ctx, a, b):
                ctx.a, ctx.b = a, b
                return a * b
            def backward(ctx, g):
                return g * ctx.b, g * ctx.a

    backward returns one gradient for each argument of forward, in order (None for what has none; trailing
    Nones may be left out). It may return a gradient of the *broadcast* shape: the sweep sums it back.
    `ctx.needs[k]` tells whether argument k wants one at all. With several outputs, a gradient that nobody
    asked for arrives as None.
    """

    inputs: Any = None  # the Tensors it was applied to, until the sweep has passed
    needs: list[bool]
    order: int  # when it was made: the newest has the smallest
    written: int  # in-place writes to its inputs so far
    n_outputs: int
    hooks: tuple[tuple[int, Callable], ...] = ()  # (which output, hook)
    shapes: list[tuple[int, ...]]  # these two only under detect_anomaly
    where: str

    is_view = False  # whether the output shares its first input's memory

    def forward(ctx, *args: Any) -> Any:
        raise NotImplementedError

    def backward(ctx, *grads: Any) -> Any:
        raise NotImplementedError(f"{type(ctx).__name__} has no gradient")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward on the arrays inside `args`; Tensors come back, with a graph if one is needed."""
        ctx = cls()
        arrays: list = []
        ctx.needs = needs = []
        written = 0
        for a in args:
            if isinstance(a, Tensor):
                arrays.append(a.array)
                needs.append(a.requires_grad)
                written += a._version[0]
            else:
                arrays.append(a)
                needs.append(False)
        try:
            result = ctx.forward(*arrays)
        except (TypeError, ValueError, AttributeError):
            refuse_two_devices(cls.__name__, args)
            raise
        outputs = [Tensor(r) for r in result] if type(result) is tuple else [Tensor(result)]
        if modes.anomaly:
            ctx.shapes = [a.shape for a in args if isinstance(a, Tensor)]
            ctx.where = "".join(traceback.format_stack(limit=8)[:-1])
            _refuse_non_finite(ctx, "forward", [out.array for out in outputs])
        if cls.is_view:
            outputs[0]._version = args[0]._version
        if True in needs and modes.grad:
            ctx.inputs, ctx.written, ctx.order, ctx.n_outputs = args, written, next(_order), len(outputs)
            for nr, out in enumerate(outputs):
                if out.array.dtype.kind == "f":
                    out.requires_grad, out.grad_fn, out.output_nr = True, ctx, nr
        return tuple(outputs) if type(result) is tuple else outputs[0]

    def __repr__(ctx) -> str:
        return f"<{type(ctx).__name__}>"


def _fitted(ctx: Function, g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """g as the gradient of an input x: summed back over broadcast axes, and refused if it does not fit."""
    if g.shape != x.shape:
        g = unbroadcast(g, x.shape)
        if g.shape != x.shape:
            raise AssertionError(
                f"{type(ctx).__name__}.backward gave a gradient of shape {g.shape} for an input of shape {x.shape}"
            )
    return g if g.dtype == x.dtype else g.astype(x.dtype)


def unbroadcast(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum a gradient over the axes along which its input, of the given shape, was broadcast."""
    lead = g.ndim - len(shape)
    if lead > 0:
        g = g.sum(axis=tuple(range(lead)))
    stretched = tuple(k for k, n in enumerate(shape) if n == 1 and g.shape[k] != 1)
    return g.sum(axis=stretched, keepdims=True) if stretched else g


# -------------------------------------------------------------------- the backward sweep


@method()
def backward(self: Tensor, gradient: Any = None, retain_graph: bool = False) -> None:
    """Add ∂self/∂leaf to the `.grad` of every leaf that self was made from.

    gradient      ∂L/∂self, of self's shape; may be left out where self has one element
    retain_graph  keep what forward stored, so that backward can be called again

    An op is made after its inputs. So, going from the newest Function to the oldest, every gradient that
    flows into an op has arrived before the op is visited: a topological order, without recursion.
    """
    if not self.requires_grad:
        raise ValueError(
            "backward() on a tensor with no graph: nothing that it was made from requires grad; "
            "make a leaf with requires_grad=True, and mind no_grad() and detach()"
        )
    found = _sweep([(self, _seed(self, gradient))], retain_graph)
    while found:
        leaf, g = found.popitem()
        if leaf.grad is not None:
            leaf.grad = Tensor(leaf.grad.array + g)
            continue
        owner = g if g.flags.owndata else g.base
        alone = sys.getrefcount(owner) == _ALONE + 1 and (owner is g or sys.getrefcount(g) == _ALONE)
        spread = 0 in g.strides or not is_writable(g)  # from one number over many
        if alone and not spread and g.strides == leaf.array.strides:
            leaf.grad = Tensor(g)  # nobody else has its memory, which is laid out as the leaf's
        else:  # an op may have passed one array on to several inputs, and a user may scale .grad in place
            leaf.grad = Tensor(g.copy())


def grad(
    outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None, allow_unused: bool = False
) -> tuple[Tensor | None, ...]:
    """∂(Σ outputs)/∂input for every input; no `.grad` is touched        (as `torch.autograd.grad`)

    inputs        leaves, or tensors in the middle of the graph; one that the outputs were not made from is
                  refused, or gets None with allow_unused
    grad_outputs  ∂L/∂output of each output; may be left out where it has one element
    """
    outputs, inputs = _several(outputs), _several(inputs)
    seeds = [None] * len(outputs) if grad_outputs is None else _several(grad_outputs)
    if len(seeds) != len(outputs):
        raise ValueError(f"grad: {len(outputs)} outputs need as many grad_outputs, got {len(seeds)}")
    for what, tensors in (("output", outputs), ("input", inputs)):
        for k, tensor in enumerate(tensors):
            if not tensor.requires_grad:
                raise ValueError(f"grad: {what} {k} does not require grad; make leaves with requires_grad=True")
    found = _sweep([(y, _seed(y, g)) for y, g in zip(outputs, seeds)], bool(retain_graph), inputs)
    for k, x in enumerate(inputs):
        if x not in found and not allow_unused:
            raise ValueError(f"grad: the outputs were not made from input {k}; with allow_unused=True it gets None")
    return tuple(Tensor(found[x].copy()) if x in found else None for x in inputs)


def _several(tensors: Any) -> list:
    return list(tensors) if isinstance(tensors, tuple | list) else [tensors]


def _sweep(roots: list, retain_graph: bool, inner: Any = ()) -> dict[Tensor, np.ndarray]:
    """The gradients of all leaves, and of the tensors `inner`, from pairs (root, ∂L/∂root)."""
    arrived: dict[Function, list] = {}  # what came into each output so far
    waiting: list[tuple[int, Function]] = []  # a heap: the newest Function comes first
    found: dict[Tensor, np.ndarray] = {}
    ctx: Any = None
    anomaly = modes.anomaly
    inputs, given = zip(*roots)
    needs: Any = [True] * len(roots)
    while True:
        for x, wanted, g in zip(inputs, needs, given):
            if not wanted or g is None:
                continue
            a, fn, nr = x.array, x.grad_fn, x.output_nr
            if g.shape != a.shape or g.dtype is not a.dtype:
                g = _fitted(ctx, g, a)
            if fn is None:
                found[x] = found[x] + g if x in found else g
            elif fn in arrived:
                slots = arrived[fn]
                slots[nr] = g if slots[nr] is None else slots[nr] + g
            elif fn.inputs is None:
                raise ValueError(
                    "backward through the same graph a second time: what it had kept was freed by the first; "
                    "call backward(retain_graph=True) the first time"
                )
            else:
                arrived[fn] = slots = [None] * fn.n_outputs
                slots[nr] = g
                heappush(waiting, (fn.order, fn))
        if not waiting:
            break
        ctx = heappop(waiting)[1]
        grads = arrived.pop(ctx)
        for nr, hook in ctx.hooks:
            if grads[nr] is not None:
                grads[nr] = _hooked(hook, grads[nr])
        if inner:
            found |= {x: grads[x.output_nr] for x in inner if x.grad_fn is ctx and grads[x.output_nr] is not None}
        inputs, needs, written = ctx.inputs, ctx.needs, -ctx.written
        for x in inputs:
            if isinstance(x, Tensor):
                written += x._version[0]
        if written:
            raise ValueError(
                f"an input of {type(ctx).__name__} was changed in place between forward and backward, "
                "so its gradient would be wrong; work on a copy: x.clone()"
            )
        given = ctx.backward(*grads)
        if type(given) is not tuple:
            given = (given,)
        if anomaly:
            _refuse_non_finite(ctx, "backward", [g for g, wanted in zip(given, needs) if wanted and g is not None])
        if not retain_graph:
            ctx.__dict__.clear()  # all that forward kept
    for leaf in found:
        for hook in leaf._hooks or ():
            found[leaf] = _hooked(hook, found[leaf])
    return found


def _seed(root: Tensor, gradient: Any) -> np.ndarray:
    if gradient is None:
        if root.numel() != 1:
            raise ValueError(
                f"backward() without a gradient needs one element, got shape {root.shape}; "
                "sum or average the loss first, or pass ∂L/∂self of that shape"
            )
        return np.ones_like(root.array)
    g = gradient.array if isinstance(gradient, Tensor) else np.asarray(gradient, dtype=root.dtype)
    if g.shape != root.shape:
        raise ValueError(f"backward(gradient): expected shape {root.shape}, as of the tensor itself, got {g.shape}")
    return g


def _hooked(hook: Callable, g: np.ndarray) -> np.ndarray:
    replaced = hook(Tensor(g))
    return g if replaced is None else replaced.array


def refuse_two_devices(op: str, args: tuple) -> None:
    """Raise ValueError where the arguments are on two devices; asked when an op has failed, so as to slow none down."""
    given = [a.array if isinstance(a, Tensor) else a for a in args]
    arrays = [a for a in given if isinstance(a, np.ndarray) or hasattr(type(a), "__cuda_array_interface__")]
    if len({device_of(a) for a in arrays}) > 1:
        places = ", ".join(f"{a.shape} on {device_of(a)}" for a in arrays)
        cure = f'move one, such as x.to("{device_of(arrays[-1])}")'
        raise ValueError(f"{op}: the tensors are on two devices: {places}; {cure}") from None


def _refuse_non_finite(ctx: Function, phase: str, results: list[np.ndarray]) -> None:
    for result in results:
        if result.dtype.kind == "f" and not np.isfinite(result).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(result))[0])
            where = f"\nThe op was called here:\n{ctx.where}" if phase == "backward" else ""
            raise FloatingPointError(
                f"{type(ctx).__name__} {phase} gave {result[at]} at index {list(at)} of shape {result.shape}, "
                f"from inputs of shapes {', '.join(str(s) for s in ctx.shapes)}{where}"
            )
