"""One engine in its own process: `python -m tinymed.bench.worker ENGINE THREADS` answers questions, a line each.

Two libraries in one process would share, and fight for, the same processors' threads.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinymed.bench.workloads import WORKLOADS, Case, Run


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
        array = tensor.detach().numpy() if hasattr(tensor, "detach") else np.asarray(tensor)
        a = array.astype(np.float64).reshape(-1)
        numbers += [float(a.mean()), float(np.abs(a).mean()), float(a[len(a) // 3])]
    return numbers


def peak_kb() -> int:
    """The most memory that this process has had, in kB. getrusage would count what its parent had before it began."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    make = maker(sys.argv[1], int(sys.argv[2]))
    made: dict[tuple, Run | None] = {}
    for line in sys.stdin:
        question = json.loads(line)
        key = question["workload"], question["case"]
        reply: dict[str, Any] = {}
        if key not in made:
            made.clear()  # what an earlier case holds is not kept
            start = time.perf_counter()
            run = made[key] = make(WORKLOADS[key[0]][key[1]])
            if run is not None:
                answer = answer_of(run())
                reply["first"], reply["answer"] = time.perf_counter() - start, answer
        run = made[key]
        if run is None:
            print("null", flush=True)
            continue
        times: list[float] = []
        deadline = time.perf_counter() + question["seconds"]
        while not times or time.perf_counter() < deadline:
            start = time.perf_counter()
            found = run()
            times.append(time.perf_counter() - start)
        reply["times"], reply["last"] = times, answer_of(found)
        reply["peak_kb"] = peak_kb()
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
