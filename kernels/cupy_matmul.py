"""Products of matrices on a GPU: cuBLAS, through CuPy, and our own kernel (cuda/gemm.cu), which has no secrets."""

from __future__ import annotations

import math

import numpy as np

from tinymed.kernels.cupy_launch import BLOCK, MOST, RESIDENT, Array, blocks, run


def matmul(a: Array, b: Array) -> Array:
    """(…,M,K) @ (…,K,N) → (…,M,N), by cuBLAS"""
    import cupy

    return cupy.matmul(a, b)


def gemm(a: Array, b: Array) -> Array:
    """matmul by cuda/gemm.cu: float32 or float64, computed in just that width.

    cuBLAS is no part of a captured CUDA graph, as CuPy has it; this is. A transposed matrix is read where it stands.
    Raises ValueError for matrices that do not fit, TypeError for other numbers.
    """
    import cupy

    (M, K), (K_b, N) = a.shape[-2:], b.shape[-2:]
    if K_b != K:
        raise ValueError(f"gemm: {K} columns of a {a.shape} meet {K_b} rows of b {b.shape}")
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    S, dtype = math.prod(stack), np.result_type(a.dtype, b.dtype)
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
    turned = not a.flags.c_contiguous and a.swapaxes(-1, -2).flags.c_contiguous
    a = cupy.ascontiguousarray(a.swapaxes(-1, -2) if turned else a)
    return a, np.int32(turned), np.int64(0 if single else R * C)


def _tile(M: int, N: int, S: int, dtype: np.dtype) -> int:
    """The widest share of C for a block with which there still are blocks for the whole GPU."""
    widest = 128 if dtype == np.float32 else 64
    fits = (n for n in (128, 64) if n <= widest and S * blocks(M, n) * blocks(N, n) >= RESIDENT)
    return next(fits, 32)
