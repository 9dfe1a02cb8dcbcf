"""fit, evaluate, predict, the history, callbacks."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinymed
from tinymed import nn, optim
from tinymed.data import DataLoader, Dataset, TensorDataset, make_breast_phantoms
from tinymed.data.sampler import balanced_sampler
from tinymed.random import Generator
from tinymed.training import BestModel, EarlyStopping, article_cnn, evaluate, fit, predict

BCE = "binary_cross_entropy_with_logits"


def points(n=64, seed=0):
    """Two classes on a line, x (n,2) and y (n,)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2)).astype(np.float32)
    return x, (x[:, 0] + 0.1 * x[:, 1] > 0).astype(np.int64)


def network(outputs=1, dropout=0.0):
    tinymed.manual_seed(3)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, outputs))


def run(model, data, loss=BCE, lr=0.05, epochs=2, **how):
    how = {"verbose": False, "seed": 0, **how}
    return fit(model, data, loss=loss, optimizer=optim.Adam(model.parameters(), lr), epochs=epochs, **how)


def weights(model):
    return [p.array.copy() for p in model.parameters()]


# ---------------------------------------------------------------- it learns


@pytest.mark.parametrize(
    ("loss", "outputs"), [(BCE, 1), ("bce_with_logits", 1), ("cross_entropy", 2), (nn.CrossEntropyLoss(), 2)]
)
def test_learns_and_reports_every_epoch(loss, outputs):
    model = network(outputs)
    history = run(model, points(), loss, epochs=15, validation=points(40, 1), metrics=("accuracy", "auc"))
    assert set(history.history) == {k for m in ("loss", "accuracy", "auc") for k in (m, f"val_{m}")}
    assert history.epochs == list(range(1, 16))
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert history.history["val_accuracy"][-1] > 0.9
    figures = evaluate(model, points(40, 1), loss=loss, metrics=("accuracy", "auc"))
    assert figures["loss"] == pytest.approx(history.history["val_loss"][-1])


def test_probabilities_after_sigmoid_and_values():
    model = nn.Sequential(network(), nn.Sigmoid())
    assert run(model, points(), "binary_cross_entropy", epochs=10).history["accuracy"][-1] > 0.8
    x, _ = points()
    history = run(network(), (x, x[:, 0]), "mse", epochs=20)
    assert set(history.history) == {"loss"}
    assert history.history["loss"][-1] < 0.2


def test_takes_pairs_datasets_and_loaders_alike():
    x, y = points()
    found = []
    for data in ((x, y), TensorDataset(x, y), DataLoader(TensorDataset(x, y), 32), DataLoader(Plain(x, y), 32)):
        model = network()
        run(model, data, shuffle=False)
        found.append(weights(model))
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other))


class Plain(Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __getitem__(self, k):
        return self.x[k], self.y[k]

    def __len__(self):
        return len(self.x)


def test_one_step_is_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    x, y = points(16)
    model = network(2)
    twin = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Dropout(0), torch.nn.Linear(8, 2))
    twin.load_state_dict({k: torch.tensor(v.array.copy()) for k, v in model.state_dict().items()})
    adam = torch.optim.Adam(twin.parameters(), 0.05)
    torch.nn.functional.cross_entropy(twin(torch.tensor(x)), torch.tensor(y)).backward()
    adam.step()
    run(model, (x, y), "cross_entropy", epochs=1, shuffle=False)
    for a, b in zip(model.parameters(), twin.parameters()):
        np.testing.assert_allclose(a.array, b.detach().numpy(), rtol=1e-3, atol=1e-6)


def test_the_articles_network_learns_phantoms():
    data = make_breast_phantoms(48)
    tinymed.manual_seed(0)
    model = article_cnn()
    assert sum(p.numel() for p in model.parameters()) == 223_873
    history = run(model, data, lr=1e-3, epochs=2, batch_size=16)
    assert len(history) == 2
    p = predict(model, data, loss=BCE)
    assert p.shape == (48, 1)
    assert ((p > 0) & (p < 1)).all()
    with pytest.raises(ValueError, match="keras"):
        article_cnn("he")


def test_clipped_steps_are_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    x, y = points(48)
    model = network(2)
    twin = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Dropout(0), torch.nn.Linear(8, 2))
    twin.load_state_dict({k: torch.tensor(v.array.copy()) for k, v in model.state_dict().items()})
    sgd, norms = torch.optim.SGD(twin[3].parameters(), 0.5, momentum=0.9), []
    for k in range(0, 48, 16):
        sgd.zero_grad()
        torch.nn.functional.cross_entropy(twin(torch.tensor(x[k : k + 16])), torch.tensor(y[k : k + 16])).backward()
        norms.append(torch.nn.utils.clip_grad_norm_(twin[3].parameters(), 0.2).item())
        sgd.step()
    assert max(norms) > 0.2
    optimizer = optim.SGD(model[3].parameters(), 0.5, momentum=0.9)  # the rest is no part of the norm
    how = {"loss": "cross_entropy", "batch_size": 16, "shuffle": False, "verbose": False}
    fit(model, (x, y), optimizer=optimizer, epochs=1, clip_grad_norm=0.2, **how)
    for a, b in zip(model.parameters(), twin.parameters()):
        np.testing.assert_allclose(a.array, b.detach().numpy(), rtol=1e-4, atol=1e-6)
    for wrong in (0, -1, math.nan, "1", True):
        with pytest.raises((ValueError, TypeError), match="fit: clip_grad_norm must be"):
            run(model, (x, y), clip_grad_norm=wrong)


# ---------------------------------------------------------------- seed, modes, prediction


def test_a_seed_repeats_bit_for_bit_and_leaves_the_generator_alone():
    found = []
    for _ in range(2):
        model = network(dropout=0.4)
        tinymed.rand(len(found) + 1)  # the state before must not matter
        before = tinymed.default_generator.get_state()
        history = run(model, points(), seed=5)
        assert tinymed.default_generator.get_state() == before
        found.append((weights(model), history.history))
    assert found[0][1] == found[1][1]
    assert all(np.array_equal(a, b) for a, b in zip(found[0][0], found[1][0]))
    other = network(dropout=0.4)
    run(other, points(), seed=6)
    assert not np.array_equal(found[0][0][0], weights(other)[0])


def test_predict_is_in_order_in_eval_mode_and_restores_modes():
    model = network(2, dropout=0.9)
    x, y = points(10)
    model[2].eval()
    out = predict(model, x, batch_size=3)
    np.testing.assert_array_equal(out, predict(model, (x, y), batch_size=3))
    assert model.training
    assert not model[2].training
    np.testing.assert_allclose(predict(model, x, loss="cross_entropy").sum(1), 1, rtol=1e-6)


# ---------------------------------------------------------------- each class as often


def test_balanced_sampler_draws_each_class_as_often():
    labels = np.repeat([0, 1, 3], [900, 90, 10])
    sampler = balanced_sampler(tinymed.tensor(labels), Generator(0))
    drawn = list(sampler)
    assert len(drawn) == 1000
    counts = np.bincount(labels[drawn])
    assert counts[2] == 0
    assert abs(counts[[0, 1, 3]] - 1000 / 3).max() < 4 * math.sqrt(1000 * 2 / 9)  # four standard deviations
    assert len(set(drawn)) > 300  # of the large class few come twice
    assert list(balanced_sampler(labels, Generator(0))) == drawn != list(sampler)
    for wrong, error in (([[0, 1]], ValueError), ([], ValueError), ([0.5, 1], TypeError)):
        with pytest.raises(error, match="balanced_sampler: labels must be"):
            balanced_sampler(wrong)


# ---------------------------------------------------------------- stopping


def test_nan_stops_with_the_weights_before_the_step():
    x, y = points()
    model = network()
    before = weights(model)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=r"epoch 1, batch 2 of 2.*learning rate"):
        fit(model, (x, y), loss=BCE, optimizer=optim.SGD(model.parameters(), lr=1e38), epochs=3, verbose=False)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(model)))


def test_a_broken_last_step_is_noticed_too():
    model = network()
    before = weights(model)
    optimizer = optim.SGD(model.parameters(), lr=1e38)
    big = (points()[0] * 1e3, points()[1])
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="last step of epoch 1"):
        fit(model, big, loss=BCE, optimizer=optimizer, epochs=1, batch_size=64, verbose=False)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(model)))


def test_early_stopping_and_best_weights():
    class Script:  # overwrites the figure, so that the course of it is known
        values = (0.9, 0.5, 0.7, 0.6, 0.1)

        def __init__(self, model):
            self.model, self.kept = model, {}

        def on_epoch_end(self, epoch, logs):
            logs["val_loss"] = self.values[epoch - 1]
            self.kept[epoch] = weights(self.model)

    model = network()
    script = Script(model)
    history = run(
        model, points(), epochs=5, validation=points(), callbacks=[script], early_stopping=2, keep_best="val_loss"
    )
    assert len(history) == 4
    assert "EarlyStopping(patience=2" in history.note
    assert all(np.array_equal(a, b) for a, b in zip(script.kept[2], weights(model)))
    assert not np.array_equal(script.kept[4][0], weights(model)[0])


def test_best_goes_by_direction_delta_and_skips_nan(tmp_path):
    model = network()
    best = BestModel(model, "val_auc", path=tmp_path / "best.safetensors", min_delta=0.05)
    for epoch, value in enumerate((math.nan, 0.6, 0.62, 0.7, 0.5), 1):
        best.on_epoch_end(epoch, {"val_auc": value})
    assert best.best.epoch == 4
    assert (tmp_path / "best.safetensors").exists()
    stop = EarlyStopping(2, "loss")
    assert [stop.on_epoch_end(k, {"loss": v}) for k, v in enumerate((1, 2, 0.5, 3, 4))] == [False] * 4 + [True]
    with pytest.raises(ValueError, match="give fit validation data"):
        run(network(), points(), keep_best="val_loss")


def test_an_early_stopping_used_again_starts_afresh():
    stop = EarlyStopping(1, "loss")
    for best in (0.1, 5.0):  # the second run never gets below the first one's best
        figures = [{"loss": best * k} for k in (3, 1, 2)]
        assert [stop.on_epoch_end(epoch, logs) for epoch, logs in enumerate(figures, 1)] == [False, False, True]


def test_schedules_step_every_epoch():
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.4)
    halving = optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    history = fit(model, points(), loss=BCE, optimizer=optimizer, epochs=3, scheduler=halving, verbose=False, seed=0)
    assert history.history["lr"] == [0.4, 0.2, 0.1]
    plateau = optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    fit(model, points(), loss=BCE, optimizer=optimizer, epochs=1, scheduler=plateau, verbose=False)


def test_one_cycle_steps_every_batch():
    rates = []

    class Watch(optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    model = network()
    optimizer = Watch(model.parameters(), lr=0.1)
    cycle = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=4)
    how = {"loss": BCE, "optimizer": optimizer, "scheduler": cycle, "verbose": False}
    with pytest.raises(ValueError, match="made for 4 steps, but 3 epochs of 2 batches are 6; give total_steps=6"):
        fit(model, points(), epochs=3, **how)
    history = fit(model, points(), epochs=2, **how)  # 64 samples, 32 a batch
    assert len(set(rates)) == 4
    assert rates[0] < rates[1] > rates[2] > rates[3]
    assert len(history.history["lr"]) == 2


# ---------------------------------------------------------------- what is seen


def test_a_line_an_epoch_where_there_is_no_terminal(capsys):
    run(network(), points(), verbose="auto")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Epoch 1/2 · ")
    assert "accuracy 0." in lines[1]
    run(network(), points(), verbose=False)
    assert capsys.readouterr().out == ""


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    run(network(), points(), verbose=True)
    assert "Epoch 2/2" in capsys.readouterr().out


def test_history_shows_itself():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    history = run(network(), points(), validation=points())
    assert repr(history).startswith("History(2 epochs; loss=")
    assert history._repr_html_().count("<tr>") == 3
    axes = history.plot()
    assert [axis.get_title() for axis in axes] == ["Loss", "Metrics"]
    assert [line.get_label() for line in axes[0].lines] == ["training loss", "validation loss"]
    assert axes[0].get_xlabel() == "epoch"
    assert all(tick == int(tick) for axis in axes for tick in axis.get_xticks())
    assert 'style="text-align:right">2</td>' in history._repr_html_()
    history.history["loss"] = [3e9, 1.5]
    assert 'text-align:right">3e+09</td>' in history._repr_html_()
    short = run(network(), points(), epochs=1).plot()
    assert all(tick == int(tick) for axis in short for tick in axis.get_xticks())
    matplotlib.pyplot.close("all")
