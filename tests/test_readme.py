"""What the README shows runs, and what it links to is there."""

import csv
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import tinymed
from tinymed.data import write_wisconsin_csv

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FAQ = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
OWN = re.search(r"```sh\npython -c \"(from tinymed\.data .*?)\".*?\n(.*?)```", README, re.DOTALL)


def snippets(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_the_ten_lines_run(capsys):
    _of_the_course, code, _of_a_gpu = snippets(README)
    exec(compile(code, "README.md", "exec"), {})
    assert re.match(r"tensor\(0\.\d+, grad_fn=", capsys.readouterr().out)


def test_the_courses_example_runs_and_its_check_names_the_mistake(capsys):
    exec(compile(snippets(README)[0], "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "1 + 1 · 5 → 6" in printed
    assert printed.rstrip().endswith("takes it as it stands")


def test_the_packages_own_example_runs():
    lines = textwrap.dedent(tinymed.__doc__.split("\n\n")[1])
    *code, last = lines.splitlines()
    expression, shown = last.split("#")
    names = {}
    exec("\n".join(code), names)
    assert repr(eval(expression, names)) == shown.strip()


def test_the_line_on_the_loops_runs():
    (line,) = re.findall(r"`(TINYMED_BACKEND=.*)`", README)
    name, python, *arguments = shlex.split(line)
    environment = os.environ | dict([name.split("=")])
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert python == "python"
    assert done.stdout == "tensor([[3., 3.],\n        [3., 3.]]) reference\n"


def test_the_commands_have_these_options():
    from tinymed.cli import cli

    shown = re.findall(r"^(?:.* && )?tinymed ([a-z]\w*)(.*)$", README, re.MULTILINE)
    assert len(shown) > 10
    for name, rest in shown:
        command = cli.commands[name]
        words = rest.split("  #")[0]
        if hasattr(command, "commands"):  # tutorials list
            command = command.commands[words.split()[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r" (--?[\w-]+)", words)) <= known, f"{name}{rest}"


# ---------------------------------------------------------------- data of one's own


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder with what the README and the FAQ give to `tinymed train`, a few items of each."""
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path_factory.mktemp("own")
    rng, y = np.random.default_rng(0), np.arange(40) % 2
    pictures = (rng.random((40, 30, 40)) * 100 + 100 * y[:, None, None]).astype(np.uint8)
    for k, picture in enumerate(pictures):
        path = folder / "pictures" / ("benign", "malignant")[y[k]] / f"p{k // 2}_{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(picture).save(path)
    beats = np.sin(np.linspace(0, 6, 32) * (1 + y[:, None])) + 0.1 * rng.normal(size=(40, 32))
    told = (("心悸胸痛", "palpitations"), ("咳嗽发热", "cough and fever"))
    words = [(f"{told[k][0]}{n}", "心肺"[k], f"{told[k][1]} {n}", ("heart", "lung")[k]) for n, k in enumerate(y)]
    tables = {
        "pixels.csv": (["diagnosis", *range(784)], ["BM"[k] for k in y], pictures[:, :28, :28].reshape(40, -1)),
        "beats.csv": (["beat", *range(32)], ["ab"[k] for k in y], beats),
        "texts.csv": (["摘要", "类别", "text", "field"], [row[:1] for row in words], [row[1:] for row in words]),
        "new.csv": (["摘要"], [["胸痛"]], [[]]),
    }
    for name, (head, first, rest) in tables.items():
        with open(folder / name, "w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([head, *([*one, *more] for one, more in zip(first, rest))])
    return folder


def in_one_epoch(line, folder, monkeypatch):
    from click.testing import CliRunner

    from tinymed.cli import cli

    monkeypatch.chdir(folder)
    words = shlex.split(line, comments=True)[1:]
    done = CliRunner().invoke(cli, [*words, *(["--epochs", "1"] if words[0] == "train" else [])])
    assert done.exit_code == 0, f"{line}\n{done.output}"
    return done.output


def test_the_lines_on_data_of_ones_own_do_what_they_say(own, monkeypatch):
    monkeypatch.chdir(own)
    exec(OWN[1], {})
    lines = OWN[2].strip().splitlines()
    assert [line.split()[1] for line in lines] == ["train", "predict", "train", "train", "train", "predict"]
    *_, told = [in_one_epoch(line, own, monkeypatch) for line in lines]
    assert re.search(r"new\.csv: (心|肺) \(", told)


@pytest.mark.parametrize("line", re.findall(r"^tinymed train .*", FAQ, re.MULTILINE))
def test_the_faqs_lines_on_data_of_ones_own_train(own, monkeypatch, tmp_path, line):
    write_wisconsin_csv(own)
    assert "On the test part" in in_one_epoch(line.replace("runs", str(tmp_path)), own, monkeypatch)


def test_the_faqs_readers_read(own, monkeypatch):
    write_wisconsin_csv(own)
    monkeypatch.chdir(own)
    (code,) = snippets(FAQ)
    exec(compile(code, "faq.md", "exec"), names := {})
    assert names["test"].inputs.shape == (114, 30)
    assert names["pictures"].inputs.shape == (40, 1, 28, 28)
    assert len(set(names["pictures"].groups)) == 20
    assert names["texts"].classes == ("heart", "lung")


# ---------------------------------------------------------------- what stands in the README


@pytest.mark.parametrize("target", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()


def test_the_house_is_as_drawn():
    house = README.split("## The house")[1].split("```")[1]
    for line in house.strip().splitlines():
        for name in re.split(r",\s+", line.split("   ")[0].strip()):
            assert (ROOT / name).exists() or (ROOT / "tinymed" / name).exists(), name


def test_the_chinese_readme_shows_the_same_code_and_pictures():
    chinese = (ROOT / "README.zh.md").read_text(encoding="utf-8")
    for what in (r"```.*?```", r"!\[.*?\]\((.*?)\)", r"^#+ ", r"\]\(((?!README)[^)]+)\)"):
        assert re.findall(what, chinese, re.DOTALL | re.MULTILINE) == re.findall(what, README, re.DOTALL | re.MULTILINE)
    assert "(README.md)" in chinese


def test_both_readmes_name_the_article_and_the_same_first_lesson():
    for text in (README, (ROOT / "README.zh.md").read_text(encoding="utf-8")):
        assert "《深度学习在医疗诊断中的应用》" in text
        assert "Deep learning in medical diagnosis" in text
        assert len(re.findall(r"\btutorials step 1\b", text)) == 2
        assert "tutorials step 0" not in text, "step 0 is for those who are new to gradients, wherever it is named"
        assert "python course/01_convolution.py" in text


def test_what_the_readme_has_written_is_not_kept_in_git():
    ignored = (ROOT / ".gitignore").read_text().split()
    written = re.findall(r"tinymed .*(?:-o|--html) ([\w.]+)", README)
    assert len(written) == 3
    assert {name.rstrip("/") for name in written} <= {line.strip("/") for line in ignored}


def test_ci_runs_the_readmes_test_command():
    ci = (ROOT / ".ci" / "run").read_text()
    assert 'python -m pip install -e ".[test]" && python -m pytest' in README
    assert 'python -m pip install -e ".[test]"' in ci
    assert re.search(r"^python -m pytest$", ci, re.MULTILINE)
