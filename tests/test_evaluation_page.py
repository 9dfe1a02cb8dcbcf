"""The report page: whole in itself, escaped, and in a browser quiet and no wider than the screen."""

from __future__ import annotations

import re
import xml.dom.minidom
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import softmax

from tinymed.evaluation import Evaluation, Example, RegressionEvaluation, fragments, write_page

HOSTILE = "</style><script>alert('x')</script>\"&$x$ 急性"
CARD = {
    "source": "made up, https://example.org/data",
    "counts": {"training": {"benign": 30, "malignant": 12}, "test": 60},
    "limits": ["few cases", "one machine"],
}
HISTORY = {"epoch": [1, 2, 3], "loss": [0.7, 0.5, 0.4], "val_loss": [0.7, 0.6, None], "accuracy": [0.5, 0.7, 0.8]}


def _evaluation(classes=2, n=60, **about):
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    names = ("malignant", "benign", "atypical, of uncertain meaning", "premature ventricular contraction", "rare")
    return Evaluation(
        softmax(rng.normal(size=(n, classes)) + 1.2 * np.eye(classes)[y], 1),
        y,
        (names if classes <= 5 else [f"disease {k}" for k in range(classes)])[:classes],
        draws=200,
        **about,
    )


def _examples(e, text="case"):
    rng = np.random.default_rng(0)
    shown = (
        fragments.picture_fragment(rng.random((1, 28, 28))),
        fragments.volume_fragment(rng.random((1, 9, 8, 7))),
        fragments.signal_fragment(rng.normal(size=(1, 140)), fs=140),
        fragments.table_fragment([f"{text} {k}" for k in range(40)], rng.normal(size=40), np.zeros(40)),
        fragments.text_fragment(f"{text} " * 400),
        f"<b>{text}</b>",
    )
    return [Example(f"{text} {k}", e.classes[0], e.classes[1], 0.9, part) for k, part in enumerate(shown)]


def _write(path, e, **more):
    about = {
        "title": "Is the lump malignant?",
        "subtitle": "dense on lumps",
        "data_card": CARD,
        "model_card": {"parameters": 223873, "seed": 0},
    }
    return write_page(path, e, **(about | {"history": HISTORY, "command": "tinymed train --task x"} | more))


@pytest.fixture
def opened(browser):
    """opened(path, **context): the page in a browser without network; nothing may be said or asked for."""
    contexts, complaints, asked = [], [], []

    def open_(path, **options):
        contexts.append(browser.new_context(offline=True, **options))
        sheet = contexts[-1].new_page()
        sheet.on("console", lambda message: complaints.append(message.text))
        sheet.on("pageerror", lambda error: complaints.append(str(error)))
        sheet.on("dialog", lambda dialog: (complaints.append("a dialog"), dialog.dismiss()))
        sheet.on("request", lambda request: asked.append(request.url))
        sheet.goto(path.as_uri())
        return sheet

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []
    assert len(asked) == len(contexts), asked


def test_two_classes_in_a_browser(opened, tmp_path):
    e = _evaluation(positive=0, groups=np.arange(60) // 2)
    twins = np.arange(60) < 20
    path = _write(tmp_path / "report.html", e, examples=_examples(e), twins=twins)
    for width, scheme in ((390, "dark"), (1100, "light")):
        sheet = opened(path, viewport={"width": width, "height": 800}, color_scheme=scheme)
        assert sheet.evaluate("document.documentElement.scrollWidth") <= width
        assert sheet.title() == "Is the lump malignant? – dense on lumps"
        assert sheet.locator("h1").inner_text().splitlines() == ["Is the lump malignant?", "dense on lumps"]
        assert sheet.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth)")
        text = sheet.locator("body").inner_text()
    accuracy, share = e.figures["accuracy"], e.majority[1]
    for part in (
        f"{accuracy.value:.3f}", f"{accuracy.low:.3f} to {accuracy.high:.3f}", f"always saying malignant: {share:.3f}",
        "30 patients or other groups", "20 of 60 test cases have a near-twin", "the last line is the fairer one",
        f"6 of {len(e.errors())} errors", "not a clinical device", "tinymed train --task x", "few cases", "223873",
        "at least 95 % of malignant found", "in force: fixed beforehand", "1 s, from", "chance alone",
    ):  # fmt: skip
        assert part in text, part
    assert sheet.locator(".confusion td.n").all_inner_texts() == [str(n) for n in e.confusion_matrix.flat]
    assert sheet.locator("a[href='https://example.org/data']").count() == 1
    without, row = e.subset(~twins).figures, sheet.locator("tr", has_text="those without").inner_text()
    for name in ("accuracy", "balanced_accuracy", "auc"):
        assert f"{without[name].value:.3f}" in row


def test_what_a_threshold_costs_is_seen_whole_on_a_phone(opened, tmp_path):
    e = _evaluation(positive=0)
    sheet = opened(_write(tmp_path / "report.html", e), viewport={"width": 390, "height": 800})
    table = sheet.locator(".thresholds")
    assert table.evaluate("(t) => t.parentElement.scrollWidth <= t.parentElement.clientWidth")
    row = e.threshold_table()[0]
    told = table.locator("tr").nth(1).locator("td").all_inner_texts()
    assert told[1:3] == [f"{row['tp']} of {row['tp'] + row['fn']}", f"{row['fp']} of {row['fp'] + row['tn']}"]
    assert told[-1] == f"{row['precision']:.3f}"


def test_layers_are_folded_away(opened, tmp_path):
    layers = "Sequential(\n  (0): Linear(2, 1)\n)"
    path = _write(tmp_path / "report.html", _evaluation(), model_card={"layers": layers, "parameters": "3"})
    sheet = opened(path)
    assert sheet.locator("details summary").inner_text() == "3 lines"
    assert sheet.locator("details pre").text_content() == layers


def test_groups_of_one_case_are_cases(tmp_path):
    alone = _write(tmp_path / "a.html", _evaluation(groups=np.arange(60))).read_text("utf-8")
    assert "of the 60 cases (bootstrap)" in alone
    assert "30 patients or other groups, with all their 60 cases" in _write(
        tmp_path / "b.html", _evaluation(groups=np.arange(60) // 2)
    ).read_text("utf-8")


def test_of_one_epoch_no_curve_is_drawn(tmp_path):
    once = {name: values[:1] for name, values in HISTORY.items()}
    assert "<h2>Training" not in _write(tmp_path / "a.html", _evaluation(), history=once).read_text("utf-8")
    assert "<h2>Training" in _write(tmp_path / "b.html", _evaluation()).read_text("utf-8")


def test_near_twins_are_told_with_their_rule(tmp_path):
    rule = "equal, or correlated by more than 0.98"
    for twins, told in (
        (np.zeros(60, bool), f"0 of 60 test cases have a near-twin in the training part: {rule}."),
        (np.ones(60, bool), f"60 of 60 test cases have a near-twin in the training part: {rule}."),
    ):
        page = _write(tmp_path / "a.html", _evaluation(), twins=twins, alike=rule).read_text("utf-8")
        assert told in page
        assert "the fairer one" not in page  # there is no line of those without
        assert "judged by" not in page


def test_each_ranking_is_drawn_once(monkeypatch):
    from tinymed.evaluation import drawings

    e, asked = _evaluation(5, 100), []
    honest = Evaluation.per_class
    monkeypatch.setattr(Evaluation, "per_class", lambda e: asked.append(1) or honest(e))
    drawings.roc(e)
    assert len(asked) == 1


@pytest.mark.parametrize("classes", [5, 24])
def test_more_classes_in_a_browser(opened, tmp_path, classes):
    e = _evaluation(classes, 240)
    path = _write(tmp_path / "report.html", e)
    for width, scheme in ((390, "light"), (1100, "dark")):
        sheet = opened(path, viewport={"width": width, "height": 800}, color_scheme=scheme)
        assert sheet.evaluate("document.documentElement.scrollWidth") <= width
    assert "The likeliest class is predicted" in sheet.locator("body").inner_text()
    assert sheet.locator("h2", has_text="What a threshold costs").count() == 0
    keys = sheet.locator(".keys").first.inner_text()
    assert ("each of 24 classes" if classes == 24 else e.classes[3]) in keys


def test_colours_follow_the_scheme(opened, tmp_path):
    path = _write(tmp_path / "report.html", _evaluation())
    inks = {}
    for scheme in ("light", "dark"):
        sheet = opened(path, color_scheme=scheme)
        inks[scheme] = [
            sheet.evaluate(f"getComputedStyle(document.querySelector('{of}')).{what}")
            for of, what in (
                ("body", "backgroundColor"),
                (".drawings svg text", "fill"),
                (".drawings svg path", "fill"),
            )
        ]
    assert inks["light"][:2] == ["rgb(255, 255, 255)", "rgb(27, 31, 36)"]
    assert inks["dark"][:2] == ["rgb(16, 21, 27)", "rgb(230, 237, 243)"]


def test_every_drawing_is_whole_and_has_its_own_ids(tmp_path):
    path = _write(tmp_path / "report.html", _evaluation())
    page = path.read_text("utf-8")
    drawings = re.findall(r'<figure>(<svg viewBox.*?</svg>)<figcaption class="keys">', page, re.S)
    assert len(drawings) == 5  # three curves, losses, metrics
    for drawing in drawings:
        xml.dom.minidom.parseString(re.sub(r"^<svg ", '<svg xmlns:xlink="x" ', drawing))
        assert "<title>" in drawing
        assert not re.search(r"#0[1-4]0[1-4]0", drawing)  # every colour is the page's
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    for used in re.findall(r'(?:xlink:href="#|url\(#)([^")]*)', page):
        assert used in ids
    assert "http" not in re.sub(r"https://example.org/data|http://www.w3.org/[\w/]*", "", page)


def test_hostile_names_stand_as_they_are(opened, tmp_path):
    p, y = np.tile([0.2, 0.9, 0.7], 10), np.tile([0, 1, 0], 10)
    e = Evaluation(p, y, (HOSTILE, HOSTILE + "2"), names=[HOSTILE] * 30, chosen=HOSTILE, draws=50)
    about = {
        "title": HOSTILE,
        "subtitle": "",
        "data_card": {HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]},
        "command": HOSTILE,
    }
    path = _write(tmp_path / "report.html", e, examples=_examples(e, HOSTILE), history={HOSTILE: [1, 2]}, **about)
    sheet = opened(path, viewport={"width": 390, "height": 800})
    assert sheet.title() == HOSTILE
    assert sheet.locator("h1").inner_text() == HOSTILE
    assert sheet.locator("script").count() == 0
    assert sheet.locator("article b", has_text="case").count() == 0
    assert f"<b>{HOSTILE}</b>" in sheet.locator("article").last.inner_text()
    assert sheet.evaluate("document.documentElement.scrollWidth") <= 390


def test_values_in_a_browser(opened, tmp_path):
    rng = np.random.default_rng(0)
    true = rng.normal(size=50)
    e = RegressionEvaluation(0.8 * true + 0.3 * rng.normal(size=50), true, unit="log IC50", draws=200)
    example = Example("cell line 3", "1.20", "0.80", None, fragments.table_fragment(["a"], [np.nan]))
    sheet = opened(
        _write(tmp_path / "report.html", e, examples=[example], twins=true > 0), viewport={"width": 390, "height": 800}
    )
    text = sheet.locator("body").inner_text()
    for part in ("R²", "true (log IC50)", "Furthest off", "is 1.20, predicted 0.80", "missing", "Spearman"):
        assert part in text, part
    assert sheet.evaluate("document.documentElement.scrollWidth") <= 390


def test_one_class_alone_and_no_errors(tmp_path):
    e = Evaluation([0.9, 0.8, 0.7], [1, 1, 1], "ab", draws=20)
    page = _write(tmp_path / "report.html", e, history=None, twins=np.zeros(3, bool)).read_text("utf-8")
    for part in ("No case was predicted wrongly", "no case is of a", "0 of 3 test cases have a near-twin"):
        assert part in page
    assert "What a threshold costs" not in page
    assert "the fairer one" not in page


def test_what_twins_found_is_taken(tmp_path):
    found = SimpleNamespace(twinned=lambda: (np.ones(5, bool), np.arange(60) < 7))
    assert "7 of 60 test cases have" in _write(tmp_path / "a.html", _evaluation(), twins=found).read_text("utf-8")
    with pytest.raises(ValueError, match=r"each of the 60 test cases.*int64 \(3,\)"):
        _write(tmp_path / "b.html", _evaluation(), twins=[1, 2, 3])


def test_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("before")
    e = _evaluation()

    def broken(*_):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", broken)
        with pytest.raises(OSError, match="full"):
            _write(path, e)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(OSError, match="nowhere"):
        _write(tmp_path / "nowhere" / "report.html", e)
    assert _write(path, e, title="lone \ud800").read_text("utf-8").startswith("<!doctype html>")


# -------------------------------------------------------------------- fragments


def test_pictures_keep_their_numbers():
    import base64
    import io

    from PIL import Image

    x = np.linspace(0, 1, 12).reshape(1, 3, 4)

    def read(fragment):
        data = re.search(r"base64,([^\"]*)", fragment)[1]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))

    np.testing.assert_array_equal(read(fragments.picture_fragment(x)), (x[0] * 255).round())
    np.testing.assert_array_equal(read(fragments.picture_fragment(8 * x - 3)), (x[0] * 255).round())
    assert read(fragments.picture_fragment(np.repeat(x, 3, 0))).shape == (3, 4, 3)
    assert 'width="187" height="140"' in fragments.picture_fragment(x)
    assert read(fragments.picture_fragment(x * np.nan)).max() == 0
    assert fragments.volume_fragment(np.zeros((1, 4, 5, 6))).count("<img") == 3


def test_signals_break_where_numbers_are_missing():
    whole = fragments.signal_fragment(np.arange(5.0)[None])
    assert whole.count("M") == 1
    assert "5 samples, from 0 to 4" in whole
    assert fragments.signal_fragment([0, 1, np.nan, 2, 3]).count("M") == 2
    assert "0.5 s" in fragments.signal_fragment(np.zeros(180), fs=360)


def test_tables_show_what_is_unusual():
    values = np.zeros(30)
    values[[7, 20]] = 3, -90
    typical = np.stack([np.zeros(30), np.where(np.arange(30) == 20, 100, 1)])
    shown = re.findall(r"<tr><td>(\w+)", fragments.table_fragment([f"gene{k}" for k in range(30)], values, typical))
    assert shown[:2] == ["gene7", "gene20"]
    assert len(shown) == 5
    whole = fragments.table_fragment([f"gene{k}" for k in range(30)], values, typical)
    assert "<caption>5 of 30 measures, furthest from the median first</caption>" in whole
    assert "5 of 30 measures, the first" in fragments.table_fragment([f"gene{k}" for k in range(30)], values)
    assert "caption" not in fragments.table_fragment(["a"], [1])
    assert "missing" in fragments.table_fragment(["a"], [np.nan])
    assert "median" not in fragments.table_fragment(["a"], [1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fragments.picture_fragment(np.zeros((2, 4, 4))), r"\(2, 4, 4\)"),
        (lambda: fragments.volume_fragment(np.zeros((4, 4))), r"\(4, 4\)"),
        (lambda: fragments.signal_fragment(np.zeros((2, 4))), r"\(2, 4\)"),
        (lambda: fragments.table_fragment(["a"], [1, 2]), "2 values, but 1 names"),
        (lambda: fragments.table_fragment(["a"], [1], [1, 2, 3]), r"for 1 values, got \(3,\)"),
    ],
)
def test_fragments_refuse_other_shapes(make, message):
    with pytest.raises(ValueError, match=message):
        make()
