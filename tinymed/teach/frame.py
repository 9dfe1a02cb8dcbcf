"""The picture of a trace after k steps, for the terminal: the step in words, and the arrays it met."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tinymed.teach.latex import plain
from tinymed.teach.steps import Step, Trace, shown

LARGE = 8  # rows and columns of a matrix drawn at a time, where there is room
MANY = 7  # arrays; of more, only those that a step touches are drawn
RANKS = ["write", "read", "window"]  # whose arrays are drawn rather than others
STYLES = {"write": "bold black on yellow", "read": "bold white on blue", "window": "cyan", "empty": "dim", "": ""}


def frame(trace: Trace, k: int, below: str = "") -> RenderableType:
    """The trace after k steps: the last of them, and the arrays, as many and as large as there is room for."""
    step = trace[k - 1] if k else None
    where = f"step {k} of {len(trace)}" if step else "before the first step"
    title = Text.assemble((trace.title, "bold"), f"   {where}   {step.phase if step else ''}")
    rule = Rule(characters="─" if not step or step.phase != "backward" else "╌", style="dim")
    keys = Text(below or "← → a step   ↑ ↓ a result   g number   ? keys   q leaves", "dim")
    names, now, written, marked = drawn(trace, k), trace.at(k), trace.written(k), marks(trace, k)
    first = sorted(names, key=lambda name: min(map(RANKS.index, marked[name].values()), default=len(RANKS)))
    active = max(len(_active(trace, k)), 1)

    def picture(count: int, rows: int, width: int) -> Group:
        kept = [name for name in names if name in first[:count]]
        arrays = []
        for name in kept:
            filled = written[name] if name in trace.born else None
            arrays.append(matrix(name, now[name], focus(trace, k, name), marked[name], filled, rows, width))
        hidden = ", ".join(name for name in trace.arrays if name not in kept)
        others = [Text(f"not drawn here: {hidden}", "dim", no_wrap=True, overflow="ellipsis")] if hidden else []
        return Group(title, rule, _lines(step), Text(), _Shelves(arrays), *others, keys)

    sizes = [(count, rows) for rows in (LARGE, 4, 2, 1) for count in range(len(names), active - 1, -1)]
    sizes += [(count, 1) for count in range(active - 1, 0, -1)]
    return _Fitting([partial(picture, *size) for size in sizes])


class _Fitting:
    """The first of several pictures that the screen is high enough for, or the last."""

    def __init__(self, pictures: list[Callable[[int], RenderableType]]) -> None:
        self.pictures = pictures  # each for a width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for draw in self.pictures:
            picture = draw(options.max_width)
            if len(console.render_lines(picture, options.update(height=None))) <= options.max_height:
                break
        yield picture


def _lines(step: Step | None) -> RenderableType:
    if step is None:
        return Text("The arrays as they are given.")
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_row("formula", Text(plain(step.formula)))
    lines.add_row("code", Text.assemble(step.code, (f"   {step.source}", "dim")))
    lines.add_row("cells", Text(step.places))
    lines.add_row("numbers", Text.assemble(step.numbers, " → ", (shown(step.result), "bold")))
    return lines


class _Shelves:
    """Texts side by side, as many in a row as there is room for."""

    def __init__(self, texts: list[Text]) -> None:
        self.texts = texts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows: list[list[Text]] = [[]]
        left = options.max_width
        for text in self.texts:
            width = max(line.cell_len for line in text.split("\n")) + 3
            if rows[-1] and width - 3 > left:
                rows.append([])
                left = options.max_width
            rows[-1].append(text)
            left -= width
        for row in rows:
            shelf = Table.grid(padding=(0, 3))
            shelf.add_row(*row)
            yield from (shelf, Text())


def drawn(trace: Trace, k: int) -> list[str]:
    """The arrays to draw: those met up to the end of this phase or, where they are many, those met last."""
    if not len(trace):
        return list(trace.arrays)
    phase = trace[max(k - 1, 0)].phase
    end = next((j for j in range(k, len(trace)) if trace[j].phase != phase), len(trace))
    now, later = ({name for s in part for name in _touched(s)} for part in (trace.steps[:end], trace.steps[end:]))
    names = [name for name in trace.arrays if name in now or (name not in later and name not in trace.born)]
    if len(names) <= MANY:
        return names
    last: dict[str, None] = {}
    for j in reversed(range(k)):
        last |= dict.fromkeys(name for name, _ in (*trace[j].writes, *trace[j].reads))
        if len(last) >= MANY:
            break
    wanted = max(MANY, len(_active(trace, k)))
    return [name for name in names if name in list(last)[:wanted]] or names[:MANY]


def _active(trace: Trace, k: int) -> set[str]:
    return {name for s in trace.steps[k - 1 : k] for name, _ in (*s.writes, *s.reads)} if k else set()


def _touched(step: Step) -> set[str]:
    return {name for name, _ in (*step.reads, *step.writes)} | {name for name, *_ in step.changes}


def marks(trace: Trace, k: int) -> dict[str, dict[int, str]]:
    """What the last of k steps does to the cells of each array: write, read, or window (read for the same result)."""
    found: dict[str, dict[int, str]] = {name: {} for name in trace.arrays}
    if not k:
        return found
    step = trace[k - 1]
    before = trace[max(start for start in trace.starts() if start < k) : k - 1]
    groups = [("window", s.reads) for s in before] + [("read", step.reads), ("write", step.writes)]
    for mark, cells in groups:
        for name, ids in cells:
            found[name].update(dict.fromkeys(ids, mark))
    return found


def matrix(
    name: str,
    array: np.ndarray,
    cell: int,
    mark: dict[int, str],
    written: set[int] | None = None,
    rows: int = LARGE,
    width: int = 100,
) -> Text:
    """An array as text, its part with the cell: of more than two axes a slice, and no more than there is room for.

    mark says what happens to which cells; if written is given, only those cells have a number.
    """
    if not array.size:
        return Text.assemble((name, "bold"), "\n no numbers ")
    filled = range(array.size) if written is None else written
    at = np.unravel_index(cell, array.shape) if array.shape else ()
    *row, column = _kept(array.shape) or [0]
    for columns in (LARGE, 4, 2, 1):
        lengths = {**dict.fromkeys(row, rows), column: columns}
        index = tuple(
            _part(int(at[axis]), size, lengths[axis]) if axis in lengths else int(at[axis])
            for axis, size in enumerate(array.shape)
        )
        ids = np.atleast_2d(np.arange(array.size).reshape(array.shape)[index])
        cells = [[_cell(array.flat[c], mark.get(c, "" if c in filled else "empty")) for c in line] for line in ids]
        wide = max(len(text) for line in cells for text, _ in line)
        if wide * ids.shape[1] <= width:
            break
    whole = all(part == slice(0, size) for part, size in zip(index, array.shape))
    lines = [Text(name if whole else f"{name}[{','.join(_named(p, n) for p, n in zip(index, array.shape))}]", "bold")]
    lines += [Text("").join(Text(text.rjust(wide), STYLES[style]) for text, style in line) for line in cells]
    return Text("\n").join(lines)


def _cell(value: float, mark: str) -> tuple[str, str]:
    text = shown(float(value))
    written = {"write": f"[{text}]", "read": f"({text})", "window": f" {text}'", "empty": " · "}
    return written.get(mark, f" {text} "), mark


def focus(trace: Trace, k: int, name: str) -> int:
    """The cell of an array that was touched last in k steps."""
    for step in reversed(trace.steps[:k]):
        for other, ids in (*step.writes, *step.reads):
            if other == name and ids:
                return ids[0]
    return 0


def _kept(shape: tuple[int, ...]) -> list[int]:
    """The two axes drawn: the last that are longer than 1, before those that are not."""
    return sorted(sorted(range(len(shape)), key=lambda axis: (shape[axis] > 1, axis))[-2:])


def _part(at: int, size: int, length: int) -> slice:
    start = at // length * length
    return slice(start, min(start + length, size))


def _named(part: int | slice, size: int) -> str:
    if isinstance(part, int):
        return str(part)
    return ":" if part == slice(0, size) else f"{part.start}:{part.stop}"
