"""The threads that kernels compute with: the caller, and helpers that take tasks beside it.

Tasks 0 … n−1 are a round. Each thread has a share of them, the same one whenever n is, so that it finds in its caches
what it worked on before; who is through with his own takes what is left of the others'. So a helper that comes late,
because another program has its core, finds nothing left; only who loses it in the middle of a task is waited for.
After a round a helper looks out for the next one for a while, as long as Python takes from one kernel to the next, and
then sleeps.

All that the threads share are words of 64 bits, each read and written in one piece:

    ADDRESS, ARGS, TASKS, THREADS    the round; written while nobody has a task left
    DONE    how many of its tasks are finished
    of each thread: TICKET, the round's number and, in the lower half, how many tasks of its share are left;
    ASLEEP, whether it sleeps, and LOCK, what it sleeps on
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinymed.kernels import threads
from tinymed.kernels.numba_jit import alone, jit

LINE = 64  # bytes of a cache line: what different threads write stays apart
DONE, BUSY, ADDRESS, FIRST = (k * LINE for k in range(4))
ARGS, TASKS, THREADS, STOP = (ADDRESS + 8 * k for k in range(1, 5))
TICKET, ASLEEP, LOCK = (FIRST + 8 * k for k in range(3))  # the caller's; every helper's are a LINE further on
LOW = (1 << 32) - 1
PATIENCE = 10_000  # looks at the ticket before a helper sleeps: on x86, with its pause, a quarter of a millisecond

_WORD = ir.IntType(64)
_at = lambda builder, address: builder.inttoptr(address, _WORD.as_pointer())  # noqa: E731


@intrinsic
def _read(typing_context, address):
    def generate(context, builder, signature, values):
        return builder.load_atomic(_at(builder, values[0]), "seq_cst", 8)

    return types.int64(types.int64), generate


@intrinsic
def _write(typing_context, address, value):
    def generate(context, builder, signature, values):
        builder.store_atomic(values[1], _at(builder, values[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def _add(typing_context, address, value):
    def generate(context, builder, signature, values):
        return builder.atomic_rmw("add", _at(builder, values[0]), values[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _swap(typing_context, address, old, new):
    """Write `new` if `old` is there; whether it was."""

    def generate(context, builder, signature, values):
        found = builder.cmpxchg(_at(builder, values[0]), values[1], values[2], "seq_cst", "seq_cst")
        return builder.extract_value(found, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


@intrinsic
def _pause(typing_context):
    """A moment in which the core's other thread may run."""

    def generate(context, builder, signature, values):
        if llvmlite.binding.get_default_triple().startswith("x86_64"):
            pause = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, pause, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


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


# Python's own locks: every system has them, and they may be used without the GIL.
_python = ctypes.pythonapi
_new_lock = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThread_allocate_lock", _python))
for _name in ("PyThread_acquire_lock", "PyThread_release_lock"):
    llvmlite.binding.add_symbol(_name, ctypes.cast(getattr(_python, _name), ctypes.c_void_p).value)
_acquire = types.ExternalFunction("PyThread_acquire_lock", types.int32(types.int64, types.int32))
_release = types.ExternalFunction("PyThread_release_lock", types.void(types.int64))


# -------------------------------------------------------------------- a round


@jit
def _take_part(words, number, me):
    """Do the tasks of this round that are left, one's own share first."""
    done, whose = 0, me
    while True:
        ticket = _read(words + whose * LINE + TICKET)
        n, threads = _read(words + TASKS), _read(words + THREADS)
        address, args = _read(words + ADDRESS), _read(words + ARGS)
        left = ticket & LOW
        if ticket >> 32 != number or left == 0:
            whose = (whose + 1) % threads
            if whose == me or me >= threads:
                break
        elif _swap(words + whose * LINE + TICKET, ticket, ticket - 1):  # as it was: what was read is of this round
            _call(address, (whose + 1) * n // threads - left, me, args)
            done += 1
    if done:
        _add(words + DONE, done)


@jit
def share(words, threads, n, address, args):
    """Run the task at an address for every t below n; one alone, or while a round is on, on this thread."""
    threads = min(threads, n)
    if threads < 2 or not _swap(words + BUSY, 0, 1):
        for t in range(n):
            _call(address, t, 0, args)
        return
    _write(words + TASKS, n)
    _write(words + THREADS, threads)
    _write(words + ADDRESS, address)
    _write(words + ARGS, args)
    _write(words + DONE, 0)
    number = (_read(words + TICKET) >> 32) + 1
    for k in range(threads):
        _write(words + k * LINE + TICKET, number << 32 | (k + 1) * n // threads - k * n // threads)
    for k in range(1, threads):
        _wake(words + k * LINE)
    _take_part(words, number, 0)
    while _read(words + DONE) < n:
        _pause()
    _write(words + BUSY, 0)


@jit
def _wake(own):
    if _read(own + ASLEEP) and _swap(own + ASLEEP, 1, 0):
        _release(_read(own + LOCK))


@jit(nogil=True)
def _serve(words, me, lock):
    """A helper's life: look out for rounds, take part, sleep."""
    own = words + me * LINE
    _write(own + LOCK, lock)
    _acquire(lock, 1)
    number, looks = 0, 0
    while not _read(words + STOP):
        ticket = _read(own + TICKET)
        if ticket >> 32 != number:
            number, looks = ticket >> 32, 0
            _take_part(words, number, me)
        elif looks < PATIENCE:
            looks += 1
            _pause()
        else:
            _write(own + ASLEEP, 1)
            # What came just now may have looked for sleepers before.
            if (_read(own + TICKET) == ticket and not _read(words + STOP)) or not _swap(own + ASLEEP, 1, 0):
                _acquire(lock, 1)
            looks = 0


# -------------------------------------------------------------------- the helpers come and go


class _Pool:
    """The words, and the helpers that look at them."""

    def __init__(self) -> None:
        self.memory = np.zeros(FIRST + (threads.processors() + 1) * LINE, np.uint8)
        self.words = -(-self.memory.ctypes.data // LINE) * LINE
        self.helpers: list[threading.Thread] = []
        self.starting = threading.Lock()

    def start(self, n: int) -> None:
        """Have n helpers."""
        with self.starting, alone():
            _serve.compile((types.int64, types.int64, types.int64))
            _stop.compile((types.int64, types.int64))
            while len(self.helpers) < n:
                helper = threading.Thread(target=self._help, args=(len(self.helpers) + 1,), daemon=True)
                helper.start()
                self.helpers.append(helper)

    def _help(self, me: int) -> None:
        lock = _new_lock()
        _serve(self.words, me, lock)

    def stop(self) -> None:
        """Send them home: before Python takes their code away, and before a fork, which would take none along."""
        with self.starting:
            _stop(self.words, len(self.helpers))
            for helper in self.helpers:
                helper.join()
            self.helpers = []
            self.memory[self.words - self.memory.ctypes.data + STOP :][:8] = 0  # the next may stay


@jit
def _stop(words, helpers):
    _write(words + STOP, 1)
    for k in range(helpers):
        _wake(words + (k + 1) * LINE)


_pool = _Pool()


def _go_home() -> None:
    if _pool.helpers:
        _pool.stop()


atexit.register(_go_home)


def pool() -> tuple[int, int]:
    """The words, and how many threads look at them, the caller's among them."""
    n = threads.get_num_threads()
    if n > len(_pool.helpers) + 1:
        _pool.start(n - 1)
    return _pool.words, n


def _forget() -> None:
    """In a child process there is only the thread that forked."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_go_home, after_in_child=_forget)
