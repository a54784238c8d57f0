"""Files of public data sets: downloaded when first asked for, kept in one folder, known by their SHA-256."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import math
import os
import struct
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aetutor import _progress


class File(NamedTuple):
    """Where a file comes from and how it is known."""

    urls: tuple[str, ...]
    sha256: str
    size: int  # bytes


_MNIST = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_FASHION = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)
_TRAIN, _TEST = "train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"

# The two MNISTs share their file names, so each has a folder.
FILES = {
    "mnist/" + _TRAIN: File(
        tuple(url + _TRAIN for url in _MNIST),
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        9_912_422,
    ),
    "mnist/" + _TEST: File(
        tuple(url + _TEST for url in _MNIST),
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        1_648_877,
    ),
    "fashion-mnist/" + _TRAIN: File(
        tuple(url + _TRAIN for url in _FASHION),
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        26_421_880,
    ),
    "fashion-mnist/" + _TEST: File(
        tuple(url + _TEST for url in _FASHION),
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        4_422_102,
    ),
    # The binary version: the Python one holds pickles, which run what they like when opened.
    "cifar-10/cifar-10-binary.tar.gz": File(
        ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        170_052_171,
    ),
}

_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 16
_NETWORK = (OSError, http.client.HTTPException)


class _Broken(Exception):
    """No answer, a refusal or a cut; not an OSError, which is what a full disk raises."""


def folder() -> Path:
    """Where files are kept: AETUTOR_DATA if set, else the user's cache."""
    if chosen := os.environ.get("AETUTOR_DATA"):
        return Path(chosen).expanduser()
    try:
        import platformdirs
    except ImportError as error:
        raise ImportError(
            "platformdirs finds the folder for downloaded images and is not installed: "
            "pip install 'aetutor[data]', or name a folder in AETUTOR_DATA"
        ) from error
    return platformdirs.user_cache_path("aetutor", appauthor=False)


def fetch(name: str, urls: Sequence[str], sha256: str, size: int) -> Path:
    """The file of that name, downloaded unless it is there.

    Parameters
    ----------
    name : str
        Below :func:`folder`.
    urls : sequence of str
        Tried in turn.
    sha256 : str
        In hexadecimal.
    size : int
        In bytes.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If the file is not there and no URL gives it. What came of it stays beside its place, and the
        next call goes on from there.
    ValueError
        If the file has another checksum. One that was there stays; one that just came is deleted.
    """
    path = folder() / name
    if not path.exists():
        lock = path.with_name(f".{path.name}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.touch()
        except OSError as error:
            raise _missing(path, urls[0], str(error)) from error
        with open(lock, "rb+") as held:  # let go when this process ends, however it ends
            # Without such locks (Windows, some network folders) two at a time cost a failed checksum.
            with suppress(ImportError, OSError):
                import fcntl

                fcntl.flock(held, fcntl.LOCK_EX)
            if not path.exists():  # another process may have brought it while this one waited
                _download(path, urls, sha256, size)
                return path
    if (got := _sha256(path)) != sha256:
        raise ValueError(
            f"{path} is damaged or another file: expected sha256 {sha256} and {size:,} bytes, "
            f"got {got} and {path.stat().st_size:,}; delete it, and the next call downloads it"
        )
    return path


def _download(path: Path, urls: Sequence[str], sha256: str, size: int) -> None:
    part = path.with_name(path.name + ".part")
    reasons = []
    for url in urls:
        try:
            _get(url, part, size)
            break
        except _Broken as error:
            reasons.append(str(error))
    else:
        raise _missing(path, urls[0], ", ".join(dict.fromkeys(reasons)))
    if (got := _sha256(part)) != sha256:
        part.unlink()
        raise ValueError(
            f"{path.name} from {url} is damaged: expected sha256 {sha256}, got {got}; it was deleted"
        )
    os.replace(part, path)


def _get(url: str, part: Path, size: int) -> None:
    """Bring the part to its end; `_Broken` where the network does not let it."""
    start = part.stat().st_size if part.exists() else 0
    if start == size:  # stopped between the last byte and the check
        return
    with _answer(url, start if start < size else 0) as answer:
        if answer.status != 206:
            start = 0
        # A page of a hotel's network, say, must not take the place of what is there already.
        if answer.length is not None and start + answer.length != size:
            raise _Broken(f"a file of {start + answer.length:,} bytes came instead of one of {size:,}")
        promised = answer.length is not None
        try:
            with (
                open(part, "ab" if start else "wb") as file,
                _progress.bar(size, "B", True, start) as bar,
            ):
                # More than it should be: the checksum will say so.
                while file.tell() <= size and (chunk := _read(answer)):
                    file.write(chunk)
                    bar.update(len(chunk))
                came = file.tell()
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:  # a full disk does not say which
            error.filename = error.filename or str(part)
            raise
    if promised and came < size:
        raise _Broken(f"the connection ended after {came:,} of {size:,} bytes, kept for the next call")


def _answer(url: str, start: int) -> Any:
    """The server's answer, from byte `start` on or, as its status says, from the beginning."""
    for first in dict.fromkeys((start, 0)):
        headers = {"User-Agent": "aetutor"} | ({"Range": f"bytes={first}-"} if first else {})
        try:
            answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and first:
                continue
            raise _Broken(f"HTTP {error.code} {error.reason}") from error
        except _NETWORK as error:
            raise _Broken(_words(error)) from error
        follows = answer.headers.get("Content-Range", "").startswith(f"bytes {first}-")
        if answer.status == 200 or (answer.status == 206 and first and follows):
            return answer
        answer.close()
    raise _Broken(f"HTTP {answer.status} and not the bytes that were asked for")


def _read(answer: Any) -> bytes:
    try:
        return answer.read(_CHUNK)
    except _NETWORK as error:
        raise _Broken(f"{_words(error)}, and what came is kept for the next call") from error


def _words(error: Exception) -> str:
    return str(getattr(error, "reason", error)) or type(error).__name__


def _missing(path: Path, url: str, reason: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"{path.name} is not in {path.parent} and cannot be downloaded ({reason}); "
        f"put the file from {url} there"
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def idx_images(path: Path) -> np.ndarray:
    """The images of a gzipped IDX file, uint8 of shape (count, height, width).

    Raises ValueError if the file is damaged or holds something else.
    """
    try:
        with gzip.open(path) as file:
            raw = bytearray(file.read())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} must be a whole gzip file, got: {error}") from error
    magic = raw[:4].hex()
    if magic != "00000803":  # unsigned bytes in three dimensions
        what = " of labels" if magic == "00000801" else ""
        raise ValueError(f"{path} must hold images, an IDX file that begins 00000803, got {magic}{what}")
    shape = struct.unpack(">3I", raw[4:16]) if len(raw) >= 16 else (0, 0, 0)
    if 0 in shape or len(raw) != 16 + math.prod(shape):
        raise ValueError(
            f"{path} must hold 16 bytes and one for each pixel of {shape[0]:,} images of {shape[1]} × "
            f"{shape[2]}, got {len(raw):,} bytes"
        )
    return np.frombuffer(raw, np.uint8, offset=16).reshape(shape)


def cifar_batches(path: Path, names: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Labels, uint8 of shape (count,), and images, of shape (count, 3072), of the named batches in turn.

    Raises ValueError if the archive is damaged, lacks a batch or holds something else.
    """
    found = {}
    try:
        with tarfile.open(path, "r|gz") as archive:  # in one pass, and nothing is extracted
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name in names and (file := archive.extractfile(member)):
                    found[name] = file.read()
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} must be a whole .tar.gz archive, got: {error}") from error
    for name in names:
        if name not in found:
            raise ValueError(f"{path} must hold {name}, got {', '.join(found) or 'none of the batches'}")
        raw = found.pop(name)
        if not raw or len(raw) % 3073:
            raise ValueError(f"{name} in {path} must hold 3,073 bytes an image, got {len(raw):,} bytes")
        records = np.frombuffer(raw, np.uint8).reshape(-1, 3073)
        if records[:, 0].max() > 9:
            raise ValueError(f"{name} in {path} must have labels from 0 to 9, got {records[:, 0].max()}")
        yield records[:, 0], records[:, 1:]
