"""Models for tables (N,F): measures of a patient, or the activity of genes.

Builders, and what they put out, as in tasks/sequences.py; with `from torch import nn` they are PyTorch's.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinymed import nn


def outputs(classes: int) -> int:
    """How many numbers a model puts out: one logit for two classes, a score for each of more; for one, the value."""
    if classes < 1:
        raise ValueError(f"a model tells one value, or two classes or more apart, got {classes}")
    return 1 if classes == 2 else classes


def logistic(shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """One linear layer, y = W·x + b; with the loss's σ or softmax, logistic regression (with one class, linear)."""
    return dense(shape, classes, hidden=())


def dense(
    shape: tuple[int, ...], classes: int, hidden: Sequence[int] = (32, 16), dropout: float = 0.0
) -> nn.Sequential:
    """Fully connected layers (the article's FC, 3.1.2), each a_k = ReLU(W_k·a_{k−1} + b_k), with dropout after each."""
    if len(shape) != 1:
        raise ValueError(f"dense layers take rows of measures (F,), got {tuple(shape)}; flatten the items first")
    width = shape[0]
    layers: list[nn.Module] = []
    for units in hidden:
        layers += [nn.Linear(width, units), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout else []
        width = units
    return nn.Sequential(*layers, nn.Linear(width, outputs(classes)))
