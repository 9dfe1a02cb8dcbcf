"""Networks for pictures and volumes: shapes, sizes, the residual equation, learning, and the same file on PyTorch."""

from __future__ import annotations

import types
from pathlib import Path

import numpy as np
import pytest

import tinymed
from tinymed import nn
from tinymed.optim import Adam
from tinymed.tasks import pictures
from tinymed.tasks.pictures import Residual, cnn3d, small_resnet
from tinymed.training import fit, predict

BUILDERS = [(small_resnet, (1, 28, 28)), (small_resnet, (3, 10, 7)), (cnn3d, (1, 28, 28, 28)), (cnn3d, (2, 5, 9, 4))]
IDS = [f"{build.__name__}{shape}" for build, shape in BUILDERS]


def batch(shape, n=2, seed=0):
    return np.random.default_rng(seed).random((n, *shape), np.float32)


@pytest.fixture(scope="module")
def on_torch():
    """The same file with its import exchanged."""
    pytest.importorskip("torch", reason="PyTorch is the oracle")
    source = Path(pictures.__file__).read_text(encoding="utf-8")
    assert source.count("import nn") == 1 + source.split('"""')[1].count("import nn")
    module = types.ModuleType("pictures_on_torch")
    exec(source.replace("\nfrom tinymed import nn", "\nfrom torch import nn"), module.__dict__)
    return module


@pytest.mark.parametrize(("build", "shape"), BUILDERS, ids=IDS)
@pytest.mark.parametrize("classes", [2, 5])
def test_one_output_for_two_classes_else_one_for_each(build, shape, classes):
    assert build(shape, classes)(tinymed.tensor(batch(shape))).shape == (2, 1 if classes == 2 else classes)


def test_sizes_are_those_that_the_docstrings_give():
    for build, shape in ((small_resnet, (1, 28, 28)), (cnn3d, (1, 28, 28, 28))):
        count = sum(p.numel() for p in build(shape, 2).parameters())
        assert f"{count:,} parameters" in " ".join(build.__doc__.split())
        assert count < 300_000


def test_a_residual_is_its_input_plus_what_it_adds():
    block, x = Residual(3, 3), tinymed.tensor(batch((3, 6, 6)) - 0.5, requires_grad=True)
    block.eval()
    np.testing.assert_allclose(block(x).detach().numpy(), (x + block.residual(x)).detach().numpy())
    with tinymed.no_grad():
        for p in block.residual.parameters():
            p.zero_()
    y = block(x)
    np.testing.assert_array_equal(y.detach().numpy(), x.detach().numpy())
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.ones(x.shape))  # the 1 of 1 + ∂F/∂x


def test_where_the_shape_changes_the_shortcut_is_a_1x1_convolution():
    block = Residual(2, 5, stride=2)
    assert (block.shortcut.kernel_size, block.shortcut.stride) == ((1, 1), (2, 2))
    assert block(tinymed.tensor(batch((2, 7, 6)))).shape == (2, 5, 4, 3)


def test_weights_start_as_he_says():
    tinymed.manual_seed(0)
    convolution = small_resnet((1, 28, 28), 2)[3].residual[5]
    assert float(convolution.weight.detach().numpy().std()) == pytest.approx(np.sqrt(2 / (64 * 9)), rel=0.03)


@pytest.mark.parametrize(("build", "shape"), BUILDERS, ids=IDS)
def test_the_same_file_on_pytorch_gives_the_same_outputs_and_gradients(build, shape, on_torch):
    import torch

    ours, theirs = build(shape, 3, dropout=0.0), getattr(on_torch, build.__name__)(shape, 3, dropout=0.0)
    theirs.load_state_dict({name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()})
    x = batch(shape, 4)
    y, z = ours(tinymed.tensor(x)), theirs(torch.tensor(x))
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), atol=2e-5)
    (y * y).sum().backward()
    (z * z).sum().backward()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        scale = max(float(q.grad.abs().max()), 1e-3)
        np.testing.assert_allclose(p.grad.numpy() / scale, q.grad.numpy() / scale, atol=2e-3, err_msg=name)
    for name, value in ours.state_dict().items():  # running statistics too
        np.testing.assert_allclose(value.numpy(), theirs.state_dict()[name].numpy(), atol=1e-5, err_msg=name)


def test_both_start_alike(on_torch):
    """Not the same numbers, but the same spread of each weight."""
    for name, p in small_resnet((1, 28, 28), 2).named_parameters():
        q = on_torch.small_resnet((1, 28, 28), 2).get_parameter(name).detach().numpy()
        spread = p.detach().numpy().std()
        assert spread == pytest.approx(q.std(), rel=0.25, abs=1e-6), name


@pytest.mark.parametrize(("build", "shape", "lr"), [(small_resnet, (1, 8, 8), 3e-3), (cnn3d, (1, 8, 8, 8), 1e-2)])
def test_they_learn_to_see_where_the_light_is(build, shape, lr):
    """Bright middle or bright rim: the mean is the same, so that it must be seen where it is."""
    tinymed.manual_seed(0)
    rng = np.random.default_rng(0)
    y = np.arange(64) % 2
    x = rng.random((64, *shape), np.float32)
    middle = (slice(None), *(slice(2, 6),) * (len(shape) - 1))
    mask = np.zeros(shape, np.float32)
    mask[middle] = 1
    mask -= mask.mean()
    x += np.where(y == 1, 1, -1).reshape(-1, *(1,) * len(shape)) * mask
    model = build(shape, 2, width=8, dropout=0.0)
    loss = "binary_cross_entropy_with_logits"
    fit(model, (x[:48], y[:48]), loss=loss, optimizer=Adam(model.parameters(), lr=lr), epochs=8, batch_size=16, seed=0,
        verbose=False)  # fmt: skip
    assert ((predict(model, x[48:], loss=loss)[:, 0] > 0.5) == y[48:]).mean() > 0.9


@pytest.mark.parametrize(
    ("build", "shape", "classes", "message"),
    [
        (small_resnet, (28, 28), 2, r"small_resnet takes the shape of a picture \(C,H,W\).*got \(28, 28\)"),
        (small_resnet, (1, 3, 28), 2, "sides of 4 or more, got"),
        (small_resnet, (28, 28, 1), 2, "the last axis looks like channels; tinymed is C,H,W"),
        (small_resnet, (1, 28, 28), 0, "one value, or two classes or more apart, got 0"),
        (cnn3d, (1, 28, 28), 2, r"cnn3d takes the shape of a volume \(C,D,H,W\).*got \(1, 28, 28\)"),
        (cnn3d, (28, 28, 28, 1), 2, "the last axis looks like channels; tinymed is C,D,H,W"),
        (cnn3d, (1, 28, 28, 2), 2, "sides of 4 or more"),
    ],
)
def test_shapes_that_cannot_be_meant_are_refused(build, shape, classes, message):
    with pytest.raises(ValueError, match=message):
        build(shape, classes)


def test_a_seed_repeats_the_start():
    def start(seed):
        tinymed.manual_seed(seed)
        return np.concatenate([p.detach().numpy().ravel() for p in small_resnet((1, 8, 8), 2).parameters()])

    np.testing.assert_array_equal(start(1), start(1))
    assert not np.array_equal(start(1), start(2))
    assert isinstance(small_resnet((1, 8, 8), 2), nn.Module)
