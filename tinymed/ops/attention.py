"""Attention: a query compares itself with every key and takes a weighted mean of the values."""

from __future__ import annotations

import math

import numpy as np

from tinymed.ops.activation import softmax
from tinymed.ops.checks import checks_values
from tinymed.ops.norm import dropout
from tinymed.tensor import Tensor


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
) -> Tensor:
    """softmax(Q·Kᵀ/√E + mask)·V        (Vaswani et al. 2017)

    query (…,L,E), key (…,S,E), value (…,S,V) → (…,L,V); `scale` takes the place of 1/√E.
    The mask is boolean (True: may look) or is added to the products. A query that may look at nothing gets 0,
    as in PyTorch, and no gradient. Dropout is applied whenever dropout_p > 0: pass 0 outside training.
    """
    if value.ndim < 2 or key.shape[-2:-1] != value.shape[-2:-1]:
        raise ValueError(f"attention: each key needs one value, got key {key.shape} and value {value.shape}")
    return dropout(attention_weights(query, key, attn_mask, is_causal, scale), dropout_p) @ value


def attention_weights(
    query: Tensor,
    key: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(Q·Kᵀ/√E + mask): how much query l looks at key s, (…,L,S); a row that sees nothing is all 0.

    Causal: query l sees the keys 0…l only.
    """
    if min(query.ndim, key.ndim) < 2 or query.shape[-1] != key.shape[-1]:
        raise ValueError(f"attention: query (…,L,E) and key (…,S,E) must agree in E, got {query.shape} and {key.shape}")
    scores = query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale) @ key.transpose(-2, -1)
    if attn_mask is not None:
        scores = _masked(scores, attn_mask)
    if is_causal:
        later = np.triu(np.ones_like(scores.array, bool, shape=scores.shape[-2:]), 1)
        scores = scores.masked_fill(Tensor(later), -math.inf)
    sees_nothing = Tensor((scores.array == -math.inf).all(-1, keepdims=True))
    if not checks_values() or sees_nothing.array.any():  # e^−∞ / Σ e^−∞ would be NaN
        return softmax(scores.masked_fill(sees_nothing, 0), -1).masked_fill(sees_nothing, 0)
    return softmax(scores, -1)


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    try:
        fits = np.broadcast_shapes(scores.shape, mask.shape)[-2:] == scores.shape[-2:]
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"attention: a mask {mask.shape} does not broadcast to (…,L,S) = {scores.shape}")
    if mask.dtype == bool:
        return scores.masked_fill(Tensor(~mask.array), -math.inf)
    if mask.dtype.kind != "f":
        raise TypeError(f"attention: the mask must be bool (True: may look) or floating, got {mask.dtype}")
    return scores + mask.to(scores.dtype)
