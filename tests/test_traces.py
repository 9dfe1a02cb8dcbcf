"""Traces: the twin's own run, step by step; where it ends is where the engine ends."""

import ast
import inspect

import numpy as np
import pytest

import tinymed
import tinymed.nn.functional as F
from tinymed import nn, optim
from tinymed.kernels import reference, reference_activation, reference_optim, reference_recurrent
from tinymed.ops import recurrent
from tinymed.teach import formulas, trace

RNG = np.random.default_rng(0)
TABLES = [
    formulas.CONV2D, formulas.MAX_POOL2D, formulas.AVG_POOL2D, formulas.LINEAR, formulas.MATMUL, formulas.SOFTMAX,
    formulas.CROSS_ENTROPY, formulas.ARTICLE_RNN, formulas.RNN, formulas.LSTM, formulas.SGD, formulas.ADAM,
]  # fmt: skip
TWINS = {name: lines for table in TABLES for name, lines in table.items()}
SILENT = {  # statements of twins that fill cells and are no step: what leads up to one, or only keeps what was computed
    "where[at], best = cells[0]", "where[at], best = number, cell", "gates[t, n, j::H] = i, f, g, o",
    "p[i] = (1 - lr * weight_decay) * p[i]",
}  # fmt: skip


def draw(*shape):
    return RNG.standard_normal(shape)


def twin(name):
    places = reference, reference_activation, reference_recurrent, reference_optim
    return inspect.unwrap(next(getattr(place, name) for place in places if hasattr(place, name)))


# ---------------------------------------------------------------- the formulas belong to the sources


@pytest.mark.parametrize("name", TWINS)
def test_each_line_with_a_formula_stands_in_the_twin_and_no_line_that_fills_a_cell_lacks_one(name):
    text = inspect.getsource(twin(name))
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Assign | ast.AugAssign | ast.If)]
    said = {
        f"if {ast.get_source_segment(text, n.test)}" if isinstance(n, ast.If) else ast.get_source_segment(text, n)
        for n in nodes
    }
    fills = {
        ast.get_source_segment(text, n)
        for n in nodes
        if not isinstance(n, ast.If)
        for target in (n.targets if isinstance(n, ast.Assign) else [n.target])
        if any(isinstance(part, ast.Subscript) for part in ast.walk(target))
    }
    assert set(TWINS[name]) <= said
    assert fills <= set(TWINS[name]) | SILENT
    assert all(formula.strip() for formula in TWINS[name].values())


# ---------------------------------------------------------------- where a trace ends is where the engine ends


def same(t, op, inputs, output, gradients, g):
    """The trace's arrays against the engine's, forward and back."""
    leaves = [tinymed.tensor(x, requires_grad=True) for x in inputs]
    y = op(*leaves)
    np.testing.assert_allclose(t.final[output].reshape(y.shape), y.detach().numpy(), rtol=1e-13, atol=1e-13)
    y.backward(tinymed.tensor(np.broadcast_to(g, y.shape).copy()))
    for name, leaf in zip(gradients, leaves):
        np.testing.assert_allclose(
            t.final[name].reshape(leaf.shape), leaf.grad.numpy(), rtol=1e-12, atol=1e-13, err_msg=name
        )


@pytest.mark.parametrize(
    ("x", "w", "stride", "padding", "dilation", "groups"),
    [
        ((1, 1, 3, 3), (1, 1, 2, 2), 1, 0, 1, 1),
        ((2, 2, 4, 3), (3, 2, 2, 2), 1, 1, 1, 1),
        ((1, 2, 5, 6), (2, 1, 3, 2), (2, 1), (1, 0), (1, 2), 2),
    ],
)
def test_conv2d(x, w, stride, padding, dilation, groups):
    x, w, b = draw(*x), draw(*w), draw(w[0])
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = F.conv2d(*map(tinymed.tensor, (x, w, b)), **how)
    g = draw(*y.shape)
    t = trace.conv2d(x, w, b, **how, g=g)
    same(t, lambda x, w, b: F.conv2d(x, w, b, **how), (x, w, b), "y", ("gx", "gw", "gb"), g)


@pytest.mark.parametrize(("size", "stride", "padding"), [(2, None, 0), (2, 1, 0), (3, 2, 1), ((1, 2), (2, 1), 0)])
def test_pooling(size, stride, padding):
    x = draw(1, 2, 4, 5)
    for name in ("max_pool2d", "avg_pool2d"):
        op = getattr(F, name)
        g = draw(*op(tinymed.tensor(x), size, stride, padding).shape)
        t = getattr(trace, name)(x, size, stride, padding, g=g)
        same(t, lambda x, op=op: op(x, size, stride, padding), (x,), "y", ("gx",), g)


def test_products():
    a, b, g = draw(2, 3), draw(3, 4), draw(2, 4)
    same(trace.matmul(a, b, g=g), lambda a, b: a @ b, (a, b), "y", ("ga", "gb"), g)
    x, w, bias = draw(2, 3), draw(4, 3), draw(4)
    same(trace.linear(x, w, bias, g=g), F.linear, (x, w, bias), "y", ("gx", "gw", "gb"), g)


@pytest.mark.parametrize("name", ["relu", "relu6", "sigmoid"])
def test_activations(name):
    x, g = draw(2, 3) * 5, draw(2, 3)
    same(getattr(trace, name)(x, g=g), getattr(F, name), (x,), "y", ("gx",), g)


def test_softmax_and_cross_entropy():
    x, g = draw(2, 3), draw(2, 3)
    same(trace.softmax(x, g=g), lambda x: F.softmax(x, 1), (x,), "y", ("gx",), g)
    t, each = tinymed.tensor([2, 0]), draw(2)
    loss = lambda x: F.cross_entropy(x, t, reduction="none")  # noqa: E731
    same(trace.cross_entropy(x, [2, 0], g=each), loss, (x,), "loss", ("gx",), each)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_rnn(nonlinearity):
    x, w_ih, w_hh, b_ih, b_hh, h0 = draw(3, 2, 2), draw(3, 2), draw(3, 3), draw(3), draw(3), draw(2, 3)
    g = draw(3, 2, 3)
    t = trace.rnn(x, w_ih, w_hh, b_ih, b_hh, h0, nonlinearity=nonlinearity, g=g)

    def op(x, w_ih, w_hh, b_ih, h0):
        return recurrent.rnn(x, h0, w_ih, w_hh, b_ih, tinymed.tensor(b_hh), nonlinearity=nonlinearity)

    same(t, op, (x, w_ih, w_hh, b_ih, h0), "hs", ("gx", "gw_ih", "gw_hh", "gb", "gh0"), g)


def test_lstm():
    x, w_ih, w_hh, b_ih, b_hh, h0, c0 = (
        draw(3, 1, 2), draw(8, 2), draw(8, 2), draw(8), draw(8), draw(1, 2), draw(1, 2)
    )  # fmt: skip
    g = draw(3, 1, 2)
    t = trace.lstm(x, w_ih, w_hh, b_ih, b_hh, h0, c0, g=g)

    def op(x, w_ih, w_hh, b_ih, h0, c0):
        return recurrent.lstm(x, h0, c0, w_ih, w_hh, b_ih, tinymed.tensor(b_hh))[0]

    same(t, op, (x, w_ih, w_hh, b_ih, h0, c0), "hs", ("gx", "gw_ih", "gw_hh", "gb", "gh0", "gc0"), g)


def test_the_articles_rnn():
    t = trace.article_rnn([1, 2, 3], [0], [[1, 1]], [1], [[1]], [1])
    h, y = reference.article_rnn([1, 2, 3], [0], [[1, 1]], [1], [[1]], [1])
    assert (t.final["h"] == h).all()
    assert (t.final["y"] == y).all()
    assert t[0].numbers == "sigmoid(dot([1, 1], [0, 1]) + 1)"
    rounded = trace.article_rnn([1, 2, 3], [0], [[1, 1]], [1], [[1]], [1], carry=round)
    assert rounded[2].numbers == "sigmoid(dot([1, 1], [1, 2]) + 1)"


@pytest.mark.parametrize(
    ("recorded", "optimiser", "how"),
    [
        (trace.sgd, optim.SGD, {"lr": 0.1}),
        (trace.sgd, optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        (trace.adam, optim.Adam, {"lr": 0.1}),
    ],
)
def test_optimisers(recorded, optimiser, how):
    p0, gradients = draw(3), draw(4, 3)
    p = tinymed.tensor(p0, requires_grad=True)
    steps = optimiser([p], **how)
    for g in gradients:
        p.grad = tinymed.tensor(g)
        steps.step()
    np.testing.assert_allclose(recorded(p0, gradients, **how).final["p"], p.detach().numpy(), rtol=1e-13)


# ---------------------------------------------------------------- an autograd graph


def graph():
    x, w = (tinymed.tensor(draw(3), requires_grad=True) for _ in range(2))
    loss = ((x * w).sum() - 2 * x.sum()) ** 2
    return x, w, loss


def test_a_graph_is_swept_as_backward_sweeps_it():
    x, w, loss = graph()
    value = loss.item()
    t = trace.backward(loss, x=x, w=w)
    for name, leaf in (("x", x), ("w", w)):
        np.testing.assert_allclose(t.final[f"∂L/∂{name}"], leaf.grad.numpy(), rtol=1e-14)
    assert t.final["L"] == value
    phases = [step.phase for step in t]
    assert phases == sorted(phases, reverse=True), "forward, then backward"
    assert [s.twin for s in t][:2] == ["Mul.forward", "Sum.forward"]
    assert "Pow(v" in t[phases.index("backward") - 1].places
    assert ", 2)" in t[phases.index("backward") - 1].places
    expected = 2 * (w.detach().numpy() - 2) * np.sqrt(value) * np.sign((x * w).sum().item() - 2 * x.sum().item())
    np.testing.assert_allclose(x.grad.numpy(), expected)


def test_a_model_of_ones_own_of_which_large_arrays_keep_their_corner():
    tinymed.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))
    loss = F.cross_entropy(model(tinymed.randn(2, 1, 16, 16)), tinymed.tensor([0, 1]))
    t = trace.backward(loss, **{name.replace(".", "_"): p for name, p in model.named_parameters()})
    assert t.arrays["3_weight"].shape == (2, 8)
    np.testing.assert_array_equal(t.final["∂L/∂3_weight"], model[3].weight.grad.numpy()[:, :8])
    np.testing.assert_array_equal(t.final["∂L/∂3_bias"], model[3].bias.grad.numpy())


def test_what_has_no_graph_is_refused():
    with pytest.raises(ValueError, match="requires grad"):
        trace.backward(tinymed.tensor(1.0))
    _, _, loss = graph()
    loss.backward()
    with pytest.raises(ValueError, match="freed by an earlier backward"):
        trace.backward(loss)


# ---------------------------------------------------------------- steps


def some():
    return {
        "conv2d": trace.conv2d(draw(1, 2, 3, 3), draw(2, 2, 2, 2), draw(2), g=1),
        "max_pool2d": trace.max_pool2d(draw(3, 3), 2, 1, g=1),
        "avg_pool2d": trace.avg_pool2d(draw(3, 3), 2, 1, g=1),
        "softmax": trace.softmax(draw(3), g=draw(3)),
        "cross_entropy": trace.cross_entropy(draw(2, 3), [0, 2], g=1),
        "rnn": trace.rnn(draw(3, 2), draw(2, 2), draw(2, 2), g=1),
        "lstm": trace.lstm(draw(2, 1), draw(8, 1), draw(8, 2), g=1),
        "adam": trace.adam([1.0, 2.0], [[0.5, -1.0], [0.1, 0.2]]),
        "backward": trace.backward(graph()[2]),
    }


TRACES = some()


@pytest.mark.parametrize("name", TRACES)
def test_back_from_step_k_is_step_k_minus_1(name):
    t = TRACES[name]
    states = [t.at(k) for k in range(len(t) + 1)]
    for k, step in enumerate(t):
        before, after = states[k], states[k + 1]
        for array, cell, old, new in step.changes:
            assert before[array].flat[cell] == old
            assert after[array].flat[cell] == new
        back = {array: numbers.copy() for array, numbers in after.items()}
        for array, cell, old, _ in step.changes:
            back[array].flat[cell] = old
        assert all((back[array] == before[array]).all() for array in before)
    with pytest.raises(IndexError, match="steps"):
        t.at(len(t) + 1)


@pytest.mark.parametrize("name", TRACES)
def test_the_result_stands_in_the_cells_written(name):
    t = TRACES[name]
    for k, step in enumerate(t):
        if step.writes:
            array, cells = step.writes[-1]
            result = step.result[-1] if len(step.writes) > 1 else step.result
            np.testing.assert_array_equal(t.at(k + 1)[array].flat[list(cells)], np.ravel(result))
        assert step.formula
        assert step.source.startswith(("kernels/reference", "tinymed/ops/"))


def test_the_numbers_put_in_give_the_result():
    """Read as Python: what a student would type into a calculator."""
    names = {"exp": np.exp, "tanh": np.tanh, "sqrt": np.sqrt, "log": np.log, "dot": np.dot, "isnan": np.isnan}
    names["sigmoid"] = reference.sigmoid
    for name in ("conv2d", "max_pool2d", "avg_pool2d", "cross_entropy", "rnn", "lstm", "adam"):
        for step in TRACES[name]:
            given = np.ravel(eval(step.numbers.replace("·", "*"), dict(names)))
            assert list(given) == pytest.approx(list(np.ravel(step.result)), rel=2e-3, abs=2e-4), step


def test_reads_are_the_cells_of_the_sum():
    t = trace.conv2d(np.arange(1.0, 10).reshape(3, 3), [[1, 2], [3, 4]], g=1)
    for k, step in enumerate(t):
        if step.twin == "conv2d":
            then = t.at(k)
            y, w, x = (then[array].flat[cells[0]] for array, cells in step.reads)
            assert y + w * x == step.result
    assert t.starts()[:4] == [0, 4, 8, 12]
    assert trace.max_pool2d(np.arange(9.0).reshape(3, 3), 2, 1).starts() == [0, 4, 8, 12], "with the questions before"
    assert t[5].places == "y[0,0,0,1] += w[0,0,0,1] · x[0,0,0,2]"


def test_names_follow_the_memory_into_functions_that_are_called():
    t = TRACES["rnn"]
    inner = [step.places for step in t if step.twin == "dot_grad"]
    assert {place.split("[")[0] for place in inner} == {"gw_ih", "gx", "gw_hh", "dh"}


def test_names_that_the_user_takes_are_left_to_him():
    x = tinymed.tensor([1.0, 1.0], requires_grad=True)
    y = 2 * x
    t = trace.backward((3 * y).sum(), v2=x)
    assert (t.final["∂L/∂v2"] == 6).all()
    t = trace.backward((3 * (2 * x)).sum(), L=x)
    assert (next(t.final[name] for name in t.final if name.endswith("/∂L") and t.final[name].shape == (2,)) == 6).all()


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: trace.conv2d(draw(2, 2), draw(3, 3)), "kernel"),
        (lambda: trace.conv2d(draw(1, 1, 1, 2, 2), draw(1, 1)), "at most 4 axes"),
        (lambda: trace.conv2d(draw(3, 3), draw(2, 2), g=draw(3, 3)), "y's shape"),
        (lambda: trace.matmul(draw(2, 3), draw(2, 3)), "3 columns"),
        (lambda: trace.linear(draw(3), draw(2, 4)), r"needs w \(O,3\)"),
        (lambda: trace.conv2d(draw(3, 3), draw(2, 2), b=[1, 2]), "one number for each kernel, 1 in all"),
        (lambda: trace.matmul(draw(2, 3), draw(3, 2), g=draw(4)), "y's shape, 2x2"),
        (lambda: trace.softmax([]), "empty array"),
        (lambda: trace.backward(graph()[0] * 2, g=draw(2)), "y's shape, 3"),
        (lambda: trace.relu([1j]), "real numbers, got complex128"),
        (lambda: trace.rnn([1.0], [[1]], [[1]], h0=[1, 2]), "first state must be"),
        (lambda: trace.rnn([1.0], [[1]], [[1]], nonlinearity="sigmoid"), '"tanh" or "relu"'),
        (lambda: trace.sgd([1.0, 2.0], [[1.0, 2.0, 3.0]]), "p's shape"),
        (lambda: trace.rnn(draw(3, 2), draw(2, 3), draw(2, 2)), "w_ih must be 2x2"),
        (lambda: trace.conv2d(draw(1, 1, 30, 30), draw(3, 3)), "trace a smaller input"),
    ],
)
def test_bad_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_a_class_that_is_not_there():
    with pytest.raises(IndexError, match="from 0 to 2"):
        trace.cross_entropy([1, 2, 3], 3)
