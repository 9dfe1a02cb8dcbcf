"""Libraries that only some data need: each comes with an extra of tinymed."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, extra: str, what: str) -> Any:
    """Import a module that an extra brings, for `what`. Raises ImportError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(
            f'{what} needs {module.partition(".")[0]}, which is not installed: pip install "tinymed[{extra}]"'
        ) from None
