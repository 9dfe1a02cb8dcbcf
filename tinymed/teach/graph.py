"""The backward sweep over an autograd graph, op by op: the engine's own sweep, watched."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from tinymed.autograd import Function, unbroadcast
from tinymed.teach.arguments import cotangent
from tinymed.teach.formulas import OPS
from tinymed.teach.record import LIMIT
from tinymed.teach.source import place
from tinymed.teach.steps import Cells, Step, Trace, shown
from tinymed.tensor import Tensor

CORNER = 8  # rows and columns shown of what is larger


def backward(root: Tensor, /, g: Any = None, **names: Tensor) -> Trace:
    """Every op that `root` was made from, in its order, then the sweep back over them, as root.backward(g) does it.

    names  how the trace is to call tensors: trace.backward(loss, x=x, w=w). Others are v1, v2, … in the order in
           which they were made; those that nobody calculated and nobody named are p1, p2, …
    Of an array of more than 8x8 the trace keeps the first corner. Afterwards leaves have their `.grad`.
    Raises ValueError where root has no graph, or one of more ops than anyone would walk through.
    """
    for name, tensor in {"the first argument": root, **names}.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"trace.backward: {name} must be a Tensor, as in x=x; this is of type {type(tensor).__name__}"
            )
    if root.grad_fn is None:
        raise ValueError(
            "trace.backward: the tensor was not computed from anything that requires grad; "
            "make a leaf with tinymed.tensor(..., requires_grad=True) and compute with it"
        )
    watch = _Sweep(root, names)
    for ctx in watch.ops:
        watch.forward(ctx)
    for ctx in watch.ops:
        ctx.backward = watch.watched(ctx, ctx.backward)  # type: ignore[method-assign]
    gradient = None if g is None else Tensor(cotangent(g, root.array).astype(root.dtype))
    watch.seed(np.ones(root.shape) if gradient is None else gradient.array)
    root.backward(gradient)
    return Trace(f"the graph of {watch.name(root)}", watch.arrays, watch.steps, watch.born)


class _Sweep:
    def __init__(self, root: Tensor, names: dict[str, Tensor]) -> None:
        self.names: dict[Tensor, str] = {tensor: name for name, tensor in names.items()}
        self.ops = _ops(root)
        self.made = {(x.grad_fn, x.output_nr): x for ctx in self.ops for x in _tensors(ctx) if x.grad_fn}
        self.made[root.grad_fn, root.output_nr] = root
        self.arrays: dict[str, np.ndarray] = {}
        self.born: set[str] = set()
        self.steps: list[Step] = []
        self.total: dict[str, np.ndarray] = {}  # what has flowed into each gradient so far
        if 2 * len(self.ops) > LIMIT:
            raise ValueError(f"a trace of {len(self.ops)} ops is more than anyone walks through; trace a smaller model")
        if root.numel() == 1 and root not in self.names and "L" not in names:
            self.names[root] = "L"
        p = (name for k in count(1) if (name := f"p{k}") not in names)
        v = (name for k in count(1) if (name := f"v{k}") not in names)
        for ctx in self.ops:  # named in the order of the computation
            for x in _tensors(ctx):
                if x.grad_fn is None and x not in self.names:
                    self.names[x] = next(p) if x.requires_grad else ""
            for out in self.outputs(ctx):
                if out not in self.names:
                    self.names[out] = next(v)
        self.root = self.name(root)

    def outputs(self, ctx: Function) -> list[Tensor]:
        return [self.made[ctx, nr] for nr in range(ctx.n_outputs) if (ctx, nr) in self.made]

    def name(self, x: Tensor) -> str:
        """How the trace calls it; a constant goes by its value."""
        return self.names[x] or (shown(x.item()) if x.numel() == 1 else f"constant {'x'.join(map(str, x.shape))}")

    def called(self, operand: Any) -> str:
        return self.name(operand) if isinstance(operand, Tensor) else shown(np.asarray(operand).item())

    def look(self, name: str, array: np.ndarray, born: bool) -> Cells:
        """The cells of an array, which enters the trace if it is new; of a large one, its corner."""
        seen = corner(array)
        if name not in self.arrays:
            self.arrays[name] = np.zeros(seen.shape) if born else seen.astype(float)
            if born:
                self.born.add(name)
        return name, tuple(range(seen.size))

    def forward(self, ctx: Function) -> None:
        reads = [self.look(self.name(x), x.array, born=False) for x in _tensors(ctx) if self.names[x]]
        for out in self.outputs(ctx):
            name = self.name(out)
            writes = self.look(name, out.array, born=True)
            call = f"{type(ctx).__name__}({', '.join(map(self.called, _operands(ctx)))})"
            numbers = f"{type(ctx).__name__}({', '.join(map(_numbers, _operands(ctx)))})"
            self.add(
                "forward", ctx, f"{name} = {call}", numbers, tuple(reads), writes, np.zeros_like(out.array), out.array
            )

    def seed(self, g: np.ndarray) -> None:
        """∂L/∂L = 1, from which the sweep starts."""
        name = f"∂{self.root}/∂{self.root}"
        self.total[name] = np.array(g, float)
        self.arrays[name] = corner(self.total[name]).copy()

    def watched(self, ctx: Function, run: Callable) -> Callable:
        """ctx.backward, which notes what it was given and what it gave."""
        outputs, inputs, needs = self.outputs(ctx), ctx.inputs, ctx.needs

        def noted(*grads: Any) -> Any:
            given = run(*grads)
            several = given if type(given) is tuple else (given,)
            reads = [self.look(f"∂{self.root}/∂{self.name(out)}", out.array, born=True) for out in outputs]
            for x, wanted, g in zip(inputs, needs, several):
                if wanted and g is not None:
                    self.flow(ctx, x, g, tuple(reads))
            return given

        return noted

    def flow(self, ctx: Function, x: Tensor, g: np.ndarray, reads: tuple[Cells, ...]) -> None:
        """Note that g has come to x, on top of what came before."""
        name = f"∂{self.root}/∂{self.name(x)}"
        writes = self.look(name, x.array, born=True)
        before = self.total.get(name, np.zeros(x.shape))
        added = unbroadcast(g, x.shape)
        self.total[name] = before + added
        others = tuple(self.look(self.name(y), y.array, born=False) for y in _tensors(ctx) if self.names[y])
        source = f"{name} += {type(ctx).__name__}.backward({', '.join(cells[0] for cells in reads)})"
        numbers = f"{_numbers(before)} + {_numbers(added)}"
        self.add("backward", ctx, source, numbers, reads + others, writes, before, self.total[name])

    def add(
        self, phase: str, ctx: Function, places: str, numbers: str,
        reads: tuple[Cells, ...], writes: Cells, before: np.ndarray, after: np.ndarray,
    ) -> None:  # fmt: skip
        """A step of the phase, "forward" or "backward", which is its method's name too."""
        before, after = corner(before).astype(float), corner(after).astype(float)
        formula = OPS.get(type(ctx).__name__, ("", ""))[phase == "backward"]
        changes = tuple(
            (writes[0], k, float(b), float(a)) for k, (b, a) in enumerate(zip(before.flat, after.flat)) if a != b
        )
        source, code = _source(getattr(type(ctx), phase))
        self.steps.append(
            Step(
                phase=phase,
                twin=f"{type(ctx).__name__}.{phase}",
                source=source,
                code=code,
                formula=formula,
                places=places,
                numbers=numbers,
                result=float(after) if after.ndim == 0 else after.tolist(),
                reads=reads,
                writes=(writes,),
                changes=changes,
            )
        )


def _source(function: Callable) -> tuple[str, str]:
    """Where a method stands, and its last line: what it returns."""
    lines, first = inspect.getsourcelines(function)
    return f"{place(inspect.getsourcefile(function) or '')}:{first + len(lines) - 1}", lines[-1].strip()


def _tensors(ctx: Function) -> list[Tensor]:
    return [x for x in ctx.inputs if isinstance(x, Tensor)]


def _operands(ctx: Function) -> list[Any]:
    """Its tensors, and the plain numbers between them: the 2 of x ** 2."""
    number = int, float, np.number, np.ndarray
    given = [x for x in ctx.inputs if isinstance(x, Tensor) or (isinstance(x, number) and np.size(x) == 1)]
    return [x for x in given if not isinstance(x, bool)]


def _ops(root: Tensor) -> list[Function]:
    """Every Function that root came from, the oldest first."""
    found: set[Function] = set()
    waiting = [root.grad_fn]
    while waiting:
        ctx = waiting.pop()
        if ctx not in found:
            found.add(ctx)
            if ctx.inputs is None:
                raise ValueError("trace.backward: this graph was freed by an earlier backward; compute the loss again")
            waiting += [x.grad_fn for x in _tensors(ctx) if x.grad_fn]
    return sorted(found, key=lambda ctx: -ctx.order)


def corner(array: np.ndarray) -> np.ndarray:
    """The first CORNER rows and columns of the first of its matrices; an array that is small, whole."""
    if array.size <= CORNER * CORNER:
        return array
    while array.ndim > 2:
        array = array[0]
    return array[tuple(slice(CORNER) for _ in array.shape)]


def _numbers(operand: Any) -> str:
    array = operand.array if isinstance(operand, Tensor) else np.asarray(operand)
    return shown(array.item() if array.size == 1 else array)
