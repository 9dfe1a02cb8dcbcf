"""The stand-in's memory: what an array holds of a pool, and what is left of it when the pool is gone.

A pool of CuPy's that dies frees all that it gave: what it hands out keeps only a weak reference to it. Addresses here
are numbers that are handed out once; an array whose address is free again reads NaN, or 0x5a in each byte.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

_held: dict[int, tuple[weakref.ref, Any]] = {}  # id of NumPy's array that owns the memory: it, and its block
_addresses = itertools.count(1 << 20, 512)


def at_death(thing: Any, do: Callable, *args: Any) -> None:
    weakref.finalize(thing, do, *args).atexit = False


def root(array: np.ndarray) -> np.ndarray:
    """NumPy's array that owns the memory of this one."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def roots() -> list[np.ndarray]:
    """All memory "on the GPU"."""
    return [array for owner, _ in list(_held.values()) if (array := owner()) is not None]


def taken(array: np.ndarray) -> bool:
    """Have an array's memory be the allocator's in force; whether it is new. A view shares its base's block."""
    if id(owner := root(array)) in _held:
        return False
    _held[id(owner)] = weakref.ref(owner), _allocator(owner.nbytes)
    at_death(owner, _held.pop, id(owner), None)
    return True


def poison(array: np.ndarray) -> None:
    array.fill(np.nan) if array.dtype.kind == "f" else array.reshape(-1, order="A").view(np.uint8).fill(0x5A)


def _free(used: dict[int, int], *addresses: int) -> None:
    """Of these addresses in use, or of all: whoever has an array there has lost it."""
    gone = [address for address in addresses or list(used) if used.pop(address, None) is not None]
    for owner, block in list(_held.values()) if gone else ():
        if block.ptr in gone and (array := owner()) is not None and array.flags.writeable:
            poison(array)


class MemoryPool:
    """cupy.cuda.MemoryPool, all of whose arrays end with it."""

    def __init__(self) -> None:
        self._used: dict[int, int] = {}
        at_death(self, _free, self._used)

    def malloc(self, size: int) -> MemoryPointer:
        address = next(_addresses)
        self._used[address] = -(-size // 512) * 512
        block = UnownedMemory(address, size, None, 0)  # free when it is gone, or the pool
        at_death(block, _free, self._used, address)
        return MemoryPointer(block, 0)

    def used_bytes(self) -> int:
        return sum(self._used.values())

    total_bytes = used_bytes  # what is free goes back at once

    def free_all_blocks(self) -> None:
        pass


class UnownedMemory:
    """cupy.cuda.UnownedMemory: somebody else's, whom it keeps alive."""

    def __init__(self, ptr: int, size: int, owner: Any, device_id: int = -1) -> None:
        self.ptr, self.size, self._owner, self.device_id = ptr, size, owner, device_id


class MemoryPointer:
    """cupy.cuda.MemoryPointer"""

    def __init__(self, mem: Any, offset: int) -> None:
        self.mem, self.ptr = mem, mem.ptr + offset


default_pool = MemoryPool()
_allocator: Callable[[int], MemoryPointer] = default_pool.malloc


@contextmanager
def using_allocator(allocator: Callable[[int], MemoryPointer]) -> Iterator[None]:
    global _allocator
    before, _allocator = _allocator, allocator
    try:
        yield
    finally:
        _allocator = before


# ---------------------------------------------------------------- pinned memory of the host

_pinned: list[np.ndarray] = []


def alloc_pinned_memory(size: int) -> memoryview:
    _pinned.append(np.full(size, 0x5A, np.uint8))
    return memoryview(_pinned[-1])


def attributes(pointer: int) -> SimpleNamespace:
    """cudaPointerGetAttributes: type 1 for pinned memory of the host, 0 for what the driver does not know."""
    known = any(0 <= pointer - memory.ctypes.data < memory.nbytes for memory in _pinned)
    return SimpleNamespace(type=int(known))
