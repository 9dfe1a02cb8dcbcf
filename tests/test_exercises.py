"""Every exercise accepts a right answer and rejects each classic mistake, naming it."""

import inspect
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from tinymed.teach import WrongAnswer, check, race, trace
from tinymed.teach.check import Exercise, _run, exercise, exercises
from tinymed.teach.compare import described, difference, small
from tinymed.teach.race import TRACKS

ALL = exercises()
MISTAKES = [(e, hint) for e in ALL.values() for hint in e.mistakes]


@pytest.mark.parametrize("asked", ALL.values(), ids=ALL)
def test_the_right_answer_passes(asked, capsys):
    check(asked.name, asked.answer)
    assert capsys.readouterr().out.startswith(f"{asked.name}: right, in ")
    assert asked.task
    assert asked.mistakes, "what do students get wrong here?"


@pytest.mark.parametrize(("asked", "hint"), MISTAKES, ids=lambda v: getattr(v, "name", None) or v[:40])
def test_each_classic_mistake_is_caught_and_named(asked, hint):
    with pytest.raises(WrongAnswer) as caught:
        check(asked.name, asked.mistakes[hint])
    assert str(caught.value).endswith(f"Hint: {hint}")


@pytest.mark.parametrize("asked", ALL.values(), ids=ALL)
def test_zeros_of_the_right_shape_are_caught(asked):
    def zeros(**case):
        out = asked.answer(**case)
        return tuple(y * 0 for y in out) if isinstance(out, tuple) else out * 0

    with pytest.raises(WrongAnswer):
        check(asked.name, zeros)


def test_the_first_wrong_element_is_named():
    with pytest.raises(
        WrongAnswer, match=r"conv2d_single, case 1 of 6 \(x 3x3, w 2x2\): y\[1, 0\] is 67\.5, expected 67 "
    ):
        check("conv2d_single", _one_wrong)


def test_other_ways_of_being_wrong():
    with pytest.raises(WrongAnswer, match=r"y has shape \(3, 3\), expected \(2, 2\)"):
        check("conv2d_single", lambda x, w: x)
    with pytest.raises(WrongAnswer, match="raised IndexError"):
        check("conv2d_single", lambda x, w: x[9])
    with pytest.raises(WrongAnswer, match="called with the arguments x, w"):
        check("conv2d_single", lambda x: x)
    with pytest.raises(WrongAnswer, match="changed its argument x"):
        check("conv2d_single", lambda x, w: x.__imul__(2))
    with pytest.raises(WrongAnswer, match="returns 2 thing"):
        check("conv2d_single", lambda x, w: (x, w))
    for name in ("conv2d_single", "edge_strength"):
        with pytest.raises(WrongAnswer, match=r"\): your function returned None: is a return missing\?"):
            check(name, lambda *_, **__: None)
    with pytest.raises(NotImplementedError):
        check("conv2d_single", _not_written)
    with pytest.raises(TypeError, match="takes the function that you wrote"):
        check("conv2d_single", np.zeros(3))
    with pytest.raises(ValueError, match="did you mean 'conv2d_single'"):
        check("conv2d_singel", None)
    with pytest.raises(TypeError, match=r"the name of an exercise, as text; got an int$"):
        check(3, _not_written)


@pytest.mark.parametrize("returned", [[[1, 2], [3]], [[1.0, None], [2.0, 3.0]]])
def test_what_is_no_array_is_not_called_an_error_of_the_students_function(returned):
    with pytest.raises(WrongAnswer, match=r"\): y holds no numbers but object; .* rows of different lengths\?\n"):
        check("conv2d_single", lambda x, w: returned)


def test_complex_numbers_are_wrong():
    with pytest.raises(WrongAnswer, match=r"y holds complex numbers, expected real ones\n"):
        check("conv2d_single", lambda x, w: exercise("conv2d_single").answer(x, w) + 1j)


def test_the_failing_case_can_be_repeated():
    with pytest.raises(WrongAnswer) as caught:
        check("conv2d_single", _one_wrong)
    wrong = caught.value
    assert list(wrong.case) == ["x", "w"]
    right = exercise("conv2d_single").answer(**wrong.case)
    assert np.sum(_one_wrong(*wrong.case.values()) != right) == 1
    assert len(trace.function(_one_wrong, *wrong.case.values())) > 1
    assert str(wrong).splitlines()[0].endswith("(1 of 4 elements is wrong)")
    assert re.fullmatch(r"  x = \[\[[\d, ]+\], \[[\d, ]+\], \[[\d, ]+\]\]", str(wrong).splitlines()[1])
    assert WrongAnswer("no").case == {}


def _one_wrong(x, w):
    y = exercise("conv2d_single").answer(x, w)
    y[1, 0] += 0.5
    return y


def test_a_case_is_described_in_pythons_words():
    assert described({"count_include_pad": False, "b": None, "stride": 2, "x": np.ones((2, 3))}) == (
        "count_include_pad False, b None, stride 2, x 2x3"
    )
    assert small({"x": np.arange(12.0).reshape(3, 4) / 2, "y": np.ones(13), "z": np.ones(2)}) == (
        "\n  x = [[0, 0.5, 1, 1.5], [2, 2.5, 3, 3.5], [4, 4.5, 5, 5.5]]"
    )


@pytest.mark.parametrize(
    ("body", "end"),
    [
        ("return x", r"Answer: conv2d_single, case 1 of 6 \(.*"),
        ("y = 1\n    return x[9]", r": your function raised IndexError at line 5 of mine\.py: index 9 .*"),
        ("raise NotImplementedError('Exercise 1.2')", r"NotImplementedError: Exercise 1\.2"),
    ],
)  # fmt: skip
def test_a_traceback_begins_at_the_students_line_and_passes_one_line_of_ours(tmp_path, body, end):
    mine = f"from tinymed.teach import check\n\ndef mine(x, w):\n    {body}\n\ncheck('conv2d_single', mine)\n"
    (tmp_path / "mine.py").write_text(mine)
    done = subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert sum("check.py" in line for line in lines) == 1
    assert lines[1].endswith("in <module>")
    assert "mine.py" in lines[1]
    assert "During handling" not in done.stderr
    assert "direct cause" not in done.stderr
    assert re.search(end, done.stderr)


def test_an_unknown_exercise_is_met_with_three_names():
    with pytest.raises(ValueError, match="did you mean") as caught:
        exercise("quantum entanglement")
    assert len(re.findall(r"'\w+'", str(caught.value))) == 3


def test_a_list_of_numbers_is_several_outputs_where_several_are_asked_for():
    asked = Exercise("pair", 0, "", lambda a: (a, 2 * a), lambda rng: [{"a": 1.5}], outputs=("a", "b"))
    assert difference(asked, _run(asked, lambda a: [a, 2 * a], {"a": 1.5}), _run(asked, asked.answer, {"a": 1.5})) == ""
    assert "returns 1 thing" in difference(asked, _run(asked, lambda a: a, {"a": 1.5}), [np.ones(()), np.ones(())])


def _bad_tensors(a, b):
    return (a * a + b * b).detach().numpy()


def _changing_tensors(a, b):
    a.detach().numpy()[...] = 0
    return (a * a + b * b).sqrt()


def test_wrong_in_an_exercise_that_takes_tensors():
    with pytest.raises(WrongAnswer, match=r"\): it must return a tensor, .*; got an ndarray"):
        check("edge_strength", _bad_tensors)
    with pytest.raises(WrongAnswer, match=r"changed its argument a; work on a copy, a\.clone\(\)"):
        check("edge_strength", _changing_tensors)


def test_an_answer_is_run_once_a_case(capsys):
    """What it prints comes once, however many mistakes it is compared with."""
    calls = []

    def noted(x, w):
        calls.append(x)
        return -exercise("conv2d_single").answer(x, w)

    with pytest.raises(WrongAnswer, match="case 1 of 6"):
        check("conv2d_single", noted)
    assert len(calls) == 6


def _not_written(x, w):
    raise NotImplementedError("Exercise 1.2")


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("matmul", lambda a, b: a @ b),
        ("max_pool2d", lambda x: x.reshape(*x.shape[:2], 16, 2, 16, 2).max((3, 5))),
        ("conv2d", lambda x, w: np.einsum("ncijuv,ocuv->noij", _windows(x), w)),
    ],
)
def test_a_race_ranks_every_backend(name, answer, capsys):
    ranking = race(name, answer, seconds=0.01)
    assert {who for who, _ in ranking} >= {"yours", "reference", "numpy"}
    assert [took for _, took in ranking] == sorted(took for _, took in ranking)
    assert dict(ranking)["reference"] > dict(ranking)["yours"], "plain loops are slower than NumPy"
    assert "yours" in capsys.readouterr().out


def _windows(x):
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))


def test_a_race_is_for_right_answers():
    with pytest.raises(WrongAnswer, match="make it right first"):
        race("matmul", lambda a, b: a @ b + 1)
    with pytest.raises(WrongAnswer, match=r"shape \(\), expected .* first: check\('conv2d_im2col', …\)$"):
        race("conv2d", lambda x, w: None)
    with pytest.raises(WrongAnswer, match="no array"):
        race("matmul", lambda a, b: [[1], [2, 3]])
    with pytest.raises(ValueError, match="there are conv2d, max_pool2d, matmul"):
        race("lstm", None)


def test_a_cure_is_an_exercise_that_there_is():
    for name, track in TRACKS.items():
        with pytest.raises(WrongAnswer) as caught:
            race(name, lambda **_: 0)
        for named in re.findall(r"check\('(\w+)'", str(caught.value)):
            assert list(inspect.signature(exercise(named).answer).parameters) == list(track()[0])


def test_an_answer_must_stay_right_while_it_is_timed():
    calls = []

    def once(a, b):
        calls.append(a)
        return a @ b if len(calls) == 1 else None

    with pytest.raises(WrongAnswer, match=r"the first call was right, and a later one gives shape \(\)"):
        race("matmul", once, seconds=0.01)


def test_an_answer_that_zeroes_its_arguments_is_caught_and_harms_nobody_else():
    def product(a, b):
        y = a @ b
        a[...] = 0
        return y

    with pytest.raises(WrongAnswer, match="other numbers; does it change its arguments"):
        race("matmul", product, seconds=0.01)


def test_a_slow_answer_is_not_zero_times_as_fast(capsys):
    def slow(a, b):
        time.sleep(0.05)
        return a @ b

    race("matmul", slow, seconds=0.01)
    race("matmul", lambda a, b: a @ b, seconds=0.01)
    assert re.search(r"reference .* [1-9][\d,.]+ times as slow", capsys.readouterr().out)
