"""Finding, checking, downloading and reading real files. No test leaves this machine."""

from __future__ import annotations

import hashlib
import io
import os
import re
import socket
import subprocess
import sys
import threading
import time
import zipfile
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
from tinymed.data.registry import SOURCES, DataFile, Source
from tinymed.data.sources import fetch_all


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
    official = DataFile(
        "toy.npz",
        ("http://example.invalid/toy.npz",),
        len(contents["toy.npz"]),
        f"sha256:{hashlib.sha256(contents['toy.npz']).hexdigest()}",
    )
    twin = DataFile(
        "toy_merged.npz", (), 1, f"md5:{hashlib.md5(contents['toy_merged.npz']).hexdigest()}", note="put together"
    )
    source = Source("pneumoniamnist", "a toy", (official,), "CC0", "nobody", (twin,))
    monkeypatch.setitem(SOURCES, "pneumoniamnist", source)
    return source, contents


PARTS = {"1.hea": b"1 2 360", "1.dat": b"\x01\x02", "2.hea": b"2 2 360", "2.dat": b"\x03\x04"}


@pytest.fixture
def parts(monkeypatch):
    """A set of four files, two of which nobody has published a hash of, and a twin of them all."""

    def part(name):
        digest = f"sha256:{hashlib.sha256(PARTS[name]).hexdigest()}" if name.endswith("dat") else ""
        return DataFile(name, (f"http://example.invalid/{name}",), len(PARTS[name]), digest)

    twin = DataFile("parts.npz", (), 3, f"sha256:{hashlib.sha256(b'all').hexdigest()}")
    source = Source("parts", "four toys", tuple(map(part, PARTS)), "CC0", "nobody", (twin,))
    monkeypatch.setitem(SOURCES, "parts", source)
    return source


def place(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(PARTS[name])


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
        source.files[0].digest,
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
    monkeypatch.setattr(sources, "download_any", lambda *a: pytest.fail("the network was touched"))
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


def test_an_address_that_nobody_has_tried_is_told(tmp_path):
    note = "  note  nobody has tried this address yet"
    for name, untried in (("breastmnist", 0), ("pima", 1), ("golub", 3), ("ecg5000", 2)):
        with pytest.raises(DataNotFoundError) as caught:
            fetch_all(name, data_home=tmp_path)
        assert str(caught.value).splitlines().count(note) == untried


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
    """Serves `server.pages`, else `server.contents`, keeps the User-Agents; `server.cut` bytes are promised and not
    sent; `server.closed` is an address nobody listens at."""
    monkeypatch.delenv("TINYMED_OFFLINE")
    monkeypatch.setenv("NO_PROXY", "*")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.agents.append(self.headers["User-Agent"])
            self.send_response(200)
            contents = server.pages.get(self.path.lstrip("/"), server.contents)
            self.send_header("Content-Length", str(len(contents) + server.cut))
            self.end_headers()
            self.wfile.write(contents)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.contents, server.pages, server.agents, server.cut = b"", {}, [], 0
    server.url = f"http://127.0.0.1:{server.server_address[1]}/toy.npz"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server.closed = f"http://127.0.0.1:{free.getsockname()[1]}/toy.npz"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def set_urls(monkeypatch, source, *urls):
    files = (replace(source.files[0], urls=urls),)
    monkeypatch.setitem(SOURCES, source.name, replace(source, files=files))


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
        f"downloading toy.npz (10 kB) into {tmp_path / 'new'}"
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


def serve(monkeypatch, source, server):
    address = server.url.removesuffix("toy.npz")
    files = tuple(replace(file, urls=(address + file.filename,)) for file in source.files)
    monkeypatch.setitem(SOURCES, source.name, replace(source, files=files))
    server.pages = dict(PARTS)


def test_what_is_missing_of_a_set_is_downloaded(parts, server, tmp_path, monkeypatch):
    serve(monkeypatch, parts, server)
    place(tmp_path / "below", "1.dat", "2.hea")
    paths = fetch_all("parts", data_home=tmp_path)
    assert list(paths) == list(PARTS)
    assert {name: path.read_bytes() for name, path in paths.items()} == PARTS
    assert paths["1.dat"] == tmp_path / "below" / "1.dat"
    assert len(server.agents) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.hea", "2.dat", "below"]


@pytest.mark.parametrize("page", [b"<!DOCTYPE html>please log in", b" \n<html>", b""])
def test_a_page_is_not_taken_for_a_file_without_a_hash(parts, server, tmp_path, monkeypatch, page):
    serve(monkeypatch, parts, server)
    server.pages["1.hea"] = page
    with pytest.raises(
        DataNotFoundError, match=r"(?s)1\.hea, 1\.dat, 2\.hea, 2\.dat are not in.*a page or nothing came"
    ):
        fetch_all("parts", data_home=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(server.agents) == 1  # the other three were not tried


def test_a_download_that_breaks_off_leaves_nothing(parts, server, tmp_path, monkeypatch):
    serve(monkeypatch, parts, server)
    server.cut = 5
    with pytest.raises(DataNotFoundError, match=r"IncompleteRead|broken"):
        fetch_all("parts", data_home=tmp_path, files=["1.hea"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("toy.npz", None),
        ("other.txt", "holds no toy.npz, but in/other.txt"),
        ("cut", "BadZipFile"),
        ("torn", r"zlib|BadZipFile|error"),
        ("wrong", "hash of"),
    ],
)
def test_a_member_of_an_archive(toy, server, tmp_path, monkeypatch, member, message):
    set_urls(monkeypatch, toy[0], server.url.replace("toy.npz", "toy.zip") + "#toy.npz")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        name = member if member == "other.txt" else "toy.npz"
        archive.writestr(f"in/{name}", toy[1]["toy_merged.npz" if member == "wrong" else "toy.npz"])
    server.contents = stream.getvalue()[: -40 if member == "cut" else None]
    if member == "torn":
        server.contents = server.contents[:2000] + b"\xff" * 200 + server.contents[2200:]
    if message is None:
        path = fetch("pneumoniamnist", data_home=tmp_path)
        assert path.read_bytes() == toy[1]["toy.npz"]
        assert list(tmp_path.iterdir()) == [path]
    else:
        with pytest.raises(DataNotFoundError, match=message):
            fetch("pneumoniamnist", data_home=tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_an_archive_of_several_files_is_downloaded_once(parts, server, tmp_path, monkeypatch):
    address = server.url.replace("toy.npz", "toy.zip")
    files = tuple(replace(file, urls=(f"{address}#{file.filename}",)) for file in parts.files)
    monkeypatch.setitem(SOURCES, "parts", replace(parts, files=files))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, contents in PARTS.items():
            archive.writestr(f"in/{name}", contents if name != "2.dat" else b"torn")
    server.contents = stream.getvalue()
    (tmp_path / "2.hea").write_bytes(b"mine")
    assert list(fetch_all("parts", data_home=tmp_path, files=["1.hea"])) == ["1.hea"]
    assert (tmp_path / "1.dat").read_bytes() == PARTS["1.dat"]  # it came with the other
    assert (tmp_path / "2.hea").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.dat", "1.hea", "2.hea"]  # a torn one does not
    assert list(fetch_all("parts", data_home=tmp_path, files="1")) == ["1.hea", "1.dat"]
    assert len(server.agents) == 1
    with pytest.raises(DataNotFoundError, match=r"hash of 2\.dat"):
        fetch_all("parts", data_home=tmp_path)


# ---------------------------------------------------------------- sets of several files


def test_some_files_of_a_set(parts, tmp_path):
    place(tmp_path, "1.hea", "1.dat", "2.hea")
    assert list(fetch_all("parts", data_home=tmp_path, files=("1.dat",))) == ["1.dat"]
    assert list(fetch_all("parts", data_home=tmp_path, files=["1"])) == ["1.hea", "1.dat"]
    assert list(fetch_all("parts", data_home=tmp_path, files="1")) == ["1.hea", "1.dat"]
    with pytest.raises(DataNotFoundError, match=r"^2\.dat is not in"):
        fetch_all("parts", data_home=tmp_path)
    with pytest.raises(ValueError, match=r"parts has no file '3'; it has 1\.hea, 1\.dat, 2\.hea, 2\.dat"):
        fetch_all("parts", data_home=tmp_path, files=["1", "3"])
    with pytest.raises(ValueError, match=r"parts is 4 files: fetch_all\('parts'\) gives the path of each"):
        fetch("parts", data_home=tmp_path)


def test_every_missing_file_is_told_of(parts, tmp_path):
    place(tmp_path, "1.hea")
    with pytest.raises(DataNotFoundError) as caught:
        fetch_all("parts", data_home=tmp_path)
    first, *lines = str(caught.value).splitlines()
    assert first == f"1.dat, 2.hea, 2.dat are not in {tmp_path} (four toys)."
    assert lines[4:8] == [
        "and download http://example.invalid/2.hea",
        f"  to    {tmp_path / '2.hea'}",
        "  size  7 bytes",
        "  hash  not known: it is taken by its name, and read with care",
    ]


def test_a_twin_stands_for_all_files(parts, tmp_path):
    place(tmp_path, "1.hea", "1.dat")
    (tmp_path / "parts.npz").write_bytes(b"all")
    assert fetch_all("parts", data_home=tmp_path) == {"parts.npz": tmp_path / "parts.npz"}
    assert list(fetch_all("parts", data_home=tmp_path, files=["2.dat"])) == ["parts.npz"]
    assert list(fetch_all("parts", data_home=tmp_path, files=["1"])) == ["1.hea", "1.dat"]


def test_a_wrong_file_of_a_set_is_not_made_good_by_the_others(parts, tmp_path):
    place(tmp_path, *PARTS)
    (tmp_path / "2.dat").write_bytes(b"cut")
    with pytest.raises(DataHashError, match=r"2\.dat has sha256:.* \(3 bytes, expected 2\)"):
        fetch_all("parts", data_home=tmp_path)
    assert list(fetch_all("parts", data_home=tmp_path, files=["1"])) == ["1.hea", "1.dat"]


def test_an_alias_is_taken_by_its_name(parts, tmp_path, monkeypatch):
    file = replace(parts.files[1], aliases=("1.tsv",))
    monkeypatch.setitem(SOURCES, "parts", replace(parts, files=(file,)))
    (tmp_path / "1.tsv").write_bytes(b"another layout")
    assert fetch("parts", data_home=tmp_path) == tmp_path / "1.tsv"


def test_the_table_is_sound():
    for source in SOURCES.values():
        names = [name for file in (*source.files, *source.twins) for name in (file.filename, *file.aliases)]
        assert len(set(names)) == len(names)
        assert source.licence
        assert source.citation
        for file in (*source.files, *source.twins):
            algorithm, _, digest = file.digest.partition(":")
            assert (algorithm, len(digest)) in (("", 0), ("md5", 32), ("sha256", 64))
            assert not set(digest) - set("0123456789abcdef")
            assert file in source.twins or file.urls
            assert all(url.startswith("https://") for url in file.urls)
    mitdb = SOURCES["mitdb"].files
    assert len(mitdb) == 144
    assert [file.filename for file in mitdb[:4]] == ["100.hea", "100.dat", "100.atr", "101.hea"]
    assert sum(bool(file.digest) for file in mitdb) == 4


# ---------------------------------------------------------------- the list


def test_list_datasets(toy, parts, tmp_path):
    def state(name):
        return next(row["state"] for row in list_datasets(tmp_path) if row["name"] == name)

    (tmp_path / "toy_merged.npz").write_bytes(toy[1]["toy_merged.npz"])
    (tmp_path / "breastmnist.npz").write_bytes(b"not it")
    assert state("pneumoniamnist") == str(tmp_path / "toy_merged.npz")
    assert state("breastmnist").startswith("wrong file: ")
    assert state("wisconsin") == "comes with scikit-learn"
    (tmp_path / "breastmnist.npz").unlink()
    assert state("breastmnist") == "not here"
    assert state("parts") == "not here"
    place(tmp_path, "1.hea")
    assert state("parts") == f"{tmp_path / '1.hea'}, 1 of 4 files (hash not known)"
    place(tmp_path, *PARTS)
    assert state("parts") == f"{tmp_path} (hash of 2 not known)"
    for row in list_datasets(tmp_path):
        assert {"name", "what", "size", "licence", "citation", "state"} == set(row)
        assert row["size"]


def test_data_list_and_path_in_the_terminal(command, parts, tmp_path):
    place(tmp_path, "1.hea", "1.dat")
    code, text, _ = command("data", "list", "--data-home", tmp_path)
    assert code == 0
    assert re.search(r"^parts +0 kB  CC0\n  four toys\n  .*, 2 of 4 files \(hash of 1 not known\)$", text, re.M)
    assert re.search(r"^mitdb +over 93\.6 MB  ODC-By 1\.0$", text, re.M)
    assert max(map(len, text.replace(str(tmp_path), "").splitlines())) < 120
    assert command("data", "path", "parts", "1", "--data-home", tmp_path) == (
        0, f"{tmp_path / '1.hea'}\n{tmp_path / '1.dat'}\n", "",
    )  # fmt: skip
    code, _, complaint = command("data", "fetch", "parts", "--data-home", tmp_path)
    assert code == 2
    assert complaint.startswith("tinymed: 2.hea, 2.dat are not in")
    assert "TINYMED_OFFLINE is set" in complaint


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
