"""The lecturer's pages: answers computed by the engine, names that exist, minutes that add up, nothing leaked."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest

from tinymed.cli import cli
from tinymed.teach.check import exercises
from tinymed.teach.lessons import EXERCISE, cells, lesson, lessons, student

ROOT = Path(__file__).parent.parent
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in sorted((ROOT / "tutorials/lecturer").glob("*.md"))}
LESSONS, EXERCISES = lessons(), exercises()
OFFLINE = os.environ | {"MPLBACKEND": "Agg", "TINYMED_OFFLINE": "1"}
each_page = pytest.mark.parametrize("page", PAGES)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^## (\d\d) · (.+)$", re.MULTILINE)


def blocks(page, language="python"):
    return [code for kind, code in BLOCK.findall(PAGES[page]) if kind == language]


def by_lesson(page):
    """{number of a lesson: (its heading, what stands under it)}"""
    parts = HEADING.split(PAGES[page])[1:]
    return {int(n): (title, text) for n, title, text in zip(parts[::3], parts[1::3], parts[2::3])}


# ---------------------------------------------------------------- questions and answers


ANSWERED = re.compile(r"^\*\*Q(\d+\.\d+)\*\* (?:`([^`\n]+)`)?(.*?)(?=^\*\*Q|^## |\Z)", re.DOTALL | re.MULTILINE)
ANSWERS = {number: (printed, rest) for number, printed, rest in ANSWERED.findall(PAGES["answers"])}
ASKED = dict(re.findall(r"^- \*\*Q(\d+\.\d+)\*\* (\*\(number\)\*)?", PAGES["questions"], re.MULTILINE))


def computed(code, names):
    """The value of a block's last expression."""
    tree = ast.parse(code)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr), "a block ends with the answer"
    exec(compile(tree, "answers.md", "exec"), names)
    return eval(compile(ast.Expression(last.value), "answers.md", "eval"), names)


def agree(value, printed):
    """Whether a value is what was printed, to half a unit of the last digit that was."""
    said = np.array(ast.literal_eval(printed), float)
    digits = max((len(part) for part in re.findall(r"\.(\d+)", printed)), default=0)
    value = np.asarray(value, float)
    return value.shape == said.shape and bool((abs(value - said) <= 0.5 * 10.0**-digits * (digits > 0) + 1e-6).all())


@pytest.mark.parametrize("number", [number for number, (printed, _) in ANSWERS.items() if printed])
def test_an_answer_is_what_the_engine_computes(number):
    printed, rest = ANSWERS[number]
    names = {}
    exec(blocks("answers")[0], names)
    (code,) = [code for kind, code in BLOCK.findall(rest)]
    value = computed(code, names)
    assert agree(value, printed), f"Q{number}: {printed} is printed, {value} computed"


@pytest.mark.parametrize(
    ("value", "printed"), [(14.4, "14"), (0.0437, "0.043"), ([1, 2], "[2, 1]"), (float("nan"), "3"), ([3], "3")]
)
def test_a_wrong_answer_is_noticed(value, printed):
    assert not agree(value, printed)


def test_every_question_has_an_answer_and_numbers_have_code():
    assert list(ASKED) == list(ANSWERS)
    assert {q for q, kind in ASKED.items() if kind} == {q for q, (printed, _) in ANSWERS.items() if printed}
    for number, (printed, rest) in ANSWERS.items():
        assert len(BLOCK.findall(rest)) == bool(printed), f"Q{number}: a number has one block that computes it"


@pytest.mark.parametrize("page", ["questions", "answers", "plans"])
def test_a_page_goes_through_all_lessons(page):
    assert {n: title for n, (title, _) in by_lesson(page).items()}.keys() == {found.number for found in LESSONS}
    for n, (title, text) in by_lesson(page).items():
        known = lesson(str(n)).title
        assert title.startswith(known.partition(":")[0].partition(",")[0]), f"{title} for {known}"
        assert page == "plans" or len(re.findall(rf"\*\*Q{n}\.\d+\*\*", text)) >= 5


# ---------------------------------------------------------------- plans and the syllabus


def minutes(text):
    return sum(map(int, re.findall(r"^\| (\d+) \|", text, re.MULTILINE)))


@pytest.mark.parametrize("found", LESSONS, ids=lambda found: found.name)
def test_the_minutes_of_a_plan_add_up(found):
    title, text = by_lesson("plans")[found.number]
    assert minutes(text) == found.minutes
    assert f"({found.minutes} minutes)" in title
    for part in ("Goal", "Board", "Ask first", "Live", "Wrong answers", "Stuck", "Late"):
        assert text.count(f"**{part}.**") == 1, part


@pytest.mark.parametrize("found", LESSONS, ids=lambda found: found.name)
def test_wrong_answers_are_those_that_the_checks_name(found):
    _, text = by_lesson("plans")[found.number]
    named = re.findall(r"`(\w+)`: \*([^*]+)\*", re.sub(r"\s+", " ", text[text.index("**Wrong answers.**") :]))
    assert len(named) >= 2
    for name, hint in named:
        assert EXERCISES[name].lesson == found.number
        assert any(hint in known for known in EXERCISES[name].mistakes), f"no check says: {hint}"


def weeks():
    """[(lessons, exercises)] of each row of the twelve weeks, and of the five of the applications."""
    found = PAGES["syllabus"].partition("## Twelve weeks")[2].partition("\n## Assessment")[0]
    rows = re.findall(r"^\| (\d+) \|(.*)\|(.*)\|(.*)\|$", found, re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(1, 18))
    return [
        ({int(n) for n in re.findall(r"\b(0\d|1[0-5]|2[0-8])\b", a + b)}, re.findall(r"`(\w+)`", c))
        for _, a, b, c in rows
    ]


def test_the_weeks_take_in_every_lesson_and_hand_in_every_exercise_after_its_lesson():
    taught, asked = set(), []
    for numbers, names in weeks():
        taught |= numbers
        asked += names
        for name in names:
            assert EXERCISES[name].lesson in taught, f"{name} is handed in before its lesson"
    assert taught == {found.number for found in LESSONS}
    assert sorted(asked) == sorted(EXERCISES)


def test_the_syllabus_names_exercises_and_questions_that_are_there():
    names = set(re.findall(r"`([a-z]\w+)`", BLOCK.sub("", PAGES["syllabus"])))
    assert names <= {*EXERCISES, "check"}, names - set(EXERCISES)
    assert set(re.findall(r"\bQ(\d+\.\d+)", PAGES["syllabus"])) <= set(ASKED)


def test_the_weights_of_the_assessment_are_100():
    table = PAGES["syllabus"].partition("## Assessment")[2].partition("\n## ")[0]
    assert sum(map(int, re.findall(r"\| (\d+) %", table))) == 100


# ---------------------------------------------------------------- everything that is named exists


def commands(text):
    """Every `tinymed …` in a text: in backticks, and in blocks of a shell."""
    shell = "\n".join(code for kind, code in BLOCK.findall(text) if kind == "sh")
    yield from re.findall(r"^(?:\w+=\S+ )?(tinymed [^#\n]+?) *(?:#.*)?$", shell, re.MULTILINE)
    yield from re.findall(r"`(tinymed [a-z][^`\n]*)`", BLOCK.sub("", text))


def understood(said):
    """Let click read a command; raises its complaint for what does not exist."""
    name, command, words = "tinymed", cli, shlex.split(said)[1:]
    above = click.Context(cli, **cli.context_settings)  # -h and --help both, which a command looks up only once
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(above, words)
    return name, command.make_context(name, list(words), parent=above).params


@each_page
def test_commands_exist(page, command):
    for said in commands(PAGES[page]):
        name, given = understood(said)
        if "lesson" in given:
            assert given["lesson"] == "all" or lesson(given["lesson"])
        if name == "step" and "name" in given:
            code, shown, complaint = command("step", *shlex.split(said)[2:], *["--text"] * ("--html" not in said))
            assert code == 0, f"{said}: {complaint}"
            assert shown.strip()


@pytest.mark.parametrize("said", ["tinymed steps conv", "tinymed step conv --kernel 3", "tinymed tutorials opens 1"])
def test_a_command_that_does_not_exist_is_noticed(said):
    with pytest.raises(click.UsageError):
        understood(said)


def test_there_are_commands():
    assert len(list(commands(PAGES["plans"]))) >= len(LESSONS)
    assert list(commands(PAGES["present"]))


@each_page
def test_exercises_lessons_and_files_exist(page):
    text = PAGES[page]
    for name in re.findall(r'check\("(\w+)"', text):
        assert name in EXERCISES, name
    for n, k in re.findall(r"\b[Ee]xercise (\d+)\.(\d+)", text):
        set_there = EXERCISE.findall("\n".join(c.text for c in lesson(n).cells if c.kind == "markdown"))
        assert any(name.endswith(f" {n}.{k}") for name, _ in set_there), f"exercise {n}.{k}"
    for found in re.findall(r"\b[Ll]essons? (\d+)", text):
        assert lesson(found)
    for found in re.findall(r"\b\d\d_[a-z]\w+\b", text):
        assert lesson(found).name == found
    for file in re.findall(r"`((?:kernels|tinymed|tests|benchmarks|docs|tutorials)/[\w/.-]+\.\w+)", text):
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize("found", LESSONS[16:], ids=lambda found: found.name)
def test_the_commands_of_an_application_exist(found):
    prose = "\n".join(cell.text for cell in found.cells if cell.kind == "markdown")
    section = prose.partition("## In one command\n")[2].partition("\n## ")[0].replace("\\\n", "")
    assert "train" in [understood(said)[0] for said in commands(section)]


# ---------------------------------------------------------------- what students get


@pytest.mark.parametrize("form", ["py", "ipynb"])
def test_answers_do_not_leak_into_copies_for_students(tmp_path, command, form):
    if form == "ipynb":
        pytest.importorskip("jupytext", reason="the extra notebook writes notebooks")
    assert command("tutorials", "student", "-o", tmp_path / "mine", "--format", form)[0] == 0
    files = [path for path in (tmp_path / "mine").rglob("*") if path.is_file()]
    assert {path.stem for path in files} == {found.name for found in LESSONS}
    lines = {line for line in PAGES["answers"].splitlines() if line.startswith("**Q")}
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "lecturer" not in text
        assert not re.search(r"\*\*Q\d+\.\d+\*\*|SOLUTION", text)
        assert not any(line in text for line in lines)


def test_no_page_for_students_leads_to_the_answers():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tutorials/*.md"), *ROOT.glob("tutorials/**/*.py")]
    for page in pages:
        assert "answers.md" not in page.read_text(encoding="utf-8"), page
    assert "For lecturers only" in PAGES["answers"]


# ---------------------------------------------------------------- grading


def program(name):
    """A program of grading.md, by the name in its first line."""
    return next(code for code in blocks("grading") if name in code.partition("\n")[0])


@pytest.mark.parametrize("found", LESSONS, ids=lambda found: found.name)
def test_a_lesson_becomes_an_assignment_of_nbgrader(found, tmp_path, monkeypatch, capsys):
    nbformat = pytest.importorskip("nbformat", reason="the extra notebook is not installed")
    pytest.importorskip("jupytext", reason="the extra notebook is not installed")
    monkeypatch.setattr(sys, "argv", ["to_nbgrader.py", str(found.number), str(tmp_path)])
    exec(program("to_nbgrader.py"), {})
    made = nbformat.read(tmp_path / "source" / found.name / f"{found.name}.ipynb", 4)
    marked = {c.metadata.nbgrader.grade_id: c for c in made.cells if "nbgrader" in c.metadata}
    names = [name for name, known in EXERCISES.items() if known.lesson == found.number]
    assert sorted(marked) == sorted(f"{kind}-{name}" for name in names for kind in ("answer", "check"))
    for name in names:
        answer, check = (marked[f"{kind}-{name}"].metadata.nbgrader for kind in ("answer", "check"))
        assert (answer.solution, answer.grade, answer.locked) == (True, False, False)
        assert (check.solution, check.grade, check.locked, check.points > 0) == (False, True, True, True)
        assert marked[f"answer-{name}"].source.count("### BEGIN SOLUTION") == 1
    assert not [c for c in made.cells if "nbgrader" not in c.metadata and "BEGIN SOLUTION" in c.source]
    prose = [c.source for c in made.cells if c.cell_type == "markdown"]
    assert prose == [c.text for c in cells(student(found.text)) if c.kind == "markdown"]


def test_a_folder_of_submissions(tmp_path):
    whole = lesson("1").text
    stub = student(whole)
    cheat = f"{stub}\n# %%\ncheck = lambda *_: None\n\n# %%\nraise SystemExit(0)\n"
    copies = {"ada": whole, "ben": whole.replace("+ 2 * padding - k", "- k"), "eve": stub, "zoe": cheat}
    for who, text in copies.items():
        (tmp_path / "submissions" / who).mkdir(parents=True)
        (tmp_path / "submissions" / who / "01_convolution.py").write_text(text, encoding="utf-8")
    assert len(set(copies.values())) == 4
    (tmp_path / "test_submissions.py").write_text(program("test_submissions.py"), encoding="utf-8")
    (tmp_path / "one.py").write_text(program("one.py"), encoding="utf-8")
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_submissions.py"]
    done = subprocess.run(run, cwd=tmp_path, env=OFFLINE, capture_output=True, text=True, timeout=110)
    assert "3 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "the padding is forgotten" in done.stdout
    assert "right: 2 of 3" in done.stdout
    assert done.stdout.count("right: 0 of 3") >= 2


def test_a_copy_with_a_wrong_answer_ends_with_status_1(tmp_path):
    right = lesson("1").text
    for text, status in ((right, 0), (right.replace("+ 2 * padding - k", "- k"), 1)):
        path = tmp_path / "01_convolution.py"
        path.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, path], cwd=tmp_path, env=OFFLINE, capture_output=True, timeout=110)
        assert done.returncode == status
