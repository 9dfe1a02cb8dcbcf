"""Optimisers against PyTorch's, step by step; the kernels against their plain loops; state; bad input."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

import tinymed
from tinymed import kernels, nn, optim
from tinymed.kernels import numba_optim, numpy_optim, reference_optim

OPTIONS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.7, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "betas": (0.0, 0.9), "weight_decay": 0.3}),
    ("RMSprop", {"lr": 0.02}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.8}),
    ("RMSprop", {"lr": 0.02, "centered": True, "momentum": 0.5}),
    ("RMSprop", {"lr": 0.02, "centered": True}),
    ("Adagrad", {"lr": 0.1}),
    (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3},
    ),
]

SHAPES = [(3, 4), (5,), ()]


def numbers(seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES]


def parameters(make, tensor, dtype=np.float64):
    return [make(tensor(a)) for a in numbers(0, dtype)]


def run(optimizer, params, tensor, steps, dtype=np.float64):
    """Steps with gradients that depend on the parameters, so that a wrong update shows in the next."""
    for k in steps:
        for p, g in zip(params, numbers(100 + k, dtype)):
            p.grad = tensor(np.asarray(g + 0.3 * np.asarray(p.detach()), dtype))
        optimizer.step()


@pytest.mark.parametrize("backend", ["numpy", "reference"])
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_twenty_steps_are_pytorchs(name, options, backend):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-4)):
        ours = parameters(nn.Parameter, tinymed.tensor, dtype)
        theirs = parameters(torch.nn.Parameter, torch.tensor, dtype)
        a, b = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
        with kernels.use_backend(backend):
            for k in range(20):
                run(a, ours, tinymed.tensor, [k], dtype)
                run(b, theirs, torch.tensor, [k], dtype)
                for p, q in zip(ours, theirs):
                    assert p.dtype == dtype
                    np.testing.assert_allclose(p.detach(), q.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_a_state_goes_on_where_it_stood(name, options):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    straight = parameters(nn.Parameter, tinymed.tensor)
    run(getattr(optim, name)(straight, **options), straight, tinymed.tensor, range(8))

    first = parameters(nn.Parameter, tinymed.tensor)
    optimizer = getattr(optim, name)(first, **options)
    run(optimizer, first, tinymed.tensor, range(5))
    state = copy.deepcopy(optimizer.state_dict())
    json.dumps(state["param_groups"])
    second = [nn.Parameter(p.detach().numpy().copy()) for p in first]
    resumed = getattr(optim, name)(second, lr=9.9)  # the options come from the state too
    resumed.load_state_dict(state)
    run(optimizer, first, tinymed.tensor, range(5, 7))  # the copy must not follow
    run(resumed, second, tinymed.tensor, range(5, 8))
    for p, q in zip(straight, second):
        np.testing.assert_array_equal(p.detach(), q.detach())

    theirs = parameters(torch.nn.Parameter, torch.tensor)
    other = getattr(torch.optim, name)(theirs, **options)
    run(other, theirs, torch.tensor, range(5))
    for k, kept in state["state"].items():
        assert {n for n, v in other.state_dict()["state"][k].items() if v is not None} - {"step"} == set(kept) - {
            "step"
        }
    third = [nn.Parameter(p.detach().numpy().copy()) for p in theirs]
    taken = getattr(optim, name)(third)
    taken.load_state_dict(other.state_dict())
    run(taken, third, tinymed.tensor, range(5, 8))
    for p, q in zip(straight, third):
        np.testing.assert_allclose(p.detach(), q.detach(), rtol=1e-9)


STEPS = [  # kernel, states (None for one that is not kept), the rest; one entry of a list for each parameter
    ("sgd_step", "b", [None, [True] * 4, 0.1, 0.0, 0.0, 0.1, False]),
    ("sgd_step", "b", [[True, False, True, False], 0.1, 0.9, 0.5, 0.1, False]),
    ("sgd_step", "b", [[False] * 4, 0.1, 0.9, 0.0, 0.0, True]),
    ("adam_step", "mv", [[1, 2, 3, 1], 0.1, 0.9, 0.999, 1e-8, 0.1, False]),
    ("adam_step", "mv", [[7] * 4, 0.1, 0.9, 0.999, 1e-8, 0.1, True]),
    ("rmsprop_step", "v", [None, None, 0.1, 0.9, 1e-8, 0.1, 0.0]),
    ("rmsprop_step", "vnb", [0.1, 0.9, 1e-8, 0.1, 0.5]),
    ("adagrad_step", "s", [[1, 2, 3, 4], 0.1, 0.5, 1e-8, 0.1]),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("module", [numpy_optim, numba_optim])
@pytest.mark.parametrize(("name", "states", "rest"), STEPS)
def test_kernels_agree_with_their_plain_loops(name, states, rest, module, order, dtype):
    rng = np.random.default_rng(5)
    shapes = (3, 2), (), (60, 300), (7,)  # the third is walked in two tasks, of which the second has the last one too

    def row(low):
        return [np.array(rng.uniform(low, 1.5, shape), dtype, order=order) for shape in shapes]

    given = [row(-1.5), row(-1.5)] + [row(0.5) for _ in states if rest[0] is not None or name != "sgd_step"]
    if states == "vnb":
        for v in given[2]:
            v += 4  # more than the square of the mean, as it is
    results = []
    for steps in (module, reference_optim):
        mine = [[a.copy(order="K") for a in arrays] for arrays in given]
        getattr(steps, name)(*mine, *rest)
        results.append(mine)
        for a, b in zip(mine[1], given[1]):
            np.testing.assert_array_equal(a, b, f"{name} wrote into the gradient")
    for fast, plain in zip(*results):
        for a, b in zip(fast, plain):
            np.testing.assert_allclose(a, b, rtol=1e-12 if dtype == np.float64 else 1e-4, atol=1e-6)


def test_what_is_no_line_in_memory_goes_elsewhere():
    """Of one model: plain, of another number type, not in order, a gradient that cannot be written to, empty."""
    rng = np.random.default_rng(0)

    def row():
        arrays = [rng.random(5, np.float32), rng.random(4), rng.random((2, 6), np.float32)[:, ::2]]
        return [*arrays, rng.random(3, np.float32), np.empty((0, 2), np.float32)]

    rows = [row() for _ in range(4)]
    rows[1][3] = np.broadcast_to(np.float32(0.5), 3)
    rows[3][0] = rng.random(5)  # a state that is wider than its parameter
    results = []
    for module in (numba_optim, reference_optim):
        mine = copy.deepcopy(rows)
        module.adam_step(*mine, [1, 2, 3, 4, 5], 0.1, 0.9, 0.999, 1e-8, 0.1, False)
        results.append(mine)
    for fast, plain in zip(*results):
        for a, b in zip(fast, plain):
            np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_model_that_changes_its_number_type_trains_on():
    p = nn.Parameter(tinymed.ones(40000))
    optimizer = optim.Adam([p], lr=0.1)
    for dtype in (np.float32, np.float64):
        p.array = p.array.astype(dtype)
        p.grad = tinymed.ones(40000, dtype=dtype)
        optimizer.step()
    np.testing.assert_allclose(p.array, 0.8, rtol=1e-6)


def test_a_state_is_loaded_to_where_it_was():
    """A CUDA graph goes on writing there."""
    p = nn.Parameter(tinymed.ones(3))
    optimizer = optim.Adam([p])
    p.grad = tinymed.ones(3)
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    optimizer.step()
    place = optimizer.state[p]["exp_avg"].array
    optimizer.load_state_dict(saved)
    assert optimizer.state[p]["exp_avg"].array is place
    np.testing.assert_array_equal(place, saved["state"][0]["exp_avg"].array)


class Momentum(optim.Optimizer):
    """As the docstring of update shows it, and with a number of its own."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})

    def update(self, ps, gs, states, group):
        for p, g, state in zip(ps, gs, states):
            if not state:
                state.update(velocity=tinymed.Tensor(np.zeros_like(p)), calls=0)
            v = state["velocity"].array
            v[...] = 0.9 * v + g
            p -= group["lr"] * v
            state["calls"] += 1


def test_an_optimiser_of_ones_own_is_saved_and_resumed():
    straight, first, second = (parameters(nn.Parameter, tinymed.tensor) for _ in range(3))
    run(Momentum(straight), straight, tinymed.tensor, range(6))
    optimizer, resumed = Momentum(first), Momentum(second)
    run(optimizer, first, tinymed.tensor, range(3))
    for p, q in zip(first, second):
        q.array[...] = p.array
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(resumed, second, tinymed.tensor, range(3, 6))
    for p, q in zip(straight, second):
        np.testing.assert_allclose(p.array, q.array, rtol=1e-12)
    assert resumed.state[second[0]]["calls"] == 6


def test_one_launch_for_a_model(monkeypatch):
    launches = []
    launch = numba_optim.launch
    monkeypatch.setattr(numba_optim, "launch", lambda *args: (launches.append(args), launch(*args)))
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = optim.Adam(net.parameters())
    with kernels.use_backend("numba"):
        net(tinymed.ones(5, 3)).sum().backward()
        optimizer.step()
        net[0].bias.grad = None  # one sits out a step, and counts for itself
        optimizer.step()
        assert len(launches) == 2
    assert [optimizer.state[p]["step"] for p in net.parameters()] == [2, 1, 2, 2]


def test_groups_have_options_of_their_own():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    ours = parameters(nn.Parameter, tinymed.tensor)
    theirs = parameters(torch.nn.Parameter, torch.tensor)
    optimizers = []
    for module, p in ((optim, ours), (torch.optim, theirs)):
        o = module.SGD([{"params": p[:1]}, {"params": iter(p[1:2]), "lr": 0.5, "momentum": 0.9}], lr=0.1)
        o.add_param_group({"params": p[2], "weight_decay": 0.2})
        optimizers.append(o)
    assert [g["lr"] for g in optimizers[0].param_groups] == [0.1, 0.5, 0.1]
    run(optimizers[0], ours, tinymed.tensor, range(5))
    run(optimizers[1], theirs, torch.tensor, range(5))
    for p, q in zip(ours, theirs):
        np.testing.assert_allclose(p.detach(), q.detach(), rtol=1e-12)
    assert [g["params"] for g in optimizers[0].state_dict()["param_groups"]] == [[0], [1], [2]]


def test_step_closure_zero_grad_and_frozen_parameters():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    net[0].requires_grad_(False)
    before = net[0].weight.array.copy()
    optimizer = optim.SGD(net.parameters(), lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (net(tinymed.ones(4, 2)) ** 2).mean()
        loss.backward()
        return loss

    with tinymed.no_grad():  # the closure gets its graph all the same
        losses = [float(optimizer.step(closure)) for _ in range(20)]
    assert losses[-1] < 0.1 * losses[0] or losses[0] < 1e-3
    np.testing.assert_array_equal(net[0].weight.array, before)
    optimizer.zero_grad(set_to_none=False)
    assert (net[1].weight.grad.array == 0).all()
    optimizer.zero_grad()
    assert net[1].weight.grad is None
    optimizer.step()  # nothing to go by, nothing done
    assert repr(optimizer).startswith("SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.1\n")


def test_a_graph_from_before_the_step_is_refused():
    layer = nn.Linear(2, 1)
    optimizer = optim.Adam(layer.parameters())
    x = tinymed.ones(1, 2).requires_grad_()
    loss = layer(x).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(ValueError, match="changed in place"):
        loss.backward()


def test_adam_minimises():
    p = nn.Parameter(np.array([3.0, -2.0]))
    optimizer = optim.Adam([p], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        ((p - tinymed.tensor(np.array([1.0, 5.0]))) ** 2).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(p.detach(), [1, 5], atol=1e-3)


@pytest.mark.filterwarnings("error")
def test_overflow_is_left_to_the_loss_to_tell():
    for make in (optim.SGD, optim.Adam, optim.RMSprop, optim.Adagrad):
        p = nn.Parameter(np.full(2, 3e38, np.float32))
        p.grad = tinymed.full((2,), -3e38)
        make([p], lr=10.0).step()


def leaf(*shape):
    return nn.Parameter(np.ones(shape or (2,), np.float32))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.SGD(nn.Linear(1, 1).parameters), TypeError, r"got a method: call it: model\.parameters\(\)"),
        (lambda: optim.SGD([leaf()], lr=0), ValueError, "SGD: lr must be above 0, got 0"),
        (lambda: optim.SGD([leaf()], lr=float("nan")), ValueError, "lr must be above 0, got nan"),
        (lambda: optim.Adam([leaf()], lr="0.1"), TypeError, "Adam: lr must be a number, got '0.1'"),
        (lambda: optim.Adam([leaf()], betas=(0.9, 1.0)), ValueError, r"betas\[1\] must be 0 or"),
        (lambda: optim.Adam([leaf()], betas=0.9), TypeError, "betas must be two numbers"),
        (lambda: optim.Adam([leaf()], weight_decay=-1), ValueError, "weight_decay must be 0 or more, got -1"),
        (lambda: optim.RMSprop([leaf()], alpha=1.5), ValueError, "alpha must be 0 or more, and below 1"),
        (lambda: optim.SGD([leaf()], momentum=-0.1), ValueError, "momentum must be 0 or more"),
        (lambda: optim.SGD([leaf()], nesterov=True), ValueError, "nesterov needs momentum"),
        (lambda: optim.SGD([{"params": [leaf()], "lr": -1}]), ValueError, "lr must be above 0, got -1"),
        (lambda: optim.SGD([{"params": [leaf()], "momentun": 1}]), ValueError, "no option 'momentun'"),
        (lambda: optim.SGD([]), ValueError, "got no parameters: an empty list"),
        (lambda: optim.SGD([{"params": []}]), ValueError, "group 0 has no parameters"),
        (lambda: optim.SGD([{"lr": 1}]), TypeError, 'a group is a dictionary with "params"'),
        (lambda: optim.SGD(leaf()), TypeError, "expects parameters in a list, got a Parameter"),
        (lambda: optim.SGD(nn.ReLU()), TypeError, r"got a ReLU: pass model.parameters\(\)"),
        (lambda: optim.SGD({leaf()}), TypeError, "in a list, got a set"),
        (lambda: optim.SGD(3), TypeError, "got a int"),
        (lambda: optim.SGD(nn.Linear(1, 1).named_parameters()), TypeError, r"a tuple.*without the names"),
        (lambda: optim.SGD([np.ones(2)]), TypeError, "parameter 0 is a ndarray, expected a Tensor"),
        (lambda: optim.SGD([p := leaf(), p]), ValueError, r"parameter 1 \(2,\) is given twice"),
        (lambda: optim.SGD([{"params": [p := leaf()]}, {"params": [p]}]), ValueError, "is given twice"),
        (lambda: optim.SGD([leaf() * 2]), ValueError, "is the result of <Mul>, not a leaf"),
        (lambda: optim.SGD([tinymed.ones(2)]), ValueError, "no parameter requires a gradient"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_states_and_gradients_that_do_not_fit():
    p = leaf(3)
    optimizer = optim.Adam([p])
    p.grad = tinymed.ones(2)
    with pytest.raises(ValueError, match=r"of float32 \(2,\) on cpu does not fit its parameter of float32 \(3,\)"):
        optimizer.step()
    p.grad = tinymed.ones(3)
    optimizer.step()
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"groups of \[1\] parameters, there are \[2\] here"):
        optim.Adam([leaf(3), leaf(3)]).load_state_dict(state)
    with pytest.raises(ValueError, match=r"exp_avg has shape \(3,\), its parameter \(4,\)"):
        optim.Adam([leaf(4)]).load_state_dict(state)
    with pytest.raises(ValueError, match="SGD: the state is another optimiser's, it has no 'dampening'"):
        optim.SGD([leaf(3)]).load_state_dict(state)
    with pytest.raises(ValueError, match="has 'state' and 'param_groups', got"):
        optimizer.load_state_dict(state["state"])
    state["param_groups"][0]["amsgrad"] = True
    with pytest.raises(ValueError, match="amsgrad=True, which is not offered"):
        optimizer.load_state_dict(state)
