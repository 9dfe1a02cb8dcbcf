"""Lessons as files: finding them, their cells, copies for students, and notebooks.

A lesson is `tutorials/NN_name.py`, plain Python in cells that start at `# %%`; a cell that starts at
`# %% [markdown]` is prose in comments. Its Chinese twin, `tutorials/zh/NN_name.py`, has the same code cells. The
first cell says what it is about:

    # %% [markdown]
    # # 01 · Convolution
    #
    # *Article 4.1.1, 4.1.3 · 40 minutes · `kernels/reference.py`*

After the mark may come what Jupyter keeps of a cell, as jupytext writes it: `# %% tags=["check"] scrolled=true`.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tinymed
from tinymed.data.extras import needed

MARK = re.compile(  # "# %% a title [markdown] key=value …": the title and what follows it may be missing
    r"# %%(?: +[^\[\s][^\[\n]*?)??(?: +(?P<markdown>\[(?:markdown|md)\]))?(?: +(?P<kept>[\w.-]+=\S.*?))? *"
)
TAGS = re.compile(r"(?:^| )tags=\[([^\]]*)\]")
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
SOLUTION = re.compile(
    rf"^(?P<indent>[ \t]*){BEGIN}[ \t]*\n(?P<code>.*?)^[ \t]*{END}[ \t]*\n?", re.DOTALL | re.MULTILINE
)
EXERCISE = re.compile(
    r"^> \*\*(?P<name>(?:Exercise|练习) ?\d+(?:\.\d+)*)[.。]?\*\*[.。]? *(?P<task>.*\n?(?:^>(?! \*\*).*\n?)*)", re.M
)
HIDDEN = re.compile(
    r"<details>\s*<summary>[^<]*(?:[Ss]olution|[Aa]nswer|解答|答案|题解)[^<]*</summary>.*?</details>\n?", re.DOTALL
)


def folder(name: str = "tutorials") -> Path:
    """Where the lessons, or the `docs`, lie: in a checkout beside the package, in an installed package inside it."""
    home = Path(tinymed.__file__).resolve().parent
    beside = home.parent / name
    return beside if (home.parent / "pyproject.toml").exists() and beside.is_dir() else home / name


@dataclass(frozen=True)
class Cell:
    """A cell: "markdown" or "code", its text without the comment signs, its tags, and the line it starts at."""

    kind: str
    text: str
    tags: tuple[str, ...] = ()
    line: int = 1


@dataclass(frozen=True)
class Lesson:
    """A lesson as a file: `number` 1, `name` "01_convolution"; the rest is what its first cell says of it."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> int:
        return int(self.name[:2])

    @cached_property
    def text(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"{self.path} is no text in UTF-8") from None

    @cached_property
    def cells(self) -> list[Cell]:
        return cells(self.text, self.path)

    @cached_property
    def student(self) -> str:
        return student(self.text, self.path)

    @cached_property
    def title(self) -> str:
        first = self.cells[0].text.partition("\n")[0] if self.cells else ""
        return re.sub(r"^# *(\d+ *· *)?", "", first) or self.name

    @cached_property
    def about(self) -> str:
        """The line in italics under the title."""
        found = re.search(r"^\*(?!\*)(.+)\*$", self.cells[0].text if self.cells else "", re.MULTILINE)
        return found[1] if found else ""

    @property
    def sections(self) -> tuple[str, ...]:
        """The sections of the article that it teaches: "4.1.1", …"""
        return tuple(re.findall(r"\d+(?:\.\d+)*", self.about.partition("·")[0]))

    @property
    def minutes(self) -> int | None:
        found = re.search(r"(\d+) *(?:minutes|分钟)", self.about)
        return int(found[1]) if found else None

    @property
    def twin(self) -> Lesson | None:
        """The same lesson in Chinese, or, of a Chinese one, in English; None if there is none."""
        here = self.path.parent
        other = (here.parent if here.name == "zh" else here / "zh") / self.path.name
        return Lesson(other) if other.exists() else None


def lessons(where: Path | None = None) -> list[Lesson]:
    """Every lesson of a folder, in order."""
    return [Lesson(path) for path in sorted((where or folder()).glob("[0-9][0-9]_*.py"))]


def lesson(wanted: str, where: Path | None = None) -> Lesson:
    """The lesson of a number ("1", "01") or name ("01_convolution", "convolution"), in letters of any case.

    Raises ValueError with the nearest names for none.
    """
    known = lessons(where)
    names = {name.lower(): found for found in known for name in (found.name, found.name[3:])}
    names |= {str(found.number): found for found in known}
    asked = str(int(wanted)) if wanted.isdecimal() else wanted.lower()
    if asked in names:
        return names[asked]
    near = list(dict.fromkeys(names[n].name for n in difflib.get_close_matches(asked, names, 5)))[:3]
    meant = f"did you mean {', '.join(near)}? " if near else ""
    raise ValueError(f"there is no lesson {wanted!r}; {meant}tinymed tutorials list names those that there are")


# ---------------------------------------------------------------- cells


def cells(text: str, file: Path | str = "lesson") -> list[Cell]:
    """The cells of a lesson's text.

    Raises ValueError, with the file and the line, for code before the first cell, for a line that starts like a
    mark and is none, and for a line of prose without its #.
    """
    found: list[Cell] = []
    lines = text.splitlines()
    starts = [k for k, line in enumerate(lines) if re.match(r"\s*# *%%", line)]
    for k, line in enumerate(lines[: starts[0] if starts else None], 1):
        if line.strip() and not line.startswith("#"):
            raise ValueError(f"{file}:{k}: a lesson starts with '# %%' or '# %% [markdown]', not with {line!r}")
    for start, stop in zip(starts, [*starts[1:], len(lines)]):
        if not (mark := MARK.fullmatch(lines[start])):
            raise ValueError(
                f"{file}:{start + 1}: a cell starts with '# %%' or '# %% [markdown]', not {lines[start]!r}"
            )
        body = lines[start + 1 : stop]
        kind = "markdown" if mark["markdown"] else "code"
        if kind == "markdown":
            for k, line in enumerate(body, start + 2):
                if line.strip() and not line.startswith("#"):
                    raise ValueError(f"{file}:{k}: in a cell of prose every line starts with '#', not {line!r}")
            body = [_bare(line) for line in body]
        kept = TAGS.search(mark["kept"] or "")
        tags = tuple(re.findall(r'"([^"]+)"', kept[1])) if kept else ()
        found.append(Cell(kind, "\n".join(body).strip("\n"), tags, start + 2 + _blank(body)))
    return found


def _bare(line: str) -> str:
    """A line of prose without its comment sign."""
    return re.sub(r"^# ?", "", line)


def _blank(lines: list[str]) -> int:
    """How many empty lines come first."""
    return next((k for k, line in enumerate(lines) if line.strip()), 0)


def joined(text: str) -> str:
    """Markdown with the lines of Chinese sentences joined: where a source breaks one, a page would show a blank."""
    lines: list[str] = []
    quoted = r" *(?:> ?)*"
    code = False
    for line in text.split("\n"):
        bare = re.sub(f"^{quoted}", "", line)
        was = code
        code ^= bare.startswith(("```", "~~~")) or bare.count("$$") % 2 == 1
        before = lines[-1] if lines else ""
        alike = before.lstrip().startswith(">") == line.lstrip().startswith(">")
        heading = before.startswith("#")
        if not (code or was) and alike and not heading and _chinese(before[-1:]) and _chinese(bare[:1]):
            lines[-1] += bare
        else:
            lines.append(line)
    return "\n".join(lines)


def _chinese(letter: str) -> bool:
    """Whether it is a Chinese character, or a sign that stands between such without blanks."""
    return bool(letter) and (unicodedata.east_asian_width(letter) in "WF" or letter in "“”‘’…—")


# ---------------------------------------------------------------- copies for students


def exercise_before(text: str) -> str:
    """The last exercise that Markdown sets, as "Exercise 1.2: what to do"; "" for none."""
    found = list(EXERCISE.finditer(text))
    if not found:
        return ""
    task = " ".join(line.lstrip("> ").strip() for line in found[-1]["task"].splitlines())
    task = re.sub(r"[`*$]", "", task).strip()
    first = re.match(r".*?(?:[。：？]|[.:?](?=\s|$))", task)
    return f"{found[-1]['name']}: {(first[0] if first else task).rstrip('.。:：').strip()}".rstrip(": ")


def student(text: str, file: Path | str = "lesson") -> str:
    """The lesson without its solutions: where one stood, NotImplementedError is raised, with the exercise's name.

    Raises ValueError for a solution without an exercise before it, or without an end, and where `cells` does.
    """
    cells(text, file)
    prose = [_bare(line) if line.startswith("#") else "" for line in text.splitlines()]

    def stop(found: re.Match) -> str:
        line = text.count("\n", 0, found.start())
        if not (name := exercise_before("\n".join(prose[:line]))):
            raise ValueError(f"{file}:{line + 1}: this solution has no exercise before it: > **Exercise 1.1.** …")
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'{found["indent"]}raise NotImplementedError("{quoted}")\n'

    stripped = SOLUTION.sub(stop, text)
    if BEGIN in stripped or END in stripped:
        raise ValueError(f"{file}: a solution stands between the lines {BEGIN!r} and {END!r}; one of them is missing")
    return _without_answers(stripped)


def _without_answers(text: str) -> str:
    """Markdown cells without their <details> that hold a solution."""
    parts = re.split(r"(?m)^(?=# %%)", text)
    for k, part in enumerate(parts):
        line, _, body = part.partition("\n")
        if (mark := MARK.fullmatch(line)) and mark["markdown"] and "<details>" in body:
            plain = "\n".join(map(_bare, body.splitlines()))
            kept = HIDDEN.sub("", plain).strip("\n")
            parts[k] = line + "\n" + "".join(f"# {line}".rstrip() + "\n" for line in kept.splitlines()) + "\n"
    return "".join(parts)


# ---------------------------------------------------------------- notebooks


KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def notebook(text: str, file: Path | str = "lesson") -> Any:
    """The lesson's text as a notebook.

    Raises ImportError with what to install where jupytext is missing; ValueError where `cells` does.
    """
    cells(text, file)
    jupytext = needed("jupytext", "notebook")
    made = jupytext.reads(text, fmt="py:percent")
    made.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    made.nbformat_minor = 5
    for k, cell in enumerate(made.cells):
        cell["id"] = f"cell-{k}"  # the same for the same lesson
    return made
