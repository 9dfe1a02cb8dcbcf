"""Keep big blocks of memory in the process from step to step.

glibc maps a big array freshly for every use and hands it back at the end; each of its pages is then filled with
zeros by the system at its first touch. A training step whose arrays are of the same sizes as the last one's pays for
that each time: a third of the article's network at batch 256. Its peak of memory is the same either way.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h


def keep_blocks() -> None:
    """Never hand blocks back before the process ends. Does nothing where the C library is not glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, 64 << 20)
