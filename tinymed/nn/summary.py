"""summary(model, input_size): what comes out of every layer, what it has to learn, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import numpy as np

from tinymed.autograd import no_grad
from tinymed.nn.container import Sequential
from tinymed.nn.fusion import fusible
from tinymed.nn.module import Module
from tinymed.tensor import DEFAULT_DTYPE, Tensor

HEADINGS = ("Layer", "Output shape", "Parameters", "Multiply-adds")
ALIGNED = ("left", "left", "right", "right")


class Row(NamedTuple):
    """One layer, at one call of it; a layer called again owns its parameters only once."""

    path: str
    kind: str
    output_shape: Any
    params: int
    macs: int
    fused_with: str = ""  # the path of the layer in whose op it runs


@dataclass(frozen=True, repr=False)
class Summary:
    """The rows and their totals; prints as a table.

    total_macs      multiply-adds of all products in one forward of the whole batch
    param_bytes     memory of the parameters;  activation_bytes  of what the layers put out in forward
    """

    rows: list[Row]
    total_params: int
    trainable_params: int
    total_macs: int
    param_bytes: int
    activation_bytes: int

    @property
    def table(self) -> list[tuple[str, str, str, str]]:
        """The cells, as text."""
        names = [f"{row.path} ({row.kind})" if row.path else row.kind for row in self.rows]
        names = [
            f"{name} in one pass with {row.fused_with}" if row.fused_with else name
            for name, row in zip(names, self.rows)
        ]
        return [
            (name, str(row.output_shape), f"{row.params:,}", f"{row.macs:,}") for name, row in zip(names, self.rows)
        ]

    @property
    def totals(self) -> list[str]:
        frozen = self.total_params - self.trainable_params
        return [
            f"Parameters: {self.total_params:,} ({self.trainable_params:,} to be trained, {frozen:,} not)",
            f"Multiply-adds: {self.total_macs:,}",
            f"Memory: parameters {_memory(self.param_bytes)}, activations in forward {_memory(self.activation_bytes)}",
        ]

    def __repr__(self) -> str:
        lines = [HEADINGS, *self.table]
        widths = [max(map(len, column)) for column in zip(*lines)]
        rule = "-" * (sum(widths) + 2 * len(widths) - 2)
        text = [
            "  ".join(
                cell.ljust(width) if side == "left" else cell.rjust(width)
                for cell, width, side in zip(line, widths, ALIGNED)
            )
            for line in lines
        ]
        return "\n".join([text[0], rule, *text[1:], rule, *self.totals])

    def _repr_html_(self) -> str:
        head, *body = (
            "<tr>"
            + "".join(f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>' for cell, side in zip(line, ALIGNED))
            + "</tr>"
            for line, tag in [(HEADINGS, "th"), *((line, "td") for line in self.table)]
        )
        return f"<table>{head}{''.join(body)}</table><p>{'<br>'.join(map(escape, self.totals))}</p>"


def summary(model: Module, input_size: Any, dtype: Any = DEFAULT_DTYPE) -> Summary:
    """Send zeros of input_size, batch included, once through the model in eval mode, and note what comes out.

    input_size may be a list of sizes, one for each input. Every layer keeps the mode it was in.
    """
    sizes = [input_size] if all(isinstance(size, int | np.integer) for size in input_size) else input_size
    paths = {module: path for path, module in model.named_modules()}
    fused = _fused(paths)
    rows: list[Row] = []
    counted: set[Tensor] = set()
    activation_bytes = 0

    def note(module: Module, args: tuple, output: Any) -> None:
        nonlocal activation_bytes
        own = [p for p in module.parameters(recurse=False) if p not in counted]
        counted.update(own)
        inputs, outputs = _tensors(args), _tensors(output)
        macs = module.macs(inputs[0].shape, outputs[0].shape) if inputs and outputs else 0
        leaf = not module._modules
        if leaf:
            activation_bytes += sum(t.array.nbytes for t in outputs)
        if leaf or own or macs:
            shapes = [t.shape for t in outputs]
            shape = shapes[0] if len(shapes) == 1 else shapes
            rows.append(Row(paths[module], type(module).__name__, shape, _numbers(own), macs, fused.get(module, "")))

    modes = {module: module.training for module in paths}
    handles = [module.register_forward_hook(note) for module in paths]
    try:
        with no_grad():
            model.eval()(*(Tensor(np.zeros(size, dtype)) for size in sizes))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    parameters = list(model.parameters())
    return Summary(
        rows=rows,
        total_params=_numbers(parameters),
        trainable_params=_numbers([p for p in parameters if p.requires_grad]),
        total_macs=sum(row.macs for row in rows),
        param_bytes=sum(p.array.nbytes for p in parameters),
        activation_bytes=activation_bytes,
    )


def _fused(paths: dict[Module, str]) -> dict[Module, str]:
    """The layers that run in another's op, and that layer's path."""
    found: dict[Module, str] = {}
    for module in paths:
        if isinstance(module, Sequential):
            layers = [*module]
            for k, first in enumerate(layers):
                found |= dict.fromkeys(layers[k + 1 : k + fusible(layers[k:])], paths[first])
    return found


def _tensors(values: Any) -> list[Tensor]:
    """All tensors in a nest of tuples and lists."""
    if isinstance(values, tuple | list):
        return [tensor for value in values for tensor in _tensors(value)]
    return [values] if isinstance(values, Tensor) else []


def _numbers(parameters: list) -> int:
    return sum(p.numel() for p in parameters)


def _memory(size: float) -> str:
    units = ["GB", "MB", "kB", "B"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop()
    return f"{size:.3g} {units[-1]}"
