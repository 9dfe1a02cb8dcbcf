"""Recurrent layers: RNN, LSTM, GRU over whole sequences, and their cells for one step at a time."""

from __future__ import annotations

import math
import warnings
from typing import Any

from tinymed.nn import functional as F
from tinymed.nn import init
from tinymed.nn.checks import whole
from tinymed.nn.module import Module, Parameter
from tinymed.ops import recurrent
from tinymed.ops.creation import empty
from tinymed.ops.join import cat
from tinymed.tensor import Tensor

States = tuple[Tensor, ...]


class _Sized(Module):
    """What layers and cells share: sizes, and weights drawn from U(−1/√H, 1/√H)."""

    gates = 1  # blocks of H rows in each weight

    def __init__(self, input_size: int, hidden_size: int, bias: bool) -> None:
        super().__init__()
        whole(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias

    def _add_weights(self, I: int, suffix: str = "") -> None:
        rows, H = self.gates * self.hidden_size, self.hidden_size
        shapes = {"weight_ih": (rows, I), "weight_hh": (rows, H), "bias_ih": (rows,), "bias_hh": (rows,)}
        for name, shape in shapes.items():
            wanted = self.bias or name.startswith("weight")
            self.register_parameter(name + suffix, Parameter(empty(*shape)) if wanted else None)

    def _weights(self, suffix: str = "") -> list[Any]:
        return [getattr(self, name + suffix) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def macs(self, input_shape: tuple, output_shape: tuple) -> int:
        return math.prod(input_shape[:-1]) * sum(w.numel() for w in self.parameters() if w.ndim == 2)

    def extra_repr(self) -> str:
        """The sizes, and every option that is not at its default."""
        usual = {"num_layers": 1, "nonlinearity": "tanh", "bias": True}
        usual |= {"batch_first": False, "dropout": 0, "bidirectional": False}
        options = ((name, getattr(self, name, default), default) for name, default in usual.items())
        changed = [f"{name}={value}" for name, value, default in options if value != default]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *changed])


# ---------------------------------------------------------------- whole sequences


class _Recurrent(_Sized):
    """Layers and directions around one sequence op.

    input (T,N,I), or (N,T,I) with batch_first, or unbatched (T,I) → output (T,N,D·H) in the same order, and
    the last state of each layer and direction, (L·D,N,H); D is 2 if bidirectional, else 1. A layer reads what
    the layer below wrote, through dropout while training; the reverse direction reads time backwards.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size, bias)
        name = type(self).__name__
        whole(name, num_layers=num_layers)
        if not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout is a probability between 0 and 1, got {dropout}")
        if dropout and num_layers == 1:
            warnings.warn(
                f"{name}: dropout stands between layers, so dropout={dropout} does nothing with num_layers=1",
                stacklevel=2,
            )
        self.num_layers, self.batch_first = num_layers, batch_first
        self.dropout, self.bidirectional = float(dropout), bidirectional
        self._directions = ("", "_reverse") if bidirectional else ("",)
        for layer in range(num_layers):
            for direction in self._directions:
                I = hidden_size * len(self._directions) if layer else input_size
                self._add_weights(I, f"_l{layer}{direction}")
        self.reset_parameters()

    def _sequence(self, x: Tensor, states: States, weights: list) -> States:
        """One layer, one direction: x (T,N,I), states (N,H) → every h_t (T,N,H); the LSTM: every c_t too."""
        raise NotImplementedError

    def _run(self, input: Tensor, hx: Any, names: tuple[str, ...]) -> tuple[Tensor, States]:
        """All layers and directions; `names` are the states that hx holds, "h_0" (and "c_0")."""
        x = self._time_first(input)
        states = self._initial(x, input.ndim == 3, hx, names)
        last: list[list[Tensor]] = []
        for layer in range(self.num_layers):
            if layer:
                x = F.dropout(x, self.dropout, self.training)
            outputs = []
            for direction in self._directions:
                own = tuple(s[len(last)] for s in states)  # states stand in the order of this loop
                weights = self._weights(f"_l{layer}{direction}")
                sequences = self._sequence(x.flip(0) if direction else x, own, weights)
                outputs.append(sequences[0].flip(0) if direction else sequences[0])
                last.append([s[-1:] for s in sequences])
            x = cat(outputs, -1) if len(outputs) == 2 else outputs[0]
        finals = tuple(cat(layers) for layers in zip(*last))
        if input.ndim == 2:
            return x.squeeze(1), tuple(s.squeeze(1) for s in finals)
        return x.transpose(0, 1) if self.batch_first else x, finals

    def _time_first(self, input: Tensor) -> Tensor:
        """input as (T,N,I)."""
        layout = "(N,T,I)" if self.batch_first else "(T,N,I)"
        if input.ndim not in (2, 3):
            raise ValueError(f"expected an input {layout} or, unbatched, (T,I); got shape {input.shape}")
        if input.shape[-1] != self.input_size:
            hint = ""
            if self.input_size in input.shape[:-1]:
                axis = input.shape.index(self.input_size)
                hint = f"; axis {axis} has {self.input_size}: is it misplaced? Try x.movedim({axis}, -1)"
            raise ValueError(
                f"the last axis of the input must be input_size = {self.input_size}, "
                f"got shape {input.shape} as {layout if input.ndim == 3 else '(T,I)'}{hint}"
            )
        x = input.unsqueeze(1) if input.ndim == 2 else input.transpose(0, 1) if self.batch_first else input
        if len(x) == 0:
            raise ValueError(f"the sequence is empty: T = 0 in an input of shape {input.shape}")
        return x

    def _initial(self, x: Tensor, batched: bool, hx: Any, names: tuple[str, ...]) -> States:
        """The states to start from, each (L·D,N,H): those of hx, or zeros."""
        L_D, N, H = self.num_layers * len(self._directions), x.shape[1], self.hidden_size
        if hx is None:
            return (x.new_zeros(L_D, N, H),) * len(names)
        shape = (L_D, N, H) if batched else (L_D, H)
        for name, state in zip(names, hx):
            axes = "(layers·directions, N, H), with batch_first too" if batched else "(layers·directions, H)"
            _fits(name, state, shape, f" = {axes}")
        return tuple(state if batched else state.unsqueeze(1) for state in hx)


class RNN(_Recurrent):
    """h_t = φ(W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh)        (article 4.2.1; φ is "tanh" or "relu")

    output, h_n = rnn(input, h_0); h_0 defaults to zeros.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        self.nonlinearity = _known(nonlinearity)

    def _sequence(self, x: Tensor, states: States, weights: list) -> States:
        return (recurrent.rnn(x, *states, *weights, nonlinearity=self.nonlinearity),)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        output, (h_n,) = self._run(input, None if hx is None else (hx,), ("h_0",))
        return output, h_n


class LSTM(_Recurrent):
    """i, f, o = σ(·), g = tanh(·);  c_t = f∘c_{t−1} + i∘g,  h_t = o∘tanh(c_t)        (article 3.3)

    output, (h_n, c_n) = lstm(input, (h_0, c_0)); both default to zeros. (·) is the RNN's sum, each time with
    weights of its own, which stand one under another in the order i, f, g, o.
    """

    gates = 4

    def _sequence(self, x: Tensor, states: States, weights: list) -> States:
        return recurrent.lstm(x, *states, *weights)

    def forward(self, input: Tensor, hx: States | None = None) -> tuple[Tensor, States]:
        return self._run(input, _pair(hx, "h_0", "c_0"), ("h_0", "c_0"))


class GRU(_Recurrent):
    """r, z = σ(·);  n = tanh(W_in·x + b_in + r∘(W_hn·h_{t−1} + b_hn)),  h_t = (1 − z)∘n + z∘h_{t−1}

    output, h_n = gru(input, h_0); h_0 defaults to zeros. Weights in the order r, z, n. (Cho et al. 2014)
    """

    gates = 3

    def _sequence(self, x: Tensor, states: States, weights: list) -> States:
        return (recurrent.gru(x, *states, *weights),)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        output, (h_n,) = self._run(input, None if hx is None else (hx,), ("h_0",))
        return output, h_n


# ---------------------------------------------------------------- one step


class _Cell(_Sized):
    """One step: input (N,I), states (N,H) → states (N,H); without a batch (I,) and (H,)."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias)
        self._add_weights(input_size)
        self.reset_parameters()

    def _sums(self, input: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """W_ih·x + b_ih and W_hh·h + b_hh"""
        w_ih, w_hh, b_ih, b_hh = self._weights()
        return F.linear(input, w_ih, b_ih), F.linear(h, w_hh, b_hh)

    def _initial(self, input: Tensor, hx: Any, names: tuple[str, ...]) -> States:
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ValueError(
                f"expected an input (N,I) or (I,) with I = input_size = {self.input_size}, got {input.shape}"
            )
        shape = (*input.shape[:-1], self.hidden_size)
        for name, state in zip(names, hx or ()):
            _fits(name, state, shape, f" for an input {input.shape}")
        return hx or (input.new_zeros(shape),) * len(names)


class RNNCell(_Cell):
    """h′ = φ(W_ih·x + b_ih + W_hh·h + b_hh)        (article 4.2.1)"""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh") -> None:
        super().__init__(input_size, hidden_size, bias)
        self.nonlinearity = _known(nonlinearity)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        (h,) = self._initial(input, None if hx is None else (hx,), ("hx",))
        of_x, of_h = self._sums(input, h)
        return F.tanh(of_x + of_h) if self.nonlinearity == "tanh" else F.relu(of_x + of_h)


class LSTMCell(_Cell):
    """i, f, o = σ(·), g = tanh(·);  c′ = f∘c + i∘g,  h′ = o∘tanh(c′)        (article 3.3)"""

    gates = 4

    def forward(self, input: Tensor, hx: States | None = None) -> States:
        h, c = self._initial(input, _pair(hx, "h", "c"), ("h", "c"))
        of_x, of_h = self._sums(input, h)
        i, f, g, o = (of_x + of_h).chunk(4, -1)
        c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
        return F.sigmoid(o) * F.tanh(c), c


class GRUCell(_Cell):
    """r, z = σ(·);  n = tanh(W_in·x + b_in + r∘(W_hn·h + b_hn)),  h′ = (1 − z)∘n + z∘h"""

    gates = 3

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        (h,) = self._initial(input, None if hx is None else (hx,), ("hx",))
        (x_r, x_z, x_n), (h_r, h_z, h_n) = (sums.chunk(3, -1) for sums in self._sums(input, h))
        r, z = F.sigmoid(x_r + h_r), F.sigmoid(x_z + h_z)
        n = F.tanh(x_n + r * h_n)
        return (1 - z) * n + z * h


def _known(nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f'nonlinearity must be "tanh" or "relu", got {nonlinearity!r}')
    return nonlinearity


def _fits(name: str, state: Any, shape: tuple[int, ...], why: str) -> None:
    if not isinstance(state, Tensor):
        raise TypeError(f"{name} must be a tensor, got a {type(state).__name__}")
    if state.shape != shape:
        raise ValueError(f"{name} must have shape {shape}{why}; got {state.shape}")


def _pair(hx: Any, h: str, c: str) -> Any:
    if hx is not None and (isinstance(hx, Tensor) or len(hx) != 2):
        raise TypeError(f"an LSTM has two states: pass the pair ({h}, {c}), got a {type(hx).__name__}")
    return hx
