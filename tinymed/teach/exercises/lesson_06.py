"""Exercises of lesson 06: a CNN, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import tinymed.nn.functional as F
from tinymed.teach.check import Case, Exercise
from tinymed.tensor import Tensor

Array = np.ndarray

# ---------------------------------------------------------------- the size after several layers


def stack_output_size(n: int, layers: Sequence[tuple[int, int, int]]) -> int:
    for kernel, stride, padding in layers:
        n = (n + 2 * padding - kernel) // stride + 1
    return n


def _stacks(rng: np.random.Generator) -> list[Case]:
    return [
        {"n": 28, "layers": ((3, 1, 0),)},
        {"n": 28, "layers": ((3, 1, 0), (2, 2, 0), (3, 1, 0), (2, 2, 0))},  # article 5.2.2
        {"n": 28, "layers": ((5, 1, 2), (3, 2, 1))},
        {"n": 33, "layers": ((3, 2, 0), (2, 2, 0), (3, 1, 1), (2, 2, 0))},
        {"n": 224, "layers": ((7, 2, 3), (3, 2, 1))},
        {"n": 9, "layers": ()},
    ]


def _shrunk_at_once(n: int, layers: Sequence[tuple[int, int, int]]) -> int:
    """All that is taken away is summed up, all strides are multiplied."""
    steps = 1
    for kernel, stride, padding in layers:
        n += 2 * padding - (kernel - 1)
        steps *= stride
    return n // steps


def _without_padding(n: int, layers: Sequence[tuple[int, int, int]]) -> int:
    return stack_output_size(n, [(kernel, stride, 0) for kernel, stride, _ in layers])


def _rounded_up(n: int, layers: Sequence[tuple[int, int, int]]) -> int:
    for kernel, stride, padding in layers:
        n = -(-(n + 2 * padding - kernel) // stride) + 1
    return n


STACK_OUTPUT_SIZE = Exercise(
    "stack_output_size",
    6,
    "how many rows come out of n rows after layers (kernel, stride, padding)",
    stack_output_size,
    _stacks,
    {
        "only the first layer is applied: each takes what the one before it gives": (
            lambda n, layers: stack_output_size(n, layers[:1])
        ),
        "every layer starts from the first n: each takes what the one before it gives": (
            lambda n, layers: stack_output_size(n, layers[-1:])
        ),
        "all at once does not go: what a later kernel takes away is counted in larger steps": _shrunk_at_once,
        "the padding is forgotten": _without_padding,
        "rounded up: a window that does not fit any more is left out, so it rounds down": _rounded_up,
    },
    ("size",),
)  # fmt: skip

# ---------------------------------------------------------------- what there is to learn


def count_parameters(layers: Sequence[tuple]) -> int:
    return _counted(layers, lambda c, o, k: o * (c * k * k + 1), lambda i, o: o * (i + 1))


def _counted(layers: Sequence[tuple], conv, linear, pool=lambda k: 0) -> int:  # type: ignore[no-untyped-def]
    return sum({"conv": conv, "linear": linear, "pool": pool}[kind](*sizes) for kind, *sizes in layers)


def _networks(rng: np.random.Generator) -> list[Case]:
    article = (
        ("conv", 1, 32, 3), ("pool", 2), ("conv", 32, 64, 3), ("pool", 2), ("linear", 1600, 128), ("linear", 128, 1),
    )  # fmt: skip
    return [
        {"layers": (("linear", 4, 2),)},
        {"layers": (("conv", 1, 8, 3), ("pool", 2))},
        {"layers": (("conv", 3, 8, 5), ("pool", 2), ("conv", 8, 16, 3))},
        {"layers": article},
    ]


COUNT_PARAMETERS = Exercise(
    "count_parameters",
    6,
    "the number of weights and biases of layers (conv, C, O, K), (pool, K) and (linear, I, O)",
    count_parameters,
    _networks,
    {
        "the biases are forgotten: one for each kernel, one for each output of an FC layer": (
            lambda layers: _counted(layers, lambda c, o, k: o * c * k * k, lambda i, o: o * i)
        ),
        "a kernel reads all input channels: it has C·K·K weights, not K·K": (
            lambda layers: _counted(layers, lambda c, o, k: o * (k * k + 1), lambda i, o: o * (i + 1))
        ),
        "a kernel is K by K, not K long": (
            lambda layers: _counted(layers, lambda c, o, k: o * (c * k + 1), lambda i, o: o * (i + 1))
        ),
        "a kernel has one bias, not one for each of its channels": (
            lambda layers: _counted(layers, lambda c, o, k: o * c * (k * k + 1), lambda i, o: o * (i + 1))
        ),
        "pooling has nothing to learn": (
            lambda layers: count_parameters(layers) + _counted(layers, lambda *_: 0, lambda *_: 0, lambda k: k * k)
        ),
        "an FC layer has one bias for each output, not for each input": (
            lambda layers: _counted(layers, lambda c, o, k: o * (c * k * k + 1), lambda i, o: (o + 1) * i)
        ),
    },
    ("parameters",),
)  # fmt: skip

# ---------------------------------------------------------------- the fully connected layer, backwards


def linear_backward(g: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    return g @ w, g.T @ x, g.sum(0)


def _fully_connected(rng: np.random.Generator) -> list[Case]:
    by_hand = {
        "g": np.array([[1.0, -1.0]]),
        "x": np.array([[6.0, 0.0, 4.0, 0.0]]),
        "w": np.array([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 1.0, 1.0]]),
    }
    sizes = [(1, 4, 2), (3, 2, 2), (5, 3, 4), (2, 6, 1)]  # N, I, O
    return [by_hand] + [
        {"g": rng.standard_normal((n, o)), "x": rng.standard_normal((n, i)), "w": rng.standard_normal((o, i))}
        for n, i, o in sizes
    ]


LINEAR_BACKWARD = Exercise(
    "linear_backward",
    6,
    "from ∂L/∂y (N,O), x (N,I) and w (O,I) of y = x·Wᵀ + b to ∂L/∂x, ∂L/∂w and ∂L/∂b",
    linear_backward,
    _fully_connected,
    {
        "∂L/∂w is transposed: it has w's shape, (O,I)": lambda g, x, w: (g @ w, x.T @ g, g.sum(0)),
        "the gradients of the weights are averaged: the 1/N of the mean is in g already, so here they are summed": (
            lambda g, x, w: (g @ w, g.T @ x / len(g), g.mean(0))
        ),
        "∂L/∂b is not summed over the batch: the one bias was added for every sample": (
            lambda g, x, w: (g @ w, g.T @ x, g)
        ),
        "∂L/∂b sums over the outputs: it has one number for each of them, so sum over the samples": (
            lambda g, x, w: (g @ w, g.T @ x, g.sum(1))
        ),
        "g is not multiplied in: the slope is w, and what came from above belongs before it": (
            lambda g, x, w: (np.ones_like(g) @ w, np.ones_like(g).T @ x, np.ones_like(g).sum(0))
        ),
    },
    ("gx", "gw", "gb"),
)  # fmt: skip

# ---------------------------------------------------------------- what there is to compute


def count_multiply_adds(side: int, layers: Sequence[tuple]) -> int:
    return _computed(side, layers)


def _computed(
    side: int,
    layers: Sequence[tuple],
    *,
    early: bool = False,
    pooled: bool = True,
    all_channels: bool = True,
    square: bool = True,
    every_place: bool = True,
    linear: bool = True,
) -> int:
    """Multiply-adds, with at most one thing done wrong."""
    total = 0
    for kind, *sizes in layers:
        if kind == "conv":
            channels, kernels, k = sizes
            before, side = side, side - k + 1
            places = (before if early else side) ** 2 if every_place else 1
            total += places * kernels * (channels if all_channels else 1) * (k * k if square else k)
        elif kind == "pool":
            side //= sizes[0] if pooled else 1
        elif linear:
            total += sizes[0] * sizes[1]
    return total


def _pictures(rng: np.random.Generator) -> list[Case]:
    article = _networks(rng)[-1]["layers"]
    return [
        {"side": 3, "layers": (("conv", 1, 1, 2),)},
        {"side": 9, "layers": (("conv", 2, 3, 4), ("pool", 2), ("conv", 3, 2, 2))},
        {"side": 13, "layers": (("conv", 1, 4, 3), ("pool", 3), ("linear", 36, 5))},
        {"side": 28, "layers": article},
    ]


COUNT_MULTIPLY_ADDS = Exercise(
    "count_multiply_adds",
    6,
    "the multiply-adds of layers as in count_parameters for one picture of side x side, convolutions without padding",
    count_multiply_adds,
    _pictures,
    {
        "that is the size before the convolution: a kernel of K stands at side − K + 1 places in each direction": (
            lambda side, layers: _computed(side, layers, early=True)
        ),
        "the pooling is skipped: it computes no products, but behind it the maps are smaller": (
            lambda side, layers: _computed(side, layers, pooled=False)
        ),
        "one channel only: each output sums over all C channels": (
            lambda side, layers: _computed(side, layers, all_channels=False)
        ),
        "a window has K·K cells, not K": lambda side, layers: _computed(side, layers, square=False),
        "these are the weights, not their uses: a convolution uses each weight at every place of its output": (
            lambda side, layers: _computed(side, layers, every_place=False)
        ),
        "the FC layers are missing: I products for each of O outputs": (
            lambda side, layers: _computed(side, layers, linear=False)
        ),
    },
    ("multiply-adds",),
)  # fmt: skip

# ---------------------------------------------------------------- all of it


def small_cnn(x: Tensor, w: Tensor, b: Tensor, v: Tensor, c: Tensor) -> Tensor:
    return F.linear(F.max_pool2d(F.relu6(F.conv2d(x, w, b)), 2).flatten(1), v, c)


def _small_cnns(rng: np.random.Generator) -> list[Case]:
    def case(N: int, C: int, O: int, side: int, classes: int) -> Case:
        features = O * ((side - 2) // 2) ** 2
        return {
            "x": 2 * rng.standard_normal((N, C, side, side)),
            "w": rng.standard_normal((O, C, 3, 3)),
            "b": rng.standard_normal(O),
            "v": rng.standard_normal((classes, features)),
            "c": rng.standard_normal(classes),
        }

    return [case(1, 1, 1, 6, 2), case(2, 1, 3, 6, 2), case(3, 2, 2, 7, 4)]


SMALL_CNN = Exercise(
    "small_cnn",
    6,
    "the scores of ReLU6-Conv-Pool (kernels w, bias b, windows of 2) and an FC layer (v, c)",
    small_cnn,
    _small_cnns,
    {
        "softmax is taken: F.cross_entropy wants scores, it has softmax inside": (
            lambda x, w, b, v, c: F.softmax(small_cnn(x, w, b, v, c), 1)
        ),
        "that is ReLU: ReLU6 is bounded by 6 above": (
            lambda x, w, b, v, c: F.linear(F.max_pool2d(F.relu(F.conv2d(x, w, b)), 2).flatten(1), v, c)
        ),
        "the activation is missing between the convolution and the pooling": (
            lambda x, w, b, v, c: F.linear(F.max_pool2d(F.conv2d(x, w, b), 2).flatten(1), v, c)
        ),
        "ReLU6 comes first: the article's name ReLU6-Conv is read the other way, convolution and then ReLU6": (
            lambda x, w, b, v, c: F.linear(F.max_pool2d(F.conv2d(F.relu6(x), w, b), 2).flatten(1), v, c)
        ),
        "that is average pooling": (
            lambda x, w, b, v, c: F.linear(F.avg_pool2d(F.relu6(F.conv2d(x, w, b)), 2).flatten(1), v, c)
        ),
        "the biases are missing": (
            lambda x, w, b, v, c: F.linear(F.max_pool2d(F.relu6(F.conv2d(x, w)), 2).flatten(1), v)
        ),
        "the batch is flattened too: axis 0 counts the pictures, so flatten(1)": (
            lambda x, w, b, v, c: F.linear(F.max_pool2d(F.relu6(F.conv2d(x, w, b)), 2).flatten(0), v, c)
        ),
    },
    ("scores",),
    gradient=True,
)  # fmt: skip

EXERCISES = [STACK_OUTPUT_SIZE, COUNT_PARAMETERS, LINEAR_BACKWARD, COUNT_MULTIPLY_ADDS, SMALL_CNN]
