"""Arrays for the tests of CuPy's kernels: drawn, laid out in memory in several ways, compared."""

from __future__ import annotations

import numpy as np

LIMITS = {"tf32": 1e-3, "float": 1e-5, "double": 1e-12}  # the largest relative error
EXACT = ["float", "double"]
LAYOUTS = "channels first", "channels last", "every second image"


def normal(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def on_device(cp, array, kind, layout=LAYOUTS[0]):
    """The same numbers in memory, laid out in one of three ways."""
    array = array.astype(np.float64 if kind == "double" else np.float32)
    if array.ndim < 4 or layout == "channels first":
        return cp.asarray(array)
    if layout == "channels last":
        return cp.asarray(np.ascontiguousarray(array.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)
    return cp.asarray(array.repeat(2, axis=0))[::2]


def close(got, want, kind):
    got = got.get()
    assert got.dtype == (np.float64 if kind == "double" else np.float32)
    assert got.shape == want.shape
    assert np.linalg.norm(got - want) <= LIMITS[kind] * np.linalg.norm(want)  # NaN is not <=


def channels_last(x):
    assert x.transpose(0, 2, 3, 1).flags.c_contiguous
