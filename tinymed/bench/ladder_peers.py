"""What the ladders are measured against: cuBLAS, through CuPy, and cuDNN, through PyTorch.

Each runs in a process of its own: `python -m tinymed.bench.ladder_peers LADDER TF32 SECONDS` prints its rows as JSON.
CuPy reads once whether products may use TF32 (CUPY_TF32), and two libraries would share the card's memory.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from functools import partial
from typing import Any

from tinymed.bench.events import Timer
from tinymed.bench.ladder_kernels import LADDERS, Conv, Matmul, error, row
from tinymed.bench.workloads import normal

PEERS = {"matmul": "cuBLAS", "conv": "cuDNN"}
KINDS = {False: "float32", True: "TF32"}


def ask(ladder: str, tf32: bool, seconds: float) -> tuple[list[dict[str, Any]], str]:
    """A row for each case; or none, and why."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", __name__, ladder, str(int(tf32)), str(seconds)],
        env=os.environ | {"CUPY_TF32": str(int(tf32))},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return [], (done.stderr.strip() or f"it ended with code {done.returncode}").splitlines()[-1]
    return json.loads(done.stdout), ""


def cublas(case: Matmul, seconds: float) -> tuple[float, float]:
    """ms, and the error"""
    import cupy

    a, b = case.inputs()
    times = Timer("tinymed")(partial(cupy.matmul, a, b), seconds, flush=True)
    return statistics.median(times), error(cupy.matmul(a, b), case.truth(a, b))


def cudnn(case: Conv, tf32: bool, seconds: float) -> tuple[float, float]:
    """The same of the fastest way that cuDNN finds, channels last as ours are."""
    import torch

    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    s = case.s
    conv2d = partial(torch.nn.functional.conv2d, stride=(s.SH, s.SW), padding=(s.PH, s.PW), dilation=(s.DH, s.DW))
    x, w = (torch.from_numpy(a).cuda() for a in (normal(*s.x), normal(*s.w, seed=1)))
    truth = conv2d(x.double(), w.double())
    x, w = (a.to(memory_format=torch.channels_last) for a in (x, w))
    times = Timer("torch")(partial(conv2d, x, w), seconds, flush=True)
    return statistics.median(times), error(conv2d(x, w), truth)


def main() -> None:
    ladder, tf32, seconds = sys.argv[1], sys.argv[2] == "1", float(sys.argv[3])
    rows = []
    for case in LADDERS[ladder]:
        found = cublas(case, seconds) if isinstance(case, Matmul) else cudnn(case, tf32, seconds)
        rows.append(row(ladder, case, f"{PEERS[ladder]} {KINDS[tf32]}", tf32, *found, library=True))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
