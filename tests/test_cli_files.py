"""Files that `tinymed` cannot use, pictures, runs and tables: one line says which and why, exit code 2."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.usefixtures("few_pictures")


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
       for key in ("data", "test", "seed", "init", "input_shape", "classes", "positive", "layout")},
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
    "missing": (lambda path, table: None, "a.csv: no such file or directory"),
    "a folder": (lambda path, table: path.mkdir(), "a.csv: is a directory"),
    "empty": (lambda path, table: path.touch(), "a.csv has nothing in it"),
    "a header alone": (lambda path, table: path.write_text("id,diagnosis,a\n"), "a.csv has a header but no rows"),
    "a word": (
        lambda path, table: path.write_text(table + "99,M,high,1\n"),
        "line 42: column 'a' holds 'high', which is not",
    ),
    "a gap": (lambda path, table: path.write_text(table + "99,M,,1\n"), "line 42: column 'a' is empty"),
    "nan": (lambda path, table: path.write_text(table + "99,M,nan,1\n"), "line 42: column 'a' holds nan; fill the gap"),
    "one class": (
        lambda path, table: path.write_text(table.replace(",B,", ",M,")),
        "two classes are expected.* has 1: M",
    ),
    "three classes": (lambda path, table: path.write_text(table + "99,X,1,1\n"), "has 3: B, M, X"),
    "no label": (
        lambda path, table: path.write_text("a,b\n1,2\n"),
        "no label column 'diagnosis'; its columns are 'a', 'b'",
    ),
    "few rows": (lambda path, table: path.write_text(table[:56]), r"rows; 7 are needed, to keep 15 % for validation"),
    "not text": (lambda path, table: path.write_bytes(b"\xff\x00"), "a.csv is not a CSV file in UTF-8"),
}


@pytest.mark.parametrize(("make", "message"), TABLES.values(), ids=TABLES)
def test_bad_tables(refused, runs, make, message):
    make(Path("a.csv"), (runs / "table.csv").read_text())
    refused(message, "train", "--data", "a.csv", "--test", runs / "table.csv", "--out", "run")


def test_the_test_split_of_a_named_table_is_fixed(command, refused, runs):
    assert command("train", "--data", "wisconsin", "--epochs", 1, "--out", "cells")[0] == 0
    refused("trained on wisconsin, whose test split is fixed", "evaluate", "cells", "--test", runs / "table.csv")


def test_other_columns_to_judge_by(refused, runs):
    Path("a.csv").write_text("id,diagnosis,a,c\n1,M,1,2\n")
    refused("missing 'b', unknown 'c'", "evaluate", runs / "table", "--test", "a.csv")
