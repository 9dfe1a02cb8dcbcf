"""Convolution in one, two and three dimensions, and its transpose, against PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinymed
import tinymed.nn.functional as F


def conv(n, *samples, **how):
    return lambda t, *xs: getattr(t.nn.functional, f"conv{n}d")(*xs, **how), *samples


def back(n, *samples, **how):
    return lambda t, *xs: getattr(t.nn.functional, f"conv_transpose{n}d")(*xs, **how), *samples


X1, W1 = (2, 2, 7), (4, 2, 3)
X2, W2 = (2, 2, 5, 6), (4, 2, 3, 2)
X3, W3 = (1, 2, 4, 5, 4), (2, 2, 3, 2, 2)
B = (4,)
ROWS = {
    "1d": conv(1, X1, W1, B),
    "1d stride padding": conv(1, X1, W1, B, stride=2, padding=1),
    "1d same dilation": conv(1, X1, W1, padding="same", dilation=2),
    "1d groups valid": conv(1, X1, (4, 1, 3), groups=2, padding="valid"),
    "1d no batch": conv(1, X1[1:], W1, B),
    "2d": conv(2, X2, W2, B),
    "2d no bias": conv(2, X2, W2),
    "2d stride": conv(2, X2, W2, B, stride=2),
    "2d padding": conv(2, X2, W2, B, padding=2),
    "2d rectangular": conv(2, X2, W2, B, stride=(1, 3), padding=(2, 0), dilation=(2, 1)),
    "2d same": conv(2, X2, W2, B, padding="same"),
    "2d same even dilated": conv(2, X2, (4, 2, 2, 4), B, padding="same", dilation=(3, 1)),
    "2d valid": conv(2, X2, W2, B, padding="valid", stride=2),
    "2d dilation": conv(2, X2, W2, B, dilation=2),
    "2d groups": conv(2, (2, 4, 5, 5), (6, 2, 3, 3), (6,), groups=2, padding=1),
    "2d depthwise": conv(2, (2, 3, 5, 5), (6, 1, 3, 3), groups=3, stride=2),
    "2d 1x1": conv(2, X2, (4, 2, 1, 1), B, stride=2),
    "2d kernel as large as the image": conv(2, X2, (4, 2, 5, 6), B),
    "2d stride that does not divide": conv(2, X2, (4, 2, 2, 2), B, stride=3),
    "2d stride beyond the kernel": conv(2, X2, (4, 2, 2, 2), B, stride=4, padding=1),
    "2d batch of one": conv(2, (1, 1, 3, 3), (1, 1, 2, 2), (1,)),
    "2d no batch": conv(2, X2[1:], W2, B, padding=1),
    "3d": conv(3, X3, W3, (2,)),
    "3d options": conv(3, X3, W3, (2,), stride=(2, 1, 3), padding=(1, 0, 2), dilation=(1, 2, 1)),
    "3d same": conv(3, X3, W3, padding="same", dilation=(2, 1, 1)),
    "3d groups": conv(3, X3, (4, 1, 2, 2, 2), B, groups=2, stride=2),
    "3d no batch": conv(3, X3[1:], W3, padding="valid"),
    "back 1d": back(1, (2, 3, 4), (3, 2, 3), (2,), stride=2, padding=1, output_padding=1),
    "back 1d dilation groups": back(1, (2, 4, 3), (4, 1, 2), (2,), groups=2, dilation=3),
    "back 2d": back(2, X2, (2, 3, 3, 2), (3,)),
    "back 2d stride": back(2, X2, (2, 3, 2, 2), (3,), stride=2),
    "back 2d options": back(2, X2, (2, 3, 3, 2), (3,), stride=(2, 3), padding=(1, 0), output_padding=(1, 2)),
    "back 2d groups": back(2, (1, 4, 3, 3), (4, 2, 3, 3), groups=2, stride=2, padding=2, dilation=2),
    "back 2d no batch": back(2, X2[1:], (2, 3, 3, 2)),
    "back 3d": back(3, (1, 2, 2, 3, 2), (2, 2, 3, 2, 2), (2,)),
    "back 3d options": back(
        3, (1, 2, 2, 3, 2), (2, 2, 3, 2, 2), (2,), stride=(3, 1, 2), padding=(1, 0, 1), output_padding=(2, 0, 1)
    ),
    "back 3d dilation": back(
        3, (1, 2, 3, 2, 2), (2, 1, 2, 2, 2), (2,), dilation=(2, 1, 3), padding=(2, 0, 0), groups=2
    ),
    "back 3d no batch": back(3, (2, 2, 3, 2), (2, 2, 3, 2, 2)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch's, of even kernels
@pytest.mark.parametrize("name", ROWS)
def test_conv_is_pytorchs(as_torch, name):
    as_torch(*ROWS[name])


def test_every_combination_of_rectangular_kernel_stride_and_padding(as_torch):
    for kernel, stride, padding in itertools.product(
        itertools.product((1, 2, 3), repeat=2), ((1, 2), (3, 1)), ((0, 1), (2, 0))
    ):
        as_torch(
            *conv(2, (1, 2, 5, 4), (2, 2, *kernel), stride=stride, padding=padding), numeric=False, dtypes=[np.float64]
        )


QUICK = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
axis = st.tuples(st.integers(0, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 3))
sizes = st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 2), st.integers(1, 2))


@pytest.mark.parametrize("n", [1, 2, 3])
@QUICK
@given(st.data())
def test_any_conv_is_pytorchs(as_torch, n, data):
    spare, K, S, P, D = zip(*data.draw(st.lists(axis, min_size=n, max_size=n)))
    N, c, o, g = data.draw(sizes)
    X = [max(1, e + d * (k - 1) + 1 - 2 * p) for e, k, p, d in zip(spare, K, P, D)]
    as_torch(
        *conv(n, (N, c * g, *X), (o * g, c, *K), (o * g,), stride=S, padding=P, dilation=D, groups=g),
        numeric=False,
        dtypes=[np.float64],
    )


@pytest.mark.parametrize("n", [1, 2, 3])
@QUICK
@given(st.data())
def test_any_transposed_conv_is_pytorchs(as_torch, n, data):
    spare, K, S, P, D = zip(*data.draw(st.lists(axis, min_size=n, max_size=n)))
    N, c, o, g = data.draw(sizes)
    E = [data.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(S, D)]
    X = [e + 1 + 2 * p for e, p in zip(spare, P)]
    as_torch(
        *back(n, (N, c * g, *X), (c * g, o, *K), (o * g,), stride=S, padding=P, output_padding=E, dilation=D, groups=g),
        numeric=False,
        dtypes=[np.float64],
    )


def test_strided_and_read_only_images():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((6, 5, 4, 2))
    w = tinymed.tensor(rng.standard_normal((3, 2, 2, 2)), requires_grad=True)
    frozen = base.transpose(0, 3, 1, 2).copy()
    frozen.flags.writeable = False
    for array in (base.transpose(0, 3, 1, 2), frozen[::-2, :, ::2], np.broadcast_to(frozen[:1], frozen.shape)):
        found = []
        for layout in (array, array.copy()):
            x = tinymed.from_numpy(layout).requires_grad_()
            w.grad = None
            y = F.max_pool2d(F.conv2d(x, w, padding=1), 2, 1)
            y.backward(np.ones(y.shape))
            found.append([y.detach().numpy(), x.grad.numpy(), w.grad.numpy()])
        for a, b in zip(*found):
            np.testing.assert_allclose(a, b, atol=1e-12)


BAD = {
    r"larger than the padded image \(x \(1, 2, 2, 2\)": lambda x, w: F.conv2d(x[:, :, :2, :2], w),
    r"x has 1 channel, w expects 2": lambda x, w: F.conv2d(x[:, :1], w),
    r"is x \(N,H,W,C\)": lambda x, w: F.conv2d(x.permute(0, 2, 3, 1), w),
    r"divisible by groups = 3": lambda x, w: F.conv2d(x, w, groups=3),
    '"same" needs stride 1': lambda x, w: F.conv2d(x, w, padding="same", stride=2),
    '"same" or "valid", got \'full\'': lambda x, w: F.conv2d(x, w, padding="full"),
    "stride must be at least 1": lambda x, w: F.conv2d(x, w, stride=0),
    "dilation must be at least 1": lambda x, w: F.conv2d(x, w, dilation=0),
    "padding cannot be negative": lambda x, w: F.conv2d(x, w, padding=-1),
    "one whole number or 2 of them": lambda x, w: F.conv2d(x, w, stride=(1, 2, 3)),
    r"bias of shape \(4,\)": lambda x, w: F.conv2d(x, w, tinymed.zeros(3)),
    r"expected x \(N,C,H,W\), got \(6, 6\).*reshape\(1, 1, 6, 6\)": lambda x, w: F.conv2d(x[0, 0], w),
    r"expected w \(O,C/groups,K\)": lambda x, w: F.conv1d(x[0], w),
    "output_padding": lambda x, w: F.conv_transpose2d(x, w.transpose(0, 1), output_padding=1),
    "leaves no output": lambda x, w: F.conv_transpose2d(x, w.transpose(0, 1), padding=5),
    "does not fit x": lambda x, w: F.conv3d(x.unsqueeze(2), w.unsqueeze(2).expand(4, 2, 4, 3, 3)),
    r"conv_transpose3d.*leaves no output": lambda x, w: F.conv_transpose3d(
        x.unsqueeze(2), w.transpose(0, 1).unsqueeze(2), padding=(3, 0, 0)
    ),
    r"conv3d.*stride": lambda x, w: F.conv3d(x.unsqueeze(2), w.unsqueeze(2), stride=(0, 1, 1)),
    r"conv_transpose2d.*stride": lambda x, w: F.conv_transpose2d(x, w.transpose(0, 1), stride=0),
    r"conv_transpose2d.*groups": lambda x, w: F.conv_transpose2d(x, w.transpose(0, 1), groups=0),
}


@pytest.mark.parametrize("message", BAD)
def test_what_does_not_fit_is_named(message):
    with pytest.raises(ValueError, match=message):
        BAD[message](tinymed.zeros(1, 2, 6, 6), tinymed.zeros(4, 2, 3, 3))


def test_dtypes_that_differ_are_named():
    pixels = tinymed.zeros(1, 2, 6, 6, dtype=np.uint8)
    with pytest.raises(TypeError, match=r"uint8.*float\(\) / 255"):
        F.conv2d(pixels, tinymed.zeros(4, 2, 3, 3))
