"""Exercises of lesson 14: fast on a GPU."""

from __future__ import annotations

import numpy as np

from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- which thread am I


def place(block_x: int, block_y: int, dim_x: int, dim_y: int, thread_x: int, thread_y: int) -> tuple[int, int]:
    return block_y * dim_y + thread_y, block_x * dim_x + thread_x


def _places(rng: np.random.Generator) -> list[Case]:
    rows = [(1, 0, 4, 2, 3, 1), (0, 0, 32, 8, 5, 7), (2, 3, 32, 8, 0, 0), (5, 1, 16, 4, 9, 2), (3, 3, 8, 8, 1, 6)]
    return [dict(zip(("block_x", "block_y", "dim_x", "dim_y", "thread_x", "thread_y"), row)) for row in rows]


PLACE = Exercise(
    "cuda_thread_place",
    14,
    "row and column of the number that a thread computes",
    place,
    _places,
    {
        "x is the column and y the row: yours are swapped": (
            lambda block_x, block_y, dim_x, dim_y, thread_x, thread_y: (
                block_x * dim_x + thread_x, block_y * dim_y + thread_y,
            )
        ),
        "a block has dim_y rows and dim_x columns; you multiply with the other one": (
            lambda block_x, block_y, dim_x, dim_y, thread_x, thread_y: (
                block_y * dim_x + thread_y, block_x * dim_y + thread_x,
            )
        ),
        "every block computes the same numbers: block_x and block_y say how many threads come before": (
            lambda block_x, block_y, dim_x, dim_y, thread_x, thread_y: (thread_y, thread_x)
        ),
        "a block is dim_x wide: the blocks before this one have block_x·dim_x columns, not block_x": (
            lambda block_x, block_y, dim_x, dim_y, thread_x, thread_y: (block_y + thread_y, block_x + thread_x)
        ),
    },
    ("row", "column"),
)  # fmt: skip

# ---------------------------------------------------------------- a product in tiles


def _tiles(a: Array, b: Array, tile: int, depth: int, add: bool = True) -> tuple[Array, int]:
    (M, _), N = a.shape, b.shape[1]
    c, loads = np.zeros((M, N)), 0
    for m in range(0, M, tile):
        for n in range(0, N, tile):
            for k in range(0, depth, tile):
                left, right = a[m : m + tile, k : k + tile], b[k : k + tile, n : n + tile]
                before = c[m : m + tile, n : n + tile] if add else 0
                c[m : m + tile, n : n + tile] = before + left @ right
                loads += left.size + right.size
    return c, loads


def tiled(a: Array, b: Array, tile: int) -> tuple[Array, int]:
    return _tiles(a, b, tile, a.shape[1])


def _factors(rng: np.random.Generator) -> list[Case]:
    plain = {"a": np.arange(1.0, 17).reshape(4, 4), "b": np.eye(4)[::-1].copy(), "tile": 2}
    sizes = [(4, 6, 8, 2), (5, 7, 6, 3), (3, 4, 5, 4), (7, 5, 2, 3)]
    return [plain] + [
        {"a": rng.standard_normal((M, K)), "b": rng.standard_normal((K, N)), "tile": tile} for M, K, N, tile in sizes
    ]


MATMUL_TILED = Exercise(
    "matmul_tiled",
    14,
    "a (M,K) · b (K,N) tile by tile, and how many numbers of a and b were fetched",
    tiled,
    _factors,
    {
        "the last, smaller tile of K is left out: range(0, K, tile), not K // tile tiles": (
            lambda a, b, tile: _tiles(a, b, tile, a.shape[1] // tile * tile)
        ),
        "each tile of K adds to C: yours overwrites what the one before gave": (
            lambda a, b, tile: _tiles(a, b, tile, a.shape[1], add=False)
        ),
        "these are the loads without tiles: a tile's numbers are fetched once for all its products": (
            lambda a, b, tile: (a @ b, 2 * a.shape[0] * a.shape[1] * b.shape[1])
        ),
        "each number is counted once, but a tile of a is fetched again for every tile of columns": (
            lambda a, b, tile: (a @ b, a.size + b.size)
        ),
        "beyond the edge there is nothing to fetch: count the numbers of the tile, not tile·tile": (
            lambda a, b, tile: (
                a @ b,
                2 * tile**2 * (-(-a.shape[0] // tile) * -(-a.shape[1] // tile) * -(-b.shape[1] // tile)),
            )
        ),
    },
    ("c", "loads"),
)  # fmt: skip

# ---------------------------------------------------------------- sectors and banks

LANES = np.arange(32)


def _sectors(columns: int, x: Array, y: Array, sector: int = 32) -> int:
    return len(np.unique(4 * (y * columns + x) // sector))


def sectors(columns: int, dim_x: int, row: int, col: int) -> int:
    return _sectors(columns, col + LANES % dim_x, row + LANES // dim_x)


def _blocks(rng: np.random.Generator) -> list[Case]:
    rows = [(64, 32, 0, 0), (64, 32, 2, 3), (1000, 1, 0, 5), (64, 8, 1, 8), (63, 16, 1, 4), (20, 4, 3, 7), (4, 2, 0, 0)]
    return [dict(zip(("columns", "dim_x", "row", "col"), row)) for row in rows]


SECTORS = Exercise(
    "warp_sectors",
    14,
    "how many sectors of 32 bytes the first warp of a block touches in a matrix",
    sectors,
    _blocks,
    {
        "a warp's threads run along x and then along y: only dim_x of them stand in one row": (
            lambda columns, dim_x, row, col: _sectors(columns, col + LANES, row + 0 * LANES)
        ),
        "x is the column and y the row: yours are swapped": (
            lambda columns, dim_x, row, col: _sectors(columns, col + LANES // dim_x, row + LANES % dim_x)
        ),
        "a sector is 32 bytes, and a float32 has 4: 8 numbers; 32 of them are a line of the cache": (
            lambda columns, dim_x, row, col: _sectors(columns, col + LANES % dim_x, row + LANES // dim_x, sector=128)
        ),
        "these are different numbers; several of them lie in one sector": lambda columns, dim_x, row, col: 32,
        "where the first address lies within its sector matters: 128 bytes may touch 5": (
            lambda columns, dim_x, row, col: sectors(columns, dim_x, 0, 0)
        ),
    },
    ("sectors",),
)


def _conflicts(columns: int, width: int, padding: int) -> bool:
    return len(np.unique(((columns + padding) * (LANES // width) + LANES % width) % 32)) < 32


def padding(columns: int, width: int) -> int:
    return next(k for k in range(32) if not _conflicts(columns, width, k))


def _tiles_of(rng: np.random.Generator) -> list[Case]:
    rows = [(32, 1), (16, 4), (64, 8), (33, 1), (32, 32), (16, 16), (24, 4), (64, 2), (40, 8)]
    return [dict(zip(("columns", "width"), row)) for row in rows]


PADDING = Exercise(
    "bank_padding",
    14,
    "the fewest unused numbers at a row's end for which 32 lanes read from 32 banks",
    padding,
    _tiles_of,
    {
        "one more number does where each lane has a row of its own; count the banks for other widths": (
            lambda columns, width: 1
        ),
        "an odd row does where each lane has a row of its own; here width lanes lie side by side": (
            lambda columns, width: 1 - columns % 2
        ),
        "this is the whole row, with its padding; what is added is asked for": (
            lambda columns, width: columns + padding(columns, width)
        ),
        "width more numbers always do no harm, but fewer or none may be enough": (
            lambda columns, width: width
        ),
    },
    ("padding",),
)  # fmt: skip

# ---------------------------------------------------------------- the roofline


def _roof(peak, bandwidth, M, N, K, flops=2, size=4, result=1, which=min):
    moved = size * (M * K + K * N + result * M * N)
    return which(peak, bandwidth * flops * M * N * K / moved)


def attainable(peak: float, bandwidth: float, M: int, N: int, K: int) -> float:
    return _roof(peak, bandwidth, M, N, K)


def _products(rng: np.random.Generator) -> list[Case]:
    rows = [
        (100.0, 10.0, 2, 2, 2),
        (67e3, 3350.0, 64, 64, 64),
        (67e3, 3350.0, 4096, 4096, 4096),
        (67e3, 3350.0, 1, 9, 7),
    ]
    return [dict(zip(("peak", "bandwidth", "M", "N", "K"), row)) for row in rows]


ROOFLINE = Exercise(
    "roofline_attainable",
    14,
    "the flops a second that a product of matrices can reach at most",
    attainable,
    _products,
    {
        "the lower of the two roofs counts: min, not max": lambda **c: _roof(**c, which=max),
        "a multiply-add is two flops": lambda **c: _roof(**c, flops=1),
        "bytes move, and a float32 has four": lambda **c: _roof(**c, size=1),
        "C moves too: it is written": lambda **c: _roof(**c, result=0),
        "memory is one roof; the peak is the other": lambda **c: _roof(**c, which=lambda peak, memory: memory),
        "the peak is one roof; memory is the other": lambda **c: c["peak"],
        "the intensity is flops for a byte; yours is bytes for a flop": (
            lambda peak, bandwidth, M, N, K: min(peak, bandwidth * 4 * (M * K + K * N + M * N) / (2 * M * N * K))
        ),
    },
    ("rate",),
)

EXERCISES = [PLACE, MATMUL_TILED, SECTORS, PADDING, ROOFLINE]
