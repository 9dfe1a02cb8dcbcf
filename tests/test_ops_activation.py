"""Activations, normalisation, dropout, embedding and losses against PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinymed
import tinymed.nn.functional as F
from tinymed.gradcheck import gradcheck

A = (3, 4)
WIDE = np.linspace(-9, 9.1, 12).reshape(A)  # both saturated ends, and ReLU6's upper one
LABELS = np.array([2, 0, 3])
PIXELS = np.array([[[0, 1], [3, 2]], [[1, 1], [0, 3]]])
WEIGHT = np.array([0.5, 1.0, 2.0, 0.1])
rng = np.random.default_rng(0)
SOFT = rng.dirichlet(np.ones(4), 3)
P, Q = rng.uniform(0.05, 0.95, A), rng.uniform(0, 1, A)

ACTIVATIONS = {
    "relu": (lambda t, x: [t.relu(x), x.relu()], WIDE),
    "relu6": (lambda t, x: t.nn.functional.relu6(x), WIDE),
    "leaky_relu": (lambda t, x: t.nn.functional.leaky_relu(x, 0.2), WIDE),
    "prelu": (lambda t, x, a: t.nn.functional.prelu(x, a), WIDE, (4,)),
    "prelu of images": (lambda t, x, a: t.nn.functional.prelu(x, a), (2, 3, 2, 2), (3,)),
    "elu": (lambda t, x: t.nn.functional.elu(x, 1.5), WIDE),
    "gelu": (lambda t, x: t.nn.functional.gelu(x), A),
    "gelu tanh": (lambda t, x: t.nn.functional.gelu(x, approximate="tanh"), A),
    "silu": (lambda t, x: t.nn.functional.silu(x), WIDE),
    "softplus": (lambda t, x: t.nn.functional.softplus(x, beta=2.0, threshold=10.0), WIDE),
    "sigmoid": (lambda t, x: [t.sigmoid(x), x.sigmoid()], WIDE),
    "tanh": (lambda t, x: [t.tanh(x), x.tanh()], WIDE),
    "softmax": (lambda t, x: [t.softmax(x, 1), x.softmax(0)], A),
    "log_softmax": (lambda t, x: [t.log_softmax(x, -1), x.log_softmax(0)], A),
    "softmax of images": (lambda t, x: t.nn.functional.softmax(x, dim=1), (2, 3, 2, 2)),
}
NORMS = {
    "batch_norm": (
        lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, training=True),
        (4, 3, 2, 2),
        (3,),
        (3,),
    ),
    "batch_norm (N,C)": (lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True, eps=1e-2), (5, 3)),
    "batch_norm eval": (
        lambda t, x, m, v, w: t.nn.functional.batch_norm(x, m.detach(), v.detach(), w),
        (2, 3, 4),
        (3,),
        np.array([1.0, 2.0, 0.5]),
        (3,),
    ),
    "layer_norm": (lambda t, x, w, b: t.nn.functional.layer_norm(x, (4,), w, b), (2, 3, 4), (4,), (4,)),
    "layer_norm of two axes": (lambda t, x: t.nn.functional.layer_norm(x, (3, 4), eps=1e-3), (2, 3, 4)),
    "group_norm": (lambda t, x, w, b: t.nn.functional.group_norm(x, 2, w, b), (2, 4, 3), (4,), (4,)),
    "normalize": (lambda t, x: [t.nn.functional.normalize(x), t.nn.functional.normalize(x, 1, 0)], (2, 3, 4)),
    "normalize of nothing": (lambda t, x: t.nn.functional.normalize(x, eps=2.0), np.array([[0.1, 0.0], [3.0, 4.0]])),
    "embedding": (lambda t, i, w: t.nn.functional.embedding(i, w), np.array([[0, 2], [2, 4]]), (5, 3)),
    "embedding padding": (
        lambda t, i, w: t.nn.functional.embedding(i, w, padding_idx=2),
        np.array([[0, 2], [2, 4]]),
        (5, 3),
    ),
    "interpolate": (lambda t, x: t.nn.functional.interpolate(x, scale_factor=2), (1, 2, 3, 4)),
    "interpolate size": (lambda t, x: t.nn.functional.interpolate(x, size=(2, 7)), (1, 2, 3, 4)),
    "interpolate 1d": (lambda t, x: t.nn.functional.interpolate(x, size=5), (1, 2, 3)),
    "interpolate 3d": (lambda t, x: t.nn.functional.interpolate(x, scale_factor=(1, 2, 1.5)), (1, 1, 2, 2, 4)),
    "interpolate to the same": (lambda t, x: t.nn.functional.interpolate(x, scale_factor=1.3), (1, 2, 3, 5)),
    "interpolate to the double": (lambda t, x: t.nn.functional.interpolate(x, scale_factor=2.3), (1, 2, 2, 4)),
}


def _ce(*samples, **how):
    return lambda t, x, y, *w: t.nn.functional.cross_entropy(x, y, *(v.detach() for v in w), **how), *samples


def _loss(name, *samples, **how):
    return lambda t, x, y: getattr(t.nn.functional, name)(x, y.detach(), **how), *samples


LOSSES = {
    **{f"mse {r}": _loss("mse_loss", A, A, reduction=r) for r in ("mean", "sum", "none")},
    "l1": _loss("l1_loss", A, A),
    "smooth_l1": _loss("smooth_l1_loss", WIDE / 5, A),
    "smooth_l1 beta": _loss("smooth_l1_loss", WIDE / 5, A, beta=0.3, reduction="none"),
    **{f"ce {r}": _ce(A, LABELS, reduction=r) for r in ("mean", "sum", "none")},
    "ce weight": _ce(A, LABELS, WEIGHT),
    "ce smoothing": _ce(A, LABELS, label_smoothing=0.2),
    "ce weight smoothing": _ce(A, LABELS, WEIGHT, label_smoothing=0.2),
    "ce ignore": _ce(A, LABELS, WEIGHT, ignore_index=0, label_smoothing=0.1),
    "ce ignore none": _ce(A, np.array([1, -100, 2]), reduction="none", label_smoothing=0.1),
    "ce pixels": _ce((2, 4, 2, 2), PIXELS, WEIGHT, ignore_index=1),
    "ce pixels smoothing": _ce((2, 4, 2, 2), PIXELS, label_smoothing=0.1),
    "ce one sample": _ce((4,), np.array(2)),
    "ce probabilities": _ce(A, SOFT),
    "ce probabilities weight": _ce(A, SOFT, WEIGHT, label_smoothing=0.1),
    "ce batch of one": _ce((1, 4), LABELS[:1]),
    **{
        f"nll {r}": (lambda t, x, y, r=r: t.nn.functional.nll_loss(x, y, reduction=r), A, LABELS)
        for r in ("mean", "sum", "none")
    },
    "nll weight": (lambda t, x, y, w: t.nn.functional.nll_loss(x, y, w.detach(), ignore_index=3), A, LABELS, WEIGHT),
    "nll pixels": (lambda t, x, y: t.nn.functional.nll_loss(x, y), (2, 4, 2, 2), PIXELS),
    "bce": _loss("binary_cross_entropy", P, Q),
    "bce none": _loss("binary_cross_entropy", P, Q, reduction="none"),
    "bce weight": (lambda t, x, y, w: t.nn.functional.binary_cross_entropy(x, y.detach(), w.detach()), P, Q, Q),
    "bce logits": _loss("binary_cross_entropy_with_logits", WIDE, Q),
    "bce logits pos_weight": (
        lambda t, x, y, w: t.nn.functional.binary_cross_entropy_with_logits(x, y.detach(), pos_weight=w.detach()),
        WIDE,
        Q,
        WEIGHT,
    ),
    "bce by the target": (lambda t, x, y: t.nn.functional.binary_cross_entropy(x, y), P, Q),
    "bce logits by the target": (
        lambda t, x, y, w: t.nn.functional.binary_cross_entropy_with_logits(x, y, pos_weight=w.detach()),
        WIDE,
        Q,
        WEIGHT,
    ),
    "kl": _loss("kl_div", A, SOFT, reduction="batchmean"),
    "kl of one number": _loss("kl_div", (), np.array(0.3), reduction="batchmean"),
    "ce all ignored": _ce(A, LABELS * 0 + 7, ignore_index=7, reduction="sum"),
    "kl sum": _loss("kl_div", A, SOFT, reduction="sum"),
    "kl log target": _loss("kl_div", A, np.log(SOFT), log_target=True, reduction="none"),
}
ROWS = ACTIVATIONS | NORMS | LOSSES


@pytest.mark.filterwarnings("ignore:.*reduction.*mean.*batchmean")
@pytest.mark.parametrize("name", ROWS)
def test_op_is_pytorchs(as_torch, name):
    as_torch(*ROWS[name], numeric=name != "embedding padding")  # whose row has, on purpose, no gradient


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_numbers_saturate_without_a_warning(dtype):
    x = tinymed.tensor(np.array([[-1e4, -800.0, 0.0, 800.0, 1e4]], dtype), requires_grad=True)
    one_hot = tinymed.tensor(np.array([[0, 0, 0, 0, 1]], dtype))
    outputs = [F.sigmoid(x), F.tanh(x), F.softmax(x, 1), F.log_softmax(x, 1), F.softplus(x), F.silu(x), F.elu(x),
               F.gelu(x), F.cross_entropy(x, tinymed.tensor([0])),
               F.binary_cross_entropy_with_logits(x, one_hot)]  # fmt: skip
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for y in outputs:
            assert np.isfinite(y.detach().numpy()).all()
            y.sum().backward()
            assert np.isfinite(x.grad.numpy()).all()


def test_options_of_numpy_leave_a_float32_graph_in_float32():
    n = np.float64
    calls = [
        lambda x: F.elu(x, n(1)), lambda x: F.leaky_relu(x, n(0.1)), lambda x: F.softplus(x, n(1), n(20)),
        lambda x: F.dropout(x, n(0.5)), lambda x: F.layer_norm(x, (4,), eps=n(1e-5)),
        lambda x: F.batch_norm(x, None, None, training=True, eps=n(1e-5)), lambda x: F.group_norm(x, 2, eps=n(1e-5)),
        lambda x: F.cross_entropy(x, tinymed.tensor(LABELS), label_smoothing=n(0.1)), lambda x: x.norm(n(3)),
        lambda x: F.binary_cross_entropy_with_logits(x, x.detach().sigmoid(), tinymed.tensor(np.ones(4))),
        lambda x: F.scaled_dot_product_attention(x, x, x, scale=n(0.5)), lambda x: tinymed.add(x, x, alpha=n(2)),
    ]  # fmt: skip
    for call in calls:
        x = tinymed.ones(3, 4, requires_grad=True)
        y = call(x)
        assert y.dtype == np.float32
        y.sum().backward()
        assert x.grad.dtype == np.float32


def test_bce_at_0_and_1_is_pytorchs(as_torch):
    as_torch(
        lambda t, x, y: t.nn.functional.binary_cross_entropy(x, y.detach(), reduction="none"),
        np.array([0.0, 1.0, 0.0, 1.0]),
        np.array([0.0, 1.0, 1.0, 0.0]),
        numeric=False,
    )


def test_batch_norm_moves_its_statistics_as_pytorch(as_torch):
    def step(t, x, m, v):
        mean, var = m.detach().clone(), v.detach().clone()
        y = t.nn.functional.batch_norm(x, mean, var, training=True, momentum=0.3)
        return [y, mean, var]

    as_torch(step, (4, 3, 5), (3,), np.array([1.0, 2.0, 0.5]), numeric=False)


def test_dropout_keeps_the_mean_and_its_mask_is_the_gradient():
    tinymed.manual_seed(0)
    x = tinymed.ones(200, 200, requires_grad=True)
    y = F.dropout(x, 0.3)
    values = y.detach().numpy()
    assert set(np.unique(values)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((values == 0).mean() - 0.3) < 0.01
    assert abs(values.mean() - 1) < 0.02
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), values)
    assert F.dropout(x, 0.3, training=False) is x
    assert (F.dropout(x, 1.0).detach().numpy() == 0).all()
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.dropout(x, 1.5)
    with pytest.raises(AssertionError, match="different results"):
        gradcheck(F.dropout, tinymed.ones(20, dtype=np.float64, requires_grad=True))


def test_bad_losses_are_named():
    x, t = tinymed.zeros(4, 1), tinymed.zeros(4)
    for loss in (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.binary_cross_entropy, F.binary_cross_entropy_with_logits):
        with pytest.raises(ValueError, match=r"\(4, 1\) and target \(4,\).*reshape"):
            loss(x, t)
        with pytest.raises(ValueError, match="empty"):
            loss(x[:0], x[:0])
    scores = tinymed.zeros(3, 4)
    with pytest.raises(IndexError, match=r"class 4 at \[1\] is outside 0…3"):
        F.cross_entropy(scores, tinymed.tensor([0, 4, 1]))
    with pytest.raises(TypeError, match="long"):
        F.cross_entropy(scores, tinymed.tensor([0.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="empty"):
        F.cross_entropy(scores[:0], tinymed.zeros(0, dtype=np.int64))
    with pytest.raises(ValueError, match="every target is ignore_index"):
        F.cross_entropy(scores, tinymed.tensor([-100, -100, -100]))
    with pytest.raises(ValueError, match="or weighs 0"):
        F.cross_entropy(scores, tinymed.tensor([1, 1, 1]), weight=tinymed.tensor([1.0, 0.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="squeeze"):
        F.cross_entropy(scores, tinymed.tensor([[0], [1], [2]]))
    with pytest.raises(ValueError, match="reduction"):
        F.mse_loss(x, x, reduction="average")
    with pytest.raises(IndexError, match=r"index 5 at \[0\].*0…4"):
        F.embedding(tinymed.tensor([5]), tinymed.zeros(5, 2))
    with pytest.raises(ValueError, match="more than one value a channel"):
        F.batch_norm(tinymed.zeros(1, 3), None, None, training=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_an_ignored_row_may_hold_anything(smoothing):
    scores = tinymed.tensor([[-math.inf, 1.0, 2.0], [1.0, 2.0, 3.0], [math.nan, 0.0, 0.0]], requires_grad=True)
    target = tinymed.tensor([-100, 1, -100])
    loss = tinymed.nn.functional.cross_entropy(scores, target, label_smoothing=smoothing)
    loss.backward()
    alone = tinymed.nn.functional.cross_entropy(scores.detach()[1:2], target[1:2], label_smoothing=smoothing)
    assert loss.item() == pytest.approx(alone.item())
    assert (scores.grad.array[[0, 2]] == 0).all()


def test_cross_entropy_of_large_scores():
    for scores, want in (([[1e8] * 3], math.log(3)), ([[30.0, 15.0, 10.0]], 3.0795e-7)):
        loss = tinymed.nn.functional.cross_entropy(tinymed.tensor(scores), tinymed.tensor([0]))
        assert loss.item() == pytest.approx(want, rel=0.2)
