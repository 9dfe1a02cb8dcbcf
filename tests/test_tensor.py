"""Tensor: construction and its errors, ways out to Python, NumPy and DLPack; what an import costs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinymed
from tinymed.nn import Parameter
from tinymed.tensor import Tensor

ROOT = Path(__file__).parent.parent

# ---------------------------------------------------------------- making tensors


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1, "int64"),
        (1.0, "float32"),
        (True, "bool"),
        ([1, 2], "int64"),
        ([1, 2.0], "float32"),
        ([[True]], "bool"),
        (np.float64(1), "float64"),
        (np.ones(2), "float64"),
        (np.ones(2, np.float32), "float32"),
        (np.ones(2, np.uint8), "uint8"),
        (np.ones(2, ">f4"), "float32"),
        (np.ones(2, ">i8"), "int64"),
        ([], "float32"),
        (range(3), "int64"),
        ((1.0, 2.0), "float32"),
    ],
)
def test_tensor_takes_pytorchs_dtype(data, dtype):
    x = tinymed.tensor(data)
    assert x.dtype == dtype
    assert x.dtype.isnative
    np.testing.assert_array_equal(x.numpy(), np.asarray(data))


def test_tensor_copies_and_as_tensor_shares():
    array = np.zeros(2)
    copied, shared, also = tinymed.tensor(array), tinymed.as_tensor(array), tinymed.from_numpy(array)
    array[0] = 5
    assert (copied.array[0], shared.array[0], also.array[0]) == (0, 5, 5)
    assert tinymed.as_tensor(shared) is shared
    assert tinymed.tensor(shared).array is not shared.array
    assert tinymed.tensor([1, 2], dtype=tinymed.float64, requires_grad=True).requires_grad


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: tinymed.tensor("abc"), TypeError, "holds numbers, got a str"),
        (lambda: tinymed.tensor(None), TypeError, "NoneType"),
        (lambda: tinymed.tensor(1j), TypeError, "complex"),
        (lambda: tinymed.tensor(np.array(["2020-01-01"], "M8[D]")), TypeError, "datetime"),
        (lambda: tinymed.tensor([tinymed.ones(2), tinymed.ones(3)]), ValueError, "stack|ragged"),
        (lambda: tinymed.tensor([tinymed.ones(1, requires_grad=True)]), ValueError, "stack"),
        (lambda: tinymed.zeros(-1), ValueError, "whole numbers"),
        (lambda: tinymed.arange(3, 0), ValueError, "does not lead"),
        (lambda: tinymed.randint(3, 3, (2,)), ValueError, "no whole number"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_list_of_tensors():
    assert tinymed.tensor([tinymed.tensor(1.0), tinymed.tensor(2.0)]).tolist() == [1, 2]


CREATION = {
    "zeros": lambda t: t.zeros(2, 3),
    "ones": lambda t: t.ones((2, 3)),
    "full": lambda t: t.full((2,), 1.5),
    "full of integers": lambda t: t.full((2, 2), 7),
    "full of bools": lambda t: t.full((2,), True),
    "eye": lambda t: t.eye(3),
    "eye 2 3": lambda t: t.eye(2, 3),
    "arange": lambda t: t.arange(5),
    "arange float": lambda t: t.arange(0.0, 1.0, 0.25),
    "arange down": lambda t: t.arange(5, 0, -2),
    "linspace": lambda t: t.linspace(-1, 1, 5),
    "zeros_like": lambda t: t.zeros_like(t.ones(2, dtype=t.float64)),
    "ones_like": lambda t: t.ones_like(t.arange(3)),
    "full_like": lambda t: t.full_like(t.ones(2), 3),
    "dtype": lambda t: t.zeros(2, dtype=t.int32),
    "empty shape": lambda t: t.zeros(()),
}


@pytest.mark.parametrize("name", CREATION)
def test_creation_is_pytorchs(name):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    got, want = CREATION[name](tinymed), CREATION[name](torch)
    assert str(got.dtype) == str(want.dtype).removeprefix("torch.")
    np.testing.assert_allclose(got.numpy(), want.numpy())


def test_random_numbers_repeat_from_a_seed():
    def draw(**how):
        return [
            tinymed.rand(5, **how),
            tinymed.randn(5, **how),
            tinymed.randint(0, 100, (5,), **how),
            tinymed.randperm(9, **how),
        ]

    tinymed.manual_seed(3)
    first = draw()
    tinymed.manual_seed(3)
    for again in (draw(), draw(generator=tinymed.Generator(3))):
        assert all((a.array == b.array).all() for a, b in zip(first, again))
    assert any((a.array != b.array).any() for a, b in zip(first, draw()))
    generator = tinymed.Generator(1)
    state = generator.get_state()
    a = tinymed.rand(3, generator=generator)
    generator.set_state(state)
    assert (a.array == tinymed.rand(3, generator=generator).array).all()
    assert tinymed.rand(1000).dtype == tinymed.float32
    assert sorted(tinymed.randperm(9).tolist()) == list(range(9))


@pytest.mark.parametrize("data", [[1, 2], 3, 2.5, (1.0,), "text", None])
def test_the_class_itself_takes_arrays_alone(data):
    with pytest.raises(TypeError, match=r"Tensor expects a NumPy array, got a .*; use tinymed\.tensor\(data\)"):
        Tensor(data)


def test_a_numpy_number_becomes_0d():
    x = tinymed.ones(3, requires_grad=True).sum()
    x.retain_grad()
    for _ in range(2):  # adding up two 0-d gradients gives NumPy numbers
        (x * 2).backward(retain_graph=True)
    assert type(Tensor(np.float32(2)).array) is type(x.array) is np.ndarray


def test_pytorchs_names_for_dtypes_and_devices():
    x = tinymed.ones(2)
    assert (tinymed.float, tinymed.double, tinymed.int, tinymed.long) == ("float32", "float64", "int32", "int64")
    assert x.cpu() is x
    assert tinymed.is_tensor(x)
    assert not tinymed.is_tensor(x.numpy())
    for move in (x.cuda, lambda: x.to("cuda")):
        with pytest.raises(ValueError, match=r"no GPU can be used: .*; the CPU goes on working"):
            move()


# ---------------------------------------------------------------- what it looks like


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: tinymed.tensor([1.0, 2.0]), "tensor([1., 2.])"),
        (lambda: tinymed.tensor(3), "tensor(3)"),
        (lambda: tinymed.tensor([1.0], dtype="float64"), "tensor([1.], dtype=float64)"),
        (lambda: tinymed.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
        (lambda: tinymed.tensor([1.0], requires_grad=True) * 2, "tensor([2.], grad_fn=<Mul>)"),
        (lambda: tinymed.zeros(0, 3), "tensor([], shape=(0, 3))"),
        (lambda: Parameter(tinymed.eye(2)), "Parameter([[1., 0.],\n           [0., 1.]], requires_grad=True)"),
    ],
)
def test_repr(make, text):
    assert repr(make()) == text


def test_one_number_is_formatted_as_a_number():
    loss = tinymed.tensor(0.123456, requires_grad=True) * 2
    assert f"{loss:.4f} {loss:8.2e}" == "0.2469 2.47e-01"
    assert f"{tinymed.tensor([3]):03d} {tinymed.tensor([[1.5]]):g}" == "003 1.5"
    assert f"{tinymed.tensor(3)} {tinymed.tensor([1.0])}" == "3 tensor([1.])"
    with pytest.raises(TypeError, match=r"shape \(2,\) has no format '.2f'; format its numbers one by one"):
        f"{tinymed.ones(2):.2f}"


def test_repr_of_many_numbers_is_short():
    assert "shape=(50, 50)" in repr(tinymed.zeros(50, 50))
    assert len(repr(tinymed.zeros(50, 50))) < 600


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (20, 30), (2, 3, 4), (0, 3), (2, 0, 4)])
def test_html(shape):
    html = (tinymed.ones(shape, requires_grad=True) * 2)._repr_html_()
    assert str(shape) in html
    assert "made by Mul" in html
    assert html.count("<td") == min(np.prod(shape[-2:], dtype=int), 20 * 28)
    assert ("There are no numbers in it" in html) == (0 in shape)
    assert "nan" in tinymed.full((2,), float("nan"))._repr_html_()


def test_html_has_as_many_decimals_in_every_cell_and_shades_from_zero():
    cells = re.findall(r"rgba\((.*?)\).*?>(.*?)</td>", tinymed.tensor([-1.0, 0.5, 0.0, 123.456])._repr_html_())
    assert [label for _, label in cells] == ["-1.0", "0.5", "0.0", "123.5"]
    assert [shade.rpartition(",")[2] for shade, _ in cells] == ["0.00", "0.00", "0.00", "0.50"]
    assert cells[0][0].startswith("224")  # of another colour than what is above 0
    assert "2.000e+09" in tinymed.tensor([1e-9, 2e9])._repr_html_()
    assert ">3</td>" in tinymed.tensor([3.0, 1.0])._repr_html_()


# ---------------------------------------------------------------- to Python and NumPy


def test_facts():
    x = tinymed.zeros(2, 3)
    assert (x.shape, x.size(), x.size(-1), x.ndim, x.dim(), x.numel(), x.device) == ((2, 3), (2, 3), 3, 2, 2, 6, "cpu")
    assert (x.element_size(), x.is_contiguous(), x.T.is_contiguous(), x.is_leaf) == (4, True, False, True)


def test_numbers_lengths_truth_and_iteration():
    x = tinymed.tensor([[2.5]])
    assert (x.item(), float(x), int(x), bool(x), len(x), x.tolist()) == (2.5, 2.5, 2, True, 1, [[2.5]])
    assert [row.tolist() for row in tinymed.tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    assert list(range(5))[tinymed.tensor(3)] == 3
    two, scalar = tinymed.zeros(2), tinymed.tensor(1.0)
    for call, error, message in [
        (lambda: two.item(), ValueError, r"shape \(2,\)"), (lambda: float(two), ValueError, "one element"),
        (lambda: bool(two), ValueError, r"ambiguous.*any\(\)"), (lambda: len(scalar), TypeError, "0-d"),
        (lambda: iter(scalar), TypeError, "0-d"), (lambda: [1, 2][scalar], TypeError, "integer tensors"),
    ]:  # fmt: skip
        with pytest.raises(error, match=message):
            call()


def test_tensors_are_hashed_by_identity_and_compared_by_number():
    a, b = tinymed.ones(2), tinymed.ones(2)
    assert len({a, b}) == 2
    assert (a == b).tolist() == [True, True]


def test_numpy_shares_memory_and_refuses_graphs():
    x = tinymed.zeros(2)
    x.numpy()[0] = 3
    assert x.tolist() == [3, 0]
    assert np.asarray(x) is x.array or np.shares_memory(np.asarray(x), x.array)
    assert np.array(x, dtype="float64").dtype == np.float64
    assert np.mean(np.asarray(x)) == 1.5
    for convert in (lambda t: t.numpy(), np.asarray):
        with pytest.raises(ValueError, match=r"detach\(\)\.numpy\(\)"):
            convert(tinymed.ones(2, requires_grad=True))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(6.0).reshape(2, 3).T,
        np.arange(6.0)[::-1],
        np.broadcast_to(np.ones(1), (3,)),
        np.arange(3),
        np.array([True, False]),
        np.array(2.0),
    ],
)
def test_dlpack_both_ways(array):
    torch = pytest.importorskip("torch", reason="PyTorch is the other side")
    there = torch.from_dlpack(tinymed.from_numpy(array))
    np.testing.assert_array_equal(there.numpy(), array)
    back = tinymed.from_dlpack(there)
    np.testing.assert_array_equal(back.numpy(), array)
    there.fill_(1)
    np.testing.assert_array_equal(back.numpy(), np.ones_like(array))  # one memory
    with pytest.raises(BufferError, match="detach"):
        torch.from_dlpack(tinymed.ones(2, requires_grad=True))


# ---------------------------------------------------------------- what an import costs


def test_import_is_quick_and_loads_numpy_alone():
    heavy = {
        "numba",
        "matplotlib",
        "sklearn",
        "rich",
        "pooch",
        "click",
        "safetensors",
        "scipy",
        "torch",
        "cupy",
        "pandas",
    }
    code = (
        "import sys, time; t = time.process_time(); import tinymed; t = time.process_time() - t; "
        f"print(t, *sorted({heavy} & set(sys.modules)))"
    )
    times = []
    for _ in range(5):
        seconds, *loaded = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
        assert loaded == []
        times.append(float(seconds))
    assert min(times) < 0.25
