"""One case as a piece of HTML, whatever its form: a picture, a volume, a signal, a row of a table, a text.

A fragment is markup that may stand on a page as it is; what comes from data is escaped in it. Its colours are the
page's: `currentColor`, and classes of page.css.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape

WIDE, HIGH = 260, 80  # of a signal's drawing
ROWS = 5  # of a table that has more columns
LETTERS = 900  # of a text


def picture_fragment(x: Any, size: int = 140) -> Markup:
    """A picture (1,H,W) or (3,H,W), or (H,W), `size` pixels high; values outside 0…1 are brought there."""
    x = np.asarray(x, dtype=np.float64)
    x = x[None] if x.ndim == 2 else x
    if x.ndim != 3 or x.shape[0] not in (1, 3):
        raise ValueError(f"picture_fragment: expected a picture (1,H,W) or (3,H,W), got {x.shape}")
    return Markup('<div class="pictures">{}</div>').format(_image(_grey(x), size, "picture"))


def volume_fragment(x: Any, size: int = 90) -> Markup:
    """The middle slices of a volume (1,D,H,W), or (D,H,W), across each of its three axes."""
    x = np.asarray(x, dtype=np.float64)
    x = x[0] if x.ndim == 4 and x.shape[0] == 1 else x
    if x.ndim != 3:
        raise ValueError(f"volume_fragment: expected a volume (1,D,H,W), got {x.shape}")
    x = _grey(x)
    slices = [(x.take(x.shape[axis] // 2, axis)[None], f"middle slice across {'DHW'[axis]}") for axis in range(3)]
    return Markup('<div class="pictures">{}</div>').format(
        Markup("").join(
            Markup("<figure>{}<figcaption>across {}</figcaption></figure>").format(_image(part, size, said), said[-1])
            for part, said in slices
        )
    )


def signal_fragment(x: Any, fs: float | None = None) -> Markup:
    """A signal (1,T), or (T,), over time: in seconds where it was sampled `fs` times a second, else in samples."""
    x = np.asarray(x, dtype=np.float64)
    x = x[0] if x.ndim == 2 and x.shape[0] == 1 else x
    if x.ndim != 1 or len(x) < 2:
        raise ValueError(f"signal_fragment: expected a signal (1,T), got {x.shape}")
    known = x[np.isfinite(x)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    across = np.linspace(0, WIDE, len(x))
    down = HIGH - 4 - (x - low) / (high - low or 1) * (HIGH - 8)
    pieces, pen = [], "M"
    for a, b in zip(across, down):
        if np.isfinite(b):
            pieces.append(f"{pen}{a:.1f} {b:.1f}")
        pen = "L" if np.isfinite(b) else "M"  # where numbers are missing, the line is broken
    length = f"{len(x) / fs:.3g} s" if fs else f"{len(x)} samples"
    return Markup(
        '<figure class="signal"><svg viewBox="0 0 {} {}" role="img" aria-label="signal of {}">'
        '<path d="{}" fill="none" stroke="currentColor" stroke-width="1.2"/></svg>'
        "<figcaption>{}, from {:.3g} to {:.3g}</figcaption></figure>"
    ).format(WIDE, HIGH, length, " ".join(pieces), length, low, high)


def table_fragment(names: Sequence[str], values: Any, typical: Any = None) -> Markup:
    """A row of measures (F,) by name, and beside each its median.

    typical  (F,) medians of the training part, or (2,F) medians and quartile ranges

    Of many measures, those furthest from the median, in quartile ranges, are shown; the first, if nothing is known.
    """
    values = np.asarray(values, dtype=np.float64).reshape(-1)
    if len(names) != len(values):
        raise ValueError(f"table_fragment: there are {len(values)} values, but {len(names)} names")
    middle, spread = None, np.ones(len(values))
    if typical is not None:
        typical = np.asarray(typical, dtype=np.float64)
        if typical.shape not in ((len(values),), (2, len(values))):
            raise ValueError(f"table_fragment: typical is (F,) or (2,F) for {len(values)} values, got {typical.shape}")
        middle, spread = typical if typical.ndim == 2 else (typical, np.abs(typical))
    order, which = np.arange(len(values)), "the first"
    if middle is not None and len(values) > ROWS:
        far = np.abs(values - middle) / np.where(spread > 0, spread, 1)
        order, which = np.argsort(-np.nan_to_num(far, nan=-1), kind="stable"), "furthest from the median first"
    head = Markup("<tr><th>measure<th>value{}").format("" if middle is None else Markup("<th>median, training"))
    rows = [
        Markup("<tr><td>{}<td>{}{}").format(
            names[k], _number(values[k]), "" if middle is None else Markup("<td>{}").format(_number(middle[k]))
        )
        for k in order[:ROWS]
    ]
    told = Markup("<caption>{} of {} measures, {}</caption>").format(ROWS, len(values), which)
    rows = [*([told] if len(values) > ROWS else []), head, *rows]
    return Markup('<table class="measures">{}</table>').format(Markup("").join(rows))


def text_fragment(text: str) -> Markup:
    """A text, cut where it is long."""
    text = " ".join(str(text).split())
    return Markup("<blockquote>{}</blockquote>").format(text[:LETTERS] + (" …" if len(text) > LETTERS else ""))


def _number(value: float) -> str:
    return "missing" if np.isnan(value) else f"{value:.4g}"


def _grey(x: np.ndarray) -> np.ndarray:
    """Between 0 and 1; what is not a number is 0."""
    known = x[np.isfinite(x)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    if low < 0 or high > 1:
        x = (x - low) / (high - low or 1)
    return np.clip(np.nan_to_num(x), 0, 1)


def _image(x: np.ndarray, size: int, said: str) -> Markup:
    """(1,H,W) or (3,H,W) in 0…1 as an <img> that carries its PNG."""
    from PIL import Image

    pixels = (x * 255).round().astype(np.uint8)
    image = Image.fromarray(pixels[0] if len(x) == 1 else pixels.transpose(1, 2, 0))
    image.save(png := io.BytesIO(), "PNG")
    data = base64.b64encode(png.getvalue()).decode()
    width = max(1, round(size * x.shape[2] / x.shape[1]))
    return Markup('<img src="data:image/png;base64,{}" width="{}" height="{}" alt="{}">').format(
        data, width, size, escape(said)
    )
