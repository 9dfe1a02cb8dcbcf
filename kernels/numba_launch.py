"""One parallel loop for all kernels: task(0) … task(n−1), shared out among the threads.

Numba compiles the body of a parallel loop into its loop, several times over; for a convolution that takes seconds.
Here the loop calls a task by its address: it is compiled once, and a task once for each type of its arguments. A
task is written as

    @jit
    def task(t, me, args):
        x, y = fetch(args)

and run by launch(task, n, x, y); `me` is the number of the thread. Arguments are arrays in C order, numbers and
NamedTuples of numbers.
"""

from __future__ import annotations

import logging
from operator import attrgetter
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinymed.kernels.numba_jit import CACHE, jit

log = logging.getLogger("tinymed.kernels")


@intrinsic
def fetch(typing_context, args):
    """The tuple of arguments behind the pointer that a task is given.

    Its arrays are not counted as references, for the threads would fight over the counts at every slice; `launch`
    holds the arrays until all tasks are done.
    """

    def generate(context, builder, signature, values):
        pointer = builder.bitcast(values[0], context.get_value_type(args.dtype).as_pointer())
        found = []
        for kind, value in zip(args.dtype, cgutils.unpack_tuple(builder, builder.load(pointer), len(args.dtype))):
            if isinstance(kind, types.Array):
                array = context.make_array(kind)(context, builder, value)
                array.meminfo = cgutils.get_null_value(array.meminfo.type)
                array.parent = cgutils.get_null_value(array.parent.type)
                value = array._getvalue()
            found.append(value)
        return context.make_tuple(builder, args.dtype, found)

    return args.dtype(args), generate


@intrinsic
def _spill(typing_context, args):
    """The address of a copy of the arguments in this function's frame."""

    def generate(context, builder, signature, values):
        return builder.ptrtoint(cgutils.alloca_once_value(builder, values[0]), context.get_value_type(types.intp))

    return types.intp(args), generate


@intrinsic
def _call(typing_context, address, t, me, args):
    """task(t, me, args), both by their addresses."""
    takes = types.intp, types.intp, types.voidptr

    def generate(context, builder, signature, values):
        kind = context.call_conv.get_function_type(types.none, takes)
        pointer = builder.inttoptr(values[3], context.get_value_type(types.voidptr))
        task = builder.inttoptr(values[0], kind.as_pointer())
        context.call_conv.call_function(builder, task, types.none, takes, [values[1], values[2], pointer])
        return context.get_dummy_value()

    return types.void(address, t, me, args), generate


@jit(parallel=True)
def _loop(n, address, args):
    for t in numba.prange(n):
        _call(address, t, numba.get_thread_id(), args)


@jit
def _launch(n, address, args):
    if n == 0:
        return
    if n > 1:
        _loop(n, address, _spill(args))
    else:  # one task: the threads may sleep on
        _call(address, 0, 0, _spill(args))


_addresses: dict[tuple, int] = {}


def launch(task: Any, n: int, *args: Any) -> None:
    """Run task(t, me, args) for every t below n, on all threads."""
    key = (task, *[(a.dtype.char, a.ndim, a.flags.num) if type(a) is np.ndarray else type(a) for a in args])
    if key not in _addresses:
        if not _addresses and not any(CACHE.rglob("*.nbc")):
            log.info("compiling kernels, once for this machine: some seconds (tinymed warmup does it beforehand)")
        takes = types.intp, types.intp, types.CPointer(numba.typeof(args))
        task.compile(takes)
        code, description = attrgetter("library", "fndesc")(task.overloads[takes])
        _addresses[key] = code.get_pointer_to_function(description.llvm_func_name)
    _launch(n, _addresses[key], args)


if numba.config.DISABLE_JIT:

    def fetch(args):
        return args

    def launch(task: Any, n: int, *args: Any) -> None:
        for t in range(n):
            task(t, 0, args)
