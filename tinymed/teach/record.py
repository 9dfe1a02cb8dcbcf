"""Record a function while it runs: which statement, which cells, which numbers, what came of it.

Nothing is rewritten: the function runs as it stands, on plain arrays, and Python tells before each of its lines
(`sys.settrace`). So a trace shows the engine's own loops, or a student's.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

from tinymed.teach.steps import Cells, Step, Trace
from tinymed.teach.substitute import Places, Reader, copied, harmless, place_of, text_of, value_of

SIGNS = {"+", "-", "*", "/", "//", "%", "**", "@"}
LIMIT = 5000  # steps: more than anyone walks through
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Statement:
    """A line worth a step: where it stands, what it says, the expression that it computes and where that goes."""

    line: int
    end: int
    code: str
    value: ast.expr
    targets: tuple[ast.expr, ...]
    sign: str  # "=", "+=", …; "" for a question


class Source:
    """The statements of a function that are steps: assignments to cells and names, and the questions of `if`."""

    def __init__(self, function: Callable, formulas: dict[str, str] | None) -> None:
        try:
            lines, first = inspect.getsourcelines(function)
        except (OSError, TypeError):
            raise ValueError(
                f"the source of {getattr(function, '__name__', function)} cannot be read, and so not followed; "
                "write the function in Python, in a file or a notebook's cell"
            ) from None
        self.code: CodeType = function.__code__
        self.name = function.__name__
        file = Path(inspect.getsourcefile(function) or "")
        inside = file.resolve().is_relative_to(ROOT)
        self.file = file.resolve().relative_to(ROOT).as_posix() if inside else file.name
        self.formulas = formulas or {}
        text = textwrap.dedent("".join(lines))
        self.at: dict[int, Statement] = {}
        for node in ast.walk(ast.parse(text)):
            statement = _statement(node, text, first - 1)
            if statement and (formulas is None or statement.code in formulas):
                self.at[statement.line] = statement


def _statement(node: ast.AST, text: str, before: int) -> Statement | None:
    def said(part: ast.AST) -> str:
        return ast.get_source_segment(text, part) or ""

    def found(code: str, value: ast.expr, targets: Any, sign: str) -> Statement:
        last = value if isinstance(node, ast.If) else node
        return Statement(before + node.lineno, before + last.end_lineno, code, value, tuple(targets), sign)  # type: ignore

    if isinstance(node, ast.AugAssign):
        both = ast.BinOp(_as_read(node.target), node.op, node.value)
        sign = said(node).removeprefix(said(node.target)).split("=")[0].strip() + "="
        return found(said(node), both, (node.target,), sign)
    if isinstance(node, ast.Assign):
        target = node.targets[0]
        return found(said(node), node.value, target.elts if isinstance(target, ast.Tuple) else (target,), "=")
    if isinstance(node, ast.AnnAssign) and node.value:
        return found(said(node), node.value, (node.target,), "=")
    if isinstance(node, ast.If):
        return found(f"if {said(node.test)}", node.test, (), "if")
    if isinstance(node, ast.Return) and node.value:
        return found(said(node), node.value, (), "return")
    return None


def _as_read(target: Any) -> Any:
    if isinstance(target, ast.Subscript):
        return ast.Subscript(target.value, target.slice, ast.Load())
    return ast.Name(target.id, ast.Load())


class Recorder:
    """Runs functions and gathers their steps; several calls, forward and backward say, become one trace."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.steps: list[Step] = []
        self.owners: dict[str, np.ndarray] = {}  # the array that now goes by a name
        self.known: dict[str, np.ndarray] = {}  # what was last seen in it
        self.arrays: dict[str, np.ndarray] = {}  # what was first seen in it
        self.born: set[str] = set()
        self.phase = "forward"
        self.sources: dict[CodeType, Source] = {}

    def trace(self) -> Trace:
        return Trace(self.title, self.arrays, self.steps, self.born)

    def run(
        self,
        phase: str,
        function: Callable,
        *args: Any,
        formulas: dict[str, dict[str, str]] | None = None,
        names: dict[str, str] | None = None,
    ) -> Any:
        """Call function(*args) and record its statements; return what it returned.

        formulas  {name of a function: {statement: LaTeX}}: just these statements are steps, also in functions that
                  this one calls. Without, every assignment and question of the function itself is one.
        names     {what the function calls an array: what the trace is to call it}
        Raises ValueError for more steps than anyone would walk through.
        """
        self.phase = phase
        wanted = [function] if formulas is None else _helpers(function, formulas)
        tables = formulas or {}
        self.sources = {s.code: s for s in [Source(f, tables.get(f.__name__)) for f in wanted]}
        self.names = names or {}
        bound = inspect.signature(function).bind(*args)  # a TypeError for arguments that it does not take
        for name, value in bound.arguments.items():
            if isinstance(value, np.ndarray):
                self.look(name, value, given=True)
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            return function(*args)
        finally:
            sys.settrace(before)
            if self.steps and (late := self.changes()):  # what a function filled after its last step
                self.steps[-1] = replace(self.steps[-1], changes=self.steps[-1].changes + late)

    # ------------------------------------------------------------ what Python tells

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        source = self.sources.get(frame.f_code)
        return _Watch(self, source) if source else None

    # ------------------------------------------------------------ arrays

    def look(self, name: str, array: np.ndarray, given: bool = False) -> None:
        """Take note of an array under the name that it goes by, unless its memory already has one."""
        if array.dtype.kind not in "fiub" or not array.size or self.whose(array):
            return
        name = self.names.get(name, name)
        if name in self.arrays and self.arrays[name].shape != array.shape:
            name += "′"  # another array of the same name
        self.owners[name] = array
        if name not in self.arrays:
            self.arrays[name] = self.known[name] = array.astype(float)
            if not given:
                self.born.add(name)

    def whose(self, array: np.ndarray) -> str:
        """The name of the array whose memory this is a part of, or ""."""
        for name, owner in self.owners.items():
            if np.may_share_memory(array, owner):
                return name
        return ""

    def cells(self, array: np.ndarray, index: Any = ...) -> Cells | None:
        """array[index] as the cells of the array that owns the memory."""
        name = self.whose(array)
        if not name:
            return None
        owner = self.owners[name]
        first = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
        ids = np.full(array.shape, first // owner.itemsize)
        for axis, (size, stride) in enumerate(zip(array.shape, array.strides)):
            along = np.arange(size) * (stride // owner.itemsize)
            ids = ids + along.reshape([-1 if k == axis else 1 for k in range(array.ndim)])
        return name, tuple(int(k) for k in np.ravel(ids[index]))

    def scalar(self, name: str, value: float) -> Cells:
        """A plain number that was given a name: an array of one cell."""
        if name in self.owners and self.owners[name].ndim == 0:
            self.owners[name][...] = value
        else:
            self.owners[name] = np.array(float(value))
            self.arrays.setdefault(name, np.array(0.0))
            self.known.setdefault(name, np.array(0.0))
            self.born.add(name)
        return name, (0,)

    def changes(self) -> tuple[tuple[str, int, float, float], ...]:
        """Every number that is another than when last looked at."""
        found = []
        for name, owner in self.owners.items():
            now, then = owner.astype(float), self.known[name]
            differ = np.flatnonzero((now != then) & ~(np.isnan(now) & np.isnan(then)))
            found += [(name, int(k), float(then.flat[k]), float(now.flat[k])) for k in differ]
            self.known[name] = now
        return tuple(found)

    def named(self, cells: Cells) -> str:
        """y[0,0,1,1]; axes along which several cells were meant are written as :"""
        name, ids = cells
        shape = self.arrays[name].shape
        if not shape:
            return name
        where = np.array(np.unravel_index(np.array(ids, int), shape))
        axes = [str(row[0]) if (row == row[0]).all() else ":" for row in where] if len(ids) else [":"]
        return name if set(axes) == {":"} else f"{name}[{','.join(axes)}]"


def _helpers(function: Callable, formulas: dict[str, dict[str, str]]) -> list[Callable]:
    """The function and those of its module that it may call and that have formulas."""
    others = (function.__globals__.get(name) for name in formulas)
    return [function, *(f for f in others if inspect.isfunction(f) and f.__code__ is not function.__code__)]


class _Watch:
    """One call of a function: sees each of its lines before it runs, and what came of it after."""

    def __init__(self, recorder: Recorder, source: Source) -> None:
        self.recorder, self.source = recorder, source
        self.waiting: Any = None

    def __call__(self, frame: FrameType, event: str, value: Any) -> _Watch:
        if event == "line" and self.waiting:
            now = self.waiting[0]
            if now.line < now.end and now.line <= frame.f_lineno <= now.end:
                return self  # further down the same statement
        if event in ("line", "return"):
            self.finish(frame, value)
        if event == "line":
            for name, array in frame.f_locals.items():
                if isinstance(array, np.ndarray):
                    self.recorder.look(name, array)
            if statement := self.source.at.get(frame.f_lineno):
                self.begin(statement, frame)
        return self

    def begin(self, statement: Statement, frame: FrameType) -> None:
        recorder, names = self.recorder, frame.f_globals | frame.f_locals
        if len(recorder.steps) >= LIMIT:
            raise ValueError(
                f"a trace of {recorder.title} would have more than {LIMIT} steps; trace a smaller input, "
                "such as one sample, one channel and a corner of the image"
            )
        reader = Reader(recorder, names)
        numbers = reader.visit(copied(statement.value))
        places = Places(recorder, names).visit(copied(statement.value))
        to = [recorder.cells(*at) if (at := place_of(target, names)) else None for target in statement.targets]
        self.waiting = statement, numbers, places, tuple(dict.fromkeys(reader.reads)), to

    def finish(self, frame: FrameType, returned: Any) -> None:
        if self.waiting is None:
            return
        recorder = self.recorder
        statement, numbers, places, reads, to = self.waiting
        self.waiting = None
        names = frame.f_globals | frame.f_locals
        writes, results = [], []
        for target, cells in zip(statement.targets, to):
            if isinstance(target, ast.Name) and target.id in frame.f_locals:
                value = names[target.id]
                if isinstance(value, np.ndarray):
                    recorder.look(target.id, value)
                    cells = recorder.cells(value)
                elif isinstance(value, int | float | np.number) and not isinstance(value, bool):
                    cells = recorder.scalar(target.id, float(value))
            if cells:
                name, ids = cells
                now = [float(recorder.owners[name].flat[k]) for k in ids]
                results.append(now[0] if len(now) == 1 else now)
                writes.append(cells)
        if statement.sign == "if" and harmless(statement.value):
            results = [bool(value_of(statement.value, names))]
        if statement.sign == "return" and isinstance(returned, int | float | np.number | np.ndarray):
            results = [np.asarray(returned, float).tolist()]
        if not results:
            return
        left = ", ".join(recorder.named(cells) for cells in writes)
        right = text_of(places.right if statement.sign.removesuffix("=") in SIGNS else places)
        source = self.source
        recorder.steps.append(
            Step(
                recorder.phase,
                source.name,
                f"{source.file}:{statement.line}",
                statement.code,
                source.formulas.get(statement.code, ""),
                f"{left} {statement.sign} {right}".strip(),
                text_of(numbers),
                results[0] if len(results) == 1 else results,
                reads,
                tuple(writes),
                recorder.changes(),
            )
        )
