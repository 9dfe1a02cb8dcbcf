"""What dtype comes out: promotion and casts against PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinymed

VALUES = {
    **{
        name: lambda t, name=name: t.ones(2, dtype=getattr(t, name))
        for name in ("bool", "uint8", "int32", "int64", "float32", "float64")
    },
    **{
        f"0-d {name}": lambda t, name=name: t.ones((), dtype=getattr(t, name))
        for name in ("int64", "float32", "float64")
    },
    "True": lambda t: True,
    "2": lambda t: 2,
    "2.5": lambda t: 2.5,
}
OPERATIONS = {
    "+": lambda a, b: a + b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "<": lambda a, b: a < b,
    "**": lambda a, b: a**b,
}


@pytest.mark.parametrize("sign", OPERATIONS)
@pytest.mark.parametrize(("a", "b"), [*itertools.product(VALUES, repeat=2)])
def test_promotion_is_pytorchs(a, b, sign):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    if "bool" in a + b and sign == "**" and {a, b} & {"bool"} and {a, b} <= {"bool", "True"}:
        pytest.skip("PyTorch has no power of bools")
    x, y = VALUES[a](tinymed), VALUES[b](tinymed)
    if not isinstance(x, tinymed.Tensor) and not isinstance(y, tinymed.Tensor):
        return
    got = OPERATIONS[sign](x, y)
    want = OPERATIONS[sign](VALUES[a](torch), VALUES[b](torch))
    assert str(got.dtype) == str(want.dtype).removeprefix("torch.")


def test_dtype_names_and_casts():
    x = tinymed.tensor([1.5, -2.0])
    casts = {
        "float": "float32",
        "double": "float64",
        "half": "float16",
        "long": "int64",
        "int": "int32",
        "bool": "bool",
    }
    for name, dtype in casts.items():
        assert getattr(x, name)().dtype == dtype == getattr(tinymed, dtype)
    assert x.to("float64").dtype == tinymed.float64
    assert x.to("cpu") is x
    assert x.to(tinymed.float32) is x
    with pytest.raises(ValueError, match="no GPU"):
        x.to("cuda")


@pytest.mark.parametrize("sign", OPERATIONS)
@pytest.mark.parametrize("number", [np.float64(2.5), np.float32(2.5), np.int64(2), np.uint8(2)], ids=lambda n: n.dtype)
@pytest.mark.parametrize("a", ["uint8", "int32", "float32", "float64", "0-d float32"])
def test_a_number_of_numpy_counts_as_one_of_python(a, number, sign):
    x = VALUES[a](tinymed)
    for of_numpy, of_python in [((x, number), (x, number.item())), ((number, x), (number.item(), x))]:
        assert OPERATIONS[sign](*of_numpy).dtype == OPERATIONS[sign](*of_python).dtype


def test_a_whole_network_stays_in_float32():
    net = tinymed.nn.Sequential(tinymed.nn.Linear(3, 4), tinymed.nn.GELU(), tinymed.nn.LayerNorm(4))
    x = tinymed.ones(2, 3, requires_grad=True)
    y = net(x) / np.sqrt(3)
    y.std(1).sum().backward()
    assert {t.dtype for t in (y, x.grad, *(p.grad for p in net.parameters()))} == {tinymed.float32}
