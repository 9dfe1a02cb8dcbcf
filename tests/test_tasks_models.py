"""Models for signals, texts and tables: shapes, equations by hand, and the same file run on PyTorch."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import tinymed
from tinymed import nn
from tinymed.optim import Adam
from tinymed.tasks import dense, sequences
from tinymed.training import fit, predict

SIGNALS = ("cnn1d", "rnn", "lstm", "gru", "bilstm")
TEXTS = ("mean_embedding", "attention_pooling", "text_rnn", "text_lstm")
VOCABULARY = 30


def _made(name, modules, classes=3):
    """The model of that name, and an input for it."""
    rng = np.random.default_rng(0)
    if name in SIGNALS:
        return getattr(modules["sequences"], name)((1, 20), classes), rng.standard_normal((4, 1, 20)).astype(np.float32)
    if name in TEXTS:
        words = rng.integers(1, VOCABULARY, (4, 7))
        words[1, :3] = words[2, :6] = 0  # padded on the left
        return getattr(modules["sequences"], name)((7,), classes, VOCABULARY, dim=8), words
    return getattr(modules["dense"], name)((5,), classes), rng.standard_normal((4, 5)).astype(np.float32)


names = pytest.mark.parametrize("name", [*SIGNALS, *TEXTS, "logistic", "dense"])


class _Names:
    def __init__(self, names):
        self.__dict__.update(names)


@pytest.fixture
def ours():
    return {"sequences": sequences, "dense": dense}


@pytest.fixture(scope="module")
def theirs():
    """The same files, with PyTorch in tinymed's place."""
    pytest.importorskip("torch", reason="PyTorch is the oracle")
    found = {}
    for module in (sequences, dense):
        source = Path(module.__file__).read_text(encoding="utf-8")
        own = re.findall(r"^from tinymed.*", source, re.MULTILINE)  # of tinymed's own a count alone, no layer
        assert {line.partition(" import ")[0] for line in own} - {"from tinymed.tasks.dense"} == {"from tinymed"}
        assert set(own) - set(own[:1]) <= {"from tinymed.tasks.dense import outputs"}
        space = {"__name__": f"on_torch_{module.__name__}"}
        exec(compile(source.replace("from tinymed import", "from torch import"), module.__file__, "exec"), space)
        found[module.__name__.rpartition(".")[2]] = _Names(space)
    return found


@names
@pytest.mark.parametrize(("classes", "outputs"), [(1, 1), (2, 1), (3, 3), (5, 5)])
def test_outputs_fit_the_classes(name, ours, classes, outputs):
    model, x = _made(name, ours, classes)
    assert model(tinymed.tensor(x)).shape == (4, outputs)


@names
def test_pytorch_gives_the_same_from_the_same_file(name, ours, theirs):
    """Weights move over by name; outputs, every gradient and one clipped step of Adam agree."""
    import torch

    (model, x), (twin, _) = _made(name, ours), _made(name, theirs)
    twin.load_state_dict({key: torch.tensor(value.numpy()) for key, value in model.state_dict().items()})
    y = np.array([0, 1, 2, 1])
    results = []
    for lib, net in ((tinymed, model), (torch, twin)):
        output = net(lib.tensor(x))
        optimizer = lib.optim.Adam(net.parameters(), lr=1e-2)
        lib.nn.functional.cross_entropy(output, lib.tensor(y)).backward()
        lib.nn.utils.clip_grad_norm_(list(net.parameters()), 0.1)
        gradients = {key: p.grad.numpy().copy() for key, p in net.named_parameters()}
        optimizer.step()
        results.append((output.detach().numpy(), gradients, net(lib.tensor(x)).detach().numpy()))
    (a, grads, after), (b, wanted, stepped) = results
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert grads.keys() == wanted.keys()
    for key in grads:
        np.testing.assert_allclose(grads[key], wanted[key], rtol=1e-3, atol=1e-6, err_msg=key)
    # Adam's first step is the gradient's sign: where that is nearly zero, rounding decides
    np.testing.assert_allclose(after, stepped, atol=2e-3)


@names
def test_weights_start_as_pytorchs_do(name, ours, theirs):
    """The same names and shapes, and spreads that agree as far as chance allows."""
    tinymed.manual_seed(0)
    model, _ = _made(name, ours)
    twin, _ = _made(name, theirs)
    mine, other = model.state_dict(), twin.state_dict()
    assert {k: v.shape for k, v in mine.items()} == {k: tuple(v.shape) for k, v in other.items()}
    for key, value in mine.items():
        if value.numel() > 500:
            assert value.numpy().std() == pytest.approx(other[key].numpy().std(), rel=0.15), key


# -------------------------------------------------------------------- equations


def test_cnn1d_has_the_layers_of_the_reference():
    """140 samples: 16·5+16, 32·16·5+32, 1024·64+64 and 64·5+5 parameters."""
    model = sequences.cnn1d((1, 140), 5)
    assert sum(p.numel() for p in model.parameters()) == 96 + 2592 + 65600 + 325
    assert sequences.cnn1d((2, 16), 2)(tinymed.zeros(3, 2, 16)).shape == (3, 1)
    with pytest.raises(ValueError, match="16 samples or more, got 15"):
        sequences.cnn1d((1, 15), 2)


def test_rnn_by_hand():
    model = sequences.rnn((1, 3), 2, hidden=2)
    x = np.array([[[0.5, -1, 2]]], np.float32)
    w_ih, w_hh, b_ih, b_hh = (p.detach().numpy() for p in model.recurrent.parameters())
    h = np.zeros(2, np.float32)
    for value in x[0, 0]:
        h = np.tanh(w_ih[:, 0] * value + b_ih + w_hh @ h + b_hh)
    wanted = model.head.weight.detach().numpy() @ h + model.head.bias.detach().numpy()
    np.testing.assert_allclose(model(tinymed.tensor(x)).detach().numpy()[0], wanted, rtol=1e-5)


def test_bilstm_reads_both_ways():
    """The last value reaches the backward direction's last state only through 19 steps, the first one at once."""
    model = sequences.bilstm((1, 20), 2, hidden=3)
    assert model.head.weight.shape == (1, 6)
    x = np.random.default_rng(0).standard_normal((2, 1, 20)).astype(np.float32)
    output, (h, _) = model.recurrent(tinymed.tensor(x).transpose(1, 2))
    both = np.concatenate([output.detach().numpy()[:, -1, :3], output.detach().numpy()[:, 0, 3:]], axis=1)
    wanted = both @ model.head.weight.detach().numpy().T + model.head.bias.detach().numpy()
    np.testing.assert_allclose(model(tinymed.tensor(x)).detach().numpy(), wanted, rtol=1e-5)
    assert h.shape == (2, 2, 3)


def test_padding_does_not_count():
    for build in (sequences.mean_embedding, sequences.attention_pooling):
        model = build((3,), 4, VOCABULARY, dim=8)
        short, left = np.array([[4, 9, 4]]), np.array([[0, 0, 4, 9, 4]])
        wanted = model(tinymed.tensor(short)).detach().numpy()
        for padded in (left, left[:, ::-1].copy()):
            np.testing.assert_allclose(model(tinymed.tensor(padded)).detach().numpy(), wanted, rtol=1e-5)
            weights = model.weights(tinymed.tensor(padded)).detach().numpy()
            assert not weights[padded == 0].any()
            np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_without_words_still_has_an_answer(name):
    model = getattr(sequences, name)((5,), 2, VOCABULARY)
    assert np.isfinite(model(tinymed.zeros(1, 5).long()).detach().numpy()).all()


def test_attention_finds_the_words_that_matter():
    """Class by one word among 12: after training, most of the attention is on it."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(4, VOCABULARY, (300, 12)), np.arange(300) % 2
    place = rng.integers(0, 12, 300)
    x[np.arange(300), place] = 2 + y  # word 2 or word 3
    tinymed.manual_seed(0)
    model = sequences.attention_pooling((12,), 2, VOCABULARY, dim=8)
    fit(model, (x, y), loss="binary_cross_entropy_with_logits", optimizer=Adam(model.parameters(), lr=2e-2),
        epochs=15, seed=0, verbose=False)  # fmt: skip
    weights = model.weights(tinymed.tensor(x)).detach().numpy()
    assert (weights.argmax(1) == place).mean() > 0.9
    assert ((predict(model, x)[:, 0] > 0) == y).mean() > 0.95


def test_dense_layers():
    model = dense.dense((8,), 2, dropout=0.5)
    assert [type(layer) for layer in model] == [nn.Linear, nn.ReLU, nn.Dropout] * 2 + [nn.Linear]
    assert [p.shape for p in model.parameters()] == [(32, 8), (32,), (16, 32), (16,), (1, 16), (1,)]
    assert len(dense.logistic((8,), 5)) == 1
    with pytest.raises(ValueError, match=r"rows of measures \(F,\), got \(1, 28, 28\)"):
        dense.dense((1, 28, 28), 2)
