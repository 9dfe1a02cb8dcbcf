"""Finding, checking, downloading and reading real files. No test leaves this machine."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import tinymed
from tinymed.data import (
    DataHashError,
    DataNotFoundError,
    fetch,
    list_datasets,
    load_breastmnist,
    load_pneumoniamnist,
    sources,
)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("TINYMED_OFFLINE", "1")


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """A registry of two tiny files: toy.npz, and its twin toy_merged.npz."""
    contents = {}
    for name, shift in (("toy.npz", 0), ("toy_merged.npz", 1)):
        rng = np.random.default_rng(shift)
        arrays = {}
        for split, n in (("train", 6), ("val", 2), ("test", 3)):
            arrays[f"{split}_images"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
            arrays[f"{split}_labels"] = rng.integers(0, 2, (n, 1), dtype=np.uint8)
        np.savez(tmp_path / name, **arrays)
        contents[name] = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
    official = sources.DataFile(
        "toy.npz", f"sha256:{hashlib.sha256(contents['toy.npz']).hexdigest()}", len(contents["toy.npz"])
    )
    twin = sources.DataFile(
        "toy_merged.npz", f"md5:{hashlib.md5(contents['toy_merged.npz']).hexdigest()}", 1, note="put together"
    )
    source = sources.Source(
        "pneumoniamnist", "a toy", official, ("http://example.invalid/toy.npz",), "CC0", "nobody", (twin,)
    )
    monkeypatch.setitem(sources.SOURCES, "pneumoniamnist", source)
    return source, contents


# ---------------------------------------------------------------- found by name and hash


@pytest.mark.parametrize("below", ["", "a_folder"])
def test_a_file_placed_by_hand_is_found(toy, tmp_path, below):
    folder = tmp_path / below
    folder.mkdir(exist_ok=True)
    (folder / "toy.npz").write_bytes(toy[1]["toy.npz"])
    assert fetch("pneumoniamnist", data_home=tmp_path) == folder / "toy.npz"


def test_data_home_goes_before_the_environment_and_that_before_the_cache(toy, tmp_path, monkeypatch):
    here, there, cache = (tmp_path / name for name in ("here", "there", "cache"))
    monkeypatch.setattr("pooch.os_cache", lambda project: cache)
    monkeypatch.delenv("TINYMED_DATA", raising=False)
    for folder in (cache, there, here):
        folder.mkdir()
        (folder / "toy.npz").write_bytes(toy[1]["toy.npz"])
    assert fetch("pneumoniamnist") == cache / "toy.npz"
    monkeypatch.setenv("TINYMED_DATA", str(there))
    assert fetch("pneumoniamnist") == there / "toy.npz"
    assert fetch("pneumoniamnist", data_home=here) == here / "toy.npz"


def test_the_twin_is_taken_and_the_dataset_says_so(toy, tmp_path):
    (tmp_path / "toy_merged.npz").write_bytes(toy[1]["toy_merged.npz"])
    dataset = load_pneumoniamnist("val", data_home=tmp_path)
    assert dataset.source == "toy_merged.npz (put together)"
    (tmp_path / "toy.npz").write_bytes(toy[1]["toy.npz"])
    assert load_pneumoniamnist("val", data_home=tmp_path).source == "toy.npz"


def test_a_wrong_hash_is_said_and_the_file_neither_used_nor_deleted(toy, tmp_path, monkeypatch):
    source, contents = toy
    wrong = tmp_path / "toy.npz"
    wrong.write_bytes(contents["toy.npz"][:-1])
    monkeypatch.delenv("TINYMED_OFFLINE")  # nor is it overwritten by a download
    with pytest.raises(DataHashError) as caught:
        fetch("pneumoniamnist", data_home=tmp_path)
    message = str(caught.value)
    assert isinstance(caught.value, ValueError)
    for part in (
        str(wrong),
        hashlib.sha256(wrong.read_bytes()).hexdigest(),
        source.file.digest,
        "move it away",
    ):
        assert part in message
    assert wrong.read_bytes() == contents["toy.npz"][:-1]


def test_a_wrong_file_beside_a_right_one_is_warned_of(toy, tmp_path):
    (tmp_path / "toy.npz").write_bytes(b"not it")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "toy.npz").write_bytes(toy[1]["toy.npz"])
    with pytest.warns(UserWarning, match="not the pneumoniamnist that tinymed knows"):
        assert fetch("pneumoniamnist", data_home=tmp_path) == tmp_path / "below" / "toy.npz"


# ---------------------------------------------------------------- not found


@pytest.mark.parametrize("how", ["download=False", "TINYMED_OFFLINE"])
def test_the_offline_error_says_all_that_is_needed(tmp_path, monkeypatch, how):
    monkeypatch.setattr(sources, "_download", lambda *a: pytest.fail("the network was touched"))
    if how == "download=False":
        monkeypatch.delenv("TINYMED_OFFLINE")
    folder = tmp_path / "nowhere"
    with pytest.raises(DataNotFoundError) as caught:
        load_breastmnist(data_home=folder, download=how != "download=False")
    assert isinstance(caught.value, FileNotFoundError)
    for part in (
        "https://zenodo.org/records/10519652/files/breastmnist.npz",
        str(folder / "breastmnist.npz"),
        "559,580 bytes",
        "sha256:3a22d2a4625e7dd8903f0f59030e81a3d0c222bece2e5e10927456cb50efdec1",
        how,
    ):
        assert part in str(caught.value)
    assert not folder.exists()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="no data set 'brestmnist'; there are breastmnist, pneumoniamnist"):
        fetch("brestmnist")


def test_import_creates_nothing(tmp_path):
    code = "import tinymed.data, sys; print([m for m in ('pooch', 'sklearn', 'rich') if m in sys.modules])"
    env = os.environ | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- downloaded, from this machine's own server


@pytest.fixture
def server(monkeypatch):
    """Serves `server.contents`, keeps the User-Agents; `server.closed` is an address nobody listens at."""
    monkeypatch.delenv("TINYMED_OFFLINE")
    monkeypatch.setenv("NO_PROXY", "*")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.agents.append(self.headers["User-Agent"])
            self.send_response(200)
            self.send_header("Content-Length", str(len(server.contents)))
            self.end_headers()
            self.wfile.write(server.contents)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.contents, server.agents = b"", []
    server.url = f"http://127.0.0.1:{server.server_address[1]}/toy.npz"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server.closed = f"http://127.0.0.1:{free.getsockname()[1]}/toy.npz"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def set_urls(monkeypatch, source, *urls):
    monkeypatch.setitem(sources.SOURCES, "pneumoniamnist", replace(source, urls=urls))


@pytest.mark.parametrize("progress", [False, True])
def test_the_mirror_is_tried_after_the_official_address(toy, server, tmp_path, monkeypatch, progress, caplog, capfd):
    source, contents = toy
    caplog.set_level("INFO", "tinymed")
    (tmp_path / "new").mkdir()
    set_urls(monkeypatch, source, server.closed, server.url)
    server.contents = contents["toy.npz"]
    path = fetch("pneumoniamnist", data_home=tmp_path / "new", progress=progress)
    assert path == tmp_path / "new" / "toy.npz"
    assert path.read_bytes() == contents["toy.npz"]
    assert server.agents == [f"tinymed/{tinymed.__version__}"]
    assert fetch("pneumoniamnist", data_home=tmp_path / "new") == path
    assert len(server.agents) == 1  # the second time from the folder
    assert [r.getMessage() for r in caplog.records if r.name.startswith("tinymed")] == [
        f"downloading toy.npz (0.0 MB) into {tmp_path / 'new'}"
    ]
    assert "Downloading data from" not in "".join(capfd.readouterr())


def test_only_the_cache_is_made(toy, server, tmp_path, monkeypatch):
    set_urls(monkeypatch, toy[0], server.url)
    server.contents = toy[1]["toy.npz"]
    monkeypatch.delenv("TINYMED_DATA", raising=False)
    with pytest.raises(DataNotFoundError, match="gone does not exist: make it, or correct data_home"):
        fetch("pneumoniamnist", data_home=tmp_path / "gone")
    monkeypatch.setenv("TINYMED_DATA", str(tmp_path / "gone"))
    with pytest.raises(DataNotFoundError, match="gone does not exist: make it, or correct TINYMED_DATA"):
        fetch("pneumoniamnist")
    assert not (tmp_path / "gone").exists()
    assert not server.agents
    monkeypatch.delenv("TINYMED_DATA")
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache")
    assert fetch("pneumoniamnist").is_file()


def test_wisconsin_needs_no_file():
    with pytest.raises(ValueError, match=r"wisconsin comes with scikit-learn and needs no download: load_wisconsin"):
        fetch("wisconsin")


def test_a_download_with_a_wrong_hash_leaves_nothing(toy, server, tmp_path, monkeypatch):
    set_urls(monkeypatch, toy[0], server.url)
    server.contents = b"<html>please log in</html>"
    with pytest.raises(DataNotFoundError, match=r"(?s)It was not downloaded:.*hash"):
        fetch("pneumoniamnist", data_home=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_says_why_for_each_address(toy, server, tmp_path, monkeypatch):
    set_urls(monkeypatch, toy[0], server.closed, server.closed + "?mirror")
    with pytest.raises(DataNotFoundError) as caught:
        fetch("pneumoniamnist", data_home=tmp_path)
    assert str(caught.value).count("NewConnectionError: ") == 2
    assert server.closed + "?mirror\n" in str(caught.value)


def test_an_unknown_host_fails_fast(toy, server, tmp_path, monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    begun = time.perf_counter()
    with pytest.raises(DataNotFoundError, match=r"Failed to resolve 'zenodo\.org'"):
        fetch("breastmnist", data_home=tmp_path)
    assert time.perf_counter() - begun < 5


# ---------------------------------------------------------------- the list


def test_list_datasets(toy, tmp_path):
    (tmp_path / "toy_merged.npz").write_bytes(toy[1]["toy_merged.npz"])
    (tmp_path / "breastmnist.npz").write_bytes(b"not it")
    rows = {row["name"]: row for row in list_datasets(tmp_path)}
    assert rows["pneumoniamnist"]["state"] == str(tmp_path / "toy_merged.npz")
    assert rows["breastmnist"]["state"].startswith("wrong file: ")
    assert rows["wisconsin"]["state"] == "comes with scikit-learn"
    (tmp_path / "breastmnist.npz").unlink()
    assert list_datasets(tmp_path)[0]["state"] == "not here"
    for row in rows.values():
        assert {"name", "what", "size", "licence", "citation", "state"} == set(row)


# ---------------------------------------------------------------- what is in a file


def test_loader_shapes(toy, tmp_path):
    (tmp_path / "toy.npz").write_bytes(toy[1]["toy.npz"])
    dataset = load_pneumoniamnist("test", data_home=tmp_path)
    assert dataset.images.shape == (3, 1, 28, 28)
    assert dataset.images.dtype == np.float32
    assert dataset.labels.shape == (3,)
    assert dataset.labels.dtype == np.int64
    assert (dataset.classes, dataset.split) == (("normal", "pneumonia"), "test")
    assert (dataset.licence, dataset.citation) == ("CC0", "nobody")
    with np.load(tmp_path / "toy.npz") as raw:
        np.testing.assert_allclose(dataset.images.array[:, 0], raw["test_images"] / 255, rtol=1e-6)
