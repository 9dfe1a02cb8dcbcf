"""History: the figures of every epoch, as a table and as curves."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any


class History:
    """What `fit` gives back.

    history  {"loss": [...], "accuracy": [...], "val_loss": [...], ...}, one figure an epoch
    epochs   the numbers of the epochs, from 1
    note     why training ended before its time; else empty
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epochs: list[int] = []
        self.note = ""

    def append(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Take in the figures of one epoch."""
        self.epochs.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))

    def __len__(self) -> int:
        return len(self.epochs)

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "epochs": self.epochs, "note": self.note}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.history, self.epochs, self.note = (state_dict[name] for name in ("history", "epochs", "note"))

    def plot(self, ax: Any = None) -> Any:
        """Losses, and beside them the metrics, over the epochs; returns the matplotlib axes.

        ax  where to draw: two axes, or one for the losses alone; new ones if None
        """
        import matplotlib.pyplot as plt
        from matplotlib.ticker import MaxNLocator

        if not self.epochs:
            raise ValueError("there is nothing to plot: no epoch was finished")
        losses = [name for name in self.history if name.endswith("loss")]
        rest = [name for name in self.history if name not in (*losses, "lr")]
        panels = [("Loss", "mean loss per sample", losses), *([("Metrics", "value", rest)] if rest else [])]
        if ax is None:
            _, ax = plt.subplots(1, len(panels), figsize=(5.5 * len(panels), 3.6), layout="constrained", squeeze=False)
            ax = ax[0]
        axes = [ax] if hasattr(ax, "plot") else list(ax)
        for axis, (title, unit, names) in zip(axes, panels):
            for name in names:
                label = f"validation {name[4:]}" if name.startswith("val_") else f"training {name}"
                style = "--" if name.startswith("val_") else "-"
                axis.plot(self.epochs, self.history[name], style, marker=".", label=label)
            axis.set(title=title, xlabel="epoch", ylabel=unit)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, frameon=False)
        return ax

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={shown(name, values[-1])}" for name, values in self.history.items())
        epochs = f"{len(self)} epoch{'s' * (len(self) != 1)}"
        return f"History({'; '.join(filter(None, [epochs, last, self.note]))})"

    def _repr_html_(self) -> str:
        rows = [["epoch", *self.history]]
        rows += [
            [str(epoch), *(shown(name, values[k]) for name, values in self.history.items())]
            for k, epoch in enumerate(self.epochs)
        ]
        body = "".join(
            "<tr>" + "".join(f'<{tag} style="text-align:right">{escape(cell)}</{tag}>' for cell in row) + "</tr>"
            for row, tag in zip(rows, ["th"] + ["td"] * len(self))
        )
        return f"<table>{body}</table>" + (f"<p>{escape(self.note)}</p>" if self.note else "")


def shown(name: str, value: float) -> str:
    """A figure as text: losses and rates, which may be of any size, in four digits, shares in four decimals."""
    return f"{value:.4g}" if name == "lr" or name.endswith("loss") else f"{value:.4f}"
