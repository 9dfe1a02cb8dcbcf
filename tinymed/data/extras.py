"""Libraries that only some parts need: each comes with an extra of tinymed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any


def needed(module: str, extra: str, what: str = "this") -> Any:
    """Import a module that an extra brings, for `what`. Raises ImportError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(
            f"{what} needs {module.partition('.')[0]}, which is not installed: {install(extra)}"
        ) from None


def install(extra: str) -> str:
    """The command that brings an extra: of a clone from the clone, for which no index is asked."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").exists():
        return f'pip install "tinymed[{extra}]"'
    here = "." if root == Path.cwd() else root
    return f'python -m pip install -e "{here}[{extra}]"'
