"""Module: what it finds, saves, loads, prints; hooks; and errors that say in which layer they rose."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinymed
from tinymed import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten())
        self.scale = nn.Parameter(np.ones(2, np.float32))
        self.head = nn.Linear(8, 2)
        self.register_buffer("seen", tinymed.zeros(1))
        self.register_buffer("cache", tinymed.zeros(1), persistent=False)

    def forward(self, x):
        return self.head(self.features(x)) * self.scale


def test_members_are_found_in_order():
    net = Net()
    names = [name for name, _ in net.named_parameters()]
    assert names == [
        *("scale", "features.0.weight", "features.0.bias", "features.1.weight", "features.1.bias"),
        *("head.weight", "head.bias"),
    ]
    assert [name for name, _ in net.named_modules()][:3] == ["", "features", "features.0"]
    assert [name for name, _ in net.named_children()] == ["features", "head"]
    assert [name for name, _ in net.named_buffers()][:2] == ["seen", "cache"]
    assert [name for name, _ in net.named_parameters(recurse=False)] == ["scale"]
    assert net.get_submodule("features.1") is net.features[1]
    assert net.get_submodule("") is net
    assert "head" in dir(net)
    del net.head
    assert not hasattr(net, "head")


def test_state_dict_is_as_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            t = torch.nn
            self.features = t.Sequential(t.Conv2d(1, 2, 3), t.BatchNorm2d(2), t.ReLU(), t.Flatten())
            self.scale = t.Parameter(torch.ones(2))
            self.head = t.Linear(8, 2)
            self.register_buffer("seen", torch.zeros(1))
            self.register_buffer("cache", torch.zeros(1), persistent=False)

    ours, theirs = Net(), Theirs()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert list(ours.state_dict(prefix="net.")) == list(theirs.state_dict(prefix="net."))
    assert [n for n, _ in ours.named_parameters("net")] == [n for n, _ in theirs.named_parameters("net")]
    assert repr(ours) == repr(theirs).replace("Theirs", "Net").replace("affine=True, bias=True", "affine=True")
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    np.testing.assert_array_equal(ours.head.weight.detach(), theirs.head.weight.detach())
    theirs.load_state_dict({k: torch.as_tensor(v.numpy()) for k, v in ours.state_dict().items()})


def test_load_state_dict_copies_and_takes_arrays():
    net, other = Net(), Net()
    weight = net.head.weight
    state = {name: np.array(value) for name, value in other.state_dict().items()}
    net.load_state_dict(state)
    state["head.weight"][:] = 0
    assert net.head.weight is weight
    np.testing.assert_array_equal(weight.detach(), other.head.weight.detach())
    x = tinymed.randn(2, 1, 4, 4)
    y = net(x)
    net.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match="changed in place"):
        y.sum().backward()


def test_load_state_dict_says_all_that_is_wrong_and_changes_nothing():
    net = Net()
    state = {k: v.numpy() + 1 for k, v in net.state_dict().items()}
    state["features.0.wieght"] = state.pop("features.0.weight")
    state["head.weight"] = np.zeros((8, 2))
    before = net.head.bias.array.copy()
    with pytest.raises(ValueError, match="does not fit Net") as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert "missing 'features.0.weight' (did you mean 'features.0.wieght'?)" in message
    assert "unexpected 'features.0.wieght'" in message
    assert "'head.weight' has shape (8, 2), expected (2, 8)" in message
    np.testing.assert_array_equal(net.head.bias.array, before)
    del state["head.weight"]
    keys = net.load_state_dict(state, strict=False)
    assert keys.missing_keys == ["features.0.weight", "head.weight"]
    assert keys.unexpected_keys == ["features.0.wieght"]
    with pytest.raises(TypeError, match="expects a dictionary, got a str"):
        net.load_state_dict("weights.safetensors")


def test_shared_parameters_are_listed_once_and_saved_twice():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    twice = nn.Sequential(net[0], net[0])
    assert len(list(twice.modules())) == 2
    assert len(list(twice.children())) == 1
    twin = copy.deepcopy(net)
    assert twin[0].weight is twin[1].weight
    assert twin[0].weight is not net[0].weight


def test_modes_dtypes_and_gradients():
    net = Net()
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert all(m.training for m in net.train().modules())
    with pytest.raises(ValueError, match="True or False"):
        net.train("yes")
    net(tinymed.randn(2, 1, 4, 4)).sum().backward()
    net.double()
    assert {p.dtype for p in net.parameters()} == {np.dtype("float64")}
    assert net.head.weight.grad.dtype == np.float64
    assert net.features[1].num_batches_tracked.dtype == np.int64
    assert net.to("cpu").to(dtype=tinymed.float32).head.weight.dtype == np.float32
    with pytest.raises(ValueError, match="cuda"):
        net.to("cuda")
    with pytest.raises(TypeError, match="int64"):
        net.to(tinymed.int64)
    net.zero_grad(set_to_none=False)
    assert (net.head.weight.grad.array == 0).all()
    net.zero_grad()
    assert net.head.weight.grad is None
    net.features.requires_grad_(False)
    assert [n for n, p in net.named_parameters() if p.requires_grad] == ["scale", "head.weight", "head.bias"]
    order = []
    net.apply(lambda m: order.append(type(m).__name__))
    assert order == ["Conv2d", "BatchNorm2d", "ReLU", "Flatten", "Sequential", "Linear", "Net"]


def test_pickle_and_deepcopy_keep_the_numbers():
    net = Net()
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert repr(twin) == repr(net)
        assert twin.head.weight is not net.head.weight
        assert isinstance(twin.head.weight, nn.Parameter)
        np.testing.assert_array_equal(twin.head.weight.detach(), net.head.weight.detach())
        twin(tinymed.randn(2, 1, 4, 4)).sum().backward()
        assert net.head.weight.grad is None


def test_hooks_see_and_change_what_passes():
    layer, seen = nn.Linear(2, 2), []
    pre = layer.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    post = layer.register_forward_hook(lambda module, args, output: seen.append((args, output)))
    x = tinymed.ones(1, 2)
    y = layer(x)
    (((doubled,), output),) = seen
    assert output is y
    np.testing.assert_array_equal(doubled.numpy(), 2 * x.numpy())
    pre.remove()
    with layer.register_forward_hook(lambda module, args, output: output * 0):
        assert (layer(x).detach().numpy() == 0).all()
    post.remove()
    post.remove()  # a second time does nothing
    layer(x)
    assert len(seen) == 2
    assert not layer._hooks
    assert not layer._pre_hooks


def test_full_backward_hook_is_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    ours, theirs = nn.Linear(3, 2).double(), torch.nn.Linear(3, 2).double()
    ours.load_state_dict(theirs.state_dict())
    seen: dict = {}

    def keep(key):
        def hook(module, grad_input, grad_output):
            seen[key] = grad_input, grad_output
            return tuple(g * 3 for g in grad_input)

        return hook

    ours.register_full_backward_hook(keep("ours"))
    theirs.register_full_backward_hook(keep("theirs"))
    a, b = tinymed.ones(4, 3).double().requires_grad_(), torch.ones(4, 3).double().requires_grad_()
    for x, layer in ((a, ours), (b, theirs)):
        y = layer(x * 2) + x.sum()  # x is used outside the layer as well
        (y * y).sum().backward()
    for k in (0, 1):
        np.testing.assert_allclose(seen["ours"][k][0], seen["theirs"][k][0])
    np.testing.assert_allclose(a.grad, b.grad)
    np.testing.assert_allclose(ours.weight.grad, theirs.weight.grad)


def test_full_backward_hook_without_a_gradient_for_the_input():
    layer, seen = nn.Linear(3, 2), []
    layer.register_full_backward_hook(lambda module, grad_input, grad_output: seen.append((grad_input, grad_output)))
    layer(tinymed.ones(1, 3)).sum().backward()
    assert len(seen) == 1
    assert seen[0][0] == (None,)
    np.testing.assert_array_equal(seen[0][1][0].numpy(), [[1, 1]])


# ---------------------------------------------------------------- errors


def test_an_error_names_the_layer_by_its_path():
    net = Net()
    with pytest.raises(ValueError, match=r"^in head \(Linear\(in_features=8, out_features=2, bias=True\)\): ") as e:
        net(tinymed.ones(2, 1, 5, 5))
    assert str(e.value).count("in head") == 1
    assert "(2, 18)" in str(e.value)
    outer = nn.Sequential(nn.Identity(), nn.ModuleDict({"net": net})["net"])
    with pytest.raises(ValueError, match=r"^in 1\.features\.0 \(Conv2d\(1, 2, kernel_size=\(3, 3\)"):
        outer(tinymed.ones(2, 3, 5, 5))
    with pytest.raises(TypeError, match=r"^in 1\.features\.0 .*uint8"):
        outer(tinymed.ones(2, 1, 5, 5).to(tinymed.uint8))
    with pytest.raises(IndexError, match=r"^in Embedding\(3, 2\): "):
        nn.Embedding(3, 2)(tinymed.tensor([3]))


def test_anomaly_names_the_layer():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with tinymed.no_grad():
        net[0].weight[0] = float("nan")
    with tinymed.detect_anomaly(), pytest.raises(FloatingPointError, match=r"^in 0 \(Linear"):
        net(tinymed.ones(1, 2))


def test_an_error_of_another_kind_gets_a_note():
    class Broken(nn.Module):
        def forward(self, x):
            raise np.exceptions.AxisError(3, 2)

    with pytest.raises(np.exceptions.AxisError) as caught:
        nn.Sequential(Broken())(tinymed.ones(1))
    assert caught.value.__notes__ == ["in 0 (Broken())"]


def test_an_unregistered_inner_layer_is_still_named():
    inner = nn.Linear(2, 2)

    class Outer(nn.Module):
        def forward(self, x):
            return inner(x)

    with pytest.raises(ValueError, match=r"^in Linear\(in_features=2"):
        Outer()(tinymed.ones(1, 3))


def test_wrong_use_is_refused_with_the_cure():
    net = Net()
    with pytest.raises(AttributeError, match=r"Net has no attribute 'haed' .did you mean 'head'"):
        net.haed  # noqa: B018
    with pytest.raises(AttributeError, match=r"no module 'features.9' .did you mean 'features."):
        net.get_submodule("features.9")
    with pytest.raises(TypeError, match=r"plain list.*nn.ModuleList"):
        net.blocks = [nn.ReLU()]
    with pytest.raises(TypeError, match=r"plain dict.*nn.ModuleDict"):
        net.blocks = {"a": nn.ReLU()}
    with pytest.raises(TypeError, match=r"Net.head must be a module, got int"):
        net.head = 3
    with pytest.raises(TypeError, match=r"Net.scale must be a parameter, got Tensor; wrap it: nn.Parameter"):
        net.scale = tinymed.ones(2)
    with pytest.raises(ValueError, match="Net has 'forward' already"):
        net.forward = nn.ReLU()
    with pytest.raises(ValueError, match=r"without dots, got 'a.b'"):
        net.add_module("a.b", nn.ReLU())
    with pytest.raises(TypeError, match="floating-point"):
        nn.Parameter(np.arange(3))
    with pytest.raises(NotImplementedError, match=r"Module has no forward\(\)"):
        nn.Module()(1)

    class Forgetful(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"Forgetful.__init__ must call super\(\).__init__\(\)"):
        Forgetful()


def test_a_name_moves_between_kinds():
    layer = nn.Module()
    layer.bias = None
    layer.bias = nn.Parameter(np.ones(2, np.float32))
    assert list(layer.state_dict()) == ["bias"]
    layer.bias = None
    assert list(layer.state_dict()) == []
    layer.bias = nn.ReLU()
    assert list(layer._parameters) == []
    assert [name for name, _ in layer.named_children()] == ["bias"]
