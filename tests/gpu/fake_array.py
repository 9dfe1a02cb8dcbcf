"""The stand-in's arrays: NumPy's in a class of their own, which refuses what CuPy refuses.

They don't mix with NumPy's arrays, and turn into one only when they are asked to.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import gpu_fake_streams as streams
import numpy as np

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


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # noqa: N801 (CuPy's name)
    """An array "on the GPU": `host` holds its numbers."""

    def __init__(self, host: np.ndarray) -> None:
        self._host = host
        streams.exists(host)

    host = property(lambda self: streams.read(self._host))
    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    strides = property(lambda self: self._host.strides)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    flags = property(lambda self: SimpleNamespace(**{name: getattr(self._host.flags, name) for name in FLAGS}))
    T = property(lambda self: ndarray(self.host.T))
    base = property(lambda self: None if self._host.base is None else ndarray(np.asarray(self._host.base)))
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
        streams.refused("a copy from the host")
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
        return len(self._host)

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
        streams.refused("calling cuBLAS API during stream capture is currently unsupported")
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
