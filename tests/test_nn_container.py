"""Sequential, ModuleList and ModuleDict."""

from __future__ import annotations

from collections import OrderedDict

import pytest

from tinymed import nn


def test_sequential():
    named = nn.Sequential(OrderedDict(a=nn.Linear(2, 3), b=nn.ReLU()))
    assert list(named.state_dict()) == ["a.weight", "a.bias"]
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert len(net) == 3
    assert net[-1] is net[2]
    assert [type(m).__name__ for m in net] == ["Linear", "ReLU", "Linear"]
    tail = net[1:]
    assert isinstance(tail, nn.Sequential)
    assert list(tail.state_dict()) == ["2.weight", "2.bias"]
    tail.append(nn.Linear(1, 1))  # must not take the name "2" from the layer that has it
    assert len(tail) == 3
    net[1] = nn.Tanh()
    assert isinstance(net[1], nn.Tanh)
    with pytest.raises(IndexError, match="Sequential has 3 modules, there is no number 3"):
        net[3]
    with pytest.raises(TypeError, match=r"must be a module, got the class ReLU; write ReLU\(\)"):
        nn.Sequential(nn.Linear(2, 3), nn.ReLU)


def test_module_list_and_dict():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    layers.append(nn.ReLU()).extend([nn.Tanh()])
    layers.insert(0, nn.Identity())
    assert [type(m).__name__ for m in layers] == ["Identity", *["Linear"] * 3, "ReLU", "Tanh"]
    assert list(layers.state_dict()) == [f"{k}.{n}" for k in (1, 2, 3) for n in ("weight", "bias")]
    assert list(layers[2:].state_dict()) == [f"{k}.{n}" for k in (0, 1) for n in ("weight", "bias")]
    table = nn.ModuleDict({"relu": nn.ReLU(), "fc": nn.Linear(1, 1)})
    table["tanh"] = nn.Tanh()
    assert list(table) == list(table.keys()) == ["relu", "fc", "tanh"]
    assert list(table.state_dict()) == ["fc.weight", "fc.bias"]
    assert "fc" in table
    del table["relu"]
    assert [k for k, _ in table.items()] == ["fc", "tanh"]
    assert len(list(table.values())) == len(table) == 2
    with pytest.raises(KeyError, match="did you mean 'tanh'"):
        table["tanj"]
