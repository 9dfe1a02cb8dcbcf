"""How many threads compute: asked once, and shared out in one place between BLAS and the compiled kernels.

Two pools that both believe they own the machine fight for it: after a product BLAS's threads go on spinning for a
while, and the others wait for their cores. So one of the two computes, and the other has one thread: compiled kernels
(numba_threads.py) call no BLAS but for the smallest products; NumPy's call nothing else.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

_number = 0
_pool = "blas"
_limits: Any = None


def get_num_threads() -> int:
    """The number of threads that kernels compute with: every processor of this process, TINYMED_NUM_THREADS at most."""
    global _number
    if not _number:
        wanted = os.environ.get("TINYMED_NUM_THREADS", "")
        if wanted and not (wanted.isdecimal() and int(wanted)):
            raise ValueError(f"TINYMED_NUM_THREADS must be a whole number of 1 or more, got {wanted!r}")
        _number = min(int(wanted) if wanted else processors(), processors())
    return _number


def set_num_threads(n: int) -> None:
    """Compute with n threads from now on. Raises ValueError below 1 or above what the machine has."""
    global _number
    if isinstance(n, bool) or not hasattr(n, "__index__") or not 1 <= n <= processors():
        raise ValueError(f"set_num_threads: a whole number from 1 to {processors()}, the processors here; got {n!r}")
    _number = int(n)
    give_to(_pool)


def give_to(pool: str) -> None:
    """Let the threads be "numba"'s, with one left to BLAS, or all "blas"'s. Called when a backend is chosen."""
    global _pool, _limits
    untouched = _limits is None and not _number and "TINYMED_NUM_THREADS" not in os.environ
    if pool == "blas" and untouched:
        return  # BLAS has the whole machine by itself
    from threadpoolctl import ThreadpoolController

    _pool = pool
    _limits = ThreadpoolController().limit(limits=1 if pool == "numba" else get_num_threads(), user_api="blas")


@cache
def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
