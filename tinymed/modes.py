"""The switches around ops: whether graphs are built, numbers watched, layers fused. They hold for one thread."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator


class _Modes(threading.local):
    grad = True
    anomaly = False
    fusion = True


modes = _Modes()


class _Switch(ContextDecorator):
    """Sets one mode of this thread inside a `with` block or a decorated function."""

    def __init__(self, mode: str, value: bool) -> None:
        self.mode, self.value = mode, value
        self.before: list[bool] = []

    def __enter__(self) -> None:
        self.before.append(getattr(modes, self.mode))
        setattr(modes, self.mode, self.value)

    def __exit__(self, *exc: object) -> None:
        setattr(modes, self.mode, self.before.pop())


class no_grad(_Switch):  # noqa: N801
    """No graph is built inside: for inference, and for changing parameters in place."""

    def __init__(self) -> None:
        super().__init__("grad", False)


inference_mode = no_grad  # PyTorch's stricter twin has no other use here


class enable_grad(_Switch):  # noqa: N801
    """Builds graphs again inside a no_grad block."""

    def __init__(self) -> None:
        super().__init__("grad", True)


class detect_anomaly(_Switch):  # noqa: N801
    """Checks every op, forward and backward, for NaN and infinity, and names the first that makes one.

    Raises FloatingPointError with the op, the shapes of its inputs and, inside a module, the layer's path.
    """

    def __init__(self) -> None:
        super().__init__("anomaly", True)


class no_fusion(_Switch):  # noqa: N801
    """Runs every layer of a Sequential by itself: Conv2d, ReLU and MaxPool2d are not made one op."""

    def __init__(self) -> None:
        super().__init__("fusion", False)


def is_grad_enabled() -> bool:
    return modes.grad
