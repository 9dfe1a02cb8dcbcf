"""A trace in the terminal, walked with the arrow keys.

`frame(trace, k)` is the picture after k steps; it depends on nothing else, so a step back is the picture before.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

import click
import numpy as np
from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec, get_default_latex_context_db
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tinymed.teach.steps import Step, Trace, shown

LARGE = 8  # rows and columns of a matrix drawn at a time
MANY = 7  # arrays; of more, only those that a step touches are drawn
STYLES = {"write": "bold black on yellow", "read": "bold white on blue", "window": "cyan", "empty": "dim", "": ""}
KEYS = {
    "next": ("\x1b[C", "\x1bOC", "\xe0M", "\x00M", " ", "\r", "n"),
    "back": ("\x1b[D", "\x1bOD", "\xe0K", "\x00K", "\x7f", "b"),
    "next result": ("\x1b[B", "\x1bOB", "\x1b[6~", "\xe0P", "\x00P", "\xe0Q", "\x00Q"),
    "previous result": ("\x1b[A", "\x1bOA", "\x1b[5~", "\xe0H", "\x00H", "\xe0I", "\x00I"),
    "first": ("\x1b[H", "\x1bOH", "\x1b[1~", "\xe0G", "\x00G"),
    "last": ("\x1b[F", "\x1bOF", "\x1b[4~", "\xe0O", "\x00O"),
    "quit": ("q", "Q", "\x1b"),
    "help": ("?", "h"),
}
KEY = r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO.|[\x00\xe0].|."
ACTS = {key: act for act, keys in KEYS.items() for key in keys}
HELP = """\
← →                   one step back, one step on (also b and n)
↑ ↓  PageUp PageDown  the previous result, the next result
Home End              before the first step, after the last
16 Enter              to step 16 (also g 16 Enter)
q                     leave

[14]  written now
(5)   read now
5'    read before, for the same result
·     not yet written
"""


# ---------------------------------------------------------------- walking


def play(trace: Trace, keys: Iterable[str] | None = None, console: Console | None = None) -> int:
    """Walk the trace until q; return how many steps had then been done.

    keys  what was pressed, instead of the keyboard. Where nobody can press any, the steps are printed.
    """
    if keys is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        trace.show()
        return len(trace)
    console = console or Console()
    k, typed, helping = min(1, len(trace)), "", False
    screen = Live(console=console, screen=keys is None, auto_refresh=False)
    with suppress(KeyboardInterrupt), screen as live:
        live.update(frame(trace, k), refresh=True)
        for key in _pressed() if keys is None else keys:
            act = ACTS.get(key, "")
            if key == "g" or (key.isdigit() and len(key) == 1) or (typed and key in "\x7f\b"):
                typed = typed[:-1] if key in "\x7f\b" else typed + key
            elif typed and key in "\r\n":
                k, typed = min(int(typed.strip("g") or k), len(trace)), ""
            elif act == "quit" and not helping:
                break
            else:
                k, typed = move(trace, k, act), ""
            helping = act == "help" and not helping
            below = f"to step {typed.strip('g')}_   (Enter)" if typed else ""
            live.update(Text(HELP) if helping else frame(trace, k, below), refresh=True)
    return k


def _pressed() -> Iterator[str]:
    """The keys, until there are no more; Ctrl-C and Ctrl-D leave as q does."""
    with suppress(KeyboardInterrupt, EOFError):
        while True:
            yield from re.findall(KEY, click.getchar(), re.DOTALL)  # a key held down comes in several at a time


def move(trace: Trace, k: int, act: str) -> int:
    """Where an act leads to from k steps."""
    n, begins = len(trace), [start + 1 for start in trace.starts()]
    to = {
        "next": k + 1,
        "back": k - 1,
        "next result": min((b for b in begins if b > k), default=n),
        "previous result": max((b for b in begins if b < k), default=0),
        "first": 0,
        "last": n,
    }
    return min(max(to.get(act, k), 0), n)


# ---------------------------------------------------------------- drawing


def frame(trace: Trace, k: int, below: str = "") -> RenderableType:
    """The trace after k steps: the last of them, and the arrays."""
    step = trace[k - 1] if k else None
    where = f"step {k} of {len(trace)}" if step else "before the first step"
    title = Text.assemble((trace.title, "bold"), f"   {where}   {step.phase if step else ''}")
    names = drawn(trace, k)
    now, written, marked = trace.at(k), trace.written(k), marks(trace, k)
    arrays = [
        matrix(name, now[name], focus(trace, k, name), marked[name], written[name] if name in trace.born else None)
        for name in names
    ]
    hidden = [name for name in trace.arrays if name not in names]
    others = Text(f"not drawn here: {', '.join(hidden)}", "dim") if hidden else Text()
    keys = Text(below or "← → a step   ↑ ↓ a result   g number   ? keys   q leaves", "dim")
    rule = Rule(characters="─" if not step or step.phase != "backward" else "╌", style="dim")
    return Group(title, rule, _lines(step), Text(), _Shelves(arrays), others, keys)


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
    groups = [("window", trace[j].reads) for j in window(trace, k)] + [("read", step.reads), ("write", step.writes)]
    for mark, cells in groups:
        for name, ids in cells:
            found[name].update(dict.fromkeys(ids, mark))
    return found


def window(trace: Trace, k: int) -> list[int]:
    """The steps before the last of k that went into the same result: same cells and line, or the questions before."""
    last, found = trace[k - 1], []
    for j in reversed(range(k - 1)):
        step = trace[j]
        if step.writes and (step.writes, step.source) != (last.writes, last.source):
            break
        found.append(j)
    return found


def matrix(name: str, array: np.ndarray, cell: int, mark: dict[int, str], written: set[int] | None = None) -> Text:
    """An array as text; of more than two axes, the slice with the cell; if written is given, only those cells."""
    filled = range(array.size) if written is None else written
    at = np.unravel_index(cell, array.shape) if array.shape else ()
    kept = _kept(array.shape)
    index = tuple(
        _part(int(at[axis]), size) if axis in kept else int(at[axis]) for axis, size in enumerate(array.shape)
    )
    whole = all(part == slice(0, size) for part, size in zip(index, array.shape))
    ids = np.atleast_2d(np.arange(array.size).reshape(array.shape)[index])
    cells = [[_cell(array.flat[c], mark.get(c, "" if c in filled else "empty")) for c in row] for row in ids]
    width = max(len(text) for row in cells for text, _ in row)
    lines = [Text(name if whole else f"{name}[{','.join(_named(p, n) for p, n in zip(index, array.shape))}]", "bold")]
    lines += [Text("").join(Text(text.rjust(width), STYLES[style]) for text, style in row) for row in cells]
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


def _kept(shape: tuple[int, ...]) -> set[int]:
    """The two axes drawn: the last that are longer than 1, before those that are not."""
    axes = range(len(shape))
    return set(axes if len(shape) <= 2 else sorted(axes, key=lambda axis: (shape[axis] > 1, axis))[-2:])


def _part(at: int, size: int) -> slice:
    start = at // LARGE * LARGE
    return slice(start, min(start + LARGE, size))


def _named(part: int | slice, size: int) -> str:
    if isinstance(part, int):
        return str(part)
    return ":" if part == slice(0, size) else f"{part.start}:{part.stop}"


# ---------------------------------------------------------------- LaTeX as text


def _fraction(node: Any, l2tobj: LatexNodes2Text) -> str:
    """a/b, with brackets around what would read otherwise without them."""
    parts = [l2tobj.nodelist_to_text(group.nodelist).strip() for group in node.nodeargs]
    bare = [re.sub(r"[_^]\{.*?\}", "", part) for part in parts]
    return "/".join(f"({part})" if re.search(r"[-+/· ]", rest) else part for part, rest in zip(parts, bare))


@lru_cache(1)
def _converter() -> LatexNodes2Text:
    macros = [MacroTextSpec("frac", _fraction), MacroTextSpec(",", " ")]
    words = {"cdot": "· ", "circ": "∘ ", "ni": "∋ ", "sum": "∑ ", "arg": "arg ", "ell": "ℓ "}
    words |= {name: f"{name} " for name in ("ln", "tanh", "max", "min")}
    macros += [MacroTextSpec(name, text) for name, text in words.items()]
    context = get_default_latex_context_db()
    context.add_context_category("formulas", macros=macros, prepend=True)
    return LatexNodes2Text(latex_context=context, keep_braced_groups=True)


@lru_cache(1024)
def plain(latex: str) -> str:
    """A formula as one line of text: ∂L/∂b_o = ∑_{n,i,j} g_{n,o,i,j}"""
    text = _converter().latex_to_text(latex)
    text = re.sub(r" +(?=[_^),}\]])", "", re.sub(r"\s+", " ", text))
    return re.sub(r"([_^])\{(\w)\}", r"\1\2", text).strip()
