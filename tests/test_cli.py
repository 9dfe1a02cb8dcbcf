"""The `tinymed` command: what it does, and what it says to bad arguments: one line, exit code 2, no traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinymed
import tinymed.data
import tinymed.optim
import tinymed.training
from tinymed.cli import main

Image = pytest.importorskip("PIL.Image")
ROOT = Path(__file__).parent.parent
TABLE = "id,diagnosis,a,b\n" + "".join(f"{k},{'MB'[k % 2]},{k / 10},{7 * k % 5}\n" for k in range(40))


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory):
    """No network, no data of this machine, and few pictures."""
    whole = tinymed.data.make_breast_phantoms
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYMED_OFFLINE", "1")
        patch.setenv("TINYMED_DATA", str(tmp_path_factory.mktemp("nothing")))
        patch.setattr(tinymed.data, "make_breast_phantoms", lambda n, seed: whole(n // 16, seed))
        yield


@pytest.fixture(scope="module")
def runs(offline, tmp_path_factory):
    """A folder with two runs: `pictures`, and `table` with its CSV file."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "table.csv").write_text(TABLE)
    table = ["--data", folder / "table.csv", "--test", folder / "table.csv", "--out", folder / "table"]
    for arguments in (["--data", "phantoms", "--out", folder / "pictures"], table):
        main(["train", "--epochs", "1", *map(str, arguments)])
    return folder


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """command("train", ...) in a new folder: the exit code, what was printed, and the complaints."""
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()

    def run(*arguments):
        try:
            main([str(a) for a in arguments])
            code = 0
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(command):
    """refused(message, "train", ...): the complaint is one line that says so."""

    def run(message, *arguments):
        code, _, complaint = command(*arguments)
        assert (code, complaint.count("\n")) == (2, 1), complaint
        assert complaint.startswith("tinymed: ")
        assert re.search(message, complaint), complaint

    return run


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
    Path("one.csv").write_text(TABLE.replace(",B,", ",M,"))
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
        ("train --out x --data wisconsin --image-shape 28", "--image-shape is HxW, such as 28x28, got '28'"),
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


def png(name, mode="L"):
    Image.new(mode, (28, 28)).save(name)
    return Path(name).read_bytes()


PICTURES = {  # a file's name, what makes it, and what is said
    "missing": ("a.png", lambda name: None, "File 'a.png' does not exist"),
    "a folder": ("a.png", os.mkdir, "File 'a.png' is a directory"),
    "text": ("a.png", lambda name: Path(name).write_text("hello"), "a.png is no picture that can be read, give PNG"),
    "empty": ("a.png", lambda name: Path(name).touch(), "a.png is no picture that can be read"),
    "cut short": ("a.png", lambda name: Path(name).write_bytes(png(name)[:50]), "a.png is no picture"),
    "16 bits": ("a.png", lambda name: png(name, "I;16"), "deeper than 8 bits, mode I;16; save it with 8"),
    "empty npy": ("a.npy", lambda name: Path(name).touch(), "a.npy is no picture that can be read"),
    "objects": ("a.npy", lambda name: np.save(name, [{}]), "a.npy is no picture.*allow_pickle=False"),
    "an archive": (
        "a.npy",
        lambda name: Path(name).write_bytes(b"PK\x03\x04" * 9),
        "a.npy is no picture.*magic string",
    ),
    "two pictures": ("a.npy", lambda name: np.save(name, np.ones((2, 28, 28))), r"\(H,W\).*got \(2, 28, 28\) float64"),
    "no pixel": ("a.npy", lambda name: np.save(name, np.ones((0, 28))), r"got \(0, 28\) float64"),
    "integers": ("a.npy", lambda name: np.save(name, np.ones((28, 28), int)), "uint8 or floats in 0..1, got .* int64"),
    "words": ("a.npy", lambda name: np.save(name, [["a"] * 2] * 2), "uint8 or floats in 0..1, got .* <U1"),
    "nan": ("a.npy", lambda name: np.save(name, np.full((28, 28), np.nan)), "floats must lie in 0..1, got nan..nan"),
    "0 to 255": ("a.npy", lambda name: np.save(name, np.full((28, 28), 200.0)), "got 200..200; divide by 255"),
}


@pytest.mark.parametrize(("name", "make", "message"), PICTURES.values(), ids=PICTURES)
def test_bad_pictures(refused, runs, name, make, message):
    make(name)
    refused(message, "predict", "--run", runs / "pictures", name)


def without(key):
    return lambda run: (run / "run.json").write_text(json.dumps({k: v for k, v in known(run).items() if k != key}))


def with_(**entries):
    return lambda run: (run / "run.json").write_text(json.dumps(known(run) | entries))


def known(run):
    return json.loads((run / "run.json").read_text())


def cut(run):
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])


RUNS = {
    "no run.json": (lambda run: (run / "run.json").unlink(), "run is no run: there is no run.json in it"),
    "not JSON": (lambda run: (run / "run.json").write_text("{nope"), "run/run.json is damaged: .*train the run anew"),
    "empty": (lambda run: (run / "run.json").write_text(""), "run/run.json is damaged"),
    "not text": (lambda run: (run / "run.json").write_bytes(b"\xff\x00"), "run/run.json is damaged: .*utf-8"),
    "a list": (lambda run: (run / "run.json").write_text("[1]"), "does not say data, test, seed, init"),
    **{f"without {key}": (without(key), f"run/run.json does not say {key}, as train writes it")
       for key in ("data", "test", "seed", "init", "input_shape", "classes", "positive")},
    "a shape in words": (with_(input_shape="two"), "does not say input_shape"),
    "another shape": (with_(input_shape=[3]), r"'0.weight' has shape \(32, 2\), expected \(32, 3\)"),
    "a third class": (with_(positive=2), "positive must be one of the classes 0…1, got 2"),
    "its test file gone": (with_(test="gone.csv"), "gone.csv: no such file or directory"),
    "no weights": (lambda run: (run / "model.safetensors").unlink(), "model.safetensors does not exist; check"),
    "cut weights": (cut, "model.safetensors holds no weights: it is truncated"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), RUNS.values(), ids=RUNS)
def test_bad_runs(refused, runs, spoil, message):
    shutil.copytree(runs / "table", "run")
    spoil(Path("run"))
    refused(message, "evaluate", "run")


TABLES = {
    "missing": (lambda path: None, "a.csv: no such file or directory"),
    "a folder": (Path.mkdir, "a.csv: is a directory"),
    "empty": (Path.touch, "a.csv has nothing in it"),
    "a header alone": (lambda path: path.write_text("id,diagnosis,a\n"), "a.csv has a header but no rows"),
    "a word": (lambda path: path.write_text(TABLE + "99,M,high,1\n"), "line 42: column 'a' holds 'high', which is not"),
    "a gap": (lambda path: path.write_text(TABLE + "99,M,,1\n"), "line 42: column 'a' is empty"),
    "nan": (lambda path: path.write_text(TABLE + "99,M,nan,1\n"), "line 42: column 'a' holds nan; fill the gap"),
    "one class": (lambda path: path.write_text(TABLE.replace(",B,", ",M,")), "two classes are expected.* has 1: M"),
    "three classes": (lambda path: path.write_text(TABLE + "99,X,1,1\n"), "has 3: B, M, X"),
    "no label": (lambda path: path.write_text("a,b\n1,2\n"), "no label column 'diagnosis'; its columns are 'a', 'b'"),
    "few rows": (lambda path: path.write_text(TABLE[:56]), r"rows; 7 are needed, to keep 15 % for validation"),
    "not text": (lambda path: path.write_bytes(b"\xff\x00"), "a.csv is not a CSV file in UTF-8"),
}


@pytest.mark.parametrize(("make", "message"), TABLES.values(), ids=TABLES)
def test_bad_tables(refused, runs, make, message):
    make(Path("a.csv"))
    refused(message, "train", "--data", "a.csv", "--test", runs / "table.csv", "--out", "run")


def test_other_columns_to_judge_by(refused, runs):
    Path("a.csv").write_text("id,diagnosis,a,c\n1,M,1,2\n")
    refused("missing 'b', unknown 'c'", "evaluate", runs / "table", "--test", "a.csv")


def test_nowhere_to_write_is_said_before_training(refused, monkeypatch):
    monkeypatch.setattr(tinymed.training, "fit", lambda *a, **how: pytest.fail("it trained"))
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)  # root is denied nothing
    Path("file").touch()
    for arguments in (("train", "--data", "wisconsin", "--out"), ("demo", "--out")):
        refused("'--out': Directory 'file' is a file", *arguments, "file")
        refused("file/below: not a directory", *arguments, "file/below")
        refused("'--out': Directory '.' is not writable", *arguments, ".")
