"""The lines of a function that are worth a step, read from its source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Statement:
    """A line worth a step: where it stands, what it says, the expression that it computes and where that goes.

    sign  "=", "+=" and so on; "if" for a question, "return" for an answer, "" for a call that leaves its mark elsewhere
    """

    line: int
    end: int
    code: str
    value: ast.expr
    targets: tuple[ast.expr, ...]
    sign: str


class Source:
    """The statements of a function that are steps: assignments, the questions of `if`, answers, calls.

    formulas  {statement: LaTeX}: just these; None for all of them
    Raises ValueError where there is no source, or where several steps share a line, which Python does not tell apart.
    """

    def __init__(self, function: Callable, formulas: dict[str, str] | None) -> None:
        function = inspect.unwrap(function)
        name = getattr(function, "__name__", type(function).__name__)
        try:
            lines, first = inspect.getsourcelines(function)
            tree = ast.parse(text := textwrap.dedent("".join(lines)))
            self.code: CodeType = function.__code__
        except (OSError, TypeError, AttributeError, SyntaxError):
            raise ValueError(
                f"the source of {name} cannot be read, and so not followed; "
                "write a function with def, in a file or a notebook's cell"
            ) from None
        self.name, self.file = name, place(inspect.getsourcefile(function) or "")
        self.formulas = formulas or {}
        self.at: dict[int, Statement] = {}
        for node in _own(tree.body[0]):
            statement = _statement(node, text, first - 1)
            if statement is None or (formulas is not None and statement.code not in formulas):
                continue
            if statement.line in self.at:
                raise ValueError(
                    f"{self.file}:{statement.line} holds several statements, which cannot be told apart while they "
                    "run; write each on a line of its own"
                )
            self.at[statement.line] = statement


def place(file: str | Path) -> str:
    """A file as seen from the repository: "kernels/reference.py"; of one outside, its name."""
    path = Path(file).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function itself, and not in a function or class inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            if isinstance(child, ast.For | ast.While | ast.With) and child.body[0].lineno == child.lineno:
                yield child  # both on one line: counts as a statement, and so is refused beside the other
            yield child
            yield from _own(child)


def _statement(node: ast.AST, text: str, before: int) -> Statement | None:
    def said(part: ast.AST) -> str:
        return ast.get_source_segment(text, part) or ""

    def found(code: str, value: ast.expr, targets: list[ast.expr], sign: str) -> Statement:
        last = value if isinstance(node, ast.If) else node
        line, end = before + node.lineno, before + last.end_lineno  # type: ignore[attr-defined]
        return Statement(line, end, code, value, tuple(t for target in targets for t in _flat(target)), sign)

    match node:
        case ast.AugAssign():
            both = ast.BinOp(as_read(node.target), node.op, node.value)
            sign = said(node).removeprefix(said(node.target)).split("=")[0].strip() + "="
            return found(said(node), both, [node.target], sign)
        case ast.Assign():
            return found(said(node), node.value, node.targets, "=")
        case ast.AnnAssign(value=ast.expr()):
            return found(said(node), node.value, [node.target], "=")  # type: ignore[arg-type]
        case ast.If():
            return found(f"if {said(node.test)}", node.test, [], "if")
        case ast.Return(value=ast.expr()):
            return found(said(node), node.value, [], "return")  # type: ignore[arg-type]
        case ast.Expr(value=ast.Call()):
            return found(said(node), node.value, [], "")
        case ast.For() | ast.While() | ast.With() if node.body[0].lineno == node.lineno:
            return found(said(node), ast.Constant(None), [], "")
    return None


def _flat(target: ast.expr) -> list[ast.expr]:
    """(a, b), *c → a, b, c"""
    if isinstance(target, ast.Tuple | ast.List):
        return [part for inner in target.elts for part in _flat(inner)]
    return [target.value if isinstance(target, ast.Starred) else target]


def as_read(target: Any) -> ast.expr:
    """The place that an assignment writes, as an expression that reads it."""
    return ast.parse(ast.unparse(target), mode="eval").body
