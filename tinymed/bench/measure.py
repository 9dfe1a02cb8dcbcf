"""Engines side by side: their workers take turns, a short batch each, and the medians are compared."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from tinymed.bench.workloads import WORKLOADS

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
TRAINS = "cnn-train", "growth batch"  # no two steps alike
PEER = "PyTorch tuned"  # the strictest: ratios are to it


class Worker:
    """An engine's process."""

    def __init__(self, engine: str, threads: int) -> None:
        module, environment = ENGINES[engine]
        plain = {name: value for name, value in os.environ.items() if name not in TUNED}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tinymed.bench.worker", module, str(threads)],
            env=plain | environment | {"OMP_NUM_THREADS": str(threads), "TINYMED_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the one who asks; a worker ends when nobody does
        )

    def ask(self, **question: Any) -> dict[str, Any] | None:
        """The reply: times, and the first time an answer; None for a case that the engine lacks."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise ValueError(f"bench: the worker ended at {question['workload']} {question['case']}")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def engines() -> list[str]:
    """Those that are installed."""
    return [name for name, (module, _) in ENGINES.items() if find_spec(module.partition(":")[0])]


def measure(
    workloads: list[str], chosen: list[str], threads: int, rounds: int, seconds: float, say: Callable[[dict], None]
) -> list[dict[str, Any]]:
    """A row for every case and engine: median and quartiles of the batches' medians, in ms.

    In every round each engine has its batch of `seconds`, so that a machine that slows down slows all. Raises
    ValueError where the engines do not give the same answer.
    """
    rows = []
    for workload in workloads:
        workers = {engine: Worker(engine, threads) for engine in chosen}
        for case, about in WORKLOADS[workload].items():
            found: dict[str, list[dict]] = {engine: [] for engine in chosen}
            for _ in range(rounds):
                for engine, worker in workers.items():
                    time.sleep(0.03)  # until the last one's threads have gone to sleep
                    reply = worker.ask(workload=workload, case=case, seconds=seconds)
                    found[engine] += [reply] if reply else []
            for engine, replies in ((engine, replies) for engine, replies in found.items() if replies):
                _compare(workload, case, chosen[0], found[chosen[0]][0]["answer"], engine, replies[0]["answer"])
                if workload not in TRAINS:  # what was timed last gave what was compared first
                    _compare(workload, case, engine, replies[0]["answer"], "the last run", replies[-1]["last"])
                medians = [statistics.median(reply["times"]) * 1e3 for reply in replies]
                low, middle, high = np.percentile(medians, (25, 50, 75))
                row = {"workload": workload, "case": case, "engine": engine, "ms": middle, "low": low, "high": high}
                row |= {"first_s": replies[0]["first"], "gflops": about.flops / middle / 1e6, "flops": about.flops}
                row |= {"bytes": about.bytes, "peak_mb": replies[-1]["peak_kb"] / 1024}
                rows.append(row)
                say(row)
        for worker in workers.values():
            worker.close()
    return rows


def _compare(workload: str, case: str, first: str, want: list[float], engine: str, got: list[float]) -> None:
    if not np.allclose(got, want, rtol=2e-2, atol=1e-3 * max(1.0, np.abs(want).max())):
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
