"""Exercises of lesson 15: what next."""

from __future__ import annotations

import numpy as np

from tinymed.autograd import Function
from tinymed.teach.check import Case, Exercise
from tinymed.tensor import Tensor

Array = np.ndarray

# ---------------------------------------------------------------- attention


def softmax(z: Array, axis: int = -1) -> Array:
    with np.errstate(invalid="ignore"):  # NaN where all is −∞
        e = np.exp(z - z.max(axis, keepdims=True))
        return e / e.sum(axis, keepdims=True)


def _scores(q: Array, k: Array, causal: bool, scale: float | None = None, ahead: float = -np.inf, by: int = 0) -> Array:
    z = q @ k.T * (q.shape[1] ** -0.5 if scale is None else scale)
    return np.where(np.tri(z.shape[0], z.shape[1], by), z, ahead) if causal else z


def attention(q: Array, k: Array, v: Array, causal: bool) -> Array:
    return softmax(_scores(q, k, causal)) @ v


def _masked_after(q: Array, k: Array, v: Array, causal: bool) -> Array:
    a = softmax(_scores(q, k, False))
    return (a * np.tri(*a.shape) if causal else a) @ v


def _queries(rng: np.random.Generator) -> list[Case]:
    plain = {
        "q": np.array([[2.0, 0, 0, 0]]),
        "k": np.array([[0.0, 0, 0, 0], [np.log(3), 0, 0, 0]]),
        "v": np.array([[4.0, 0], [0, 4]]),
        "causal": False,
    }
    sizes = [(3, 5, 4, 2, False), (4, 4, 2, 3, True), (3, 5, 3, 4, True), (5, 3, 4, 4, True), (2, 2, 9, 2, False)]
    drawn = [
        {
            "q": rng.standard_normal((L, E)),
            "k": rng.standard_normal((S, E)),
            "v": rng.standard_normal((S, V)),
            "causal": causal,
        }
        for L, S, E, V, causal in sizes
    ]
    return [plain, *drawn]


ATTENTION = Exercise(
    "attention",
    15,
    "softmax(q·kᵀ/√E)·v, causal or not",
    attention,
    _queries,
    {
        "the scores are not divided by √E": lambda q, k, v, causal: softmax(_scores(q, k, causal, 1)) @ v,
        "the scores are divided by E; by its root, for the variance of a sum grows as E": (
            lambda q, k, v, causal: softmax(_scores(q, k, causal, 1 / q.shape[1])) @ v
        ),
        "softmax runs along the keys: each query's weights sum to 1": (
            lambda q, k, v, causal: softmax(_scores(q, k, causal), 0) @ v
        ),
        "softmax is left out: scores are no weights yet": (
            lambda q, k, v, causal: _scores(q, k, causal, ahead=0) @ v
        ),
        "the mask is forgotten: a causal query sees no key ahead": (
            lambda q, k, v, causal: softmax(_scores(q, k, False)) @ v
        ),
        "a key with score 0 still gets weight e⁰: hide it with −inf": (
            lambda q, k, v, causal: softmax(_scores(q, k, causal, ahead=0)) @ v
        ),
        "masked after softmax, the weights no longer sum to 1: mask before": _masked_after,
        "query l sees key l too": lambda q, k, v, causal: np.nan_to_num(softmax(_scores(q, k, causal, by=-1))) @ v,
    },
)  # fmt: skip

# ---------------------------------------------------------------- a Function


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def _swish(by_x, by_beta):
    """y = x·σ(βx) with these derivatives, of x, β and σ."""

    class Swish(Function):
        def forward(ctx, x, beta):
            ctx.kept = x, beta, sigmoid(beta * x)
            return x * ctx.kept[2]

        def backward(ctx, g):
            return g * by_x(*ctx.kept), g * by_beta(*ctx.kept)

    return lambda x, beta: Swish.apply(x, beta)


def _by_x(x, beta, s):
    return s + beta * x * s * (1 - s)


def _by_beta(x, beta, s):
    return x * x * s * (1 - s)


def swish(x: Tensor, beta: Tensor) -> Tensor:
    return _swish(_by_x, _by_beta)(x, beta)


def _slopes(rng: np.random.Generator) -> list[Case]:
    plain = {"x": np.array([-1.0, 0.0, 2.0]), "beta": np.array(1.0)}
    return [plain] + [
        {"x": rng.standard_normal(shape), "beta": np.array(beta)} for shape, beta in (((5,), 0.5), ((2, 3, 4), -1.7))
    ]


SWISH = Exercise(
    "swish",
    15,
    "y = x·σ(βx) with its gradients of x and of β",
    swish,
    _slopes,
    {
        "a product has two terms: σ + x·∂σ/∂x, the first is left out": (
            _swish(lambda x, beta, s: beta * x * s * (1 - s), _by_beta)
        ),
        "a product has two terms: x in σ(βx) changes too": _swish(lambda x, beta, s: s, _by_beta),
        "the chain rule brings a factor β out of σ(βx)": _swish(lambda x, beta, s: s + x * s * (1 - s), _by_beta),
        "σ' is σ(1 − σ), not σ": _swish(lambda x, beta, s: s + beta * x * s, lambda x, beta, s: x * x * s),
        "in ∂y/∂β one x stands before σ and the chain rule brings another": (
            _swish(_by_x, lambda x, beta, s: x * s * (1 - s))
        ),
        "β has a gradient too": _swish(_by_x, lambda x, beta, s: 0 * x),
    },
    gradient=True,
)

# ---------------------------------------------------------------- batch normalisation


def _batch_norm(
    x, gamma, beta, running_mean, running_var, eps,
    axes=(0, 2, 3), for_y=0, for_running=1, keep=0.9, inside=True, affine=True,
):  # fmt: skip
    column = (1, -1, 1, 1)
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True, ddof=for_y)
    y = (x - mean) / (np.sqrt(var + eps) if inside else np.sqrt(var) + eps)
    if affine:
        y = y * gamma.reshape(column) + beta.reshape(column)
    now = x.mean((0, 2, 3)), x.var((0, 2, 3), ddof=for_running)
    return y, keep * running_mean + (1 - keep) * now[0], keep * running_var + (1 - keep) * now[1]


def batch_norm(
    x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float
) -> tuple[Array, Array, Array]:
    return _batch_norm(x, gamma, beta, running_mean, running_var, eps)


def _channels(rng: np.random.Generator) -> list[Case]:
    plain = {
        "x": np.array([1.0, 2, 3, 6]).reshape(4, 1, 1, 1),
        "gamma": np.ones(1),
        "beta": np.zeros(1),
        "running_mean": np.zeros(1),
        "running_var": np.ones(1),
        "eps": 0.5,
    }
    drawn = []
    for shape, eps in (((2, 3, 2, 2), 1e-5), ((3, 2, 1, 4), 0.1), ((5, 4, 3, 2), 1e-3)):
        C = shape[1]
        drawn.append(
            {
                "x": rng.standard_normal(shape) * 2 + 1,
                "gamma": rng.uniform(0.5, 2, C),
                "beta": rng.standard_normal(C),
                "running_mean": rng.standard_normal(C),
                "running_var": rng.uniform(0.5, 2, C),
                "eps": eps,
            }
        )
    return [plain, *drawn]


BATCH_NORM = Exercise(
    "batch_norm_training",
    15,
    "batch normalisation in training, and the running mean and variance after it, momentum 0.1",
    batch_norm,
    _channels,
    {
        "y uses the variance over n, not over n − 1": lambda **c: _batch_norm(**c, for_y=1),
        "the running variance uses the one over n − 1": lambda **c: _batch_norm(**c, for_running=0),
        "momentum 0.1 is the share of the new figures; the old ones keep 0.9": lambda **c: _batch_norm(**c, keep=0.1),
        "eps stands inside the root": lambda **c: _batch_norm(**c, inside=False),
        "a channel's mean runs over the batch and all places, axes 0, 2 and 3": lambda **c: _batch_norm(**c, axes=(0,)),
        "this is layer normalisation, for each picture by itself: the mean runs over the batch too": (
            lambda **c: _batch_norm(**c, axes=(1, 2, 3))
        ),
        "gamma and beta are left out": lambda **c: _batch_norm(**c, affine=False),
        "in training the batch's own figures are used; the running ones are for evaluation": (
            lambda **c: (
                (c["x"] - c["running_mean"].reshape(1, -1, 1, 1))
                / np.sqrt(c["running_var"].reshape(1, -1, 1, 1) + c["eps"])
                * c["gamma"].reshape(1, -1, 1, 1) + c["beta"].reshape(1, -1, 1, 1),
                *_batch_norm(**c)[1:],
            )
        ),
    },
    ("y", "running_mean", "running_var"),
)  # fmt: skip

# ---------------------------------------------------------------- dropout


def dropout(x: Array, drawn: Array, p: float, training: bool) -> Array:
    return x * (drawn >= p) / (1 - p) if training else x


def _thinned(rng: np.random.Generator) -> list[Case]:
    plain = {"x": np.ones(4), "drawn": np.array([0.1, 0.9, 0.3, 0.6]), "p": 0.25, "training": True}
    cases = [((6,), 0.5, True), ((3, 5), 0.8, True), ((3, 5), 0.3, False), ((2, 2, 3), 0.0, True)]
    return [plain] + [
        {"x": rng.standard_normal(size), "drawn": rng.random(size), "p": p, "training": on} for size, p, on in cases
    ]


DROPOUT = Exercise(
    "dropout_scaled",
    15,
    "dropout with the draws given: what stays is scaled so that the mean stays",
    dropout,
    _thinned,
    {
        "what stays must be divided by 1 − p, or the mean falls": (
            lambda x, drawn, p, training: x * (drawn >= p) if training else x
        ),
        "scaled by 1/p; it is 1 − p of the numbers that stay": (
            lambda x, drawn, p, training: x * (drawn >= p) / p if training and p else x
        ),
        "scaled the wrong way: divide by 1 − p": (
            lambda x, drawn, p, training: x * (drawn >= p) * (1 - p) if training else x
        ),
        "p is the share that falls out, not the share that stays": (
            lambda x, drawn, p, training: x * (drawn < p) / max(p, 1e-9) if training else x
        ),
        "in evaluation nothing falls out": lambda x, drawn, p, training: dropout(x, drawn, p, True),
        "evaluation needs no scaling, as training has done it already": (
            lambda x, drawn, p, training: x * (drawn >= p) if training else x * (1 - p)
        ),
    },
)

# ---------------------------------------------------------------- what a positive test means


def specificity(sensitivity: float, prevalence: float, wanted: float) -> float:
    return 1 - _false_alarms(sensitivity, prevalence, wanted) / (1 - prevalence)


def _false_alarms(sensitivity: float, prevalence: float, wanted: float) -> float:
    """How many there may be, as a share of all."""
    return sensitivity * prevalence * (1 - wanted) / wanted


def _tests(rng: np.random.Generator) -> list[Case]:
    rows = [(0.9, 0.5, 0.75), (0.9, 0.005, 0.5), (0.65, 0.27, 0.8), (0.99, 0.1, 0.3)]
    return [dict(zip(("sensitivity", "prevalence", "wanted"), row)) for row in rows]


SPECIFICITY = Exercise(
    "specificity_needed",
    15,
    "the specificity for which a wanted share of positive tests is right",
    specificity,
    _tests,
    {
        "this is the share of the healthy that give false alarms; specificity is the share that do not": (
            lambda sensitivity, prevalence, wanted: 1 - specificity(sensitivity, prevalence, wanted)
        ),
        "false alarms come from the healthy, who are 1 − prevalence of all: divide by that": (
            lambda sensitivity, prevalence, wanted: 1 - _false_alarms(sensitivity, prevalence, wanted)
        ),
        "prevalence is left out: the ill are found among the few, false alarms among the many": (
            lambda sensitivity, prevalence, wanted: 1 - sensitivity * (1 - wanted) / wanted
        ),
        "for each right alarm there may be (1 − wanted)/wanted false ones, not 1 − wanted": (
            lambda sensitivity, prevalence, wanted: 1 - sensitivity * prevalence * (1 - wanted) / (1 - prevalence)
        ),
        "only the share `sensitivity` of the ill is found": (
            lambda sensitivity, prevalence, wanted: specificity(1, prevalence, wanted)
        ),
    },
    ("specificity",),
)

EXERCISES = [ATTENTION, SWISH, BATCH_NORM, DROPOUT, SPECIFICITY]
