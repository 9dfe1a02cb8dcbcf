"""The kernels of numba_cuda: in Numba's simulator, compiled without a device, and on one where there is one.

Each in a process of its own, which runs numba_cuda_cases.py or numba_cuda_compile.py: from its import on Numba is a
simulator or none.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FAMILIES = (
    *("products", "convolutions", "pooling", "fused", "losses", "recurrent", "optimisers"),
    "arrays_on_the_device",
)


def run(*command, simulator=False):
    env = os.environ | {"PYTHONPATH": str(HERE.parent.parent), "NUMBA_ENABLE_CUDASIM": str(int(simulator))}
    done = subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("family", FAMILIES)
def test_the_simulator_against_the_plain_loops(family):
    assert run(HERE / "numba_cuda_cases.py", family, simulator=True).count("right:") > 1


@pytest.mark.gpu
def test_the_device_against_the_plain_loops():
    assert run(HERE / "numba_cuda_cases.py", *FAMILIES, "larger").count("right:") > 100


def test_every_kernel_compiles_and_none_of_float32_computes_in_doubles():
    assert "no .f64 among float32" in run(HERE / "numba_cuda_compile.py")


def test_it_is_imported_without_a_device_and_says_why_it_is_not_available():
    code = "from tinymed.kernels import numba_cuda_backend as b; print(b.AUTOMATIC, *b.available(), sep='; ')"
    automatic, usable, reason = run("-c", code).strip().split("; ", 2)
    assert automatic == "False"
    assert "CUDA" in reason or "cuda" in reason
    assert " on " in reason if usable == "True" else len(reason) > 20
    assert run("-c", code, simulator=True).startswith("False; True; simulator")


def test_the_backend_has_every_name():
    code = (
        "from tinymed import kernels; from tinymed.kernels import numba_cuda_backend as b;"
        "print([n for n in kernels.NAMES if not callable(getattr(b, n, None))])"
    )
    assert run("-c", code).strip() == "[]"
