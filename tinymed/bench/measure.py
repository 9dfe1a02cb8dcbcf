"""Engines side by side: their workers take turns, a short batch each, and the medians are compared."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import numpy as np

from tinymed.bench.worker import table
from tinymed.bench.workloads import Case

# glibc hands big blocks back to the system at every call, and PyTorch's outputs with them: ten times slower at worst
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": "2000000000",
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
    "MALLOC_TOP_PAD_": "500000000",
}
ENGINES: dict[str, tuple[str, dict[str, str]]] = {  # name shown → (what the worker loads, its environment)
    "tinymed": ("tinymed:numba", {}),
    "tinymed numpy": ("tinymed:numpy", {}),
    "PyTorch tuned": ("torch", TUNED),
    "PyTorch": ("torch", {}),
    "JAX": ("jax", {"JAX_PLATFORMS": "cpu"}),
}
TF32, FLOAT32 = {"CUPY_TF32": "1"}, {"CUPY_TF32": "0"}  # what cuBLAS may do, called through CuPy
GPU_ENGINES: dict[str, tuple[str, dict[str, str]]] = {  # the ways of engines.py; the CPU, to compare with
    "tinymed": ("tinymed:numba", {}),
    "tinymed cuda": ("tinymed:cuda", TF32),
    "tinymed cuda captured": ("tinymed:cuda captured", TF32),
    "tinymed cuda float32": ("tinymed:cuda float32", FLOAT32),
    "PyTorch cuda": ("torch:cuda", {}),
    "PyTorch cuda captured": ("torch:cuda captured", {}),
    "PyTorch cuda float32": ("torch:cuda float32", {}),
}
BY_DEVICE = {"cpu": ENGINES, "cuda": GPU_ENGINES}
TRAINS = "cnn-train", "growth batch", "adam"  # no two steps alike
PEER = "PyTorch tuned"  # the strictest: ratios are to it
LIMIT = 300  # seconds for one reply: a kernel that never ends must not hold up the rest


class Worker:
    """An engine's process, for the workloads of a device's benchmark."""

    def __init__(self, engine: str, threads: int, device: str) -> None:
        self.engine = engine
        module, environment = BY_DEVICE[device][engine]
        plain = {name: value for name, value in os.environ.items() if name not in TUNED}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tinymed.bench.worker", module, str(threads), device],
            env=plain | environment | {"OMP_NUM_THREADS": str(threads), "TINYMED_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the one who asks; a worker ends when nobody does
        )

    def ask(self, **question: Any) -> dict[str, Any] | None:
        """The reply: times, and the first time an answer; None for a case that the engine lacks.

        Raises ValueError where the case fails, and where the worker ends or does not answer.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        watch = threading.Timer(LIMIT, self.process.kill)
        watch.start()
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        watch.cancel()
        at = f"bench: {question['workload']} {question['case']}: {self.engine}"
        if not line:
            raise ValueError(f"{at}: the worker ended")
        reply = json.loads(line)
        if reply and "error" in reply:
            raise ValueError(f"{at}: {reply['error']}")
        return reply

    def close(self) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended
            self.process.stdin.close()
        self.process.wait()


def engines(device: str = "cpu") -> list[str]:
    """Those that are installed; of PyTorch's beside a GPU, those that can use it."""
    if device == "cpu":
        return [name for name, (module, _) in ENGINES.items() if find_spec(module.partition(":")[0])]
    look = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    torch = bool(find_spec("torch")) and subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
    return [name for name in GPU_ENGINES if torch or not name.startswith("PyTorch")]


def lacking(engine: str) -> str:
    """Why a known engine is not among them."""
    package = {**ENGINES, **GPU_ENGINES}[engine][0].partition(":")[0]
    name = "PyTorch" if package == "torch" else engine
    if find_spec(package):
        return f"the {name} that is installed cannot use the GPU (one built for the CPU alone cannot)"
    return f"{name} is not installed"


def refuse(message: str) -> None:
    """Raise ValueError."""
    raise ValueError(message)


def measure(
    workloads: list[str],
    chosen: list[str],
    threads: int,
    rounds: int,
    seconds: float,
    say: Callable[[dict], None],
    device: str = "cpu",
    complain: Callable[[str], None] = refuse,
) -> list[dict[str, Any]]:
    """A row for every case and engine: median and quartiles of the batches' medians, in ms.

    In every round each engine has its batch of `seconds`, so that a machine that slows down slows all. What fails,
    and an engine that does not give the first one's answer, is complained of: by default, with ValueError.
    """
    rows = []
    for workload in workloads:
        workers = {engine: Worker(engine, threads, device) for engine in chosen}
        for case, about in table(device)[workload].items():
            found: dict[str, list[dict]] = {engine: [] for engine in chosen}
            for _ in range(rounds):
                for engine in list(found):
                    time.sleep(0.03)  # until the last one's threads have gone to sleep
                    try:
                        reply = workers[engine].ask(workload=workload, case=case, seconds=seconds)
                    except ValueError as error:
                        del found[engine]
                        workers[engine].close()  # an error may leave the GPU of its process unusable
                        workers[engine] = Worker(engine, threads, device)
                        complain(str(error))
                    else:
                        found[engine] += [reply] if reply else []
            found = {engine: replies for engine, replies in found.items() if replies}
            for engine, replies in found.items():
                first = next(iter(found))
                try:
                    _compare(workload, case, first, found[first][0]["answer"], engine, replies[0]["answer"])
                    if workload not in TRAINS:  # what was timed last gave what was compared first
                        _compare(workload, case, engine, replies[0]["answer"], "the last run", replies[-1]["last"])
                except ValueError as error:
                    complain(str(error))
                    continue  # how fast a wrong answer comes is of no interest
                rows.append({"workload": workload, "case": case, "engine": engine, **_measured(about, replies)})
                say(rows[-1])
        for worker in workers.values():
            worker.close()
    return rows


def _measured(about: Case, replies: list[dict]) -> dict[str, Any]:
    """What a row says of the replies to a case."""
    low, middle, high = np.percentile([statistics.median(reply["times"]) for reply in replies], (25, 50, 75))
    row = {"ms": middle, "low": low, "high": high, "first_s": replies[0]["first"]}
    row |= {"gflops": about.flops / middle / 1e6, "flops": about.flops, "bytes": about.bytes}
    row |= {"peak_mb": replies[-1]["peak_kb"] / 1024}
    if "wall" in replies[0]:
        row |= {"wall_ms": statistics.median(statistics.median(reply["wall"]) for reply in replies)}
        row |= {"gb_s": about.bytes / middle / 1e6, "bytes_in": about.copied[0], "bytes_out": about.copied[1]}
    return row


def _compare(workload: str, case: str, first: str, want: list[float], engine: str, got: list[float]) -> None:
    largest = np.abs(want).max()
    if not np.allclose(got, want, rtol=2e-2, atol=min(1e-3 * max(1.0, largest), 2e-2 * largest)):
        worst = int(np.argmax(np.abs(np.subtract(got, want))))
        raise ValueError(
            f"bench: {workload} {case}: {engine} and {first} disagree: {got[worst]:.6g} against {want[worst]:.6g}"
        )


def import_times(rounds: int = 7) -> dict[str, float]:
    """Seconds that an import takes beyond Python's own start, the best of some."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name in ("", "tinymed", "torch", "jax", "numpy"):
            if name and not find_spec(name):
                continue
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {name}" if name else ""], check=True)
            found.setdefault(name, []).append(time.perf_counter() - start)
    bare = min(found.pop(""))
    return {name: min(times) - bare for name, times in found.items()}


def peaks(threads: int) -> dict[str, float]:
    """What this machine can: GFLOP/s of a product of 2048, GB/s of a copy of 256 MB (read and written)."""
    import tinymed

    tinymed.set_num_threads(threads)
    a = tinymed.randn(2048, 2048)
    rates = []
    for _ in range(50):  # a processor takes a while to reach its pace
        start = time.perf_counter()
        a @ a
        rates.append(2 * 2048**3 / (time.perf_counter() - start) / 1e9)
    x, y = np.ones(1 << 25), np.empty(1 << 25)
    copies = []
    for _ in range(7):
        start = time.perf_counter()
        np.copyto(y, x)
        copies.append(2 * x.nbytes / (time.perf_counter() - start) / 1e9)
    return {"gflops": max(rates), "copy_gb_s": max(copies)}


def machine(threads: int) -> dict[str, Any]:
    """What was measured on: processor, threads, versions."""
    from importlib import metadata

    names = [line for line in _cpuinfo() if line.startswith("model name")]
    versions = {name: metadata.version(name) for name in ("numpy", "numba", "torch", "jax") if find_spec(name)}
    return {
        "processor": names[0].split(":")[1].strip() if names else platform.processor(),
        "processors": os.cpu_count(),
        "threads": threads,
        "system": platform.platform(),
        "python": platform.python_version(),
        **versions,
    }


def _cpuinfo() -> list[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return file.read().splitlines()
    except OSError:
        return []
