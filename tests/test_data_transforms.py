"""Augmentation: what each transform does and refuses, and that an item is drawn from (seed, epoch, index) alone."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinymed.data import DataLoader, ImageDataset, LabelledDataset, Subset, TensorDataset, load_breastmnist
from tinymed.data.augmented import Augmented, Mixup, labels_of, set_epoch
from tinymed.data.transforms import (
    TRANSFORMS,
    ColorJitter,
    Compose,
    GaussianNoise,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomScale,
    RandomShift,
    RandomVerticalFlip,
)

USUAL = Compose(
    [
        RandomHorizontalFlip(),
        RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1)),
        ColorJitter(0.2, 0.2),
        GaussianNoise(sigma=0.02),
    ]
)
ON_PICTURES = [
    *(RandomHorizontalFlip(), RandomVerticalFlip(), RandomRotation(20), RandomAffine(5, (0.2, 0.1), (0.8, 1.2))),
    *(RandomAffine(30, fill=None), RandomCrop(12, padding=2), RandomResizedCrop((12, 15)), ColorJitter(0.5, 0.5)),
    *(GaussianNoise(), USUAL),
]
ON_SIGNALS = [RandomShift(5), RandomScale(), GaussianNoise(clip=False)]


def rng(seed=0):
    return np.random.default_rng(seed)


def picture(C=1, H=12, W=15, seed=0, dtype=np.float32):
    return rng(seed).random((C, H, W)).astype(dtype)


def pictures(n=24, classes=2):
    names = [str(k) for k in range(classes)]
    return ImageDataset(rng(1).random((n, 1, 8, 8), np.float32), np.arange(n) % classes, names, "made")


# -------------------------------------------------------------------- each transform


@pytest.mark.parametrize("transform", ON_PICTURES + ON_SIGNALS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_draws_repeat_and_the_input_is_left_alone(transform, dtype):
    x = picture(3, dtype=dtype)[0] if transform in ON_SIGNALS else picture(3, dtype=dtype)
    before = x.copy()
    x.flags.writeable = False
    first, again, other = transform(x, rng(0)), transform(x, rng(0)), [transform(x, rng(k)) for k in range(1, 9)]
    assert first.dtype == dtype
    np.testing.assert_array_equal(first, again)
    assert any(not np.array_equal(first, y) for y in other), "it never draws anything else"
    np.testing.assert_array_equal(x, before)
    if transform in ON_PICTURES:
        assert all(y.min() >= 0 and y.max() <= 1 for y in other)
    assert eval(repr(transform)) == transform  # a recipe can be written down
    assert pickle.loads(pickle.dumps(transform)) == transform


def test_a_flip_mirrors_and_twice_is_the_identity():
    x = picture(2)
    for flip, mirrored in ((RandomHorizontalFlip(1), x[:, :, ::-1]), (RandomVerticalFlip(1), x[:, ::-1])):
        np.testing.assert_array_equal(flip(x, rng()), mirrored)
        np.testing.assert_array_equal(flip(flip(x, rng()), rng()), x)
    volume = rng().random((1, 3, 4, 5))
    np.testing.assert_array_equal(RandomHorizontalFlip(1)(volume, rng()), volume[..., ::-1])
    np.testing.assert_array_equal(RandomVerticalFlip(1)(volume, rng()), volume[:, :, ::-1])


def test_a_flip_is_as_likely_as_it_says():
    x, draw = picture(), rng(0)
    flipped = sum(not np.array_equal(RandomHorizontalFlip(0.3)(x, draw), x) for _ in range(1000))
    assert 250 < flipped < 350
    assert RandomHorizontalFlip(0)(x, draw) is x


@pytest.mark.parametrize("fill", [0.0, None])
def test_turning_by_right_angles_is_exact(fill):
    x = picture(2, 9, 9)
    np.testing.assert_array_equal(RandomRotation(0, fill=fill)(x, rng()), x)
    np.testing.assert_array_equal(RandomAffine(0, (0, 0), (1, 1), fill=fill)(x, rng()), x)
    turned = RandomRotation((90, 90))(x, rng())  # as torchvision's, positive is counter-clockwise
    np.testing.assert_allclose(turned, np.rot90(x, axes=(1, 2)), atol=1e-6)


def test_a_small_turn_goes_the_way_a_large_one_does():
    x = np.zeros((1, 21, 21), np.float32)
    x[0, 10, 20] = 1  # east
    row, column = np.unravel_index(RandomRotation((30, 30))(x, rng()).argmax(), (21, 21))
    assert (row, column) == (5, 19)  # 10·sin 30° up, 10·cos 30° to the right


def test_a_shift_goes_right_and_down_and_what_lies_outside_is_filled():
    class Highest:
        def uniform(self, low, high):
            return high

    x = picture(1, 10, 20)
    y = RandomAffine(0, (0.1, 0.2), fill=0.5)(x, Highest())  # 2 columns of 20, 2 rows of 10
    np.testing.assert_allclose(y[:, 2:, 2:], x[:, :-2, :-2], atol=1e-6)
    assert (y[:, :2] == 0.5).all()
    assert (y[:, :, :2] == 0.5).all()
    edge = RandomAffine(0, (0.1, 0), fill=None)(x, Highest())
    np.testing.assert_allclose(edge[:, :, 0], x[:, :, 0], atol=1e-6)


def test_scale_enlarges_about_the_middle():
    x = np.zeros((1, 21, 21), np.float32)
    x[0, 10 - 2 : 10 + 3, 10 - 2 : 10 + 3] = 1  # 5x5
    assert RandomAffine(0, scale=(2, 2))(x, rng()).sum() == pytest.approx(4 * 25, rel=0.05)
    assert RandomAffine(0, scale=(2, 2))(x, rng())[0, 10, 10] == 1


@pytest.mark.parametrize("fill", [0.25, None])
def test_a_crop_is_a_window_of_the_padded_picture(fill):
    x = picture(2, 6, 7)
    y = RandomCrop((5, 4), padding=1, fill=fill)(x, rng(3))
    around = ((0, 0), (1, 1), (1, 1))
    padded = np.pad(x, around, "edge") if fill is None else np.pad(x, around, constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 4), axis=(1, 2))
    assert y.shape == (2, 5, 4)
    assert (windows == y[:, None, None]).all(axis=(0, 3, 4)).any()
    assert RandomCrop(None, padding=1, fill=fill)(x, rng()).shape == x.shape
    corners = {tuple(RandomCrop(5)(x, rng(k))[0, 0, :1]) for k in range(99)}
    assert len(corners) == 6  # every place of 2 rows x 3 columns is drawn


def test_a_resized_crop_of_all_of_it_is_the_picture_and_it_never_leaves_it():
    x = picture(1, 9, 9)
    np.testing.assert_allclose(RandomResizedCrop(9, (1, 1), (1, 1))(x, rng()), x, atol=1e-6)
    H, W = 16, 16
    places = np.stack(np.meshgrid(np.arange(H), np.arange(W), indexing="ij")).astype(np.float64)
    for seed in range(50):
        rows, columns = RandomResizedCrop(8, (0.2, 0.9))(places, rng(seed))
        height, width = (np.diff(rows[:, 0]).max() * 8, np.diff(columns[0]).max() * 8)
        assert 0.2 * H * W * 0.99 < height * width < 0.9 * H * W * 1.01
        assert 3 / 4 * 0.99 < width / height < 4 / 3 * 1.01 or max(height, width) > 15.9


def test_jitter_by_its_formula():
    x = picture()
    bright = ColorJitter(brightness=(1.5, 1.5))(x, rng())
    np.testing.assert_allclose(bright, np.minimum(1.5 * x, 1), atol=1e-6)
    grey = ColorJitter(contrast=(0, 0))(x, rng())
    np.testing.assert_allclose(grey, x.mean(), atol=1e-6)
    np.testing.assert_allclose(ColorJitter()(x, rng()), x, atol=1e-6)


def test_noise_has_its_mean_and_spread():
    y = GaussianNoise(1.0, 0.5, clip=False)(np.zeros((1, 40_000)), rng())
    assert (y.mean(), y.std()) == pytest.approx((1.0, 0.5), abs=0.01)


def test_a_signal_is_shifted_whole():
    x = np.arange(1.0, 9.0)[None]
    found = {tuple(RandomShift(2)(x, rng(k))[0]) for k in range(99)}
    assert found == {
        (3, 4, 5, 6, 7, 8, 8, 8), (2, 3, 4, 5, 6, 7, 8, 8), tuple(x[0]),
        (1, 1, 2, 3, 4, 5, 6, 7), (1, 1, 1, 2, 3, 4, 5, 6),
    }  # fmt: skip
    factors = RandomScale((0.5, 2))(x, rng()) / x
    assert np.ptp(factors) < 1e-12
    assert 0.5 <= factors[0, 0] <= 2


@given(st.sampled_from(ON_PICTURES), st.integers(5, 20), st.integers(5, 20), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_any_size_is_taken(transform, H, W, seed):
    x = picture(1, H, W, seed)
    if isinstance(transform, RandomCrop) and min(H, W) + 4 < 12:
        with pytest.raises(ValueError, match="crop less, or pad more"):
            transform(x, rng(seed))
        return
    y = transform(x, rng(seed))
    fixed = {RandomCrop: (1, 12, 12), RandomResizedCrop: (1, 12, 15)}
    assert y.shape == fixed.get(type(transform), x.shape)
    assert np.isfinite(y).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomHorizontalFlip(1.5), r"RandomHorizontalFlip\(p=1.5\): p must be in 0..1, got 1.5"),
        (lambda: RandomVerticalFlip(float("nan")), "p must be in 0..1, got nan"),
        (lambda: RandomRotation("10"), "degrees must be a pair of numbers, got '10'"),
        (lambda: RandomRotation((10, -10)), r"degrees is \(smallest, largest\), got \(10, -10\)"),
        (lambda: RandomRotation(float("inf")), "degrees must be a finite number"),
        (lambda: RandomAffine(0, 0.1), "translate must be a pair of numbers, got 0.1"),
        (lambda: RandomAffine(0, (0.1, 2)), "translate must be in 0..1, got 2"),
        (lambda: RandomAffine(0, scale=(0, 1)), "scale must be 0.001 or more, got 0"),
        (lambda: RandomCrop(0), "size must be a whole number, 1 or more, got 0"),
        (lambda: RandomCrop(5, padding=-1), "padding must be a whole number, 0 or more, got -1"),
        (lambda: RandomResizedCrop(5, scale=(0.5, 1.5)), "scale must be in 0.001..1, got 1.5"),
        (lambda: ColorJitter(brightness=-1), "brightness must be 0 or more, got -1"),
        (lambda: ColorJitter(contrast=(2, 1)), "contrast is"),
        (lambda: GaussianNoise(sigma=-0.1), "sigma must be 0 or more, got -0.1"),
        (lambda: RandomShift(1.5), "limit must be a whole number, 0 or more, got 1.5"),
        (lambda: RandomScale((-1, 1)), "scale must be 0.001 or more, got -1"),
        (lambda: RandomHorizontalFlip(True), "p must be in 0..1, got True"),
        (lambda: RandomCrop(True), "size must be a whole number, 1 or more, got True"),
        (lambda: GaussianNoise(mean=float("nan")), "mean must be a finite number, got nan"),
        (lambda: RandomAffine(10, fill="a"), "fill must be a finite number, got 'a'"),
        (lambda: RandomCrop(5, fill=float("nan")), "fill must be a finite number, got nan"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_numbers_of_numpy_are_numbers():
    half, eight, x = np.float32(0.5), np.int64(8), picture()
    pairs = [
        (RandomHorizontalFlip(half), RandomHorizontalFlip(0.5)),
        (RandomCrop(eight, padding=eight), RandomCrop(8, padding=8)),
        (RandomAffine(half, fill=half), RandomAffine(0.5, fill=0.5)),
        (ColorJitter(half, half), ColorJitter(0.5, 0.5)),
    ]
    for one, other in pairs:
        np.testing.assert_array_equal(one(x, rng()), other(x, rng()))
    assert Augmented(pictures(), USUAL, np.int64(3)).seed == 3


@pytest.mark.parametrize("transform", ON_PICTURES, ids=repr)
def test_what_is_no_picture_is_refused(transform):
    with pytest.raises(TypeError, match=r"takes floats, got uint8 \(1, 12, 15\); convert: x.astype"):
        transform((picture() * 255).astype(np.uint8), rng())
    with pytest.raises(ValueError, match=r"takes a picture \(C,H,W\), got \(12, 15\); a grey one is x\[None\]"):
        transform(picture()[0], rng())
    with pytest.raises(ValueError, match="the last axis looks like channels; tinymed is C,H,W"):
        transform(picture().transpose(1, 2, 0), rng())
    with pytest.raises(TypeError, match=r"takes an array, got a list; use np.asarray"):
        transform(picture().tolist(), rng())


@pytest.mark.parametrize("transform", [ColorJitter(0.1), GaussianNoise()], ids=repr)
def test_values_outside_0_to_1_are_refused_where_they_would_be_cut_off(transform):
    with pytest.raises(ValueError, match=r"values in 0..1, got -.*; augment before normalising"):
        transform(picture() - 0.5, rng())


def test_what_is_no_signal_is_refused():
    with pytest.raises(ValueError, match=r"takes a signal \(C,T\), got \(9,\)"):
        RandomScale()(np.zeros(9), rng())
    with pytest.raises(ValueError, match="give a smaller limit"):
        RandomShift(9)(np.zeros((1, 9)), rng())


# -------------------------------------------------------------------- datasets drawn anew


def items(dataset):
    return np.stack([x for x, _ in (dataset[k] for k in range(len(dataset)))])


def test_an_item_comes_from_seed_epoch_and_index_alone():
    data = Augmented(pictures(), USUAL, seed=3)
    data.set_epoch(2)
    second = items(data)
    data.set_epoch(1)
    first = items(data)
    assert not np.isclose(first, second).all(axis=(1, 2, 3)).any(), "an item is the same in two epochs"
    data.set_epoch(2)
    np.testing.assert_array_equal(np.stack([data[k][0] for k in range(23, -1, -1)])[::-1], second)  # any order
    np.testing.assert_array_equal(data[-1][0], data[23][0])
    other = Augmented(pictures(), USUAL, seed=4)
    other.set_epoch(2)
    assert not np.isclose(items(other), second).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize("mixed", [False, True])
def test_workers_change_nothing(mixed):
    data = Augmented(pictures(), USUAL, seed=0)
    data = Mixup(data, 0.4, 2, seed=0) if mixed else data
    data.set_epoch(5)
    alone, together = (list(DataLoader(data, 5, num_workers=n)) for n in (0, 3))
    for (x, y), (x2, y2) in zip(alone, together, strict=True):
        np.testing.assert_array_equal(x.numpy(), x2.numpy())
        np.testing.assert_array_equal(y.numpy(), y2.numpy())
    assert alone[0][0].shape == (5, 1, 8, 8)
    assert alone[0][0].dtype == np.float32


def test_the_epoch_reaches_every_dataset_within():
    inner = Augmented(pictures(), USUAL, seed=0)
    outer = Mixup(inner, 0.2, 2, seed=0)
    outer.set_epoch(7)
    assert (outer.epoch, inner.epoch) == (7, 7)
    through = Mixup(Subset(inner, [3, 4]), 0.2, 2, seed=0)
    through.set_epoch(8)
    assert inner.epoch == 8
    set_epoch(Subset(through, [0]), 9)  # a Subset has no such method
    assert (through.epoch, inner.epoch) == (9, 9)


def test_labels_need_no_item_to_be_drawn():
    def never(x, rng):
        raise AssertionError("an item was drawn")

    data = pictures(10, classes=5)
    for wrapped in (Augmented(data, never, 0), Mixup(Augmented(data, never, 0), 0.2, 5, 0)):
        np.testing.assert_array_equal(wrapped.labels.numpy(), np.arange(10) % 5)
    part = Augmented(Subset(data, [9, 1]), never, 0)
    np.testing.assert_array_equal(labels_of(Subset(part, [1])), [1])
    np.testing.assert_array_equal(labels_of(TensorDataset(np.zeros((2, 3)), np.array([1, 0]))), [1, 0])
    np.testing.assert_array_equal(labels_of([(0.5, 1), (0.5, 0)]), [1, 0])


@given(st.floats(0.05, 5), st.integers(2, 4), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_mixing_stays_between_the_two(alpha, classes, seed):
    data = pictures(12, classes)
    mixed = Mixup(data, alpha, classes, seed)
    x, y = mixed[4]
    if classes == 2:
        assert y.shape == ()
        assert 0 <= y <= 1
    else:
        assert y.shape == (classes,)
        assert y.sum() == pytest.approx(1)
        assert y.min() >= 0
    low, high = data.inputs.numpy().min(0), data.inputs.numpy().max(0)
    assert (x >= low - 1e-6).all()
    assert (x <= high + 1e-6).all()


def test_inputs_and_labels_are_mixed_by_the_same_share():
    labels = np.arange(20) % 2
    constant = LabelledDataset(np.ones((20, 1, 2, 2), np.float32) * labels[:, None, None, None], labels, "ab", "made")
    mixed = Mixup(constant, 1.0, 2, seed=0)
    for k in range(20):
        x, y = mixed[k]
        np.testing.assert_allclose(x, y, atol=1e-6)  # a picture is as bright as its label says
    three = Mixup(pictures(30, 3), 1.0, 3, seed=0)
    assert sum((three[k][1] > 0).sum() == 2 for k in range(30)) > 10


def test_alpha_near_0_leaves_items_nearly_whole_and_1_draws_every_share():
    data = pictures(400)
    shares = {alpha: np.array([Mixup(data, alpha, 2, 0)[k][1] for k in range(400)]) for alpha in (0.01, 1.0)}
    between = {alpha: ((y > 0.1) & (y < 0.9)).mean() for alpha, y in shares.items()}
    assert between[0.01] < 0.03
    assert between[1.0] == pytest.approx(0.8 / 2, abs=0.1)  # half of the pairs are of one class


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda d: Augmented(d, RandomRotation, 0), TypeError, r"write RandomRotation\(...\)"),
        (lambda d: Augmented(d, USUAL, -1), ValueError, "seed must be a whole number, 0 or more, got -1"),
        (lambda d: Augmented(d, USUAL, 0)[24], IndexError, "Augmented has 24 items, there is no number 24"),
        (lambda d: Mixup(d, 0, 2, 0), ValueError, "alpha must be above 0, got 0"),
        (lambda d: Mixup(d, 0.2, 1, 0), ValueError, "2 classes or more, got 1"),
        (lambda d: Mixup(Mixup(d, 0.2, 2, 0), 0.2, 1, 0), ValueError, "2 classes or more"),
        (lambda d: Mixup(pictures(9, 3), 0.2, 2, 0), ValueError, r"in 0..1, got 2 of item 2"),
        (
            lambda d: Mixup(TensorDataset(np.zeros((2, 3)), np.array([0.5, 1])), 0.2, 2, 0),
            ValueError,
            r"got float64 \(2,\)",
        ),
        (
            lambda d: [Mixup([(np.zeros(2), 0), (np.zeros(3), 1)], 1, 2, s)[0] for s in range(9)],
            ValueError,
            "resize them first",
        ),
    ],
)
def test_datasets_that_cannot_be_meant_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(pictures())


def test_a_recipe_names_its_transforms():
    recipe = {"RandomHorizontalFlip": {}, "RandomAffine": {"degrees": 10, "translate": [0.1, 0.1], "fill": None}}
    x = picture()
    y = Compose([TRANSFORMS[name](**arguments) for name, arguments in recipe.items()])(x, rng(1))
    same = Compose([RandomHorizontalFlip(), RandomAffine(10, (0.1, 0.1), fill=None)])(x, rng(1))
    np.testing.assert_array_equal(y, same)


@pytest.mark.skipif(not os.environ.get("TINYMED_DATA"), reason="TINYMED_DATA does not name a folder of real data")
def test_real_pictures_keep_their_look():
    """An augmented picture resembles its original, mirrored or not, and more than it resembles others."""
    data = load_breastmnist("train", download=False)
    x = data.images.numpy()[:64]
    changed = items(Augmented(Subset(data, range(64)), USUAL, 0))
    assert changed.shape == x.shape
    assert abs(changed.mean() - x.mean()) < 0.05
    both = [np.corrcoef(x.reshape(64, -1), y.reshape(64, -1))[:64, 64:] for y in (changed, changed[..., ::-1])]
    close = np.maximum(*both)
    assert np.median(np.diag(close)) > np.median(close) + 0.2


def test_word_numbers_are_not_mixed():
    mixed = Mixup(TensorDataset(np.arange(12).reshape(4, 3), np.array([0, 1, 0, 1])), 0.4, 2, seed=0)
    with pytest.raises(TypeError, match="item 0 holds int64; only numbers that can be mixed"):
        mixed[0]
