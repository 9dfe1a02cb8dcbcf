"""What the README shows runs, and what it links to is there."""

import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tinymed

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


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
