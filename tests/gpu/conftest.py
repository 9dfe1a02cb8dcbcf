"""CUDA C without a GPU: the kernels run on the CPU (on_cpu.py), and NVRTC compiles them (nvrtc.py)."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
CUDA = HERE.parents[1] / "kernels" / "cuda"


@functools.cache
def load(name: str) -> ModuleType:
    """A helper that stands beside the tests."""
    spec = importlib.util.spec_from_file_location(f"gpu_{name}", HERE / f"{name}.py")
    sys.modules[spec.name] = helper = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(helper)
    return helper


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
