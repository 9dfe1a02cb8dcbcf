"""The GPU that was measured on: what it says of itself, and its own peaks."""

from __future__ import annotations

import shutil
import subprocess
from importlib import metadata
from typing import Any

LIBRARIES = "cupy", "nvidia-cublas", "nvidia-cudnn"  # how their distributions' names begin


def card() -> dict[str, Any]:
    """Its name, size, driver and libraries. Raises ValueError where there is none."""
    from tinymed import cuda

    runtime = cuda.cupy().cuda.runtime
    about = runtime.getDeviceProperties(0)
    return {
        "card": cuda.get_device_name(),
        "compute_capability": f"{about['major']}.{about['minor']}",
        "multiprocessors": about["multiProcessorCount"],
        "memory_gib": about["totalGlobalMem"] / 2**30,
        "l2_mib": about["l2CacheSize"] / 2**20,
        "driver": _driver(),
        "driver_cuda": _version(runtime.driverGetVersion()),
        "cuda_runtime": _version(runtime.runtimeGetVersion()),
        **{d.name: d.version for d in metadata.distributions() if d.name and d.name.startswith(LIBRARIES)},
    }


def _version(number: int) -> str:
    """13020 → 13.2"""
    return f"{number // 1000}.{number % 1000 // 10}"


def _driver() -> str:
    if not shutil.which("nvidia-smi"):
        return "unknown"
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    said = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.split()
    return said[0] if said else "unknown"


def peaks(rows: list[dict]) -> dict[str, float]:
    """The best of the rows of workload "peak": GFLOP/s with TF32 and without, GB/s of a copy on the card."""
    found: dict[str, float] = {}
    for row in rows:
        if row["workload"] == "peak":
            exact = row["engine"].endswith("float32")
            name = "copy_gb_s" if not row["flops"] else "float32_gflops" if exact else "gflops"
            found[name] = max(found.get(name, 0), row["gflops"] or row["gb_s"])
    return found


def of_roof(row: dict, peaks: dict[str, float]) -> float | None:
    """The least time that the card's peaks allow over the time taken; None where it is not known."""
    if row["workload"].startswith("copy"):  # between host and card: that is another roof
        return None
    roof = peaks.get("float32_gflops" if row["engine"].endswith("float32") else "gflops")
    copy = peaks.get("copy_gb_s")
    shares = [row["gflops"] / roof] if roof and row["flops"] else []
    shares += [row["gb_s"] / copy] if copy and row.get("gb_s") else []
    return max(shares, default=None)
