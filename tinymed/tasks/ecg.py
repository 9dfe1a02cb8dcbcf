"""Which kind of heartbeat is it? (article 6.4)"""

from __future__ import annotations

from pathlib import Path

from tinymed.data import DS1, DS2, load_ecg5000, load_mitbih, make_heartbeats
from tinymed.data.prepare import Identity
from tinymed.tasks import sequences
from tinymed.tasks.config import Config
from tinymed.tasks.forms import SIGNAL
from tinymed.tasks.parts import Parts, folded, official
from tinymed.tasks.task import WATCHED, Data, Model, Task


def ecg5000(config: Config, data_home: Path | None) -> Parts:
    """500 and 4500 beats of one patient, 140 samples each, five classes, split as published."""
    whose = "one, learnt from and judged by: no figure here holds for another person"
    return official(config, load_ecg5000("train", data_home), load_ecg5000("test", data_home), whose=whose)


def mitbih(config: Config, data_home: Path | None) -> Parts:
    """Normal or abnormal: learnt from record 100 and judged by 101, another person; with fold 1, the other way."""
    records = ("100", "101") if config.fold % 2 == 0 else ("101", "100")
    train, test = (load_mitbih([record], data_home, abnormal=True) for record in records)
    return official(config, train, test, whose="two: one is learnt from, the other judged by")


def mitbih_by_beat(config: Config, data_home: Path | None) -> Parts:
    """The same beats split one by one, as many papers do: the model is judged by people it has learnt from."""
    beats = load_mitbih(data_home=data_home, abnormal=True)
    beats.groups = None
    return folded(config, beats, whose="two, both of them on both sides of the split: no figure holds for a third")


def mitbih_ds(config: Config, data_home: Path | None) -> Parts:
    """EC57's five classes, learnt from DS1 and judged by DS2 (de Chazal 2004), but for 202, who is 201 of DS1."""
    train, test = (load_mitbih([r for r in records if r != "202"], data_home) for records in (DS1, DS2))
    return official(config, train, test)


def generated(config: Config, data_home: Path | None) -> Parts:
    """Generated beats of generated patients, split by patient."""
    return folded(config, make_heartbeats(2000, seed=0))


# trained as notes of the field have it: Adam, gradients held to norm 5
MODELS = {
    "cnn": Model(sequences.cnn1d, {"clip": 5.0, "epochs": 30}),
    "rnn": Model(sequences.rnn, {"clip": 5.0, "epochs": 40}),
    "lstm": Model(sequences.lstm, {"clip": 5.0, "epochs": 40, "lr": 3e-3}),
    "gru": Model(sequences.gru, {"clip": 5.0, "epochs": 40, "lr": 3e-3, "schedule": "cosine"}),
    "bilstm": Model(sequences.bilstm, {"clip": 5.0, "epochs": 40, "lr": 3e-3, "schedule": "cosine"}),
}
BEATS = {name: Model(model.build, {**model.recipe, "epochs": 10}) for name, model in MODELS.items()}

MITBIH = "47 people of one hospital, 1975 to 1979; some were chosen for rare beats: how often these come is not told."
TWO = f"Two people, records 100 and 101. {MITBIH}"


def as_read(config: Config) -> Identity:
    """As they are: ECG5000 is scaled beat by beat already, MIT-BIH is in mV, whose height tells."""
    return Identity()


ECG = Task(
    name="ecg",
    section="6.4",
    question="Which kind of heartbeat is it?",
    data={
        "ecg5000": Data(ecg5000, SIGNAL, as_read, MODELS, WATCHED),
        "mitbih": Data(mitbih, SIGNAL, as_read, BEATS, limits=TWO),
        "mitbih-by-beat": Data(mitbih_by_beat, SIGNAL, as_read, BEATS, limits=f"Split by beat, to show a leak. {TWO}"),
        "mitbih-ds1-ds2": Data(mitbih_ds, SIGNAL, as_read, BEATS, WATCHED, limits=MITBIH),
        "generated": Data(generated, SIGNAL, as_read, MODELS),
    },
    positive=("abnormal",),
    intended="Teaching recurrent and convolutional networks on signals, and splits by patient. Not a clinical device.",
    limits="One patient's recording: nothing is known of others, and classes 3 to 5 are rare.",
)
