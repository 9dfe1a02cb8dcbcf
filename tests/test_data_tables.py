"""CSV tables in the article's layout, the Wisconsin data, and the generated pictures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tinymed.data import load_csv, load_rows, load_wisconsin, make_breast_phantoms, write_wisconsin_csv

TRAIN = "id,diagnosis,radius,texture\n1,M,10,5\n2,B,20,5\n3,M,15,5\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="train.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


# ---------------------------------------------------------------- the article's layout (5.2)


def test_measures(write):
    dataset = load_csv(write(TRAIN))
    assert dataset.inputs.dtype == np.float32
    assert dataset.labels.dtype == np.int64
    np.testing.assert_allclose(dataset.inputs.array, [[0, 0], [1, 0], [0.5, 0]])  # one value alone: 0
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.classes == ("B", "M")
    assert dataset.layout.columns == ("radius", "texture")


def test_the_test_file_takes_the_training_files_ranges_classes_and_columns(write):
    train = load_csv(write(TRAIN))
    test = load_csv(write("texture,diagnosis,radius\n7,M,30\n5,M,10\n", "test.csv"), like=train)
    np.testing.assert_allclose(test.inputs.array, [[2, 2], [0, 0]])
    assert test.labels.tolist() == [1, 1]
    assert test.classes == ("B", "M")


def test_without_normalisation(write):
    assert load_csv(write(TRAIN), normalize=False).inputs.array[:, 0].tolist() == [10, 20, 15]


def test_label_and_id_column_by_name(write):
    dataset = load_csv(write("patient,y,a\n7,2,1.5\n8,10,2.5\n9,2,3.5\n"), label="y", id_column="patient")
    assert dataset.inputs.shape == (3, 1)
    assert dataset.classes == ("2", "10")  # by value, not as text
    assert dataset.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ("0,51,102,255", [0, 0.2, 0.4, 1]),  # integers in 0..255
        ("0,0.2,0.4,1", [0, 0.2, 0.4, 1]),  # scaled already
        ("-1,0,0.5,3", [0, 0.25, 0.375, 1]),  # anything else: one range for all pixels
    ],
)
def test_pixels_are_scaled_alike(write, cells, expected):
    dataset = load_csv(write(f"id,label,p0,p1,p2,p3\n1,0,{cells}\n"), label="label", image_shape=(2, 2))
    assert dataset.inputs.shape == (1, 1, 2, 2)
    np.testing.assert_allclose(dataset.inputs.array.ravel(), expected, rtol=1e-6)


def test_pixels_of_three_channels(write):
    dataset = load_csv(write("diagnosis,a,b,c\nM,1,2,3\n"), image_shape=(3, 1, 1))
    assert dataset.inputs.shape == (1, 3, 1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + TRAIN,  # a byte-order mark, as Excel writes it
        TRAIN.replace("\n", "\r\n"),
        TRAIN.replace(",", " , "),
        TRAIN + "\n,,,\n",  # blank lines
        TRAIN.replace("texture", "texture,Unnamed: 32"),  # Kaggle's: a name without a column
        TRAIN.replace("\n", ",\n"),  # a column without name or values
    ],
)
def test_harmless_variants(write, text):
    dataset = load_csv(write(text))
    np.testing.assert_allclose(dataset.inputs.array, [[0, 0], [1, 0], [0.5, 0]])
    assert dataset.layout.columns == ("radius", "texture")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has nothing in it"),
        ("id,diagnosis,radius\n", "has a header but no rows"),
        ("id,kind,radius\n1,M,2\n", "no label column 'diagnosis'; its columns are 'id', 'kind', 'radius'"),
        ("6,148,72\n1,85,66\n", "has the file no header line"),
        ("id,diagnosis\n1,M\n", "no columns of numbers beside 'id', 'diagnosis'"),
        ("id,diagnosis,a,b\n1,M,2,3\n2,B,4\n", "line 3: 3 cells, but the header has 4 columns"),
        ("id,diagnosis,a\n1,M,2,3\n", "line 2: 4 cells, but the header has 3 columns"),
        ("id,diagnosis,a\n1,M,2\n\n2,B,two\n", "line 4: column 'a' holds 'two', which is not a number"),
        ("id,diagnosis,a,b\n1,M,,2\n", "line 2: column 'a' is empty"),
        ("id,diagnosis,a\n1,M,2\n2,B,NaN\n", "line 3: column 'a' holds nan"),
        ("id,diagnosis,a\n1,M,inf\n", "line 2: column 'a' holds inf"),
        ("id,diagnosis,a\n1,M,2\n2,,3\n", "line 3: label column 'diagnosis' is empty"),
        ("id,diagnosis,a\n1,M,2\n2,NaN,3\n", "line 3: label column 'diagnosis' holds 'NaN'"),
        ("id,diagnosis,a\n1,1.5,2\n2,2,3\n", "label column 'diagnosis' holds 1.5, a measure"),
        ("id,diagnosis,a,a\n1,M,2,3\n", "column name 'a' stands in the header 2 times"),
        ('id,diagnosis,a\n1,"M,2\n', "is not a CSV file in UTF-8"),
    ],
)
def test_what_does_not_fit_is_named(write, text, message):
    with pytest.raises(ValueError, match=message):
        load_csv(write(text))


def test_other_encodings_and_missing_files(tmp_path):
    (tmp_path / "x.csv").write_bytes("id,diagnosis,半径\n1,M,2\n".encode("gb18030"))
    with pytest.raises(ValueError, match="is not a CSV file in UTF-8"):
        load_csv(tmp_path / "x.csv")
    with pytest.raises(FileNotFoundError, match=r"train\.csv"):
        load_csv(tmp_path / "train.csv")


def test_wrong_number_of_pixels_suggests_the_square(write):
    row = ",".join(["7"] * 784)
    path = write(f"id,diagnosis,{','.join(f'p{k}' for k in range(784))}\n1,M,{row}\n")
    with pytest.raises(ValueError, match=r"784 columns .* \(32, 32\) needs 1024; .* square .* \(28, 28\)"):
        load_csv(path, image_shape=(32, 32))


def test_a_test_file_that_does_not_match(write):
    train = load_csv(write(TRAIN))
    with pytest.raises(ValueError, match="missing 'texture', unknown 'colour'"):
        load_csv(write("id,diagnosis,radius,colour\n1,M,2,3\n", "test.csv"), like=train)
    with pytest.raises(ValueError, match=r"line 3: .* holds 'X'; the classes are 'B', 'M'"):
        load_csv(write("id,diagnosis,radius,texture\n1,M,2,3\n2,X,2,3\n", "test.csv"), like=train)


# ---------------------------------------------------------------- the Wisconsin data


def test_wisconsin_is_the_whole_and_split_without_overlap(tmp_path):
    load_breast_cancer = pytest.importorskip("sklearn.datasets").load_breast_cancer
    paths = write_wisconsin_csv(tmp_path / "new")
    train, test = (load_csv(path, normalize=False) for path in paths)
    assert train.inputs.shape == (455, 30)
    assert test.inputs.shape == (114, 30)
    ids = [int(line.split(",")[0]) for path in paths for line in path.read_text().splitlines()[1:]]
    assert sorted(ids) == list(range(1, 570))
    raw = load_breast_cancer()
    rows = np.array(ids) - 1
    both = np.concatenate([train.inputs.array, test.inputs.array])
    np.testing.assert_array_equal(both, raw.data[rows].astype(np.float32))
    labels = np.concatenate([train.labels.array, test.labels.array])
    np.testing.assert_array_equal(labels, 1 - raw.target[rows])  # there 0 is malignant
    assert train.labels.array.mean() == pytest.approx(test.labels.array.mean(), abs=0.01)


def test_load_wisconsin():
    train, test = load_wisconsin(), load_wisconsin("test")
    assert train.counts() == {"B": 285, "M": 170}
    assert test.counts() == {"B": 72, "M": 42}
    assert (train.inputs.array.min(), train.inputs.array.max()) == (0, 1)
    np.testing.assert_array_equal(train.layout.high, test.layout.high)
    assert (test.split, test.licence) == ("test", "CC BY 4.0")
    assert "1993" in test.citation
    with pytest.raises(ValueError, match="no split 'val'"):
        load_wisconsin("val")


def test_the_real_wisconsin_file():
    folder = os.environ.get("TINYMED_DATA")
    path = Path(folder or "", "wdbc", "wdbc.data")
    if not folder or not path.exists():
        pytest.skip("TINYMED_DATA does not name a folder with wdbc/wdbc.data")
    dataset = load_csv(path)
    assert dataset.inputs.shape == (569, 30)
    assert dataset.counts() == {"B": 357, "M": 212}
    assert dataset.layout.columns[-1] == "fractal_dimension_worst"
    assert not dataset.inputs.array.min(axis=0).any()
    assert (dataset.inputs.array.max(axis=0) == 1).all()


# ---------------------------------------------------------------- generated pictures


def test_phantoms():
    dataset = make_breast_phantoms(200, seed=1)
    assert dataset.images.shape == (200, 1, 28, 28)
    assert dataset.images.dtype == np.float32
    assert dataset.counts() == {"malignant": 54, "normal, benign": 146}
    assert dataset.images.array.min() >= 0
    assert dataset.images.array.max() <= 1
    assert "generated" in dataset.source
    assert make_breast_phantoms(2, size=32).images.shape == (2, 1, 32, 32)


def test_phantoms_are_seeded_and_all_different():
    first, again, other = (make_breast_phantoms(50, seed=s).images.array for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(first.reshape(50, -1), axis=0)) == 50


def test_phantoms_differ_between_classes_but_not_by_brightness_alone():
    """A nearest-mean rule on the pixels beats chance, and one on brightness is far from right."""
    train, test = make_breast_phantoms(600, seed=0), make_breast_phantoms(300, seed=1)
    x, y = train.images.array.reshape(600, -1), train.labels.array
    s, t = test.images.array.reshape(300, -1), test.labels.array

    def balanced(x, s):
        means = np.stack([x[y == k].mean(axis=0) for k in (0, 1)])
        guess = ((s[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
        return np.mean([(guess[t == k] == k).mean() for k in (0, 1)])

    assert 0.6 < balanced(x, s) < 0.9
    assert balanced(x.mean(axis=1, keepdims=True), s.mean(axis=1, keepdims=True)) < 0.75


@pytest.mark.parametrize("arguments", [{"n": 0}, {"n": 3, "size": 4}])
def test_phantoms_refuse_nothing_to_draw(arguments):
    with pytest.raises(ValueError, match="needs n >= 1 and size >= 8"):
        make_breast_phantoms(**arguments)


def test_rows_without_labels_are_read_as_the_training_file_was(tmp_path):
    (tmp_path / "train.csv").write_text("id,diagnosis,a,b\n1,B,0,5\n2,M,10,25\n")
    (tmp_path / "new.csv").write_text("b,a\n15,5\n5,20\n")
    train = load_csv(tmp_path / "train.csv")
    assert train.layout.dropped == ("id",)
    names, x = load_rows(tmp_path / "new.csv", like=train)
    assert names == ["row 1", "row 2"]
    np.testing.assert_array_equal(x, np.array([[0.5, 0.5], [2, 0]], np.float32))
    names, x = load_rows(tmp_path / "train.csv", like=train.layout)
    assert names == ["id 1", "id 2"]
    np.testing.assert_array_equal(x, train.inputs.numpy())
    (tmp_path / "new.csv").write_text("a,c\n15,5\n")
    with pytest.raises(ValueError, match="missing 'b', unknown 'c'"):
        load_rows(tmp_path / "new.csv", like=train)
