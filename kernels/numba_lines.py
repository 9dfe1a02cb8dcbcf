"""Images as flat lines: the geometry that convolution and pooling share.

The padded image, row after row with `pitch` numbers each, is a flat line. The window of output (i,j) begins at
p = i·pitch + j, and its tap (u,v) stands a fixed offset further: what a window sums over taps is a sum of shifted
lines. Columns from OW to pitch come out meaningless and are left behind. A stride cuts the image into phases, SH·SW
smaller images, in which it is a stride of 1 again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinymed.kernels.numba_jit import jit
from tinymed.kernels.shapes import ConvShape, PoolShape


class Lines(NamedTuple):
    """How an image (H,W) lies in flat lines: that of phase (a,b) holds rows a, a+SH, … and columns b, b+SW, …"""

    H: int
    W: int
    SH: int
    SW: int
    top: int  # rows of padding above the image
    left: int
    rows: int
    pitch: int
    size: int  # of one line

    @property
    def each(self) -> int:
        """Numbers of one image and channel, all phases."""
        return self.SH * self.SW * self.size

    @property
    def own(self) -> bool:
        """Whether the image is its own line, with nothing to copy."""
        return self == (self.H, self.W, 1, 1, 0, 0, self.H, self.W, self.H * self.W)


def lines_of(s: ConvShape | PoolShape, pitch: int = 0) -> Lines:
    """Lines for the images that windows slide over; `pitch` may ask for more than they need."""
    reach_row, reach_col = (s.KH - 1) * s.DH // s.SH, (s.KW - 1) * s.DW // s.SW
    widest = s.OW + reach_col
    # without phases the padding right of a row may be that left of the next
    pitch = max(pitch, s.PW + s.W, widest - s.PW) if s.SW == 1 else max(pitch, widest)
    if (s.SH, s.SW, s.PH, s.PW, pitch) == (1, 1, 0, 0, s.W):
        return Lines(s.H, s.W, 1, 1, 0, 0, s.H, s.W, s.H * s.W)
    rows = s.OH + reach_row
    return Lines(s.H, s.W, s.SH, s.SW, s.PH, s.PW, rows, pitch, rows * pitch + max(0, widest - pitch))


def tap_offsets(s: ConvShape | PoolShape, lines: Lines) -> np.ndarray:
    """(KH,KW): where each tap stands, from the window's start, in the lines of one image."""
    (row, a), (col, b) = np.divmod(np.arange(s.KH) * s.DH, s.SH), np.divmod(np.arange(s.KW) * s.DW, s.SW)
    return ((a * lines.SW)[:, None] + b) * lines.size + row[:, None] * lines.pitch + col


@jit
def _inside(size, before, stride, phase, n):
    """Of the places 0 … n−1 of a phase, the first and one past the last that hold a cell of the image."""
    return max(0, -((phase - before) // stride)), max(0, min(n, (size - 1 + before - phase) // stride + 1))


@jit
def lay(image, lines, a, b, row0, rows, padding, out, start):
    """Rows row0 … row0+rows of phase (a,b) of an image (H,W) into out[start:], padding around."""
    pitch, stride = lines.pitch, lines.SW
    out[start : start + lines.size - (lines.rows - rows) * pitch] = padding
    first, last = _inside(lines.W, lines.left, stride, b, pitch)
    top, bottom = _inside(lines.H, lines.top, lines.SH, a, row0 + rows)
    for i in range(max(top, row0), bottom):
        cells = image[i * lines.SH + a - lines.top, first * stride + b - lines.left :]
        at = start + (i - row0) * pitch
        inside = out[at + first : at + last]
        if stride == 1:
            for j in range(inside.size):
                inside[j] = cells[j]
        else:
            for j in range(inside.size):
                inside[j] = cells[j * stride]


@jit
def lay_all(images, lines, padding, out, start):
    """Every channel of an image (C,H,W), every phase, all rows."""
    phases = lines.SH * lines.SW
    for c in range(images.shape[0]):
        for ab in range(phases):
            at = start + (c * phases + ab) * lines.size
            lay(images[c], lines, ab // lines.SW, ab % lines.SW, 0, lines.rows, padding, out, at)


@jit
def lift(line, lines, a, b, start, image):
    """What `lay` put into phase (a,b) of a line, back into the image (H,W)."""
    pitch, stride = lines.pitch, lines.SW
    first, last = _inside(lines.W, lines.left, stride, b, pitch)
    top, bottom = _inside(lines.H, lines.top, lines.SH, a, lines.rows)
    for i in range(top, bottom):
        cells = image[i * lines.SH + a - lines.top, first * stride + b - lines.left :]
        inside = line[start + i * pitch + first : start + i * pitch + last]
        if stride == 1:
            for j in range(inside.size):
                cells[j] = inside[j]
        else:
            for j in range(inside.size):
                cells[j * stride] = inside[j]
