"""One parallel loop for all kernels: task(0) … task(n−1), shared out among the threads (numba_threads.py).

Numba compiles the body of its own parallel loop, prange, into the loop, several times over; for a convolution that
takes seconds. Here the loop calls a task by its address, and a task is compiled once for each type of its arguments.
It is written as

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

from tinymed.kernels.numba_jit import CACHE, alone, jit
from tinymed.kernels.numba_threads import pool, share

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


@jit(nogil=True)
def _launch(words, threads, n, address, args):
    share(words, threads, n, address, _spill(args))


_addresses: dict[tuple, int] = {}


def _compile(task: Any, args: tuple) -> int:
    """The address of the task for arguments of these types."""
    if not _addresses and not (CACHE and any(CACHE.rglob("*.nbc"))):
        often = "once for this machine" if CACHE else "as in every run, for there is no folder to keep them in"
        log.warning(f"compiling kernels, {often}: some seconds (tinymed warmup does it beforehand)")
    kinds = numba.typeof(args)
    takes = types.intp, types.intp, types.CPointer(kinds)
    with alone():
        task.compile(takes)
        _launch.compile((types.int64, types.int64, types.int64, types.int64, kinds))
    code, description = attrgetter("library", "fndesc")(task.overloads[takes])
    return code.get_pointer_to_function(description.llvm_func_name)


def launch(task: Any, n: int, *args: Any) -> None:
    """Run task(t, me, args) for every t below n, on all threads."""
    key = (task, *[(a.dtype.char, a.ndim, a.flags.num) if type(a) is np.ndarray else type(a) for a in args])
    address = _addresses.get(key)
    if address is None:
        address = _addresses[key] = _compile(task, args)
    words, threads = pool() if n > 1 else (0, 1)
    _launch(words, threads, n, address, args)


if numba.config.DISABLE_JIT:

    def fetch(args):
        return args

    def launch(task: Any, n: int, *args: Any) -> None:
        for t in range(n):
            task(t, 0, args)
