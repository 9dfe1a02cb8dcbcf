"""Texts: tables in several encodings, tokenisers, the vocabulary, and the Medical Abstracts."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import tinymed
from tinymed import nn
from tinymed.data import extras
from tinymed.data.prepare import from_state
from tinymed.data.registry import SOURCES
from tinymed.data.text import TextDataset, load_medical_abstracts, load_texts, read_texts
from tinymed.data.vocabulary import CharTokenizer, Vocabulary, Words, WordTokenizer

ENGLISH = "label,text\nheart,Chest pain on effort\nlung,Cough and fever\nheart,Chest pain at rest\n"
CHINESE = "科室,主诉\n心内科,胸痛三天，活动后加重\n呼吸科,咳嗽、发热一周\n心内科,心悸伴胸闷\n"
NAMES = {"text": "主诉", "label": "科室"}


@pytest.fixture
def write(tmp_path):
    def write(text, name="train.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return write


# ---------------------------------------------------------------- tables of texts


def test_texts_of_a_table(write):
    dataset = load_texts(write(ENGLISH))
    assert dataset.texts == ["Chest pain on effort", "Cough and fever", "Chest pain at rest"]
    assert dataset.classes == ("heart", "lung")
    assert (dataset.labels.dtype, dataset.labels.tolist()) == (np.int64, [0, 1, 0])
    assert dataset.counts() == {"heart": 2, "lung": 1}
    assert (len(dataset), dataset[1][0], dataset[1][1].item()) == (3, "Cough and fever", 1)
    assert (dataset.split, dataset.licence, dataset.citation, dataset.groups) == (None, None, None, None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16"])
def test_chinese_in_several_encodings(write, encoding):
    named = None if encoding.startswith("utf-8") else encoding
    dataset = load_texts(write(CHINESE.replace(",", "\t"), encoding=encoding), **NAMES, encoding=named)
    assert dataset.texts[2] == "心悸伴胸闷"
    assert dataset.counts() == {"呼吸科": 1, "心内科": 2}


@pytest.mark.parametrize(
    ("data", "encoding", "message"),
    [
        (CHINESE.encode("gb18030"), None, 'not text in UTF-8: line 1, byte .*encoding="gb18030"'),
        (CHINESE.encode() + CHINESE.encode("gb18030"), None, "line 5, byte .*two encodings in one file"),
        (CHINESE.encode("gb18030") + CHINESE.encode(), "gb18030", "line 5 is UTF-8; two encodings in one file"),
        (CHINESE.encode() + "心内科,\n".encode(), None, r"train\.csv, line 5: text column '主诉' is empty"),
        (CHINESE.encode() + ",胸痛\n".encode(), None, "line 5: label column '科室' is empty"),
        ("科室,正文\n心内科,胸痛\n".encode(), None, "no text column '主诉'; its columns are '科室', '正文'"),
    ],
)
def test_what_does_not_fit_is_named(write, data, encoding, message):
    with pytest.raises(ValueError, match=message):
        load_texts(write(data), **NAMES, encoding=encoding)


def test_a_label_never_seen(write):
    train = load_texts(write(ENGLISH))
    test = load_texts(write("text,label\nWheezing,lung\n", "test.csv"), like=train)
    assert (test.labels.tolist(), test.classes) == ([1], ("heart", "lung"))
    with pytest.raises(ValueError, match=r"line 3: label column 'label' holds 'skin'; the classes are 'heart', 'lung'"):
        load_texts(write("text,label\nWheezing,lung\nRash,skin\n", "test.csv"), like=train.classes)


def test_groups_parquet_and_texts_without_labels(write, tmp_path):
    table = write("who,label,text\np1,a,one\np2,b,two\np1,a,three\n")
    assert load_texts(table, group="who").groups.tolist() == ["p1", "p2", "p1"]
    assert read_texts(table) == ["one", "two", "three"]
    assert read_texts(write("胸痛\n三天", "note.txt", "gbk"), encoding="gbk") == ["胸痛\n三天"]
    with pytest.raises(ValueError, match=r"note\.txt has nothing in it"):
        read_texts(write(" \n", "note.txt"))
    arrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(
        arrow.table({"text": ["咳嗽", None], "label": [1, 0]}), tmp_path / "x.parquet"
    )
    with pytest.raises(ValueError, match=r"x\.parquet, row 2: text column 'text' is empty"):
        load_texts(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("texts", "labels", "error", "message"),
    [
        (["a", " "], [0, 0], ValueError, "text 1 is empty"),
        (["a", None], [0, 0], TypeError, "text 1 is no string but NoneType"),
        ("ab", [0, 0], TypeError, "one text; give a list"),
        (["a"], [0, 0], ValueError, "same first dimension"),
        (["a"], [2], ValueError, "label 2 of item 0 is out of range"),
    ],
)
def test_datasets_that_are_refused(texts, labels, error, message):
    with pytest.raises(error, match=message):
        TextDataset(texts, np.array(labels), ("x", "y"), source="test")


# ---------------------------------------------------------------- tokenisers


def test_characters():
    assert CharTokenizer()(" 胸痛３天，\n ＣＴ示 ") == [*"胸痛3天,", " ", *"ct示"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Beta-blockers: 2.5 mg/day.", ["beta-blockers", "2.5", "mg", "day"]),
        (
            "The patient's IL-2 (p<0.05), no change.Next",
            ["the", "patient's", "il-2", "p", "0.05", "no", "change", "next"],
        ),
        ("Ménière’s ＣＴ x_y --", ["ménière’s", "ct", "x", "y"]),
    ],
)
def test_words(text, words):
    assert WordTokenizer()(text) == words


def test_chinese_words(capfd):
    pytest.importorskip("jieba", reason="the extra chinese is not installed")
    words = WordTokenizer()("患者胸痛3天，CT示肺炎。")
    assert "".join(words) == "患者胸痛3天ct示肺炎"
    assert {"患者", "胸痛", "肺炎", "ct", "3"} <= set(words)
    assert capfd.readouterr().err == ""  # jieba speaks of its dictionary unless told not to


def test_chinese_words_without_jieba(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    assert WordTokenizer()("no Chinese, no need") == ["no", "chinese", "no", "need"]
    with pytest.raises(ImportError, match=r'CharTokenizer .*needs jieba, .* pip install .*\[chinese\]"$'):
        WordTokenizer()("胸痛")


def test_a_clone_is_not_told_to_ask_an_index(tmp_path, monkeypatch):
    """Of whoever took the name there: what is in the clone is installed from the clone."""
    (tmp_path / "tinymed" / "data").mkdir(parents=True)
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "tinymed" / "data" / "extras.py"))
    assert extras.install("chinese") == 'pip install "tinymed[chinese]"'
    (tmp_path / "pyproject.toml").touch()
    assert extras.install("chinese") == f'python -m pip install -e "{tmp_path}[chinese]"'
    monkeypatch.chdir(tmp_path)
    assert extras.install("chinese") == 'python -m pip install -e ".[chinese]"'


# ---------------------------------------------------------------- the vocabulary


def test_vocabulary_numbers_by_count_then_by_the_alphabet():
    vocabulary = Vocabulary().fit(["pain fever", "pain pain cough"])
    assert vocabulary.tokens == ("<pad>", "<unk>", "pain", "cough", "fever")
    assert len(vocabulary) == 5
    assert Vocabulary(min_count=2).fit(["pain pain cough"]).tokens[2:] == ("pain",)
    assert Vocabulary(max_size=4).fit(["pain pain cough fever"]).tokens[2:] == ("pain", "cough")


def test_encoding_pads_on_the_left_and_cuts_at_the_end():
    vocabulary = Vocabulary().fit(["pain pain cough", "pain fever"])
    x = vocabulary.encode(["Pain, fever", "cough pain rash pain", "rash"], length=3)
    assert x.dtype == np.int64
    assert x.tolist() == [[0, 2, 4], [3, 2, 1], [0, 0, 1]]
    assert vocabulary.encode(["pain", "pain pain"]).tolist() == [[0, 2], [2, 2]]
    assert vocabulary.decode(x[0]) == ["pain", "fever"]
    assert vocabulary.decode(x[1]) == ["cough", "pain", "<unk>"]


def test_a_vocabulary_goes_through_json():
    texts = ["胸痛三天", "咳嗽三天"]
    vocabulary = Vocabulary(CharTokenizer(), min_count=1, max_size=6).fit(texts)
    again = Vocabulary.from_state(json.loads(json.dumps(vocabulary.state())))
    np.testing.assert_array_equal(again.encode(["胸痛四天"]), vocabulary.encode(["胸痛四天"]))
    assert again.state() == vocabulary.state()
    for change, message in (
        ({"tokenizer": "syllable"}, "no tokenizer 'syllable'; there are char, word"),
        ({"tokens": ["a", "a"]}, "holds a token twice"),
    ):
        with pytest.raises(ValueError, match=message):
            Vocabulary.from_state(vocabulary.state() | change)
    with pytest.raises(ValueError, match="lacks max_size, min_count"):
        Vocabulary.from_state({"tokenizer": "char", "tokens": []})


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: Vocabulary().encode(["pain"]), ValueError, "fit it on the training texts first"),
        (lambda: Vocabulary().fit(["pain", "..."]), ValueError, r"text 1, '\.\.\.', holds no token"),
        (lambda: Vocabulary().fit("pain"), TypeError, "give a list"),
        (lambda: Vocabulary(min_count=3).fit(["pain"]), ValueError, "no token is found 3 times or more in these 1"),
        (lambda: Vocabulary(min_count=0), ValueError, "min_count must be at least 1"),
        (lambda: Vocabulary(max_size=2), ValueError, "max_size above 2"),
        (lambda: Vocabulary().fit(["pain"]).encode(["pain"], length=0), ValueError, "length must be at least 1"),
        (lambda: Vocabulary().fit(["pain"]).encode(["?"]), ValueError, "text 0, .* holds no token"),
    ],
)
def test_vocabularies_that_are_refused(act, error, message):
    with pytest.raises(error, match=message):
        act()


def test_words_read_as_much_as_the_longest_training_text_of_the_last_fit():
    words = Words(min_count=1).fit(["a b", "c"])
    assert words(["a b c"]).shape == (1, 2)
    words.fit(["a b c d e", "c"])
    again = from_state(json.loads(json.dumps(words.state())))
    for made in (words, again):
        assert made(["a b c d e"]).tolist() == [[3, 4, 2, 5, 6]]
    assert again.fit(["a b c"])(["a b c d"]).shape == (1, 3)
    assert Words(length=4, min_count=1).fit(["a b"])(["a"]).shape == (1, 4)


def test_encoded_texts_go_into_an_embedding(write):
    train = load_texts(write("who," + ENGLISH.replace("\n", "\nx,").removesuffix("x,")), group="who")
    vocabulary = Vocabulary().fit(train.texts)
    data = train.encode(vocabulary, length=6)
    assert (data.inputs.shape, data.inputs.dtype) == ((3, 6), np.int64)
    assert (data.labels.tolist(), data.classes, data.groups.tolist()) == ([0, 1, 0], train.classes, ["x"] * 3)
    tinymed.manual_seed(0)
    y = nn.Embedding(len(vocabulary), 5, padding_idx=0)(data.inputs)
    assert y.shape == (3, 6, 5)
    assert not y.detach().numpy()[:, 0].any()  # what was padded is zeros


# ---------------------------------------------------------------- the Medical Abstracts


def test_medical_abstracts_that_are_cut_short(tmp_path, monkeypatch):
    path = tmp_path / "medical_tc_train.csv"  # the file whose hash is not known
    path.write_text('condition_label,medical_abstract\n1,"A tumour, seen early."\n5,Pain.\n')
    with pytest.raises(ValueError, match=r"medical_tc_train\.csv has 2 rows, expected 11550"):
        load_medical_abstracts("train", tmp_path, download=False)
    path.write_text("condition_label,medical_abstract\n6,Pain.\n")
    with pytest.raises(ValueError, match="line 2: label column 'condition_label' holds '6'"):
        load_medical_abstracts("train", tmp_path, download=False)
    with pytest.raises(ValueError, match="no split 'val' of medical-abstracts; there are 'train', 'test'"):
        load_medical_abstracts("val", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"medical_tc_test\.csv is not in"):
        load_medical_abstracts("test", tmp_path, download=False)


def test_the_real_medical_abstracts():
    folder = os.environ.get("TINYMED_DATA")
    if not folder or not list(Path(folder).glob("**/medical_tc_test.csv")):
        pytest.skip("TINYMED_DATA does not name a folder with medical_tc_test.csv")
    dataset = load_medical_abstracts(download=False)
    assert list(dataset.counts().values()) == [633, 299, 385, 610, 961]
    assert dataset.classes[0] == "neoplasms"
    assert dataset.texts[0].startswith("Obstructive sleep apnea")
    assert dataset.labels[0].item() == dataset.classes.index("nervous system diseases")
    assert "2770 distinct of 2888 texts, 113 with more than one label" in dataset.source
    assert dataset.licence == SOURCES["medical-abstracts"].licence == "CC BY-SA 3.0"
    x = Vocabulary(min_count=2).fit(dataset.texts[:500]).encode(dataset.texts, 100)
    assert x.shape == (2888, 100)
    assert 0.01 < (x == 1).mean() < 0.2
