"""What a loss says of labels and outputs; class weights; what fit, evaluate and predict refuse."""

from __future__ import annotations

import numpy as np
import pytest

import tinymed
from tinymed import nn, optim
from tinymed.data import DataLoader, TensorDataset
from tinymed.training import fit, predict
from tinymed.training.objective import Objective, class_weights

BCE = "binary_cross_entropy_with_logits"
X = np.random.default_rng(0).standard_normal((64, 2)).astype(np.float32)
Y = (X[:, 0] + 0.1 * X[:, 1] > 0).astype(np.int64)


def network(outputs=1):
    tinymed.manual_seed(3)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, outputs))


def run(model, data, loss=BCE, epochs=2, **how):
    how = {"verbose": False, "seed": 0, **how}
    return fit(model, data, loss=loss, optimizer=optim.Adam(model.parameters(), 0.05), epochs=epochs, **how)


# ---------------------------------------------------------------- class weights


def test_class_weights():
    y = np.array([0, 0, 0, 1])
    np.testing.assert_allclose(class_weights("balanced", y), [4 / 6, 2])
    np.testing.assert_allclose(class_weights({0: 1, 1: 3}, y[:, None]), [1, 3])
    with pytest.raises(ValueError, match="no weight for class 1"):
        class_weights({0: 1}, y)
    output = tinymed.tensor([[1.0, 0.0], [0.5, 2.0]])
    target, w = tinymed.tensor([0, 1]), np.array([1.0, 3.0])
    each = nn.functional.cross_entropy(output, target, reduction="none").array
    for loss in ("cross_entropy", nn.CrossEntropyLoss()):
        assert Objective(loss)(output, target, tinymed.tensor(w)).item() == pytest.approx((each * w).mean(), rel=1e-6)
    with pytest.raises(ValueError, match="weigh its samples itself"):
        run(network(), (X, Y), lambda o, t: (o.reshape(-1) - t).abs().mean(), class_weight="balanced")


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 3.0]])
def test_soft_labels_are_the_mix_of_hard_ones(outputs, weight):
    """λ·ℓ(a) + (1 − λ)·ℓ(b), each class by its weight: in PyTorch, cross_entropy of probabilities."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    rng = np.random.default_rng(0)
    scores = tinymed.tensor(rng.standard_normal((6, outputs)), requires_grad=True)
    loss, classes = (BCE, 2) if outputs == 1 else ("cross_entropy", 3)
    objective, mixed = Objective(loss), rng.dirichlet(np.ones(classes), 6)
    mixed[0] = np.eye(classes)[1]  # one is hard
    weights = None if weight is None else np.array(weight[:classes])

    def ours(y):
        target, counts = objective.target(scores, tinymed.tensor(y)), None
        if weights is not None:
            target, counts = objective.weighted(target, weights)
        return objective(scores, target, counts)

    found = ours(mixed[:, 1:] if outputs == 1 else mixed)
    hard = (np.full(6, c) if outputs > 1 else np.full((6, 1), c) for c in range(classes))
    each = [nn.functional.cross_entropy(scores, tinymed.tensor(y), reduction="none") if outputs > 1
            else nn.functional.binary_cross_entropy_with_logits(scores, tinymed.tensor(y * 1.0), reduction="none")
            for y in hard]  # fmt: skip
    each = np.stack([e.detach().array.reshape(6) for e in each], 1) * (1 if weights is None else weights)
    assert found.item() == pytest.approx((mixed * each).sum(1).mean(), rel=1e-12)
    found.backward()
    z = torch.tensor(scores.detach().array, requires_grad=True)
    both = z if outputs > 1 else torch.cat([torch.zeros_like(z), z], 1)  # σ(z) is the softmax of (0, z)
    w = None if weights is None else torch.tensor(weights)
    (torch.nn.functional.cross_entropy(both, torch.tensor(mixed), w, reduction="sum") / 6).backward()
    np.testing.assert_allclose(scores.grad.array, z.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_fit_with_soft_labels():
    """As mixup makes them. The metrics go by the likelier class, "balanced" by the shares."""
    rng = np.random.default_rng(0)
    share = rng.beta(0.3, 0.3, (64, 1)).astype(np.float32)
    other = rng.permutation(64)
    x = share * X + (1 - share) * X[other]
    rows = share * np.eye(2, dtype=np.float32)[Y] + (1 - share) * np.eye(2, dtype=np.float32)[Y[other]]
    histories = []
    for soft, loss, outputs in ((rows[:, 1], BCE, 1), (rows[:, 1:], BCE, 1), (rows, "cross_entropy", 2)):
        for weight in (None, "balanced", {0: 1, 1: 3}):
            model = network(outputs)
            how = {"class_weight": weight, "validation": (X, Y), "metrics": ("accuracy", "auc"), "epochs": 15}
            figures = run(model, (x, soft), loss, **how).history
            assert figures["val_accuracy"][-1] > 0.9, (loss, weight)
            probability = predict(model, x, loss=loss)[:, -1]
            assert ((probability > 0.5) == (rows[:, 1] > 0.5)).mean() > 0.85
            histories.append(figures)
    assert histories[:3] == histories[3:6]
    np.testing.assert_allclose(class_weights("balanced", rows), 32 / rows.sum(0), rtol=1e-6)
    np.testing.assert_allclose(class_weights("balanced", rows[:, 1]), 32 / rows.sum(0), rtol=1e-5)
    np.testing.assert_allclose(class_weights("balanced", np.eye(3)[[0, 0, 2]]), [0.75, 0, 1.5])


@pytest.mark.parametrize(
    ("labels", "loss", "outputs", "how", "message"),
    [
        (np.full(64, 1.2), BCE, 1, {}, r"labels of two classes must be 0 and 1, got 1\.2"),
        (np.full((64, 2), 0.6), "cross_entropy", 2, {}, "each row must sum to 1"),
        (np.full((64, 2), 0.5), "nll_loss", 2, {}, 'soft labels need the loss "cross_entropy"'),
        (np.full(64, 0.5), "cross_entropy", 2, {}, "class labels must be whole numbers"),
        (X[:, 0] ** 2, "mse", 1, {"class_weight": "balanced"}, "labels that are classes, got fractions"),
        (Y, "mse", 1, {"class_weight": "balanced"}, "needs a loss of classes"),
        (
            np.stack([Y, 1 - Y], 1),
            BCE,
            2,
            {"class_weight": "balanced"},
            r"one label for each sample, got labels \(32, 2",
        ),
    ],
)
def test_labels_that_are_neither_hard_nor_soft(labels, loss, outputs, how, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        run(network(outputs), (X, labels), loss, **how)
    assert "\n" not in str(caught.value)


def test_labels_of_items_that_are_drawn_anew_are_those_of_the_data():
    class Drawn(TensorDataset):
        labels = tinymed.tensor(Y)

        def set_epoch(self, epoch):
            pass

        def __getitem__(self, k):
            x, y = super().__getitem__(k)
            return x, 0.9 * y.float() + 0.05

    balanced = {c: 32 / n for c, n in enumerate(np.bincount(Y))}
    soft = TensorDataset(X, (0.9 * Y + 0.05).astype(np.float32))
    found = [run(network(), d, class_weight=w).history for d, w in ((Drawn(X, Y), "balanced"), (soft, balanced))]
    np.testing.assert_allclose(found[0]["loss"], found[1]["loss"], rtol=1e-5)


def test_balanced_weights_move_the_decision():
    rng = np.random.default_rng(0)
    y = (np.arange(200) >= 180).astype(np.int64)
    x = (rng.standard_normal((200, 2)) + 0.8 * y[:, None]).astype(np.float32)
    called = []
    for weight in (None, "balanced"):
        model = network()
        run(model, (x, y), epochs=10, class_weight=weight)
        called.append((predict(model, x) > 0).sum())
    assert called[1] > called[0] + 20


def test_class_weights_are_of_the_labels_that_items_have():
    class Turned(TensorDataset):
        def __getitem__(self, k):
            x, y = super().__getitem__(k)
            return x, 1 - y

    rare = (np.arange(64) >= 60).astype(np.int64)
    losses = [
        run(network(), data, class_weight="balanced", shuffle=False).history
        for data in (Turned(X, rare), TensorDataset(X, 1 - rare))
    ]
    assert losses[0] == losses[1]


# ---------------------------------------------------------------- labels and data that cannot be meant


def test_labels_of_every_usual_shape_agree():
    for outputs, loss, shapes in (
        (2, "cross_entropy", (Y, Y[:, None], np.eye(2)[Y], np.eye(2, dtype=np.int64)[Y], Y.astype(np.uint8))),
        (1, BCE, (Y, Y[:, None], Y.astype(np.float32), Y.astype(bool))),
    ):
        losses = [run(network(outputs), (X, labels), loss).history for labels in shapes]
        assert all(history == losses[0] for history in losses)


@pytest.mark.parametrize(
    ("data", "loss", "outputs", "message"),
    [
        ((X, Y), BCE, 2, "cross_entropy"),
        ((X, Y), "cross_entropy", 1, "one unit"),
        ((X, Y.astype(np.float32)), "cross_entropy", 2, "whole numbers"),
        (X, BCE, 1, "labels are missing"),
        ((X, Y), "cross_entropi", 2, "did you mean 'cross_entropy'"),
        ((X, Y), nn.MSELoss, 1, r"MSELoss\(\)"),
        ((X, Y), nn.CrossEntropyLoss(reduction="none"), 2, "one number"),
        ((X, Y), nn.CrossEntropyLoss(reduction="sum"), 2, r"one number, its mean: .*reduction='sum'"),
        ((X, Y), lambda output, target: (output - target) ** 2, 1, "one number"),
    ],
)
def test_bad_data_is_refused_in_one_sentence(data, loss, outputs, message):
    with pytest.raises((ValueError, TypeError, IndexError), match=message) as caught:
        run(network(outputs), data, loss)
    assert "\n" not in str(caught.value)


def test_bad_arguments_are_refused():
    model = network()
    with pytest.raises(TypeError, match="optimizer must be"):
        fit(model, (X, Y), loss=BCE, optimizer="adam", epochs=1)
    with pytest.raises(ValueError, match="none of this model's"):
        fit(model, (X, Y), loss=BCE, optimizer=optim.Adam(network().parameters()), epochs=1)
    for how in (
        {"epochs": 0},
        {"batch_size": 0},
        {"metrics": ("acuracy",)},
        {"verbose": "loud"},
        {"early_stopping": 0},
    ):
        with pytest.raises(ValueError, match=r"epochs|batch_size|acuracy|verbose|patience"):
            run(model, (X, Y), **how)
    with pytest.raises(ValueError, match="does not tell of"):
        run(model, (X, Y), "mse", metrics=("accuracy",))


def test_predict_refuses_an_order_drawn_at_random():
    for shuffle in (True, False):
        loader = DataLoader(TensorDataset(X, Y), 8, shuffle=shuffle)
        if shuffle:
            with pytest.raises(ValueError, match="draws its order at random; give one with shuffle=False"):
                predict(network(), loader)
        else:
            np.testing.assert_array_equal(predict(network(), loader), predict(network(), X, batch_size=8))
