"""Exercises of lesson 08: gradients that vanish and explode."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinymed import nn
from tinymed.teach.check import Case, Exercise
from tinymed.tensor import Tensor

Array = np.ndarray

# ---------------------------------------------------------------- clipping


def clip_gradients(g1: Array, g2: Array, max_norm: float) -> tuple[Array, Array]:
    parameters = []
    for g in (g1, g2):
        parameters.append(Tensor(np.zeros_like(g), requires_grad=True))
        parameters[-1].grad = Tensor(g.copy())
    nn.utils.clip_grad_norm_(parameters, max_norm)
    return parameters[0].grad.numpy(), parameters[1].grad.numpy()  # type: ignore[union-attr]


def _gradients(rng: np.random.Generator) -> list[Case]:
    plain = {"g1": np.array([3.0]), "g2": np.array([4.0]), "max_norm": 1.0}
    small = {"g1": np.array([0.3, 0.0]), "g2": np.array([[0.4]]), "max_norm": 1.0}
    sizes = [((3,), (2, 2), 1.0), ((4, 3), (3,), 0.5), ((2, 2), (5,), 2.0), ((3,), (3,), 10.0)]
    drawn = [{"g1": rng.standard_normal(a), "g2": rng.standard_normal(b), "max_norm": c} for a, b, c in sizes]
    return [plain, small, *drawn]


def _scaled(g: Array, limit: float) -> Array:
    return g * min(1.0, limit / np.linalg.norm(g))


def _together(g1: Array, g2: Array) -> float:
    return float(np.sqrt((g1**2).sum() + (g2**2).sum()))


CLIP = Exercise(
    "clip_gradients",
    8,
    "two gradients scaled by min(1, max_norm / ‖g‖), g both of them as one vector",
    clip_gradients,
    _gradients,
    {
        "each gradient is clipped by itself: the norm is that of both as one vector, so that the direction stays": (
            lambda g1, g2, max_norm: (_scaled(g1, max_norm), _scaled(g2, max_norm))
        ),
        "single numbers are clipped: that is clip_grad_value_, and it turns the direction": (
            lambda g1, g2, max_norm: (np.clip(g1, -max_norm, max_norm), np.clip(g2, -max_norm, max_norm))
        ),
        "small gradients are scaled up: where the norm is within the limit nothing happens, min(1, …)": (
            lambda g1, g2, max_norm: (g1 * max_norm / _together(g1, g2), g2 * max_norm / _together(g1, g2))
        ),
        "the two norms are added: lengths add as squares, ‖g‖² = ‖g1‖² + ‖g2‖²": (
            lambda g1, g2, max_norm: tuple(
                g * min(1.0, max_norm / (np.linalg.norm(g1) + np.linalg.norm(g2))) for g in (g1, g2)
            )
        ),
        "the root is missing: the norm is √Σg²": (
            lambda g1, g2, max_norm: tuple(g * min(1.0, max_norm / _together(g1, g2) ** 2) for g in (g1, g2))
        ),
    },
    ("g1", "g2"),
    tolerance=1e-5,  # the engine divides by ‖g‖ + 10⁻⁶
)  # fmt: skip

# ---------------------------------------------------------------- the product of Jacobians of one unit


def scalar_jacobian(x: Array, w: float, h0: float) -> float:
    h, product = h0, 1.0
    for x_t in x:
        h = np.tanh(w * h + x_t)
        product *= w * (1 - h * h)
    return product


def _units(rng: np.random.Generator) -> list[Case]:
    plain: list[Case] = [{"x": np.zeros(1), "w": 2.0, "h0": 0.0}, {"x": np.array([0.0, 1.0]), "w": 1.0, "h0": 0.5}]
    drawn = [(3, 0.9, 0.1), (6, -1.5, 0.4), (4, 1.2, -0.7)]
    return plain + [{"x": rng.standard_normal(T), "w": w, "h0": h0} for T, w, h0 in drawn]


def _product(x: Array, w: float, h0: float, factor: Callable[..., float]) -> float:
    """Π factor(h_{t−1}, a_t, h_t)"""
    h, product = h0, 1.0
    for x_t in x:
        a = w * h + x_t
        product *= factor(h, a, np.tanh(a))
        h = np.tanh(a)
    return product


def _summed(x: Array, w: float, h0: float) -> float:
    h, total = h0, 0.0
    for x_t in x:
        h = np.tanh(w * h + x_t)
        total += w * (1 - h * h)
    return total


SCALAR = Exercise(
    "scalar_jacobian",
    8,
    "∂h_T/∂h_0 of h_t = tanh(w·h_{t−1} + x_t)",
    scalar_jacobian,
    _units,
    {
        "the slope of tanh is missing: each step gives w·(1 − h_t²), not w": lambda x, w, h0: w ** len(x),
        "the weight is missing: each step gives w·(1 − h_t²), not the slope alone": (
            lambda x, w, h0: _product(x, w, h0, lambda before, a, h: 1 - h * h)
        ),
        "the factors are added: the chain rule multiplies them": _summed,
        "the slope is taken at the state before: it is 1 − h_t², with the state that the step gives": (
            lambda x, w, h0: _product(x, w, h0, lambda before, a, h: w * (1 - before * before))
        ),
        "tanh is taken twice in the slope: h_t is tanh(a_t) already, so the slope is 1 − h_t²": (
            lambda x, w, h0: _product(x, w, h0, lambda before, a, h: w * (1 - np.tanh(h) ** 2))
        ),
    },
    ("dh",),
)  # fmt: skip

# ---------------------------------------------------------------- the norm by power iteration


def largest_stretch(W: Array, v: Array, steps: int) -> float:
    for _ in range(steps):
        v = W.T @ (W @ v)
        v = v / np.linalg.norm(v)
    return float(np.linalg.norm(W @ v))


def _matrices(rng: np.random.Generator) -> list[Case]:
    plain = {"W": np.diag([3.0, 1.0]), "v": np.array([1.0, 1.0]), "steps": 20}
    lopsided = {"W": np.array([[0.5, 4.0], [0.0, 0.5]]), "v": np.array([1.0, 0.5]), "steps": 20}
    turning = {"W": np.array([[0.0, -2.0], [1.0, 0.0]]), "v": np.array([1.0, 1.0]), "steps": 25}
    big = {"W": 1e3 * rng.standard_normal((4, 4)), "v": rng.standard_normal(4), "steps": 300}
    wide = {"W": rng.standard_normal((3, 5)), "v": rng.standard_normal(5), "steps": 200}
    return [plain, lopsided, turning, big, wide]


def _unscaled(W: Array, v: Array, steps: int) -> float:
    with np.errstate(all="ignore"):
        for _ in range(steps):
            v = W.T @ (W @ v)
        return float(np.linalg.norm(W @ v))


def _by_rows(W: Array, v: Array, steps: int) -> float:
    for _ in range(steps):
        v = W @ v
        v = v / np.linalg.norm(v)
    return float(np.linalg.norm(W @ v))


STRETCH = Exercise(
    "largest_stretch",
    8,
    "the largest singular value of W, by `steps` steps of power iteration with WᵀW from v",
    largest_stretch,
    _matrices,
    {
        "v is never scaled to length 1: the answer is ‖W·v‖ of a unit vector, and v overflows": _unscaled,
        "only W is applied: that looks for eigenvalues; for the norm apply W, then Wᵀ": _by_rows,
        "the square is returned: WᵀW stretches by σ², W by σ": lambda W, v, steps: largest_stretch(W, v, steps) ** 2,
        "this is the spectral radius: an eigenvalue can be far smaller than what W stretches a vector by": (
            lambda W, v, steps: abs(np.linalg.eigvals(W)).max()
        ),
        "this is the Frobenius norm √ΣW²: it counts all singular values, not the largest": (
            lambda W, v, steps: np.linalg.norm(W)
        ),
    },
    ("norm",),
    tolerance=1e-5,
)  # fmt: skip

# ---------------------------------------------------------------- the bound


def gradient_bound(W: Array, max_slope: float, steps: int) -> float:
    return float((max_slope * np.linalg.norm(W, 2)) ** steps)


def _bounds(rng: np.random.Generator) -> list[Case]:
    plain = {"W": np.diag([2.0, 1.0]), "max_slope": 0.25, "steps": 3}
    lopsided = {"W": np.array([[0.5, 4.0], [0.0, 0.5]]), "max_slope": 1.0, "steps": 2}
    drawn = [(3, 0.25, 4), (5, 1.0, 3), (4, 0.5, 1)]
    return [plain, lopsided] + [
        {"W": rng.standard_normal((n, n)), "max_slope": slope, "steps": steps} for n, slope, steps in drawn
    ]


BOUND = Exercise(
    "gradient_bound",
    8,
    "(max φ′ · ‖W‖₂)^steps, which no product of so many Jacobians exceeds",
    gradient_bound,
    _bounds,
    {
        "this is the spectral radius: W can stretch far more than its eigenvalues say, so it bounds nothing": (
            lambda W, max_slope, steps: (max_slope * abs(np.linalg.eigvals(W)).max()) ** steps
        ),
        "the slope is forgotten: each Jacobian is diag(φ′)·W": (
            lambda W, max_slope, steps: np.linalg.norm(W, 2) ** steps
        ),
        "the slope counts once only: it is in every one of the Jacobians": (
            lambda W, max_slope, steps: max_slope * np.linalg.norm(W, 2) ** steps
        ),
        "the Frobenius norm is a bound too, but a loose one: ‖W‖₂, the largest singular value, is asked for": (
            lambda W, max_slope, steps: (max_slope * np.linalg.norm(W)) ** steps
        ),
        "the steps multiply, they do not add: a factor to the power of steps": (
            lambda W, max_slope, steps: steps * max_slope * np.linalg.norm(W, 2)
        ),
    },
    ("bound",),
)  # fmt: skip

EXERCISES = [CLIP, SCALAR, STRETCH, BOUND]
