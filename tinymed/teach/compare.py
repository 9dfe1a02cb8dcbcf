"""An answer beside the right one: the first difference in words, and the case that shows it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from tinymed.teach.steps import LONG, shown

if TYPE_CHECKING:
    from tinymed.teach.check import Case, Exercise


def _names(asked: Exercise, count: int, case_names: list[str]) -> list[str]:
    if asked.gradient:
        return [asked.outputs[0], *(f"∂L/∂{name}" for name in case_names)]
    return [*asked.outputs, *(f"output {k}" for k in range(len(asked.outputs), count))][:count]


def difference(asked: Exercise, got: list[np.ndarray], want: list[np.ndarray]) -> str:
    """The first thing that differs, in words; "" for nothing."""
    names = _names(asked, len(want), list(inspect.signature(asked.answer).parameters))
    if len(got) != len(want):
        return f"it returns {len(got)} thing(s), expected {len(want)}: {', '.join(names)}"
    for name, ours, theirs in zip(names, want, got):
        if theirs.dtype.kind == "c":
            return f"{name} holds complex numbers, expected real ones"
        if theirs.dtype.kind not in "fiub":
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
            count = int(wrong.sum())
            share = (
                f" ({count} of {wrong.size} elements {'is' if count == 1 else 'are'} wrong)" if wrong.size > 1 else ""
            )
            return f"{place} is {is_}, expected {expected}{share}"
    return ""


def described(case: Case) -> str:
    """x 1x2x5x5, stride 2: the sizes of arrays and the values of numbers; short vectors in full."""

    def one(name: str, value: Any) -> str:
        if isinstance(value, np.ndarray):
            return f"{name} {shown(value) if _short(value) else 'x'.join(map(str, value.shape))}"
        if value is None or isinstance(value, bool):
            return f"{name} {value}"
        return f"{name} {shown(value)}" if isinstance(value, int | float | str | tuple) else name

    return ", ".join(one(name, value) for name, value in case.items())


def _short(value: np.ndarray) -> bool:
    return value.ndim <= 1 and value.size <= 6


def small(case: Case) -> str:
    """Under the sentence, the arrays that a person can compute with, a line each."""
    arrays = {name: value for name, value in case.items() if isinstance(value, np.ndarray) and not _short(value)}
    return "".join(f"\n  {name} = {shown(value)}" for name, value in arrays.items() if value.size <= LONG)
