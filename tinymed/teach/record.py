"""Record a function while it runs: which statement, which cells, which numbers, what came of it.

Nothing is rewritten: the function runs as it stands, on plain arrays, and Python tells before each of its lines
(`sys.settrace`). So a trace shows the engine's own loops, or a student's.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import CodeType, FrameType
from typing import Any

import numpy as np

from tinymed.teach.memory import MOST, Memory
from tinymed.teach.source import Source, Statement
from tinymed.teach.steps import Cells, Step, Trace
from tinymed.teach.substitute import Places, Reader, copied, names_of, number, place_of, text_of, value_of

LIMIT = 5000  # steps: more than anyone walks through


class _Stop(BaseException):
    """Ends a function whose trace is refused; no `except Exception` in it shall hold this up."""


class Recorder:
    """Runs functions and gathers their steps; several calls, forward and backward say, become one trace."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.steps: list[Step] = []
        self.memory = Memory()
        self.phase = "forward"
        self.sources: dict[CodeType, Source] = {}
        self.refused = ""

    def trace(self) -> Trace:
        return Trace(self.title, self.memory.arrays, self.steps, self.memory.born)

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
                  this one calls. Without, every assignment, question, answer and call of the function itself is one.
        names     {what the function calls an array: what the trace is to call it}
        Raises ValueError for more steps, or more numbers, than anyone would walk through.
        """
        self.phase, self.memory.names = phase, names or {}
        tables = formulas or {}
        wanted = [function, *_helpers(function, tables)]
        self.sources = {s.code: s for s in [Source(f, tables.get(_name(f)) if tables else None) for f in wanted]}
        bound = inspect.signature(function).bind(*args)  # a TypeError for arguments that it does not take
        for name, value in bound.arguments.items():
            if isinstance(value, np.ndarray):
                self.memory.look(name, value, given=True)
        if not tables:
            self._look_around(inspect.unwrap(function))
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            with suppress(_Stop):
                return function(*args)
        finally:
            sys.settrace(before)
            if self.refused:
                raise ValueError(self.refused) from None
            if self.steps and (late := self.memory.changes()):  # what a function filled after its last step
                self.steps[-1] = replace(self.steps[-1], changes=self.steps[-1].changes + late)

    def _look_around(self, function: Callable) -> None:
        """At the arrays that a function uses and does not make: globals."""
        for name in function.__code__.co_names:
            value = function.__globals__.get(name)
            if isinstance(value, np.ndarray) and value.size <= MOST:
                self.memory.look(name, value, given=True)

    def refuse(self, why: str) -> None:
        self.refused = why
        raise _Stop

    # ------------------------------------------------------------ what Python tells

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        source = self.sources.get(frame.f_code)
        return _Watch(self, source) if source else None


def _name(function: Callable) -> str:
    return getattr(function, "__name__", "")


def _helpers(function: Callable, formulas: dict[str, dict[str, str]]) -> list[Callable]:
    """Those functions of the same module that it may call and that have formulas."""
    others = (function.__globals__.get(name) for name in formulas)
    return [f for f in others if inspect.isfunction(f) and f.__code__ is not function.__code__]


class _Watch:
    """One call of a function: sees each of its lines before it runs, and what came of it after."""

    def __init__(self, recorder: Recorder, source: Source) -> None:
        self.recorder, self.source = recorder, source
        self.waiting: _Begun | None = None
        self.answer: _Begun | None = None  # a return, which counts when the function ends and not before

    def __call__(self, frame: FrameType, event: str, value: Any) -> _Watch:
        if event == "exception":
            self.waiting = self.answer = None
        elif event == "line":
            if self.waiting and self.waiting.goes_on(frame.f_lineno):
                return self
            self.finish(self.waiting, frame)
            self.waiting = None
            self.look(frame)
            if statement := self.source.at.get(frame.f_lineno):
                self.begin(statement, frame)
        elif event == "return":
            self.finish(self.waiting, frame)
            self.finish(self.answer, frame, value)
        return self

    def look(self, frame: FrameType) -> None:
        for name, array in frame.f_locals.items():
            if isinstance(array, np.ndarray):
                try:
                    self.recorder.memory.look(name, array)
                except ValueError as too_large:
                    self.recorder.refuse(str(too_large))

    def begin(self, statement: Statement, frame: FrameType) -> None:
        if len(self.recorder.steps) >= LIMIT:
            self.recorder.refuse(
                f"a trace of {self.recorder.title} would have more than {LIMIT} steps; trace a smaller input, "
                "such as one sample, one channel and a corner of the image"
            )
        begun = _Begun(statement, self.recorder.memory, frame)
        if statement.sign == "return":
            self.answer = begun
        else:
            self.waiting = begun

    def finish(self, begun: _Begun | None, frame: FrameType, returned: Any = None) -> None:
        if begun is None:
            return
        self.look(frame)
        memory, source, statement = self.recorder.memory, self.source, begun.statement
        writes = begun.written(frame)
        results: list[Any] = [v[0] if len(v) == 1 else v for v in map(memory.values, writes)]
        if statement.sign == "if" and begun.asked is not None:
            results = [bool(begun.asked)]
        elif statement.sign == "return":
            plain = isinstance(returned, np.ndarray) and returned.dtype.kind in "fiub"
            results = [np.asarray(returned, float).tolist()] if plain or number(returned) is not None else []
        if not results and statement.sign:
            return
        changes = memory.changes()
        if not statement.sign:  # a call: what it changed is what it did
            if not changes:
                return
            touched = {name: tuple(k for n, k, _, _ in changes if n == name) for name, *_ in changes}
            writes, results = list(touched.items()), [after for *_, after in changes]
        self.recorder.steps.append(
            Step(
                phase=self.recorder.phase,
                twin=source.name,
                source=f"{source.file}:{statement.line}",
                code=statement.code,
                formula=source.formulas.get(statement.code, ""),
                places=begun.text(),
                numbers=text_of(begun.numbers),
                result=results[0] if len(results) == 1 else results,
                reads=begun.reads,
                writes=tuple(writes),
                changes=changes,
            )
        )


class _Begun:
    """A statement just before it runs, and what it looks at."""

    def __init__(self, statement: Statement, memory: Memory, frame: FrameType) -> None:
        names = names_of(frame)
        self.statement, self.memory = statement, memory
        reader = Reader(memory, names)
        self.numbers = reader.visit(copied(statement.value))
        self.places = Places(memory, names).visit(copied(statement.value))
        self.reads: tuple[Cells, ...] = tuple(dict.fromkeys(reader.reads))
        self.asked = value_of(statement.value, names) if statement.sign == "if" else None
        self.lefts: list[str] = []  # what was written, as the step says it
        at = [place_of(target, names) for target in statement.targets]
        self.to = [memory.cells(*place) if place else None for place in at]

    def goes_on(self, line: int) -> bool:
        """Whether a line is further down the same statement."""
        return self.statement.line < self.statement.end and self.statement.line <= line <= self.statement.end

    def written(self, frame: FrameType) -> list[Cells]:
        """The cells that received something, now that it has run."""
        found = []
        for target, cells in zip(self.statement.targets, self.to):
            value = frame.f_locals.get(target.id) if hasattr(target, "id") else None
            if isinstance(value, np.ndarray):
                cells = self.memory.cells(value)
            elif (plain := number(value)) is not None:
                cells = self.memory.scalar(target.id, plain)  # type: ignore[attr-defined]
            if cells and cells[1]:
                found.append(cells)
                name = getattr(target, "id", "")  # a view goes by the name that it was given here
                own = cells[0].rstrip("′") == name
                self.lefts.append(name if name and not own else self.memory.named(cells, by_name=bool(name)))
        return found

    def text(self) -> str:
        """The statement with the cells that it meant."""
        sign = self.statement.sign
        if sign in ("", "return", "if"):
            return f"{sign} {text_of(self.places)}".strip()
        right = self.places if sign == "=" else self.places.right
        return f"{', '.join(self.lefts)} {sign} {text_of(right)}"
