"""Beats of MIT-BIH: cut from records written here, and from the real ones where they are at hand."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tinymed.data import mitbih
from tinymed.data.annotations import SYMBOLS
from tinymed.data.mitbih import AAMI, CLASS_OF, DS1, DS2, PACED, cut_beats, load_mitbih
from tinymed.data.registry import MITDB_RECORDS
from tinymed.data.sources import DataNotFoundError
from tinymed.data.wfdb import read_record

DATA = os.environ.get("TINYMED_DATA")
needs_data = pytest.mark.skipif(
    not (Path(DATA or ".") / "mitbih_sample" / "100.dat").is_file(),
    reason="TINYMED_DATA does not name a folder that holds mitbih_sample/",
)


def write(folder: Path, name: str, annotations, length: int = 60, leads=("MLII", "V1")) -> None:
    """A record whose sample t is t + 1000·lead ADC units; annotations are (sample, symbol)."""
    digital = np.arange(length)[:, None] + 1000 * np.arange(len(leads))
    digital.astype("<i2").tofile(folder / f"{name}.dat")
    lines = [f"{name}.dat 16 200 11 0 {1000 * k} {np.int64(digital[:, k].sum()).astype(np.int16)} 0 {lead}"
             for k, lead in enumerate(leads)]  # fmt: skip
    (folder / f"{name}.hea").write_text(f"{name} {len(leads)} 360 {length}\n" + "\n".join(lines) + "\n")
    steps = np.diff([0] + [at for at, _ in annotations])
    words = [SYMBOLS.index(symbol) << 10 | step for step, (_, symbol) in zip(steps, annotations)]
    np.array([*words, 0], "<u2").tofile(folder / f"{name}.atr")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Three records of the database's names; which files are at hand is all that is asked of the registry."""
    monkeypatch.setattr(
        mitbih,
        "fetch_all",
        lambda name, home, download, files: {
            f"{record}.{kind}": Path(home) / f"{record}.{kind}" for record in files for kind in ("hea", "dat", "atr")
        },
    )
    write(tmp_path, "103", [(3, "+"), (4, "N"), (10, "N"), (20, "A"), (30, "~"), (40, "V"), (56, "Q"), (57, "N")])
    write(tmp_path, "201", [(12, "F"), (30, "j")], leads=("V5", "MLII"))
    write(tmp_path, "202", [(30, "/"), (31, "E")])
    return tmp_path


def test_beats_are_cut_round_their_r_peak(home):
    beats = load_mitbih(["103"], home, before=5, after=4)
    assert beats.inputs.shape == (4, 1, 9)
    assert (beats.inputs.dtype, beats.labels.dtype) == (np.float32, np.int64)
    np.testing.assert_allclose(beats.inputs.array[0, 0], np.arange(5, 14) / 200, rtol=1e-6)
    assert (beats.inputs.array[:, 0, beats.before] * 200).round().tolist() == [10, 20, 40, 56] == beats.samples.tolist()
    assert beats.symbols.tolist() == ["N", "A", "V", "Q"]
    assert beats.labels.array.tolist() == [0, 1, 2, 4]
    assert beats.classes == ("N", "S", "V", "F", "Q")
    assert beats.left_out == {"103": 2}  # at 4 and at 57; + and ~ are no beats
    assert beats.names[0] == "record 103, beat at 0.03 s"
    assert (beats.licence, beats.source) == ("ODC-By 1.0", "MIT-BIH, records 103, lead MLII")


def test_a_window_may_touch_both_ends(home):
    beats = load_mitbih(["103"], home, before=4, after=3)
    assert (beats.samples.tolist(), beats.left_out) == ([4, 10, 20, 40, 56, 57], {"103": 0})


def test_leads_by_name_and_by_number(home):
    by_name = load_mitbih(["103", "201"], home, before=1, after=1)
    assert (by_name.inputs.array[-1, 0] * 200).round().tolist() == [1029, 1030]  # MLII is the second of 201
    by_number = load_mitbih([201], home, lead=0, before=1, after=1)
    assert (by_number.inputs.array[-1, 0] * 200).round().tolist() == [29, 30]
    with pytest.raises(ValueError, match="record 103 has no lead 'V5'; its leads are 0 MLII, 1 V1"):
        load_mitbih(["201", "103"], home, lead="V5", before=1, after=1)


def test_201_and_202_are_one_man(home):
    beats = load_mitbih(("201", 202, "103"), home, before=1, after=1, lead=0)
    assert Counter(beats.records.tolist()) == {"201": 2, "202": 2, "103": 6}
    assert Counter(beats.groups.tolist()) == {"201": 4, "103": 6}


def test_two_classes_without_what_nobody_could_tell(home):
    beats = load_mitbih(("103", "201", "202"), home, before=1, after=1, lead=0, abnormal=True)
    assert beats.classes == ("normal", "abnormal")
    assert "".join(beats.symbols.tolist()) == "NNAVNFjE"
    assert beats.labels.array.tolist() == [0, 0, 1, 1, 0, 1, 0, 1]
    assert len(beats.records) == len(beats.groups) == len(beats.samples) == len(beats) == 8


def test_a_window_with_a_missing_sample_is_left_out(home):
    data = np.fromfile(home / "103.dat", "<i2")
    data[2 * 21] = -32768
    data.tofile(home / "103.dat")
    record = read_record(home / "103", verify=False)
    beats = cut_beats(record, mitbih.read_annotations(home / "103"), 0, before=2, after=2)
    assert (beats.samples.tolist(), beats.left_out) == ([4, 10, 40, 56, 57], 1)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"records": ()}, "at least one record"),
        ({"records": ["100", "999"]}, "MIT-BIH has no record '999'; it has 100, 101, 102"),
        ({"records": ["103", 103]}, "record 103 is given 2 times"),
        ({"before": -1}, "a window of -1 samples before the R peak"),
        ({"after": 0}, "and 0 from it on"),
        ({"before": 50, "after": 11}, "cannot be cut from record 103 of 60"),
    ],
)
def test_what_cannot_be_meant(home, how, message):
    with pytest.raises(ValueError, match=message):
        load_mitbih(**{"records": "103", "data_home": home, "before": 5, "after": 4} | how)


def test_no_beat_at_all_is_said(home):
    write(home, "100", [(3, "+")])
    with pytest.raises(ValueError, match="no beat whose window of 9 samples lies within"):
        load_mitbih("100", home, before=5, after=4)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DataNotFoundError, match="103"):
        load_mitbih(["103"], tmp_path, download=False)


def test_the_lists_of_records():
    assert (len(MITDB_RECORDS), len(DS1), len(DS2)) == (48, 22, 22)
    assert sorted(DS1 + DS2 + PACED) == sorted(MITDB_RECORDS)  # each of the 48 once


def test_the_classes_of_ec57():
    assert sum(map(len, AAMI.values())) == len(CLASS_OF)  # no symbol in two classes
    assert set(CLASS_OF) < set(SYMBOLS)
    # WFDB's isqrs(): which codes are of heartbeats. 31, a wave of flutter, has no class
    beats = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 25, 30, 31, 34, 35, 38, 41]
    assert set(CLASS_OF) == {SYMBOLS[code] for code in beats} - {"!"}


# -------------------------------------------------------------------- the real records


@needs_data
def test_every_beat_of_100_and_101():
    beats = load_mitbih(download=False, before=0, after=1)
    assert beats.left_out == {"100": 0, "101": 0}
    for name, counts in (("100", {"N": 2239, "A": 33, "V": 1}), ("101", {"N": 1860, "A": 3, "Q": 2})):
        assert Counter(beats.symbols[beats.groups == name].tolist()) == counts
    assert beats.counts() == {"N": 4099, "S": 36, "V": 1, "F": 0, "Q": 2}


@needs_data
def test_the_default_window():
    beats = load_mitbih(download=False)
    assert (beats.inputs.shape, beats.left_out) == ((4135, 1, 400), {"100": 2, "101": 1})
    x = beats.inputs.array[:, 0]
    # the R peak is where it should be: the highest point of the middle, within 30 ms, in nearly every normal beat
    peak = x[beats.labels.array == 0, 200:300].argmax(1) + 200
    assert (np.abs(peak - beats.before) <= 11).mean() > 0.99
    two = load_mitbih(download=False, abnormal=True)
    assert two.counts() == {"normal": 4096, "abnormal": 37}
    np.testing.assert_array_equal(two.inputs.array, beats.inputs.array[beats.symbols != "Q"])
