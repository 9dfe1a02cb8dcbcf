"""What a run is worth, in one picture: curves, confusion matrix, ROC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def draw(path: Path, history: Any, figures: dict, probabilities: Any, test: Any) -> None:
    """Accuracy and loss over the epochs, the confusion matrix, and the ROC curve, as a PNG."""
    from matplotlib.figure import Figure  # no pyplot: no window, no global state
    from matplotlib.ticker import MaxNLocator

    positive = test.classes.index(figures["positive"])
    figure = Figure(figsize=(9.6, 8.4), layout="constrained", dpi=120)
    figure.suptitle(
        f"{figures['data']}: accuracy {figures['accuracy']:.3f}, AUC {figures['auc']:.3f} on the test split"
    )
    (curves, losses), (matrix, roc) = figure.subplots(2, 2)
    for axes, name in ((curves, "accuracy"), (losses, "loss")):
        axes.plot(history.epochs, history.history[name], "o-", label="train")
        axes.plot(history.epochs, history.history[f"val_{name}"], "s--", label="validation")
        axes.set(title=name.capitalize(), xlabel="epoch", ylabel=name if name == "accuracy" else "loss (nats)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)
    _confusion(matrix, np.array(figures["confusion_matrix"]), test.classes)
    _roc(roc, probabilities, test.tensors[1].numpy(), positive, test.classes, figures)
    figure.savefig(path)


def _confusion(axes: Any, counts: np.ndarray, classes: Any) -> None:
    axes.imshow(counts, cmap="Blues", vmin=0)
    for i, row in enumerate(counts):
        for j, n in enumerate(row):
            axes.text(j, i, str(n), ha="center", va="center", color="white" if n > counts.max() / 2 else "black")
    names = [str(name).replace(", ", ",\n") for name in classes]
    axes.set(title="Confusion matrix (number of cases)", xlabel="predicted", ylabel="true")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names, rotation=90, va="center")


def _roc(axes: Any, probabilities: Any, labels: np.ndarray, positive: int, classes: Any, figures: dict) -> None:
    from tinymed.training.metrics import roc_curve

    if len(np.unique(labels)) == 2:  # of one class alone there is no curve
        false_positive, true_positive, _ = roc_curve(probabilities, labels, positive)
        axes.plot(false_positive, true_positive, label=f"network, AUC {figures['auc']:.3f}")
        axes.plot(1 - figures["specificity"], figures["sensitivity"], "o", label="threshold 0.5")
    axes.plot([0, 1], [0, 1], ":", color="grey", label="guessing")
    axes.set(title=f"ROC for {classes[positive]}", xlabel="1 − specificity", ylabel="sensitivity", aspect="equal")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False, columnspacing=1)
