"""All that needs an NVIDIA GPU, in one go: tests, benchmarks, compute-sanitizer; what came of it is one JSON.

    python benchmarks/gpu.py --out benchmarks/results --minutes 25
    python benchmarks/gpu.py --only bench ladder --minutes 9

Each step is a process with a time limit of its own: one that fails, or runs out of time, stops none of the others.
OUT/<card>-<date>.json is written after each; steps of the same day and commit that are not run again stay in it.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TAIL = 8000  # bytes of a step's output that are kept
KINDS = "tests", "bench", "ladder", "sanitizer"
PYTEST = "-m", "gpu", "-p", "no:cacheprovider", "-q", "-rfE"
# pytest, but each array has memory of its own: memcheck sees no ends within CuPy's big blocks
APART = "import cupy, pytest, sys; cupy.cuda.set_allocator(None); sys.exit(pytest.main(sys.argv[1:]))"
SANITIZED = {  # tests that start every kernel, on few numbers: each launch takes a hundred times as long
    "tests/gpu/test_cupy_images.py": [
        *("test_conv2d_and_its_gradients", "test_wide_blocks", "test_many_slices"),
        "test_conv2d_max_pool2d_and_its_gradients",
    ],
    "tests/gpu/test_cupy_pool.py": ["test_max_pool2d", "test_avg_pool2d"],
    "tests/gpu/test_cupy_matrices.py": ["test_gemm_of_slices_and_of_unlike_widths"],
    "tests/gpu/test_cupy_steps.py": [
        *("test_rnn", "test_lstm", "test_gru", "test_cross_entropy"),
        *("test_sgd_step", "test_adam_step", "test_rmsprop_step", "test_adagrad_step"),
    ],
}


class Step(NamedTuple):
    name: str  # begins with its kind
    share: float  # of the time
    command: Sequence[str]
    result: Path | None = None  # a JSON file that it writes
    missing: str = ""  # what it cannot be run without


def steps(folder: Path) -> list[Step]:
    """All of them, the most wanted first; benchmarks leave their files and pictures in the folder."""
    tinymed, pytest = (sys.executable, "-m", "tinymed"), (sys.executable, "-m", "pytest")
    speed, ladder = folder / "bench", folder / "ladder"
    bench = *tinymed, "bench", "--device", "cuda", "--rounds", "2", "--seconds", "0.1", "--out", str(speed)
    tool = compute_sanitizer()
    missing = "" if tool else 'compute-sanitizer is not installed: pip install "cuda-toolkit[sanitizer]==13.*"'
    names = [f"{file}::{test}" for file, tests in SANITIZED.items() for test in tests]
    checked = (
        "--error-exitcode",
        "9",
        "--report-api-errors",
        "no",
        sys.executable,
        "-c",
        APART,
        "-n",
        "0",
        *PYTEST,
        *names,
    )
    return [
        Step("tests", 8, (*pytest, "-n", "4", *PYTEST)),
        Step("bench", 10, bench, speed / "bench.json"),
        Step("ladder", 3, (*tinymed, "bench", "ladder", "--out", str(ladder)), ladder / "ladder.json"),
        Step("sanitizer memcheck", 4, (tool, "--tool", "memcheck", "--padding", "64", *checked), missing=missing),
        Step("sanitizer racecheck", 4, (tool, "--tool", "racecheck", *checked), missing=missing),
    ]


def compute_sanitizer() -> str:
    """Where it is: in PATH, in CUDA's toolkit, or in the wheel; empty where it is not."""
    toolkits = [Path(os.environ.get(name, "/usr/local/cuda")) / "bin" for name in ("CUDA_HOME", "CUDA_PATH")]
    spec = importlib.util.find_spec("nvidia")
    wheels = [
        folder for place in (spec and spec.submodule_search_locations) or () for folder in Path(place).glob("*/bin")
    ]
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, toolkits + wheels)])
    return shutil.which("compute-sanitizer", path=path) or ""


def run(step: Step, limit: float) -> dict[str, Any]:
    """What came of it: outcome, seconds, the end of its output and, where it wrote one, its result."""
    if step.missing:
        return {"outcome": f"not run: {step.missing}"}
    if step.result:
        step.result.unlink(missing_ok=True)
    begun = time.monotonic()
    with tempfile.TemporaryFile() as output:
        both = {"stdout": output, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(step.command, cwd=ROOT, start_new_session=True, **both)
        try:
            code = process.wait(limit)
            outcome = f"failed: exit code {code}" if code else "passed"
        except subprocess.TimeoutExpired:
            outcome = f"out of time after {limit:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its workers too
                process.wait()
        seconds = round(time.monotonic() - begun, 1)
        output.seek(max(0, output.seek(0, os.SEEK_END) - TAIL))
        tail = output.read().decode(errors="replace")
    found = {"outcome": outcome, "seconds": seconds, "command": list(step.command), "tail": tail.splitlines()}
    if step.result and step.result.exists():
        found["result"] = json.loads(step.result.read_text(encoding="utf-8"))
    return found


def run_all(chosen: Sequence[Step], path: Path, about: dict[str, Any], minutes: float) -> dict[str, Any]:
    """Step after step; each has its share of the time that is left, and what it does not need is the others'."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    done = kept["steps"] if kept.get("about", {}).get("commit") == about["commit"] else {}
    end = time.monotonic() + 60 * minutes
    for k, step in enumerate(chosen):
        limit = max(0.0, end - time.monotonic()) * step.share / sum(s.share for s in chosen[k:])
        print(f"{step.name}: at most {limit:.0f} s", flush=True)
        done[step.name] = run(step, limit)
        print(f"  {done[step.name]['outcome']}", flush=True)
        part = path.with_suffix(".part")  # so that the file is whole whenever the machine goes
        part.write_text(json.dumps({"about": about, "steps": done}, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    return done


def setting() -> dict[str, Any]:
    """The card, its driver and runtime, the versions of all that takes part, and the commit."""
    import tinymed
    from tinymed.bench.card import card
    from tinymed.bench.measure import machine

    git = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    said = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False) if shutil.which("git") else None
    commit = said.stdout.strip() if said else ""
    return {**card(), **machine(tinymed.get_num_threads()), "commit": commit or "unknown"}


def main() -> None:
    import tinymed

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder for the JSON")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="these steps")
    parser.add_argument("--minutes", type=float, default=25, help="for all of it (25)")
    asked = parser.parse_args()
    if reason := tinymed.cuda.missing():
        print(f"no GPU can be used: {reason}", file=sys.stderr)
        sys.exit(2)
    about = setting()
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    folder = asked.out.resolve() / re.sub(r"\W+", "-", f"{about['card']}-{today}".lower())
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.with_suffix(".json")
    chosen = [step for step in steps(folder) if step.name.split()[0] in asked.only]
    done = run_all(chosen, path, about, asked.minutes)
    print(f"written to {path}")
    sys.exit(any(done[step.name]["outcome"] != "passed" for step in chosen))


if __name__ == "__main__":
    main()
