"""Tables for test_every_op.py: what tests/cases.py lacks of all that is public."""

from __future__ import annotations

import copy
import math

import numpy as np

import tinymed as tm
import tinymed.nn.functional as F
from tinymed import nn
from tinymed.nn import init, utils

M, X1, X2, X3 = (3, 4), (2, 4, 6), (2, 4, 5, 6), (1, 2, 4, 4, 5)
ADAPTIVE = (
    *((F.adaptive_avg_pool1d, X1), (F.adaptive_avg_pool2d, X2), (F.adaptive_avg_pool3d, X3)),
    *((F.adaptive_max_pool1d, X1), (F.adaptive_max_pool2d, X2), (F.adaptive_max_pool3d, X3)),
)
INTS = np.array([[3, -1, 2, 0], [0, 5, 1, 2], [7, 2, 0, -4]])
MASK = INTS > 1
ROWS = np.array([2, 0, 2])
WORDS = np.array([[2, 0, 1, 1], [0, 0, 2, 2]])
PADDED = np.array([[False] * 5, [False] * 3 + [True] * 2])  # (N,S), where a batch of sequences has ended
LATER = np.triu(np.ones((3, 5), bool), 2)  # (L,S), where a query may not look


def filled(write):
    """What a write in place leaves in a copy of x."""

    def expression(x, *others):
        y = x.detach().clone()
        with tm.no_grad():
            write(y, *others)
        return y

    return expression


def hooked(x):
    y = x * 2
    y.register_hook(lambda g: g * 3)
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    return y, y.grad


def clipped(clip):
    """The gradients of two leaves after clipping, and what it returned."""

    def expression(x):
        a, b = x.detach().requires_grad_(), (x.detach() * 3).requires_grad_()
        (a * a).sum().backward()
        (b * b).sum().backward()
        return clip([a, b]), a.grad, b.grad

    return expression


def from_vector(x):
    a, b = x.detach() * 0, x.detach()[0] * 0
    utils.vector_to_parameters(utils.parameters_to_vector([x, x[1]]), [a, b])
    return a, b


def facts(x):
    about = x.size(), x.size(1), x.dim(), x.ndim, x.numel(), x.element_size(), x.is_floating_point(), x.is_contiguous()
    return *about, x.is_leaf, x.shape, x.dtype, len(x), f"{x.sum():.3f}", repr(x).replace(", device='cuda:0'", "")


class Attention(nn.MultiheadAttention):
    def forward(self, query, key, padded, later):
        return super().forward(query, key, key, key_padding_mask=padded, attn_mask=later)


OPS = {  # a name that is public, an expression that uses it, its samples: shapes of random numbers, or arrays
    **{
        name: (lambda x, name=name: getattr(x - 0.5, name)(), M)
        for name in ("sign", "floor", "ceil", "round", "isnan", "isinf", "isfinite", "logical_not", "relu", "tanh")
    },
    **{
        name: (lambda a, b, name=name: (getattr(a, name)(b), getattr(a, name)(0.5)), M, M)
        for name in ("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "floor_divide", "remainder")
    },
    **{
        name: (
            lambda a, b, name=name: (getattr(a, name)(b), getattr(a, name)(3), getattr(a > 1, name)(b > 0)),
            INTS,
            -INTS,
        )
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
    },
    **{
        name: (lambda x, name=name: getattr(x * 3, name)(), M)
        for name in ("half", "float", "double", "int", "long", "bool")
    },
    "bitwise_not": (lambda k: (~k, ~(k > 0)), INTS),
    "__rsub__": (lambda x: 2 - x, M),
    "__rtruediv__": (lambda x: 2 / x, M),
    "__rpow__": (lambda x: 2**x, M),
    "__rfloordiv__": (lambda x: 2 // x, M),
    "__rmod__": (lambda x: 2 % x, M),
    "numbers": (lambda x: (x + 2, 2 * x, x / 2, x**2, x**-0.5, x - np.float32(1), tm.maximum(x, 0.5)), M),
    "operators": (lambda a, b: (a + b, a - b, a * b, a / b, a**b, a // b, a % b, a @ b.T, -a, abs(a)), M, M),
    "aliases": (lambda a, b: (a.multiply(b), a.divide(b), a.clip(0.3), a.mm(b.T), a[None].bmm(b.T[None])), M, M),
    "integers": (lambda k, x: (k + k, k * 2, k / 2, k + 0.5, k + x, -k, k.sum(), k.cumsum(1), k.prod(1)), INTS, M),
    "where": (lambda c, x: (tm.where(c, x, 0.0), tm.where(c, 1.0, x), tm.where(c, 1, 0)), MASK, M),
    "equal": (lambda a, b: (tm.equal(a, b), tm.equal(a, a)), M, M),
    "allclose": (lambda a, b: (tm.allclose(a, b), tm.allclose(a, a)), M, M),
    # along an axis
    "all": (lambda x: ((x > 0.5).all(), (x > 0.5).all(1), (x > 0).all((0, 1), keepdim=True)), M),
    "any": (lambda x: ((x > 0.5).any(), (x > 0.5).any(1), (x > 0).any((0, 1), keepdim=True)), M),
    "argmax": (lambda x: (x.argmax(), x.argmax(1), x.argmax(0, keepdim=True)), M),
    "argmin": (lambda x: (x.argmin(), x.argmin(1), x.argmin(0, keepdim=True)), M),
    "argsort": (lambda x: (x.argsort(1), x.argsort(0, descending=True)), M),
    "max": (lambda x: (x.max(), *x.max(1), *x.min(0, keepdim=True), x.max(x * 2)), M),
    "norm": (lambda x: (x.norm(), x.norm(math.inf, 1), x.norm(3, 1, keepdim=True)), M),
    "var": (lambda x: (x.var(), x.var(1, correction=0), x.std((0, 1), keepdim=True)), M),
    # shapes and places
    "views": (
        lambda x: (
            x.view(4, 3),
            x.T,
            x.mT,
            x.t(),
            x.transpose(0, 1),
            x.swapaxes(0, 1),
            x.movedim(0, 1),
            x.flatten().squeeze(),
        ),
        M,
    ),
    "unflatten": (lambda x: x.unflatten(1, (2, -1)), M),
    "expand_as": (lambda a, b: (a[:1].expand_as(b), a[:1].broadcast_to(5, 4)), M, M),
    "chunk": (lambda x: x.chunk(3, 1), M),
    "triu": (lambda x: (x.triu(1), (x * 9).long().triu()), M),
    "nonzero": (lambda x: (x > 0.5).nonzero(), M),
    "__getitem__": (lambda x: (x[0], x[1, 2], x[..., None, 1:], x[[0, 2]], x[[0, 2], 1:], x[1, [0, 2]]), M),
    "indices": (lambda x, k, c: (x[k], x[k, 1:], x[0, k], x[:, k], x[k, k], x[c], x[c[:, 0]], x[k[0]]), M, ROWS, MASK),
    "NumPy's indices": (lambda x: (x[ROWS], x[MASK], x[1, ROWS]), M),
    "__iter__": (lambda x: list(x), M),
    # in place
    "__setitem__": (filled(lambda y: (y.__setitem__(0, 1.0), y.__setitem__((slice(1), 2), 4))), M),
    "set by an index": (filled(lambda y, k, v: y.__setitem__(k, v)), M, ROWS[:2], (2, 4)),
    "set by a list": (filled(lambda y: y.__setitem__([0, 2], [5.0, 1.0, 2.0, 3.0])), M),
    "set by a mask": (filled(lambda y, c: y.__setitem__(c, 0)), M, MASK),
    "set to NumPy's": (filled(lambda y: y.__setitem__(1, np.arange(4.0))), M),
    "add_": (filled(lambda y, v: y.add_(v).add_(1)), M, M),
    "sub_": (filled(lambda y, v: y.sub_(v).sub_(1)), M, M),
    "mul_": (filled(lambda y, v: y.mul_(v).mul_(2)), M, M),
    "div_": (filled(lambda y, v: y.div_(v).div_(2)), M, M),
    "copy_": (filled(lambda y, v: y[0].copy_(v[1])), M, M),
    "copy_ of a number": (filled(lambda y: y[0].copy_(3)), M),
    "copy_ of NumPy's": (filled(lambda y: y.copy_(np.arange(4.0))), M),
    "fill_": (filled(lambda y: y.fill_(3)), M),
    "zero_": (filled(lambda y: y.zero_()), M),
    "clamp_": (filled(lambda y: y.clamp_(0.3, 0.6).clamp_(max=0.5)), M),
    "uniform_": (filled(lambda y: y.uniform_(-1, 1)), M),
    "normal_": (filled(lambda y: y.normal_(1, 2)), M),
    # of the same kind
    "type_as": (lambda x, k: (x.type_as(k), k.type_as(x), x.to(k)), M, INTS),
    "new_zeros": (lambda x: x.new_zeros(2, 3), M),
    "zeros_like": (lambda x: (tm.zeros_like(x), tm.ones_like(x, dtype=tm.int64), tm.full_like(x, 3)), M),
    "ones_like": (lambda k: (tm.ones_like(k), tm.full_like(k, 3.0, dtype=tm.float32)), INTS),
    "full_like": (lambda k: tm.full_like(k, 2), INTS),
    "rand_like": (lambda x: tm.rand_like(x), M),
    "randn_like": (lambda x: tm.randn_like(x), M),
    "tensor": (lambda x: (tm.tensor(x.detach()), tm.tensor(x.detach(), dtype=tm.float64), tm.as_tensor(x)), M),
    "as_tensor": (lambda x: tm.as_tensor(x, tm.float32), M),
    "one_hot": (lambda k: (F.one_hot(abs(k)), F.one_hot(abs(k), 9)), INTS),
    # a tensor's own
    "detach": (lambda x: (x.detach(), x.data), M),
    "hooks": (hooked, M),
    "accumulated": (lambda x: [(x * x).sum().backward() for _ in range(2)] and x.grad, M),
    "grad": (lambda x: tm.autograd.grad((x * x).sum(), x), M),
    "deepcopy": (lambda x: copy.deepcopy(x), M),
    "facts": (facts, M),
    "item": (lambda x: (x.sum().item(), x.tolist(), float(x[0, 0]), int(x[0, 0] * 9), "abcd"[x[0].argmax()]), M),
    "__bool__": (lambda x: (bool(x[0, 0] > 0), bool(x[0, 0] > 1)), M),
    # images
    **{pool.__name__: (lambda x, pool=pool: pool(x, 3), x) for pool, x in ADAPTIVE},
    "avg_pool1d": (lambda x: F.avg_pool1d(x, 2, padding=1, count_include_pad=False), X1),
    "avg_pool3d": (lambda x: F.avg_pool3d(x, 2, divisor_override=3), X3),
    "max_pool1d": (lambda x: F.max_pool1d(x, 2), X1),
    "conv_transpose1d": (lambda *xs: F.conv_transpose1d(*xs, stride=2), X1, (4, 2, 3), (2,)),
    "conv_transpose3d": (lambda *xs: F.conv_transpose3d(*xs, stride=2), X3, (2, 2, 2, 2, 2), (2,)),
    "pad": (lambda x: (F.pad(x, (1, 2), "replicate"), F.pad(x, (1, -1), value=3), F.pad(x, (2, 1), "reflect")), X1),
    "interpolate": (lambda x: (F.interpolate(x, 7), F.interpolate(x, scale_factor=(2, 0.5))), X2),
    "attention": (
        lambda q, k, v, m: (
            F.scaled_dot_product_attention(q, k, v, m > 0.5, is_causal=True),
            F.scaled_dot_product_attention(q, k, v, m),
        ),
        *((2, 3, 4), (2, 5, 4), (2, 5, 2), (3, 5)),
    ),
    "gelu": (lambda x: F.gelu(x, approximate="tanh"), M),
    # nn.init and nn.utils
    **{
        name: (filled(lambda y, name=name: getattr(init, name)(y)), M)
        for name in ("trunc_normal_", "zeros_", "ones_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_")
        + ("kaiming_normal_", "orthogonal_")
    },
    "init": (filled(lambda y: (init.uniform_(y[0]), init.normal_(y[1]), init.constant_(y[2], 3.0))), M),
    "clip_grad_norm_": (clipped(lambda ps: utils.clip_grad_norm_(ps, 0.5)), M),
    "clip_grad_norm_ by the largest": (clipped(lambda ps: utils.clip_grad_norm_(ps, 0.5, math.inf, True)), M),
    "clip_grad_value_": (clipped(lambda ps: utils.clip_grad_value_(ps, 0.7)), M),
    "parameters_to_vector": (lambda x: utils.parameters_to_vector([x, x[0]]), M),
    "vector_to_parameters": (from_vector, M),
}

MODULES = {  # what makes it, and its samples
    "RNN": (lambda: nn.RNN(4, 3, nonlinearity="relu", bias=False), (5, 2, 4)),
    "LSTM": (lambda: nn.LSTM(4, 3, num_layers=2, bidirectional=True), (5, 2, 4)),
    "GRU": (lambda: nn.GRU(4, 3, batch_first=True), (2, 5, 4), (1, 2, 3)),
    "RNNCell": (lambda: nn.RNNCell(4, 3), (2, 4)),
    "LSTMCell": (lambda: nn.LSTMCell(4, 3), (2, 4)),
    "GRUCell": (lambda: nn.GRUCell(4, 3), (2, 4), (2, 3)),
    "Embedding": (lambda: nn.Embedding(4, 3, padding_idx=2), WORDS),
    "MultiheadAttention": (lambda: Attention(4, 2), (3, 2, 4), (5, 2, 4), PADDED, LATER),
    "ConvReLU6": (lambda: nn.ConvReLU6(4, 2, 3), X2),
    "ConvReLU6Pool": (lambda: nn.ConvReLU6Pool(4, 2, 3, padding=1), X2),
    "Sequential": (lambda: nn.Sequential(nn.Conv2d(4, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()), X2),
}

ELSEWHERE = {  # what is public and in no table, and why
    "shape dtype device array grad_fn output_nr": "read by every test",
    "backward requires_grad requires_grad_ cuda cpu to": "called by every test, and in test_devices",
    "numpy from_numpy from_dlpack": "of the CPU: test_devices sees numpy() refused",
    "zeros ones full empty arange linspace eye rand randn randint randperm": "made on the CPU, whatever there is",
    "manual_seed get_num_threads set_num_threads is_grad_enabled backends get_backend is_tensor": "no op",
    "gradcheck": "of the CPU: it asks for thousands of single numbers",
    "pin_memory is_pinned": "of the CPU's memory",
    "dropout dropout2d Dropout Dropout2d": "random, and other numbers on a GPU: test_dropout",
    "Module ModuleList ModuleDict Parameter Summary summary functional init utils": "no layers",
    "calculate_gain fans": "numbers of shapes",
}
