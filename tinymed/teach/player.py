"""A trace as HTML: a player with formula, line of code, numbers and matrices, that steps forwards and backwards.

The formulas become MathML here, so that the page needs no library and no network. `memory.js` knows the trace at any
step, `player.js` draws it, in a shadow root that styles of the page around it do not reach. Where no script runs, a
table of the steps is left.
"""

from __future__ import annotations

import json
import math
import uuid
from html import escape
from pathlib import Path
from typing import Any

from tinymed.teach.latex import mathml
from tinymed.teach.steps import Cells, Trace, shown

HERE = Path(__file__).parent
SCRIPT = '(function (id, css) {{\n"use strict";\n{}\n{}\n}})("{}", {});'
ROWS = 200  # of the table that is there without a script

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font-family: system-ui, sans-serif; }}
body {{ margin: 0 auto; max-width: 72rem; padding: 0.75rem; }}
</style>
</head>
<body>
{player}
</body>
</html>
"""


def fragment(trace: Trace, alone: bool = False) -> str:
    """The player as a piece of HTML, for notebooks and pages; `alone` on its page, it takes all of the page's keys."""
    text = json.dumps(data(trace), ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", r"\u003c")
    key = f"trace-{uuid.uuid5(uuid.NAMESPACE_URL, text)}"
    memory, player, css = ((HERE / name).read_text("utf-8") for name in ("memory.js", "player.js", "player.css"))
    script = SCRIPT.format(memory, player, key, json.dumps(css).replace("<", r"\u003c"))
    return (
        f'<div id="{key}" class="tinymed-trace"{" data-alone" if alone else ""} data-lm-suppress-shortcuts="true">\n'
        f'<script type="application/json">{text}</script>\n{_table(trace)}\n</div>\n'
        f"<script>{script}</script>"
    )


def page(trace: Trace) -> str:
    """The player as a whole page, to be opened from a disk."""
    return PAGE.format(title=escape(trace.title), player=fragment(trace, alone=True))


def data(trace: Trace) -> dict[str, Any]:
    """All of the trace as JSON has it. What many steps share (lines, formulas, sets of cells) stands in tables.

    arrays    [name, shape, numbers before the first step, whether the computation made it]
    formulas  [LaTeX, MathML]
    lines     [phase, twin, source, code, formula]
    cells     [array, cells]
    steps     [line, places, numbers, result, reads, writes, [[array, cell, before, after], …]]
    starts    where a new result begins
    """
    number = {name: k for k, name in enumerate(trace.arrays)}
    formulas, lines, cells = _Table(), _Table(), _Table()

    def several(group: tuple[Cells, ...]) -> list[int]:
        return [cells[number[name], ids] for name, ids in group]

    steps = [
        [
            lines[s.phase, s.twin, s.source, s.code, formulas[s.formula]],
            s.places,
            s.numbers,
            _plain(s.result),
            several(s.reads),
            several(s.writes),
            [[number[name], cell, _plain(before), _plain(after)] for name, cell, before, after in s.changes],
        ]
        for s in trace
    ]
    return {
        "title": trace.title,
        "arrays": [[name, a.shape, _plain(a.ravel().tolist()), name in trace.born] for name, a in trace.arrays.items()],
        "formulas": [[latex, mathml(latex)] for latex in formulas.rows],
        "lines": list(lines.rows),
        "cells": list(cells.rows),
        "steps": steps,
        "starts": trace.starts(),
    }


class _Table:
    """Gives each thing the number of its row; equal things have one row."""

    def __init__(self) -> None:
        self.rows: dict[Any, int] = {}

    def __getitem__(self, row: Any) -> int:
        return self.rows.setdefault(row, len(self.rows))


def _plain(value: Any) -> Any:
    """JSON knows neither NaN nor ∞: they are the words nan, inf and -inf."""
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(float(value)) if isinstance(value, float) and not math.isfinite(value) else value


def _table(trace: Trace) -> str:
    """The first steps as text."""
    rows = "".join(
        f"<tr><td>{k}</td><td><code>{escape(s.places)}</code></td>"
        f"<td><code>{escape(s.numbers)} → {escape(shown(s.result))}</code></td></tr>\n"
        for k, s in enumerate(trace.steps[:ROWS], 1)
    )
    more = f"<p>… {len(trace) - ROWS} more steps</p>" if len(trace) > ROWS else ""
    return (
        '<div style="max-height: 30em; overflow: auto"><table>\n'
        f"<caption>{escape(trace.title)}: {len(trace)} steps</caption>\n"
        f"<tr><th>step</th><th>cells</th><th>numbers</th></tr>\n{rows}</table>{more}</div>"
    )
