"""Records and annotations in WFDB's format: read back from bytes written here, and against the wfdb package."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinymed.data.annotations import SYMBOLS, read_annotations
from tinymed.data.wfdb import decode_212, read_record

DATA = os.environ.get("TINYMED_DATA")
FOLDER = Path(DATA or ".") / "mitbih_sample"
needs_data = pytest.mark.skipif(
    not (FOLDER / "100.dat").is_file(), reason="TINYMED_DATA does not name a folder that holds mitbih_sample/"
)


def encode_212(samples) -> bytes:
    """The specification word by word, with Python's integers alone."""
    words, out = [int(s) & 0xFFF for s in samples], bytearray()
    for a, b in zip(words[::2], words[1::2]):
        out += bytes([a & 0xFF, (b >> 8) << 4 | a >> 8, b & 0xFF])
    if len(words) % 2:
        out += bytes([words[-1] & 0xFF, words[-1] >> 8])
    return bytes(out)


def checksum(samples) -> int:
    return (int(np.sum(samples, dtype=np.int64)) + 32768) % 65536 - 32768


def write(folder: Path, digital, stored: str = "212", offset: bytes = b"", **change: object) -> Path:
    """A record "r" of (T,leads) samples; `change` alters what the header says of its first signal."""
    T, n = digital.shape
    body = encode_212(digital.ravel()) if stored == "212" else digital.astype("<i2").tobytes()
    (folder / "r.dat").write_bytes(offset + body)
    lines = [f"r {n} 360 {change.pop('length', T)}"]
    for k in range(n):
        at = {"fmt": stored, "gain": "200(1024)/mV", "first": digital[0, k], "sum": checksum(digital[:, k])}
        at |= change if k == 0 else {}
        lines.append(f"r.dat {at['fmt']} {at['gain']} 11 1024 {at['first']} {at['sum']} 0 lead {k}")
    (folder / "r.hea").write_text("\n".join([*lines, "# 69 M", "#  two  words"]) + "\n")
    return folder / "r"


some = np.random.default_rng(0).integers(-2047, 2048, (7, 3))


# -------------------------------------------------------------------- samples


@given(arrays(np.int16, st.integers(0, 40), elements=st.integers(-2048, 2047)))
def test_format_212_comes_back(samples):
    np.testing.assert_array_equal(decode_212(encode_212(samples), len(samples)), samples)


def test_format_212_of_the_docstring():
    assert decode_212(bytes.fromhex("E333F3"), 2).tolist() == [995, 1011]
    assert decode_212(bytes.fromhex("00F801"), 2).tolist() == [-2048, -255]
    assert decode_212(b"", 0).shape == (0,)


def test_format_212_needs_the_bytes_of_all_samples():
    with pytest.raises(ValueError, match="3 samples of 12 bits need 5 bytes, got 4"):
        decode_212(bytes(4), 3)


@pytest.mark.parametrize("fmt", ["212", "16"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (7, 3), (8, 2)])
def test_a_record_comes_back(tmp_path, fmt, shape):
    digital = np.random.default_rng(1).integers(-2047, 2048, shape)
    record = read_record(write(tmp_path, digital, fmt))
    np.testing.assert_array_equal(record.digital, digital)
    np.testing.assert_allclose(record.signal, (digital - 1024) / 200, rtol=1e-15)
    assert (record.digital.dtype, record.signal.dtype) == (np.int16, np.float64)
    assert (record.fs, record.name, len(record)) == (360, "r", shape[0])
    assert record.leads == tuple(f"lead {k}" for k in range(shape[1]))
    assert record.units == ("mV",) * shape[1]
    assert record.comments == ("69 M", "two  words")


def test_a_missing_sample_is_nan(tmp_path):
    for fmt, missing in (("212", -2048), ("16", -32768)):
        record = read_record(write(tmp_path, np.array([[1, missing], [missing, -2047]]), fmt))
        assert np.isnan(record.signal).tolist() == [[False, True], [True, False]]


def test_a_preamble_and_what_lies_beyond_are_passed_over(tmp_path):
    path = write(tmp_path, some, "212", offset=b"abcd")
    text = path.with_suffix(".hea").read_text().replace("r.dat 212 ", "r.dat 212+4 ")
    path.with_suffix(".hea").write_text(text)
    (tmp_path / "r.dat").write_bytes((tmp_path / "r.dat").read_bytes() + bytes(6))
    np.testing.assert_array_equal(read_record(path).digital, some)


def test_signals_in_files_of_their_own(tmp_path):
    (tmp_path / "a.dat").write_bytes(encode_212([1, -2, 3]))
    (tmp_path / "b.dat").write_bytes(np.array([400, -500, 600], "<i2").tobytes())
    (tmp_path / "r.hea").write_text("r 2 100 3\na.dat 212 100/uV 12 0 1 2 0 V1\nb.dat 16 50(7)/mmHg\n")
    record = read_record(tmp_path / "r.hea")
    assert record.digital.tolist() == [[1, 400], [-2, -500], [3, 600]]
    np.testing.assert_allclose(record.signal, [[0.01, 7.86], [-0.02, -10.14], [0.03, 11.86]])
    assert record.units == ("uV", "mmHg")


def test_signals_of_one_file_may_stand_apart(tmp_path):
    """A name belongs to its line, not to the order of the files."""
    (tmp_path / "a.dat").write_bytes(np.array([[1, 3], [11, 13]], "<i2").tobytes())
    (tmp_path / "b.dat").write_bytes(np.array([2, 12], "<i2").tobytes())
    (tmp_path / "r.hea").write_text("r 3 100 2\na.dat 16 1 16 0 1 12 0 A0\nb.dat 16 2 16 0 2 14 0 B\na.dat 16 4\n")
    record = read_record(tmp_path / "r")
    assert record.digital.tolist() == [[1, 2, 3], [11, 12, 13]]
    assert record.signal.tolist() == [[1, 1, 0.75], [11, 6, 3.25]]


def test_what_a_header_leaves_out_has_the_specifications_default(tmp_path):
    (tmp_path / "r.dat").write_bytes(encode_212([5, 6, 7, 8]))
    (tmp_path / "r.hea").write_bytes(b"\r\n# first\r\nr 2\r\n\tr.dat 212\r\nr.dat  212  100  0  3\r\n\r\n#last\r\n")
    record = read_record(tmp_path / "r")
    assert record.fs == 250
    assert record.digital.tolist() == [[5, 6], [7, 8]]  # as many as there are
    first, second = record.infos
    assert (first.adc_gain, first.baseline, first.units) == (200, 0, "mV")
    assert (first.init_value, first.checksum, first.sig_name) == (None, None, "record r, signal 0")
    assert (second.adc_gain, second.baseline) == (100, 3)  # the baseline is the ADC's zero
    assert record.comments == ("first", "last")


def test_the_record_line_in_full(tmp_path):
    (tmp_path / "r.dat").write_bytes(encode_212([5]))
    (tmp_path / "r.hea").write_text("r 1 3.6e2/30.5(-2) 1 13:05:00 25/4/1989\nr.dat 212 1e3(-5)/mV 11 1024 5 5 0 V 5\n")
    record = read_record(tmp_path / "r")
    assert (record.fs, len(record)) == (360, 1)  # the counter, time and date are passed over
    assert record.signal.tolist() == [[0.01]]
    assert record.leads == ("V 5",)


def test_leads_by_name_and_number(tmp_path):
    record = read_record(write(tmp_path, some))
    assert (record.lead("lead 1"), record.lead(2)) == (1, 2)
    for lead in ("V5", 3, -1):
        with pytest.raises(ValueError, match=rf"no lead {lead!r}; its leads are 0 lead 0, 1 lead 1, 2 lead 2"):
            record.lead(lead)


# -------------------------------------------------------------------- damaged records


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 9}, r"r\.dat holds 7 samples of each of its 3 signals, but r\.hea promises 9: it was cut short"),
        ({"fmt": "80"}, r"r\.hea, line 2: r\.dat is of format 80: only 212 and 16 are read; convert it"),
        ({"fmt": "212x2"}, r"line 2: signals of several samples a frame, or skewed, are not read \(212x2\)"),
        ({"fmt": "212:3"}, r"not read \(212:3\)"),
        ({"fmt": "16"}, r"the signals of r\.dat are given different formats"),
        ({"gain": "0"}, r"line 2: a gain of 0 means .* write the gain, such as 200"),
        ({"gain": "x"}, r"line 2: 'r\.dat 212 x 11 .*' is no signal line; it holds file, format"),
        ({"first": "1.5"}, "is no signal line"),
        ({"first": 0}, rf"signal lead 0 has the first value {some[0, 0]}, but r\.hea says 0: one of them is damaged"),
        ({"sum": 17}, rf"signal lead 0 has the checksum {checksum(some[:, 0])}, but r\.hea says 17"),
    ],
)
def test_a_header_that_does_not_fit(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read_record(write(tmp_path, some, **change))


def test_a_flipped_bit_is_noticed_unless_told_not_to_look(tmp_path):
    path = write(tmp_path, some)
    data = bytearray((tmp_path / "r.dat").read_bytes())
    data[6] ^= 1
    (tmp_path / "r.dat").write_bytes(data)
    with pytest.raises(ValueError, match="has the checksum"):
        read_record(path)
    assert (read_record(path, verify=False).digital != some).sum() == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"r\.hea has no record line, such as '100 2 360 650000'"),
        ("# nothing\n", "has no record line"),
        ("r\n", r"r\.hea, line 1: 'r' is no record line"),
        ("\n\nr two 360 5\n", r"line 3: 'r two 360 5' is no record line"),
        ("r 1 0 5\nr.dat 212\n", "0 samples a second cannot be"),
        ("r/3 2 360 5\n", "record r is made of segments"),
        ("r 0 360 5\n", "record r has no signals"),
        ("r 2 360 5\nr.dat 212 200 11 0 0 0 0 I\n", "promises 2 signals, but has lines for 1: it was cut short"),
        ("r 1 360\nr.dat\n", "'r.dat' is no signal line"),
    ],
)
def test_a_header_that_cannot_be_read(tmp_path, text, message):
    (tmp_path / "r.hea").write_text(text)
    (tmp_path / "r.dat").write_bytes(b"")
    with pytest.raises(ValueError, match=message):
        read_record(tmp_path / "r")


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*r\.hea; correct the path"):
        read_record(tmp_path / "r")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*r\.atr"):
        read_annotations(tmp_path / "r")
    (write(tmp_path, some).parent / "r.dat").unlink()
    with pytest.raises(FileNotFoundError, match=r"r\.hea names r\.dat, which is not beside it; place it in "):
        read_record(tmp_path / "r")


def test_no_sample_at_all(tmp_path):
    path = write(tmp_path, some, length=0)
    (tmp_path / "r.dat").write_bytes(b"")
    with pytest.raises(ValueError, match="holds 0 samples of each"):
        read_record(path)


# -------------------------------------------------------------------- annotations

CODE = {symbol: code for code, symbol in enumerate(SYMBOLS)}


def word(code: int, value: int) -> bytes:
    return struct.pack("<H", code << 10 | value & 0x3FF)


def skip(samples: int) -> bytes:
    return word(59, 0) + struct.pack("<H", samples >> 16 & 0xFFFF) + struct.pack("<H", samples & 0xFFFF)


def aux(text: bytes) -> bytes:
    return word(63, len(text)) + text + bytes(len(text) % 2)


END = word(0, 0)


def test_annotations_come_back(tmp_path):
    (tmp_path / "r.atr").write_bytes(
        word(CODE["+"], 18) + aux(b"(N\0")  # odd: a zero byte more follows
        + word(CODE["N"], 1023) + word(60, 2) + word(61, 0xFF) + word(62, 1)
        + skip(100_000) + word(CODE["V"], 0)
        + skip(70_000) + word(CODE["A"], 5) + aux(b"even") + word(61, 3)
        + skip(-10) + word(CODE["r"], 0) + word(62, 0) + word(60, 0xFE)
        + word(0, 7)  # no annotation, but 7 samples pass
        + word(42, 1)
        + END + b"beyond"
    )  # fmt: skip
    found = read_annotations(tmp_path / "r")
    assert found.samples.tolist() == [18, 1041, 101041, 171046, 171036, 171044]
    assert found.symbols.tolist() == ["+", "N", "V", "A", "r", "[42]"]
    assert found.aux == ("(N\0", "", "", "even", "", "")
    assert found.fs is None
    assert repr(found) == "Annotations(6: + 1, A 1, N 1, V 1, [42] 1, r 1)"


@given(
    st.lists(st.tuples(st.integers(0, 2**31 - 1), st.sampled_from(SYMBOLS[1:]), st.binary(max_size=255)), max_size=8)
)
def test_any_interval_and_text_come_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("atr", numbered=True) / "x.qrs"
    data = b"".join(
        (word(CODE[s], dt) if 0 < dt < 1024 else skip(dt) + word(CODE[s], 0)) + (aux(text) if text else b"")
        for dt, s, text in rows
    )
    path.write_bytes(data + END)
    found = read_annotations(path)
    keep = [(t, s, text) for t, (_, s, text) in zip(np.cumsum([dt for dt, _, _ in rows]).tolist(), rows)]
    keep = [(t, s, text) for t, s, text in keep if t or not text.startswith(b"## ")]
    assert list(zip(found.samples.tolist(), found.symbols.tolist(), [a.encode("latin-1") for a in found.aux])) == keep


def test_a_note_on_the_file_is_no_annotation(tmp_path):
    (tmp_path / "r.atr").write_bytes(word(22, 0) + aux(b"## time resolution: 360") + word(1, 4) + END)
    found = read_annotations(tmp_path / "r.atr", read_record(write(tmp_path, some)))
    assert (found.fs, found.samples.tolist()) == (360, [4])
    (tmp_path / "r.atr").write_bytes(word(22, 0) + aux(b"## time resolution: 250") + word(1, 4) + END)
    with pytest.raises(ValueError, match=r"r\.atr counts 250 samples a second, but record r has 360"):
        read_annotations(tmp_path / "r.atr", read_record(tmp_path / "r"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"r\.atr ends after 0 annotations, within one or without its end mark: it was cut short"),
        (word(1, 4) + word(1, 4), "ends after 2 annotations"),
        (word(1, 4) + b"\4", "ends after 1 annotations"),
        (word(1, 4) + word(59, 0) + b"\0\0\1", "ends after 1 annotations"),
        (word(1, 4) + aux(b"12345678")[:-2], "ends after 1 annotations"),
        (word(1, 4) + aux(b"123")[:-1], "ends after 1 annotations"),
        (word(1, 4) + word(52, 1) + END, "the code 52 at byte 2 is unknown: is it an annotation file of MIT's format?"),
        (word(61, 4) + END, "the code 61 at byte 0 is unknown"),
        (word(1, 4) + word(5, 3) + END, r"annotation 2 \(V\) stands at sample 7, but record r has 7: it is of another"),
        (skip(-3) + word(1, 0) + END, r"annotation 1 \(N\) stands at sample -3"),
    ],
)
def test_damaged_annotations(tmp_path, data, message):
    record = read_record(write(tmp_path, some))
    (tmp_path / "r.atr").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_annotations(tmp_path / "r", record)


# -------------------------------------------------------------------- against the wfdb package


def test_what_wfdb_writes_is_read(tmp_path):
    wfdb = pytest.importorskip("wfdb", reason="the wfdb package is not installed")
    digital = np.random.default_rng(2).integers(-2000, 2000, (501, 3))
    for name, fmt in (("a", "212"), ("b", "16")):
        wfdb.wrsamp(
            name, fs=250, units=["mV", "mV", "uV"], sig_name=["I", "II", "V1"], d_signal=digital, fmt=[fmt] * 3,
            adc_gain=[200, 100.5, 3], baseline=[0, 12, -7], comments=["a word"], write_dir=str(tmp_path),
        )  # fmt: skip
        same_record(read_record(tmp_path / name), wfdb, tmp_path / name)
    wfdb.wrann(
        "a", "atr", np.array([0, 10, 2000, 90_000]), ["N", "V", "+", "/"], subtype=np.array([0, -3, 0, 5]),
        chan=np.array([0, 1, 1, 2]), num=np.array([0, 0, 4, 4]), aux_note=["", "odd", "(AFIB", ""],
        fs=250, write_dir=str(tmp_path),
    )  # fmt: skip
    same_annotations(read_annotations(tmp_path / "a"), wfdb, tmp_path / "a")
    assert read_annotations(tmp_path / "a").fs == 250


@needs_data
@pytest.mark.parametrize("name", ["100", "101"])
def test_mit_bih_equals_wfdb(name):
    wfdb = pytest.importorskip("wfdb", reason="the wfdb package is not installed")
    record = read_record(FOLDER / name)
    same_record(record, wfdb, FOLDER / name)
    same_annotations(read_annotations(FOLDER / name, record), wfdb, FOLDER / name)


@needs_data
def test_mit_bih_100():
    record = read_record(FOLDER / "100.hea")
    assert repr(record) == "Record('100', leads=('MLII', 'V5'), 650000 samples, 360 Hz, 1805.6 s)"
    assert record.signal[0].tolist() == [-0.145, -0.065]
    found = read_annotations(FOLDER / "100.atr", record)
    assert repr(found) == "Annotations(2274: + 1, A 33, N 2239, V 1)"
    assert (found.samples[:3].tolist(), found.aux[0]) == ([18, 77, 370], "(N\0")


def same_record(ours, wfdb, path):
    physical, digital = wfdb.rdrecord(str(path)), wfdb.rdrecord(str(path), physical=False)
    np.testing.assert_array_equal(ours.digital, digital.d_signal)
    np.testing.assert_array_equal(ours.signal, physical.p_signal)  # to the last bit
    assert ours.name == digital.record_name
    assert ours.fs == digital.fs
    assert list(ours.comments) == digital.comments
    for field in ("file_name", "fmt", "adc_gain", "baseline", "units", "init_value", "checksum", "sig_name"):
        assert [getattr(info, field) for info in ours.infos] == getattr(digital, field), field


def same_annotations(ours, wfdb, path):
    theirs = wfdb.rdann(str(path), "atr")
    for field, other in (("samples", "sample"),):
        np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, other), field)
    assert ours.symbols.tolist() == theirs.symbol
    assert list(ours.aux) == theirs.aux_note
