"""Expressions with their cells and numbers put in: w[at_w] * x[at_x] → w[0,0,0,1] · x[0,0,1,2] → 0 · 8."""

from __future__ import annotations

import ast
import inspect
from collections import ChainMap
from collections.abc import Mapping
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

import numpy as np

from tinymed.teach.memory import Memory
from tinymed.teach.steps import Cells, shown

Names = Mapping[str, Any]
PLAIN = (
    ast.Name, ast.Constant, ast.Slice, ast.Tuple, ast.List, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context, ast.Starred,
)  # fmt: skip
PURE = {"abs", "bool", "dict", "float", "int", "len", "max", "min", "range", "round", "sum"}
PURE_OF_ARRAYS = {"abs", "argmax", "dot", "exp", "floor", "isnan", "log", "max", "maximum", "mean", "min", "minimum",
                  "prod", "sign", "sqrt", "sum", "tanh"}  # fmt: skip
FACTS = {"T", "ndim", "shape", "size"}


def names_of(frame: FrameType) -> Names:
    return ChainMap(frame.f_locals, frame.f_globals)


def copied(node: ast.expr) -> ast.expr:
    return ast.parse(ast.unparse(node), mode="eval").body


# ---------------------------------------------------------------- asking what an expression is worth


@lru_cache(1024)
def _compiled(expression: str) -> CodeType:
    return compile(expression, "<trace>", "eval")


def value_of(node: ast.expr, names: Names) -> Any:
    """What an expression is worth where it stands; None if that cannot be asked without doing something twice."""
    if not harmless(node, names):
        return None
    try:
        return eval(_compiled(ast.unparse(node)), {"_numpy_s_": np.s_}, names)
    except Exception:  # a name that only a comprehension knows, an index that the function itself will stumble over
        return None


def harmless(node: ast.AST, names: Names) -> bool:
    """Whether to evaluate it once more changes nothing: plain reading and arithmetic, of things that do not run out."""
    match node:
        case ast.Name() if node.id in names and hasattr(names[node.id], "__next__"):
            return False
        case ast.Attribute() if node.attr not in FACTS and not _is_library(node.value, names):
            return False
        case ast.Subscript() if not _is_library(node.value, names):
            if type(value_of(node.value, names)) not in (np.ndarray, list, tuple, dict, str):
                return False  # what its brackets do is its own affair
        case ast.Call():
            f, pure = node.func, False
            if isinstance(f, ast.Name):
                pure = f.id in PURE and f.id not in names
            elif isinstance(f, ast.Attribute):
                pure = f.attr in PURE_OF_ARRAYS and _is_library(f.value, names)
            if not pure or node.keywords:
                return False
            return all(harmless(a, names) for a in node.args)
        case _ if not isinstance(node, (*PLAIN, ast.Attribute, ast.Subscript, ast.Name)):
            return False
    return all(harmless(part, names) for part in ast.iter_child_nodes(node))


def _is_library(node: ast.AST, names: Names) -> bool:
    return isinstance(node, ast.Name) and (node.id == "_numpy_s_" or inspect.ismodule(names.get(node.id)))


def number(value: Any) -> float | None:
    """A real number as a float; None for what is none, or too large for one."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def place_of(node: ast.expr, names: Names) -> tuple[np.ndarray, Any] | None:
    """The array and the index of a subscript; the array and ... of a name."""
    if isinstance(node, ast.Subscript):
        array = value_of(node.value, names)
        if isinstance(array, np.ndarray):
            index = value_of(ast.Subscript(ast.Name("_numpy_s_", ast.Load()), node.slice, ast.Load()), names)
            return None if index is None else (array, index)
    return None


# ---------------------------------------------------------------- writing it with something else in its place


def text_of(node: ast.AST) -> str:
    return ast.unparse(node).replace(" * ", " · ").replace("np.", "").replace("math.", "")


def _word(text: str) -> ast.Name:
    return ast.Name(text, ast.Load())


def _bare(node: Any) -> Any:
    """A negative number needs no brackets between those of a call."""
    return _word(node.id[1:-1]) if isinstance(node, ast.Name) and node.id.startswith("(") else node


class _Rewriter(ast.NodeTransformer):
    def __init__(self, memory: Memory, names: Names) -> None:
        self.memory, self.names = memory, names
        self.reads: list[Cells] = []

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        """Only the side that was taken."""
        taken = value_of(node.test, self.names)
        return self.generic_visit(node) if taken is None else self.visit(node.body if taken else node.orelse)

    def visit_Call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Name) and inspect.isfunction(value := self.names.get(node.func.id)):
            node.func = _word(value.__name__)  # the function that f stands for
        node.args = [_bare(self.visit(a)) for a in node.args]
        return node


class Reader(_Rewriter):
    """Puts numbers in place of cells and names, and remembers which cells those were."""

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        at = place_of(node, self.names)
        if at and (cells := self.memory.cells(*at)):
            self.reads.append(cells)
        return self.number(node)

    def visit_Name(self, node: ast.Name) -> Any:
        value = self.names.get(node.id)
        if isinstance(value, np.ndarray):
            if cells := self.memory.cells(value):
                self.reads.append(cells)
        elif node.id in self.memory.owners and number(value) is not None:
            self.reads.append((node.id, (0,)))
        return self.number(node)

    def number(self, node: Any) -> Any:
        value = value_of(node, self.names)
        if number(value) is None and not _vector(value):
            return node
        text = shown(value)
        return _word(f"({text})" if text.startswith("-") else text)


def _vector(value: Any) -> bool:
    """Whether it is a row of numbers."""
    if isinstance(value, list):
        return all(number(v) is not None for v in value)
    return isinstance(value, np.ndarray) and value.ndim == 1


class Places(_Rewriter):
    """Puts the cells meant in place of what the loops call them."""

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        at = place_of(node, self.names)
        cells = self.memory.cells(*at) if at else None
        return _word(self.memory.named(cells)) if cells else node

    def visit_Name(self, node: ast.Name) -> Any:
        value = self.names.get(node.id)
        cells = self.memory.cells(value) if isinstance(value, np.ndarray) else None
        return _word(self.memory.named(cells, by_name=True)) if cells else node
