"""What is given to a trace, as float64 arrays of the shape that the loops expect, or refused in a sentence."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinymed.kernels.shapes import Pair
from tinymed.tensor import Tensor


def array(numbers: Any, ndim: int | None = None) -> np.ndarray:
    """A float64 copy of its own, with axes of size 1 put in front until it has ndim.

    Raises ValueError for no numbers, complex ones, too many axes, and rows of different lengths.
    """
    values = np.array(numbers.detach().numpy() if isinstance(numbers, Tensor) else numbers, order="C")
    if values.dtype.kind not in "fiub":
        raise ValueError(f"a trace computes with real numbers, got {values.dtype} from {numbers!r:.60}")
    if values.size == 0:
        raise ValueError(f"there is nothing to step through in an empty array, of shape {values.shape}")
    if ndim is not None and values.ndim > ndim:
        raise ValueError(f"expected at most {ndim} axes, got shape {values.shape}")
    values = values.astype(float)
    return values if ndim is None else values.reshape((1,) * (ndim - values.ndim) + values.shape)


def vector(name: str, numbers: Any, size: int, of: str) -> np.ndarray:
    """Numbers as a vector of that size; zeros for None."""
    if numbers is None:
        return np.zeros(size)
    vector = np.atleast_1d(array(numbers))
    if vector.shape != (size,):
        raise ValueError(f"{name} needs one number for each {of}, {size} in all; got shape {vector.shape}")
    return vector


def cotangent(g: Any, y: np.ndarray) -> np.ndarray:
    """g as an array of y's shape: one number stands for all of it, and axes of size 1 may be left out."""
    g = array(g)
    if g.size == 1:
        return np.full(y.shape, g.item())
    wanted, given = (tuple(n for n in a.shape if n > 1) for a in (y, g))
    if given != wanted:
        shape = "x".join(map(str, wanted))
        must = f"have y's shape, {shape}, or be one number" if wanted else "be one number, as y is"
        raise ValueError(f"g is ∂L/∂y and must {must}; got shape {g.shape}")
    return g.reshape(y.shape)


def pair(value: Any) -> Pair:
    """3 → (3, 3);  [1, 2] → (1, 2)"""
    one = value if isinstance(value, tuple | list) else (value, value)
    return tuple(map(operator.index, one))  # type: ignore[return-value]


def scores(x: Any) -> np.ndarray:
    """Scores of classes, (C) or (N,C), as the kernels have them: (N,C,1)"""
    return array(x, 2)[:, :, None].copy()


def recurrent(name: str, k: int, x: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *states: Any) -> tuple:
    """x (T,N,I), weights and biases, states (N,H); what is missing is 0."""
    x = array(x)
    if not 1 <= x.ndim <= 3:
        raise ValueError(f"{name}: x must be (T,N,I), (T,I) or (T), got shape {x.shape}")
    x = x[:, None].copy() if x.ndim == 2 else x.reshape(-1, 1, 1) if x.ndim == 1 else x
    w_ih, w_hh = array(w_ih, 2), array(w_hh, 2)
    (_, N, I), H = x.shape, w_hh.shape[1]
    if w_ih.shape != (k * H, I) or w_hh.shape != (k * H, H):
        raise ValueError(
            f"{name}: for {I} input numbers and a state of {H}, w_ih must be {k * H}x{I} and w_hh {k * H}x{H}; "
            f"got {w_ih.shape} and {w_hh.shape}"
        )
    biases = [vector(b, given, k * H, "row of the weights") for b, given in (("b_ih", b_ih), ("b_hh", b_hh))]
    begin = [np.zeros((N, H)) if s is None else array(s, 2) for s in states]
    for state in begin:
        if state.shape != (N, H):
            raise ValueError(f"{name}: the first state must be ({N},{H}), for {N} sample(s); got shape {state.shape}")
    return x, (w_ih, w_hh, *biases), begin


def updates(p: Any, gradients: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """The parameters, and one gradient of their shape for each step."""
    p, several = np.atleast_1d(array(p)), np.atleast_1d(array(gradients))
    if several.ndim == 1:  # a number for each step
        several = several.reshape(-1, *[1] * p.ndim)
    try:
        return p, [np.broadcast_to(g, p.shape).copy() for g in several]
    except ValueError:
        raise ValueError(
            f"gradients are one of p's shape {p.shape} for each step, or one number for each; got shape {several.shape}"
        ) from None
