"""A library and the device on which it computes: what cases for a GPU need beyond the names that libraries share."""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from tinymed.bench.workloads import Case, Run

WARM = 3  # calls before anything is timed, recorded or compared: in every engine, so that all stand at the same step


class Engine:
    """tinymed or torch as a case sees it: the module's own names, its tensors on `device`.

    way  ""          as a user writes it; products and convolutions may run in TF32
         "captured"  recorded once as a CUDA graph, which is then replayed
         "float32"   without TF32
    """

    def __init__(self, package: str, device: str, way: str = "") -> None:
        self.package, self.device, self.way = package, device, way
        self.module = importlib.import_module(package)
        self.tf32 = way != "float32"
        if package == "torch":
            backends = self.module.backends
            backends.cudnn.benchmark = True  # it tries its kernels, and takes the fastest
            backends.cudnn.allow_tf32 = backends.cuda.matmul.allow_tf32 = self.tf32
        else:
            importlib.import_module("tinymed.optim")
            from tinymed.kernels import cupy_launch

            cupy_launch.set_allow_tf32(self.tf32)  # cuBLAS obeys CUPY_TF32 in the environment

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)

    def tensor(self, data: Any, requires_grad: bool = False) -> Any:
        """A tensor on the device. Images on a GPU have their channels last in memory, as both libraries like it."""
        if self.device == "cuda" and np.ndim(data) == 4:
            x = self.module.tensor(np.ascontiguousarray(data.transpose(0, 2, 3, 1))).to("cuda").permute(0, 3, 1, 2)
        else:
            x = self.module.tensor(data).to(self.device)
        return x.requires_grad_(requires_grad)

    @property
    def optim(self) -> Any:
        """PyTorch's Adam at its best, one launch for all parameters; tinymed's always is that."""
        optim = self.module.optim
        if self.package != "torch":
            return optim
        return SimpleNamespace(Adam=partial(optim.Adam, fused=True, capturable=self.way == "captured"))

    def synchronize(self) -> None:
        if self.device == "cuda":
            self.module.cuda.synchronize()

    def prepare(self, case: Case) -> Run | None:
        """What to time of a case, after WARM calls of it; None where it is not for this engine."""
        run = case.make(self) if not self.way or self.way in case.ways else None
        if run is None:
            return None
        if self.way == "captured":
            return self._captured(run)
        for _ in range(WARM):
            run()
        return run

    def times(self, run: Run, seconds: float, whole: bool) -> dict[str, list[float]]:
        """ms of each call: `wall`, until the host knows that it is done, and `times`, on the GPU alone.

        The latter are noted by the GPU, with nothing of the case in its cache; for a `whole` network they are `wall`.
        """
        from tinymed.bench import events

        wall = events.wall(run, seconds, self.synchronize)
        return {"wall": wall, "times": wall if whole else self._timer(run, seconds, True)}

    @cached_property
    def _timer(self) -> Any:
        from tinymed.bench import events

        return events.Timer(self.package)

    def _captured(self, run: Run) -> Run:
        """The call, recorded; a replay changes what the recorded one gave."""
        cuda = self.module.cuda
        # PyTorch wants the calls before it on a stream of their own
        aside = cuda.stream(cuda.Stream()) if self.package == "torch" else nullcontext()
        cuda.synchronize()
        with aside:
            for _ in range(WARM):
                run()
        cuda.synchronize()
        graph = cuda.CUDAGraph()
        with cuda.graph(graph):
            found = run()

        def replay() -> Any:
            graph.replay()
            return found

        return replay
