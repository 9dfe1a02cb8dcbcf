"""Multi-head attention (Vaswani et al. 2017)."""

from __future__ import annotations

import math

import numpy as np

from tinymed.nn import init
from tinymed.nn.checks import whole
from tinymed.nn.linear import Linear
from tinymed.nn.module import Module, Parameter
from tinymed.ops.attention import attention_weights
from tinymed.ops.creation import empty, zeros
from tinymed.ops.matmul import linear
from tinymed.ops.norm import dropout
from tinymed.tensor import Tensor


class MultiheadAttention(Module):
    """Concat(head_1, …, head_k)·W_O,  head_i = attention(Q·W_iQ, K·W_iK, V·W_iV)

    query (L,N,E), key and value (S,N,E) → output (L,N,E), weights (N,L,S); with batch_first (N,L,E) and so
    on, without a batch (L,E). Masks as in PyTorch: a boolean one is True where one may *not* look (the
    opposite of scaled_dot_product_attention), a floating one is added; key_padding_mask (N,S), attn_mask
    (L,S) or (N·heads,L,S). Unlike PyTorch's, is_causal hides the keys ahead with attn_mask or without, and
    a query that may look at nothing brings 0 to W_O with need_weights too, not NaN.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        whole("MultiheadAttention", embed_dim=embed_dim, num_heads=num_heads)
        if embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: embed_dim (={embed_dim}) is shared out among the heads, "
                f"so num_heads (={num_heads}) must divide it"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"MultiheadAttention: dropout is a probability between 0 and 1, got {dropout}")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.dropout, self.batch_first = dropout, batch_first
        self.in_proj_weight = Parameter(empty(3 * embed_dim, embed_dim))
        self.register_parameter("in_proj_bias", Parameter(zeros(3 * embed_dim)) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias)
        init.xavier_uniform_(self.in_proj_weight)
        if bias:
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        self._check(query, key, value)
        batched = query.ndim == 3
        if not batched:
            query, key, value = (x.unsqueeze(0) for x in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        (N, L, E), S = query.shape, key.shape[1]

        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        q, k, v = (  # (N,heads,L or S,D)
            linear(x, w, b).reshape(N, -1, self.num_heads, self.head_dim).transpose(1, 2)
            for x, w, b in zip((query, key, value), self.in_proj_weight.chunk(3), biases)
        )
        mask = self._mask(attn_mask, key_padding_mask, N, L, S, query.dtype)
        weights = dropout(attention_weights(q, k, mask, is_causal), self.dropout, self.training)
        output = self.out_proj((weights @ v).transpose(1, 2).reshape(N, L, E))

        if not batched:
            output = output.squeeze(0)
        elif not self.batch_first:
            output = output.transpose(0, 1)
        if not need_weights:
            return output, None
        weights = weights.mean(1) if average_attn_weights else weights
        return output, weights if batched else weights.squeeze(0)

    def _mask(
        self, attn_mask: Tensor | None, padding: Tensor | None, N: int, L: int, S: int, dtype: np.dtype
    ) -> Tensor | None:
        """What to add to the products (N,heads,L,S): −∞ where one may not look."""
        added = None
        if attn_mask is not None:
            each = (N * self.num_heads, L, S)
            if attn_mask.shape not in ((L, S), each):
                raise ValueError(f"attn_mask must be (L,S) = {(L, S)} or (N·heads,L,S) = {each}, got {attn_mask.shape}")
            added = _additive("attn_mask", attn_mask, dtype)
            if added.ndim == 3:
                added = added.reshape(N, self.num_heads, L, S)
        if padding is not None:
            if padding.shape != (N, S):
                raise ValueError(f"key_padding_mask must be (N,S) = {(N, S)}, got {padding.shape}")
            ignored = _additive("key_padding_mask", padding, dtype).reshape(N, 1, 1, S)
            added = ignored if added is None else added + ignored
        return added

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        shapes = f"got query {query.shape}, key {key.shape}, value {value.shape}"
        if query.ndim not in (2, 3) or key.ndim != query.ndim:
            raise ValueError(f"expected (L,N,E), or (N,L,E) with batch_first, or (L,E) unbatched; {shapes}")
        if query.shape[-1] != self.embed_dim or key.shape[-1] != self.embed_dim:
            raise ValueError(f"the last axis must be embed_dim = {self.embed_dim}; {shapes}")
        batch = 0 if self.batch_first else 1
        if key.shape != value.shape or (query.ndim == 3 and query.shape[batch] != key.shape[batch]):
            raise ValueError(
                f"key and value must have one shape, and the query their batch size, axis {batch} "
                f"with batch_first={self.batch_first}; {shapes}"
            )

    def macs(self, input_shape: tuple, output_shape: tuple) -> int:
        """Of self-attention: the three projections, Q·Kᵀ and weights·V."""
        tokens, E = math.prod(input_shape[:-1]), self.embed_dim
        length = input_shape[1 if self.batch_first and len(input_shape) == 3 else 0]
        return tokens * 3 * E * E + 2 * tokens * length * E

    def extra_repr(self) -> str:
        text = f"{self.embed_dim}, {self.num_heads}"
        text += f", dropout={self.dropout}" if self.dropout else ""
        return text + (", batch_first=True" if self.batch_first else "")


def _additive(name: str, mask: Tensor, dtype: np.dtype) -> Tensor:
    """A boolean mask (True: do not look) as −∞ and 0; a floating one as it is."""
    if mask.dtype == bool:
        return Tensor(np.where(mask.array, -math.inf, 0).astype(dtype))
    if mask.dtype.kind != "f":
        raise TypeError(f"{name} must be bool (True: do not look) or floating point, got {mask.dtype}")
    return mask.to(dtype)
