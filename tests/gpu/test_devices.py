"""Tensors on a GPU, a stand-in's or a card: moving, mixing, a network's step, training, weights on disk."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import tinymed
from tinymed import nn, optim


def test_there_and_back(cp):
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
    with pytest.raises(ValueError, match="no device 'cuda:99'"):
        x.to("cuda:99")


def test_two_devices_are_refused(cp):
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
def test_a_step_is_the_cpus(cp, dtype):
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
def test_recurrent_layers(cp, layer):
    tinymed.manual_seed(0)
    model, x = layer(3, 4), tinymed.randn(6, 2, 3)
    want = model(x)[0]
    got = model.cuda()(x.cuda())[0]
    np.testing.assert_allclose(got.detach().cpu().numpy(), want.detach().numpy(), atol=1e-5)


def test_training_and_weights_on_disk(cp, tmp_path):
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


@pytest.mark.parametrize(("first", "then"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_an_optimisers_state_moves(cp, first, then):
    p, q = (tinymed.ones(3).to(device).requires_grad_() for device in (first, then))
    one, two = optim.Adam([p]), optim.Adam([q])
    p.grad, q.grad = p.detach() * 2, q.detach() * 2
    one.step()
    two.load_state_dict(one.state_dict())
    two.step()
    state = two.state[q]
    assert (state["step"], state["exp_avg"].device, state["exp_avg_sq"].device) == (2, q.device, q.device)


def test_doctor_names_card_driver_and_runtime(stand_in, command, monkeypatch):
    about = {"name": b"a card", "totalGlobalMem": 80 << 30, "major": 9, "minor": 0, "multiProcessorCount": 1}
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(stand_in.cuda, "runtime", SimpleNamespace(**vars(stand_in.cuda.runtime)))
    for name, value in {"DeviceProperties": about | {"l2CacheSize": 1}, "DeviceCount": 2}.items():
        monkeypatch.setattr(stand_in.cuda.runtime, f"get{name}", lambda *_, value=value: value)
    for name in ("driver", "runtime"):
        monkeypatch.setattr(stand_in.cuda.runtime, f"{name}GetVersion", lambda: 13020, raising=False)
    code, text, _ = command("doctor")
    assert code == 0
    cards = "".join(f"  cuda:{k}        a card, 80.0 GiB, compute capability 9.0\n" for k in range(2))
    assert f"\nGPU\n{cards}  driver        unknown, for CUDA up to 13.2\n  CUDA runtime  13.2\n\n" in text


@pytest.mark.gpu
def test_doctor_of_this_card(card, command):
    code, text, _ = command("doctor")
    assert code == 0
    assert tinymed.cuda.get_device_name() in text.split("\nGPU\n")[1]


def test_a_gradient_of_no_axes_finds_its_way_back(cp):
    x = tinymed.ones(3, requires_grad=True)
    (x.cuda().sum().cpu() * 2).backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_without_a_gpu_the_cpu_goes_on():
    if not tinymed.cuda.is_available():
        with pytest.raises(ValueError, match=r"no GPU can be used: .*; the CPU goes on working"):
            tinymed.ones(2).cuda()
        assert (tinymed.ones(2) + 1).sum().item() == 4
