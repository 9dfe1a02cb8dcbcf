"""Losses: how wrong a batch is, as one number. Shapes that would broadcast, and empty batches, are refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed import kernels
from tinymed.autograd import Function
from tinymed.ops.activation import log_softmax
from tinymed.ops.arithmetic import where
from tinymed.ops.checks import checks_values, first_of
from tinymed.tensor import Tensor, as_tensor

# ---------------------------------------------------------------- checks and reduction


def _alike(name: str, input: Tensor, target: Any) -> Tensor:
    _not_empty(name, input)
    target = as_tensor(target)
    if input.shape != target.shape:
        cure = ""
        if input.numel() == target.numel():
            cure = f"; reshape one of them, such as target.reshape{input.shape}"
        raise ValueError(
            f"{name}: input {input.shape} and target {target.shape} must have the same shape, "
            f"for broadcasting would compare every input with every target{cure}"
        )
    return target if target.dtype == input.dtype else target.to(input.dtype)


def _not_empty(name: str, input: Tensor) -> None:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}: the input must be a Tensor, got a {type(input).__name__}; use tinymed.tensor(input)")
    if input.numel() == 0:
        raise ValueError(f"{name}: the batch is empty (shape {input.shape}), so it has no loss")


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """loss itself ("none"), its average ("mean") or its "sum"."""
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction must be "none", "mean" or "sum", got {reduction!r}')
    return loss.mean() if reduction == "mean" else loss.sum()


# ---------------------------------------------------------------- distances


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(x − t)²"""
    difference = input - _alike("mse_loss", input, target)
    return reduced(difference * difference, reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """|x − t|"""
    return reduced((input - _alike("l1_loss", input, target)).abs(), reduction)


def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """(x − t)² / 2β where |x − t| < β, else |x − t| − β/2        (Girshick 2015)"""
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta cannot be negative, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    d = (input - _alike("smooth_l1_loss", input, target)).abs()
    return reduced(where(d < beta, d * d / (2 * beta), d - beta / 2), reduction)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """(x − t)² / 2 where |x − t| < δ, else δ · (|x − t| − δ/2)        (Huber 1964)"""
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be above 0, got {delta}")
    d = (input - _alike("huber_loss", input, target)).abs()
    return reduced(where(d < delta, d * d / 2, delta * (d - delta / 2)), reduction)


# ---------------------------------------------------------------- two classes


class BCE(Function):
    """ℓ = −(t ln x + (1 − t) ln(1 − x)), each logarithm at least −100

    ∂ℓ/∂x = (x − t) / (x (1 − x)),  ∂ℓ/∂t = ln(1 − x) − ln x
    """

    def forward(ctx, x, t):
        ctx.x, ctx.t = x, t
        with np.errstate(divide="ignore"):
            ctx.log_x, ctx.log_1_x = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
        return -(t * ctx.log_x + (1 - t) * ctx.log_1_x)

    def backward(ctx, g):
        gx = g * (ctx.x - ctx.t) / np.maximum(ctx.x * (1 - ctx.x), 1e-12)
        return gx, g * (ctx.log_1_x - ctx.log_x) if ctx.needs[1] else None


class BCEWithLogits(Function):
    """ℓ = (1 − t)·x + k·ln(1 + e⁻ˣ),  k = 1 + (p − 1)·t: BCE of σ(x), in one stable formula

    p weighs the positive class;  ∂ℓ/∂x = (1 − t) − k·σ(−x),  ∂ℓ/∂t = (p − 1)·ln(1 + e⁻ˣ) − x
    """

    def forward(ctx, x, t, p):
        ctx.x, ctx.t, ctx.p, ctx.k = x, t, p, 1 + (p - 1) * t
        ctx.softplus = np.logaddexp(0, -x)
        return (1 - t) * x + ctx.k * ctx.softplus

    def backward(ctx, g):
        sigmoid_minus = np.exp(-ctx.x - ctx.softplus)  # e⁻ˣ / (1 + e⁻ˣ)
        gx = g * ((1 - ctx.t) - ctx.k * sigmoid_minus)
        return gx, g * ((ctx.p - 1) * ctx.softplus - ctx.x) if ctx.needs[1] else None


def _weighted(loss: Tensor, weight: Tensor | None) -> Tensor:
    return loss if weight is None else loss * weight.to(loss.dtype)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """−(t ln x + (1 − t) ln(1 − x)) of probabilities x and targets t in [0, 1] (article 5.2, binary_crossentropy)."""
    target = _alike("binary_cross_entropy", input, target)
    for what, values in (("input", input.array), ("target", target.array)) if checks_values() else ():
        if (at := first_of(~((values >= 0) & (values <= 1)))) is not None:
            cure = (
                "; use binary_cross_entropy_with_logits for raw scores"
                if what == "input"
                else "; map two classes to 0 and 1"
            )
            raise ValueError(f"binary_cross_entropy: {what} must lie in 0…1, got {values[at]} at {list(at)}{cure}")
    return reduced(_weighted(BCE.apply(input, target), weight), reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """binary_cross_entropy of σ(input), exact for any score; pos_weight multiplies the positive class."""
    name = "binary_cross_entropy_with_logits"
    target = _alike(name, input, target)
    t = target.array
    if checks_values() and (at := first_of(~((t >= 0) & (t <= 1)))) is not None:
        raise ValueError(f"{name}: targets must lie in 0…1, got {t[at]} at {list(at)}; map two classes to 0 and 1")
    p = 1 if pos_weight is None else as_tensor(pos_weight, input.dtype).array
    return reduced(_weighted(BCEWithLogits.apply(input, target, p), weight), reduction)


# ---------------------------------------------------------------- several classes


class NLL(Function):
    """ℓ = −w[t] · x[t], x (N,C,P) log-probabilities, t (N,P) classes;  ∂ℓ/∂x[t] = −w[t], else 0"""

    def forward(ctx, x, t, w):
        ctx.x, ctx.at, ctx.w = x, t[:, None], w  # w (N,P): 0 where the target is ignored
        return -w * np.take_along_axis(x, ctx.at, 1)[:, 0]

    def backward(ctx, g):
        gx = np.zeros_like(ctx.x)
        np.put_along_axis(gx, ctx.at, (-ctx.w * g)[:, None], 1)
        return gx


class CrossEntropy(Function):
    """ℓ = −w[t] · ln p[t],  p = softmax(x), in one pass;  ∂ℓ/∂x = w[t] · (p − 1 at t)"""

    def forward(ctx, x, t, w):
        ctx.t, ctx.w = t, w
        loss, ctx.p = kernels.cross_entropy(x, t, w)
        return loss

    def backward(ctx, g):
        return kernels.cross_entropy_grad(g, ctx.p, ctx.t, ctx.w)


def _without_ignored(input: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """The scores, 0 where the target is ignored: an infinite one there is no part of any sum."""
    axis = 0 if input.ndim == 1 else 1
    kept = target.array != ignore_index
    if (checks_values() and kept.all()) or target.shape != (*input.shape[:axis], *input.shape[axis + 1 :]):
        return input
    return where(Tensor(np.expand_dims(kept, axis)), input, 0.0)


def _classes(name: str, input: Tensor, target: Any, weight: Tensor | None, ignore_index: int) -> tuple:
    """input as (N,C,P), target as (N,P) with ignored ones 0, and the weight of each target (N,P)."""
    target = as_tensor(target)
    if target.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: targets must be integer classes (or, in cross_entropy, probabilities of shape {input.shape}), "
            f"got {target.dtype} of shape {target.shape}; use target.long()"
        )
    _not_empty(name, input)
    if target.device != input.device:
        cure = f'target.to("{input.device}")'
        raise ValueError(f"{name}: the input is on {input.device}, the target on {target.device}; move it: {cure}")
    x = input.unsqueeze(0) if input.ndim == 1 else input
    t = target.array[None] if input.ndim == 1 else target.array
    if x.ndim < 2 or t.shape != (x.shape[0], *x.shape[2:]):
        cure = "; drop the last axis: target.squeeze(1)" if t.shape == (x.shape[0], 1) else ""
        if t.shape == x.shape:
            cure = "; one-hot labels become classes by target.argmax(1)"
        raise ValueError(f"{name}: input (N,C,…) {input.shape} needs a target (N,…), got {target.shape}{cure}")
    N, C = x.shape[:2]
    if weight is not None and weight.shape != (C,):
        raise ValueError(f"{name}: {C} classes need a weight of shape ({C},), got {weight.shape}")
    kept = t != ignore_index
    if checks_values() and (at := first_of(kept & ((t < 0) | (t >= C)))) is not None:
        raise IndexError(f"{name}: class {t[at]} at {list(at)} is outside 0…{C - 1}, for the input has {C} classes")
    t = np.where(kept, t, 0).reshape(N, -1)
    w = np.ones_like(t, input.dtype) if weight is None else weight.array.astype(input.dtype)[t]
    return x.reshape(N, C, -1), t, w * kept.reshape(N, -1)


def _nll(
    name: str,
    op: type[Function],
    scores: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float = 0.0,
) -> Tensor:
    """The loss of classes by NLL or CrossEntropy, reduced."""
    x, t, w = _classes(name, scores, target, weight, ignore_index)
    if reduction == "mean" and checks_values() and not w.any():
        raise ValueError(f"{name}: every target is ignore_index ({ignore_index}) or weighs 0, so there is no mean")
    loss = op.apply(x, t, w)
    if smoothing:
        kept = Tensor((target.array != ignore_index).reshape(t.shape).astype(x.dtype))
        even = x if weight is None else x * weight.reshape(-1, 1)
        loss = (1 - smoothing) * loss - smoothing * even.mean(1) * kept
    return loss.sum() / Tensor(w.sum()) if reduction == "mean" else reduced(loss.reshape(target.shape), reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """−w[t] · x[t] of log-probabilities x (N,C) or (N,C,…) and classes t (N) or (N,…); the mean is weighted."""
    target = as_tensor(target)
    scores = _without_ignored(input, target, ignore_index)
    return _nll("nll_loss", NLL, scores, target, weight, ignore_index, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """−ln softmax(x)[t] of raw scores x (N,C) or (N,C,…), and of classes t (N) or (N,…) or their probabilities.

    weight (C) counts classes differently; label_smoothing ε moves ε of each target to all classes evenly;
    targets equal to ignore_index do not count. Raises IndexError for a class that does not exist.
    """
    name = "cross_entropy"
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{name}: label_smoothing must be between 0 and 1, got {label_smoothing}")
    _not_empty(name, input)
    axis = 0 if input.ndim == 1 else 1
    target = as_tensor(target)
    classes = target.dtype.kind != "f" or target.shape != input.shape
    if classes:
        input = _without_ignored(input, target, ignore_index)
    if classes and not label_smoothing:
        return _nll(name, CrossEntropy, input, target, weight, ignore_index, reduction)
    logp = log_softmax(input, axis)
    if classes:
        return _nll(name, NLL, logp, target, weight, ignore_index, reduction, label_smoothing)
    q = target * (1 - label_smoothing) + label_smoothing / input.shape[axis]
    if weight is not None:
        q = q * weight.reshape([-1 if k == axis else 1 for k in range(input.ndim)])
    return reduced(-(logp * q).sum(axis), reduction)


def kl_div(input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """t · (ln t − x) of log-probabilities x and probabilities t (or their logarithms); "batchmean" is Σ / N."""
    target = _alike("kl_div", input, target)
    p = target.exp() if log_target else target
    log_p = target if log_target else where(target > 0, target, 1.0).log()  # 0 · ln 0 = 0
    loss = p * (log_p - input)
    if reduction == "batchmean":
        return loss.sum() / (len(loss) if loss.ndim else 1)
    return reduced(loss, reduction)
