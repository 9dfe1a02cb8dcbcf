"""What the GPU itself is told: a kernel's machine code, by NVIDIA's disassembler (the wheel nvidia-cuda-nvdisasm)."""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path


@functools.cache
def tool() -> str:
    """Where the disassembler is. Raises ImportError where it is not installed."""
    nvidia = importlib.util.find_spec("nvidia")
    folders = [Path(folder) for folder in (nvidia.submodule_search_locations or ())] if nvidia else []
    found = [str(path) for folder in folders for path in folder.glob("*/bin/nvdisasm")]
    if path := shutil.which("nvdisasm") or next(iter(found), None):
        return path
    raise ImportError("the disassembler is not installed: pip install nvidia-cuda-nvdisasm")


def loops(cubin: bytes, folder: Path, instruction: str) -> dict[str, list[str]]:
    """For each kernel that has the instruction, the shortest loop around it, as instructions."""
    path = folder / "kernels.cubin"
    path.write_bytes(cubin)
    text = subprocess.run([tool(), "-c", str(path)], capture_output=True, text=True, check=True).stdout
    parts = re.split(r"^//-+ \.text\.(\w+)", text, flags=re.MULTILINE)[1:]
    found = {name: _shortest(code, instruction) for name, code in zip(parts[::2], parts[1::2])}
    return {name: loop for name, loop in found.items() if loop}


def _shortest(code: str, instruction: str) -> list[str]:
    labels: dict[str, int] = {}
    lines: list[str] = []
    bodies: list[list[str]] = []
    for label, line in re.findall(r"^\s*(?:(\.L_x_\d+):|/\*[0-9a-f]+\*/\s+(.+?);)", code, re.MULTILINE):
        if label:
            labels[label] = len(lines)
            continue
        lines.append(line)
        back = re.search(r"BRA.*`\((\.L_x_\d+)\)", line)
        if back and back[1] in labels:
            bodies.append(lines[labels[back[1]] :])
    return min((body for body in bodies if any(instruction in line for line in body)), key=len, default=[])
