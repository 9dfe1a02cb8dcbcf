"""Transfer learning: what is frozen stays, what is thawed learns, early layers slower than late ones."""

from __future__ import annotations

import numpy as np
import pytest

import tinymed
from tinymed import nn, optim
from tinymed.training import GradualUnfreezing, fit, freeze, layerwise_groups, transfer, unfreeze
from tinymed.training.transfer import layers

X = np.random.default_rng(0).standard_normal((24, 1, 6, 6)).astype(np.float32)
Y = (X.mean((1, 2, 3)) > 0).astype(np.int64)


class Block(nn.Module):
    """x + F(x)"""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return x + self.norm(self.conv(x)).relu()


def network(outputs=1):
    """Four layers: a convolution with its normalisation, a block, a dense layer, the head."""
    tinymed.manual_seed(3)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, affine=False), nn.ReLU()),
        Block(4),
        nn.Flatten(),
        nn.Linear(64, 8),
        nn.ReLU(),
        nn.Linear(8, outputs),
    )


def train(model, optimizer=None, epochs=2, **how):
    how = {"loss": "bce_with_logits", "batch_size": 8, "seed": 0, "verbose": False} | how
    optimizer = optimizer or optim.Adam(model.parameters(), 0.01)
    return fit(model, (X, Y), optimizer=optimizer, epochs=epochs, **how)


def copied(model):
    return {name: t.array.copy() for name, t in model.state_dict().items()}


def changed(model, before):
    return {name for name, t in model.state_dict().items() if not np.array_equal(t.array, before[name])}


# ---------------------------------------------------------------- freeze


def test_what_is_frozen_stays_with_its_running_statistics():
    model = network()
    before = copied(model)
    freeze(model)
    unfreeze(model, "5")
    train(model)
    assert changed(model, before) == {"5.weight", "5.bias"}
    assert model[1].norm.training  # fit hands modes back
    unfreeze(model)
    train(model)
    assert {"0.0.weight", "0.1.running_mean", "1.norm.running_var", "1.norm.num_batches_tracked"} <= changed(
        model, before
    )


def test_frozen_as_in_pytorch():
    model = network()
    model[1].requires_grad_(False)
    before = copied(model)
    train(model)
    assert not {name for name in changed(model, before) if name.startswith("1.")}
    assert "0.1.running_mean" in changed(model, before)


def test_a_normalisation_without_weights_can_be_frozen_alone():
    model = network()
    freeze(model, "0.1")
    before = copied(model)
    train(model)
    assert {n for n in changed(model, before) if n.startswith("0.")} == {"0.0.weight", "0.0.bias"}
    unfreeze(model, "0.1")
    train(model)
    assert "0.1.running_mean" in changed(model, before)


def test_refusals_of_freezing():
    with pytest.raises(ValueError, match=r"Sequential has no layer '1\.cnv' \(did you mean '1\.conv'\?\)"):
        freeze(network(), "0", "1.cnv")
    model = network()
    optimizer = optim.Adam(model.parameters())
    freeze(model)
    with pytest.raises(ValueError, match="that the optimizer has are frozen; unfreeze a layer"):
        train(model, optimizer)
    with pytest.raises(ValueError, match="all parameters of this Sequential are frozen"):
        layerwise_groups(model, 0.1, 0.5)


# ---------------------------------------------------------------- rates


def test_layers_and_their_rates():
    model = network()
    parts = [[type(m).__name__ for m in layer] for layer in layers(model)]
    assert parts == [
        ["Sequential", "Conv2d", "BatchNorm2d"],
        ["Block", "Conv2d", "BatchNorm2d"],
        ["Linear"],
        ["Linear"],
    ]
    groups = layerwise_groups(model, 0.1, 0.5)
    assert [g["lr"] for g in groups] == [0.1, 0.05, 0.025, 0.0125]
    assert [g["params"][0].shape for g in groups] == [(1, 8), (8, 64), (4, 4, 3, 3), (4, 1, 3, 3)]
    assert {id(p) for g in groups for p in g["params"]} == {id(p) for p in model.parameters()}
    freeze(model, "3")
    assert [g["lr"] for g in layerwise_groups(model, 0.1, 0.5)] == [0.1, 0.025, 0.0125]
    for lr, decay, message in ((0, 0.5, "lr must be above 0"), (0.1, 1.5, "no more than 1"), (0.1, -1, "above 0")):
        with pytest.raises(ValueError, match=message):
            layerwise_groups(model, lr, decay)


def test_weights_of_the_models_own_and_shared_ones_come_once():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(tinymed.ones(1, 3))
            self.parts = nn.ModuleList([nn.Linear(3, 3), nn.LayerNorm(3), nn.Linear(3, 3)])
            self.parts[2].weight = self.parts[0].weight

    model = Own()
    groups = layerwise_groups(model, 1.0, 0.1)
    found = [id(p) for g in groups for p in g["params"]]
    assert len(found) == len(set(found)) == len(list(model.parameters())) == 6
    assert id(model.token) in {id(p) for p in groups[-1]["params"]}
    assert [len(g["params"]) for g in layerwise_groups(nn.Linear(2, 1), 0.1, 1)] == [2]


def test_steps_with_a_frozen_layer_and_two_rates_are_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    tinymed.manual_seed(0)
    ours = nn.Sequential(nn.Linear(36, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
    linear = torch.nn.Linear
    theirs = torch.nn.Sequential(
        linear(36, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), linear(8, 6), torch.nn.ReLU(), linear(6, 2)
    )
    theirs.load_state_dict({name: torch.tensor(t.array) for name, t in ours.state_dict().items()})
    freeze(ours, "0", "1")
    theirs[:2].requires_grad_(False)
    theirs[1].eval()
    twin = torch.optim.Adam(
        [{"params": theirs[5].parameters(), "lr": 0.02}, {"params": theirs[3].parameters(), "lr": 0.01}]
    )
    x = X.reshape(24, 36)
    for k in range(0, 24, 8):
        twin.zero_grad()
        torch.nn.functional.cross_entropy(theirs(torch.tensor(x[k : k + 8])), torch.tensor(Y[k : k + 8])).backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.3)
        twin.step()
    fit(
        ours,
        (x, Y),
        loss="cross_entropy",
        optimizer=optim.Adam(layerwise_groups(ours, 0.02, 0.5)),
        epochs=1,
        batch_size=8,
        shuffle=False,
        clip_grad_norm=0.3,
        verbose=False,
    )
    for name, t in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name].array, t.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


# ---------------------------------------------------------------- thawing


@pytest.mark.parametrize("known", ["all", "head", "rates"])
def test_one_more_layer_thaws_every_so_many_epochs(known):
    model = network()
    if known == "head":
        freeze(model)
        unfreeze(model, "5")
        optimizer = optim.SGD(model[5].parameters(), 0.05)
    else:
        optimizer = optim.SGD(layerwise_groups(model, 0.05, 0.5) if known == "rates" else model.parameters(), 0.05)
    thaw = GradualUnfreezing(model, optimizer, every=2)
    moved, before = [], copied(model)

    class Watch:
        def on_epoch_end(self, epoch, logs):
            nonlocal before
            moved.append({name.split(".")[0] for name in changed(model, before)})
            before = copied(model)

    train(model, optimizer, 8, callbacks=[Watch(), thaw])
    assert moved == [{"5"}] * 2 + [{"3", "5"}] * 2 + [{"1", "3", "5"}] * 2 + [{"0", "1", "3", "5"}] * 2
    assert [g["lr"] for g in optimizer.param_groups] == (
        [0.05, 0.025, 0.0125, 0.00625] if known == "rates" else [0.05] * (2 if known == "head" else 1)
    )
    assert "4 of 4 layers" in repr(thaw)


def test_refusals_of_thawing():
    model = network()
    for every in (0, 1.5, True):
        with pytest.raises(ValueError, match="every must be a whole number of epochs"):
            GradualUnfreezing(model, optim.SGD(model.parameters()), every)
    optimizer = optim.SGD(model[5].parameters(), 0.05)
    schedule = optim.lr_scheduler.StepLR(optimizer, 1)
    thaw = GradualUnfreezing(model, optimizer)
    with pytest.raises(
        ValueError, match="knows of 1 groups of parameters, the optimizer has 2; make the scheduler last"
    ):
        train(model, optimizer, callbacks=[thaw], scheduler=schedule)


# ---------------------------------------------------------------- weights of another task


def test_what_fits_is_loaded_and_the_rest_told():
    old, new = network(outputs=5), network()
    old[3].weight.array[...] = 7
    state = old.state_dict() | {"extra": np.ones(3)}
    head = new[5].weight.array.copy()
    del state["0.0.bias"]
    told = transfer(new, state)
    assert told == (["0.0.bias"], ["extra"], ["5.weight", "5.bias"])
    assert told.mismatched_keys == ["5.weight", "5.bias"]
    np.testing.assert_array_equal(new[3].weight.array, old[3].weight.array)
    np.testing.assert_array_equal(new[5].weight.array, head)


def test_refusals_of_states():
    model = network()
    before = copied(model)
    with pytest.raises(
        ValueError, match=r"shares no name and shape with this Sequential: it has a \(3,\), 5\.weight \(5, 8\) where"
    ):
        transfer(model, {"a": np.ones(3), "5.weight": np.ones((5, 8))})
    with pytest.raises(ValueError, match=r"it has nothing where the model has 0\.0\.weight .*, …; rename its keys"):
        transfer(model, {})
    with pytest.raises(TypeError, match=r"got a str; a file is read by load_weights\(path\)"):
        transfer(model, "old.safetensors")
    assert not changed(model, before)


def test_it_is_worth_it():
    """Twelve pictures are few; weights from a task that is akin make them enough."""
    rng = np.random.default_rng(1)

    def task(n, shift):
        y = np.arange(n) % 2
        x = rng.standard_normal((n, 1, 6, 6)).astype(np.float32)
        x[:, 0, 1:4, 1:4] += 0.4 * (y * 2 - 1)[:, None, None] * np.sign(np.eye(3) - 0.5) + shift
        return x.astype(np.float32), y

    teacher = network()
    fit(
        teacher,
        task(400, 0.0),
        loss="bce_with_logits",
        optimizer=optim.Adam(teacher.parameters(), 0.01),
        epochs=5,
        seed=0,
        verbose=False,
    )
    few, test = task(12, 0.3), task(400, 0.3)
    accuracy = {}
    for taught in (False, True):
        model = network()
        if taught:
            transfer(model, {name: t for name, t in teacher.state_dict().items() if not name.startswith("5")})
            freeze(model[:5])
        how = {"loss": "bce_with_logits", "validation": test, "epochs": 20, "seed": 0, "verbose": False}
        history = fit(model, few, optimizer=optim.Adam(model.parameters(), 0.01), **how)
        accuracy[taught] = history.history["val_accuracy"][-1]
    assert accuracy[True] > accuracy[False] + 0.1, accuracy
