"""Generated pictures in the manner of breast ultrasound, for where no real data are at hand.

They are drawn from a formula, not from patients. What a network scores on them says nothing about medicine.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinymed.data.dataset import ImageDataset

CLASSES = ("malignant", "normal, benign")  # BreastMNIST's labels: 0 is the malignant one
MALIGNANT = 0.27  # BreastMNIST's share
NORMAL = 0.17  # the share without any mass, as in the collection behind BreastMNIST


def make_breast_phantoms(n: int, seed: int = 0, size: int = 28) -> ImageDataset:
    """n generated pictures: images (n,1,size,size) float32 in [0,1], labels (n,) int64 as BreastMNIST's.

    benign     a smooth dark ellipse, wider than tall, brighter tissue behind it (posterior enhancement)
    malignant  a spiculated dark mass, taller than wide, a shadow behind it
    normal     tissue alone; it shares the benign label

    The signs overlap, as in life: some benign masses are round or cast a shadow, some malignant ones do not.
    Equal seeds give equal pictures. Raises ValueError for n below 1 or size below 8.
    """
    rng = generator("make_breast_phantoms", n, seed, size)
    labels = rng.permutation(np.arange(n) >= round(n * MALIGNANT)).astype(np.int64)
    malignant = (labels == 0)[:, None, None]
    mass = malignant | (rng.random((n, 1, 1)) > NORMAL / (1 - MALIGNANT))

    def any_of(low: float, high: float) -> np.ndarray:
        """One number a picture, (n,1,1)."""
        return rng.uniform(low, high, (n, 1, 1))

    def by_class(bad: tuple[float, float], good: tuple[float, float]) -> np.ndarray:
        """One number a picture, in the range of its class."""
        return np.where(malignant, any_of(*bad), any_of(*good))

    grid = (np.arange(size) + 0.5) / size
    u, v = grid[None, None, :], grid[None, :, None]  # across the skin, and depth
    picture = _tissue(rng, v, any_of)

    # the mass: dark inside ρ < R(θ), an ellipse with a few waves and some spicules on its rim
    radius, flat = by_class((0.13, 0.27), (0.08, 0.2)), by_class((0.65, 1.0), (1.0, 1.5))
    du, dv = (u - any_of(0.3, 0.7)) / flat, (v - any_of(0.35, 0.6)) * flat
    rho, theta = np.hypot(du, dv) / radius, np.arctan2(dv, du)
    rim = 1 + by_class((0.05, 0.2), (0.0, 0.1)) * _wave(theta, any_of, 2, 4)
    rim += by_class((0.1, 0.3), (0.0, 0.1)) * _wave(theta, any_of, 5, 9)
    inside = mass * step((rim - rho) * radius, by_class((0.02, 0.07), (0.01, 0.05)))
    # behind it, as wide as it is: a shadow or enhancement
    behind = mass * np.exp(-((du / radius) ** 4)) * step(dv, 0.05) * (1 - inside)
    picture *= 1 + by_class((-0.8, 0.0), (-0.3, 0.7)) * behind
    picture *= 1 - any_of(0.4, 0.85) * inside

    # speckle: the magnitude of a complex Gaussian field, multiplicative
    speckle = np.hypot(*(_noise(rng, n, size, across=1.0, deep=0.5) for _ in range(2)))
    picture *= 1 + any_of(0.15, 0.4) * (speckle / speckle.mean() - 1)
    images = np.clip(picture, 0, 1).astype(np.float32)[:, None]
    source = f"generated: make_breast_phantoms({n}, seed={seed}, size={size})"
    return ImageDataset(images, labels, CLASSES, source)


def _tissue(rng: np.random.Generator, v: np.ndarray, any_of: Callable) -> np.ndarray:
    """Layers along the skin and lobules between them, a bright skin line, echoes that fade with depth v."""
    n, size = len(any_of(0, 1)), v.shape[1]
    layers = any_of(0.1, 0.3) * _noise(rng, n, size, across=size / 3, deep=size / 28)
    lobules = any_of(0.05, 0.2) * _noise(rng, n, size, across=size / 14, deep=size / 20)
    skin = any_of(0.0, 0.6) * np.exp(-((v / 0.07) ** 2))
    return any_of(0.4, 0.6) * (1 + layers + lobules + skin) * np.exp(-any_of(0.2, 1.6) * v**1.5)


def _noise(rng: np.random.Generator, n: int, size: int, across: float, deep: float) -> np.ndarray:
    """Gaussian noise (n,size,size) of variance 1, blurred by a Gaussian of `across` by `deep` pixels."""
    white = rng.standard_normal((n, 2 * size, 2 * size), dtype=np.float32)  # wraps round: half is cut off
    f = np.fft.fftfreq(2 * size)
    blur = np.exp(-2 * np.pi**2 * ((deep * f[:, None]) ** 2 + (across * f[: size + 1]) ** 2)).astype(np.float32)
    field = np.fft.irfft2(np.fft.rfft2(white) * blur, s=white.shape[1:])[:, :size, :size]
    return field / field.std()


def _wave(theta: np.ndarray, any_of: Callable, fewest: int, most: int) -> np.ndarray:
    """A wave round a rim, `fewest` to `most` crests."""
    return np.cos(np.round(any_of(fewest - 0.5, most + 0.5)) * theta + any_of(0, 2 * np.pi))


def step(x: np.ndarray, softness: np.ndarray | float) -> np.ndarray:
    """From 0 to 1 around x = 0."""
    return 0.5 + 0.5 * np.tanh(x / softness)


def generator(function: str, n: int, seed: int, size: int | None = None) -> np.random.Generator:
    """What `function` draws n items from, of `size` pixels a side. Raises ValueError for n below 1 or size below 8."""
    if n < 1 or (size is not None and size < 8):
        wanted, got = ("", "") if size is None else (" and size >= 8", f" and size={size}")
        raise ValueError(f"{function} needs n >= 1{wanted}, got n={n}{got}")
    return np.random.default_rng(seed)
