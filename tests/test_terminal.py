"""A trace in the terminal: what is drawn, how the keys walk it, and what a small screen leaves out."""

from __future__ import annotations

import re

import numpy as np
import pytest
from rich.console import Console

import tinymed
from tinymed.teach import Trace, trace
from tinymed.teach.frame import drawn, frame, marks, matrix
from tinymed.teach.steps import shown
from tinymed.teach.terminal import play

IMAGE = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def _graph(x, w):
    x, w = (tinymed.tensor(v, requires_grad=True) for v in (x, w))
    return trace.backward(((x * w).sum() - 1) ** 2, x=x, w=w)


def _masked_sum(x):
    y = np.zeros(1)
    for i in range(len(x)):
        if x[i] > 0:
            y[0] += x[i]
    return y


def _traces():
    r = np.random.default_rng(0)
    wide = r.normal(size=(3, 4)), r.normal(size=(16, 4)), r.normal(size=(16, 4))
    return {
        "conv": trace.conv2d(IMAGE, [[1, 0], [0, 1]], b=[0.5], g=1),
        "large": trace.conv2d(np.arange(100.0).reshape(10, 10), np.ones((9, 9)), g=1),
        "channels": trace.conv2d(r.normal(size=(2, 2, 3, 3)), r.normal(size=(2, 2, 2, 2))),
        "maxpool": trace.max_pool2d(IMAGE, 2, 1, g=1),
        "softmax": trace.softmax([1, 2, 3], g=[1, 0, 0]),
        "lstm": trace.lstm([1, 2], r.normal(size=(4, 1)), r.normal(size=(4, 1)), g=1),
        "wide": trace.lstm(*wide, g=1),
        "rnn": trace.article_rnn([1, 2, 3], [0], [[1, 1]], [1], [[2]], [1]),
        "adam": trace.adam([1.0], [[0.5], [0.2]]),
        "graph": _graph([1.0, 2.0], [3.0, 4.0]),
    }


TRACES = _traces()
each_trace = pytest.mark.parametrize("name", TRACES)


def _drawn(it, k, width=100, height=40):
    console = Console(width=width, height=height, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(frame(it, k))
    return capture.get()


def test_terminal_brackets_what_is_active():
    text = _drawn(TRACES["conv"], 7)
    assert " 1  2' 3'" in text
    assert " 4 (5) 6 " in text
    assert "6 [2]" in text
    assert "·  ·" in text
    for part in ("step 7 of 56", "forward", "y[at_y] += w[at_w] * x[at_x]", "kernels/reference.py:", "2 + 0 · 5 → 2"):
        assert part in text


@each_trace
def test_terminal_draws_what_is_read_and_written(name):
    it = TRACES[name]
    for k in range(1, len(it) + 1, 1 + len(it) // 200):
        text = _drawn(it, k)
        assert " ".join(it[k - 1].places.split()) in re.sub(r"\s+", " ", text) or len(it[k - 1].places) > 80
        assert {array for array, _ in (*it[k - 1].reads, *it[k - 1].writes)} <= set(drawn(it, k))
        for array, ids in it[k - 1].writes:
            assert f"[{shown(float(it.at(k)[array].flat[ids[0]]))}]" in text


def _walk(it, *keys):
    console = Console(width=100, height=40, color_system=None, force_terminal=False)
    with console.capture() as capture:
        k = play(it, keys, console)
    return k, capture.get()


RIGHT, LEFT, UP, DOWN = "\x1b[C", "\x1b[D", "\x1b[A", "\x1b[B"


def test_terminal_keys():
    it = TRACES["conv"]
    begins = [start + 1 for start in it.starts()]
    assert _walk(it)[0] == 1
    assert _walk(it, RIGHT, RIGHT, LEFT)[0] == 2
    assert _walk(it, LEFT, LEFT, LEFT)[0] == 0
    assert _walk(it, DOWN, DOWN)[0] == begins[2]
    assert _walk(it, "\x1b[6~", DOWN, UP)[0] == begins[1]
    assert _walk(it, "\x1b[F")[0] == _walk(it, "\x1b[F", RIGHT)[0] == len(it)
    assert _walk(it, "\x1b[F", "\x1b[H")[0] == 0
    assert _walk(it, "g", "1", "6", "\r")[0] == _walk(it, "1", "6", "\r")[0] == 16
    assert _walk(it, "g", "9", "9", "9", "\r")[0] == len(it)
    assert _walk(it, "g", "\r")[0] == 1
    assert _walk(it, "1", "g", "2", "\r")[0] == _walk(it, "²", "2", "\n")[0] == 2
    assert _walk(it, "1", "6", "\x7f", "2", "\r")[0] == 12
    assert _walk(it, RIGHT, "q", RIGHT)[0] == 2
    assert _walk(it, "?", "q", RIGHT)[0] == 2  # the first q closes the help
    assert "leave" in _walk(it, "?")[1]


def test_terminal_back_is_what_was_before():
    for name in ("conv", "lstm", "graph"):
        it = TRACES[name]
        frames = [_drawn(it, k) for k in range(len(it) + 1)]
        assert len(set(frames)) == len(frames)
        for k in reversed(range(len(it))):
            assert _drawn(it, k) == frames[k]


def test_without_a_terminal_the_steps_are_printed(capsys):
    it = TRACES["rnn"]
    assert play(it) == len(it)
    told = capsys.readouterr().out
    it.show()
    assert told == capsys.readouterr().out


@pytest.mark.parametrize("height", [18, 25])
@each_trace
def test_a_low_screen_shows_the_step_and_the_cell_written(name, height):
    it = TRACES[name]
    for k in range(0, len(it) + 1, 1 + len(it) // 100):
        text = _drawn(it, k, 80, height)
        assert len(text.splitlines()) <= height
        assert text.splitlines()[-1].startswith("← → a step")
        if k:
            step, flat = it[k - 1], re.sub(r"\s+", " ", text)
            for part in (step.code, step.places, step.numbers, f"→ {shown(step.result)}"):
                assert " ".join(part.split())[:60] in flat, (k, part)
            for array, ids in step.writes:
                assert f"[{shown(float(it.at(k)[array].flat[ids[0]]))}]" in text, (k, array)


def test_a_low_screen_drops_what_is_not_in_use_first():
    it, k = TRACES["wide"], 200
    used = {name for name, _ in (*it[k - 1].reads, *it[k - 1].writes)}
    high, low, least = (
        set(re.search(r"not drawn here: (.*)", _drawn(it, k, 160, height))[1].split(", ")) for height in (50, 20, 15)
    )
    assert high < low
    assert high < least
    assert used == {"gx", "da", "w_ih"}
    assert not used & least


def test_an_array_is_drawn_no_wider_than_the_screen():
    text = matrix("a", np.full((3, 16), -1.2345e-7), 10, {10: "write"}, width=40)
    assert max(line.cell_len for line in text.split("\n")) <= 40
    assert str(text).startswith("a[:,10:12]\n")
    assert "[-1.2345e-07]" in str(text)


def test_what_was_read_before_is_what_led_to_the_same_result():
    it = trace.function(_masked_sum, [1, 2, -1, 3])
    assert [it[k].code for k in it.starts()] == ["y = np.zeros(1)", "if x[i] > 0", "return y"]
    last = it.starts()[-1]
    assert marks(it, last)["x"] == {0: "window", 1: "window", 2: "window", 3: "read"}
    assert marks(it, last - 2)["x"] == {0: "window", 1: "window", 2: "read"}  # at a question in between, too
    for name in ("conv", "maxpool", "softmax", "lstm"):
        for k in TRACES[name].starts():
            assert "window" not in {mark for cells in marks(TRACES[name], k + 1).values() for mark in cells.values()}


def test_arrays_without_numbers_are_drawn():
    it = _graph(np.zeros(0), np.zeros(0))
    for k in range(len(it) + 1):
        assert "the graph of L" in _drawn(it, k)
    assert re.search(r"^x +w.*\n no numbers +no numbers", _drawn(it, 1), re.M)
    assert "no numbers" in _drawn(Trace("empty", {"x": np.ones((0, 3))}, []), 0)


def test_an_empty_trace_can_be_walked():
    assert _walk(Trace("nothing", {"x": np.ones(2)}, []), RIGHT, DOWN, UP)[0] == 0
