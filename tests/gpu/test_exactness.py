"""How exact the ops are on a GPU, in value and gradient, and that they repeat themselves bit for bit.

On the stand-in for CuPy with a few numbers, on a card with as many as are in use.
"""

from __future__ import annotations

import numpy as np
import pytest

import tinymed
import tinymed.nn.functional as F
from tinymed.gradcheck import gradcheck
from tinymed.kernels import cupy_launch
from tinymed.ops import recurrent


def labels(scores):
    return (tinymed.arange(len(scores)) * 7 % scores.shape[1]).to(scores.device)


def gates(k, T, N, I, H):
    """Shapes of x, h0, the weights and biases of k gates."""
    return (T, N, I), (N, H), (k * H, I), (k * H, H), (k * H,), (k * H,)


def lstm_shapes(*sizes):
    x, h0, *weights = gates(4, *sizes)
    return x, h0, h0, *weights


OPS = {  # the function, small shapes, and shapes as they are in use
    "linear": (F.linear, [(3, 4), (5, 4), (5,)], [(256, 1600), (128, 1600), (128,)]),
    "conv2d": (
        lambda x, w, b: F.conv2d(x, w, b, padding=1),
        [(2, 3, 5, 4), (4, 3, 3, 3), (4,)],
        [(16, 64, 28, 28), (64, 64, 3, 3), (64,)],
    ),
    "conv2d of groups": (
        lambda x, w: F.conv2d(x, w, stride=(2, 1), padding=1, groups=2),
        [(1, 4, 6, 5), (6, 2, 3, 2)],
        [(8, 32, 30, 30), (64, 16, 3, 3)],
    ),
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1), [(2, 3, 6, 5)], [(16, 64, 56, 56)]),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 3, 2, 1), [(2, 3, 6, 5)], [(16, 64, 56, 56)]),
    "cross_entropy": (lambda x: F.cross_entropy(x, labels(x)), [(6, 5)], [(512, 1000)]),
    "binary_cross_entropy_with_logits": (
        lambda x: F.binary_cross_entropy_with_logits(x, labels(x)[:, None].to(x.dtype) % 2),
        [(7, 1)],
        [(4096, 1)],
    ),
    "mse_loss": (F.mse_loss, [(4, 3), (4, 3)], [(512, 100), (512, 100)]),
    "softmax": (lambda x: F.softmax(x, 1), [(4, 5)], [(512, 1000)]),
    "layer_norm": (lambda x: F.layer_norm(x, x.shape[1]), [(4, 5)], [(512, 300)]),
    "rnn": (recurrent.rnn, gates(1, 4, 2, 3, 5), gates(1, 50, 64, 64, 128)),
    "lstm": (recurrent.lstm, lstm_shapes(3, 2, 3, 4), lstm_shapes(50, 64, 64, 128)),
    "gru": (recurrent.gru, gates(3, 3, 2, 3, 4), gates(3, 50, 64, 64, 128)),
}
CONVOLUTIONS = [name for name in OPS if name.startswith("conv2d")]


@pytest.fixture
def arrays(request, cp):
    """For the test's op: numbers that float32 holds, weights as small as layers start with."""
    case = request.node.callspec.params
    return draws(OPS[case["op"]][2 if case["cp"] == "card" else 1])


def draws(shapes):
    rng = np.random.default_rng(0)
    scales = [1 if k == 0 or len(shape) == 1 else np.prod(shape[1:]) ** -0.5 for k, shape in enumerate(shapes)]
    return [(s * rng.standard_normal(shape)).astype(np.float32) for s, shape in zip(scales, shapes)]


def values_and_gradients(op, arrays, device, dtype):
    """fn(*arrays) and all its gradients, for a random cotangent, in NumPy."""
    xs = [tinymed.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
    found = OPS[op][0](*(x.to(device) for x in xs))
    ys = found if isinstance(found, tuple) else (found,)
    rng = np.random.default_rng(1)
    loss = sum((y * tinymed.tensor(rng.standard_normal(y.shape).astype(dtype)).to(device)).sum() for y in ys)
    loss.backward()
    return [t.detach().cpu().numpy() for t in (*ys, *(x.grad for x in xs))]


@pytest.mark.parametrize(
    ("op", "tf32", "limit"), [(op, False, 1e-5) for op in OPS] + [(op, True, 1e-3) for op in CONVOLUTIONS]
)
def test_float32_is_as_exact_as_it_is_said_to_be(op, arrays, tf32, limit, monkeypatch):
    monkeypatch.setattr(cupy_launch, "allow_tf32", tf32)
    got = values_and_gradients(op, arrays, "cuda", np.float32)
    for y, truth in zip(got, values_and_gradients(op, arrays, "cpu", np.float64), strict=True):
        assert y.dtype == np.float32
        assert np.linalg.norm(y - truth) <= limit * np.linalg.norm(truth)


@pytest.mark.parametrize("op", OPS)
def test_gradients_against_differences_in_float64(cp, op):
    fn, shapes, _ = OPS[op]
    leaves = [tinymed.tensor(a.astype(np.float64), requires_grad=True) for a in draws(shapes)]

    def on_gpu(*xs):
        found = fn(*(x.to("cuda") for x in xs))
        return tuple(y.cpu() for y in found) if isinstance(found, tuple) else found.cpu()

    assert gradcheck(on_gpu, leaves)


@pytest.mark.parametrize("op", OPS)
def test_twice_the_same_bit_for_bit(op, arrays):
    one, two = (values_and_gradients(op, arrays, "cuda", np.float32) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        assert a.tobytes() == b.tobytes()
