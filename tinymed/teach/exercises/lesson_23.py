"""Exercises of lesson 23: other patients, what a network looks at, and one axis more."""

from __future__ import annotations

import numpy as np

from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- another prevalence


def prior_shift(p: Array, old: float, new: float) -> Array:
    ill, well = p * new / old, (1 - p) * (1 - new) / (1 - old)
    return ill / (ill + well)


def _prevalences(rng: np.random.Generator) -> list[Case]:
    plain = {"p": np.array([0.5, 0.75]), "old": 0.5, "new": 0.25}
    drawn = [{"p": rng.random(n), "old": old, "new": new} for n, old, new in ((6, 0.74, 0.625), (9, 0.3, 0.02))]
    return [plain, *drawn, {"p": np.array([0.0, 0.4, 1.0]), "old": 0.2, "new": 0.6}]


PRIOR_SHIFT = Exercise(
    "prior_shift",
    23,
    "the probabilities p of a network that learnt at prevalence `old`, corrected for the prevalence `new`",
    prior_shift,
    _prevalences,
    {
        "they no longer sum to 1 with those of the other class: divide by what both weigh together": (
            lambda p, old, new: p * new / old
        ),
        "the two prevalences are exchanged: what grew rarer must become less likely": (
            lambda p, old, new: prior_shift(p, new, old)
        ),
        "a difference of prevalences was added: Bayes' rule multiplies": lambda p, old, new: p + new - old,
        "only the ill are weighted: the share of the others changed too, from 1 − old to 1 − new": (
            lambda p, old, new: p * new / old / (p * new / old + 1 - p)
        ),
        "the old prevalence is in p already: divide by it, or it counts twice": (
            lambda p, old, new: p * new / (p * new + (1 - p) * (1 - new))
        ),
        "the odds are right; a probability is odds / (1 + odds)": (
            lambda p, old, new: p / np.maximum(1 - p, 1e-12) * (new / (1 - new)) / (old / (1 - old))
        ),
    },
    ("corrected",),
)


def elsewhere(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    found, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return found + specificity * (1 - prevalence), found / (found + alarms)


def _places(rng: np.random.Generator) -> list[Case]:
    names = ("sensitivity", "specificity", "prevalence")
    plain = [(0.9, 0.8, 0.5), (0.9, 0.8, 0.1), (0.98, 0.7, 0.625)]
    return [dict(zip(names, values)) for values in [*plain, *rng.uniform(0.05, 0.95, (3, 3)).tolist()]]


ELSEWHERE = Exercise(
    "accuracy_elsewhere",
    23,
    "accuracy and precision of a test where the share `prevalence` is ill, from its sensitivity and specificity",
    elsewhere,
    _places,
    {
        "accuracy is the plain mean of the two rates: that is so at a prevalence of one half only": (
            lambda sensitivity, specificity, prevalence: (
                (sensitivity + specificity) / 2, elsewhere(sensitivity, specificity, prevalence)[1]
            )
        ),
        "the weights are exchanged: sensitivity is of the ill, who are a share `prevalence`": (
            lambda sensitivity, specificity, prevalence: elsewhere(sensitivity, specificity, 1 - prevalence)
        ),
        "the precision forgets how many are ill: sens / (sens + 1 − spec) holds at one half only": (
            lambda sensitivity, specificity, prevalence: (
                elsewhere(sensitivity, specificity, prevalence)[0], sensitivity / (sensitivity + 1 - specificity)
            )
        ),
        "that precision is the sensitivity: it is a share of the positive answers, not of the ill": (
            lambda sensitivity, specificity, prevalence: (
                elsewhere(sensitivity, specificity, prevalence)[0], sensitivity
            )
        ),
        "false alarms are a share 1 − spec of the well, not spec": (
            lambda sensitivity, specificity, prevalence: (
                elsewhere(sensitivity, specificity, prevalence)[0],
                elsewhere(sensitivity, 1 - specificity, prevalence)[1],
            )
        ),
    },
    ("accuracy", "precision"),
)  # fmt: skip

# ---------------------------------------------------------------- what is looked at


def occlusion_map(x: Array, w: Array, size: int, grey: float) -> Array:
    return _covered(x, w, size, grey)


def _covered(x: Array, w: Array, size: int, grey: float, short: int = 0, fresh: bool = True) -> Array:
    """s(x) − s(x covered at i,j), s the sum of w·x; `short` places too few, or squares that stay (not `fresh`)."""
    y = np.zeros((x.shape[0] - size + 1 - short, x.shape[1] - size + 1 - short))
    hidden = x.astype(float)
    for i, j in np.ndindex(*y.shape):
        hidden = x.astype(float) if fresh else hidden
        hidden[i : i + size, j : j + size] = grey
        y[i, j] = (w * x).sum() - (w * hidden).sum()
    return y


def _looked_at(rng: np.random.Generator) -> list[Case]:
    plain = {"x": np.array([[1.0, 2], [3, 4], [5, 6]]), "w": np.array([[0.0, 1], [0, 1], [2, 0]]), "size": 1}
    drawn = [
        {"x": rng.random(shape), "w": rng.standard_normal(shape), "size": size, "grey": 0.5}
        for shape, size in (((4, 5), 2), ((5, 4), 3), ((3, 6), 3))
    ]
    return [{**plain, "grey": 1.0}, {**plain, "size": 2, "grey": 0.5}, *drawn]


OCCLUSION_MAP = Exercise(
    "occlusion_map",
    23,
    "by how much Σ w·x falls when a square of `grey` covers x from row i, column j on, for every i and j where it fits",
    occlusion_map,
    _looked_at,
    {
        "turned round: the map is what the picture scores, less what the covered one scores": (
            lambda x, w, size, grey: -_covered(x, w, size, grey)
        ),
        "that is the score of the covered picture: take it from the score of the whole one": (
            lambda x, w, size, grey: (w * x).sum() - _covered(x, w, size, grey)
        ),
        "the square is black, whatever grey was asked for: black is something to a network, too": (
            lambda x, w, size, grey: _covered(x, w, size, 0.0)
        ),
        "the squares stay where they were: cover a fresh copy each time": (
            lambda x, w, size, grey: _covered(x, w, size, grey, fresh=False)
        ),
        "off by one: there are n − size + 1 places": lambda x, w, size, grey: _covered(x, w, size, grey, short=1),
        "the sign is lost: a fall and a rise of the score are opposite news": (
            lambda x, w, size, grey: np.abs(_covered(x, w, size, grey))
        ),
        "rows and columns of the map are exchanged": lambda x, w, size, grey: _covered(x, w, size, grey).T,
    },
    ("map",),
)

# ---------------------------------------------------------------- one axis more


def conv3d_single(x: Array, w: Array) -> Array:
    y = np.zeros([n - k + 1 for n, k in zip(x.shape, w.shape)])
    for d, i, j in np.ndindex(*y.shape):
        window = x[d : d + w.shape[0], i : i + w.shape[1], j : j + w.shape[2]]
        y[d, i, j] = (w * window).sum()
    return y


def _volumes(rng: np.random.Generator) -> list[Case]:
    plain = {"x": np.arange(1.0, 9).reshape(2, 2, 2), "w": np.array([[[1.0, 0]], [[0, 2]]])}
    sizes = [((3, 4, 5), (2, 2, 2)), ((5, 4, 4), (3, 3, 3)), ((4, 6, 5), (2, 3, 3)), ((3, 3, 3), (3, 3, 3))]
    return [plain, *({"x": rng.standard_normal(a), "w": rng.standard_normal(b)} for a, b in sizes)]


def _layers(x: Array, w: Array) -> Array:
    """Each layer of the volume by the kernel's layers summed: no convolution over depth."""
    return np.stack([conv3d_single(layer[None], w.sum(0)[None])[0] for layer in x])


CONV3D_SINGLE = Exercise(
    "conv3d_single",
    23,
    "the sum of the products of a kernel (KD,KH,KW) and every window of a volume (D,H,W), for one channel",
    conv3d_single,
    _volumes,
    {
        "the kernel is flipped on all axes: that is the convolution of mathematics; here nothing is turned": (
            lambda x, w: conv3d_single(x, w[::-1, ::-1, ::-1])
        ),
        "the kernel's depth is read backwards: w[0] meets the first layer of the window": (
            lambda x, w: conv3d_single(x, w[::-1])
        ),
        "every layer is treated alone: the window reaches over KD layers, and moves along depth too": _layers,
        "one window fits at every place from 0 to D − KD: that many and one more": (
            lambda x, w: conv3d_single(x, w)[:-1, :-1, :-1]
        ),
        "a mean of the products; a convolution is their sum": lambda x, w: conv3d_single(x, w) / w.size,
        "only the kernel's first layer is used: sum over its depth as well": (
            lambda x, w: conv3d_single(x[: len(x) - len(w) + 1], w[:1])
        ),
    },
)

EXERCISES = [PRIOR_SHIFT, ELSEWHERE, OCCLUSION_MAP, CONV3D_SINGLE]
