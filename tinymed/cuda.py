"""The GPU, under torch.cuda's names: whether one can be used, waiting for it, its memory. CuPy holds the arrays.

A tensor is on a GPU when its array is CuPy's. NumPy hands its functions over to the arrays that they are called with,
so that most ops are the same lines on either device; kernels look at their first argument (`tinymed/kernels`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from tinymed import kernels
from tinymed.kernels import cupy_graph, cupy_memory
from tinymed.kernels.cupy_graph import CUDAGraph
from tinymed.tensor import device_of

__all__ = [
    "CUDAGraph", "device_count", "empty_cache", "get_device_name", "graph", "is_available", "memory_allocated",
    "memory_reserved", "missing", "synchronize",
]  # fmt: skip


def missing() -> str:
    """Why no GPU can be used here; empty where one can."""
    usable, reason = kernels.available()["cupy"]
    return "" if usable else reason


def is_available() -> bool:
    """Whether tensors can live on a GPU here; `missing()` says why not."""
    return not missing()


def cupy() -> Any:
    """CuPy itself. Raises ValueError with what is missing."""
    if reason := missing():
        raise ValueError(f"no GPU can be used: {reason}; the CPU goes on working")
    import cupy

    return cupy


def device_count() -> int:
    """How many GPUs there are."""
    return cupy().cuda.runtime.getDeviceCount() if is_available() else 0


def get_device_name(device: int = 0) -> str:
    """The card's name."""
    name = cupy().cuda.runtime.getDeviceProperties(device)["name"]
    return name.decode() if isinstance(name, bytes) else name


def synchronize() -> None:
    """Wait until the GPU has done all that it was told: a kernel's call returns before the kernel does."""
    cupy().cuda.Device().synchronize()


def memory_allocated() -> int:
    """Bytes that arrays hold on the GPU."""
    return cupy().get_default_memory_pool().used_bytes()


def memory_reserved() -> int:
    """Bytes that CuPy keeps for arrays, those that are free among them."""
    return cupy().get_default_memory_pool().total_bytes()


def empty_cache() -> None:
    """Hand free blocks back to the driver, for other programs."""
    cupy().get_default_memory_pool().free_all_blocks()


def graph(g: CUDAGraph) -> AbstractContextManager[CUDAGraph]:
    """Record in `g` what the GPU is told in a `with` block; nothing of it is computed before g.replay().

    Run the same once before: it compiles kernels, makes an optimiser's state, and checks values (labels, indices),
    which no replay does: a class out of range is then a loss of NaN or, as an index, wrapped round. The block must not
    wait for the GPU: no .item(), .cpu(), print, nor anything that depends on a value, such as a mask as an index.

    Raises ValueError for a block that does, for a graph that holds a recording already, and where there is no GPU.
    """
    cupy()
    return cupy_graph.graph(g)


# -------------------------------------------------------------------- arrays


def place(name: str) -> str:
    """A device's name checked: "cpu", or "cuda" and "cuda:0" where there is a GPU. Raises ValueError."""
    if name == "cpu":
        return name
    kind, _, number = name.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise ValueError(f'there is no device {name!r}; there are "cpu" and "cuda"')
    if int(number or 0):
        raise ValueError(
            f"there is no device {name!r}: tinymed computes on the first GPU, cuda:0; the environment variable "
            "CUDA_VISIBLE_DEVICES chooses which card that is"
        )
    cupy()
    return "cuda:0"


def moved(array: Any, device: str, non_blocking: bool = False) -> Any:
    """The array on a device, itself where it is there already. Raises ValueError where it does not fit.

    From pinned memory a GPU copies while the host goes on; it is waited for, unless non_blocking.
    """
    here = device_of(array)
    if here == device or here == (device := place(device)):  # most are, and no device is asked
        return array
    xp = cupy()
    if device == "cpu":
        return xp.asnumpy(array)
    kernels.look_at_devices()
    try:
        copy = xp.asarray(array)
        if not non_blocking and cupy_memory.is_pinned(array):
            cupy_memory.wait()
        return copy
    except xp.cuda.memory.OutOfMemoryError:
        free, total = xp.cuda.runtime.memGetInfo()
        raise ValueError(
            f"{device} has no room for {array.nbytes / 2**20:.0f} MiB: {free / 2**20:.0f} of {total / 2**20:.0f} MiB "
            "are free; smaller batches need less, and cuda.empty_cache() hands unused blocks back"
        ) from None
