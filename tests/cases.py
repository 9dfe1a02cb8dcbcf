"""Tables for tests that go through all that tinymed offers: every op, every layer, every loss."""

from __future__ import annotations

import numpy as np

import tinymed as tm
import tinymed.nn.functional as F
from tinymed.ops import recurrent
from tinymed.ops.fused import conv2d_max_pool2d

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

# ---------------------------------------------------------------- layers: name, arguments, the shape of x

L, I, D = (3, 4, 9), (3, 4, 9, 8), (2, 4, 5, 6, 7)  # a signal, an image, a volume

LAYERS = [
    ("Linear", (5, 3), {}, (2, 4, 5)),
    ("Linear", (5, 3), {"bias": False}, (5,)),
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1}, L),
    ("Conv1d", (4, 6, 3), {"padding": "same", "dilation": 2}, L),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": (1, 0)}, I),
    ("Conv2d", (4, 6, 3), {"groups": 2, "bias": False}, I),
    ("Conv2d", (4, 6, 3), {"padding": "same", "dilation": (1, 2)}, I),
    ("Conv2d", (4, 6, 3), {"padding": "valid"}, I[1:]),
    ("Conv3d", (4, 6, (1, 2, 3)), {"padding": (0, 1, 1)}, D),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "output_padding": 1}, L),
    ("ConvTranspose2d", (4, 6, (2, 3)), {"stride": (2, 1), "padding": 1, "groups": 2}, I),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 3, "output_padding": (1, 2), "dilation": 2, "bias": False}, I),
    ("ConvTranspose3d", (4, 2, 2), {"stride": 2, "padding": 1}, D),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1}, L),
    ("MaxPool2d", (2,), {}, I),
    ("MaxPool2d", ((3, 2),), {"stride": (1, 2), "padding": (1, 0), "dilation": 2}, I),
    ("MaxPool2d", (3,), {"stride": 2, "ceil_mode": True}, I),
    ("MaxPool3d", (2,), {}, D),
    ("AvgPool1d", (3,), {"padding": 1}, L),
    ("AvgPool2d", (3, 2, 1), {"count_include_pad": False, "ceil_mode": True}, I),
    ("AvgPool3d", ((1, 2, 3),), {}, D),
    ("AdaptiveAvgPool1d", (4,), {}, L),
    ("AdaptiveAvgPool2d", ((3, None),), {}, I),
    ("AdaptiveAvgPool3d", (1,), {}, D),
    ("AdaptiveMaxPool1d", (4,), {}, L),
    ("AdaptiveMaxPool2d", ((2, 3),), {}, I),
    ("AdaptiveMaxPool3d", ((2, 1, 3),), {}, D),
    ("BatchNorm1d", (4,), {}, (6, 4)),
    ("BatchNorm1d", (4,), {"momentum": None, "eps": 1e-3}, L),
    ("BatchNorm2d", (4,), {"momentum": 0.3}, I),
    ("BatchNorm2d", (4,), {"affine": False}, I),
    ("BatchNorm2d", (4,), {"track_running_stats": False}, I),
    ("BatchNorm3d", (4,), {}, D),
    ("LayerNorm", ((9, 8),), {"eps": 1e-3}, I),
    ("LayerNorm", (8,), {"bias": False}, I),
    ("LayerNorm", (8,), {"elementwise_affine": False}, I),
    ("GroupNorm", (2, 4), {}, I),
    ("GroupNorm", (4, 4), {"affine": False}, L),
    ("Flatten", (), {}, I),
    ("Flatten", (1, 2), {}, I),
    ("Unflatten", (1, (2, 2)), {}, I),
    ("Identity", (1, 2), {"anything": 3}, L),
    ("Upsample", (), {"scale_factor": 2.0}, I),
    ("Upsample", ((4, 20),), {}, I),
    ("ReLU", (), {}, L),
    ("ReLU6", (), {}, L),
    ("LeakyReLU", (0.2,), {}, L),
    ("PReLU", (), {}, L),
    ("PReLU", (4,), {}, I),
    ("ELU", (0.7,), {}, L),
    ("GELU", (), {}, L),
    ("GELU", (), {"approximate": "tanh"}, L),
    ("SiLU", (), {}, L),
    ("Softplus", (2.0, 5.0), {}, L),
    ("Sigmoid", (), {}, L),
    ("Tanh", (), {}, L),
    ("Softmax", (1,), {}, L),
    ("LogSoftmax", (-1,), {}, L),
]

# ---------------------------------------------------------------- losses: name, arguments, x, t

SCORES = np.random.default_rng(3).standard_normal((6, 4))
TARGETS = np.random.default_rng(4).standard_normal((6, 4))
CHANCES = 1 / (1 + np.exp(-TARGETS))
LABELS = np.array([0, 3, 1, 1, 2, 0])
WEIGHT = np.array([1.0, 0.5, 2.0, 0.1])

LOSSES = [
    ("MSELoss", {}, SCORES, TARGETS),
    ("L1Loss", {"reduction": "sum"}, SCORES, TARGETS),
    ("SmoothL1Loss", {"beta": 0.5}, SCORES, TARGETS),
    ("HuberLoss", {"delta": 0.5}, SCORES, TARGETS),
    ("CrossEntropyLoss", {}, SCORES, LABELS),
    ("CrossEntropyLoss", {"weight": WEIGHT, "ignore_index": 1, "label_smoothing": 0.1}, SCORES, LABELS),
    ("CrossEntropyLoss", {"weight": WEIGHT, "reduction": "none"}, SCORES, CHANCES),
    ("NLLLoss", {"weight": WEIGHT, "reduction": "sum"}, SCORES, LABELS),
    ("BCELoss", {"weight": CHANCES}, CHANCES, CHANCES[::-1].copy()),
    ("BCEWithLogitsLoss", {"pos_weight": WEIGHT, "weight": CHANCES}, SCORES, CHANCES),
    ("KLDivLoss", {"reduction": "batchmean"}, SCORES, CHANCES),
    ("KLDivLoss", {"log_target": True}, SCORES, TARGETS),
]
