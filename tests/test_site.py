"""The site: built once, whole without a network, and opened page by page in a browser that has none."""

import ast
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

import pytest
from filelock import FileLock

from tinymed.teach import findings
from tinymed.teach import site as builder
from tinymed.teach.equations import EQUATIONS
from tinymed.teach.lessons import lessons, student
from tinymed.teach.site.api import MODULES
from tinymed.teach.site.pages import Course
from tinymed.teach.steps import shown

pytestmark = pytest.mark.timeout(300)
for extra in ("sphinx", "myst_nb", "furo", "sphinx_copybutton", "jupytext", "nbclient", "ipykernel"):
    pytest.importorskip(extra, reason=f"the extra docs is not installed: {extra}")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The course's site, built by one of the processes that run tests."""
    here = tmp_path_factory.getbasetemp()
    out = (here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / "site"
    with FileLock(f"{out}.lock", timeout=280):
        if not (out / "index.html").exists():
            builder.build(out, jobs=2, say=lambda _: None)
    return out


def pages(site):
    return sorted(site.rglob("*.html"))


LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
STYLE = ("stylesheet", "preload", "prefetch", "icon", "shortcut icon", "preconnect")


class Resources(HTMLParser):
    """What a page loads, as (tag, address)."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        address = known.get(LOADS.get(tag))
        if tag == "link" and known.get("rel") in STYLE:
            address = known.get("href")
        if address:
            self.found.append((tag, address))


def test_no_page_loads_anything_from_the_network(site):
    assert len(pages(site)) > 30
    for page in pages(site):
        for tag, address in Resources(page.read_text()).found:
            assert not re.match(r"(https?:)?//", address), f"{page.name}: <{tag}> loads {address}"
            if not address.startswith("data:"):
                assert (page.parent / address.partition("?")[0]).exists(), f"{page.name}: {address} is not there"
    for style in site.glob("_static/**/*.css"):
        assert not re.search(r"@import|url\(['\"]?(https?:)?//", style.read_text()), style.name


def test_the_parser_finds_what_is_loaded():
    text = '<script src="https://a/b.js"></script><link rel="stylesheet" href="//a/c.css"><img src="d.png"><a href="https://e">'
    assert Resources(text).found == [("script", "https://a/b.js"), ("link", "//a/c.css"), ("img", "d.png")]


def test_inner_links_lead_somewhere(site):
    ids = {page: set(re.findall(r'\bid="([^"]+)"', page.read_text())) for page in pages(site)}
    for page in pages(site):
        for target in re.findall(r'<a [^>]*href="(?![a-z]+:)([^"]+)"', page.read_text()):
            path, _, anchor = target.partition("#")
            aim = (page.parent / path).resolve() if path else page
            assert aim.exists(), f"{page.name} → {target}"
            if anchor and aim.suffix == ".html" and aim in ids:
                assert anchor in ids[aim], f"{page.name} → {target}"


def test_there_is_a_page_for_everything(site):
    front = (site / "index.html").read_text()
    for lesson in lessons():
        page = (site / f"{lesson.name}.html").read_text()
        assert f'href="{lesson.name}.html"' in front
        assert "BEGIN SOLUTION" not in page
        assert page.count("NotImplementedError") >= student(lesson.text).count("NotImplementedError") > 0
        if lesson.twin:
            chinese = (site / "zh" / f"{lesson.name}.html").read_text()
            assert re.search(rf'href="zh/{lesson.name}\.html">(<span[^>]*>)?中文', page)
            assert re.search(rf'href="\.\./{lesson.name}\.html">(<span[^>]*>)?English', chinese)
            assert '<html class="no-js" lang="zh-CN"' in chinese
    for name in ("design", "faq", "glossary", "pytorch-differences"):
        assert (site / "docs" / f"{name}.html").exists()
    for module in MODULES:
        assert (site / "api" / f"{module}.html").exists()


def _plain(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.read_text())).replace("&#x27;", "'").replace("’", "'")


def test_errata_and_formulas_come_from_the_code(site):
    errata, formulas = _plain(site / "errata.html"), (site / "formulas.html").read_text()
    for found in findings():
        for value in (found.printed, *found.computed.values()):
            assert (value if isinstance(value, str) else shown(value)).replace("`", "") in errata.replace("`", "")
    for e in EQUATIONS:
        assert e.twin in formulas
        assert f"tinymed.teach.trace.{e.trace}" in formulas


def test_docstrings_stand_as_they_are(site):
    text = _plain(site / "api" / "tinymed.kernels.reference.html")
    assert "y[n,o,i,j] = b[o] + Σ_c Σ_u Σ_v w[o,c,u,v] · x[n,c, i·s+u·d−p, j·s+v·d−p]" in text


@pytest.mark.parametrize(
    ("here", "text", "linked"),
    [
        ("tutorials", "[a](02_b.py)", "[a](./02_b.ipynb)"),
        ("tutorials/zh", "[a](../02_b.py#x)", "[a](../02_b.ipynb#x)"),
        ("tutorials/lecturer", "[a](../02_b.py)", "[a](../02_b.ipynb)"),
        ("docs", "[a](../tutorials/02_b.py)", "[a](../02_b.ipynb)"),
        ("docs", "[a](faq.md) and article 4.1.1", "[a](../docs/faq.md) and article [4.1.1](../02_b.ipynb)"),
        ("tutorials", "文章 4.1.1", "文章 [4.1.1](./02_b.ipynb)"),
        ("tutorials/zh", "*文章 4.1.1 · 5 分钟*，文章4.1.1", "*文章 4.1.1 · 5 分钟*，文章[4.1.1](../zh/02_b.ipynb)"),
        ("docs", "`[a](02_b.py)` article 9.9", "`[a](02_b.py)` article 9.9"),
        ("tutorials", "[`kernels/shapes.py`](../kernels/shapes.py)", "`kernels/shapes.py`"),
        ("tutorials", "[there](../kernels/shapes.py), [web](https://a.b)", "there (`kernels/shapes.py`), [web](https://a.b)"),
    ],
)  # fmt: skip
def test_links_of_files_become_links_of_pages(tmp_path, here, text, linked):
    (tmp_path / "zh").mkdir()
    for file in (tmp_path / "02_b.py", tmp_path / "zh" / "02_b.py"):
        file.write_text("# %% [markdown]\n# # 02 · B\n#\n# *Article 4.1 · 5 minutes*\n")
    assert Course(tmp_path).linked(text, here) == linked


EXERCISE = """# %% [markdown]
# # 01 · 求和
#
# > **练习 1.1.** 写出加法，
# > 很短。

# %%
def add(a, b):
    ### BEGIN SOLUTION
    return a + b
    ### END SOLUTION

# %% tags=["check"]
print("right")

# %% [markdown]
# 完了。

# %% tags=["check"]
print("a later one")
"""


def test_what_a_check_says_of_a_solution_is_folded_up_with_it(tmp_path):
    (tmp_path / "01_a.py").write_text(EXERCISE)
    said = [
        [{"output_type": "stream", "name": "stdout", "text": text}] if text else [] for text in ("", "right", "later")
    ]
    made = json.loads(Course(tmp_path).as_notebook(lessons(tmp_path)[0], said))["cells"]
    code = [cell for cell in made if cell["cell_type"] == "code"]
    assert [["".join(out["text"]) for out in cell["outputs"]] for cell in code] == [[], ["right"], [], ["later"]]
    assert ["hide-cell" in cell["metadata"].get("tags", ()) for cell in code] == [False, True, False, False]
    assert "写出加法，很短。" in "".join(made[0]["source"])


def test_a_lesson_that_fails_ends_the_build_with_its_name(tmp_path, refused):
    (tmp_path / "01_bad.py").write_text("# %% [markdown]\n# # 01 · Bad\n\n# %%\n1 / 0\n")
    refused(
        "the lesson 01_bad stops: ZeroDivisionError: .* in 1 / 0", "site", "build", "-o", "x", "--lessons", tmp_path
    )


@pytest.fixture
def nothing_runs(monkeypatch):
    """A lesson that is run fails the test: what is wrong must be found before."""
    monkeypatch.setattr(builder, "run", lambda *_: pytest.fail("lessons were run"))


@pytest.mark.parametrize("theirs", ["thesis.txt", "objects.inv"])
def test_other_peoples_folders_are_left_alone(tmp_path, refused, nothing_runs, theirs):
    """Sphinx writes objects.inv into any site."""
    (tmp_path / "out").mkdir()
    for name in (theirs, "thesis.html"):
        (tmp_path / "out" / name).touch()
    refused("holds something that is no site of tinymed's", "site", "build", "-o", tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {theirs, "thesis.html"}


def test_what_cannot_become_a_site_is_found_before_lessons_run(tmp_path, refused, nothing_runs, monkeypatch):
    refused("holds no lessons", "site", "build", "-o", "x", "--lessons", tmp_path)
    (tmp_path / "file").touch()
    refused("file", "site", "build", "-o", tmp_path / "file" / "site")
    for name, code in (("", ""), ("zh", "# %%\n2\n")):
        (tmp_path / "lessons" / name).mkdir(parents=True)
        (tmp_path / "lessons" / name / "01_one.py").write_text(f"# %% [markdown]\n# # 01 · One\n\n# %%\n1\n\n{code}")
    refused("has 2 code cells, and its twin 1", "site", "build", "-o", "x", "--lessons", tmp_path / "lessons")
    (tmp_path / "lessons" / "01_one.py").write_text("# %% see [1]\n1\n")
    refused(r"01_one\.py:1: a cell starts", "site", "build", "-o", "x", "--lessons", tmp_path / "lessons")
    monkeypatch.setattr(builder, "FILES", "sphinx-of-giza")
    refused(r"needs sphinx-of-giza, .*\[docs\]", "site", "build", "-o", "x")


def test_the_folder_of_a_site_stays_and_what_is_hidden_in_it(tmp_path, monkeypatch):
    """So `-o .` will do, and a site that git keeps; a link in it is cut, and not followed."""
    here, made, elsewhere = tmp_path / "here", tmp_path / "made", tmp_path / "elsewhere"
    for folder in (here / ".git", here / "old", made, elsewhere):
        folder.mkdir(parents=True)
    for file in (here / "old" / "a.html", here / "index.html", elsewhere / "thesis.txt", here / builder.MARK):
        file.touch()
    (here / "link").symlink_to(elsewhere)
    (made / "index.html").write_text("new")
    monkeypatch.chdir(here)
    builder._may_replace(Path("."))
    builder._replace(Path("."), made)
    assert sorted(file.name for file in here.iterdir()) == [".git", builder.MARK, "index.html"]
    assert Path("index.html").read_text() == "new"
    assert (elsewhere / "thesis.txt").exists()


def _build(out, folder):
    builder.build(out, jobs=1, folder=folder, say=lambda _: None)


def test_pages_come_out_alike(tmp_path):
    """Two builds of a lesson, byte for byte."""
    (tmp_path / "lessons").mkdir()
    text = "# %% [markdown]\n# # 01 · One\n\n# %%\nimport matplotlib.pyplot as plt\nprint(1)\nplt.plot([1, 2])\n"
    (tmp_path / "lessons" / "01_one.py").write_text(text + "\n# %%\nprint(2)\nobject()\n")
    (tmp_path / "lessons" / "lecturer").mkdir()
    (tmp_path / "lessons" / "lecturer" / "plan.md").write_text("# Plan\n\nFirst [one](../01_one.py).\n")
    (tmp_path / "lessons" / "lecturer" / "answers.md").write_text("# The answers\n\nseventeen\n")
    (tmp_path / "b").mkdir()
    for old in (builder.MARK, "old.html"):  # a site that was there is replaced
        (tmp_path / "b" / old).touch()
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda name: _build(tmp_path / name, tmp_path / "lessons"), "ab"))
    one, other = (sorted((tmp_path / name).rglob("*")) for name in "ab")
    assert [f.relative_to(tmp_path / "a") for f in one] == [f.relative_to(tmp_path / "b") for f in other]
    assert 'href="../01_one.html"' in (tmp_path / "a" / "lecturer" / "plan.html").read_text()
    assert "seventeen" not in (tmp_path / "a" / "searchindex.js").read_text()
    assert not any(re.search("lecturer/answers|The answers", page.read_text()) for page in pages(tmp_path / "a"))
    for a, b in zip(one, other):
        assert a.is_dir() or a.read_bytes() == b.read_bytes(), a.name


# ---------------------------------------------------------------- in a browser


@pytest.fixture
def opened(browser):
    """open(file, query): a page without a network; what it complains of, or asks the network for, fails the test."""
    complaints = []
    context = browser.new_context(offline=True, viewport={"width": 1250, "height": 900})
    page = context.new_page()
    page.on("console", lambda said: said.type in ("error", "warning") and complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:")) or complaints.append(r.url))

    def go(file, query=""):
        page.goto(f"file://{file}{query}")
        if page.query_selector(".math"):
            page.evaluate("MathJax.startup.promise")
        return page

    yield go
    context.close()
    assert complaints == []


def players(lesson):
    """How many of a lesson's cells end in the name of a trace."""
    traces, count = set(), 0
    for cell in lesson.cells:
        for node in ast.parse(cell.text).body if cell.kind == "code" else ():
            match node:
                case ast.Assign([ast.Name(name)], ast.Call(ast.Attribute(ast.Name("trace")))):
                    traces.add(name)
        count += cell.kind == "code" and cell.text.rpartition("\n")[2] in traces
    return count


def test_every_page_opens_whole(site, opened):
    """With its formulas, in its width, and, of a lesson and its twin, with a player for every trace."""
    traces = {f"{lesson.name}.html": players(lesson) for lesson in lessons()}
    assert sum(n > 0 for n in traces.values()) > 10
    for file in pages(site):
        if "_modules" in file.parts:
            continue
        page = opened(file)
        formulas = page.query_selector_all(".math")
        assert len(page.query_selector_all("mjx-container")) >= len(formulas), file.name
        assert not page.query_selector_all("mjx-merror, [data-mjx-error]"), file.name
        assert page.evaluate("document.documentElement.scrollWidth") <= 1250, file.name
        if file.parent in (site, site / "zh"):
            assert page.evaluate(PLAYERS) == traces.get(file.name, 0), file


PLAYERS = "[...document.querySelectorAll('*')].filter(e => e.shadowRoot?.querySelector('button')).length"


def test_pages_fit_a_phone(site, opened):
    for name in ("index", "errata", "formulas", "docs/glossary", "docs/faq", "api/tinymed.nn", lessons()[0].name):
        page = opened(site / f"{name}.html")
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_a_phone_shows_players_free_and_titles_unbroken(site, opened):
    name = next(lesson.name for lesson in lessons() if players(lesson))
    page = opened(site / f"{name}.html", "?present")
    page.set_viewport_size({"width": 390, "height": 800})
    words = page.evaluate(WIDEST)
    assert 0 < words["word"] <= words["line"]
    page.keyboard.press("Escape")
    page.wait_for_selector(".mobile-header")
    page.evaluate("document.documentElement.classList.add('show-back-to-top')")
    assert not page.is_visible(".back-to-top")
    page.set_viewport_size({"width": 1250, "height": 800})
    assert page.is_visible(".back-to-top")


# the widest word of a page's title, and the width that it has
WIDEST = """() => {
  const title = document.querySelector("article h1"), word = title.cloneNode();
  word.style.cssText = "position: absolute; white-space: pre; width: max-content";
  title.after(word);
  const widths = title.innerText.split(/\\s+/).map((text) => ((word.textContent = text), word.offsetWidth));
  word.remove();
  return { word: Math.max(...widths), line: title.offsetWidth };
}"""


def test_present_mode(site, opened):
    page = opened(site / "docs" / "faq.html", "?present")

    def seen():
        return [
            h.inner_text().strip("\n¶#") for h in page.query_selector_all("article h1, article h2") if h.is_visible()
        ]

    assert seen() == ["Questions"]
    assert not page.is_visible(".sidebar-drawer")
    page.keyboard.press("ArrowRight")
    first = seen()
    page.keyboard.press(" ")
    second = seen()
    assert len(first) == len(second) == 1
    assert first != second
    page.keyboard.press("ArrowLeft")
    assert seen() == first
    again = opened(Path(page.url.removeprefix("file://").partition("?")[0]), page.url[page.url.index("?") :])
    assert seen() == first, "the address remembers the section"
    again.keyboard.press("Escape")
    again.wait_for_selector(".sidebar-drawer")
    assert len(seen()) > 5
