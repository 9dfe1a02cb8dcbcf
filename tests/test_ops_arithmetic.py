"""Arithmetic, elementwise functions and reductions against PyTorch: one row an op."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import tinymed

POSITIVE = np.array([[0.3, 1.0, 2.5], [4.0, 0.1, 7.0]])
TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
BYTES = np.array([[0, 200, 7], [255, 0, 3]], np.uint8)
A, B = (2, 3), (3,)

BINARY = {
    "add": (lambda t, a, b: a + b, A, B),
    "add alpha": (lambda t, a, b: t.add(a, b, alpha=2), A, A),
    "sub": (lambda t, a, b: a - b, A, (2, 1)),
    "sub alpha": (lambda t, a, b: t.sub(a, b, alpha=3), A, A),
    "mul": (lambda t, a, b: a * b, (4, 1, 3), A),
    "div": (lambda t, a, b: a / b, A, POSITIVE),
    "one minus": (lambda t, a: 1 - a, A),
    "one over": (lambda t, a: 1 / a, POSITIVE),
    "two to the": (lambda t, a: 2**a, A),
    "neg": (lambda t, a: -a, A),
    "square": (lambda t, a: a**2, A),
    "power of a number": (lambda t, a: a**-1.5, POSITIVE),
    "power zero": (lambda t, a: a**0, A),
    "power": (lambda t, a, b: a**b, POSITIVE, A),
    "maximum": (lambda t, a, b: t.maximum(a, b), A, B),
    "minimum": (lambda t, a, b: t.minimum(a, b), A, B),
    "where": (lambda t, c, a, b: t.where(c, a, b), np.array([True, False, True]), A, B),
    "where number": (lambda t, c, a: t.where(c, a, 0.0), np.array([True, False, True]), A),
    "0-d": (lambda t, a, b: a * b + b, (), A),
    "itself": (lambda t, a: a * a + a / 2, A),
    "numbers of NumPy": (lambda t, a: [a * np.float64(1.5), a + np.int64(2), a ** np.float64(2), a / np.sqrt(3)], A),
    "numbers of NumPy and integers": (lambda t, a: [a * np.float64(1.5), a + np.int64(2)], np.array([1, 2], np.int32)),
    "of bytes": (lambda t, a, b: [t.minimum(a, b), t.maximum(a, b), t.minimum(a, b > 3)], BYTES, BYTES[::-1].copy()),
    "of bools": (lambda t, a: [t.minimum(a > 3, a > 7), (a > 3).amin(), (a > 3).max()], BYTES),
    "floor and remainder from the right": (lambda t, a: [7 // a, 7.5 % a], np.array([2, 3])),
}
UNARY = {
    "exp": (lambda t, x: t.exp(x), A),
    "log": (lambda t, x: t.log(x), POSITIVE),
    "log1p": (lambda t, x: x.log1p(), POSITIVE),
    "sqrt": (lambda t, x: t.sqrt(x), POSITIVE),
    "rsqrt": (lambda t, x: t.rsqrt(x), POSITIVE),
    "sin cos": (lambda t, x: t.sin(x) + t.cos(x), A),
    "abs": (lambda t, x: abs(x), A),
    "square of": (lambda t, x: t.square(x), A),
    "clamp": (lambda t, x: x.clamp(-0.5, 0.5), A),
    "clamp min": (lambda t, x: x.clamp(min=0.1), A),
    "clamp max": (lambda t, x: t.clamp(x, max=0.1), A),
    "clamp integers": (lambda t, x: [x.clamp(0.5, 1.5), x.clamp(min=1), x.clamp(np.float64(0.5))], np.array([0, 1, 2])),
    "clamp by numbers of NumPy": (lambda t, x: x.clamp(np.float64(-0.5), np.float64(0.5)), A),
    "clone": (lambda t, x: x.clone(), A),
    "float of integers": (lambda t, x: t.exp(x), np.array([1, 2])),
    "sign floor ceil round": (lambda t, x: [t.sign(x), t.floor(x), t.ceil(x), t.round(x)], A),
    "round half": (lambda t, x: t.round(x), np.array([0.5, 1.5, -2.5])),
    "tests": (lambda t, x: [t.isnan(x), t.isinf(x), t.isfinite(x)], np.array([1.0, np.inf, -np.inf, np.nan])),
}
S = (2, 3, 4)
REDUCTIONS = {
    "sum": (lambda t, x: x.sum(), S),
    "sum dim": (lambda t, x: x.sum(1), S),
    "sum dims": (lambda t, x: x.sum((0, -1), keepdim=True), S),
    "sum integers": (lambda t, x: [x.sum(), (x > 1).sum(0)], np.array([[1, 2], [3, 4]], np.int32)),
    "mean": (lambda t, x: x.mean(), S),
    "mean dims": (lambda t, x: x.mean((1, 2), keepdim=True), S),
    "var": (lambda t, x: x.var(), S),
    "var dim": (lambda t, x: x.var(1, correction=0, keepdim=True), S),
    "var dims": (lambda t, x: x.var((0, 2), correction=1), S),
    "std": (lambda t, x: x.std(-1), S),
    "of bytes reduced": (lambda t, x: [x.min(), x.amin(1), x.min(0), x.max(1), x.prod(1), x.sum()], BYTES),
    "amax": (lambda t, x: x.amax(1), S),
    "amax dims": (lambda t, x: x.amax((0, 2), keepdim=True), S),
    "amin": (lambda t, x: x.amin(), S),
    "max": (lambda t, x: x.max(), S),
    "max dim": (lambda t, x: x.max(1), S),
    "min dim keep": (lambda t, x: x.min(-1, keepdim=True), S),
    "max two": (lambda t, a, b: t.max(a, b), A, B),
    "argmax": (lambda t, x: [x.argmax(), x.argmax(1), x.argmin(0, keepdim=True)], S),
    "logsumexp": (lambda t, x: x.logsumexp(1), S),
    "logsumexp dims": (lambda t, x: t.logsumexp(x, (0, 2), keepdim=True), S),
    "cumsum": (lambda t, x: x.cumsum(1), S),
    "prod": (lambda t, x: x.prod(1), S),
    "prod all with 0": (lambda t, x: x.prod(), np.array([2.0, 0.0, 3.0])),
    "norm": (lambda t, x: [x.norm(), x.norm(1, 0), x.norm(float("inf"), 1)], A),
    "norm of other powers": (lambda t, x: [x.norm(3), x.norm(1.5, 1, keepdim=True), x.norm(0.5, (0, 1))], A),
    "all any": (lambda t, x: [(x > 0).all(), (x > 0).any(1), (x > 0).any((0, -1)), (x > 0).all([0])], A),
    "0-d reductions": (lambda t, x: [x.sum(), x.mean(), x.amax(), x.logsumexp(0), x.cumsum(0)], ()),
}
A_NAN = np.array([[1.0, np.nan], [0.0, -2.0]])


def test_equal_and_allclose_are_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    for b in (A_NAN, A_NAN + 1e-9, A_NAN + 1e-3, np.zeros((2, 2)), A_NAN[:, 0]):
        for a in (A_NAN, np.zeros((2, 2))):
            ours, theirs = (tinymed.tensor(a), tinymed.tensor(b)), (torch.tensor(a), torch.tensor(b))
            assert tinymed.equal(*ours) is torch.equal(*theirs)
            for nan in (False, True):
                assert ours[0].allclose(ours[1], equal_nan=nan) is theirs[0].allclose(theirs[1], equal_nan=nan)


ROWS = BINARY | UNARY | REDUCTIONS


@pytest.mark.parametrize("name", ROWS)
def test_op_is_pytorchs(as_torch, name):
    fn, *samples = ROWS[name]
    as_torch(fn, *samples, numeric=name != "round half")


TIED = {
    "maximum": lambda t, x: t.maximum(x, x.detach() * 1),
    "minimum": lambda t, x: t.minimum(x, x.detach() * 1),
    "amax": lambda t, x: x.amax(1),
    "amin": lambda t, x: x.amin((0, 1)),
    "max": lambda t, x: x.max(),
    "abs at 0": lambda t, x: (x - 2).abs(),
    "relu at 0": lambda t, x: t.relu(x - 2),
    "clamp at the bound": lambda t, x: x.clamp(2, 3),
    "norm at 0": lambda t, x: (x - x.detach()).norm(),
    "std of equal numbers": lambda t, x: x.std(1),
    "var of too few": lambda t, x: [x.var(1, correction=3), x.std(0, correction=2)],
    "norm 3 at 0": lambda t, x: (x - x.detach()).norm(3),
    "power zero": lambda t, x: (x * float("inf")) ** 0,
    "power of zero": lambda t, x: (x - x.detach()) ** (x - 2),
    "power at 0": lambda t, x: (x - 2) ** 2 + (x - 2) ** 1 + (x - 2) ** 0,
}


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero", "ignore:.*degrees of freedom")
@pytest.mark.parametrize("name", TIED)
def test_ties_and_edges_are_pytorchs(as_torch, name):
    as_torch(TIED[name], TIES, numeric=False)


def test_max_along_an_axis_gives_the_gradient_to_the_first_of_several():
    x = tinymed.tensor(TIES, requires_grad=True)
    x.max(1).values.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 1, 0], [1, 0, 0]])


def test_extremes_do_not_overflow(as_torch):
    far = np.array([[1000.0, -1000.0, 0.0], [-np.inf, -np.inf, -np.inf], [-np.inf, 1.0, 2.0]])
    as_torch(lambda t, x: t.logsumexp(x[:1], 1), far, numeric=False)
    as_torch(lambda t, x: t.logsumexp(x[2:], 1), far, numeric=False)
    assert tinymed.logsumexp(tinymed.tensor(far), 1).array[1] == -np.inf


@pytest.mark.parametrize("op", ["__add__", "__sub__", "__mul__", "__truediv__", "__pow__"])
def test_array_op_tensor_keeps_the_graph(op):
    array = np.array([1.0, 2.0, 3.0])
    x = tinymed.tensor([2.0, 0.5, 1.0], dtype=np.float64, requires_grad=True)
    operation = getattr(type(array), op)
    y = {"__add__": lambda: array + x, "__sub__": lambda: array - x, "__mul__": lambda: array * x,
         "__truediv__": lambda: array / x, "__pow__": lambda: array**x}[op]()  # fmt: skip
    assert isinstance(y, tinymed.Tensor)
    np.testing.assert_allclose(y.detach().numpy(), operation(array, x.detach().numpy()))
    y.sum().backward()
    assert x.grad.shape == (3,)


def test_array_matmul_and_comparison_with_tensor():
    x = tinymed.tensor([[1.0, 2.0]], requires_grad=True)
    y = np.ones((3, 1), np.float32) @ x
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[3, 3]])
    assert isinstance(np.array([[1.0, 3.0]]) == x, tinymed.Tensor)


def test_shapes_that_do_not_broadcast_are_named():
    with pytest.raises(ValueError, match=r"add: shapes \(2, 3\) and \(2,\)"):
        tinymed.zeros(2, 3) + tinymed.zeros(2)
    with pytest.raises(IndexError, match=r"sum: dim 2 .*\(2, 3\)"):
        tinymed.zeros(2, 3).sum(2)
    with pytest.raises(ValueError, match=r"sum: dim \(0, -2\) names an axis of shape \(2, 3\) twice"):
        tinymed.zeros(2, 3).sum((0, -2))
    with pytest.raises(ValueError, match="norm: p must be above 0"):
        tinymed.zeros(2).norm(0)
    with pytest.raises(TypeError, match="between tensors use maximum"):
        tinymed.zeros(2).clamp(tinymed.zeros(2))
    with pytest.raises(TypeError, match="mean"):
        tinymed.arange(3).mean()
    with pytest.raises(ValueError, match="amax"):
        tinymed.zeros(2, 0).amax(1)


QUICK = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@QUICK
@given(mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3, min_side=1), st.sampled_from("+-*/"))
def test_broadcasting_is_pytorchs(as_torch, shapes, sign):
    a, b = shapes.input_shapes
    rng = np.random.default_rng(1)
    ops = {
        "+": lambda t, a, b: a + b,
        "-": lambda t, a, b: a - b,
        "*": lambda t, a, b: a * b,
        "/": lambda t, a, b: a / b,
    }
    as_torch(ops[sign], a, np.asarray(rng.uniform(1, 2, b)), numeric=False)


@QUICK
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_reductions_are_pytorchs(as_torch, shape, data):
    dims = data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    keepdim = data.draw(st.booleans())
    dims = tuple(d - len(shape) if data.draw(st.booleans()) else d for d in dims)
    for name in ("sum", "mean", "amax", "amin", "logsumexp"):
        as_torch(lambda t, x, name=name: getattr(x, name)(dims, keepdim=keepdim), tuple(shape), numeric=False)
    as_torch(lambda t, x: x.var(dims, correction=0, keepdim=keepdim), tuple(shape), numeric=False)
