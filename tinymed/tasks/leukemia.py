"""Which leukemia is it, by the activity of genes; which drug would act? (article 6.5)"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from tinymed.data import load_golub, make_drug_response, make_expression, make_subtypes, stratified_folds
from tinymed.data.prepare import Chain, LogClip, SelectColumns, Standardize
from tinymed.tasks.config import Config
from tinymed.tasks.dense import dense, logistic
from tinymed.tasks.forms import TABLE
from tinymed.tasks.parts import Parts, Samples, folded, official
from tinymed.tasks.task import SPLIT, WATCHED, Data, Model, Task

GENES = (10, 50, 200, 1000)  # how many may be chosen
DECAYS = (0.01, 0.1, 1.0)
INNER = 5  # folds inside the training part


def golub(config: Config, data_home: Path | None) -> Parts:
    """38 and 34 patients, 7129 probes, split as published."""
    return official(config, load_golub("train", data_home), load_golub("test", data_home))


def generated(config: Config, data_home: Path | None) -> Parts:
    """72 generated patients, 2000 genes."""
    return folded(config, make_expression(72, seed=0))


def generated_subtypes(config: Config, data_home: Path | None) -> Parts:
    """240 generated patients of four subtypes."""
    return folded(config, make_subtypes(240, seed=0))


def generated_response(config: Config, data_home: Path | None) -> Parts:
    """1000 generated cell lines: how much of a drug halves their growth."""
    return folded(config, make_drug_response(1000, seed=0))


def select(config: Config) -> Chain:
    """Logarithms, then the genes that tell the training part's classes best, then mean 0 and deviation 1."""
    return Chain(LogClip(), SelectColumns(config.genes), Standardize())


def scaled(config: Config) -> Chain:
    """Logarithms of all genes, with mean 0 and deviation 1."""
    return Chain(LogClip(), Standardize())


def nested(config: Config, train: Samples, loss: Callable) -> list[dict[str, float]]:
    """How many genes and how much decay, where they are not given: the mean loss of each over inner folds.

    The genes are chosen anew in each inner fold; chosen once from all, they would have seen what they are judged by
    (Ambroise and McLachlan 2002).
    """
    width = train.x.shape[1]
    genes = [config.genes] if config.genes else [k for k in GENES if k <= width] or [width]
    decays = [config.weight_decay] if config.weight_decay else DECAYS
    if config.genes and config.weight_decay:
        return []
    folds = stratified_folds(train.y, INNER, config.seed, train.groups)
    worth = []
    for k, decay in itertools.product(genes, decays):
        tried = replace(config, genes=k, weight_decay=decay, patience=0, keep="last", start="", freeze="")
        losses = [loss(tried, train.take(inside), train.take(outside)) for inside, outside in folds]
        worth.append({"genes": k, "weight_decay": decay, "loss": float(np.mean(losses))})
    return worth


# for far more genes than patients: few units, much dropout; genes and decay are chosen
STRONGLY_HELD = {"dense": Model(partial(dense, hidden=(16,)), {"epochs": 100, "batch_size": 16, "dropout": 0.5})}
RESPONSE = {
    "dense": Model(dense, {"epochs": 40, "schedule": "cosine", "dropout": 0.5, "weight_decay": 1.0}),
    "linear": Model(logistic, {"epochs": 40, "schedule": "cosine", "weight_decay": 1.0}),
}

LEUKEMIA = Task(
    name="leukemia",
    section="6.5",
    question="Which leukemia is it, by the activity of genes? How much of a drug would act?",
    data={
        "golub": Data(golub, TABLE, select, STRONGLY_HELD, (*WATCHED, "genes"), nested),
        "generated": Data(generated, TABLE, select, STRONGLY_HELD, (*SPLIT, "genes"), nested),
        "generated-subtypes": Data(generated_subtypes, TABLE, select, STRONGLY_HELD, (*SPLIT, "genes"), nested),
        "generated-drug-response": Data(generated_response, TABLE, scaled, RESPONSE),
    },
    positive=("aml",),
    intended="Teaching how few patients and many genes mislead, and nested selection. Not a clinical device.",
    limits="38 patients to learn from, 34 from other hospitals to judge by: one is three points of accuracy. "
    "Subtypes and drug response are generated numbers: they tell of no patient and no drug.",
)
