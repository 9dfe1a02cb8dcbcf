"""How a tensor looks: as text in a terminal, as a small shaded table in a notebook."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from tinymed.tensor import DEFAULT_DTYPE, Tensor, to_host

MOST = 28  # rows and columns of the table: a small picture shows whole
WIDE = 12  # from here on in small print


def text(x: Tensor) -> str:
    """As PyTorch prints it, with the shape where the numbers do not all show."""
    name = "tensor" if type(x) is Tensor else type(x).__name__
    array = to_host(x.array)
    numbers = np.array2string(array, separator=", ", prefix=f"{name}(", precision=4, threshold=200, edgeitems=3)
    notes = []
    if x.numel() > 200 or x.numel() == 0:
        notes.append(f"shape={x.shape}")
    if x.dtype not in (DEFAULT_DTYPE, np.int64, bool):
        notes.append(f"dtype={x.dtype}")
    if x.device != "cpu":
        notes.append(f"device={x.device!r}")
    if x.grad_fn is not None:
        notes.append(f"grad_fn={x.grad_fn!r}")
    elif x.requires_grad:
        notes.append("requires_grad=True")
    return f"{name}({', '.join([numbers, *notes])})"


def html(x: Tensor) -> str:
    """The first matrix of x as a table, shaded: from the least number to the largest, or, where signs differ, from 0.

    A translucent blue, and orange below 0, under the page's own text colour read on light and on dark.
    """
    facts = f"shape {x.shape} · {x.dtype}" + (f" · {x.device}" if x.device != "cpu" else "")
    if x.grad_fn is not None:
        facts += f" · made by {type(x.grad_fn).__name__}"
    elif x.requires_grad:
        facts += " · requires grad"
    if not x.numel():
        return f"<div>There are no numbers in it.<br><small>tensor · {escape(facts)}</small></div>"
    array = to_host(x.array)
    matrix = array.reshape(1, -1) if x.ndim < 2 else array[(0,) * (x.ndim - 2)]
    shown = matrix[:MOST, :MOST]
    if x.numel() > shown.size:
        facts += f" · the first {shown.shape[0]} x {shown.shape[1]} of them"
    rows = []
    for labels, shades in zip(_labels(shown), _shades(shown)):
        cells = (
            f'<td style="background:rgba({"46,118,214" if shade >= 0 else "224,122,40"},{abs(shade) / 2:.2f});'
            f'text-align:right">{escape(label)}</td>'
            for label, shade in zip(labels, shades)
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    small = ' style="font-size:70%"' if max(shown.shape) > WIDE else ""
    table = f'<div style="overflow-x:auto"><table{small}>{"".join(rows)}</table></div>'
    return f"<div>{table}<small>tensor · {escape(facts)}</small></div>"


def _labels(numbers: np.ndarray) -> list[list[str]]:
    """Floats with as many decimals as show four digits of the largest, the same in every cell."""
    if numbers.dtype.kind != "f":
        return [[str(value) for value in row] for row in numbers]
    finite = np.abs(numbers[np.isfinite(numbers)].astype(float))
    if (finite == np.round(finite)).all() and finite.max(initial=0) < 1e6:
        form = ".0f"
    else:
        digits = math.floor(math.log10(finite.max()))  # before the point of the largest, less one
        form = f".{max(3 - digits, 0)}f" if -3 <= digits <= 5 else ".3e"
    return [[f"{value:{form}}" for value in row] for row in numbers]


def _shades(numbers: np.ndarray) -> np.ndarray:
    """−1…1 for each number; what is not finite is not shaded."""
    ok = np.isfinite(numbers)
    x = np.where(ok, numbers, 0).astype(float)
    low, high = (x[ok].min(), x[ok].max()) if ok.any() else (0.0, 0.0)
    if low < 0 < high:
        return x / max(high, -low)
    return np.where(ok, (x - low) / (high - low if high > low else 1), 0)
