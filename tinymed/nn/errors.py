"""What an error says beyond its cause: in which layer it rose, and which name was probably meant."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinymed import kernels


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of a sentence, (did you mean 'conv1'?), or nothing where no name is close."""
    import difflib

    close = difflib.get_close_matches(name, names, 1, cutoff=0.7)
    return f" (did you mean {close[0]!r}?)" if close else ""


def locate(error: Exception, module: Any) -> None:
    """Put the failing layer's path and repr before the error's message; each outer module lengthens the path.

    The innermost module and the message it met are kept on the error, so that nothing is said twice.
    """
    if os.environ.get("TINYMED_BACKEND", "") not in ("", *kernels.BACKENDS):
        return  # it is refused at the first kernel, and no layer's fault
    failing, message = error.__dict__.setdefault("_failed_in", (module, str(error)))
    path = next((path for path, inner in module.named_modules() if inner is failing), None)
    if path is None:  # it was called without being an attribute: its name is not to be known
        return
    layer = f"{type(failing).__name__}({failing.extra_repr()})"
    where = f"in {path} ({layer})" if path else f"in {layer}"
    if len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (f"{where}: {message}",)
    else:  # an error that words its message itself
        error.__notes__ = [where]


def refuse_foreign(error: AttributeError, module: Any, given: tuple) -> None:
    """Raise TypeError, with the layer's name, where an attribute was missed on a list or array given as a Tensor."""
    if isinstance(error.obj, list | tuple | int | float | np.ndarray) and any(error.obj is x for x in given):
        kind = type(error.obj).__name__
        refusal = TypeError(f"a layer takes Tensors, got a {kind}; make one with tinymed.tensor(x)")
        locate(refusal, module)
        raise refusal from error
