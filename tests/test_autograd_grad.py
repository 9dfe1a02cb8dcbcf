"""autograd.grad: gradients as a result, against PyTorch, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import tinymed


def test_grad_is_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    rng = np.random.default_rng(0)
    a, b, g = (rng.standard_normal((2, 3)) for _ in range(3))
    found = []
    for t in (tinymed, torch):
        x, w, alone = (t.tensor(v, requires_grad=True) for v in (a, b, b))
        y = x * w
        z, root = (y.exp() * x).sum(), y * y
        grads = t.autograd.grad((z, root), (x, y, w, z), (t.tensor(1.0, dtype=t.float64), t.tensor(g)), True)
        (again,) = t.autograd.grad(root, x, t.tensor(g), retain_graph=True)
        (of_a_leaf,) = t.autograd.grad(w.sum() + (w * w).sum(), [w])
        assert t.autograd.grad(z, [x, alone], allow_unused=True)[1] is None
        assert x.grad is None
        assert w.grad is None
        found.append([v.numpy() for v in (*grads, again, of_a_leaf)])
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_grad_frees_the_graph_unless_told():
    x = tinymed.tensor([2.0], requires_grad=True)
    y = (x * x).sum()
    assert tinymed.autograd.grad(y, x, retain_graph=True)[0].tolist() == [4.0]
    assert tinymed.autograd.grad(y, x)[0].tolist() == [4.0]
    with pytest.raises(ValueError, match="a second time"):
        tinymed.autograd.grad(y, x)


def test_what_grad_refuses():
    x, free = tinymed.ones(2, requires_grad=True), tinymed.ones(2)
    for arguments, message in (
        ((x * 2, x), "needs one element, got shape"),
        ((x.sum(), [x, free]), "input 1 does not require grad"),
        ((free, x), "output 0 does not require grad"),
        (((x * 2).sum(), x * 3), "not made from input 0"),
        (([x.sum()], x, [free, free]), "1 outputs need as many grad_outputs, got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            tinymed.autograd.grad(*arguments)


def test_inference_mode_builds_no_graph():
    x = tinymed.ones(2, requires_grad=True)
    with tinymed.inference_mode():
        assert not (x * 2).requires_grad
    assert tinymed.inference_mode()(lambda: x * 2)().requires_grad is False


def test_grads_of_leaves_share_no_memory():
    """An op that passes one array on to both inputs, a view, the user's own gradient: each leaf has its own."""
    a, b, c = (tinymed.tensor([1.0, 2.0], requires_grad=True) for _ in range(3))
    seed = tinymed.tensor([3.0, 4.0])
    (a + b).backward(seed)
    c.reshape(1, 2).backward(seed.reshape(1, 2))
    for leaf in (a, b, c):
        leaf.grad.array[0] = 100
    assert seed.tolist() == [3.0, 4.0]
    a.grad.array[1] = -1
    assert b.grad.tolist() == [100.0, 4.0]
    assert c.grad.tolist() == [100.0, 4.0]
