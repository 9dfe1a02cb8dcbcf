"""Generated pictures and volumes in the manner of chest X-rays and of nodules in CT, where no real data are at hand.

They are drawn from a formula, not from patients. What a network scores on them says nothing about medicine.
"""

from __future__ import annotations

import numpy as np

from tinymed.data.dataset import ImageDataset, LabelledDataset
from tinymed.data.phantoms import generator, step

PNEUMONIA = 0.74  # PneumoniaMNIST's share in training
MALIGNANT = 0.25  # about NoduleMNIST3D's share


def make_chest_phantoms(n: int, seed: int = 0, size: int = 28) -> ImageDataset:
    """n generated pictures: images (n,1,size,size) float32 in [0,1], labels (n,) int64 as PneumoniaMNIST's.

    All have a bright trunk, two dark lungs with ribs across them, the heart and the domes of the diaphragm.

    normal     lungs with some vessels in them, and now and then a faint shadow
    pneumonia  a lobe turned bright (consolidation), or patches all over both lungs (interstitial)

    The strength of the signs overlaps, as do exposure, position and breath; a quarter are normal.
    Equal seeds give equal pictures. Raises ValueError for n below 1 or size below 8.
    """
    rng = generator("make_chest_phantoms", n, seed, size)
    labels = rng.permutation(np.arange(n) >= round(n * (1 - PNEUMONIA))).astype(np.int64)
    ill = (labels == 1)[:, None, None]

    def any_of(low: float, high: float) -> np.ndarray:
        """One number a picture, (n,1,1)."""
        return rng.uniform(low, high, (n, 1, 1))

    # position of the child on the plate: u across, v down, both about −1..1
    grid = (np.arange(size) + 0.5) / size * 2 - 1
    zoom, tilt = any_of(0.85, 1.15), any_of(-0.08, 0.08)
    u = (grid[None, None, :] - any_of(-0.08, 0.08)) / zoom + tilt * grid[None, :, None]
    v = (grid[None, :, None] - any_of(-0.1, 0.1)) / zoom

    trunk = step(any_of(0.85, 1.2) - np.abs(u) + 0.15 * v, 0.05)
    breath = any_of(0.0, 0.25)  # a deep breath sends the diaphragm down
    lungs, inner = [], []
    for side in (-1, 1):
        # an ellipse that leans inwards at its top, cut off by the diaphragm's dome
        du = (side * u - any_of(0.44, 0.52) - 0.18 * v) / any_of(0.26, 0.33)
        dv = (v + 0.12) / any_of(0.72, 0.82)
        dome = 0.42 + breath + 0.12 * du**2 - (0.06 if side < 0 else 0)  # the liver lifts the right one
        lungs.append(step(1 - np.hypot(du, dv), 0.12) * step(dome - v, 0.06))
        inner.append((du, dv))
    heart = step(1 - np.hypot((u - any_of(0.08, 0.18)) / any_of(0.28, 0.42), (v - 0.3) / 0.38), 0.15)
    lung = np.clip(lungs[0] + lungs[1], 0, 1) * (1 - 0.85 * heart)

    # ribs: bows, lower towards the side
    ribs = np.cos(2 * np.pi * (v - 0.35 * u**2 - any_of(0, 1)) / any_of(0.2, 0.28))
    vessels = 0.03 * _noise(rng, (n, size, size), size / 28) * lung

    # pneumonia: one lobe (centre and width in the lung's own coordinates), or patches on both sides
    strength = np.where(ill, rng.beta(3, 1.2, (n, 1, 1)), rng.beta(1, 8, (n, 1, 1)))
    lobe = np.zeros((n, size, size))
    left = rng.random((n, 1, 1)) < 0.4
    cu, cv = any_of(-0.6, 0.5), any_of(-0.5, 0.6)
    for chosen, (du, dv) in zip((~left, left), inner):
        lobe += chosen * np.exp(-(((du - cu) / any_of(0.6, 1.2)) ** 2) - ((dv - cv) / any_of(0.3, 0.7)) ** 2)
    patches = np.clip(0.6 + 0.4 * _noise(rng, (n, size, size), size / 12), 0, 1)
    opacity = np.where(rng.random((n, 1, 1)) < 0.5, 1.2 * lobe, 0.9 * patches) * strength

    # exposure: lungs let the rays through, everything else and opacities do not
    density = trunk * (0.62 + 0.12 * np.exp(-((u / 0.16) ** 2)) + any_of(0.0, 0.12) * v)
    density -= lung * (any_of(0.26, 0.4) * (1 - 0.85 * np.clip(opacity, 0, 1)) - vessels)
    density += any_of(0.0, 0.03) * ribs * trunk * lung + any_of(0.005, 0.02) * rng.standard_normal((n, size, size))
    images = np.clip(any_of(0.85, 1.2) * density + any_of(-0.06, 0.08), 0, 1).astype(np.float32)[:, None]
    source = f"generated: make_chest_phantoms({n}, seed={seed}, size={size})"
    return ImageDataset(images, labels, ("normal", "pneumonia"), source)


def make_nodules(n: int, seed: int = 0, size: int = 28) -> LabelledDataset:
    """n generated volumes: inputs (n,1,size,size,size) float32 in [0,1], labels (n,) int64 as NoduleMNIST3D's.

    A nodule in the middle of dark lung tissue with vessels running past; some touch the chest wall.

    benign     small, round and smooth, now and then with a core of chalk
    malignant  large, lobed and spiculated: the rim R(direction) has waves and thorns, Σ a·exp((cos γ − 1)/w) over
               directions at angles γ; the rest of it as glassy as the benign

    The ranges overlap, as in life: a quarter are malignant.
    Equal seeds give equal volumes. Raises ValueError for n below 1 or size below 8.
    """
    rng = generator("make_nodules", n, seed, size)
    labels = rng.permutation(np.arange(n) >= round(n * (1 - MALIGNANT))).astype(np.int64)
    volumes = np.stack([_nodule(rng, bool(bad), size) for bad in labels])[:, None]
    source = f"generated: make_nodules({n}, seed={seed}, size={size})"
    return LabelledDataset(volumes, labels, ("benign", "malignant"), source)


def _nodule(rng: np.random.Generator, malignant: bool, size: int) -> np.ndarray:
    """One volume (size,size,size); lengths are in half edges, the middle is at 0."""

    def by_class(bad: tuple[float, float], good: tuple[float, float]) -> float:
        return rng.uniform(*(bad if malignant else good))

    grid = ((np.arange(size) + 0.5) / size * 2 - 1).astype(np.float32)
    place = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), -1)  # (size,size,size,3)
    offset = place - rng.uniform(-0.1, 0.1, 3).astype(np.float32)
    distance = np.linalg.norm(offset * rng.uniform(0.85, 1.18, 3).astype(np.float32), axis=-1)
    towards = offset / np.maximum(np.linalg.norm(offset, axis=-1, keepdims=True), 1e-6)

    radius = by_class((0.24, 0.5), (0.16, 0.4))
    rim = np.full(distance.shape, radius, np.float32)
    for _ in range(3):  # lobes
        cosine = towards @ _direction(rng)
        rim += radius * by_class((0.03, 0.14), (0.0, 0.06)) * np.cos(rng.uniform(2, 4) * np.arccos(cosine.clip(-1, 1)))
    for _ in range(rng.integers(4, 12) if malignant else rng.integers(0, 6)):  # thorns
        cosine = towards @ _direction(rng)
        rim += by_class((0.08, 0.3), (0.04, 0.16)) * np.exp((cosine - 1) / rng.uniform(0.01, 0.05))
    inside = step(rim - distance, by_class((0.04, 0.12), (0.03, 0.1)))
    density = by_class((0.4, 0.75), (0.35, 0.75)) * inside

    volume = 0.12 + 0.03 * _noise(rng, (1, size, size, size), size / 20)[0]
    for _ in range(rng.integers(1, 5)):  # vessels: straight tubes
        along, through = _direction(rng), rng.uniform(-0.8, 0.8, 3).astype(np.float32)
        beside = np.linalg.norm(np.cross(place - through, along), axis=-1)
        volume = np.maximum(volume, rng.uniform(0.3, 0.6) * step(rng.uniform(0.03, 0.1) - beside, 0.05))
    if rng.random() < 0.25:  # the chest wall
        volume = np.maximum(volume, 0.65 * step(place @ _direction(rng) - rng.uniform(0.5, 0.9), 0.06))
    volume = np.maximum(volume, density)
    if not malignant and rng.random() < 0.15:
        volume += 0.4 * step(radius / 2 - distance, 0.05)
    volume += 0.03 * rng.standard_normal(volume.shape, np.float32)
    return np.clip(volume, 0, 1).astype(np.float32)


def _direction(rng: np.random.Generator) -> np.ndarray:
    """A direction in space, any as likely as any other."""
    d = rng.standard_normal(3).astype(np.float32)
    return d / np.linalg.norm(d)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], blur: float) -> np.ndarray:
    """Gaussian noise (n, ...) of variance 1, blurred by a Gaussian of `blur` pixels."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(rng.standard_normal(shape, np.float32), (0, *[blur] * (len(shape) - 1)), mode="wrap")
    return field / field.std()
