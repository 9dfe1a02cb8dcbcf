"""How a tensor looks: as text in a terminal, as a small shaded table in a notebook."""

from __future__ import annotations

from html import escape

import numpy as np

from tinymed.tensor import DEFAULT_DTYPE, Tensor

MOST = 12  # rows and columns of the table


def text(x: Tensor) -> str:
    """As PyTorch prints it, with the shape where the numbers do not all show."""
    numbers = np.array2string(x.array, separator=", ", prefix="tensor(", precision=4, threshold=200, edgeitems=3)
    notes = []
    if x.numel() > 200 or x.numel() == 0:
        notes.append(f"shape={x.shape}")
    if x.dtype not in (DEFAULT_DTYPE, np.int64, bool):
        notes.append(f"dtype={x.dtype}")
    if x.grad_fn is not None:
        notes.append(f"grad_fn={x.grad_fn!r}")
    elif x.requires_grad:
        notes.append("requires_grad=True")
    name = "tensor" if type(x) is Tensor else type(x).__name__
    return f"{name}({', '.join([numbers, *notes])})"


def html(x: Tensor) -> str:
    """The first matrix of x as a table, its cells shaded from the smallest to the largest number."""
    facts = f"shape {x.shape} · {x.dtype}"
    if x.grad_fn is not None:
        facts += f" · made by {type(x.grad_fn).__name__}"
    elif x.requires_grad:
        facts += " · requires grad"
    matrix = x.array.reshape(1, -1) if x.ndim < 2 else x.array[(0,) * (x.ndim - 2)] if x.numel() else x.array[..., :0]
    shown = matrix.reshape(matrix.shape[-2:])[:MOST, :MOST]
    if x.numel() > shown.size:
        facts += f" · the first {shown.shape[0]} x {shown.shape[1]} of them"
    finite = shown[np.isfinite(shown)].astype(float)
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    rows = []
    for row in shown:
        cells = []
        for value in row:
            shade = (float(value) - low) / (high - low) if high > low and np.isfinite(value) else 0.0
            label = f"{value:.4g}" if x.dtype.kind == "f" else str(value)
            # a translucent blue under the page's own text colour reads on light and on dark
            cells.append(
                f'<td style="background:rgba(46,118,214,{0.5 * shade:.2f});text-align:right">{escape(label)}</td>'
            )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<div><table>{''.join(rows)}</table><small>tensor · {escape(facts)}</small></div>"
