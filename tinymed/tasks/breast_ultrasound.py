"""Is a mass seen by ultrasound malignant? (article 6.1, and its case study, section 5)"""

from __future__ import annotations

from pathlib import Path

from tinymed.data import load_breastmnist, make_breast_phantoms
from tinymed.data.prepare import Identity
from tinymed.nn import Module
from tinymed.tasks.config import Config
from tinymed.tasks.forms import PICTURE
from tinymed.tasks.parts import Parts, official
from tinymed.tasks.pictures import small_resnet
from tinymed.tasks.task import Data, Model, Task
from tinymed.training import article_cnn


def breastmnist(config: Config, data_home: Path | None) -> Parts:
    """546, 78 and 156 pictures of 28x28, split as published."""
    train, val, test = (load_breastmnist(split, data_home) for split in ("train", "val", "test"))
    return official(config, train, test, val)


def generated(config: Config, data_home: Path | None) -> Parts:
    """As many generated pictures."""
    train, val, test = (make_breast_phantoms(n, seed) for n, seed in ((546, 0), (78, 1), (156, 2)))
    return official(config, train, test, val)


def the_articles(shape: tuple[int, ...], classes: int) -> Module:
    """The network of article 5.2. Raises ValueError for what it was not made for."""
    if tuple(shape) != (1, 28, 28) or classes != 2:
        raise ValueError(
            f"article-cnn tells two classes of grey pictures (1, 28, 28) apart, got {classes} of {tuple(shape)}; "
            "give image_shape 28x28 for pictures of another size, or take small-resnet"
        )
    return article_cnn()


# chosen by five folds of the training and validation pictures together; the test part was looked at afterwards
MODELS = {
    "article-cnn": Model(the_articles, {"init": "keras", "epochs": 50}),
    "small-resnet": Model(
        small_resnet,
        {"epochs": 100, "lr": 3e-3, "schedule": "cosine", "augment": "flip,crop", "dropout": 0.2},
    ),
}


BREAST_ULTRASOUND = Task(
    name="breast-ultrasound",
    section="6.1, 5",
    question="Is the mass in an ultrasound picture of the breast malignant?",
    data={
        "breastmnist": Data(breastmnist, PICTURE, lambda config: Identity(), MODELS, keys=()),
        "generated": Data(generated, PICTURE, lambda config: Identity(), MODELS, keys=()),
    },
    positive=("malignant", "m"),
    intended="Teaching how a network reads pictures and how it is judged. Not a clinical device.",
    limits="Pictures of 28x28 from one collection of 780, some nearly alike on both sides of the published split; "
    "156 are judged by, 42 of them malignant. Which device took them and of whom is not known.",
)
