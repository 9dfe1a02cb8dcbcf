"""Shared: an expression computed by tinymed and by PyTorch must agree; tables of all ops and layers; the command."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
from pathlib import Path

# a worker for each processor runs the tests: each computes with few threads, or they would wait for one another
os.environ.setdefault("TINYMED_NUM_THREADS", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest

import tinymed
import tinymed.nn
import tinymed.nn.functional
from tinymed.gradcheck import gradcheck

TOLERANCE = {np.float64: 1e-6, np.float32: 1e-3}

_spec = importlib.util.spec_from_file_location("cases", Path(__file__).with_name("cases.py"))
_cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_cases)


def _several(found):
    return [y for y in (found if isinstance(found, tuple | list) else [found]) if hasattr(y, "dtype")]


@pytest.fixture
def as_torch():
    """check(fn, *samples): fn(tinymed, *tensors) against fn(torch, *tensors), values and gradients.

    A sample is a shape (normal numbers are drawn) or an array; arrays of integers and bools have no gradient.
    The cotangent is random; both float dtypes are tried; with `numeric`, gradcheck runs too.
    """
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

    def check(fn, *samples, numeric=True, dtypes=(np.float64, np.float32), seed=0):
        rng = np.random.default_rng(seed)
        drawn = [np.asarray(rng.standard_normal(s)) if isinstance(s, tuple) else np.asarray(s) for s in samples]
        for dtype in dtypes:
            close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
            arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in drawn]
            ours = [tinymed.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
            theirs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
            got, want = _several(fn(tinymed, *ours)), _several(fn(torch, *theirs))
            assert len(got) == len(want)
            loss, oracle = 0, 0
            for y, z in zip(got, want):
                assert y.shape == tuple(z.shape)
                assert str(y.dtype) == str(z.dtype).removeprefix("torch.")
                np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), **close)
                if z.requires_grad:  # what is flat, such as floor, has in tinymed no gradient instead of 0
                    g = rng.standard_normal(y.shape).astype(dtype)
                    oracle = oracle + (z * torch.tensor(g)).sum()
                    loss = loss + (y * tinymed.tensor(g)).sum()
            if differentiable := isinstance(oracle, torch.Tensor):
                oracle.backward()
                if loss.requires_grad:
                    loss.backward()
            for k, (x, t) in enumerate(zip(ours, theirs)):
                if t.grad is not None:
                    gradient = 0 if x.grad is None else x.grad.numpy()
                    np.testing.assert_allclose(gradient, t.grad.numpy(), **close, err_msg=f"input {k}")
        if numeric and differentiable:
            leaves = [tinymed.tensor(a, requires_grad=t.grad is not None) for a, t in zip(drawn, theirs)]
            assert gradcheck(lambda *xs: fn(tinymed, *xs), leaves)

    return check


# ---------------------------------------------------------------- pages


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium; without one, or without playwright, tests of pages skip."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no Chromium")
    with sync.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


# ---------------------------------------------------------------- all that there is


@pytest.fixture(scope="session")
def cases():
    """cases.py: OPS, LAYERS, LOSSES."""
    return _cases


@pytest.fixture(params=_cases.OPS)
def op(request):
    """(expression, *samples) of every op."""
    return _cases.OPS[request.param]


@pytest.fixture(params=_cases.LAYERS, ids=lambda row: row[0])
def layer(request):
    """(name, arguments, named arguments, the shape of x) of every layer that takes one tensor."""
    return request.param


@pytest.fixture(params=_cases.LOSSES, ids=lambda row: row[0])
def loss(request):
    """(name, named arguments, x, t) of every loss."""
    return request.param


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def few_pictures(tmp_path_factory):
    """No network, no data of this machine, and few pictures."""
    import tinymed.data
    from tinymed.tasks import breast_ultrasound

    whole = tinymed.data.make_breast_phantoms
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYMED_OFFLINE", "1")
        patch.setenv("TINYMED_DATA", str(tmp_path_factory.mktemp("nothing")))
        for home in (tinymed.data, breast_ultrasound):
            patch.setattr(home, "make_breast_phantoms", lambda n, seed: whole(n // 8, seed))
        yield


@pytest.fixture(scope="module")
def runs(few_pictures, tmp_path_factory):
    """A folder with two runs, `pictures` and `table`; the latter's table.csv, and other.csv of the same columns."""
    from tinymed.cli import main

    folder = tmp_path_factory.mktemp("runs")
    rows = [f"{k},{'MB'[k % 2]},{k / 10},{7 * k % 5}\n" for k in range(40)]
    (folder / "table.csv").write_text("id,diagnosis,a,b\n" + "".join(rows))
    (folder / "other.csv").write_text("id,diagnosis,a,b\n" + "".join(reversed(rows)))
    table = ["--task", "breast-cytology", "--data", folder / "table.csv", "--test", folder / "table.csv"]
    pictures = ["--task", "breast-ultrasound", "--data", "generated"]
    for name, arguments in {"pictures": pictures, "table": table}.items():
        main(["train", "--epochs", "1", "--out", str(folder / name), *map(str, arguments)])
    return folder


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """command("train", ...) in a new folder: the exit code, what was printed, and the complaints."""
    from tinymed.cli import main

    monkeypatch.chdir(tmp_path)
    capsys.readouterr()

    def run(*arguments):
        try:
            main([str(a) for a in arguments])
            code = 0
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(command):
    """refused(message, "train", ...): the complaint is one line that says so."""

    def run(message, *arguments):
        code, _, complaint = command(*arguments)
        assert (code, complaint.count("\n")) == (2, 1), complaint
        assert complaint.startswith("tinymed: ")
        assert re.search(message, complaint), complaint

    return run
