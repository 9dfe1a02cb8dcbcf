"""A stand-in for the module `cupy` where there is no GPU: NumPy's arrays in a class of their own, kernels on the CPU.

It refuses what CuPy refuses: to mix with NumPy's arrays, to turn into one unasked, to pass one to a kernel. Every
kernel runs under two schedules, which must agree. It offers what tinymed uses; of no more is it said that it is so.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import gpu_fake_memory as memory
import gpu_fake_streams as streams
import numpy as np
from gpu_fake_array import FUNCTIONS, computed, ndarray

SCHEDULES = 0, 25  # two orders of threads as far apart as they get: whatever changes between them is a race

TYPES = re.findall(
    r"\w+",
    """
bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 dtype inf nan pi e newaxis
""",
)


class Kernel:
    """cupy.RawKernel: kernel(grid, block, args, shared_mem=0)."""

    def __init__(self, function: Any) -> None:
        self.function = function

    max_dynamic_shared_size_bytes = property(
        lambda self: self.function.max_dynamic_shared_size_bytes,
        lambda self, size: setattr(self.function, "max_dynamic_shared_size_bytes", size),
    )

    def compile(self) -> None:
        pass

    def __call__(self, grid: tuple, block: tuple, args: Sequence, *, shared_mem: int = 0, stream: Any = None) -> None:
        """Raises what the CPU's module raises, and RuntimeError where the two schedules differ."""
        if type(grid) is not tuple or type(block) is not tuple:
            raise TypeError(f"{self.function.name}: grid and block are tuples, got {grid} and {block}")
        self._run(grid, block, args, shared_mem)
        streams.told(lambda: self._run(grid, block, args, shared_mem))

    def _run(self, grid: tuple, block: tuple, args: Sequence, shared_mem: int) -> None:
        values = [self._value(k, arg) for k, arg in enumerate(args)]
        arrays = [arg.host for arg in args if isinstance(arg, ndarray)]
        before = [array.copy() for array in arrays]
        self.function(grid, block, values, shared_mem=shared_mem, order=SCHEDULES[0])
        if any(p.startswith("V") and p.endswith("*") for p in self.function.parameters):
            return  # a table of addresses: what it wrote to cannot be taken back for a second run
        after = [array.copy() for array in arrays]
        for array, old in zip(arrays, before):
            if array.flags.writeable:
                array[...] = old
        self.function(grid, block, values, shared_mem=shared_mem, order=SCHEDULES[1])
        for one, two in zip(after, arrays):
            if one.tobytes() != two.tobytes():
                raise RuntimeError(f"{self.function.name}: the result depends on which thread runs first")

    def _value(self, k: int, arg: Any) -> Any:
        name = f"{self.function.name}, argument {k}"
        if isinstance(arg, ndarray):
            return arg.host
        if isinstance(arg, np.ndarray) and (arg.size != 1 or self.function.parameters[k].endswith("*")):
            raise TypeError(f"{name}: an array of NumPy's, {arg.shape}, is not on the GPU")
        if self.function.parameters[k].endswith("*"):
            if type(arg) is not np.uint64 or arg:
                raise TypeError(f"{name}: {arg!r} is no pointer")
            return None
        if isinstance(arg, np.void):
            raise TypeError(f"Unsupported type {type(arg)}")  # a struct goes in an array of one entry
        return arg


class Device:
    """cupy.cuda.Device: the one that there is."""

    id, compute_capability = 0, "90"

    def __init__(self, device: int | None = None) -> None:
        if device:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def synchronize(self) -> None:
        streams.refused("synchronize")
        streams.finish(lambda copy: True)


class OutOfMemoryError(MemoryError):
    pass


def filled(shape: Any, dtype: Any = float, *args: Any, **kwargs: Any) -> ndarray:
    """cupy.empty: NaN, or 0x5a in each byte, so that it shows where a kernel leaves a place out."""
    host = np.empty(shape, dtype)
    memory.poison(host)
    return ndarray(host)


def asarray(a: Any, dtype: Any = None, order: str | None = None, copy: bool = False) -> ndarray:
    """cupy.asarray: over to the device is a copy; straight from pinned memory, it is under way when this returns."""
    if isinstance(a, ndarray):
        return computed(np.array if copy else np.asarray, (a, dtype), {"order": order})
    streams.refused("a copy from the host")
    numbers = np.asarray(a, dtype, order=order)
    there = ndarray(np.array(numbers))
    if numbers.flags.forc and memory.attributes(numbers.ctypes.data).type:
        memory.poison(there.host)
        streams.Copy(numbers, there.host)
    return there


def forwarded(name: str) -> Callable:
    function = getattr(np, name)
    return lambda *args, **kwargs: computed(function, args, kwargs)


def stand_in(cpu_module: Callable) -> ModuleType:
    """The module; cpu_module is on_cpu.CPUModule. Put it in sys.modules["cupy"]."""

    class RawModule:
        def __init__(self, *, code: str, options: tuple = (), backend: str = "nvrtc", **_: Any) -> None:
            self.module = cpu_module(code, options)

        def get_function(self, name: str) -> Kernel:
            return Kernel(self.module.get_function(name))

    cp = ModuleType("cupy", __doc__)
    cp.__version__ = "0 (a stand-in)"
    for name in FUNCTIONS:
        setattr(cp, name, forwarded(name))
    for name in TYPES:
        setattr(cp, name, getattr(np, name))
    cp.ndarray, cp.RawModule, cp.asarray = ndarray, RawModule, asarray
    cp.array = lambda a, dtype=None, copy=True, order="K": asarray(a, dtype, order, copy)
    cp.asnumpy = lambda a, *_, **__: a.get() if isinstance(a, ndarray) else np.asarray(a)
    cp.RawKernel = lambda code, name, options=(), **_: RawModule(code=code, options=options).get_function(name)
    cp.empty, cp.empty_like = filled, lambda a, dtype=None: filled(a.shape, dtype or a.dtype)
    for name in ("zeros", "ones", "full"):
        setattr(cp, name, forwarded(name))
    cp.ascontiguousarray = forwarded("ascontiguousarray")
    cp.asfortranarray = forwarded("asfortranarray")
    cp.shares_memory = cp.may_share_memory = lambda a, b: np.shares_memory(a.host, b.host)
    cp.get_array_module = lambda *a: cp if any(isinstance(x, ndarray) for x in a) else np
    cp.get_default_memory_pool = lambda: memory.default_pool
    cp.cuda = SimpleNamespace(
        Device=Device,
        is_available=lambda: True,
        get_current_stream=lambda: streams.Stream.current,
        Stream=streams.Stream,
        Event=streams.Event,
        MemoryPool=memory.MemoryPool,
        MemoryPointer=memory.MemoryPointer,
        UnownedMemory=memory.UnownedMemory,
        using_allocator=memory.using_allocator,
        alloc_pinned_memory=memory.alloc_pinned_memory,
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        runtime=SimpleNamespace(
            CUDARuntimeError=streams.CUDARuntimeError,
            pointerGetAttributes=memory.attributes,
            memoryTypeHost=1,
            getDeviceCount=lambda: 1,
            getDevice=lambda: 0,
            deviceSynchronize=Device().synchronize,
            memGetInfo=lambda: (1 << 30, 1 << 30),
            getDeviceProperties=lambda device: {"name": b"a stand-in on the CPU"},
        ),
    )
    return cp


def install(monkeypatch: Any, cpu_module: Callable) -> ModuleType:
    """The stand-in as `import cupy` finds it, until the test ends; no compiled kernel outlives it."""
    from tinymed import default_generator
    from tinymed.kernels import cupy_launch, cupy_optim, cupy_pool

    cp = stand_in(cpu_module)
    monkeypatch.setitem(sys.modules, "cupy", cp)
    monkeypatch.setattr(cupy_launch, "_modules", {})
    monkeypatch.setattr(cupy_launch, "_kernels", {})
    monkeypatch.setattr(cupy_optim, "_launches", {})
    monkeypatch.setattr(cupy_pool, "_kept", {})
    monkeypatch.setattr(default_generator, "_gpus", {})
    return cp
