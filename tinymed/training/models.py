"""The article's network (5.2.2), ready to be trained."""

from __future__ import annotations

from tinymed import nn
from tinymed.nn.module import Module


def article_cnn(init: str = "keras") -> nn.Sequential:
    """The network of article 5.2.2: pictures (N,1,28,28) → one logit each (N,1), 223,873 parameters.

    Its last sigmoid is left to the loss, binary_cross_entropy_with_logits, which is exact for any score.
    init "keras" starts as the article's listing does (Glorot uniform, zero bias), "torch" as nn's layers do.
    Weights are drawn from the default generator: `tinymed.manual_seed` repeats them.
    """
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3),  # (N,1,28,28) → (N,32,26,26)
        nn.ReLU(),
        nn.MaxPool2d(2),  # → (N,32,13,13)
        nn.Conv2d(32, 64, 3),  # → (N,64,11,11)
        nn.ReLU(),
        nn.MaxPool2d(2),  # → (N,64,5,5)
        nn.Flatten(),  # → (N,1600)
        nn.Linear(1600, 128),
        nn.ReLU(),
        nn.Linear(128, 1),
    )
    if init not in ("keras", "torch"):
        raise ValueError(f'article_cnn: init is "keras" or "torch", got {init!r}')
    if init == "keras":
        model.apply(keras_weights_)
    return model


def keras_weights_(module: Module) -> None:
    """Keras's start of a layer: weights Glorot uniform, biases zero (Glorot and Bengio 2010)."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
