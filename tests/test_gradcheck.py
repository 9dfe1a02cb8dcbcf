"""The gradient check is worth its name only if it notices broken gradients: here they are broken on purpose."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import tinymed
import tinymed.nn.functional as F
from tinymed.autograd import Function
from tinymed.gradcheck import GradcheckError, gradcheck
from tinymed.ops import (
    activation,
    arithmetic,
    conv,
    conv_transpose,
    elementwise,
    fused,
    index,
    join,
    loss,
    matmul,
    norm,
    order,
    pool,
    recurrent,
    reduce,
    shape,
)


def leaf(*size, seed=0):
    array = np.random.default_rng((seed, *size)).standard_normal(size)
    return tinymed.tensor(array, requires_grad=True)


def leaves_of_a_recurrent(k, states):
    T, N, I, H = 3, 2, 2, 3
    return [
        leaf(T, N, I),
        *(leaf(N, H, seed=s) for s in range(states)),
        leaf(k * H, I),
        leaf(k * H, H),
        leaf(k * H),
        leaf(k * H, seed=1),
    ]


CASES = {  # the Function, an expression that uses it, its inputs
    "add": (arithmetic.Add, tinymed.add, [leaf(3, 3), leaf(3)]),
    "sub": (arithmetic.Sub, tinymed.sub, [leaf(3, 3), leaf(3)]),
    "mul": (arithmetic.Mul, tinymed.mul, [leaf(3, 3), leaf(3)]),
    "div": (arithmetic.Div, lambda a, b: a / (b.exp()), [leaf(3, 3), leaf(3)]),
    "pow": (arithmetic.Pow, lambda a, b: a.exp() ** b, [leaf(3, 3), leaf(3)]),
    "maximum": (arithmetic.Maximum, tinymed.maximum, [leaf(3, 3), leaf(3)]),
    "minimum": (arithmetic.Minimum, tinymed.minimum, [leaf(3, 3), leaf(3)]),
    "exp": (elementwise.Exp, tinymed.exp, [leaf(3, 3)]),
    "matmul": (matmul.Matmul, tinymed.matmul, [leaf(3, 3), leaf(3, 3, seed=1)]),
    "linear": (matmul.Linear, F.linear, [leaf(3, 3), leaf(3, 3, seed=1), leaf(3)]),
    "einsum": (matmul.Einsum, lambda a, b: tinymed.einsum("ij,jk->ik", a, b), [leaf(3, 3), leaf(3, 3, seed=1)]),
    "sum": (reduce.Sum, lambda x: x.sum(1), [leaf(3, 3)]),
    "mean": (reduce.Mean, lambda x: x.mean(1), [leaf(3, 3)]),
    "var": (reduce.Var, lambda x: x.var(1), [leaf(3, 3)]),
    "amax": (order.Amax, lambda x: x.amax(1), [leaf(3, 3)]),
    "amin": (order.Amin, lambda x: x.amin(1), [leaf(3, 3)]),
    "std": (reduce.Std, lambda x: x.std(1), [leaf(3, 3)]),
    "norm": (reduce.Norm, lambda x: x.norm(3, 1), [leaf(3, 3)]),
    "gather": (index.Gather, lambda x: x.max(1).values, [leaf(3, 3)]),
    "logsumexp": (reduce.LogSumExp, lambda x: x.logsumexp(1), [leaf(3, 3)]),
    "cumsum": (reduce.Cumsum, lambda x: x.cumsum(1), [leaf(3, 3)]),
    "index": (index.Index, lambda x: x[[0, 0, 2]], [leaf(3, 3)]),
    "pad": (join.Pad, lambda x: F.pad(x, (1, 2)), [leaf(3, 3)]),
    "conv2d": (conv.Conv2d, lambda x, w, b: F.conv2d(x, w, b, 2, 1), [leaf(2, 2, 4, 4), leaf(2, 2, 3, 3), leaf(2)]),
    "conv_transpose2d": (
        conv_transpose.ConvTranspose2d,
        F.conv_transpose2d,
        [leaf(2, 2, 3, 3), leaf(2, 2, 3, 3, seed=1), leaf(2)],
    ),
    "max_pool2d": (pool.MaxPool2d, lambda x: F.max_pool2d(x, 2, 1), [leaf(1, 2, 3, 3)]),
    "avg_pool2d": (pool.AvgPool2d, lambda x: F.avg_pool2d(x, 2, padding=1), [leaf(1, 2, 3, 3)]),
    "relu": (activation.ReLU, F.relu, [leaf(3, 3)]),
    "sigmoid": (activation.Sigmoid, F.sigmoid, [leaf(3, 3)]),
    "tanh": (activation.Tanh, F.tanh, [leaf(3, 3)]),
    "gelu": (activation.GELU, F.gelu, [leaf(3, 3)]),
    "softmax": (activation.Softmax, lambda x: F.softmax(x, 1), [leaf(3, 3)]),
    "log_softmax": (activation.LogSoftmax, lambda x: F.log_softmax(x, 1), [leaf(3, 3)]),
    "standardize": (norm.Standardize, lambda x: F.batch_norm(x, None, None, training=True), [leaf(3, 3)]),
    "embedding": (norm.Embedding, lambda w: F.embedding(tinymed.tensor([0, 2, 0]), w), [leaf(3, 3)]),
    "nll_loss": (loss.NLL, lambda x: F.nll_loss(x, tinymed.tensor([0, 2, 1])), [leaf(3, 3)]),
    "cross_entropy": (loss.CrossEntropy, lambda x: F.cross_entropy(x, tinymed.tensor([0, 2, 1])), [leaf(3, 3)]),
    "bce_with_logits": (
        loss.BCEWithLogits,
        lambda x: F.binary_cross_entropy_with_logits(x, tinymed.eye(3)),
        [leaf(3, 3)],
    ),
    "bce": (loss.BCE, lambda x: F.binary_cross_entropy(x.sigmoid(), tinymed.eye(3)), [leaf(3, 3)]),
    "relu6": (activation.ReLU6, lambda x: F.relu6(6 * x), [leaf(3, 3)]),
    "leaky_relu": (activation.LeakyReLU, F.leaky_relu, [leaf(3, 3)]),
    "prelu": (activation.PReLU, F.prelu, [leaf(3, 3), leaf(3)]),
    "elu": (activation.ELU, F.elu, [leaf(3, 3)]),
    "softplus": (activation.Softplus, F.softplus, [leaf(3, 3)]),
    "neg": (arithmetic.Neg, tinymed.neg, [leaf(3, 3)]),
    "where": (arithmetic.Where, lambda a, b: tinymed.where(tinymed.eye(3) > 0, a, b), [leaf(3, 3), leaf(3)]),
    "abs": (elementwise.Abs, tinymed.abs, [leaf(3, 3)]),
    "clamp": (elementwise.Clamp, lambda x: x.clamp(-0.5, 0.5), [leaf(3, 3)]),
    "clone": (elementwise.Clone, tinymed.clone, [leaf(3, 3)]),
    "log": (elementwise.Log, lambda x: x.exp().log(), [leaf(3, 3)]),
    "log1p": (elementwise.Log1p, lambda x: x.exp().log1p(), [leaf(3, 3)]),
    "sqrt": (elementwise.Sqrt, lambda x: x.exp().sqrt(), [leaf(3, 3)]),
    "sin": (elementwise.Sin, tinymed.sin, [leaf(3, 3)]),
    "cos": (elementwise.Cos, tinymed.cos, [leaf(3, 3)]),
    "slice": (index.Slice, lambda x: x[1:, ::2], [leaf(3, 3)]),
    "cat": (join.Cat, lambda a, b: tinymed.cat([a, b]), [leaf(3, 3), leaf(3, 3, seed=1)]),
    "prod": (reduce.Prod, lambda x: x.prod(1), [leaf(3, 3)]),
    "reshape": (shape.Reshape, lambda x: x.reshape(9) * tinymed.arange(9.0), [leaf(3, 3)]),
    "permute": (shape.Permute, lambda x: x.T, [leaf(3, 3)]),
    "flip": (shape.Flip, lambda x: x.flip(0), [leaf(3, 3)]),
    "expand": (shape.Expand, lambda x: x.expand(3, 3), [leaf(3, 1)]),
    "conv2d_max_pool2d": (
        fused.Conv2dMaxPool2d,
        lambda x, w, b: fused.conv2d_max_pool2d(x, w, b, 1, 0, 1, 1, (2, 2), -2.0, 2.0),
        [leaf(2, 2, 6, 6), leaf(2, 2, 3, 3), leaf(2)],
    ),
    "rnn": (recurrent.RNN, recurrent.rnn, leaves_of_a_recurrent(1, 1)),
    "lstm": (recurrent.LSTM, recurrent.lstm, leaves_of_a_recurrent(4, 2)),
    "gru": (recurrent.GRU, recurrent.gru, leaves_of_a_recurrent(3, 1)),
}

BREAKS = {  # what a slip of the pen does to one gradient
    "zeroed": lambda g: np.zeros_like(g),
    "sign flipped": lambda g: -g,
    "halved": lambda g: g / 2,
    "a little too large": lambda g: g * 1.05,
    "transposed": lambda g: np.ascontiguousarray(g.swapaxes(-1, -2)),
    "shifted": lambda g: np.roll(g, 1),
    "one element lost": lambda g: g * (np.arange(g.size).reshape(g.shape) != np.abs(g).argmax()),
}


NOT_BROKEN = {"Reduction", "Cast", "Move", "Dropout"}  # no op of its own; no derivative but 1; drawn anew each time


def test_every_op_of_the_engine_is_broken_here():
    files = [m for m in vars(tinymed.ops).values() if inspect.ismodule(m) and m.__name__.startswith("tinymed.ops.")]
    ops = [op for file in files for op in vars(file).values() if isinstance(op, type)]
    functions = {op.__name__ for op in ops if issubclass(op, Function)} - {"Function"}
    assert functions - {op.__name__ for op, _, _ in CASES.values()} == NOT_BROKEN


@pytest.mark.parametrize("name", CASES)
def test_the_true_gradient_passes(name):
    _, fn, inputs = CASES[name]
    assert gradcheck(fn, inputs) is True


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("how", BREAKS)
def test_a_broken_gradient_is_noticed(name, how, monkeypatch):
    op, fn, inputs = CASES[name]
    true = op.backward
    places = [k for k, x in enumerate(true_gradients(op, fn, inputs)) if can_break(how, x)]
    assert places or how == "transposed"
    for place in places:

        def broken(ctx, *g, place=place):
            found = true(ctx, *g)
            found = list(found) if isinstance(found, tuple) else [found]
            found[place] = BREAKS[how](found[place])
            return tuple(found)

        monkeypatch.setattr(op, "backward", broken)
        with pytest.raises(GradcheckError):
            gradcheck(fn, inputs)


def true_gradients(op, fn, inputs):
    """What op's backward returns, seen from inside one sweep with a random cotangent."""
    seen = []

    def watched(ctx, *g, true=op.backward):
        found = true(ctx, *g)
        seen.append(found if isinstance(found, tuple) else (found,))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(op, "backward", watched)
        gradcheck(fn, inputs)
    return seen[0]


def can_break(how, g):
    """Whether the break changes this gradient at all: an absent one, or one transposed into another shape, no."""
    if g is None or (how == "transposed" and (g.ndim < 2 or g.shape[-1] != g.shape[-2])):
        return False
    return not np.allclose(BREAKS[how](g), g, rtol=5e-3, atol=1e-4)


def test_a_dropped_sum_over_the_batch_is_noticed(monkeypatch):
    linear = lambda ctx, g: (g @ ctx.w, g.T @ ctx.rows, g[0])  # noqa: E731
    monkeypatch.setattr(matmul.Linear, "backward", linear)
    with pytest.raises(GradcheckError, match="input 2"):
        gradcheck(F.linear, CASES["linear"][2])
    true = conv.Conv2d.backward
    monkeypatch.setattr(conv.Conv2d, "backward", lambda ctx, g: (*true(ctx, g)[:2], g[0].sum((1, 2))))
    with pytest.raises(GradcheckError, match="input 2"):
        gradcheck(CASES["conv2d"][1], CASES["conv2d"][2])


def test_a_softmax_whose_gradient_is_zero_does_not_slip_through(monkeypatch):
    # Σ softmax = 1: against a cotangent of ones its gradient is 0, and zeros would pass
    monkeypatch.setattr(activation.Softmax, "backward", lambda ctx, g: np.zeros_like(g))
    with pytest.raises(GradcheckError, match="Softmax"):
        gradcheck(lambda x: F.softmax(x, 1), leaf(2, 3))


def test_a_gradient_that_never_arrives_is_noticed(monkeypatch):
    with pytest.raises(GradcheckError, match=r"ratio     0.5"):
        gradcheck(lambda x: x * x.detach(), leaf(3))
    with pytest.raises(GradcheckError, match="analytic  0"):
        gradcheck(lambda x: (x * x).detach(), leaf(3))
    monkeypatch.setattr(arithmetic.Mul, "backward", lambda ctx, g: (None, g * ctx.a))
    with pytest.raises(GradcheckError):
        gradcheck(tinymed.mul, [leaf(3), leaf(3, seed=1)])


def test_large_inputs_are_checked_along_random_directions(monkeypatch):
    x = leaf(40, 40)
    assert gradcheck(tinymed.tanh, x)
    monkeypatch.setattr(activation.Tanh, "backward", lambda ctx, g: g * (1 - ctx.y))
    with pytest.raises(GradcheckError, match="random direction"):
        gradcheck(tinymed.tanh, x)


def test_the_message_says_where_and_how_wrong(monkeypatch):
    monkeypatch.setattr(arithmetic.Mul, "backward", lambda ctx, g: (g * ctx.b, g * ctx.a / 2))
    with pytest.raises(GradcheckError) as caught:
        gradcheck(tinymed.mul, [leaf(2, 3), leaf(2, 3, seed=1)])
    message = str(caught.value)
    for part in ("<Mul>", "input 1 of shape (2, 3)", "index [0, 0]", "numeric", "analytic", "ratio     0.5"):
        assert part in message


@pytest.mark.parametrize("at", [0.0, 3e-7, -8e-7])
def test_a_kink_is_told_from_a_wrong_gradient(at):
    x = tinymed.tensor(np.array([1.0, at]), requires_grad=True)
    with pytest.raises(GradcheckError, match=r"<ReLU> is not differentiable here .*index \[1\]"):
        gradcheck(F.relu, x)


def test_a_wrong_gradient_is_not_taken_for_a_kink(monkeypatch):
    monkeypatch.setattr(elementwise.Exp, "backward", lambda ctx, g: g)
    with pytest.raises(GradcheckError, match="wrong gradient"):
        gradcheck(tinymed.exp, tinymed.tensor(np.array([12.0]), requires_grad=True))


def test_a_random_function_is_noticed():
    with pytest.raises(GradcheckError, match="different results"):
        gradcheck(F.dropout, leaf(20))


def test_where_the_function_is_not_finite_it_says_so():
    with np.errstate(invalid="ignore"), pytest.raises(GradcheckError, match="<Log> gives nan here; move the input"):
        gradcheck(tinymed.log, tinymed.tensor(np.array([-1.0]), requires_grad=True))


def test_nan_never_passes(monkeypatch):
    monkeypatch.setattr(elementwise.Exp, "backward", lambda ctx, g: g * np.nan)
    with pytest.raises(GradcheckError):
        gradcheck(tinymed.exp, leaf(2))


def test_inputs_are_left_as_they_were():
    x = leaf(2, 3)
    before = x.detach().numpy().copy()
    x.grad = tinymed.ones(2, 3)
    gradcheck(lambda a, b, k: [a * b, a.sum(), a.argmax()][:k], [x, x, 3])
    np.testing.assert_array_equal(x.detach().numpy(), before)
    assert (x.grad.numpy() == 1).all()


def test_what_cannot_be_checked_is_refused():
    with pytest.raises(TypeError, match="input 0 is float32; only float64"):
        gradcheck(tinymed.exp, tinymed.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match="output 0 is float32"):
        gradcheck(lambda x: x.float(), leaf(2))
    with pytest.raises(TypeError, match="floating-point Tensor"):
        gradcheck(lambda x: x.argmax(), leaf(2))
    with pytest.raises(ValueError, match="no input requires grad"):
        gradcheck(tinymed.exp, tinymed.ones(2, dtype=np.float64))
    assert issubclass(GradcheckError, AssertionError)
