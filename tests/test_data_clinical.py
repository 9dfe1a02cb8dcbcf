"""ECG5000, Pima and Golub: the same numbers from every form of the files, and what is refused."""

from __future__ import annotations

import csv
import os
from dataclasses import replace

import numpy as np
import pytest

from tinymed.data import DataNotFoundError
from tinymed.data.arrays import class_numbers, read_npz, read_numbers
from tinymed.data.ecg5000 import COUNTS, load_ecg5000
from tinymed.data.golub import load_golub
from tinymed.data.pima import COLUMNS, load_pima
from tinymed.data.registry import SOURCES
from tinymed.data.sources import fetch_all

DATA = os.environ.get("TINYMED_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TINYMED_DATA does not name a folder of real data")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("TINYMED_OFFLINE", "1")


@pytest.fixture
def unhashed(monkeypatch):
    """Files that a test writes are taken by their names."""
    for name in ("ecg5000", "pima", "golub"):
        source = SOURCES[name]
        files = tuple(replace(file, digest="") for file in source.files)
        twins = tuple(replace(file, digest="") for file in source.twins)
        monkeypatch.setitem(SOURCES, name, replace(source, files=files, twins=twins))


# ---------------------------------------------------------------- text files of numbers


@pytest.mark.parametrize(
    "text", ["1,2.5\n3,-4e1\n", "1 2.5\n\n  3\t-4e1", "\ufeff1, 2.5\r\n3 ,-4e1\r\n", "   1.0e+00   2.5\n 3 -40  \n"]
)
def test_read_numbers(tmp_path, text):
    (tmp_path / "x.txt").write_bytes(text.encode())
    np.testing.assert_array_equal(read_numbers(tmp_path / "x.txt", ("a", "b")), [[1, 2.5], [3, -40]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3\n", r"line 2: 1 cells, expected 2; was the file cut short"),
        ("1,2\n3,4,5\n", r"line 2: 3 cells, expected 2"),
        ("1,2\n\n3,x4\n", r"line 3: column 'b' holds 'x4', which is not a number"),
        ("1,2\n,4\n", r"line 2: column 'a' is empty"),
        ("1,2\n3,nan\n", r"line 2: column 'b' holds nan, no finite number"),
        ("1,2\n\n3,1e999\n", r"line 3: column 'b' holds inf, no finite number"),
        ("\n \n", "is empty"),
        (b"1,2\n\xff\xfe3,4", r"is not a text file in UTF-8 \(byte 4\)"),
    ],
)
def test_read_numbers_refuses(tmp_path, text, message):
    path = tmp_path / "x.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as caught:
        read_numbers(path, ("a", "b"))
    assert str(caught.value).startswith(str(path))
    assert "move it away, then fetch or place it again" in str(caught.value)


def test_class_numbers():
    labels = class_numbers("f", "class", np.array([1.0, 5.0, 2.0]), 1, 5)
    assert labels.tolist() == [0, 4, 1]
    assert labels.dtype == np.int64
    for wrong in (0.0, 6.0, 1.5, np.nan):
        with pytest.raises(ValueError, match=rf"f: class {wrong:g} of row 3 is out of range, classes are 1\.\.5"):
            class_numbers("f", "class", np.array([1.0, 2.0, wrong]), 1, 5, row=1)
    for shape in (np.ones((2, 1)), np.array(["1"])):
        with pytest.raises(ValueError, match=r"f: class must be numbers \(N,\), got"):
            class_numbers("f", "class", shape, 1, 5)


def test_read_npz_keeps_the_order_asked_for(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.arange(2), b=np.arange(3))
    assert [len(array) for array in read_npz(tmp_path / "x.npz", ("b", "a"))] == [3, 2]
    with pytest.raises(ValueError, match=r"x\.npz lacks c; it holds a, b"):
        read_npz(tmp_path / "x.npz", ("a", "c"))


# ---------------------------------------------------------------- ECG5000


def beats(split):
    """Made-up beats in the numbers that the split has, labels 1..5."""
    rng = np.random.default_rng(len(split))
    y = rng.permutation(np.repeat(np.arange(1, 6), COUNTS[split]))
    return rng.standard_normal((len(y), 140)).astype(np.float32), y.astype(np.uint8)


def write_ucr(path, x, y, layout):
    if layout == "blanks":  # since 2018: "   1.0000000e+00  -1.1252183e-01"
        np.savetxt(path, np.column_stack([y, x.astype(np.float64)]), fmt="%17.8e", delimiter="")
    else:
        separator = {"commas": ",", "tabs": "\t"}[layout]
        rows = (separator.join([str(label), *(f"{value:.9g}" for value in row)]) for label, row in zip(y, x.tolist()))
        path.write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("blanks", "ECG5000_{}.txt"),
        ("commas", "ECG5000_{}.txt"),
        ("commas", "ECG5000_{}"),
        ("tabs", "ECG5000/ECG5000_{}.tsv"),
    ],
)
def test_ecg5000_reads_every_layout_of_the_archive(unhashed, tmp_path, layout, name):
    x, y = beats("train")
    path = tmp_path / name.format("TRAIN")
    path.parent.mkdir(exist_ok=True)
    write_ucr(path, x, y, layout)
    dataset = load_ecg5000("train", data_home=tmp_path)
    np.testing.assert_array_equal(dataset.inputs.array, x[:, None])
    np.testing.assert_array_equal(dataset.labels.array, y.astype(int) - 1)
    assert (dataset.source, dataset.split) == (path.name, "train")
    with pytest.raises(DataNotFoundError, match=r"ECG5000_TEST\.txt is not in"):
        load_ecg5000("test", data_home=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: {"train_x": x.astype(np.float64)}, r"train_x must be float32 \(500, 140\).*got float64"),
        (lambda x, y: {"train_x": x[:, :100]}, r"got float32 \(500, 100\)"),
        (lambda x, y: {"train_y": y[:, None]}, r"train_y must be numbers \(N,\), got uint8 \(500, 1\)"),
        (lambda x, y: {"train_y": y - 1}, r"train_y 0 of row \d+ is out of range, classes are 1\.\.5"),
        (lambda x, y: {"train_x": x[1:], "train_y": y[1:]}, r"holds 499 beats.*has 500, \[292, 177, 10, 19, 2\]"),
    ],
)
def test_ecg5000_refuses_other_arrays(unhashed, tmp_path, change, message):
    x, y = beats("train")
    np.savez(tmp_path / "ecg5000.npz", **({"train_x": x, "train_y": y} | change(x, y)))
    with pytest.raises(ValueError, match=message):
        load_ecg5000("train", data_home=tmp_path)


def test_ecg5000_refuses_a_text_cut_short(unhashed, tmp_path):
    path = tmp_path / "ECG5000_TRAIN.txt"
    write_ucr(path, *beats("train"), "blanks")
    whole = path.read_bytes()
    row = whole.index(b"\n") + 1
    path.write_bytes(whole[: 3 * row - 500])
    with pytest.raises(ValueError, match=r"ECG5000_TRAIN\.txt, line 3: 1\d\d cells, expected 141; was the file cut"):
        load_ecg5000("train", data_home=tmp_path)
    path.write_bytes(whole[: 300 * row])
    with pytest.raises(ValueError, match=r"holds 300 beats.*the train split of ECG5000 has 500"):
        load_ecg5000("train", data_home=tmp_path)
    path.write_bytes(whole.replace(b"e+00", b"x+00", 1))
    with pytest.raises(ValueError, match=r"line 1: column 'class' holds '[1-5].*x\+00', which is not a number"):
        load_ecg5000("train", data_home=tmp_path)


# ---------------------------------------------------------------- Pima


def women():
    """768 made-up rows, 268 of them with diabetes."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 99, (768, 9))
    x[:, 8] = rng.permutation(768) < 268
    return x


def write_csv(path, rows):
    with path.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def test_pima_makes_impossible_zeros_missing(unhashed, tmp_path):
    x = women()
    x[:4, :8] = 0
    write_csv(tmp_path / "pima-indians-diabetes.csv", x)
    dataset = load_pima(data_home=tmp_path)
    missing = np.isnan(dataset.inputs.array)
    zero_means_zero = [COLUMNS.index(name) for name in ("pregnancies", "pedigree", "age")]
    assert missing.sum() == 4 * 5
    assert not missing[:, zero_means_zero].any()
    np.testing.assert_array_equal(np.nan_to_num(dataset.inputs.array), x[:, :8])
    np.testing.assert_array_equal(dataset.labels.array, x[:, 8])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:700], r"holds 700 rows, \d+ of them with diabetes; the data set has 768 and 268"),
        (lambda rows: [rows[0][:5], *rows[1:]], "line 1: 5 cells, expected 9"),
        (lambda rows: [[*rows[0][:4], "NA", *rows[0][5:]], *rows[1:]], "line 1: column 'insulin' holds 'NA'"),
        (lambda rows: [[*rows[0][:8], 2], *rows[1:]], r"class 2 of row 1 is out of range, classes are 0\.\.1"),
        (lambda rows: [rows[0], [-3, *rows[1][1:]], *rows[2:]], "row 2: pregnancies is -3, less than 0"),
        (lambda rows: [[*COLUMNS, "class"], *rows], "line 1: column 'pregnancies' holds 'pregnancies', which is not"),
    ],
)  # fmt: skip
def test_pima_refuses(unhashed, tmp_path, change, message):
    path = tmp_path / "pima-indians-diabetes.csv"
    write_csv(path, change(women().tolist()))
    with pytest.raises(ValueError, match=message) as caught:
        load_pima(data_home=tmp_path)
    assert str(caught.value).startswith(str(path))


# ---------------------------------------------------------------- Golub


def write_golub(folder, tables, genes, descriptions, cancer):
    """The three tables as they circulate: patients in no order, a letter beside each number."""
    for name, (patients, x) in tables.items():
        header = ["Gene Description", "Gene Accession Number"]
        for patient in patients:
            header += [patient, "call"]
        body = ([d, g, *np.stack([row.astype(object), ["A"] * len(row)], 1).ravel()] for d, g, row in zip(
            descriptions, genes, x.T))  # fmt: skip
        write_csv(folder / name, [header, *body])
    write_csv(folder / "actual.csv", [["patient", "cancer"], *cancer])


def small_golub(folder, monkeypatch):
    """Three patients, four genes; and what the loader is to demand."""
    monkeypatch.setattr("tinymed.data.golub.GENES", 4)
    monkeypatch.setattr("tinymed.data.golub.COUNTS", {"train": (2, 1), "test": (0, 0)})
    x = np.array([[30, -31, 32, 33], [10, 11, 12, 13], [20, 21, 22, 23]])
    genes, words = ["a_at", "b_at", "c_at", "d_at"], ["one", "two, too", 'three "3"', "four "]
    write_golub(
        folder, {"data_set_ALL_AML_train.csv": ([3, 1, 2], x)}, genes, words, [[1, "ALL"], [2, "AML"], [3, "ALL"]]
    )
    return x, genes, words


def test_golub_reads_the_tables(unhashed, tmp_path, monkeypatch):
    x, genes, words = small_golub(tmp_path, monkeypatch)
    dataset = load_golub("train", data_home=tmp_path)
    np.testing.assert_array_equal(dataset.inputs.array, x[[1, 2, 0]])
    assert dataset.inputs.dtype == np.float32
    assert dataset.labels.array.tolist() == [0, 1, 0]
    assert dataset.groups.tolist() == [1, 2, 3]
    assert (dataset.genes.tolist(), dataset.descriptions.tolist()) == (genes, words)
    assert (dataset.classes, dataset.source) == (("ALL", "AML"), "data_set_ALL_AML_train.csv")
    with pytest.raises(DataNotFoundError, match="data_set_ALL_AML_independent"):
        load_golub("test", data_home=tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("train", "-31,A", "-31", r"train\.csv, line 3: 7 cells, but the header has 8"),
        ("train", "-31,A", "x,A", r"train\.csv, line 3: patient 3 has 'x', no whole number"),
        ("train", "-31,A", "3.5,A", r"train\.csv, line 3: patient 3 has '3.5', no whole number"),
        ("train", "-31,A", "99999999999,A", r"train\.csv, line 3: patient 3 has '99999999999', no whole number"),
        ("train", "Number,3,call", "Number,x,call", r"train\.csv: the column 'x' is no patient's number"),
        ("train", "Gene Accession Number", "Gene", r"train\.csv: the header must be Gene Description.* got Gene Desc"),
        ("train", "Number,3,call", "Number,7,call", r"actual\.csv has no row for patient 7 of .*train\.csv"),
        ("actual", "2,AML", "2,CML", r"actual\.csv, line 3: expected a number and ALL or AML, got '2', 'CML'"),
        ("actual", "2,AML", "2,ALL", r"has 3 patients, 2 ALL and 1 AML, got 3 labels, 0 of them AML"),
        ("actual", "patient,cancer", "1,ALL", r"actual\.csv: the header must be patient, cancer, got 1, ALL"),
    ],
)
def test_golub_refuses(unhashed, tmp_path, monkeypatch, file, old, new, message):
    small_golub(tmp_path, monkeypatch)
    path = tmp_path / {"train": "data_set_ALL_AML_train.csv", "actual": "actual.csv"}[file]
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        load_golub("train", data_home=tmp_path)


def test_golub_refuses_a_table_cut_short(unhashed, tmp_path, monkeypatch):
    small_golub(tmp_path, monkeypatch)
    path = tmp_path / "data_set_ALL_AML_train.csv"
    text = path.read_text()
    path.write_text(text[: text.index("four")])
    with pytest.raises(ValueError, match=r"must be integers \(3, 4\), with a name for each column, got int32 \(3, 3\)"):
        load_golub("train", data_home=tmp_path)
    path.write_text("")
    with pytest.raises(ValueError, match="is empty, or a header alone"):
        load_golub("train", data_home=tmp_path)


@pytest.mark.parametrize("load", [load_ecg5000, load_golub])
def test_an_unknown_split(load):
    with pytest.raises(ValueError, match=r"no split 'val' of \w+; there are 'train', 'test'"):
        load("val")


# ---------------------------------------------------------------- the real files


@needs_data
def test_real_ecg5000_is_the_same_from_text(unhashed, tmp_path):
    for split, n in (("train", 500), ("test", 4500)):
        real = load_ecg5000(split, download=False)
        x, y = real.inputs.array[:, 0], real.labels.array
        assert real.inputs.shape == (n, 1, 140)
        assert tuple(real.counts().values()) == COUNTS[split]
        np.testing.assert_allclose(x.mean(1), 0, atol=1e-6)
        write_ucr(tmp_path / f"ECG5000_{split.upper()}.txt", x, y + 1, "blanks")
        again = load_ecg5000(split, data_home=tmp_path)
        np.testing.assert_array_equal(again.inputs.array, real.inputs.array)
        np.testing.assert_array_equal(again.labels.array, y)


@needs_data
def test_real_pima():
    dataset = load_pima(download=False)
    assert dataset.inputs.shape == (768, 8)
    assert tuple(dataset.counts().values()) == (500, 268)
    missing = dict(zip(dataset.columns, np.isnan(dataset.inputs.array).sum(0).tolist()))
    assert {name: n for name, n in missing.items() if n} == {
        "glucose": 5, "pressure": 35, "skin": 227, "insulin": 374, "bmi": 11,
    }  # fmt: skip
    np.testing.assert_allclose(dataset.inputs.array[0], [6, 148, 72, 35, np.nan, 33.6, 0.627, 50], rtol=1e-6)


@needs_data
def test_real_golub_is_the_same_from_tables(unhashed, tmp_path):
    real = {split: load_golub(split, download=False) for split in ("train", "test")}
    assert {split: (d.inputs.shape, *d.counts().values()) for split, d in real.items()} == {
        "train": ((38, 7129), 27, 11),
        "test": ((34, 7129), 20, 14),
    }
    order = np.random.default_rng(0).permutation
    names = dict(zip(real, ("data_set_ALL_AML_train.csv", "data_set_ALL_AML_independent.csv")))
    tables, cancer = {}, []
    for split, dataset in real.items():
        shuffled = order(len(dataset))
        tables[names[split]] = (dataset.groups[shuffled], dataset.inputs.array[shuffled].astype(int))
        cancer += [(n, dataset.classes[y]) for n, y in zip(dataset.groups, dataset.labels.array)]
    write_golub(tmp_path, tables, real["train"].genes, real["train"].descriptions, cancer)
    assert set(fetch_all("golub", data_home=tmp_path)) == {*names.values(), "actual.csv"}
    for split, dataset in real.items():
        again = load_golub(split, data_home=tmp_path)
        assert again.source == names[split]
        np.testing.assert_array_equal(again.inputs.array, dataset.inputs.array)
        for name in ("groups", "genes", "descriptions"):
            np.testing.assert_array_equal(getattr(again, name), getattr(dataset, name))
        np.testing.assert_array_equal(again.labels.array, dataset.labels.array)
