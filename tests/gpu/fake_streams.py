"""The stand-in's streams and CUDA graphs: what a stream is told while it captures is kept, to be done at each launch.

NumPy has to compute to know shapes. So it does; when the capture ends, all memory is as it was when it began. What is
told to a stream that does not capture is done at once, but for copies from pinned memory: these are made when somebody
waits for the stream, or reads what they write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import gpu_fake_memory as memory
import numpy as np


class CUDARuntimeError(RuntimeError):
    pass


def exists(array: np.ndarray) -> None:
    """Note the memory of an array on the GPU. What is made beside a capture is no part of it."""
    if memory.taken(array):
        _beside_a_capture(memory.root(array))


def _beside_a_capture(root: np.ndarray) -> None:
    for stream in Stream.current.outside:
        if stream.captured is not None:
            stream.before.append((root, root.copy()))


def refused(what: str) -> None:
    """Refuse what the driver does not do while a stream captures."""
    if Stream.current.captured is not None:
        Stream.current.broken = True
        raise CUDARuntimeError(f"cudaErrorStreamCaptureUnsupported: {what}")


def waits(what: str) -> None:
    """The host waits for the stream in force."""
    refused(what)
    Stream.current.synchronize()


def told(do: Callable[[], None]) -> None:
    """What the stream in force was just told, and has done: kept if it captures."""
    if Stream.current.captured is not None:
        Stream.current.captured.append(do)


# ---------------------------------------------------------------- copies that the host does not wait for


class Copy:
    """From pinned memory, as it is when the copy is made."""

    under_way: ClassVar[list[Copy]] = []

    def __init__(self, source: np.ndarray, target: np.ndarray) -> None:
        self.stream, self.source, self.target = Stream.current, source, target
        self.under_way.append(self)

    def finish(self) -> None:
        self.under_way.remove(self)
        self.target[...] = self.source
        _beside_a_capture(self.target)


def finish(which: Callable[[Copy], bool]) -> None:
    for copy in [copy for copy in Copy.under_way if which(copy)]:
        copy.finish()


def read(array: np.ndarray) -> np.ndarray:
    """An array that a kernel or NumPy is about to read: its numbers have come."""
    if Copy.under_way:
        root = memory.root(array)
        finish(lambda copy: memory.root(copy.target) is root)
    return array


class Event:
    """cupy.cuda.Event: done when the stream has come to it."""

    def __init__(self) -> None:
        self.before: list[Copy] = []

    done = property(lambda self: not any(copy in Copy.under_way for copy in self.before))

    def synchronize(self) -> None:
        finish(lambda copy: copy in self.before)


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
            refused("synchronize")
        finish(lambda copy: copy.stream is self)

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.before = [copy for copy in Copy.under_way if copy.stream is self]
        return event

    def begin_capture(self, mode: Any = None) -> None:
        assert self.ptr, "cudaErrorStreamCaptureUnsupported: the null stream can't capture"
        self.before = [(root, root.copy()) for root in memory.roots() if root.flags.writeable]
        self.captured = []

    def end_capture(self) -> Graph:
        captured, self.captured = self.captured, None
        before, self.before = self.before, []
        for root, numbers in before:
            root[...] = numbers
        if self.broken:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated")
        return Graph(captured or [])

    def is_capturing(self) -> bool:
        return self.captured is not None


Stream.null = Stream.current = Stream(null=True)  # type: ignore[attr-defined]


class Graph:
    """cupy.cuda.Graph"""

    def __init__(self, steps: list[Callable[[], None]]) -> None:
        self.steps = steps

    def launch(self, stream: Stream | None = None) -> None:
        for do in self.steps:
            do()
