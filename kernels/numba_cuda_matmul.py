"""Matrix products on the device: a thread for each number of y; and what a tile in shared memory saves."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numba import cuda

from tinymed.kernels import numpy_backend
from tinymed.kernels.numba_cuda_device import ZERO, Array, empty, hosted, to_device

TILE = 16  # a block is TILE x TILE threads
ROW = TILE + 1  # of _turn's tile: a column of it lies in as many banks as a row


@cuda.jit(device=True)
def _place(rows):
    """This thread's matrix of the stack, row and column; strips of TILE rows follow one another over the stack."""
    strips = (rows + TILE - 1) // TILE
    z, strip = cuda.blockIdx.x // strips, cuda.blockIdx.x % strips
    return z, strip * TILE + cuda.threadIdx.y, cuda.blockIdx.y * TILE + cuda.threadIdx.x


@cuda.jit
def _naive(a, b, y, of_a, of_b):
    """y[z,i,j] = Σ_k a[·,i,k] · b[·,k,j]: each number of a and b is fetched from far memory N and M times."""
    z, i, j = _place(y.shape[1])
    if i < y.shape[1] and j < y.shape[2]:
        m, n = of_a[z], of_b[z]
        total = ZERO
        for k in range(a.shape[2]):
            total += a[m, i, k] * b[n, k, j]
        y[z, i, j] = total


@cuda.jit
def _tiled(a, b, y, of_a, of_b):
    """The same sum, TILE terms at a time: a block fetches a tile of a and one of b together, a number a thread, and
    then each number is read TILE times from shared memory, which is near. Far memory is read TILE times less."""
    tile_a = cuda.shared.array((TILE, TILE), y.dtype)
    tile_b = cuda.shared.array((TILE, TILE), y.dtype)
    z, i, j = _place(y.shape[1])
    m, n = of_a[z], of_b[z]
    M, K, N = a.shape[1], a.shape[2], b.shape[2]
    row, column = cuda.threadIdx.y, cuda.threadIdx.x
    total = ZERO
    for first in range(0, K, TILE):
        # beyond an edge a tile holds 0, which adds nothing: all threads stay for the barriers
        tile_a[row, column] = a[m, i, first + column] if i < M and first + column < K else ZERO
        tile_b[row, column] = b[n, first + row, j] if first + row < K and j < N else ZERO
        cuda.syncthreads()  # the tiles are full
        for k in range(TILE):
            total += tile_a[row, k] * tile_b[k, column]
        cuda.syncthreads()  # nobody reads them any more
    if i < M and j < N:
        y[z, i, j] = total


@cuda.jit
def _turn(a, y):
    """y[j,i] = a[i,j], through a tile: neighbours in a block read neighbours of a and write neighbours of y."""
    tile = cuda.shared.array((TILE, ROW), y.dtype)
    row, column = cuda.threadIdx.y, cuda.threadIdx.x
    i, j = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE
    if i + row < a.shape[0] and j + column < a.shape[1]:
        tile[row, column] = a[i + row, j + column]
    cuda.syncthreads()
    if j + row < y.shape[0] and i + column < y.shape[1]:
        y[j + row, i + column] = tile[column, row]


# ---------------------------------------------------------------- what starts them


def tiles(n: int) -> int:
    return -(-n // TILE)


@lru_cache(maxsize=64)
def _numbers(of: tuple[int, ...], stack: tuple[int, ...]) -> Array:
    """For each matrix of the stack, which one of the smaller stack `of` is meant, by the rules of broadcasting."""
    numbers = np.arange(math.prod(of)).reshape(of)
    return to_device(np.broadcast_to(numbers, stack).reshape(-1))


def multiply(a: Array, b: Array, y: Array, kernel: Any = _tiled) -> None:
    """y ← a·b, arrays on the device: (…,M,K), (…,K,N), (…,M,N)"""
    (*of_a, M, K), (*of_b, _, N), (*stack, _, _) = a.shape, b.shape, y.shape
    S, A, B = math.prod(stack), math.prod(of_a), math.prod(of_b)
    if S * M * N:
        kernel[(S * tiles(M), tiles(N)), (TILE, TILE)](
            a.reshape(A, M, K),
            b.reshape(B, K, N),
            y.reshape(S, M, N),
            _numbers(tuple(of_a), tuple(stack)),
            _numbers(tuple(of_b), tuple(stack)),
        )


def turned(a: Array) -> Array:
    """(R,C) → (C,R), on the device"""
    R, C = a.shape
    y = empty((C, R), a.dtype)
    if R * C:
        _turn[(tiles(R), tiles(C)), (TILE, TILE)](a, y)
    return y


def _product(a: Array, b: Array, kernel: Any) -> Array:
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (*_, M, K), (*_, K_b, N) = a.shape, b.shape
    if K_b != K:
        raise ValueError(f"matmul: {K} columns of a {tuple(a.shape)} meet {K_b} rows of b {tuple(b.shape)}")
    y = empty((*stack, M, N), np.result_type(a.dtype, b.dtype))
    multiply(a, b, y, kernel)
    return y


@hosted(numpy_backend.matmul)
def matmul_naive(a: Array, b: Array) -> Array:
    """(…,M,K) @ (…,K,N) → (…,M,N), without shared memory: to read, and to measure against"""
    return _product(a, b, _naive)


@hosted(numpy_backend.matmul)
def matmul(a: Array, b: Array) -> Array:
    """(…,M,K) @ (…,K,N) → (…,M,N)"""
    return _product(a, b, _tiled)
