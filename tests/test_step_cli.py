"""tinymed step: every formula walks, and what the user got wrong is one sentence and exit code 2."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tinymed.cli.step import EXAMPLES, Given, find, numbers
from tinymed.teach import trace

NAMES = [example.names[0] for example in EXAMPLES]
NOTHING = dict.fromkeys(
    ["x", "w", "b", "g", "target", "window", "stride", "padding", "lr", "momentum", "nonlinearity", "seed"]
)


def _trace(name, **options):
    return find(name).make(Given({**NOTHING, "backward": True, **options}), trace)


@pytest.fixture
def said(command):
    """said(*arguments): what came out, of a command that ends well."""

    def run(*arguments):
        code, text, complaint = command("step", *arguments)
        assert (code, complaint) == (0, "")
        return text

    return run


def test_without_a_name_it_lists_them(said):
    text = said()
    assert re.findall(r"^  (\w+) ", text, re.M) == NAMES
    assert "conv          4.1.1" in text


@pytest.mark.parametrize("name", NAMES)
def test_each_example_walks(name, said):
    text = said(name)
    assert " → " in text
    assert re.search(r"^(forward|update): ", text)


def test_aliases():
    for names in (("conv", "conv2d"), ("maxpool", "max_pool2d", "max-pool2d"), ("fc", "linear"), ("graph", "backward")):
        assert len({id(find(name)) for name in names}) == 1


def test_the_articles_numbers():
    np.testing.assert_array_equal(_trace("conv").final["y"][0, 0], [[6, 8], [12, 14]])
    np.testing.assert_array_equal(_trace("maxpool").final["y"][0, 0], [[5, 6], [8, 9]])
    rnn = _trace("rnn").final
    np.testing.assert_allclose(rnn["h"][:, 0], [0.8808, 0.9798, 0.9932], atol=5e-5)
    np.testing.assert_allclose(rnn["y"][:, 0], [0.9406, 0.9507, 0.9520], atol=5e-5)


def test_options_reach_the_formula():
    it = _trace("conv", x="1 2; 3 4", w="2", padding=1, stride=2, b="1")
    np.testing.assert_array_equal(it.final["y"][0, 0], [[1, 1], [1, 9]])
    assert _trace("maxpool", window=3).final["y"].item() == 9
    assert _trace("fc", x="1 1", w="1 2; 3 4", b="10 20").final["y"].tolist() == [[13, 27]]
    assert {step.phase for step in _trace("relu", backward=False)} == {"forward"}
    assert _trace("matmul", g="1 0; 0 0").final["ga"].tolist() == [[5, 7], [0, 0]]
    np.testing.assert_allclose(_trace("sgd", x="1", g="1; 1", lr=0.5).final["p"], [1 - 0.5 - 0.5 * 1.9])
    assert _trace("crossentropy", target="0").final["t"].tolist() == [[0]]
    assert _trace("lstm", x="1 2; 3 4", w="; ".join(["1 0 1"] * 4)).final["hs"].shape == (2, 1, 1)
    np.testing.assert_allclose(_trace("sgd", x="1", g="1; 1", lr=0.5, momentum=0.0).final["p"], [0])
    np.testing.assert_allclose(_trace("sgd", x="1", g="1; 1").final["p"], [1 - 0.1 - 0.1 * 1.9])
    assert _trace("bptt", x="2 1", w="2 2", nonlinearity="relu").final["hs"].ravel().tolist() == [4, 10]
    np.testing.assert_allclose(_trace("bptt", x="2", w="2 2").final["hs"].item(), np.tanh(4))


@pytest.mark.parametrize("name", ["maxpool", "avgpool"])
def test_windows_stand_side_by_side_unless_told_otherwise(name, said):
    four = "1 2 3 4; 5 6 7 8; 9 10 11 12; 13 14 15 16"
    apart, overlapping = _trace(name, x=four).final["y"], _trace(name, x=four, stride=1).final["y"]
    np.testing.assert_array_equal(
        apart[0, 0], {"maxpool": [[6, 8], [14, 16]], "avgpool": [[3.5, 5.5], [11.5, 13.5]]}[name]
    )
    np.testing.assert_array_equal(apart, overlapping[:, :, ::2, ::2])
    assert re.search(rf"{name} .*--stride 1", said())  # of the example's image they overlap, as the article has it
    np.testing.assert_array_equal(_trace(name).final["y"], _trace(name, stride=1).final["y"])


def test_a_seed_gives_other_numbers_of_the_same_shape():
    plain, one, same, other = (_trace("conv", seed=s).arrays["x"] for s in (None, 1, 1, 2))
    assert plain.shape == one.shape
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    assert (one != plain).any()


def test_numbers():
    assert numbers("--x", "1 2; 3 4").tolist() == numbers("--x", "1,2;3, 4").tolist() == [[1, 2], [3, 4]]
    assert numbers("--x", "-1 2e3").tolist() == [-1, 2000]
    assert numbers("--x", "1 2;").tolist() == [[1, 2]]


def test_html_and_text(said):
    assert said("conv", "--html", "conv.html") == "Written to conv.html: open it in a browser\n"
    assert "<!doctype html>" in Path("conv.html").read_text(encoding="utf-8")
    both = said("conv", "--html", "conv.html", "--text")
    assert both.endswith(said("conv", "--text"))
    assert both.startswith("Written")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("convv", "no formula is called 'convv'; did you mean conv?"),
        ("xyzzy", "`tinymed step` lists all"),
        ("relu --w 1", "relu takes no --w; it takes --x, --g, --backward/--no-backward"),
        ("rnn --no-backward", "rnn takes no --backward/--no-backward"),
        ("sgd --backward", "sgd takes no --backward"),
        ("conv --window 2", "conv takes no --window"),
        ("adam --momentum 0.5", "adam takes no --momentum; it takes --x, --g, --lr"),
        ("rnn --nonlinearity relu", "rnn takes no --nonlinearity"),
        ("bptt --nonlinearity sin", "'sin' is not one of 'tanh', 'relu'"),
        ("--x 1", "name a formula first"),
        ("conv --x 1,2;3", "--x: row 2 has 1 number(s) and row 1 has 2"),
        ("conv --x 1,a", "--x: 'a' is no number"),
        ("conv --x 1;;2", "--x: row 2 is empty"),
        ("conv --x=", "--x: row 1 is empty"),
        ("conv --stride 0", "'--stride'"),
        ("conv --padding -1", "'--padding'"),
        ("conv --w 1,2,3,4", "kernel is larger"),
        ("conv --g 1 --no-backward", "--g is what comes back"),
        ("conv --g 1,2", "g is ∂L/∂y and must have y's shape"),
        ("lstm --w 1", "must be 4x2, got 1x1"),
        ("bptt --w 1,1 --b 1,2", "expected 1 numbers, one for each row of --w, got 2"),
        ("rnn --w 1,1,1", "W_h must be 1x2"),
        ("crossentropy --target 7", "expected 1 class(es) from 0 to 2"),
        ("crossentropy --target 0.5", "--target: expected 1 whole number(s)"),
        ("adam --g 1,2,3", "needs 2 number(s), got 3"),
        ("graph --x 1", "multiplied number by number"),
        ("conv --html nowhere/conv.html", "nowhere/conv.html: no such file or directory"),
    ],
)
def test_what_is_wrong_is_one_sentence(command, arguments, complaint):
    code, text, told = command("step", *arguments.split())
    assert (code, text) == (2, "")
    assert told.count("\n") == 1
    assert complaint in told


def test_help_has_an_example(said):
    text = said("-h")
    assert "\n  tinymed step conv" in text
    assert "--backward / --no-backward" in text
    assert "Learning rate.  [the example's: 0.1]" in text


@pytest.mark.parametrize("leave", [b"q", b"\x03", b"\x04"], ids=["q", "Ctrl-C", "Ctrl-D"])
def test_the_terminal_is_left_as_it_was_and_no_key_is_lost(leave):
    pty, termios = pytest.importorskip("pty", reason="needs a POSIX terminal"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    command = [sys.executable, "-m", "tinymed", "step", "conv"]
    run = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm"})

    def told(until=b""):
        """What it writes, up to where it waits for a key."""
        text, end = b"", time.monotonic() + 30
        while select.select([ours], [], [], 0.5)[0] or (until not in text and time.monotonic() < end):
            text += os.read(ours, 4096) if select.select([ours], [], [], 0)[0] else b""
        return text

    try:
        text = told(until=b"step 1 of 48")
        os.write(ours, b"\x1b[C\x1b[C")  # two at once, as a key held down sends them
        text += told(until=b"step 3 of 48")
        for _ in range(30):  # quicker than frames are drawn
            os.write(ours, b"\x1b[C")
            time.sleep(0.002)
        text += told(until=b"step 33 of 48")
        os.write(ours, leave)
        text += told(until=b"\x1b[?1049l")
        assert run.wait(20) == 0
    finally:
        run.kill()
        run.wait()
    assert b"step 3 of 48" in text
    assert b"step 33 of 48" in text
    assert b"stopped" not in text
    assert termios.tcgetattr(theirs) == before
    assert text.count(b"\x1b[?1049h") == text.count(b"\x1b[?1049l") == 1  # the other screen, entered and left
    assert text.rindex(b"\x1b[?25h") > text.rindex(b"\x1b[?25l")  # the cursor is shown again
