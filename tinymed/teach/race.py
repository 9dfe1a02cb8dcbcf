"""How fast is a kernel that a student wrote, beside the engine's own?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinymed import kernels
from tinymed.kernels.shapes import conv_shape, pool_shape
from tinymed.teach.check import WrongAnswer

Arguments = dict[str, Any]


def _conv2d() -> tuple[Arguments, Callable[[Any], Any]]:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 16, 16)), rng.standard_normal((4, 3, 3, 3))
    s = conv_shape(x.shape, w.shape, (1, 1), (0, 0), (1, 1), 1)
    return {"x": x, "w": w}, lambda backend: backend.conv2d(x, w, None, s)


def _max_pool2d() -> tuple[Arguments, Callable[[Any], Any]]:
    x = np.random.default_rng(0).standard_normal((4, 8, 32, 32))
    s = pool_shape("max_pool2d", x.shape, (2, 2), (2, 2), (0, 0))
    return {"x": x}, lambda backend: backend.max_pool2d(x, s)[0]


def _matmul() -> tuple[Arguments, Callable[[Any], Any]]:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((64, 48)), rng.standard_normal((48, 32))
    return {"a": a, "b": b}, lambda backend: backend.matmul(a, b)


TRACKS = {"conv2d": _conv2d, "max_pool2d": _max_pool2d, "matmul": _matmul}
EXERCISES = {"conv2d": "conv2d_im2col", "max_pool2d": "max_pool2d_by_reshape"}  # on the same arguments


def race(name: str, answer: Callable[..., Any], seconds: float = 0.2) -> list[tuple[str, float]]:
    """Time answer(**arguments) beside the same kernel of each backend; print and return the ranking, in ms a call.

    name     "conv2d" (x, w; stride 1, no padding), "max_pool2d" (x; window and stride 2) or "matmul" (a, b)
    seconds  how long to repeat each; the median of the runs counts, and the first run, which may compile, does not
    Every call is compared with NumPy's. Raises ValueError for another name; WrongAnswer where a call, the first or a
    later one, gives wrong numbers: a race is for right ones.
    """
    if name not in TRACKS:
        raise ValueError(f"there is no race {name!r}; there are {', '.join(TRACKS)}")
    arguments, theirs = TRACKS[name]()
    want = theirs(kernels.load("numpy"))
    own = {name: value.copy() for name, value in arguments.items()}  # the others run on arguments that stay
    if complaint := _wrong(answer(**own), want):
        cure = f": check({EXERCISES[name]!r}, …)" if name in EXERCISES else ""
        raise WrongAnswer(f"race({name!r}): your function gives {complaint}; make it right first{cure}")
    runners: dict[str, Callable[[], Any]] = {"yours": lambda: answer(**own)}
    for backend, (usable, _) in kernels.available().items():
        if usable and backend in ("reference", "numpy", "numba"):
            module = kernels.load(backend)
            runners[backend] = lambda module=module: theirs(module)  # type: ignore[misc]
    times: list[tuple[str, float]] = sorted(
        ((who, _median(who, run, want, seconds)) for who, run in runners.items()), key=lambda row: row[1]
    )
    yours = dict(times)["yours"]
    for place, (who, took) in enumerate(times, 1):
        often, how = (yours / took, "fast") if took <= yours else (took / yours, "slow")
        print(f"{place}. {who:<10} {took * 1e3:10.3f} ms   {often:10,.1f} times as {how} as yours")
    return [(who, took * 1e3) for who, took in times]


def _wrong(got: Any, want: np.ndarray) -> str:
    """What is wrong with a result, in words; "" for nothing."""
    try:
        got = np.asarray(got)
    except ValueError:  # rows of different lengths
        return "no array"
    if got.shape != want.shape:
        return f"shape {got.shape}, expected {want.shape}"
    return "" if got.dtype.kind in "fiub" and np.allclose(got, want, atol=1e-8) else "other numbers"


def _median(who: str, run: Callable[[], Any], want: np.ndarray, seconds: float) -> float:
    """Seconds a call. Raises WrongAnswer where a result that was timed is wrong: each is looked at, off the clock."""
    run()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        got = run()
        times.append(time.perf_counter() - start)
        if complaint := _wrong(got, want):
            raise WrongAnswer(
                f"{who}: the first call was right, and a later one gives {complaint};"
                " does it change its arguments, or keep something from call to call?"
            )
    return statistics.median(times)
