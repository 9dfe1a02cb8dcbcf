"""What is seen of training: a bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from tinymed.training.history import shown


class Silent:
    """Shows nothing; the others do more."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def resume(self, epoch: int) -> None:
        """Training goes on after this epoch."""

    def batch(self, epoch: int, loss: float) -> None:
        """A batch of this epoch is done."""

    def epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        """An epoch is done."""


class Lines(Silent):
    """Epoch 3/10 · 1.2 s · loss 0.4310 · accuracy 0.8112"""

    def __init__(self, epochs: int) -> None:
        self.epochs, self.since = epochs, time.perf_counter()

    def resume(self, epoch: int) -> None:
        print(f"Epochs 1 to {epoch} of {self.epochs} were done before", flush=True)

    def epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        print(self.line(epoch, logs), flush=True)

    def line(self, epoch: int, logs: Mapping[str, float]) -> str:
        now = time.perf_counter()
        took, self.since = now - self.since, now
        figures = (f"{name} {shown(name, value)}" for name, value in logs.items())
        return " · ".join([f"Epoch {epoch}/{self.epochs}", f"{took:.1f} s", *figures])


class Bar(Lines):
    """The same lines, and under them a bar over all batches with the time that is left."""

    def __init__(self, epochs: int, batches: int) -> None:
        super().__init__(epochs)
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("batches, left"), TimeRemainingColumn())
        self.bar = Progress(TextColumn("{task.description}"), *columns, transient=True)
        self.task = self.bar.add_task(f"Epoch 1/{epochs}", total=epochs * batches)
        self.batches = batches

    def __enter__(self) -> Any:
        self.bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.stop()

    def resume(self, epoch: int) -> None:
        super().resume(epoch)
        self.bar.update(self.task, completed=epoch * self.batches)

    def batch(self, epoch: int, loss: float) -> None:
        self.bar.update(self.task, advance=1, description=f"Epoch {epoch}/{self.epochs} · loss {loss:.4g}")

    def epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        self.bar.console.print(self.line(epoch, logs), highlight=False)


def progress(verbose: Any, epochs: int, batches: int) -> Silent:
    """False or 0: silent; 2: lines; "auto", True or 1: a bar if the output is a terminal, else lines."""
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f'verbose is "auto", True, False or 2 (plain lines), got {verbose!r}')
    if not verbose:
        return Silent()
    return Bar(epochs, batches) if verbose != 2 and sys.stdout.isatty() else Lines(epochs)
