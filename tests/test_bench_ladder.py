"""tinymed bench ladder without a GPU: what there is to read, its tables and its pictures."""

from __future__ import annotations

import json
import sys

import pytest

from tinymed import cuda
from tinymed.bench import events, ladder, ladder_charts, ladder_peers
from tinymed.bench.ladder_kernels import LADDERS, row, rungs

LABELS = {
    "matmul": ["naive", "tiled", "registers", "vectors", "tensor cores", "gemm.cu, exact", "conv.cuh, TF32"],
    "conv": ["naive", "shared", "implicit gemm", "tensor cores", "conv.cu"],
}


@pytest.mark.parametrize("name", LADDERS)
def test_the_rungs_are_read_from_the_cuda_c(name):
    found = rungs(name)
    assert [rung.label for rung in found] == [f"{k} {label}" for k, label in enumerate(LABELS[name], 1)]
    for rung in found:
        assert rung.title
        assert rung.why.endswith(".")
        assert not {"Launch", "//", "\n"} & set(rung.why.split())
    for case in LADDERS[name]:
        for rung in found:
            says_so = "TF32" in rung.label or "tensor cores" in rung.title
            assert says_so == (rung.step in case.tf32)


def test_what_is_told_of_a_rung():
    first, *_, third = rungs("conv")[:3]
    assert (first.title, first.kernel) == ("a thread for each y", "conv_1_naive")
    assert first.why.startswith("Neighbouring threads have neighbouring o, so they write side by side")
    assert first.why.endswith("but by luck of the cache.")
    assert third.title.endswith('while it is fetched ("implicit GEMM")')
    assert rungs("matmul")[-1].kernel == ""


def test_flops_and_bytes():
    product, conv = LADDERS["matmul"][0], LADDERS["conv"][0]
    assert (product.name, product.flops, product.bytes) == ("512x512x512", 2 * 512**3, 12 * 512**2)
    assert conv.name == "(32,64,56,56) * (64,64,3,3)"
    assert conv.flops == 2 * 32 * 64 * 56 * 56 * 64 * 9
    assert conv.bytes == 4 * (2 * 32 * 64 * 56 * 56 + 64 * 64 * 9)


def test_without_a_gpu_there_is_what_to_read(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cuda, "missing", lambda: "it is at the menders")
    ladder.main(None, 0.1)
    told = capsys.readouterr().out
    assert told.rstrip().endswith("nothing is measured: it is at the menders")
    assert told.count("not measured") == sum(map(len, LABELS.values()))
    assert "7 conv.cuh, TF32: copies beside the tensor cores" in told
    with pytest.raises(ValueError, match="no figures without a GPU: it is at the menders"):
        ladder.main(tmp_path / "out", 0.1)
    assert not (tmp_path / "out").exists()


def invented(libraries=True):
    """Rows: each rung twice as fast as the one before, the library ten times as fast as the last."""
    rows = []
    for name, cases in LADDERS.items():
        for case in cases[-2:]:
            rows += [
                row(name, case, r.label, r.step in case.tf32, case.flops / 2**r.step / 1e9, 1e-7) for r in rungs(name)
            ]
            for tf32, kind in ladder.KINDS.items() if libraries else ():
                label, gflops = f"{ladder.PEERS[name]} {kind}", 320e3 if tf32 else 64e3
                rows.append(row(name, case, label, tf32, case.flops / gflops / 1e6, 1e-7, library=True))
    about = {"card": "a card", "copy_gb_s": 1000.0, "left_out": {} if libraries else {"cuDNN TF32": "why"}}
    ladder.compare(rows, about)
    return rows, about


def test_shares_of_the_library_and_of_the_roof():
    rows, about = invented()
    assert (about["gflops_float32"], about["gflops_TF32"]) == (pytest.approx(64e3), pytest.approx(320e3))
    found = {(r["ladder"], r["case"], r["label"]): r for r in rows}
    first = found["matmul", "8192x8192x8192", "1 naive"]
    assert (first["gflops"], first["of_peer"], first["of_roof"]) == pytest.approx((2000, 2 / 64, 2 / 64))
    fifth = found["conv", "(32,64,56,56) * (64,64,3,3)", "5 conv.cu"]
    assert fifth["of_peer"] == pytest.approx(32 / 320)
    assert fifth["of_roof"] == pytest.approx(32e3 / (1000 * fifth["flops"] / fifth["bytes"]))  # memory is the roof here
    told = ladder.table("conv", rows).splitlines()
    assert {line.count("|") for line in told} == {9}
    assert len(told) == 2 + 2 * (5 + 2)
    assert told[2].startswith("| (32,64,56,56) * (64,64,3,3) | 1 naive | a thread for each y | ")
    assert told[2].endswith("| 2000 | 3% | 3% | 1.0e-07 |")


@pytest.mark.parametrize("libraries", [True, False])
def test_pictures_and_json(tmp_path, libraries):
    rows, about = invented(libraries)
    assert "2000 |  |  | 1.0e-07" in ladder.table("matmul", rows) or libraries
    ladder.save(tmp_path, rows, about)
    assert json.loads((tmp_path / "ladder.json").read_text(encoding="utf-8")) == {"about": about, "rows": rows}
    assert all(path.stat().st_size > 5000 for path in tmp_path.glob("*.png"))
    assert len(list(tmp_path.glob("*.png"))) == 2
    assert len(ladder_charts.MARKERS) >= max(map(len, LABELS.values()))


def test_a_library_that_is_not_there_says_why(monkeypatch):
    monkeypatch.setattr(ladder_peers, "__name__", "tinymed.bench.no_such_file")
    rows, why = ladder_peers.ask("conv", False, 0.01)
    assert rows == []
    assert why == f"{sys.executable}: No module named tinymed.bench.no_such_file"


def test_the_clock_of_the_host():
    log = []
    times = events.wall(lambda: log.append("."), 0.002, lambda: log.append("|"))
    assert "".join(log) == ".|..|" + ".|" * len(times)
    assert all(ms > 0 for ms in times)
