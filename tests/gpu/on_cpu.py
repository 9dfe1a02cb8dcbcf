"""CPUModule: the call shape of cupy.RawModule, with the kernels run on the CPU (cuda_on_cpu.h, compiled by g++).

NumPy arrays stand for arrays on the device. Stricter than a GPU where that finds mistakes: each argument's type is
compared with the kernel's parameter, and every array lies between guards of NaN that no kernel may write to.
"""

from __future__ import annotations

import ctypes
import getpass
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
CACHE = Path(tempfile.gettempdir()) / f"tinymed_cuda_on_cpu_{getpass.getuser()}"
FLAGS = (
    *("-std=c++17", "-O1", "-w", "-x", "c++", "-shared", "-fPIC", f"-I{HERE}", "-DTM_CPU", "-include", "cuda_on_cpu.h"),
    "-fvisibility=hidden",  # two modules may hold variables of one name: each its own
    *("-fsanitize=bounds,alignment", "-fno-sanitize-recover=all"),  # an index outside a shared array, a crooked float4
    "-U_FORTIFY_SOURCE",  # it forbids to jump from stack to stack
)
GUARD = 4096  # bytes before and after each array
SHARED_LIMITS = 48 << 10, 227 << 10  # bytes of dynamic shared memory: what is given unasked, and what an H100 has

Extent = Sequence[int]


class CPUModule:
    """The kernels of one source. Raises RuntimeError with g++'s complaint where it does not compile."""

    def __init__(self, source: str, options: Sequence[str] = ()) -> None:
        self.names = kernel_names(source)
        self.code = ctypes.CDLL(str(_compiled(source, self.names, [o for o in options if o.startswith("-D")])))

    def get_function(self, name: str) -> CPUFunction:
        if name not in self.names:
            raise ValueError(f"no kernel is called {name!r}; there are: {', '.join(self.names)}")
        return CPUFunction(self.code, name)


class CPUFunction:
    """kernel(grid, block, args): runs until the last block is done, in the order that the schedule `order` says."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self.name = name
        self.run = getattr(library, f"launch_{name}")
        self.run.restype = ctypes.c_char_p
        signature = getattr(library, f"signature_{name}")
        signature.restype = ctypes.c_char_p
        self.parameters = signature().decode().split()
        self.max_dynamic_shared_size_bytes = SHARED_LIMITS[0]

    def __call__(self, grid: Extent, block: Extent, args: Sequence, shared_mem: int = 0, order: int = 0) -> None:
        """Raises TypeError for an argument that is not what the kernel takes, ValueError for sizes that no GPU has,
        RuntimeError where a kernel deadlocks or writes outside an array."""
        grid, block = (*grid, 1, 1)[:3], (*block, 1, 1)[:3]
        self._check_sizes(grid, block, shared_mem)
        if len(args) != len(self.parameters):
            raise TypeError(f"{self.name} takes {len(self.parameters)} arguments, got {len(args)}")
        arrays: dict[tuple, Guarded] = {}
        values = [self._value(k, arg, arrays) for k, arg in enumerate(args)]
        pointers = (ctypes.c_void_p * len(values))(*(v.ctypes.data for v in values))
        extents = [(ctypes.c_uint * 3)(*extent) for extent in (grid, block)]
        error = self.run(*extents, ctypes.c_size_t(shared_mem), pointers, order).decode()
        if error:
            raise RuntimeError(f"{self.name}, {error}")
        for guarded in arrays.values():
            guarded.give_back(self.name)

    def _check_sizes(self, grid: Extent, block: Extent, shared_mem: int) -> None:
        if not 1 <= np.prod(block) <= 1024 or block[2] > 64:
            raise ValueError(f"{self.name}: a block has 1 to 1024 threads, in z at most 64; got {block}")
        if min(grid) < 1 or grid[0] >= 1 << 31 or max(grid[1:]) > 65535:
            raise ValueError(f"{self.name}: a grid has 1 to 2147483647 x 65535 x 65535 blocks; got {grid}")
        if shared_mem > self.max_dynamic_shared_size_bytes or shared_mem > SHARED_LIMITS[1]:
            raise ValueError(
                f"{self.name}: {shared_mem} bytes of shared memory; more than {SHARED_LIMITS[0]} must be asked for "
                f"(kernel.max_dynamic_shared_size_bytes = ...), and {SHARED_LIMITS[1]} are all there is"
            )

    def _value(self, k: int, arg: object, arrays: dict) -> np.ndarray:
        """The bytes of one parameter, in an array: a number, a struct or an address."""
        wanted, name = self.parameters[k], f"{self.name}, argument {k}"
        if type(arg) in (bool, int, float):
            raise TypeError(f"{name} is a Python {type(arg).__name__}, of no width in C: {_cure(wanted, arg)}")
        if arg is None and wanted.endswith("*"):
            return np.zeros(1, np.uint64)
        if not isinstance(arg, np.ndarray | np.generic):
            raise TypeError(f"{name}: the kernel takes {wanted}, got {type(arg).__name__}")
        code = f"{arg.dtype.kind}{arg.dtype.itemsize}"
        if not wanted.endswith("*") or isinstance(arg, np.generic):
            if code != wanted:
                raise TypeError(f"{name}: the kernel takes {wanted}, got {arg.dtype} ({code})")
            return np.atleast_1d(arg).copy()
        if wanted not in (f"{code}*", "?*") and not wanted.startswith("V"):  # V: a struct of any numbers, as float4
            raise TypeError(f"{name}: the kernel takes {wanted}, got an array of {arg.dtype} ({code}*)")
        if not arg.flags.c_contiguous:
            raise ValueError(f"{name}: a kernel sees memory, not strides; pass np.ascontiguousarray(...)")
        key = (arg.ctypes.data, arg.nbytes)
        for other in arrays:
            if key != other and key[0] < sum(other) and other[0] < sum(key):
                raise ValueError(f"{name} overlaps another argument; pass one array and an offset")
        if key not in arrays:
            arrays[key] = Guarded(arg, name, len(arrays))
        arrays[key].also(arg)
        return np.array([arrays[key].address], np.uint64)


class Guarded:
    """A copy of an array between two guards that read as NaN. They tell a write even of a NaN: no other array's
    guards have the same bits, and these are signalling NaN, which arithmetic turns into quiet ones."""

    def __init__(self, array: np.ndarray, name: str, number: int) -> None:
        self.array, self.name = array, name
        signalling = {"f4": 0xFFA00000_FFA00000 + number * 0x1_00000001, "f8": 0xFFF40000_00000000 + number}
        bits = np.uint64(signalling.get(array.dtype.str[1:], 0xFFFFFFFF_FFFFFFFF))
        self.guard = np.full(GUARD // 8, bits).view(np.uint8)
        self.before = array.reshape(-1).view(np.uint8)
        room = np.empty(array.nbytes + 2 * GUARD + 256, np.uint8)
        room = room[-(room.ctypes.data + GUARD) % 256 :]  # aligned as on a device
        self.memory = room[: array.nbytes + 2 * GUARD]
        self.memory[:] = np.concatenate([self.guard, self.before, self.guard])
        self.address = self.memory.ctypes.data + GUARD

    def also(self, array: np.ndarray) -> None:
        """The same memory under another argument: what may be written through either is written back."""
        if array.flags.writeable:
            self.array = array

    def give_back(self, kernel: str) -> None:
        below, after, above = np.split(self.memory, [GUARD, len(self.memory) - GUARD])
        if not (np.array_equal(below, self.guard) and np.array_equal(above, self.guard)):
            raise RuntimeError(f"{self.name}: {kernel} writes outside this array of {self.array.shape}")
        if self.array.flags.writeable:
            self.array.reshape(-1).view(np.uint8)[:] = after
        elif not np.array_equal(self.before, after):
            raise RuntimeError(f"{self.name}: {kernel} writes to this array, which is read-only")


def source(path: Path, folders: Sequence[Path] = ()) -> str:
    """A .cu file with its own headers pasted in, each once; complaints still name file and line."""
    seen = set()

    def paste(path: Path) -> str:
        seen.add(path)
        lines = [f'#line 1 "{path.name}"']
        for number, line in enumerate(path.read_text().splitlines(), 1):
            lines.append(line)
            if found := re.match(r'\s*#include "(.+)"', line):
                header = next(p for p in (folder / found[1] for folder in (path.parent, *folders)) if p.exists())
                lines[-1] = "" if header in seen else f'{paste(header)}#line {number + 1} "{path.name}"'
        return "\n".join(lines) + "\n"

    return paste(path)


def kernel_names(source: str) -> list[str]:
    """The names of a source's kernels, in their order."""
    bounds = r"(?:__launch_bounds__\s*\([^)]*\)\s*)?"
    return re.findall(rf"__global__\s+{bounds}void\s+{bounds}(\w+)\s*\(", source)


def _cure(wanted: str, arg: object) -> str:
    kinds = {"f": "float", "i": "int", "u": "uint", "b": "bool_"}
    if wanted[0] not in kinds or wanted.endswith("*"):
        return f"the kernel takes {wanted}"
    width = "" if wanted[0] == "b" else int(wanted[1:]) * 8
    return f"pass np.{kinds[wanted[0]]}{width}({arg})"


def _compiled(source: str, names: list[str], defines: list[str]) -> Path:
    """The shared library of a source: from the cache where it was compiled before."""
    source = re.sub(  # its size comes with the launch
        r"extern\s+__shared__\s+(?:(?:__align__|alignas)\s*\(\w+\)\s*)?([\w\s]+?)\s*\b(\w+)\s*\[\s*\]\s*;",
        r"\1* \2 = (\1*)cpu::dynamic_shared;",
        source,
    )
    entries = "".join(_ENTRY.replace("NAME", name) for name in names)
    command = [os.environ.get("CXX", "g++"), *FLAGS, *defines]
    shim = "".join(path.read_text() for path in sorted(HERE.glob("*.h")))
    key = hashlib.sha256("\0".join([source, entries, shim, *command]).encode()).hexdigest()[:20]
    library = CACHE / f"{key}.so"
    if not library.exists():
        CACHE.mkdir(mode=0o700, exist_ok=True)
        part = library.with_suffix(f".{os.getpid()}")  # another process may be compiling the same
        done = subprocess.run([*command, "-", "-o", part], input=source + entries, text=True, capture_output=True)
        if done.returncode:
            raise RuntimeError(done.stderr[:4000])
        part.replace(library)
    return library


_ENTRY = """
extern "C" __attribute__((visibility("default"))) const char* launch_NAME(
    const unsigned* grid, const unsigned* block, size_t shared, void** arguments, int schedule) {
    return cpu::launch(NAME, grid, block, shared, arguments, schedule);
}
extern "C" __attribute__((visibility("default"))) const char* signature_NAME() { return cpu::signature(NAME); }
"""
