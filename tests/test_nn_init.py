"""Initial weights: their statistics, PyTorch's ranges, and the same numbers from the same seed; clipping."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinymed
from tinymed import nn
from tinymed.nn import init


def weight(*shape):
    return tinymed.zeros(*shape, dtype=tinymed.float64)


SHAPE = (200, 150, 3)  # fan_in 450, fan_out 600

UNIFORM = [
    (lambda w, g: init.uniform_(w, -2, 3, generator=g), -2, 3),
    (lambda w, g: init.xavier_uniform_(w, 2.0, generator=g), *(2 * math.sqrt(6 / 1050) * np.array([-1, 1]))),
    (lambda w, g: init.kaiming_uniform_(w, generator=g), *(math.sqrt(6 / 450) * np.array([-1, 1]))),
    (
        lambda w, g: init.kaiming_uniform_(w, 0.5, "fan_out", generator=g),
        *(math.sqrt(2 / 1.25 * 3 / 600) * np.array([-1, 1])),
    ),
]
NORMAL = [
    (lambda w, g: init.normal_(w, 1, 2, generator=g), 1, 2),
    (lambda w, g: init.xavier_normal_(w, generator=g), 0, math.sqrt(2 / 1050)),
    (lambda w, g: init.kaiming_normal_(w, nonlinearity="relu", generator=g), 0, math.sqrt(2 / 450)),
    (lambda w, g: init.kaiming_normal_(w, 0, "fan_out", "tanh", generator=g), 0, 5 / 3 / math.sqrt(600)),
]


@pytest.mark.parametrize(("fill", "low", "high"), UNIFORM)
def test_uniform_statistics(fill, low, high):
    values = fill(weight(*SHAPE), tinymed.Generator(1)).numpy()
    span = high - low
    assert low <= values.min() < low + 0.001 * span
    assert high - 0.001 * span < values.max() <= high
    assert abs(values.mean() - (low + high) / 2) < 0.01 * span


@pytest.mark.parametrize(("fill", "mean", "std"), NORMAL)
def test_normal_statistics(fill, mean, std):
    values = fill(weight(*SHAPE), tinymed.Generator(1)).numpy()
    assert abs(values.mean() - mean) < 0.02 * std
    assert abs(values.std() - std) < 0.02 * std
    assert abs((np.abs(values - mean) < std).mean() - 0.6827) < 0.01


def test_the_rest():
    w = weight(4, 3)
    assert (init.constant_(w, 3).numpy() == 3).all()
    assert (init.ones_(w).numpy() == 1).all()
    assert (init.zeros_(w).numpy() == 0).all()
    cut = init.trunc_normal_(weight(200, 200), 0, 1, -1, 0.5).numpy()
    assert -1 <= cut.min() < -0.99
    assert 0.49 < cut.max() <= 0.5
    for shape in ((5, 3, 2), (3, 7), (4, 4)):
        q = init.orthogonal_(weight(*shape), gain=2).numpy().reshape(shape[0], -1)
        q = q if q.shape[0] <= q.shape[1] else q.T
        np.testing.assert_allclose(q @ q.T, 4 * np.eye(len(q)), atol=1e-12)
    p = nn.Parameter(np.zeros(3, np.float32))
    assert init.uniform_(p) is p
    assert p.requires_grad
    assert p.is_leaf


def test_gains_are_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    for name in ("linear", "conv2d", "conv_transpose3d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


LAYERS = [
    ("Linear", (50, 400), {}),
    ("Conv1d", (16, 64, 5), {}),
    ("Conv2d", (8, 64, 5), {"groups": 4}),
    ("Conv3d", (4, 32, 3), {}),
    ("ConvTranspose2d", (64, 8, 3), {}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), LAYERS)
def test_layers_start_as_pytorchs(name, args, kwargs):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    torch.manual_seed(0)
    tinymed.manual_seed(0)
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    for a, b in zip(ours.state_dict().values(), theirs.state_dict().values()):
        high = b.abs().max().item()
        slack = 0.02 if b.numel() > 400 else 0.5
        assert np.abs(a.numpy()).max() == pytest.approx(high, rel=slack)
        assert a.numpy().std() == pytest.approx(b.std().item(), rel=0.5 if b.numel() < 400 else 0.1)


def test_the_seed_decides():
    def numbers(seed):
        tinymed.manual_seed(seed)
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(3, 5))
        return nn.utils.parameters_to_vector(net.parameters()).detach().numpy()

    np.testing.assert_array_equal(numbers(3), numbers(3))
    assert (numbers(3) != numbers(4)).all()
    own = [init.normal_(weight(5), generator=tinymed.Generator(7)).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*own)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.xavier_uniform_(weight(3)), r"got shape \(3,\)"),
        (lambda: init.orthogonal_(weight(3)), r"got shape \(3,\)"),
        (lambda: init.kaiming_normal_(weight(3, 3), mode="fan"), "got 'fan'"),
        (lambda: init.calculate_gain("relu7"), "no gain is known for 'relu7'"),
        (lambda: init.trunc_normal_(weight(3), 0, 1, 5, 6), "next to nothing"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---------------------------------------------------------------- nn.utils


def gradients(seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(3, 4), (5,), ()]
    return [np.asarray(rng.standard_normal(s)) for s in shapes]


def with_gradients(module, parameter, tensor):
    parameters = []
    for g in gradients():
        p = parameter(tensor(np.zeros_like(g)))
        p.grad = tensor(g)
        parameters.append(p)
    return [*parameters, parameter(tensor(np.zeros(2)))]  # one without a gradient


@pytest.mark.parametrize("norm_type", [1, 2.0, 3.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clip_grad_norm_is_pytorchs(norm_type, max_norm):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    ours = with_gradients(nn, nn.Parameter, tinymed.tensor)
    theirs = with_gradients(torch.nn, torch.nn.Parameter, torch.tensor)
    norm = nn.utils.clip_grad_norm_(ours, max_norm, norm_type)
    assert float(norm) == pytest.approx(float(torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)))
    for p, q in zip(ours[:-1], theirs[:-1]):
        np.testing.assert_allclose(p.grad, q.grad, rtol=1e-12)


def test_clip_grad_value_and_bad_norms():
    parameters = with_gradients(nn, nn.Parameter, tinymed.tensor)
    nn.utils.clip_grad_value_(iter(parameters), 0.3)
    for p, g in zip(parameters, gradients()):
        np.testing.assert_array_equal(p.grad, np.clip(g, -0.3, 0.3))
    parameters[1].grad.array[0] = np.nan
    with pytest.raises(FloatingPointError, match="norm nan"):
        nn.utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
    with pytest.raises(ValueError, match="max_norm -1"):
        nn.utils.clip_grad_norm_(parameters, -1)
    with pytest.raises(ValueError, match="clip_value"):
        nn.utils.clip_grad_value_(parameters, 0)
    assert float(nn.utils.clip_grad_norm_([], 1.0)) == 0


def test_parameters_as_one_vector_and_back():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (11,)
    (vector * vector).sum().backward()
    np.testing.assert_allclose(net[0].weight.grad, 2 * net[0].weight.detach().numpy())
    nn.utils.vector_to_parameters(tinymed.arange(11).float(), net.parameters())
    np.testing.assert_array_equal(net[1].weight.detach(), [[8, 9]])
    with pytest.raises(ValueError, match=r"11 numbers are needed, got shape \(10,\)"):
        nn.utils.vector_to_parameters(tinymed.zeros(10), net.parameters())
