"""Expressions with their cells and numbers put in: w[at_w] * x[at_x] → w[0,0,0,1] · x[0,0,1,2] → 0 · 8."""

from __future__ import annotations

import ast
import inspect
from functools import lru_cache
from types import CodeType
from typing import Any, Protocol

import numpy as np

from tinymed.teach.steps import Cells, shown

PURE = {"abs", "bool", "dict", "float", "int", "len", "list", "max", "min", "range", "round", "sum", "tuple"}


class Memory(Protocol):
    """Which array owns which cells."""

    owners: dict[str, np.ndarray]

    def cells(self, array: np.ndarray, index: Any = ...) -> Cells | None: ...
    def named(self, cells: Cells) -> str: ...


def copied(node: ast.expr) -> ast.expr:
    return ast.parse(ast.unparse(node), mode="eval").body


@lru_cache(1024)
def _compiled(expression: str) -> CodeType:
    return compile(expression, "<trace>", "eval")


def value_of(node: ast.expr, names: dict[str, Any]) -> Any:
    """What an expression is worth where it stands; None if that cannot be asked without doing something twice."""
    if not harmless(node):
        return None
    try:
        return eval(_compiled(ast.unparse(node)), names | {"_numpy_s_": np.s_})
    except Exception:  # a name that only a comprehension knows, an index that the function itself will stumble over
        return None


def harmless(node: ast.AST) -> bool:
    """Whether evaluating it once more changes nothing: no calls but those of mathematics."""
    for call in (part for part in ast.walk(node) if isinstance(part, ast.Call)):
        f = call.func
        pure = isinstance(f, ast.Name) and f.id in PURE
        if not pure and not (
            isinstance(f, ast.Attribute) and isinstance(f.value, ast.Name) and f.value.id in ("np", "math")
        ):
            return False
    return not any(isinstance(part, ast.NamedExpr | ast.Await | ast.Yield) for part in ast.walk(node))


def place_of(node: ast.expr, names: dict[str, Any]) -> tuple[np.ndarray, Any] | None:
    """The array and the index of a subscript."""
    if isinstance(node, ast.Subscript):
        array = value_of(node.value, names)
        if isinstance(array, np.ndarray):
            return array, value_of(_index(node), names)
    return None


def _index(node: ast.Subscript) -> ast.expr:
    """The index as an expression of its own: slices are written as such only inside brackets."""
    text = ast.unparse(node)[len(ast.unparse(node.value)) :]
    return ast.parse(f"_numpy_s_{text}", mode="eval").body


def _word(text: str) -> ast.Name:
    return ast.Name(text, ast.Load())


def text_of(node: ast.AST) -> str:
    return ast.unparse(node).replace(" * ", " · ").replace("np.", "").replace("math.", "")


def _bare(node: Any) -> Any:
    """A negative number needs no brackets between those of a call."""
    return _word(node.id[1:-1]) if isinstance(node, ast.Name) and node.id.startswith("(") else node


class _Rewriter(ast.NodeTransformer):
    def __init__(self, recorder: Memory, names: dict[str, Any]) -> None:
        self.recorder, self.names = recorder, names
        self.reads: list[Cells] = []

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        """Only the side that was taken."""
        return self.visit(node.body if value_of(node.test, self.names) else node.orelse)

    def visit_Call(self, node: ast.Call) -> Any:
        value = value_of(node.func, self.names)
        if isinstance(node.func, ast.Name) and inspect.isfunction(value):
            node.func = _word(value.__name__)  # the function that f stands for
        node.args = [_bare(self.visit(a)) for a in node.args]
        return node


class Reader(_Rewriter):
    """Puts numbers in place of cells and names, and remembers which cells those were."""

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        at = place_of(node, self.names)
        if at is None:
            return self.number(node)
        cells = self.recorder.cells(*at)
        if cells:
            self.reads.append(cells)
        return self.number(node)

    def visit_Name(self, node: ast.Name) -> Any:
        value = self.names.get(node.id)
        if isinstance(value, np.ndarray):
            if cells := self.recorder.cells(value):
                self.reads.append(cells)
        elif node.id in self.recorder.owners and isinstance(value, int | float | np.number):
            self.reads.append((node.id, (0,)))
        return self.number(node)

    def number(self, node: Any) -> Any:
        value = value_of(node, self.names)
        plain = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not plain and not (isinstance(value, np.ndarray | list) and np.ndim(value) == 1):
            return node
        text = shown(value)
        return _word(f"({text})" if text.startswith("-") else text)


class Places(_Rewriter):
    """Puts the cells meant in place of what the loops call them."""

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        at = place_of(node, self.names)
        cells = self.recorder.cells(*at) if at else None
        return _word(self.recorder.named(cells)) if cells else node

    def visit_Name(self, node: ast.Name) -> Any:
        value = self.names.get(node.id)
        cells = self.recorder.cells(value) if isinstance(value, np.ndarray) else None
        return _word(self.recorder.named(cells)) if cells else node
