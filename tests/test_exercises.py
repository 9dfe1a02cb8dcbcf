"""Every exercise accepts a right answer and rejects each classic mistake, naming it."""

import numpy as np
import pytest

from tinymed.teach import WrongAnswer, check, race
from tinymed.teach.check import exercise, exercises

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
    def one_wrong(x, w):
        y = exercise("conv2d_single").answer(x, w)
        y[1, 0] += 0.5
        return y

    with pytest.raises(
        WrongAnswer, match=r"conv2d_single, case 1 of 5 \(x 3x3, w 2x2\): y\[1, 0\] is 12\.5, expected 12 "
    ):
        check("conv2d_single", one_wrong)


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
    with pytest.raises(WrongAnswer, match="holds no numbers"):
        check("conv2d_single", lambda x, w: None)
    with pytest.raises(NotImplementedError):
        check("conv2d_single", _not_written)
    with pytest.raises(TypeError, match="takes the function that you wrote"):
        check("conv2d_single", np.zeros(3))
    with pytest.raises(ValueError, match="did you mean 'conv2d_single'"):
        check("conv2d_singel", None)


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
    with pytest.raises(ValueError, match="there are conv2d, max_pool2d, matmul"):
        race("lstm", None)
