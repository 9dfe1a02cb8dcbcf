"""Intervals hold what they promise; chance makes as much miscalibration as is said; two models on the same cases."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import norm

from tinymed.evaluation import Evaluation, Figure, RegressionEvaluation, compare, over_seeds
from tinymed.evaluation.bootstrap import counts, exact_interval, intervals

POOR = 20  # draws, where intervals are not looked at


def _two(n=200, seed=0):
    """(probabilities of class 1, labels) of a fair classifier."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return 1 / (1 + np.exp(-(rng.normal(size=n) + 1.5 * y - 0.75))), y


def test_intervals_hold_the_truth_in_95_of_100_test_sets():
    """A classifier whose true accuracy and AUC are known, on 300 test sets of 150 cases."""
    rng, held, d = np.random.default_rng(1), [], 1.4
    truth = {"accuracy": norm.cdf(d / 2), "auc": norm.cdf(d / np.sqrt(2)), "sensitivity": norm.cdf(d / 2)}
    for k in range(300):
        y = rng.integers(0, 2, 150)
        p = norm.cdf(rng.normal(size=150) + d * (y - 0.5))
        figures = Evaluation(p, y, "ab", draws=400, seed=k).figures
        held.append([figures[name].low <= value <= figures[name].high for name, value in truth.items()])
    assert ((np.mean(held, 0) > 0.91) & (np.mean(held, 0) < 0.985)).all(), np.mean(held, 0)


def test_patients_are_drawn_whole():
    """Ten equal beats of each patient say no more than one: the interval is that of patients."""
    p, y = _two(100)
    single = Evaluation(p, y, "ab").figures["accuracy"]
    tenfold = {"probabilities": np.repeat(p, 10), "labels": np.repeat(y, 10), "classes": "ab"}
    blind = Evaluation(**tenfold).figures["accuracy"]
    fair = Evaluation(**tenfold, groups=np.repeat([f"p{k}" for k in range(100)], 10)).figures["accuracy"]
    assert fair.value == blind.value == single.value
    assert fair.high - fair.low == pytest.approx(single.high - single.low, rel=0.1)
    assert blind.high - blind.low < 0.5 * (single.high - single.low)
    (drawn,) = counts(6, 3, 0, np.array([7, 7, 8, 8, 8, 9]))
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, [0, 2, 5]].sum(1) == 3).all()


def test_draws_repeat_and_are_all_there():
    drawn = np.concatenate(list(counts(5000, 250, 3)))
    assert drawn.shape == (250, 5000)
    assert (drawn.sum(1) == 5000).all()
    np.testing.assert_allclose(drawn.mean(0), 1, atol=0.35)  # each case is drawn as often as any other
    np.testing.assert_array_equal(drawn, np.concatenate(list(counts(5000, 250, 3))))
    assert (drawn != np.concatenate(list(counts(5000, 250, 4)))).any()


@pytest.mark.parametrize("kind", ["two", "more", "values"])
def test_draws_are_counted_each_for_itself(kind):
    p, y = _two(60)
    if kind == "more":
        p, y = softmax(np.random.default_rng(0).normal(size=(60, 4)), 1), y + 2 * (p > 0.5)
    e = RegressionEvaluation(p, y) if kind == "values" else Evaluation(p, y, "abcd" if kind == "more" else "ab")
    (w,) = counts(60, 5, 0)
    together = e.counted(w)
    for k in range(5):
        alone = {name: float(values[0]) for name, values in e.counted(w[k][None]).items()}
        assert {name: values[k] for name, values in together.items()} == pytest.approx(alone)


def test_shares_of_independent_cases_have_exact_intervals():
    """The interval of 19 of 20 is as honest as that of 20 of 20."""
    p, y = np.array([0.1] * 11 + [0.9] * 19), np.repeat([0, 1], [10, 20])
    figures = Evaluation(p, y, "ab").figures
    assert str(figures["sensitivity"]) == "0.950 (0.751 to 0.999)"
    assert figures["sensitivity"].why == "exact interval of 19 in 20 cases"
    assert figures["specificity"].low ** 10 == pytest.approx(0.025)
    assert (figures["accuracy"].low, figures["accuracy"].high) == exact_interval(29, 30)
    assert exact_interval(0, 3) == pytest.approx((0, 1 - 0.025 ** (1 / 3)))
    assert not figures["balanced_accuracy"].why
    three = Evaluation(np.eye(3)[np.arange(30) % 3], np.arange(30) // 10, "abc", positive=2).figures
    assert three["sensitivity"].why == "exact interval of 4 in 10 cases"
    one_each = Evaluation(p, y, "ab", groups=np.arange(30)).figures
    assert one_each["sensitivity"] == figures["sensitivity"]


def test_shares_of_grouped_cases_are_drawn_unless_all_are_equal():
    p, y = np.array([0.1] * 10 + [0.9] * 24), np.repeat([0, 1], [10, 24])
    figures = Evaluation(p, y, "ab", groups=np.arange(34) // 2).figures
    assert figures["sensitivity"].low ** 12 == pytest.approx(0.025)  # of 12 patients, not of 24 cases
    assert figures["accuracy"].why == "exact interval of 17 in 17 groups"
    p[-1] = 0.1
    assert not Evaluation(p, y, "ab", groups=np.arange(34) // 2).figures["sensitivity"].why


def test_no_interval_where_no_draw_moves_the_figure():
    figure = Evaluation([0.1] * 10 + [0.9] * 24, [0] * 10 + [1] * 24, "ab").figures["auc"]
    assert math.isnan(figure.low)
    assert "1.000 (no interval: it is the same in every draw" in str(figure)


def test_too_many_draws_without_a_figure():
    y = np.array([0] * 50 + [1])
    figure = Evaluation(np.linspace(0.1, 0.9, 51), y, "ab").figures["auc"]
    assert figure.value == 1
    assert math.isnan(figure.low)
    assert "for want of cases" in figure.why


def test_five_thousand_cases_take_a_second():
    p, y = _two(5000)
    began = time.process_time()
    assert len(Evaluation(p, y, "ab").figures) == 10
    assert time.process_time() - began < 3  # 0.3 s on an idle core


def test_a_broken_bootstrap_would_be_seen():
    """Draws that move too little make intervals too narrow: the coverage above would show it."""
    rng, held = np.random.default_rng(2), []
    for k in range(100):
        hits = rng.random(150) < 0.8
        figure = intervals(lambda w, hits=hits: {"a": ((w + 3) / 4) @ hits / 150}, 150, 200, k)["a"]
        held.append(figure.low <= 0.8 <= figure.high)
    assert np.mean(held) < 0.6


# -------------------------------------------------------------------- calibration against chance


def _is_cleared(p, y, groups=None):
    e = Evaluation(p, y, "ab", groups=groups, draws=2)
    figure = e.figures["calibration_error"]
    assert math.isnan(figure.low)
    assert str(figure) == f"{figure.value:.3f} (chance alone gives up to {e.calibration_by_chance:.3f})"
    return figure.value <= e.calibration_by_chance


def test_calibration_error_is_read_against_chance():
    """Right probabilities are cleared in 19 of 20 test sets, and exaggerated ones are not."""
    rng, cleared, caught = np.random.default_rng(0), [], []
    for _ in range(200):
        z = 1.5 * rng.normal(size=156)
        y = (rng.random(156) < 1 / (1 + np.exp(-z))).astype(int)
        for factor, verdicts in ((1, cleared), (4, caught)):
            verdicts.append(_is_cleared(1 / (1 + np.exp(-factor * z)), y))
    assert 0.90 < np.mean(cleared) < 0.99
    assert np.mean(caught) < 0.05


@pytest.mark.parametrize("kind", ["one label a patient", "an effect of the patient", "independent"])
def test_calibration_error_of_groups_is_read_against_what_whole_groups_do(kind):
    """40 patients of 25 cases: of cases that fall together, chance makes more. Taken as single cases, most fail."""
    cleared, caught, n = [], [], (40, 25)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(40, 1)) if kind == "one label a patient" else rng.uniform(-0.85, 0.85, n)
        effect = 0.2 * rng.normal(size=(40, 1)) * (kind == "an effect of the patient")
        drawn = rng.random((40, 1) if kind == "one label a patient" else n)
        y = np.broadcast_to(drawn < 1 / (1 + np.exp(-z)) + effect, n).astype(int).ravel()
        for factor, verdicts in ((1, cleared), (6, caught)):
            p = np.broadcast_to(1 / (1 + np.exp(-factor * z)), n).ravel()
            verdicts.append(_is_cleared(p, y, np.repeat(np.arange(40), 25)))
    assert np.mean(cleared) > (0.83 if kind == "one label a patient" else 0.9)
    assert np.mean(caught) < (0.75 if kind == "one label a patient" else 0.02)  # 40 labels say little


# -------------------------------------------------------------------- two models, several seeds


def test_compare_is_paired():
    p, y = _two(400, seed=1)
    better = np.clip(p + 0.15 * (2 * y - 1), 0, 1)
    a, b = (Evaluation(q, y, "ab") for q in (p, better))
    found = compare(a, b)
    difference = found.differences["accuracy"]
    assert difference.value == pytest.approx(b.figures["accuracy"].value - a.figures["accuracy"].value)
    assert difference.low > 0
    assert difference.high - difference.low < a.figures["accuracy"].high - a.figures["accuracy"].low
    assert (found.only_first, found.only_second) == (0, int(((better > 0.5) == y).sum() - ((p > 0.5) == y).sum()))
    assert found.p == pytest.approx(2 * 0.5**found.only_second)
    assert "McNemar" in str(found)
    same = compare(a, a)
    assert same.p == 1
    assert same.differences["auc"].value == 0


def test_compare_refuses_other_cases():
    p, y = _two(40)
    a = Evaluation(p, y, "ab")
    with pytest.raises(ValueError, match="40 and 39 cases"):
        compare(a, Evaluation(p[1:], y[1:], "ab"))
    with pytest.raises(ValueError, match="the label of case 3 differs"):
        compare(a, Evaluation(p, np.where(np.arange(40) == 3, 1 - y, y), "ab"))
    with pytest.raises(ValueError, match="positive class differ"):
        compare(a, Evaluation(p, y, "ab", positive=0))
    with pytest.raises(ValueError, match="classes and the other values"):
        compare(a, RegressionEvaluation(p, p))


def test_compare_refuses_other_names_and_groups():
    p, y = _two(40)
    names, groups = [f"c{k}" for k in range(40)], np.arange(40) // 2
    a = Evaluation(p, y, "ab", names=names, groups=groups)
    with pytest.raises(ValueError, match="the name of case 3 differs: c3 and d3"):
        compare(a, Evaluation(p, y, "ab", names=[*names[:3], "d3", *names[4:]]))
    with pytest.raises(ValueError, match="the group of case 2 differs: 1 and 0"):
        compare(a, Evaluation(p, y, "ab", groups=np.arange(40) // 20))
    read = Evaluation(p, y, "ab", names=names, groups=groups.astype(str))  # as from a table
    assert compare(a, read, draws=POOR).differences["auc"].value == 0
    assert compare(a, Evaluation(p, y, "ab"), draws=POOR).differences["auc"].value == 0


def test_compare_of_groups_draws_them_whole_and_makes_no_test_of_single_cases():
    p, y = _two(100)
    worse = np.where(np.arange(100) < 30, 1 - p, p)
    single = compare(Evaluation(p, y, "ab"), Evaluation(worse, y, "ab"))
    tenfold = [{"probabilities": np.repeat(q, 10), "labels": np.repeat(y, 10), "classes": "ab"} for q in (p, worse)]
    groups = np.repeat(np.arange(100), 10)
    found = compare(Evaluation(**tenfold[0]), Evaluation(**tenfold[1], groups=groups))
    assert (found.only_first, found.only_second) == (10 * single.only_first, 10 * single.only_second)
    assert found.p is None
    assert str(found).endswith("no p, for cases of one group are not independent")
    one, ten = (c.differences["accuracy"] for c in (single, found))
    assert ten.high - ten.low == pytest.approx(one.high - one.low, rel=0.1)
    one_each = compare(Evaluation(p, y, "ab", groups=np.arange(100)), Evaluation(worse, y, "ab"), draws=POOR)
    assert one_each.p == single.p


def test_over_seeds():
    found = over_seeds([{"accuracy": Figure(0.8)}, {"accuracy": 0.9}, {"accuracy": 0.7}])
    assert (found["accuracy"].mean, found["accuracy"].sd) == pytest.approx((0.8, 0.1))
    assert str(found["accuracy"]) == "0.800 ± 0.100 (3 seeds)"
    assert "one seed" in str(over_seeds([{"a": 1.0}])["a"])
    p, y = _two(40)
    assert over_seeds([Evaluation(p, y, "ab", draws=POOR)] * 2)["auc"].sd == pytest.approx(0)
    with pytest.raises(ValueError, match="no runs"):
        over_seeds([])
    with pytest.raises(ValueError, match="run 1 has the figures"):
        over_seeds([{"a": 1.0}, {"b": 1.0}])
