"""Augmentation: a picture or a signal, a little changed, as it might have been taken. `Augmented` applies it.

Names and arguments are torchvision's (transforms.v2) where it has the thing; what it draws from a hidden state comes
from the generator here: `transform(x, rng)`. A picture is (C,H,W) of floats in 0..1, a signal (C,T). The input is
never written to. Change only what leaves the label true: a mirrored chest has its heart on the wrong side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from tinymed.data.checks import floats, interval, number, pair, picture, sides, signal, whole

Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Range = float | tuple[float, float]
LEAST = 1e-3  # the smallest factor that a picture or a signal may be scaled by


@dataclass(frozen=True)
class Compose:
    """The transforms in turn, all from the one generator."""

    transforms: Sequence[Transform]

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for transform in self.transforms:
            x = transform(x, rng)
        return x


# -------------------------------------------------------------------- pictures: where a pixel lies


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Left and right exchanged with probability p; (C,H,W), or a volume (C,D,H,W)."""

    p: float = 0.5

    def __post_init__(self) -> None:
        number(self, "p", self.p, 0, 1)

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        picture(self, x, volumes=True)
        return x[..., ::-1] if rng.random() < self.p else x


@dataclass(frozen=True)
class RandomVerticalFlip(RandomHorizontalFlip):
    """Top and bottom exchanged with probability p; (C,H,W), or a volume (C,D,H,W)."""

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        picture(self, x, volumes=True)
        return x[..., ::-1, :] if rng.random() < self.p else x


@dataclass(frozen=True)
class RandomAffine:
    """Turned, enlarged and shifted at once, so that pixels are interpolated (bilinearly) only once.

    degrees    turned about the middle by U(−degrees, degrees), or U(*degrees), counter-clockwise
    translate  (a, b): shifted by up to a·W sideways and b·H up or down
    scale      (a, b): enlarged by U(a, b)
    fill       what lies outside the picture; None repeats its edge
    """

    degrees: Range
    translate: tuple[float, float] | None = None
    scale: tuple[float, float] | None = None
    fill: float | None = 0.0

    def __post_init__(self) -> None:
        self._degrees()
        for share in pair(self, "translate", self.translate or (0, 0)):
            number(self, "translate", share, 0, 1)
        interval(self, "scale", self.scale or (1, 1), LEAST)
        number(self, "fill", 0 if self.fill is None else self.fill)

    def _degrees(self) -> tuple[float, float]:
        d = self.degrees
        return interval(self, "degrees", (-d, d) if isinstance(d, Real) else d)

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from scipy.ndimage import affine_transform

        picture(self, x)
        H, W = x.shape[1:]
        turn = math.radians(rng.uniform(*self._degrees()))
        right, down = (side * rng.uniform(-t, t) for side, t in zip((W, H), self.translate or (0, 0)))
        # from a pixel of the result back to where it comes from: (row, column) = M · (i, j) + offset
        cos, sin, zoom = math.cos(turn), math.sin(turn), rng.uniform(*self.scale or (1, 1))
        M = np.array([[cos, sin], [-sin, cos]]) / zoom
        middle = np.array([(H - 1) / 2, (W - 1) / 2])
        offset = middle - M @ (middle + (down, right))
        mode, fill = ("nearest", 0.0) if self.fill is None else ("grid-constant", self.fill)
        y = np.empty(x.shape, x.dtype)
        for channel, out in zip(x, y):
            affine_transform(channel, M, offset, output=out, order=1, mode=mode, cval=fill)
        return y


@dataclass(frozen=True)
class RandomRotation(RandomAffine):
    """Turned about the middle by U(−degrees, degrees), or U(*degrees), counter-clockwise; `fill` as in RandomAffine."""

    translate: None = field(default=None, init=False, repr=False)
    scale: None = field(default=None, init=False, repr=False)


@dataclass(frozen=True)
class RandomCrop:
    """A window of size (H,W), or size x size, of the picture with `padding` pixels around it, of `fill` or its edge.

    Nothing is interpolated, so that no picture is smoother than it was. size None: as large as the picture is.
    """

    size: int | tuple[int, int] | None
    padding: int = 0
    fill: float | None = 0.0

    def __post_init__(self) -> None:
        if self.size is not None:
            sides(self, self.size)
        whole(self, "padding", self.padding, 0)
        number(self, "fill", 0 if self.fill is None else self.fill)

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        picture(self, x)
        h, w = x.shape[1:] if self.size is None else sides(self, self.size)
        if self.padding:
            around: Any = ((0, 0), *2 * ((self.padding, self.padding),))
            x = np.pad(x, around, "edge") if self.fill is None else np.pad(x, around, constant_values=self.fill)
        H, W = x.shape[1:]
        if h > H or w > W:
            raise ValueError(f"{self}: the picture is {H}x{W} with its padding; crop less, or pad more")
        top, left = rng.integers(H - h + 1), rng.integers(W - w + 1)
        return x[:, top : top + h, left : left + w]


@dataclass(frozen=True)
class RandomResizedCrop:
    """A window of a share U(scale) of the area, its width over its height in `ratio`, brought to size (bilinear).

    Where it would be wider or higher than the picture it is cut to it: of a square one in 14 % of the windows with
    this scale and ratio. (torchvision's draws such a window again.)
    """

    size: int | tuple[int, int]
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        sides(self, self.size)
        interval(self, "scale", self.scale, LEAST, 1)
        interval(self, "ratio", self.ratio, LEAST)

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from scipy.ndimage import affine_transform

        picture(self, x)
        H, W = x.shape[1:]
        area = H * W * rng.uniform(*self.scale)
        ratio = math.exp(rng.uniform(*np.log(self.ratio)))  # as often twice as wide as twice as high
        window = np.minimum((math.sqrt(area / ratio), math.sqrt(area * ratio)), (H, W))
        size = sides(self, self.size)
        step = window / size  # pixels of the picture for one of the result
        offset = ((H, W) - window) * rng.random(2) + step / 2 - 0.5  # a pixel's place is its middle
        y = np.empty((len(x), *size), x.dtype)
        for channel, out in zip(x, y):
            affine_transform(channel, step, offset, output_shape=size, output=out, order=1, mode="nearest")
        return y


# -------------------------------------------------------------------- pictures: how bright a pixel is


@dataclass(frozen=True)
class ColorJitter:
    """Brightness, then contrast, changed by factors U(max(0, 1 − b), 1 + b), or U(*b); the result is kept in 0..1.

    x ← b·x, then x ← mean(x) + c·(x − mean(x)). (torchvision's also takes the two in random order.)
    """

    brightness: Range = 0.0
    contrast: Range = 0.0

    def __post_init__(self) -> None:
        self._factors()

    def _factors(self) -> list[tuple[float, float]]:
        ranges = []
        for name, given in (("brightness", self.brightness), ("contrast", self.contrast)):
            if isinstance(given, Real):
                number(self, name, given, 0)
                given = (max(0, 1 - given), 1 + given)
            ranges.append(interval(self, name, given, 0))
        return ranges

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        picture(self, x, unit=True)
        b, c = (x.dtype.type(rng.uniform(*factors)) for factors in self._factors())
        x = np.minimum(x * b, 1)
        mean = x.mean()
        return np.clip((x - mean) * c + mean, 0, 1)


@dataclass(frozen=True)
class GaussianNoise:
    """x + N(mean, sigma²), a number for every pixel, and kept in 0..1 as a picture is; a signal wants clip=False."""

    mean: float = 0.0
    sigma: float = 0.1
    clip: bool = True

    def __post_init__(self) -> None:
        number(self, "mean", self.mean)
        number(self, "sigma", self.sigma, 0)

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.clip:
            picture(self, x, volumes=True, unit=True)
        else:
            floats(self, x)
        y = x + (self.mean + self.sigma * rng.standard_normal(x.shape, np.float32)).astype(x.dtype)
        return np.clip(y, 0, 1) if self.clip else y


# -------------------------------------------------------------------- signals


@dataclass(frozen=True)
class RandomShift:
    """A signal (C,T) moved by up to `limit` samples, earlier or later; its first or last value fills the gap."""

    limit: int

    def __post_init__(self) -> None:
        whole(self, "limit", self.limit, 0)

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        signal(self, x)
        T = x.shape[1]
        if self.limit >= T:
            raise ValueError(f"{self}: the signal {x.shape} is no longer than the shift; give a smaller limit")
        return x[:, np.clip(np.arange(T) - rng.integers(-self.limit, self.limit + 1), 0, T - 1)]


@dataclass(frozen=True)
class RandomScale:
    """A signal (C,T) times U(scale): an electrode that lies better or worse."""

    scale: tuple[float, float] = (0.9, 1.1)

    def __post_init__(self) -> None:
        interval(self, "scale", self.scale, LEAST)

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        signal(self, x)
        return x * x.dtype.type(rng.uniform(*self.scale))


TRANSFORMS = {
    t.__name__: t
    for t in (
        *(RandomHorizontalFlip, RandomVerticalFlip, RandomAffine, RandomRotation, RandomCrop, RandomResizedCrop),
        *(ColorJitter, GaussianNoise, RandomShift, RandomScale),
    )
}
