"""The bootstrap: how far a figure would move, had the test set held other cases of the same kind (Efron 1979).

A figure is a function of how often each case is counted. Each case counted once gives the figure itself; cases drawn
with replacement, over and over, show how it moves, and the middle 95 % of those are its interval. Where several
cases are one patient's, patients are drawn, whole: their cases say much the same, and count for less than so many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

DRAWS, LEVEL = 2000, 0.95
CHUNK = 2**19  # counts held at a time: what fits in a processor's cache is counted fastest
UNDEFINED = 0.05  # an interval over fewer than the other 95 % of the draws would be of other data


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval; NaN where there is none. `why` says why not, or which it is."""

    value: float
    low: float = math.nan
    high: float = math.nan
    why: str = ""

    def __str__(self) -> str:
        if math.isnan(self.value):
            return f"undefined: {self.why}"
        if math.isnan(self.low):
            return f"{self.value:.3f} ({self.why or 'no interval'})"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def counts(n: int, draws: int, seed: int, groups: Any = None) -> Iterator[np.ndarray]:
    """How often each of n cases is drawn: draws rows of (n,), in pieces of some rows, always the same for a seed.

    groups  (n,) whose each case is: whole groups are drawn
    """
    member = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    size, rng = int(member.max()) + 1, np.random.default_rng(seed)
    for start in range(0, draws, rows := max(1, CHUNK // n)):
        b = min(rows, draws - start)
        drawn = rng.integers(size, size=(b, size), dtype=np.int32) + size * np.arange(b)[:, None]
        count = np.bincount(drawn.reshape(-1), minlength=b * size).reshape(b, size).astype(np.float64)
        yield count if groups is None else count[:, member]


def intervals(
    figures: Callable[[np.ndarray], dict[str, np.ndarray]],
    n: int,
    draws: int = DRAWS,
    seed: int = 0,
    groups: Any = None,
    level: float = LEVEL,
) -> dict[str, Figure]:
    """{name: Figure} of `figures`, which gives (b,) values of each for counts (b,n); NaN where one is undefined.

    The interval is the percentile one, over the draws in which the figure is defined. There is none where these are
    fewer than 95 %, or where no draw moves the figure: of cases without a single error none can be drawn with one.
    """
    whole = figures(np.ones((1, n)))
    pieces = [figures(w) for w in counts(n, draws, seed, groups)]
    return {
        name: _interval(float(value[0]), np.concatenate([piece[name] for piece in pieces]), level)
        for name, value in whole.items()
    }


def _interval(value: float, drawn: np.ndarray, level: float) -> Figure:
    if math.isnan(value):
        return Figure(value)
    undefined = np.isnan(drawn).mean()
    if undefined > UNDEFINED:
        return Figure(value, why=f"no interval: {undefined:.0%} of the draws have no such figure, for want of cases")
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    if high - low < 1e-12:
        return Figure(value, why="no interval: it is the same in every draw of these cases, but would not be in others")
    return Figure(value, float(low), float(high))


def exact_interval(hits: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The interval of a share, hits in n independent cases (Clopper and Pearson 1934).

    It holds every rate under which so few hits, and so many, are each seen with 2.5 % or more: the truth, in 95 of
    100 test sets or more, whatever n and the rate are.
    """
    from scipy.stats import binomtest

    low, high = binomtest(hits, n).proportion_ci(level, "exact")
    return float(low), float(high)
