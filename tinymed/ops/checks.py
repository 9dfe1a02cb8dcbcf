"""Checks of numbers, which on a GPU make the host wait: left out while a CUDA graph is recorded, which has none yet."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed.kernels import cupy_graph
from tinymed.tensor import to_host


def checks_values() -> bool:
    """Whether an op may look at numbers. A graph's first step, which is run and not recorded, has looked at them."""
    return cupy_graph.recording() is None


def first_of(wrong: Any) -> tuple[int, ...] | None:
    """Where a mask holds for the first time; None where it never does."""
    return tuple(int(i) for i in np.argwhere(to_host(wrong))[0]) if wrong.any() else None
