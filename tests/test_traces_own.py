"""Traces of functions that a student wrote: every way of writing one, and nothing done twice."""

import functools
import sys

import numpy as np
import pytest

import tinymed
from tinymed.teach import trace


def my_sum(x):
    total = 0.0
    for v in x:
        if v > 0:
            total += v * v
    return total


def test_a_function_of_ones_own():
    t = trace.function(my_sum, [1.0, -2.0, 3.0])
    codes = ["total = 0.0", "if v > 0", "total += v * v", "if v > 0", "if v > 0", "total += v * v", "return total"]
    assert [step.code for step in t] == codes
    assert [step.result for step in t] == [0.0, True, 1.0, False, True, 10.0, 10.0]
    assert t[-2].numbers == "1 + 3 · 3"
    assert t[-1].places == "return total"
    assert t.final["total"] == 10


def drawing(x, stack):
    y = np.zeros(2)
    for i in range(2):
        y[i] = (
            x[i]
            + next(stack)
        )  # fmt: skip
        if next(stack) > 0:
            y[i] -= 1
    size: int = len(x)
    return y / size


def test_nothing_is_done_twice_and_statements_may_be_long():
    t = trace.function(drawing, [1.0, 2.0], iter([20, -1, 10, 1]))
    assert (t.final["y"] == [21, 11]).all()
    assert [step.places for step in t] == [
        "y = zeros(2)", "y[0] = x[0] + next(stack)", "y[1] = x[1] + next(stack)", "y[1] -= 1", "size = len(x)",
        "return y / size",
    ]  # fmt: skip
    assert t[-1].result == [10.5, 5.5]


def gathered(x, at):
    total = 0.0
    for k in range(len(at)):
        total += x[at[k]]
    return total


def test_indices_stay_whole_numbers():
    t = trace.function(gathered, [1.0, 2.0, 4.0], np.array([2, 0]))
    assert t[-1].result == 5
    assert t[1].places == "total += x[2]"


def test_what_has_no_source_is_refused():
    with pytest.raises(ValueError, match="the source of zeros cannot be read"):
        trace.function(np.zeros, 3)


def forever(x):
    while True:
        x[0] = x[0] + 1


def fails(x):
    y = x + 1
    return y / 0


def test_too_long_and_failing_functions_leave_python_as_it_was():
    before = sys.gettrace()
    with pytest.raises(ValueError, match="more than 5000 steps; trace a smaller input"):
        trace.function(forever, [0.0])
    with pytest.raises(ZeroDivisionError) as caught:
        trace.function(fails, 1.0)
    assert caught.value.__notes__ == ["the last steps before it: y = x + 1"]
    assert sys.gettrace() is before


def test_the_caller_keeps_his_arrays():
    x = np.zeros(2)
    trace.function(my_sum, x)
    trace.adam(x, [[1.0, 1.0]])
    assert (x == 0).all()


# ---------------------------------------------------------------- a trace changes nothing, and says what was meant


def turned(x):
    y = x.T * 2
    y[2, 0] = 99.0
    return y


def every_other():
    y = np.arange(6.0)[::2]
    y[2] = 1.0
    return y


def reinterpreted(x):
    y = x.view(np.int64)
    y[0] = 0
    return x


def from_an_iterator(x):
    it = iter(x)
    a = list(it)[-1]
    return a


def with_out(x):
    if np.add(x, 1, out=x)[0] > 2:
        x[1] = 0
    np.multiply(x, 3, out=x)
    x.sort()
    return x


def by_windows(x, w):
    y = np.zeros((2, 2))
    for i in range(2):
        for j in range(2):
            window = x[i : i + 2, j : j + 2]
            y[i, j] = np.sum(window * w)
    return y


def slices(x):
    x[1:] += x[:-1]
    x[x > 4] = 0
    return x


def of_expressions(x):
    y = (x * 2)[0]
    z = (-x)[0]
    return y + z


def names_again(x):
    y = x * 2
    y = y[:2] * 3
    y = np.zeros(7)
    y = y[0]
    return y


def caught(x):
    z = 5.0
    try:
        z = x[9]
    except IndexError:
        z = 2.0
    with np.errstate(all="ignore"):
        return z


def targets(x):
    a = b = x[0]
    *_rest, last = x
    (c, d), e = (1.0, 2.0), 3.0
    y, s = x * 2, 1.0
    huge = 10**400
    z = 1j * x
    return (a + b + last + c + d + e + s + y[0] + (huge > 0) + z.real[0]).item()


def sorted_by_halves(x):
    if len(x) < 2:
        return x
    a = sorted_by_halves(x[: len(x) // 2].copy())
    b = sorted_by_halves(x[len(x) // 2 :].copy())
    y = np.sort(np.concatenate([a, b]))
    return y


WEIGHTS = np.arange(3.0)


def of_a_global(x):
    y = x[0] * WEIGHTS[1]
    return y


def on_lists(x):
    squares = [v * v for v in x]
    while len(squares) > 1:
        squares.append(squares.pop() + squares.pop())
    total = squares[0]
    return total


def decorated(f):
    @functools.wraps(f)
    def inner(*args):
        return f(*args)

    return inner


@decorated
def wrapped(n):
    y = n + 1.0
    return y


OWN = [
    (turned, (np.arange(6.0).reshape(2, 3),), ["y[2,0] = 99.0"]),
    (every_other, (), ["y[2] = 1.0"]),
    (reinterpreted, (np.array([1.0, 2.0]),), ["x[0] = 0"]),
    (from_an_iterator, ([1.0, 2.0],), ["a = list(it)[-1]"]),
    (with_out, ([3.0, 1.0, 2.0],), ["multiply(x, 3, out=x)", "x.sort()"]),
    (by_windows, (np.arange(9.0).reshape(3, 3), np.eye(2)), ["window = x[0:2,1:3]", "y[0,1] = sum(x[0:2,1:3] · w)"]),
    (slices, (np.arange(6.0).reshape(3, 2),), ["x[1:3,:] += x[0:2,:]", "x[2,:] = 0"]),
    (of_expressions, ([1.0, 2.0],), ["y = (x · 2)[0]", "z = (-x)[0]"]),
    (names_again, ([1.0, 2.0, 3.0],), ["y′ = y[0:2] · 3", "y′′ = zeros(7)"]),
    (caught, ([1.0],), ["z = 5.0", "z = 2.0", "return z"]),
    (targets, ([1.0, 2.0, 3.0],), ["a, b = x[0]", "last = x", "c, d, e = ((1.0, 2.0), 3.0)"]),
    (sorted_by_halves, ([3.0, 1.0, 2.0],), ["return y"]),
    (of_a_global, ([2.0],), ["y = x[0] · WEIGHTS[1]"]),
    (on_lists, ([1.0, 2.0, 3.0],), ["total = squares[0]"]),
    (wrapped, (2.0,), ["y = n + 1.0"]),
]


@pytest.mark.parametrize(("function", "arguments", "said"), OWN, ids=lambda v: getattr(v, "__name__", None))
def test_a_trace_of_it_is_what_it_does(function, arguments, said):
    plain = function(*(np.array(a) if isinstance(a, list | np.ndarray) else a for a in arguments))
    t = trace.function(function, *arguments)
    places = [step.places for step in t]
    assert t[-1].code.startswith("return ")
    np.testing.assert_array_equal(t[-1].result, plain)
    for sentence in said:
        assert sentence in places


def one_line(x):
    if x > 1: x = 1.0  # fmt: skip # noqa: E701
    return x


def loop_in_a_line(x):
    for v in x: y = v  # fmt: skip # noqa: E701
    return y


def too_large(x):
    y = np.zeros((200, 200)) + x
    return y


def generator(x):
    for v in x:
        y = v
        yield y


def swallowing(x):
    for _ in range(10_000):
        try:
            x += 1
        except Exception:
            x = -1.0
    return x


@pytest.mark.parametrize(
    ("function", "argument", "sentence"),
    [
        (one_line, 1.0, "holds several statements"),
        (loop_in_a_line, [1.0], "holds several statements"),
        (too_large, 1.0, r"y has 40000 of them, in shape \(200, 200\)"),
        (generator, [1.0], "nothing in generator could be followed"),
        (lambda x: x + 1, 1.0, "could be followed|cannot be read"),
        (functools.partial(one_line, 1.0), 1.0, "of type partial"),
        (3, 1.0, "of type int"),
        (swallowing, 1.0, "more than 5000 steps"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_a_sentence(function, argument, sentence):
    with pytest.raises(ValueError, match=sentence):
        trace.function(function, argument)


def test_arguments_may_be_tensors():
    assert trace.function(my_sum, tinymed.tensor([2.0, -1.0]))[-1].result == 4
