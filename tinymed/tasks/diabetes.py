"""Will diabetes be found within five years? (article 6.2)"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tinymed.data import load_pima, make_diabetes_table
from tinymed.data.prepare import Chain, Impute, Standardize
from tinymed.tasks.config import Config
from tinymed.tasks.dense import dense, logistic
from tinymed.tasks.forms import TABLE
from tinymed.tasks.parts import Parts, folded
from tinymed.tasks.task import Data, Model, Task


def pima(config: Config, data_home: Path | None) -> Parts:
    """768 women, 8 measures; zeros that mean a missing value are NaN until the fold's own medians fill them."""
    return folded(config, load_pima(data_home))


def generated(config: Config, data_home: Path | None) -> Parts:
    """As many generated rows."""
    return folded(config, make_diabetes_table(768, seed=0))


MODELS = {
    "dense": Model(
        partial(dense, hidden=(16,)),
        {"epochs": 60, "lr": 3e-3, "weight_decay": 0.1, "schedule": "cosine", "dropout": 0.2},
    ),
    "logistic": Model(logistic, {"epochs": 100, "lr": 1e-2}),
}

DIABETES = Task(
    name="diabetes",
    section="6.2",
    question="Will diabetes be found in a woman within five years, by eight measures?",
    data={
        "pima": Data(pima, TABLE, lambda config: Chain(Impute(), Standardize()), MODELS),
        "generated": Data(generated, TABLE, lambda config: Chain(Impute(), Standardize()), MODELS),
    },
    positive=("diabetes",),
    intended="Teaching what missing values and folds do to a figure. Not a clinical device.",
    limits="Women of one people, the Akimel O'odham (Pima), of at least 21 years; half of the insulin values are "
    "missing. The people measured had no say in the many uses of their data since.",
)
