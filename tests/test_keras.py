"""The article's dialect: its listing (5.2) runs, with the fewest corrections."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinymed
from tinymed import keras, optim
from tinymed.data import make_breast_phantoms
from tinymed.keras import layers


def pictures(n, seed):
    """Generated pictures as the listing wants them: (n,28,28,1), and labels (n,)."""
    data = make_breast_phantoms(n, seed)
    return data.images.numpy().transpose(0, 2, 3, 1), data.labels.numpy()


def small(last="sigmoid", units=1, loss="binary_crossentropy"):
    tinymed.manual_seed(0)
    model = keras.Sequential(
        [
            layers.Input(shape=(6, 8, 2)),
            layers.Conv2D(3, (3, 3), activation="relu"),
            layers.AveragePooling2D((2, 2)),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(units, activation=last),
        ]
    )
    model.compile(optimizer="sgd", loss=loss, metrics=[] if loss == "mse" else ["accuracy"])
    return model


def test_the_articles_listing(capsys):
    train_data, train_labels = pictures(48, 0)  # corrected: images in place of a table, and labels
    test_data, test_labels = pictures(24, 1)
    tinymed.manual_seed(0)

    model = keras.Sequential([
        layers.Input(shape=(28, 28, 1)),
        layers.Conv2D(32, (3, 3), activation='relu'),
        layers.MaxPooling2D((2, 2)),
        layers.Conv2D(64, (3, 3), activation='relu'),
        layers.MaxPooling2D((2, 2)),
        layers.Flatten(),
        layers.Dense(128, activation='relu'),
        layers.Dense(1, activation='sigmoid')
    ])  # fmt: skip
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    history = model.fit(  # corrected: train_labels
        train_data, train_labels, epochs=2, batch_size=32, validation_data=(test_data, test_labels)
    )
    test_loss, test_accuracy = model.evaluate(test_data, test_labels)
    new_prediction = model.predict(np.random.default_rng(0).random((1, 28, 28, 1)))

    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(history.history["val_accuracy"]) == 2
    assert test_loss == pytest.approx(history.history["val_loss"][-1], rel=1e-5)
    assert test_accuracy == history.history["val_accuracy"][-1]
    assert new_prediction.shape == (1, 1)
    assert 0 < new_prediction[0, 0] < 1
    model.summary()
    shown = capsys.readouterr().out
    assert "(None, 26, 26, 32)" in shown
    assert re.search(r"6 \(Flatten\) +\(None, 1600\)", shown)
    assert "ChannelsLast" not in shown
    assert repr(model) == (
        "keras.Sequential(Input → Conv2D → MaxPooling2D → Conv2D → MaxPooling2D → Flatten → Dense → Dense; "
        "223,873 parameters)"
    )
    assert "Parameters: 223,873" in shown


def test_starts_as_keras_does():
    model = small()
    conv, dense = model.network[0], model.network[-2]
    bound = np.sqrt(6 / (2 * 9 + 3 * 9))
    assert np.abs(conv.weight.array).max() <= bound
    assert np.abs(conv.weight.array).max() > 0.8 * bound
    assert not conv.bias.array.any()
    assert not dense.bias.array.any()
    model.compile(optimizer="adam", loss="binary_crossentropy")
    model.fit(np.zeros((4, 6, 8, 2), np.float32), np.array([0, 1, 0, 1]), verbose=0)
    assert model.optimizer.defaults["eps"] == 1e-7


def test_numbers_are_channels_last():
    """Against the same sums in NumPy, channels last all the way, weights in Keras's layout."""
    model = small()
    x = np.random.default_rng(0).standard_normal((3, 6, 8, 2)).astype(np.float32)
    w = model.network[0].weight.array.transpose(2, 3, 1, 0)  # (KH,KW,C,O)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))  # (N,OH,OW,C,KH,KW)
    h = np.maximum(np.einsum("nijcuv,uvco->nijo", windows, w), 0)  # (3,4,6,3)
    h = h.reshape(3, 2, 2, 3, 2, 3).mean((2, 4)).reshape(3, -1)
    z = h @ model.network[-2].weight.array.T
    np.testing.assert_allclose(model.predict(x), 1 / (1 + np.exp(-z)), rtol=1e-4)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy", "mse"])
def test_other_losses(loss):
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 6, 8, 2)).astype(np.float32), rng.integers(0, 3, 20)
    if loss == "mse":
        model = small(None, 3, loss)
        with pytest.raises(ValueError, match="accuracy is of probabilities"):
            model.compile("sgd", loss, "accuracy")
        assert model.fit(x, np.eye(3)[y], epochs=2, verbose=0).history["loss"][1] < 1
        assert isinstance(model.evaluate(x, np.eye(3)[y]), float)
        return
    model = small("softmax", 3, loss)
    labels = y if loss.startswith("sparse") else np.eye(3)[y]
    history = model.fit(x, labels, epochs=2, validation_split=0.25, verbose=0, class_weight="balanced")
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    p = model.predict(x)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert model.evaluate(x, labels)[0] == pytest.approx(-np.log(p[np.arange(20), y]).mean(), rel=1e-4)


def test_without_input_it_is_built_at_the_first_data():
    model = keras.Sequential([layers.Dense(4, "tanh"), layers.Dense(1, "sigmoid")])
    with pytest.raises(ValueError, match=r"layers\.Input"):
        model.summary()
    assert repr(model) == "keras.Sequential(Dense → Dense; not built yet)"
    assert model.predict(np.ones((2, 5))).shape == (2, 1)
    model.compile(optim.SGD(model.network.parameters(), 0.1), "binary_crossentropy", "AUC")
    assert "auc" in model.fit(np.eye(5), np.array([0, 1, 0, 1, 0]), verbose=0).history


def test_mistakes_are_named():
    x, y = np.zeros((4, 6, 8, 2), np.float32), np.array([0, 1, 0, 1])
    model = small()
    for wrong, message in (
        (x.transpose(0, 3, 1, 2), r"expected x \(N,6,8,2\), channels last, got \(4, 2, 6, 8\); move the channels"),
        (x[0], "batch of one"),
        (x[..., 0], "add the axis"),
        (x[:, :5], r"got \(4, 5, 8, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(wrong, y, verbose=0)
    with pytest.raises(TypeError, match="labels y are missing"):
        model.fit(x)
    with pytest.raises(ValueError, match="same length"):
        model.fit(x, y[:3])
    with pytest.raises(ValueError, match="one-hot"):
        small("softmax", 2, "categorical_crossentropy").fit(x, y)
    with pytest.raises(ValueError, match='activation="sigmoid"'):
        small(None).fit(x, y)
    with pytest.raises(ValueError, match="leaves a part empty"):
        model.fit(x, y, validation_split=1.5)
    uncompiled = keras.Sequential([layers.Input((5,)), layers.Dense(1)])
    with pytest.raises(ValueError, match=r"model.compile"):
        uncompiled.fit(np.ones((2, 5)), [0, 1])
    with pytest.raises(ValueError, match=r"Dense expects \(N,I\), got \(N,6,8,2\).*Flatten"):
        keras.Sequential([layers.Input((6, 8, 2)), layers.Dense(1)])
    with pytest.raises(ValueError, match=r"Conv2D expects images"):
        keras.Sequential([layers.Input((6,)), layers.Conv2D(1, 3)])
    with pytest.raises(ValueError, match="no activation 'relo'"):
        layers.Dense(1, "relo")
    for bad in ({"optimizer": "adamm"}, {"loss": "crossentropy"}):
        with pytest.raises(ValueError, match="there are"):
            model.compile(**bad)
    for unknown in ("acuracy", ["accuracy", "f2"]):
        with pytest.raises(ValueError, match="no metric is called"):
            model.compile(metrics=unknown)
    with pytest.raises(TypeError, match="layer 0"):
        keras.Sequential([tinymed.nn.Linear(2, 1)])
