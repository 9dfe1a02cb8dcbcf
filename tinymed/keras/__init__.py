"""A thin face in the dialect of the article's listing (5.2): Keras's names, channels last, its initial weights.

    from tinymed import keras
    from tinymed.keras import layers

Inside stand tinymed.nn layers, channels first, and tinymed.training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinymed import nn, optim, training
from tinymed.keras.layers import Input, Layer, batch
from tinymed.nn.module import Module
from tinymed.optim import Optimizer
from tinymed.tensor import Tensor, as_tensor
from tinymed.training.models import keras_weights_
from tinymed.training.objective import Objective

OPTIMIZERS = {
    "adam": lambda parameters: optim.Adam(parameters, eps=1e-7),
    "sgd": lambda parameters: optim.SGD(parameters, lr=0.01),
    "rmsprop": lambda parameters: optim.RMSprop(parameters, lr=0.001, alpha=0.9, eps=1e-7),
}
# Keras's loss: tinymed's, and the activation that it wants at the end. tinymed's takes what stands before that
# activation, for σ and softmax are exact only together with their logarithm.
LOSSES: dict[str, tuple[str, type[Module] | None]] = {
    "binary_crossentropy": ("binary_cross_entropy_with_logits", nn.Sigmoid),
    "sparse_categorical_crossentropy": ("cross_entropy", nn.Softmax),
    "categorical_crossentropy": ("cross_entropy", nn.Softmax),
    "mse": ("mse_loss", None),
}


class Sequential:
    """Layers one after another; built at once if the first is an Input, else at the first data.

    network  the nn.Sequential inside, channels first: its state_dict can be saved and loaded
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = list(layers)
        for k, layer in enumerate(self.layers):
            if not isinstance(layer, Layer) or (k > 0 and isinstance(layer, Input)):
                raise TypeError(f"Sequential: layer {k} cannot be {layer!r}; use tinymed.keras.layers, Input first")
        if not any(not isinstance(layer, Input) for layer in self.layers):
            raise ValueError("Sequential: there are no layers")
        self.loss = ""
        if isinstance(self.layers[0], Input):
            self.build(self.layers[0].shape)

    network: Any = None  # an nn.Sequential, once the input is known

    def build(self, shape: Sequence[int]) -> None:
        """Make the layers for samples of this shape, (H,W,C) or (I,), with Glorot-uniform weights and zero biases."""
        self.input_shape = now = tuple(shape)
        modules: list[Module] = []
        for layer in self.layers:
            made = layer.build(now)
            modules += made
            now = _shape_after(made, now)
        self.network = nn.Sequential(*modules).apply(keras_weights_)

    def compile(
        self, optimizer: Any = "adam", loss: str = "binary_crossentropy", metrics: str | Sequence[Any] = ()
    ) -> None:
        """Choose how to train. optimizer is "adam", "sgd", "rmsprop" or one of tinymed.optim's."""
        if not isinstance(optimizer, Optimizer) and optimizer not in OPTIMIZERS:
            raise ValueError(f"no optimizer {optimizer!r}; there are {', '.join(OPTIMIZERS)}")
        if loss not in LOSSES:
            raise ValueError(f"no loss {loss!r}; there are {', '.join(LOSSES)}")
        wanted = (metrics,) if isinstance(metrics, str) else metrics
        wanted = tuple(m.lower() if isinstance(m, str) else m for m in wanted)
        Objective(LOSSES[loss][0]).metrics(wanted)  # refuses what there is not
        self.optimizer, self.loss, self.metrics = optimizer, loss, wanted

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Sequence[Any] = (),
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
    ) -> training.History:
        """Train on x (N,H,W,C) or (N,I) and labels y. validation_split holds out that last share of both."""
        x, y = self._arrays(x, y)
        if validation_data is not None:
            validation_data = self._arrays(*validation_data)
        elif validation_split:
            kept = int(len(x) * (1 - validation_split)) if 0 < validation_split < 1 else 0
            if not 0 < kept < len(x):
                raise ValueError(f"validation_split {validation_split} of {len(x)} samples leaves a part empty")
            x, y, validation_data = x[:kept], y[:kept], (x[kept:], y[kept:])
        network, loss = self._scores()
        if not isinstance(self.optimizer, Optimizer):
            self.optimizer = OPTIMIZERS[self.optimizer](network.parameters())
        return training.fit(
            network,
            (x, y),
            loss=loss,
            optimizer=self.optimizer,
            epochs=epochs,
            batch_size=batch_size,
            validation=validation_data,
            metrics=self.metrics,
            class_weight=class_weight,
            callbacks=callbacks,
            shuffle=shuffle,
            verbose=verbose,
        )

    def evaluate(self, x: Any, y: Any = None, batch_size: int = 32) -> Any:
        """[loss, accuracy, ...] on the data, or the loss alone where no metric was asked for."""
        data = self._arrays(x, y)
        network, loss = self._scores()
        figures = training.evaluate(network, data, loss=loss, metrics=self.metrics, batch_size=batch_size)
        return list(figures.values()) if self.metrics else figures["loss"]

    def predict(self, x: Any, batch_size: int = 32) -> np.ndarray:
        """The last layer's output for every sample."""
        x = self._channels_first(x)
        return training.predict(self.network, x, batch_size=batch_size)

    def summary(self) -> None:
        """Print the layers, what comes out of them and what they have to learn."""
        if self.network is None:
            raise ValueError("summary: the shape of the input is not known yet; begin with layers.Input(shape=...)")
        whole = nn.summary(self.network, (1, *_first(self.input_shape)))
        rows = [
            row._replace(kind=row.kind.removeprefix("ChannelsLast"), output_shape=(None, *_last(row.output_shape[1:])))
            for row in whole.rows
        ]
        print(replace(whole, rows=rows))

    def __repr__(self) -> str:
        kinds = " → ".join(type(layer).__name__ for layer in self.layers)
        size = "not built yet" if self.network is None else f"{sum(p.numel() for p in self.network.parameters()):,}"
        return f"keras.Sequential({kinds}; {size}{'' if self.network is None else ' parameters'})"

    # ---------------------------------------------------------------- from their dialect to ours

    def _scores(self) -> tuple[nn.Sequential, str]:
        """The part of the network that the loss is put upon, and tinymed's name of the loss."""
        loss, last = LOSSES[self.loss]
        if last is None:
            return self.network, loss
        if not isinstance(self.network[-1], last):
            raise ValueError(f'{self.loss} expects activation="{last.__name__.lower()}" on the last layer')
        return self.network[:-1], loss

    def _arrays(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        if not self.loss:
            raise ValueError("call model.compile(optimizer, loss, metrics) first")
        if y is None:
            raise TypeError("the labels y are missing: give both, such as model.fit(x, y)")
        x, y = self._channels_first(x), as_tensor(y).array
        if len(x) != len(y):
            raise ValueError(f"x and y must have the same length, got {len(x)} and {len(y)}")
        if self.loss == "categorical_crossentropy" and (y.ndim != 2 or y.shape[1] < 2):
            raise ValueError(
                f"categorical_crossentropy expects one-hot labels (N,C), got {y.shape}; "
                "for class numbers use sparse_categorical_crossentropy"
            )
        return x, y

    def _channels_first(self, x: Any) -> np.ndarray:
        x = as_tensor(x).array
        if self.network is None:
            self.build(x.shape[1:])
        if x.shape[1:] != self.input_shape:
            cure = ""
            if len(self.input_shape) == 3 and x.shape[1:] == _first(self.input_shape):
                cure = "; move the channels to the end: x.transpose(0, 2, 3, 1)"
            elif x.shape[1:] == self.input_shape[:-1]:
                cure = "; add the axis of the channels: x[..., None]"
            elif x.shape == self.input_shape:
                cure = "; one sample is a batch of one: x[None]"
            raise ValueError(f"expected x {batch(self.input_shape)}, channels last, got {x.shape}{cure}")
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def _first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(H,W,C) → (C,H,W); (I,) stays."""
    return (shape[2], *shape[:2]) if len(shape) == 3 else shape


def _last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(C,H,W) → (H,W,C); (I,) stays."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def _shape_after(modules: list[Module], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a sample, channels last, after these layers: one sample of zeros is sent through."""
    x = Tensor(np.zeros((1, *_first(shape)), np.float32))
    for module in modules:
        x = module(x)
    return _last(x.shape[1:])
