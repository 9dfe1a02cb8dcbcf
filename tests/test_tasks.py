"""The tasks as a library: what a config settles to, how data are split, and each task on generated data, one epoch."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest

from tinymed import tasks
from tinymed.evaluation import Evaluation, RegressionEvaluation
from tinymed.tasks import Config, Samples
from tinymed.tasks.forms import VOLUME
from tinymed.tasks.task import FOLDS

FEW = 96  # samples to learn from, of each generated data set
EVERY = [(task.name, name, model) for task in tasks.TASKS.values() for name, of in task.data.items()
         if name.startswith("generated") for model in of.models]  # fmt: skip
DATA = list(dict.fromkeys((task, name) for task, name, _ in EVERY))


@pytest.fixture(scope="module")
def few():
    """parts(task, data): of a generated data set, few of each part; read once."""
    read = {}

    def parts(task, name):
        if (task, name) not in read:
            found = tasks.task_called(task)
            whole = found.parts(found.settle({"data": name}))
            rng = np.random.default_rng(0)

            def some(side):
                return None if side is None else side.take(np.sort(rng.permutation(len(side))[:FEW]))

            sides = {side: some(getattr(whole, side)) for side in ("train", "validation", "test")}
            read[task, name] = replace(whole, **sides)
        return read[task, name]

    return parts


def given(task, name, model):
    takes = {"genes": 20} if task == "leukemia" and name != "generated-drug-response" else {}
    takes |= {"length": 12} if task == "medical-text" else {}
    return {"task": task, "data": name, "model": model, "epochs": 1, **takes}


@pytest.mark.parametrize(("task", "name", "model"), EVERY, ids=map("-".join, EVERY))
def test_every_task_is_learnt_judged_kept_and_asked_again(few, tmp_path, task, name, model):
    parts = few(task, name)
    run, same = tasks.train(given(task, name, model), parts=parts, verbose=False)
    assert same is parts
    evaluation = tasks.judge(run, parts.test)
    assert isinstance(evaluation, Evaluation if parts.classes else RegressionEvaluation)
    assert len(evaluation) == len(parts.test)
    assert evaluation.groups is None or len(set(evaluation.groups)) > 1
    run.figures = evaluation.to_dict()
    run.save(tmp_path / "new/run")
    kept = tasks.load(tmp_path / "new/run")
    for f in fields(run):
        if f.name not in ("model", "prepared", "layout", "figures", "typical"):
            assert getattr(kept, f.name) == getattr(run, f.name), f.name
    np.testing.assert_array_equal(kept.predict(parts.test.x), run.predict(parts.test.x))
    assert json.loads((tmp_path / "new/run/run.json").read_text())["counts"]["train"] == len(parts.train)
    assert sorted(path.name for path in (tmp_path / "new/run").iterdir()) == ["model.safetensors", "run.json"]


@pytest.mark.parametrize(("task", "name"), DATA, ids=map("-".join, DATA))
def test_every_task_has_a_report(few, tmp_path, task, name):
    parts = few(task, name)
    run, _ = tasks.train(given(task, name, ""), parts=parts, verbose=False)
    page = tasks.report(tmp_path / "report.html", run, parts, tasks.judge(run, parts.test), "tinymed x").read_text()
    for told in ("not a clinical device", "generated", f"{len(parts.train)} in all", "<svg"):
        assert told in page


def test_the_same_seed_gives_the_same_run_and_another_one_another():
    runs = [
        tasks.train({"task": "diabetes", "data": "generated", "epochs": 1, "seed": k}, verbose=False)[0]
        for k in (3, 3, 4)
    ]
    weights = [run.model.state_dict() for run in runs]
    name = next(iter(weights[0]))
    assert all(np.array_equal(weights[0][key].numpy(), weights[1][key].numpy()) for key in weights[0])
    assert not np.array_equal(weights[0][name].numpy(), weights[2][name].numpy())


# ---------------------------------------------------------------- settling


def test_what_is_given_beats_the_recipe_and_the_recipe_the_defaults():
    config = tasks.settled({"task": "ecg", "model": "lstm", "epochs": 7})
    assert (config.epochs, config.lr, config.clip, config.batch_size) == (7, 3e-3, 5.0, 32)
    assert tasks.settled(vars(config)) == config
    assert tasks.settled({"task": "ecg"}).model == "cnn"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "there is no task ''; there are breast-ultrasound"),
        ({"task": "diabetis"}, r"no task 'diabetis' \(did you mean 'diabetes'\?\)"),
        ({"task": "ecg", "model": "ltsm"}, r"ecg5000 has no model 'ltsm' \(did you mean 'lstm'\?\); it has cnn, rnn"),
        ({"task": "ecg", "data": "mitbhi"}, r"folder 'mitbhi' \(did you mean 'mitbih'\?\); its data sets are ecg5000"),
        ({"task": "ecg", "epoch": 1}, r"no key 'epoch' \(did you mean 'epochs'\?\)"),
        ({"task": "ecg", "epochs": True}, "epochs must be a whole number, got True"),
        ({"task": "ecg", "lr": float("inf")}, "lr must be a finite number, got inf"),
        ({"task": "ecg", "label": "y"}, "label: only for data of your own"),
        ({"task": "ecg", "init": "he"}, "init is one of 'torch', 'keras', got 'he'"),
    ],
)
def test_what_cannot_be_settled(asked, message):
    with pytest.raises(ValueError, match=message):
        tasks.settled(asked)


def test_every_recipe_is_a_config():
    for task in tasks.TASKS.values():
        for name, of in task.data.items():
            for model, built in of.models.items():
                config = task.settle({"data": name, "model": model})
                assert {key: getattr(config, key) for key in built.recipe} == dict(built.recipe)


def test_every_key_says_what_it_means():
    for f in fields(Config):
        assert f.metadata["means"].count(" ") >= 1


# ---------------------------------------------------------------- splitting


def test_five_folds_judge_each_case_once():
    task = tasks.task_called("diabetes")
    judged = [task.parts(task.settle({"data": "generated", "fold": k})).test.x for k in range(FOLDS)]
    whole = np.concatenate(judged)
    assert len(whole) == 768 == len(np.unique(whole, axis=0))
    other = task.parts(task.settle({"data": "generated", "fold": FOLDS})).test.x
    assert all(not np.array_equal(other, x) for x in judged)


def test_patients_stay_on_one_side_in_every_part():
    task = tasks.task_called("ecg")
    parts = task.parts(task.settle({"data": "generated", "validation": 0.3, "fraction": 0.8}))
    sides = [set(side.groups.tolist()) for side in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert min(map(len, sides)) > 0


def test_something_is_kept_back_only_where_it_is_needed():
    task = tasks.task_called("diabetes")
    assert task.parts(task.settle({"data": "generated"})).validation is None
    for keys in ({"patience": 3}, {"keep": "best"}, {"threshold": "youden"}, {"validation": 0.15}):
        assert len(task.parts(task.settle({"data": "generated", **keys})).validation) == pytest.approx(92, abs=2)


def test_a_fraction_takes_so_many_of_each_class():
    task = tasks.task_called("diabetes")
    whole, part = (task.parts(task.settle({"data": "generated", "fraction": f})).train.y for f in (1.0, 0.05))
    np.testing.assert_allclose(np.bincount(part), 0.05 * np.bincount(whole), atol=1)
    with pytest.raises(ValueError, match=r"fraction: 0\.002 of 614 is too few"):
        task.parts(task.settle({"data": "generated", "fraction": 0.002}))


def test_nothing_of_the_test_part_is_fitted():
    """Other test cases, however far out, leave preparation and weights as they are."""
    task = tasks.task_called("diabetes")
    config = task.settle({"data": "generated", "epochs": 1})
    parts = task.parts(config)
    far = replace(parts, test=Samples(parts.test.x + 1e6, 1 - parts.test.y))
    one, other = (tasks.train(config, parts=p, verbose=False)[0] for p in (parts, far))
    assert one.prepared.state() == other.prepared.state()
    np.testing.assert_array_equal(one.predict(parts.test.x), other.predict(parts.test.x))


def test_genes_are_chosen_inside_the_training_part(monkeypatch):
    from tinymed.tasks import leukemia

    monkeypatch.setattr(leukemia, "GENES", (5, 20))
    monkeypatch.setattr(leukemia, "DECAYS", (0.1,))
    asked = {"task": "leukemia", "data": "generated", "epochs": 2}
    run, parts = tasks.train(asked, verbose=False)
    assert run.config.genes == 0
    assert run.settled.genes in (5, 20)
    far = replace(parts, test=Samples(-parts.test.x, 1 - parts.test.y))
    again, _ = tasks.train(asked, parts=far, verbose=False)
    assert again.settled == run.settled
    fixed, _ = tasks.train({**asked, "genes": 7}, parts=parts, verbose=False)
    assert fixed.shape == (7,)


# ---------------------------------------------------------------- judging


def test_the_cards_say_what_the_data_and_the_model_are(few):
    from tinymed.tasks.pages import data_card, model_card

    parts = few("diabetes", "generated")
    run, _ = tasks.train({**given("diabetes", "generated", "dense"), "seed": 7}, parts=parts, verbose=False)
    card = data_card(run, parts)
    assert card["patients"] == "none"
    assert card["limits"].startswith("Generated by a formula, from no patient")
    assert "Pima" not in card["limits"]
    card = model_card(run)
    assert card["layers"] == str(run.model)
    recipe = {"task": "diabetes", "model": "dense", "data": "generated", "epochs": "1", "batch_size": "32",
              "lr": "0.003", "weight_decay": "0.1", "schedule": "cosine", "dropout": "0.2", "seed": "7"}  # fmt: skip
    assert card["recipe"] == recipe
    texts = few("medical-text", "generated")
    own = replace(run, config=replace(run.config, data="mine.csv"))
    assert "equal texts are kept on one side" in data_card(own, texts)["patients"]
    assert data_card(own, texts)["limits"].startswith("Data of your own")


def test_a_class_looked_for_among_many(few):
    parts = few("leukemia", "generated-subtypes")
    asked = given("leukemia", "generated-subtypes", "dense")
    name = parts.classes[2]
    found = tasks.judge(tasks.train({**asked, "positive": name}, parts=parts, verbose=False)[0], parts.test)
    assert found.positive == 2
    assert "sensitivity" in found.figures
    assert "sensitivity" not in tasks.judge(tasks.train(asked, parts=parts, verbose=False)[0], parts.test).figures
    with pytest.raises(ValueError, match="positive: 'X' is no class; there are"):
        tasks.train({**asked, "positive": "X"}, parts=parts, verbose=False)


def test_predictions_are_read_back(few, tmp_path):
    from tinymed.tasks.judge import read_predictions, write_predictions

    for task, name in (("ecg", "generated"), ("leukemia", "generated-drug-response"), ("diabetes", "generated")):
        parts = few(task, name)
        run, _ = tasks.train(given(task, name, ""), parts=parts, verbose=False)
        found = tasks.judge(run, parts.test)
        write_predictions(tmp_path / "p.csv", found)
        again = read_predictions(tmp_path / "p.csv", run)
        assert again.to_dict() == found.to_dict()


def test_a_threshold_rule_without_a_validation_part_is_refused(few):
    parts = few("diabetes", "generated")
    with pytest.raises(ValueError, match="youden is chosen on a validation part, and there is none"):
        tasks.train({**given("diabetes", "generated", ""), "threshold": "youden"}, parts=parts, verbose=False)


def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    asked = {"task": "diabetes", "data": "generated", "epochs": 2}
    one, _ = tasks.train(asked, checkpoint=tmp_path / "c", verbose=False)
    other, _ = tasks.train(asked, checkpoint=tmp_path / "c", verbose=False)
    assert one.history == other.history


def test_data_at_hand_or_what_stands_in(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TINYMED_OFFLINE", "1")
    assert tasks.at_hand("diabetes", data_home=tmp_path) == "generated"
    told = capsys.readouterr().out
    assert "pima is not here" in told
    assert "GENERATED" in told
    assert tasks.at_hand("breast-cytology", data_home=tmp_path) == "wisconsin"
    assert "runs on real data" in capsys.readouterr().out


@pytest.mark.parametrize("more", [{"patience": 2}, {"keep": "best"}])
def test_what_is_chosen_inside_the_training_part_needs_nothing_to_watch(more):
    given = {"task": "leukemia", "data": "generated", "epochs": 1, "validation": 0.2, **more}
    run, _ = tasks.train(given, verbose=False)
    assert run.settled.genes > 0
    assert {name: getattr(run.settled, name) for name in more} == more


def test_no_layer_is_named_by_a_blank():
    given = {"task": "diabetes", "data": "generated", "epochs": 1, "freeze": "0, "}
    run, _ = tasks.train(given, verbose=False)
    assert not run.model[0].weight.requires_grad
    assert run.model[-1].weight.requires_grad


def test_a_volume_is_read_alike_as_bytes_and_as_floats(tmp_path):
    shape = SimpleNamespace(shape=(1, 4, 4, 4))
    x = np.arange(64, dtype=np.uint8).reshape(4, 4, 4) * 4
    for name, array in {"bytes": x, "floats": (x / 255)[None]}.items():
        np.save(tmp_path / f"{name}.npy", array)
    read = [VOLUME.read(tmp_path / f"{name}.npy", shape)[1] for name in ("bytes", "floats")]
    np.testing.assert_array_equal(*read)
    for wrong, said in ((x.reshape(8, 8), "holds \\(8, 8\\)"), (x.astype(float), "lie in 0..1, got float64 0..252")):
        np.save(tmp_path / "wrong.npy", wrong)
        with pytest.raises(ValueError, match=said):
            VOLUME.read(tmp_path / "wrong.npy", shape)
