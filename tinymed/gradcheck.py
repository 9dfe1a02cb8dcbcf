"""gradcheck: does backward give the slope that forward has?

Every derivative in tinymed is written by hand, so every one is held against differences of its own forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinymed.autograd import Function, no_grad
from tinymed.tensor import Tensor

EVERY = 256  # inputs up to this size are checked element by element, larger ones along random directions
DIRECTIONS = 4


class GradcheckError(AssertionError):
    """An analytic gradient that differs from the numeric one, or a function that has none to compare."""


class Weighted(Function):
    """L = Σₖ Σ wₖ ∘ yₖ over all outputs, w random: with w = 1 a softmax of gradient 0 would pass;  ∂L/∂yₖ = wₖ"""

    def forward(ctx, ws, *ys):
        ctx.ws = ws
        return np.asarray(sum((w * y).sum() for w, y in zip(ws, ys)))

    def backward(ctx, g):
        return None, *(g * w for w in ctx.ws)


def gradcheck(
    fn: Callable,
    inputs: Tensor | tuple | list,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    seed: int = 0,
) -> bool:
    """True if backward agrees with central differences: |analytic − numeric| ≤ atol + rtol·|numeric|.

    fn      takes `inputs` and returns a Tensor or several; what is not floating point is passed over
    inputs  those that require grad are checked; they must be float64, for differences need the digits
    eps     the step: numeric = (L(x + eps·u) − L(x − eps·u)) / 2eps, u one element at a time (a few random
            directions where there are more than 256), L a random weighting of all outputs

    Raises GradcheckError where they differ, where fn has a kink or is not finite, and where it gives two answers
    to one question; TypeError for another dtype; ValueError if no input requires grad.
    (After Chainer's gradient_check, Tokui et al. 2019.)
    """
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    wanted = [k for k, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not wanted:
        raise ValueError("gradcheck: no input requires grad; make one with requires_grad=True")
    for k in wanted:
        _double(f"input {k}", inputs[k])
    rng = np.random.default_rng(seed)
    args = [Tensor(x.array.copy(), k in wanted) if isinstance(x, Tensor) else x for k, x in enumerate(inputs)]

    outputs = _outputs(fn, args)
    weights = [rng.standard_normal(y.shape) for y in outputs]
    loss = Weighted.apply(weights, *outputs)
    op = repr(outputs[0].grad_fn) if outputs[0].grad_fn else "the function"
    if loss.requires_grad:
        loss.backward()

    def value() -> float:
        with no_grad():
            return Weighted.apply(weights, *_outputs(fn, args)).item()

    here = loss.item()
    if not np.isfinite(here):
        raise GradcheckError(f"gradcheck: {op} gives {here} here; move the input to where the function is finite")
    if value() != here:
        raise GradcheckError(
            f"gradcheck: {op} gives different results for the same input, so it has no slope to compare; "
            "seed its random numbers inside fn"
        )
    for k in wanted:
        x = args[k].array
        grad = args[k].grad
        gradient = np.zeros_like(x) if grad is None else grad.array
        for index, u in _directions(x.shape, rng):
            analytic = float((gradient * u).sum())
            slope, left, right = _slopes(value, x, u, eps, here)
            if abs(analytic - slope) <= atol + rtol * abs(slope):  # false for NaN
                continue
            _, left2, right2 = _slopes(value, x, u, eps / 2, here)
            at = f"input {k} of shape {x.shape}, " + (f"index {index}" if index is not None else "a random direction")
            if _is_kink(right - left, right2 - left2, atol + rtol * abs(slope)):
                raise GradcheckError(
                    f"gradcheck: {op} is not differentiable here ({at}): the slope is {left:.6g} on one side and "
                    f"{right:.6g} on the other; move the input away from the kink"
                )
            raise GradcheckError(
                f"gradcheck: {op} has a wrong gradient ({at}):\n  numeric   {slope:.10g}\n  analytic  {analytic:.10g}\n"
                f"  ratio     {analytic / slope if slope else float('inf'):.6g}"
            )
    return True


def _outputs(fn: Callable, args: list) -> list[Tensor]:
    found = fn(*args)
    several = found if isinstance(found, tuple | list) else (found,)
    outputs = [y for y in several if isinstance(y, Tensor) and y.is_floating_point()]
    if not outputs:
        raise TypeError("gradcheck: fn must return a floating-point Tensor, or several")
    for k, y in enumerate(outputs):
        _double(f"output {k}", y)
    return outputs


def _double(what: str, x: Tensor) -> None:
    if x.dtype != np.float64:
        raise TypeError(f"gradcheck: {what} is {x.dtype}; only float64 has the digits for differences, use x.double()")


def _directions(shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[tuple[list[int] | None, Any]]:
    """(index, 1 there and 0 elsewhere) for every element, or (None, a random vector of length 1) a few times."""
    if np.prod(shape) <= EVERY:
        for index in np.ndindex(shape):
            u = np.zeros(shape)
            u[index] = 1
            yield list(index), u
    else:
        for _ in range(DIRECTIONS):
            u = rng.standard_normal(shape)
            yield None, u / np.sqrt(np.square(u).sum())


def _slopes(value: Callable[[], float], x: np.ndarray, u: Any, step: float, here: float) -> tuple[float, float, float]:
    """The slope of L at x along u: central, from the left, from the right."""
    kept = x.copy()
    x[...] = kept - step * u
    low = value()
    x[...] = kept + step * u
    high = value()
    x[...] = kept
    return (high - low) / (2 * step), (here - low) / step, (high - here) / step


def _is_kink(jump: float, jump_of_half: float, tolerance: float) -> bool:
    """Left and right slope differ by step·L″ where L is smooth, and so by half for half the step; at a kink not."""
    return abs(jump) > tolerance and abs(jump - 2 * jump_of_half) > 0.1 * abs(jump)
