"""The workloads, each written once: what tinymed and PyTorch share of their names is enough to run on both.

A case is a function of the engine's module that returns what to time; what that returns is compared between engines.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

Run = Callable[[], Any]


class Case(NamedTuple):
    """One thing to time: `make(engine)` gives the function; flops and bytes are of one call, 0 where unknown.

    The rest is for a GPU. make may give None there: the engine lacks the case.
    """

    make: Callable[[Any], Run | None]
    flops: float = 0
    bytes: float = 0  # that must be read and written at least, for the roofline
    ways: tuple[str, ...] = ()  # how else engines.py is to run it: "captured", "float32"
    whole: bool = False  # many kernels in a row: timed by the host's clock, the cache as it is
    copied: tuple[float, float] = (0, 0)  # bytes to the GPU before it, and from it after


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def with_gradient(forward: Callable, inputs: list, engine: Any) -> Run:
    """forward and backward: the output and every input's gradient."""
    g = None

    def run() -> list:
        nonlocal g
        for x in inputs:
            x.grad = None
        y = forward()
        if g is None:
            g = engine.tensor(normal(*y.shape, seed=1))
        y.backward(g)
        return [y, *(x.grad for x in inputs)]

    return run


# ---------------------------------------------------------------- the article's network (5.2)


def network(engine: Any) -> Any:
    nn = engine.nn
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 1)),
    )
    return loaded(
        model, {n: engine.tensor(normal(*p.shape) * p.shape[-1] ** -0.5) for n, p in model.state_dict().items()}
    )


def loaded(model: Any, weights: dict[str, Any]) -> Any:
    """The model, moved to where the weights are, with these."""
    model.to(next(iter(weights.values())).device).load_state_dict(weights)
    return model


NETWORK_FLOPS = 2 * (26 * 26 * 32 * 9 + 11 * 11 * 64 * 288 + 1600 * 128 + 128)  # forward, one picture


def train(engine: Any, batch: int) -> Run:
    """A step as a user writes it."""
    model, loss_of = network(engine), engine.nn.functional.binary_cross_entropy_with_logits
    optimizer = engine.optim.Adam(model.parameters(), lr=1e-3)
    x = engine.tensor(normal(batch, 1, 28, 28))
    y = engine.tensor((normal(batch, 1, seed=2) > 0).astype(np.float32))

    def step() -> list:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return [loss, *(p.grad for p in model.parameters())]

    return step


def infer(engine: Any, batch: int) -> Run:
    model, x = network(engine), engine.tensor(normal(batch, 1, 28, 28))

    def run() -> list:
        with engine.no_grad():
            return [model(x)]

    return run


# ---------------------------------------------------------------- single layers


def conv(engine: Any, x: tuple, w: tuple, how: dict, backward: bool) -> Run:
    inputs = [engine.tensor(a, requires_grad=True) for a in (normal(*x), normal(*w) / 8, normal(w[0]))]
    forward = partial(engine.nn.functional.conv2d, *inputs, **how)
    if backward:
        return with_gradient(forward, inputs, engine)

    def run() -> list:
        with engine.no_grad():
            return [forward()]

    return run


def _conv_case(x: tuple, w: tuple, backward: bool = True, **how: Any) -> Case:
    padding, stride = how.get("padding", 0), how.get("stride", 1)
    OH, OW = ((n + 2 * padding - k) // stride + 1 for n, k in zip(x[2:], w[2:]))
    y = x[0] * w[0] * OH * OW
    passes = 3 if backward else 1
    moved = 4 * passes * (np.prod(x) + np.prod(w) + y)
    return Case(partial(conv, x=x, w=w, how=how, backward=backward), 2.0 * passes * y * np.prod(w[1:]), float(moved))


def pool(engine: Any, name: str) -> Run:
    x = engine.tensor(normal(32, 64, 56, 56), requires_grad=True)
    return with_gradient(lambda: getattr(engine.nn.functional, name)(x, 2), [x], engine)


def recurrent(engine: Any, layer: str, T: int, N: int, I: int, H: int) -> Run:
    model = getattr(engine.nn, layer)(I, H)
    loaded(model, {n: engine.tensor(normal(*p.shape) * H**-0.5) for n, p in model.state_dict().items()})
    x = engine.tensor(normal(T, N, I), requires_grad=True)
    return with_gradient(lambda: model(x)[0], [x, *model.parameters()], engine)


def recurrent_case(layer: str, T: int, N: int, I: int, H: int) -> Case:
    return Case(partial(recurrent, layer=layer, T=T, N=N, I=I, H=H), 6.0 * T * N * GATES[layer] * H * (I + H))


GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def product(engine: Any, n: int) -> Run:
    a, b = engine.tensor(normal(n, n)), engine.tensor(normal(n, n, seed=1))
    return lambda: [a @ b]


def chain(engine: Any, n: int = 1000) -> Run:
    """n tiny ops, forward and backward."""

    def run() -> list:
        a, c = engine.tensor([1.0], requires_grad=True), engine.tensor([1.0001])
        y = a
        for _ in range(n // 2):
            y = y * c
            y = y + c
        y.backward()
        return [y, a.grad]

    return run


SIZES = {"a": (100, 64, 64, 128), "b": (100, 64, 64, 512), "c": (1000, 16, 64, 64)}
WORKLOADS: dict[str, dict[str, Case]] = {
    "cnn-train": {f"batch {n}": Case(partial(train, batch=n), 3.0 * n * NETWORK_FLOPS) for n in (32, 256)},
    "cnn-infer": {f"batch {n}": Case(partial(infer, batch=n), 1.0 * n * NETWORK_FLOPS) for n in (1, 32, 256)},
    "conv": {
        "first layer": _conv_case((32, 1, 28, 28), (32, 1, 3, 3)),
        "second layer": _conv_case((32, 32, 13, 13), (64, 32, 3, 3)),
        "64 of 64, 56x56": _conv_case((32, 64, 56, 56), (64, 64, 3, 3), padding=1),
        "256 of 128, 28x28": _conv_case((8, 128, 28, 28), (256, 128, 3, 3), padding=1),
        "7x7 stride 2, 224x224": _conv_case((32, 3, 224, 224), (64, 3, 7, 7), padding=3, stride=2),
        "1x1": _conv_case((16, 256, 14, 14), (256, 256, 1, 1)),
        "depthwise": _conv_case((16, 64, 56, 56), (64, 1, 3, 3), padding=1, groups=64),
    },
    "pool": {
        name: Case(partial(pool, name=name), bytes=4.0 * 2.5 * 32 * 64 * 56 * 56)
        for name in ("max_pool2d", "avg_pool2d")
    },
    "recurrent": {
        f"{layer} T{T} N{N} I{I} H{H}": recurrent_case(layer, T, N, I, H)
        for layer in ("RNN", "LSTM", "GRU")
        for T, N, I, H in SIZES.values()
    },
    "matmul": {
        str(n): Case(partial(product, n=n), 2.0 * n**3, 12.0 * n * n) for n in (128, 256, 512, 1024, 2048, 4096)
    },
    "autograd": {"1000 tiny ops": Case(chain)},
    "growth batch": {str(n): Case(partial(train, batch=n)) for n in (1, 4, 16, 64, 128, 256, 512)},
    "growth image": {str(n): _conv_case((8, 16, n, n), (32, 16, 3, 3), padding=1) for n in (28, 56, 84, 112, 168, 224)},
    "growth sequence": {str(n): recurrent_case("LSTM", n, 16, 32, 64) for n in (10, 30, 100, 300, 1000)},
    "growth hidden": {str(n): recurrent_case("LSTM", 50, 32, 32, n) for n in (32, 64, 128, 256, 512)},
}
