"""Runs of `tinymed train`: configs, going on after an interruption, repeats, data of one's own of every form, and
what `evaluate`, `predict` and `runs` make of them. Data are generated and few."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import tinymed.optim
from tinymed import tasks
from tinymed.evaluation import choose_threshold
from tinymed.tasks import load
from tinymed.training import load_weights

Image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.usefixtures("few_pictures")
CYTOLOGY = ("train", "--task", "breast-cytology")
RNG = np.random.default_rng(0)


def about(run):
    return json.loads((Path(run) / "run.json").read_text())


def same_weights(one, other):
    a, b = (load_weights(Path(run) / "model.safetensors") for run in (one, other))
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def measures(path, n=60, classes="MB", patients=0, first=0):
    """A table of two measures of n cases in turn of these classes; three rows of each patient, if there are any."""
    head = "id,diagnosis,a,b" + ",patient" * bool(patients)
    rows = [f"{k},{classes[k % len(classes)]},{k % len(classes) + RNG.normal():.3f},{RNG.normal():.3f}"
            + f",p{first + k // 3}" * bool(patients) for k in range(n)]  # fmt: skip
    Path(path).write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def signals(path, classes):
    """A table of signals, each class's waves of another length, the first class three times as often; its lines."""
    t = np.linspace(0, 6, 32)
    y = [max(0, k % (classes + 2) - 2) for k in range(15 * (classes + 2))]
    x = np.array([np.sin((1 + k) * t) + 0.1 * RNG.normal(size=32) for k in y])
    head = "kind," + ",".join(f"t{k}" for k in range(32))
    rows = ["abcde"[k] + "," + ",".join(f"{v:.4f}" for v in row) for k, row in zip(y, x)]
    Path(path).write_text("\n".join([head, *rows]) + "\n")
    return x, head, rows


# ---------------------------------------------------------------- the config


def test_an_option_beats_the_toml_and_the_toml_the_recipe(command):
    Path("c.toml").write_text('task = "breast-cytology"\nmodel = "logistic"\nepochs = 2\nlr = 1\nseed = 5\n')
    assert command("train", "--config", "c.toml", "--epochs", 1, "--out", "run")[0] == 0
    config = about("run")["config"]
    assert (config["model"], config["epochs"], config["lr"], config["seed"]) == ("logistic", 1, 1.0, 5)
    assert config["weight_decay"] == 1e-2  # the recipe's
    assert tomllib.loads(Path("run/config.toml").read_text()) == config
    assert command("train", "--config", "run/config.toml", "--out", "again")[0] == 0
    assert same_weights("run", "again")


TOMLS = {
    "not TOML": ("epochs 3", "c.toml is no TOML file: Expected '='"),
    "not text": (b"\xff", "c.toml is no TOML file: .*utf-8"),
    "a word": ('epochs = "many"', "c.toml: epochs must be a whole number, got 'many'"),
    "a bool": ("lr = true", "c.toml: lr must be a number, got True"),
    "a number": ("task = 3", "c.toml: task must be a text, got 3"),
    "a share of an epoch": ("epochs = 1.5", "c.toml: epochs must be a whole number, got 1.5"),
    "nan": ("lr = nan", "c.toml: lr must be a finite number, got nan"),
    "an unknown key": (
        "epoch = 3",
        r"c.toml: there is no key 'epoch' \(did you mean 'epochs'\?\); keys are task, model",
    ),
    "a table": ("[train]\nepochs = 3", "c.toml: there is no key 'train'"),
    "no choice": ('tokens = "letter"', "c.toml: tokens is one of 'word', 'char', got 'letter'"),
}


@pytest.mark.parametrize(("text", "message"), TOMLS.values(), ids=TOMLS)
def test_bad_tomls(refused, text, message):
    Path("c.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(message, "train", "--task", "diabetes", "--config", "c.toml", "--out", "x")
    refused("'--config': File 'no.toml' does not exist", "train", "--config", "no.toml", "--out", "x")
    assert not Path("x").exists()


# ---------------------------------------------------------------- going on

LONG = (*CYTOLOGY, "--epochs", 4, "--validation", 0.2, "--keep", "best", "--schedule", "cosine", "--seed", 3)


@pytest.mark.parametrize("step", [1, 30])  # in the first epoch, before there is anything to keep, and in the third
def test_after_ctrl_c_the_same_line_goes_on_to_the_same_weights(command, monkeypatch, step):
    steps, honest = [], tinymed.optim.AdamW.step

    def interrupted(optimizer):
        steps.append(1)
        if len(steps) == step:
            raise KeyboardInterrupt
        honest(optimizer)

    with monkeypatch.context() as patch:
        patch.setattr(tinymed.optim.AdamW, "step", interrupted)
        code, _, complaint = command(*LONG, "--out", "run")
    epoch = 1 + (step - 1) // 12
    assert code == 130
    assert complaint.count("\n") == 1 + complaint.count("Epoch")
    assert f"interrupted in epoch {epoch}; " in complaint
    assert "the same command goes on from there" in complaint
    assert not Path("run/run.json").exists()
    assert command(*LONG, "--out", "run")[0] == command(*LONG, "--out", "whole")[0] == 0
    assert same_weights("run", "whole")
    one, other = about("run"), about("whole")
    assert one["history"] == other["history"]
    assert one["figures"] == other["figures"]


def test_after_being_killed_the_same_line_goes_on(command):
    dies = """
import os, sys, tinymed.optim, tinymed.cli
steps, honest = [], tinymed.optim.AdamW.step
def step(optimizer):
    steps.append(1)
    if len(steps) == 30:
        os._exit(9)
    honest(optimizer)
tinymed.optim.AdamW.step = step
tinymed.cli.main(sys.argv[1:])
"""
    line = [*map(str, LONG), "--out", "run"]
    done = subprocess.run([sys.executable, "-c", dies, *line], capture_output=True, env=os.environ)
    assert done.returncode == 9
    assert {path.name for path in Path("run").iterdir()} == {"config.toml", "checkpoint.safetensors"}
    assert command(*LONG, "--out", "run")[0] == command(*LONG, "--out", "whole")[0] == 0
    assert same_weights("run", "whole")


def test_a_finished_run_is_left_alone_and_another_config_refused(command, refused):
    line = (*CYTOLOGY, "--epochs", 1, "--out", "run")
    assert command(*line)[0] == 0
    before = {path.name: path.read_bytes() for path in Path("run").iterdir()}
    code, text, _ = command(*line)
    assert code == 0
    assert text == "run is trained already; `tinymed evaluate run` judges it again\n"
    refused(
        r"run holds another run \(lr was 0.001, is now 0.5; seed was 0, is now 1\)", *line, "--lr", 0.5, "--seed", 1
    )
    assert {path.name: path.read_bytes() for path in Path("run").iterdir()} == before
    Path("run/report.html").write_text("of the run before")
    assert command(*line, "--seed", 1, "--overwrite")[0] == 0
    assert about("run")["config"]["seed"] == 1
    assert not Path("run/report.html").exists()
    refused("run is what would be written over", *line, "--start", "run", "--overwrite")
    assert Path("run/run.json").exists()


def test_what_cannot_be_trained_leaves_nothing_and_can_be_mended(command, refused):
    Path("there").mkdir()
    Path("there/mine.txt").touch()
    for out in ("there", "new/below"):
        refused("the loss became nan in epoch 1", *CYTOLOGY, "--epochs", 2, "--lr", 1e30, "--out", out)
    assert [path.name for path in Path().iterdir()] == ["there"]
    assert [path.name for path in Path("there").iterdir()] == ["mine.txt"]
    assert command(*CYTOLOGY, "--epochs", 1, "--out", "there")[0] == 0


def test_bad_data_do_not_cost_the_run_that_was_to_be_written_over(command, refused):
    measures("a.csv")
    line = (*CYTOLOGY, "--data", "a.csv", "--epochs", 1, "--out", "run")
    assert command(*line)[0] == 0
    Path("a.csv").write_text("id,diagnosis,a,b\n1,M,x,2\n")
    refused("line 2: column 'a' holds 'x'", *line, "--overwrite")
    assert Path("run/run.json").exists()


def test_repeats_are_runs_of_other_seeds_and_folds(command):
    line = (*CYTOLOGY, "--epochs", 1)
    assert command(*line, "--seed", 1, "--fold", 1, "--out", "r/1")[0] == 0
    code, text, _ = command(*line, "--repeats", 3, "--out", "r")
    assert code == 0
    assert "r/1 is trained already" in text
    configs = [about(f"r/{k}")["config"] for k in range(3)]
    assert [(config["seed"], config["fold"]) for config in configs] == [(0, 0), (1, 1), (2, 2)]
    found = [about(f"r/{k}")["figures"]["figures"]["accuracy"]["value"] for k in range(3)]
    assert f"accuracy                         {np.mean(found):.3f} ± {np.std(found, ddof=1):.3f}\n" in text
    assert "Over 3 runs, mean ± standard deviation; `tinymed runs r` lists them\n" in text
    assert len(command("runs", "r")[1].splitlines()) == 4


# ---------------------------------------------------------------- data of one's own


def test_patients_never_stand_on_both_sides(command, refused):
    measures("a.csv", patients=20)
    measures("b.csv", 30, patients=20, first=19)
    measures("c.csv", 30, patients=10, first=20)
    line = (*CYTOLOGY, "--data", "a.csv", "--group", "patient", "--epochs", 1)
    assert command(*line, "--validation", 0.2, "--out", "run")[0] == 0
    run = load("run")
    parts = run.task.parts(run.config)
    sides = [set(side.groups) for side in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 20
    assert run.columns == ("a", "b")
    refused("'p19' stands in the training part and in the test part", *line, "--test", "b.csv", "--out", "x")
    refused("'p.*'.* stands in the training part and in the test part", "evaluate", "run", "--test", "a.csv")
    assert command(*line, "--test", "c.csv", "--out", "with_test")[0] == 0
    assert about("with_test")["counts"] == {"train": 60, "validation": 0, "test": 30}
    assert command("evaluate", "run", "--test", "c.csv")[0] == 0
    assert Path("run/report-c.html").exists()
    refused("no group column 'who'", *CYTOLOGY, "--data", "a.csv", "--group", "who", "--out", "x")


def test_gaps_in_measures_are_filled_and_said_alike(command):
    measures("a.csv")
    Path("a.csv").write_text(Path("a.csv").read_text() + "98,M,,1\n99,B,1,NaN\n")
    assert command(*CYTOLOGY, "--data", "a.csv", "--epochs", 1, "--out", "run")[0] == 0
    middle = about("run")["typical"][0]
    Path("gap.csv").write_text("a,b\n,0.5\nnan,0.5\n")
    Path("filled.csv").write_text(f"b,a\n0.5,{middle[0]!r}\n")
    _, text, _ = command("predict", "--run", "run", "gap.csv", "filled.csv")
    assert len({line.partition(": ")[2] for line in text.splitlines()[:3]}) == 1


def test_pictures_in_folders_and_in_tables(command, refused):
    table = ["label," + ",".join(f"p{k}" for k in range(64))]
    for k in range(24):
        pixels = RNG.integers(0, 100, (8, 8)).astype(np.uint8) + np.uint8(100 * (k % 2))
        folder = Path("mine") / ("benign", "malignant")[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"case{k // 2}_{k}.png")
        table.append(",".join(map(str, ["BM"[k % 2], *pixels.ravel().tolist()])))
    Path("mine.csv").write_text("\n".join(table) + "\n")
    line = ("train", "--task", "breast-ultrasound", "--model", "small-resnet", "--epochs", 1)
    code, text, _ = command(*line, "--data", "mine", "--group", "^case([0-9]+)", "--out", "folder")
    assert code == 0
    assert "taken as the disease: 'malignant'" in text
    _, text, _ = command(*line, "--data", "mine.csv", "--label", "label", "--image-shape", "8x8", "--out", "table")
    assert "taken as the disease: 'M'" in text
    assert about("table")["shape"] == about("folder")["shape"] == [1, 8, 8]
    picture = next(Path("mine/benign").iterdir())
    _, text, _ = command("predict", "--run", "folder", picture)
    assert re.match(rf"{picture}: (benign|malignant) \(\d+\.\d%\)\n", text)
    Path("new.csv").write_text("\n".join(table[:3]) + "\n")
    assert command("predict", "--run", "table", "new.csv", picture)[1].count("%)") == 3
    assert command("evaluate", "table", "--test", "mine.csv")[0] == 0
    assert "24 cases" in command("evaluate", "table", "--test", "mine.csv", "--out", "r.html")[1]
    refused("holds no folders", "evaluate", "folder", "--test", "folder")
    refused("stands in the training part and in the test part", "evaluate", "folder", "--test", "mine")
    refused(r"'\(' is no regular expression", *line, "--data", "mine", "--group", "(", "--out", "x")


def test_signals(command, refused):
    x, head, rows = signals("s.csv", 3)
    line = ("train", "--task", "ecg", "--model", "gru", "--data", "s.csv", "--label", "kind", "--epochs", 1)
    assert command(*line, "--out", "run")[0] == 0
    assert about("run")["shape"] == [1, 32]
    np.save("new.npy", x[:2].round(4))
    np.savetxt("new.txt", x[0].round(4)[None])
    Path("new.csv").write_text("\n".join([head, *rows[:2]]) + "\n")
    _, text, _ = command("predict", "--run", "run", "new.npy", "new.txt", "new.csv")
    said = [line.partition(": ")[2] for line in text.splitlines()[:5]]
    assert said[0] == said[2] == said[3]
    assert said[1] == said[4]
    assert command("evaluate", "run", "--test", "s.csv", "--out", "r.html")[0] == 0
    for wrong in (x[:, :9], x[0, 0]):
        np.save("wrong.npy", wrong)
        refused("the run reads signals of 32 samples, the file holds", "predict", "--run", "run", "wrong.npy")
    for text in ("", "1 2 a", "1,2\n3"):
        Path("wrong.txt").write_text(text)
        refused("wrong.txt", "predict", "--run", "run", "wrong.txt")
    for bytes_ in (b"", Path("new.npy").read_bytes()[:150]):
        Path("wrong.npy").write_bytes(bytes_)
        refused("wrong.npy does not hold numbers alone", "predict", "--run", "run", "wrong.npy")


def test_texts_in_gb18030(command, refused):
    words = {"心": "胸痛 心悸", "肺": "咳嗽 气喘"}
    rows = [f"{'心肺'[k % 2]},患者{words['心肺'[k % 2]]}{'，今日来诊' * (k % 4)}第{k}例" for k in range(40)]
    Path("t.csv").write_bytes(("科室,主诉\n" + "\n".join(rows) + "\n").encode("gb18030"))
    line = ("train", "--task", "medical-text", "--data", "t.csv", "--text", "主诉", "--label", "科室",
            "--tokens", "char", "--epochs", 1, "--batch-size", 8)  # fmt: skip
    refused("if it is Chinese text in GB18030 .* read it with --encoding gb18030", *line, "--out", "run")
    assert command(*line, "--encoding", "gb18030", "--out", "run")[0] == 0
    assert about("run")["classes"] == sorted("心肺")
    Path("new.txt").write_bytes("患者咳嗽 气喘".encode("gb18030"))
    code, text, _ = command("predict", "--run", "run", "new.txt", "t.csv")
    assert code == 0
    assert re.match(r"new.txt: [心肺] \(\d+\.\d%\)\nt.csv, text 1: [心肺]", text)
    text_said = text.splitlines()[0]
    Path("other.csv").write_text("kind,words\n心,胸痛\n肺,咳嗽\n心,心悸\n")
    other = ("--test", "other.csv", "--text", "words", "--label", "kind", "--encoding", "utf-8")
    code, text, _ = command("evaluate", "run", *other)
    assert code == 0
    assert "3 cases" in text
    assert "--encoding utf-8" in Path("run/report-other.html").read_text()
    code, _, complaint = command("evaluate", "run", "--test", "other.csv")
    assert code == 2
    assert "no label column '科室'" in complaint
    Path("new.txt").write_text("患者咳嗽 气喘", encoding="utf-16")
    refused("new.txt", "predict", "--run", "run", "new.txt")
    assert command("predict", "--run", "run", "--encoding", "utf-16", "new.txt")[1].splitlines()[0] == text_said


def test_another_test_set_for_a_run_on_named_data(command, refused):
    """Such a run has read no table of one's own: columns and classes are what it knows."""
    from tinymed.data import make_diabetes_table

    assert command("train", "--task", "diabetes", "--data", "generated", "--epochs", 1, "--out", "run")[0] == 0
    whole = make_diabetes_table(40, seed=9)
    rows = [",".join(map(str, [whole.classes[k], *x])) for k, x in zip(whole.labels.numpy(), whole.inputs.numpy())]
    Path("b.csv").write_text("\n".join([",".join(["outcome", *whole.columns]), *rows]) + "\n")
    code, text, _ = command("evaluate", "run", "--test", "b.csv", "--label", "outcome")
    assert code == 0
    assert "  40 cases" in text
    assert "b.csv" in Path("run/report-b.html").read_text()
    refused("no label column 'diagnosis'", "evaluate", "run", "--test", "b.csv")
    Path("c.csv").write_text("outcome,a\n1,2\n")
    refused(
        "has not the columns of the training file: missing", "evaluate", "run", "--test", "c.csv", "--label", "outcome"
    )
    Path("d.csv").write_text(Path("b.csv").read_text().replace("outcome", "diagnosis"))
    assert command("predict", "--run", "run", "d.csv")[1].count("%)") == 40


def test_a_value_is_told_with_its_unit(command, refused):
    line = ("train", "--task", "leukemia", "--data", "generated-drug-response", "--epochs", 1)
    code, text, _ = command(*line, "--model", "linear", "--out", "runs/one")
    assert code == 0
    assert re.search(r"\n  r2 +-?\d\.\d{3} \(", text)
    assert "confusion" not in text
    assert command(*line, "--out", "runs/two")[0] == 0
    assert command("evaluate", "runs/one")[0] == 0
    run = load("runs/one")
    x = run.task.parts(run.config).test.x[:2]
    rows = [",".join(map(str, row)) for row in x.tolist()]
    Path("new.csv").write_text("\n".join([",".join(run.columns), *rows]) + "\n")
    _, text, _ = command("predict", "--run", "runs/one", "new.csv")
    told = run.predict(x)
    assert text.startswith(f"new.csv, row 1: {told[0]:.3g} {run.about['unit']}\nnew.csv, row 2: {told[1]:.3g} ")
    _, text, _ = command("runs")
    assert re.search(r"runs/one +leukemia +generated-drug-response +linear +0 +1 +-?\d\.\d{3} \(", text)
    assert "model: 'linear' → 'dense'" in text
    assert re.search(r"\nspearman +-?\d\.\d{3} \(", text)
    for key in (("--positive", "a"), ("--mixup", 0.2), ("--class-weight", "balanced"), ("--sampling", "balanced")):
        refused(f"{key[0][2:].replace('-', '_')}: only where classes are told", *line, *key, "--out", "x")
    refused("the run tells a value, and tables of values", "evaluate", "runs/one", "--test", "new.csv")


# ---------------------------------------------------------------- how it learns


def test_another_run_to_start_from(command, refused):
    signals("s.csv", 3)
    first = ("train", "--task", "ecg", "--data", "s.csv", "--label", "kind", "--epochs", 1)
    assert command(*first, "--out", "cnn")[0] == 0
    assert command(*first, "--model", "gru", "--out", "gru")[0] == 0
    line = (*first, "--seed", 1, "--lr", 1e-30)
    code, _, complaint = command(*line, "--start", "cnn", "--out", "same")
    assert code == 0
    assert re.search(r"cnn: (\d+) of \1 arrays of weights taken over\n", complaint)
    for name, array in load_weights("same/model.safetensors").items():
        if "weight" in name:
            np.testing.assert_allclose(array, load_weights("cnn/model.safetensors")[name], atol=1e-6)
    refused("shares no name and shape with this", *line, "--model", "gru", "--start", "cnn", "--out", "x")
    code, _, complaint = command(*line, "--model", "bilstm", "--start", "gru", "--out", "part")
    assert code == 0
    assert re.search(r"gru: 1 of 10 arrays of weights taken over; as they were drawn: '", complaint)


def test_a_head_for_other_classes_is_drawn_anew(command):
    measures("two.csv", classes="MB")
    measures("three.csv", classes="XYZ")
    assert command(*CYTOLOGY, "--data", "two.csv", "--epochs", 1, "--out", "two")[0] == 0
    line = (*CYTOLOGY, "--data", "three.csv", "--epochs", 1, "--start", "two", "--freeze", "features")
    code, _, complaint = command(*line, "--out", "three")
    assert code == 0
    own = load_weights("two/model.safetensors")
    found = load_weights("three/model.safetensors")
    kept = [name for name in own if own[name].shape == found[name].shape]
    assert f"two: {len(kept)} of {len(own)} arrays of weights taken over; as they were drawn: '" in complaint
    weights = [name for name in kept if "running" not in name and "num_batches" not in name]
    assert all(np.array_equal(own[name], found[name]) for name in weights)  # frozen
    assert 0 < len(kept) < len(own)


def test_a_head_that_tells_other_things_is_not_taken_over_even_if_it_fits(command):
    measures("first.csv", classes="MB")
    measures("second.csv", classes="XY")
    assert command(*CYTOLOGY, "--data", "first.csv", "--epochs", 1, "--out", "first")[0] == 0
    line = (*CYTOLOGY, "--data", "second.csv", "--epochs", 1, "--seed", 1, "--lr", 1e-30, "--start", "first")
    code, _, complaint = command(*line, "--out", "second")
    assert code == 0
    own, found = (load_weights(f"{run}/model.safetensors") for run in ("first", "second"))
    *below, head = sorted((name.removesuffix(".weight") for name in own if name.endswith(".weight")), key=int)
    assert f"as they were drawn: '{head}.weight', '{head}.bias'" in complaint
    assert all(np.allclose(own[f"{layer}.weight"], found[f"{layer}.weight"], atol=1e-6) for layer in below)
    assert not np.allclose(own[f"{head}.weight"], found[f"{head}.weight"], atol=1e-3)


def test_features_are_frozen_and_not_the_head_wherever_it_stands():
    """An embedding may be made after the head, and dropout, without weights, is no head."""
    given = {"task": "medical-text", "data": "generated", "model": "lstm", "freeze": "features", "epochs": 1}
    run, _ = tasks.train(given, verbose=False)
    assert {name.split(".")[0] for name, p in run.model.named_parameters() if p.requires_grad} == {"head"}


@pytest.fixture(scope="module")
def plain(few_pictures, tmp_path_factory):
    """{classes: (the line, its run)}: trained as the recipe says, of two classes and of five."""
    from tinymed.cli import main

    folder = tmp_path_factory.mktemp("plain")
    signals(folder / "s.csv", 5)
    lines = {
        2: [*CYTOLOGY, "--epochs", "2"],
        5: ["train", "--task", "ecg", "--data", str(folder / "s.csv"), "--label", "kind", "--epochs", "2"],
    }
    for classes, line in lines.items():
        main([*line, "--out", str(folder / str(classes))])
    return {classes: (line, folder / str(classes)) for classes, line in lines.items()}


WAYS = ["--class-weight balanced", "--sampling balanced", "--mixup 0.4", "--layer-decay 0.5", "--patience 1",
        "--validation 0.2 --keep best", "--clip 0.01 --schedule cosine", "--init keras", "--freeze 0"]  # fmt: skip


@pytest.mark.parametrize(("classes", "way"), [
    *((classes, way) for classes in (2, 5) for way in WAYS), (2, "--fraction 0.5"), (2, "--dropout 0"),
    (5, "--augment signal-noise,signal-shift,signal-scale"), (5, "--weight-decay 0.1"),
])  # fmt: skip
def test_every_way_of_learning_makes_another_run(command, plain, classes, way):
    line, run = plain[classes]
    assert command(*line, *way.split(), "--out", "run")[0] == 0
    assert not same_weights("run", run)
    assert command("runs", "run")[0] == 0


@pytest.mark.parametrize("rule", ["youden", "f1", "accuracy", "sensitivity=0.95", "specificity=0.90"])
def test_a_threshold_is_chosen_on_what_is_kept_back(command, rule):
    code, text, _ = command(*CYTOLOGY, "--epochs", 1, "--threshold", rule, "--out", "run")
    assert code == 0
    assert re.search(": 387 train, 68 validation, 114 test; rows of 30 measures\n", text)
    run = load("run")
    parts = run.task.parts(run.config)
    watched = parts.validation
    assert run.threshold == choose_threshold(run.predict(watched.x), watched.y, run.positive, rule)
    assert command("evaluate", "run")[0] == 0
    assert f"by {rule}, on the validation part" in Path("run/report.html").read_text()
    sought = run.predict(parts.test.x)
    said = np.where(sought > run.threshold, "M", "B")
    Path("new.csv").write_text(
        "\n".join([",".join(run.columns), *(",".join(map(str, row)) for row in parts.test.x.tolist())]) + "\n"
    )
    lines = command("predict", "--run", "run", "new.csv")[1].splitlines()[:-1]
    assert [line.partition(": ")[2][0] for line in lines] == said.tolist()


# ---------------------------------------------------------------- several runs


def test_two_runs_are_compared_case_by_case(command, runs):
    shutil.copytree(runs / "table", "a/one")
    shutil.copytree(runs / "table", "a/two")
    _, text, _ = command("runs", "a/one", "a/two", "--curves", "c.png")
    assert "a/one → a/two: the same config\n" in text
    assert re.search(r"\naccuracy +0\.000 \(no interval, see 1\)\n", text)
    assert text.count("it is the same in every draw") == 1
    assert "\n1: it is the same in every draw of these cases, but would not be in others\n" in text
    assert Image.open("c.png").width > 500
    for spoil in (
        lambda path: path.unlink(),
        lambda path: path.write_text(""),
        lambda path: path.write_text("case,group,truth,B\n"),
        lambda path: path.write_text(path.read_text().replace("M,", "X,")),
        lambda path: path.write_text(path.read_text()[:-30]),
        lambda path: path.write_bytes(b"\xff"),
    ):
        spoil(Path("a/two/predictions.csv"))
        code, text, complaint = command("runs", "a/one", "a/two")
        assert (code, complaint) == (0, "")
        assert "not compared case by case: " in text
        assert "predictions.csv" in text
        shutil.copy("a/one/predictions.csv", "a/two/predictions.csv")


def test_runs_are_listed_by_what_a_frequent_class_does_not_raise(command, runs):
    code, text, complaint = command("runs", runs)
    head, *rows = text.splitlines()
    assert (code, complaint) == (0, "")
    assert head.split() == ["run", "task", "data", "model", "seed", "epochs", "balanced", "accuracy", "accuracy", "auc"]
    found = about(runs / "table")["figures"]["figures"]
    low, value, high = (f"{found['balanced_accuracy'][key]:.3f}" for key in ("low", "value", "high"))
    assert f"  {value} ({low} to {high})  {found['accuracy']['value']:.3f}" in rows[1]
    assert rows[1].endswith(f"  {found['auc']['value']:.3f}")


def test_no_difference_has_no_sign(command, runs):
    for name in ("one", "two"):
        shutil.copytree(runs / "table", name)
    path = Path("two/predictions.csv")
    head, *rows = path.read_text().splitlines()
    cells = [row.split(",") for row in rows]
    nudged = [f"{','.join(row[:3])},{float(row[3]) + 1e-6:.9f},{float(row[4]) - 1e-6:.9f}" for row in cells]
    path.write_text("\n".join([head, *nudged]) + "\n")
    text = command("runs", "one", "two")[1]
    assert re.search(r"\nbrier +0\.000 \(0\.000 to 0\.000\)\n", text)


def test_a_run_that_is_not_finished_is_told_from_none(command, refused, runs):
    shutil.copytree(runs / "table", "runs/one")
    shutil.copytree(runs / "table", "runs/two")
    Path("runs/two/run.json").unlink()
    told = "tinymed: left out: runs/two is not finished; the same `tinymed train` goes on with it\n"
    assert command("runs")[::2] == (0, told)
    refused("runs/two holds a run that is not finished: the same `tinymed train` goes on", "evaluate", "runs/two")
    shutil.rmtree("runs/one")
    assert told in command("runs")[2]


def test_predictions_are_written_whole_or_not_at_all(monkeypatch, tmp_path, runs):
    from tinymed.tasks.judge import read_predictions, write_predictions

    run = load(runs / "table")
    found = read_predictions(runs / "table/predictions.csv", run)
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
        with pytest.raises(OSError, match="full"):
            write_predictions(tmp_path / "p.csv", found)
    assert list(tmp_path.iterdir()) == []
    write_predictions(tmp_path / "p.csv", found)
    assert (tmp_path / "p.csv").read_bytes() == (runs / "table/predictions.csv").read_bytes()


def test_tests_of_one_name_have_two_reports(command, runs):
    shutil.copytree(runs / "table", "run")
    for folder in ("a", "b"):
        Path(folder).mkdir()
        shutil.copy(runs / "other.csv", f"{folder}/test.csv")
        assert (
            f"Written: run/report-{folder}-test.html\n" in command("evaluate", "run", "--test", f"{folder}/test.csv")[1]
        )
    assert "--test a/test.csv" in Path("run/report-a-test.html").read_text()


def test_all_files_of_a_folder_are_predicted(command, runs):
    for name in ("b.png", "below/a.png", "Thumbs.db", ".hidden.png"):
        Path("new", name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (28, 28)).save(Path("new", name), "PNG")
    code, text, complaint = command("predict", "--run", runs / "pictures", "new")
    assert (code, complaint) == (0, "")
    assert [line.partition(":")[0] for line in text.splitlines()[:-1]] == ["new/b.png", "new/below/a.png"]


def test_a_file_of_ones_own_is_not_generated_whatever_it_is_called(command):
    measures("generated_by_me.csv")
    text = command(*CYTOLOGY, "--data", "generated_by_me.csv", "--epochs", 1, "--out", "run")[1]
    assert "generated_by_me.csv: 48 train, 12 test; rows of 2 measures\n" in text
    assert "GENERATED" not in text
    command("evaluate", "run")
    assert "GENERATED" not in Path("run/report.html").read_text()


def test_stopped_before_anything_was_learnt_the_old_run_is_there_again(command, monkeypatch):
    measures("t.csv")
    line = (*CYTOLOGY, "--data", "t.csv", "--epochs", 1, "--out", "run")
    assert command(*line)[0] == 0
    before = {path.name: path.read_bytes() for path in Path("run").iterdir()}

    def stopped(*_, **how):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "train", stopped)
        assert command(*line, "--seed", 1, "--overwrite")[0] == 130
        assert command(*CYTOLOGY, "--data", "t.csv", "--out", "other")[0] == 130
    assert {path.name: path.read_bytes() for path in Path("run").iterdir()} == before
    assert not Path("other").exists()


def test_help_of_evaluate_promises_no_defaults_of_train(command):
    text = command("evaluate", "--help")[1]
    assert "[diagnosis]" not in text
    assert "[text]" not in text
    assert "[diagnosis]" in command("train", "--help")[1]


def test_what_mining_finds_is_told_in_words(command, runs):
    code, text, _ = command("mine", runs / "pictures", "--out", "m.html")
    assert code == 0
    assert "Twins(" not in text
    assert "\n96 cases\n0 pairs of cases alike (equal, or correlated by more than 0.98)\n2 clusters: silhouette" in text


def test_advice_of_the_library_is_told_as_options():
    from tinymed.cli.words import in_options

    for told, said in {
        'read it with encoding="gb18030"': "read it with --encoding gb18030",
        "Give image_shape, such as 28x28": "Give --image-shape, such as 28x28",
        "give size=(H,W), to which all of them are resized": "give --image-shape HxW, to which all of them are resized",
        "leave the class out, or give test": "leave the class out, or give --test",
        "Chinese words (CharTokenizer does without)": "Chinese words (--tokens char does without)",
        'fill the gap, drop the row, or read the file with missing="nan"': "fill the gap, drop the row",
        "compare: classes differ": "classes differ",
    }.items():
        assert in_options(told) == said


def test_a_damaged_run_does_not_hide_the_others(command, refused, runs):
    shutil.copytree(runs / "table", "runs/one")
    shutil.copytree(runs / "table", "runs/two")
    Path("runs/two/run.json").write_text("{")
    code, text, complaint = command("runs")
    assert code == 0
    assert "runs/one" in text
    assert "runs/two" not in text
    assert re.fullmatch("tinymed: left out: runs/two/run.json is damaged: .*train the run anew\n", complaint)
    refused("runs/two/run.json is damaged", "runs", "runs/two")
    refused("there is no run in none; `tinymed train --out FOLDER` makes one", "runs", "none")


def test_hostile_names_of_classes(command):
    names = ("<script>alert(1)</script>", '=cmd|"/c calc"!A1, \x1b[31mred')
    table = ["diagnosis,a,b"]
    for k in range(40):
        label = names[k % 2].replace('"', '""')
        table.append(f'"{label}",{k % 2 + RNG.normal():.3f},{RNG.normal():.3f}')
    Path("t.csv").write_text("\n".join(table) + "\n")
    code, text, _ = command(*CYTOLOGY, "--data", "t.csv", "--epochs", 1, "--out", "run")
    assert code == 0
    assert "\x1b" not in text
    assert "\x1b" not in command("evaluate", "run")[1]
    page = Path("run/report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\x1b" not in command("predict", "--run", "run", "t.csv")[1]
    shutil.copytree("run", "again")
    assert "not compared" not in command("runs", "run", "again")[1]
    assert set(about("run")["classes"]) == set(names)


def test_nothing_heavy_is_loaded_for_the_version():
    heavy = ("sklearn", "scipy", "matplotlib", "PIL", "numba", "jinja2", "rich", "cupy")
    code = f"import sys, tinymed.cli; sys.exit(' '.join(m for m in {heavy} if m in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "line", [["--help"], ["train", "--help"], ["evaluate", "--help"], ["runs", "--help"]], ids=" ".join
)
def test_help_fits_a_terminal(command, monkeypatch, line):
    monkeypatch.setenv("COLUMNS", "80")
    text = command(*line)[1]
    assert max(map(len, text.splitlines())) <= 80


def test_a_typo_beside_overwrite_costs_nothing(command, refused):
    measures("t.csv", classes="MB")
    line = (*CYTOLOGY, "--data", "t.csv", "--epochs", 1, "--out", "run")
    assert command(*line)[0] == 0
    assert command("evaluate", "run")[0] == 0
    before = {path.name: path.read_bytes() for path in Path("run").iterdir()}
    refused("there is no rule 'younden'", *line, "--threshold", "younden", "--overwrite")
    assert {path.name: path.read_bytes() for path in Path("run").iterdir()} == before
    assert command(*line, "--seed", 1, "--overwrite")[0] == 0
    assert "report.html" not in {path.name for path in Path("run").iterdir()}
