"""Which file may import which, read from the sources; and what belongs in the package."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = {  # each may import those of a smaller number, and its own folder
    "kernels": 0, "modes": 0, "tensor": 1, "cuda": 1, "autograd": 1, "random": 1, "display": 1, "gradcheck": 2,
    "ops": 2, "nn": 3, "optim": 3, "data": 3, "training": 4, "evaluation": 5, "keras": 5, "teach": 5, "bench": 5,
    "tasks": 6, "cli": 7, "__main__": 8,
}  # fmt: skip
FILES = sorted(
    p for top in ("tinymed", "kernels") for p in (ROOT / top).rglob("*.py") if "tinymed/kernels" not in str(p)
)


def part(module: str) -> str:
    """tinymed.nn.functional → nn"""
    return module.split(".")[1] if "." in module else "tinymed"


def name_of(path: Path) -> str:
    dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return f"tinymed.{dotted}" if dotted.split(".")[0] == "kernels" else dotted


def imports(path: Path) -> set[str]:
    """Every module that the file imports, the imports inside its functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if node.module == "tinymed" else {node.module}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_run_one_way(path):
    own = part(name_of(path))
    for module in imports(path):
        assert module.split(".")[0] != "kernels", "the kernels are imported as tinymed.kernels"
        if module.split(".")[0] != "tinymed" or own == "tinymed" or module == "tinymed.__version__":
            continue
        other = part(module)
        if own == "kernels":
            assert other == "kernels", f"{path} imports {module}: kernels know nothing of tinymed"
        elif other not in LAYERS:  # the package's face, for what users write: only above the engine
            assert LAYERS[own] >= 4, f"{path} imports {module}: the engine names its own files"
        else:
            assert other == own or LAYERS[other] <= LAYERS[own], f"{path} imports {module}, which stands above it"


def test_no_circles_among_files_at_import():
    """Of imports at the top of files; those inside functions come later and may close a circle."""
    names = {name_of(path) for path in FILES}
    graph = {}
    for path in FILES:
        top = ast.parse(path.read_text())
        found = set()
        for node in top.body:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    found.add(whole if whole in names else node.module)
        graph[name_of(path)] = {m for m in found & names if m not in ("tinymed",)}
    done: set[str] = set()

    def walk(name, trail):
        assert name not in trail, " → ".join([*trail, name])
        if name not in done:
            for other in graph[name]:
                if not name.startswith(other + "."):  # a folder's own __init__
                    walk(other, [*trail, name])
            done.add(name)

    for name in graph:
        walk(name, [])


def test_every_package_folder_is_in_the_list():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    there = {name_of(p) for p in FILES if p.name == "__init__.py"}
    assert there <= listed
    assert (ROOT / "tinymed" / "kernels").is_symlink()


def test_no_lock_file_is_tracked():
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    assert [f for f in done.stdout.split() if f.endswith((".lock", "package-lock.json"))] == []
