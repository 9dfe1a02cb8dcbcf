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
    code, _of_a_gpu = snippets(README)
    exec(compile(code, "README.md", "exec"), {})
    assert re.match(r"tensor\(0\.\d+, grad_fn=", capsys.readouterr().out)


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

    for line in re.findall(r"^tinymed (\w+) (.*)$", README, re.MULTILINE):
        known = {option for parameter in cli.commands[line[0]].params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", line[1])) <= known


@pytest.mark.parametrize("target", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()


def test_the_house_is_as_drawn():
    house = README.split("## The house")[1].split("```")[1]
    for line in house.strip().splitlines():
        for name in re.split(r",\s+", line.split("   ")[0].strip()):
            assert (ROOT / name).exists() or (ROOT / "tinymed" / name).exists(), name


def test_ci_runs_the_readmes_test_command():
    ci = (ROOT / ".ci" / "run").read_text()
    assert 'python -m pip install -e ".[test]" && python -m pytest' in README
    assert 'python -m pip install -e ".[test]"' in ci
    assert re.search(r"^python -m pytest$", ci, re.MULTILINE)
