"""The graph and the backward sweep: shapes of graphs, switches, refusals, hooks, memory."""

from __future__ import annotations

import copy
import gc
import threading
import weakref

import numpy as np
import pytest

import tinymed
from tinymed import nn
from tinymed.autograd import unbroadcast


def leaf(*values):
    return tinymed.tensor(np.array(values, dtype=np.float64), requires_grad=True)


def grad(x):
    return x.grad.numpy().tolist()


# ---------------------------------------------------------------- the sweep


def test_branches_of_unequal_length_meet():
    x = leaf(2.0)
    long = x
    for _ in range(5):
        long = long * 1.5
    y = x * long + x
    (y * y).sum().backward()
    slope = 2 * 1.5**5 * 2 + 1
    np.testing.assert_allclose(x.grad.numpy(), [2 * (4 * 1.5**5 + 2) * slope])


def test_a_leaf_used_many_times_and_gradients_add_up():
    x = leaf(1.0, 2.0)
    sum(x * k for k in range(1, 101)).sum().backward()
    assert grad(x) == [5050, 5050]
    x.sum().backward()
    assert grad(x) == [5051, 5051]


def test_a_leaf_can_be_the_root():
    x = tinymed.tensor(3.0, requires_grad=True)
    x.backward()
    assert x.grad.item() == 1


def test_only_what_requires_grad_gets_one():
    a, b = leaf(1.0), tinymed.tensor(np.array([2.0]))
    y = a * b
    y.sum().backward()
    assert grad(a) == [2]
    assert b.grad is None
    assert y.grad is None


def test_gradients_are_unbroadcast():
    a, b, c = (tinymed.randn(*s, requires_grad=True) for s in ((3, 1), (4,), ()))
    (a * b + c).sum().backward()
    assert [x.grad.shape for x in (a, b, c)] == [(3, 1), (4,), ()]
    assert unbroadcast(np.ones((2, 3, 4)), (3, 1)).tolist() == [[8], [8], [8]]


def test_a_gradient_of_the_wrong_shape_is_refused(monkeypatch):
    monkeypatch.setattr(tinymed.ops.elementwise.Exp, "backward", lambda ctx, g: np.ones((2, 7)))
    with pytest.raises(
        AssertionError, match=r"Exp.backward gave a gradient of shape \(2, 7\).*an input of shape \(2, 3\)"
    ):
        tinymed.zeros(2, 3, requires_grad=True).exp().sum().backward()


def test_a_gradient_comes_back_in_the_leafs_dtype():
    x = tinymed.ones(2, requires_grad=True)
    (x.double() * 2).sum().backward()
    assert x.grad.dtype == np.float32


def test_leaf_gradients_share_no_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).sum().backward()
    a.grad *= 10
    assert (grad(a), grad(b)) == ([10, 10], [1, 1])
    seed = np.ones(2)
    c = leaf(1.0, 2.0)
    c.backward(seed)
    c.grad.zero_()
    assert seed.tolist() == [1, 1]


def test_several_outputs_of_which_one_is_used():
    x = leaf(3.0, 1.0, 2.0)
    x.max(0).values.backward()
    assert grad(x) == [1, 0, 0]


# ---------------------------------------------------------------- refusals


def test_a_second_backward_needs_retain_graph():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert grad(x) == [8]
    with pytest.raises(ValueError, match=r"second time.*retain_graph=True"):
        y.backward()
    z = y * 2  # a new op on a graph that is gone
    with pytest.raises(ValueError, match="second time"):
        z.backward()


def test_backward_of_many_elements_needs_a_gradient():
    x = leaf(1.0, 2.0)
    with pytest.raises(ValueError, match=r"needs one element, got shape \(2,\)"):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"expected shape \(2,\).*got \(3,\)"):
        (x * 2).backward(tinymed.ones(3))
    (x * 2).backward([1, 10])
    assert grad(x) == [2, 20]


def test_backward_without_a_graph():
    for y in (tinymed.ones(1), leaf(1.0).detach(), tinymed.ones(1) * 2):
        with pytest.raises(ValueError, match="no graph"):
            y.backward()


# ---------------------------------------------------------------- switches


def test_no_grad_and_enable_grad_nest():
    x = leaf(1.0)
    with tinymed.no_grad():
        assert not (x * 2).requires_grad
        with tinymed.enable_grad():
            assert (x * 2).requires_grad
            with tinymed.no_grad():
                assert not tinymed.is_grad_enabled()
        assert not tinymed.is_grad_enabled()
    assert (x * 2).requires_grad


def test_switches_as_decorators_and_after_an_error():
    @tinymed.no_grad()
    def predict(x, depth):
        return x * 2 if depth == 0 else predict(x, depth - 1)

    @tinymed.enable_grad()
    def train(x):
        return x * 2

    x = leaf(1.0)
    assert not predict(x, 3).requires_grad
    with tinymed.no_grad():
        assert train(x).requires_grad
    with pytest.raises(KeyError), tinymed.no_grad():
        raise KeyError
    assert tinymed.is_grad_enabled()


def test_modes_belong_to_a_thread():
    seen = {}
    with tinymed.no_grad():
        thread = threading.Thread(target=lambda: seen.update(grad=tinymed.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == {"grad": True}


def test_threads_build_graphs_side_by_side():
    found = [None] * 4

    def work(k):
        x = leaf(float(k))
        for _ in range(30):
            x.grad = None
            y = x
            for _ in range(30):
                y = y + x
            y.sum().backward()
        found[k] = grad(x)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[31.0]] * 4


# ---------------------------------------------------------------- detach, hooks, copies


def test_detach_shares_numbers_and_cuts_the_graph():
    x = leaf(1.0, 2.0)
    d = (x * 2).detach()
    assert not d.requires_grad
    assert d.is_leaf
    assert x.data.array is x.array
    (x * d).sum().backward()
    assert grad(x) == [2, 4]


def test_hooks_see_the_whole_gradient_once_and_may_replace_it():
    x = leaf(1.0, 2.0)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.numpy().tolist()))
    y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    (y + y).sum().backward()
    assert seen == [[2, 2]]
    assert grad(x) == [41, 41]
    with pytest.raises(ValueError, match="hook"):
        tinymed.ones(1).register_hook(print)


def test_retain_grad():
    x = leaf(1.0)
    y = x * 2
    y.retain_grad()
    (y * y).sum().backward()
    assert (grad(y), grad(x)) == ([4], [8])
    x.retain_grad()  # nothing to do on a leaf


def test_deepcopy_of_a_leaf_alone():
    x = leaf(1.0)
    x.sum().backward()
    y = copy.deepcopy(x)
    y.grad.zero_()
    assert y.requires_grad
    assert grad(x) == [1]
    with pytest.raises(ValueError, match="only leaves"):
        copy.deepcopy(x * 2)


def test_requires_grad_can_be_set_on_floats_only_and_unset_on_leaves_only():
    with pytest.raises(TypeError, match=r"int64.*x\.float\(\)"):
        tinymed.arange(3).requires_grad_()
    with pytest.raises(ValueError, match="leaves only"):
        (leaf(1.0) * 2).requires_grad_(False)
    assert not leaf(1.0).requires_grad_(False).requires_grad


# ---------------------------------------------------------------- memory


def test_backward_frees_the_graph():
    x = tinymed.ones(10, requires_grad=True)
    y = x.exp()
    kept = weakref.ref(y.grad_fn.y)  # the array that Exp kept for backward
    z = y.sum()
    held = weakref.ref(y)
    del y
    assert held() is not None
    z.backward()
    gc.disable()
    try:
        assert held() is None
        assert kept() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------- detect_anomaly


@pytest.mark.filterwarnings("ignore:.*encountered")
def test_anomaly_names_the_op_and_the_place():
    x = leaf(1.0, -1.0)
    with (
        tinymed.detect_anomaly(),
        pytest.raises(FloatingPointError, match=r"Log forward gave nan at index \[1\] of shape \(2,\)"),
    ):
        x.log()
    with tinymed.detect_anomaly():
        y = leaf(4.0, 0.0).sqrt().sum()
        with pytest.raises(FloatingPointError, match=r"Sqrt backward gave inf at index \[1\]") as caught:
            y.backward()
    assert "test_autograd.py" in str(caught.value)
    assert np.isnan(x.log().detach().numpy()[1])  # outside, nothing is checked


def test_anomaly_names_the_layers_path():
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.Linear(2, 1)))
    with tinymed.no_grad():
        net[1][1].weight[0, 0] = float("inf")
    with tinymed.detect_anomaly(), pytest.raises(FloatingPointError, match=r"1\.1 \(Linear.*\n?.*Linear forward gave"):
        net(tinymed.ones(1, 2) + 1)


def test_a_gradient_is_kept_where_nobody_else_has_its_memory():
    """And which is laid out as its leaf, be it images with their channels last."""
    x = tinymed.Tensor(np.ones((2, 3, 4), np.float32).transpose(2, 0, 1)).requires_grad_()
    c = tinymed.tensor(np.arange(24.0, dtype=np.float32).reshape(2, 3, 4))
    (x.permute(1, 2, 0) * c).sum().backward()
    assert x.grad.array.strides == x.array.strides
    assert x.grad.array.base is not None
    np.testing.assert_array_equal(x.grad.array, c.array.transpose(2, 0, 1))
    seen = []
    y = x.permute(1, 2, 0)
    y.register_hook(lambda g: seen.append(g.array))  # which now has the memory too
    x.grad = None
    (y * c).sum().backward()
    assert not np.shares_memory(x.grad.array, seen[0])


def test_a_gradient_that_is_one_number_over_many_is_not_kept():
    for leaf in (tinymed.tensor(1.0), tinymed.ones(1).expand(3).detach(), tinymed.ones(1, 1)):
        leaf.requires_grad_()
        leaf.reshape(-1).sum().backward()
        leaf.grad += 1  # its own memory
        assert leaf.grad.tolist() == (np.ones(leaf.shape) * 2).tolist()
