"""CUDA graphs on the stand-in for CuPy: a captured step is the step, batch after batch."""

from __future__ import annotations

import copy
import gc
import re
from pathlib import Path

import numpy as np
import pytest

import tinymed
from tinymed import cuda, nn, optim
from tinymed.kernels import cupy_graph, cupy_matmul, cupy_optim
from tinymed.training import GradualUnfreezing, fit


@pytest.fixture
def one_product(cp, monkeypatch):
    """Products by our own kernel outside of graphs too, so that replays can be compared bit for bit."""
    monkeypatch.setattr(cp, "matmul", cupy_matmul.gemm)


OPTIMIZERS = {
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "SGD": lambda p: optim.SGD(p, lr=0.05),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.05, lr_decay=0.1),
}


def network():
    tinymed.manual_seed(0)
    convolutions = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU6(), nn.MaxPool2d(2)
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 1)).cuda()


def batches(count, n=4):
    rng = np.random.default_rng(3)
    for _ in range(count):
        yield [tinymed.tensor(a.astype(np.float32)) for a in (rng.standard_normal((n, 1, 6, 6)), rng.random((n, 1)))]


def train(optimizer, captured, steps=8):
    """The losses and weights of some steps, of which all but the first are replays, if captured."""
    model = network()
    opt, graph, losses = OPTIMIZERS[optimizer](model.parameters()), None, []
    schedule = optim.lr_scheduler.StepLR(opt, 3, 0.5)

    def step(x, y):
        opt.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(x), y)
        loss.backward()
        opt.step()
        return loss

    for k, (x, y) in enumerate(batches(steps)):
        if k == 0 or not captured:
            loss = step(x.cuda(), y.cuda())
        else:
            if graph is None:
                static, graph = (x.cuda(), y.cuda()), cuda.CUDAGraph()
                with cuda.graph(graph):
                    loss = step(*static)
            for kept, new in zip(static, (x, y)):
                kept.copy_(new.cuda())
            graph.replay()
        losses.append(loss.item())
        schedule.step()
    return losses, [p.detach().cpu().numpy() for p in model.parameters()], opt.state_dict()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_replays_are_steps(one_product, optimizer):
    eager, replayed = train(optimizer, False), train(optimizer, True)
    assert eager[0] == replayed[0]
    for a, b in zip(eager[1], replayed[1]):
        np.testing.assert_array_equal(a, b)
    for k, state in eager[2]["state"].items():
        assert state.get("step") == replayed[2]["state"][k].get("step")
    assert eager[2]["param_groups"] == replayed[2]["param_groups"]


def test_nothing_is_computed_before_the_replay(cp):
    x, graph = tinymed.ones(3).cuda(), cuda.CUDAGraph()
    with cuda.graph(graph):
        x += 1
        y = x * 2
    assert x.tolist() == [1, 1, 1]
    graph.replay()
    graph.replay()
    assert (x.tolist(), y.tolist()) == ([3, 3, 3], [6, 6, 6])


def test_results_outlive_their_graph(cp):
    x, graph = tinymed.ones(3).cuda(), cuda.CUDAGraph()
    with cuda.graph(graph):
        y = x * 2
    graph.replay()
    del graph
    gc.collect()
    assert y.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    "wait",
    [lambda x: x.sum().item(), lambda x: x.cpu(), repr, lambda x: x + 1 if x.sum() > 0 else x],
)
def test_what_waits_for_the_gpu_is_refused(cp, wait):
    x, graph = tinymed.ones(3).cuda(), cuda.CUDAGraph()
    with pytest.raises(ValueError, match=r"a CUDA graph can't hold what waits for the GPU"), cuda.graph(graph):
        wait(x)
    with pytest.raises(ValueError, match="nothing to replay"):
        graph.replay()
    assert cupy_graph.recording() is None
    assert (x + 1).tolist() == [2, 2, 2]  # the GPU goes on


def test_other_mistakes_end_the_recording_too(cp):
    x, graph = tinymed.ones(3).cuda(), cuda.CUDAGraph()
    y = tinymed.ones(4).cuda()
    with pytest.raises(ValueError, match="4"), cuda.graph(graph):
        x @ y
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        y = x + 1
    with pytest.raises(ValueError, match="each once"), cuda.graph(graph):
        pass
    with (
        pytest.raises(ValueError, match="one graph is recorded at a time"),
        cuda.graph(cuda.CUDAGraph()),
        cuda.graph(cuda.CUDAGraph()),
    ):
        pass
    graph.replay()
    assert y.tolist() == [2, 2, 2]


def test_a_state_is_made_before(cp):
    p = nn.Parameter(tinymed.ones(3).cuda())
    opt = optim.Adam([p])
    (p * p).sum().backward()
    with pytest.raises(ValueError, match="Adam: the first step makes the state"), cuda.graph(cuda.CUDAGraph()):
        opt.step()
    assert not opt.state[p]  # the next step begins as the first
    opt.step()
    assert opt.state[p]["step"] == 1
    np.testing.assert_allclose(p.detach().cpu().numpy(), 1 - 1e-3, rtol=1e-6)


class Own(optim.SGD):
    def update(self, ps, gs, states, group):
        for p, g in zip(ps, gs):
            p -= group["lr"] * g


def test_an_update_of_ones_own_is_refused(cp):
    """It would be done twice: in the graph, and by the host at each replay."""
    p = nn.Parameter(tinymed.ones(3).cuda())
    opt = Own([p], lr=0.1)
    (p * p).sum().backward()
    opt.step()
    with pytest.raises(ValueError, match=r"Own: an update\(\) of one's own"), cuda.graph(cuda.CUDAGraph()):
        opt.step()


def test_a_state_that_is_loaded_is_what_replays_go_on_from(cp):
    p = nn.Parameter(tinymed.ones(3).cuda())
    opt = optim.SGD([p], lr=0.1, momentum=0.9)
    p.grad = tinymed.ones(3).cuda()
    opt.step()
    start, weights = copy.deepcopy(opt.state_dict()), p.detach().clone()
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        opt.step()
    graph.replay()
    first = p.tolist()
    for rate, want in ((0.1, first), (0.2, (weights - 2 * (weights - tinymed.tensor(first).cuda())).tolist())):
        start["param_groups"][0]["lr"] = rate
        opt.load_state_dict(start)
        p.data.copy_(weights)
        graph.replay()
        np.testing.assert_allclose(p.tolist(), want, rtol=1e-6)


def test_launches_for_other_states_are_others(cp):
    """Centred, then with momentum, at the same addresses."""
    p, g, v, s = ([cp.full(3, value, np.float32)] for value in (1, 1, 4, 0))
    q = [x.copy() for x in p]
    cupy_optim.rmsprop_step(p, g, v, s, None, 0.0, 0.9, 1e-8, 0.0, 0.0)
    cupy_optim.rmsprop_step(p, g, v, None, s, 0.1, 0.9, 1e-8, 0.0, 0.5)
    assert s[0].tolist() != [0, 0, 0]
    assert p[0].tolist() != q[0].tolist()


# ---------------------------------------------------------------- fit(capture=True)


def fitted(capture, **how):
    """Epochs and weights of a fit."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((22, 1, 6, 6)).astype(np.float32), np.arange(22) % 2
    if how.pop("soft", False):
        y = rng.beta(0.3, 0.3, 22).astype(np.float32)
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    if "unfreezing" in how:  # what is recorded holds for the layers that learnt then
        how["callbacks"] = [GradualUnfreezing(model, optimizer, how.pop("unfreezing"))]
    if "total_steps" in how:
        how["scheduler"] = optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=how.pop("total_steps"))
    how = {"loss": "bce_with_logits", "optimizer": optimizer, "epochs": 3, "batch_size": 4, "seed": 0} | how
    history = fit(model, (x, y), validation=(x, y), verbose=False, capture=capture, **how)
    return history.epochs, [p.detach().cpu().numpy() for p in model.parameters()]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"class_weight": {0: 1, 1: 3}},
        {"class_weight": {0: 1, 1: 3}, "soft": True},
        {"total_steps": 18},
        {"clip_grad_norm": 0.05},
        {"unfreezing": 1},
    ],
    ids=str,
)
def test_fit_captured_is_fit(one_product, how):
    """Six batches of four, but for the last, which has two."""
    eager, captured = fitted(False, **how), fitted(True, **how)
    assert eager[0] == captured[0]
    for a, b in zip(eager[1], captured[1]):
        np.testing.assert_array_equal(a, b)


def test_a_batch_of_classes_after_one_of_soft_labels(one_product):
    """Rows that are all hard are classes: they are no numbers to be copied into a recording of rows."""
    x = np.random.default_rng(0).standard_normal((12, 36)).astype(np.float32)
    y = np.eye(2, dtype=np.float32)[np.arange(12) % 2]
    y[:4] = y[:4] * 0.5 + 0.25
    y[8:] = y[8:] * 0.8 + 0.1
    found = []
    for capture in (False, True):
        tinymed.manual_seed(0)
        model = nn.Sequential(nn.Linear(36, 2)).cuda()
        how = {"loss": "cross_entropy", "epochs": 2, "batch_size": 4, "shuffle": False, "verbose": False}
        history = fit(model, (x, y), optimizer=optim.SGD(model.parameters(), 0.1), capture=capture, **how)
        found.append((history.history, [p.detach().cpu().numpy().tolist() for p in model.parameters()]))
    assert found[0] == found[1]


@pytest.mark.parametrize("capture", [False, True])
def test_a_loss_that_breaks_leaves_the_weights_before(cp, capture):
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=1e30)
    x, y = np.ones((12, 1, 6, 6), np.float32), np.zeros(12)
    with pytest.raises(FloatingPointError, match="has the weights from before the last step again"):
        fit(
            model,
            (x, y),
            loss="bce_with_logits",
            optimizer=optimizer,
            epochs=3,
            batch_size=4,
            verbose=False,
            capture=capture,
        )
    for p in model.parameters():
        assert np.isfinite(p.detach().cpu().numpy()).all()


def test_the_cpu_captures_nothing():
    model = nn.Linear(2, 1)
    with pytest.raises(ValueError, match=r'model is on the CPU; use model.to\("cuda"\)'):
        fit(
            model,
            (np.ones((4, 2), np.float32), np.ones(4)),
            loss="mse",
            optimizer=optim.SGD(model.parameters(), lr=0.1),
            epochs=1,
            capture=True,
        )


def test_the_readmes_lines(cp):
    """As they stand there, with a model and batches at hand."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "CUDAGraph()" in c]
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 2)).cuda()
    x, y = tinymed.randn(4, 1, 6, 6).cuda(), tinymed.tensor([0, 1, 1, 0]).cuda()
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
    names = {"tinymed": tinymed, "nn": nn, "model": model, "optimizer": optimizer, "x": x, "y": y}
    names["batches"] = [(x.clone(), y.clone())] * 20
    exec(compile(code, "README.md", "exec"), names)
    assert names["loss"].item() < 0.1
    assert optimizer.state[model[1].bias]["step"] == 21


def test_without_a_gpu_there_is_one_sentence():
    if not cuda.is_available():
        with pytest.raises(ValueError, match="no GPU can be used"), cuda.graph(cuda.CUDAGraph()):
            pass
