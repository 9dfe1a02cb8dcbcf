"""The player on a page: what it carries is the trace, and going back is exactly what was there before."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import tinymed
from tinymed.teach import Step, Trace, trace
from tinymed.teach.frame import marks
from tinymed.teach.player import data, fragment, page
from tinymed.teach.steps import shown

IMAGE = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def _odd():
    """Numbers that are hard to write: no number, ∞, halves of the last digit, large and small, and markup."""
    arrays = {"</script>x": np.array([np.nan, np.inf, 1 / 256, 1e-9]), "y": np.zeros((2, 1, 2)), "e": np.zeros(40)}
    values = [np.nan, -np.inf, 1.03125, -12345.5, 12344.5, 1e-7, 123456.0, -0.0, 0.1 + 0.2, 1e300]
    steps = []
    for k, after in enumerate(values):
        writes, changes = (("y", (k % 4,)), ("e", (4 * k,))), (("y", k % 4, 0.0, after), ("e", 4 * k, 0.0, 1.0))
        if k >= 4:
            changes = (("y", k % 4, values[k - 4], after), changes[1])
        reads = (("</script>x", (k % 4,)),)
        steps.append(
            Step("forward", "f<b>", "a.py:1", "y[0] = x < '</p>'", "", "y<i>", "x", after, reads, writes, changes)
        )
    return Trace("odd & </script> <b>numbers</b>", arrays, steps, {"y", "e"})


def _masked_sum(x):
    y = np.zeros(1)
    for i in range(len(x)):
        if x[i] > 0:
            y[0] += x[i]
    return y


def _lists():
    """Steps whose results are lists, short and long."""
    results = [*(np.arange(n) / 4 for n in (0, 1, 12, 13)), np.ones((3, 4)), np.zeros((2, 7))]
    several = [*(r.tolist() for r in results), [[1.0, 2.0], 3.0], [[0.5] * 13, 2.0]]
    steps = [Step("forward", "f", "a.py:1", "x", "", "x", "x", r, (), (), ()) for r in several]
    return Trace("lists", {"x": np.ones(1)}, steps)


def _traces():
    r, leaf = np.random.default_rng(0), tinymed.tensor([1.0, 2.0], requires_grad=True)
    two = r.normal(size=(2, 2, 3, 3)).round(1)
    return {
        "conv": trace.conv2d(IMAGE, [[1, 0], [0, 1]], b=[0.5], g=1),
        "channels": trace.conv2d(two, r.normal(size=(2, 2, 2, 2)).round(1)),
        "maxpool": trace.max_pool2d(IMAGE, 2, 1, g=1),
        "softmax": trace.softmax([1, 2, 3], g=[1, 0, 0]),
        "lstm": trace.lstm([1, 2], r.normal(size=(4, 1)), r.normal(size=(4, 1)), g=1),
        "rnn": trace.article_rnn([1, 2, 3], [0], [[1, 1]], [1], [[2]], [1]),
        "adam": trace.adam([1.0], [[0.5], [0.2]]),
        "graph": trace.backward(((leaf * [3.0, 4.0]).sum() - 1) ** 2, x=leaf),
        "odd": _odd(),
        "lists": _lists(),
        "masked": trace.function(_masked_sum, [1, 2, -1, 3]),
        "empty": Trace("nothing", {"x": np.ones((0, 3)), "e": np.ones(0)}, []),
    }


TRACES = _traces()
each_trace = pytest.mark.parametrize("name", TRACES)


def _number(value):
    return float(value) if isinstance(value, str) else value


def _result(value):
    return [_result(v) for v in value] if isinstance(value, list) else _number(value)


def _read_back(told):
    names = [name for name, *_ in told["arrays"]]
    cells = [(names[a], tuple(ids)) for a, ids in told["cells"]]
    steps = []
    for line, places, numbers, result, reads, writes, changes in told["steps"]:
        *about, formula = told["lines"][line]
        changed = tuple((names[a], cell, _number(old), _number(new)) for a, cell, old, new in changes)
        groups = (tuple(cells[c] for c in group) for group in (reads, writes))
        steps.append(Step(*about, told["formulas"][formula][0], places, numbers, _result(result), *groups, changed))
    arrays = {name: np.array([_number(v) for v in values]).reshape(shape) for name, shape, values, _ in told["arrays"]}
    return Trace(told["title"], arrays, steps, {name for name, _, _, born in told["arrays"] if born})


@each_trace
def test_json_is_the_trace(name):
    it = TRACES[name]
    text = re.search(r'<script type="application/json">(.*?)</script>', fragment(it), re.S)[1]
    again = _read_back(json.loads(text))
    assert repr(again.steps) == repr(it.steps)  # by repr: NaN is not equal to itself
    assert (again.title, again.born, list(again.arrays)) == (it.title, it.born, list(it.arrays))
    for k in range(len(it) + 1):
        for key, array in it.at(k).items():
            np.testing.assert_array_equal(again.at(k)[key], array)
    assert json.loads(text)["starts"] == it.starts()


def test_steps_share_what_they_have_in_common():
    told = data(trace.conv2d(np.ones((12, 12)), np.ones((4, 5))))
    assert len(told["steps"]) == 1440
    assert len(told["lines"]) == 1
    assert len(json.dumps(told)) < 1440 * 160


def test_fragments_are_equal_for_equal_traces():
    one, other = (fragment(trace.relu([-1, 2], g=1)) for _ in range(2))
    assert one == other
    assert one != fragment(trace.relu([-1, 3], g=1))


def test_without_scripts_a_table_is_left():
    it = trace.conv2d(np.ones((12, 12)), np.ones((3, 3)))
    text = re.sub(r"<script.*?</script>", "", page(it), flags=re.S)
    assert text.count("<tr>") == 201
    assert f"{len(it) - 200} more steps" in text
    assert it[0].places in text


# ---------------------------------------------------------------- the page, in a browser


@pytest.fixture
def opened(browser, tmp_path):
    """open(trace or html, **context) → a page from a file, with no network; nothing may be said or asked for."""
    contexts, complaints, asked = [], [], []

    def open_(what, query="", **options):
        path = tmp_path / f"{len(contexts)}.html"
        path.write_text(page(what) if isinstance(what, Trace) else what, encoding="utf-8")
        contexts.append(browser.new_context(offline=True, **options))
        sheet = contexts[-1].new_page()
        sheet.on("console", lambda message: complaints.append(message.text))
        sheet.on("pageerror", lambda error: complaints.append(str(error)))
        sheet.on("request", lambda request: asked.append(request.url))
        sheet.goto(path.as_uri() + query)
        return sheet

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []
    assert len(asked) == len(contexts), asked


STATE = """([k, key]) => {
  const host = document.querySelector(".tinymed-trace"), root = host.shadowRoot;
  if (key) document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  else if (k !== null) {
    const slider = root.querySelector("input");
    slider.value = k;
    slider.dispatchEvent(new Event("input"));
  }
  const arrays = {};
  for (const figure of root.querySelectorAll("figure:not([hidden])")) {
    arrays[figure.dataset.name] = [...figure.querySelectorAll("td:not([hidden])")].map(
      (td) => [Number(td.dataset.cell), td.textContent, td.className]);
  }
  const marked = [...root.querySelectorAll("button, .phase")].map((e) => [e.className, e.disabled, e.ariaCurrent]);
  const result = root.querySelector("output").textContent;
  return { k: Number(host.dataset.step), arrays, marked, result, text: root.querySelector("section").innerText };
}"""


def _go(sheet, k=None, key=None):
    return sheet.evaluate(STATE, [k, key])


@each_trace
def test_page_shows_the_trace_at_every_step_and_back(opened, name):
    it = TRACES[name]
    sheet = opened(it)
    assert _go(sheet)["k"] == min(len(it), 1)
    before = [_go(sheet, 0)]
    for k in range(1, len(it) + 1):
        before.append(_go(sheet, key="ArrowRight"))
        assert before[-1]["k"] == k
    for k, state in enumerate(before):
        now, written, marked = it.at(k), it.written(k), marks(it, k)
        for key, cells in state["arrays"].items():
            for cell, text, mark in cells:
                filled = key not in it.born or cell in written[key]
                assert text == (shown(float(now[key].flat[cell])) if filled else ""), (k, key, cell)
                assert mark == marked[key].get(cell, "" if filled else "empty"), (k, key, cell)
        assert state["result"] == (f"→ {shown(it[k - 1].result)}" if k else ""), k
        for key, ids in it[k - 1].writes if k else ():
            assert key in state["arrays"], (k, key)
            assert ids[0] in [cell for cell, *_ in state["arrays"][key]], (k, key)
    for k in reversed(range(len(it))):
        assert _go(sheet, key="ArrowLeft") == before[k], k
    for k in (len(it), 0, len(it) // 2):
        assert _go(sheet, k) == before[k]


def test_keys_and_buttons(opened):
    it = TRACES["conv"]
    sheet = opened(it)
    begins = [start + 1 for start in it.starts()]
    for key, k in (("ArrowDown", begins[1]), ("PageDown", begins[2]), ("ArrowUp", begins[1]), ("End", len(it))):
        sheet.keyboard.press(key)
        assert _go(sheet)["k"] == k, key
    sheet.keyboard.press("Home")
    assert _go(sheet)["k"] == 0
    for label, k in (("Next", 1), ("Next result", begins[1]), ("Last", len(it)), ("Back", len(it) - 1), ("First", 0)):
        sheet.get_by_role("button", name=label, exact=True).click()
        assert _go(sheet)["k"] == k, label
    sheet.get_by_role("button", name="conv2d_weight_grad").click()
    assert it[_go(sheet)["k"] - 1].twin == "conv2d_weight_grad"
    text = sheet.locator("section").inner_text()
    for part in ("backward", it[_go(sheet)["k"] - 1].source, "gw[at_w] += x[at_x] * g[at_y]"):
        assert part in text
    sheet.keyboard.press("Tab")
    assert sheet.evaluate("getComputedStyle(document.activeElement.shadowRoot.activeElement).outlineStyle") == "solid"


def test_playing_and_pausing(opened):
    sheet = opened(TRACES["rnn"])
    sheet.keyboard.press(" ")
    sheet.get_by_role("button", name="Pause").wait_for()
    sheet.wait_for_function("document.querySelector('.tinymed-trace').dataset.step === '3'")
    sheet.keyboard.press(" ")
    assert sheet.get_by_role("button", name="Play").count() == 1
    assert sheet.locator("output").get_attribute("aria-live") == "polite"


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("name", ["conv", "lstm", "graph", "odd"])
def test_no_page_is_wider_than_the_screen(opened, name, width):
    sheet = opened(TRACES[name], viewport={"width": width, "height": 700})
    for k in range(0, len(TRACES[name]), 5):
        _go(sheet, k)
        assert sheet.evaluate("document.documentElement.scrollWidth") <= width


BACK = "getComputedStyle(document.querySelector('.tinymed-trace').shadowRoot.querySelector('section')).backgroundColor"


def test_light_and_dark(opened):
    light, dark = (opened(TRACES["rnn"], color_scheme=scheme) for scheme in ("light", "dark"))
    white, black = light.evaluate(BACK), dark.evaluate(BACK)
    assert white == "rgb(255, 255, 255)"
    assert black == "rgb(16, 21, 27)"
    themes = ("theme", "dark", black), ("theme", "light", white), ("theme", "auto", white)
    for name, value, expected in (*themes, ("jpThemeLight", "false", black), ("jpThemeLight", "true", white)):
        light.evaluate("([name, value]) => { document.body.dataset[name] = value; }", [name, value])
        light.wait_for_timeout(20)
        assert light.evaluate(BACK) == expected, (name, value)


def test_chinese_and_large(opened):
    sheet = opened(page(TRACES["maxpool"]).replace('lang="en"', 'lang="zh-CN"'), query="?present")
    assert "下一步" in _go(sheet)["text"]
    assert _go(sheet)["result"] == "→ 是"
    assert sheet.locator("section.present").count() == 1
    sheet = opened(page(TRACES["lists"]).replace('lang="en"', 'lang="zh"'))
    assert "→ 13 个数" in _go(sheet, 4)["result"]


def test_many_players_on_a_page(opened):
    pieces = [fragment(TRACES[name]) for name in ("conv", "rnn", "conv")]
    sheet = opened(f"<!doctype html><style>td {{ display: none }}</style>{''.join(pieces)}")
    assert sheet.evaluate("[...document.querySelectorAll('.tinymed-trace')].map((h) => h.dataset.step)") == ["1"] * 3
    assert sheet.locator("section td").first.is_visible()
    sheet.locator("section").nth(2).focus()
    sheet.keyboard.press("ArrowRight")
    steps = sheet.evaluate("[...document.querySelectorAll('.tinymed-trace')].map((h) => h.dataset.step)")
    assert steps == ["1", "1", "2"]


def test_a_long_trace_opens_quickly(opened):
    it = trace.conv2d(np.arange(18 * 18.0).reshape(18, 18), np.ones((4, 5)))
    assert len(it) == 4200
    sheet = opened(it)
    assert sheet.evaluate("performance.now()") < 5000
    assert _go(sheet, len(it))["k"] == len(it)
