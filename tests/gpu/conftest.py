"""CUDA C without a GPU: the kernels run on the CPU (on_cpu.py), and NVRTC compiles them (nvrtc.py).

Host code runs on `cp`: on a stand-in for CuPy and, in tests that thereby have the marker gpu, on CuPy and a card.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tinymed import kernels
from tinymed.kernels import cupy_backend, cupy_launch

HERE = Path(__file__).parent
CUDA = HERE.parents[1] / "kernels" / "cuda"


@functools.cache
def load(name: str) -> ModuleType:
    """A helper that stands beside the tests."""
    spec = importlib.util.spec_from_file_location(f"gpu_{name}", HERE / f"{name}.py")
    sys.modules[spec.name] = helper = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(helper)
    return helper


arrays = load("arrays")  # tests say `from gpu_arrays import ...`
for part in ("fake_memory", "fake_streams", "fake_array"):  # fake_cupy says so of its parts
    load(part)


@pytest.fixture(scope="session")
def cuda_source():
    """cuda_source("pool"): the text of kernels/cuda/pool.cu, with what it includes pasted in."""
    return lambda name: load("on_cpu").source(CUDA / f"{name}.cu")


@pytest.fixture(scope="session")
def on_cpu():
    """The module on_cpu: CPUModule(source, options)."""
    if sys.platform != "linux":
        pytest.skip("fibers and linker sections are written for Linux")
    if not shutil.which(os.environ.get("CXX", "g++")):
        pytest.skip("no C++ compiler (g++) to run CUDA C on the CPU")
    return load("on_cpu")


@pytest.fixture(scope="session")
def module(on_cpu, cuda_source):
    """module("pool", REAL="double"): the kernels of kernels/cuda/pool.cu on the CPU, compiled once."""

    @functools.cache
    def build(name, **defines):
        return on_cpu.CPUModule(cuda_source(name), [f"-D{k}={v}" for k, v in defines.items()])

    return build


@pytest.fixture(scope="session")
def schedules():
    """Two orders of threads, warps and copies as far apart as they get: whatever changes between them is a race."""
    return 0, 25


@pytest.fixture(scope="session")
def nvrtc():
    """The module nvrtc: compile(source, architecture, ...)."""
    helper = load("nvrtc")
    try:
        helper.loaded()
    except ImportError as error:
        pytest.skip(str(error))
    return helper


@pytest.fixture(scope="session")
def sass():
    """The module sass: loops(cubin, folder, instruction)."""
    helper = load("sass")
    try:
        helper.tool()
    except ImportError as error:
        pytest.skip(str(error))
    return helper


# ---------------------------------------------------------------- CuPy, or what stands in for it


@contextlib.contextmanager
def devices_looked_at_anew():
    """What tinymed has found out about GPUs is forgotten before and after."""
    cupy_backend.available.cache_clear()
    yield
    cupy_backend.available.cache_clear()
    if kernels._devices:
        kernels._devices = False
        kernels.use_backend(kernels.get_backend())


@pytest.fixture
def stand_in(on_cpu, monkeypatch):
    """A machine with a GPU that fake_cupy.py plays."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: name == "cupy" or found(name, *rest))
    cupy = load("fake_cupy").install(monkeypatch, on_cpu.CPUModule)
    with devices_looked_at_anew():
        yield cupy


@functools.cache
def no_card():
    """Why there is none; asked before any stand-in, or after."""
    usable, reason = cupy_backend.available()
    return "" if usable else reason


@pytest.fixture
def card():
    """CuPy, on a machine with a GPU."""
    if reason := no_card():
        pytest.skip(reason)
    import cupy

    with devices_looked_at_anew():
        yield cupy


@pytest.fixture(params=["stand_in", pytest.param("card", marks=pytest.mark.gpu)])
def cp(request):
    """CuPy: once played, once real."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=arrays.LIMITS)
def kind(request, monkeypatch):
    """Of numbers and of sums."""
    monkeypatch.setattr(cupy_launch, "allow_tf32", request.param == "tf32")
    return request.param
