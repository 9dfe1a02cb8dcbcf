"""A stand-in for the module `cupy` where there is no GPU: NumPy's arrays in a class of their own, kernels on the CPU.

It refuses what CuPy refuses: to mix with NumPy's arrays, to turn into one unasked, to pass one to a kernel. Every
kernel runs under two schedules, which must agree. It offers what tinymed uses; of no more is it said that it is so.
"""

from __future__ import annotations

import importlib.util
import operator
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

_spec = importlib.util.spec_from_file_location("fake_streams", Path(__file__).with_name("fake_streams.py"))
streams = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(streams)

SCHEDULES = 0, 25  # two orders of threads as far apart as they get: whatever changes between them is a race

FUNCTIONS = re.findall(
    r"\w+",
    """
abs absolute add all allclose amax amin any arange argmax argmin argsort argwhere array_equal atleast_1d atleast_2d
bincount bitwise_and bitwise_or bitwise_xor broadcast_arrays broadcast_to ceil clip concatenate copysign copyto cos
cosh cumprod cumsum diag diagonal divide dot dstack einsum empty_like equal exp expand_dims expm1 extract eye flip
floor floor_divide fmax fmin full_like greater greater_equal hstack identity invert isfinite isinf isnan less
less_equal linspace log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor matmul max maximum
mean median min minimum mod moveaxis multiply nan_to_num negative nonzero not_equal ones_like outer pad power prod
put_along_axis ravel reciprocal remainder repeat reshape result_type rint roll rollaxis round sign sin sinh sort split
sqrt square squeeze stack std subtract sum swapaxes take take_along_axis tan tanh tensordot tile trace transpose tril
triu true_divide trunc unique vstack where zeros_like
""",
)
FLAGS = "c_contiguous", "f_contiguous", "owndata"  # of NumPy's; CuPy has no read-only arrays
CUBLAS = np.matmul, np.dot, np.tensordot, np.einsum
TYPES = re.findall(
    r"\w+",
    """
bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 dtype inf nan pi e newaxis
""",
)


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # noqa: N801 (CuPy's name)
    """An array "on the GPU": `host` holds its numbers."""

    def __init__(self, host: np.ndarray) -> None:
        self.host = host
        streams.exists(self)

    shape = property(lambda self: self.host.shape)
    dtype = property(lambda self: self.host.dtype)
    strides = property(lambda self: self.host.strides)
    ndim = property(lambda self: self.host.ndim)
    size = property(lambda self: self.host.size)
    itemsize = property(lambda self: self.host.itemsize)
    nbytes = property(lambda self: self.host.nbytes)
    flags = property(lambda self: SimpleNamespace(**{name: getattr(self.host.flags, name) for name in FLAGS}))
    T = property(lambda self: ndarray(self.host.T))
    base = property(lambda self: None if self.host.base is None else ndarray(np.asarray(self.host.base)))
    device = property(lambda self: SimpleNamespace(id=0))
    data = property(lambda self: SimpleNamespace(ptr=self.host.ctypes.data))

    @property
    def __cuda_array_interface__(self) -> dict:
        return {**self.host.__array_interface__, "version": 3, "stream": None}

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "reduce" and ufunc not in (np.add, np.multiply):
            raise NotImplementedError(f"`{ufunc.__name__}.reduce` is not supported")  # as CuPy says it
        return computed(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function: Callable, types: Any, args: Any, kwargs: Any) -> Any:
        if function.__name__ not in FUNCTIONS:
            raise TypeError(f"the stand-in for CuPy has no {function.__name__}")
        return computed(function, args, kwargs)

    def get(self) -> np.ndarray:
        streams.waits("a copy to the host")
        return self.host.copy()

    def set(self, array: np.ndarray, stream: Any = None) -> None:
        streams.waits("a copy from the host")
        self.host[...] = array

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __getitem__(self, key: Any) -> ndarray:
        if any(isinstance(k, ndarray) and k.dtype == bool for k in (key if type(key) is tuple else (key,))):
            streams.waits("how many numbers a mask picks")
        return computed(operator.getitem, (self, key), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        at, numbers = unwrapped(key), unwrapped(value)
        self.host[at] = numbers
        streams.told(lambda: self.host.__setitem__(at, numbers))

    def __iter__(self) -> Any:
        return map(wrapped, self.host)

    def __len__(self) -> int:
        return len(self.host)

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())


def _method(name: str) -> Callable:
    return lambda self, *args, **kwargs: computed(getattr(self.host, name), args, kwargs)


for _name in (
    *("all", "any", "argmax", "argmin", "argsort", "astype", "clip", "copy", "cumsum", "diagonal", "dot", "fill"),
    *("flatten", "max", "mean", "min", "nonzero", "prod", "ravel", "repeat", "reshape", "round", "sort", "squeeze"),
    *("std", "sum", "swapaxes", "take", "trace", "transpose", "var", "view"),
):
    setattr(ndarray, _name, _method(_name))


def unwrapped(value: Any) -> Any:
    """What NumPy may compute with. Raises TypeError for an array of NumPy's."""
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")  # in CuPy's words
    if isinstance(value, list | tuple):
        return type(value)(map(unwrapped, value)) if type(value) in (list, tuple) else value
    return value.host if isinstance(value, ndarray) else value


def wrapped(value: Any) -> Any:
    """A result of NumPy's: a reduction leaves an array of no axes, not a number."""
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    return type(value)(map(wrapped, value)) if type(value) in (list, tuple) else value


def computed(function: Callable, args: Sequence, kwargs: dict) -> Any:
    """function(...) on the arrays inside; an `out` comes back as the array that it is."""
    if any(getattr(function, "__self__", function) is product for product in CUBLAS):
        streams.waits("calling cuBLAS API during stream capture is currently unsupported")
    inputs, options = [unwrapped(a) for a in args], {name: unwrapped(value) for name, value in kwargs.items()}
    result = function(*inputs, **options)
    out = kwargs.get("out")
    given = wrapped(result) if out is None else out[0] if isinstance(out, tuple) else out

    def again() -> None:
        new = function(*inputs, **options)
        for array, numbers in zip(_arrays(given), _arrays(new)):
            if array.flags.writeable and not np.shares_memory(array, numbers):  # else it is a view
                array[...] = numbers

    streams.told(again)
    return given


def _arrays(value: Any) -> list[np.ndarray]:
    """The arrays of a result, be it one or several."""
    if type(value) in (list, tuple):
        return [a for one in value for a in _arrays(one)]
    value = value.host if isinstance(value, ndarray) else value
    return [np.asarray(value)] if isinstance(value, np.ndarray | np.generic) else []


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
        streams.waits("synchronize")


class OutOfMemoryError(MemoryError):
    pass


def filled(shape: Any, dtype: Any = float, *args: Any, **kwargs: Any) -> ndarray:
    """cupy.empty: NaN, or 0x5a in each byte, so that it shows where a kernel leaves a place out."""
    host = np.empty(shape, dtype)
    host.fill(np.nan) if host.dtype.kind == "f" else host.reshape(-1).view(np.uint8).fill(0x5A)
    return ndarray(host)


def asarray(a: Any, dtype: Any = None, order: str | None = None, copy: bool = False) -> ndarray:
    if isinstance(a, ndarray):
        return computed(np.array if copy else np.asarray, (a, dtype), {"order": order})
    streams.waits("a copy from the host")
    return ndarray(np.array(a, dtype, order=order))  # over to the device: a copy


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
    cp.get_default_memory_pool = lambda: SimpleNamespace(free_all_blocks=lambda: None, used_bytes=lambda: 0)
    cp.cuda = SimpleNamespace(
        Device=Device,
        is_available=lambda: True,
        get_current_stream=lambda: streams.Stream.current,
        Stream=streams.Stream,
        MemoryPool=streams.MemoryPool,
        using_allocator=streams.using_allocator,
        alloc_pinned_memory=streams.alloc_pinned_memory,
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        runtime=SimpleNamespace(
            CUDARuntimeError=streams.CUDARuntimeError,
            pointerGetAttributes=streams.attributes,
            memoryTypeHost=1,
            getDeviceCount=lambda: 1,
            getDevice=lambda: 0,
            deviceSynchronize=lambda: None,
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
