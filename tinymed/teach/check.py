"""Check what a student wrote: the first wrong element, what was expected there, and which classic mistake gives that.

An exercise knows the right answer, draws cases, and holds the classic mistakes as functions. An answer that is
wrong is compared with each of them: one that computes the very same numbers is named in the hint.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinymed.autograd import grad
from tinymed.teach.steps import shown
from tinymed.tensor import Tensor

Case = dict[str, Any]  # the arguments by name


class WrongAnswer(AssertionError):  # noqa: N818
    """What is wrong with an answer, in a sentence or two."""

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
    """The exercise of that name. Raises ValueError with the nearest names for none."""
    known = exercises()
    if name not in known:
        near = difflib.get_close_matches(name, known, 3) or sorted(known)
        raise ValueError(f"there is no exercise {name!r}; did you mean {', '.join(map(repr, near))}?")
    return known[name]


def check(name: str, answer: Callable[..., Any]) -> None:
    """Say that an answer to an exercise is right, or raise WrongAnswer with the first wrong element and a hint.

    Values are compared on cases drawn at random (the same ones every time) and, where the exercise takes tensors,
    the gradients too. NotImplementedError passes through: that is what an answer not yet written raises.
    """
    asked = exercise(name)
    if not callable(answer):
        raise TypeError(f"check({name!r}, …) takes the function that you wrote, got a {type(answer).__name__}")
    cases = asked.cases(np.random.default_rng(0))
    for number, case in enumerate(cases, 1):
        want = _run(asked, asked.answer, case)
        where = f"{name}, case {number} of {len(cases)} ({_described(case)})"
        got = _tried(asked, answer, case, where)
        if complaint := _difference(asked, got, want):
            hint = _hint(asked, cases, answer)
            raise WrongAnswer(f"{where}: {complaint}" + (f"\nHint: {hint}" if hint else ""))
    print(f"{name}: right, in {len(cases)} case{'s' * (len(cases) > 1)}.")


# ---------------------------------------------------------------- running


def _run(asked: Exercise, function: Callable[..., Any], case: Case) -> list[np.ndarray]:
    """The outputs of a function on copies of a case, and the gradients that flow back to its arrays."""
    copied = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in case.items()}
    if not asked.gradient:
        return _arrays(function(**copied), len(asked.outputs) > 1)
    leaves = {name: Tensor(v, requires_grad=v.dtype.kind == "f") for name, v in copied.items() if _is_array(v)}
    out = function(**copied | leaves)
    if not isinstance(out, Tensor):
        raise TypeError(f"it must return a tensor, so that gradients can flow back; got a {type(out).__name__}")
    inputs = [x for x in leaves.values() if x.requires_grad]
    g = np.random.default_rng(1).standard_normal(out.shape)
    back = (
        grad(out, inputs, Tensor(g.astype(out.dtype)), allow_unused=True) if out.requires_grad else [None] * len(inputs)
    )
    return [out.numpy() if not out.requires_grad else out.detach().numpy()] + [
        np.zeros(x.shape) if gx is None else gx.numpy() for x, gx in zip(inputs, back)
    ]


def _arrays(out: Any, several: bool) -> list[np.ndarray]:
    """What was returned as arrays; a list counts as several outputs only where several are asked for."""
    parts = out if isinstance(out, tuple) or (several and isinstance(out, list)) else (out,)
    return [np.asarray(y.detach().numpy() if isinstance(y, Tensor) else y) for y in parts]


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _tried(asked: Exercise, answer: Callable[..., Any], case: Case, where: str) -> list[np.ndarray]:
    before = {name: value.copy() for name, value in case.items() if _is_array(value)}
    try:
        got = _run(asked, answer, case) if asked.gradient else _arrays(answer(**case), len(asked.outputs) > 1)
    except NotImplementedError:
        raise
    except Exception as error:
        note = "" if _fits(answer, case) else f"\nIt is called with the arguments {', '.join(case)}."
        raise WrongAnswer(f"{where}: your function raised {type(error).__name__}: {error}{note}") from error
    for name, value in before.items():
        if not np.array_equal(value, case[name], equal_nan=value.dtype.kind == "f"):
            raise WrongAnswer(f"{where}: your function changed its argument {name}; work on a copy, {name}.copy()")
    return got


def _fits(answer: Callable[..., Any], case: Case) -> bool:
    """Whether the function takes arguments of these names."""
    try:
        inspect.signature(answer).bind(**case)
    except (TypeError, ValueError):  # ValueError: a function of C that does not say what it takes
        return False
    return True


# ---------------------------------------------------------------- comparing


def _names(asked: Exercise, count: int, case_names: list[str]) -> list[str]:
    if asked.gradient:
        return [asked.outputs[0], *(f"∂L/∂{name}" for name in case_names)]
    return [*asked.outputs, *(f"output {k}" for k in range(len(asked.outputs), count))][:count]


def _difference(asked: Exercise, got: list[np.ndarray], want: list[np.ndarray]) -> str:
    """The first thing that differs, in words; "" for nothing."""
    names = _names(asked, len(want), list(inspect.signature(asked.answer).parameters))
    if len(got) != len(want):
        return f"it returns {len(got)} thing(s), expected {len(want)}: {', '.join(names)}"
    for name, ours, theirs in zip(names, want, got):
        if theirs.dtype == object or theirs.dtype.kind not in "fiubc":
            return f"{name} holds no numbers but {theirs.dtype}; is something None, or are rows of different lengths?"
        if theirs.shape != ours.shape:
            return f"{name} has shape {theirs.shape}, expected {ours.shape}"
        if theirs.size == 0:
            continue
        wrong = ~np.isclose(theirs, ours, rtol=asked.tolerance, atol=asked.tolerance, equal_nan=True)
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            place = f"{name}[{', '.join(map(str, at))}]" if at else name
            is_, expected = (shown(float(v[at])) for v in (theirs, ours))
            if is_ == expected:  # alike to five places
                is_, expected = repr(float(theirs[at])), repr(float(ours[at]))
            share = f" ({int(wrong.sum())} of {wrong.size} elements are wrong)" if wrong.size > 1 else ""
            return f"{place} is {is_}, expected {expected}{share}"
    return ""


def _hint(asked: Exercise, cases: list[Case], answer: Callable[..., Any]) -> str:
    """The mistake that computes the same wrong numbers as this answer, in every case that either can do."""
    for hint, mistake in asked.mistakes.items():
        if _same(asked, cases, answer, mistake):
            return hint
    return ""


def _same(asked: Exercise, cases: list[Case], answer: Callable[..., Any], mistake: Callable[..., Any]) -> bool:
    for case in cases:
        results: list[Any] = []
        for function in (answer, mistake):
            try:
                results.append(_run(asked, function, case))
            except Exception as error:
                results.append(type(error))
        if isinstance(results[0], type) or isinstance(results[1], type):
            if results[0] != results[1]:
                return False
        elif _difference(asked, results[0], results[1]):
            return False
    return True


def _described(case: Case) -> str:
    """x 1x2x5x5, stride 2: the sizes of arrays and the values of numbers; small integer arrays in full."""

    def one(name: str, value: Any) -> str:
        if isinstance(value, np.ndarray):
            if value.ndim <= 1 and value.size <= 6:
                return f"{name} {shown(value)}" if value.ndim else f"{name} {shown(value.item())}"
            return f"{name} {'x'.join(map(str, value.shape))}"
        return f"{name} {shown(value)}" if isinstance(value, int | float | str | tuple | bool) else name

    return ", ".join(one(name, value) for name, value in case.items())
