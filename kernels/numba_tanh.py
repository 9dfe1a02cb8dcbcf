"""tanh, σ and exp for the inside of loops: polynomials for float32, which fill vectors, libm for float64."""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic, overload

from tinymed.kernels.numba_jit import HOW

# x · P(x²) / Q(x²) on [−7.9, 7.9], beyond which float32's tanh is ±1; at most 2.4e-7 off (Eigen's ptanh)
_BOUND = np.float32(7.90531110763549805)
_P = tuple(
    np.float32(c)
    for c in (
        4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08,
        -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16,
    )
)  # fmt: skip
_Q = tuple(
    np.float32(c) for c in (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
)
_P0, _P1, _P2, _P3, _P4, _P5, _P6 = _P
_Q0, _Q1, _Q2, _Q3 = _Q
_HALF = np.float32(0.5)


def _tanh32(x):
    x = -_BOUND if x < -_BOUND else x  # NaN passes
    x = _BOUND if x > _BOUND else x
    s = x * x
    p = _P0 + s * (_P1 + s * (_P2 + s * (_P3 + s * (_P4 + s * (_P5 + s * _P6)))))
    return x * p / (_Q0 + s * (_Q1 + s * (_Q2 + s * _Q3)))


# exp(x) = 2ⁿ·exp(r) with x = n·ln 2 + r, |r| ≤ ½ ln 2; ln 2 in two parts, for n·ln 2 has more digits than a float32
_LOW, _LOG2E = np.float32(-87.0), np.float32(1.44269504)
_LN2, _LN2_REST = np.float32(0.693359375), np.float32(-2.12194440e-4)
_E2, _E3, _E4, _E5, _E6 = (np.float32(1 / math.factorial(k)) for k in range(2, 7))
_ONE = np.float32(1)


@intrinsic
def _power_of_two(typing_context, n):
    """2ⁿ as a float32: n is its exponent."""

    def generate(context, builder, signature, values):
        bits = builder.shl(builder.add(values[0], ir.Constant(ir.IntType(32), 127)), ir.Constant(ir.IntType(32), 23))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.int32), generate


def _exp32(x):
    n = np.floor(x * _LOG2E + _HALF)
    r = (x - n * _LN2) - n * _LN2_REST
    e = _ONE + r * (_ONE + r * (_E2 + r * (_E3 + r * (_E4 + r * (_E5 + r * _E6)))))
    scaled = e * _power_of_two(np.int32(max(n, np.float32(-126))))
    return np.float32(0) if x < _LOW else scaled


def exp(x):
    """eˣ for x ≤ 0"""
    return np.exp(x)


def tanh(x):
    return np.tanh(x)


def sigmoid(x):
    """σ(x) = ½ + ½·tanh(x/2), which cannot overflow"""
    half = x.dtype.type(0.5)
    return half + half * np.tanh(half * x)


if not config.DISABLE_JIT:

    @overload(tanh, jit_options=HOW)
    def _tanh(x):
        if x == types.float32:
            return _tanh32
        return lambda x: math.tanh(x)

    @overload(exp, jit_options={"error_model": "numpy", "fastmath": {"contract"}})  # the order of _exp32 matters
    def _exp(x):
        if x == types.float32:
            return _exp32
        return lambda x: math.exp(x)

    @overload(sigmoid, jit_options=HOW)
    def _sigmoid(x):
        if x == types.float32:
            return lambda x: _HALF + _HALF * tanh(_HALF * x)
        return lambda x: 0.5 + 0.5 * tanh(0.5 * x)
