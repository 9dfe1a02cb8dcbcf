"""Every lesson as a file: cells, portable Markdown, the copy for students; and the table of formulas."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tinymed.cli.walk import readable
from tinymed.teach import lessons as files
from tinymed.teach import trace
from tinymed.teach.equations import EQUATIONS, lesson_on
from tinymed.teach.lessons import BEGIN, Lesson, cells, lessons, student

ROOT = Path(__file__).parent.parent
ENGLISH = lessons()
ALL = [one for english in ENGLISH for one in (english, english.twin) if one]
PAGES = [*ROOT.glob("docs/*.md"), *ROOT.glob("tutorials/*.md"), *ROOT.glob("tutorials/lecturer/*.md")]
each = pytest.mark.parametrize("lesson", ALL, ids=lambda one: str(one.path.relative_to(ROOT)))

# ---------------------------------------------------------------- every lesson of the course


def test_there_are_lessons():
    assert len(ENGLISH) == 16 + 9
    assert len(ALL) == 16 + 9 + 9


@each
def test_the_first_cell_says_what_it_is_about(lesson):
    assert lesson.cells[0].kind == "markdown"
    assert re.match(rf"# {lesson.name[:2]} · \S", lesson.cells[0].text)
    assert lesson.minutes
    assert lesson.sections, "which section of the article?"


@pytest.mark.parametrize("lesson", ENGLISH[16:], ids=lambda one: one.name)
def test_an_application_leads_to_the_lessons_beside_it(lesson):
    place = ENGLISH.index(lesson)
    for beside in {*ENGLISH[place - 1 : place + 2]} - {lesson}:
        assert f"]({beside.name}.py)" in lesson.cells[-1].text, beside.name
    assert f"python tutorials/{lesson.name}.py --full" in lesson.text


@each
def test_jupytext_reads_the_same_cells_and_writes_the_same_lesson(lesson):
    jupytext = pytest.importorskip("jupytext", reason="the extra notebook is not installed")
    made = files.notebook(lesson.text)
    assert [(c.cell_type, c.source, tuple(c.metadata.get("tags", ()))) for c in made.cells] == [
        (c.kind, c.text, c.tags) for c in lesson.cells
    ]
    again = cells(jupytext.writes(made, fmt="py:percent"))
    assert [(c.kind, c.text, c.tags) for c in again] == [(c.kind, c.text, c.tags) for c in lesson.cells]


NOT_PORTABLE = {
    "a directive": r"^:::|^(```+|~~~+)\{",
    "a role": r"(?<!`)\{[\w:.-]+\}`",
    "a label": r"^\([\w-]+\)=\s*$",
    "a numbered equation": r"\$\$ *\([\w:-]+\) *$",
    "a substitution": r"\{\{.*\}\}",
    "HTML": r"</?(?!(?:details|summary|br|sub|sup)\b)[a-zA-Z][^>]*>",
    "a picture from the network": r"!\[[^\]]*\]\(https?:",
    "a formula without dollars": r"^\\begin\{(?:align|equation)",
    "TeX's brackets": r"\\\[|\\\(",
}


def not_portable(text):
    """What of a Markdown text does not read the same in Jupyter, on a page and on a forge."""
    bare = re.sub(r"```\w*\n.*?```", "", text, flags=re.DOTALL)
    prose = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$", lambda m: "$$" if m[0][:2] == "$$" else "$", bare, flags=re.DOTALL)
    prose = re.sub(r"(?<!\})`[^`\n]*`", "``", prose)
    found = [
        name
        for name, sign in NOT_PORTABLE.items()
        if re.search(sign, text if "directive" in name or "numbered" in name else prose, re.MULTILINE)
    ]
    if bare.count("$$") % 2:
        found.append("an open formula")
    if text.count("<details>") != text.count("</details>"):
        found.append("an open <details>")
    if re.search(r"<summary>.*</summary>\n(?!\n|$)", text):
        found.append("<summary> without an empty line after it")
    return found


@each
def test_markdown_is_portable(lesson):
    for cell in lesson.cells:
        if cell.kind == "markdown":
            assert not_portable(cell.text) == [], cell.text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_portable(page):
    assert not_portable(page.read_text().replace("<!-- lessons -->", "")) == []


@pytest.mark.parametrize(
    "text",
    [
        ":::{note}\nx\n:::", "```{note}\nx\n```", "see {eq}`a`", "(label)=\n# A", "$$ a $$ (one)", "{{ x }}",
        "<div>x</div>", "![a](https://b/c.png)", "$$ a", "\\begin{align}\na\n\\end{align}", "\\(a\\)",
        "<details><summary>A</summary>", "<details><summary>A</summary>\nx\n</details>",
    ],
)  # fmt: skip
def test_the_lint_finds(text):
    assert not_portable(text)


def test_the_lint_lets_pass():
    fine = "$a<b>c$, `<div>`, $$\nx \\tag{1}\n$$\n\n> **Exercise 1.1.** Do.\n\n"
    fine += "<details><summary>A</summary>\n\nb\n\n</details>"
    assert not_portable(fine) == []


def _texts():
    for lesson in ALL:
        yield lesson.path, "\n".join(c.text for c in lesson.cells if c.kind == "markdown")
    yield from ((page, page.read_text()) for page in PAGES)


@pytest.mark.parametrize(("path", "text"), list(_texts()), ids=lambda v: v.name if isinstance(v, Path) else "")
def test_links_and_named_files_are_there(path, text):
    for target in re.findall(r"(?<!`)\]\(((?![a-z]+:|#)[^)\s#]+)", text):
        assert (path.parent / target).exists(), target
    named = r"`((?:kernels|tinymed|tests|benchmarks|docs|tutorials)/[\w/.-]+\.(?:py|pyi|md|cu|cuh|json|js))(?::(\w+))?`"
    for file, name in re.findall(named, text):
        assert (ROOT / file).exists(), file
        if name and not name.isdecimal():
            assert defines(ROOT / file, name), f"{file} has no {name}"


def defines(file, name):
    return re.search(rf"^ *(?:def|class) {name}\b|^{name}\b *[:=]", file.read_text(), re.MULTILINE)


@each
def test_formulas_can_be_read_in_a_terminal(lesson):
    for cell in lesson.cells:
        if cell.kind == "markdown":
            assert "$$" not in readable(re.sub(r"`[^`\n]*`", "", cell.text))


# ---------------------------------------------------------------- copies for students


def exercises(lesson):
    """(name, cell, the check after it, the solution's lines) of every exercise of a lesson's copy for students."""
    asked, solved = cells(student(lesson.text)), lesson.cells
    assert len(asked) == len(solved)
    for k, (stub, whole) in enumerate(zip(asked, solved)):
        if stub.text != whole.text and whole.kind == "code":
            name = files.exercise_before("\n\n".join(c.text for c in solved[:k] if c.kind == "markdown"))
            check = next(c for c in asked[k:] if "check" in c.tags)
            yield name, stub, check, set(whole.text.splitlines()) - set(stub.text.splitlines())


@each
def test_student_copies_hold_no_solution(lesson):
    copy = student(lesson.text)
    assert "SOLUTION" not in copy
    assert not files.HIDDEN.search("\n".join(c.text for c in cells(copy)))
    assert copy.count("NotImplementedError") >= lesson.text.count(BEGIN) > 0
    for _, stub, _, gone in exercises(lesson):
        assert not [line for line in gone if len(line.strip()) > 12 and line in stub.text.splitlines()]
    ast.parse(copy)


@each
def test_student_copies_stop_at_each_exercise_and_name_it(lesson):
    imports = [
        node for cell in lesson.cells if cell.kind == "code"
        for node in ast.parse(cell.text).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]  # fmt: skip
    names = {}
    exec(compile(ast.Module(imports, []), "imports", "exec"), names)
    found = list(exercises(lesson))
    assert len({name for name, *_ in found}) == len(found), "two exercises of one name"
    for name, stub, check, _ in found:
        exec(stub.text, here := dict(names))
        with pytest.raises(NotImplementedError) as stopped:
            exec(check.text, here)
        assert str(stopped.value) == name
        assert re.match(rf"(Exercise|练习) ?{lesson.number}\.\d+: \S", name)


def test_notebooks_and_the_site_are_made_by_the_same_versions():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    notebook, docs = ({pin.partition("==")[0]: pin for pin in extras[name]} for name in ("notebook", "docs"))
    assert set(notebook) & set(docs) == {"jupytext", "ipykernel", "nbclient"}
    assert all("==" in pin and docs.get(name, pin) == pin for name, pin in notebook.items())


# ---------------------------------------------------------------- formula → lesson → code → trace → test


@pytest.mark.parametrize("e", EQUATIONS, ids=lambda e: f"{e.section} {e.name}")
def test_an_equation_has_a_lesson_loops_a_trace_and_a_test(e):
    assert e.lesson(), f"no lesson names section {e.section} under its title"
    file, name = e.twin.split(":")
    assert defines(ROOT / file, name)
    assert callable(getattr(trace, e.trace))
    assert name in calls(ROOT / e.test), f"{e.test} never calls {name}"


def calls(file):
    """The names of the functions that a file calls: F.conv2d(…), trace.conv2d(…), conv2d(…); no mention will do."""
    called = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    return {getattr(function, "attr", getattr(function, "id", "")) for function in called}


def test_a_mention_is_no_call(tmp_path):
    (tmp_path / "a.py").write_text('"""conv2d(x)"""\nfrom a import conv2d\nF.linear(x)  # conv2d(x)\n"conv2d"\n')
    assert calls(tmp_path / "a.py") == {"linear"}


def test_an_equation_leads_to_the_lesson_that_steps_through_it():
    places = {e.name: (e.lesson().number, e.heading(e.lesson())) for e in EQUATIONS}
    assert places["FC"][0] == 6
    assert places["sigmoid"][0] == 5
    assert places["convolution"] == (1, "Step through it")
    assert all(heading for _, heading in (places[name] for name in ("FC", "RNN, hidden state", "average pooling")))


def test_sections_that_have_a_lesson():
    one, other = Lesson(Path("01_a.py")), Lesson(Path("02_b.py"))
    for lesson, about in ((one, "Article 4.2, 5"), (other, "Article 4.2.1")):
        lesson.__dict__["about"] = about
    for section, wanted in {"4.2.1": other, "4.2.2": one, "4.2": one, "5.2.2": one, "4.1": None, "42": None}.items():
        assert lesson_on(section, [one, other]) is wanted
