"""Files that `tinymed` cannot use, pictures, runs and tables: one line says which and why, exit code 2."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")
DATA = os.environ.get("TINYMED_DATA")
pytestmark = pytest.mark.usefixtures("few_pictures")


def png(name, mode="L"):
    Image.new(mode, (28, 28)).save(name)
    return Path(name).read_bytes()


PICTURES = {  # a file's name, what makes it, and what is said
    "missing": ("a.png", lambda name: None, "Path 'a.png' does not exist"),
    "an empty folder": ("a.png", os.mkdir, "a.png holds no files"),
    "text": ("a.png", lambda name: Path(name).write_text("hello"), "a.png is no picture that can be read, give PNG"),
    "empty": ("a.png", lambda name: Path(name).touch(), "a.png is no picture that can be read"),
    "cut short": ("a.png", lambda name: Path(name).write_bytes(png(name)[:50]), "a.png is no picture"),
    "empty npy": ("a.npy", lambda name: Path(name).touch(), "a.npy is no picture that can be read"),
    "objects": ("a.npy", lambda name: np.save(name, [{}]), "a.npy is no picture.*allow_pickle=False"),
    "an archive": (
        "a.npy",
        lambda name: Path(name).write_bytes(b"PK\x03\x04" * 9),
        "a.npy is no picture.*magic string",
    ),
    "two pictures": ("a.npy", lambda name: np.save(name, np.ones((2, 28, 28))), r"\(H,W\).*got \(2, 28, 28\) float64"),
    "no pixel": ("a.npy", lambda name: np.save(name, np.ones((0, 28))), r"got \(0, 28\) float64"),
    "integers": ("a.npy", lambda name: np.save(name, np.ones((28, 28), int)), "uint16 or floats in 0..1, got .* int64"),
    "words": ("a.npy", lambda name: np.save(name, [["a"] * 2] * 2), "uint16 or floats in 0..1, got .* <U1"),
    "nan": ("a.npy", lambda name: np.save(name, np.full((28, 28), np.nan)), "floats must lie in 0..1, got nan..nan"),
    "0 to 255": ("a.npy", lambda name: np.save(name, np.full((28, 28), 200.0)), "got 200..200; divide by 255"),
}


@pytest.mark.parametrize(("name", "make", "message"), PICTURES.values(), ids=PICTURES)
def test_bad_pictures(refused, runs, name, make, message):
    make(name)
    refused(message, "predict", "--run", runs / "pictures", name)


def test_pictures_of_16_bits_are_read(command, runs):
    Image.fromarray(np.full((28, 28), 40_000, np.uint16)).save("a.png")
    np.save("a.npy", np.full((28, 28), 40_000 / 65_535))
    _, text, _ = command("predict", "--run", runs / "pictures", "a.png", "a.npy")
    assert len({line.partition(": ")[2] for line in text.splitlines()[:2]}) == 1


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
    "no run.json": (lambda run: (run / "run.json").unlink(), "run holds a run that is not finished: the same"),
    "not JSON": (lambda run: (run / "run.json").write_text("{nope"), "run/run.json is damaged: .*train the run anew"),
    "empty": (lambda run: (run / "run.json").write_text(""), "run/run.json is damaged"),
    "not text": (lambda run: (run / "run.json").write_bytes(b"\xff\x00"), "run/run.json is damaged: .*utf-8"),
    "a list": (lambda run: (run / "run.json").write_text("[1]"), "does not say about, classes, columns, config"),
    **{f"without {key}": (without(key), f"run/run.json does not say {key}, as train writes it")
       for key in ("config", "settled", "shape", "classes", "columns", "layout", "prepared", "positive", "threshold")},
    "a shape in words": (with_(shape="two"), "run/run.json is damaged"),
    "another shape": (with_(shape=[3]), r"model.safetensors does not fit run.json: .*\(32, 2\), expected \(32, 3\)"),
    "a third class": (with_(positive=2), "run/run.json is damaged: positive cannot be 2"),
    "a threshold in words": (with_(threshold="half"), "run/run.json is damaged: threshold cannot be 'half'"),
    "nothing about it": (with_(about={}), "run/run.json is damaged: about cannot be {}"),
    "a bent layout": (with_(layout={"columns": ["a"]}), "run/run.json is damaged"),
    "bent preparation": (with_(prepared={"kind": "Standardize"}), "run/run.json is damaged"),
    "unknown preparation": (with_(prepared={"kind": "Magic"}), "Magic"),
    "an unknown key": (lambda run: with_(config=known(run)["config"] | {"lrr": 1})(run), "no key 'lrr' .*mean 'lr'"),
    "an unknown task": (lambda run: with_(config=known(run)["config"] | {"task": "x"})(run), "there is no task 'x'"),
    "its data gone": (
        lambda run: with_(config=known(run)["config"] | {"data": "gone.csv"})(run), "gone.csv: no such file"
    ),
    "no weights": (lambda run: (run / "model.safetensors").unlink(), "model.safetensors does not exist; check"),
    "cut weights": (cut, "model.safetensors holds no weights: it is truncated"),
    "weights of another net": (
        lambda run: shutil.copy(run / "../pictures.safetensors", run / "model.safetensors"),
        "run/model.safetensors does not fit run.json",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), RUNS.values(), ids=RUNS)
def test_bad_runs(refused, runs, spoil, message):
    shutil.copytree(runs / "table", "run")
    shutil.copy(runs / "pictures/model.safetensors", "pictures.safetensors")
    spoil(Path("run"))
    refused(message, "evaluate", "run")
    assert not Path("run/report.html").exists()


def test_a_run_is_asked_without_the_data_it_learnt_from(command, runs):
    shutil.copytree(runs / "table", "run")
    with_(config=known(runs / "table")["config"] | {"data": "gone.csv", "test": "gone.csv"})(Path("run"))
    Path("new.csv").write_text("a,b\n0.5,1\n")
    said = [command("predict", "--run", run, "new.csv")[:2] for run in (runs / "table", "run")]
    assert said[0] == said[1]
    assert said[0][0] == 0


TABLES = {
    "a folder": (lambda path, table: path.mkdir(), "a.csv: is a directory"),
    "empty": (lambda path, table: path.touch(), "a.csv has nothing in it"),
    "a header alone": (lambda path, table: path.write_text("id,diagnosis,a\n"), "a.csv has a header but no rows"),
    "a word": (
        lambda path, table: path.write_text(table + "99,M,high,1\n"),
        "line 42: column 'a' holds 'high', which is not",
    ),
    "infinity": (lambda path, table: path.write_text(table + "99,M,inf,1\n"), "line 42: column 'a' holds inf"),
    "a short row": (lambda path, table: path.write_text(table + "99,M,1\n"), "line 42: 3 cells, .* has 4 columns"),
    "a label left out": (lambda path, table: path.write_text(table + "99,,1,1\n"), "line 42: label column .* is empty"),
    "one class": (
        lambda path, table: path.write_text(table.replace(",B,", ",M,")),
        "a.csv holds one class alone, 'M': there is nothing to tell it from",
    ),
    "a rare class": (
        lambda path, table: path.write_text(table + "99,X,1,1\n"),
        "a.csv: class 'X' has 1 rows, too few to keep a fifth to judge by; 5 are needed",
    ),
    "no label": (
        lambda path, table: path.write_text("a,b\n1,2\n"),
        "no label column 'diagnosis'; its columns are 'a', 'b'",
    ),
    "few rows": (lambda path, table: path.write_text(table[:56]), "class 'B' has 2 rows, too few to keep a fifth"),
    "not text": (lambda path, table: path.write_bytes(b"\xff\x00"), "a.csv is not text in UTF-8"),
    "GB18030": (lambda path, table: path.write_bytes(table.replace("B", "良").encode("gbk")), "--encoding gb18030$"),
    "two encodings": (
        lambda path, table: path.write_bytes(f"{table}99,良性恶性,1,1\n".encode() + "98,良,1,1\n".encode("gb18030")),
        "line 43, byte .* two encodings in one file",
    ),
    "a sheet": (lambda path, table: path.write_bytes(b"PK\x03\x04"), "save the sheet as CSV"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "message"), TABLES.values(), ids=TABLES)
def test_bad_tables(refused, runs, make, message):
    make(Path("a.csv"), (runs / "table.csv").read_text())
    refused(message, "train", "--task", "breast-cytology", "--data", "a.csv", "--out", "run/below")
    assert not Path("run").exists()


def test_one_class_to_learn_from_is_refused_with_a_test_file_too(refused, runs):
    Path("a.csv").write_text((runs / "table.csv").read_text().replace(",B,", ",M,"))
    data = ("--data", "a.csv", "--test", runs / "table.csv", "--out", "run")
    refused("a.csv holds one class alone, 'M'", "train", "--task", "breast-cytology", *data)


# a table to judge by, and what is said of it
OTHERS = {
    "other columns": ("id,diagnosis,a,c\n1,M,1,2\n", "missing 'b', unknown 'c'"),
    "a class never seen": ("diagnosis,a,b\nM,1,2\nX,1,2\n", "line 3: .*'X'; the classes are 'B', 'M'"),
    "no label": ("a,b\n1,2\n", "no label column 'diagnosis'"),
    "a word": ("diagnosis,a,b\nM,1,low\n", "line 2: column 'b' holds 'low'"),
}


@pytest.mark.parametrize(("table", "message"), OTHERS.values(), ids=OTHERS)
def test_other_tables_to_judge_by(refused, runs, table, message):
    Path("a.csv").write_text(table)
    refused(message, "evaluate", runs / "table", "--test", "a.csv")
    data = ("--data", runs / "table.csv", "--test", "a.csv", "--out", "x")
    refused(message, "train", "--task", "breast-cytology", *data)
    assert not Path("x").exists()


def pictures(root, **sizes):
    """A folder of class folders of grey pictures, six each but for the last, of such sizes."""
    for k, (name, size) in enumerate(sizes.items()):
        (root / name).mkdir(parents=True)
        for i in range(6):
            Image.new("L", size, 40 * k + i).save(root / name / f"p{i}.png")
    return root


FOLDERS = {
    "another size": (lambda root: pictures(root, a=(28, 28), b=(28, 30)), "30x28, but .* is 28x28: give --image-shape"),
    "one class": (lambda root: pictures(root, a=(28, 28)), "holds one folder, 'a'; give the folder that holds one for"),
    "no pictures": (lambda root: (pictures(root, a=(28, 28)) / "b").mkdir(), "b holds no pictures"),
    "a text": (
        lambda root: (pictures(root, a=(28, 28), b=(28, 28)) / "b/x.png").write_text("hello"), "b/x.png is no picture"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "message"), FOLDERS.values(), ids=FOLDERS)
def test_bad_folders(refused, make, message):
    make(Path("mine"))
    line = ("train", "--task", "breast-ultrasound", "--model", "small-resnet", "--data", "mine")
    refused(message, *line, "--out", "x")
    assert not Path("x").exists()


# of a task's data: a file of it, what it was asked by, and what is said of it cut short
CUT = {
    "npz": ("breastmnist/breastmnist.npz", "breast-ultrasound", "breastmnist", "breastmnist.npz has sha256:"),
    "dat": ("mitbih_sample/100.dat", "ecg", "mitbih", "100.dat has sha256:"),
    "csv": ("pima_diabetes/pima-indians-diabetes.csv", "diabetes", "pima", "pima-indians-diabetes.csv has sha256:"),
}


@pytest.mark.skipif(not DATA, reason="TINYMED_DATA does not name a folder of real data")
@pytest.mark.parametrize(("file", "task", "data", "message"), CUT.values(), ids=CUT)
def test_real_files_that_are_cut_short(command, file, task, data, message):
    whole, part = Path(DATA) / file, Path("home") / file
    shutil.copytree(whole.parent, part.parent)
    part.write_bytes(whole.read_bytes()[:-2000])
    code, _, complaint = command("train", "--task", task, "--data", data, "--data-home", "home", "--out", "x")
    assert code == 2
    assert re.search(message, complaint)
    assert "Traceback" not in complaint
    assert not Path("x").exists()
