"""Which array owns which cell, what each is called, and which numbers are others than before."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed.teach.steps import Cells

MOST = 10_000  # numbers of an array that a trace can still show


class Memory:
    """The arrays and plain numbers that a computation has met, by name.

    arrays  what was first seen in each, owners the arrays themselves, born the names of those made on the way
    names   {what the code calls an array: what it is to be called}
    """

    def __init__(self) -> None:
        self.owners: dict[str, np.ndarray] = {}
        self.arrays: dict[str, np.ndarray] = {}
        self.born: set[str] = set()
        self.names: dict[str, str] = {}
        self._known: dict[str, np.ndarray] = {}  # what was last seen
        self._addresses: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # of each owner's cells, sorted, and their order

    def look(self, name: str, array: np.ndarray, given: bool = False) -> None:
        """Take note of an array under the name that it goes by, unless its memory already has one.

        Raises ValueError for an array that is too large to show.
        """
        if array.dtype.kind not in "fiub" or not array.size or self.whose(array):
            return
        if array.size > MOST:
            raise ValueError(
                f"a trace shows every number, and {name} has {array.size} of them, in shape {array.shape}; "
                f"trace a smaller one, of at most {MOST}"
            )
        name = self._free(self.names.get(name, name), array.shape)
        self.owners[name] = array
        where = _addresses(array).ravel()
        order = np.argsort(where, kind="stable")
        self._addresses[name] = where[order], order
        if name not in self.arrays:
            self.arrays[name] = self._known[name] = array.astype(float)
            if not given:
                self.born.add(name)

    def _free(self, name: str, shape: tuple[int, ...]) -> str:
        """The name, with ′ behind it as long as it belongs to something of another shape."""
        while name in self.arrays and self.arrays[name].shape != shape:
            name += "′"
        return name

    def whose(self, array: np.ndarray) -> str:
        """The name of the array whose memory this is a part of, or ""."""
        for name, owner in self.owners.items():
            if np.may_share_memory(array, owner):
                return name
        return ""

    def cells(self, array: np.ndarray, index: Any = ...) -> Cells | None:
        """array[index] as the cells of the array that owns the memory; None if nobody does, or none is meant."""
        name = self.whose(array)
        if not name:
            return None
        try:
            wanted = np.ravel(_addresses(array)[index])
        except IndexError:  # the code itself will say so
            return None
        if name not in self._addresses:  # a plain number
            return name, (0,)
        where, order = self._addresses[name]
        at = np.minimum(np.searchsorted(where, wanted), where.size - 1)
        if not (where[at] == wanted).all():
            return None
        return name, tuple(int(k) for k in order[at])

    def scalar(self, name: str, value: float) -> Cells:
        """A plain number that was given a name: an array of one cell."""
        name = self._free(self.names.get(name, name), ())
        if name not in self.arrays:
            self.owners[name] = np.array(0.0)
            self.arrays[name] = self._known[name] = np.array(0.0)
            self.born.add(name)
        self.owners[name][...] = value
        return name, (0,)

    def changes(self) -> tuple[tuple[str, int, float, float], ...]:
        """Every number that is another than when last looked at: (array, cell, before, after)."""
        found = []
        for name, owner in self.owners.items():
            now, then = owner.astype(float), self._known[name]
            differ = np.flatnonzero((now != then) & ~(np.isnan(now) & np.isnan(then)))
            found += [(name, int(k), float(then.flat[k]), float(now.flat[k])) for k in differ]
            self._known[name] = now
        return tuple(found)

    def values(self, cells: Cells) -> list[float]:
        name, ids = cells
        return [float(self.owners[name].flat[k]) for k in ids]

    def named(self, cells: Cells, by_name: bool = False) -> str:
        """y[0,0,1,1]; a block as x[0:2,1:3]; all of an array by its name, if the code does so; else how many cells."""
        name, ids = cells
        shape = self.arrays[name].shape
        if not shape or (by_name and len(set(ids)) == self.arrays[name].size):
            return name
        axes = [np.unique(row) for row in np.unravel_index(np.array(ids, int), shape)]
        if np.prod([len(axis) for axis in axes]) != len(set(ids)):
            return f"{name}[{len(ids)} cells]"
        places = [_along(axis, size) for axis, size in zip(axes, shape)]
        return name if set(places) == {":"} else f"{name}[{','.join(places)}]"


def _along(axis: np.ndarray, size: int) -> str:
    """The places along one axis, as they are written between brackets."""
    if len(axis) == 1:
        return str(axis[0])
    steps = np.unique(np.diff(axis))
    if len(axis) == size:
        return ":"
    if len(steps) > 1:
        return f"[{','.join(map(str, axis))}]"
    return f"{axis[0]}:{axis[-1] + 1}" + (f":{steps[0]}" if steps[0] > 1 else "")


def _addresses(array: np.ndarray) -> np.ndarray:
    """Where in memory each number of an array lies."""
    where = np.full(array.shape, array.__array_interface__["data"][0])
    for axis, (size, stride) in enumerate(zip(array.shape, array.strides)):
        where = where + (np.arange(size) * stride).reshape([-1 if k == axis else 1 for k in range(array.ndim)])
    return where
