"""What the constructors of layers check: sizes, and one size for each axis of space."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed.ops.conv import spatial


def whole(layer: str, least: int = 1, **sizes: Any) -> None:
    """Raises ValueError unless each is a whole number of at least `least`."""
    for what, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{layer}: {what} must be a whole number of at least {least}, got {value!r}")


def per_axis(layer: str, what: str, value: Any, n: int, least: int = 1) -> tuple[int, ...]:
    """A size, or one for each of n axes of space, as a tuple of n, each at least `least`."""
    values = spatial(layer, what, value, n)
    if min(values) < least:
        raise ValueError(f"{layer}: {what} must be at least {least}, got {value!r}")
    return values


def divides(layer: str, groups: int, **channels: int) -> None:
    """Raises ValueError unless the channels can be shared out among the groups."""
    for what, value in channels.items():
        if value % groups:
            raise ValueError(f"{layer}: groups (={groups}) must divide {what} (={value})")
