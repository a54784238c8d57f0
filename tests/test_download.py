import gzip
import hashlib
import http.server
import io
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch

from aetutor import _download, sources

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
BODY = np.random.default_rng(0).bytes(500_000)
SHA = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.asked.append((self.path, asked))
        if self.path not in server.files:
            self.send_error(404)
            return
        body = server.files[self.path]
        start = int(re.fullmatch(r"bytes=(\d+)-", asked).group(1)) if asked and server.ranges else 0
        if start and (start >= len(body) or server.refuse_ranges):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            first = start + server.range_off_by
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        if server.length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        rest = rest[: server.cuts.pop(0) if server.cuts else len(rest)]
        with suppress(ConnectionError):
            self.wfile.write(rest)
            self.wfile.flush()
            server.sent.append(len(rest))
            server.hold.wait(20)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked, server.sent, server.cuts = {"/file": BODY}, [], [], []
    server.ranges, server.refuse_ranges, server.length, server.range_off_by = True, False, True, 0
    server.hold = threading.Event()  # once set, no answer is held back
    server.hold.set()
    server.url = f"http://127.0.0.1:{server.server_port}/file"
    monkeypatch.setenv("no_proxy", "*")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.hold.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AETUTOR_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def fetch(server, *mirrors, name="set/file.gz"):
    return _download.fetch(name, [*mirrors, server.url], SHA, len(BODY))


def run(code, **environment):
    """A process of its own, in which the names of this file's fetch are at hand."""
    head = (
        f"import sys; from aetutor import _download\n"
        f"def fetch(url): return _download.fetch('set/file.gz', [url], {SHA!r}, {len(BODY)})\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + code],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# Downloading


def test_a_file_comes_once(server, folder, capsys):
    path = fetch(server)
    assert path == folder / "set" / "file.gz"
    assert path.read_bytes() == BODY
    assert "500k/500k" in capsys.readouterr().err  # the bar
    assert fetch(server) == path
    assert server.asked == [("/file", None)]
    assert not list(folder.rglob("*.part"))


def test_a_cut_download_goes_on_where_it_stopped(server, folder):
    server.cuts = [200_000, 100_000]
    for came in (200_000, 300_000):
        with pytest.raises(FileNotFoundError, match=f"ended after {came:,} of 500,000 bytes, kept for"):
            fetch(server)
        assert (folder / "set" / "file.gz.part").stat().st_size == came
        assert not (folder / "set" / "file.gz").exists()
    assert fetch(server).read_bytes() == BODY
    assert [asked for _, asked in server.asked] == [None, "bytes=200000-", "bytes=300000-"]
    assert sum(server.sent) == len(BODY)


def test_the_next_mirror_takes_over(server, folder):
    server.files["/mirror"] = BODY
    server.cuts = [123_456]
    mirrors = [server.url.replace("file", name) for name in ("absent", "mirror")]
    assert fetch(server, *mirrors).read_bytes() == BODY
    assert server.asked == [("/absent", None), ("/mirror", None), ("/file", "bytes=123456-")]


@pytest.mark.parametrize(
    ("setting", "asked"),
    [
        ({"ranges": False}, ["bytes=200000-"]),
        ({"refuse_ranges": True}, ["bytes=200000-", None]),
        ({"range_off_by": 5}, ["bytes=200000-", None]),
    ],
)
def test_a_server_that_cannot_go_on_begins_anew(server, folder, setting, asked):
    vars(server).update(setting)
    (folder / "set").mkdir(parents=True)
    (folder / "set" / "file.gz.part").write_bytes(BODY[:200_000])
    assert fetch(server).read_bytes() == BODY
    assert [header for _, header in server.asked] == asked


@pytest.mark.parametrize(("part", "asked"), [(BODY, []), (BODY + b"more", [("/file", None)])])
def test_a_part_that_is_all_or_too_much(server, folder, part, asked):
    (folder / "set").mkdir(parents=True)
    (folder / "set" / "file.gz.part").write_bytes(part)
    assert fetch(server).read_bytes() == BODY
    assert server.asked == asked


@pytest.mark.parametrize("length", [True, False])
def test_wrong_bytes_are_deleted(server, folder, length):
    wrong = bytes(len(BODY)) if length else b"<html>Log in</html>"
    server.files["/file"], server.length = wrong, length
    got = hashlib.sha256(wrong).hexdigest()
    with pytest.raises(ValueError, match=rf"file.gz .* is damaged: expected sha256 {SHA}, got {got}"):
        fetch(server)
    assert not [path for path in folder.rglob("*file.gz*") if path.suffix != ".lock"]
    server.files["/file"] = BODY
    assert fetch(server).read_bytes() == BODY


def test_a_part_of_other_bytes_is_deleted(server, folder):
    (folder / "set").mkdir(parents=True)
    (folder / "set" / "file.gz.part").write_bytes(bytes(100))
    with pytest.raises(ValueError, match="is damaged"):
        fetch(server)
    assert fetch(server).read_bytes() == BODY


def test_another_page_does_not_take_the_place_of_what_came(server, folder):
    server.cuts = [200_000]
    with pytest.raises(FileNotFoundError):
        fetch(server)
    server.files["/file"], server.ranges = b"<html>Log in</html>", False
    with pytest.raises(FileNotFoundError, match="a file of 19 bytes came instead of one of 500,000"):
        fetch(server)
    assert (folder / "set" / "file.gz.part").read_bytes() == BODY[:200_000]


def test_an_endless_answer_is_not_read_to_its_end(server, folder):
    server.files["/file"], server.length = BODY * 60, False  # more than the sockets hold
    with pytest.raises(ValueError, match="is damaged"):
        fetch(server)
    assert not server.sent


def test_two_at_once_download_once(server, folder):
    server.hold.clear()
    found = []
    threads = [threading.Thread(target=lambda: found.append(fetch(server).read_bytes())) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    server.hold.set()
    for thread in threads:
        thread.join()
    assert found == [BODY, BODY]
    assert server.asked == [("/file", None)]


def test_a_killed_download_goes_on(server, folder):
    server.hold.clear()
    server.cuts = [300_000]  # and then silence
    process = run(f"fetch({server.url!r})")
    part = folder / "set" / "file.gz.part"
    for _ in range(3000):
        if part.exists() and part.stat().st_size >= 200_000:
            break
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.kill()
    process.communicate()
    server.hold.set()
    kept = part.stat().st_size
    assert BODY.startswith(part.read_bytes())
    assert fetch(server).read_bytes() == BODY
    assert server.asked[1:] == [("/file", f"bytes={kept}-")]


def test_a_full_disk(server, folder):
    pytest.importorskip("resource", reason="limits on the size of files are of Unix")
    process = run(
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\n"
        f"try: fetch({server.url!r})\n"
        "except FileNotFoundError: print('the network was blamed')\n"
        "except OSError as error: print(error)\n"
    )
    out, err = process.communicate()
    assert "File too large" in out, err
    assert "file.gz.part" in out
    assert not (folder / "set" / "file.gz").exists()
    assert fetch(server).read_bytes() == BODY  # there is room again


def test_silence_is_not_waited_for_without_end(server, folder, monkeypatch):
    monkeypatch.setattr(_download, "_TIMEOUT", 0.2)
    server.hold.clear()
    server.cuts = [100_000]
    with pytest.raises(FileNotFoundError, match="timed out, and what came is kept"):
        fetch(server)
    assert 0 < (folder / "set" / "file.gz.part").stat().st_size <= 100_000


def test_ctrl_c_keeps_what_came(server, folder, monkeypatch):
    read = _download._read
    answers = iter([read, read])

    def interrupted(answer):
        try:
            return next(answers)(answer)
        except StopIteration:
            raise KeyboardInterrupt from None

    with monkeypatch.context() as patch:
        patch.setattr(_download, "_read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(server)
    assert fetch(server).read_bytes() == BODY
    assert server.asked[1] == ("/file", f"bytes={2 * _download._CHUNK}-")


# Without a network


def test_offline(folder, monkeypatch):
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(socket.gaierror("no net"))
    )
    monkeypatch.setenv("no_proxy", "*")
    words = (
        f"train-images-idx3-ubyte.gz is not in {folder / 'mnist'} and cannot be downloaded (no net); "
        "put the file from https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz there"
    )
    with pytest.raises(FileNotFoundError) as caught:
        sources.mnist("train")
    assert str(caught.value) == words
    for load in (sources.fashion_mnist, sources.cifar10):
        with pytest.raises(FileNotFoundError, match="cannot be downloaded"):
            load("test")


def test_a_folder_that_cannot_be(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("AETUTOR_DATA", str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded \(.*/file"):
        fetch(server)


def test_a_damaged_file_stays(server, folder):
    (folder / "set").mkdir(parents=True)
    (folder / "set" / "file.gz").write_bytes(BODY[:1000])
    with pytest.raises(ValueError, match=r"file.gz is damaged or another file: .* 1,000; delete it"):
        fetch(server)
    assert (folder / "set" / "file.gz").stat().st_size == 1000
    assert not server.asked


def test_the_folder(monkeypatch):
    monkeypatch.setenv("AETUTOR_DATA", "~/images")
    assert _download.folder() == Path.home() / "images"
    monkeypatch.setenv("AETUTOR_DATA", "")
    assert _download.folder() == platformdirs.user_cache_path("aetutor", appauthor=False)
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(ImportError, match=r"platformdirs finds the folder.*aetutor\[data\].*AETUTOR_DATA"):
        _download.folder()


def test_importing_downloads_nothing(folder):
    process = run(
        "import socket\n"
        "socket.socket.connect = socket.getaddrinfo = lambda *_: sys.exit('connects')\n"
        "import aetutor.sources, aetutor.explore\n"
        "print('platformdirs' in sys.modules)\n"
    )
    out, err = process.communicate()
    assert (process.returncode, err, out) == (0, "", "False\n")
    assert not folder.exists()


def test_the_table():
    for name, file in _download.FILES.items():
        assert all(url.startswith("https://") for url in file.urls)
        assert all(url.endswith(name.rpartition("/")[2]) for url in file.urls)
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.size > 1_000_000
    assert len({file.sha256 for file in _download.FILES.values()}) == len(_download.FILES)


# Reading


@pytest.fixture
def place(folder, monkeypatch):
    """Puts made bytes in the place of a file, as if they were the right ones."""

    def put(name, data):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        file = _download.File(("https://localhost/",), hashlib.sha256(data).hexdigest(), len(data))
        monkeypatch.setitem(_download.FILES, name, file)

    return put


def idx(pixels, magic=0x803):
    return gzip.compress(struct.pack(f">{1 + pixels.ndim}I", magic, *pixels.shape) + pixels.tobytes())


def cifar(batches):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        for name, data in {"readme.html": b"read me", **batches}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def records(labels, pixels):
    return np.column_stack([labels, pixels]).astype(np.uint8).tobytes()


CIFAR = "cifar-10/cifar-10-binary.tar.gz"
TRAIN = [f"data_batch_{k}.bin" for k in range(1, 6)]


@pytest.mark.parametrize(
    ("load", "name"),
    [
        (lambda: sources.mnist("train"), "mnist/train"),
        (lambda: sources.mnist("test"), "mnist/t10k"),
        (lambda: sources.fashion_mnist(), "fashion-mnist/train"),
        (lambda: sources.fashion_mnist("test"), "fashion-mnist/t10k"),
    ],
)
def test_idx(place, load, name):
    pixels = np.arange(2 * 3 * 50, dtype=np.uint8).reshape(2, 3, 50)
    pixels.flat[0] = 255
    place(f"{name}-images-idx3-ubyte.gz", idx(pixels))
    images = load()
    assert images.name == ("MNIST" if name.startswith("mnist") else "Fashion-MNIST")
    assert images.shape == (3, 50)
    assert images.data.dtype == torch.float64
    assert images.data.max() == 1
    assert np.array_equal(images.data.numpy(), pixels.reshape(2, 150) / 255.0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html>", "must be a whole gzip file, got: Not a gzipped file"),
        (idx(np.ones((2, 3, 4), np.uint8))[:-9], "must be a whole gzip file"),
        (idx(np.ones(9, np.uint8), 0x801), "must hold images, an IDX file .* got 00000801 of labels"),
        (idx(np.ones((2, 3, 4), np.uint8), 0xD03), "begins 00000803, got 00000d03$"),
        (gzip.compress(b""), "got $"),
        (gzip.compress(struct.pack(">2I", 0x803, 2)), "got 8 bytes"),
        (gzip.compress(struct.pack(">4I", 0x803, 2, 3, 4) + bytes(23)), "2 images of 3 × 4, got 39 bytes"),
        (gzip.compress(struct.pack(">4I", 0x803, 2, 3, 4) + bytes(25)), "2 images of 3 × 4, got 41 bytes"),
        (gzip.compress(struct.pack(">4I", 0x803, 0, 3, 4)), "0 images"),
    ],
)
def test_what_is_no_idx_file_of_images(place, data, words):
    place("mnist/t10k-images-idx3-ubyte.gz", data)
    with pytest.raises(ValueError, match=words) as caught:
        sources.mnist("test")
    assert "t10k-images" in str(caught.value)


def test_cifar10(place):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (6, 20, 3072), dtype=np.uint8)
    pixels[0, 0] = 255
    labels = np.tile(np.arange(10), 2)
    names = [*TRAIN, "test_batch.bin"]
    batches = {name: records(labels, batch) for name, batch in zip(names, pixels, strict=True)}
    # Batches follow their numbers, wherever they lie in the archive.
    place(CIFAR, cifar(dict(reversed(batches.items()))))

    train, test = sources.cifar10(), sources.cifar10("test")
    assert (train.shape, train.name, train.data.dtype) == ((3, 32, 32), "CIFAR-10", torch.float64)
    assert np.array_equal(train.data.numpy(), pixels[:5].reshape(100, 3072) / 255.0)
    assert np.array_equal(test.data.numpy(), pixels[5] / 255.0)

    dogs = sources.cifar10("train", label="dog")
    assert dogs.name == "CIFAR-10 dog"
    assert torch.equal(dogs.data, train.data[5::10])
    assert torch.equal(sources.cifar10(label=np.int64(5)).data, dogs.data)

    grey = sources.cifar10("train", "airplane", grey=True)
    assert (grey.shape, grey.dimension, len(grey)) == ((32, 32), 1024, 10)
    colours = train.data[0::10].reshape(10, 3, 1024)
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64) @ colours
    assert torch.allclose(grey.data, luma, atol=1e-12)
    assert (grey.data[0] == 1).all()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html>", "must be a whole .tar.gz archive"),
        (cifar({"test_batch.bin": bytes(100_000)})[:200], "must be a whole .tar.gz archive"),
        (cifar({"test_batch": b"a pickle"}), "must hold test_batch.bin, got none of the batches"),
        (cifar({"test_batch.bin": bytes(3074)}), "must hold 3,073 bytes an image, got 3,074"),
        (cifar({"test_batch.bin": b""}), "must hold 3,073 bytes an image, got 0"),
        (cifar({"test_batch.bin": bytes([10]) * 3073}), "must have labels from 0 to 9, got 10"),
    ],
)
def test_what_is_no_cifar_archive(place, data, words):
    place(CIFAR, data)
    with pytest.raises(ValueError, match=words) as caught:
        sources.cifar10("test")
    assert "cifar-10-binary" in str(caught.value)


def test_a_missing_batch(place):
    place(CIFAR, cifar({"data_batch_1.bin": bytes(3073)}))
    with pytest.raises(ValueError, match=r"must hold data_batch_2.bin, got "):
        sources.cifar10()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: sources.mnist("all"),
            ValueError,
            "part must be one of 'sample', 'train', 'test', got 'all'",
        ),
        (lambda: sources.fashion_mnist("sample"), ValueError, "part must be one of 'train', 'test'"),
        (lambda: sources.cifar10("sample"), ValueError, "part must be one of 'train', 'test'"),
        (lambda: sources.cifar10(label="plane"), ValueError, "label must be one of 'airplane', .*'plane'"),
        (lambda: sources.cifar10(label=10), ValueError, "label must be a class of CIFAR-10 .* got 10"),
        (lambda: sources.cifar10(label=True), ValueError, "label"),
        (lambda: sources.cifar10(label=1.5), TypeError, "label must be a whole number"),
    ],
)
def test_arguments_are_checked_before_anything_is_downloaded(monkeypatch, call, error, words):
    monkeypatch.setattr(_download, "fetch", None)
    with pytest.raises(error, match=words):
        call()


# The real files


def real(name):
    if not (SHARED / name).exists():
        pytest.skip(f"the real {name} is not beside the repository")
    return SHARED / name


def test_the_real_mnist_test_set(folder):
    original = real("t10k-images-idx3-ubyte.gz")
    (folder / "mnist").mkdir(parents=True)
    shutil.copyfile(original, folder / "mnist" / original.name)
    images = sources.mnist("test")
    raw = np.frombuffer(gzip.decompress(original.read_bytes()), np.uint8, offset=16).reshape(10_000, 784)
    assert (len(images), images.dimension, images.shape) == (10_000, 784, (28, 28))
    assert float(images.data.mean()) == pytest.approx(0.1325, abs=5e-5)  # as published
    assert np.array_equal((images.data.sum(dim=1) * 255).round().numpy(), raw.sum(axis=1, dtype=float))


def test_real_labels_in_the_place_of_images(folder):
    (folder / "mnist").mkdir(parents=True)
    place = folder / "mnist" / "t10k-images-idx3-ubyte.gz"
    shutil.copyfile(real("t10k-labels-idx1-ubyte.gz"), place)
    with pytest.raises(ValueError, match="damaged or another file"):
        sources.mnist("test")
    with pytest.raises(ValueError, match="got 00000801 of labels"):
        _download.idx_images(place)


def test_real_cifar_images(place):
    with np.load(real("cifar10-first-images.npz")) as file:
        pixels, labels = file["images"].reshape(6, -1, 3072)[:, :300], file["labels"].reshape(6, -1)[:, :300]
    batches = [records(*batch) for batch in zip(labels, pixels, strict=True)]
    place(CIFAR, cifar(dict(zip([*TRAIN, "test_batch.bin"], batches, strict=True))))
    assert np.array_equal(sources.cifar10("test").data.numpy(), pixels[5] / 255.0)
    frogs = sources.cifar10("train", "frog")
    assert np.array_equal(frogs.data.numpy(), pixels[:5][labels[:5] == 6] / 255.0)
    grey = sources.cifar10("train", "frog", grey=True)
    assert len(grey) == len(frogs) > 100
    # The three colours of a photograph rise and fall together.
    both = torch.stack([grey.data.ravel(), frogs.data[:, 1024:2048].ravel()])
    assert torch.corrcoef(both)[0, 1] > 0.95


# What is done to images


def test_contrast():
    images = sources.patches(8, 500)
    x = images.data
    m, s = x.mean(dim=1, keepdim=True), x.std(dim=1, keepdim=True, correction=0)
    z = sources.normalize_contrast(images)
    assert torch.allclose(z.data, (x - m) / (s.square() + 1e-4).sqrt(), atol=1e-12)
    assert z.shape == images.shape
    assert torch.equal(images.data, x)  # not written over
    z = sources.normalize_contrast(images, floor=0.0)
    assert torch.allclose(z.data.mean(dim=1), torch.zeros(500).double(), atol=1e-12)
    assert torch.allclose(z.data.square().mean(dim=1), torch.ones(500).double())


def test_flat_images_have_no_contrast():
    data = torch.rand(5, 49, dtype=torch.float64)
    data[1], data[3] = 0.1, 0.0
    images = sources.Images("some flat", data, (7, 7))
    z = sources.normalize_contrast(images)
    assert z.data[[1, 3]].abs().max() < 1e-13
    with pytest.raises(ValueError, match="floor must be greater than 0: 2 of the 5 images are flat, got 0"):
        sources.normalize_contrast(images, floor=0)
    for floor in (-1, float("nan")):
        with pytest.raises(ValueError, match="floor must be a finite number of at least 0"):
            sources.normalize_contrast(images, floor=floor)


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)])
def test_augment(shape):
    x = np.random.default_rng(2).random((6, *shape))
    images = sources.Images("made", torch.from_numpy(x.reshape(6, -1)), shape)
    found = sources.augment(images, flips=True, shifts=2)
    assert found.shape == shape
    blocks = found.data.numpy().reshape(2, 9, 6, *shape)
    for start, block in zip((x, x[..., ::-1]), blocks, strict=True):
        padded = np.pad(start, [(0, 0)] * (start.ndim - 2) + [(2, 2), (2, 2)], mode="edge")
        moves = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-2, 0), (2, 0), (0, -2), (0, 2)]
        for (down, right), copy in zip(moves, block, strict=True):
            window = padded[..., 2 - down : 6 - down, 2 - right : 7 - right]
            assert np.array_equal(copy, window)
    assert torch.equal(sources.augment(images).data, images.data)
    assert torch.equal(sources.augment(images, shifts=2).data, found.data[: 9 * 6])
    assert torch.equal(sources.augment(images, flips=True).data[6:], found.data[9 * 6 : 10 * 6])


def test_augment_needs_images():
    images = sources.digits()
    with pytest.raises(ValueError, match="shifts must be less than 8, the images' side, got 8"):
        sources.augment(images, shifts=8)
    with pytest.raises(ValueError, match="shifts must be at least 0"):
        sources.augment(images, shifts=-1)
    white = sources.whiten(images, 30).apply(images)
    with pytest.raises(ValueError, match=r"product of their shape \(8, 8\), got 30; augment them before"):
        sources.augment(white, flips=True)
