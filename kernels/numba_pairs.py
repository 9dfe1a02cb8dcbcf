"""Windows of 2x2 side by side, a row at a time, in vectors with the end of the row under a mask.

The rows of a small picture are all end: of the 13 windows in a row after the article's first convolution none would
fill a vector of 16, and a compiler's loop would take them one by one.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from tinymed.kernels.numba_emit import Emit, indices, int_
from tinymed.kernels.shapes import DEAD


def _halves(e, left):
    """The masks of the two vectors that twice as many numbers as are left fill."""
    if left is None:
        return None, None
    twice = e.b.mul(left, int_(2))
    return e.mask(twice), e.mask(e.b.sub(twice, int_(e.lanes)))


def _doubled(e, pointer, start):
    """Where the two vectors under windows `start` and following begin."""
    first = e.at(pointer, e.b.mul(start, int_(2)))
    return first, e.at(first, int_(e.lanes))


def _pairs(e, pointer, start, left):
    """The left and the right numbers of windows `start` and following."""
    first, second = (e.load(*place) for place in zip(_doubled(e, pointer, start), _halves(e, left)))
    return [e.b.shuffle_vector(first, second, indices(range(k, 2 * e.lanes, 2))) for k in range(2)]


def _larger(e, a, b, place_a, place_b):
    """The larger, and its place; NaN is larger than all, and the first of two equals wins."""
    wins = e.b.or_(e.b.fcmp_ordered(">", b, a), e.b.fcmp_unordered("uno", b, b))
    return e.b.select(wins, b, a), e.b.select(wins, place_b, place_a)


def _largest(e, upper, lower, start, left):
    """The largest of each window, and its tap."""
    taps = [e.splat(ir.Constant(ir.IntType(8), k), e.bytes) for k in range(4)]
    top = _larger(e, *_pairs(e, upper, start, left), *taps[:2])
    bottom = _larger(e, *_pairs(e, lower, start, left), *taps[2:])
    return _larger(e, top[0], bottom[0], top[1], bottom[1])


@intrinsic
def _larger_of_four(typing_context, upper, lower, y, where):
    def generate(context, builder, signature, values):
        e = Emit(context, builder, y.dtype)
        U, L, Y, W = map(e.data, signature.args, values)

        def body(start, left):
            mask = None if left is None else e.mask(left)
            largest, tap = _largest(e, U, L, start, left)
            e.store(largest, e.at(Y, start), mask)
            e.store(tap, e.at(W, start), mask)

        e.along(context.make_array(y)(context, builder, values[2]).nitems, body)
        return context.get_dummy_value()

    return types.void(upper, lower, y, where), generate


@intrinsic
def _bounded_of_four(typing_context, upper, lower, bias, low, high, y, where):
    def generate(context, builder, signature, values):
        e = Emit(context, builder, y.dtype)
        U, L, Y, W = (e.data(signature.args[k], values[k]) for k in (0, 1, 5, 6))
        bias, low, high = map(e.splat, values[2:5])
        dead = e.splat(ir.Constant(ir.IntType(8), DEAD), e.bytes)

        def body(start, left):
            mask = None if left is None else e.mask(left)
            largest, tap = _largest(e, U, L, start, left)
            v = builder.fadd(largest, bias)
            cut = builder.or_(builder.fcmp_ordered("<=", v, low), builder.fcmp_ordered(">=", v, high))
            v = builder.select(builder.fcmp_ordered("<", v, low), low, v)
            e.store(builder.select(builder.fcmp_ordered(">", v, high), high, v), e.at(Y, start), mask)
            e.store(builder.select(cut, dead, tap), e.at(W, start), mask)

        e.along(context.make_array(y)(context, builder, values[5]).nitems, body)
        return context.get_dummy_value()

    return types.void(upper, lower, y.dtype, y.dtype, y.dtype, y, where), generate


@intrinsic
def _spread_pair(typing_context, g, where, tap, row):
    def generate(context, builder, signature, values):
        e = Emit(context, builder, g.dtype)
        G, W, R = (e.data(signature.args[k], values[k]) for k in (0, 1, 3))
        taps = [e.splat(builder.add(values[2], ir.Constant(ir.IntType(8), k)), e.bytes) for k in range(2)]

        def body(start, left):
            mask = None if left is None else e.mask(left)
            numbers, places = e.load(e.at(G, start), mask), e.load(e.at(W, start), mask, e.bytes)
            here = [builder.select(builder.icmp_unsigned("==", places, tap), numbers, e.zero) for tap in taps]
            for k, (place, half) in enumerate(zip(_doubled(e, R, start), _halves(e, left))):
                lanes = [i // 2 + i % 2 * e.lanes for i in range(k * e.lanes, (k + 1) * e.lanes)]
                e.store(builder.shuffle_vector(*here, indices(lanes)), place, half)

        e.along(context.make_array(g)(context, builder, values[0]).nitems, body)
        return context.get_dummy_value()

    return types.void(g, where, types.uint8, row), generate


def _plain_larger_of_four(upper, lower, y, where):
    """y[j] = the largest of a 2x2 window, and its tap; NaN is larger than all."""
    for j in range(y.size):
        y[j], where[j] = upper[2 * j], 0
        for tap, x in ((1, upper[2 * j + 1]), (2, lower[2 * j]), (3, lower[2 * j + 1])):
            if x > y[j] or x != x:
                y[j], where[j] = x, tap


def _plain_bounded_of_four(upper, lower, bias, low, high, y, where):
    """The largest + bias, held between low and high; its tap, or DEAD where a bound cut it off. A bound may be NaN."""
    _plain_larger_of_four(upper, lower, y, where)
    y += bias
    where[(y <= low) | (y >= high)] = DEAD
    y[y < low], y[y > high] = low, high


def _plain_spread_pair(g, where, tap, row):
    """A row of the image under 2x2 windows: g where the window's tap or the next won, else 0."""
    for k in range(2):
        row[k : 2 * g.size : 2] = np.where(where == tap + k, g, 0)


if config.DISABLE_JIT:
    larger_of_four, bounded_of_four, spread_pair = _plain_larger_of_four, _plain_bounded_of_four, _plain_spread_pair
else:
    larger_of_four, bounded_of_four, spread_pair = _larger_of_four, _bounded_of_four, _spread_pair
