"""How every Numba kernel is compiled and kept, and the scratch memory that its threads own."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import Any

import numba
import numpy as np
from filelock import FileLock

from tinymed.kernels import numpy_backend
from tinymed.kernels.threads import processors

# Sums may be reordered and contracted, for speed; NaN and infinity keep their meaning.
HOW: dict[str, Any] = {
    "error_model": "numpy",  # a division by zero gives inf, and its check would stop vectorisation
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
}


def cache_folder() -> Path:
    """Where compiled kernels are kept: a folder for each state of their sources.

    Numba looks at the file of a function, not at the files of the functions that it calls, and would go on using
    what is out of date.
    """
    import platformdirs

    sources = sorted(Path(__file__).parent.glob("numba_*.py"))
    state = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    return Path(os.environ.get("NUMBA_CACHE_DIR") or platformdirs.user_cache_path("tinymed") / "kernels") / state


CACHE = cache_folder()


def alone() -> Any:
    """Holds other processes back while one compiles: Numba adds to the index of a cache without a lock, and where
    two add at once the code of one function may be found under the other's types."""
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
    except OSError:  # nothing can be kept there
        return nullcontext()
    return FileLock(CACHE / "lock")


def jit(function: Callable | None = None, nogil: bool = False) -> Any:
    """numba.njit as the kernels want it, compiled when first called, and once for all processes."""
    if function is None:
        return lambda f: jit(f, nogil)
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(CACHE)
    try:
        return numba.njit(nogil=nogil, cache=True, **HOW)(function)
    finally:
        numba.config.CACHE_DIR = before


_scratch = threading.local()


def scratch(name: str, size: int, dtype: np.dtype) -> np.ndarray:
    """A row of `size` numbers for every thread, (threads, size), kept from call to call: fresh pages are slow.

    What it holds is left over from the last call.
    """
    held: dict[tuple[str, str], np.ndarray] = _scratch.__dict__  # type: ignore[assignment]
    key = (name, np.dtype(dtype).char)
    if key not in held or held[key].shape[1] < size:
        held[key] = np.empty((processors(), size + -size % 64 + 16), dtype)  # rows out of step
    return held[key]


def of_floats(kernel: Callable) -> Callable:
    """The kernel for float32 and float64, for which it can be compiled; NumPy's of the same name for other types."""
    other = getattr(numpy_backend, kernel.__name__)

    @wraps(kernel)
    def run(first: np.ndarray, *rest: Any) -> Any:
        return (kernel if first.dtype.char in "fd" else other)(first, *rest)

    return run


def plain(a: np.ndarray) -> np.ndarray:
    """a as the kernels' types want it: C order, writeable; a copy only where it is not so."""
    return a if a.flags.carray else np.require(a, requirements=("C", "W"))
