"""A script, run by test_numba_cuda.py in a process of its own: `python numba_cuda_cases.py FAMILY …`.

Every kernel of the families against the plain loops: on the device or, with NUMBA_ENABLE_CUDASIM=1, in Numba's
simulator. Exit code 77: not here, and why.
"""

from __future__ import annotations

import sys
from itertools import cycle

import numpy as np
import pytest
from numba import cuda

from tinymed.kernels import numba_cuda_backend as backend
from tinymed.kernels import numba_cuda_conv, numba_cuda_device, numba_cuda_matmul, numpy_backend, reference
from tinymed.kernels.shapes import conv_shape, pool_shape

DTYPES = np.float32, np.float64
RNG = np.random.default_rng(0)


def draw(shape, dtype):
    return RNG.standard_normal(shape).astype(dtype)


def agree(what, got, want):
    """Values, shapes and dtypes; a None for a None."""
    several = got if isinstance(got, tuple) else (got,)
    for a, b in zip(several, want if isinstance(want, tuple) else (want,), strict=True):
        if b is None:
            assert a is None, what
            continue
        assert type(a) is np.ndarray, f"{what}: {type(a)} came back"
        assert (a.shape, a.dtype) == (b.shape, b.dtype), f"{what}: {a.shape} {a.dtype}, not {b.shape} {b.dtype}"
        tolerance = 1e-10 if b.dtype == np.float64 else 1e-4
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=what)
    print("right:", what)


# ---------------------------------------------------------------- the cases


def products():
    for dtype in DTYPES:
        for left, right in [((2, 3), (3, 4)), ((1, 1), (1, 1)), ((5, 2, 3), (3, 2)), ((2, 1, 2, 3), (4, 3, 2))]:
            a, b = draw(left, dtype), draw(right, dtype)
            agree(f"matmul {left} {right} {a.dtype}", backend.matmul(a, b), reference.matmul(a, b))
            agree(f"matmul_naive {left} {right} {a.dtype}", backend.matmul_naive(a, b), reference.matmul(a, b))
    size = 2 * numba_cuda_matmul.TILE
    a, b = draw((size + 1, size + 2), np.float32), draw((size + 2, size + 3), np.float32)  # several tiles
    agree("matmul of tiles", backend.matmul(a, b), reference.matmul(a, b))
    agree("matmul_naive of tiles", backend.matmul_naive(a, b), reference.matmul(a, b))
    agree("matmul of float32 and float64", backend.matmul(a, b.astype(float)), reference.matmul(a, b.astype(float)))
    agree("matmul of a turned array", backend.matmul(a.T, a), reference.matmul(a.T, a))
    agree("matmul of no terms", backend.matmul(a[:, :0], b[:0]), reference.matmul(a[:, :0], b[:0]))
    agree("matmul of no rows", backend.matmul(a[:0], b), reference.matmul(a[:0], b))
    half = a[:2, :3].astype(np.float16)
    assert backend.matmul(half, half.T).dtype == np.float16


CONVS = [  # x, w, stride, padding, dilation, groups
    ((2, 3, 5, 4), (4, 3, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 2, 6, 5), (2, 2, 2, 3), (2, 3), (1, 2), (1, 1), 1),
    ((1, 4, 5, 5), (6, 2, 3, 3), (2, 1), (1, 1), (2, 1), 2),
    ((2, 3, 4, 4), (3, 1, 2, 2), (3, 3), (0, 1), (1, 2), 3),
    ((2, 2, 4, 5), (3, 2, 2, 4), (1, 1), "same", (3, 1), 1),
    ((1, 1, 3, 4), (17, 1, 2, 2), (1, 1), "valid", (1, 1), 1),  # more filters than a tile has rows
]


def convolutions():
    for case, dtype in zip(CONVS, cycle(DTYPES)):
        s = conv_shape(*case)
        x, w, b, g = draw(s.x, dtype), draw(s.w, dtype), draw(s.O, dtype), draw(s.y, dtype)
        want = reference.conv2d(x, w, b, s)
        agree(f"conv2d_direct {s}", backend.conv2d_direct(x, w, b, s), want)
        agree(f"conv2d_tiled {s}", backend.conv2d_tiled(x, w, b, s), want)
        agree(f"conv2d_grad {s}", backend.conv2d_grad(g, x, w, s), reference.conv2d_grad(g, x, w, s))
    s = conv_shape(*CONVS[0])
    x, w, g = draw(s.x, np.float32)[..., ::-1], draw(s.w, np.float32), draw(s.y, np.float32)
    agree("conv2d without bias", backend.conv2d(x, w, None, s), reference.conv2d(x, w, None, s))
    agree("conv2d_grad without x", backend.conv2d_grad(g, None, w, s), reference.conv2d_grad(g, None, w, s))
    agree("conv2d_grad without w", backend.conv2d_grad(g, x, None, s), reference.conv2d_grad(g, x, None, s))
    half = x.astype(np.float16)
    assert backend.conv2d(half, w.astype(np.float16), None, s).dtype == np.float16


POOLS = [  # kernel, stride, padding, dilation, ceil_mode
    ((2, 2), (2, 2), (0, 0), (1, 1), False),
    ((3, 2), (1, 1), (1, 1), (1, 1), False),
    ((3, 2), (2, 3), (1, 0), (1, 1), True),
    ((2, 3), (1, 2), (1, 0), (2, 1), False),
    ((2, 2), (3, 3), (0, 0), (1, 1), False),
]
IMAGES = {
    "normal": draw((2, 2, 5, 6), np.float64),
    "ties": RNG.integers(0, 2, (2, 2, 5, 6)).astype(np.float32),
    "negative": -1 - RNG.random((2, 2, 5, 6)).astype(np.float32),
    "-inf": np.full((2, 2, 5, 6), -np.inf, np.float32),
    "nan": np.where(RNG.random((2, 2, 5, 6)) < 0.2, np.float32(np.nan), draw((2, 2, 5, 6), np.float32)),
}


def pooling():
    for case in POOLS:
        s = pool_shape("pool", (2, 2, 5, 6), *case)
        for image, x in IMAGES.items():
            got, (y, where) = backend.max_pool2d(x, s), reference.max_pool2d(x, s)
            agree(f"max_pool2d {image} {case}", got, (y, where))
        g = draw(s.y, x.dtype)
        agree(f"max_pool2d_grad {case}", backend.max_pool2d_grad(g, where, s), reference.max_pool2d_grad(g, where, s))
        for dtype in DTYPES:
            x, g = IMAGES["normal"].astype(dtype), draw(s.y, dtype)
            for count in (np.full((1, 1), 3, dtype), RNG.integers(1, 5, (s.OH, s.OW)).astype(dtype)):
                agree(f"avg_pool2d {case}", backend.avg_pool2d(x, count, s), reference.avg_pool2d(x, count, s))
                want = reference.avg_pool2d_grad(g, count, s)
                agree(f"avg_pool2d_grad {case}", backend.avg_pool2d_grad(g, count, s), want)
    whole = RNG.integers(0, 99, s.x)
    agree("max_pool2d of integers", backend.max_pool2d(whole, s), reference.max_pool2d(whole, s))


def fused():
    for dtype, case, high in zip(DTYPES, CONVS, (1.0, np.inf)):
        s, window = conv_shape(*case), (2, 1)
        x, w, b = draw(s.x, dtype), draw(s.w, dtype), draw(s.O, dtype)
        x[0], b[0] = 0, 0  # at the bound, which cuts off
        args = x, w, b, s, window, 0.0, high
        y, where = reference.conv2d_max_pool2d(*args)
        agree(f"conv2d_max_pool2d {s}", backend.conv2d_max_pool2d(*args), (y, where))
        args = draw(y.shape, dtype), where, x, w, s, window
        want = reference.conv2d_max_pool2d_grad(*args)
        agree(f"conv2d_max_pool2d_grad {s}", backend.conv2d_max_pool2d_grad(*args), want)


def losses():
    for dtype in DTYPES:
        for N, C, P in [(1, 2, 1), (5, 3, 1), (2, 4, 7)]:
            x = 30 * draw((N, C, P), dtype)  # so far apart that some p are 0
            t, w = RNG.integers(0, C, (N, P)), RNG.random((N, P)).astype(dtype)
            loss, p = reference.cross_entropy(x, t, w)
            agree(f"cross_entropy {x.shape} {x.dtype}", backend.cross_entropy(x, t, w), (loss, p))
            want = reference.cross_entropy_grad(w, p, t, w)
            agree(f"cross_entropy_grad {x.shape} {x.dtype}", backend.cross_entropy_grad(w, p, t, w), want)
            for log in (False, True):
                y, g = reference.softmax(x, log), draw(x.shape, dtype)
                agree(f"softmax {x.shape} {x.dtype} {log}", backend.softmax(x, log), y)
                want = reference.softmax_grad(g, y, log)
                agree(f"softmax_grad {x.shape} {x.dtype} {log}", backend.softmax_grad(g, y, log), want)


def recurrent():
    T, N, I, H = 2, 2, 3, 2
    for dtype in DTYPES:

        def a(*shape, dtype=dtype):
            return draw(shape, dtype)

        x, h0, c0, g, gc = a(T, N, I), a(N, H), a(N, H), a(T, N, H), a(T, N, H)
        for k, kind in [(1, "tanh"), (1, "relu"), (4, "lstm"), (3, "gru")]:
            w, biases = (a(k * H, I), a(k * H, H)), (a(k * H), a(k * H))
            if kind == "lstm":
                states = reference.lstm(x, h0, c0, *w, *biases)
                agree("lstm", backend.lstm(x, h0, c0, *w, *biases), states)
                for into_c in (gc, None):
                    args = g, into_c, x, h0, c0, *states, *w
                    agree("lstm_grad", backend.lstm_grad(*args), reference.lstm_grad(*args))
            elif kind == "gru":
                states = reference.gru(x, h0, *w, *biases)
                agree("gru", backend.gru(x, h0, *w, *biases), states)
                args = g, x, h0, *states, *w
                agree("gru_grad", backend.gru_grad(*args), reference.gru_grad(*args))
            else:
                hs = reference.rnn(x, h0, *w, *biases, kind)
                agree(f"rnn {kind}", backend.rnn(x, h0, *w, *biases, kind), hs)
                args = g, x, h0, hs, *w, kind
                agree(f"rnn_grad {kind}", backend.rnn_grad(*args), reference.rnn_grad(*args))


STEPS = [  # name, arrays besides p and g (0: None), what follows
    ("sgd_step", 0, (True, 0.1, 0.0, 0.0, 0.0, False)),
    ("sgd_step", 1, (True, 0.1, 0.9, 0.3, 0.01, False)),
    ("sgd_step", 1, (False, 0.1, 0.9, 0.0, 0.01, True)),
    ("adam_step", 2, (3, 0.1, 0.9, 0.999, 1e-8, 0.01, False)),
    ("adam_step", 2, (3, 0.1, 0.9, 0.999, 1e-8, 0.01, True)),
    ("rmsprop_step", 1, (0.1, 0.9, 1e-8, 0.01, 0.0)),
    ("rmsprop_step", 3, (0.1, 0.9, 1e-8, 0.01, 0.9)),
    ("adagrad_step", 1, (3, 0.1, 0.5, 1e-8, 0.01)),
]


def optimisers():
    for dtype in DTYPES:
        for name, states, rest in STEPS:
            ours = [draw((3, 4), dtype).T, draw((4, 3), dtype)]  # a parameter that does not lie in C order
            ours += [1 + RNG.random((4, 3)).astype(dtype) if k < states else None for k in range(max(states, 1))]
            if name == "rmsprop_step" and states == 1:
                ours += [None, None]
            if len(ours) == 5 and ours[3] is not None:
                ours[3] = ours[3] / 4  # the mean: its square is below the mean square
            theirs = [None if a is None else a.copy() for a in ours]
            for module, arrays in ((backend, ours), (reference, theirs)):
                getattr(module, name)(*(None if a is None else [a] for a in arrays), *rest)
            for a, b in zip(ours, theirs):
                agree(f"{name} {rest}", a, b)
    p, q, g = (np.array(v) for v in (2.0, 2.0, 3.0))  # a parameter that is one number
    backend.sgd_step([p], [g], None, [True], 0.1, 0.0, 0.0, 0.0, False)
    reference.sgd_step([q], [g], None, [True], 0.1, 0.0, 0.0, 0.0, False)
    agree("sgd_step of a number", p, q)


def arrays_on_the_device():
    a, b = draw((3, 4), np.float32), draw((4, 2), np.float32)
    y = backend.matmul(cuda.to_device(a), b)
    assert numba_cuda_device.on_device(y), f"{type(y)} came back"
    agree("matmul on the device", y.copy_to_host(), reference.matmul(a, b))
    z = cuda.to_device(np.zeros((3, 2), np.float32))
    backend.sgd_step([z], [y], None, [True], 1.0, 0.0, 0.0, 0.0, False)
    agree("sgd_step on the device", z.copy_to_host(), -reference.matmul(a, b))
    with pytest.raises(ValueError, match=r"array \(3, 2\) on the device is not contiguous"):
        backend.matmul(cuda.to_device(a)[:, ::2], b)


def larger():
    """Many blocks, against NumPy's backend: in the simulator, and by the loops, this takes minutes."""
    a, b = draw((300, 257), np.float32), draw((257, 130), np.float32)
    agree("matmul, larger", backend.matmul(a, b), a @ b)
    for case, dtype in zip([((4, 32, 28, 28), (40, 32, 3, 3)), ((2, 3, 64, 61), (16, 3, 5, 5))], DTYPES):
        s = conv_shape(*case, (1, 1), (1, 1), (1, 1), 1)
        x, w, b, g = (draw(shape, dtype) for shape in (s.x, s.w, (s.O,), s.y))
        w *= dtype(np.prod(s.w[1:]) ** -0.5)
        g *= dtype((s.N * s.OH * s.OW) ** -0.5)
        agree(f"conv2d, larger {s}", backend.conv2d(x, w, b, s), numpy_backend.conv2d(x, w, b, s))
        agree(f"conv2d_grad, larger {s}", backend.conv2d_grad(g, x, w, s), numpy_backend.conv2d_grad(g, x, w, s))
    s = pool_shape("pool", (8, 32, 57, 56), (3, 3), (2, 2), (1, 1))
    x = draw(s.x, np.float32)
    agree("max_pool2d, larger", backend.max_pool2d(x, s), numpy_backend.max_pool2d(x, s))
    T, N, I, H = 20, 32, 48, 100
    w = [draw(shape, np.float32) / np.float32(10) for shape in ((4 * H, I), (4 * H, H), (4 * H,), (4 * H,))]
    args = draw((T, N, I), np.float32), draw((N, H), np.float32), draw((N, H), np.float32), *w
    agree("lstm, larger", backend.lstm(*args), numpy_backend.lstm(*args))


FAMILIES = {f.__name__: f for f in (
    products, convolutions, pooling, fused, losses, recurrent, optimisers, arrays_on_the_device, larger,
)}  # fmt: skip


# ---------------------------------------------------------------- running, also in the simulator


def hasten_simulator():
    """It waits for its threads in a busy loop: where they take turns more often, all is done ten times faster.

    Two that ask for a shared array at once, the first to do so, would then often get one each. And blocks of fewer
    threads: little matrices still have several tiles.
    """
    from numba.cuda.simulator.kernelapi import FakeCUDAShared

    def array(self, shape, dtype):
        line = sys._getframe(1)
        return self._allocations.setdefault((line.f_code, line.f_lineno), np.full(shape, np.nan, dtype))

    FakeCUDAShared.array = array
    numba_cuda_matmul.TILE = numba_cuda_conv.TILE = 4
    numba_cuda_matmul.ROW = 5
    sys.setswitchinterval(1e-5)


def main(families):
    usable, reason = backend.available()
    if not usable:
        print(reason)
        sys.exit(77)
    if cuda.config.ENABLE_CUDASIM:
        hasten_simulator()
    for family in families:
        FAMILIES[family]()


if __name__ == "__main__":
    main(sys.argv[1:])
