"""A lesson in the terminal: its cells drawn, and walked through one by one."""

from __future__ import annotations

import ast
import code
import contextlib
import io
import linecache
import re
import sys
import traceback
import types
import warnings
from typing import Any, NoReturn

import click
from rich.console import Console, RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.syntax import Syntax

from tinymed.teach.check import WrongAnswer
from tinymed.teach.lessons import BEGIN, END, Cell, Lesson, cells, joined

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
    return MATH.sub(_formula, joined(text))


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


SAYS = {
    "en": {
        "prompt": "[Enter {does}, {keys}b back, p Python, q quit] ",
        "runs": "runs it",
        "goes on": "goes on",
        "s": "s a solution, ",
        "unknown": "Enter, b, p or q",
        "python": "the names of the lesson are here; Ctrl-D goes back",
        "not written": "{names}: not yet written. Write it after p, or see a solution with s; b comes back here",
        "kept": "{names}: yours stays",
        "picture": "a picture stands here: see it in the notebook or on the site",
        "skipped": "cells 1 to {last} have run unseen, exercises with their solutions, checks not",
        "later": "to go on here: tinymed tutorials step {number} --from {cell}",
        "end": "the end of the lesson",
    },
    "zh": {
        "prompt": "[回车{does}，{keys}b 后退，p 进入 Python，q 退出] ",
        "runs": "运行这一格",
        "goes on": "继续",
        "s": "s 看参考答案，",
        "unknown": "请按回车、b、p 或 q",
        "python": "这一课里的名字都可以用；按 Ctrl-D 回到课里",
        "not written": "{names} 还没有写：按 p 可以写，按 s 显示并运行参考答案；按 b 可以回到这里",
        "kept": "{names}：保留你写的",
        "picture": "这里是一张图：请在 notebook 或网站上看",
        "skipped": "第 1 到 {last} 格已在后台运行：练习用的是参考答案，检查没有运行",
        "later": "下次从这里继续：tinymed tutorials step {number} --from {cell} --lang zh",
        "end": "这一课结束了",
    },
}


class Walk:
    """A walk through a lesson: where it stands, and the names that its code has made."""

    def __init__(self, lesson: Lesson, console: Console) -> None:
        self.lesson, self.console = lesson, console
        self.says = SAYS["zh" if lesson.path.parent.name == "zh" else "en"]
        self.cells = lesson.cells
        self.asked = cells(lesson.student, lesson.path)  # the same cells, with the solutions taken out
        self.done = 0  # the cells before this one have run
        self.again: set[int] = set()  # of them, those to be run again: they failed, or are not yet written
        self.failed = 0  # so many times did a cell fail
        self.solved: set[int] = set()  # the cells whose solution was asked for
        self.typed: set[str] = set()  # what the student has defined at the Python prompt
        self.module = types.ModuleType(lesson.name)
        self.module.__file__ = str(lesson.path)

    def waits(self, k: int) -> bool:
        """Whether cell k is code that has yet to run."""
        return self.cells[k].kind == "code" and (k >= self.done or k in self.again)

    def hides(self, k: int) -> bool:
        """Whether cell k has a solution, not yet asked for."""
        return self.cells[k].text != self.asked[k].text and k not in self.solved

    def show(self, k: int) -> None:
        """Draw cell k; without its solution, unless that was asked for."""
        cell = self.cells[k]
        if cell.kind == "code":
            self.console.rule(f"{self.lesson.name}, cell {k + 1} of {len(self.cells)}", style="dim", align="left")
        self.console.print(drawn(self.asked[k] if self.hides(k) else cell))

    def go(self, k: int) -> None:
        """Run cell k, where it waits; of an exercise what the student has typed, else its empty function."""
        if not self.waits(k):
            return
        before = self.failed
        self.again.discard(k)
        names = _unwritten(self.asked[k]) if self.hides(k) else set()
        theirs = {name: self.module.__dict__[name] for name in names & self.typed}
        self.run(self.asked[k] if self.hides(k) else self.cells[k])
        self.module.__dict__.update(theirs)
        if theirs:
            click.echo(self.said("kept", names=", ".join(theirs)))
        if missing := names - set(theirs):
            click.echo(self.said("not written", names=", ".join(sorted(missing))))
        if missing or self.failed > before:
            self.again.add(k)

    def solve(self, k: int) -> None:
        """Show the solution of cell k, and run it."""
        self.solved.add(k)
        self.console.print(drawn(self.cells[k]))
        self.go(k)

    def skip(self, count: int) -> None:
        """Run the cells before, unseen: with the solutions of exercises, for later cells need them; without checks."""
        for cell in self.cells[:count]:
            if cell.kind == "code" and "check" not in cell.tags:
                with contextlib.redirect_stdout(io.StringIO()):
                    self.run(cell)
        self.done = count
        if count:
            click.echo(self.said("skipped", last=count))

    def python(self) -> None:
        """A Python prompt among the lesson's names; exit() and quit() lead back, too."""
        names = self.module.__dict__
        before = dict(names)
        ways = {name: _Back() for name in ("exit", "quit") if name not in names}  # Python's own would close the input
        names.update(ways)
        with contextlib.suppress(SystemExit):
            code.interact(self.says["python"], local=names, exitmsg="")
        for name in ways:
            if isinstance(names.get(name), _Back):
                del names[name]
        self.typed = {n for n in names if n in self.typed or before.get(n) is not names[n]}

    def run(self, cell: Cell) -> None:
        """Run a cell of code with the names made so far, and print its last expression, as a notebook does.

        What it raises is told, and counted.
        """
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
            if _pictures():
                click.echo(self.says["picture"])
        except (Exception, SystemExit) as error:
            self.failed += 1
            sys.stdout.flush()
            click.echo(_told(error, file), err=True)

    def said(self, what: str, **parts: Any) -> str:
        return self.says[what].format(**parts)

    def _tell(self, value: Any) -> None:
        from tinymed.teach.steps import Trace

        self.module.__dict__["_"] = value
        print(repr(value))
        if isinstance(value, Trace):
            value.show(8)


class _Back:
    """exit or quit, at the Python prompt of a lesson."""

    def __call__(self, code: Any = None) -> NoReturn:
        raise SystemExit(code)

    def __repr__(self) -> str:
        return "exit() or Ctrl-D goes back to the lesson"


def _unwritten(cell: Cell) -> set[str]:
    """The functions and classes of a cell that the student is to write."""
    defined = [node for node in ast.parse(cell.text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return {node.name for node in defined if "NotImplementedError" in ast.unparse(node)}


def _pictures() -> bool:
    """Whether the cell drew what cannot be shown here; that is put away."""
    if (plt := sys.modules.get("matplotlib.pyplot")) is None or not plt.get_fignums():
        return False
    if unseen := plt.get_backend().lower() in ("agg", "cairo", "pdf", "ps", "svg", "template"):
        plt.close("all")
    return unseen


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


def walk(lesson: Lesson, first: int = 1) -> int:
    """Walk a lesson cell by cell, led by lines of standard input; where those end, on to the lesson's end.

    How many of its cells failed is returned. Raises ValueError for a first cell that it does not have.
    """
    walked = Walk(lesson, Console())
    if not 1 <= first <= len(walked.cells):
        raise ValueError(f"{lesson.name} has cells 1 to {len(walked.cells)}; got {first}")
    before = sys.modules.get(lesson.name)
    sys.modules[lesson.name] = walked.module  # what its classes say that they come from
    try:
        walked.skip(first - 1)
        _loop(walked)
    finally:
        sys.modules.pop(lesson.name)
        if before:
            sys.modules[lesson.name] = before
    return walked.failed


def _loop(walked: Walk) -> None:
    k, last = walked.done, len(walked.cells)
    while k < last:
        walked.show(k)
        answer = _ask(walked, k)
        if answer == "q":
            click.echo(walked.said("later", number=walked.lesson.number, cell=k + 1))
            return
        if answer == "b":
            k = max(k - 1, 0)
            continue
        if answer == "s" or (answer == "end" and walked.cells[k].kind == "code" and walked.hides(k)):
            walked.solve(k)
        else:
            walked.go(k)
        sys.stdout.flush()
        walked.done = max(walked.done, k + 1)
        k += 1
    click.echo(walked.says["end"])


def _ask(walked: Walk, k: int) -> str:
    """ "" to go on, "b" back, "q" quit, "s" solution, "end" where nobody answers; a Python prompt in between."""
    does = walked.says["runs" if walked.waits(k) else "goes on"]
    keys = walked.says["s"] if walked.hides(k) else ""
    while True:
        try:
            answer = input(walked.said("prompt", does=does, keys=keys) if sys.stdin.isatty() else "").strip().lower()
        except EOFError:
            if sys.stdin.isatty():
                click.echo()
                return "q"
            return "end"
        if answer in ("", "b", "q") or (answer == "s" and keys):
            return answer
        if answer == "p":
            walked.python()
        else:
            click.echo(walked.says["unknown"])
