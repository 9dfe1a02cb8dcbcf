"""What is a medical abstract about? (article 2.2, natural language)"""

from __future__ import annotations

from pathlib import Path

from tinymed.data import load_medical_abstracts, make_abstracts
from tinymed.data.vocabulary import Words
from tinymed.tasks import sequences
from tinymed.tasks.config import Config
from tinymed.tasks.forms import TEXT
from tinymed.tasks.parts import Parts, folded
from tinymed.tasks.task import SPLIT, Data, Model, Task


def abstracts(config: Config, data_home: Path | None) -> Parts:
    """2888 abstracts, five classes; a fifth is judged by. Equal texts stay together: 113 carry several labels."""
    return folded(config, load_medical_abstracts(data_home=data_home))


def generated(config: Config, data_home: Path | None) -> Parts:
    """1000 generated sentences."""
    return folded(config, make_abstracts(1000, seed=0))


def generated_chinese(config: Config, data_home: Path | None) -> Parts:
    """1000 generated sentences in Chinese."""
    return folded(config, make_abstracts(1000, seed=0, language="zh"))


def words(config: Config) -> Words:
    """Tokens seen twice or more in the training part."""
    return Words(config.tokens, config.length)


MODELS = {
    "mean-embedding": Model(sequences.mean_embedding, {"dropout": 0.5, "epochs": 8, "lr": 1e-2, "length": 200}),
    "attention": Model(sequences.attention_pooling, {"dropout": 0.5, "epochs": 8, "lr": 3e-3, "length": 200}),
    "rnn": Model(sequences.text_rnn, {"dropout": 0.5, "epochs": 20, "clip": 5.0, "length": 60}),
    "lstm": Model(sequences.text_lstm, {"dropout": 0.5, "epochs": 20, "clip": 5.0, "length": 60}),
}
CHARACTERS = {
    name: Model(model.build, {**model.recipe, "tokens": "char", "length": 60}) for name, model in MODELS.items()
}

KEYS = (*SPLIT, "tokens", "length")

MEDICAL_TEXT = Task(
    name="medical-text",
    section="2.2",
    question="Of which field of medicine is a text?",
    data={
        "medical-abstracts": Data(abstracts, TEXT, words, MODELS, KEYS),
        "generated": Data(generated, TEXT, words, MODELS, KEYS),
        "generated-chinese": Data(generated_chinese, TEXT, words, CHARACTERS, KEYS),
    },
    positive=(),
    intended="Teaching how words become vectors and a text one vector. Not a clinical device.",
    limits="Abstracts of papers, not patients' own words; 113 texts stand there with several labels, so that no "
    "model can be right about all of them. TF-IDF with logistic regression is as good.",
)
