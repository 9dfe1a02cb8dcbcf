"""The benchmark: each engine in its own process, answers compared, a table, JSON and pictures."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest

import tinymed
from tinymed.bench import measure, report
from tinymed.bench.workloads import WORKLOADS, Case

pytest.importorskip("numba")


def test_rows_of_two_engines_and_what_is_made_of_them(tmp_path):
    chosen = ["tinymed", "tinymed numpy", *(["PyTorch tuned"] if find_spec("torch") else [])]
    said = []
    rows = measure.measure(["autograd"], chosen, 1, 2, 0.01, said.append)
    assert [row["engine"] for row in rows] == chosen
    assert said == rows
    assert all(0 < row["low"] <= row["ms"] <= row["high"] for row in rows)
    table = report.table(rows, {"gflops": 100.0}).splitlines()
    assert len(table) == 3
    assert table[2].startswith("| autograd | 1000 tiny ops | ")
    assert {line.count("|") for line in table} == {table[0].count("|")}
    report.save(tmp_path / "bench.json", rows, {"threads": 1})
    assert json.loads((tmp_path / "bench.json").read_text())["rows"][0]["engine"] == "tinymed"


def test_a_peer_that_lacks_a_case_has_an_empty_cell():
    pytest.importorskip("jax")
    rows = measure.measure(["cnn-infer", "autograd"], ["tinymed", "JAX"], 1, 1, 0.01, lambda row: None)
    assert [row["engine"] for row in rows] == ["tinymed", "JAX"] * 3 + ["tinymed"]  # and their answers are equal
    assert " | – | " in report.table(rows, {"gflops": 100.0}).splitlines()[-1]


def row(workload, case, engine, flops=0.0):
    measured = {"ms": 1.0, "low": 1.0, "high": 2.0, "gflops": 5.0, "first_s": 0.1}
    return {"workload": workload, "case": case, "engine": engine, "flops": flops, "bytes": 1e6, **measured}


def test_pictures_are_drawn(tmp_path):
    engines = "tinymed", "PyTorch tuned"
    rows = [row("conv", "1x1", engine, 1e7) for engine in engines]
    grown = [row("growth batch", n, engine) for engine in engines for n in ("1", "4")]
    peaks = {"gflops": 100.0, "copy_gb_s": 10.0}
    report.draw(tmp_path, [], peaks, "nothing")
    assert not list(tmp_path.iterdir())
    report.draw(tmp_path, grown, peaks, "a machine")
    assert [path.name for path in tmp_path.iterdir()] == ["growth.png"]
    report.draw(tmp_path, rows + grown, peaks, "a machine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bars.png", "growth.png", "roofline.png"]
    assert all(path.stat().st_size > 5000 for path in tmp_path.iterdir())


def test_answers_that_differ_are_refused():
    with pytest.raises(ValueError, match="conv 1x1: b and a disagree: 2 against 1"):
        measure._compare("conv", "1x1", "a", [1.0, 5.0], "b", [2.0, 5.0])
    with pytest.raises(ValueError, match="disagree"):
        measure._compare("softmax", "1 MB", "a", [1e-3, 1e-3], "b", [1e-3, 2e-3])
    measure._compare("conv", "1x1", "a", [1.0, 5.0], "b", [1.001, 5.0])


def test_a_wrong_answer_has_no_row(monkeypatch):
    compare, complaints = measure._compare, []

    def compared(workload, case, first, want, engine, got):
        compare(workload, case, first, want, engine, [2 * n for n in got] if engine == "tinymed numpy" else got)

    monkeypatch.setattr(measure, "_compare", compared)
    engines = ["tinymed", "tinymed numpy"]
    rows = measure.measure(["autograd"], engines, 1, 1, 0.01, id, complain=complaints.append)
    assert [row["engine"] for row in rows] == ["tinymed"]
    assert len(complaints) == 1
    assert "tinymed numpy and tinymed disagree" in complaints[0]


def test_what_fails_is_told_and_ends_neither_the_worker_nor_the_rest(monkeypatch):
    worker = measure.Worker("tinymed", 1, "cpu")
    with pytest.raises(ValueError, match="bench: matmul none: tinymed: KeyError: 'none'"):
        worker.ask(workload="matmul", case="none", seconds=0.01)
    assert worker.ask(workload="matmul", case="128", seconds=0.01)["times"]
    monkeypatch.setattr(measure, "LIMIT", 0.2)
    with pytest.raises(ValueError, match="bench: growth image 224: tinymed: the worker ended"):
        worker.ask(workload="growth image", case="224", seconds=60)
    with pytest.raises(ValueError, match="the worker ended"):
        worker.ask(workload="matmul", case="128", seconds=0.01)
    worker.close()
    monkeypatch.setattr(measure, "LIMIT", 60)
    monkeypatch.setitem(measure.ENGINES, "broken", ("no_such_library", {}))
    complaints = []
    rows = measure.measure(["autograd"], ["broken", "tinymed"], 1, 2, 0.01, id, complain=complaints.append)
    assert [row["engine"] for row in rows] == ["tinymed"]
    assert complaints == ["bench: autograd 1000 tiny ops: broken: the worker ended"]


def test_one_round_has_no_quartiles():
    one = {**row("conv", "1x1", "tinymed"), "high": 1.0}
    assert "| 1 |" in report.table([one], {"gflops": 100.0})
    assert "| 1 (1–2) |" in report.table([row("conv", "1x1", "tinymed")], {"gflops": 100.0})


def test_without_a_gpu_one_sentence(refused):
    if not tinymed.cuda.is_available():
        refused("no GPU can be used: ", "bench", "--device", "cuda")


def test_workloads_that_are_not_there(refused):
    refused("no workload is called 'growth'; there are: peak, copy, .*, ladder$", "bench", "growth", "--device", "cuda")
    refused("no workload is called 'import'", "bench", "import", "--device", "cuda")
    refused("no workload is called 'nosuch'; there are: .*matmul, .*import, ladder$", "bench", "nosuch")


def test_the_ladder_takes_few_options(refused):
    refused("ladder stands alone", "bench", "ladder", "conv")
    for option, value in (("engine", "tinymed"), ("rounds", 5), ("threads", 3), ("device", "cpu")):
        refused(f"ladder takes --seconds and --out only, not --{option}$", "bench", "ladder", f"--{option}", value)


def test_an_engine_that_is_not_there_says_what_it_lacks(refused, monkeypatch):
    monkeypatch.setattr(tinymed.cuda, "cupy", lambda: None)
    monkeypatch.setattr(measure, "engines", lambda device: ["tinymed"])
    ask = "bench", "--device", "cuda", "--engine"
    refused("no engine 'nonsense' here; there are: tinymed$", *ask, "nonsense")
    monkeypatch.setattr(measure, "find_spec", lambda package: package)
    refused("'PyTorch cuda' here: the PyTorch that is installed cannot use the GPU", *ask, "PyTorch cuda")
    monkeypatch.setattr(measure, "find_spec", lambda package: None)
    refused("'PyTorch cuda' here: PyTorch is not installed; there are: tinymed$", *ask, "PyTorch cuda")
    refused("'JAX' here: JAX is not installed; there are: tinymed$", "bench", "--engine", "JAX")


@pytest.mark.parametrize("workload", [name for name in WORKLOADS if not name.startswith("growth")])
def test_every_workload_runs(workload):
    """The smallest of its cases, in this process."""
    case, about = min(WORKLOADS[workload].items(), key=lambda item: item[1].flops)
    assert isinstance(about, Case)
    found = about.make(tinymed)()
    assert all(np.isfinite(t.detach().numpy()).all() for t in found), case
