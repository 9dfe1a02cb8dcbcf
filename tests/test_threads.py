"""How many threads compute, and that BLAS and Numba do not fight for them; kernels by address; compiled once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinymed

ROOT = Path(__file__).parent.parent
pytest.importorskip("numba")


def run(code: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() + done.stderr.strip()


POOLS = """
import threadpoolctl, tinymed
from tinymed.kernels import numba_threads
def blas():
    return max(p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas")
"""


def test_one_pool_computes_and_the_other_rests():
    code = POOLS + (
        "tinymed.use_backend('numba'); print(blas(), numba_threads.pool()[1]);"
        "tinymed.use_backend('numpy'); print(blas());"
        "tinymed.set_num_threads(1); print(blas(), tinymed.get_num_threads());"
        "tinymed.use_backend('numba'); print(blas(), numba_threads.pool()[1])"
    )
    assert run(code, TINYMED_NUM_THREADS="2").split() == ["1", "2", "2", "1", "1", "1", "1"]


ROUNDS = """
import threading, time, numba, numpy as np, tinymed
from tinymed.kernels import numba_threads
from tinymed.kernels.numba_launch import fetch, launch

@numba.njit
def count(t, me, args):
    times, by = fetch(args)
    times[t] += 1
    by[t] = me

def rounds(n):
    times, by = np.zeros(40, np.int64), np.zeros(40, np.int64)
    for k in range(n):
        times[:], tasks = 0, k % 8 * 5  # growing: a helper that is late may not take a task of the next round
        launch(count, tasks, times, by)
        assert (times[:tasks] == 1).all() and not times[tasks:].any(), times
        assert (0 <= by).all() and (by < tinymed.get_num_threads()).all(), by
        if k % 500 == 0:
            time.sleep(0.0005)  # the helpers fall asleep
"""


@pytest.mark.parametrize("threads", ["1", "2", "4"])
def test_every_task_is_run_once(threads):
    assert run(ROUNDS + "rounds(100_000); print('done')", TINYMED_NUM_THREADS=threads) == "done"


def test_two_python_threads_may_compute_at_once():
    code = ROUNDS + (
        "rounds(1); ts = [threading.Thread(target=rounds, args=(10_000,)) for _ in range(3)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]; print('done')"
    )
    assert run(code, TINYMED_NUM_THREADS="2") == "done"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_has_helpers_of_its_own():
    code = ROUNDS + (
        "import os, sys; rounds(10); child = os.fork(); rounds(10)\n"
        "if child: print(os.waitpid(child, 0)[1], len(numba_threads._pool.helpers))\n"
        "else: os._exit(len(numba_threads._pool.helpers) != 1)"
    )
    assert run(code, TINYMED_NUM_THREADS="2") == "0 1"


def test_a_number_of_threads_that_cannot_be():
    for n in (0, -1, 1.5, "2", True, 10_000):
        with pytest.raises(ValueError, match="a whole number from 1 to"):
            tinymed.set_num_threads(n)
    assert "TINYMED_NUM_THREADS must be a whole number of 1 or more, got 'many'" in run(
        "import tinymed; tinymed.get_num_threads()", TINYMED_NUM_THREADS="many"
    )


def test_a_compiler_that_is_switched_off_is_not_chosen_but_can_be():
    code = "import tinymed; print(tinymed.get_backend()); tinymed.use_backend('numba'); print(tinymed.get_backend())"
    assert run(code, NUMBA_DISABLE_JIT="1", TINYMED_BACKEND="").split() == ["numpy", "numba"]


def test_import_loads_no_numba():
    assert run("import sys, tinymed, tinymed.nn, tinymed.optim; print('numba' in sys.modules)") == "False"


TRAIN = """
import hashlib, numpy as np, tinymed
from tinymed import nn, optim
tinymed.manual_seed(0)
block = nn.Conv2d(1, 6, 3, padding=1), nn.ReLU6(), nn.MaxPool2d(2)
net = nn.Sequential(*block, nn.Flatten(), nn.Linear(294, 33), nn.Linear(33, 2))
optimizer = optim.Adam(net.parameters(), lr=1e-2)
x, y = tinymed.randn(37, 1, 14, 14), tinymed.randint(0, 2, (37,))
for _ in range(5):
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
print(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in net.parameters())).hexdigest())
"""


def test_two_runs_are_equal_bit_for_bit():
    first, second = (run(TRAIN, TINYMED_NUM_THREADS="2", TINYMED_BACKEND="numba") for _ in range(2))
    assert len(first) == 64
    assert first == second


@pytest.mark.parametrize("n", [1, 2, 7, 16, 33, 48, 49, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_of_sizes_that_fill_no_register(n, dtype):
    from tinymed.kernels import numba_matmul

    rng = np.random.default_rng(n)
    for m, k in ((1, 5), (9, 1), (33, 70), (8, 1100)):
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        want = a.astype(np.float64) @ b.astype(np.float64)
        before, numba_matmul.SMALL = numba_matmul.SMALL, 0
        try:
            for got in (numba_matmul.matmul(a, b), numba_matmul.matmul(a, np.asfortranarray(b))):
                np.testing.assert_allclose(got, want, atol=(1e-4 if dtype == np.float32 else 1e-11) * k**0.5)
        finally:
            numba_matmul.SMALL = before


def test_the_wait_for_the_compiler_is_said_once(tmp_path):
    code = (
        "import logging, tinymed; logging.basicConfig(level=20); tinymed.use_backend('numba');"
        "a = tinymed.ones(200, 200); a @ a; (a.double() @ a.double())"
    )
    first, second = (run(code, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert first.count("compiling kernels, once for this machine") == 1
    assert second == ""


def test_kernels_without_a_folder_to_keep_them_in(tmp_path):
    (tmp_path / "file").write_text("")
    code = (
        "import tempfile; tempfile.tempdir = '/dev/null'; import tinymed; tinymed.use_backend('numba');"
        "from tinymed.kernels.numba_jit import CACHE; a = tinymed.ones(100, 100); print(CACHE, (a @ a)[0, 0].item())"
    )
    said = run(code, NUMBA_CACHE_DIR=str(tmp_path / "file"))
    assert said.startswith("None 100.0")
    assert "there is no folder to keep them in" in said


def test_ctrl_c_waits_for_the_compiler():
    from tinymed.kernels.numba_jit import alone

    done = []

    def compile():
        with alone():
            signal.raise_signal(signal.SIGINT)
            done.append("compiled")

    with pytest.raises(KeyboardInterrupt):
        compile()
    assert done == ["compiled"]


def test_threads_that_start_the_pool_at_once():
    code = ROUNDS + (
        "import sys; sys.setswitchinterval(1e-6); start = numba_threads._pool.start\n"
        "ts = [threading.Thread(target=start, args=(3,)) for _ in range(8)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]; print(len(numba_threads._pool.helpers))"
    )
    assert run(code, TINYMED_NUM_THREADS="1") == "3"
