"""One progress bar for all that takes long."""

from __future__ import annotations

from typing import Any


def bar(total: int, unit: str, show: bool, start: int = 0) -> Any:
    """A tqdm bar that fits a terminal and a notebook; silent unless `show`."""
    from tqdm.auto import tqdm

    return tqdm(total=total, unit=unit, unit_scale=True, initial=start, disable=not show)
