"""CUDA graphs: a run of kernels recorded once, and started again by one call of the driver's.

A step of a small network is a hundred launches of a few microseconds each, and Python needs longer to start one than
the GPU to finish it. A graph has the launches, with their addresses and numbers; the host's part of a step goes by
when it is recorded, and what of it must happen at each replay (an optimiser's count, its learning rate) is registered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_recording: CUDAGraph | None = None
_replaying: CUDAGraph | None = None


def recording() -> CUDAGraph | None:
    """The graph that is being recorded, if any: nothing runs on the GPU then, and nothing can be read from it."""
    return _recording


def replaying() -> CUDAGraph | None:
    """The graph at whose replay the host does its part, if any: the launches of that part are in the graph."""
    return _replaying


class CUDAGraph:
    """What `with tinymed.cuda.graph(g):` recorded, to be replayed        (torch.cuda.CUDAGraph)

    A replay reads the arrays that the recorded run read, and writes those that it wrote, in place: copy a new batch
    into the tensors of the old one, replay, and read the results where they were. No other array is given their
    memory; they keep it when the graph is gone.
    """

    def __init__(self) -> None:
        self.kept: list = []  # what its kernels read and write beyond the arrays that their users hold
        self.launches: list = []  # the optimisers', which the host has to look after at each replay
        self.waiting: Iterator = iter(())  # those of them that it has not come to
        self._at_replay: list[Callable[[], None]] = []
        self._graph: Any = None

    def at_replay(self, do: Callable[[], None]) -> None:
        """Have the host do this at each replay, before the GPU does its part."""
        self._at_replay.append(do)

    def replay(self) -> None:
        """Run on the GPU, on the current stream, all that was recorded. Raises ValueError where nothing was."""
        global _replaying
        if self._graph is None:
            raise ValueError("this graph has nothing to replay: record first, in `with tinymed.cuda.graph(g):`")
        _replaying, self.waiting = self, iter(self.launches)
        try:
            for do in self._at_replay:
                do()
        finally:
            _replaying = None
        self._graph.launch()


@contextmanager
def graph(g: CUDAGraph) -> Iterator[CUDAGraph]:
    """Record in `g` all that the GPU is told in this block; tinymed.cuda.graph says how to use it.

    Raises ValueError for a block that waits for the GPU, and for a graph that holds a recording already.
    """
    import cupy

    global _recording
    if g._graph is not None or _recording is not None:
        raise ValueError("one graph is recorded at a time, and each once: make a new tinymed.cuda.CUDAGraph()")
    cupy.cuda.Device().synchronize()
    stream, allocate = cupy.cuda.Stream(non_blocking=True), _private_memory()
    g.kept += [stream, allocate]
    error: Exception | None = None
    with cupy.cuda.using_allocator(allocate), stream:
        stream.begin_capture()
        _recording = g
        try:
            yield g
        except Exception as raised:
            error = raised
        finally:
            _recording = None
            try:
                recorded = stream.end_capture()
            except cupy.cuda.runtime.CUDARuntimeError as raised:  # what broke it said so before
                error = error or raised
    if error is None:
        g._graph = recorded
    elif isinstance(error, RuntimeError):  # the driver's, or CuPy's that has no such call for a graph
        raise ValueError(
            f"a CUDA graph can't hold what waits for the GPU or needs its values ({error}): .item(), .cpu(), print and "
            "the like belong before the block, or after g.replay()"
        ) from error
    else:
        raise error


def _private_memory() -> Callable[[int], Any]:
    """An allocator whose blocks only its own arrays are given; each array keeps the pool, which CuPy's do not."""
    import cupy

    pool, device = cupy.cuda.MemoryPool(), cupy.cuda.runtime.getDevice()

    def allocate(size: int) -> Any:
        block = pool.malloc(size)
        return cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(block.ptr, size, (block, pool), device), 0)

    return allocate


def upload(host: np.ndarray) -> Any:
    """A copy of a host's array on the GPU; for a graph that is being recorded, made at once, and kept."""
    import cupy

    if _recording is None:
        return cupy.asarray(host)
    shared = cupy.get_default_memory_pool().malloc
    with cupy.cuda.using_allocator(shared), cupy.cuda.Stream(non_blocking=True) as aside:  # no part of the recording
        copy = cupy.asarray(host)
        aside.synchronize()
    _recording.kept.append(copy)
    return copy
