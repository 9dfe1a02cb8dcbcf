"""How every Numba kernel is compiled and kept, and the scratch memory that its threads own."""

from __future__ import annotations

import getpass
import hashlib
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import wraps
from pathlib import Path
from typing import Any

import numba
import numpy as np
from filelock import FileLock

from tinymed.kernels import numpy_backend
from tinymed.kernels.threads import processors

FLOATS = {np.dtype("float32"), np.dtype("float64")}
# Sums may be reordered and contracted, for speed; NaN and infinity keep their meaning.
HOW: dict[str, Any] = {
    "error_model": "numpy",  # a division by zero gives inf, and its check would stop vectorisation
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
}


def cache_folder() -> Path | None:
    """Where compiled kernels are kept: a folder for each state of their sources; None where nothing can be written.

    Numba looks at the file of a function, not at the files of the functions that it calls, and would go on using
    what is out of date.
    """
    import platformdirs

    here = Path(__file__).parent
    sources = [path for path in sorted(here.glob("numba_*.py")) if "cuda" not in path.name] + [here / "shapes.py"]
    state = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    wanted = Path(os.environ.get("NUMBA_CACHE_DIR") or platformdirs.user_cache_path("tinymed") / "kernels")
    for folder in (wanted / state, Path(tempfile.gettempdir()) / f"tinymed-{getpass.getuser()}" / state):
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "lock").touch()
            tempfile.TemporaryFile(dir=folder).close()
            return folder
    return None


CACHE = cache_folder()


@contextmanager
def alone() -> Iterator[None]:
    """Compile inside this block, which neither another process nor Ctrl-C disturbs.

    Numba adds to the index of its cache without a lock: where two processes add at once, the code of one function may
    be found under the other's types. An interrupt in the middle of the compiler leaves it half done, or is lost; it
    waits until the end.
    """
    lock: Any = FileLock(CACHE / "lock") if CACHE else nullcontext()
    main = threading.current_thread() is threading.main_thread()
    came: list[tuple] = []
    before = signal.signal(signal.SIGINT, lambda *which: came.append(which)) if main else None
    try:
        with lock:
            yield
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
    if came and callable(before):
        before(*came[0])


def jit(function: Callable | None = None, nogil: bool = False) -> Any:
    """numba.njit as the kernels want it, compiled when first called, and once for all processes."""
    if function is None:
        return lambda f: jit(f, nogil)
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(CACHE or numba.config.CACHE_DIR)
    try:
        return numba.njit(nogil=nogil, cache=CACHE is not None, **HOW)(function)
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
        return (kernel if first.dtype in FLOATS else other)(first, *rest)

    return run


def plain(a: np.ndarray) -> np.ndarray:
    """a as the kernels' types want it: C order, writeable; a copy only where it is not so."""
    return a if a.flags.carray else np.require(a, requirements=("C", "W"))
