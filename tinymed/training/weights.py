"""Weights on disk, in the safetensors format: no pickle, written whole or not at all, and checked when read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinymed.nn.module import Module, array_of

CHECKSUM = "sha256"  # the entry of the metadata that holds the sum over everything else


class CheckpointError(ValueError):
    """A file of weights that cannot be read or written: the message has its path and the cure."""


def save(
    model_or_state: Module | Mapping[str, Any], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a model's state_dict, or any dictionary of arrays, to one safetensors file.

    The file appears under its name only once it is complete and on the disk. metadata maps strings to strings.
    Raises TypeError for names or metadata that are not strings, CheckpointError where it cannot be written.
    """
    from safetensors.numpy import save as to_bytes

    state = model_or_state.state_dict() if isinstance(model_or_state, Module) else model_or_state
    if not isinstance(state, Mapping):
        raise TypeError(f"save_weights expects (model, path), got a {type(state).__name__} in the model's place")
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"save_weights: metadata maps str to str, got {key!r}: {value!r}; use json.dumps(value)")
    for name in state:
        if not isinstance(name, str) or name == "__metadata__":
            raise TypeError(f'save_weights: the name of an array is a str other than "__metadata__", got {name!r}')
    # C order matters: safetensors 0.8.0 writes wrong numbers, silently, for anything else
    arrays = {name: np.asarray(array_of(name, value), order="C") for name, value in state.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise TypeError(
                f"save_weights: {name!r} holds {array.dtype}, which the format does not know; it keeps "
                "arrays by their names (of a whole run, optimiser and all: fit(..., checkpoint=path))"
            )
    about = {key: value for key, value in (metadata or {}).items() if key != CHECKSUM}
    about[CHECKSUM] = _checksum(arrays, about)
    _write(Path(path), to_bytes(arrays, about))


def load(path: str | Path, *more: Any) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name, fit for `model.load_state_dict`.

    Files of other programs are read too; in those that `save_weights` wrote, every changed bit is found.
    Raises CheckpointError for whatever is no such file, or no longer one.
    """
    if more or isinstance(path, Module):
        raise TypeError("load_weights takes the path alone: model.load_state_dict(load_weights(path))")
    return read(Path(path))[0]


def load_metadata(path: str | Path) -> dict[str, str]:
    """The strings that were saved along with the arrays. Raises CheckpointError as `load`."""
    return read(Path(path))[1]


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the strings of a file. Raises CheckpointError as `load`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist; check the path, or save the weights first") from None
    except IsADirectoryError:
        raise CheckpointError(f"{path} is a folder; give the .safetensors file in it") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}; check its permissions") from None
    try:
        arrays = from_bytes(raw)
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    except KeyError as error:  # a valid file of bfloat16 or float8, which NumPy lacks
        raise CheckpointError(f"{path} holds {error}, which NumPy has not; convert it to float32 first") from None
    except (SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} holds no weights: {_diagnosis(raw, error)}") from None
    metadata = dict(header.get("__metadata__") or {})
    expected = metadata.pop(CHECKSUM, None)
    if expected is not None and expected != _checksum(arrays, metadata):
        raise CheckpointError(f"{path} was damaged after it was saved: its checksum differs; copy it afresh")
    return arrays, metadata


def _diagnosis(raw: bytes, error: Exception) -> str:
    """What a file that is no safetensors file probably is, and the cure."""
    start = raw[:512].lstrip().lower()
    if not raw:
        return "it is empty; copy or save it afresh"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page, probably an error or login page; download the file itself"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; fetch the file itself with git lfs pull"
    if raw[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") or raw[:4] == b"PK\x03\x04":
        return "it is a pickle or zip archive (.pt, .pth, .npz), not safetensors; convert it where it was made"
    return f"it is truncated, damaged or in another format ({error}); copy it afresh, or save it again"


def _checksum(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """SHA-256 over the metadata and every array's name, dtype, shape and bytes."""
    names = sorted(arrays)
    head = [sorted(metadata.items()), [(n, arrays[n].dtype.name, arrays[n].shape) for n in names]]
    digest = hashlib.sha256(json.dumps(head).encode())
    for name in names:
        digest.update(arrays[name].astype(arrays[name].dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def _write(path: Path, raw: bytes) -> None:
    """Write beside the target, flush to the disk, then rename: the old file or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        cure = "make the folder first" if isinstance(error, FileNotFoundError) else "check place and permissions"
        raise CheckpointError(f"{path} cannot be written: {error.strerror}; {cure}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
