"""Dropout on a GPU: repeats from its seed, draws its mask again for the gradient, and draws anew at each replay."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tinymed
import tinymed.nn.functional as F
from tinymed import cuda, nn


@pytest.fixture(autouse=True)
def own_streams(monkeypatch):
    monkeypatch.setattr(tinymed.default_generator, "_gpus", {})


def dropped(x, p=0.4, dropout=F.dropout, **how):
    """The output where x is 1, and the gradient of its sum."""
    x = x.detach().requires_grad_()
    y = dropout(x, p, **how)
    y.backward(tinymed.ones_like(y))
    return y.detach().cpu().numpy(), x.grad.cpu().numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1001,), (7, 3, 5), (2, 3, 4, 5)])
def test_the_gradient_is_dropped_alike(cp, shape, dtype):
    y, gx = dropped(tinymed.ones(*shape).to(dtype).cuda())
    np.testing.assert_array_equal(y, gx)
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.6], rtol=1e-6)
    if y.size > 1000:
        assert abs(y.mean() - 1) < 0.1


def test_memory_in_another_order(cp):
    """Channels last in memory, and the gradient's first."""
    x = tinymed.ones(2, 5, 4, 3).cuda().permute(0, 3, 1, 2)
    y, gx = dropped(x)
    np.testing.assert_array_equal(y, gx)
    assert F.dropout(x).array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_whole_channels(cp):
    y, gx = dropped(tinymed.ones(6, 50, 2, 3).cuda(), dropout=F.dropout2d)
    np.testing.assert_array_equal(y, gx)
    assert (y == y[:, :, :1, :1]).all()
    assert 0.5 < (y > 0).mean() < 0.7


def test_nothing_and_all(cp):
    x = tinymed.ones(5).cuda()
    assert F.dropout(x, 0.0) is x
    assert F.dropout(x, 0.4, training=False) is x
    assert F.dropout(x, 1.0).tolist() == [0] * 5
    assert F.dropout(x[:0]).shape == (0,)


def test_a_seed_repeats_whatever_is_drawn_elsewhere(cp):
    x = tinymed.ones(100).cuda()
    tinymed.manual_seed(3)
    one, two = dropped(x)[0], dropped(x)[0]
    assert (one != two).any()
    tinymed.manual_seed(3)
    tinymed.randn(7)
    again = dropped(x)[0]
    on_cpu = tinymed.randn(3).tolist()
    np.testing.assert_array_equal(again, one)
    np.testing.assert_array_equal(dropped(x)[0], two)
    tinymed.manual_seed(3)
    tinymed.randn(7)
    assert tinymed.randn(3).tolist() == on_cpu  # nor does the GPU's draw move the CPU's stream
    tinymed.manual_seed(4)
    assert (dropped(x)[0] != one).any()
    own = [dropped(x, generator=tinymed.Generator(3))[0] for _ in range(2)]
    np.testing.assert_array_equal(*own)
    np.testing.assert_array_equal(own[0], one)


def test_a_state_goes_on(cp):
    x, generator = tinymed.ones(50).cuda(), tinymed.Generator(0)
    dropped(x, generator=generator)
    state = json.loads(json.dumps(generator.get_state()))
    want = [dropped(x, generator=generator)[0] for _ in range(2)]
    for other in (generator, tinymed.Generator(1)):  # the second has no stream on the GPU yet
        other.set_state(state)
        assert other.get_state() == state
        for y in want:
            np.testing.assert_array_equal(dropped(x, generator=other)[0], y)


def test_each_replay_draws_anew(cp):
    x, model = tinymed.ones(2, 40).cuda(), nn.Dropout(0.5)

    def step():
        leaf = x.detach().requires_grad_()
        y = model(model(leaf))
        y.backward(tinymed.ones_like(y))
        return y.detach(), leaf.grad

    tinymed.manual_seed(0)
    eager = [step()[0].tolist() for _ in range(4)]
    tinymed.manual_seed(0)
    assert step()[0].tolist() == eager[0]
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        y, gx = step()
    for want in eager[1:]:
        graph.replay()
        assert y.tolist() == want == gx.tolist()
    tinymed.manual_seed(0)  # the graph's own stream starts anew too
    graph.replay()
    assert y.tolist() == eager[0]


def test_between_recurrent_layers(cp):
    model, x = nn.GRU(3, 8, 2, dropout=0.5).cuda(), tinymed.ones(4, 2, 3).cuda()
    tinymed.manual_seed(0)
    one, two = model(x)[0].tolist(), model(x)[0].tolist()
    assert one != two
    tinymed.manual_seed(0)
    assert model(x)[0].tolist() == one


def test_whole_numbers_are_refused(cp):
    with pytest.raises(TypeError, match=r"dropout: the GPU's kernels compute in float32 or float64, got int64"):
        F.dropout(tinymed.ones(3, dtype=np.int64).cuda())
