"""Module: a layer or a whole network, which finds its own parameters, buffers and sub-modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinymed.cuda import moved, place
from tinymed.nn.errors import locate, nearest, refuse_foreign
from tinymed.nn.hooks import Handle, call_watched
from tinymed.nn.members import Members, join
from tinymed.nn.members import Parameter as Parameter
from tinymed.tensor import Tensor, to_host


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(..., strict=False)` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module(Members):
    """Base of every layer: write `__init__` (calling `super().__init__()` first) and `forward`, then call it.

    Parameters, buffers and modules are found in the order in which they are assigned as attributes. An error
    raised inside a call names the layer: "in features.3 (Linear(in_features=10, out_features=2)): ...".
    """

    training: bool = True

    def __init__(self) -> None:
        super().__init__()
        self._pre_hooks: dict[int, Callable] = {}
        self._hooks: dict[int, Callable] = {}
        self._backward_hooks: dict[int, Callable] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward(): define what it computes")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            for pre_hook in tuple(self._pre_hooks.values()):
                if (changed := pre_hook(self, args)) is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
            run = partial(call_watched, self) if self._backward_hooks else self.forward
            output = run(*args, **kwargs)
            for hook in tuple(self._hooks.values()):
                if (changed := hook(self, args, output)) is not None:
                    output = changed
            return output
        except (ValueError, TypeError, IndexError, FloatingPointError) as error:
            locate(error, self)
            raise
        except AttributeError as error:  # a list or array in a Tensor's place
            refuse_foreign(error, self, args)
            raise

    def macs(self, input_shape: tuple, output_shape: tuple) -> int:
        """Multiply-adds of this layer's own products (its sub-modules count theirs): read by `nn.summary`."""
        return 0

    # ---------------------------------------------------------------- state

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """Every parameter and persistent buffer by prefix + path, PyTorch's names; memory is shared."""
        state = {}
        for path, module in self.named_modules(remove_duplicate=False):
            saved = {name: b for name, b in module._buffers.items() if name not in module._unsaved}
            for name, tensor in (module._parameters | saved).items():
                if tensor is not None:
                    state[prefix + join(path, name)] = tensor.detach()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy in values of tinymed, NumPy or PyTorch by `state_dict()`'s names: all of them or none.

        Raises ValueError with every name that is missing or unexpected (if `strict`) or of another shape.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict expects a dictionary, got a {type(state_dict).__name__}")
        own = self.state_dict()
        given = {name: array_of(name, value) for name, value in state_dict.items()}
        missing = [name for name in own if name not in given]
        unexpected = [name for name in given if name not in own]
        wrong = [f"missing {name!r}{nearest(name, unexpected)}" for name in missing if strict]
        wrong += [f"unexpected {name!r}{nearest(name, missing)}" for name in unexpected if strict]
        wrong += [
            f"{name!r} has shape {given[name].shape}, expected {own[name].shape}"
            for name in own
            if name in given and given[name].shape != own[name].shape
        ]
        if wrong:
            raise ValueError(f"this state does not fit {type(self).__name__}:\n  " + "\n  ".join(wrong))
        for name, tensor in own.items():
            if name in given:
                tensor.copy_(given[name])
        return IncompatibleKeys(missing, unexpected)

    # ---------------------------------------------------------------- for all modules at once

    def train(self, mode: bool = True) -> Module:
        """Training mode (dropout drops, batch norm learns its statistics) for this module and all below."""
        if not isinstance(mode, bool):
            raise ValueError(f"train(mode) expects True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Freeze (False) or thaw all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.parameters():
            clear_grad(parameter, set_to_none)

    def to(self, device: Any = None, dtype: Any = None) -> Module:
        """Move parameters and buffers to a device, and the floating-point ones of them to `dtype`, in place."""
        if device is not None and not isinstance(device, str):
            device, dtype = None, device
        device = None if device is None else place(device)
        if dtype is not None and np.dtype(dtype).kind != "f":
            raise TypeError(f"to({np.dtype(dtype)}): a module holds floating-point numbers only")
        for tensor in (*self.parameters(), *self.buffers()):
            if dtype is not None and tensor.is_floating_point() and tensor.dtype != dtype:
                tensor.array = tensor.array.astype(dtype)
                tensor._version[0] += 1
                if tensor.grad is not None:
                    tensor.grad = Tensor(tensor.grad.array.astype(dtype))
            if device is not None and tensor.device != device:
                tensor.array = moved(tensor.array, device)
                tensor._version[0] += 1
                tensor.grad = None if tensor.grad is None else Tensor(moved(tensor.grad.array, device))
        return self

    def cuda(self, device: int = 0) -> Module:
        """Move to a GPU, in place."""
        return self.to(f"cuda:{device}")

    def cpu(self) -> Module:
        """Move to the processor's memory, in place."""
        return self.to("cpu")

    def float(self) -> Module:
        return self.to(np.float32)

    def double(self) -> Module:
        return self.to(np.float64)

    def apply(self, fn: Callable[[Module], Any]) -> Module:
        """Call `fn` on every module, the innermost first."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # ---------------------------------------------------------------- hooks

    def register_forward_pre_hook(self, hook: Callable) -> Handle:
        """Call `hook(module, args)` before forward; what it returns takes the arguments' place."""
        return Handle(self._pre_hooks, hook)

    def register_forward_hook(self, hook: Callable) -> Handle:
        """Call `hook(module, args, output)` after forward; what it returns takes the output's place."""
        return Handle(self._hooks, hook)

    def register_full_backward_hook(self, hook: Callable) -> Handle:
        """Call `hook(module, grad_input, grad_output)` once the gradients by the tensors passed in are known.

        Both are tuples, with None where there is no gradient; what the hook returns takes grad_input's place.
        """
        return Handle(self._backward_hooks, hook)

    # ---------------------------------------------------------------- text

    def extra_repr(self) -> str:
        """What stands between the brackets of the repr."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self._modules.items()]
        inside = self.extra_repr()
        if children:
            inside = "\n  " + "\n  ".join([*filter(None, [inside]), *children]) + "\n"
        return f"{type(self).__name__}({inside})"


def clear_grad(parameter: Tensor, set_to_none: bool = True) -> None:
    """Forget a gradient, or else fill it with zeros."""
    if set_to_none:
        parameter.grad = None
    elif parameter.grad is not None:
        parameter.grad.array[...] = 0


def array_of(name: str, value: Any) -> np.ndarray:
    """The numbers of a Tensor, an array, or another library's tensor (PyTorch's, on any device)."""
    if isinstance(value, Tensor):
        return to_host(value.array)
    try:
        return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
    except TypeError as error:
        raise TypeError(f"{name!r} cannot be read as an array: {error}") from None
