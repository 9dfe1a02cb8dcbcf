"""The workloads of `tinymed bench --device cuda`: each over sizes, from the least work to the most.

They are written once, for tinymed on either device and for PyTorch; `engine` is an Engine of engines.py. Forward
and gradients are apart, as what they can reach differs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np

from tinymed.bench.workloads import (
    NETWORK_FLOPS,
    Case,
    Run,
    infer,
    normal,
    product,
    recurrent_case,
    train,
)

MB = 1 << 20


def apart(engine: Any, forward: Callable, inputs: list, gradient: bool) -> Run:
    """The forward pass alone, or all that backward does for it: every input's gradient."""
    if gradient:
        y = forward()
        g = engine.tensor(normal(*y.shape, seed=1))

        def run() -> list:
            for x in inputs:
                x.grad = None
            y.backward(g, retain_graph=True)
            return [x.grad for x in inputs]
    else:

        def run() -> list:
            with engine.no_grad():
                return [forward()]

    return run


def moved(inputs: float, outputs: float, gradient: bool) -> dict[str, Any]:
    """The bytes of a pass over so many numbers: in memory (a gradient's: inputs, g, their gradients), and copied."""
    if gradient:
        return {"bytes": 4.0 * (2 * inputs + outputs), "copied": (4.0 * (inputs + outputs), 4.0 * inputs)}
    return {"bytes": 4.0 * (inputs + outputs), "copied": (4.0 * inputs, 4.0 * outputs)}


# ---------------------------------------------------------------- layers


def conv(engine: Any, x: tuple, w: tuple, padding: int, gradient: bool) -> Run:
    inputs = [engine.tensor(a, requires_grad=True) for a in (normal(*x), normal(*w) / 8)]
    return apart(engine, partial(engine.nn.functional.conv2d, *inputs, padding=padding), inputs, gradient)


def _convs(gradient: bool) -> dict[str, Case]:
    cases = {}
    for name, (x, w, padding) in CONVS.items():
        y = x[0] * w[0] * prod(n + 2 * padding - k + 1 for n, k in zip(x[2:], w[2:]))
        make = partial(conv, x=x, w=w, padding=padding, gradient=gradient)
        flops = (4.0 if gradient else 2.0) * y * prod(w[1:])
        ways = ("float32",) if gradient else ("captured", "float32")
        cases[name] = Case(make, flops, ways=ways, **moved(prod(x) + prod(w), y, gradient))
    return cases


CONVS: dict[str, tuple] = {
    "first layer": ((32, 1, 28, 28), (32, 1, 3, 3), 0),
    "second layer": ((32, 32, 13, 13), (64, 32, 3, 3), 0),
    "1x1": ((16, 256, 14, 14), (256, 256, 1, 1), 0),
    "256 of 128, 28x28": ((8, 128, 28, 28), (256, 128, 3, 3), 1),
    "64 of 64, 56x56": ((32, 64, 56, 56), (64, 64, 3, 3), 1),
    "256 of 256, 14x14": ((64, 256, 14, 14), (256, 256, 3, 3), 1),
}


def pool(engine: Any, name: str, x: tuple, gradient: bool) -> Run:
    images = engine.tensor(normal(*x), requires_grad=True)
    return apart(engine, partial(getattr(engine.nn.functional, name), images, 2), [images], gradient)


def _pools(name: str, gradient: bool) -> dict[str, Case]:
    """4 to 256 MB of images, a quarter as many numbers out; a gradient takes those in, and gives the images'."""
    cases = {}
    for N in (1, 4, 16, 64):
        make = partial(pool, name=name, x=(N, 64, 128, 128), gradient=gradient)
        large, small = 4.0 * N * MB, 1.0 * N * MB
        copied = (small, large) if gradient else (large, small)
        cases[f"{4 * N} MB"] = Case(make, bytes=large + small, copied=copied)
    return cases


def softmax(engine: Any, rows: int) -> Run:
    x = engine.tensor(normal(rows, 1024))
    return apart(engine, partial(engine.nn.functional.softmax, x, dim=1), [x], False)


def cross_entropy(engine: Any, rows: int, gradient: bool) -> Run:
    x = engine.tensor(normal(rows, 1024), requires_grad=True)
    t = engine.tensor(np.arange(rows) * 7 % 1024)
    return apart(engine, partial(engine.nn.functional.cross_entropy, x, t, reduction="none"), [x], gradient)


def _rows(make: Callable, out: int, **how: bool) -> dict[str, Case]:
    """Rows of 1024 scores, 1 to 256 MB of them. At least, all scores are read once, and as many numbers written."""
    return {
        f"{rows // 256} MB": Case(
            partial(make, rows=rows, **how), bytes=8.0 * rows * 1024, copied=(4.0 * rows * 1024, 4.0 * rows * out)
        )
        for rows in (256, 4096, 16384, 65536)
    }


def adam(engine: Any, n: int) -> Run:
    p = engine.tensor(normal(n), requires_grad=True)
    p.grad = engine.tensor(normal(n, seed=1))
    optimizer = engine.optim.Adam([p], lr=1e-3)

    def run() -> list:
        optimizer.step()
        return [p]

    return run


def own_gemm(engine: Any, n: int) -> Run | None:
    """tinymed's own product, in the place of cuBLAS's; cuBLAS's in PyTorch."""
    if engine.device == "cpu":
        return None
    if engine.package == "torch":
        return product(engine, n)
    from tinymed.kernels.cupy_matmul import gemm

    a, b = (engine.tensor(normal(n, n, seed=seed)).array for seed in (0, 1))
    return lambda: [engine.Tensor(gemm(a, b, tf32=engine.tf32))]


# ---------------------------------------------------------------- memory, and the card's own peaks


def copy(engine: Any, n: int, how: str) -> Run | None:
    """n bytes "in" to the GPU, in from "pinned" memory, "out" of it, or "on" it from place to place."""
    if engine.device == "cpu":
        return None
    x = engine.module.tensor(normal(n // 4))
    if how == "in":
        return lambda: [x.to("cuda")]
    if how == "pinned":
        pinned = x.pin_memory()
        return lambda: [pinned.to("cuda")]
    x = x.to("cuda")
    if how == "out":
        return lambda: [x.to("cpu")]
    y = engine.tensor(np.zeros(n // 4, np.float32))
    return lambda: [y.copy_(x)]


def _copies(how: str) -> dict[str, Case]:
    sizes = {"4 KB": 4096, **{f"{n} MB": n * MB for n in (1, 16, 64, 256)}}
    return {name: Case(partial(copy, n=n, how=how), bytes=float(n), whole=True) for name, n in sizes.items()}


def big_product(engine: Any, n: int) -> Run | None:
    return None if engine.device == "cpu" else product(engine, n)


# ---------------------------------------------------------------- all of them


def _network(make: Callable, passes: float, out: Callable[[int], float], pixels: int) -> dict[str, Case]:
    return {
        f"batch {n}": Case(
            partial(make, batch=n), passes * n * NETWORK_FLOPS, ways=("captured",), whole=True,
            copied=(4.0 * n * pixels, 4.0 * out(n)),
        )
        for n in (1, 8, 32, 128, 256, 512, 1024, 2048)
    }  # fmt: skip


def _recurrent(layer: str) -> dict[str, Case]:
    T, N, I = 100, 64, 64
    return {
        f"H{H}": recurrent_case(layer, T, N, I, H)._replace(
            ways=("captured",), whole=True, copied=(4.0 * T * N * (I + H),) * 2
        )
        for H in (32, 128, 512)
    }


WORKLOADS: dict[str, dict[str, Case]] = {
    "peak": {
        "product 8192": Case(partial(big_product, n=8192), 2.0 * 8192**3, ways=("float32",)),
        "copy 256 MB": Case(partial(copy, n=256 * MB, how="on"), bytes=512.0 * MB),
    },
    "copy in": _copies("in"),
    "copy pinned": _copies("pinned"),
    "copy out": _copies("out"),
    "cnn-train": _network(train, 3.0, lambda n: 1, 785),  # the label too; the loss comes back
    "cnn-infer": _network(infer, 1.0, lambda n: n, 784),
    "matmul": {
        str(n): Case(partial(product, n=n), 2.0 * n**3, **moved(2 * n * n, n * n, False))
        for n in (128, 256, 512, 1024, 2048, 4096, 8192)
    },
    "gemm": {
        str(n): Case(partial(own_gemm, n=n), 2.0 * n**3, 12.0 * n * n, ways=("float32",)) for n in (512, 1024, 4096)
    },
    "conv": _convs(gradient=False),
    "conv gradient": _convs(gradient=True),
    **{
        name + " gradient" * gradient: _pools(name, gradient)
        for name in ("max_pool2d", "avg_pool2d")
        for gradient in (False, True)
    },
    "softmax": _rows(softmax, 1024),
    "cross_entropy": _rows(cross_entropy, 1, gradient=False),
    "cross_entropy gradient": _rows(cross_entropy, 1024, gradient=True),
    "adam": {
        f"{n} MB": Case(partial(adam, n=n * MB // 4), bytes=7.0 * n * MB, copied=(2.0 * n * MB, 1.0 * n * MB))
        for n in (1, 16, 64, 256)
    },
    **{f"recurrent {layer}": _recurrent(layer) for layer in ("RNN", "LSTM", "GRU")},
}
