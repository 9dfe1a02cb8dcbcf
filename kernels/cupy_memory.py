"""Page-locked ("pinned") memory of the host, from which a GPU copies by itself while the host goes on."""

from __future__ import annotations

from typing import Any

import numpy as np


def pinned(array: np.ndarray) -> np.ndarray:
    """A copy in pinned memory; it goes back to CuPy's pool with the last array that uses it."""
    import cupy

    memory = cupy.cuda.alloc_pinned_memory(max(array.nbytes, 1))
    copy = np.frombuffer(memory, np.uint8)[: array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def is_pinned(array: Any) -> bool:
    """Whether a host's array, or what it is a view of, is in pinned memory."""
    import cupy

    owner = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if owner is None or not isinstance(array, np.ndarray):  # NumPy's own memory, or the GPU's
        return False
    runtime = cupy.cuda.runtime
    return runtime.pointerGetAttributes(array.ctypes.data).type == runtime.memoryTypeHost


def wait() -> None:
    """Until the copies are made that the current stream was told of: the host may write to what they read."""
    import cupy

    cupy.cuda.get_current_stream().synchronize()
