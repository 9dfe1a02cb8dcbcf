"""Arrays that lie oddly in memory, through every op: numbers and gradients are those of a tidy copy."""

from __future__ import annotations

import numpy as np
import pytest

import tinymed as tm
import tinymed.nn.functional as F
from tinymed.autograd import Function
from tinymed.ops import recurrent
from tinymed.ops.fused import conv2d_max_pool2d

LAYOUTS = {
    "negative strides": lambda a: np.ascontiguousarray(np.flip(a))[(slice(None, None, -1),) * a.ndim],
    "transposed": np.asfortranarray,
    "every other": lambda a: np.repeat(a, 2, -1)[..., ::2],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}
M, V, X1, X2, X3 = (3, 4), (4,), (2, 4, 6), (2, 4, 5, 6), (1, 2, 4, 4, 5)
MASK = np.array([[True, False, True, True], [True] * 4, [False, True, False, True]])
PLACES = np.array([[2, 0, 1, 1], [0, 0, 2, 2]])
CLASSES = np.array([3, 0, 2])


def dropped(x):
    return F.dropout(x, 0.4, generator=tm.Generator(0))


OPS = {  # an expression and its samples: a shape of random numbers in 0.2…0.9, or an array
    **{
        name: (getattr(tm, name), M)
        for name in ("exp", "log", "log1p", "sqrt", "rsqrt", "square", "sin", "cos", "abs", "clone", "neg")
    },
    **{
        name: (getattr(F, name), M)
        for name in ("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh")
    },
    **{
        name: (lambda x, name=name: getattr(x, name)(1), M)
        for name in ("sum", "mean", "var", "std", "prod", "amax", "amin", "max", "min", "logsumexp", "cumsum")
    },
    "sum of all": (lambda x: x.sum(), M),
    "norm": (lambda x: x.norm(), M),
    "norm of columns": (lambda x: x.norm(1, 0), M),
    "softmax": (lambda x: x.softmax(0), M),
    "log_softmax": (lambda x: x.log_softmax(1), M),
    "clamp": (lambda x: x.clamp(0.3, 0.7), M),
    "cast": (lambda x: x.float().double(), M),
    "contiguous": (lambda x: x.contiguous(), M),
    # two operands
    "add": (tm.add, M, V),
    "sub": (tm.sub, M, V),
    "mul": (tm.mul, M, V),
    "div": (tm.div, M, V),
    "pow": (tm.pow, M, V),
    "maximum": (tm.maximum, M, V),
    "minimum": (tm.minimum, M, V),
    "where": (tm.where, MASK, M, M),
    "matmul": (tm.matmul, M, (4, 2)),
    "matmul of stacks": (tm.matmul, (2, 3, 4), (1, 4, 2)),
    "dot": (tm.dot, V, V),
    "linear": (F.linear, M, (2, 4), (2,)),
    "einsum": (lambda a, b: tm.einsum("ij,jk->ki", a, b), M, (4, 2)),
    "einsum of a diagonal": (lambda a: tm.einsum("ii->i", a), (3, 3)),
    # shapes
    "reshape": (lambda x: x.reshape(2, 6), M),
    "flatten": (lambda x: x.flatten(), M),
    "permute": (lambda x: x.permute(2, 0, 1), X1),
    "squeeze": (lambda x: x.unsqueeze(1).squeeze(1), M),
    "expand": (lambda x: x.expand(2, 3, 4), M),
    "repeat": (lambda x: x.repeat(2, 2), M),
    "flip": (lambda x: x.flip(0), M),
    "slice": (lambda x: x[::2, 1:], M),
    "index": (lambda x, k: x[k], M, PLACES[0]),
    "mask": (lambda x, k: x[k], M, MASK),
    "gather": (lambda x, k: x.gather(0, k), M, PLACES),
    "index_select": (lambda x, k: x.index_select(0, k), M, PLACES[0]),
    "masked_fill": (lambda x, k: x.masked_fill(k, 0), M, MASK),
    "split": (lambda x: x.split(3, 1), M),
    "unbind": (lambda x: x.unbind(1), M),
    "cat": (lambda a, b: tm.cat([a, b]), M, (2, 4)),
    "stack": (lambda a, b: tm.stack([a, b], 1), M, M),
    "pad": (lambda x: F.pad(x, (1, 2, 0, 1)), M),
    "pad by reflection": (lambda x: F.pad(x, (1, 2), "reflect"), X1),
    "topk": (lambda x: x.topk(2, 0), M),
    "sort": (lambda x: x.sort(1, descending=True), M),
    "tril": (lambda x: x.tril(), M),
    # images and sequences
    "conv1d": (lambda *xs: F.conv1d(*xs, padding=1), X1, (3, 4, 3), (3,)),
    "conv2d": (lambda *xs: F.conv2d(*xs, stride=2, padding=1), X2, (3, 4, 3, 2), (3,)),
    "conv2d in groups": (lambda *xs: F.conv2d(*xs, groups=2), X2, (2, 2, 3, 2), (2,)),
    "conv3d": (F.conv3d, X3, (2, 2, 2, 3, 2), (2,)),
    "conv_transpose2d": (lambda *xs: F.conv_transpose2d(*xs, stride=2), X2, (4, 2, 3, 2), (2,)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1), X2),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2, 1), X2),
    "max_pool3d": (lambda x: F.max_pool3d(x, 2), X3),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (2, 3)), X2),
    "adaptive_max_pool1d": (lambda x: F.adaptive_max_pool1d(x, 4), X1),
    "conv2d_max_pool2d": (
        lambda x, w, b: conv2d_max_pool2d(x, w, b, 1, 1, 1, 2, (2, 2), 0.0, 6.0),
        X2,
        (6, 2, 3, 3),
        (6,),
    ),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2), X2),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), X2, (4,), (4,)),
    "batch_norm in eval": (lambda x, m, v: F.batch_norm(x, m.detach(), v.detach()), X2, (4,), (4,)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (6,), w, b), X1, (6,), (6,)),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), X1, (4,), (4,)),
    "normalize": (F.normalize, X2),
    "prelu": (F.prelu, X2, (4,)),
    "dropout": (dropped, M),
    "embedding": (lambda k, w: F.embedding(k, w), PLACES, (3, 4)),
    "rnn": (recurrent.rnn, (4, 2, 3), (2, 2), (2, 3), (2, 2), (2,), (2,)),
    "lstm": (recurrent.lstm, (4, 2, 3), (2, 2), (2, 2), (8, 3), (8, 2), (8,), (8,)),
    "gru": (recurrent.gru, (4, 2, 3), (2, 2), (6, 3), (6, 2), (6,), (6,)),
    "attention": (F.scaled_dot_product_attention, (2, 3, 4), (2, 5, 4), (2, 5, 2)),
    # losses
    **{
        name: (getattr(F, name), M, M)
        for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "kl_div")
    },
    "bce_with_logits": (F.binary_cross_entropy_with_logits, M, M),
    "cross_entropy": (F.cross_entropy, M, CLASSES),
    "nll_loss": (F.nll_loss, M, CLASSES),
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
@pytest.mark.parametrize("name", OPS)
def test_08_odd_layouts_through_every_op(name, how):
    layout = LAYOUTS[how]
    expression, *shapes = OPS[name]
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


def test_08_every_op_is_among_them():
    def below(kind):
        return {kind, *(k for child in kind.__subclasses__() for k in below(child))}

    used = set().union(*(outcome(f, samples(s, np.asarray)[1])[2] for f, *s in OPS.values()))
    every = {k for k in below(Function) if k.__module__.startswith("tinymed.ops") and "forward" in vars(k)}
    assert sorted(k.__name__ for k in every - used - {Function}) == ["Move"]  # needs a GPU: gpu/test_devices.py
