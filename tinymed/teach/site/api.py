"""Pages of the API, one a module: its public names, for Sphinx's autodoc."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

MODULES = {
    "tinymed": "tensors and what is done with them",
    "tinymed.nn": "layers and losses",
    "tinymed.nn.functional": "the same, as functions",
    "tinymed.nn.init": "how weights begin",
    "tinymed.nn.utils": "gradients clipped, parameters as one vector",
    "tinymed.optim": "optimisers",
    "tinymed.optim.lr_scheduler": "learning rates that change",
    "tinymed.data": "data sets and loaders",
    "tinymed.training": "fit, evaluate, predict",
    "tinymed.training.metrics": "what a prediction is worth",
    "tinymed.keras": "the article's dialect",
    "tinymed.teach": "findings, checks, races",
    "tinymed.teach.trace": "formulas, step by step",
    "tinymed.autograd": "Function and the backward sweep",
    "tinymed.kernels": "the registry of backends",
    "tinymed.kernels.reference": "the article's sums as plain loops",
    "tinymed.kernels.reference_activation": "activations and softmax as plain loops",
    "tinymed.kernels.reference_recurrent": "RNN, LSTM and GRU as plain loops",
    "tinymed.kernels.reference_optim": "optimisers as plain loops",
    "tinymed.kernels.numpy_backend": "the same, readable and in NumPy",
    "tinymed.kernels.shapes": "sizes, worked out once",
    "tinymed.cuda": "GPUs",
}


def write_api(to: Path) -> set[str]:
    """Write a page for each module, and their index; return the modules in which what they show is written."""
    to.mkdir()
    sources: set[str] = set()
    told: set[Any] = set()  # each thing is told once, where it is first met
    for name in sorted(MODULES, key=lambda name: not name.startswith("tinymed.kernels.reference_")):
        module = importlib.import_module(name)
        found = {n: thing for n, thing in public(module).items() if _key(name, thing) not in told}
        told |= {_key(name, thing) for thing in found.values()}
        sources |= {name, *(thing.__module__ for thing in found.values())}
        (to / f"{name}.rst").write_text(page(module, found), encoding="utf-8")
    entries = "".join(f"   {name}\n" for name in MODULES)
    rows = "".join(f"   * - :doc:`{name}`\n     - {about}\n" for name, about in MODULES.items())
    (to / "index.rst").write_text(
        "API\n===\n\nNames, arguments and defaults are PyTorch's. Docstrings stand as they are in the source.\n\n"
        f".. list-table::\n   :widths: auto\n\n{rows}\n.. toctree::\n   :hidden:\n\n{entries}",
        encoding="utf-8",
    )
    return sources


def public(module: ModuleType) -> dict[str, Any]:
    """The functions and classes of tinymed that a module offers, in the order in which it names them."""
    names = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    things = {n: getattr(module, n) for n in names}
    return {
        n: thing
        for n, thing in things.items()
        if (inspect.isclass(thing) or inspect.isroutine(thing))
        and (thing.__module__ or "").split(".")[0] == "tinymed"
        and (hasattr(module, "__all__") or _offers(module, thing))
    }


def _offers(module: ModuleType, thing: Any) -> bool:
    """Of a module that lists nothing: what it wrote, or, of a package, what its own files wrote."""
    if thing.__module__ == module.__name__:
        return True
    gathers = hasattr(module, "__path__") and module.__name__ != "tinymed.kernels"  # its are the backend's in force
    return gathers and thing.__module__.startswith(module.__name__ + ".")


def _key(module: str, thing: Any) -> Any:
    """What it means to be told twice: a class, or a plain loop; a function may be offered by two modules."""
    return thing if inspect.isclass(thing) or "kernels" in module else (module, thing.__qualname__)


def page(module: ModuleType, found: dict[str, Any]) -> str:
    """A module's page in reST."""
    name = module.__name__
    parts = [f"{name}\n{'=' * len(name)}\n", f".. automodule:: {name}\n   :no-members:\n"]
    for n, thing in found.items():
        kind = "autoclass" if inspect.isclass(thing) else "autofunction"
        members = "   :members:\n" if kind == "autoclass" else ""
        parts.append(f".. {kind}:: {name}.{n}\n{members}")
    return "\n".join(parts)
