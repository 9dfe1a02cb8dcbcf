"""Embedding: a vector to be learnt for each word, code or category."""

from __future__ import annotations

import numpy as np

from tinymed.autograd import no_grad
from tinymed.nn import functional as F
from tinymed.nn import init
from tinymed.nn.checks import whole
from tinymed.nn.module import Module, Parameter
from tinymed.tensor import Tensor


class Embedding(Module):
    """y = weight[x]: integers (…) → (…,embedding_dim)

    weight (num_embeddings,embedding_dim) starts from N(0, 1); its row padding_idx is zeros and is not learnt.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        super().__init__()
        whole("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"Embedding: padding_idx {padding_idx} is no row of a table of {num_embeddings}")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(np.empty((num_embeddings, embedding_dim), np.float32))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
