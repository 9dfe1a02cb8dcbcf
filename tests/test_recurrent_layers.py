"""Recurrent layers and cells: PyTorch's weights loaded as they are, then outputs and gradients compared."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinymed
from tinymed import nn


def assert_alike(results, wanted, tolerance):
    for result, want in zip(results, wanted, strict=True):
        assert result.shape == want.shape
        np.testing.assert_allclose(result, want, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- layers against PyTorch


def run_both(kind, options, T=4, N=3, I=2, H=5, states=True, dtype=np.float64, batched=True, seed=0):
    """A layer of ours and one of torch's, one state: (outputs and states, gradients) of each."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    theirs = getattr(torch.nn, kind)(I, H, **options).to(torch.tensor(np.zeros(0, dtype)).dtype)
    ours = getattr(nn, kind)(I, H, **options).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    rng = np.random.default_rng(seed)
    L_D = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    x_shape = (N, T, I) if options.get("batch_first") else (T, N, I)
    arrays = [rng.standard_normal(x_shape if batched else (T, I)).astype(dtype)]
    if states:
        shape = (L_D, N, H) if batched else (L_D, H)
        arrays += [rng.standard_normal(shape).astype(dtype) for _ in range(2 if kind == "LSTM" else 1)]
    found = []
    for layer, tensor in ((ours, tinymed.tensor), (theirs, torch.tensor)):
        x, *hx = leaves = [tensor(a, requires_grad=True) for a in arrays]
        output, last = layer(x, *([tuple(hx)] if kind == "LSTM" else hx) if states else ())
        results = [output, *(last if kind == "LSTM" else (last,))]
        weights = np.random.default_rng(1)  # a random cotangent for every output, h_n and c_n included
        sum((r * tensor(weights.standard_normal(r.shape).astype(dtype))).sum() for r in results).backward()
        gradients = {name: p.grad for name, p in layer.named_parameters()}
        gradients |= {f"input {k}": leaf.grad for k, leaf in enumerate(leaves)}
        found.append(([np.asarray(r.detach()) for r in results], {n: np.asarray(g) for n, g in gradients.items()}))
    return found


def assert_layers_agree(*args, tolerance=1e-9, **how):
    (ours, our_grads), (theirs, their_grads) = run_both(*args, **how)
    assert_alike(ours, theirs, tolerance)
    assert list(our_grads) == list(their_grads)
    assert_alike(our_grads.values(), their_grads.values(), tolerance)


OPTIONS = [
    {},
    {"bias": False},
    {"batch_first": True},
    {"bidirectional": True},
    {"num_layers": 2},
    {"num_layers": 3, "bidirectional": True, "batch_first": True, "bias": False},
    {"num_layers": 2, "dropout": 1.0},  # the only dropout without chance: the upper layer hears nothing
]


@pytest.mark.parametrize("states", [False, True], ids=["from zeros", "from given states"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_layers_agree_with_torch(kind, options, states):
    assert_layers_agree(kind, options, states=states)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_layers_agree_with_torch_in_float32_and_without_a_batch(kind):
    assert_layers_agree(kind, {"num_layers": 2}, dtype=np.float32, tolerance=1e-4)
    for batch_first in (False, True):
        options = {"bidirectional": True, "batch_first": batch_first}
        assert_layers_agree(kind, options, batched=False)
        assert_layers_agree(kind, options, batched=False, states=False)


def test_rnn_with_relu_agrees_with_torch():
    assert_layers_agree("RNN", {"nonlinearity": "relu", "num_layers": 2})


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(["RNN", "LSTM", "GRU"]),
    sizes=st.tuples(*[st.integers(1, 5)] * 4),
    num_layers=st.integers(1, 3),
    flags=st.fixed_dictionaries({name: st.booleans() for name in ("bias", "batch_first", "bidirectional")}),
    how=st.fixed_dictionaries({"states": st.booleans(), "batched": st.booleans()}),
)
def test_layers_agree_with_torch_whatever_the_options(kind, sizes, num_layers, flags, how):
    T, N, I, H = sizes
    assert_layers_agree(kind, {"num_layers": num_layers, **flags}, T, N, I, H, **how)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_layer_is_its_cell_again_and_again(kind):
    layer, cell = getattr(nn, kind)(2, 5).double(), getattr(nn, f"{kind}Cell")(2, 5).double()
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x = tinymed.tensor(np.random.default_rng(0).standard_normal((6, 3, 2)))
    state, steps = None, []
    for x_t in x:
        state = cell(x_t, state)
        steps.append(state[0] if kind == "LSTM" else state)
    output, _ = layer(x)
    np.testing.assert_allclose(output.detach(), tinymed.stack(steps).detach(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_every_backend_runs_the_layers(kind):
    layer = getattr(nn, kind)(2, 3, bidirectional=True).double()
    x = tinymed.tensor(np.random.default_rng(0).standard_normal((4, 2, 2)), requires_grad=True)
    found = {}
    for backend, (usable, _) in tinymed.backends().items():
        if usable:
            with tinymed.use_backend(backend):
                x.grad = None
                output, _ = layer(x)
                (output * output).sum().backward()
                found[backend] = output.detach().array, x.grad.array
    assert {"numpy", "reference"} <= set(found)
    for results in found.values():
        assert_alike(results, found["reference"], 1e-9)


def test_gradients_through_h_n_alone_c_n_alone_and_a_detached_state():
    lstm = nn.LSTM(2, 3).double()
    x = tinymed.tensor(np.random.default_rng(0).standard_normal((4, 2, 2)))
    for pick in (lambda out, h, c: h, lambda out, h, c: c, lambda out, h, c: out[-1]):
        lstm.zero_grad()
        output, (h_n, c_n) = lstm(x)
        pick(output, h_n, c_n).sum().backward()
        assert all(np.abs(p.grad.array).max() > 0 for p in lstm.parameters())
    h_n, c_n = h_n.detach(), c_n.detach()  # truncated back-propagation: the next window starts from numbers
    lstm(x, (h_n, c_n))[0].sum().backward()
    assert h_n.grad is None


def test_dropout_acts_between_layers_in_training_only():
    tinymed.manual_seed(0)
    lstm, x = nn.LSTM(2, 8, num_layers=2, dropout=0.5), tinymed.randn(4, 3, 2)
    first, second = (lstm(x)[0].detach().array for _ in range(2))
    assert (first != 0).all(), "the last layer's output is never dropped"
    assert not np.allclose(first, second)
    lstm.eval()
    np.testing.assert_array_equal(lstm(x)[0].detach(), lstm(x)[0].detach())
    with pytest.warns(UserWarning, match=r"dropout=0\.5 does nothing with num_layers=1"):
        nn.GRU(2, 3, dropout=0.5)


def test_an_empty_batch_passes_through():
    for kind in ("RNN", "LSTM", "GRU"):
        layer = getattr(nn, kind)(2, 3, num_layers=2, bidirectional=True)
        output, _ = layer(tinymed.zeros(4, 0, 2))
        assert output.shape == (4, 0, 6)
        output.sum().backward()
        assert not layer.weight_ih_l0.grad.array.any()


# ---------------------------------------------------------------- cells


@pytest.mark.parametrize("shape", [(3, 2), (2,)], ids=["batch", "no batch"])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize(
    ("kind", "options"),
    [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("LSTM", {}), ("LSTM", {"bias": False}), ("GRU", {})],
    ids=str,
)
def test_cells_agree_with_torch(kind, options, states, shape):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    theirs = getattr(torch.nn, f"{kind}Cell")(2, 5, **options).double()
    ours = getattr(nn, f"{kind}Cell")(2, 5, **options).double()
    ours.load_state_dict(theirs.state_dict())
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in (shape, *([(*shape[:-1], 5)] * 2))]
    found = []
    for cell, tensor in ((ours, tinymed.tensor), (theirs, torch.tensor)):
        x, h, c = (tensor(a, requires_grad=True) for a in arrays)
        out = cell(x, *[(h, c) if kind == "LSTM" else h] if states else ())
        outs = out if kind == "LSTM" else (out,)
        sum((o * o).sum() for o in outs).backward()
        leaves = [x, *([h, c] if kind == "LSTM" else [h] if states else [])] if states else [x]
        grads = [leaf.grad for leaf in leaves] + [p.grad for p in cell.parameters()]
        found.append([np.asarray(t.detach()) for t in (*outs, *grads)])
    assert_alike(*found, 1e-9)


# ---------------------------------------------------------------- making and misusing layers


def test_parameters_start_within_one_over_root_h_and_are_named_as_in_torch():
    tinymed.manual_seed(0)
    layer = nn.LSTM(3, 16, num_layers=2, bidirectional=True)
    assert list(layer.state_dict())[4:8] == [
        f"{name}_l0_reverse" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    for parameter in layer.parameters():
        assert 0.2 < np.abs(parameter.array).max() <= 0.25
        assert parameter.dtype == np.float32
    assert layer.weight_ih_l1.shape == (64, 32)


def test_reprs_give_the_sizes_and_what_is_not_default():
    assert repr(nn.LSTM(3, 4)) == "LSTM(3, 4)"
    assert repr(nn.RNN(3, 4, 2, "relu", dropout=0.5)) == ("RNN(3, 4, num_layers=2, nonlinearity=relu, dropout=0.5)")
    assert repr(nn.GRU(3, 4, bias=False, batch_first=True, bidirectional=True)) == (
        "GRU(3, 4, bias=False, batch_first=True, bidirectional=True)"
    )
    assert repr(nn.RNNCell(3, 4, nonlinearity="relu")) == "RNNCell(3, 4, nonlinearity=relu)"


def test_macs_count_the_products_of_all_layers():
    summary = nn.summary(nn.LSTM(3, 4, num_layers=2, bidirectional=True), (5, 2, 3))
    assert summary.total_macs == 5 * 2 * 2 * (4 * 4 * (3 + 4) + 4 * 4 * (8 + 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.LSTM(0, 4), "LSTM: input_size must be a whole number of at least 1, got 0"),
        (lambda: nn.GRUCell(3, 0), "GRUCell: hidden_size must be a whole number of at least 1, got 0"),
        (lambda: nn.GRU(3, 4, num_layers=0), "num_layers must be a whole number of at least 1, got 0"),
        (lambda: nn.LSTM(3, 4, 2, dropout=1.5), "dropout is a probability between 0 and 1, got 1.5"),
        (lambda: nn.RNN(3, 4, nonlinearity="sin"), 'nonlinearity must be "tanh" or "relu", got \'sin\''),
        (lambda: nn.RNNCell(3, 4, nonlinearity="sin"), "nonlinearity must be"),
    ],
)
def test_constructors_refuse(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def shaped(*shape):
    return tinymed.zeros(*shape)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.LSTM(3, 4)(shaped(5, 2, 6)), "must be input_size = 3, got shape (5, 2, 6) as (T,N,I)"),
        (lambda: nn.LSTM(3, 4)(shaped(5, 3, 6)), "axis 1 has 3: is it misplaced? Try x.movedim(1, -1)"),
        (lambda: nn.LSTM(3, 4, batch_first=True)(shaped(5, 2, 6)), "(N,T,I)"),
        (lambda: nn.GRU(3, 4)(shaped(3)), "expected an input (T,N,I) or, unbatched, (T,I); got shape (3,)"),
        (lambda: nn.GRU(3, 4)(shaped(1, 5, 2, 3)), "got shape (1, 5, 2, 3)"),
        (lambda: nn.GRU(3, 4)(shaped(0, 2, 3)), "the sequence is empty: T = 0"),
        (lambda: nn.RNN(3, 4)(shaped(5, 2, 3), shaped(1, 3, 4)), "h_0 must have shape (1, 2, 4)"),
        (lambda: nn.RNN(3, 4)(shaped(5, 2, 3), shaped(2, 2, 4)), "got (2, 2, 4)"),
        (lambda: nn.RNN(3, 4)(shaped(5, 3), shaped(1, 1, 4)), "h_0 must have shape (1, 4)"),
        (lambda: nn.LSTM(3, 4)(shaped(5, 2, 3), (shaped(1, 2, 4), shaped(1, 2, 5))), "c_0 must have shape"),
        (lambda: nn.GRUCell(3, 4)(shaped(2, 5)), "I = input_size = 3, got (2, 5)"),
        (lambda: nn.GRUCell(3, 4)(shaped(2, 3), shaped(3, 4)), "hx must have shape (2, 4)"),
        (lambda: nn.LSTMCell(3, 4)(shaped(2, 3), (shaped(2, 4), shaped(2, 5))), "c must have shape (2, 4)"),
    ],
)
def test_layers_name_the_sizes_that_do_not_fit(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.LSTM(3, 4)(shaped(5, 2, 3), shaped(1, 2, 4)), "pass the pair (h_0, c_0), got a Tensor"),
        (lambda: nn.LSTMCell(3, 4)(shaped(2, 3), shaped(2, 4)), "pass the pair (h, c)"),
        (lambda: nn.GRU(3, 4)(shaped(5, 2, 3), (shaped(1, 2, 4),)), "h_0 must be a tensor, got a tuple"),
        (lambda: nn.GRU(3, 4)(shaped(5, 2, 3).double()), "x is float64, w_ih is float32; convert x"),
    ],
)
def test_layers_name_what_is_of_the_wrong_type(call, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        call()
