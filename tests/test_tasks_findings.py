"""Mining a run: what is planted is found, in every form of data, and the page shows it."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

import tinymed
from tinymed import tasks
from tinymed.data.prepare import Identity
from tinymed.tasks.findings import MAPPED, mine
from tinymed.tasks.forms import TABLE
from tinymed.tasks.judge import near_twins
from tinymed.tasks.run import Run, build
from tinymed.tasks.task import Parts, Samples

HOSTILE = "</style><script>alert('x')</script>\"& 急性"


def run_on(parts, **given):
    """A run that has learnt nothing: its weights are as drawn."""
    config = tasks.settled({"seed": 0, **given})
    prepared = tasks.task_called(config.task).of(config).prepare(config).fit(parts.train.x, parts.train.y)
    shape = prepared(parts.train.take(np.arange(1)).x).shape[1:]
    tinymed.manual_seed(0)
    model = build(config, shape, parts.classes, prepared)
    about = {"source": parts.source, "licence": parts.licence, "unit": parts.unit}
    return Run(config, config, shape, parts.classes, parts.columns, parts.layout, prepared, model, about=about)


def split(x, y, classes, at=(30, 40), **about):
    """Training part, validation part and test part of items in order."""
    ends = [0, *at, len(y)]
    sides = []
    for a, b in itertools.pairwise(ends):
        rows = np.arange(a, b)
        sides.append(Samples(x, y).take(rows) if b > a else None)
    return Parts(*sides, classes=classes, source="made up", **about)


def pictures(classes=("malignant", "benign")):
    """60 of noise; the test part holds a copy of training 3, labelled otherwise, and a near one of training 5."""
    rng = np.random.default_rng(0)
    x, y = rng.random((60, 1, 28, 28)).astype(np.float32), np.arange(60) % 2
    x[42], y[42] = x[3], 1 - y[3]
    x[44], y[44] = 0.9 * x[5] + 0.01 * rng.random((1, 28, 28)), y[5]
    x[31] = x[30]
    return split(x, y, classes)


@pytest.fixture(scope="module")
def mined():
    parts = pictures()
    run = run_on(parts, task="mining", data="generated")
    return run, parts, mine(run, parts)


def test_planted_twins_are_found(mined):
    _, _, found = mined
    assert found.twins.pairs.tolist() == [[3, 42], [5, 44], [30, 31]]
    assert found.twins.exact.tolist() == [True, False, True]
    assert found.twins.conflicting.tolist() == [True, False, True]
    rows = {(row["a"], row["b"]): (row["pairs"], row["exact"], row["conflicting"]) for row in found.twins_by_part()}
    assert rows["training", "test"] == (2, 1, 1)
    assert rows["validation", "validation"] == (1, 1, 1)
    assert sum(row[0] for row in rows.values()) == 3
    assert found.name(42) == "test case 2"
    assert found.name(31) == "validation case 1"
    cases, alike, clusters, errors = str(found).splitlines()
    assert (cases, errors) == ("60 cases", f"{len(found.errors)} errors")
    assert alike == (
        "3 pairs of cases alike (equal, or correlated by more than 0.98); 3 groups; 2 equal; 2 with labels that "
        "differ; 2 across training, validation and test part"
    )
    assert clusters.startswith("2 clusters: silhouette ")


def test_items_are_numbered_through_the_parts(mined):
    run, parts, found = mined
    assert len(found) == 60
    assert np.bincount(found.part).tolist() == [30, 10, 20]
    assert found.features.shape == (60, 128)
    np.testing.assert_array_equal(found.samples.x[40:], parts.test.x)
    assert found.positions.shape == (60, 2)
    assert found.odd.shape == (60,)
    assert found.new == clusters_agree(found.clusters.members[40:], parts.test.y)
    judged = tasks.judge(run, parts.test)
    np.testing.assert_array_equal(found.errors - 40, judged.errors())
    np.testing.assert_array_equal(found.predicted, judged.predicted[judged.errors()])


def clusters_agree(members, labels):
    from sklearn.metrics import adjusted_rand_score

    return adjusted_rand_score(labels, members)


def test_nearest_cases_are_training_cases_by_features(mined):
    _, _, found = mined
    assert len(found.errors)
    assert (found.part[found.nearest.indices] == 0).all()
    apart = np.linalg.norm(found.features[found.errors, None] - found.features[found.nearest.indices], axis=2)
    np.testing.assert_allclose(found.nearest.distances, apart, atol=1e-3)
    if 42 in found.errors:
        assert found.nearest.indices[found.errors.tolist().index(42), 0] == 3


def test_equal_items_do_not_make_their_neighbours_odd():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 4))
    x[:40] = x[0]  # more than LOF's 20 neighbours
    parts = split(x, np.arange(90) % 2, ("b", "m"), (50, 60), columns=tuple("abcd"))
    found = mine(run_on(parts, task="breast-cytology"), parts)
    assert "\n0 pairs of cases alike (equal in every measure)\n" in str(
        replace(found, twins=near_twins(TABLE, np.eye(90)))
    )
    assert found.odd.max() < 10
    assert len(np.unique(found.odd[:40])) == 1
    assert len(found.twins.groups()) == 1


def test_rows_of_a_table_are_twins_only_if_equal_gaps_included():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)) * [1, 10, 100, 1000, 1]
    x[41], x[7] = x[2] * 1.0001, x[50]
    x[8:10, 1] = np.nan
    x[9] = x[8]
    parts = split(x, np.arange(60) % 2, ("healthy", "diabetes"), columns=tuple("abcde"))
    found = mine(run_on(parts, task="diabetes"), parts)
    assert found.twins.pairs.tolist() == [[7, 50], [8, 9]]


def test_texts_with_two_labels(opened, tmp_path):
    parts = tasks.task_called("medical-text").parts(tasks.settled({"task": "medical-text", "data": "generated"}))
    few = [Samples(side.x[:40], side.y[:40]) for side in (parts.train, parts.test)]
    few[1].x[0], few[1].y[0] = few[0].x[0].upper(), (few[0].y[0] + 1) % 5
    few[1].x[1] = HOSTILE
    parts = replace(parts, train=few[0], validation=None, test=few[1])
    run = run_on(parts, task="medical-text", data="generated")
    found = mine(run, parts, tmp_path / "mining.html")
    assert [group.tolist() for group in found.twins.groups(exact=True, conflicting=True)] == [[0, 40]]
    assert found.name(40) == "test case 0"
    assert found.plain is None
    sheet = opened(tmp_path / "mining.html", viewport={"width": 390, "height": 800})
    assert sheet.locator(".conflict h4").all_inner_texts() == [
        f"training case 0: {parts.classes[few[0].y[0]]}", f"test case 0: {parts.classes[few[1].y[0]]}"
    ]  # fmt: skip
    assert sheet.evaluate("document.documentElement.scrollWidth") <= 390


def test_values_have_no_conflicts(tmp_path):
    parts = pictures(())
    parts = replace(parts, **{name: replace(getattr(parts, name), y=getattr(parts, name).y / 3) for name in
                              ("train", "validation", "test")}, unit="log IC50")  # fmt: skip
    run = replace_model(run_on(pictures(), task="mining", data="generated"), parts)
    found = mine(run, parts, tmp_path / "mining.html")
    assert found.twins.conflicting is None
    assert found.clusters.agreement is None
    assert len(found.errors) == 12
    assert "adjusted Rand" not in str(found)
    assert "0.333" in (tmp_path / "mining.html").read_text("utf-8")


def replace_model(run, parts):
    return replace(run, classes=(), prepared=Identity().fit(parts.train.x), about={**run.about, "unit": parts.unit})


@pytest.mark.parametrize("task", ["ecg", "pneumonia"])
def test_signals_and_volumes(task, tmp_path):
    data = "generated" if task == "ecg" else "generated-nodules"
    config = tasks.settled({"task": task, "data": data})
    parts = tasks.task_called(task).parts(config)
    few = {name: getattr(parts, name) and getattr(parts, name).take(np.arange(30)) for name in ("train", "test")}
    parts = replace(parts, validation=None, **few)
    found = mine(run_on(parts, task=task, data=data), parts, tmp_path / "mining.html")
    assert len(found) == 60
    page = (tmp_path / "mining.html").read_text("utf-8")
    assert page.count('class="signal"' if task == "ecg" else "across D") >= 12


def test_many_items_are_mapped_in_part(monkeypatch, mined):
    run, parts, _ = mined
    assert MAPPED >= 1000
    monkeypatch.setattr("tinymed.tasks.findings.MAPPED", 25)
    found = mine(run, parts)
    assert len(found.positions) == len(found.mapped) == len(set(found.mapped)) == 25
    assert found.mapped.max() > 40
    assert (np.diff(found.mapped) > 0).all()


# -------------------------------------------------------------------- the page


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


def test_the_page_in_a_browser(opened, tmp_path):
    parts = replace(pictures((HOSTILE, "benign")), licence=HOSTILE)
    run = run_on(parts, task="mining", data="generated")
    path = tmp_path / "mining.html"
    found = mine(run, parts, path, command=f"tinymed mine {HOSTILE}")
    for width, scheme in ((390, "dark"), (1100, "light")):
        sheet = opened(path, viewport={"width": width, "height": 800}, color_scheme=scheme)
        assert sheet.evaluate("document.documentElement.scrollWidth") <= width
        assert sheet.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth)")
        text = sheet.locator("body").inner_text()
    assert sheet.locator("script").count() == 0
    assert sheet.locator("h1").inner_text().splitlines() == [
        "What do the data hold?",
        "article-cnn on GENERATED data: generated",
    ]
    assert "are alike if they are equal, or correlated by more than 0.98." in text
    assert sheet.locator(".tile b").all_inner_texts() == ["3", "2", "2", f"{found.new:.2f}"]
    assert sheet.locator(".conflict").count() == 2
    first = sheet.locator(".pairs article").first
    assert first.locator("h3").inner_text() == "Equal; labels differ"
    assert first.locator("h4").all_inner_texts() == ["training case 3: benign", f"test case 2: {HOSTILE}"]
    for part in ("What may not be concluded", "not a clinical device", "Who is near whom", "outlier factor"):
        assert part in text, part
    crossed = [
        int(n) for n in sheet.locator("section", has_text="Groups that nobody").locator("td.n").all_inner_texts()
    ]
    assert sum(crossed) == 60
    assert crossed[:2] == np.bincount(found.clusters.members[found.samples.y == 0], minlength=2).tolist()
    page = path.read_text("utf-8")
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_a_page_that_cannot_be_written_leaves_nothing(mined, tmp_path):
    run, parts, _ = mined
    with pytest.raises(OSError, match="nowhere"):
        mine(run, parts, tmp_path / "nowhere" / "mining.html")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_sees_all_alike_is_told(mined):
    run, parts, _ = mined
    same = replace(parts, train=replace(parts.train, x=parts.train.x * 0), validation=None,
                   test=replace(parts.test, x=parts.test.x * 0))  # fmt: skip
    with pytest.raises(ValueError, match="only 1 different values"):
        mine(run, same)
