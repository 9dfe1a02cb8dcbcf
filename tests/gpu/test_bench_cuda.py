"""tinymed bench --device cuda: each kind of case on the stand-in for CuPy, as on the CPU; what is made of the rows."""

from __future__ import annotations

import json
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tinymed
from tinymed.bench import card, crossover, cuda_report, cuda_workloads, engines, events, measure, worker
from tinymed.bench.cuda_workloads import adam, big_product, conv, copy, cross_entropy, own_gemm, pool, softmax
from tinymed.bench.engines import Engine
from tinymed.bench.workloads import Case, infer, product, recurrent, train

SMALL = {
    "train": partial(train, batch=2),
    "infer": partial(infer, batch=3),
    "product": partial(product, n=9),
    "big_product": partial(big_product, n=9),
    "conv": partial(conv, x=(2, 3, 8, 7), w=(4, 3, 3, 3), padding=1, gradient=False),
    "conv gradient": partial(conv, x=(2, 4, 8, 7), w=(4, 4, 3, 3), padding=1, gradient=True),
    "max_pool2d": partial(pool, name="max_pool2d", x=(2, 3, 8, 6), gradient=False),
    "avg_pool2d gradient": partial(pool, name="avg_pool2d", x=(2, 3, 8, 6), gradient=True),
    "softmax": partial(softmax, rows=2),
    "cross_entropy": partial(cross_entropy, rows=3, gradient=False),
    "cross_entropy gradient": partial(cross_entropy, rows=3, gradient=True),
    "adam": partial(adam, n=100),
    "recurrent": partial(recurrent, layer="LSTM", T=3, N=2, I=3, H=4),
    "own_gemm": partial(own_gemm, n=20),
    **{f"copy {how}": partial(copy, n=4096, how=how) for how in ("in", "pinned", "out", "on")},
}
ONLY_ON_A_GPU = "big_product", "own_gemm", "copy in", "copy pinned", "copy out", "copy on"


@pytest.mark.parametrize("name", SMALL)
def test_a_case_gives_on_a_gpu_what_it_gives_on_the_cpu(stand_in, monkeypatch, name):
    monkeypatch.setattr(engines, "WARM", 1)
    case = Case(SMALL[name])
    run = Engine("tinymed", "cuda").prepare(case)
    got = run()
    assert {t.device for t in got} == {"cpu" if name == "copy out" else "cuda:0"}
    here = Engine("tinymed", "cpu").prepare(case)
    assert (here is None) == (name in ONLY_ON_A_GPU)
    if here:
        measure._compare(name, "small", "CPU", worker.answer_of(here()), "GPU", worker.answer_of(got))


@pytest.mark.parametrize("name", [name for name in SMALL if name not in ONLY_ON_A_GPU])
def test_pytorch_runs_the_same_cases(name):
    """On the CPU: what differs on a GPU are devices."""
    pytest.importorskip("torch")
    got, want = (
        worker.answer_of(Engine(library, "cpu").prepare(Case(SMALL[name]))()) for library in ("torch", "tinymed")
    )
    measure._compare(name, "small", "tinymed", want, "PyTorch", got)


def test_every_kind_of_case_is_among_them():
    made = {case.make.func for cases in cuda_workloads.WORKLOADS.values() for case in cases.values()}
    assert made == {make.func for make in SMALL.values()}


def test_images_have_their_channels_last_in_memory_on_a_gpu(stand_in):
    x = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    there, here = Engine("tinymed", "cuda").tensor(x, True), Engine("tinymed", "cpu").tensor(x, True)
    assert there.array.transpose(0, 2, 3, 1).flags.c_contiguous
    assert here.array.flags.c_contiguous
    np.testing.assert_array_equal(there.detach().cpu().numpy(), here.detach().numpy())
    assert there.requires_grad
    assert there.is_leaf


def test_a_captured_case_is_recorded_once_and_replayed(stand_in, monkeypatch):
    log = []

    @contextmanager
    def graph(g):
        log.append("recording")
        yield
        log.append("recorded")

    def make(engine):
        return lambda: log.append("call")

    class Module:
        cuda = SimpleNamespace(
            CUDAGraph=lambda: SimpleNamespace(replay=lambda: log.append("replay")),
            graph=graph,
            synchronize=lambda: None,
            Stream=lambda: None,
            stream=nullcontext,
        )

    for library in ("tinymed", "torch") if measure.find_spec("torch") else ("tinymed",):
        engine = Engine(library, "cuda", "captured")
        engine.module = Module
        assert engine.prepare(Case(make)) is None  # not meant for it
        run = engine.prepare(Case(make, ways=("captured",)))
        run()
        run()
        assert log == ["call"] * engines.WARM + ["recording", "call", "recorded", "replay", "replay"]
        log.clear()


@pytest.mark.parametrize("name", ["train", "infer", "conv", "recurrent"])
def test_a_replay_gives_what_a_call_gives(stand_in, monkeypatch, name):
    monkeypatch.setattr(engines, "WARM", 1)
    case = Case(SMALL[name], ways=("captured",))
    eager, captured = (Engine("tinymed", "cuda", way).prepare(case) for way in ("", "captured"))
    for _ in range(2):
        want, got = worker.answer_of(eager()), worker.answer_of(captured())
        assert got == pytest.approx(want, rel=1e-5, abs=1e-6)


def test_a_worker_answers(stand_in, monkeypatch):
    case = Case(SMALL["product"], 2.0 * 9**3, 12.0 * 81, copied=(648.0, 324.0))
    monkeypatch.setitem(cuda_workloads.WORKLOADS, "matmul", {"9": case})
    monkeypatch.setattr(events, "Timer", lambda library: lambda run, seconds, flush: [run() and 0.5, 1.5, 2.0])
    ask = worker.Asked("tinymed:cuda", 1, "cuda")
    first, second = (json.loads(json.dumps(ask("matmul", "9", 0.001))) for _ in range(2))
    assert first["times"] == [0.5, 1.5, 2.0]
    assert len(first["wall"]) > 0
    assert first["answer"] == pytest.approx(second["last"])
    row = measure._measured(case, [first, second])
    assert (row["ms"], row["gflops"]) == (1.5, pytest.approx(2 * 9**3 / 1.5e6))
    assert (row["gb_s"], row["bytes_in"]) == (pytest.approx(972 / 1.5e6), 648)
    assert worker.Asked("tinymed:cuda captured", 1, "cuda")("matmul", "9", 0.001) is None


def test_a_card_says_what_it_is(stand_in, monkeypatch):
    about = {"name": b"H1", "major": 9, "minor": 0, "multiProcessorCount": 132, "totalGlobalMem": 80 << 30}
    runtime = stand_in.cuda.runtime
    monkeypatch.setattr(runtime, "getDeviceProperties", lambda device: about | {"l2CacheSize": 50 << 20}, raising=False)
    monkeypatch.setattr(runtime, "driverGetVersion", lambda: 13020, raising=False)
    monkeypatch.setattr(runtime, "runtimeGetVersion", lambda: 12090, raising=False)
    monkeypatch.setattr(card, "_driver", lambda: "580.1")
    found = card.card()
    assert (found["card"], found["compute_capability"], found["l2_mib"]) == ("H1", "9.0", 50)
    assert (found["driver"], found["driver_cuda"], found["cuda_runtime"]) == ("580.1", "13.2", "12.9")


# ---------------------------------------------------------------- rows and what is made of them


def row(workload, case, engine, ms, *, flops=0.0, moved=0.0, copied=(0.0, 0.0)):
    rates = {"gflops": flops / ms / 1e6, "gb_s": moved / ms / 1e6, "flops": flops, "bytes": moved}
    more = {"wall_ms": ms + 0.01, "bytes_in": copied[0], "bytes_out": copied[1], "first_s": 0.1}
    return {"workload": workload, "case": case, "engine": engine, "ms": ms, "low": ms, "high": ms, **rates, **more}


def invented():
    """A card of 100 TFLOP/s with TF32, 20 without, 2000 GB/s; a CPU of 0.5, and copies of 10 GB/s after 10 µs."""
    rows = []
    for workload, cases in cuda_workloads.WORKLOADS.items():
        for case, about in cases.items():
            for engine, rate, delay in (
                ("tinymed", 0.5e9, 0.0),
                ("tinymed cuda", 60e9, 0.05),
                ("tinymed cuda captured", 60e9, 0.01),
                ("tinymed cuda float32", 18e9, 0.05),
                ("PyTorch cuda", 100e9, 0.1),
                ("PyTorch cuda captured", 100e9, 0.02),
                ("PyTorch cuda float32", 20e9, 0.1),
            ):
                way = engine.split()[-1]
                if way in ("captured", "float32") and way not in about.ways:
                    continue
                if engine == "tinymed" and workload.split()[0] in ("peak", "copy", "gemm"):
                    continue
                ms = about.flops / rate + (about.bytes / 1.8e9 if rate > 1e9 else about.bytes / 2e7) + delay
                if workload.startswith("copy"):
                    ms = 0.01 + about.bytes / (3e7 if "pinned" in workload else 1e7)
                rows.append(row(workload, case, engine, ms, flops=about.flops, moved=about.bytes, copied=about.copied))
    return rows


def test_peaks_and_shares_of_the_roof():
    peaks = card.peaks(invented())
    assert peaks["gflops"] == pytest.approx(100e3, rel=0.03)
    assert peaks["float32_gflops"] == pytest.approx(20e3, rel=0.03)
    assert 1500 < peaks["copy_gb_s"] < 1800
    peaks = {"gflops": 1000.0, "float32_gflops": 100.0, "copy_gb_s": 10.0}
    assert card.of_roof(row("matmul", "9", "tinymed cuda", 1.0, flops=5e8), peaks) == pytest.approx(0.5)
    assert card.of_roof(row("matmul", "9", "tinymed cuda float32", 1.0, flops=5e7), peaks) == pytest.approx(0.5)
    assert card.of_roof(row("adam", "1 MB", "tinymed cuda", 1.0, moved=9e6), peaks) == pytest.approx(0.9)
    assert card.of_roof(row("adam", "1 MB", "tinymed cuda", 1.0, moved=9e6), {}) is None


def test_the_bars():
    assert all(bar.case in cuda_workloads.WORKLOADS[bar.workload] for bar in cuda_report.BARS)
    assert {e for bar in cuda_report.BARS for e in (bar.ours, bar.theirs)} <= {"", *measure.GPU_ENGINES}
    rows = [
        row("cnn-train", "batch 32", "tinymed cuda captured", 1.0),
        row("cnn-train", "batch 32", "PyTorch cuda", 4.0),
        row("cnn-train", "batch 32", "PyTorch cuda captured", 0.5),
        row("adam", "256 MB", "tinymed cuda", 1.0, moved=95e6),
    ]
    lines = cuda_report.bars_table(rows, {"copy_gb_s": 100.0}).splitlines()
    assert lines[2] == "| training, batch 32, captured, against eager | 4.00x | 3.00x | 5.00x | yes |"
    assert lines[3] == "| training, batch 32, both captured | 0.50x | 1.00x | 1.30x | no |"
    assert "| adam, 256 MB, of the card's copy | 95% | 80% | 90% | beyond |" in lines
    assert sum("not measured" in line for line in lines) == len(cuda_report.BARS) - 3
    assert "not measured" in cuda_report.bars_table(rows, {}).splitlines()[8]


def test_where_the_gpu_begins_to_pay():
    cpu = {"1": 1.0, "2": 2.0, "4": 4.0, "8": 8.0}
    assert crossover.pays_from(cpu, {"1": 0.5, "2": 3.0, "4": 3.0, "8": 3.0}) == "4"  # a win that does not last
    assert crossover.pays_from(cpu, {"1": 0.5, "2": 0.5, "4": 0.5}) == "1"
    assert crossover.pays_from(cpu, {"8": 9.0}) == "never"
    assert crossover.pays_from(cpu, {}) == "never"


def test_copies_between_and_beyond_those_measured():
    rows = [row("copy in", f"{n}", "tinymed cuda", n / 10 - 0.01, moved=n) for n in (10.0, 20.0)]
    found = [crossover.copy_ms(rows, "copy in", n) for n in (1.0, 10.0, 15.0, 40.0)]
    assert found == pytest.approx([1.0, 1.0, 1.5, 4.0])
    assert crossover.copy_ms(rows, "copy out", 1.0) is None
    case = {"copied": (20.0, 10.0)}
    rows += [row("copy out", "10", "tinymed cuda", 0.99, moved=10.0), row("matmul", "9", "tinymed", 3.0)]
    rows += [row("matmul", "9", "tinymed cuda", 0.49, **case)]
    lines = crossover.curves(rows, "matmul")
    assert lines == {
        "CPU": {"9": 3.0},
        "GPU": {"9": pytest.approx(0.5)},
        "GPU, with copies": {"9": pytest.approx(3.5)},
    }
    assert crossover.table(rows).splitlines()[2] == "| matmul | 9 | not measured | never | not measured |"


def test_a_table_and_pictures(tmp_path):
    rows = invented()
    peaks = card.peaks(rows)
    lines = cuda_report.table(rows, peaks).splitlines()
    assert len(lines) == 2 + sum(map(len, cuda_workloads.WORKLOADS.values()))
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
    assert "| conv | 1x1 |" in "\n".join(lines)
    cuda_report.draw(tmp_path, [], {}, "nothing")
    assert not list(tmp_path.iterdir())
    cuda_report.draw(tmp_path, rows, peaks, "a card")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bars.png", "crossover.png", "roofline.png"]
    assert all(path.stat().st_size > 5000 for path in tmp_path.iterdir())


def test_the_command_keeps_what_it_has_and_tells_what_failed(command, monkeypatch):
    rows = invented()

    def measured(names, engines, threads, rounds, seconds, say, device, complain):
        found = [dict(row) for row in rows if row["workload"] in names and row["engine"] in engines]
        if names == ["conv"]:
            complain("bench: conv 1x1: tinymed cuda: it fell over")
            assert {row["workload"] for row in json.loads(Path("a/bench.json").read_text())["rows"]} == {"peak"}
        return found

    monkeypatch.setattr(tinymed.cuda, "cupy", lambda: None)
    monkeypatch.setattr(measure, "engines", lambda device: list(measure.GPU_ENGINES))
    monkeypatch.setattr(measure, "measure", measured)
    monkeypatch.setattr(card, "card", lambda: {"card": "H1"})
    code, text, complaint = command("bench", "--device", "cuda", "conv", "--out", "a")
    fell = "bench: conv 1x1: tinymed cuda: it fell over"
    assert (code, complaint) == (2, f"{fell}\ntinymed: 1 failed, among them {fell}\n")
    assert "| conv, 64 of 64, 56x56 | 100% | 40% | 75% | beyond |" in text
    assert "| conv | first layer | first layer | not measured | not measured |" in text
    assert f"failed: {fell}" in text
    kept = json.loads(Path("a/bench.json").read_text())
    assert kept["about"]["failed"] == [fell]
    assert kept["about"]["card"] == "H1"
    assert {"gflops", "gb_s", "of_roof", "wall_ms"} <= kept["rows"][-1].keys()
    assert {path.name for path in Path("a").iterdir()} == {"bench.json", "bars.png", "roofline.png", "crossover.png"}
