"""What is fitted inside the folds: fitted to the training part alone, restored bit for bit, refused in words."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.feature_selection import f_classif
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

import tinymed
from tinymed.data.prepare import Chain, Identity, Impute, LogClip, Preparation, SelectColumns, Standardize, from_state

KINDS = {
    "Standardize": Standardize,
    "Impute": Impute,
    "Impute, indicator": lambda: Impute(indicator=True),
    "LogClip": LogClip,
    "SelectColumns": lambda: SelectColumns(3),
    "Identity": Identity,
    "table": lambda: Chain(Impute(indicator=True), Standardize()),
    "genes": lambda: Chain(LogClip(), SelectColumns(4), Standardize()),
}
kinds = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


@dataclass
class Table:
    x: np.ndarray
    y: np.ndarray
    gaps: np.ndarray  # x with holes


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    x = rng.lognormal(5, 2, (40, 6))
    gaps = x.copy()
    gaps[rng.random(x.shape) < 0.2] = np.nan
    return Table(x, np.arange(40) % 2, gaps)


def _input(kind, table):
    return table.gaps if isinstance(kind, Impute) or (isinstance(kind, Chain) and kind.steps[0].gaps) else table.x


def test_standardize_agrees_with_scikit_learn(table):
    got = Standardize().fit(table.x[:30])(table.x[30:])
    np.testing.assert_allclose(got, StandardScaler().fit(table.x[:30]).transform(table.x[30:]), rtol=1e-6)
    assert got.dtype == np.float32


@pytest.mark.parametrize("indicator", [False, True])
def test_impute_agrees_with_scikit_learn(table, indicator):
    table.gaps[:30, 2] = table.x[:30, 2]  # no gap in training: no column that says so, though the test part has one
    table.gaps[31, 2] = np.nan
    oracle = SimpleImputer(strategy="median", add_indicator=indicator).fit(table.gaps[:30])
    got = Impute(indicator=indicator).fit(table.gaps[:30])(table.gaps[30:])
    assert got.shape[1] == (11 if indicator else 6)
    np.testing.assert_allclose(got, oracle.transform(table.gaps[30:]), rtol=1e-6)


def test_log_clip_by_hand():
    np.testing.assert_allclose(LogClip().fit([[1.0]])([[-20.0], [100.0], [1000.0], [99999.0]])[:, 0],
                               [2, 2, 3, np.log10(16000)], rtol=1e-6)  # fmt: skip


def test_select_columns_by_hand():
    """(1, 3) against (5, 7): |2 − 6| / (√2 + √2) = √2; the second column tells nothing, the third has no spread."""
    x = np.array([[1.0, 1, 0, 9], [3, 2, 0, 9], [5, 2, 1, 9], [7, 1, 1, 9]])
    select = SelectColumns(2).fit(x, [0, 0, 1, 1], columns=["a", "b", "c", "d"])
    np.testing.assert_allclose(select.score[[0, 1, 3]], [np.sqrt(2), 0, 0])
    assert select.chosen.tolist() == [2, 0]
    assert select.columns_out == ["c", "a"]
    assert select(x).tolist() == x[:, [2, 0]].tolist()
    assert SelectColumns(99).fit(x, [0, 0, 1, 1])(x).shape == (4, 4)


def test_select_columns_orders_equal_classes_as_the_f_test():
    """With as many of each class and like deviations, Golub's measure and the F statistic agree on the best."""
    x = np.random.default_rng(1).standard_normal((2000, 8))
    y = np.arange(2000) % 2
    x += np.outer(y, np.linspace(0, 2, 8))
    assert SelectColumns(8).fit(x, y).chosen.tolist() == np.argsort(-f_classif(x, y)[0]).tolist()


# -------------------------------------------------------------------- nothing of the test part


@kinds
def test_the_test_part_changes_nothing(make, table):
    prepared = make()
    x = _input(prepared, table)
    before = x.copy()
    prepared.fit(x[:30], table.y[:30])
    state, first = json.dumps(prepared.state()), prepared(x[:30])
    prepared(x[30:] * 7 + 1)
    assert json.dumps(prepared.state()) == state
    assert np.array_equal(prepared(x[:30]), first)
    assert np.array_equal(x, before, equal_nan=True)
    # each row is prepared by itself: not by what stands beside it
    rows = np.concatenate([prepared(x[k : k + 1]) for k in range(30, 40)])
    assert np.array_equal(rows, prepared(x[30:]))


@kinds
def test_fitting_with_the_test_part_would_change_something(make, table):
    """The test above could fail: what is fitted does depend on the rows it is shown."""
    if make in (LogClip, Identity):
        return
    x = _input(make(), table)
    assert make().fit(x[:30], table.y[:30]).state() != make().fit(x, table.y).state()


def test_fitting_again_forgets(table):
    once = Standardize().fit(table.x[:30]).state()
    twice = Standardize().fit(table.x * 9 + 1, columns=list("abcdef"))
    assert twice.fit(table.x[:30]).state() == once


# -------------------------------------------------------------------- state


@kinds
def test_state_makes_the_same_again_bit_for_bit(make, table):
    prepared = make()
    x = _input(prepared, table)
    prepared.fit(x[:30], table.y[:30], columns=list("abcdef"))
    again = from_state(json.loads(json.dumps(prepared.state(), allow_nan=False)))
    assert np.array_equal(again(x[30:]), prepared(x[30:]))
    assert again.state() == prepared.state()
    assert again.columns_out == prepared.columns_out
    with pytest.raises(ValueError, match=r"fitted to"):
        again(x[:, :5])


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, (5, 3), elements=st.floats(-1e30, 1e30)))
def test_any_numbers_survive_json(x):
    prepared = Standardize().fit(x)
    again = from_state(json.loads(json.dumps(prepared.state())))
    assert np.array_equal(again.mean, prepared.mean)
    assert np.array_equal(again.std, prepared.std)
    assert np.isfinite(prepared(x)).all()


def test_a_state_that_cannot_be_is_refused(table):
    state = Standardize().fit(table.x).state()
    with pytest.raises(ValueError, match="no preparation 'Magic'; there are Identity, Standardize"):
        from_state({**state, "kind": "Magic"})
    with pytest.raises(ValueError, match="no preparation None"):
        from_state([])
    with pytest.raises(ValueError, match="Standardize: 2 numbers as 'mean', but 6 columns"):
        from_state({**state, "mean": [1.0, 2.0]})
    with pytest.raises(ValueError, match="has learnt nothing yet"):
        from_state(Standardize().state())(table.x)
    chain = Chain(Standardize()).fit(table.x).state()
    with pytest.raises(ValueError, match="Chain needs a step or more"):
        from_state({**chain, "steps": []})
    with pytest.raises(ValueError, match="Standardize: 1 numbers as 'std', but 6 columns"):
        from_state({**chain, "steps": [{**state, "std": 1.0}]})
    del state["std"]
    with pytest.raises(ValueError, match="state of Standardize has no 'std'"):
        from_state(state)


def test_the_name_of_a_preparation_is_not_taken_twice():
    """Runs know a preparation by its name: another of that name would change what they do."""
    for _ in range(2):  # a cell that is run again defines its class again
        Mine = type("Mine", (Preparation,), {"__module__": "my_notebook"})
    assert Preparation.kinds["Mine"] is Mine
    try:
        with pytest.raises(TypeError, match=r"tinymed\.data\.prepare has a preparation Standardize"):
            type("Standardize", (Preparation,), {"__module__": "my_notebook"})
        assert Preparation.kinds["Standardize"] is Standardize
    finally:
        Preparation.kinds["Standardize"] = Standardize
        del Preparation.kinds["Mine"]


# -------------------------------------------------------------------- names, shapes, constants


def test_names_travel_along_a_chain():
    x = np.array([[1, np.nan, 3], [2, 5, 3], [3, 6, 3], [4, 9, 3.0]])
    chain = Chain(Impute(indicator=True), SelectColumns(3)).fit(x, [0, 0, 1, 1], columns=["a", "b", "c"])
    assert set(chain.columns_out) == {"a", "b", "b missing"}


def test_a_chain_is_its_steps_one_after_another(table):
    got = Chain(LogClip(), SelectColumns(3), Standardize()).fit(table.x[:30], table.y[:30])(table.x[30:])
    log = np.log10(np.clip(table.x, 100, 16000)).astype(np.float32)
    log = log[:, SelectColumns(3).fit(log[:30], table.y[:30]).chosen].astype(np.float64)
    np.testing.assert_allclose(got, (log[30:] - log[:30].mean(0)) / log[:30].std(0), rtol=1e-5, atol=1e-6)


def test_constant_columns_become_zero():
    x = np.full((7, 2), 0.1)
    x[:, 1] = 1e20
    assert not Standardize().fit(x)(x).any()


def test_a_constant_column_tells_no_classes_apart():
    """The mean of equal numbers is rounded: what is left over, divided by itself, was a score of about 1."""
    x = np.random.default_rng(0).standard_normal((38, 3))
    x[:, 0] = 0.1
    assert SelectColumns(1).fit(x, (np.arange(38) < 11).astype(int)).score[0] == 0


def test_identity_takes_items_of_any_shape_and_tensors():
    x = np.random.default_rng(0).random((3, 1, 4, 4)).astype(np.float32)
    same = from_state(json.loads(json.dumps(Identity().fit(tinymed.tensor(x)).state())))
    assert np.array_equal(same(tinymed.tensor(x)), x)
    with pytest.raises(ValueError, match=r"items of shape \(1, 4, 4\), got \(1, 5, 4\)"):
        same(np.zeros((3, 1, 5, 4)))
    x[1, 0, 2, 3] = np.nan
    with pytest.raises(ValueError, match=r"item 1 holds nan at \(0, 2, 3\)"):
        same(x)


# -------------------------------------------------------------------- bad input


def test_bad_tables_are_refused_in_words(table):
    names = ["pregnancies", "glucose", "c", "d", "e", "f"]
    fitted = Standardize().fit(table.x, columns=names)
    table.x[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"column 'glucose' holds nan in row 3; put Impute\(\) before"):
        fitted(table.x)
    with pytest.raises(ValueError, match="column 1 holds nan in row 3"):
        LogClip().fit(table.x)
    table.x[3, 1] = np.inf
    with pytest.raises(ValueError, match=r"Impute: column 1 holds inf in row 3$"):
        Impute().fit(table.x)
    with pytest.raises(ValueError, match="fitted to 6 columns, got 7: is one missing or added"):
        fitted(np.zeros((2, 7)))
    with pytest.raises(ValueError, match=r"a table of numbers \(N,F\), got float64 of shape \(6,\)"):
        fitted(np.zeros(6))
    with pytest.raises(ValueError, match=r"of shape \(0, 6\)"):
        Standardize().fit(np.zeros((0, 6)))
    with pytest.raises(ValueError, match=r"got <U1"):
        Standardize().fit([["a", "b"]])
    with pytest.raises(ValueError, match="2 names for a table of 6 columns"):
        Standardize().fit(np.zeros((2, 6)), columns=["a", "b"])
    with pytest.raises(ValueError, match="has learnt nothing yet"):
        Standardize()(table.x)
    with pytest.raises(ValueError, match="has learnt nothing yet"):
        Chain(Impute(), Standardize())(table.x)


@pytest.mark.filterwarnings("error")
def test_what_float32_does_not_hold_is_named():
    x = np.array([[1.0, 2], [2, 3], [3, 5]])
    with pytest.raises(ValueError, match="Impute: column 'b' is more than float32 holds in row 1"):
        Impute().fit(x, columns=["a", "b"])([[1, 2], [1, 1e39]])
    with pytest.raises(ValueError, match="Standardize: column 0 is more than float32 holds in row 0"):
        Chain(Standardize()).fit(x)([[-1e308, 0]])
    with pytest.raises(ValueError, match="Identity: column 0 is more"):
        Identity().fit(x[:, None])([[[1e39, 0]]])


def test_what_cannot_be_learnt_is_refused(table):
    table.gaps[:, 4] = np.nan
    with pytest.raises(ValueError, match="column 'e' has no value in any of the 40 training rows; drop it"):
        Impute().fit(table.gaps, columns=list("abcdef"))
    with pytest.raises(ValueError, match="chooses by labels"):
        SelectColumns(2).fit(table.x)
    with pytest.raises(ValueError, match="40 rows, but 39 labels"):
        SelectColumns(2).fit(table.x, table.y[1:])
    with pytest.raises(ValueError, match="there are 40 of class 0"):
        SelectColumns(2).fit(table.x, table.y * 0)
    with pytest.raises(ValueError, match="there are 39 of class 0, 1 of class 1"):
        SelectColumns(2).fit(table.x, [0] * 39 + [1])
    for k in (0, 2.5, True):
        with pytest.raises(ValueError, match="k, a whole number of 1 or more"):
            SelectColumns(k)
    with pytest.raises(ValueError, match="0 < low < high"):
        LogClip(0, 5)
    with pytest.raises(ValueError, match="a step or more"):
        Chain()
