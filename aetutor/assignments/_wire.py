"""What goes between the grader and a sandbox: plain data, with arrays as raw numbers. Nothing is unpickled.

A message is the length of a header, the header in JSON, and the arrays' bytes. The grader trusts neither.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from aetutor.assignments.checks import Function

LARGEST = 64 * 2**20
"""Bytes of the largest message."""


class NotPlainDataError(TypeError):
    """A value that cannot be sent."""


def pack(value: Any) -> bytes:
    """Give the message that carries a value."""
    buffers: list[bytes] = []
    try:
        header = json.dumps(_encode(value, buffers)).encode()
    except RecursionError:
        raise NotPlainDataError("data nested too deeply, or that contains itself") from None
    size = 8 + len(header) + sum(map(len, buffers))
    if size > LARGEST:
        raise NotPlainDataError(f"{size / 2**20:.0f} MiB of data; at most {LARGEST // 2**20} are taken")
    return b"".join((size.to_bytes(4, "big"), len(header).to_bytes(4, "big"), header, *buffers))


def unpack(read: Callable[[int], bytes]) -> Any:
    """Read one message with a function that gives exactly so many bytes.

    Raises
    ------
    ValueError
        If it is not a message.
    """
    size = int.from_bytes(read(4), "big")
    if not 8 <= size <= LARGEST:
        raise ValueError(f"a message of {size} bytes")
    body = memoryview(read(size - 4))
    length = int.from_bytes(body[:4], "big")
    try:
        header = json.loads(bytes(body[4 : 4 + length]))
        value, end = _decode(header, body, 4 + length)
    except (RecursionError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"not a message: {type(error).__name__}") from None
    if end != len(body):
        raise ValueError("a message with too many bytes")
    return value


def _encode(value: Any, buffers: list[bytes]) -> Any:
    if value is None or value is ... or isinstance(value, bool | str):
        return value if value is not ... else {"kind": "ellipsis"}
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return value.item()  # a number that mixes with tensors too
    if isinstance(value, int | float):
        return value
    if isinstance(value, Function):
        return {"kind": "function", "source": value.source}
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise NotPlainDataError("a dict whose keys are not all text")
        return {"kind": "dict", "items": [[key, _encode(item, buffers)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_encode(item, buffers) for item in value]
        return items if isinstance(value, list) else {"kind": "tuple", "items": items}
    if hasattr(value, "detach"):  # a tensor of torch, wherever it lies
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.kind in "biufc":
            plain = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
            buffers.append(plain.tobytes())
            return {"kind": "array", "dtype": plain.dtype.str, "shape": list(array.shape)}
        return _encode(array.tolist(), buffers)
    raise NotPlainDataError(f"a value of type {type(value).__name__}")


def _decode(header: Any, body: memoryview, at: int) -> tuple[Any, int]:
    if isinstance(header, list):
        items = []
        for item in header:
            value, at = _decode(item, body, at)
            items.append(value)
        return items, at
    if not isinstance(header, dict):
        return header, at
    kind = header["kind"]
    if kind == "ellipsis":
        return ..., at
    if kind == "function":
        return Function(header["source"]), at
    if kind == "tuple":
        items, at = _decode(list(header["items"]), body, at)
        return tuple(items), at
    if kind == "dict":
        keys = [str(key) for key, _ in header["items"]]
        items, at = _decode([item for _, item in header["items"]], body, at)
        return dict(zip(keys, items, strict=True)), at
    if kind != "array":
        raise ValueError(f"not a message: {kind!r}")
    dtype = np.dtype(header["dtype"])
    shape = tuple(int(length) for length in header["shape"])
    if dtype.kind not in "biufc" or min(shape, default=0) < 0 or len(shape) > 16:
        raise ValueError("not an array of numbers")
    count = math.prod(shape)
    if at + count * dtype.itemsize > len(body):
        raise ValueError("an array longer than its message")
    array = np.frombuffer(body, dtype, count, at).reshape(shape).copy()
    return array, at + count * dtype.itemsize
