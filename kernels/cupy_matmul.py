"""Products of matrices on a GPU: by cuBLAS, through CuPy, and by our own kernels, which have no secrets."""

from __future__ import annotations

import math

import numpy as np

from tinymed.kernels import cupy_graph
from tinymed.kernels.cupy_conv import conv2d, conv2d_input_grad, conv2d_weight_grad, on_tensor_cores
from tinymed.kernels.cupy_launch import BLOCK, MOST, RESIDENT, Array, blocks, run
from tinymed.kernels.shapes import ConvShape, conv_shape


def matmul(a: Array, b: Array) -> Array:
    """(…,M,K) @ (…,K,N) → (…,M,N), by cuBLAS; in a CUDA graph, of which CuPy lets cuBLAS be no part, by gemm"""
    import cupy

    return gemm(a, b) if cupy_graph.recording() else cupy.matmul(a, b)


def gemm(a: Array, b: Array, tf32: bool = False) -> Array:
    """matmul by our own kernels: float32 or float64, computed in just that width (cuda/gemm.cu).

    tf32: two matrices of float32 may be multiplied on tensor cores, about 3e-4 off (cuda/conv.cu). A transposed
    matrix is read where it stands. Raises ValueError for matrices that do not fit, TypeError for other numbers.
    """
    import cupy

    (M, K), (K_b, N) = a.shape[-2:], b.shape[-2:]
    if K_b != K:
        raise ValueError(f"gemm: {K} columns of a {a.shape} meet {K_b} rows of b {b.shape}")
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    S, dtype = math.prod(stack), np.result_type(a.dtype, b.dtype)
    if tf32 and not stack and min(M, N, K) and on_tensor_cores(_rows(M, K, N), dtype.type, K):
        return _by_convolution(a.astype(dtype, copy=False), b.astype(dtype, copy=False))
    tile = _tile(M, N, S, dtype)
    grid = blocks(N, tile), blocks(M, tile), S
    if max(grid[1:]) > MOST:
        raise ValueError(f"gemm: at most {MOST} matrices, and {MOST * tile} rows in each; got {S} of {M} rows")
    c = cupy.empty((*stack, M, N), dtype)
    if not c.size:
        return c
    left, right = _stored(a.astype(dtype, copy=False), stack), _stored(b.astype(dtype, copy=False), stack)
    shape = (np.int32(n) for n in (M, N, K))
    run("gemm", "gemm", grid, (BLOCK,), *shape, *left, *right, c, np.int64(M * N), np.int32(0), dtype=dtype, TILE=tile)
    return c


def _stored(a: Array, stack: tuple[int, ...]) -> tuple[Array, np.int32, np.int64]:
    """The matrices as they lie in memory, whether turned, and how far it is from one to the next: 0 for one alone."""
    import cupy

    R, C = a.shape[-2:]
    single = math.prod(a.shape[:-2]) == 1
    a = a.reshape(R, C) if single else cupy.broadcast_to(a, (*stack, R, C))
    turned = _turned(a)
    a = cupy.ascontiguousarray(a.swapaxes(-1, -2) if turned else a)
    return a, np.int32(turned), np.int64(0 if single else R * C)


def _turned(a: Array) -> bool:
    return not a.flags.c_contiguous and a.swapaxes(-1, -2).flags.c_contiguous


def _tile(M: int, N: int, S: int, dtype: np.dtype) -> int:
    """The widest share of C for a block with which there still are blocks for the whole GPU."""
    widest = 128 if dtype == np.float32 else 64
    fits = (n for n in (128, 64) if n <= widest and S * blocks(M, n) * blocks(N, n) >= RESIDENT)
    return next(fits, 32)


# ---------------------------------------------------------------- a product as a convolution


def _by_convolution(a: Array, b: Array) -> Array:
    """A kernel of one cell mixes channels and no pixels: y = x·Wᵀ, ∂L/∂x = g·W and ∂L/∂W = gᵀ·x, rows for pixels.

    Which of the three it is depends on how A and B lie in memory: each reads its two factors as they are.
    """
    (M, K), N = a.shape, b.shape[1]
    if _turned(a):
        return conv2d_weight_grad(_image(b), _image(a.T), _rows(K, N, M)).reshape(M, N)
    if _turned(b):
        y = conv2d(_image(a), b.T.reshape(N, K, 1, 1), None, _rows(M, K, N))
    else:
        y = conv2d_input_grad(_image(a), b.reshape(K, N, 1, 1), _rows(M, N, K))
    return y.transpose(0, 2, 3, 1).reshape(M, N)


def _image(a: Array) -> Array:
    """(P,C) → (1,C,P,1): a pixel for each row, the channels last in memory"""
    P, C = a.shape
    return a.reshape(1, P, 1, C).transpose(0, 3, 1, 2)


def _rows(P: int, C: int, O: int) -> ConvShape:
    """P pixels with C channels in and O out"""
    return conv_shape((1, C, P, 1), (O, C, 1, 1), (1, 1), (0, 0), (1, 1), 1)
