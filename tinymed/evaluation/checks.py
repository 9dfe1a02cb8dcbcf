"""What an evaluation is told about its cases, checked; and what it tells, for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def check_groups(where: str, groups: Any, n: int) -> np.ndarray | None:
    """(n,) whose each case is. Raises ValueError for another size, and for a case of nobody."""
    if groups is None:
        return None
    found = np.asarray(groups)
    if found.shape != (n,):
        raise ValueError(f"{where}: groups must say whose each of the {n} cases is, got shape {found.shape}")
    for at, group in enumerate(found.tolist()):
        if group is None or group != group:
            raise ValueError(f"{where}: case {at} belongs to nobody: its group is {group}")
    return found


def check_names(where: str, names: Sequence[str] | None, n: int) -> tuple[str, ...] | None:
    """What each of n cases is called."""
    if names is None or len(names) == 0:
        return None
    if len(names) != n:
        raise ValueError(f"{where}: there are {n} cases, but {len(names)} names")
    return tuple(str(name) for name in names)


def as_plain(value: Any) -> Any:
    """Arrays become lists, NaN becomes None: as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): as_plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return as_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [as_plain(inner) for inner in value]
    return None if isinstance(value, float) and value != value else value
