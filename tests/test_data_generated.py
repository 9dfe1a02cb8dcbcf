"""Generated stand-ins: they repeat, they are said to be generated, and their classes overlap, as in life."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import tinymed
from tinymed.data import LabelledDataset, random_split
from tinymed.data.abstracts import make_abstracts
from tinymed.data.chest import make_chest_phantoms, make_nodules
from tinymed.data.generated import make_diabetes_table, make_drug_response, make_expression, make_subtypes
from tinymed.data.heartbeats import make_heartbeats
from tinymed.data.pima import COLUMNS

# (function, n, the shape of an item, classes)
ARRAYS = [
    (make_chest_phantoms, 60, (1, 28, 28), 2),
    (make_nodules, 12, (1, 28, 28, 28), 2),
    (make_heartbeats, 60, (1, 140), 5),
    (make_diabetes_table, 60, (8,), 2),
    (make_expression, 60, (2000,), 2),
    (make_subtypes, 60, (2000,), 4),
]
ids = [row[0].__name__ for row in ARRAYS]


@pytest.mark.parametrize(("make", "n", "shape", "classes"), ARRAYS, ids=ids)
def test_shapes_seeds_and_source(make, n, shape, classes):
    data = make(n, seed=3)
    assert isinstance(data, LabelledDataset)
    assert (data.inputs.shape, data.inputs.dtype) == ((n, *shape), np.float32)
    assert len(data.classes) == classes
    assert set(data.labels.tolist()) == set(range(classes))
    assert data.source.startswith(f"generated: {make.__name__}({n}, ")
    assert "seed=3" in data.source
    again, other = make(n, seed=3), make(n, seed=4)
    np.testing.assert_array_equal(data.inputs.array, again.inputs.array)
    assert data.labels.tolist() == again.labels.tolist()
    assert not np.array_equal(data.inputs.array, other.inputs.array, equal_nan=True)
    if make is not make_diabetes_table:
        assert np.isfinite(data.inputs.array).all()


@pytest.mark.parametrize(
    "make", [row[0] for row in ARRAYS] + [make_drug_response, make_abstracts], ids=lambda f: f.__name__
)
def test_one_is_enough_and_none_is_refused(make):
    assert len(make(1)) == 1
    with pytest.raises(ValueError, match=f"{make.__name__} needs n >= 1"):
        make(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_chest_phantoms(3, size=7), "size >= 8, got n=3 and size=7"),
        (lambda: make_nodules(3, size=4), "size >= 8"),
        (lambda: make_heartbeats(3, classes=3), "classes 2 or 5, got .* classes=3"),
        (lambda: make_heartbeats(3, patients=0), "patients >= 1"),
        (lambda: make_expression(3, genes=5), "8 genes or more"),
        (lambda: make_subtypes(8, genes=11), "12 genes or more are needed for 4 classes, got 11"),
        (lambda: make_subtypes(8, subtypes=1), "2 subtypes or more"),
        (lambda: make_drug_response(8, genes=7), "8 genes or more"),
        (lambda: make_abstracts(3, language="de"), 'language "en" or "zh", got n=3 and \'de\''),
    ],
)
def test_what_cannot_be_made_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def scored(model, x, y):
    """Mean accuracy over five folds."""
    from sklearn.model_selection import cross_val_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cross_val_score(model, x.reshape(len(x), -1), y, cv=5).mean()


def forest():
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(60, random_state=0)


def logistic():
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(C=0.01, max_iter=500))


def selected():
    from sklearn.feature_selection import SelectKBest
    from sklearn.pipeline import make_pipeline

    return make_pipeline(SelectKBest(k=15), logistic())


@pytest.mark.parametrize(
    ("data", "model", "above"),
    [
        (lambda: make_chest_phantoms(600), forest, 0.03),
        (lambda: make_nodules(200, size=16), logistic, 0.03),
        (lambda: make_heartbeats(600), forest, 0.2),
        (lambda: make_diabetes_table(1000), logistic, 0.05),
        (lambda: make_expression(150, genes=300), selected, 0.1),
        (lambda: make_subtypes(150, genes=300), logistic, 0.3),
    ],
    ids=ids,
)
def test_classes_differ_and_overlap(data, model, above):
    data = data()
    y = data.labels.array
    accuracy = scored(model(), data.inputs.array, y)
    assert np.bincount(y).max() / len(y) + above < accuracy < 0.99


@pytest.mark.parametrize(("make", "share"), [(make_chest_phantoms, 0.74), (lambda n: make_nodules(n, size=8), 0.25)])
def test_pictures_have_their_share_of_the_ill_and_lie_in_0_to_1(make, share):
    data = make(100)
    assert data.labels.array.mean() == pytest.approx(share)
    x = data.inputs.array
    assert 0 <= x.min() < 0.1
    assert 0.9 < x.max() <= 1
    assert (x.reshape(100, -1).std(1) > 0.02).all()


def test_pneumonia_is_brighter_where_the_lungs_are():
    data = make_chest_phantoms(800)
    x, y = data.inputs.array[:, 0], data.labels.array
    lungs = np.r_[7:10, 18:21]
    contrast = x[:, 8:16, 13:15].mean((1, 2)) - x[:, 8:16][:, :, lungs].mean((1, 2))  # spine less lungs
    assert contrast[y == 0].mean() - contrast[y == 1].mean() > 0.02


def test_malignant_nodules_are_larger():
    data = make_nodules(120, size=16)
    bright = (data.inputs.array[:, 0, 4:12, 4:12, 4:12] > 0.3).mean((1, 2, 3))
    assert bright[data.labels.array == 1].mean() > 1.3 * bright[data.labels.array == 0].mean()


def test_heartbeats_are_standardised_and_as_rare_as_in_ecg5000():
    data = make_heartbeats(5000)
    x = data.inputs.array[:, 0]
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(1), 1, rtol=1e-5)
    assert list(data.counts().values()) == [2919, 1767, 96, 194, 24]
    assert data.groups.shape == (5000,)
    assert set(data.groups) == set(range(20))
    assert list(make_heartbeats(5).counts().values()) == [1, 1, 1, 1, 1]
    two = make_heartbeats(300, classes=2)
    assert (two.classes, two.labels.array.max()) == (("normal", "abnormal"), 1)


def test_who_has_learnt_a_patient_knows_the_patients_other_beats():
    from sklearn.neighbors import KNeighborsClassifier

    gaps = []
    for seed in range(6):
        data = make_heartbeats(1200, seed, classes=2)
        x, y, score = data.inputs.array[:, 0], data.labels.array, []
        for groups in (None, data.groups):
            parts = random_split(data, [0.7, 0.3], tinymed.Generator(seed), groups=groups)
            train, test = (part.indices for part in parts)
            score.append(KNeighborsClassifier(3).fit(x[train], y[train]).score(x[test], y[test]))
        gaps.append(score[0] - score[1])
    assert np.mean(gaps) > 0.05


def test_diabetes_table_has_pimas_columns_ranges_and_gaps():
    data = make_diabetes_table(4000)
    x = dict(zip(data.columns, data.inputs.array.T))
    assert data.columns == COLUMNS
    missing = {name: np.isnan(column).mean() for name, column in x.items()}
    wanted = {"glucose": 5, "pressure": 35, "skin": 227, "insulin": 374, "bmi": 11}
    for name in COLUMNS:
        assert missing[name] == pytest.approx(wanted.get(name, 0) / 768, abs=0.03)
        assert (missing[name] > 0) == (name in wanted)
    assert np.isnan(x["insulin"])[np.isnan(x["skin"])].all()
    assert 0.3 < data.labels.array.mean() < 0.4
    assert np.nanmedian(x["glucose"]) == pytest.approx(117, abs=3)
    assert np.nanmin(x["age"]) == 21
    assert np.corrcoef(x["pregnancies"], x["age"])[0, 1] > 0.4
    rate = [
        data.labels.array[(x["glucose"] >= low) & (x["glucose"] < high)].mean() for low, high in ((0, 100), (140, 200))
    ]
    assert rate[0] < 0.25 < 0.5 < rate[1]


def test_expression_tells_which_genes_the_formula_used():
    data = make_expression(400, genes=200)
    log2, y = np.log2(data.inputs.array), data.labels.array
    assert (data.inputs.array > 0).all()
    assert data.genes.shape == data.informative.shape == (200,)
    difference = np.abs(log2[y == 0].mean(0) - log2[y == 1].mean(0))
    assert difference[data.informative].mean() > 4 * difference[~data.informative].mean()
    r = np.corrcoef(log2[:, :20].T)  # a block shares its factor
    between = np.corrcoef(log2[:, :20].T, log2[:, 40:60].T)[:20, 20:]
    assert r[np.triu_indices(20, 1)].mean() > between.mean() + 0.1


def test_drug_response_can_be_told_in_part():
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import cross_val_score

    data = make_drug_response(600, genes=60)
    assert "generated: make_drug_response" in repr(data)
    assert (data.inputs.shape, data.labels.shape, data.labels.dtype) == ((600, 60), (600,), np.float32)
    assert data.informative.sum() == 8
    x, y = np.log2(data.inputs.array), data.labels.array
    r2 = cross_val_score(LinearRegression(), x, y, cv=5, scoring="r2").mean()
    told = cross_val_score(LinearRegression(), x[:, data.informative], y, cv=5, scoring="r2").mean()
    assert 0.3 < r2 < told < 0.75
    np.testing.assert_array_equal(y, make_drug_response(600, genes=60).labels.array)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_abstracts_are_texts_of_five_classes_that_words_tell_in_part(language):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    data = make_abstracts(600, seed=1, language=language)
    assert len(data.texts) == len(data) == 600
    assert len(data.classes) == 5
    assert data.source == f"generated: make_abstracts(600, seed=1, language={language!r})"
    assert data.texts == make_abstracts(600, seed=1, language=language).texts
    assert not any("{" in text or "|" in text for text in data.texts)
    assert all(("\u4e00" <= text[-2] <= "\u9fff") == (language == "zh") for text in data.texts)
    vectors = TfidfVectorizer(analyzer="char" if language == "zh" else "word", ngram_range=(1, 2))
    y = data.labels.array
    model = make_pipeline(vectors, LogisticRegression(C=10)).fit(data.texts[:450], y[:450])
    assert np.bincount(y).max() / 600 + 0.2 < model.score(data.texts[450:], y[450:]) < 0.95
