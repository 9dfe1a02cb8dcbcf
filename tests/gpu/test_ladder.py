"""tinymed bench ladder: every rung as the command launches it, checked, and the timer with a clock of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tinymed.bench import events, ladder, ladder_kernels
from tinymed.bench.ladder_kernels import Conv, Matmul, rungs
from tinymed.kernels import cupy_launch
from tinymed.kernels.shapes import conv_shape

SMALL = {
    "matmul": [Matmul(67, 132, 36), Matmul(128, 64, 8)],
    "conv": [Conv(conv_shape((2, 6, 11, 9), (10, 6, 3, 2), (2, 1), (1, 1), (1, 2), 1))],
}
CASES = [(name, case, rung) for name, cases in SMALL.items() for case in cases for rung in rungs(name)]


def timer(call, seconds, flush):
    call()
    return [2.0, 1.0, 3.0]


@pytest.fixture
def small(monkeypatch):
    """The command with small sizes, a clock that says what it likes, and libraries that are not there."""
    monkeypatch.setattr(ladder, "LADDERS", SMALL)
    monkeypatch.setattr(ladder, "COPY", 1 << 10)
    monkeypatch.setattr(ladder, "Timer", lambda engine: timer)
    monkeypatch.setattr(ladder, "ask", lambda *question: ([], "no such library"))
    monkeypatch.setattr(ladder, "card", lambda: {"card": "a card"})


@pytest.mark.parametrize(("name", "case", "rung"), CASES, ids=lambda v: getattr(v, "label", None))
def test_every_rung_computes_the_same(cp, name, case, rung):
    exact = rung.step not in case.tf32
    if not exact and not cupy_launch.tf32():
        pytest.skip("this GPU has no TF32")
    inputs = case.inputs()
    y = case.call(rung, *inputs)()
    assert y.dtype == np.float32
    error = ladder_kernels.error(y, case.truth(*inputs))
    assert error < ladder.LIMITS[not exact]
    assert exact or error > 1e-5  # so that it is no other


def test_the_rungs_that_a_gpu_has(stand_in, small, monkeypatch):
    rows = ladder.climb("conv", SMALL["conv"][0], timer, 0.1)
    assert [(row["label"], row["tf32"], row["ms"]) for row in rows] == [
        ("1 naive", False, 2.0),
        ("2 shared", False, 2.0),
        ("3 implicit gemm", False, 2.0),
        ("4 tensor cores", True, 2.0),
        ("5 conv.cu", True, 2.0),
    ]
    monkeypatch.setattr(cupy_launch, "tf32", lambda: False)
    assert len(ladder.climb("conv", SMALL["conv"][0], timer, 0.1)) == 3


def test_the_command(stand_in, small, tmp_path, capsys):
    ladder.main(tmp_path, 0.1)
    told = capsys.readouterr().out
    assert told.count("| 67x36x132 |") == 9  # seven rungs and two libraries
    assert told.count("not measured") == 2 * 3
    assert "cuDNN TF32 is left out: no such library" in told
    found = json.loads((tmp_path / "ladder.json").read_text(encoding="utf-8"))
    assert found["about"]["gflops_TF32"] is None
    assert [row["case"] for row in found["rows"]] == ["67x36x132"] * 7 + ["128x8x64"] * 7 + [SMALL["conv"][0].name] * 5
    assert all(0 < row["error"] < 1e-3 for row in found["rows"])
    assert {path.name for path in tmp_path.iterdir()} == {"ladder.json", "ladder.png", "ladder_roofline.png"}


def test_a_wrong_answer_is_told_after_all_is_written(stand_in, small, monkeypatch, tmp_path):
    monkeypatch.setattr(ladder, "LIMITS", {False: 1e-5, True: 1e-5})
    with pytest.raises(ValueError, match=r"5 tensor cores \(67x36x132\) by \d.\de-04"):
        ladder.main(tmp_path, 0.1)
    assert (tmp_path / "ladder.json").exists()


class Clock:
    """A device that is told things and notes them: a write takes 100 ms, a call 7."""

    def __init__(self):
        self.now, self.waited, self.log = 0, 0, ""

    def note(self, what, ms):
        self.log += what
        self.now += ms

    def event(self):
        clock = self

        class Event:
            def record(self):
                self.at = clock.now

        return Event()

    def elapsed(self, start, end):
        assert self.log.endswith("|"), "asked before the device was done"
        return end.at - start.at


@pytest.mark.parametrize(("flush", "batch"), [(True, "w.w.w.|"), (False, "www...|")])
def test_the_timer(stand_in, monkeypatch, flush, batch):
    clock = Clock()
    monkeypatch.setattr(events, "FLUSH", 64)
    monkeypatch.setattr(events, "BATCH", 3)
    monkeypatch.setattr(stand_in.ndarray, "fill", lambda *_: clock.note("w", 100), raising=False)
    monkeypatch.setattr(stand_in.cuda, "Event", clock.event, raising=False)
    monkeypatch.setattr(stand_in.cuda, "get_elapsed_time", clock.elapsed, raising=False)
    monkeypatch.setattr("tinymed.cuda.synchronize", lambda: clock.note("|", 0))
    times = events.Timer("tinymed")(lambda: clock.note(".", 7), 0.001, flush)
    assert times == [7] * len(times)
    warm, log = clock.log[:5], clock.log[5:]
    assert warm == ".|..|"
    assert log == batch * (len(times) // 3)
