"""The `tinymed` command: what it does, and what it says to bad arguments: one line, exit code 2, no traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinymed
import tinymed.data
import tinymed.training

Image = pytest.importorskip("PIL.Image")
ROOT = Path(__file__).parent.parent
CYTOLOGY = ("--task", "breast-cytology")
pytestmark = pytest.mark.usefixtures("few_pictures")


# ---------------------------------------------------------------- what it does


def test_version_and_help(command):
    assert command("--version") == (0, f"tinymed, version {tinymed.__version__}\n", "")
    code, text, _ = command("--help")
    assert code == 0
    assert "not a clinical device" in text
    assert command("-h")[1] == command()[1] == text


@pytest.mark.parametrize("name", ["demo", "train", "evaluate", "predict", "runs", "data", "doctor"])
def test_every_command_has_an_example(command, name):
    code, text, _ = command(name, "--help")
    assert code == 0
    assert f"\n  tinymed {name}" in text


def test_demo_says_why_it_uses_phantoms(command):
    code, text, complaint = command("demo", "--epochs", 1, "--out", "a/b")
    assert (code, complaint) == (0, "")
    assert "BreastMNIST is not here" in text
    assert "TINYMED_OFFLINE is set" in text
    assert "trained on GENERATED pictures" in text
    assert {path.name for path in Path("a/b").iterdir()} == {"demo.png", "model.safetensors", "figures.json"}
    assert json.loads(Path("a/b/figures.json").read_text())["data"] == "generated phantoms"


def test_train_evaluate_predict(command, runs):
    run = runs / "pictures"
    about = json.loads((run / "run.json").read_text())
    assert {path.name for path in run.iterdir()} == {
        "model.safetensors", "run.json", "config.toml", "predictions.csv", "checkpoint.safetensors"
    }  # fmt: skip
    code, text, _ = command("evaluate", run)
    figure = about["figures"]["figures"]["accuracy"]
    assert code == 0
    assert f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})" in text
    assert "not a clinical device" in text
    page = (run / "report.html").read_text()
    (run / "report.html").unlink()
    assert "breast-ultrasound" in page or "ultrasound" in page
    pixels = (tinymed.data.make_breast_phantoms(16, 5).images.numpy()[0, 0] * 255).astype(np.uint8)
    Image.fromarray(pixels).save("a.png")
    Image.fromarray(pixels).convert("RGB").save("b.png")
    np.save("c.npy", pixels)
    np.save("d.npy", np.float32(pixels / 255)[None])
    Image.fromarray(np.repeat(pixels, 2, 0)).save("large.png")
    code, text, complaint = command("predict", "--run", run, "a.png", "b.png", "c.npy", "d.npy", "large.png")
    lines = text.splitlines()
    assert code == 0
    assert complaint == "tinymed: large.png: resized from 56x28 to 28x28, stretched\n"
    assert len({line.partition(": ")[2] for line in lines[:5]}) == 1  # one picture, said alike
    assert "not a clinical device" in lines[5]
    Image.new("RGB", (56, 56), "red").save("red.png")
    said = ["red.png: its colours became grey", "red.png: resized from 56x56 to 28x28"]
    assert command("predict", "--run", run, "red.png")[2] == "".join(f"tinymed: {line}\n" for line in said)


def test_a_table_of_measures(command, runs):
    for more in ((), ("--test", runs / "other.csv")):
        code, text, _ = command("evaluate", runs / "table", *more, "--out", "report.html")
        assert code == 0
        assert "(M is what is looked for)" in text
        assert "  40 cases" in text
        assert re.search(r"predicted B +predicted M\n +true B +\d+ +\d+\n +true M +\d+ +\d+\n", text)
        assert ("other.csv" in Path("report.html").read_text()) == bool(more)


def test_the_rows_of_a_table_are_predicted(command, runs):
    Path("new.csv").write_text("id,a,b\n7,0.5,1\n8,3.5,4\n")
    Path("labelled.csv").write_text("b,a,diagnosis\n1,0.5,?\n4,3.5,M\n")
    code, text, _ = command("predict", "--run", runs / "table", "new.csv", "labelled.csv")
    lines = text.splitlines()
    said = [line.partition(": ") for line in lines[:4]]
    assert code == 0
    assert [name for name, _, _ in said] == [
        "new.csv, id 7",
        "new.csv, id 8",
        "labelled.csv, row 1",
        "labelled.csv, row 2",
    ]
    assert said[0][2] == said[2][2]
    assert re.fullmatch(r"[BM] \(\d\d\.\d%\)", said[1][2])
    assert "not a clinical device" in lines[4]


def test_train_says_what_it_reads_and_looks_for(command, runs):
    data = (*CYTOLOGY, "--data", runs / "table.csv", "--test", runs / "table.csv", "--epochs", 1, "--out", "run")
    text = command("train", *data, "--validation", 0.15)[1]
    lines = text.splitlines()
    assert lines[1].startswith("data: ")
    assert lines[1].endswith("table.csv: 34 train, 6 validation, 40 test; rows of 2 measures")
    assert lines[2:5] == [
        "  column 'id' dropped",
        "  taken as the disease: 'M', of 'B', 'M'; --positive NAME takes another",
        "  34 of the 40 test cases stand in the training part too",
    ]
    assert lines[5].startswith("model: dense, 1 epoch")
    assert "40 of the 40 test cases stand in the training part too\n" in command("evaluate", runs / "table")[1]
    code, text, _ = command("train", *data, "--positive", "B", "--overwrite")
    assert code == 0
    assert "(B is what is looked for)" in text
    assert "(B is what is looked for)" in command("evaluate", "run")[1]


def test_what_is_malignant_is_the_disease_by_default(command, runs):
    for names, disease in ((("Malignant", "Normal"), "Malignant"), (("0", "1"), "1")):
        table = (runs / "table.csv").read_text()
        Path("t.csv").write_text(table.replace(",M,", f",{names[0]},").replace(",B,", f",{names[1]},"))
        text = command("train", *CYTOLOGY, "--data", "t.csv", "--epochs", 1, "--out", f"run{disease}")[1]
        assert f"taken as the disease: '{disease}'" in text


def test_patience_keeps_the_weights_of_the_best_epoch(command):
    data = (*CYTOLOGY, "--validation", 0.15, "--lr", 0.5)
    complaint = command("train", *data, "--epochs", 30, "--patience", 2, "--out", "run")[2]
    losses = json.loads(Path("run/run.json").read_text())["history"]["val_loss"]
    epoch = 1 + int(np.argmin(losses))
    assert epoch == len(losses) - 2 < 28
    assert f"stopped after epoch {epoch + 2}" in complaint
    command("train", *data, "--epochs", epoch, "--out", "as_long")
    kept, as_long = (tinymed.training.load_weights(f"{run}/model.safetensors") for run in ("run", "as_long"))
    np.testing.assert_array_equal(kept["0.weight"], as_long["0.weight"])


def test_a_test_file_of_one_class_leaves_figures_undefined(command, runs):
    Path("one.csv").write_text((runs / "table.csv").read_text().replace(",B,", ",M,"))
    data = ("--data", runs / "table.csv", "--test", "one.csv")
    code, text, complaint = command("train", *CYTOLOGY, "--epochs", 1, *data, "--out", "run")
    assert (code, complaint) == (0, "")
    assert re.search(r"\n  auc +undefined: no case is of B\n", text)
    assert re.search(r"\n  specificity +undefined: every case is of M\n", text)
    written = Path("run/run.json").read_text()
    assert json.loads(written)["figures"]["figures"]["auc"]["value"] is None
    assert "NaN" not in written
    assert command("evaluate", "run")[0] == 0
    assert "undefined" in Path("run/report.html").read_text()


def test_data_and_doctor(command):
    code, text, _ = command("data", "list")
    assert code == 0
    assert "569 rows" in text
    assert command("data", "fetch", "wisconsin")[:2] == (
        0,
        "wisconsin comes with scikit-learn and needs no download: tinymed train --data wisconsin\n",
    )
    assert all(word in text for word in ("breastmnist", "wisconsin", "CC BY 4.0", "not here"))
    code, text, _ = command("doctor")
    assert code == 0
    assert all(word in text for word in (tinymed.__version__, "in force", "numpy", "data folder: "))


# what plays nvidia-smi prints, and what is to be installed
DRIVERS = {
    "580.65.06": r'pip install "tinymed\[cuda13\]"$',
    "535.104.05": r'pip install "tinymed\[cuda12\]"$',
    "470.57.02": "it is too old, install one from r580 on$",
}


@pytest.mark.skipif(os.name != "posix", reason="a shell script plays nvidia-smi")
@pytest.mark.parametrize("driver", DRIVERS)
def test_doctor_names_a_card_that_cannot_be_used_yet(command, monkeypatch, tmp_path, driver):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho 'NVIDIA A100, 40 GB, {driver}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(tinymed.cuda, "missing", lambda: "CuPy is not installed")
    code, text, _ = command("doctor")
    assert code == 0
    gpu = text.split("\nGPU\n")[1].split("\n\n")[0]
    assert gpu.startswith(f"  card          NVIDIA A100, 40 GB\n  driver        {driver}\n  missing       CuPy is not")
    assert re.search(DRIVERS[driver], gpu)


@pytest.mark.parametrize("script", [None, "echo 'No devices were found'", "exit 9"])
def test_doctor_says_in_one_line_why_there_is_no_gpu(command, monkeypatch, tmp_path, script):
    monkeypatch.setenv("PATH", str(tmp_path))
    if script:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setattr(tinymed.cuda, "missing", lambda: "there is none")
    assert "\nGPU\n  missing       there is none\n\nlibraries\n" in command("doctor")[1]


def test_doctor_refuses_an_unknown_backend_before_it_prints():
    environment = os.environ | {"TINYMED_BACKEND": "none"}
    command = [sys.executable, "-m", "tinymed", "doctor"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tinymed: no backend is called 'none'; there are: numba, numpy, reference, numba_cuda\n"


def test_an_unknown_backend_is_no_layers_fault():
    environment = os.environ | {"TINYMED_BACKEND": "none"}
    code = "import tinymed; tinymed.nn.Sequential(tinymed.nn.Linear(2, 1))(tinymed.ones(1, 2))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stderr.endswith(
        "ValueError: no backend is called 'none'; there are: numba, numpy, reference, numba_cuda\n"
    )


def test_as_a_process():
    done = subprocess.run([sys.executable, "-m", "tinymed", "nonsense"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "tinymed: No such command 'nonsense'.\n")


# ---------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--nonsense", "No such option '--nonsense'"),
        ("train", "Missing option '--out'"),
        ("train --out x", "Missing option '--task'; `tinymed train --help` lists the tasks"),
        ("train --out x --task diabetis", r"no task 'diabetis' \(did you mean 'diabetes'\?\); there are breast-ultra"),
        ("{train} --model dens", r"wisconsin has no model 'dens' \(did you mean 'dense'\?\); it has dense, logistic"),
        ("{train} --data wisconsn", r"file or folder 'wisconsn' \(did you mean 'wisconsin'\?\); its data sets are wis"),
        ("{train} --data a.csv", "there is no data set, file or folder 'a.csv'"),
        ("{train} --epochs 0", "epochs must be at least 1, got 0"),
        ("{train} --epochs abc", "'--epochs': 'abc' is not a valid integer"),
        ("{train} --lr -1", "lr must be above 0, got -1.0"),
        ("{train} --lr nan", "lr must be a finite number, got nan"),
        ("{train} --lr inf", "lr must be a finite number, got inf"),
        ("{train} --dropout 1", "dropout must be at most 0.95, got 1.0"),
        ("{train} --fraction 0", "fraction must be above 0, got 0.0"),
        ("{train} --repeats 0", "'--repeats': 0 is not in the range x>=1"),
        ("{train} --init he", "'he' is not one of 'torch', 'keras'"),
        ("{train} --label y --image-shape 28x28", "label, image_shape: only for data of your own; how wisc"),
        ("{train} --test {runs}/table.csv", "test: only for data of your own; how wisconsin is read"),
        ("{train} --positive Q", "positive: 'Q' is no class; there are 'B', 'M'"),
        ("{train} --threshold 2", r"threshold must lie in 0…1, or be the name of a rule, got 2"),
        ("{train} --threshold nan", r"threshold must lie in 0…1"),
        ("{train} --threshold youdn", "^tinymed: there is no rule 'youdn'; rules are youden"),
        ("{train} --freeze 9", "freeze: Sequential has no layer '9'; its layers are 0, 1, 2"),
        ("{train} --freeze 0,1,2,3,4,5,6", "no parameter requires a gradient, all are frozen"),
        ("{train} --augment flop", r"augment: there is no 'flop' \(did you mean 'flip'\?\); there are flip"),
        ("{train} --augment flip", "augment: 'flip' is not for rows of measures"),
        ("{train} --start none", "none is no run: there is no run.json in it"),
        ("train --out x --task mining --data {runs}/table.csv --image-shape 28", "HxW, such as 28x28, got '28'"),
        ("train --out x --task mining --data {runs}/table.csv --model small-resnet", "--image-shape, such as 28x28"),
        ("train --out x --task mining --data {runs}/table.csv --image-shape 8x9",
         "has 2 columns of pixels, but --image-shape 8x9 needs 72"),
        ("train --out x --task ecg --data generated --threshold youden", "threshold: only where there are two classes"),
        ("train --out {runs}/table --task diabetes --data generated",
         r"table holds another run \(task was 'breast-cytology', is now 'diabetes'; .*name another folder, or"),
        ("evaluate", "Missing argument 'RUN'"),
        ("evaluate none", "none: there is no such folder; `tinymed runs` lists the runs"),
        ("evaluate {runs}", "runs. is no run, but holds some: name .*runs./pictures, or another of pictures, table"),
        ("mine none", "none: there is no such folder"),
        ("evaluate {runs}/pictures --test {runs}/table.csv", "run has learnt from no table; give a folder of pictures"),
        ("evaluate {runs}/table --label y", "label: only beside --test, whose file is read so"),
        ("predict --run {runs}/pictures", "Missing argument 'FILE...'"),
        ("predict --run none {runs}/table.csv", "none: there is no such folder"),
        ("predict --run {runs}/table {runs}/table/run.json", "json: the run reads tables of 2 measures; give a .csv"),
        ("predict --run {runs}/pictures {runs}/table.csv", "the run reads pictures of 28x28, not tables"),
        ("data fetch mnist", "there is no data set 'mnist'; there are breastmnist, pneumoniamnist"),
    ],
)  # fmt: skip
def test_bad_arguments(refused, runs, arguments, message):
    train = "train --out x --epochs 1 --task breast-cytology"
    refused(message, *arguments.format(runs=runs, train=train).split())
    assert not Path("x").exists()


@pytest.mark.parametrize("arguments", ["train --task breast-ultrasound --out x", "data path breastmnist"])
def test_missing_data_are_told_of_line_by_line(command, arguments):
    code, _, complaint = command(*arguments.split())
    first, *more = complaint.splitlines()
    assert code == 2
    assert re.match("tinymed: breastmnist.npz is not in .*: 546 train", first)
    assert more[0].startswith("To place it by hand, download https")
    assert more[3].startswith("  hash  sha256:")
    assert more[5] in ("  TINYMED_OFFLINE is set", "  download=False was given")
    assert (complaint.splitlines()[-1] == "Or train on generated ones, of no patient: --data generated") == (
        arguments.startswith("train")
    )
    assert not Path("x").exists()


def test_a_folder_of_data_that_is_not_there(command):
    for arguments in ("data list --data-home gone", "data fetch breastmnist --data-home gone"):
        said = "".join(command(*arguments.split())[1:])
        assert "the folder gone does not exist: make it, or correct data_home" in said
    assert not Path("gone").exists()


def test_nowhere_to_write_is_said_before_training(refused, monkeypatch):
    monkeypatch.setattr(tinymed.training, "fit", lambda *a, **how: pytest.fail("it trained"))
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)  # root is denied nothing
    Path("file").touch()
    for arguments in (("train", *CYTOLOGY, "--out"), ("demo", "--out")):
        refused("'--out': Directory 'file' is a file", *arguments, "file")
        refused("file/below: not a directory", *arguments, "file/below")
        refused("'--out': Directory '.' is not writable", *arguments, ".")
