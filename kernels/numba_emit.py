"""LLVM code for vectors, written from Python: what numba_tile.py and numba_pairs.py are built of.

A compiler makes vectors of a loop where it can prove that it may, and steps singly through what is left over. Where
that is too slow, these say which instruction is meant. How wide a register is, and how many there are, is asked of
the CPU.
"""

from __future__ import annotations

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils

_features = llvmlite.binding.get_host_cpu_features()
BYTES = 64 if _features.get("avx512f") else 32 if _features.get("avx2") else 16
MANY = BYTES == 64 or not _features.get("sse2", False)  # 32 registers: AVX-512 and ARM; else 16

INT, INDEX = ir.IntType(64), ir.IntType(32)
NAMES = {"float": "f32", "double": "f64", "i8": "i8"}


def int_(value: int) -> ir.Constant:
    return ir.Constant(INT, value)


def indices(values) -> ir.Constant:
    """A choice of lanes, for shuffles."""
    values = list(values)
    return ir.Constant(ir.VectorType(INDEX, len(values)), values)


class Emit:
    """Instructions for vectors that fill a register with numbers of one type."""

    def __init__(self, context, builder, dtype: types.Float) -> None:
        self.context, self.b = context, builder
        self.scalar = context.get_value_type(dtype)
        self.lanes = BYTES * 8 // dtype.bitwidth
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.bytes = ir.VectorType(ir.IntType(8), self.lanes)  # a small integer to each number
        self.zero = ir.Constant(self.vector, None)

    def data(self, array_type, array):
        return self.context.make_array(array_type)(self.context, self.b, array).data

    def at(self, pointer, index):
        return self.b.gep(pointer, [index])

    def _called(self, name, returns, takes, values):
        function = cgutils.get_or_insert_function(self.b.module, ir.FunctionType(returns, takes), name)
        return self.b.call(function, values)

    def fma(self, x, y, z):
        """x·y + z, rounded once"""
        return self._called(f"llvm.fma.{_name(self.vector)}", self.vector, [self.vector] * 3, [x, y, z])

    def load(self, pointer, mask=None, kind=None):
        """A vector from any address of a number. Lanes outside the mask are 0, and not read."""
        kind = kind or self.vector
        pointer, size = self.b.bitcast(pointer, kind.as_pointer()), _size(kind)
        if mask is None:
            vector = self.b.load(pointer)
            vector.align = size
            return vector
        takes = [pointer.type, INDEX, mask.type, kind]
        values = [pointer, ir.Constant(INDEX, size), mask, ir.Constant(kind, None)]
        return self._called(f"llvm.masked.load.{_name(kind)}.p0", kind, takes, values)

    def store(self, vector, pointer, mask=None):
        """The vector, or its lanes under the mask."""
        pointer, size = self.b.bitcast(pointer, vector.type.as_pointer()), _size(vector.type)
        if mask is None:
            self.b.store(vector, pointer, align=size)
            return
        takes = [vector.type, pointer.type, INDEX, mask.type]
        values = [vector, pointer, ir.Constant(INDEX, size), mask]
        self._called(f"llvm.masked.store.{_name(vector.type)}.p0", ir.VoidType(), takes, values)

    def mask(self, n):
        """True in the first n lanes."""
        wide = ir.VectorType(INT, self.lanes)
        return self.b.icmp_signed("<", ir.Constant(wide, list(range(self.lanes))), self.splat(n, wide))

    def splat(self, number, kind=None):
        """One number in every lane."""
        kind = kind or self.vector
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(INDEX, 0))
        return self.b.shuffle_vector(one, one, indices([0] * self.lanes))

    def total(self, vector):
        """The sum of all lanes, halves upon halves."""
        n = self.lanes
        while n > 1:
            n //= 2
            low, high = (self.b.shuffle_vector(vector, vector, indices(range(k, k + n))) for k in (0, n))
            vector = self.b.fadd(low, high)
        return self.b.extract_element(vector, ir.Constant(INDEX, 0))

    def loop(self, n, carried, body):
        """for i in range(n): carried = body(i, carried); n may be 0."""
        before = self.b.block
        head, inside, after = (self.b.append_basic_block(name) for name in ("head", "inside", "after"))
        self.b.branch(head)
        self.b.position_at_end(head)
        i = self.b.phi(INT)
        i.add_incoming(int_(0), before)
        values = []
        for value in carried:
            values.append(self.b.phi(value.type))
            values[-1].add_incoming(value, before)
        self.b.cbranch(self.b.icmp_signed("<", i, n), inside, after)
        self.b.position_at_end(inside)
        new = body(i, values)
        i.add_incoming(self.b.add(i, int_(1)), self.b.block)
        for phi, value in zip(values, new):
            phi.add_incoming(value, self.b.block)
        self.b.branch(head)
        self.b.position_at_end(after)
        return values

    def along(self, n, body):
        """body(start, left) for each vector of n numbers: left is None where it is full, else how many it has."""
        whole = self.b.sdiv(n, int_(self.lanes))

        def full(k, _):
            body(self.b.mul(k, int_(self.lanes)), None)
            return []

        self.loop(whole, [], full)
        start = self.b.mul(whole, int_(self.lanes))
        left = self.b.sub(n, start)
        with self.b.if_then(self.b.icmp_signed(">", left, int_(0))):
            body(start, left)


def _name(kind: ir.VectorType) -> str:
    """As LLVM's functions are called: v16f32."""
    return f"v{kind.count}{NAMES[str(kind.element)]}"


def _size(kind: ir.VectorType) -> int:
    """Bytes of one number."""
    return {"f32": 4, "f64": 8, "i8": 1}[NAMES[str(kind.element)]]
