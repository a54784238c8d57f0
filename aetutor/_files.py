"""Files that are whole at any moment: written beside their place, flushed, and moved there in one go."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def replace(path: Path, *parts: bytes | memoryview | str) -> None:
    """Put these parts, text in UTF-8, in the place of the file; on an error the old one stays."""
    beside = path.with_name(f".{path.name}.tmp")  # one name: what a killed run leaves is overwritten
    try:
        with open(beside, "wb") as file:
            for part in parts:
                file.write(part.encode() if isinstance(part, str) else part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    with suppress(OSError):  # not every system can flush a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
