"""The stand-in's streams and CUDA graphs: what a stream is told while it captures is kept, to be done at each launch.

NumPy has to compute to know shapes. So it does; when the capture ends, all memory is as it was when it began.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np

_memory: list[weakref.ref] = []  # every array "on the GPU"


class CUDARuntimeError(RuntimeError):
    pass


def exists(array: Any) -> None:
    """Note an array that has memory on the GPU. One that is made beside a capture is no part of it."""
    _memory.append(weakref.ref(array))
    for stream in Stream.current.outside:
        if stream.captured is not None:
            stream.before.append((_root(array), _root(array).copy()))


def waits(what: str) -> None:
    """Refuse, as the driver does, to wait for a stream that captures."""
    if Stream.current.captured is not None:
        Stream.current.broken = True
        raise CUDARuntimeError(f"cudaErrorStreamCaptureUnsupported: {what}")


def told(do: Callable[[], None]) -> None:
    """What the stream in force was just told, and has done: kept if it captures."""
    if Stream.current.captured is not None:
        Stream.current.captured.append(do)


class Stream:
    """cupy.cuda.Stream"""

    current: Stream

    def __init__(self, *, null: bool = False, non_blocking: bool = False) -> None:
        self.ptr = 0 if null else id(self)
        self.captured: list[Callable[[], None]] | None = None
        self.broken = False
        self.outside: list[Stream] = []
        self.before: list[tuple[np.ndarray, np.ndarray]] = []

    def __enter__(self) -> Stream:
        self.outside.append(Stream.current)
        Stream.current = self
        return self

    def __exit__(self, *error: object) -> None:
        Stream.current = self.outside.pop()

    def use(self) -> Stream:
        Stream.current = self
        return self

    def synchronize(self) -> None:
        if self.captured is not None:
            waits("synchronize")

    def record(self, event: Any = None) -> Any:
        return event or SimpleNamespace(done=True)

    def begin_capture(self, mode: Any = None) -> None:
        assert self.ptr, "cudaErrorStreamCaptureUnsupported: the null stream can't capture"
        roots = {id(root): root for root in (_root(a()) for a in _memory if a() is not None)}
        self.before = [(root, root.copy()) for root in roots.values() if root.flags.writeable]
        self.captured = []

    def end_capture(self) -> Graph:
        captured, self.captured = self.captured, None
        for root, numbers in self.before:
            root[...] = numbers
        if self.broken:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated")
        return Graph(captured or [])

    def is_capturing(self) -> bool:
        return self.captured is not None


def _root(array: Any) -> np.ndarray:
    root = array.host
    while isinstance(root.base, np.ndarray):
        root = root.base
    return root


Stream.null = Stream.current = Stream(null=True)  # type: ignore[attr-defined]


class Graph:
    """cupy.cuda.Graph"""

    def __init__(self, steps: list[Callable[[], None]]) -> None:
        self.steps = steps

    def launch(self, stream: Stream | None = None) -> None:
        for do in self.steps:
            do()


MemoryPool = lambda: SimpleNamespace(malloc=None, used_bytes=lambda: 0)  # noqa: E731
using_allocator = lambda malloc: nullcontext()  # noqa: E731


# ---------------------------------------------------------------- pinned memory

_pinned: list[np.ndarray] = []


def alloc_pinned_memory(size: int) -> np.ndarray:
    _pinned.append(np.full(size, 0x5A, np.uint8))
    return _pinned[-1]


def attributes(pointer: int) -> SimpleNamespace:
    """cudaPointerGetAttributes: type 1 for pinned memory of the host, 0 for what the driver does not know."""
    known = any(0 <= pointer - memory.ctypes.data < memory.nbytes for memory in _pinned)
    return SimpleNamespace(type=int(known))
