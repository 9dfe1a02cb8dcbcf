"""The rungs of the ladders: what each changes and why, as the CUDA C itself tells it, and how each is launched."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tinymed.bench.workloads import normal
from tinymed.kernels import cupy_conv, cupy_launch, cupy_matmul, numpy_backend
from tinymed.kernels.cupy_launch import BLOCK, blocks, first, last, run, sizes
from tinymed.kernels.shapes import ConvShape, conv_shape

Array = Any  # cupy.ndarray


class Rung(NamedTuple):
    """A step of a ladder."""

    step: int
    label: str  # two or three words
    title: str  # what changed
    why: str
    kernel: str  # empty: the one that tinymed itself computes with


def rungs(ladder: str) -> list[Rung]:
    """Those of cuda/ladder_`ladder`.cu, from the comments above its kernels: "Step 1: title.", why, "Launch: how".

    A step without a kernel is tinymed's own, elsewhere: "Step 6: label: title."
    """
    path = Path(cupy_launch.__file__).parent / "cuda" / f"ladder_{ladder}.cu"
    steps = re.findall(
        r"^// Step (\d+): (?:(.+): )?(.+)\.\n((?:// .+\n)+?)// Launch: .+\n(?:// .+\n)*"
        r'(?:extern "C" __global__ void (?:__launch_bounds__\(\d+\)\s)?(\w+))?',
        path.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    found = []
    for step, label, title, why, kernel in steps:
        label = label or kernel.removeprefix(f"{ladder}_{step}_").replace("_", " ")
        found.append(Rung(int(step), f"{step} {label}", title, " ".join(why.replace("// ", "").split()), kernel))
    return found


@dataclass(frozen=True)
class Matmul:
    """C (M,N) = A (M,K) · B (K,N)"""

    M: int
    N: int
    K: int

    tf32: ClassVar = (5, 7)  # the steps on tensor cores

    @property
    def name(self) -> str:
        return f"{self.M}x{self.K}x{self.N}"

    @property
    def flops(self) -> float:
        return 2.0 * self.M * self.N * self.K

    @property
    def bytes(self) -> float:
        return 4.0 * (self.M * self.K + self.K * self.N + self.M * self.N)

    def inputs(self) -> tuple[Array, Array]:
        import cupy

        return cupy.asarray(normal(self.M, self.K)), cupy.asarray(normal(self.K, self.N, seed=1))

    def truth(self, a: Array, b: Array) -> Array:
        """In float64, by cuBLAS."""
        return cupy_matmul.matmul(a.astype(np.float64), b.astype(np.float64))

    def call(self, rung: Rung, a: Array, b: Array) -> Callable[[], Array]:
        """What to time."""
        import cupy

        if not rung.kernel:
            return partial(cupy_matmul.gemm, a, b, tf32=rung.step in self.tf32)
        (rows, cols), threads = {  # of C that a block computes
            "matmul_1_naive": ((8, 32), (32, 8)),
            "matmul_2_tiled": ((32, 32), (32, 32)),
            "matmul_3_registers": ((64, 64), (16, 16)),
            "matmul_4_vectors": ((128, 128), (16, 16)),
            "matmul_5_tensor_cores": ((64, 64), (256,)),
        }[rung.kernel]
        grid, shape = (blocks(self.N, cols), blocks(self.M, rows)), [np.int32(n) for n in (self.M, self.N, self.K)]

        def launch() -> Array:
            c = cupy.empty((self.M, self.N), np.float32)
            run("ladder_matmul", rung.kernel, grid, threads, *shape, a, b, c)
            return c

        return launch


@dataclass(frozen=True)
class Conv:
    """x (N,C,H,W) * w (O,C,KH,KW) → y (N,O,OH,OW), one group, channels last in memory"""

    s: ConvShape

    tf32: ClassVar = (4, 5)

    @property
    def name(self) -> str:
        return f"{self.s.x} * {self.s.w}".replace(", ", ",")

    @property
    def flops(self) -> float:
        return 2.0 * np.prod(self.s.y) * np.prod(self.s.w[1:])

    @property
    def bytes(self) -> float:
        return 4.0 * sum(np.prod(shape) for shape in (self.s.x, self.s.w, self.s.y))

    def inputs(self) -> tuple[Array, Array]:
        import cupy

        s = self.s
        return first(cupy.asarray(normal(s.N, s.H, s.W, s.C))), cupy.asarray(normal(*s.w, seed=1))

    def truth(self, x: Array, w: Array) -> Array:
        """In float64, by NumPy."""
        import cupy

        x, w = (cupy.asnumpy(a).astype(np.float64) for a in (x, w))
        return cupy.asarray(numpy_backend.conv2d(x, w, None, self.s))

    def call(self, rung: Rung, x: Array, w: Array) -> Callable[[], Array]:
        """What to time. conv.cu's time has in it that w's channels are put last, as they have to be in every step."""
        import cupy

        s = self.s
        if not rung.kernel:
            return partial(cupy_conv.conv2d, x, w, None, s)
        pixels, taps = s.N * s.OH * s.OW, s.KH * s.KW
        patch = (7 * s.SH + (s.KH - 1) * s.DH + 1) * (7 * s.SW + (s.KW - 1) * s.DW + 1)
        grid, floats = {  # and how many floats of shared memory
            "conv_1_naive": ((blocks(pixels * s.O),), 0),
            "conv_2_shared": ((blocks(s.OW, 8), blocks(s.OH, 8), s.N * blocks(s.O, 32)), 4 * patch + taps * 128),
            "conv_3_implicit_gemm": ((blocks(pixels, 64), blocks(s.O, 64)), 0),
            "conv_4_tensor_cores": ((blocks(pixels, 64), blocks(s.O, 64)), 0),
        }[rung.kernel]
        x, w = last(x), last(w)

        def launch() -> Array:
            y = cupy.empty((s.N, s.OH, s.OW, s.O), np.float32)
            run("ladder_conv", rung.kernel, grid, (BLOCK,), sizes(s), x, w, y, shared=4 * floats)
            return first(y)

        return launch


def _conv(x: tuple, w: tuple, padding: int) -> Conv:
    return Conv(conv_shape(x, w, (1, 1), (padding, padding), (1, 1), 1))


LADDERS: dict[str, list[Matmul] | list[Conv]] = {
    "matmul": [Matmul(n, n, n) for n in (512, 1024, 2048, 4096, 8192)],
    "conv": [_conv((32, 64, 56, 56), (64, 64, 3, 3), 1), _conv((64, 256, 14, 14), (256, 256, 3, 3), 1)],
}


def error(got: Array, want: Array) -> float:
    """‖got − want‖ / ‖want‖, whoever's arrays they are"""
    return float((((got - want) ** 2).sum() / (want**2).sum()) ** 0.5)


def row(
    ladder: str, case: Matmul | Conv, label: str, tf32: bool, ms: float, off: float, library: bool = False
) -> dict[str, Any]:
    """What was measured, of a rung or of a library."""
    return {
        "ladder": ladder,
        "case": case.name,
        "label": label,
        "library": library,
        "tf32": tf32,
        "ms": ms,
        "gflops": case.flops / ms / 1e6,
        "flops": float(case.flops),
        "bytes": float(case.bytes),
        "error": off,
    }
