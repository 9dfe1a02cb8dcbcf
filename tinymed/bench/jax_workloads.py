"""The same workloads in JAX, which has no layers of its own: pure functions, compiled whole by jax.jit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tinymed.bench import workloads
from tinymed.bench.workloads import Run, normal

LAYOUT = ("NCHW", "OIHW", "NCHW")


def make(case: workloads.Case) -> Run | None:
    """What to time of a case; None where it is not written here."""
    written: Any = case.make  # a partial of the workload's function
    twin = TWINS.get(written.func) if isinstance(written, partial) else None
    return twin(**written.keywords) if twin else None


def _run(function: Callable, *args: Any) -> Run:
    compiled = jax.jit(function)
    return lambda: [jax.block_until_ready(compiled(*args))]


def _conv(x: Any, w: Any, b: Any, stride: int = 1, padding: int = 0, groups: int = 1) -> Any:
    y = lax.conv_general_dilated(
        x, w, (stride, stride), [(padding, padding)] * 2, dimension_numbers=LAYOUT, feature_group_count=groups
    )
    return y + b[:, None, None]


def _pool(x: Any, by: Callable, start: float) -> Any:
    return lax.reduce_window(x, start, by, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")


# ---------------------------------------------------------------- the article's network


def _weights() -> list:
    """As workloads.network makes them."""
    shapes = (32, 1, 3, 3), (32,), (64, 32, 3, 3), (64,), (128, 1600), (128,), (1, 128), (1,)
    return [jnp.asarray(normal(*shape) * shape[-1] ** -0.5) for shape in shapes]


def _network(weights: list, x: Any) -> Any:
    w1, b1, w2, b2, w3, b3, w4, b4 = weights
    for w, b in ((w1, b1), (w2, b2)):
        x = _pool(jax.nn.relu(_conv(x, w, b)), lax.max, -jnp.inf)
    x = jax.nn.relu(x.reshape(len(x), -1) @ w3.T + b3)
    return x @ w4.T + b4


def train(batch: int) -> Run:
    def loss_of(weights: list, x: Any, y: Any) -> Any:
        z = _network(weights, x)
        return jnp.mean((1 - y) * z + jnp.logaddexp(0, -z))

    @jax.jit
    def step(state: tuple, x: Any, y: Any) -> tuple:
        weights, ms, vs, t = state
        loss, grads = jax.value_and_grad(loss_of)(weights, x, y)
        ms = [0.9 * m + 0.1 * g for m, g in zip(ms, grads)]
        vs = [0.999 * v + 0.001 * g * g for v, g in zip(vs, grads)]
        rate = 1e-3 / (1 - 0.9**t)
        steps = [rate * m / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8) for m, v in zip(ms, vs)]
        return [loss, *grads], ([w - s for w, s in zip(weights, steps)], ms, vs, t + 1)

    x, y = jnp.asarray(normal(batch, 1, 28, 28)), jnp.asarray((normal(batch, 1, seed=2) > 0).astype(np.float32))
    weights = _weights()
    zeros = [jnp.zeros_like(w) for w in weights]
    state = (weights, zeros, zeros, 1.0)

    def run() -> list:
        nonlocal state
        found, state = step(state, x, y)
        return jax.block_until_ready(found)

    return run


def infer(batch: int) -> Run:
    return _run(_network, _weights(), jnp.asarray(normal(batch, 1, 28, 28)))


# ---------------------------------------------------------------- single layers


def _with_gradient(forward: Callable, *inputs: Any) -> Run:
    """The output, and every input's gradient."""
    inputs = tuple(map(jnp.asarray, inputs))
    g = jnp.asarray(normal(*jax.eval_shape(forward, *inputs).shape, seed=1))

    @jax.jit
    def both(g: Any, *inputs: Any) -> list:
        y, back = jax.vjp(forward, *inputs)
        return [y, *back(g)]

    return lambda: jax.block_until_ready(both(g, *inputs))


def conv(x: tuple, w: tuple, how: dict, backward: bool) -> Run:
    inputs = normal(*x), normal(*w) / 8, normal(w[0])
    forward = lambda x, w, b: _conv(x, w, b, **how)  # noqa: E731
    return _with_gradient(forward, *inputs) if backward else _run(forward, *map(jnp.asarray, inputs))


def pool(name: str) -> Run:
    def forward(x: Any) -> Any:
        return _pool(x, lax.max, -jnp.inf) if name == "max_pool2d" else _pool(x, lax.add, 0.0) / 4

    return _with_gradient(forward, normal(32, 64, 56, 56))


def _step(layer: str, a: Any, from_h: Any, b: Any, state: tuple) -> tuple:
    """One step's new states from W_ih·x + b_ih, W_hh·h and b_hh."""
    h, c = state
    if layer == "RNN":
        return jnp.tanh(a + from_h + b), c
    if layer == "LSTM":
        i, f, g, o = jnp.split(a + from_h + b, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c
    (ar, az, an), (hr, hz, hn) = jnp.split(a, 3, axis=-1), jnp.split(from_h + b, 3, axis=-1)
    z = jax.nn.sigmoid(az + hz)
    return (1 - z) * jnp.tanh(an + jax.nn.sigmoid(ar + hr) * hn) + z * h, c


def recurrent(layer: str, T: int, N: int, I: int, H: int) -> Run:
    def forward(x: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
        def step(state: tuple, a: Any) -> tuple:
            state = _step(layer, a, state[0] @ w_hh.T, b_hh, state)
            return state, state[0]

        zero = jnp.zeros((N, H))
        return lax.scan(step, (zero, zero), x @ w_ih.T + b_ih)[1]

    k = workloads.GATES[layer] * H
    return _with_gradient(forward, normal(T, N, I), *(normal(*s) * H**-0.5 for s in ((k, I), (k, H), (k,), (k,))))


def product(n: int) -> Run:
    return _run(jnp.matmul, jnp.asarray(normal(n, n)), jnp.asarray(normal(n, n, seed=1)))


TWINS: dict[Callable, Callable[..., Run]] = {
    workloads.train: train,
    workloads.infer: infer,
    workloads.conv: conv,
    workloads.pool: pool,
    workloads.recurrent: recurrent,
    workloads.product: product,
}
