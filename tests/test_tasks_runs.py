"""What a run knows of its data, of the run that it starts from, and of keys that would do nothing."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tinymed
from tinymed import tasks
from tinymed.tasks import leukemia
from tinymed.tasks.config import Config, names
from tinymed.tasks.run import build
from tinymed.training.transfer import NORMS, layers

RNG = np.random.default_rng(0)
CELLS = {"task": "breast-cytology", "epochs": 1}


def table(path, n=60, columns="ab", first=0):
    """Measures and random labels."""
    rows = [f"p{first + k},{'MB'[k % 2]}," + ",".join(f"{v:.4f}" for v in RNG.normal(size=len(columns)))
            for k in range(n)]  # fmt: skip
    path.write_text("\n".join(["id,diagnosis," + ",".join(columns), *rows]) + "\n")
    return str(path)


def texts(path, n=40, first=0):
    rows = [f"{'AB'[k % 2]},case {first + k} of {('heart', 'lung')[k % 2]} disease" for k in range(n)]
    path.write_text("\n".join(["diagnosis,text", *rows]) + "\n")
    return str(path)


def trained(given, **how):
    return tasks.train({"epochs": 1, **given}, verbose=False, **how)


def saved(run, folder):
    run.save(folder)
    return str(folder)


# ---------------------------------------------------------------- data that are known again


def test_other_data_than_those_of_the_run_are_refused(tmp_path):
    data = table(tmp_path / "a.csv")
    run = tasks.load(saved(trained(CELLS | {"data": data})[0], tmp_path / "run"))
    assert len(run.parts().test) == 12
    head, *rows = Path(data).read_text().splitlines()
    for changed in (rows[::-1], rows[:-1], [rows[0].replace("M", "B"), *rows[1:]]):
        Path(data).write_text("\n".join([head, *changed]) + "\n")
        with pytest.raises(
            ValueError, match=r"are not what they were when the run learnt: .* give test, a file of new"
        ):
            run.parts()


def test_a_new_test_file_needs_no_old_one_and_the_old_is_named(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    table(Path("train.csv"))
    table(Path("test.csv"), 20)
    run, _ = trained(CELLS | {"data": "train.csv", "test": "test.csv"})
    monkeypatch.chdir("home")
    assert len(run.parts().test) == 20  # by the whole path
    (tmp_path / "test.csv").rename(tmp_path / "moved.csv")
    with pytest.raises(ValueError, match=r"test\.csv: no such file or folder, by which the run was judged; give test"):
        run.parts()
    parts = run.parts(test=tmp_path / "moved.csv")
    assert (len(parts.train), len(parts.test)) == (60, 20)
    (tmp_path / "train.csv").unlink()
    with pytest.raises(ValueError, match=r"train\.csv: no such file or folder, which the run has learnt from"):
        run.parts(test=tmp_path / "moved.csv")


def test_cases_of_ones_own_have_the_names_of_their_rows(tmp_path):
    _, parts = trained(CELLS | {"data": table(tmp_path / "a.csv", first=7)})
    assert set(parts.test.names) < {f"id p{k}" for k in range(7, 67)}
    _, parts = trained({"task": "medical-text", "data": texts(tmp_path / "t.csv")})
    rows = Path(tmp_path / "t.csv").read_text().splitlines()
    assert all(rows[int(name.removeprefix("row "))].endswith(x) for name, x in zip(parts.test.names, parts.test.x))


def test_whose_the_cases_are_is_said_of_each_data_set(tmp_path):
    task, kept = tasks.task_called("ecg"), "kept on one side of every split"
    assert task.parts(task.settle({"data": "generated"})).patients.endswith(f"in all, each {kept}")
    data = texts(tmp_path / "a.csv")
    other = texts(tmp_path / "b.csv", first=30)
    assert trained({"task": "medical-text", "data": data})[1].patients.endswith(f"equal texts are {kept}")
    parts = trained({"task": "medical-text", "data": data, "test": other})[1]
    assert parts.patients == "not known; 10 of the 40 texts judged by are learnt from too"
    assert parts.train.groups is None  # equal texts are nobody


def test_equal_texts_stay_on_one_side(tmp_path):
    text = "\n".join(f"{'AB'[k % 2]},text {k % 24 // 2} {'AB'[k % 2]}" for k in range(96))
    (tmp_path / "t.csv").write_text(f"diagnosis,text\n{text}\n")
    _, parts = trained({"task": "medical-text", "data": str(tmp_path / "t.csv"), "validation": 0.2, "fraction": 0.7})
    sides = [set(side.x) for side in parts.sides.values()]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert parts.repeated() == 0


def test_real_data_say_whom_they_show():
    limits = {name: data.limits or task.limits for task in tasks.TASKS.values() for name, data in task.data.items()}
    assert "Children" not in limits["nodulemnist3d"]
    assert "One patient" not in limits["mitbih"]
    assert "One patient" in limits["ecg5000"]
    assert "42 of them malignant" in tasks.task_called("mining").data["breastmnist"].limits


# ---------------------------------------------------------------- another run to start from


def test_a_start_may_not_have_learnt_from_what_is_judged_by(tmp_path):
    data = table(tmp_path / "a.csv")
    first = saved(trained(CELLS | {"data": data, "fold": 0})[0], tmp_path / "first")
    given = CELLS | {"data": data, "start": first}
    with pytest.raises(ValueError, match="first has learnt from 12 of the 12 cases of the test part"):
        trained(given | {"fold": 1})
    with pytest.raises(ValueError, match="cases of the validation part"):
        trained(given | {"validation": 0.25})
    trained(given)
    trained(CELLS | {"data": table(tmp_path / "b.csv"), "start": first})


def test_a_first_layer_for_other_inputs_is_drawn_anew(tmp_path, caplog):
    start = saved(trained(CELLS | {"data": table(tmp_path / "ab.csv")})[0], tmp_path / "start")
    caplog.set_level("INFO", logger="tinymed")
    trained(CELLS | {"data": table(tmp_path / "cd.csv", columns="cd"), "start": start})
    assert "4 of 6 arrays of weights taken over; as they were drawn: '0.weight', '0.bias'" in caplog.text
    trained(CELLS | {"data": table(tmp_path / "ab2.csv"), "start": start})
    assert "6 of 6 arrays" in caplog.text
    words = {"task": "medical-text", "tokens": "char", "length": 20, "batch_size": 8}
    start = saved(trained(words | {"data": texts(tmp_path / "t.csv")})[0], tmp_path / "texts")
    text = (tmp_path / "t.csv").read_text().replace("case", "bone").replace("e ", "z ")
    (tmp_path / "u.csv").write_text(text)
    caplog.clear()
    trained(words | {"data": str(tmp_path / "u.csv"), "start": start})
    assert "as they were drawn: 'embedding.weight'" in caplog.text


def test_one_layer_has_no_features_to_freeze():
    with pytest.raises(ValueError, match="freeze: this model is its last layer alone, and has no features"):
        trained(CELLS | {"model": "logistic", "freeze": "features"})
    assert names(" a,, b ,") == ["a", "b"]


SHAPES = {"texts": (9,), "rows of measures": (9,), "signals": (1, 32), "pictures": (1, 28, 28), "volumes": (1, 8, 8, 8)}
EVERY = [(task, name, model) for task in tasks.TASKS.values() for name, of in task.data.items() for model in of.models]


@pytest.mark.parametrize(("task", "name", "model"), EVERY, ids=[f"{task.name}-{n}-{m}" for task, n, m in EVERY])
def test_layers_are_assigned_in_the_order_in_which_they_run(task, name, model):
    """layer_decay and GradualUnfreezing go by it; the last one tells."""
    config = task.settle({"data": name, "model": model})
    form = task.of(config).form.kind
    net = build(config, SHAPES[form], ("a", "b"), SimpleNamespace(vocabulary=range(20)))
    place = {id(part): k for k, layer in enumerate(layers(net)) for part in layer}
    ran = []
    for part in net.modules():
        if part is not net and next(part.parameters(recurse=False), None) is not None and not isinstance(part, NORMS):
            part.register_forward_hook(lambda module, *_: ran.append(place[id(module)]))
    net.eval()(tinymed.tensor(np.ones((2, *SHAPES[form]), np.int64 if form == "texts" else np.float32)))
    assert ran == sorted(ran)
    assert (ran[0], ran[-1]) == (0, len(layers(net)) - 1)


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"task": "breast-ultrasound", "validation": 0.4, "genes": 5},
            "validation, genes: nothing that article",
        ),
        (
            {"task": "diabetes", "model": "logistic", "dropout": 0.9, "tokens": "char", "length": 7},
            "tokens, length, drop",
        ),
        ({"task": "ecg", "dropout": 0.5}, "dropout: nothing that cnn on ecg5000 would use"),
        ({"task": "breast-cytology", "augment": "flip"}, "augment: 'flip' is not for rows of measures; nothing is"),
        ({"task": "ecg", "augment": "flip"}, "'flip' is not for signals; signal-noise, signal-shift, signal-scale is"),
        ({"task": "medical-text", "mixup": 0.4}, "mixup: words cannot be mixed"),
        ({"task": "diabetes", "threshold": "yuden"}, "there is no rule 'yuden'"),
        ({"task": "diabetes", "start": "runs/nope"}, "nope is no run: there is no run.json in it"),
        ({"task": "diabetes", "class_weight": "balanced", "sampling": "balanced"}, "both count rare classes more"),
    ],
)
def test_keys_that_would_do_nothing_are_refused_before_data_are_read(asked, message):
    with pytest.raises(ValueError, match=message):
        tasks.settled(asked)


def test_a_fold_is_only_where_there_are_several():
    assert tasks.settled({"task": "breast-ultrasound", "fold": 3}).fold == 0
    assert tasks.settled({"task": "diabetes", "data": "generated", "fold": 3}).fold == 3


def test_a_config_without_a_model_is_no_settled_one():
    with pytest.raises(ValueError, match=r"this Config names no model: give `tasks.settled\(...\)`"):
        tasks.train(Config(task="diabetes"))


def test_a_task_that_is_none_of_the_registry_is_trained_too(tmp_path):
    mine = replace(tasks.task_called("diabetes"), name="mine")
    run, parts = trained({"data": "generated"}, task=mine)
    assert run.task is mine
    run.save(tmp_path)
    again = tasks.load(tmp_path, task=mine)
    np.testing.assert_array_equal(again.predict(parts.test.x), run.predict(parts.test.x))
    np.testing.assert_array_equal(run.said(run.predict(parts.test.x)), tasks.judge(run, parts.test).predicted)


# ---------------------------------------------------------------- what is chosen first, and what is kept of it


def test_what_was_chosen_is_kept_and_not_chosen_again(tmp_path, monkeypatch):
    monkeypatch.setattr(leukemia, "GENES", (5, 20))
    given = {"task": "leukemia", "data": "generated", "weight_decay": 0.33}
    run, _ = trained(given, checkpoint=tmp_path / "c")
    assert run.settled.weight_decay == 0.33  # as it was given
    assert [(row["genes"], row["weight_decay"]) for row in run.worth] == [(5, 0.33), (20, 0.33)]
    assert run.settled.genes == min(run.worth, key=lambda row: row["loss"])["genes"]
    run.save(tmp_path / "run")
    assert tasks.load(tmp_path / "run").worth == run.worth
    monkeypatch.setattr(leukemia, "nested", None)
    monkeypatch.setattr(leukemia, "stratified_folds", None)
    assert trained(given, checkpoint=tmp_path / "c")[0].worth == run.worth
    with pytest.raises(TypeError):  # of another config it is chosen
        trained(given | {"seed": 1}, checkpoint=tmp_path / "c")


def test_seconds_are_of_the_whole_run(tmp_path, monkeypatch):
    began = time.perf_counter()
    monkeypatch.setattr(leukemia, "GENES", (5,))
    given = {"task": "leukemia", "data": "generated", "epochs": 3}
    first, _ = trained(given, checkpoint=tmp_path / "c")
    assert 0.5 * (time.perf_counter() - began) - 0.3 <= first.about["seconds"] <= time.perf_counter() - began
    again, _ = trained(given, checkpoint=tmp_path / "c")
    assert again.about["seconds"] == first.about["seconds"]


def test_a_run_without_an_epoch_is_not_saved(tmp_path, monkeypatch):
    def interrupted(optimizer):
        raise KeyboardInterrupt

    monkeypatch.setattr(tinymed.optim.Adam, "step", interrupted)
    run, _ = trained({"task": "ecg", "data": "generated"})
    with pytest.raises(ValueError, match="there is nothing to save: no epoch was finished"):
        run.save(tmp_path / "run")
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- signals of one's own


def test_signals_of_ones_own_are_scaled_and_another_unit_is_refused(tmp_path):
    t = np.linspace(0, 6, 32)
    rows = [("ab"[k % 2], *(5 + np.sin((1 + k % 2) * t) + 0.1 * RNG.normal(size=32)).round(3)) for k in range(30)]
    for name, gain in (("mv", 1), ("counts", 1000)):
        lines = [",".join(map(str, (kind, *(round(gain * v, 3) for v in x)))) for kind, *x in rows]
        (tmp_path / f"{name}.csv").write_text("\n".join(["diagnosis," + ",".join(f"t{k}" for k in range(32)), *lines]))
    mv, counts = (trained({"task": "ecg", "data": str(tmp_path / f"{name}.csv")}) for name in ("mv", "counts"))
    np.testing.assert_allclose(mv[0].predict(mv[1].test.x), counts[0].predict(counts[1].test.x), atol=1e-4)
    with pytest.raises(ValueError, match="give signals in the unit that was learnt from"):
        mv[0].predict(counts[1].test.x)
    run = tasks.load(saved(mv[0], tmp_path / "run"))
    np.testing.assert_array_equal(run.predict(mv[1].test.x), mv[0].predict(mv[1].test.x))
    assert json.loads((tmp_path / "run/run.json").read_text())["prepared"]["kind"] == "Scale"
