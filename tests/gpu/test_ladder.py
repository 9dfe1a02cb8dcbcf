"""tinymed bench ladder: every rung as the command launches it, checked, and the timer with a clock of its own."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

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
    """A host that tells, and a device that does it later, in turn: a write takes it 100 ms, a call 7.

    A call takes the host `python` ms before its kernel is told; all else takes the host no time.
    """

    def __init__(self, python):
        self.python, self.host, self.device, self.log = python, 0, 0, ""

    def tell(self, what, ms):
        self.log += what
        self.device = max(self.device, self.host) + ms

    def call(self):
        self.host += self.python
        self.tell(".", 7)

    def synchronize(self):
        self.log += "|"
        self.host = max(self.host, self.device)

    def event(self, enable_timing=True):
        return Event(self)


class Event:
    """CuPy's and PyTorch's in one."""

    def __init__(self, clock):
        self.clock = clock

    def record(self):
        self.at = max(self.clock.device, self.clock.host)

    @property
    def done(self):
        return self.at <= self.clock.host

    def query(self):
        return self.done

    def elapsed_time(self, end):
        assert end.done, "asked before the device was done"
        return end.at - self.at


def timed(engine, clock, flush, stand_in, monkeypatch):
    """The times, and what the device was told in each batch; the batches have eight calls at most."""
    monkeypatch.setattr(events, "FLUSH", 64)
    monkeypatch.setattr(events, "AHEAD", 3)
    monkeypatch.setattr(events, "BATCH", 8)
    monkeypatch.setattr(events, "time", SimpleNamespace(perf_counter=lambda: clock.host / 1e3))
    if engine == "torch":
        of_torch = SimpleNamespace(Event=clock.event, synchronize=clock.synchronize)
        zeros = SimpleNamespace(zero_=lambda: clock.tell("w", 100))
        torch = SimpleNamespace(empty=lambda n, dtype, device: zeros, uint8=None, cuda=of_torch)
        monkeypatch.setitem(sys.modules, "torch", torch)
    else:
        monkeypatch.setattr(stand_in.ndarray, "fill", lambda *_: clock.tell("w", 100), raising=False)
        monkeypatch.setattr(stand_in.cuda, "Event", clock.event, raising=False)
        monkeypatch.setattr(stand_in.cuda, "get_elapsed_time", Event.elapsed_time, raising=False)
        monkeypatch.setattr("tinymed.cuda.synchronize", clock.synchronize)
    times = events.Timer(engine)(clock.call, 10.0, flush)
    warm, log = clock.log[:5], clock.log[5:]
    assert warm == ".|..|"
    assert log.endswith("|")
    return times, log.split("|")[:-1]


@pytest.mark.parametrize("engine", ["tinymed", "torch"])
@pytest.mark.parametrize(("flush", "batch"), [(True, "www" + "w." * 8), (False, "www" + "." * 8)])
def test_the_timer(stand_in, monkeypatch, engine, flush, batch):
    times, batches = timed(engine, Clock(python=1), flush, stand_in, monkeypatch)
    assert batches == [batch] * (len(times) // 8)
    assert len(times) > 8
    assert times == [7] * len(times)


@pytest.mark.parametrize("engine", ["tinymed", "torch"])
@pytest.mark.parametrize(("python", "flush", "calls"), [(80, True, 8), (130, True, 8), (250, True, 2), (250, False, 1)])
def test_the_timer_does_not_take_the_hosts_time_for_the_devices(stand_in, monkeypatch, engine, python, flush, calls):
    times, batches = timed(engine, Clock(python), flush, stand_in, monkeypatch)
    counts = [batch.count(".") for batch in batches]
    thrown = [8 >> k for k in range(4) if 8 >> k > calls]
    assert counts[: len(thrown)] == thrown
    assert set(counts[len(thrown) :]) == {calls}
    assert times == [7] * sum(counts[len(thrown) :])


def test_a_call_that_the_host_tells_too_slowly_is_timed_alone(stand_in, monkeypatch):
    times, batches = timed("tinymed", Clock(python=1000), True, stand_in, monkeypatch)
    assert [batch.count(".") for batch in batches] == [8, 4, 2][: len(batches) - len(times)] + [1] * len(times)
    assert times == [1000 - 400 + 7] * len(times)
