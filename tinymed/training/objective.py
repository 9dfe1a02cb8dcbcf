"""Objective: a loss, and what it says of the model's output and of the labels that fit it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinymed import nn
from tinymed.nn import functional as F
from tinymed.nn.errors import nearest
from tinymed.tensor import Tensor
from tinymed.training.metrics import METRICS

# what the model puts out, for each loss
OUTPUTS = {
    F.binary_cross_entropy_with_logits: "logits",
    F.binary_cross_entropy: "probabilities",
    F.cross_entropy: "scores",
    F.nll_loss: "log-probabilities",
    F.mse_loss: "values",
    F.l1_loss: "values",
    F.smooth_l1_loss: "values",
    F.huber_loss: "values",
}
NAMES: dict[str, Any] = {
    **{f.__name__: f for f in OUTPUTS},
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    "bce": F.binary_cross_entropy,
    "mse": F.mse_loss,
}
MODULES: dict[type, Callable] = {
    nn.BCEWithLogitsLoss: F.binary_cross_entropy_with_logits,
    nn.BCELoss: F.binary_cross_entropy,
    nn.CrossEntropyLoss: F.cross_entropy,
    nn.NLLLoss: F.nll_loss,
    nn.MSELoss: F.mse_loss,
    nn.L1Loss: F.l1_loss,
    nn.SmoothL1Loss: F.smooth_l1_loss,
    nn.HuberLoss: F.huber_loss,
}


class Objective:
    """The mean loss of a batch, Σ_n w_n · ℓ_n / N; w_n is the weight of sample n's class, or 1.

    loss  a name ("cross_entropy"), a function of nn.functional, a loss of nn, or any f(output, target)

    output  what it takes the model's output for: "logits" or "probabilities" of one class against the other,
            "scores" or "log-probabilities" of several, "values"; "anything" for a loss of one's own
    """

    def __init__(self, loss: Any) -> None:
        if isinstance(loss, str):
            if loss not in NAMES:
                raise ValueError(f"no loss is called {loss!r}{nearest(loss, NAMES)}; there are {', '.join(NAMES)}")
            loss = NAMES[loss]
        if not callable(loss) or isinstance(loss, type):
            hint = f"; write {loss.__name__}()" if isinstance(loss, type) else ""
            raise TypeError(f"loss must be a name, a function or a loss module, got {loss!r}{hint}")
        if getattr(loss, "reduction", "mean") != "mean":
            raise ValueError(
                f"the loss of a batch must be one number, its mean: {loss!r} has "
                f'reduction={loss.reduction!r}; use reduction="mean"'
            )
        self.loss = loss
        function = MODULES.get(type(loss), loss)
        try:
            self.output = OUTPUTS.get(function, "anything")
        except TypeError:  # a callable that cannot be hashed
            self.output = "anything"
        self.two_classes = self.output in ("logits", "probabilities")
        self.several_classes = self.output in ("scores", "log-probabilities")

    def __call__(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        if weight is None:
            loss = self.loss(output, target)
        else:
            each = self._each(output, target)
            each = each.reshape(each.shape[0], -1).mean(1)
            loss = (each * weight).mean()
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            got = loss.shape if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f'the loss of a batch must be one number, got {got}; use reduction="mean"')
        return loss

    def _each(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of every sample."""
        if isinstance(self.loss, nn.Module):
            loss: Any = copy.copy(self.loss)
            loss.reduction = "none"
        else:
            loss = partial(self.loss, reduction="none")
        return loss(output, target)

    # ---------------------------------------------------------------- labels that fit

    def target(self, output: Tensor, y: Tensor) -> Tensor:
        """The labels of a batch in the shape and dtype that the loss wants. Refuses those that cannot be meant."""
        if y.shape[:1] != output.shape[:1]:
            raise ValueError(f"the model's output {output.shape} and the labels {y.shape} differ in length")
        if self.output == "anything":
            return y
        if self.several_classes:
            return self._classes(output, y)
        if y.shape != output.shape:
            if y.numel() != output.numel() or max(y.ndim, output.ndim) > 2:
                one_hot = self.two_classes and y.ndim == 2 and output.numel() == len(y)
                cure = "; one-hot labels become classes by y.argmax(1)" if one_hot else ""
                if self.two_classes and y.numel() == len(y):
                    cure = '; several outputs need the loss "cross_entropy", two classes one output'
                raise ValueError(f"labels {y.shape} do not fit the model's output {output.shape}{cure}")
            y = y.reshape(output.shape)  # (N,) against (N,1)
        if self.two_classes and (wrong := ~((y.array >= 0) & (y.array <= 1))).any():
            raise ValueError(
                f"labels of two classes must be 0 and 1, got {y.array[wrong][0]}; "
                "map them first, such as {1, 2} by y - 1 and {-1, 1} by (y + 1) / 2"
            )
        return y.to(output.dtype)

    def _classes(self, output: Tensor, y: Tensor) -> Tensor:
        if output.ndim < 2 or output.shape[1] < 2:
            raise ValueError(
                f"the model's output {output.shape} has one unit, which leaves cross_entropy no choice; "
                'use "binary_cross_entropy_with_logits", or one output a class'
            )
        if y.ndim == 2 and y.shape[1] == 1:  # MedMNIST's files have (N,1)
            y = y.squeeze(1)
        if y.shape == output.shape and y.ndim == 2:
            if not np.allclose(y.array.sum(1), 1) or (y.array < 0).any():
                raise ValueError("labels (N,C) must be one-hot or probabilities: each row must sum to 1")
            if ((y.array == 0) | (y.array == 1)).all():
                return Tensor(y.array.argmax(1))
            if self.output == "log-probabilities":
                raise ValueError('soft labels need the loss "cross_entropy", and a model without its log-softmax')
            return y.to(output.dtype)
        if y.dtype.kind == "f":
            raise TypeError(
                f"class labels must be whole numbers 0…{output.shape[1] - 1}, got {y.dtype} of shape {y.shape}; "
                "use y.astype(np.int64)"
            )
        return y.long() if y.dtype.kind == "b" else y

    def weighted(self, target: Tensor, weights: np.ndarray) -> tuple[Tensor, Tensor]:
        """Targets, and what each sample counts, (N,): class c counts weights[c], (C,).

        A soft label t counts s = Σ_c t_c·w_c and leans to the heavier class, t'_c = t_c·w_c / s, for then its loss,
        linear in t, is Σ_c t_c·w_c·ℓ_c: that of a mix of two samples is the mix of theirs.
        """
        t = target.array
        if not (self.two_classes or self.several_classes):
            raise ValueError(
                "class_weight needs a loss of classes of tinymed's; any other must weigh its samples itself"
            )
        if t.dtype.kind != "f":
            return target, Tensor(weights[t.reshape(len(t))])
        if self.two_classes and t.size != len(t):
            raise ValueError(f"class_weight needs one label for each sample, got labels {t.shape}")
        shares = np.stack([1 - t.reshape(-1), t.reshape(-1)], 1) if self.two_classes else t  # (N,C)
        weights = np.pad(weights, (0, shares.shape[1] - len(weights)))  # classes after the last that there is
        counted = shares * weights
        total = counted.sum(1, keepdims=True)
        leaning = np.divide(counted, total, out=shares.astype(counted.dtype), where=total > 0)
        soft = leaning[:, 1].reshape(t.shape) if self.two_classes else leaning
        return Tensor(soft.astype(t.dtype)), Tensor(total[:, 0])

    # ---------------------------------------------------------------- what metrics want

    def probabilities(self, output: np.ndarray) -> np.ndarray:
        """The model's raw output as probabilities (or as it is, where the loss is about values)."""
        if self.output == "logits":
            return F.sigmoid(Tensor(output)).array
        if self.output == "scores":
            return F.softmax(Tensor(output), 1).array
        return np.exp(output) if self.output == "log-probabilities" else output

    def labels(self, target: np.ndarray) -> np.ndarray:
        """Classes (N,) of targets: soft ones become the likelier class."""
        if self.two_classes:
            return (target > 0.5).astype(np.int64)
        return target.argmax(1) if self.several_classes and target.dtype.kind == "f" else target

    def metrics(self, wanted: Sequence[str | Callable] | None) -> dict[str, Callable]:
        """Functions f(probabilities, labels) by name; by default accuracy where there are classes."""
        if wanted is None:
            wanted = ("accuracy",) if self.two_classes or self.several_classes else ()
        wanted = (wanted,) if isinstance(wanted, str) else wanted
        found: dict[str, Callable] = {}
        for metric in wanted:
            if callable(metric):
                found[getattr(metric, "__name__", None) or type(metric).__name__] = metric
            elif metric not in METRICS:
                raise ValueError(f"no metric is called {metric!r}; there are {', '.join(METRICS)}")
            elif not (self.two_classes or self.several_classes):
                raise ValueError(
                    f"{metric} is of probabilities, which this loss does not tell of; "
                    "give metrics=(), or functions f(output, labels) of your own"
                )
            else:
                found[metric] = METRICS[metric]
        return found


def class_weights(wanted: Any, labels: np.ndarray) -> np.ndarray:
    """The weight of each class, (C,), by number.

    "balanced" weighs class c by N / (C · N_c), so that every class counts the same in all; else {class: weight}.
    Labels may be soft, a share of class 1 (N,) or shares (N,C): N_c is then the sum of class c's shares.
    """
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim not in (1, 2) or labels.min() < 0:
        raise ValueError(f"class_weight needs class labels (N,) of 0 and more, got {labels.shape}")
    if labels.ndim == 2:
        counts = labels.sum(0)
    elif labels.dtype.kind != "f" or np.array_equal(labels, np.floor(labels)):
        counts = np.bincount(labels.astype(np.int64))
    elif labels.max() <= 1:
        counts = np.array([(1 - labels).sum(), labels.sum()])
    else:
        raise ValueError("class_weight needs labels that are classes, got fractions")
    if isinstance(wanted, str):
        if wanted != "balanced":
            raise ValueError(f'class_weight is "balanced" or a dictionary, got {wanted!r}')
        present = counts > 0
        return np.divide(len(labels) / present.sum(), counts, out=np.zeros(len(counts)), where=present)
    if not isinstance(wanted, Mapping):
        raise TypeError(f'class_weight is "balanced" or a dictionary {{class: weight}}, got {wanted!r}')
    if missing := [int(c) for c in np.flatnonzero(counts) if c not in wanted]:
        raise ValueError(f"class_weight has no weight for class {missing[0]}; it has {dict(wanted)}")
    weights = np.array([float(wanted.get(c, 0)) for c in range(len(counts))])
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(f"class_weight: weights must be finite and 0 or more, got {dict(wanted)}")
    return weights
