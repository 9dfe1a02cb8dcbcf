"""Softmax and the loss of several classes on a GPU: rows of C scores, a few threads each (cuda/loss.cu)."""

from __future__ import annotations

import numpy as np

from tinymed.kernels.cupy_launch import BLOCK, Array, blocks, run


def cross_entropy(x: Array, t: Array, w: Array) -> tuple[Array, Array]:
    """−w · ln softmax(x)[t], and softmax(x): x (N,C,P), t and w (N,P) → (N,P), (N,C,P)"""
    import cupy

    rows = rows_of(x)
    loss, p = cupy.empty(w.shape, x.dtype), cupy.empty_like(rows)
    _launch("cross_entropy", rows, rows, *_labels(t, w), loss, p)
    return loss, images_of(p, x.shape)


def cross_entropy_grad(g: Array, p: Array, t: Array, w: Array) -> Array:
    """g · w · (softmax(x) − 1 at t) → (N,C,P)"""
    import cupy

    rows = rows_of(p)
    gx = cupy.empty_like(rows)
    _launch("cross_entropy_grad", rows, cupy.ascontiguousarray(g), rows, *_labels(t, w), gx)
    return images_of(gx, p.shape)


def _launch(name: str, rows: Array, *args: Array) -> None:
    """As many threads a row as loss.cu's Team: the power of 2 that holds the classes, at most 32."""
    R, C = rows.shape
    team = min(32, 1 << (C - 1).bit_length())
    run("loss", name, (blocks(R * team),), (BLOCK,), np.int32(R), np.int32(C), *args, dtype=rows.dtype)


def rows_of(x: Array) -> Array:
    """(N,C,P) → (N·P,C); no copy where the channels already lie last in memory"""
    import cupy

    return cupy.ascontiguousarray(x.transpose(0, 2, 1)).reshape(-1, x.shape[1])


def images_of(rows: Array, shape: tuple[int, ...]) -> Array:
    """(N·P,C) → (N,C,P), the channels last in memory"""
    N, C, P = shape
    return rows.reshape(N, P, C).transpose(0, 2, 1)


def _labels(t: Array, w: Array) -> tuple[Array, Array]:
    import cupy

    return cupy.ascontiguousarray(t, dtype=np.int64), cupy.ascontiguousarray(w)
