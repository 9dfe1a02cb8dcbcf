"""Shapes, indexing, joins, borders, products and einsum against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices, integer_array_indices

import tinymed
from tinymed.gradcheck import gradcheck

S = (2, 3, 4)
I = np.array([2, 0, 2])
MASK = np.array([[True, False, True], [False, True, True]])

SHAPES = {
    "reshape": (lambda t, x: [x.reshape(6, 4), x.reshape((-1, 2)), x.view(24)], S),
    "reshape of a transpose": (lambda t, x: x.transpose(0, 2).reshape(4, 6), S),
    "flatten": (lambda t, x: [x.flatten(), x.flatten(1), t.flatten(x, 0, 1)], S),
    "unflatten": (lambda t, x: x.unflatten(2, (2, -1)), S),
    "permute": (lambda t, x: [x.permute(2, 0, 1), t.permute(x, (1, -1, 0))], S),
    "transpose": (lambda t, x: [x.transpose(0, -1), x.mT, x[0].T, x[0].t()], S),
    "movedim": (lambda t, x: [x.movedim(0, -1), t.movedim(x, 2, 1)], S),
    "squeeze": (lambda t, x: [x.squeeze(), x.squeeze(0), x.squeeze(1), x.squeeze((0, -1))], (1, 3, 1)),
    "unsqueeze": (lambda t, x: [x.unsqueeze(0), x.unsqueeze(-1), x.unsqueeze(1)], S),
    "expand": (lambda t, x: [x.expand(3, 4), x.expand(2, -1, 4)], (3, 1)),
    "expand_as": (lambda t, x, y: x.expand_as(y), (3, 1), S[1:]),
    "repeat": (lambda t, x: x.repeat(2, 3, 1), (2, 3)),
    "flip": (lambda t, x: [x.flip(1), t.flip(x, (0, 2)), x.flip(())], S),
    "squeeze of no axis": (lambda t, x: x.squeeze(()), (1, 3)),
    "chunk": (lambda t, x: [*x.chunk(2, 1), *t.chunk(x, 3, 2)], S),
    "split": (lambda t, x: [*x.split(3, 2), *t.split(x, [1, 2], 1)], S),
    "unbind": (lambda t, x: x.unbind(1), S),
    "cat": (lambda t, a, b: [t.cat([a, b], 1), t.cat((a, a), -1)], (2, 1), (2, 3)),
    "cat of an empty one": (lambda t, a: t.cat([t.zeros(0), a, t.zeros(0)], 1), (2, 3)),
    "stack": (lambda t, a, b: [t.stack([a, b]), t.stack([a, b], 1), t.stack([a, b], -1)], (2, 3), (2, 3)),
    "pad": (lambda t, x: t.nn.functional.pad(x, (1, 2, 0, 1), value=3.0), S),
    "pad crops": (lambda t, x: t.nn.functional.pad(x, (-1, 2, 1, -2)), S),
    "pad reflect": (lambda t, x: t.nn.functional.pad(x, (2, 1, 1, 1), mode="reflect"), (1, 2, 3, 4)),
    "pad replicate": (lambda t, x: t.nn.functional.pad(x, (2, 5), mode="replicate"), S),
    "sort": (lambda t, x: [*x.sort(), *t.sort(x, 0, descending=True)], (3, 4)),
    "argsort": (lambda t, x: [x.argsort(), t.argsort(x, 0, descending=True)], (3, 4)),
    "topk": (lambda t, x: [*x.topk(2), *t.topk(x, 3, 0, largest=False), *x.topk(0)], (3, 4)),
    "nonzero": (lambda t, x: [t.nonzero(x > 0), (x > 9).nonzero()], S),
    "tril triu": (lambda t, x: [t.tril(x), t.triu(x, 1)], S),
    "tril triu of infinity": (lambda t, x: [t.tril(x), t.triu(x, 1), t.tril(x > 0)], np.full((3, 3), -np.inf)),
    "gather": (lambda t, x, i: x.gather(1, i), (3, 4), np.array([[0, 3], [1, 1], [2, 0]])),
    "index_select": (lambda t, x, i: x.index_select(1, i), S, I),
    "masked_fill": (lambda t, x, m: [x.masked_fill(m, 7.0), x.masked_fill(m, np.float64(0.1))], (2, 3), MASK),
    "masked_fill of integers": (lambda t, x, m: [x.masked_fill(m, 2), (x > 2).masked_fill(m, 1)], I, MASK[0]),
    "cast": (lambda t, x: [x.double().float(), x.to(t.float64), x.type_as(x)], S),
    "view of a view": (lambda t, x: x[1:].transpose(1, 2)[..., ::2].reshape(-1), S),
}
INDEXING = {
    "integer": (lambda t, x: [x[1], x[-1, 2], x[0, 1, 3]], S),
    "slices": (lambda t, x: [x[:, 1:], x[..., ::2], x[1, :2, 1:4:2]], S),
    "none and ellipsis": (lambda t, x: [x[None], x[:, None, 1], x[..., None], x[..., 1], x[0, ..., None, 2]], S),
    "integer array": (lambda t, x, i: [x[:, i], x[..., i], x[1, i]], S, I),
    "list": (lambda t, x: x[:, [0, 2, 2]], S),
    "two arrays": (lambda t, x, i: [x[:, i, i], x[[0, 1, 1], i], x[[0, 1, 1], :, i]], S, I),
    "array broadcast": (lambda t, x, i: x[:, i[:, None], i], S, I),
    "mask": (lambda t, x, m: [x[m], x[:, m[0]]], S, MASK),
    "mask of all": (lambda t, x: x[x > 0], S),
    "integer before an array": (lambda t, x, i: [x[0, :, i], x[:, 0, i], x[i, 0], x[t.tensor(1), :, i]], (3, 2, 4), I),
    "integer before a mask": (lambda t, x, m: [x[0, ..., m], x[:, 1, None, m]], (2, 3, 4), np.array([True, False] * 2)),
    "one bool": (lambda t, x: [x[True], x[False], x[t.tensor(True)]], S),
    "array and none": (lambda t, x, i: x[:, None, i], S, I),
    "empty": (lambda t, x: [x[:0], x[:, 2:2]], S),
}
PRODUCTS = {
    f"matmul {a} {b}": (lambda t, a, b: a @ b, a, b)
    for a, b in [
        ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((1, 3), (3, 1)), ((5, 2, 3), (3,)),
        ((3,), (5, 3, 2)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)),
        ((2, 1, 2, 3), (3, 3, 2)), ((1, 2, 3), (4, 3, 2)), ((2, 3, 2, 2), (2, 1, 2, 2)),
    ]
}  # fmt: skip
PRODUCTS |= {
    "bmm": (lambda t, a, b: [t.matmul(a, b), a.bmm(b)], (2, 2, 3), (2, 3, 2)),
    "dot": (lambda t, a, b: a.dot(b), (3,), (3,)),
    "linear": (lambda t, x, w, b: t.nn.functional.linear(x, w, b), (5, 3), (2, 3), (2,)),
    "linear of a vector": (lambda t, x, w: t.nn.functional.linear(x, w), (3,), (2, 3)),
    "linear of a stack": (lambda t, x, w, b: t.nn.functional.linear(x, w, b), (2, 4, 3), (2, 3), (2,)),
}
EINSUM = {
    equation: (lambda t, *xs, e=equation: t.einsum(e, *xs), *shapes)
    for equation, shapes in {
        "ij,jk->ik": [(2, 3), (3, 4)], "ij,jk": [(2, 3), (3, 4)], "bij,bjk->bik": [(2, 3, 2), (2, 2, 3)],
        "i,j->ij": [(2,), (3,)], "ij->ji": [(2, 3)], "ij->": [(2, 3)], "ij->i": [(2, 3)], "ii": [(3, 3)],
        "ii->i": [(3, 3)], "...ij,...jk->...ik": [(2, 2, 3), (3, 2)], "ij,ik,jl->kl": [(2, 3), (2, 2), (3, 2)],
        "i,i->": [(3,), (3,)], "bi,oi->bo": [(2, 3), (4, 3)], "ij,kl->": [(2, 3), (2, 2)], "iij->j": [(2, 2, 3)],
        "...i->...": [(2, 3, 2)], "i,i->i": [(3,), (3,)], "ij,j->": [(1, 3), (3,)],
    }.items()
}  # fmt: skip
NOT_NUMERIC = ("cast", "tril triu of infinity")  # float32 is too coarse for differences, infinity has none
ROWS = SHAPES | INDEXING | PRODUCTS | EINSUM


@pytest.mark.filterwarnings("ignore:invalid value")  # of infinities
@pytest.mark.parametrize("name", ROWS)
def test_op_is_pytorchs(as_torch, name):
    as_torch(*ROWS[name], numeric=name not in NOT_NUMERIC)


def test_reads_backwards():
    x = tinymed.tensor(np.arange(24.0).reshape(S), requires_grad=True)  # PyTorch has no negative steps
    assert gradcheck(lambda x: [x[::-1], x[..., ::-2]], x)


def test_non_contiguous_and_read_only_arrays():
    base = np.random.default_rng(0).standard_normal((4, 6, 5))
    frozen = base.copy()
    frozen.flags.writeable = False
    for array in (base.transpose(2, 0, 1)[::2], base[:, ::-2], frozen, np.broadcast_to(base[:1], base.shape)):
        x = tinymed.from_numpy(array)
        x.requires_grad_()
        y = (x * 2 + x.sum(1, keepdim=True)).softmax(-1).reshape(-1)
        y[3].backward()
        z = tinymed.tensor(array, requires_grad=True)
        (z * 2 + z.sum(1, keepdim=True)).softmax(-1).reshape(-1)[3].backward()
        np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), atol=1e-14)


BAD = {
    r"reshape: 6 numbers of shape \(2, 3\)": lambda x: x.reshape(4),
    "only one size": lambda x: x.reshape(-1, -1),
    "permute": lambda x: x.permute(0, 0),
    "expand": lambda x: x.expand(4, 3),
    "expand: shape": lambda x: x.expand(-1, 2, 3),
    "tril: expects a matrix": lambda x: tinymed.tril(x[0]),
    r"split: sizes \[3, -1\]": lambda x: x.split([3, -1]),
    r"cat: shapes": lambda x: tinymed.cat([x, x.T]),
    "stack: expected": lambda x: tinymed.stack([x, x.T]),
    r"split: sizes \[1, 3\] must add up to 2": lambda x: x.split([1, 3]),
    r"inner sizes 3 and 2": lambda x: x @ x,
    r"'j' in 'ij,jk' is both 3 and 2": lambda x: tinymed.einsum("ij,jk", x, x),
    "names 2 tensors, got 1": lambda x: tinymed.einsum("ij,jk", x),
    r"linear: expected x with 2 features": lambda x: tinymed.nn.functional.linear(x, x.T),
}


@pytest.mark.parametrize("message", BAD)
def test_what_does_not_fit_is_named(message):
    with pytest.raises(ValueError, match=message):
        BAD[message](tinymed.zeros(2, 3))


def test_an_index_outside_is_named():
    x = tinymed.zeros(2, 3)
    for index in (5, (0, 3), np.array([2]), (0, 0, 0)):
        with pytest.raises(IndexError, match=r"indexing a tensor of shape \(2, 3\)"):
            x[index]


QUICK = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@QUICK
@given(basic_indices((3, 2, 4), max_dims=5, allow_newaxis=True))
def test_basic_indexing_is_numpys(index):
    array = np.random.default_rng(0).standard_normal((3, 2, 4))
    x = tinymed.tensor(array, requires_grad=True)
    y = x[index]
    np.testing.assert_array_equal(y.detach().numpy(), array[index])
    if y.numel():
        gradcheck(lambda x: x[index], x)


@QUICK
@given(integer_array_indices((3, 2, 4)))
def test_integer_indexing_is_numpys(index):
    array = np.random.default_rng(0).standard_normal((3, 2, 4))
    x = tinymed.tensor(array, requires_grad=True)
    np.testing.assert_array_equal(x[index].detach().numpy(), array[index])
    gradcheck(lambda x: x[index], x)


@QUICK
@given(st.lists(st.integers(1, 3), max_size=2), st.lists(st.booleans(), min_size=2, max_size=2), st.integers(1, 3))
def test_matmul_of_any_stack_is_pytorchs(as_torch, stack, ones, k):
    a, b = ([1 if one else n for n in stack] for one in ones)
    as_torch(lambda t, a, b: a @ b, (*a, 2, k), (*b, k, 3), numeric=False)
