"""Does a child's chest X-ray show pneumonia? Is a nodule in the lung malignant? (article 6.3)"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tinymed.data import load_nodulemnist3d, load_pneumoniamnist, make_chest_phantoms, make_nodules
from tinymed.data.prepare import Identity
from tinymed.tasks.breast_ultrasound import MODELS as NETWORKS
from tinymed.tasks.config import Config
from tinymed.tasks.forms import PICTURE, VOLUME
from tinymed.tasks.parts import Parts, official
from tinymed.tasks.pictures import cnn3d
from tinymed.tasks.task import Data, Model, Task


def pneumoniamnist(config: Config, data_home: Path | None) -> Parts:
    """4708, 524 and 624 pictures of 28x28, split as published."""
    train, val, test = (load_pneumoniamnist(split, data_home) for split in ("train", "val", "test"))
    return official(config, train, test, val)


def nodulemnist3d(config: Config, data_home: Path | None) -> Parts:
    """1158, 165 and 310 volumes of 28x28x28, split as published."""
    train, val, test = (load_nodulemnist3d(split, data_home) for split in ("train", "val", "test"))
    return official(config, train, test, val)


def generated(config: Config, data_home: Path | None) -> Parts:
    """Generated X-rays, fewer than there are real ones."""
    train, val, test = (make_chest_phantoms(n, seed) for n, seed in ((1200, 0), (200, 1), (400, 2)))
    return official(config, train, test, val)


def generated_nodules(config: Config, data_home: Path | None) -> Parts:
    """Generated volumes."""
    train, val, test = (make_nodules(n, seed) for n, seed in ((400, 0), (80, 1), (160, 2)))
    return official(config, train, test, val)


RECIPES: dict[str, dict[str, Any]] = {
    "article-cnn": {"epochs": 10},
    "small-resnet": {"epochs": 20, "lr": 1e-3, "augment": "crop"},  # a heart lies on the left: no flip
}
PICTURES = {
    name: replace(NETWORKS[name], recipe={**NETWORKS[name].recipe, **recipe}) for name, recipe in RECIPES.items()
}
VOLUMES = {
    "cnn3d": Model(
        cnn3d,
        {"epochs": 30, "schedule": "cosine", "weight_decay": 1e-2, "dropout": 0.2},
    )
}

NODULES = (
    "Adults' CT of LIDC-IDRI: small cubes about nodules that radiologists had marked. Malignant is what they thought "
    "likely, mostly without a biopsy. Whether nodules of one patient stand on both sides of the split is not known."
)
PNEUMONIA = Task(
    name="pneumonia",
    section="6.3",
    question="Does a chest X-ray show pneumonia? Is a nodule in a CT of the lung malignant?",
    data={
        "pneumoniamnist": Data(pneumoniamnist, PICTURE, lambda config: Identity(), PICTURES, keys=()),
        "nodulemnist3d": Data(nodulemnist3d, VOLUME, lambda config: Identity(), VOLUMES, keys=(), limits=NODULES),
        "generated": Data(generated, PICTURE, lambda config: Identity(), PICTURES, keys=()),
        "generated-nodules": Data(generated_nodules, VOLUME, lambda config: Identity(), VOLUMES, keys=()),
    },
    positive=("pneumonia", "malignant"),
    intended="Teaching convolution in two and three dimensions, and what a shift between validation and test does. "
    "Not a clinical device.",
    limits="Children of one to five years at one hospital; pneumonia is three of four pictures in training and five of "
    "eight in the test part, so that a good validation figure promises too much.",
)
