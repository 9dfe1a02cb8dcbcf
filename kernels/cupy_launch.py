"""The one place where CUDA C (kernels/cuda/*.cu) is compiled for the GPU at hand and launched, through CuPy."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

Array = Any  # cupy.ndarray
BLOCK = 256  # threads
RESIDENT = 264  # blocks that keep an H100 busy: two on each of its 132 multiprocessors
MOST = 65535  # blocks along y or z
NULL = np.uint64(0)  # CuPy passes no None
GIVEN = 48 << 10  # bytes of dynamic shared memory that a kernel has unasked
REALS = {"f": {}, "d": {"REAL": "double"}}  # by dtype.char

allow_tf32 = True
_modules: dict[tuple, Any] = {}
_kernels: dict[tuple, Any] = {}  # each GPU's own: each is told how much shared memory they take


def set_allow_tf32(allow: bool) -> None:
    """Whether convolutions of float32 may run on tensor cores; `allow_tf32` says what holds.

    They round each factor to TF32, 10 bits of fraction for float32's 23, and add up in float32: the result is about
    3e-4 off, relatively, where float32 is 1e-7 to 1e-6 off. They are several times as fast. float64 never uses them.
    """
    global allow_tf32
    allow_tf32 = bool(allow)


def tf32() -> bool:
    """Whether tensor cores are allowed, and this GPU's have TF32 (from compute capability 8.0, Ampere, on)."""
    import cupy

    return allow_tf32 and int(cupy.cuda.Device().compute_capability) >= 80


def run(
    source: str,
    name: str,
    grid: tuple[int, ...],
    block: tuple[int, ...],
    *args: Any,
    shared: int = 0,
    dtype: Any = np.float32,
    **macros: Any,
) -> None:
    """Launch kernel `name` of cuda/`source`.cu, in numbers of type `dtype`; macros as for a compiler: COLS=64.

    args: arrays on the GPU, contiguous; None, a null pointer; NumPy's numbers, of just the width that the kernel
    takes; sizes(s) for a struct. shared: bytes of dynamic shared memory.
    Raises TypeError or ValueError for what the kernel would read as something else, and for any other dtype.
    """
    import cupy

    for k, arg in enumerate(args):
        if isinstance(arg, cupy.ndarray):
            _check(f"{name}, argument {k}", arg, dtype)
        elif type(arg) in (bool, int, float):
            cure = f"np.{'float' if type(arg) is float else 'int'}32({arg})"
            raise TypeError(f"{name}, argument {k}: a Python {type(arg).__name__} has no width in C; pass {cure}")
    kernel = _kernel(source, name, np.dtype(dtype), shared, tuple(sorted(macros.items())))
    kernel(grid, block, tuple(NULL if arg is None else arg for arg in args), shared_mem=shared)


def _check(name: str, array: Array, dtype: Any) -> None:
    if not array.flags.c_contiguous:
        raise ValueError(f"{name}: a kernel sees memory, not strides; pass cupy.ascontiguousarray(...)")
    if array.dtype.kind == "f" and array.dtype != dtype:
        raise TypeError(f"{name}: an array of {array.dtype} where {np.dtype(dtype)} is computed with; cast one of them")


def _kernel(source: str, name: str, dtype: np.dtype, shared: int, macros: tuple) -> Any:
    import cupy

    key = source, name, dtype, shared, macros, cupy.cuda.runtime.getDevice()
    if key not in _kernels:
        _kernels[key] = kernel = _module(source, name, dtype, macros).get_function(name)
        if shared > GIVEN:
            kernel.max_dynamic_shared_size_bytes = shared
    return _kernels[key]


def _module(source: str, name: str, dtype: np.dtype, macros: tuple) -> Any:
    import cupy

    number(dtype, name)
    key = source, dtype, macros
    if key not in _modules:
        defines = (f"-D{k}={v}" for k, v in (REALS[dtype.char] | dict(macros)).items())
        _modules[key] = cupy.RawModule(code=text(source), options=("--std=c++17", *defines))
    return _modules[key]


@cache
def text(source: str) -> str:
    """cuda/`source`.cu with its headers pasted in, each once: CuPy takes one text. Complaints name file and line."""
    folder, seen = Path(__file__).parent / "cuda", set()

    def paste(file: str) -> str:
        seen.add(file)
        lines = [f'#line 1 "{file}"']
        for at, line in enumerate((folder / file).read_text(encoding="utf-8").splitlines(), 1):
            if found := re.match(r'\s*#include "(.+)"', line):
                line = "" if found[1] in seen else f'{paste(found[1])}#line {at + 1} "{file}"'
            lines.append(line)
        return "\n".join(lines) + "\n"

    return paste(f"{source}.cu")


# ---------------------------------------------------------------- what arguments are made of


def number(dtype: np.dtype, name: str) -> type:
    """What makes a number of an array's width. Raises TypeError for one that kernel `name` does not compute in."""
    if dtype.char not in REALS:
        raise TypeError(f"{name}: the GPU's kernels compute in float32 or float64, got {dtype}; cast it with .to(...)")
    return dtype.type


@lru_cache(maxsize=1024)
def sizes(s: tuple[int, ...]) -> np.ndarray:
    """A struct of ints, as ConvShape, passed by value: CuPy does so with an array of one entry."""
    return np.array(s, np.int32).view(f"V{4 * len(s)}")


def blocks(size: int, width: int = BLOCK) -> int:
    """How many of `width` cover `size`."""
    return -(-size // width)


def grid_of(size: int) -> tuple[int]:
    """Blocks of BLOCK threads for a loop over `size` numbers, of which a thread takes several where they are many."""
    return (max(1, min(blocks(size), 4096)),)


def last(x: Array) -> Array:
    """(N,C,H,W) → (N,H,W,C), contiguous: no copy where the channels lie last in memory already."""
    import cupy

    return cupy.ascontiguousarray(x.transpose(0, 2, 3, 1))


def first(x: Array) -> Array:
    """(N,H,W,C) → (N,C,H,W), the same memory"""
    return x.transpose(0, 3, 1, 2)
