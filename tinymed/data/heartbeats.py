"""Generated heartbeats in the manner of ECG5000, for where no real data are at hand.

They are drawn from a formula, not from patients. What a network scores on them says nothing about medicine.
"""

from __future__ import annotations

import numpy as np

from tinymed.data.dataset import LabelledDataset
from tinymed.data.ecg5000 import CLASSES, COUNTS, SAMPLES

BEFORE, AFTER = 0.35, 0.65  # seconds of signal before and after the R peak
#                     P      Q      R      S     T
HEIGHT = np.array([0.12, -0.10, 1.00, -0.22, 0.28])  # mV
PLACE = np.array([-0.17, -0.03, 0.00, 0.032, 0.27])  # s from the R peak
WIDTH = np.array([0.024, 0.010, 0.012, 0.012, 0.05])  # s
# of a beat that starts in the ventricles: no P, the QRS broad and high, T turned the other way
EARLY_HEIGHT = np.array([0.0, -0.15, 1.4, -0.5, -0.45])
EARLY_PLACE = np.array([-0.17, -0.07, 0.0, 0.08, 0.30])
EARLY_WIDTH = np.array([0.024, 0.022, 0.034, 0.034, 0.065])


def make_heartbeats(n: int, seed: int = 0, classes: int = 5, patients: int = 20) -> LabelledDataset:
    """n generated heartbeats: inputs (n,1,140) float32, 1 s each, labels (n,) int64, groups (n,) the patients 0, 1, ...

    A beat is a sum of Gaussians, z(t) = Σ a·exp(−(t − μ)²/2b²) over its P, Q, R, S and T and the T of the beat before
    it (after McSharry et al., IEEE Trans. Biomed. Eng. 50:289, 2003), with noise and a wandering baseline, brought to
    mean 0 and deviation 1 as ECG5000's. Its five classes, and about their shares (58, 35, 2, 4 and 0.5 %):

        normal              P before a slender QRS, T after it
        R-on-T premature    a broad beat from the ventricles, on the T wave of the beat before
        ventricular         the same a little later, after that T
        supraventricular    early too, but with a QRS as usual; its P is small or upside down, and near
        unclassified        half normal, half ventricular, in much noise

    Each patient has waves of their own, some a QRS that is always broad or upside down, and kinds of beats of their
    own: a model that learns the person does well on other beats of that person, and worse on new people.
    Split by `groups`.

    classes  5, or 2 for normal and abnormal
    Equal seeds give equal beats. Every class is there from n = 5 on. Raises ValueError for numbers out of range.
    """
    if n < 1 or patients < 1 or classes not in (2, 5):
        raise ValueError(
            f"make_heartbeats needs n >= 1, patients >= 1 and classes 2 or 5, got n={n}, patients={patients} and "
            f"classes={classes}"
        )
    rng = np.random.default_rng(seed)
    labels = _labels(rng, n)
    whose = _patients(rng, labels, patients)

    def each(low: float, high: float, size: int = n, waves: int = 1) -> np.ndarray:
        return rng.uniform(low, high, (size, waves))

    # the patients' own waves (patients,5), and from them the beats' (n,5)
    height = HEIGHT * np.exp(rng.normal(0, 0.3, (patients, 5))) + rng.normal(0, 0.03, (patients, 5))
    height[:, 1:4] *= np.where(rng.random((patients, 1)) < 0.25, -1, 1)  # an electrode elsewhere
    height[:, 4] *= np.where(rng.random(patients) < 0.35, -1, 1)
    width = WIDTH * np.exp(rng.normal(0, 0.12, (patients, 5)))
    width[:, 1:4] *= np.where(rng.random((patients, 1)) < 0.3, each(1.8, 2.8, patients), 1)
    place = PLACE * np.exp(rng.normal(0, 0.12, (patients, 5)))
    early_height = EARLY_HEIGHT * np.exp(rng.normal(0, 0.35, (patients, 5)))
    early_height *= np.where(rng.random((patients, 1)) < 0.4, -1, 1)  # they start on the other side of the heart
    early_width = EARLY_WIDTH * np.exp(rng.normal(0, 0.2, (patients, 5)))
    early_place = EARLY_PLACE * np.exp(rng.normal(0, 0.15, (patients, 5)))
    rest = each(0.75, 1.05, patients)[whose] + rng.normal(0, 0.04, (n, 1))  # seconds from R to R

    # how much of each beat starts in the ventricles, (n,1), and how soon it comes after the beat before
    kind = labels[:, None]
    early = np.select([(kind == 1) | (kind == 2), kind == 4], [1.0, each(0.3, 0.7)], 0.0)
    since = np.select([kind == 1, kind == 2, kind == 3], [each(0.28, 0.42), each(0.38, 0.6), each(0.4, 0.6)], rest)
    p = np.ones((n, 5))
    p[:, :1] = np.where(kind == 3, each(-0.8, 0.7), 1)
    a = ((1 - early) * height[whose] * p + early * early_height[whose]) * np.exp(rng.normal(0, 0.1, (n, 5)))
    mu = (1 - early) * place[whose] + early * early_place[whose]
    mu[:, :1] += np.where(kind == 3, each(0.0, 0.07), 0)
    b = ((1 - early) * width[whose] + early * early_width[whose]) * np.exp(rng.normal(0, 0.05, (n, 5)))
    # the T wave of the beat before comes sixth
    a = np.hstack([a, height[whose, 4:]])
    mu = np.hstack([mu, place[whose, 4:] - since])
    b = np.hstack([b, width[whose, 4:]])

    t = np.linspace(-BEFORE, AFTER, SAMPLES) + each(-0.01, 0.01)
    z = (a[..., None] * np.exp(-0.5 * ((t[:, None] - mu[..., None]) / b[..., None]) ** 2)).sum(1)
    z += each(0.0, 0.12) * np.sin(2 * np.pi * (each(0.15, 0.5) * t + each(0, 1)))
    z += np.where(kind == 4, each(0.05, 0.12), each(0.01, 0.06)) * rng.standard_normal(z.shape)
    z = (z - z.mean(1, keepdims=True)) / z.std(1, keepdims=True)
    source = f"generated: make_heartbeats({n}, seed={seed}, classes={classes}, patients={patients})"
    names = CLASSES if classes == 5 else ("normal", "abnormal")
    labels = labels if classes == 5 else np.minimum(labels, 1)
    return LabelledDataset(z.astype(np.float32)[:, None], labels, names, source, groups=whose)


def _labels(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n,) labels in ECG5000's shares, each class at least once where n allows."""
    share = np.sum(list(COUNTS.values()), 0)
    counts = np.maximum(np.round(n * share / share.sum()).astype(int), n >= len(share))
    while counts.sum() != n:  # what rounding left over, or gave too much
        counts[counts.argmax()] += np.sign(n - counts.sum())
    return rng.permutation(np.repeat(np.arange(len(share)), counts))


def _patients(rng: np.random.Generator, labels: np.ndarray, patients: int) -> np.ndarray:
    """(n,) whose each beat is: a patient has much of one kind and little of another."""
    liking = rng.gamma(0.4, size=(patients, labels.max() + 1)) + 0.02
    drawn = [rng.choice(patients, p=liking[:, k] / liking[:, k].sum()) for k in labels]
    return np.array(drawn)
