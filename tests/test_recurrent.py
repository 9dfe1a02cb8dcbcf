"""Recurrent sequences: kernels against their plain loops, the article's numbers, ops against PyTorch."""

from __future__ import annotations

import math
import re
import warnings

import numpy as np
import pytest

import tinymed
from tinymed.kernels import numpy_recurrent, reference_recurrent
from tinymed.kernels.reference_recurrent import article_rnn
from tinymed.ops import recurrent

KINDS = {"rnn": 1, "lstm": 4, "gru": 3}
SIZES = [(1, 1, 1, 1), (4, 3, 2, 5), (5, 1, 3, 2), (1, 2, 4, 3), (3, 2, 5, 1)]  # T, N, I, H


def numbers(kind, T, N, I, H, dtype=np.float64, seed=0):
    """x, states, weights of one layer and a gradient for each of its sequences, as arrays."""
    rng = np.random.default_rng(seed)
    k = KINDS[kind]
    shapes = [(T, N, I), (N, H), *([(N, H)] if kind == "lstm" else [])]
    shapes += [(k * H, I), (k * H, H), (k * H,), (k * H,)]
    grads = [(T, N, H)] * (2 if kind == "lstm" else 1)
    inputs, grads = ([rng.standard_normal(s).astype(dtype) for s in part] for part in (shapes, grads))
    return inputs, grads


def forward_and_back(module, kind, inputs, grads, nonlinearity="tanh"):
    """Every result of the kernel and of its gradient kernel."""
    if kind == "rnn":
        x, h0, w_ih, w_hh, _, _ = inputs
        hs = module.rnn(*inputs, nonlinearity)
        return hs, *module.rnn_grad(*grads, x, h0, hs, w_ih, w_hh, nonlinearity)
    if kind == "lstm":
        x, h0, c0, w_ih, w_hh, _, _ = inputs
        kept = module.lstm(*inputs)
        return *kept, *module.lstm_grad(*grads, x, h0, c0, *kept, w_ih, w_hh)
    x, h0, w_ih, w_hh, _, _ = inputs
    kept = module.gru(*inputs)
    return *kept, *module.gru_grad(*grads, x, h0, *kept, w_ih, w_hh)


def assert_alike(results, wanted, tolerance):
    for result, want in zip(results, wanted, strict=True):
        assert result.shape == want.shape
        np.testing.assert_allclose(result, want, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- kernels


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_numpy_kernels_agree_with_the_plain_loops(kind, sizes, dtype):
    inputs, grads = numbers(kind, *sizes, dtype)
    for nonlinearity in ("tanh", "relu") if kind == "rnn" else ("tanh",):
        fast = forward_and_back(numpy_recurrent, kind, inputs, grads, nonlinearity)
        plain = forward_and_back(reference_recurrent, kind, inputs, grads, nonlinearity)
        assert {a.dtype for a in (*fast, *plain)} == {np.dtype(dtype)}
        assert_alike(fast, plain, 1e-12 if dtype == np.float64 else 1e-4)


def test_lstm_kernels_take_no_gradient_of_the_memory():
    inputs, (gh, gc) = numbers("lstm", 4, 3, 2, 5)
    for module in (numpy_recurrent, reference_recurrent):
        without = forward_and_back(module, "lstm", inputs, (gh, None))
        assert_alike(without, forward_and_back(module, "lstm", inputs, (gh, np.zeros_like(gc))), 0)
        assert not np.allclose(without[3], forward_and_back(module, "lstm", inputs, (gh, gc))[3])


@pytest.mark.parametrize("kind", KINDS)
def test_numpy_kernels_take_read_only_and_strided_arrays_and_leave_them_alone(kind):
    inputs, grads = numbers(kind, 4, 3, 2, 5)
    wanted = forward_and_back(numpy_recurrent, kind, inputs, grads)
    odd = [[np.asfortranarray(np.flip(a, 0))[::-1] for a in part] for part in (inputs, grads)]
    for a in (*odd[0], *odd[1]):
        a.flags.writeable = False
    assert_alike(forward_and_back(numpy_recurrent, kind, *odd), wanted, 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_large_numbers_saturate_without_a_warning(kind):
    inputs, grads = numbers(kind, 3, 2, 2, 3, np.float32)
    inputs = [a * 1000 for a in inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for module in (numpy_recurrent, reference_recurrent):
            assert all(np.isfinite(a).all() for a in forward_and_back(module, kind, inputs, grads))


# ---------------------------------------------------------------- the article's example (4.2.3)

ONES = [[1, 1], [1, 1]]
TWO_STATES = [[1, 0, 1], [0, 1, 1]]  # a 2-vector h and a number x need W_h 2x3; this one runs two scalar RNNs


@pytest.mark.parametrize(
    ("h0", "W_h", "b_h", "W_y", "b_y"),
    [(0, [[1, 1]], [1], [[2]], [1]), ([0, 0], TWO_STATES, [1, 1], ONES, [1, 1])],
    ids=["scalar state", "the scalar written twice"],
)
def test_the_article_s_rnn_example(h0, W_h, b_h, W_y, b_y):
    def first_units(**how):
        h, y = article_rnn([1, 2, 3], h0, W_h, b_h, W_y, b_y, **how)
        assert (h == h[:, :1]).all()
        assert (y == y[:, :1]).all()
        return h[:, 0].round(4).tolist(), y[:, 0].round(4).tolist()

    exact = [0.8808, 0.9798, 0.9932], [0.9406, 0.9507, 0.9520]
    rounded = [0.8808, 0.9820, 0.9933], [0.9526] * 3
    assert first_units() == exact
    assert first_units(carry=round) == rounded
    # what the article prints, 1 for each: right only after rounding to a whole number
    assert {round(value) for values in (*exact, *rounded) for value in values} == {1}


def test_the_article_s_shapes_do_not_fit_each_other():
    with pytest.raises(ValueError, match=re.escape("W_h must be 2x3 and b_h 2; got W_h 2x2")):
        article_rnn([1, 2, 3], [0, 1], ONES, [1, 1], ONES, [1, 1])
    with pytest.raises(ValueError, match=re.escape("W_h must be 1x2 and b_h 1; got W_h 2x2")):
        article_rnn([1, 2, 3], 0, ONES, [1, 1], ONES, [1, 1])
    with pytest.raises(ValueError, match=re.escape("W_y must be 2x2")):
        article_rnn([1, 2, 3], [0, 0], TWO_STATES, [1, 1], [[1, 1, 1]] * 2, [1, 1])


def test_the_article_s_form_is_the_rnn_s_with_its_weights_side_by_side():
    (x, h0, w_ih, w_hh, b_ih, b_hh), _ = numbers("rnn", 4, 1, 2, 3)
    W_y, b_y = np.ones((2, 3)), np.zeros(2)
    W_h = np.concatenate([w_hh, w_ih], axis=1)
    h, y = article_rnn(x[:, 0], h0[0], W_h, b_ih + b_hh, W_y, b_y, activation=math.tanh)
    np.testing.assert_allclose(h, numpy_recurrent.rnn(x, h0, w_ih, w_hh, b_ih, b_hh, "tanh")[:, 0])
    np.testing.assert_allclose(y, np.tanh(h @ W_y.T + b_y))


# ---------------------------------------------------------------- ops against PyTorch, step by step


def torch_steps(kind, nonlinearity, x, *rest):
    """The sequence as torch's cells make it: every h_t and, for the LSTM, every c_t."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    weights, states = rest[-4:], rest[:-4]
    states, steps = states if kind == "lstm" else states[0], []
    cell = getattr(torch, f"rnn_{nonlinearity}_cell" if kind == "rnn" else f"{kind}_cell")
    for x_t in x:
        states = cell(x_t, states, *weights)
        steps.append(states if kind == "lstm" else (states,))
    return [torch.stack(sequence) for sequence in zip(*steps)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("kind", "nonlinearity"), [(k, "tanh") for k in KINDS] + [("rnn", "relu")])
def test_ops_agree_with_torch_in_value_and_every_gradient(kind, nonlinearity, sizes, dtype, tolerance):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    inputs, grads = numbers(kind, *sizes, dtype)
    ours = [tinymed.tensor(a, requires_grad=True) for a in inputs]
    theirs = [torch.tensor(a, requires_grad=True) for a in inputs]
    how = {"nonlinearity": nonlinearity} if kind == "rnn" else {}
    outputs = getattr(recurrent, kind)(*ours, **how)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    wanted = torch_steps(kind, nonlinearity, *theirs)
    sum((out * g).sum() for out, g in zip(outputs, map(tinymed.tensor, grads))).backward()
    sum((out * g).sum() for out, g in zip(wanted, map(torch.tensor, grads))).backward()
    assert_alike([t.array for t in outputs], [t.detach().numpy() for t in wanted], tolerance)
    assert_alike([t.grad.array for t in ours], [t.grad.numpy() for t in theirs], tolerance)


def test_a_gradient_may_come_through_the_memory_alone_or_not_at_all():
    inputs, (gh, gc) = numbers("lstm", 4, 3, 2, 5)
    zero = np.zeros_like(gh)
    for k, grads in enumerate([(gh, zero), (zero, gc)]):
        leaves = [tinymed.tensor(a, requires_grad=True) for a in inputs]
        recurrent.lstm(*leaves)[k].backward(grads[k])
        *wanted, gb = forward_and_back(numpy_recurrent, "lstm", inputs, grads)[3:]
        assert_alike([leaf.grad.array for leaf in leaves], [*wanted, gb, gb], 1e-12)


def test_ops_name_what_does_not_fit():
    tensors = [tinymed.tensor(a) for a in numbers("lstm", 4, 3, 2, 5)[0]]
    for k, named in enumerate(["x (T,N,I)", "h0", "c0", "w_ih", "w_hh", "b_ih", "b_hh"]):
        wrong = [t[:0] if j == k else t for j, t in enumerate(tensors)]
        with pytest.raises(ValueError, match=re.escape(named)):
            recurrent.lstm(*wrong)
        wrong = [t.float() if j == k else t for j, t in enumerate(tensors)]
        with pytest.raises(TypeError, match=f"float32.*{'w_ih' if k == 0 else named}|{named} is float32"):
            recurrent.lstm(*wrong)
    with pytest.raises(ValueError, match="'sin'"):
        recurrent.rnn(*(tinymed.tensor(a) for a in numbers("rnn", 4, 3, 2, 5)[0]), nonlinearity="sin")
