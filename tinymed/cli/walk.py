"""A lesson in the terminal: its cells drawn, and walked through one by one."""

from __future__ import annotations

import ast
import code
import contextlib
import linecache
import re
import sys
import traceback
import types
import warnings
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.syntax import Syntax

from tinymed.teach.check import WrongAnswer
from tinymed.teach.lessons import BEGIN, END, Cell, Lesson, cells

MATH = re.compile(r"(?<!`)\$\$(?P<display>.+?)\$\$|(?<![\\$`\w])\$(?P<inline>[^$\n]+?)\$(?!\w)", re.DOTALL)


def drawn(cell: Cell) -> RenderableType:
    """A cell as rich shows it: prose with its formulas as text, or code in colours."""
    if cell.kind == "markdown":
        return Markdown(readable(cell.text))
    text = "\n".join(line for line in cell.text.splitlines() if line.strip() not in (BEGIN, END))
    return Padding(Syntax(text, "python", theme="ansi_dark", word_wrap=True, background_color="default"), (0, 0, 0, 4))


def readable(text: str) -> str:
    """Markdown for a terminal: LaTeX as text, and what unfolds on a page unfolded."""
    text = re.sub(r"<details>\s*<summary>(.*?)</summary>", r"**\1**", text).replace("</details>", "")
    return MATH.sub(_formula, text)


def _formula(found: re.Match) -> str:
    latex = found["inline"] or found["display"]
    if found["inline"]:
        return f"`{_plain(latex)}`"
    latex = re.sub(r"\\tag\{(.*?)\}", r"\\qquad (\1)", latex)
    if re.search(r"\\begin\{(?:aligned|align|gathered|split)\}", latex):  # lines under one another
        latex = re.sub(r"\\(?:begin|end)\{\w+\*?\}|&", "", latex)
        lines = re.split(r"\\\\", latex)
    else:
        lines = [latex]
    return "\n```\n" + "\n".join(text for line in lines if (text := _plain(line))) + "\n```\n"


def _plain(latex: str) -> str:
    from tinymed.teach.latex import plain

    return plain(latex)


class Walk:
    """A walk through a lesson: where it stands, and the names that its code has made."""

    def __init__(self, lesson: Lesson, console: Console) -> None:
        self.lesson, self.console = lesson, console
        self.cells = lesson.cells
        self.asked = cells(lesson.student, lesson.path)  # the same cells, with the solutions taken out
        self.done = 0  # the cells before this one have run
        self.failed = 0  # so many of them
        self.module = types.ModuleType(lesson.name)
        self.module.__file__ = str(lesson.path)

    def show(self, k: int) -> None:
        """Draw cell k; an exercise, until it has run, without its solution."""
        cell = self.cells[k]
        if cell.kind == "code":
            self.console.rule(f"{self.lesson.name}, cell {k + 1} of {len(self.cells)}", style="dim", align="left")
        self.console.print(drawn(cell if k < self.done else self.asked[k]))

    def run(self, k: int) -> None:
        """Run cell k with the names made so far, and print its last expression, as a notebook does.

        What it raises is told, and counted.
        """
        cell = self.cells[k]
        if cell.kind == "markdown":
            return
        if cell.text != self.asked[k].text:
            self.console.print(drawn(cell))  # the solution
        file = str(self.lesson.path)
        linecache.checkcache(file)
        try:
            tree = ast.parse("\n" * (cell.line - 1) + cell.text, file)  # lines as in the file: traces read it there
            shown = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            value = None
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*non-interactive.*")  # plt.show() where there is no window
                exec(compile(tree, file, "exec"), self.module.__dict__)
                if isinstance(shown, ast.Expr):
                    value = eval(compile(ast.Expression(shown.value), file, "eval"), self.module.__dict__)
            if value is not None:
                self._tell(value)
        except (Exception, SystemExit) as error:
            self.failed += 1
            sys.stdout.flush()
            click.echo(_told(error, file), err=True)

    def _tell(self, value: Any) -> None:
        from tinymed.teach.steps import Trace

        self.module.__dict__["_"] = value
        print(repr(value))
        if isinstance(value, Trace):
            value.show(8)


def _told(error: BaseException, file: str) -> str:
    """What a cell raised: the sentence of a check, and of what is not yet written; else the way from the cell on."""
    if isinstance(error, WrongAnswer | NotImplementedError) and str(error):
        return str(error)
    if isinstance(error, SystemExit):
        return f"the cell asks to end Python, with {error!r}; the lesson goes on"
    frame = error.__traceback__
    while frame and frame.tb_frame.f_code.co_filename != file:
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame)).rstrip()


def walk(lesson: Lesson) -> int:
    """Walk a lesson cell by cell, led by lines of standard input; where those end, on to the lesson's end.

    How many of its cells failed is returned.
    """
    walked = Walk(lesson, Console())
    before = sys.modules.get(lesson.name)
    sys.modules[lesson.name] = walked.module  # what its classes say that they come from
    try:
        _loop(walked)
    finally:
        sys.modules.pop(lesson.name)
        if before:
            sys.modules[lesson.name] = before
    return walked.failed


def _loop(walked: Walk) -> None:
    k, last = 0, len(walked.cells)
    while k < last:
        walked.show(k)
        answer = _ask(walked, k)
        if answer == "q":
            return
        if answer == "b":
            k = max(k - 1, 0)
            continue
        if k >= walked.done:
            walked.run(k)
            walked.done = k + 1
            sys.stdout.flush()
        k += 1
    click.echo("the end of the lesson")


def _ask(walked: Walk, k: int) -> str:
    """ "" to go on, "b" back, "q" quit; a Python prompt in between."""
    runs = walked.cells[k].kind == "code" and k >= walked.done
    does = "runs it" if runs else "goes on"
    if runs and walked.cells[k].text != walked.asked[k].text:
        does = "shows and runs a solution"
    while True:
        try:
            answer = input(f"[Enter {does}, b back, p Python, q quit] " if sys.stdin.isatty() else "").strip().lower()
        except EOFError:
            if sys.stdin.isatty():
                click.echo()
                return "q"
            return ""
        if answer in ("", "b", "q"):
            return answer
        if answer == "p":
            with contextlib.suppress(SystemExit):
                told = "the names of the lesson are here; Ctrl-D goes back"
                code.interact(told, local=walked.module.__dict__, exitmsg="")
        else:
            click.echo("Enter, b, p or q")
