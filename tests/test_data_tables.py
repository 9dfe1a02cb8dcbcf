"""CSV tables in the article's layout, the Wisconsin data, and the generated pictures."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tinymed.data import load_csv, load_rows, load_wisconsin, make_breast_phantoms, write_wisconsin_csv
from tinymed.data.tabular import Layout

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
    assert dataset.names == ["id 1", "id 2", "id 3"]
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
        ("6,148,72\n1,85,66\n", "its first line looks like data: is the header missing"),
        ("1.5,0.25,1.5\n2,3,4\n", "column name '1.5' stands in the header 2 times; its first line looks like data"),
        ("1.5,,M\n2,3,M\n".replace("M", "7"), "column 2 has no name .*index=False.; its first line looks like data"),
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
        ('id,diagnosis,a\n1,"M,2\n', r"is not a proper CSV file: unexpected end of data \(line 2 on\)"),
        ('id,diagnosis,a\n1,M,"2,5"\n', "line 2: column 'a' holds '2,5', .*the decimal mark is a point"),
        ("id,diagnosis,a\n1,M,1e39\n", r"line 2: column 'a' holds 1e\+39"),  # more than float32 holds
        ("id,diagnosis,a\n1,M,NA\n", "line 2: column 'a' holds 'NA'.*missing=\"nan\""),
        (",diagnosis,a\n0,M,2\n1,B,3\n", "column 1 has no name .*index=False"),  # a row number, as pandas writes it
        ('id,diagnosis,a\n1,"M\nx",2\n2,B,y\n', "line 4: column 'a' holds 'y'"),  # a cell of two lines
    ],
)
def test_what_does_not_fit_is_named(write, text, message):
    with pytest.raises(ValueError, match=message):
        load_csv(write(text))


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train\.csv"):
        load_csv(tmp_path / "train.csv")


def test_what_missing_and_normalize_may_be(write):
    with pytest.raises(ValueError, match="missing is 'refuse' or 'nan', got 'drop'"):
        load_csv(write(TRAIN), missing="drop")


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


# ---------------------------------------------------------------- encodings and delimiters

CHINESE = "编号,诊断,半径\n1,恶性,10\n2,良性,20\n3,恶性,15\n"
NAMES = {"label": "诊断", "id_column": "编号"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16", "utf-16-le", "big5"])
def test_encodings(tmp_path, encoding):
    path = tmp_path / "x.csv"
    text = CHINESE if encoding != "big5" else CHINESE.translate(str.maketrans("编号诊断径恶", "編號診斷徑惡"))
    path.write_bytes(text.encode(encoding))
    names = NAMES if encoding != "big5" else {"label": "診斷", "id_column": "編號"}
    dataset = load_csv(path, **names, encoding=None if encoding.startswith("utf-8") else encoding)
    assert dataset.inputs.array[:, 0].tolist() == [0, 1, 0.5]
    assert dataset.labels.tolist() == [0, 1, 0]
    assert dataset.layout.dropped == (names["id_column"],)


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        (CHINESE.encode("gb18030"), {}, r'x\.csv is not text in UTF-8: line 1, byte 1 .*encoding="gb18030"'),
        (TRAIN.encode() + "4,恶,1,1".encode("gbk"), {}, r"line 5, byte 58 of the file, is 0xB6; .*gb18030"),
        (CHINESE.encode("utf-16"), {}, 'not text in UTF-8 but in UTF-16: .*encoding="utf-16"'),
        (CHINESE.encode("utf-16-le"), {}, 'zero bytes; .*encoding="utf-16-le"'),
        (CHINESE.encode("utf-16-be"), {}, 'zero bytes; .*encoding="utf-16-be"'),
        (CHINESE.encode() + "4,恶性,9\n".encode("gb18030"), {}, "line 5, byte .*two encodings in one file"),
        (
            CHINESE.encode("gb18030") + "4,恶性,9\n5,良性,8\n".encode(),
            {"encoding": "gb18030"},
            "not text in gb18030: line 5 is UTF-8; two encodings in one file",
        ),
        (b"id,diagnosis,a\n1,M,\xff2\n", {"encoding": "gb18030"}, "not text in gb18030: line 2, byte 20"),
        (TRAIN.encode(), {"encoding": "gb2321"}, "no encoding 'gb2321'"),
        (b"PK\x03\x04rest", {}, r"zip archive, as Excel's \.xlsx"),
    ],
)
def test_other_encodings_are_refused_with_the_cure(tmp_path, data, arguments, message):
    (tmp_path / "x.csv").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        load_csv(tmp_path / "x.csv", **NAMES, **arguments)


def test_chinese_in_utf8_is_read_whatever_encoding_is_told(write, tmp_path, caplog):
    """A run remembers the encoding of its training file; new files may be of another program."""
    (tmp_path / "train.csv").write_bytes(CHINESE.encode("gb18030"))
    train = load_csv(tmp_path / "train.csv", **NAMES, encoding="gb18030")
    with caplog.at_level("INFO", "tinymed"):
        names, x = load_rows(write(CHINESE, "new.csv"), like=train)
    assert (names, x.ravel().tolist()) == (["编号 1", "编号 2", "编号 3"], [0, 1, 0.5])
    assert caplog.messages[0].endswith("new.csv is read as UTF-8, which it is, not as gb18030")


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "，"])
def test_another_delimiter_is_seen_from_the_header(write, delimiter):
    expected = load_csv(write(TRAIN, "comma.csv"))
    path = write("\n" + TRAIN.replace(",", delimiter).replace("radius", '"radius, mean, in ;"'))
    train = load_csv(path)
    np.testing.assert_array_equal(train.inputs.array, expected.inputs.array)
    assert train.columns == ("radius, mean, in ;", "texture")
    test = write(TRAIN.replace("radius", '"radius, mean, in ;"'), "test.csv")
    assert load_csv(test, like=train).labels.tolist() == [1, 0, 1]  # each file has its own
    assert load_csv(write("a,b^diagnosis\n1^M\n2^B\n"), delimiter="^").columns == ("a,b",)


@pytest.mark.parametrize("first", ["0,1,1.0,0.0,1e0", "0.0,1.0,1.0,0.0,1.0"])
def test_numbers_of_one_value_are_one_class(write, first):
    """pandas writes 1 as 1.0 as soon as one label of the column is missing."""
    rows = "".join(f"{k},{cell}\n" for k, cell in enumerate(first.split(",")))
    train = load_csv(write(f"a,diagnosis\n{rows}"))
    assert train.counts() == {"0": 2, "1": 3}
    assert train.labels.tolist() == [0, 1, 1, 0, 1]
    assert load_csv(write("a,diagnosis\n1,1.0\n2,0\n", "test.csv"), like=train).labels.tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"line 2: label column 'diagnosis' holds '1\.5'; the classes are '0', '1'"):
        load_csv(write("a,diagnosis\n1,1.5\n", "test.csv"), like=train)


# ---------------------------------------------------------------- missing values, groups, a kept layout


def test_missing_values_become_nan(write):
    train = load_csv(write("id,diagnosis,a,b\n1,M,,5\n2,B,2,NA\n3,B,4,nan\n4,M,3,7\n"), missing="nan")
    np.testing.assert_array_equal(train.inputs.array, [[np.nan, 0], [0, np.nan], [1, np.nan], [0.5, 1]])
    test = load_csv(write("id,diagnosis,a,b\n1,M,3,\n", "test.csv"), like=train)  # its last column is all empty
    np.testing.assert_array_equal(test.inputs.array, [[0.5, np.nan]])
    with pytest.raises(ValueError, match="column 'a' has no value in any row"):
        load_csv(write("diagnosis,a,b\nM,,1\nB,NA,2\n"), missing="nan")
    with pytest.raises(ValueError, match="line 2: label column 'diagnosis' holds 'NA'"):
        load_csv(write("diagnosis,a\nNA,1\nB,2\n"), missing="nan")
    with pytest.raises(ValueError, match="line 2: label column 'diagnosis' is empty"):
        load_csv(write("a,diagnosis\n1,\n2,\n"), like=Layout("diagnosis", "id", None))
    with pytest.raises(ValueError, match="line 3: column 'a' holds inf; correct it"):
        load_csv(write("diagnosis,a\nM,\nB,inf\n"), missing="nan")


def test_groups(write):
    text = "patient,diagnosis,a\np1,M,1\np2,B,2\np1,B,3\n"
    train = load_csv(write(text), group="patient")
    assert train.groups.tolist() == ["p1", "p2", "p1"]
    assert (train.columns, train.names) == (("a",), ["row 1", "row 2", "row 3"])
    names, x = load_rows(write("a\n2\n", "new.csv"), like=train)  # whose it is need not be known
    assert (names, x.tolist()) == (["row 1"], [[0.5]])
    with pytest.raises(ValueError, match="no group column 'patient'"):
        load_csv(write("diagnosis,a\nM,1\n"), like=train)
    with pytest.raises(ValueError, match="line 3: group column 'patient' is empty"):
        load_csv(write("patient,diagnosis,a\np1,M,1\n,B,2\n"), group="patient")


def test_a_layout_goes_through_json(write):
    train = load_csv(write("id;who;diagnosis;a;b\n1;x;M;1;\n2;y;B;3;4\n"), group="who", missing="nan", delimiter=";")
    kept = Layout.from_state(json.loads(json.dumps(train.layout.state())))
    assert kept.state() == train.layout.state()
    again = load_csv(train.source, like=kept)
    np.testing.assert_array_equal(again.inputs.array, train.inputs.array)
    assert (again.labels.tolist(), again.groups.tolist()) == ([1, 0], ["x", "y"])


# ---------------------------------------------------------------- Parquet


def parquet(path, columns):
    arrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(arrow.table(columns), path)
    return path


def test_parquet_is_read_as_csv_is(write, tmp_path):
    columns = {"id": [1, 2, 3], "diagnosis": ["M", "B", "M"], "radius": [10.0, 20.0, 15.0], "texture": [5, 5, 5]}
    columns["__index_level_0__"] = [7, 8, 9]  # pandas's row numbers are no measure
    dataset = load_csv(parquet(tmp_path / "train.parquet", columns))
    expected = load_csv(write(TRAIN))
    np.testing.assert_array_equal(dataset.inputs.array, expected.inputs.array)
    assert dataset.labels.tolist() == expected.labels.tolist()
    assert dataset.columns == expected.columns
    names, x = load_rows(tmp_path / "train.parquet", like=expected)
    assert names == ["id 1", "id 2", "id 3"]
    np.testing.assert_array_equal(x, expected.inputs.array)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"diagnosis": ["M", "B"], "a": [1.0, None]}, r"x\.parquet, row 2: column 'a' is empty"),
        ({"diagnosis": ["M", "B"], "a": [1.0, float("nan")]}, r"x\.parquet, row 2: column 'a' holds nan"),
        ({"diagnosis": ["M", "B"], "a": ["1", "two"]}, "row 2: column 'a' holds 'two', which is not a number"),
        ({"diagnosis": ["M", None], "a": [1, 2]}, "row 2: label column 'diagnosis' is empty"),
        ({"diagnosis": ["M", None, None], "a": [1, None, 2]}, "row 3: label column 'diagnosis' is empty"),
        ({"kind": ["M", "B"], "a": [1, 2]}, "no label column 'diagnosis'"),
        ({"diagnosis": ["M"][:0], "a": [1][:0]}, "has a header but no rows"),
    ],
)
def test_what_does_not_fit_in_parquet_is_named(tmp_path, columns, message):
    with pytest.raises(ValueError, match=message):
        load_csv(parquet(tmp_path / "x.parquet", columns))


def test_parquet_of_another_kind(tmp_path, monkeypatch):
    path = parquet(tmp_path / "x.parquet", {"diagnosis": ["M", "B"], "a": [1.0, None]})
    assert np.isnan(load_csv(path, missing="nan").inputs.array[1, 0])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"x\.parquet is not a Parquet file, or only a part of one"):
        load_csv(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'needs pyarrow, .* pip install .*\[parquet\]"$'):
        load_csv(path)


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
