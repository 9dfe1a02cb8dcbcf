"""Which kind of heartbeat is it? (article 6.4)"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinymed.data import DS1, DS2, load_ecg5000, load_mitbih, make_heartbeats
from tinymed.data.prepare import Identity
from tinymed.tasks import sequences
from tinymed.tasks.config import Config
from tinymed.tasks.forms import SIGNAL
from tinymed.tasks.task import Data, Model, Parts, Task, folded, official


def ecg5000(config: Config, data_home: Path | None) -> Parts:
    """500 and 4500 beats of one patient, 140 samples each, five classes, split as published."""
    return official(config, load_ecg5000("train", data_home), load_ecg5000("test", data_home))


def mitbih(config: Config, data_home: Path | None) -> Parts:
    """Normal or abnormal: learnt from record 100 and judged by 101, another person; with fold 1, the other way."""
    records = ("100", "101") if config.fold % 2 == 0 else ("101", "100")
    train, test = (load_mitbih([record], data_home, abnormal=True) for record in records)
    return official(config, train, test)


def mitbih_by_beat(config: Config, data_home: Path | None) -> Parts:
    """The same beats split one by one, as many papers do: the model is judged by people it has learnt from."""
    beats = load_mitbih(data_home=data_home, abnormal=True)
    beats.groups = None
    return folded(config, beats)


def mitbih_ds(config: Config, data_home: Path | None) -> Parts:
    """EC57's five classes, learnt from DS1 and judged by DS2 (de Chazal 2004), but for 202, who is 201 of DS1."""
    train, test = (load_mitbih([r for r in records if r != "202"], data_home) for records in (DS1, DS2))
    return official(config, train, test)


def generated(config: Config, data_home: Path | None) -> Parts:
    """Generated beats of generated patients, split by patient."""
    return folded(config, make_heartbeats(2000, seed=0))


def reader(build: Callable[..., Any], **recipe: Any) -> Model:
    """A model of tasks/sequences.py, trained as notes of the field have it: Adam, gradients held to norm 5."""
    return Model(lambda shape, classes, config, prepared: build(shape, classes), {"clip": 5.0, **recipe})


MODELS = {
    "cnn": reader(sequences.cnn1d, epochs=30),
    "rnn": reader(sequences.rnn, epochs=40),
    "lstm": reader(sequences.lstm, epochs=40, lr=3e-3),
    "gru": reader(sequences.gru, epochs=40, lr=3e-3, schedule="cosine"),
    "bilstm": reader(sequences.bilstm, epochs=40, lr=3e-3, schedule="cosine"),
}
BEATS = {name: Model(model.build, {**model.recipe, "epochs": 10}) for name, model in MODELS.items()}

ECG = Task(
    name="ecg",
    section="6.4",
    question="Which kind of heartbeat is it?",
    data={
        "ecg5000": Data(ecg5000, SIGNAL, lambda config: Identity(), MODELS),
        "mitbih": Data(mitbih, SIGNAL, lambda config: Identity(), BEATS),
        "mitbih-by-beat": Data(mitbih_by_beat, SIGNAL, lambda config: Identity(), BEATS),
        "mitbih-ds1-ds2": Data(mitbih_ds, SIGNAL, lambda config: Identity(), BEATS),
        "generated": Data(generated, SIGNAL, lambda config: Identity(), MODELS),
    },
    positive=("abnormal",),
    intended="Teaching recurrent and convolutional networks on signals, and splits by patient. Not a clinical device.",
    limits="ECG5000 is one patient's recording: nothing is known of others, and its classes 3 to 5 are rare. Of "
    "MIT-BIH two people are at hand unless the other records are placed beside them.",
)
