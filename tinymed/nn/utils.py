"""Gradients held within bounds, and all parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce

import numpy as np

from tinymed.autograd import no_grad
from tinymed.ops.join import cat
from tinymed.tensor import Tensor


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[np.ndarray]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad.array for p in parameters if p.grad is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """g ← g · min(1, max_norm / ‖g‖), g all gradients as one vector; returns ‖g‖ as it was.

    norm_type is the p of the norm, or inf. With error_if_nonfinite, raises FloatingPointError for NaN or inf.
    """
    if not max_norm > 0 or not norm_type > 0:
        raise ValueError(f"clip_grad_norm_: max_norm {max_norm} and norm_type {norm_type} must be above 0")
    grads = [g for g in _gradients(parameters) if g.size]
    if not grads:
        return Tensor(np.zeros((), np.float32))
    if norm_type == math.inf:
        total = reduce(np.maximum, [np.abs(g).max() for g in grads]).astype(np.float64)
    else:
        total = sum((np.abs(g, dtype=np.float64) ** norm_type).sum() for g in grads) ** (1 / norm_type)
    if error_if_nonfinite and not np.isfinite(total):
        raise FloatingPointError(f"clip_grad_norm_: the gradients have norm {total}, nothing was clipped")
    scale = np.fmin(1, max_norm / (total + 1e-6))  # of 1 and NaN, 1
    for g in grads:
        g *= scale.astype(g.dtype)
    return Tensor(total.astype(np.result_type(*grads)))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Hold every number of every gradient between −clip_value and clip_value."""
    if not clip_value > 0:
        raise ValueError(f"clip_grad_value_: clip_value must be above 0, got {clip_value}")
    for g in _gradients(parameters):
        np.clip(g, -clip_value, clip_value, out=g)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All numbers of all parameters, one after another."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy a vector made by `parameters_to_vector` back. Raises ValueError for another length."""
    parameters = list(parameters)
    total = sum(p.numel() for p in parameters)
    if vec.shape != (total,):
        raise ValueError(f"vector_to_parameters: {total} numbers are needed, got shape {vec.shape}")
    start = 0
    with no_grad():
        for p in parameters:
            p.copy_(vec[start : start + p.numel()].reshape(p.shape))
            start += p.numel()
