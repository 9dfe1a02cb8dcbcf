"""Every layer and loss against PyTorch's: its state loaded as it is, then outputs and gradients."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinymed
from tinymed import nn

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")


def said(theirs):
    """PyTorch's repr, without the bias that newer versions print of normalisation."""
    return re.sub(r"(affine=\w+), bias=\w+", r"\1", repr(theirs))


def close(ours, theirs):
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-7, atol=1e-9)


def test_layer_is_pytorchs(layer):
    name, args, kwargs, shape = layer
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    for p in theirs.parameters():  # normalisation starts from ones and zeros, which would hide much
        torch.nn.init.normal_(p)
    ours = getattr(nn, name)(*args, **kwargs)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.double(), ours.double()
    ours.load_state_dict(theirs.state_dict())
    x = 4 * np.random.default_rng(1).standard_normal(shape)
    for mode in (True, True, False):  # twice in training: running statistics move on
        ours.train(mode), theirs.train(mode)
        a, b = tinymed.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(a), theirs(b)
        close(y, z)
        g = np.random.default_rng(2).standard_normal(y.shape)
        ours.zero_grad(), theirs.zero_grad()
        y.backward(tinymed.tensor(g)), z.backward(torch.tensor(g))
        close(a.grad, b.grad)
        for p, q in zip(ours.parameters(), theirs.parameters()):
            close(p.grad, q.grad)
    for key, value in theirs.state_dict().items():
        close(ours.state_dict()[key], value)
    if name != "AvgPool1d":  # of which PyTorch prints tuples
        assert repr(ours) == said(theirs)


def test_embedding_is_pytorchs():
    theirs = torch.nn.Embedding(7, 3, padding_idx=-2).double()
    ours = nn.Embedding(7, 3, padding_idx=-2).double()
    assert (ours.weight.array[5] == 0).all()
    ours.load_state_dict(theirs.state_dict())
    x = np.array([[1, 5, 6], [0, 1, 1]])
    y, z = ours(tinymed.tensor(x)), theirs(torch.tensor(x))
    close(y, z)
    (y * y).sum().backward(), (z * z).sum().backward()
    close(ours.weight.grad, theirs.weight.grad)
    assert repr(ours) == said(theirs)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
def test_loss_is_pytorchs(loss):
    name, kwargs, x, t = loss

    def made(module, tensor):
        return module(**{k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()})

    ours, theirs = made(getattr(nn, name), tinymed.tensor), made(getattr(torch.nn, name), torch.tensor)
    a, b = tinymed.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a, tinymed.tensor(t)), theirs(b, torch.tensor(t))
    close(y, z)
    y.sum().backward(), z.sum().backward()
    close(a.grad, b.grad)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_dropout_drops_in_training_only():
    tinymed.manual_seed(0)
    layer, x = nn.Dropout(0.25), tinymed.ones(100, 100)
    y = layer(x).numpy()
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    assert layer.eval()(x) is x


def test_dropout2d_drops_whole_channels():
    tinymed.manual_seed(0)
    layer, x = nn.Dropout2d(0.25), tinymed.ones(50, 40, 2, 3, requires_grad=True)
    y = layer(x)
    assert repr(layer) == "Dropout2d(p=0.25)"
    channels = y.detach().numpy().reshape(2000, 6)
    assert (channels == channels[:, :1]).all()
    assert abs((channels == 0).mean() - 0.25) < 0.03
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match=r"expected x \(N,C,H,W\), got \(2, 3\)"):
        nn.Dropout2d()(tinymed.ones(2, 3))


def test_the_articles_blocks():
    block = nn.ConvReLU6Pool(1, 2, 3, padding=1, pool_size=(2, 4))
    assert list(block.state_dict()) == ["conv.weight", "conv.bias"]
    x = 20 * tinymed.randn(3, 1, 8, 8)
    y = block(x)
    assert y.shape == (3, 2, 4, 2)
    by_hand = nn.MaxPool2d((2, 4))(nn.ReLU6()(block.conv(x)))
    np.testing.assert_array_equal(y.detach().numpy(), by_hand.detach().numpy())
    assert y.detach().numpy().max() == 6
    assert nn.ConvReLU6(1, 2, 3, stride=2)(x).shape == (3, 2, 3, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(0, 2), "Linear: in_features must be a whole number of at least 1, got 0"),
        (lambda: nn.Linear(2.0, 2), "got 2.0"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), r"groups \(=2\) must divide in_channels \(=3\)"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), r"groups \(=2\) must divide out_channels \(=3\)"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "Conv2d: kernel_size must be one whole number or 2 of them"),
        (lambda: nn.Conv2d(3, 4, 0), "Conv2d: kernel_size must be at least 1, got 0"),
        (lambda: nn.Conv2d(3, 4, 3, stride=0), "Conv2d: stride must be at least 1"),
        (lambda: nn.Conv2d(3, 4, 3, padding=-1), "Conv2d: padding must be at least 0"),
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), 'padding is a size, "same" or "valid"'),
        (lambda: nn.Conv2d(3, 4, 3, padding="same", stride=2), 'padding "same" needs stride 1'),
        (lambda: nn.MaxPool2d(2, padding=2), "padding 2 is more than half the window 2"),
        (lambda: nn.AvgPool2d(0), "AvgPool2d: "),
        (lambda: nn.Dropout(1.5), "between 0 and 1, got 1.5"),
        (lambda: nn.GroupNorm(3, 4), r"groups \(=3\) must divide num_channels \(=4\)"),
        (lambda: nn.BatchNorm2d(-1), "num_features must be a whole number"),
        (lambda: nn.Embedding(4, 2, padding_idx=4), "padding_idx 4 is no row of a table of 4"),
        (lambda: nn.MSELoss(reduction="avg"), "reduction is one of none, mean, sum, got 'avg'"),
        (lambda: nn.GELU("fast"), "got 'fast'"),
        (lambda: nn.Upsample(), "give size or scale_factor"),
        (lambda: nn.Upsample(2, mode="bicubic"), "got 'bicubic'"),
        (lambda: nn.BatchNorm2d(3)(tinymed.ones(2, 3)), r"expected x \(N,C,H,W\) with C = 3, got x \(2, 3\)"),
    ],
)
def test_bad_sizes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
