"""Bad tensors, shapes and labels, numbered: each is refused in a sentence that says what came, and the cure.

1 ragged, 2 not numbers, 3 NaN, 4 mixed dtypes, 5 bytes as pictures, 6 empty, 7 0-d, 8 in test_bad_layouts.py,
9 big-endian, 11 foreign types, 12 aliasing; 13-23 shapes; 24-28 labels, metrics; 29 in
test_data_sets.py; 30-43 in test_bad_training.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import tinymed as tm
import tinymed.nn.functional as F
from tinymed import nn, optim
from tinymed.data import DataLoader, Dataset, ImageDataset, TensorDataset
from tinymed.training import article_cnn, evaluate, fit, metrics, predict

BCE, CE = "bce_with_logits", "cross_entropy"
X = np.random.default_rng(0).standard_normal((8, 2)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
HOLED = np.where(np.arange(8)[:, None] == 5, np.float32(np.nan), X)
POINT = tm.tensor(1.0)


def ones(*shape, dtype=np.float32):
    return tm.tensor(np.ones(shape, dtype))


def train(data, outputs=1, loss=BCE, model=None, **how):
    model = model or nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, outputs))
    return fit(model, data, loss=loss, optimizer=optim.SGD(model.parameters(), lr=0.01), epochs=1, verbose=False, **how)


def classify(*labels, classes=3, **how):
    return F.cross_entropy(ones(len(labels), classes), tm.tensor(labels), **how)


class Series:
    """As of pandas: an array if asked for one, and items by labels of one's own."""

    def __array__(self, dtype=None, copy=None):
        return np.ones(3)

    def __len__(self):
        return 3

    def __getitem__(self, label):
        raise KeyError(label)


class Rows(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, k):
        return HOLED[k], Y[k]


# fmt: off
TENSORS = {
    "01 ragged": (lambda: tm.tensor([[1, 2], [3]]), ValueError, "ragged: every row must have the same length"),
    "01 ragged fit": (lambda: train(([[1.0, 2.0], [3.0]], [0, 1])), ValueError, "ragged: every row"),
    "02 text": (lambda: tm.tensor(["a", "b"]), TypeError, "holds numbers, got a list of strs.*convert text"),
    "02 object": (lambda: tm.from_numpy(np.array([1, None])), TypeError, "dtype object; convert text and categories"),
    "02 text fit": (lambda: train((np.full((8, 2), "a"), Y)), TypeError, "holds numbers, got a ndarray of dtype <U1"),
    "02 text labels": (lambda: train((X, ["benign"] * 8)), TypeError, "a list of strs.*to integers or floats first"),
    "02 text operand": (lambda: ones(2) + "a", TypeError, "holds numbers, got a str"),
    "03 nan": (lambda: train((HOLED, Y)), ValueError, "train x holds nan in sample 5; drop such samples, or fill"),
    "03 nan dataset": (lambda: train(DataLoader(Rows(), 4)), ValueError, "train x holds nan in batch 2, sample 1"),
    "03 inf": (lambda: train((np.full_like(X, np.inf), Y)), ValueError, "train x holds inf in sample 0"),
    "03 nan label": (lambda: train((X, HOLED[:, 0])), ValueError, "train y holds nan in sample 5"),
    "03 nan validation": (lambda: train((X, Y), validation=(HOLED, Y)), ValueError, "validation x holds nan in sample"),
    "03 nan predict": (lambda: predict(nn.Linear(2, 1), HOLED), ValueError, "data x holds nan in sample 5"),
    "04 float64": (lambda: nn.Linear(2, 1)(ones(1, 2, dtype=np.float64)), TypeError,
                   r"x is float64 and w is float32; convert one: x\.to\(tinymed\.float32\)"),
    "04 float16": (lambda: nn.Conv2d(1, 1, 3)(ones(1, 1, 5, 5, dtype=np.float16)), TypeError,
                   "x is float16 and w is float32"),
    "04 int64": (lambda: nn.Linear(2, 1)(ones(1, 2, dtype=np.int64)), TypeError, "x is int64 and w is float32"),
    "04 lstm": (lambda: nn.LSTM(2, 3)(ones(1, 1, 2, dtype=np.float64)), TypeError,
                r"x is float64, w_ih is float32; .*layer\.to"),
    "05 bytes conv": (lambda: nn.Conv2d(1, 1, 3)(ones(1, 1, 5, 5, dtype=np.uint8)), TypeError,
                      r"^in Conv2d\(1, 1.*x is uint8.*x\.float\(\) / 255 for pictures"),
    "05 bytes linear": (lambda: nn.Linear(2, 1)(ones(1, 2, dtype=np.uint8)), TypeError, "uint8.*/ 255 for pictures"),
    "05 bytes fit": (lambda: train((X.astype(np.uint8), Y)), TypeError, r"uint8 \(8, 2\).*astype\(np.float32\) / 255"),
    "06 empty fit": (lambda: train((X[:0], Y[:0])), ValueError, "is empty: there is nothing to load"),
    "06 empty evaluate": (lambda: evaluate(nn.Linear(2, 1), (X[:0], Y[:0]), loss=BCE), ValueError, "is empty"),
    "06 empty conv": (lambda: nn.Conv2d(1, 1, 3)(ones(0, 1, 5, 5)), ValueError, r"x \(0, 1, 5, 5\) is empty"),
    "06 empty pool": (lambda: nn.MaxPool2d(2)(ones(0, 1, 4, 4)), ValueError, r"x \(0, 1, 4, 4\) is empty"),
    "06 empty mean": (lambda: ones(0).mean(), ValueError, r"nothing to average in shape \(0,\)"),
    "06 empty var": (lambda: ones(0).var(), ValueError, r"var: shape \(0,\) is empty"),
    "06 empty max": (lambda: ones(2, 0).max(1), ValueError, r"shape \(2, 0\) is empty along dim 1"),
    "06 empty ce": (lambda: F.cross_entropy(ones(0, 3), tm.tensor([]).long()), ValueError, r"is empty .*\(0, 3\)"),
    "06 empty metric": (lambda: metrics.auc([], []), ValueError, "auc: there are no samples"),
    **{f"06 empty {loss.__name__}": (lambda loss=loss: loss(ones(0), ones(0)), ValueError, "the batch is empty")
       for loss in (F.mse_loss, F.l1_loss, F.binary_cross_entropy, F.binary_cross_entropy_with_logits)},
    "07 0-d len": (lambda: len(POINT), TypeError, "0-d tensor"),
    "07 0-d index": (lambda: POINT[0], IndexError, r"shape \(\)"),
    "07 0-d linear": (lambda: nn.Linear(1, 1)(POINT), ValueError, r"1 features on its last axis.*got x \(\)"),
    "07 0-d matmul": (lambda: POINT @ ones(2), ValueError, r"at least one axis, got shapes \(\) and \(2,\); use \*"),
    "07 0-d dataset": (lambda: TensorDataset(POINT), ValueError, "a first dimension to count along"),
    "07 0-d fit": (lambda: train((np.float32(1), np.int64(1))), ValueError, r"x \(\) and y \(\)"),
    "07 0-d tril": (lambda: POINT.tril(), ValueError, r"tril: expects a matrix.*got shape \(\)"),
    **{f"07 0-d {name}": (call, IndexError, rf"{name}: a 0-d tensor has no dim 0.*reshape\(1\)") for name, call in {
        "cat": lambda: tm.cat([POINT, POINT]), "split": lambda: POINT.split(1), "unbind": lambda: POINT.unbind(),
        "gather": lambda: POINT.gather(0, tm.tensor([0])), "transpose": lambda: POINT.transpose(0, 0)}.items()},
    "11 list into a layer": (lambda: nn.Linear(2, 1)([ones(2)]), TypeError, r"got a list; .*tinymed\.tensor\(x\)"),
    "11 array into a loss": (lambda: F.mse_loss(np.ones(2), np.ones(2)), TypeError, "a Tensor, got a ndarray; use"),
    "11 dict fit": (lambda: train({"x": X, "y": Y}), TypeError, "a pair .*Dataset or a DataLoader, got a dict"),
    "11 path fit": (lambda: train("a.csv"), TypeError, "Dataset or a DataLoader, got a str"),
    "11 series fit": (lambda: train(Series()), TypeError, "got a Series; the labels are missing"),
    "11 iterator fit": (lambda: train(iter([])), TypeError, "got a list_iterator"),
    "11 dict": (lambda: tm.tensor({"a": 1}), TypeError, "a tensor holds numbers, got a dict"),
    "11 list from_numpy": (lambda: tm.from_numpy([1, 2]), TypeError, "expects a NumPy array, got list"),
    "11 word as dtype": (lambda: ones(2).to("gpu"), TypeError, r"to\('gpu'\): expected a dtype.* or a device"),
}
SHAPES = {
    "13 linear": (lambda: nn.Linear(10, 2)(ones(4, 9)), ValueError,
                  r"^in Linear\(in_features=10, out_features=2.*10 features on its last axis.*got x \(4, 9\)"),
    "13 flattened": (lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(9, 2))(ones(2, 1, 5, 5)),
                     ValueError, r"^in 2 \(Linear.*9 features.*got x \(2, 18\)"),
    "13 not flattened": (lambda: nn.Linear(8, 2)(ones(4, 2, 2, 2)), ValueError, r"flatten it first: x\.flatten\(1\)"),
    "13 matmul": (lambda: ones(4, 9) @ ones(10, 2), ValueError, r"\(4, 9\) @ \(10, 2\): the inner sizes 9 and 10"),
    "13 stacks": (lambda: ones(2, 3, 4) @ ones(3, 4, 5), ValueError, r"\(2, 3, 4\) @ \(3, 4, 5\).*do not broadcast"),
    "14 channels": (lambda: nn.Conv2d(3, 8, 3)(ones(1, 1, 9, 9)), ValueError, r"x has 1 channel, w expects 3 \(x"),
    "14 nhwc": (lambda: article_cnn()(ones(2, 28, 28, 1)), ValueError,
                r"^in 0 \(Conv2d\(1, 32.*last axis has 1: is x \(N,H,W,C\)\? .*permute\(0, 3, 1, 2\)"),
    "14 nlc": (lambda: nn.Conv1d(3, 8, 3)(ones(1, 28, 3)), ValueError,
               r"conv1d: x \(1, 28, 3\) has 28 channels, w \(8, 3, 3\) expects 3.*x\.movedim\(-1, 1\)"),
    "14 ndhwc": (lambda: nn.Conv3d(3, 8, 3)(ones(1, 9, 9, 9, 3)), ValueError, r"conv3d: x \(1, 9, 9, 9, 3\) has 9"),
    "14 batchnorm": (lambda: nn.BatchNorm2d(3)(ones(1, 9, 9, 3)), ValueError, r"C = 3, got x \(1, 9, 9, 3\)"),
    "15 picture alone": (lambda: nn.Conv2d(1, 1, 3)(ones(28, 28)), ValueError,
                         r"\(N,C,H,W\), got \(28, 28\); add the missing axes, such as x\.reshape\(1, 1, 28, 28\)"),
    "15 no channel": (lambda: nn.Conv2d(1, 1, 3)(ones(5, 28, 28)), ValueError, r"without its channel.*unsqueeze\(1\)"),
    "15 no batch": (lambda: article_cnn()(ones(1, 28, 28)), ValueError, r"without its batch axis\? .*unsqueeze\(0\)"),
    "16 kernel": (lambda: nn.Conv2d(1, 1, 5)(ones(1, 1, 3, 3)), ValueError, r"than the padded.*x \(1, 1, 3, 3\)"),
    "16 no kernel": (lambda: F.conv2d(ones(1, 1, 5, 5), ones(1, 1, 0, 3)), ValueError, "kernel must be at least 1"),
    **{f"16 {name} {value}": (lambda name=name, value=value: nn.Conv2d(1, 1, 3, **{name: value}), ValueError,
                              f"Conv2d: {name} must be at least {least}, got {value}")
       for name, value, least in (("stride", 0, 1), ("padding", -1, 0), ("dilation", 0, 1))},
    **{f"16 conv2d {name} {value}": (
        lambda name=name, value=value: F.conv2d(ones(1, 1, 5, 5), ones(1, 1, 3, 3), **{name: value}), ValueError,
        f"conv2d: {name} .*{name} \\({value}, {value}\\)")
       for name, value in (("stride", 0), ("padding", -1), ("dilation", 0))},
    "17 groups": (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, r"groups \(=2\) must divide in_channels \(=3\)"),
    "17 conv2d groups": (lambda: F.conv2d(ones(1, 3, 5, 5), ones(4, 1, 3, 3), groups=2), ValueError,
                         "3 channels in and 4 out must both be divisible by groups = 2"),
    "17 groupnorm": (lambda: nn.GroupNorm(2, 3), ValueError, r"\(=2\) must divide num_channels \(=3\)"),
    "18 pool": (lambda: nn.Sequential(*[nn.MaxPool2d(2)] * 3)(ones(1, 1, 4, 4)), ValueError,
                r"MaxPool2d.*window is larger than the padded image \(x \(1, 1, 1, 1\), kernel \(2, 2\)"),
    "18 pool padding": (lambda: nn.AvgPool2d(2, padding=2), ValueError, "padding 2 is more than half the window 2"),
    "19 reshape": (lambda: ones(2, 3).reshape(4, 2), ValueError, r"6 numbers of shape \(2, 3\) do not fill .*\(4, 2\)"),
    "19 two -1": (lambda: ones(2, 3).reshape(-1, -1), ValueError, r"only one size can be −1, got \(-1, -1\)"),
    "19 fraction": (lambda: ones(2, 3).reshape(2.5, -1), TypeError, "float.*integer"),
    "19 split": (lambda: ones(2, 3).split([4, -1], 1), ValueError, r"\[4, -1\] must add up to 3, dim 1"),
    "19 chunk": (lambda: ones(2, 3).chunk(0), ValueError, r"0 pieces cannot be made of shape \(2, 3\)"),
    "19 broadcast": (lambda: ones(2, 3) + ones(2), ValueError, r"\(2, 3\) and \(2,\) do not broadcast; from the last"),
    **{f"20 {loss.__name__}": (lambda loss=loss: loss(ones(4, 1), ones(4)), ValueError,
                               r"input \(4, 1\) and target \(4,\) must have the same shape.*target\.reshape\(4, 1\)")
       for loss in (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.binary_cross_entropy, F.kl_div,
                    F.binary_cross_entropy_with_logits)},
    "21 fit": (lambda: train((X, Y[:7])), ValueError, r"train: .*same length, got x \(8, 2\) and y \(7,\)"),
    "21 validation": (lambda: train((X, Y), validation=(X, Y[:7])), ValueError, "validation: .*same length"),
    "21 dataset": (lambda: TensorDataset(X, Y[:7]), ValueError, r"same first dimension.*got 8, 7"),
    "21 loss": (lambda: F.cross_entropy(ones(3, 2), tm.tensor([0, 1])), ValueError, r"\(3, 2\) needs .* got \(2,\)"),
    "21 metric": (lambda: metrics.auc(np.ones(3), [0, 1]), ValueError, r"of one N, got \(3,\) and \(2,\)"),
    "22 input size": (lambda: nn.LSTM(4, 5)(ones(7, 3, 6)), ValueError, r"input_size = 4, got shape \(7, 3, 6\)"),
    "22 axes": (lambda: nn.LSTM(4, 5)(ones(3, 4, 7)), ValueError, r"axis 1 has 4: is it misplaced.*movedim\(1, -1\)"),
    "22 h0 batch": (lambda: nn.GRU(4, 5)(ones(7, 3, 4), ones(1, 2, 5)), ValueError, r"\(1, 3, 5\) = .*got \(1, 2, 5\)"),
    "22 h0 layers": (lambda: nn.GRU(4, 5, 2)(ones(7, 3, 4), ones(1, 3, 5)), ValueError, r"\(2, 3, 5\) = \(layers"),
    "22 no pair": (lambda: nn.LSTM(4, 5)(ones(7, 3, 4), ones(1, 3, 5)), TypeError, r"the pair \(h_0, c_0\), got a T"),
    "22 no time": (lambda: nn.LSTM(4, 5)(ones(0, 3, 4)), ValueError, r"T = 0 in an input of shape \(0, 3, 4\)"),
    "23 last batch": (lambda: train((X[:7], Y[:7]), model=nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1)),
                                    batch_size=3), ValueError,
                      r"^in 0 \(BatchNorm1d.*more than one value.*got x \(1, 2\); use .*\(drop_last=True\)"),
}
LABELS = {
    "24 too high": (lambda: classify(0, 3), IndexError, r"class 3 at \[1\] is outside 0…2, .* has 3 classes"),
    "24 negative": (lambda: classify(0, -1), IndexError, r"class -1 at \[1\] is outside 0…2"),
    "24 fit": (lambda: train((X, Y + 2), 3, CE), IndexError, r"class 3 .* outside 0…2"),
    "24 dataset": (lambda: ImageDataset(ones(2, 1, 4, 4), np.array([0, 2]), ("a", "b"), "x"), ValueError,
                   "label 2 of item 1 is out of range: 2 classes are 0..1"),
    "24 metric": (lambda: metrics.accuracy([0.1, 0.2], [0, 2]), ValueError, "label 2 of sample 1 is none of .* 0…1"),
    "24 embedding": (lambda: nn.Embedding(3, 2)(tm.tensor([0, 7])), IndexError, r"index 7 at \[1\] .* table of 3 rows"),
    "24 one_hot": (lambda: F.one_hot(tm.tensor([0, 5]), 3), IndexError, "must lie in 0…2, got 0…5"),
    "25 floats": (lambda: classify(0.0, 1.0), TypeError, r"integer classes.*got float32 of shape \(2,\); .*long\(\)"),
    "25 {1, 2}": (lambda: train((X, Y + 1)), ValueError, r"must be 0 and 1, got 2; map them first.*y - 1"),
    "25 {-1, 1}": (lambda: train((X, 2 * Y - 1)), ValueError, r"must be 0 and 1, got -1; .*\(y \+ 1\) / 2"),
    "25 bce": (lambda: F.binary_cross_entropy_with_logits(ones(2), tm.tensor([1.0, 2.0])), ValueError,
               r"targets must lie in 0…1, got 2.0 at \[1\]"),
    "27 bce": (lambda: F.binary_cross_entropy(tm.tensor([0.5, 1.5]), ones(2)), ValueError,
               r"0…1, got 1.5 at \[1\]; use binary_cross_entropy_with_logits for raw scores"),
    "27 metric": (lambda: metrics.auc([1.5, 0.2], [0, 1]), ValueError, r"0…1, got 1.5 at \[0\].*need a sigmoid"),
    "28 one-hot": (lambda: F.cross_entropy(ones(2, 3), tm.eye(2, 3).long()), ValueError, r"target\.argmax\(1\)"),
    "28 (N,1)": (lambda: F.cross_entropy(ones(2, 3), tm.tensor([[0], [1]])), ValueError, r"target\.squeeze\(1\)"),
    "28 one-hot bce": (lambda: train((X, np.eye(2)[Y])), ValueError, r"classes by y\.argmax\(1\)"),
    "28 one-hot metric": (lambda: metrics.accuracy(np.eye(2), np.eye(2)), ValueError, r"labels\.argmax\(1\)"),
}
# fmt: on


CASES = TENSORS | SHAPES | LABELS


@pytest.mark.parametrize(("call", "kind", "message"), CASES.values(), ids=CASES)
def test_refused(call, kind, message):
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- what is taken, and what is made of it


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_04_fit_takes_every_float(dtype):
    model = nn.Linear(2, 1)
    assert train((X.astype(dtype), Y), model=model).history["loss"][0] > 0
    assert model.weight.dtype == np.float32


def test_09_big_endian_is_made_native():
    x = np.arange(6, dtype=">f4").reshape(3, 2)
    for made in (tm.tensor(x), tm.as_tensor(x), tm.from_numpy(x), ones(2) + x):
        assert made.dtype.isnative
    np.testing.assert_array_equal(tm.tensor(x).numpy(), x)
    train((x, np.array([0, 1, 0], ">i8")))


def test_11_lists_of_tensors_and_series_are_read_as_arrays():
    assert tm.tensor([ones(2), ones(2)]).shape == (2, 2)
    assert tm.tensor(Series()).tolist() == [1, 1, 1]
    assert predict(nn.Linear(2, 1), [ones(2), ones(2)]).shape == (2, 1)


@pytest.mark.parametrize(("make", "gradient"), [(tm.tensor, [1, 2]), (tm.from_numpy, [9, 9])])
def test_12_an_array_changed_after_forward(make, gradient):
    """`tensor` copies; `from_numpy` shares memory, so backward sees what stands there by then, as in PyTorch."""
    array, w = np.array([1.0, 2.0]), tm.ones(2, dtype=tm.float64, requires_grad=True)
    loss = (make(array) * w).sum()
    array[:] = 9
    loss.backward()
    assert w.grad.tolist() == gradient


def test_12_batches_are_copies_and_a_write_through_a_tensor_is_seen():
    (batch,) = next(iter(DataLoader(TensorDataset(X), 2)))
    assert not np.shares_memory(batch.array, X)
    loss = (batch * tm.ones(2, requires_grad=True)).sum()
    batch += 1
    with pytest.raises(ValueError, match=r"an input of Mul was changed in place.*x\.clone\(\)"):
        loss.backward()


def test_26_one_class_alone_leaves_auc_undefined():
    with pytest.warns(metrics.UndefinedMetricWarning, match="auc is undefined and becomes NaN: class 1 has no sample"):
        history = train((X, Y), validation=(X, Y * 0), metrics=("auc",)).history
    assert np.isnan(history["val_auc"]).all()
    assert np.isfinite(history["val_loss"]).all()


def test_28_labels_as_medmnist_has_them():
    model = nn.Linear(2, 2)
    before = {name: t.array.copy() for name, t in model.state_dict().items()}
    wide = train((X, Y[:, None]), loss=CE, model=model, shuffle=False)
    model.load_state_dict(before)
    flat = train((X, Y), loss=CE, model=model, shuffle=False)
    assert wide.history == flat.history
    assert metrics.accuracy([0.1, 0.9], [[0], [1]]) == 1
