"""fit(checkpoint=...): what was cut short goes on, and ends as if nothing had been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinymed
from tinymed import nn, optim
from tinymed.data import DataLoader, Dataset, Subset, TensorDataset
from tinymed.data.augmented import Augmented, Mixup
from tinymed.data.sampler import balanced_sampler
from tinymed.optim import lr_scheduler as schedules
from tinymed.random import Generator, default_generator
from tinymed.training import (
    BestModel,
    CheckpointError,
    EarlyStopping,
    GradualUnfreezing,
    fit,
    layerwise_groups,
    load_metadata,
    load_weights,
    save_weights,
)
from tinymed.training.checkpoint import _pack, _unpack

ROOT = Path(__file__).parent.parent
RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3)).astype(np.float32)
Y = (X[:, 0] + 0.8 * RNG.standard_normal(40) > 0.5).astype(np.int64)
HELD_OUT = X[:16] + 0.3, Y[:16]
EPOCHS = 5


class Items(Dataset):
    """The samples; Ctrl-C comes when `fuse` of them have been asked for."""

    labels = Y

    def __init__(self, fuse=None):
        self.fuse, self.epochs = fuse, []

    def __len__(self):
        return 40

    def __getitem__(self, k):
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                signal.raise_signal(signal.SIGINT)
        return X[k], Y[k]

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


def network():
    tinymed.manual_seed(3)
    return nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1)
    )


def loader(items, **how):
    """Batches of eight, in an order that a generator of its own draws."""
    generator = Generator(11)
    how = {"sampler": balanced_sampler(Y, generator)} if how else {"shuffle": True, "generator": generator}
    return DataLoader(items, 8, **how)


def warm_up(optimizer):
    parts = [schedules.LinearLR(optimizer, total_iters=2), schedules.CosineAnnealingLR(optimizer, 4)]
    return schedules.SequentialLR(optimizer, parts, [2])


def noise(x, rng):
    return x + 0.1 * rng.standard_normal(3).astype(np.float32)


# what is made of (model, items): the keywords of fit
def plain(model, items, **how):
    return {"optimizer": optim.Adam(model.parameters(), 0.02), "train": items, **how}


def scheduled(schedule, optimizer=lambda p: optim.SGD(p, 0.1, momentum=0.9)):
    def made(model, items):
        own = optimizer(model.parameters())
        return {"optimizer": own, "train": items, "scheduler": schedule(own)}

    return made


def unfrozen(model, items):
    optimizer = optim.Adam(layerwise_groups(model, 0.02, 0.5))
    thaw = GradualUnfreezing(model, optimizer, every=2)
    return {"optimizer": optimizer, "train": items, "callbacks": [thaw], "scheduler": schedules.StepLR(optimizer, 2)}


COURSES = {
    "plain": plain,
    "no seed": lambda m, items: plain(m, items, seed=None),
    "class weights": lambda m, items: plain(m, items, class_weight="balanced", clip_grad_norm=0.5),
    "own order": lambda m, items: plain(m, loader(items)),
    "balanced": lambda m, items: plain(m, loader(items, balanced=True), seed=None),
    "augmented": lambda m, items: plain(m, Augmented(items, noise, seed=1)),
    "mixup": lambda m, items: plain(m, Mixup(Augmented(items, noise, seed=1), 0.4, 2, seed=1), class_weight="balanced"),
    "keep best": lambda m, items: plain(m, items, keep_best="val_auc", metrics=("auc",)),
    "early stopping": lambda m, items: plain(
        m, items, early_stopping=EarlyStopping(2, min_delta=1), callbacks=[BestModel(m)]
    ),
    "momentum": lambda m, items: {"optimizer": optim.RMSprop(m.parameters(), momentum=0.5), "train": items},
    "AdamW": lambda m, items: {"optimizer": optim.AdamW(m.parameters(), 0.02), "train": items},
    "one cycle": scheduled(lambda o: schedules.OneCycleLR(o, 0.1, total_steps=EPOCHS * 5), optim.Adam),
    "plateau": scheduled(lambda o: schedules.ReduceLROnPlateau(o, patience=0, threshold=0.5)),
    "warm-up": scheduled(warm_up),
    "lambda": scheduled(lambda o: schedules.LambdaLR(o, lambda t: 0.5**t)),
    "unfreezing": unfrozen,
}


class Course:
    """A run with all things new, as in a new process."""

    def __init__(self, name, fuse=None):
        self.model, self.items = network(), Items(fuse)
        self.how = {"seed": 5} | COURSES[name](self.model, self.items)
        self.how = {"loss": "bce_with_logits", "validation": HELD_OUT, "batch_size": 8, "verbose": False} | self.how
        tinymed.manual_seed(4)

    def run(self, path=None, epochs=EPOCHS, **how):
        how = self.how | {"checkpoint": path, "epochs": epochs} | how
        self.history = fit(self.model, how.pop("train"), **how)
        return self

    def outcome(self):
        """All that a run leaves behind, arrays as bytes."""
        schedule, train = self.how.get("scheduler"), self.how["train"]
        generators = [default_generator]
        if isinstance(train, DataLoader):
            generators.append(train.generator or train.sampler.generator)
        return as_bytes(
            {
                "model": self.model.state_dict(),
                "requires_grad": [p.requires_grad for p in self.model.parameters()],
                "optimizer": self.how["optimizer"].state_dict(),
                "scheduler": schedule and schedule.state_dict(),
                "history": self.history.state_dict(),
                "random": [g.get_state() for g in generators],
            }
        )


def as_bytes(value):
    if hasattr(value, "shape"):
        return np.asarray(value).tobytes(), value.shape
    if isinstance(value, dict):
        return {key: as_bytes(v) for key, v in value.items()}
    return type(value)(map(as_bytes, value)) if isinstance(value, list | tuple) else repr(value)


@pytest.mark.parametrize("name", COURSES)
def test_what_was_cut_short_ends_as_what_was_not(name, tmp_path):
    whole, path = Course(name).run().outcome(), tmp_path / "run.safetensors"
    cut = Course(name, fuse=(1 + (name == "mixup")) * (40 * 2 + 13)).run(path)
    assert cut.history.note.startswith("interrupted in epoch 3; the figures are of the 2 finished before")
    for course in (Course(name), Course(name, fuse=0)):  # the second asks for no item
        if course.how["seed"] is None:  # in a new process the default generator stands elsewhere
            tinymed.manual_seed(1234)
        assert course.run(path).outcome() == whole
    assert [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]


def test_a_checkpoint_changes_nothing(tmp_path):
    assert Course("keep best").run(tmp_path / "run").outcome() == Course("keep best").run().outcome()


@pytest.mark.parametrize("name", ["one cycle", "keep best", "own order", "unfreezing"])
@pytest.mark.parametrize("fuse", [13, 40 * 3 + 1])
def test_the_same_objects_go_on_too(name, fuse, tmp_path):
    """As in a notebook: after Ctrl-C amid the first epoch the weights have moved already, and so have the rates."""
    whole = Course(name).run().outcome()
    course = Course(name, fuse)
    course.run(tmp_path / "run")
    course.items.fuse = None
    assert course.run(tmp_path / "run").outcome() == whole


def test_more_epochs_go_on_and_fewer_are_refused(tmp_path):
    path = tmp_path / "run"
    whole = Course("keep best").run(epochs=6).outcome()
    for epochs in (2, 4, 6):
        course = Course("keep best").run(path, epochs)
        assert course.history.epochs == list(range(1, epochs + 1))
    assert course.outcome() == whole
    with pytest.raises(CheckpointError, match="has 6 finished epochs, but only 5 are asked for"):
        Course("keep best").run(path, 5)
    stopped = Course("early stopping").run(tmp_path / "stopped")
    assert len(stopped.history) < EPOCHS
    more = Course("early stopping", fuse=0).run(tmp_path / "stopped", 50)
    assert more.history.state_dict() == stopped.history.state_dict()


SCRIPT = """
import hashlib, os, sys
import tinymed
from tinymed import nn, optim
from tinymed.data import TensorDataset, make_breast_phantoms
from tinymed.training import fit

path, left = sys.argv[1], int(sys.argv[2])

class Dying(TensorDataset):
    def __getitem__(self, k):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return super().__getitem__(k)

data, held_out = make_breast_phantoms(40), make_breast_phantoms(16, 1)
tinymed.manual_seed(7)
model = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                      nn.Dropout(0.3), nn.Linear(144, 1))
optimizer = optim.Adam(model.parameters(), 0.01)
schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=12)
history = fit(model, Dying(data.inputs, data.labels), loss="bce_with_logits", optimizer=optimizer, scheduler=schedule,
              epochs=4, batch_size=16, validation=held_out, metrics=("accuracy", "auc"), class_weight="balanced",
              early_stopping=3, keep_best="val_loss", clip_grad_norm=1.0, seed=5, verbose=False, checkpoint=path)
print(history.history, hashlib.sha256(b"".join(t.array.tobytes() for t in model.state_dict().values())).hexdigest())
"""


def test_a_process_that_died_amid_an_epoch_is_taken_up_by_another(tmp_path):
    def start(path, left):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / path), str(left)]
        return subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True)

    whole, dying = start("whole", 0), start("cut", 40 + 2 * 40 + 21)  # 40 for the class weights; in epoch 3
    printed, died = whole.communicate()[0], dying.communicate()[0]
    assert (whole.returncode, dying.returncode, died) == (0, 9, "")
    assert '"epochs": [1, 2]' in load_metadata(tmp_path / "cut")["state"]
    resumed = start("cut", 0)
    assert resumed.communicate()[0] == printed
    assert "val_auc" in printed


# ---------------------------------------------------------------- the file


def test_the_file_holds_arrays_by_path_and_json(tmp_path):
    Course("keep best").run(tmp_path / "run", 2)
    arrays = load_weights(tmp_path / "run")
    assert {"model.0.weight", "optimizer.state.0.exp_avg", "callbacks.0.state.1.running_mean"} <= set(arrays)
    assert set(load_metadata(tmp_path / "run")) == {"checkpoint", "arguments", "state"}


def test_states_come_back_as_they_were():
    state = {
        "numbers": [1, 2**100, 0.1, -np.inf, True, None, "text", np.float64(0.3), np.int32(4)],
        "tuple": (1, (2.5, [3])),
        3: {"inner": {0: 1, "$x": 2}},
        "array": tinymed.ones(2, 3),
        "a.b": np.arange(3),
        "a": {"b": np.arange(4.0)},
        "$array": "not one",
        "empty": [{}, [], ()],
    }
    arrays = {}
    found = _unpack(json.loads(json.dumps(_pack(state, "s", arrays))), arrays)
    assert as_bytes(found) == as_bytes(state | {"numbers": [*state["numbers"][:-2], 0.3, 4]})
    for thing, message in (
        ({"thing": set()}, r"but s\.thing is a set"),
        ({"a": {(1, 2): 3}}, r"s\.a has the key \(1, 2\)"),
    ):
        with pytest.raises(TypeError, match=message):
            _pack(thing, "s", arrays)


def test_callbacks_of_ones_own(tmp_path):
    class Counts:
        def __init__(self):
            self.seen = 0

        def on_epoch_end(self, epoch, logs):
            self.seen += 1

    class Keeps(Counts):
        def state_dict(self):
            return {"seen": self.seen}

        def load_state_dict(self, state):
            self.seen = state["seen"]

    for epochs in (2, 5):
        called = [Counts(), Keeps()]
        Course("plain").run(tmp_path / "run", epochs, callbacks=called)
    assert [c.seen for c in called] == [3, 5]


def other(change):
    """(model, keywords of fit) of a run that is as "plain" but for a change."""
    course = Course("plain")
    course.how = change(course.model, course.how) or course.how
    return course


def resized(m, how):
    m[6] = nn.Linear(8, 1, bias=False)
    return how | {"optimizer": optim.Adam(m.parameters(), 0.02)}


def dropping(m, how):
    m[3].p = 0.4


def adam(**options):
    return lambda m, how: how | {"optimizer": optim.Adam(m.parameters(), **{"lr": 0.02} | options)}


DIFFERENT = {
    "sizes": (resized, r"model\.layers\.7 was .*bias=True.*, is now .*bias=False"),
    "dropout": (dropping, r"model\.layers\.4 was \(3\): Dropout\(p=0\.3\), is now \(3\): Dropout\(p=0\.4\)"),
    "rate": (adam(lr=0.03), r"optimizer\.groups\.0\.lr was 0\.02, is now 0\.03"),
    "betas": (adam(betas=(0.8, 0.999)), r"optimizer\.groups\.0\.betas\.0 was 0\.9, is now 0\.8"),
    "optimiser": (
        lambda m, how: how | {"optimizer": optim.AdamW(m.parameters(), 0.02)},
        r"optimizer\.type was Adam, is now AdamW",
    ),
    "scheduler": (
        lambda m, how: how | {"scheduler": schedules.StepLR(how["optimizer"], 2)},
        r"scheduler was None, is now \{'type': 'StepLR'",
    ),
    "loss": (lambda m, how: how | {"loss": nn.BCEWithLogitsLoss()}, "loss was bce_with_logits, is now"),
    "batch": (lambda m, how: how | {"batch_size": 10}, r"train\.batch_size was 8, is now 10"),
    "seed": (lambda m, how: how | {"seed": 6}, "seed was 5, is now 6"),
    "clip": (lambda m, how: how | {"clip_grad_norm": 1}, "clip_grad_norm was None, is now 1"),
    "weights": (lambda m, how: how | {"class_weight": {0: 1, 1: 2}}, "class_weight was None, is now"),
    "order": (
        lambda m, how: how | {"shuffle": False},
        r"train\.order was RandomSampler, is now SequentialSampler",
    ),
    "patience": (lambda m, how: how | {"early_stopping": 4}, "callbacks was"),
    "metrics": (lambda m, how: how | {"metrics": ("auc",)}, r"metrics\.accuracy was .* is now None"),
    "validation": (
        lambda m, how: how | {"validation": (HELD_OUT[0] + 1e-6, HELD_OUT[1])},
        r"validation\.numbers was [0-9a-f]{16}, is now",
    ),
}


@pytest.mark.parametrize(("change", "message"), DIFFERENT.values(), ids=DIFFERENT)
def test_another_run_is_refused_and_nothing_is_lost(change, message, tmp_path):
    path = tmp_path / "run"
    Course("plain").run(path, 2)
    before, course = path.read_bytes(), other(change)
    start = as_bytes(course.model.state_dict())
    with pytest.raises(CheckpointError, match=f"is the checkpoint of another run: {message}") as caught:
        course.run(path, 3)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert as_bytes(course.model.state_dict()) == start


def test_settings_of_schedules_callbacks_losses_and_folds(tmp_path):
    data = TensorDataset(X, Y)

    def run(name, factor=0.5, patience=3, least=1e-5, smoothing=0.0, fold=range(20)):
        model = nn.Sequential(nn.Linear(3, 2))
        optimizer = optim.SGD(model.parameters(), 0.1)
        fit(
            model,
            DataLoader(Subset(data, list(fold)), 16),
            loss=nn.CrossEntropyLoss(label_smoothing=smoothing),
            optimizer=optimizer,
            scheduler=schedules.ReduceLROnPlateau(optimizer, factor=factor),
            early_stopping=EarlyStopping(patience, "loss", min_delta=least),
            epochs=1,
            verbose=False,
            checkpoint=tmp_path / name,
        )

    run("a")
    run("a")
    for change, message in (
        ({"factor": 0.4}, r"scheduler\.factor was 0\.5, is now 0\.4"),
        ({"patience": 4}, r"callbacks\.0\.patience was 3, is now 4"),
        ({"least": 1e-4}, r"callbacks\.0\.best\.min_delta was 1e-05, is now 0\.0001"),
        ({"smoothing": 0.1}, r"loss\.label_smoothing was 0\.0, is now 0\.1"),
        ({"fold": range(20, 40)}, r"train\.numbers was"),  # of one size: never another fold's weights
    ):
        with pytest.raises(CheckpointError, match=message):
            run("a", **change)


def test_a_damaged_file_says_so_and_stays(tmp_path):
    path = tmp_path / "run"
    Course("plain").run(path, 1)
    whole = path.read_bytes()
    middle = len(whole) - 40
    for raw in (whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], b""):
        path.write_bytes(raw)
        with pytest.raises(CheckpointError, match=r"run.* (damaged|empty).*; to train from the start, remove it"):
            Course("plain").run(path, 2)
        assert path.read_bytes() == raw
    save_weights(network(), path)
    with pytest.raises(CheckpointError, match="is a file of weights, not a run of fit; give another path"):
        Course("plain").run(path)
    with pytest.raises(CheckpointError, match="make the folder first"):
        Course("plain").run(tmp_path / "none" / "run")
    with pytest.raises(TypeError, match="checkpoint is the path of a file, got a bool"):
        Course("plain").run(True)


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "run"
    (tmp_path / ".run.00ff00ff.tmp").write_bytes(b"of a run that was killed")
    Course("plain").run(path, 1)
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with pytest.raises(CheckpointError, match="No space left"):
            Course("plain").run(path, 2)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert Course("plain").run(path).outcome() == Course("plain").run().outcome()


def test_what_came_to_nothing_is_no_obstacle(tmp_path):
    with pytest.raises(FloatingPointError, match="epoch 1"), np.errstate(all="ignore"):
        other(lambda m, how: how | {"optimizer": optim.SGD(m.parameters(), 1e38)}).run(tmp_path / "run")
    assert Course("plain").run(tmp_path / "run").outcome() == Course("plain").run().outcome()


# ---------------------------------------------------------------- epochs are told


def test_datasets_and_samplers_are_told_the_epoch(tmp_path):
    class Order(list):
        def set_epoch(self, epoch):
            told.append(epoch)

    told = []
    items = Items()
    data = DataLoader(Subset(Subset(items, range(40)), range(20)), 10, sampler=Order(range(20)))
    Course("plain").run(tmp_path / "run", 2, train=data)
    assert told == items.epochs == [1, 1, 2]  # the first when fit begins
    Course("plain").run(tmp_path / "run", 3, train=data)
    assert told == items.epochs == [1, 1, 2, 1, 3]


def test_what_was_done_before_is_shown(tmp_path, capsys):
    Course("plain").run(tmp_path / "run", 2)
    Course("plain").run(tmp_path / "run", 3, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Epochs 1 to 2 of 3 were done before"
    assert lines[1].startswith("Epoch 3/3")
    assert len(lines) == 2
