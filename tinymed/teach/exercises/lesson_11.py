"""Exercises of lesson 11: optimisers and schedules."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinymed.kernels import reference_optim
from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- SGD with momentum


def sgd_momentum_step(p: Array, g: Array, b: Array, lr: float, momentum: float) -> tuple[Array, Array]:
    p, b = p.copy(), b.copy()
    reference_optim.sgd_step([p], [g], [b], [False], lr, momentum, 0.0, 0.0, False)
    return p, b


def _steps(rng: np.random.Generator) -> list[Case]:
    plain = {"p": np.array([1.0]), "g": np.array([2.0]), "b": np.array([0.0]), "lr": 0.5, "momentum": 0.5}
    second = {"p": np.array([0.0]), "g": np.array([2.0]), "b": np.array([2.0]), "lr": 0.5, "momentum": 0.5}
    drawn = [dict(zip("pgb", rng.standard_normal((3, *shape)))) for shape in ((4,), (2, 3))]
    return [plain, second, *({**case, "lr": 0.1, "momentum": 0.9} for case in drawn)]


def _averaged(p: Array, g: Array, b: Array, lr: float, momentum: float) -> tuple[Array, Array]:
    b = momentum * b + (1 - momentum) * g
    return p - lr * b, b


def _rate_inside(p: Array, g: Array, b: Array, lr: float, momentum: float) -> tuple[Array, Array]:
    b = momentum * b + lr * g
    return p - b, b


SGD_MOMENTUM_STEP = Exercise(
    "sgd_momentum_step",
    11,
    "one step of SGD with momentum: the new parameter and the new memory",
    sgd_momentum_step,
    _steps,
    {
        "the memory is averaged, (1 − μ)·g: here the gradient is added in full, b ← μ·b + g": _averaged,
        "the parameter moves along the old memory: b is updated first": (
            lambda p, g, b, lr, momentum: (p - lr * b, momentum * b + g)
        ),
        "the parameter moves uphill: minus the gradient": (
            lambda p, g, b, lr, momentum: (p + lr * (momentum * b + g), momentum * b + g)
        ),
        "the memory is kept, but the step is along g alone": (
            lambda p, g, b, lr, momentum: (p - lr * g, momentum * b + g)
        ),
        "the rate is inside the memory: the same path while lr is constant, but b is then no gradient": _rate_inside,
        "this is Nesterov's step, along g + μ·b": (
            lambda p, g, b, lr, momentum: (p - lr * (g + momentum * (momentum * b + g)), momentum * b + g)
        ),
    },
    ("p", "b"),
)

# ---------------------------------------------------------------- Adam

Three = tuple[Array, Array, Array]


def adam_step(
    p: Array, g: Array, m: Array, v: Array, t: int, lr: float, beta1: float, beta2: float, eps: float
) -> Three:
    p, m, v = p.copy(), m.copy(), v.copy()
    reference_optim.adam_step([p], [g], [m], [v], [t], lr, beta1, beta2, eps, 0.0, False)
    return p, m, v


def _adam_steps(rng: np.random.Generator) -> list[Case]:
    usual = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    zero = np.zeros(3)
    plain = {"p": np.zeros(3), "g": np.array([0.5, 1.0, -4.0]), "m": zero, "v": zero, "t": 1, **usual}
    small = {"p": np.zeros(3), "g": np.array([1e-4, -1e-3, 0.0]), "m": zero, "v": zero, "t": 1, **usual, "eps": 1e-3}
    drawn = [
        {**dict(zip("pgm", rng.standard_normal((3, *shape)))), "v": rng.random(shape), "t": t, **usual}
        for shape, t in (((4,), 2), ((2, 3), 10))
    ]
    return [plain, *drawn, small, {**drawn[0], "beta1": 0.7, "beta2": 0.95, "t": 5}]


def _adam(
    correct: Callable[[float, int], float] = lambda beta, t: 1 - beta**t,
    add_eps: Callable[[Array, float, float], Array] = lambda v_hat, eps, _: np.sqrt(v_hat) + eps,
    square: bool = True,
    keep: bool = True,
    betas_apart: bool = True,
) -> Callable[..., Three]:
    """Adam's step with a mistake."""

    def step(
        p: Array, g: Array, m: Array, v: Array, t: int, lr: float, beta1: float, beta2: float, eps: float
    ) -> Three:
        beta2 = beta2 if betas_apart else beta1
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * (g * g if square else np.abs(g))
        m_hat, v_hat = m / correct(beta1, t), v / correct(beta2, t)
        with np.errstate(invalid="ignore"):  # 0/0, where ε is left out
            new = p - lr * m_hat / add_eps(v_hat, eps, correct(beta2, t))
        return (new, m, v) if keep else (new, m_hat, v_hat)

    return step


ADAM_STEP = Exercise(
    "adam_step",
    11,
    "step t of Adam, with bias correction: the new p, m and v",
    adam_step,
    _adam_steps,
    {
        "the bias correction is missing: m and v start at 0, divide them by 1 − β^t": _adam(lambda beta, t: 1.0),
        "the correction is that of the first step, 1 − β, at every step: it is 1 − β^t": _adam(
            lambda beta, t: 1 - beta
        ),
        "the corrected m and v are kept, and corrected again in the next step: keep m and v": _adam(keep=False),
        "ε stands under the root: it is added to the root": _adam(
            add_eps=lambda v_hat, eps, _: np.sqrt(v_hat + eps)
        ),
        "ε is added to √v before the correction, as Keras does: here to √v̂": _adam(
            add_eps=lambda v_hat, eps, corrected: np.sqrt(v_hat) + eps / np.sqrt(corrected)
        ),
        "ε is left out: a gradient of 0 gives 0/0": _adam(add_eps=lambda v_hat, *_: np.sqrt(v_hat)),
        "v gathers |g|, not g²": _adam(square=False),
        "divided by v instead of its root: the step would have the units of 1/g": _adam(
            add_eps=lambda v_hat, eps, _: v_hat + eps
        ),
        "β1 is used for v too": _adam(betas_apart=False),
        "the correction counts from 0: at the first step t is 1": _adam(
            lambda beta, t: 1 - beta ** (t - 1) if t > 1 else 1.0
        ),
    },
    ("p", "m", "v"),
    tolerance=1e-9,
)  # fmt: skip

# ---------------------------------------------------------------- a schedule


def warmup_cosine(t: int, lr: float, warmup: int, total: int) -> float:
    if t < warmup:
        return lr * (t + 1) / warmup
    return _half_cosine(lr, (t - warmup) / (total - warmup))


def _half_cosine(lr: float, share: float) -> float:
    return lr * (1 + math.cos(math.pi * share)) / 2


def _times(rng: np.random.Generator) -> list[Case]:
    usual = {"lr": 1.0, "warmup": 4, "total": 20}
    times = [{"t": t, **usual} for t in (0, 1, 3, 4, 12, 20)]
    return [*times, {"t": 0, "lr": 0.1, "warmup": 0, "total": 10}, {"t": 37, "lr": 3e-4, "warmup": 10, "total": 100}]


WARMUP_COSINE = Exercise(
    "warmup_cosine",
    11,
    "the learning rate at step t: a straight line up over `warmup` steps, then half a cosine down to 0 at `total`",
    warmup_cosine,
    _times,
    {
        "the first step has rate 0, and is wasted: it is lr/warmup at t = 0": (
            lambda t, lr, warmup, total: lr * t / warmup if t < warmup else warmup_cosine(t, lr, warmup, total)
        ),
        "the cosine counts from the start, so the rate jumps down after the warm-up: count from t = warmup": (
            lambda t, lr, warmup, total: lr * (t + 1) / warmup if t < warmup else _half_cosine(lr, t / total)
        ),
        "the cosine is stretched over all steps, and is not at 0 in the end: it has total − warmup of them": (
            lambda t, lr, warmup, total: lr * (t + 1) / warmup if t < warmup else _half_cosine(lr, (t - warmup) / total)
        ),
        "a quarter of a cosine, cos(π/2 · s): half a one is (1 + cos πs)/2": (
            lambda t, lr, warmup, total: (
                lr * (t + 1) / warmup if t < warmup else lr * math.cos(math.pi / 2 * (t - warmup) / (total - warmup))
            )
        ),
        "no warm-up": lambda t, lr, warmup, total: _half_cosine(lr, t / total),
        "a straight line down: half a cosine is wanted": (
            lambda t, lr, warmup, total: (
                lr * (t + 1) / warmup if t < warmup else lr * (total - t) / (total - warmup)
            )
        ),
    },
    ("rate",),
    tolerance=1e-9,
)  # fmt: skip

# ---------------------------------------------------------------- the limit


def learning_rate_limit(A: Array) -> float:
    return float(2 / np.linalg.eigvalsh(A).max())


def _bowls(rng: np.random.Generator) -> list[Case]:
    drawn = [rng.standard_normal((n, n + 1)) for n in (2, 4, 7)]
    return [
        {"A": np.array([[4.0]])},
        {"A": np.diag([1.0, 25.0])},
        {"A": np.array([[13.0, -12.0], [-12.0, 13.0]])},  # the same valley, turned by 45°
        *({"A": a @ a.T} for a in drawn),
    ]


LEARNING_RATE_LIMIT = Exercise(
    "learning_rate_limit",
    11,
    "the learning rate from which on SGD diverges on L = ½ pᵀAp",
    learning_rate_limit,
    _bowls,
    {
        "1/λ of the largest eigenvalue lands in the minimum; it may be overshot, up to 2/λ": (
            lambda A: 1 / np.linalg.eigvalsh(A).max()
        ),
        "the flattest direction decides how long it takes; the steepest, whether it diverges": (
            lambda A: 2 / np.linalg.eigvalsh(A).min()
        ),
        "the diagonal is steepness along the axes; the steepest direction may lie between them": (
            lambda A: 2 / np.diag(A).max()
        ),
        "the trace adds up all directions: safe, but only the steepest counts": lambda A: 2 / np.trace(A),
        "this is the best rate, 2/(λ_min + λ_max), not the largest": (
            lambda A: 2 / (np.linalg.eigvalsh(A).min() + np.linalg.eigvalsh(A).max())
        ),
        "the length of all of A is no eigenvalue: it is too large, and the limit too small": (
            lambda A: 2 / np.linalg.norm(A)
        ),
    },
    ("limit",),
)

EXERCISES = [SGD_MOMENTUM_STEP, ADAM_STEP, WARMUP_COSINE, LEARNING_RATE_LIMIT]
