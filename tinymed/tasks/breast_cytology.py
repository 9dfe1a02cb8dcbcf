"""Is a breast mass malignant, by measures of cell nuclei? (article 6.1)"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tinymed.data import TableDataset, load_csv, write_wisconsin_csv
from tinymed.data.prepare import Chain, Impute, Standardize
from tinymed.data.registry import SOURCES
from tinymed.tasks.config import Config
from tinymed.tasks.dense import dense, logistic
from tinymed.tasks.forms import TABLE
from tinymed.tasks.parts import Parts, folded
from tinymed.tasks.task import Data, Model, Task


def wisconsin(config: Config, data_home: Path | None) -> Parts:
    """569 rows of 30 measures, raw, in the layout `id`, `diagnosis`, ...; a fifth is judged by."""
    with TemporaryDirectory() as folder:
        first, second = write_wisconsin_csv(folder)
        head = load_csv(first, normalize=False)
        tail = load_csv(second, like=head)
    x = np.concatenate([head.inputs.array, tail.inputs.array])
    y = np.concatenate([head.labels.array, tail.labels.array])
    about = SOURCES["wisconsin"]
    whole = TableDataset(
        x, y, head.layout, "scikit-learn's load_breast_cancer", licence=about.licence, citation=about.citation
    )
    return folded(config, whole)


MODELS = {
    "dense": Model(dense, {"epochs": 60, "weight_decay": 1e-2, "dropout": 0.2}),
    "logistic": Model(logistic, {"epochs": 100, "lr": 1e-2, "weight_decay": 1e-2}),
}

BREAST_CYTOLOGY = Task(
    name="breast-cytology",
    section="6.1",
    question="Is a breast mass malignant, by measures of the cell nuclei in a fine-needle aspirate?",
    data={"wisconsin": Data(wisconsin, TABLE, lambda config: Chain(Impute(), Standardize()), MODELS)},
    positive=("malignant", "m"),
    intended="Teaching dense networks beside logistic regression, which is as good here. Not a clinical device.",
    limits="569 masses seen at one hospital before 1995; the measures were drawn by hand on a screen.",
)
