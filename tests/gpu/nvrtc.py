"""Compile CUDA C for any GPU without one: the library of the wheel nvidia-cuda-nvrtc, through ctypes.

What the assembler says of each kernel is kept: registers, bytes spilled to memory, shared memory.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """What one thread of a kernel needs (registers; bytes of its own memory), and one block (bytes of shared)."""

    registers: int
    stack_bytes: int
    spill_bytes: int
    shared_bytes: int


class Compiled(NamedTuple):
    cubin: bytes
    ptx: str
    log: str
    kernels: dict[str, Usage]


@functools.cache
def loaded() -> ctypes.CDLL:
    """NVRTC. Raises ImportError where the wheel is not installed."""
    nvidia = importlib.util.find_spec("nvidia")
    folders = [Path(folder) for folder in (nvidia.submodule_search_locations or ())] if nvidia else []
    found = [p for folder in folders for p in folder.glob("*/lib/libnvrtc.so.*") if ".alt." not in p.name]
    if not found:
        raise ImportError("NVRTC is not installed: pip install nvidia-cuda-nvrtc")
    for builtins in found[0].parent.glob("libnvrtc-builtins.so.*"):
        if ".alt." not in builtins.name:  # NVRTC 13.0 does not find this one by itself
            ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
    nvrtc = ctypes.CDLL(str(found[0]))
    nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
    return nvrtc


def compile(source: str, architecture: str, options: Sequence[str] = ()) -> Compiled:
    """The kernels of `source` for an architecture such as "sm_90". Raises RuntimeError with the compiler's log."""
    nvrtc, program = loaded(), ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"source.cu", 0, None, None))
    options = [f"--gpu-architecture={architecture}", "--std=c++17", "--ptxas-options=-v", *options]
    try:
        status = nvrtc.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        )
        log = _text(program, "ProgramLog").decode()
        if status:
            raise RuntimeError(f"{architecture}: {log}")
        return Compiled(_text(program, "CUBIN"), _text(program, "PTX").decode(), log, _usage(log))
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _text(program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(getattr(loaded(), f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    _check(getattr(loaded(), f"nvrtcGet{what}")(program, text))
    return text.raw if what == "CUBIN" else text.raw.rstrip(b"\0")


def _check(status: int) -> None:
    if status:
        raise RuntimeError(f"NVRTC: {loaded().nvrtcGetErrorString(status).decode()}")


def _usage(log: str) -> dict[str, Usage]:
    """Of lines such as: Function properties for NAME / 0 bytes stack frame, 0 bytes spill stores, ... / Used 31 ..."""
    kernels = {}
    for part in log.split("Compiling entry function '")[1:]:

        def number(pattern: str, part: str = part) -> int:
            found = re.search(pattern, part)
            return int(found[1]) if found else 0

        spilled = number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads")
        kernels[part[: part.index("'")]] = Usage(
            number(r"Used (\d+) registers"), number(r"(\d+) bytes stack frame"), spilled, number(r"(\d+) bytes smem")
        )
    return kernels
