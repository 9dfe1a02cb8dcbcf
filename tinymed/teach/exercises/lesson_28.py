"""Exercises of lesson 28: rates by layer, layers thawed one after another, and a fair comparison."""

from __future__ import annotations

import numpy as np

from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- rates by layer


def layer_rates(lr: float, decay: float, layers: int) -> Array:
    return lr * decay ** np.arange(layers - 1, -1, -1)


def _stacks(rng: np.random.Generator) -> list[Case]:
    drawn = [
        {"lr": float(rng.uniform(1e-2, 1)), "decay": float(rng.uniform(0.3, 0.9)), "layers": int(n)}
        for n in rng.integers(3, 8, 3)
    ]
    return [{"lr": 0.8, "decay": 0.5, "layers": 4}, *drawn, {"lr": 0.1, "decay": 0.5, "layers": 1}]


LAYER_RATES = Exercise(
    "layer_rates",
    28,
    "the learning rate of each of L layers, from the first to the last: the last learns at lr",
    layer_rates,
    _stacks,
    {
        "turned round: the last layer learns at lr, and the first at the least rate": (
            lambda lr, decay, layers: lr * decay ** np.arange(layers)
        ),
        "the last layer learns at lr itself, decay⁰; here it is at lr · decay already": (
            lambda lr, decay, layers: lr * decay ** np.arange(layers, 0, -1)
        ),
        "k-th power, not k times: each layer is slower than the next by the same factor": (
            lambda lr, decay, layers: lr * np.where(np.arange(layers) < layers - 1, decay, 1)
            / np.maximum(np.arange(layers - 1, -1, -1), 1)
        ),
        "divided by decay: earlier layers learn slower, not faster": (
            lambda lr, decay, layers: lr / decay ** np.arange(layers - 1, -1, -1)
        ),
        "all earlier layers share one rate: each is slower than the next": (
            lambda lr, decay, layers: lr * np.where(np.arange(layers) < layers - 1, decay, 1)
        ),
        "that falls along a straight line to 0; the rates are lr · decayᵏ": (
            lambda lr, decay, layers: lr * np.arange(1, layers + 1) / layers
        ),
    },
    ("rates",),
)  # fmt: skip

# ---------------------------------------------------------------- thawing


def thawed(epoch: int, every: int, layers: int) -> Array:
    return _last(1 + epoch // every, layers)


def _last(count: int, layers: int) -> Array:
    return (np.arange(layers) >= layers - count).astype(int)


def _moments(rng: np.random.Generator) -> list[Case]:
    some = ((0, 1, 4), (3, 2, 5), (4, 2, 5), (5, 3, 3), (1, 1, 6), (40, 2, 4))
    return [{"epoch": 2, "every": 2, "layers": 3}] + [
        {"epoch": epoch, "every": every, "layers": layers} for epoch, every, layers in some
    ]


THAWED = Exercise(
    "thawed",
    28,
    "which of L layers learn after so many finished epochs: an array of 0 and 1, the first layer first",
    thawed,
    _moments,
    {
        "that begins at the first layer: what is thawed first is the last one": (
            lambda epoch, every, layers: _last(1 + epoch // every, layers)[::-1]
        ),
        "the last layer learns from the start: 1 + epoch // every of them, not epoch // every": (
            lambda epoch, every, layers: _last(epoch // every, layers)
        ),
        "one more is thawed after every `every` epochs, not after each": (
            lambda epoch, every, layers: _last(1 + epoch, layers)
        ),
        "thawed layers go on learning: not one alone at a time": (
            lambda epoch, every, layers: (np.arange(layers) == max(layers - 1 - epoch // every, 0)).astype(int)
        ),
        "turned round: those are the frozen ones": lambda epoch, every, layers: 1 - thawed(epoch, every, layers),
        "rounded up: after 3 epochs, by 2, one more has been thawed, not two": (
            lambda epoch, every, layers: _last(1 + -(-epoch // every), layers)
        ),
    },
    ("learns",),
)  # fmt: skip

# ---------------------------------------------------------------- paired


def paired(first: Array, second: Array) -> tuple[float, float]:
    gap = second - first
    return gap.mean(), gap.std(ddof=1) / np.sqrt(len(gap))


def _seeds(rng: np.random.Generator) -> list[Case]:
    plain = {"first": np.array([0.70, 0.80, 0.75]), "second": np.array([0.72, 0.84, 0.75])}
    hard = rng.normal(0, 0.1, (2, 12))  # what a seed's pictures do to both
    drawn = [
        {"first": 0.8 + common[:n], "second": 0.82 + common[:n] + rng.normal(0, 0.02, n)}
        for common, n in zip(hard, (5, 12))
    ]
    return [plain, *drawn]


PAIRED = Exercise(
    "paired",
    28,
    "the mean of second − first over seeds, and its standard error",
    paired,
    _seeds,
    {
        "first − second: the gain is what the second has more": lambda first, second: (
            (first - second).mean(),
            paired(first, second)[1],
        ),
        "that is the error of two unpaired means: what a seed does to both cancels in each difference": (
            lambda first, second: (
                (second - first).mean(),
                np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / len(first)),
            )
        ),
        "that is how far one seed strays: the mean of n strays less, by √n": lambda first, second: (
            (second - first).mean(),
            (second - first).std(ddof=1),
        ),
        "divided by n: for a standard deviation from a sample it is n − 1 (ddof=1)": lambda first, second: (
            (second - first).mean(),
            (second - first).std() / np.sqrt(len(first)),
        ),
        "divided by n instead of √n": lambda first, second: (
            (second - first).mean(),
            (second - first).std(ddof=1) / len(first),
        ),
    },
    ("gain", "error"),
)  # fmt: skip

EXERCISES = [LAYER_RATES, THAWED, PAIRED]
