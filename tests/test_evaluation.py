"""Honest figures: against scikit-learn, and by hand."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import spearmanr
from sklearn.calibration import calibration_curve

from tinymed.evaluation import Evaluation, RegressionEvaluation, choose_threshold
from tinymed.evaluation.ranking import Ranking, midranks

POOR = 20  # draws, where intervals are not looked at


def _two(n=200, seed=0, ties=False):
    """(probabilities of class 1, labels) of a fair classifier."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    p = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.5 * y - 0.75)))
    return (p.round(1) if ties else p), y


def _more(n=300, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    return softmax(rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[y], 1), y


def _drawn(figures, w):
    return {name: float(values[0]) for name, values in figures(w[None].astype(float)).items()}


# -------------------------------------------------------------------- figures


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.booleans(), st.integers(0, 1), st.booleans())
def test_two_classes_against_scikit_learn_with_weights(seed, ties, positive, weighted):
    """Cases counted so often are scikit-learn's sample_weight."""
    p, y = _two(seed=seed, ties=ties)
    w = np.random.default_rng(seed).integers(0, 4, len(y)) if weighted else np.ones(len(y))
    e = Evaluation(p, y, "ab", positive=positive, threshold=0.35, draws=POOR)
    found = _drawn(e.counted, w)
    score, true = (p if positive else 1 - p), y == positive
    said = score > 0.35
    how = {"sample_weight": w}
    expected = {
        "accuracy": sk.accuracy_score(true, said, **how),
        "balanced_accuracy": sk.balanced_accuracy_score(true, said, **how),
        "auc": sk.roc_auc_score(true, score, **how),
        "average_precision": sk.average_precision_score(true, score, **how),
        "sensitivity": sk.recall_score(true, said, **how),
        "specificity": sk.recall_score(true, said, pos_label=False, **how),
        "macro_f1": sk.f1_score(true, said, average="macro", **how),
        "brier": sk.brier_score_loss(true, score, **how),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name
    fpr, tpr, _ = sk.roc_curve(true, score, **how)
    assert found["sensitivity_at_90_specificity"] == pytest.approx(tpr[fpr <= 0.1 + 1e-9].max())
    np.testing.assert_array_equal(e.confusion_matrix, sk.confusion_matrix(y, np.where(said, positive, 1 - positive)))
    if not weighted:
        assert {name: figure.value for name, figure in e.figures.items()} == pytest.approx(found)


def test_several_classes_against_scikit_learn():
    p, y = _more()
    e = Evaluation(p, y, "abcd", draws=POOR)
    figures = {name: figure.value for name, figure in e.figures.items()}
    assert "sensitivity" not in figures
    one_hot = np.eye(4)[y]
    assert figures["accuracy"] == sk.accuracy_score(y, p.argmax(1))
    assert figures["auc"] == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr"))
    assert figures["average_precision"] == pytest.approx(sk.average_precision_score(one_hot, p))
    assert figures["macro_f1"] == pytest.approx(sk.f1_score(y, p.argmax(1), average="macro"))
    assert figures["brier"] == pytest.approx(((p - one_hot) ** 2).sum(1).mean())
    precision, recall, f1, n = sk.precision_recall_fscore_support(y, p.argmax(1))
    for k, row in enumerate(e.per_class()):
        assert row["n"] == n[k]
        assert (row["precision"], row["recall"], row["f1"]) == pytest.approx((precision[k], recall[k], f1[k]))
        assert row["auc"] == pytest.approx(sk.roc_auc_score(y == k, p[:, k]))
    looked_for = Evaluation(p, y, "abcd", positive=2, draws=POOR).figures
    assert looked_for["sensitivity"].value == pytest.approx(recall[2])
    assert looked_for["specificity"].value == pytest.approx(sk.recall_score(y != 2, p.argmax(1) != 2))


@pytest.mark.parametrize("ties", [False, True])
def test_curves_against_scikit_learn(ties):
    p, y = _two(ties=ties)
    e = Evaluation(p, y, "ab", positive=0)
    fpr, tpr, thresholds = e.roc()
    wanted = sk.roc_curve(y == 0, 1 - p, drop_intermediate=False)
    np.testing.assert_allclose(fpr, wanted[0])
    np.testing.assert_allclose(tpr, wanted[1])
    for k in range(len(thresholds)):  # what lies above the threshold is what was counted
        assert ((1 - p)[y == 0] > thresholds[k]).mean() == pytest.approx(tpr[k])
        assert ((1 - p)[y == 1] > thresholds[k]).mean() == pytest.approx(fpr[k])
    recall, precision, _ = e.precision_recall()
    wanted = sk.precision_recall_curve(y == 0, 1 - p)
    np.testing.assert_allclose(recall, wanted[1][:-1][::-1])
    np.testing.assert_allclose(precision, wanted[0][:-1][::-1])
    said, true, n = e.calibration()
    wanted = calibration_curve(y == 0, 1 - p, n_bins=10, strategy="quantile")
    np.testing.assert_allclose(true, wanted[0])
    np.testing.assert_allclose(said, wanted[1])
    assert n.sum() == len(y)


def test_thresholds_reach_scores_of_0_and_1():
    ranking = Ranking(np.array([0.0, 1.0, 1.0, 0.5]), np.array([True, False, True, False]))
    tp, fp = ranking.counted(np.ones((1, 4)))
    assert tp[0].tolist() == [0, 1, 1, 2]
    assert fp[0].tolist() == [0, 1, 2, 2]
    thresholds = ranking.thresholds()
    assert [int((np.array([0.0, 1.0, 1.0, 0.5]) > t).sum()) for t in thresholds] == [0, 2, 3, 4]


def test_calibration_error_by_hand():
    # four cases make two bins: 0.1 and 0.3, of which none came true; 0.6 and 1.0, of which one did
    e = Evaluation([0.1, 0.3, 0.6, 1.0], [0, 0, 0, 1], "ab")
    assert e.figures["calibration_error"].value == pytest.approx((2 * 0.2 + 2 * 0.3) / 4)
    # of more classes it is the probability of the class said: 0.5 and 0.6, both wrong; 0.8 and 0.9, both right
    p = [[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8], [0.9, 0.1, 0.0]]
    e = Evaluation(p, [1, 0, 2, 0], "abc")
    assert e.figures["calibration_error"].value == pytest.approx((0.5 + 0.6 + 0.2 + 0.1) / 4)


def test_majority_and_errors():
    e = Evaluation([0.9, 0.2, 0.4, 0.6], [0, 0, 1, 1], ("benign", "malignant"), names=list("wxyz"), threshold=0.5)
    assert e.majority == ("benign", 0.5)
    assert e.errors().tolist() == [0, 2]  # 0 is wrong at 0.9, 2 at 0.6
    part = e.subset([2, 0])
    assert part.names == ("y", "w")
    assert part.figures["accuracy"].value == 0
    assert len(e.subset(np.array([True, False, False, True]))) == 2


def test_undefined_is_nan_with_a_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        e = Evaluation([0.9, 0.8, 0.3], [1, 1, 1], ("a", "b"))
        figures = e.figures
    for name in ("auc", "balanced_accuracy", "specificity", "sensitivity_at_90_specificity"):
        assert math.isnan(figures[name].value), name
    assert figures["auc"].why == "no case is of a"
    assert figures["specificity"].why == "every case is of b"
    assert str(figures["auc"]) == "undefined: no case is of a"
    assert math.isnan(e.per_class()[0]["recall"])
    assert e.threshold_table() == []
    with pytest.raises(ValueError, match="all or none are of b"):
        e.roc()
    p, y = _more(classes=3)
    assert Evaluation(p, np.minimum(y, 1), "abc", draws=POOR).figures["auc"].why == "no case is of c"
    told = json.dumps(e.to_dict())
    assert "NaN" not in told
    assert json.loads(told)["figures"]["auc"] == {"value": None, "low": None, "high": None, "why": "no case is of a"}


# -------------------------------------------------------------------- thresholds


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.booleans(), st.integers(0, 1))
def test_rules_by_trying_every_threshold(seed, ties, positive):
    p, y = _two(60, seed, ties)
    score, true = (p if positive else 1 - p), y == positive
    every = np.append(np.unique(score), -0.5)

    def rates(t):
        return (score[true] > t).mean(), (score[~true] <= t).mean()

    tried = np.array([rates(t) for t in every])
    at = {
        rule: choose_threshold(p, y, positive, rule)
        for rule in ("youden", "accuracy", "f1", "sensitivity=0.9", "specificity=0.8")
    }
    assert sum(rates(at["youden"])) == pytest.approx(tried.sum(1).max())
    assert ((score > at["accuracy"]) == true).mean() == max(((score > t) == true).mean() for t in every)
    assert sk.f1_score(true, score > at["f1"]) == pytest.approx(max(sk.f1_score(true, score > t) for t in every))
    assert rates(at["sensitivity=0.9"])[1] == tried[tried[:, 0] >= 0.9 - 1e-12, 1].max()
    assert rates(at["sensitivity=0.9"])[0] >= 0.9 - 1e-12
    assert rates(at["specificity=0.8"])[0] == tried[tried[:, 1] >= 0.8 - 1e-12, 0].max()
    for t in at.values():  # > and ≥ are one
        assert not (score == t).any()


def test_threshold_by_hand_is_halfway_and_near_a_half():
    assert choose_threshold([0.1, 0.2, 0.6, 0.8], [0, 0, 1, 1]) == pytest.approx(0.4)
    assert choose_threshold([0.1, 0.2, 0.6, 0.8], [0, 0, 1, 1], rule="sensitivity=0.5") == pytest.approx(0.4)


def test_threshold_table_counts_cases():
    p, y = _two(80)
    tried = ["0.5", "youden", "sensitivity=0.95", "sensitivity=0.90", "specificity=0.90"]
    for chosen in ("on validation data", *tried):  # a rule may have the words of one that is tried here
        rows = Evaluation(p, y, "ab", threshold=0.3, chosen=chosen).threshold_table()
        assert [row["rule"] for row in rows] == [chosen, *tried]
        assert rows[0]["threshold"] == 0.3
    for row in rows:
        assert row["tp"] + row["fn"] == y.sum()
        assert row["fp"] + row["tn"] == 80 - y.sum()
    assert rows[0]["tp"] == ((p > 0.3) & (y == 1)).sum()
    assert rows[3]["sensitivity"] >= 0.95


@pytest.mark.parametrize(
    "rule", ["youdens", "sensitivity", "sensitivity=", "sensitivity=1.5", "f1=0.9", "accuracy=x", "=", ""]
)
def test_unknown_rules_are_refused(rule):
    with pytest.raises(ValueError, match=r"there is no rule.*youden"):
        choose_threshold(*_two(20), rule=rule)


def test_threshold_needs_both_classes():
    with pytest.raises(ValueError, match="all 2 labels are of class 1"):
        choose_threshold([0.2, 0.8], [1, 1])
    with pytest.raises(ValueError, match="the likeliest is predicted"):
        choose_threshold(*_more(20))


# -------------------------------------------------------------------- values


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_regression_against_scikit_learn(seed, ties):
    rng = np.random.default_rng(seed)
    true = rng.normal(size=80)
    predicted = 0.7 * true + 0.5 * rng.normal(size=80)
    if ties:
        true, predicted = true.round(), predicted.round(1)
    w = rng.integers(0, 3, 80)
    e = RegressionEvaluation(predicted[:, None].astype(np.float32), true, draws=POOR)
    found, p = _drawn(e.counted, w), e.predicted
    assert found["r2"] == pytest.approx(sk.r2_score(true, p, sample_weight=w))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(true, p, sample_weight=w))
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(true, p, sample_weight=w))
    again = np.repeat(np.arange(80), w)
    assert found["spearman"] == pytest.approx(spearmanr(p[again], true[again])[0])
    assert e.figures["r2"].value == pytest.approx(sk.r2_score(true, p))
    assert e.figures["r2"].low < e.figures["r2"].value < e.figures["r2"].high


def test_midranks_by_hand():
    ranks = midranks(np.array([5.0, 1.0, 5.0, 3.0]), np.array([[1, 1, 1, 1], [2, 1, 0, 1]]))
    assert ranks.tolist() == [[3.5, 1, 3.5, 2], [3.5, 1, 3.5, 2]]


def test_regression_that_is_undefined_or_refused():
    flat = RegressionEvaluation([1.0, 2, 3], [0.1, 0.1, 0.1]).figures
    assert math.isnan(flat["r2"].value)
    assert flat["r2"].why == "all true values are equal"
    assert flat["mae"].value == pytest.approx(1.9)
    with pytest.raises(ValueError, match="true value of case 1 is nan"):
        RegressionEvaluation([1, 2], [1, np.nan])
    with pytest.raises(ValueError, match=r"\(3,\) and \(2,\)"):
        RegressionEvaluation([1, 2, 3], [1, 2])
    assert RegressionEvaluation([1, 2, 3.5], [1, 2, 3]).errors()[0] == 2


# -------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": "abc"}, "2 classes are predicted, but 3 are named"),
        ({"positive": 2}, "positive must be one of"),
        ({"threshold": math.nan}, "threshold must be a number"),
        ({"groups": [1, 2]}, r"each of the 4 cases.*\(2,\)"),
        ({"groups": [1, 2, None, 3]}, "case 2 belongs to nobody"),
        ({"groups": [1, 2, np.nan, 3]}, "case 2 belongs to nobody"),
        ({"names": ["x"]}, "4 cases, but 1 names"),
        ({"probabilities": [0.1, 0.2]}, r"\(2,\) and \(4,\)"),
        ({"probabilities": [0.1, 0.2, 1.2, 0]}, "sigmoid or softmax"),
        ({"probabilities": np.full((4, 2), 0.4)}, "case 0 sum to 0.8"),
        ({"labels": [0, 1, 2, 0]}, "label 2 of sample 2"),
    ],
)
def test_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Evaluation(**({"probabilities": [0.1, 0.6, 0.2, 0.7], "labels": [0, 1, 1, 0], "classes": "ab"} | change))
