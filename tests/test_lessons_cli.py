"""Finding lessons, copies of one for students, and the command `tinymed tutorials`, on a small lesson."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinymed.cli.walk import SAYS, readable
from tinymed.teach import lessons as files
from tinymed.teach.lessons import Cell, cells, lessons, student

TRIAL = """# %% [markdown]
# # 01 · Sums
#
# *Article 4.1.1, 5 · 20 minutes · `kernels/reference.py`*
#
# A sum, $\\frac12 \\sum_i x_i$.

# %%
import numpy as np

x = np.arange(3.0)
x.sum()

# %% [markdown]
# ## Your turn
#
# > **Exercise 1.1.** Write "add(a, b)". It adds.
#
# <details><summary>A hint</summary>
#
# There is a sign for it.
#
# </details>
#
# <details><summary>Solution</summary>
#
# Say $a + b$.
#
# </details>

# %% tags=["exercise"]
def add(a, b):
    a = float(a)
    ### BEGIN SOLUTION
    return a + b
    ### END SOLUTION


# %% tags=["check"]
print("the sum is", add(1, 2))
"""


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """A folder with one small lesson and its twin, in place of the course's."""
    where = tmp_path / "course"
    (where / "zh").mkdir(parents=True)
    (where / "01_sums.py").write_text(TRIAL)
    chinese = TRIAL.replace("Sums", "求和").replace("Article", "文章").replace("minutes", "分钟")
    chinese = chinese.replace('**Exercise 1.1.** Write "add(a, b)". It adds.', "**练习 1.1.** 写出加法。很短。")
    (where / "zh" / "01_sums.py").write_text(chinese)
    monkeypatch.setattr(files, "folder", lambda name="tutorials": where)
    return where


def test_a_student_copy(trial):
    copy = student(TRIAL)
    assert '    a = float(a)\n    raise NotImplementedError("Exercise 1.1: Write \\"add(a, b)\\"")\n' in copy
    assert "There is a sign for it." in copy
    assert "a + b" not in copy
    assert [c.kind for c in cells(copy)] == [c.kind for c in cells(TRIAL)]
    with pytest.raises(NotImplementedError, match=r"^Exercise 1\.1: Write"):
        exec(compile(copy, "copy", "exec"), {})
    assert 'NotImplementedError("练习 1.1: 写出加法")' in student(lessons()[0].twin.text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    ### END SOLUTION\n", "", "one of them is missing"),
        ("**Exercise 1.1.**", "**Task.**", "no exercise before it"),
    ],
)
def test_a_solution_must_be_marked_well(old, new, message):
    with pytest.raises(ValueError, match=message):
        student(TRIAL.replace(old, new))


# ---------------------------------------------------------------- finding them


def test_a_lesson_knows_itself(trial):
    found = files.lesson("sums")
    assert (found.number, found.name, found.title, found.minutes) == (1, "01_sums", "Sums", 20)
    assert found.sections == ("4.1.1", "5")
    assert (found.twin.title, found.twin.minutes, found.twin.twin.path) == ("求和", 20, found.path)
    assert found.cells[1] == Cell("code", "import numpy as np\n\nx = np.arange(3.0)\nx.sum()", (), 9)
    assert TRIAL.splitlines()[found.cells[1].line - 1] == "import numpy as np"


@pytest.mark.parametrize("wanted", ["1", "01", "01_sums", "sums", "SUMS", "01_Sums"])
def test_names_of_a_lesson(trial, wanted):
    assert files.lesson(wanted).name == "01_sums"


def test_an_unknown_lesson(trial, refused):
    refused(r"there is no lesson 'smus'; did you mean 01_sums\?", "tutorials", "open", "smus")
    refused(r"there is no lesson '9'; tinymed tutorials list names", "tutorials", "step", "9")


def test_an_unknown_lesson_of_the_course_is_met_with_the_nearest_three():
    with pytest.raises(ValueError, match="did you mean") as caught:
        files.lesson("CONVOLUTIONS")
    assert re.findall(r"\d\d_\w+", str(caught.value))[:2] == ["01_convolution", "02_convolution_backward"]
    with pytest.raises(ValueError, match="tinymed tutorials list") as caught:
        files.lesson("quantum")
    assert len(re.findall(r"\d\d_\w+", str(caught.value))) <= 3


def test_code_before_the_first_cell_is_refused():
    with pytest.raises(ValueError, match="lesson:1: a lesson starts with '# %%'"):
        cells("x = 1\n# %%\ny = 2\n")


@pytest.mark.parametrize(
    "mark", ["# %% see [1]", "# %% [raw]", "#%%", "# %%time", "# %%% more", "# %% [markdown] old", " # %%"]
)
def test_what_looks_like_a_mark_and_is_none_is_refused(trial, refused, mark):
    (trial / "01_sums.py").write_text(TRIAL.replace("# %%\nimport", f"{mark}\nimport"))
    said = rf"01_sums\.py:8: a cell starts with '# %%' or '# %% \[markdown\]', not '{re.escape(mark)}'"
    refused(said, "tutorials", "open", "1")
    refused(said, "tutorials", "student", "-o", "mine")
    refused(said, "tutorials", "notebook", "1", "-o", "mine")


def test_prose_without_its_sign_is_refused():
    with pytest.raises(ValueError, match=r"a\.py:4: in a cell of prose every line starts with '#', not 'Adds\.'"):
        cells("# %% [markdown]\n# # A\n\nAdds.\n", "a.py")


def test_what_jupyter_keeps_of_a_cell_is_read_past():
    nbformat = pytest.importorskip("nbformat", reason="the extra notebook is not installed")
    jupytext = pytest.importorskip("jupytext", reason="the extra notebook is not installed")
    graded = {"nbgrader": {"grade": True, "grade_id": "a [b]", "points": [1]}, "scrolled": True}
    made = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# 01 · A", metadata={"slideshow": {"slide_type": "slide"}}),
            nbformat.v4.new_code_cell("x = 1", metadata=graded | {"tags": ["check", "late-one"]}),
            nbformat.v4.new_code_cell("x = 2", metadata=graded | {"title": "Two"}),
        ]
    )
    text = jupytext.writes(made, fmt="py:percent")
    assert 'nbgrader={"grade": true' in text
    assert [(c.kind, c.text, c.tags) for c in cells(text)] == [
        ("markdown", "# 01 · A", ()), ("code", "x = 1", ("check", "late-one")), ("code", "x = 2", ()),
    ]  # fmt: skip
    assert cells('# %% scrolled=true tags=["check"]\nx\n') == [Cell("code", "x", ("check",), 2)]


# ---------------------------------------------------------------- the command


def test_list(trial, command):
    code, said, _ = command("tutorials", "list")
    assert code == 0
    assert re.search(r"01 +Sums +20 +4\.1\.1, 5 +求和", said)
    assert "applications" not in said


def test_list_says_where_the_applications_begin(trial, command):
    for name in ("20_heart", "21_lung"):
        (trial / f"{name}.py").write_text(TRIAL)
    _, said, _ = command("tutorials", "list")
    numbers = re.findall(r"^ *(\d\d|— the article's applications)", said, re.MULTILINE)
    assert numbers == ["01", "— the article's applications", "20", "21"]


def test_open(trial, command):
    _, said, _ = command("tutorials", "open", "1")
    assert "1/2 ∑_i x_i" in said.replace("∑ _i", "∑_i")
    assert "raise NotImplementedError" in said
    assert "a + b" not in said
    step, copies = said.rstrip().splitlines()[-2:]
    assert re.fullmatch(r"tinymed tutorials step 1 +run it cell by cell", step)
    assert re.fullmatch(r"tinymed tutorials student -o mine +copies to work in", copies)
    _, said, _ = command("tutorials", "open", "1", "--lang", "zh")
    assert "tinymed tutorials step 1 --lang zh" in said.rstrip().splitlines()[-2]


def test_step_runs_to_the_end_where_nobody_answers(trial, command, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", (tmp_path / "nothing").open("w+"))
    code, said, _ = command("tutorials", "step", "1")
    assert code == 0
    assert "np.float64(3.0)\n" in said
    assert "the sum is 3.0\n" in said
    assert said.index("raise NotImplementedError") < said.index("return a + b") < said.index("the sum is")
    assert said.endswith("the end of the lesson\n")


@pytest.mark.parametrize(
    ("typed", "seen", "not_seen"),
    [
        ("\nq\n", "x = np.arange", "np.float64(3.0)"),
        ("\n\nb\n\n\n\nq\n", "np.float64(3.0)", "the end"),
        ("\n\np\nprint('half', x[1] / 2)\n", "half 0.5", "Traceback"),
        ("?\nq\n", "Enter, b, p or q", "x = np.arange"),
        ("\nq\n", "to go on here: tinymed tutorials step 1 --from 2\n", "the end"),
        ("\n\n\n\n\nq\n", "add: not yet written.", "return a + b"),
        ("\n\ns\nq\n", "Say a + b", "return a + b"),
        ("\n\n\ns\n\n", "the sum is 3.0", "not yet written"),
        ("\n\n\n\nb\ns\n\n", "the sum is 3.0", "Traceback"),
        ("p\nexit\nexit()\nq\n", "exit() or Ctrl-D goes back", "Error"),
        ("p\nquit()\n\n\nq\n", "np.float64(3.0)", "Error"),
    ],
)
def test_step_is_led_by_what_is_typed(trial, command, monkeypatch, tmp_path, typed, seen, not_seen):
    (tmp_path / "typed").write_text(typed)
    monkeypatch.setattr("sys.stdin", (tmp_path / "typed").open())
    _, said, complaint = command("tutorials", "step", "1")
    assert seen in said
    assert not_seen not in said + complaint
    assert said.count("np.float64(3.0)") <= 1, "going back shows a cell again, and does not run it again"


OWN = "p\ndef add(a, b): return 7 + a * b\n\nexit()\n"


@pytest.mark.parametrize(
    ("typed", "seen"),
    [
        (f"\n\n\n{OWN}\n\n", "add: yours stays\n"),
        (f"\n{OWN}\n\n\n\n", "add: yours stays\n"),
        (f"\n\n\n\n\nb\nb\n{OWN}\n\n", "add: not yet written"),  # the check failed, and runs again
    ],
)
def test_what_a_student_writes_is_what_is_checked(trial, command, monkeypatch, tmp_path, typed, seen):
    (trial / "01_sums.py").write_text(TRIAL + "\n# %% [markdown]\n# That was it.\n")
    (tmp_path / "typed").write_text(typed)
    monkeypatch.setattr("sys.stdin", (tmp_path / "typed").open())
    _, said, _ = command("tutorials", "step", "1")
    assert seen in said
    assert "the sum is 9" in said
    assert "return a + b" not in said


def test_a_walk_begins_anywhere(trial, command, refused, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", (tmp_path / "nothing").open("w+"))
    code, said, _ = command("tutorials", "step", "1", "--from", "5")
    assert code == 0
    assert said.startswith("cells 1 to 4 have run unseen")
    assert "np.float64" not in said
    assert "the sum is 3.0" in said
    refused("01_sums has cells 1 to 5; got 6", "tutorials", "step", "1", "--from", "6")


def test_a_picture_that_cannot_be_shown_is_said(trial, command, monkeypatch, tmp_path):
    drawing = "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    (trial / "01_sums.py").write_text(TRIAL.replace("x.sum()", drawing))
    monkeypatch.setattr("sys.stdin", (tmp_path / "nothing").open("w+"))
    _, said, complaint = command("tutorials", "step", "1")
    assert said.count("a picture stands here: see it in the notebook or on the site\n") == 1
    assert not complaint


def test_a_chinese_walk_speaks_chinese(trial, command, monkeypatch, tmp_path):
    (tmp_path / "typed").write_text("?\n\n\n\n\n\n")
    monkeypatch.setattr("sys.stdin", (tmp_path / "typed").open())
    _, said, _ = command("tutorials", "step", "1", "--lang", "zh")
    assert "请按回车、b、p 或 q\n" in said
    assert "add 还没有写" in said
    assert said.endswith("这一课结束了\n")


def test_both_languages_say_the_same_things():
    fields = [{key: set(re.findall(r"{(\w+)}", text)) for key, text in says.items()} for says in SAYS.values()]
    assert fields[0] == fields[1]


@pytest.mark.parametrize(("pager", "less", "coloured"), [("", "", True), ("", "-R", True), ("other", "", False)])
def test_a_pager_gets_colours_that_it_shows(trial, tmp_path, pager, less, coloured):
    pty = pytest.importorskip("pty", reason="a terminal of Unix")
    for name in ("less", "other"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "LESS=$LESS" > {tmp_path}/seen\ncat >> {tmp_path}/seen\n')
        (tmp_path / name).chmod(0o755)
    theirs, ours = pty.openpty()
    known = {key: value for key, value in os.environ.items() if key not in ("PAGER", "LESS", "NO_COLOR")}
    known |= {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "TERM": "xterm-256color"}
    known |= {key: value for key, value in (("PAGER", pager), ("LESS", less)) if value}
    command = [sys.executable, "-c", "from tinymed.cli import main; main(['tutorials', 'open', '1'])"]
    subprocess.run(command, env=known, stdin=ours, stdout=ours, stderr=ours, timeout=60, check=True)
    os.close(ours), os.close(theirs)
    seen = (tmp_path / "seen").read_text()
    assert seen.startswith("LESS=-R\n" if coloured else "LESS=\n")
    assert ("\x1b[" in seen) == coloured


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("卷积，\n就是求和", "卷积，就是求和"),
        ("> 卷积\n> 求和", "> 卷积求和"),
        ("- 卷积\n  求和", "- 卷积求和"),
        ("它说“是”\n吗", "它说“是”吗"),
        ("一\n\n二\nthree\n四", None),
        ("# 一\n二", None),
        ("一\n> 二", None),
        ("```\n一\n二\n```", None),
        ("$$\n一\n二 $$\n三\n四", "$$\n一\n二 $$\n三四"),
        ("| 一 |\n| 二 |", None),
        ("one\ntwo", None),
    ],
)
def test_lines_of_chinese_are_joined(text, one):
    assert files.joined(text) == (one or text)
    if one and "$$" not in text:
        assert readable(text) == one


def test_a_cell_that_fails_does_not_end_the_walk(trial, command, monkeypatch, tmp_path):
    (trial / "01_sums.py").write_text(TRIAL.replace("x.sum()", "x.sun()"))
    monkeypatch.setattr("sys.stdin", (tmp_path / "nothing").open("w+"))
    code, said, complaint = command("tutorials", "step", "1")
    assert complaint.splitlines()[1].endswith('01_sums.py", line 12, in <module>'), "the way begins in the lesson"
    assert "walk.py" not in complaint
    assert "AttributeError" in complaint
    assert "the sum is 3.0" in said
    assert code == 1, "where nobody reads, the exit code tells"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "import tinymed.teach; tinymed.teach.check('conv2d_single', lambda x, w: x)",
            r"conv2d_single, case 1 .*(\n  .*)*\n",
        ),
        ("raise NotImplementedError('Exercise 1.1: add')", r"Exercise 1\.1: add\n"),
        ("raise SystemExit(3)", r"the cell asks to end Python, with SystemExit\(3\); the lesson goes on\n"),
        ("x.sum(", r'  File ".*01_sums\.py", line 12\n(.*\n)+SyntaxError: .*\n'),
    ],
)
def test_what_a_cell_raises_is_told(trial, command, monkeypatch, tmp_path, line, told):
    (trial / "01_sums.py").write_text(TRIAL.replace("x.sum()", line))
    monkeypatch.setattr("sys.stdin", (tmp_path / "nothing").open("w+"))
    code, said, complaint = command("tutorials", "step", "1")
    assert re.fullmatch(told, complaint), complaint
    assert said.endswith("the end of the lesson\n")
    assert code == 1


def test_student_files(trial, command):
    code, said, told = command("tutorials", "student", "-o", "mine")
    assert (code, said) == (0, "mine/01_sums.py\n")
    assert told == "now write the functions of a lesson, and run it: python mine/01_sums.py\n"
    assert Path("mine/01_sums.py").read_text() == student(TRIAL)
    Path("mine/01_sums.py").write_text("my work")
    _, said, _ = command("tutorials", "student", "-o", "mine", "--lang", "zh")
    assert "stays as it is; --force" in said
    assert Path("mine/01_sums.py").read_text() == "my work"
    command("tutorials", "student", "-o", "mine", "--lang", "zh", "--force", "--solutions")
    assert Path("mine/01_sums.py").read_text() == lessons()[0].twin.text


def test_a_file_that_is_no_text_stays_and_the_others_are_written(trial, command):
    (trial / "02_more.py").write_text(TRIAL.replace("01 ·", "02 ·"))
    Path("mine").mkdir()
    Path("mine/01_sums.py").write_bytes(b"\xff\xfe")
    code, said, _ = command("tutorials", "student", "-o", "mine")
    assert (code, said.splitlines()[1]) == (0, "mine/02_more.py")
    assert Path("mine/01_sums.py").read_bytes() == b"\xff\xfe"


def test_nothing_is_written_where_one_lesson_cannot_be(trial, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "jupytext", None)
    refused("needs jupytext", "tutorials", "student", "-o", "mine", "--format", "both")
    (trial / "02_more.py").write_bytes(b"# %%\n\xff")
    refused(r"02_more\.py is no text in UTF-8", "tutorials", "student", "-o", "mine")
    assert not Path("mine").exists()


@pytest.mark.parametrize("place", [".", "zh"])
def test_the_lessons_themselves_are_not_written_over(trial, refused, place):
    refused("holds the lessons themselves", "tutorials", "student", "-o", trial / place, "--force")
    assert (trial / "01_sums.py").read_text() == TRIAL


def test_a_missing_twin_is_said(trial, command):
    (trial / "zh" / "01_sums.py").unlink()
    _, said, complaint = command("tutorials", "student", "-o", "mine", "--lang", "zh")
    assert "01_sums is not there in Chinese, so it is in English" in complaint
    assert said == "mine/01_sums.py\n"


def test_notebooks(trial, command):
    nbformat = pytest.importorskip("nbformat", reason="the extra notebook is not installed")
    pytest.importorskip("jupytext", reason="the extra notebook is not installed")
    command("tutorials", "notebook", "all", "-o", "books")
    made = nbformat.read("books/01_sums.ipynb", 4)
    nbformat.validate(made)
    assert made.metadata.kernelspec.name == "python3"
    assert [c.source for c in made.cells] == [c.text for c in cells(TRIAL)]
    assert not any(c.get("outputs") for c in made.cells)
    command("tutorials", "student", "-o", "mine", "--format", "both")
    assert sorted(p.name for p in Path("mine").iterdir()) == ["01_sums.ipynb", "01_sums.py"]
    assert "SOLUTION" not in Path("mine/01_sums.ipynb").read_text()


def test_a_notebook_that_is_there_stays(trial, command):
    pytest.importorskip("jupytext", reason="the extra notebook is not installed")
    Path("books").mkdir()
    Path("books/01_sums.ipynb").write_text("my work")
    for more in ((), ("--run",)):
        _, said, _ = command("tutorials", "notebook", "1", "-o", "books", *more)
        assert said == "books/01_sums.ipynb is there and stays as it is; --force writes over it\n"
    assert Path("books/01_sums.ipynb").read_text() == "my work"
    command("tutorials", "notebook", "1", "-o", "books", "--force")
    assert "import numpy" in Path("books/01_sums.ipynb").read_text()


def test_a_notebook_that_fails_or_cannot_run_is_one_sentence(trial, refused, monkeypatch):
    pytest.importorskip("ipykernel", reason="the extra notebook is not installed")
    (trial / "01_sums.py").write_text(TRIAL.replace("x.sum()", "1 / 0"))
    refused("the lesson 01_sums stops: ZeroDivisionError", "tutorials", "notebook", "1", "-o", "books", "--run")
    monkeypatch.setitem(sys.modules, "nbclient", None)
    refused(r'needs nbclient, .*\[notebook\]"', "tutorials", "notebook", "1", "-o", "books", "--run")
    assert not Path("books").exists()


def test_a_notebook_that_has_run(trial, command):
    nbformat = pytest.importorskip("nbformat", reason="the extra notebook is not installed")
    pytest.importorskip("ipykernel", reason="the extra notebook is not installed")
    command("tutorials", "notebook", "1", "-o", "books", "--run")
    outputs = [output for c in nbformat.read("books/01_sums.ipynb", 4).cells for output in c.get("outputs", ())]
    assert outputs[0]["data"]["text/plain"] == "np.float64(3.0)"
    assert outputs[1]["text"] == "the sum is 3.0\n"


def test_what_needs_jupytext_says_so(trial, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "jupytext", None)
    refused(r'needs jupytext, .*: .*pip install .*\[notebook\]"', "tutorials", "notebook", "1", "-o", "books")
    refused(r'pip install .*\[docs\]"', "site", "build", "-o", "pages")
