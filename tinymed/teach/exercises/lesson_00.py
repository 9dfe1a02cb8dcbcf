"""Exercises of lesson 00: the chain rule on a graph, and an op of one's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinymed.autograd import Function
from tinymed.autograd import unbroadcast as summed_back
from tinymed.teach.check import Case, Exercise
from tinymed.tensor import Tensor

Array = np.ndarray
Edges = tuple[tuple[int, int, float], ...]

# ---------------------------------------------------------------- a·b + c


def _three(rng: np.random.Generator) -> list[Case]:
    plain = {"a": np.array([2.0]), "b": np.array([-3.0]), "c": np.array([10.0]), "g": np.array([1.0])}
    return [plain] + [dict(zip("abcg", rng.standard_normal((4, *shape)))) for shape in ((3,), (2, 3))]


MUL_ADD_GRAD = Exercise(
    "mul_add_grad",
    0,
    "the gradients of a, b and c for y = a·b + c, given g = ∂L/∂y",
    lambda a, b, c, g: (g * b, g * a, g),
    _three,
    {
        "a and b are mixed up: the slope of a·b towards a is b": lambda a, b, c, g: (g * a, g * b, g),
        "g is missing: these are the slopes of y, and each is still to be multiplied by ∂L/∂y": (
            lambda a, b, c, g: (b, a, np.ones_like(c))
        ),
        "c is only added: its slope is 1, whatever its value": lambda a, b, c, g: (g * b, g * a, g * c),
    },
    ("∂L/∂a", "∂L/∂b", "∂L/∂c"),
)

# ---------------------------------------------------------------- broadcasting undone


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    return summed_back(g, shape)


def _broadcast(rng: np.random.Generator) -> list[Case]:
    sizes: list[tuple] = [
        ((2, 3), (3,)), ((2, 3), (2, 1)), ((2, 3), (2, 3)), ((4, 2, 3), (2, 3)), ((4, 2, 3), (1, 3)),
        ((2, 3, 2, 2), (3, 1, 1)), ((1, 3), (1, 3)), ((3, 2), ()),
    ]  # fmt: skip
    return [{"g": rng.integers(-9, 10, big).astype(float), "shape": small} for big, small in sizes]


def _means(g: Array, shape: tuple[int, ...]) -> Array:
    return summed_back(g, shape) * (max(1, int(np.prod(shape))) / g.size)


def _first(g: Array, shape: tuple[int, ...]) -> Array:
    g = g[(0,) * (g.ndim - len(shape))]
    return g[tuple(slice(1) if n == 1 else slice(None) for n in shape)]


def _leading_only(g: Array, shape: tuple[int, ...]) -> Array:
    return g.sum(axis=tuple(range(g.ndim - len(shape))))


UNBROADCAST = Exercise(
    "unbroadcast",
    0,
    "a gradient summed back to the shape that its input had before it was broadcast",
    unbroadcast,
    _broadcast,
    {
        "nothing is summed: an input that was repeated needs one gradient, of its own shape": lambda g, shape: g,
        "the gradients are averaged: a number used k times collects the sum of k gradients": _means,
        "only the first of the repeats is taken: every one of them carries a gradient": _first,
        "axes of size 1 were stretched too, not only new ones put in front: sum over them with keepdims": _leading_only,
    },
    ("gradient",),
)

# ---------------------------------------------------------------- a sweep in the right order


def graph_gradients(n: int, edges: Edges, root: int) -> Array:
    inputs = _inputs(n, edges)
    missing, seen, stack = [0] * n, {root}, [root]
    while stack:
        for x, _ in inputs[stack.pop()]:
            missing[x] += 1
            if x not in seen:
                seen.add(x)
                stack.append(x)
    return _passed_on(inputs, missing, root)


def _passed_on(inputs: list[list[tuple[int, float]]], missing: list[int], root: int) -> Array:
    grad, ready = np.zeros(len(inputs)), [root]
    grad[root] = 1
    while ready:
        y = ready.pop()
        for x, slope in inputs[y]:
            grad[x] += grad[y] * slope
            missing[x] -= 1
            if missing[x] == 0:
                ready.append(x)
    return grad


def _inputs(n: int, edges: Edges) -> list[list[tuple[int, float]]]:
    inputs: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    for y, x, slope in edges:
        inputs[y].append((x, slope))
    return inputs


def _graphs(rng: np.random.Generator) -> list[Case]:
    chain = {"n": 3, "edges": ((0, 1, 2.0), (1, 2, 3.0)), "root": 0}
    diamond = {"n": 4, "edges": ((0, 1, 2.0), (0, 2, 3.0), (1, 3, 5.0), (2, 3, 7.0)), "root": 0}
    lopsided = {"n": 4, "edges": ((2, 0, 16.0), (2, 1, 4.0), (1, 0, 8.0), (0, 3, 4.0)), "root": 2}
    twice = {"n": 2, "edges": ((1, 0, 3.0), (1, 0, 3.0)), "root": 1}
    # 0 and 3 are made later
    middle = {"n": 5, "edges": ((0, 1, 2.0), (1, 2, 3.0), (3, 2, 5.0), (2, 4, 7.0)), "root": 1}
    long = {"n": 3000, "edges": tuple((k, k + 1, 1.0) for k in range(2999)), "root": 0}
    return [chain, diamond, lopsided, twice, middle, *(_drawn(rng, n) for n in (6, 12)), long]


def _drawn(rng: np.random.Generator, n: int) -> Case:
    number = rng.permutation(n)
    pairs = [(k, j) for k in range(n) for j in range(k) if rng.random() < 0.5 or j == k - 1]
    edges = tuple((int(number[k]), int(number[j]), float(rng.integers(1, 4))) for k, j in pairs)
    return {"n": n, "edges": edges, "root": int(number[-1])}


def _first_come(n: int, edges: Edges, root: int) -> Array:
    inputs, grad = _inputs(n, edges), np.zeros(n)
    grad[root] = 1
    queue, seen = [root], {root}
    for y in queue:
        for x, slope in inputs[y]:
            grad[x] += grad[y] * slope
            if x not in seen:
                seen.add(x)
                queue.append(x)
    return grad


def _by_number(n: int, edges: Edges, root: int) -> Array:
    inputs, grad = _inputs(n, edges), np.zeros(n)
    grad[root] = 1
    for y in range(n):
        for x, slope in inputs[y]:
            grad[x] += grad[y] * slope
    return grad


def _overwritten(n: int, edges: Edges, root: int) -> Array:
    inputs, grad = _inputs(n, edges), np.zeros(n)
    grad[root] = 1
    queue = [root]
    for y in queue:
        for x, slope in inputs[y]:
            grad[x] = grad[y] * slope
            if x not in queue:
                queue.append(x)
    return grad


def _all_counted(n: int, edges: Edges, root: int) -> Array:
    missing = [0] * n
    for _, x, _ in edges:
        missing[x] += 1
    return _passed_on(_inputs(n, edges), missing, root)


GRAPH_GRADIENTS = Exercise(
    "graph_gradients",
    0,
    "the gradients of all values of a graph with respect to one of them, whose numbers tell nothing of the order",
    graph_gradients,
    _graphs,
    {
        "a value passes its gradient on before all parts of it have arrived: first come, first served is not enough": (
            _first_come
        ),
        "the values are taken by their numbers, which tell nothing of the order in which they were made": _by_number,
        "a gradient is overwritten where a second part arrives: parts add up": _overwritten,
        "edges from values that the root was not made from are counted too, and so some parts never arrive": (
            _all_counted
        ),
    },
    ("grad",),
)

# ---------------------------------------------------------------- an op of one's own


class EdgeStrength(Function):
    """y = √(a² + b²);  ∂y/∂a = a/y,  ∂y/∂b = b/y, and 0 where y = 0"""

    def forward(ctx, a, b):
        ctx.a, ctx.b, ctx.y = a, b, np.sqrt(a * a + b * b)
        return ctx.y

    def backward(ctx, g):
        y = np.where(ctx.y == 0, 1, ctx.y)
        return g * ctx.a / y, g * ctx.b / y


class _Swapped(EdgeStrength):
    def backward(ctx, g):
        return super().backward(g)[::-1]


class _WithoutG(EdgeStrength):
    def backward(ctx, g):
        return super().backward(np.ones_like(g))


class _Squared(EdgeStrength):
    def backward(ctx, g):
        y = np.where(ctx.y == 0, 1, ctx.y)
        return super().backward(g / y)


class _NoHalf(EdgeStrength):
    def backward(ctx, g):
        return super().backward(2 * g)


class _Nan(EdgeStrength):
    def backward(ctx, g):
        with np.errstate(divide="ignore", invalid="ignore"):
            return g * (ctx.a / ctx.y), g * (ctx.b / ctx.y)


def _edges(rng: np.random.Generator) -> list[Case]:
    plain = {"a": np.array([3.0]), "b": np.array([4.0])}
    flat = {"a": np.array([[0.0, 5.0, 0.0], [-3.0, 0.0, 0.0]]), "b": np.array([[0.0, -12.0, 2.0], [4.0, 0.0, -1.0]])}
    drawn = [{"a": rng.standard_normal(s), "b": rng.standard_normal(s)} for s in ((5,), (2, 3, 4))]
    tiny = {"a": np.array([3e-9]), "b": np.array([-4e-9])}
    return [plain, *drawn, flat, tiny]


def _applied(op: type[Function]) -> Callable[..., Tensor]:
    return lambda a, b: op.apply(a, b)


EDGE_STRENGTH = Exercise(
    "edge_strength",
    0,
    "√(a² + b²) as an op with forward and backward, whose gradient is 0 where a = b = 0",
    _applied(EdgeStrength),
    _edges,
    {
        "NaN where a = b = 0: 0/0 has no value, and spreads; divide by something else there": _applied(_Nan),
        "the two gradients are mixed up: backward returns them in the order of forward's arguments": _applied(_Swapped),
        "backward leaves out g: what arrives from above is multiplied by the slope": _applied(_WithoutG),
        "divided by y² instead of y: the slope is a / √(a² + b²)": _applied(_Squared),
        "a small number added under the root bends small edges flat: make an exception where y = 0 only": (
            lambda a, b: (a * a + b * b + 1e-12).sqrt()
        ),
        "twice too large: d√s/ds is 1/(2√s), and the 2 of a² cancels against it": _applied(_NoHalf),
    },
    gradient=True,
)

EXERCISES = [MUL_ADD_GRAD, UNBROADCAST, GRAPH_GRADIENTS, EDGE_STRENGTH]
