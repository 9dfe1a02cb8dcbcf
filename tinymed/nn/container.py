"""Modules made of modules: one after another, or kept in a list or under names."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tinymed.nn.errors import nearest
from tinymed.nn.fusion import run
from tinymed.nn.module import Module


class _Numbered(Module):
    """Modules under the names "0", "1", ...: what Sequential and ModuleList share."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __getitem__(self, index: int | slice) -> Any:
        """The module at an index; for a slice, a container of those modules."""
        if isinstance(index, slice):
            return self._part(list(self._modules.items())[index])
        return self._modules[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._name(index), module)

    def _part(self, named: list[tuple[str, Any]]) -> _Numbered:
        raise NotImplementedError

    def _name(self, index: int) -> str:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{type(self).__name__} has {len(self)} modules, there is no number {index}")
        return list(self._modules)[index]

    def append(self, module: Module) -> _Numbered:
        free = (str(k) for k in itertools.count(len(self)) if str(k) not in self._modules)
        self.add_module(next(free), module)
        return self

    def extend(self, modules: Iterable[Module]) -> _Numbered:
        for module in modules:
            self.append(module)
        return self


class Sequential(_Numbered):
    """y = f_n(... f_2(f_1(x))): Sequential(f_1, f_2, ...), or a dictionary that names them.

    A slice is a Sequential of the same modules under the same names.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], Mapping) else enumerate(args)
        for name, module in named:
            self.add_module(str(name), module)

    def _part(self, named: list[tuple[str, Any]]) -> Sequential:
        return Sequential(dict(named))

    def forward(self, input: Any) -> Any:
        return run([*self], input)


class ModuleList(_Numbered):
    """A list whose modules are found; call them as you please in your own forward."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def _part(self, named: list[tuple[str, Any]]) -> ModuleList:
        return ModuleList(module for _, module in named)

    def insert(self, index: int, module: Module) -> None:
        modules = list(self)
        modules.insert(index, module)
        self._modules.clear()
        self.extend(modules)


class ModuleDict(Module):
    """A dictionary whose modules are found."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        super().__init__()
        self.update(modules)

    def __getitem__(self, key: str) -> Any:
        if key not in self._modules:
            raise KeyError(f"no module is called {key!r}{nearest(key, self._modules)}")
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        for key, module in dict(modules).items():
            self[key] = module
