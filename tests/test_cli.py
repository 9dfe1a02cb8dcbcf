"""The `tinymed` command: what it does, and what it says to bad arguments: one line, exit code 2, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinymed
import tinymed.data
import tinymed.optim
import tinymed.training

Image = pytest.importorskip("PIL.Image")
ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.usefixtures("few_pictures")


# ---------------------------------------------------------------- what it does


def test_version_and_help(command):
    assert command("--version") == (0, f"tinymed, version {tinymed.__version__}\n", "")
    code, text, _ = command("--help")
    assert code == 0
    assert "not a clinical device" in text
    assert command("-h")[1] == command()[1] == text


@pytest.mark.parametrize("name", ["demo", "train", "evaluate", "predict", "data", "doctor"])
def test_every_command_has_an_example(command, name):
    code, text, _ = command(name, "--help")
    assert code == 0
    assert f"\n  tinymed {name}" in text


def test_demo_says_why_it_uses_phantoms(command):
    code, text, complaint = command("demo", "--epochs", 1, "--out", "a/b")
    assert (code, complaint) == (0, "")
    assert "BreastMNIST is not here" in text
    assert "TINYMED_OFFLINE is set" in text
    assert "trained on GENERATED pictures" in text
    assert {path.name for path in Path("a/b").iterdir()} == {"demo.png", "model.safetensors", "figures.json"}
    assert json.loads(Path("a/b/figures.json").read_text())["data"] == "generated phantoms"


def test_train_evaluate_predict(command, runs):
    run = runs / "pictures"
    about = json.loads((run / "run.json").read_text())
    assert Image.open(run / "run.png").width > 500
    code, text, _ = command("evaluate", run)
    assert code == 0
    assert f"accuracy               {about['figures']['accuracy']:.3f}" in text
    pixels = (tinymed.data.make_breast_phantoms(16, 5).images.numpy()[0, 0] * 255).astype(np.uint8)
    Image.fromarray(pixels).save("a.png")
    Image.fromarray(pixels).convert("RGB").save("b.png")
    np.save("c.npy", pixels)
    np.save("d.npy", np.float32(pixels / 255)[None])
    Image.fromarray(np.repeat(pixels, 2, 0)).save("large.png")
    code, text, complaint = command("predict", "--run", run, "a.png", "b.png", "c.npy", "d.npy", "large.png")
    lines = text.splitlines()
    assert code == 0
    assert complaint == "large.png: resized from 56x28 to 28x28\n"
    assert len({line.partition(": ")[2] for line in lines[:5]}) == 1  # one picture, said alike
    assert "not a clinical device" in lines[5]


def test_a_table_of_measures(command, runs):
    for more in ((), ("--test", runs / "table.csv")):
        code, text, _ = command("evaluate", runs / "table", *more)
        assert code == 0
        assert "(of M: found)" in text


def test_a_test_file_of_one_class_leaves_figures_undefined(command, runs):
    Path("one.csv").write_text((runs / "table.csv").read_text().replace(",B,", ",M,"))
    data = ("--data", runs / "table.csv", "--test", "one.csv")
    code, text, complaint = command("train", "--epochs", 1, *data, "--out", "run")
    assert (code, complaint) == (0, "")
    assert "AUC                    nan" in text
    assert json.loads(Path("run/run.json").read_text())["figures"]["auc"] is None


def test_data_and_doctor(command):
    code, text, _ = command("data", "list")
    assert code == 0
    assert all(word in text for word in ("breastmnist", "wisconsin", "CC BY 4.0", "not here"))
    code, text, _ = command("doctor")
    assert code == 0
    assert all(word in text for word in (tinymed.__version__, "in force", "numpy", "data folder: "))


@pytest.mark.parametrize(("step", "code", "said"), [(1, 130, "stopped"), (20, 0, "interrupted in epoch 2")])
def test_ctrl_c(command, monkeypatch, step, code, said):
    """Before an epoch is done there is nothing to keep; later, what was learnt is kept."""
    steps, honest = [], tinymed.optim.Adam.step

    def interrupted(optimizer):
        steps.append(1)
        if len(steps) == step:
            raise KeyboardInterrupt
        honest(optimizer)

    monkeypatch.setattr(tinymed.optim.Adam, "step", interrupted)
    found, _, complaint = command("train", "--data", "wisconsin", "--epochs", 3, "--out", "run")
    assert found == code
    assert said in complaint
    assert Path("run/run.json").exists() == (code == 0)


def test_doctor_refuses_an_unknown_backend_before_it_prints():
    environment = os.environ | {"TINYMED_BACKEND": "none"}
    command = [sys.executable, "-m", "tinymed", "doctor"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tinymed: no backend is called 'none'; there are: numpy, reference\n"


def test_as_a_process():
    done = subprocess.run([sys.executable, "-m", "tinymed", "nonsense"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "tinymed: No such command 'nonsense'.\n")


# ---------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--nonsense", "No such option '--nonsense'"),
        ("train", "Missing option '--out'"),
        ("train --out x --epochs 0", "'--epochs': 0 is not in the range x>=1"),
        ("train --out x --epochs abc", "'--epochs': 'abc' is not a valid integer"),
        ("train --out x --lr -1", "'--lr': -1.0 is not in the range x>0"),
        ("train --out x --lr nan --data wisconsin", "lr must be above 0, got nan"),
        ("train --out x --init he", "'he' is not one of 'keras', 'torch'"),
        ("train --out x --data mnist", "--data is breastmnist, .* or a .csv file, got 'mnist'"),
        ("train --out x --data a.csv", "--test must name the one to judge by"),
        ("train --out x --data wisconsin --label y --image-shape 28x28", "--label, --image-shape: only where"),
        ("train --out x --data breastmnist --test {runs}/table.csv", "--test: only where --data is a CSV file"),
        ("train --out x --data a.csv --test {runs}/table.csv --image-shape 28", "HxW, such as 28x28, got '28'"),
        ("train --out x --data breastmnist", "breastmnist.npz is not in .*download https.*TINYMED_OFFLINE is set"),
        ("evaluate", "Missing argument 'RUN'"),
        ("evaluate none", "none is no run: there is no run.json in it; make one with `tinymed train --out none`"),
        ("evaluate {runs}/pictures --test {runs}/table.csv", "test split is fixed: leave --test out"),
        ("predict --run {runs}/pictures", "Missing argument 'IMAGE...'"),
        ("predict --run none {runs}/table.csv", "none is no run"),
        ("predict --run {runs}/table {runs}/table.csv", "reads tables of 2 measures, not pictures"),
        ("data path breastmnist", "breastmnist.npz is not in .*place it by hand.*hash sha256:"),
        ("data fetch mnist", "there is no data set 'mnist'; there are breastmnist, pneumoniamnist"),
    ],
)  # fmt: skip
def test_bad_arguments(refused, runs, arguments, message):
    refused(message, *arguments.format(runs=runs).split())


def test_nowhere_to_write_is_said_before_training(refused, monkeypatch):
    monkeypatch.setattr(tinymed.training, "fit", lambda *a, **how: pytest.fail("it trained"))
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)  # root is denied nothing
    Path("file").touch()
    for arguments in (("train", "--data", "wisconsin", "--out"), ("demo", "--out")):
        refused("'--out': Directory 'file' is a file", *arguments, "file")
        refused("file/below: not a directory", *arguments, "file/below")
        refused("'--out': Directory '.' is not writable", *arguments, ".")
