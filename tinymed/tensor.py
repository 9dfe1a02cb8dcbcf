"""Tensor: an array, its gradient, and the Function that made it.

Everything that can be *done* with tensors is an op (`tinymed/ops/`); an op hangs itself on Tensor with
`@method`, so that `x.exp()`, `tinymed.exp(x)` and the formula stand in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

DEFAULT_DTYPE = np.dtype("float32")


class Tensor:
    """A NumPy array that can remember how it was made.

    array          the numbers themselves; shared with whoever made it, as in `torch.from_numpy`
    requires_grad  whether gradients are wanted for it
    grad           after `backward()`: ∂(root)/∂(this), a Tensor of the same shape, or None
    grad_fn        the Function that made it (`output_nr` says which of its outputs); None for a leaf
    """

    __slots__ = (
        "__weakref__",
        "_hooks",
        "_version",
        "array",
        "grad",
        "grad_fn",
        "output_nr",
        "requires_grad",
    )

    __array_ufunc__ = None  # so that `ndarray + tensor` comes to us and keeps its graph
    __array_priority__ = 1000

    def __init__(self, array: np.ndarray, requires_grad: bool = False) -> None:
        self.array = array if type(array) is np.ndarray else _no_plain_array(array)
        self.requires_grad = False
        self.grad: Tensor | None = None
        self.grad_fn: Any = None
        self.output_nr = 0
        self._hooks: list[Callable] | None = None
        self._version = [0]  # counts in-place writes; a list, for views share their base's
        if requires_grad:
            self.requires_grad_()

    # ---------------------------------------------------------------- what it is

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def device(self) -> str:
        """ "cpu", or "cuda:0" and so on: where the array is."""
        return device_of(self.array)

    @property
    def is_leaf(self) -> bool:
        return self.grad_fn is None

    @property
    def data(self) -> Tensor:
        """The same numbers outside any graph (PyTorch's `.data`)."""
        return self.detach()

    def dim(self) -> int:
        return self.array.ndim

    def numel(self) -> int:
        return self.array.size

    def element_size(self) -> int:
        """Bytes of one element."""
        return self.array.itemsize

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def is_floating_point(self) -> bool:
        return self.dtype.kind == "f"

    def is_contiguous(self) -> bool:
        return self.array.flags.c_contiguous

    # ---------------------------------------------------------------- the graph

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        if requires_grad and self.dtype.kind != "f":
            raise TypeError(
                f"only floating-point tensors can have gradients, got {self.dtype} of shape {self.shape}; "
                "convert it first: x.float()"
            )
        if not requires_grad and not self.is_leaf:
            raise ValueError("requires_grad can be turned off on leaves only; use x.detach()")
        self.requires_grad = requires_grad
        return self

    def detach(self) -> Tensor:
        """The same numbers (memory is shared) outside the graph."""
        out = Tensor(self.array)
        out._version = self._version
        return out

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> None:
        """Call `hook(gradient)` once this tensor's gradient is complete; what it returns takes its place."""
        if not self.requires_grad:
            raise ValueError("cannot register a hook on a tensor that does not require gradients")
        if self.grad_fn is not None:
            self.grad_fn.hooks += ((self.output_nr, hook),)
        else:
            self._hooks = [*(self._hooks or []), hook]

    def retain_grad(self) -> None:
        """Keep `.grad` on a tensor in the middle of a graph too."""
        if self.grad_fn is not None:

            def keep(gradient: Tensor) -> None:
                self.grad = Tensor(gradient.array.copy())

            self.register_hook(keep)

    # ---------------------------------------------------------------- to Python and NumPy

    def numpy(self) -> np.ndarray:
        """The array itself: memory is shared. Raises ValueError for a tensor that requires gradients."""
        if self.requires_grad:
            raise ValueError("can't call numpy() on a tensor that requires grad; use tensor.detach().numpy()")
        if not isinstance(self.array, np.ndarray):
            raise ValueError(f"can't call numpy() on a tensor on {self.device}; use tensor.cpu().numpy()")
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **how: Any) -> Any:
        if self.requires_grad:
            raise BufferError("can't export a tensor that requires grad; use tensor.detach()")
        array = self.array
        if not is_writable(array) or any(step < 0 for step in array.strides):
            array = array.copy()  # consumers write through it, and torch aborts on negative strides
        return array.__dlpack__(**how)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def item(self) -> Any:
        if self.array.size != 1:
            raise ValueError(f"only a tensor with one element has an item(), this one has shape {self.shape}")
        return self.array.item()

    def tolist(self) -> Any:
        return to_host(self.array).tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind != "i" and self.dtype.kind != "u":
            raise TypeError(f"only integer tensors can be used as an index, got {self.dtype}")
        return int(self.item())

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise ValueError(f"the truth of a tensor of shape {self.shape} is ambiguous; use any() or all()")
        return bool(self.array)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(self.shape[0]))

    __hash__ = object.__hash__

    def __deepcopy__(self, memo: dict) -> Tensor:
        if not self.is_leaf:
            raise ValueError("only leaves can be deep-copied; copy tensor.detach() instead")
        out = type(self)(self.array.copy(), self.requires_grad)
        out.grad = None if self.grad is None else Tensor(self.grad.array.copy())
        memo[id(self)] = out
        return out

    def __format__(self, spec: str) -> str:
        """f"{loss:.4f}": one number as Python formats numbers, more as they print."""
        if self.ndim == 0 or (spec and self.numel() == 1):
            return format(self.item(), spec)
        if spec:
            raise TypeError(f"a tensor of shape {self.shape} has no format {spec!r}; format its numbers one by one")
        return repr(self)

    def __repr__(self) -> str:
        from tinymed.display import text

        return text(self)

    def _repr_html_(self) -> str:
        from tinymed.display import html

        return html(self)


def _no_plain_array(array: Any) -> np.ndarray:
    """Out of the way of the usual case: a NumPy number becomes 0-d; a subclass of ndarray and a GPU's array stay."""
    if isinstance(array, np.generic):
        return np.asarray(array)
    if hasattr(type(array), "__cuda_array_interface__"):  # asked of the array, it would be worked out
        return array
    if not isinstance(array, np.ndarray):
        raise TypeError(f"Tensor expects a NumPy array, got {_named(array)}; use tinymed.tensor(data)")
    return array


def method(*names: str) -> Callable:
    """Hang a function on Tensor, under the names given or else its own."""

    def hang(function: Callable) -> Callable:
        for name in names or (function.__name__,):
            setattr(Tensor, name, function)
        return function

    return hang


# -------------------------------------------------------------------- making tensors


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of `data`: a number, nested lists, or anything NumPy reads.

    Python floats become float32, ints int64, as in PyTorch; a NumPy array keeps its dtype.
    Raises ValueError for ragged lists, TypeError for what is not numeric.
    """
    return Tensor(to_array(data, dtype, copy=True), requires_grad)


def as_tensor(data: Any, dtype: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory where it is an array already."""
    if isinstance(data, Tensor) and (dtype is None or data.dtype == dtype):
        return data
    return Tensor(to_array(data, dtype, copy=False))


def is_tensor(obj: Any) -> bool:
    return isinstance(obj, Tensor)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the array's memory: a write to one shows in the other.

    Writes to the array itself are not seen: one between forward and backward changes the gradient, unnoticed,
    as in PyTorch. `tensor(array)` copies.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy expects a NumPy array, got {type(array).__name__}")
    return Tensor(to_array(array, None, copy=False))


def from_dlpack(exporter: Any) -> Tensor:
    """A tensor over another library's memory (torch, CuPy, JAX), without a copy."""
    return Tensor(np.from_dlpack(exporter))


def to_array(data: Any, dtype: Any, copy: bool) -> np.ndarray:
    """`data` as a native-endian numeric array; see `tensor` for the rules."""
    if isinstance(data, Tensor):
        data = data.array
    if hasattr(type(data), "__cuda_array_interface__"):  # on a GPU, and so it stays
        return data.astype(dtype or data.dtype, copy=copy)
    try:
        array = np.array(data, dtype=dtype) if copy else np.asarray(data, dtype=dtype)
    except ValueError as error:
        if "inhomogeneous" in str(error):
            raise ValueError(
                "the nested lists are ragged: every row must have the same length (pad the short ones first)"
            ) from None
        raise ValueError(f"cannot make a tensor of {_named(data)}: {error}; stack tensors with tinymed.stack") from None
    except (TypeError, RuntimeError) as error:  # RuntimeError: a tensor of torch that requires grad
        raise TypeError(f"cannot make a tensor of {_named(data)}: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"a tensor holds numbers, got {_named(data)} of dtype {array.dtype}; "
            "convert text and categories to integers or floats first"
        )
    if dtype is None and array.dtype == np.float64 and not hasattr(data, "dtype"):
        array = array.astype(DEFAULT_DTYPE)  # Python floats
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array


def to_host(array: Any) -> np.ndarray:
    """The array as NumPy's, itself where it is that already."""
    return array if isinstance(array, np.ndarray) else array.get()


def is_writable(array: Any) -> bool:
    """Whether the array's memory may be written to; CuPy has no read-only arrays."""
    return not isinstance(array, np.ndarray) or array.flags.writeable


def device_of(array: Any) -> str:
    """ "cpu" for NumPy's arrays, "cuda:0" and so on for CuPy's."""
    return "cpu" if isinstance(array, np.ndarray | np.generic) else f"cuda:{array.device.id}"


def _named(data: Any) -> str:
    kind = type(data).__name__
    return f"a {kind} of {type(data[0]).__name__}s" if isinstance(data, list | tuple) and len(data) else f"a {kind}"
