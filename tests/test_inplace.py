"""Writes in place: what a graph still needs cannot be written over, and what was written over is noticed."""

from __future__ import annotations

import numpy as np
import pytest

import tinymed


def leaf(*values):
    return tinymed.tensor(np.array(values, dtype=np.float64), requires_grad=True)


IN_PLACE = {
    r"x \+= value": lambda x: x.__iadd__(1),
    "x -= value": lambda x: x.sub_(1),
    r"x \*= value": lambda x: x.mul_(2),
    "x /= value": lambda x: x.__itruediv__(2),
    r"x\[…\] = value": lambda x: x.__setitem__(0, 1.0),
    r"x\.fill_": lambda x: x.fill_(1),
    r"x\.fill_\(value\)": lambda x: x.zero_(),
    r"x\.copy_": lambda x: x.copy_(np.zeros(2)),
    r"x\.clamp_": lambda x: x.clamp_(0, 1),
    r"x\.normal_": lambda x: x.normal_(),
    r"x\.uniform_": lambda x: x.uniform_(),
}


@pytest.mark.parametrize("what", IN_PLACE)
def test_writes_into_a_graph_are_refused(what):
    x = leaf(1.0, 2.0)
    with pytest.raises(ValueError, match=f"^{what}.* would overwrite a leaf that requires grad.*no_grad"):
        IN_PLACE[what](x)
    y = x * 2
    for target in (y, y[:1]):
        with pytest.raises(ValueError, match=f"^{what}.* would overwrite the result of (Mul|Slice)"):
            IN_PLACE[what](target)
    np.testing.assert_array_equal(y.detach().numpy(), [2, 4])
    with tinymed.no_grad():
        IN_PLACE[what](x)
    frozen = np.zeros(2)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        IN_PLACE[what](tinymed.from_numpy(frozen))
    assert (frozen == 0).all()


def test_a_value_that_requires_grad_is_not_lost_in_silence():
    with pytest.raises(ValueError, match="would lose its gradient"):
        tinymed.zeros(2)[0] = leaf(1.0)[0]
    x = tinymed.zeros(1)
    with pytest.raises(ValueError, match="would lose its gradient"):
        x += tinymed.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match="would lose its gradient"):
        x.copy_(tinymed.ones(1, requires_grad=True))


def test_the_version_counts_writes_and_backward_sees_them():
    x, w = leaf(1.0, 2.0), tinymed.tensor(np.array([3.0, 4.0]))
    y = (x * w).sum()
    w += 1
    with pytest.raises(ValueError, match="input of Mul was changed in place"):
        y.backward()


VIEWS = [lambda w: w[:1], lambda w: w[0], lambda w: w.reshape(2, 1), lambda w: w.detach(), lambda w: w.T]


@pytest.mark.parametrize("view", VIEWS)
def test_views_share_memory_and_version(view):
    x, w = leaf(1.0, 2.0), tinymed.tensor(np.array([3.0, 4.0]))
    y = (x * w).sum()
    view(w).fill_(7)
    assert w.array[0] == 7
    with pytest.raises(ValueError, match="changed in place"):
        y.backward()


def test_a_parameter_written_under_no_grad_is_seen_too():
    w = leaf(1.0)
    y = (w * w).sum()
    with tinymed.no_grad():
        w -= 0.1
    with pytest.raises(ValueError, match="changed in place"):
        y.backward()


def test_what_an_expanded_tensor_stands_on_is_watched_too():
    x, w = leaf(1.0, 2.0), tinymed.ones(1, dtype=np.float64)
    y = (x * w.expand(2)).sum()
    w += 1
    with pytest.raises(ValueError, match="changed in place"):
        y.backward()


@pytest.mark.parametrize("copy", [lambda w: w.flip(0), lambda w: w[[0, 1]], lambda w: tinymed.einsum("i->i", w)])
def test_what_is_no_view_in_pytorch_is_none_here(copy):
    w = tinymed.ones(2)
    copy(w).fill_(7)
    assert w.tolist() == [1, 1]


WRITES = {
    "integer before an array": lambda t, x: x.__setitem__((0, slice(None), [1, 2]), t.tensor([[1.0, 2.0]] * 3)),
    "one number from a vector": lambda t, x: x.__setitem__((0, 0, 0), t.tensor([2.5])),
    "mask": lambda t, x: x.__setitem__(x > 3, -1.0),
    "array twice": lambda t, x: x.__setitem__(([0, 1], slice(None), t.tensor([0, 2])), 5.0),
}


@pytest.mark.parametrize("name", WRITES)
def test_writes_by_index_are_pytorchs(name):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    ours, theirs = tinymed.tensor(array), torch.tensor(array)
    WRITES[name](tinymed, ours)
    WRITES[name](torch, theirs)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_numbers_of_numpy_do_not_widen_and_what_does_not_fit_is_named():
    x = tinymed.tensor([1, 2], dtype=np.uint8)
    x += np.int64(1)
    assert x.tolist() == [2, 3]
    with pytest.raises(TypeError, match="the result is no uint8"):
        x += 1.5
