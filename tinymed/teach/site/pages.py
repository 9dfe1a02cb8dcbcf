"""The folder that Sphinx reads: lessons as notebooks with what they show, docs/, and pages made from the code."""

from __future__ import annotations

import copy
import posixpath
import re
from pathlib import Path
from typing import Any

from tinymed.data.extras import needed
from tinymed.teach import findings
from tinymed.teach.equations import EQUATIONS, lesson_on
from tinymed.teach.lessons import BEGIN, END, Lesson, folder, joined, lessons, notebook
from tinymed.teach.site.api import write_api
from tinymed.teach.steps import shown

Outputs = dict[str, list[list[Any]]]


def stage(staged: Path, where: Path, outputs: Outputs) -> None:
    """Fill a new folder with everything that becomes a page. Lessons come from the folder `where`."""
    staged.mkdir()
    course = Course(where)
    for english in course.lessons:
        for lesson in filter(None, (english, english.twin)):
            _write(staged / course.page_of(lesson), course.as_notebook(lesson, outputs[english.name]))
    for page in course.pages:
        inside = page.relative_to(where)
        _write(staged / inside, course.linked(page.read_text(encoding="utf-8"), f"tutorials/{inside.parent}"))
    for page in sorted(folder("docs").glob("*.md")):
        _write(staged / "docs" / page.name, course.linked(page.read_text(encoding="utf-8"), "docs"))
    _write(staged / "errata.md", course.linked(errata(), "tutorials"))
    _write(staged / "formulas.md", course.linked(formulas(where), "tutorials"))
    api = write_api(staged / "api")
    _write(staged / "modules.txt", "\n".join(sorted(api)) + "\n")
    index = staged / "index.md"
    front = index.read_text(encoding="utf-8") if index.exists() else "# tinymed\n\n<!-- lessons -->\n"
    _write(index, front.replace("<!-- lessons -->", course.contents()) + course.tree(staged))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


class Course:
    """The lessons of a folder, and how pages refer to each other."""

    def __init__(self, where: Path) -> None:
        self.where, self.lessons = where, lessons(where)
        self.names = {lesson.name for lesson in self.lessons}
        own = [page for page in where.glob("lecturer/*.md") if page.name != "answers.md"]  # students see the site
        self.pages, self.lecturer = [*where.glob("*.md"), *own], {page.name for page in own}

    def page_of(self, lesson: Lesson) -> str:
        return ("zh/" if lesson.path.parent.name == "zh" else "") + f"{lesson.name}.ipynb"

    # ------------------------------------------------------------ a lesson

    def rehearse(self) -> None:
        """Make every lesson's page without what it shows. Raises what `as_notebook` does, before any has run."""
        for english in self.lessons:
            nothing: list[list[Any]] = [[] for cell in english.cells if cell.kind == "code"]
            for lesson in filter(None, (english, english.twin)):
                self.as_notebook(lesson, nothing)

    def as_notebook(self, lesson: Lesson, outputs: list[list[Any]]) -> str:
        """A lesson with its outputs; of an exercise first what is to be written, then, folded up, the solution, and
        what the check after it says of that: under the check, it would seem to speak of the empty function.

        Raises RuntimeError for a twin whose code cells are not the same in number; ValueError for a lesson whose
        cells or solutions are not marked well.
        """
        nbformat = needed("nbformat", "docs")
        made, asked = notebook(lesson.text, lesson.path), notebook(lesson.student)
        code = [cell for cell in made.cells if cell.cell_type == "code"]
        if len(code) != len(outputs):
            raise RuntimeError(f"{lesson.path} has {len(code)} code cells, and its twin {len(outputs)}")
        for cell, seen in zip(code, outputs):
            cell.outputs = [nbformat.from_dict(copy.deepcopy(output)) for output in seen]
        here = "tutorials/zh" if lesson.path.parent.name == "zh" else "tutorials"
        cells, solution = [], None
        for cell, stub in zip(made.cells, asked.cells):
            if cell.cell_type == "markdown":
                cell.source = self.linked(joined(cell.source), here)
                solution = None
            elif cell.source != stub.source:
                cells.append(stub)
                cell.source = "\n".join(s for s in cell.source.splitlines() if s.strip() not in (BEGIN, END))
                cell.metadata = {"tags": ["hide-cell"], "mystnb": _folded(here)}
                cell.id += "-solution"
                solution = cell
            elif solution and "check" in cell.metadata.get("tags", ()):
                solution.outputs += cell.outputs
                cell.outputs = []
            cells.append(cell)
        made.cells = cells
        self._switch(lesson, made.cells[0])
        return nbformat.writes(made)

    def _switch(self, lesson: Lesson, first: Any) -> None:
        """A link to the twin, under the title."""
        if twin := lesson.twin:
            chinese = twin.path.parent.name == "zh"
            link = f"[{'中文' if chinese else 'English'}]({'' if chinese else '../'}{self.page_of(twin)})"
            title, _, rest = first.source.partition("\n")
            about = f"*{lesson.about}*"
            rest = rest.replace(about, f"{about} · {link}", 1) if lesson.about else f"\n{link}\n{rest}"
            first.source = f"{title}\n{rest}"

    # ------------------------------------------------------------ links

    def linked(self, text: str, here: str) -> str:
        """Markdown of a file in the repository's folder `here`, with its links leading to pages of the site.

        Also: "article 4.1.1" leads to the lesson on that section.
        """
        home = posixpath.relpath(".", posixpath.relpath(_staged(here), "."))

        def link(found: re.Match) -> str:
            if found["code"]:
                return found[0]
            if found["section"]:
                taught = lesson_on(number := found["section"], self.lessons)
                if taught and here == "tutorials/zh" and taught.twin:
                    taught = taught.twin
                return f"{found['article']}[{number}]({home}/{self.page_of(taught)})" if taught else found[0]
            target, _, anchor = found["target"].partition("#")
            if not target or re.match(r"[a-z]+:", target):
                return found[0]
            page = self._page(posixpath.normpath(posixpath.join(here, target)))
            if page is None:
                said = found["text"].strip("`")
                return f"`{said}`" if said == target.lstrip("./") else f"{found['text']} (`{target.lstrip('./')}`)"
            return f"[{found['text']}]({home}/{page}{'#' + anchor if anchor else ''})"

        return re.sub(
            r"(?P<code>```.*?```|`[^`\n]*`(?!\]))|(?<!!)\[(?P<text>[^\]\n]*)\]\((?P<target>[^)\s]+)\)"
            r"|(?P<article>\barticle |(?<!\*)文章 ?)(?P<section>\d+(?:\.\d+)+)",
            link,
            text,
            flags=re.DOTALL,
        )

    def _page(self, path: str) -> str | None:
        """The page that shows a file of the repository; None if there is none."""
        lesson = re.fullmatch(r"tutorials/(zh/)?(\d\d_\w+)\.(?:py|ipynb)", path)
        if lesson and lesson[2] in self.names:
            return f"{lesson[1] or ''}{lesson[2]}.ipynb"
        if (page := path.removeprefix("tutorials/")) in {f"lecturer/{name}" for name in self.lecturer} | {"index.md"}:
            return page
        return path if path.startswith("docs/") and (folder("docs") / path[5:]).exists() else None

    # ------------------------------------------------------------ the front page

    def contents(self) -> str:
        """The lessons as a table."""
        rows = ["| | lesson | minutes | article | |", "|---|---|---|---|---|"]
        for lesson in self.lessons:
            twin = f"[中文]({self.page_of(lesson.twin)})" if lesson.twin else ""
            about = f"[{lesson.title}]({lesson.name}.ipynb) | {lesson.minutes or ''} | {', '.join(lesson.sections)}"
            rows.append(f"| {lesson.number:02} | {about} | {twin} |")
        return "\n".join(rows)

    def tree(self, staged: Path) -> str:
        """What stands in the margin of every page."""
        reference = ["formulas", "errata", "docs/glossary", "docs/faq", "docs/pytorch-differences", "docs/design"]
        others = sorted(f"docs/{page.stem}" for page in (staged / "docs").glob("*.md"))
        groups = {
            "Lessons": [lesson.name for lesson in self.lessons],
            "课程": [f"zh/{lesson.name}" for lesson in self.lessons if lesson.twin],
            "Reference": [*dict.fromkeys([*reference, *others]), "api/index"],
            "For lecturers": sorted(f"lecturer/{Path(name).stem}" for name in self.lecturer),
        }
        groups["Reference"] = [page for page in groups["Reference"] if any(staged.glob(f"{page}.*"))]
        return "".join(
            f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(entries) + "\n```\n"
            for caption, entries in groups.items()
            if entries
        )


def _staged(here: str) -> str:
    """Where the files of a folder of the repository go."""
    return posixpath.normpath(posixpath.relpath(here, "tutorials") if here.startswith("tutorials") else here)


def _folded(here: str) -> dict[str, str]:
    chinese = here.endswith("zh")
    return {
        "code_prompt_show": "看参考答案和检查结果" if chinese else "Show a solution, and what the check says of it",
        "code_prompt_hide": "收起答案" if chinese else "Hide the solution",
    }


# ---------------------------------------------------------------- pages made from the code


def errata() -> str:
    """The article's worked numbers beside the engine's: computed now, none typed."""
    parts = [
        "# Errata of the article\n\nWhat the article prints, and what its equations give. The numbers on this page were"
        " computed by the engine when the page was made; `tinymed demo` prints the same.\n"
    ]
    for found in findings():
        verdict = "The article is right" if found.agrees else "The article errs"
        rows = "".join(f"| {name} | {_shown(value)} |\n" for name, value in found.computed.items())
        parts.append(
            f"## {found.where}: {found.formula}\n\n| article {found.where} | |\n|---|---|\n"
            f"| **what it prints** | {_shown(found.printed)} |\n{rows}\n**{verdict}:** {found.verdict}.\n"
        )
    return "\n".join(parts)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"`{shown(value)}`"


def formulas(where: Path) -> str:
    """Each equation of the article: the lesson, the loops, the trace and the test."""
    from mdit_py_plugins.anchors.index import slugify  # as MyST names headings

    rows = [
        "# From formula to code\n\nEvery equation of the article: the lesson that teaches it, the plain loops that"
        " compute it, the trace that steps through those, and the test that holds them.\n",
        "| article | formula | lesson | code, trace, test |\n|---|---|---|---|",
    ]
    for e in EQUATIONS:
        lesson = e.lesson(where)
        heading = slugify(e.heading(lesson)) if lesson else ""
        link = f"[{lesson.number:02} {lesson.title}]({lesson.name}.py{heading and '#'}{heading})" if lesson else "–"
        trace = f"{{py:obj}}`trace.{e.trace} <tinymed.teach.trace.{e.trace}>`"
        rows.append(f"| {e.section} | {e.name}<br>${e.latex}$ | {link} | `{e.twin}`<br>{trace}<br>`{e.test}` |")
    return "\n".join(rows) + "\n"
