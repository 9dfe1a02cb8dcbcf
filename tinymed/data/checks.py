"""What the arguments and inputs of a transform must be; `owner` is the transform that says so."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np


def number(owner: Any, name: str, given: Any, least: float = -math.inf, most: float = math.inf) -> Any:
    is_number = isinstance(given, Real) and not isinstance(given, bool)
    if not is_number or not least <= given <= most or math.isinf(given):
        wanted = f"in {least:g}..{most:g}" if most < math.inf else f"{least:g} or more"
        wanted = "a finite number" if least == -math.inf else wanted
        raise ValueError(f"{owner}: {name} must be {wanted}, got {given!r}")
    return given


def whole(owner: Any, name: str, given: Any, least: int) -> Any:
    if not isinstance(given, Integral) or isinstance(given, bool) or given < least:
        raise ValueError(f"{owner}: {name} must be a whole number, {least} or more, got {given!r}")
    return given


def pair(owner: Any, name: str, given: Any) -> Any:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(f"{owner}: {name} must be a pair of numbers, got {given!r}")
    return given


def interval(
    owner: Any, name: str, given: Any, least: float = -math.inf, most: float = math.inf
) -> tuple[float, float]:
    low, high = (number(owner, name, value, least, most) for value in pair(owner, name, given))
    if low > high:
        raise ValueError(f"{owner}: {name} is (smallest, largest), got {given!r}")
    return low, high


def sides(owner: Any, given: Any) -> tuple[int, int]:
    h, w = (given, given) if isinstance(given, Integral) else pair(owner, "size", given)
    return whole(owner, "size", h, 1), whole(owner, "size", w, 1)


def floats(owner: Any, x: Any) -> None:
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{owner} takes an array, got a {type(x).__name__}; use np.asarray(x)")
    if x.dtype.kind != "f":
        raise TypeError(f"{owner} takes floats, got {x.dtype} {x.shape}; convert: x.astype(np.float32) / 255")


def picture(owner: Any, x: Any, volumes: bool = False, unit: bool = False) -> None:
    floats(owner, x)
    if x.ndim != 3 and not (volumes and x.ndim == 4):
        cure = "; one picture at a time, not a batch" if x.ndim == 4 else "; a grey one is x[None]" * (x.ndim == 2)
        raise ValueError(f"{owner} takes a picture (C,H,W), got {x.shape}{cure}")
    if x.shape[0] > 4 and x.shape[-1] <= 4:
        raise ValueError(f"{owner}: got {x.shape}: the last axis looks like channels; tinymed is C,H,W")
    if unit and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"{owner} takes values in 0..1, got {x.min():g}..{x.max():g}; augment before normalising")


def signal(owner: Any, x: Any) -> None:
    floats(owner, x)
    if x.ndim != 2:
        raise ValueError(f"{owner} takes a signal (C,T), got {x.shape}")
