"""The registry of kernels: arrays in, arrays out; no Tensor, no gradient tape.

`kernels.conv2d(...)` is the conv2d of the backend in force. A backend is a module of flat functions, with the
same names and arguments in each; what one lacks is taken from the next in BACKENDS, with one warning.
Choose with `use_backend("reference")`, for good or in a `with` block, or with TINYMED_BACKEND before the first op.

Derivatives are ops' business (`tinymed/ops`); a kernel called `..._grad` only adds up numbers.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from tinymed.kernels import memory, threads

BACKENDS = {  # in order of preference: the first that is available is the default
    "numba": "numba_backend",
    "numpy": "numpy_backend",
    "reference": "reference",
    "numba_cuda": "numba_cuda_backend",  # for reading: never the default
}
DEVICES = {"cupy": "cupy_backend"}  # these compute for arrays on their device, and are not chosen

NAMES = (
    "matmul",
    *(
        "conv2d",
        "conv2d_input_grad",
        "conv2d_weight_grad",
        "conv2d_grad",
        "conv2d_max_pool2d",
        "conv2d_max_pool2d_grad",
    ),
    *("max_pool2d", "max_pool2d_grad", "avg_pool2d", "avg_pool2d_grad"),
    *("softmax", "softmax_grad", "cross_entropy", "cross_entropy_grad"),
    *("rnn", "rnn_grad", "lstm", "lstm_grad", "gru", "gru_grad"),
    *("sgd_step", "adam_step", "rmsprop_step", "adagrad_step"),
)

_in_force = ""
_devices = False


def load(name: str) -> ModuleType:
    """The backend's module. Raises ValueError for a name that is none."""
    if name not in (files := BACKENDS | DEVICES):
        raise ValueError(f"no backend is called {name!r}; there are: {', '.join(BACKENDS)}")
    return importlib.import_module(f"tinymed.kernels.{files[name]}")


def available() -> dict[str, tuple[bool, str]]:
    """For each backend: whether it can be used here, and why (not)."""
    return {name: _state(name) for name in BACKENDS | DEVICES}


def _state(name: str) -> tuple[bool, str]:
    try:
        return load(name).available()
    except ImportError as error:  # its library is missing or broken
        return False, f"it cannot be imported: {error}"


def get_backend() -> str:
    """The name of the backend in force."""
    if not _in_force:
        _choose(os.environ.get("TINYMED_BACKEND") or _automatic())
    return _in_force


def _automatic() -> str:
    """The first that can be used here and means to be: a compiler that is switched off does not."""
    return next(n for n in BACKENDS if _state(n)[0] and getattr(load(n), "AUTOMATIC", True))


class use_backend:  # noqa: N801
    """Compute with this backend from now on; as a context manager, until the block ends. Process-wide."""

    def __init__(self, name: str) -> None:
        self.before = get_backend()
        _choose(name)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        _choose(self.before)


def _choose(name: str) -> None:
    """Make every kernel of NAMES an attribute of this module: a call costs no look-up."""
    if name in DEVICES:
        raise ValueError(f'{name!r} computes for tensors on a GPU, and need not be chosen: move them with x.to("cuda")')
    usable, reason = _state(name)
    if not usable:
        raise ValueError(f"the backend {name!r} cannot be used here: {reason}")
    module = load(name)
    lacking: dict[str, list[str]] = {}
    for kernel in NAMES:
        owner = next(n for n in (name, *BACKENDS) if _state(n)[0] and hasattr(load(n), kernel))
        cpu = getattr(load(owner), kernel)
        globals()[kernel] = _by_device(cpu, getattr(load("cupy"), kernel)) if _devices else cpu
        if owner != name:
            lacking.setdefault(owner, []).append(kernel)
    globals()["_in_force"] = name
    memory.keep_blocks()
    threads.give_to(getattr(module, "THREADS", "blas"))
    for owner, kernels in lacking.items():
        warnings.warn(f"the backend {name!r} lacks {', '.join(kernels)}; {owner!r} computes them", stacklevel=3)


def look_at_devices() -> None:
    """From now on let each kernel look at its first argument: an array on a GPU goes to the backend of GPUs.

    Called when the first array is moved to one; before that, a call costs no look.
    """
    if not _devices:
        globals()["_devices"] = True
        _choose(get_backend())


def _by_device(cpu: Callable, gpu: Callable) -> Callable:
    def run(first: Any, *rest: Any) -> Any:
        array = first[0] if isinstance(first, list) else first  # an optimiser's are lists
        return (cpu if isinstance(array, np.ndarray) else gpu)(first, *rest)

    return run


def __getattr__(name: str) -> Any:
    if name not in NAMES or _in_force:
        raise AttributeError(f"module 'tinymed.kernels' has no attribute {name!r}")
    get_backend()
    return globals()[name]
