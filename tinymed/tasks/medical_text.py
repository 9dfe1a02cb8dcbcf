"""What is a medical abstract about? (article 2.2, natural language)"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinymed.data import load_medical_abstracts, make_abstracts
from tinymed.data.vocabulary import Words
from tinymed.tasks import sequences
from tinymed.tasks.config import Config
from tinymed.tasks.forms import TEXT
from tinymed.tasks.task import Data, Model, Parts, Task, folded


def abstracts(config: Config, data_home: Path | None) -> Parts:
    """2888 abstracts, five classes; a fifth is judged by. Equal texts stay together: 113 carry several labels."""
    return folded(config, together(load_medical_abstracts(data_home=data_home)))


def generated(config: Config, data_home: Path | None) -> Parts:
    """1000 generated sentences."""
    return folded(config, together(make_abstracts(1000, seed=0)))


def generated_chinese(config: Config, data_home: Path | None) -> Parts:
    """1000 generated sentences in Chinese."""
    return folded(config, together(make_abstracts(1000, seed=0, language="zh")))


def together(dataset: Any) -> Any:
    """Equal texts as one group: what has been read in training is not asked again in the test."""
    dataset.groups = np.unique(dataset.texts, return_inverse=True)[1]
    return dataset


def words(config: Config) -> Words:
    """Tokens seen twice or more in the training part."""
    return Words(config.tokens, config.length)


def reader(build: Callable[..., Any], **recipe: Any) -> Model:
    def made(shape: tuple[int, ...], classes: int, config: Config, prepared: Words) -> Any:
        return build(shape, classes, vocabulary=len(prepared.vocabulary), dropout=config.dropout)

    return Model(made, {"dropout": 0.5, **recipe})


MODELS = {
    "mean-embedding": reader(sequences.mean_embedding, epochs=8, lr=1e-2, length=200),
    "attention": reader(sequences.attention_pooling, epochs=8, lr=3e-3, length=200),
    "rnn": reader(sequences.text_rnn, epochs=20, clip=5.0, length=60),
    "lstm": reader(sequences.text_lstm, epochs=20, clip=5.0, length=60),
}
CHARACTERS = {
    name: Model(model.build, {**model.recipe, "tokens": "char", "length": 60}) for name, model in MODELS.items()
}

MEDICAL_TEXT = Task(
    name="medical-text",
    section="2.2",
    question="Of which field of medicine is a text?",
    data={
        "medical-abstracts": Data(abstracts, TEXT, words, MODELS),
        "generated": Data(generated, TEXT, words, MODELS),
        "generated-chinese": Data(generated_chinese, TEXT, words, CHARACTERS),
    },
    positive=(),
    intended="Teaching how words become vectors and a text one vector. Not a clinical device.",
    limits="Abstracts of papers, not patients' own words; 113 texts stand there with several labels, so that no "
    "model can be right about all of them. TF-IDF with logistic regression is as good.",
)
