"""Tensors on a GPU, on the stand-in for CuPy: moving, mixing, a network's step, training, weights on disk."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import tinymed
from tinymed import kernels, nn, optim
from tinymed.kernels import cupy_backend


@pytest.fixture
def gpu(on_cpu, monkeypatch):
    """A machine that has one."""
    spec = importlib.util.spec_from_file_location("fake_cupy", Path(__file__).parent / "fake_cupy.py")
    fake = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fake)
    cupy = fake.install(monkeypatch, on_cpu.CPUModule)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True if name == "cupy" else found(name))
    cupy_backend.available.cache_clear()
    yield cupy
    cupy_backend.available.cache_clear()
    kernels._devices = False
    kernels.use_backend(kernels.get_backend())


def test_there_and_back(gpu):
    x = tinymed.tensor([[1.0, -2.0], [3.0, 4.0]], requires_grad=True)
    assert tinymed.cuda.is_available()
    y = x.to("cuda")
    assert (x.device, y.device, y.cuda() is y) == ("cpu", "cuda:0", True)
    z = (y * 2 + y.exp()).sum()
    assert z.device == "cuda:0"
    z.cpu().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 + np.exp(x.detach().numpy()), rtol=1e-6)
    assert "device='cuda:0'" in repr(y)
    with pytest.raises(ValueError, match=r"numpy\(\) on a tensor on cuda:0; use tensor.cpu\(\).numpy\(\)"):
        y.detach().numpy()
    with pytest.raises(ValueError, match="no device 'cuda:7'"):
        x.to("cuda:7")


def test_two_devices_are_refused(gpu):
    x, w = tinymed.ones(2, 3), tinymed.ones(3, 3)
    with pytest.raises(
        ValueError, match=r'two devices: \(2, 3\) on cuda:0, \(3, 3\) on cpu; move one, such as x.to\("cpu"\)'
    ):
        x.cuda() @ w
    with pytest.raises(ValueError, match=r"Add: the tensors are on two devices"):
        x + x.cuda()


def network():
    tinymed.manual_seed(0)
    convolutions = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU6(), nn.MaxPool2d(2)
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_is_the_cpus(gpu, dtype):
    x, y = tinymed.randn(5, 1, 8, 8).to(dtype), tinymed.tensor([0, 2, 1, 1, 0])
    losses = []
    for device in ("cpu", "cuda"):
        net = network().to(device).to(dtype=dtype)
        optimizer = optim.Adam(net.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x.to(device)), y.to(device))
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
        assert {p.device for p in net.parameters()} == {"cpu" if device == "cpu" else "cuda:0"}
    assert losses[0] == pytest.approx(losses[1], rel=1e-9 if dtype == "float64" else 2e-3)  # TF32


@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers(gpu, layer):
    tinymed.manual_seed(0)
    model, x = layer(3, 4), tinymed.randn(6, 2, 3)
    want = model(x)[0]
    got = model.cuda()(x.cuda())[0]
    np.testing.assert_allclose(got.detach().cpu().numpy(), want.detach().numpy(), atol=1e-5)


def test_training_and_weights_on_disk(gpu, tmp_path):
    from tinymed import training

    x, y = tinymed.randn(12, 1, 8, 8).numpy(), np.arange(12) % 3
    model = network().cuda()
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    how = {"loss": "cross_entropy", "optimizer": optimizer, "metrics": ["accuracy"], "verbose": False}
    history = training.fit(model, (x, y), epochs=2, batch_size=4, validation=(x, y), **how)
    assert training.predict(model, x).shape == (12, 3)
    assert len(history.epochs) == 2
    training.save_weights(model, tmp_path / "w.safetensors")
    other = network()
    other.load_state_dict(training.load_weights(tmp_path / "w.safetensors"))
    np.testing.assert_array_equal(other[0].weight.detach().numpy(), model[0].weight.detach().cpu().numpy())
    model.load_state_dict(other.state_dict())
    assert model[0].weight.device == "cuda:0"


def test_without_a_gpu_the_cpu_goes_on():
    if not tinymed.cuda.is_available():
        with pytest.raises(ValueError, match=r"no GPU can be used: .*; the CPU goes on working"):
            tinymed.ones(2).cuda()
        assert (tinymed.ones(2) + 1).sum().item() == 4
