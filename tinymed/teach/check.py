"""Check what a student wrote: the first wrong element, what was expected there, and which classic mistake gives that.

An exercise knows the right answer, draws cases, and holds the classic mistakes as functions. An answer that is
wrong is compared with each of them: one that computes the very same numbers is named in the hint.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import pkgutil
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinymed.autograd import grad
from tinymed.teach.compare import described, difference, small
from tinymed.tensor import Tensor

Case = dict[str, Any]  # the arguments by name
Outcome = list[np.ndarray] | type  # what a function gave, or the type of what it raised


class WrongAnswer(AssertionError):  # noqa: N818
    """What is wrong with an answer, in a sentence or two; `case`: the arguments, by name, that show it.

    To see it step by step, where the function takes arrays: trace.function(yours, *wrong.case.values()).
    """

    def __init__(self, said: str, case: Case | None = None) -> None:
        super().__init__(said)
        self.case = case or {}

    def _render_traceback_(self) -> list[str]:
        return [str(self)]  # a notebook shows the sentence, and no way through our files


@dataclass(frozen=True)
class Exercise:
    """A function for the student to write.

    name       as in check("conv2d", …)
    lesson     the number of the lesson that sets it
    task       what it is to compute, in a sentence
    answer     a right one: takes the arguments of a case; returns arrays, numbers or tensors, or several
    cases      random generator → cases, the plainest first
    mistakes   {hint: a wrong function that many a student writes}
    outputs    names of what it returns, for messages
    gradient   whether arguments arrive as tensors, so that what flows back is compared too
    tolerance  of each element, absolute and relative
    """

    name: str
    lesson: int
    task: str
    answer: Callable[..., Any]
    cases: Callable[[np.random.Generator], list[Case]]
    mistakes: dict[str, Callable[..., Any]] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("y",)
    gradient: bool = False
    tolerance: float = 1e-6


def exercises() -> dict[str, Exercise]:
    """Every exercise of the course by name, in the order of the lessons."""
    from tinymed.teach import exercises as folder

    found: dict[str, Exercise] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(folder.__path__)):
        for exercise in importlib.import_module(f"{folder.__name__}.{module}").EXERCISES:
            found[exercise.name] = exercise
    return found


def exercise(name: str) -> Exercise:
    """The exercise of that name. Raises ValueError with the nearest names for none; TypeError for no name."""
    if not isinstance(name, str):
        raise TypeError(f"check(name, answer) takes the name of an exercise, as text; got {_a(name)}")
    known = exercises()
    if name not in known:
        near = difflib.get_close_matches(name, known, 3, cutoff=0)
        raise ValueError(f"there is no exercise {name!r}; did you mean {', '.join(map(repr, near))}?")
    return known[name]


def check(name: str, answer: Callable[..., Any]) -> None:
    """Say that an answer to an exercise is right, or raise WrongAnswer with the first wrong element and a hint.

    Values are compared on cases drawn at random (the same ones every time) and, where the exercise takes tensors,
    the gradients too. What is raised has the arguments that show what is wrong:

        try:
            check("conv2d_single", mine)
        except WrongAnswer as wrong:
            trace.function(mine, *wrong.case.values()).play()

    NotImplementedError passes through: that is what an answer not yet written raises.
    """
    asked = exercise(name)
    if not callable(answer):
        raise TypeError(f"check({name!r}, …) takes the function that you wrote; got {_a(answer)}")
    cases = asked.cases(np.random.default_rng(0))
    try:
        wrong = _wrong(asked, answer, cases)
    except NotImplementedError as error:
        raise error.with_traceback(_theirs(error)) from None  # without the way through this file
    if wrong:
        raise wrong from None
    print(f"{name}: right, in {len(cases)} case{'s' * (len(cases) > 1)}.")


def _wrong(asked: Exercise, answer: Callable[..., Any], cases: list[Case]) -> WrongAnswer | None:
    """What is wrong with an answer in the first case that shows it; None for nothing."""
    given: list[Outcome] = []  # what the answer gave: each case is run once, for it may print
    for number, case in enumerate(cases, 1):
        hint = ""
        try:
            given.append(got := _run(asked, answer, case))
            complaint = difference(asked, got, _run(asked, asked.answer, case))
        except WrongAnswer as error:
            complaint = str(error)
        else:
            if complaint:
                given += [_outcome(asked, answer, later) for later in cases[number:]]
                hint = _hint(asked, cases, given)
        if complaint:
            where = f"{asked.name}, case {number} of {len(cases)} ({described(case)})"
            return WrongAnswer(f"{where}: {complaint}{small(case)}" + (f"\nHint: {hint}" if hint else ""), case)
    return None


def _a(thing: Any) -> str:
    """What kind of thing it is, with its article."""
    kind = type(thing).__name__
    vowel = kind == "ndarray" or kind[0].lower() in "aeiou"
    return "None" if thing is None else f"{'an' if vowel else 'a'} {kind}"


# ---------------------------------------------------------------- running


def _run(asked: Exercise, function: Callable[..., Any], case: Case) -> list[np.ndarray]:
    """The outputs of a function on copies of a case, and the gradients that flow back to its arrays.

    Raises WrongAnswer for a function that raises something, returns no tensor where one is asked for, or changes
    an argument.
    """
    copies = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in case.items()}
    leaves = {}
    if asked.gradient:
        leaves = {
            name: Tensor(v, requires_grad=v.dtype.kind == "f")
            for name, v in copies.items()
            if isinstance(v, np.ndarray)
        }
    back: list[np.ndarray] = []
    with _blamed(function, case):
        out = function(**copies | leaves)
    if out is None:
        raise WrongAnswer("your function returned None: is a return missing?")
    if asked.gradient:
        if not isinstance(out, Tensor):
            raise WrongAnswer(f"it must return a tensor, so that gradients can flow back; got {_a(out)}")
        with _blamed(function, case):
            back = _gradients(out, [x for x in leaves.values() if x.requires_grad])
    for name, value in case.items():
        if isinstance(value, np.ndarray):
            after = leaves[name].detach().numpy() if asked.gradient else copies[name]
            if not np.array_equal(value, after, equal_nan=value.dtype.kind == "f"):
                copy = "clone()" if asked.gradient else "copy()"
                raise WrongAnswer(f"your function changed its argument {name}; work on a copy, {name}.{copy}")
    return _arrays(out, len(asked.outputs) > 1) + back


@contextlib.contextmanager
def _blamed(function: Callable[..., Any], case: Case) -> Iterator[None]:
    """Around what a student wrote: its errors are told as such. One that is not yet written passes through."""
    try:
        yield
    except NotImplementedError:
        raise
    except Exception as error:
        note = "" if _fits(function, case) else f"\nIt is called with the arguments {', '.join(case)}."
        raise WrongAnswer(
            f"your function raised {type(error).__name__}{_line(function, error)}: {error}{note}"
        ) from error


def _theirs(error: BaseException) -> types.TracebackType | None:
    """The way to an error from where it leaves this file."""
    frame = error.__traceback__
    while frame and frame.tb_frame.f_code.co_filename in (__file__, contextlib.__file__):
        frame = frame.tb_next
    return frame


def _line(function: Callable[..., Any], error: Exception) -> str:
    """at line 12 of mine.py: the last line of the student's own file on the way to an error; "" if there is none."""
    file = getattr(getattr(inspect.unwrap(function), "__code__", None), "co_filename", None)
    lines = [frame.lineno for frame in traceback.extract_tb(_theirs(error)) if frame.filename == file]
    return f" at line {lines[-1]}{f' of {Path(file).name}' if Path(file).exists() else ''}" if lines and file else ""


def _gradients(out: Tensor, inputs: list[Tensor]) -> list[np.ndarray]:
    """What flows back to the inputs from numbers drawn for ∂L/∂y; zeros where nothing does."""
    found: Sequence[Tensor | None] = [None] * len(inputs)
    if out.requires_grad:
        g = np.random.default_rng(1).standard_normal(out.shape).astype(out.dtype)
        found = grad(out, inputs, Tensor(g), allow_unused=True)
    return [np.zeros(x.shape) if gx is None else gx.numpy() for x, gx in zip(inputs, found)]


def _arrays(out: Any, several: bool) -> list[np.ndarray]:
    """What was returned as arrays; a list counts as several outputs only where several are asked for."""
    return [_array(y) for y in (out if isinstance(out, tuple) or (several and isinstance(out, list)) else (out,))]


def _array(y: Any) -> np.ndarray:
    try:
        return np.asarray(y.detach().numpy() if isinstance(y, Tensor) else y)
    except ValueError:  # rows of different lengths
        return np.array(None, dtype=object)


def _outcome(asked: Exercise, function: Callable[..., Any], case: Case) -> Outcome:
    """What a function gives, or the type of what it raises."""
    try:
        return _run(asked, function, case)
    except Exception as error:
        return type(error.__cause__ or error)


def _fits(answer: Callable[..., Any], case: Case) -> bool:
    """Whether the function takes arguments of these names."""
    try:
        inspect.signature(answer).bind(**case)
    except (TypeError, ValueError):  # ValueError: a function of C that does not say what it takes
        return False
    return True


# ---------------------------------------------------------------- hints


def _hint(asked: Exercise, cases: list[Case], given: list[Outcome]) -> str:
    """The mistake that gives the same as an answer did, numbers or errors, in every case."""
    for hint, mistake in asked.mistakes.items():
        if all(_same(asked, _outcome(asked, mistake, case), got) for case, got in zip(cases, given)):
            return hint
    return ""


def _same(asked: Exercise, one: Outcome, other: Outcome) -> bool:
    if isinstance(one, type) or isinstance(other, type):
        return one is other
    return not difference(asked, other, one)
