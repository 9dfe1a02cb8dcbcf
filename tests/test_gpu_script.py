"""benchmarks/gpu.py without a GPU: steps that pass, fail, hang or are not there; the JSON after each."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tinymed

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it ends groups of processes as POSIX does")


@pytest.fixture(scope="module")
def gpu():
    spec = importlib.util.spec_from_file_location("benchmarks_gpu", ROOT / "benchmarks" / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python(code):
    return sys.executable, "-c", code


ABOUT = {"card": "one of paper", "commit": "1"}


def test_steps_that_pass_fail_hang_and_miss_something(gpu, tmp_path):
    rows = tmp_path / "rows.json"
    hangs = (
        "import subprocess, sys, time; print('here', flush=True); subprocess.run([sys.executable, '-c', {!r}])".format(
            f"import time; time.sleep(2); open({str(tmp_path / 'late')!r}, 'w')"
        )
    )
    chosen = [
        gpu.Step("bench", 1, python(f"open({str(rows)!r}, 'w').write('[1, 2]'); print('é' * 9999)"), rows),
        gpu.Step("tests", 1, python("import sys; print('wrong', file=sys.stderr); sys.exit(3)")),
        gpu.Step("sanitizer", 1, ("",), missing="it is not installed"),
        gpu.Step("hangs", 0.01, python(hangs)),
        gpu.Step("ladder", 1, python("pass"), tmp_path / "none.json"),
    ]
    path = tmp_path / "card.json"
    gpu.run_all(chosen, path, ABOUT, 2)
    kept = json.loads(path.read_text())
    assert kept["about"] == ABOUT
    done = kept["steps"]
    outcomes = ["passed", "failed: exit code 3", "not run: it is not installed", "out of time after 1 s", "passed"]
    assert [step["outcome"] for step in done.values()] == outcomes
    assert done["bench"]["result"] == [1, 2]
    assert len(done["bench"]["tail"][0]) <= gpu.TAIL
    assert done["tests"]["tail"] == ["wrong"]
    assert done["hangs"]["tail"] == ["here"]
    assert done["hangs"]["seconds"] < 2
    assert "result" not in done["ladder"]
    time.sleep(1.5)
    assert not (tmp_path / "late").exists()  # what it had started is gone too


def test_the_file_is_there_after_each_step_and_keeps_earlier_ones_of_its_commit(gpu, tmp_path):
    path = tmp_path / "card.json"
    gpu.run_all([gpu.Step("tests", 1, python("pass"))], path, ABOUT, 1)
    looks = f"import json; print(list(json.load(open({str(path)!r}))['steps']))"
    both = [gpu.Step("bench", 1, python(looks)), gpu.Step("ladder", 1, python(looks))]
    done = gpu.run_all(both, path, ABOUT, 1)
    assert list(done) == ["tests", "bench", "ladder"]
    assert [done[name]["tail"] for name in ("bench", "ladder")] == [["['tests']"], ["['tests', 'bench']"]]
    assert list(gpu.run_all(both[:1], path, {**ABOUT, "commit": "2"}, 1)) == ["bench"]


def test_time_that_is_not_needed_is_the_others(gpu, tmp_path, monkeypatch):
    limits = []
    monkeypatch.setattr(gpu, "run", lambda step, limit: limits.append(round(limit)) or {"outcome": "passed"})
    gpu.run_all([gpu.Step(name, share, ()) for name, share in [("a", 1), ("b", 2), ("c", 1)]], tmp_path / "x", ABOUT, 2)
    assert limits == [30, 80, 120]


def test_every_kind_has_steps_and_the_tests_to_be_sanitized_are_there(gpu, tmp_path):
    assert tuple(dict.fromkeys(step.name.split()[0] for step in gpu.steps(tmp_path))) == gpu.KINDS
    for file, tests in gpu.SANITIZED.items():
        text = (ROOT / file).read_text()
        assert all(f"def {test}(cp" in text or f"def {test}(device" in text for test in tests)


def test_compute_sanitizer_is_found_in_the_toolkit(gpu, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    tool = tmp_path / "cuda" / "bin" / "compute-sanitizer"
    tool.parent.mkdir(parents=True)
    tool.touch(0o755)
    assert gpu.compute_sanitizer() == str(tool)


@pytest.mark.skipif(tinymed.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--only", "tests"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"no GPU can be used: {tinymed.cuda.missing()}\n"
