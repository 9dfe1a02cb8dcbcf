"""What goes wrong with graphs and in the training loop, numbered on from test_bad_inputs.py.

30 backward, 31 and 32 writes in place, 33 odd graphs, 34 integers, 35 no_grad and detach, 36 memory; 37 settings,
38 an optimiser's parameters, 39 loss becomes NaN, 40 empty data and batch sizes, 41 an item that fails, 42 Ctrl-C,
43 equal runs in fresh processes.
"""

from __future__ import annotations

import gc
import operator
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinymed as tm
from tinymed import nn, optim
from tinymed.data import DataLoader, Dataset, TensorDataset, random_split
from tinymed.optim.lr_scheduler import StepLR
from tinymed.training import BestModel, fit, load_weights

ROOT = Path(__file__).parent.parent
X = np.random.default_rng(0).standard_normal((8, 2)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
P, C = [nn.Parameter(tm.ones(2))], tm.ones(2, dtype=tm.float64)


def leaf(*values):
    return tm.tensor(np.array(values or (1.0, 2.0)), requires_grad=True)


def network():
    tm.manual_seed(3)
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))


def train(data=(X, Y), model=None, optimizer=None, **how):
    model = model or network()
    optimizer = optimizer or optim.SGD(model.parameters(), lr=0.1)
    how = {"epochs": 1, "batch_size": 4, "verbose": False, "seed": 0, **how}
    return fit(model, data, loss="bce_with_logits", optimizer=optimizer, **how)


def twice(y):
    y.backward()
    y.backward()


def written(x, y, change):
    """Backward through y = f(x, ...) after a change in between."""
    with tm.no_grad():
        change(x)
    y.backward()


def of(x, f, change):
    return lambda: written(x, f(x).sum(), change)


class Items(Dataset):
    """Eight rows, of which the one at k does something else."""

    def __init__(self, k, instead):
        self.k, self.instead = k, instead

    def __len__(self):
        return 8

    def __getitem__(self, k):
        return self.instead() if k == self.k else (X[k], Y[k])


def torn():
    raise OSError("scan-5.png is torn")


# fmt: off
GRAPHS = {
    "30 many elements": (lambda: (leaf() * 2).backward(), ValueError, r"needs one element, got shape \(2,\); sum or"),
    "30 no graph": (lambda: tm.ones(1).backward(), ValueError, "no graph.*requires_grad=True.*no_grad"),
    "30 twice": (lambda: twice((leaf() ** 2).sum()), ValueError, r"second time.*backward\(retain_graph=True\)"),
    "30 gradient": (lambda: (leaf() * 2).backward(tm.ones(3)), ValueError, r"expected shape \(2,\).*got \(3,\)"),
    "31 saved leaf": (of(leaf(), lambda x: x * x, lambda x: x.zero_()), ValueError, "input of Mul was changed in p"),
    "31 saved constant": (of(C, lambda c: leaf() * c, lambda c: c.zero_()), ValueError, r"Mul.*x\.clone\(\)"),
    "31 through a view": (of(C, lambda c: leaf() * c, lambda c: c[:1].zero_()), ValueError, "input of Mul was"),
    "31 through detach": (of(leaf(), lambda x: x.exp(), lambda x: x.detach().zero_()), ValueError, "input of Exp was"),
    "31 result": (lambda: operator.iadd(leaf().exp(), 1), ValueError, "overwrite the result of Exp.*make a new tensor"),
    "32 +=": (lambda: operator.iadd(leaf(), 1), ValueError, r"a leaf that requires grad \(shape \(2,\)\).*no_grad\(\)"),
    "32 [0] =": (lambda: operator.setitem(leaf(), 0, 1), ValueError, "overwrite a leaf that requires grad.*no_grad"),
    "32 zero_": (lambda: leaf().zero_(), ValueError, "overwrite a leaf that requires grad"),
    "34 tensor": (lambda: tm.tensor([1], requires_grad=True), TypeError, r"floating-point.*got int64.*x\.float\(\)"),
    "34 parameter": (lambda: nn.Parameter(tm.arange(3)), TypeError, r"floating-point.*int64 of shape \(3,\)"),
    "34 cut by a cast": (lambda: leaf().long().sum().backward(), ValueError, "no graph"),
    "34 cut by argmax": (lambda: leaf().argmax().backward(), ValueError, "no graph"),
    "35 no_grad": (lambda: tm.no_grad()(lambda: leaf().sum())().backward(), ValueError, r"mind no_grad\(\) and detach"),
    "35 detach": (lambda: leaf().detach().sum().backward(), ValueError, r"mind no_grad\(\) and detach"),
    "35 numpy": (lambda: leaf().numpy(), ValueError, r"tensor\.detach\(\)\.numpy\(\)"),
    "35 asarray": (lambda: np.asarray(leaf()), ValueError, r"tensor\.detach\(\)\.numpy\(\)"),
}
SETTINGS = {
    **{f"37 lr {lr}": (lambda lr=lr: optim.Adam(P, lr=lr), ValueError, f"Adam: lr must be above 0, got {lr}")
       for lr in (0, -1, float("nan"), float("inf"))},
    "37 lr text": (lambda: optim.SGD(P, lr="0.1"), TypeError, "SGD: lr must be a number, got '0.1'"),
    "37 lr of a group": (lambda: optim.SGD([{"params": P, "lr": -1}], lr=0.1), ValueError, "must be above 0, got -1"),
    "37 momentum": (lambda: optim.SGD(P, lr=0.1, momentum=-0.9), ValueError, "momentum must be 0 or more, got -0.9"),
    "37 betas": (lambda: optim.Adam(P, betas=(0.9, 1.0)), ValueError, r"betas\[1\] must be .* below 1, got 1.0"),
    "37 one beta": (lambda: optim.Adam(P, betas=0.9), TypeError, "betas must be two numbers, got 0.9"),
    "37 alpha": (lambda: optim.RMSprop(P, alpha=2), ValueError, "alpha must be .* below 1, got 2"),
    "37 dropout": (lambda: nn.Dropout(1.5), ValueError, "p must be between 0 and 1, got 1.5"),
    "37 dropout nan": (lambda: nn.Dropout(float("nan")), ValueError, "p must be between 0 and 1, got nan"),
    "37 lstm dropout": (lambda: nn.LSTM(1, 1, 2, dropout=-1), ValueError, "between 0 and 1, got -1"),
    "37 batchnorm": (lambda: nn.BatchNorm1d(2, momentum=3), ValueError, "momentum in 0…1 or None, got 1e-05 and 3"),
    "37 steps": (lambda: StepLR(optim.SGD(P, lr=0.1), 0), ValueError, "step_size .* at least 1, got 0"),
    "38 none": (lambda: optim.SGD([], lr=0.1), ValueError, "SGD got no parameters: an empty list, or an iterator"),
    "38 twice": (lambda: optim.SGD(P + P, lr=0.1), ValueError, r"parameter 1 \(2,\) is given twice"),
    "38 twice in groups": (lambda: optim.SGD([{"params": P}] * 2, lr=0.1), ValueError, "is given twice"),
    "38 model": (lambda: optim.SGD(network(), lr=0.1), TypeError, r"got a Sequential: pass model\.parameters\(\)"),
    "38 names": (lambda: optim.SGD([("w", P[0])], lr=0.1), TypeError, r"is a tuple.*without the names"),
    "38 frozen": (lambda: optim.SGD([tm.ones(2)], lr=0.1), ValueError, "all are frozen"),
    "38 another model's": (lambda: train(optimizer=optim.SGD(P, lr=0.1)), ValueError, "none of this model's para"),
    "40 empty": (lambda: DataLoader([]), ValueError, r"the dataset \(list\) is empty"),
    "40 empty part": (lambda: train(random_split(TensorDataset(X, Y), [0, 8])[0]), ValueError, r"\(Subset\) is empty"),
    "40 empty validation": (lambda: train(validation=(X[:0], Y[:0])), ValueError, "is empty"),
    "40 batch_size 0": (lambda: train(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    "40 batch_size text": (lambda: train(batch_size="4"), TypeError, "batch_size must be an integer, got '4'"),
    "40 batch_size > N": (lambda: DataLoader([1, 2], 3, drop_last=True), ValueError, "no batch.*is 3.*only 2 items"),
    "40 epochs 0": (lambda: train(epochs=0), ValueError, "epochs must be at least 1, got 0"),
    "41 an item fails": (lambda: train(Items(5, torn)), OSError, r"item 5 of the dataset \(Items\) failed: scan-5"),
    "41 in a worker": (lambda: list(DataLoader(Items(5, torn), 4, num_workers=2)), OSError, "item 5 of the dataset"),
    "41 an odd size": (lambda: list(DataLoader(Items(5, lambda: (X[5, :1], 0)), 4)), ValueError,
                       r"one shape, but the first has \(2,\) and number 1 \(from 0\) has \(1,\)"),
}
# fmt: on


@pytest.mark.parametrize(("call", "kind", "message"), (GRAPHS | SETTINGS).values(), ids=GRAPHS | SETTINGS)
def test_refused(call, kind, message):
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_33_a_diamond():
    a = leaf(3.0)
    b = a + a
    (b + b).backward()
    assert a.grad.tolist() == [4]


def test_33_a_chain_of_10_000_ops():
    x = leaf(1.0)
    y = x
    for _ in range(10_000):
        y = y + 1
    y.backward()
    assert x.grad.tolist() == [1]
    del y  # and is taken apart without recursion too deep


def test_33_a_long_chain_that_is_never_swept_is_taken_apart():
    y = leaf(1.0)
    for _ in range(10_000):
        y = y * 1.0
    del y
    gc.collect()


def test_36_a_thousand_steps_leave_nothing_behind():
    net, x = network(), tm.randn(5, 2)

    def steps(n):
        for _ in range(n):
            net.zero_grad()
            (net(x) ** 2).mean().backward()

    steps(10)
    gc.collect()
    gc.disable()  # what is left must go by reference counts alone
    try:
        before = len(gc.get_objects())
        steps(1000)
        assert len(gc.get_objects()) - before < 50
    finally:
        gc.enable()


def test_39_nan_leaves_the_best_checkpoint_and_the_weights_before_the_step(tmp_path):
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    best = BestModel(model, "loss", path=tmp_path / "best.safetensors")

    class Break:
        def on_epoch_end(self, epoch, logs):
            optimizer.param_groups[0]["lr"] = 1e38

    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=r"epoch 2.*Lower the learning rate .now 1e\+38"),
    ):
        train(model=model, optimizer=optimizer, epochs=3, callbacks=[best, Break()])
    saved = load_weights(tmp_path / "best.safetensors")
    assert all(np.array_equal(saved[name], t.array) for name, t in best.model.state_dict().items())
    assert all(np.isfinite(a).all() for a in saved.values())


def test_40_a_batch_larger_than_the_data_is_one_batch():
    assert len(train(batch_size=100)) == 1


def test_42_ctrl_c_amid_an_epoch_leaves_history_and_weights_whole():
    served = []

    def interrupt():
        served.append(1)
        if len(served) == 2:
            signal.raise_signal(signal.SIGINT)
        return X[5], Y[5]

    model = network()
    model[1].eval()
    history = train(Items(5, interrupt), model=model, epochs=5)
    assert history.epochs == [1]
    assert [len(figures) for figures in history.history.values()] == [1, 1]
    assert history.note == "interrupted in epoch 2; the figures are of the 1 finished before"
    assert all(np.isfinite(p.array).all() for p in model.parameters())
    assert (model.training, model[1].training) == (True, False)
    assert len(train(Items(9, torn), model=model)) == 1  # and it can go on


RUN = """
import hashlib
import tinymed as tm
from tinymed import nn, optim
from tinymed.data import make_breast_phantoms
from tinymed.training import fit
tm.manual_seed(7)
model = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                      nn.Dropout(0.3), nn.Linear(144, 1))
history = fit(model, make_breast_phantoms(40), loss="bce_with_logits", optimizer=optim.Adam(model.parameters()),
              epochs=2, batch_size=16, validation=make_breast_phantoms(16, 1), seed=5, verbose=False)
print(history.history, hashlib.sha256(b"".join(t.array.tobytes() for t in model.state_dict().values())).hexdigest())
"""


def test_43_two_runs_in_fresh_processes_are_bit_equal():
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RUN], cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE
        )
        for seed in ("1", "2")
    ]
    first, second = (run.communicate()[0] for run in runs)
    assert first == second
    assert b"val_loss" in first
