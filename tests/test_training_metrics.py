"""Metrics against scikit-learn, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from tinymed.training import metrics as M

P = np.array([0.1, 0.4, 0.35, 0.8, 0.7, 0.2])
Y = np.array([0, 0, 1, 1, 1, 0])


def test_two_classes_against_scikit_learn():
    sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    rng = np.random.default_rng(0)
    p, y = rng.random(200), rng.integers(0, 2, 200)
    called = (p > 0.5).astype(int)
    assert M.accuracy(p, y) == sk.accuracy_score(y, called)
    np.testing.assert_array_equal(M.confusion_matrix(p[:, None], y[:, None]), sk.confusion_matrix(y, called))
    for k in (0, 1):
        assert M.sensitivity(p, y, positive=k) == pytest.approx(sk.recall_score(y, called, pos_label=k))
        assert M.specificity(p, y, positive=k) == pytest.approx(sk.recall_score(y, called, pos_label=1 - k))
        assert M.precision(p, y, positive=k) == pytest.approx(sk.precision_score(y, called, pos_label=k))
        assert M.f1(p, y, positive=k) == pytest.approx(sk.f1_score(y, called, pos_label=k))
    assert M.auc(p, y) == pytest.approx(sk.roc_auc_score(y, p))
    assert M.auc(np.stack([1 - p, p], 1), y) == pytest.approx(M.auc(p, y))


def test_several_classes_against_scikit_learn():
    sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    rng = np.random.default_rng(1)
    p, y = rng.dirichlet([1, 1, 1], 90), rng.integers(0, 3, 90)
    assert M.accuracy(p, y) == sk.accuracy_score(y, p.argmax(1))
    assert M.f1(p, y) == pytest.approx(sk.f1_score(y, p.argmax(1), average="macro"))
    assert M.auc(p, y) == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr"))
    np.testing.assert_array_equal(M.confusion_matrix(p, y), sk.confusion_matrix(y, p.argmax(1)))
    with pytest.raises(ValueError, match=r"positive=0…2"):
        M.sensitivity(p, y)
    whole = M.report(p, y, classes=("a", "b", "c"))
    assert whole["positive"] is None
    assert whole["sensitivity"]["b"] == M.sensitivity(p, y, positive=1)


def test_by_hand_with_the_malignant_class_zero():
    # P(0) = 0.9 0.6 0.65 0.2 0.3 0.8: four are called 0, three of them are
    found = M.report(P, Y, positive=0, classes=("malignant", "benign"))
    assert found["positive"] == "malignant"
    assert found["sensitivity"] == 1
    assert found["specificity"] == pytest.approx(2 / 3)
    assert found["precision"] == pytest.approx(3 / 4)
    assert found["f1"] == pytest.approx(6 / 7)
    assert found["accuracy"] == pytest.approx(5 / 6)
    assert found["majority_share"] == 0.5
    assert found["confusion_matrix"].tolist() == [[3, 0], [1, 2]]
    assert M.auc(P, Y) == pytest.approx(8 / 9)  # of nine pairs, one is the wrong way round


def test_threshold_is_of_the_positive_class():
    assert M.sensitivity(P, Y, threshold=0.3) == 1
    assert M.sensitivity(P, Y, threshold=0.7, positive=0) == pytest.approx(2 / 3)


def test_roc_curve():
    fpr, tpr, _ = M.roc_curve(P, Y, positive=0)
    assert np.trapezoid(tpr, fpr) == pytest.approx(M.auc(P, Y))
    with pytest.raises(ValueError, match="all or none"):
        M.roc_curve(P, np.ones(6, int))


def test_undefined_is_nan_with_a_named_warning():
    for metric, p, y in (
        (M.auc, P, np.ones(6, int)),
        (M.sensitivity, P, np.zeros(6, int)),
        (M.specificity, P, np.ones(6, int)),
        (M.precision, P * 0, Y),
    ):
        with pytest.warns(M.UndefinedMetricWarning, match=f"{metric.__name__} is undefined"):
            assert np.isnan(metric(p, y))


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        (P * 2, Y, r"0…1, got 1.6 at \[3\] of \(6,\).*sigmoid"),
        (np.where(Y, np.nan, P), Y, "got nan"),
        (P[:5], Y, r"\(5,\) and \(6,\)"),
        (P, Y + 1, "label 2 of sample 2"),
        (P, Y - 0.5, "none of the classes"),
        (np.eye(2)[Y], np.eye(2)[Y], "argmax"),
        ([], [], "no samples"),
    ],
)
def test_refused(p, y, message):
    with pytest.raises(ValueError, match=message):
        M.accuracy(p, y)


def test_refused_arguments():
    with pytest.raises(ValueError, match="2 classes are predicted, but 3"):
        M.report(P, Y, classes=("a", "b", "c"))
    with pytest.raises(ValueError, match="positive must be one of"):
        M.f1(P, Y, positive=2)


def test_balanced_accuracy():
    sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    rng = np.random.default_rng(2)
    p, y = rng.dirichlet([1, 1, 1], 90), rng.integers(0, 3, 90)
    assert M.balanced_accuracy(p, y) == pytest.approx(sk.balanced_accuracy_score(y, p.argmax(1)))
    with pytest.warns(M.UndefinedMetricWarning, match="class 2 has no sample"):
        assert np.isnan(M.balanced_accuracy(p, np.minimum(y, 1)))
