"""One engine in its own process: `python -m tinymed.bench.worker ENGINE THREADS` answers questions, a line each.

Two libraries in one process would share, and fight for, the same processors' threads.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from typing import Any

import numpy as np

from tinymed.bench.workloads import WORKLOADS, Run


def load(name: str, threads: int) -> Any:
    """The module of an engine: tinymed, on one of its backends, or torch."""
    module, _, backend = name.partition(":")
    engine = importlib.import_module(module)
    engine.set_num_threads(threads)
    if module == "tinymed":
        importlib.import_module("tinymed.optim")
        if backend:
            engine.use_backend(backend)
    return engine


def answer_of(found: list) -> list[float]:
    """A few numbers of everything that was computed: enough to see that it is the same."""
    numbers: list[float] = []
    for tensor in found:
        a = tensor.detach().numpy().astype(np.float64).reshape(-1)
        numbers += [float(a.mean()), float(np.abs(a).mean()), float(a[len(a) // 3])]
    return numbers


def main() -> None:
    engine = load(sys.argv[1], int(sys.argv[2]))
    made: dict[tuple, Run] = {}
    for line in sys.stdin:
        question = json.loads(line)
        key = question["workload"], question["case"]
        reply: dict[str, Any] = {}
        if key not in made:
            made.clear()  # what an earlier case holds in memory is no part of this one
            start = time.perf_counter()
            made[key] = WORKLOADS[key[0]][key[1]].make(engine)
            answer = answer_of(made[key]())
            reply["first"], reply["answer"] = time.perf_counter() - start, answer
        run = made[key]
        times: list[float] = []
        deadline = time.perf_counter() + question["seconds"]
        while not times or time.perf_counter() < deadline:
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        reply["times"] = times
        reply["peak_kb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
