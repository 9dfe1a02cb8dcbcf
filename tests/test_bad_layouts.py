"""Arrays that lie oddly in memory, through every op: numbers and gradients are those of a tidy copy."""

from __future__ import annotations

import numpy as np
import pytest

import tinymed as tm
from tinymed.autograd import Function

LAYOUTS = {
    "negative strides": lambda a: np.ascontiguousarray(np.flip(a))[(slice(None, None, -1),) * a.ndim],
    "transposed": np.asfortranarray,
    "every other": lambda a: np.repeat(a, 2, -1)[..., ::2],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


def outcome(expression, arrays, layout=np.asarray):
    """The outputs, the gradients of the inputs, the Functions that were used; ∂L/∂outputs is laid out oddly too."""
    xs = [tm.from_numpy(a) for a in arrays]
    for x in xs:
        if x.dtype.kind == "f":
            x.requires_grad_()
    found = expression(*xs)
    outputs = [y for y in (found if isinstance(found, tuple | list) else [found]) if y.requires_grad]
    functions, stack = set(), [y.grad_fn for y in outputs]
    while stack:
        if (fn := stack.pop()) is not None and fn not in functions:
            functions.add(fn)
            stack += [t.grad_fn for t in fn.inputs if isinstance(t, tm.Tensor)]
    for y in outputs:
        g = np.random.default_rng(1).standard_normal(y.shape)
        y.backward(tm.from_numpy(layout(g) if g.ndim else g), retain_graph=True)
    return outputs, [x.grad for x in xs], {type(fn) for fn in functions}


def samples(shapes, layout):
    """Arrays laid out oddly that hold the same numbers as the tidy copies beside them."""
    rng = np.random.default_rng(0)
    odd = [layout(rng.uniform(0.2, 0.9, s) if isinstance(s, tuple) else s) for s in shapes]
    return odd, [np.array(a, order="C") for a in odd]


@pytest.mark.parametrize("how", LAYOUTS)
def test_08_odd_layouts_through_every_op(op, how):
    layout = LAYOUTS[how]
    expression, *shapes = op
    odd, tidy = samples(shapes, layout)
    got, gradients, _ = outcome(expression, odd, np.asarray if how == "broadcast" else layout)
    want, expected, _ = outcome(expression, tidy)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a.array, b.array, rtol=1e-12)
    for a, b in zip(gradients, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a.array, b.array, rtol=1e-10, atol=1e-14)
    for a, b in zip(odd, tidy, strict=True):
        np.testing.assert_array_equal(a, b, err_msg="the op wrote to its input")


def test_08_every_op_is_among_them(cases):
    def below(kind):
        return {kind, *(k for child in kind.__subclasses__() for k in below(child))}

    used = set().union(*(outcome(f, samples(s, np.asarray)[1])[2] for f, *s in cases.OPS.values()))
    every = {k for k in below(Function) if k.__module__.startswith("tinymed.ops") and "forward" in vars(k)}
    assert sorted(k.__name__ for k in every - used - {Function}) == ["Move"]  # needs a GPU: gpu/test_devices.py
