"""What a type checker sees of Tensor (tinymed/tensor.pyi) is what stands at run time."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinymed
from tinymed.tensor import Tensor

PACKAGE = Path(tinymed.__file__).parent
IMPLIED = {  # what every such class has, or comes to have
    *("__module__", "__doc__", "__slots__", "__weakref__", "__slotnames__"),
    *("__firstlineno__", "__static_attributes__"),  # since Python 3.13
}


def stub_class() -> ast.ClassDef:
    tree = ast.parse((PACKAGE / "tensor.pyi").read_text(encoding="utf-8"))
    return next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Tensor")


def shown(parameter: inspect.Parameter) -> tuple[str, str, str | None]:
    """Kind, name and default, to compare."""
    default = parameter.default
    return parameter.kind.name, parameter.name, None if default is parameter.empty else repr(default)


def stub_parameters(function: ast.FunctionDef) -> list[tuple]:
    """Of a stub's function, without self, as `shown` gives them."""
    for node in ast.walk(function.args):
        if isinstance(node, ast.arg):
            node.annotation = None  # a lambda has none
    made = eval(f"lambda {ast.unparse(function.args)}: 0")
    return [shown(p) for p in inspect.signature(made).parameters.values()][1:]


def test_stub_and_tensor_have_the_same_names():
    stub = set()
    for node in stub_class().body:
        if isinstance(node, ast.FunctionDef):
            stub.add(node.name)
        elif isinstance(node, ast.AnnAssign):
            stub.add(node.target.id)
    here = set(vars(Tensor)) - IMPLIED
    assert sorted(here - stub) == [], "hung on Tensor, missing in tensor.pyi"
    assert sorted(stub - here) == [], "in tensor.pyi, not on Tensor"


def test_stub_and_tensor_have_the_same_parameters():
    wrong, compared = [], 0
    for node in stub_class().body:
        if not isinstance(node, ast.FunctionDef):
            continue
        attribute = inspect.getattr_static(Tensor, node.name)
        decorators = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
        if isinstance(attribute, property) or "property" in decorators:
            if not (isinstance(attribute, property) and "property" in decorators):
                wrong.append(f"{node.name}: a property on one side only")
            continue
        if not inspect.isfunction(attribute):
            continue  # __hash__, which is object's own
        here = [shown(p) for p in inspect.signature(attribute).parameters.values()][1:]
        stub = stub_parameters(node)
        if node.name.startswith("__"):  # x + y passes no keywords, such as add's alpha
            here = [p for p in here if p[0] != "KEYWORD_ONLY"]
            stub = [p for p in stub if p[0] != "KEYWORD_ONLY"]
        if "overload" in decorators:  # one overload may demand what another leaves out
            here, stub = [p[:2] for p in here], [p[:2] for p in stub]
        if here != stub:
            wrong.append(f"{node.name}: {here} at run time, {stub} in the stub")
        compared += 1
    assert wrong == []
    assert compared > 150


# ---------------------------------------------------------------- what mypy says of a user's program

RIGHT = """
import numpy as np
import tinymed
import tinymed.nn.functional as F
from tinymed import Tensor, nn, optim

model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
optimizer = optim.Adam(model.parameters(), lr=1e-3)
x = tinymed.randn(4, 1, 4, 4)
y = tinymed.tensor([0, 1, 2, 0])
for _ in range(2):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x[:, :, ::1]), y)
    loss.backward()
    optimizer.step()
value: float = loss.item()

z: Tensor = (2 * x - x / 3 + np.float32(1)) ** 2 @ x[..., None].squeeze(-1).mT
mask: Tensor = (x > 0) & ~(x == 1)
x[mask] = 0.0
x[0, 1:, None] += 1
values, indices = x.flatten(1).max(1)
row: Tensor = values.sum(dim=0, keepdim=True)
reveal_type(x.sum())
reveal_type(x.max())
reveal_type(x.shape)
"""

WRONG = """
import tinymed
import tinymed.nn.functional as F

x = tinymed.zeros(2, 3)
x.summ()
x.reshape("a")
F.conv2d("a")
"""


def mypy(folder: Path, program: str) -> tuple[int, str]:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    (folder / "program.py").write_text(program, encoding="utf-8")
    (folder / "mypy.ini").write_text(
        "[mypy]\nignore_missing_imports = True\n[mypy-tinymed.*]\nfollow_imports = silent\n", encoding="utf-8"
    )
    # a checkout is not where mypy looks by itself; site-packages is, and must not be named twice
    path = {} if PACKAGE.parent.name == "site-packages" else {"MYPYPATH": str(PACKAGE.parent)}
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--no-incremental", "program.py"],
        cwd=folder,
        env={**os.environ, **path},
        capture_output=True,
        text=True,
    )
    return run.returncode, run.stdout + run.stderr


@pytest.mark.timeout(300)
def test_a_right_program_passes(tmp_path):
    code, said = mypy(tmp_path, RIGHT)
    assert code == 0, said
    revealed = [line.rsplit('"', 2)[1] for line in said.splitlines() if "Revealed type" in line]
    assert [r.removeprefix("builtins.") for r in revealed][:2] == ["tinymed.tensor.Tensor"] * 2, said
    assert "tuple[" in revealed[2], said


@pytest.mark.timeout(300)
def test_a_wrong_program_is_refused(tmp_path):
    code, said = mypy(tmp_path, WRONG)
    assert code == 1, said
    assert '"Tensor" has no attribute "summ"' in said
    assert '"reshape" of "Tensor" has incompatible type "str"' in said
    assert '"conv2d"' in said
    assert "Found 4 errors in 1 file" in said  # conv2d: one for "a", one for the missing weight
