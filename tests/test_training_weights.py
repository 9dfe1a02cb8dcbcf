"""Weights on disk: what is saved comes back, and whatever is no such file says so."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from tinymed import nn
from tinymed.training import CheckpointError, load_metadata, load_weights, save_weights


def test_round_trip_of_a_model(tmp_path):
    one, two = (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)) for _ in range(2))
    save_weights(one, tmp_path / "w.safetensors", {"epoch": "3"})
    two.load_state_dict(load_weights(tmp_path / "w.safetensors"))
    for a, b in zip(one.state_dict().values(), two.state_dict().values()):
        np.testing.assert_array_equal(a.array, b.array)
    assert load_metadata(tmp_path / "w.safetensors") == {"epoch": "3"}


def test_arguments_in_the_wrong_place(tmp_path):
    for arguments in ((nn.Linear(1, 1), "w.safetensors"), (nn.Linear(1, 1),), ("w", nn.Linear(1, 1))):
        with pytest.raises(TypeError, match=r"takes the path alone: model\.load_state_dict\(load_weights\(path\)\)"):
            load_weights(*arguments)
    with pytest.raises(TypeError, match=r"save_weights expects \(model, path\), got a str in the model's place"):
        save_weights("w.safetensors", nn.Linear(1, 1))


def test_every_layout_comes_back_right(tmp_path):
    a = np.arange(24, dtype=np.float32).reshape(4, 6)
    state = {
        "transposed": a.T,
        "reversed": a[::-1],
        "strided": a[:, ::2],
        "cut": a[:, 1:],
        "fortran": np.asfortranarray(a),
        "broadcast": np.broadcast_to(a[0], (3, 6)),
        "scalar": np.float64(2.5),
        "empty": a[:0],
        "big-endian": a.astype(">f4"),
        "integers": np.arange(3),
    }
    save_weights(state, tmp_path / "w")
    for name, array in load_weights(tmp_path / "w").items():
        np.testing.assert_array_equal(array, state[name], err_msg=name)
        assert array.shape == np.shape(state[name])


def test_pytorch_reads_it_and_is_read(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    twin, model = torch.nn.Linear(3, 2), nn.Linear(3, 2)
    save_weights(twin.state_dict(), tmp_path / "w")
    model.load_state_dict(load_weights(tmp_path / "w"))
    np.testing.assert_array_equal(model.weight.array, twin.weight.detach().numpy())


def test_every_broken_file_is_a_checkpoint_error(tmp_path):
    good = tmp_path / "good"
    save_weights({"w": np.arange(50, dtype=np.float32)}, good, {"a": "b"})
    raw = good.read_bytes()
    cases = {
        "empty": (b"", "it is empty"),
        "page": (b"\n<!DOCTYPE html><html>" + b"x" * 600, "web page"),
        "pickle": (pickle.dumps({"w": [1]}), "pickle"),
        "zip": (b"PK\x03\x04" + b"\0" * 99, "pickle or zip"),
        "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        "trailing": (raw + b"\0", "truncated, damaged"),
        **{f"cut {n}": (raw[:n], "truncated, damaged") for n in range(1, len(raw), 37)},
    }
    for name, (content, message) in cases.items():
        path = tmp_path / "bad"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message) as caught:
            load_weights(path)
        assert str(path) in str(caught.value), name
    with pytest.raises(CheckpointError, match="does not exist"):
        load_weights(tmp_path / "none")
    with pytest.raises(CheckpointError, match="is a folder"):
        load_weights(tmp_path)


def test_no_flipped_bit_changes_a_number_unnoticed(tmp_path):
    path = tmp_path / "w"
    expected = np.arange(20, dtype=np.float32)
    save_weights({"w": expected}, path)
    raw, silent = path.read_bytes(), 0
    for at in range(len(raw)):
        for bit in (0, 6):
            path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :])
            try:
                found = load_weights(path)
            except CheckpointError:
                continue
            silent += 1  # the checksum's own name was hit: the numbers are whole
            assert list(found) == ["w"]
            np.testing.assert_array_equal(found["w"], expected)
    assert silent < 30


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w"
    save_weights({"w": np.ones(3)}, path)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_weights({"w": np.zeros(3)}, path)
    assert load_weights(path)["w"].tolist() == [1, 1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["w"]


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(CheckpointError, match="make the folder"):
        save_weights({"w": np.ones(3)}, tmp_path / "none" / "w")
    for state, metadata in (
        ({1: np.ones(3)}, None),
        ({"__metadata__": np.ones(3)}, None),
        ({"w": np.array(["text"])}, None),
        ({"w": np.ones(2, complex)}, None),
        ({"w": np.ones(2)}, {"epoch": 3}),
    ):
        with pytest.raises(TypeError, match="save_weights: "):
            save_weights(state, tmp_path / "w", metadata)
