"""Labelled texts: tables of one's own, and the Medical Abstracts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinymed.data.dataset import Dataset, LabelledDataset
from tinymed.data.registry import SOURCES
from tinymed.data.sources import fetch_all
from tinymed.data.tables import listed, read_table, read_text
from tinymed.data.vocabulary import Vocabulary
from tinymed.tensor import Tensor


class TextDataset(Dataset):
    """Texts and their class labels, with what is known of them; item i is (text, label).

    texts   N strings, none of them empty
    labels  (N,) int64, in 0..len(classes)-1

    The rest, and what labels and groups must be, is as in LabelledDataset. Raises ValueError for an empty text,
    TypeError for one that is no string.
    """

    def __init__(self, texts: Sequence[str], labels: Any, classes: Sequence[str], source: str, **about: Any) -> None:
        if isinstance(texts, str):
            raise TypeError("texts is one text; give a list of them")
        self.texts = list(texts)
        for k, text in enumerate(self.texts):
            if not isinstance(text, str):
                raise TypeError(f"text {k} is no string but {type(text).__name__}: {text!r}")
            if not text.strip():
                raise ValueError(f"text {k} is empty")
        checked = LabelledDataset(np.arange(len(self.texts)), labels, classes, source, **about)
        self.labels, self.classes, self.source, self.groups = checked.labels, checked.classes, source, checked.groups
        self.split, self.licence, self.citation = checked.split, checked.licence, checked.citation

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> tuple[str, Tensor]:
        return self.texts[index], self.labels[index]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} texts, {self.counts()}, source={self.source!r})"

    def counts(self) -> dict[str, int]:
        """How many texts each class has."""
        return dict(zip(self.classes, np.bincount(self.labels.array, minlength=len(self.classes)).tolist()))

    def encode(self, vocabulary: Vocabulary, length: int | None = None) -> LabelledDataset:
        """The texts as numbers (N,T) int64, labelled as they are here; see `Vocabulary.encode`."""
        return LabelledDataset(
            vocabulary.encode(self.texts, length),
            self.labels,
            self.classes,
            self.source,
            split=self.split,
            licence=self.licence,
            citation=self.citation,
            groups=self.groups,
        )


def load_texts(
    path: str | Path,
    text: str = "text",
    label: str = "label",
    encoding: str | None = None,
    like: TextDataset | Sequence[str] | None = None,
    *,
    group: str | None = None,
    delimiter: str | None = None,
) -> TextDataset:
    """A CSV or Parquet file with a column of texts and one of classes; other columns are passed over.

        train = load_texts("train.csv", text="主诉", label="科室", encoding="gb18030")
        test = load_texts("test.csv", text="主诉", label="科室", like=train)

    like   the training set, or its classes: a class that is not among them is refused; None takes the classes
           of the file, in sorted order, numbers by value
    group  the column that says whose a text is, such as the patient's number: it becomes `.groups`

    encoding and delimiter as `load_csv`. Raises ValueError, naming the line, for an empty text and for a label
    that is empty or unknown; else as `load_csv`.
    """
    table = read_table(path, encoding, delimiter, keep=(text, label))
    table.need(label, "label")
    texts = table.filled(text, "text")
    classes = table.classes(label) if like is None else like.classes if isinstance(like, TextDataset) else tuple(like)
    groups = None if group is None else table.filled(group, "group")
    return TextDataset(texts, table.labels(label, classes), classes, source=str(path), groups=groups)


def read_texts(
    path: str | Path, text: str = "text", encoding: str | None = None, delimiter: str | None = None
) -> list[str]:
    """Texts that nobody has labelled yet: the column `text` of a CSV or Parquet file, or a .txt file as one text.

    Raises ValueError as load_texts.
    """
    if Path(path).suffix.lower() != ".txt":
        return read_table(path, encoding, delimiter, keep=(text,)).filled(text, "text")
    if not (whole := read_text(path, encoding).strip()):
        raise ValueError(f"{path} has nothing in it")
    return [whole]


# -------------------------------------------------------------------- a real example

CONDITIONS = (
    "neoplasms",
    "digestive system diseases",
    "nervous system diseases",
    "cardiovascular diseases",
    "general pathological conditions",
)
ABSTRACTS = {"train": 11_550, "test": 2_888}


def load_medical_abstracts(
    split: str = "test", data_home: str | Path | None = None, download: bool = True
) -> TextDataset:
    """Abstracts of medical papers in English, each with the kind of condition it is about: five classes.

    "train" has 11550 rows, "test" 2888. Some abstracts come twice, with one label or with several: of the test
    rows 2770 texts are distinct, and 113 of them have more than one label, so that no model can be right on all.
    All are kept; the numbers stand in `.source`. Keep the copies of a text in one part when splitting.

    See `fetch_all` for data_home, download and the errors. Raises ValueError for an unknown split, and for a file
    that has not its rows.
    """
    if split not in ABSTRACTS:
        raise ValueError(f"there is no split {split!r} of medical-abstracts; there are {listed(list(ABSTRACTS))}")
    filename = f"medical_tc_{split}.csv"
    path = fetch_all("medical-abstracts", data_home, download, files=(filename,))[filename]
    numbers = tuple(str(k) for k in range(1, len(CONDITIONS) + 1))
    found = load_texts(path, text="medical_abstract", label="condition_label", like=numbers)
    if len(found) != ABSTRACTS[split]:
        raise ValueError(f"{path} has {len(found)} rows, expected {ABSTRACTS[split]}: cut short, or another version")
    labels_of = defaultdict(set)
    for text, label in zip(found.texts, found.labels.array.tolist()):
        labels_of[text].add(label)
    several = sum(len(labels) > 1 for labels in labels_of.values())
    about = SOURCES["medical-abstracts"].about(path, split)
    about["source"] += f" ({len(labels_of)} distinct of {len(found)} texts, {several} with more than one label)"
    return TextDataset(found.texts, found.labels, CONDITIONS, **about)
