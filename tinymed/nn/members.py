"""Members: what a Module holds (parameters, buffers, sub-modules), how it gets there and how it is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tinymed.nn.errors import nearest
from tinymed.tensor import Tensor, as_tensor

if TYPE_CHECKING:
    from tinymed.nn.module import Module


class Parameter(Tensor):
    """A tensor to be learnt: as an attribute of a Module it is found by `parameters()` and `state_dict()`."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(as_tensor(data).array, requires_grad)


class Members:
    """The holding half of Module; every Members is a Module."""

    def __init__(self) -> None:
        self._parameters: dict[str, Parameter | None] = {}
        self._buffers: dict[str, Tensor | None] = {}
        self._modules: dict[str, Module | None] = {}
        self._unsaved: set[str] = set()  # buffers that state_dict leaves out

    # ---------------------------------------------------------------- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._register("_parameters", name, value)
        elif isinstance(value, Members):
            self._register("_modules", name, value)
        elif (kind := self._kind(name)) is not None:
            self._register(kind, name, value)
        else:
            _refuse_hidden(self, name, value)
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:  # called only where nothing of that name is found otherwise
        for kind in _KINDS:
            if name in (members := self.__dict__.get(kind, {})):
                return members[name]
        if name in ("_pre_hooks", *_KINDS):  # the first that a call, and every walk, asks for
            raise AttributeError(_uninitialised(self))
        hint = "" if name.startswith("_") else nearest(name, dir(self))
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    def __delattr__(self, name: str) -> None:
        if (kind := self._kind(name)) is not None:
            del self.__dict__[kind][name]
        else:
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for kind in _KINDS for name in self.__dict__.get(kind, ()))]

    def _kind(self, name: str) -> str | None:
        """The registry in which `name` is found."""
        return next((kind for kind in _KINDS if name in self.__dict__.get(kind, ())), None)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """As `self.name = param`; None keeps the name for a parameter that this layer does without."""
        self._register("_parameters", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Keep a tensor that is not learnt (running statistics); state_dict has it if it is `persistent`."""
        self._register("_buffers", name, tensor)
        (self._unsaved.discard if persistent else self._unsaved.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """As `self.name = module`, for names worked out at run time."""
        self._register("_modules", name, module)

    def _register(self, kind: str, name: str, value: Any) -> None:
        if kind not in self.__dict__:
            raise AttributeError(_uninitialised(self))
        owner, what = type(self).__name__, kind[1:-1]
        if value is not None and not isinstance(value, _KINDS[kind]):
            cure = f"; write {value.__name__}()" if isinstance(value, type) else ""
            cure = "; wrap it: nn.Parameter(...)" if isinstance(value, Tensor) else cure
            raise TypeError(f"{owner}.{name} must be a {what}, got {_named(value)}{cure}")
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"the name of a {what} is a string without dots, got {name!r}")
        if hasattr(type(self), name):
            raise ValueError(f"{owner} has {name!r} already, as a class: give the {what} another name")
        self.__dict__.pop(name, None)
        if (before := self._kind(name)) not in (kind, None):
            del self.__dict__[before][name]
        self.__dict__[kind][name] = value

    # ---------------------------------------------------------------- what is inside

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(path, module) of this module and of all below it, each once."""
        memo = set() if memo is None else memo
        module: Any = self
        if module in memo:
            return
        if remove_duplicate:
            memo.add(module)
        yield prefix, module
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, join(prefix, name), remove_duplicate)

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules right below this one, each once."""
        seen = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        return (child for _, child in self.named_children())

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as "features.3"; "" is this one. Raises AttributeError for no module."""
        found = dict(self.named_modules(remove_duplicate=False))
        if target not in found:
            raise AttributeError(f"{type(self).__name__} has no module {target!r}{nearest(target, found)}")
        return found[target]

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter), each once, however many modules share it."""
        return self._members("_parameters", prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer), each once."""
        return self._members("_buffers", prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _members(self, kind: str, prefix: str, recurse: bool) -> Iterator[tuple[str, Any]]:
        seen = set()
        for path, module in self.named_modules(prefix=prefix) if recurse else [(prefix, self)]:
            for name, tensor in getattr(module, kind).items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield join(path, name), tensor


_KINDS = {"_parameters": Parameter, "_buffers": Tensor, "_modules": Members}


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _named(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"{type(value).__name__}"


def _uninitialised(module: Members) -> str:
    return f"{type(module).__name__}.__init__ must call super().__init__() before it assigns anything"


def _refuse_hidden(module: Members, name: str, value: Any) -> None:
    """Layers in a plain list or dictionary would not be found, and so never be trained nor saved."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    if any(isinstance(item, Members | Parameter) for item in items):
        wrap = "ModuleDict" if isinstance(value, dict) else "ModuleList"
        raise TypeError(
            f"{type(module).__name__}.{name} is a plain {type(value).__name__}: what is in it would not be "
            f"found, trained and saved; use nn.{wrap} for layers, register_parameter for each parameter"
        )
