"""A trace: the steps of a computation, kept so that they can be played forwards and backwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

LONG = 12  # numbers that are still written out
Cells = tuple[str, tuple[int, ...]]  # of which array, and which of its numbers, counted row by row


@dataclass(frozen=True)
class Step:
    """One statement that ran, with the numbers that it met.

    phase    "forward", "backward" or "update"
    twin     the function it stands in, source its place: "kernels/reference.py:84"
    code     the statement; formula is what it computes, in LaTeX ("" if nobody has written it down)
    places   the statement with the cells that it meant: y[0,0,1,1] += w[0,0,0,1] * x[0,0,1,2]
    numbers  what was computed, with the numbers put in: 6 + 0 * 8
    result   what came of it: a number, a truth value, or the numbers of several cells
    reads    the cells looked at, writes those that received the result
    changes  (array, cell, before, after) for every number that is another after this step
    """

    phase: str
    twin: str
    source: str
    code: str
    formula: str
    places: str
    numbers: str
    result: Any
    reads: tuple[Cells, ...]
    writes: tuple[Cells, ...]
    changes: tuple[tuple[str, int, float, float], ...]

    def __str__(self) -> str:
        return f"{self.places:<48} {self.numbers} → {shown(self.result)}"


class Trace(Sequence[Step]):
    """The steps of a computation, in order, and the arrays that they went through.

    title    what is computed
    arrays   every array by name, as it stood before the first step
    born     the names of those that the computation made itself: their cells count as empty until written
    final    every array as it stands after the last step

    `trace[k]` is step k, `trace.at(k)` the arrays after the first k steps, for any k and in any order.
    In a notebook the trace shows itself as a player; `trace.show()` prints it, `trace.play()` walks it in a
    terminal, and `trace.save("conv.html")` writes a page that needs nothing else.
    """

    def __init__(
        self, title: str, arrays: dict[str, np.ndarray], steps: list[Step], born: set[str] | None = None
    ) -> None:
        self.title, self.arrays, self.steps, self.born = title, arrays, steps, born or set()

    def __len__(self) -> int:
        return len(self.steps)

    @overload
    def __getitem__(self, k: int) -> Step: ...
    @overload
    def __getitem__(self, k: slice) -> list[Step]: ...
    def __getitem__(self, k: Any) -> Any:
        return self.steps[k]

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def at(self, k: int) -> dict[str, np.ndarray]:
        """Every array after the first k steps, 0 ≤ k ≤ len(trace). Raises IndexError beyond."""
        if not 0 <= k <= len(self):
            raise IndexError(f"the trace has {len(self)} steps; asked for the arrays after {k}")
        arrays = {name: array.copy() for name, array in self.arrays.items()}
        for step in self.steps[:k]:
            for name, cell, _, after in step.changes:
                arrays[name].flat[cell] = after
        return arrays

    @property
    def final(self) -> dict[str, np.ndarray]:
        return self.at(len(self))

    def written(self, k: int) -> dict[str, set[int]]:
        """The cells of each array that the first k steps have written."""
        cells: dict[str, set[int]] = {name: set() for name in self.arrays}
        for step in self.steps[:k]:
            for name, ids in step.writes:
                cells[name].update(ids)
            for name, cell, _, _ in step.changes:
                cells[name].add(cell)
        return cells

    def starts(self) -> list[int]:
        """Where a new result begins: the first of each run of steps that lead to the same cells by the same line.

        A question, which writes nothing, belongs to the result that it leads to.
        """
        goals: list[Any] = []
        goal: Any = None
        for step in reversed(self.steps):
            goal = (step.writes, step.code, step.twin) if step.writes or goal is None else goal
            goals.append(goal)
        goals.reverse()
        return [k for k, goal in enumerate(goals) if k == 0 or goal != goals[k - 1]]

    def show(self, stop: int | None = None) -> None:
        """Print the steps, a line each, up to step `stop`."""
        part = None
        for k, step in enumerate(self.steps[:stop]):
            if (step.phase, step.twin) != part:
                part = step.phase, step.twin
                print(f"{step.phase}: {step.twin}, {step.source.partition(':')[0]}")
            print(f"{k:>5}  {step}")
        if stop is not None and stop < len(self):
            print(f"       … {len(self) - stop} more")

    def play(self) -> None:
        """Walk the trace in the terminal, with the arrow keys."""
        from tinymed.teach.terminal import play

        play(self)

    def save(self, path: str | Path) -> Path:
        """Write the trace as one HTML page that needs no network and nothing beside it."""
        from tinymed.teach.player import page

        path = Path(path)
        path.write_text(page(self), encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        from tinymed.teach.player import fragment

        return fragment(self)

    def __repr__(self) -> str:
        return f"<Trace of {self.title}: {len(self)} steps>"


def shown(value: Any) -> str:
    """Numbers as a person writes them: to five places, no needless zeros; vectors in brackets, long ones by shape."""
    if isinstance(value, tuple) and len(value) > LONG:
        return f"{len(value)} entries"
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list) and _count(value) > LONG:
        return f"{'x'.join(map(str, _shape(value)))} numbers"
    if isinstance(value, list | tuple):
        return f"[{', '.join(shown(v) for v in value)}]"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        text = f"{float(value):.5g}"
        return "0" if text == "-0" else text
    return str(value)


def _count(value: Any) -> int:
    return sum(map(_count, value)) if isinstance(value, list) else 1


def _shape(value: Any) -> tuple[int, ...]:
    """Of rows of the same length; of others, how many they hold in all."""
    inner = {_shape(v) for v in value} if isinstance(value, list) else set()
    if len(inner) > 1:
        return (_count(value),)
    return (len(value), *inner.pop()) if inner else ()
