"""The table of data sets: of each file its name, addresses, size and hash; of each set its licence and citation.

tinymed ships none of them. `tinymed.data.sources` finds and downloads what stands here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    urls     its addresses, the publisher's first; "a.zip#b" is the member b of the archive a.zip
    size     in bytes, 0 where it is not known
    digest   "sha256:..." or "md5:...", or "" where nobody has published one: such a file is taken by its name,
             and its loader checks what is in it
    note     how it differs from the official file
    aliases  names under which the same numbers are spread in another layout; taken by name too
    """

    filename: str
    urls: tuple[str, ...] = ()
    size: int = 0
    digest: str = ""
    note: str = ""
    aliases: tuple[str, ...] = ()

    def digest_of(self, path: Path) -> str:
        algorithm = self.digest.partition(":")[0]
        with path.open("rb") as stream:
            return f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"


@dataclass(frozen=True)
class Source:
    """A data set: its official files, and whose it is.

    files   none where it comes with a library
    twins   files with the same contents in another form, each of which stands for all files of the set
    extent  how large it is, in words, where the sizes of the files do not tell
    """

    name: str
    what: str
    files: tuple[DataFile, ...]
    licence: str
    citation: str
    twins: tuple[DataFile, ...] = ()
    extent: str = ""

    def about(self, path: Path, split: str | None = None) -> dict[str, Any]:
        """What a dataset read from the file at `path` says of itself: source, split, licence, citation."""
        note = next((file.note for file in self.twins if file.filename == path.name), "")
        origin = f"{path.name} ({note})" if note else path.name
        return {"source": origin, "split": split, "licence": self.licence, "citation": self.citation}

    def select(self, names: tuple[str, ...]) -> tuple[DataFile, ...]:
        """The files of these names; "100" are all whose name begins with "100.", in the registry's order.

        Raises ValueError for a name that no file has.
        """
        chosen = {n: {f for f in self.files if n in (f.filename, f.filename.partition(".")[0])} for n in names}
        if unknown := [name for name, files in chosen.items() if not files]:
            there = [file.filename for file in self.files]
            listed = ", ".join(there if len(there) < 8 else [*there[:3], "...", there[-1]])
            raise ValueError(f"{self.name} has no file {unknown[0]!r}; it has {listed}")
        return tuple(file for file in self.files if any(file in files for files in chosen.values()))


def _medmnist(name: str, size: int, digest: str) -> DataFile:
    mirror = "https://huggingface.co/datasets/albertvillanova/medmnist-v2/resolve/"
    urls = (
        f"https://zenodo.org/records/10519652/files/{name}.npz?download=1",
        f"{mirror}f6dd981c7400b3e3738bde12ff948b7cc8f0d623/data/{name}.npz",
    )
    return DataFile(f"{name}.npz", urls, size, digest)


_MEDMNIST = "Yang et al., MedMNIST v2, Scientific Data 10:41, 2023, doi:10.1038/s41597-022-01721-8"
_GITHUB = "https://raw.githubusercontent.com"
_UCR = "https://www.timeseriesclassification.com/aeon-toolkit/ECG5000.zip"
UNTRIED = (_GITHUB, _UCR)  # addresses put together of what is known of a file; nobody has asked for it there yet
_TRAIN_TXT = f"{_GITHUB}/sushantsk1/DL/3d8551a8d8557874c10cfd676d596f5826d681b1/ECG5000_TRAIN.txt"
_PIMA = f"{_GITHUB}/jbrownlee/Datasets/d20fcb6402ae34e653d4513b00f39257bb37ed7f"
_GOLUB = f"{_GITHUB}/tkhan11/Gene-Expression-Classification/e6a1d8be4d763c9e4d9d71348abfaabd61a32131"
_ABSTRACTS = f"{_GITHUB}/sebischair/Medical-Abstracts-TC-Corpus/70a2d9106c724729be8b3c4ddb00d1b14ec300c8"

# 48 half-hours of 47 people: 201 and 202 are one man's
MITDB_RECORDS = tuple(
    str(record)
    for first, last in ((100, 109), (111, 119), (121, 124), (200, 203), (205, 205), (207, 210), (212, 215), (217, 217))
    + ((219, 223), (228, 228), (230, 234))
    for record in range(first, last + 1)
)
_MITDB_KNOWN = {  # of the others nobody's list of hashes was at hand; .hea differ from copy to copy by comments
    "100.dat": (1_950_000, "b2ea3c250e56e48f4b7b90697832b8ecd1afa1e0bb31f2dcfea4ed6e1075a639"),
    "100.atr": (4_558, "8d8a5349fb16638ebbf649f1779d12e96d91b736b2aafe59db43719ae583d471"),
    "101.dat": (1_950_000, "698d1ea6f472d23ca50317c72c96cda2698badd8578220ed0380cdf241e39006"),
    "101.atr": (3_768, "441cdd6486cfdf4c53e344d1048ab81296773e7058d53069022adc68543a0663"),
}


def _mitdb(filename: str) -> DataFile:
    size, digest = _MITDB_KNOWN.get(filename, (1_950_000 if filename.endswith(".dat") else 0, ""))
    url = f"https://physionet.org/files/mitdb/1.0.0/{filename}"
    return DataFile(filename, (url,), size, f"sha256:{digest}" if digest else "")


SOURCES = {
    source.name: source
    for source in (
        Source(
            "breastmnist",
            "breast ultrasound 28x28, malignant or not: 546 train, 78 val, 156 test",
            (
                _medmnist(
                    "breastmnist",
                    559_580,
                    "sha256:3a22d2a4625e7dd8903f0f59030e81a3d0c222bece2e5e10927456cb50efdec1",
                ),
            ),
            "CC BY 4.0",
            f"{_MEDMNIST}; pictures: Al-Dhabyani et al., Data in Brief 28:104863, 2020",
        ),
        Source(
            "pneumoniamnist",
            "chest X-rays of children 28x28, pneumonia or not: 4708 train, 524 val, 624 test",
            (_medmnist("pneumoniamnist", 4_170_669, "md5:28209eda62fecd6e6a2d98b1501bb15f"),),
            "CC BY 4.0",
            f"{_MEDMNIST}; pictures: Kermany et al., Cell 172:1122, 2018",
            twins=(
                DataFile(
                    "pneumoniamnist_merged.npz",
                    (),
                    4_170_256,
                    "sha256:4b8cbbb4a5285ef4be33e12c14e37fd9fc1892a2f358907458109a3dc3ff0d7a",
                    note="the official pictures put together again, the training rows in another order",
                ),
            ),
        ),
        Source(
            "nodulemnist3d",
            "lung nodules in CT 28x28x28, benign or malignant: 1158 train, 165 val, 310 test",
            (_medmnist("nodulemnist3d", 0, "md5:8755a7e9e05a4d9ce80a24c3e7a256f3"),),
            "CC BY 4.0",
            f"{_MEDMNIST}; volumes: Armato et al., LIDC-IDRI, Medical Physics 38:915, 2011",
            extent="29.3 MB",
        ),
        Source(
            "ecg5000",
            "heartbeats of one patient, 140 samples, 5 classes: 500 train, 4500 test",
            (
                DataFile(
                    "ECG5000_TRAIN.txt",
                    (f"{_UCR}#ECG5000_TRAIN.txt", _TRAIN_TXT),
                    0,
                    "sha256:0d96aff193311a6dc6111bf0dbd2f7d2313987fbf7a1da4a383d92563876057b",
                    aliases=("ECG5000_TRAIN.tsv", "ECG5000_TRAIN"),
                ),
                DataFile(
                    "ECG5000_TEST.txt",
                    (f"{_UCR}#ECG5000_TEST.txt",),
                    aliases=("ECG5000_TEST.tsv", "ECG5000_TEST"),
                ),
            ),
            "none stated (UCR archive)",
            "Chen et al., Data Mining and Knowledge Discovery 29(6), 2015; Dau et al., The UCR time series archive, "
            "IEEE/CAA J. Automatica Sinica, 2019; record chf07: Baim et al., J. Am. Coll. Cardiol. 7:661, 1986; "
            "Goldberger et al., Circulation 101(23):e215, 2000",
            extent="about 11 MB",
            twins=(
                DataFile(
                    "ecg5000.npz",
                    (),
                    2_597_145,
                    "sha256:53b7240c40e0663ee32dc2b8fb15f3d980a26ae11c00b3c37469f492222fd151",
                    note="both text files in one, as float32",
                ),
            ),
        ),
        Source(
            "mitdb",
            "MIT-BIH arrhythmia, 2 leads at 360 Hz with every beat annotated: 48 records of half an hour",
            tuple(_mitdb(f"{record}.{kind}") for record in MITDB_RECORDS for kind in ("hea", "dat", "atr")),
            "ODC-By 1.0",
            "Moody and Mark, IEEE Eng. in Medicine and Biology 20(3):45-50, 2001; "
            "Goldberger et al., Circulation 101(23):e215, 2000",
        ),
        Source(
            "pima",
            "8 measures of Akimel O'odham (Pima) women, diabetes within five years or not: 768 rows",
            (
                DataFile(
                    "pima-indians-diabetes.csv",
                    (f"{_PIMA}/pima-indians-diabetes.csv",),
                    23_278,
                    "sha256:6bfe5d0f379d17a0e0819b996407e3c09bf80febd4287f2ed212190dfff154af",
                ),
            ),
            "none clear",
            "Smith et al., Proc. Symp. Computer Applications in Medical Care 261-265, 1988; "
            "on whose data they are: Radin, Osiris 32:43-64, 2017",
        ),
        Source(
            "wisconsin",
            "breast cytology, 30 measures, malignant or benign: 455 train, 114 test",
            (),
            "CC BY 4.0",
            "Street, Wolberg and Mangasarian, Proc. SPIE 1905:861, 1993; doi:10.24432/C5DW2B",
            extent="569 rows",
        ),
        Source(
            "golub",
            "expression of 7129 gene probes, leukaemia ALL or AML: 38 train, 34 test",
            (
                DataFile(
                    "data_set_ALL_AML_train.csv",
                    (f"{_GOLUB}/data_set_ALL_AML_train.csv",),
                    0,
                    "sha256:7c8b432b4af99e68f923c53e289c73f1834986b05d80c2c43502053d8fca9f2c",
                ),
                DataFile(
                    "data_set_ALL_AML_independent.csv",
                    (f"{_GOLUB}/data_set_ALL_AML_independent.csv",),
                    0,
                    "sha256:38bd56674360e5765840c579622fc0be2650780c0d6ef46f8601074e96677bd3",
                ),
                DataFile(
                    "actual.csv",
                    (f"{_GOLUB}/actual.csv",),
                    0,
                    "sha256:af291eced4116e257af0b73043e83b55d9b42f0d815440a4c5bc72424d2f44e1",
                ),
            ),
            "none stated; cite the paper",
            "Golub et al., Science 286:531, 1999",
            extent="about 4 MB",
            twins=(
                DataFile(
                    "golub.npz",
                    (),
                    1_352_854,
                    "sha256:00722031255976ce84e568cdb3d434b12bb905a3349746abdfeb6b951e53a48e",
                    note="the three tables in one",
                ),
            ),
        ),
        Source(
            "medical-abstracts",
            "medical abstracts in English, 5 kinds of condition: 11550 train, 2888 test",
            (
                DataFile("medical_tc_train.csv", (f"{_ABSTRACTS}/medical_tc_train.csv",)),
                DataFile(
                    "medical_tc_test.csv",
                    (f"{_ABSTRACTS}/medical_tc_test.csv",),
                    3_586_836,
                    "sha256:1eecea73c9ecad292c55e10403bd139fab9580545d6878482997c5564d51ac05",
                ),
            ),
            "CC BY-SA 3.0",
            "Schopf, Braun and Matthes, NLPIR 2022, doi:10.1145/3582768.3582795",
            extent="about 18 MB",
        ),
    )
}
