"""Which leukemia is it, by the activity of genes; which drug would act? (article 6.5)"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tinymed.data import load_golub, make_drug_response, make_expression, make_subtypes, stratified_folds
from tinymed.data.prepare import Chain, LogClip, SelectColumns, Standardize
from tinymed.tasks.config import Config
from tinymed.tasks.dense import dense
from tinymed.tasks.forms import TABLE
from tinymed.tasks.task import Data, Model, Parts, Samples, Task, folded, official

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


def nested(config: Config, train: Samples) -> Config:
    """How many genes and how much decay: those of the least loss over folds inside the training part.

    The genes are chosen anew in each inner fold; chosen once from all, they would have seen what they are judged by
    (Ambroise and McLachlan 2002). Nothing is done where `genes` says how many.
    """
    if config.genes:
        return config
    from tinymed.tasks.learn import learnt, loss_for
    from tinymed.training import evaluate

    classes = tuple(map(str, np.unique(train.y)))
    folds = stratified_folds(train.y, INNER, config.seed, train.groups)
    worth = {}
    for genes in [k for k in GENES if k <= train.x.shape[1]] or [train.x.shape[1]]:
        for decay in DECAYS:
            tried = replace(config, genes=genes, weight_decay=decay, patience=0, keep="last")
            losses = []
            for inside, outside in folds:
                prepared, model, _ = learnt(tried, train.take(inside), None, classes, verbose=False)
                held = train.take(outside)
                found = evaluate(model, (prepared(held.x), held.y), loss=loss_for(classes), metrics=())
                losses.append(found["loss"])
            worth[tried] = np.mean(losses)
    best = min(worth, key=lambda tried: worth[tried])
    return replace(config, genes=best.genes, weight_decay=best.weight_decay)


def strongly_held(hidden: tuple[int, ...]) -> dict[str, Model]:
    """A dense network for far more genes than patients: few units, much dropout and decay."""
    recipe = {"epochs": 100, "batch_size": 16, "dropout": 0.5, "weight_decay": 0.1}
    return {
        "dense": Model(lambda shape, k, config, prepared: dense(shape, k, hidden, config.dropout), recipe),
    }


RESPONSE = {
    "dense": Model(
        lambda shape, k, config, prepared: dense(shape, k, (32, 16), config.dropout),
        {"epochs": 40, "schedule": "cosine", "dropout": 0.5, "weight_decay": 1.0},
    ),
    "linear": Model(
        lambda shape, k, config, prepared: dense(shape, k, ()),
        {"epochs": 40, "schedule": "cosine", "weight_decay": 1.0},
    ),
}

LEUKEMIA = Task(
    name="leukemia",
    section="6.5",
    question="Which leukemia is it, by the activity of genes? How much of a drug would act?",
    data={
        "golub": Data(golub, TABLE, select, strongly_held((16,)), nested),
        "generated": Data(generated, TABLE, select, strongly_held((16,)), nested),
        "generated-subtypes": Data(generated_subtypes, TABLE, select, strongly_held((16,)), nested),
        "generated-drug-response": Data(
            generated_response, TABLE, lambda config: Chain(LogClip(), Standardize()), RESPONSE
        ),
    },
    positive=("aml",),
    intended="Teaching how few patients and many genes mislead, and nested selection. Not a clinical device.",
    limits="38 patients to learn from, 34 from other hospitals to judge by: one is three points of accuracy. "
    "Subtypes and drug response are generated numbers: they tell of no patient and no drug.",
)
