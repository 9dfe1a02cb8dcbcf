"""Layers run as one op give the numbers of the layers one by one."""

from __future__ import annotations

import numpy as np
import pytest

import tinymed
from tinymed import nn


def grads(model, x):
    x = tinymed.tensor(x, requires_grad=True)
    model.zero_grad()
    y = model(x)
    (y * y).sum().backward()
    return [y.detach().numpy(), x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())]


MODELS = {
    "conv relu pool": lambda: [nn.Conv2d(2, 5, 3), nn.ReLU(), nn.MaxPool2d(2)],
    "conv relu6": lambda: [nn.Conv2d(2, 5, 3, padding=1), nn.ReLU6()],
    "conv pool": lambda: [nn.Conv2d(2, 5, 3, stride=2, bias=False), nn.MaxPool2d(2)],
    "two blocks": lambda: [
        nn.Conv2d(2, 4, 3, padding="same"), nn.ReLU6(), nn.MaxPool2d((2, 3)), nn.Conv2d(4, 6, 2, groups=2), nn.ReLU(),
    ],
    "block": lambda: [nn.ConvReLU6Pool(2, 3, 3), nn.ConvReLU6(3, 2, 2)],
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("backend", ["reference", "numpy", "numba"])
@pytest.mark.parametrize("name", MODELS)
def test_fused_is_unfused(name, backend, dtype):
    model = nn.Sequential(*MODELS[name]()).to(dtype)
    x = np.random.default_rng(0).standard_normal((3, 2, 9, 8)).astype(dtype) * 3
    with tinymed.use_backend(backend):
        fused = grads(model, x)
        with tinymed.no_fusion():
            plain = grads(model, x)
    for a, b in zip(fused, plain, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=1e-9 if dtype == np.float64 else 1e-4, atol=1e-5)


def functions(y):
    """The names of the Functions that y was made from, the newest first."""
    names, fn = [], y.grad_fn
    while fn is not None:
        names.append(type(fn).__name__)
        fn = next((t.grad_fn for t in fn.inputs if isinstance(t, tinymed.Tensor) and t.grad_fn is not None), None)
    return names


def test_what_is_fused_and_what_is_not():
    x = tinymed.randn(2, 1, 8, 8)

    def ops(*layers):
        return functions(nn.Sequential(*layers)(x))

    conv, relu, pool = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2)
    assert ops(conv, relu, pool) == ["Conv2dMaxPool2d"]
    assert ops(conv, relu) == ["Conv2dMaxPool2d"]
    assert ops(conv) == ["Conv2d"]
    assert ops(relu, conv, pool, relu) == ["ReLU", "Conv2dMaxPool2d"]
    for other in (nn.MaxPool2d(3, 2), nn.MaxPool2d(2, padding=1), nn.MaxPool2d(4, ceil_mode=True), nn.AvgPool2d(2)):
        assert ops(conv, relu, other)[-1] == "Conv2dMaxPool2d"  # of conv and relu; the pool stands alone
        assert len(ops(conv, relu, other)) > 1

    class Own(nn.ReLU):
        def forward(self, input):
            return input * 2

    assert ops(conv, Own(), pool)[-1] == "Conv2d"
    seen = []
    handle = relu.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    assert ops(conv, relu, pool) == ["MaxPool2d", "ReLU", "Conv2d"]
    assert seen == [(2, 2, 6, 6)]
    handle.remove()
    with tinymed.detect_anomaly():
        assert len(ops(conv, relu, pool)) == 3
    with tinymed.no_fusion():
        assert len(ops(conv, relu, pool)) == 3


def test_an_error_names_the_layer():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.MaxPool2d(2))
    with pytest.raises(ValueError, match=r"in 0 \(Conv2d.*x has 1 channel, w expects 3"):
        model(tinymed.ones(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"max_pool2d: the window is larger"):
        model(tinymed.ones(1, 3, 3, 3))


def test_summary_says_what_is_fused():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 2))
    lines = repr(nn.summary(model, (1, 1, 8, 8))).splitlines()
    assert [line.split("  ")[0] for line in lines[2:7]] == [
        "0 (Conv2d)", "1 (ReLU) in one pass with 0", "2 (MaxPool2d) in one pass with 0", "3 (Flatten)", "4 (Linear)",
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_nan_goes_through(dtype):
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.MaxPool2d(2)).to(dtype)
    x = np.zeros((1, 1, 4, 4), dtype)
    x[0, 0, 0, 1] = np.nan
    y = model(tinymed.tensor(x)).detach().numpy()
    assert np.isnan(y[0, 0, 0, 0])
    assert np.isfinite(y[0, 0, 1:]).all()


def test_what_a_convolution_refuses_is_refused_in_one_pass_too():
    block = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    with pytest.raises(ValueError, match=r"in 0 \(Conv2d.*is empty: there is nothing to slide over"):
        block(tinymed.zeros(0, 1, 8, 8))
    block[0].bias = nn.Parameter(tinymed.zeros(1))
    with pytest.raises(ValueError, match=r"4 channels out need a bias of shape \(4,\), got \(1,\)"):
        block(tinymed.zeros(1, 1, 8, 8))


def test_the_summary_says_what_is_so():
    block = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    assert "in one pass" in str(nn.summary(block, (1, 1, 8, 8)))
    with tinymed.no_fusion():
        assert "in one pass" not in str(nn.summary(block, (1, 1, 8, 8)))
