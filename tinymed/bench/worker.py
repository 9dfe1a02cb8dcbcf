"""One engine in its own process: `python -m tinymed.bench.worker ENGINE THREADS DEVICE` answers questions, a line each.

DEVICE says which workloads are asked for: those of a CPU's benchmark, or those of a GPU's, which the CPU does as well.
Two libraries in one process would share, and fight for, the same processors' threads.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from tinymed.bench import workloads
from tinymed.bench.workloads import Case, Run


def table(device: str) -> dict[str, dict[str, Case]]:
    """The workloads of a device's benchmark."""
    if device == "cpu":
        return workloads.WORKLOADS
    from tinymed.bench import cuda_workloads

    return cuda_workloads.WORKLOADS


def parts(name: str, threads: int, device: str) -> tuple[Callable, Callable]:
    """How an engine makes a case, and how it times one: in ms a call, given the seconds for all."""
    if device == "cpu":
        return maker(name, threads), by_host
    from tinymed.bench.engines import Engine

    library, _, how = name.partition(":")
    device, _, way = how.partition(" ")
    if device == "cuda":
        engine = Engine(library, device, way)
        return engine.prepare, engine.times
    maker(name, threads)
    return Engine(library, "cpu").prepare, by_host


def by_host(run: Run, seconds: float, whole: bool) -> dict[str, list[float]]:
    """ms of each call, by the host's clock, as a CPU is timed; whether many kernels are behind it is no matter."""
    times: list[float] = []
    deadline = time.perf_counter() + seconds
    while not times or time.perf_counter() < deadline:
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return {"times": times}


def maker(name: str, threads: int) -> Callable[[Case], Run | None]:
    """How an engine makes a case: tinymed, on one of its backends, torch or jax. None for a case that it lacks."""
    module, _, backend = name.partition(":")
    if module == "jax":  # its threads are the process's processors
        from tinymed.bench import jax_workloads

        return jax_workloads.make
    engine = importlib.import_module(module)
    engine.set_num_threads(threads)
    if module == "tinymed":
        importlib.import_module("tinymed.optim")
        if backend:
            engine.use_backend(backend)
    return lambda case: case.make(engine)


def answer_of(found: list) -> list[float]:
    """A few numbers of everything that was computed: enough to see that it is the same."""
    numbers: list[float] = []
    for tensor in found:
        array = tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else np.asarray(tensor)
        a = array.reshape(-1)
        numbers += [float(x) for x in (a.mean(dtype=np.float64), np.abs(a).mean(dtype=np.float64), a[len(a) // 3])]
    return numbers


def peak_kb() -> int:
    """The most memory that this process has had, in kB. getrusage would count what its parent had before it began."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Asked:
    """Answers questions; the case last asked for is kept."""

    def __init__(self, name: str, threads: int, device: str) -> None:
        self.make, self.time = parts(name, threads, device)
        self.table = table(device)
        self.key: tuple[str, str] | None = None
        self.run: Run | None = None

    def __call__(self, workload: str, case: str, seconds: float) -> dict[str, Any] | None:
        """The case's times, the first time an answer, and what it gave last. None for a case that the engine lacks."""
        about, reply = self.table[workload][case], {}
        if self.key != (workload, case):
            self.key, self.run = (workload, case), None  # what an earlier case holds is not kept
            start = time.perf_counter()
            self.run = self.make(about)
            if self.run is not None:
                answer = answer_of(self.run())
                reply = {"first": time.perf_counter() - start, "answer": answer}
        if self.run is None:
            return None
        reply |= self.time(self.run, seconds, about.whole)
        return reply | {"last": answer_of(self.run()), "peak_kb": peak_kb()}


def main() -> None:
    ask = Asked(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    for line in sys.stdin:
        try:
            reply = ask(**json.loads(line))
        except Exception as error:  # also what a driver or a compiler has to say: one case fails, and not the rest
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
