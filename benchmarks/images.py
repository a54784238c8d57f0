"""Training on real images beside the limits: the record that chapters 14 and 15 draw from.

Writes aetutor/images.json. It takes minutes on two cores; the store in _build/images keeps every point, so
that an interrupted run goes on. Sets that would have to be downloaded and cannot be are left out.

A set of one's own comes as ``--own "a name=file.npz"``, with ``images`` of shape (count, pixels) in bytes, or
(count, 3 · pixels) in colour, red first, which are made grey.
"""

from __future__ import annotations

import argparse
import functools
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray

from aetutor import __version__, _files, experiments, sources, sweep

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "aetutor" / "images.json"
SETS = ("digits", "MNIST test", "Fashion-MNIST", "CIFAR-10", "patches", "patches, contrast normalised")
RATES = (0.25, 0.5, 1.0, 1.5, 2.0)
SEEDS = (0, 1, 2)
SAMPLES = (250, 500, 1000, 2000, 4000)
_MEASURED = ("risk", "train_risk", "random", "limit", "mixture", "factor", "images")


def own(file: str) -> sources.Images:
    """A set from a file of one's own."""
    with np.load(file) as content:
        pixels = content["images"].astype(float) / 255
    side = round((pixels.shape[1] / 3) ** 0.5)
    if 3 * side**2 == pixels.shape[1]:
        pixels = pixels.reshape(len(pixels), 3, -1).transpose(0, 2, 1) @ np.array([0.299, 0.587, 0.114])
    side = round(pixels.shape[1] ** 0.5)
    return sources.Images(file, torch.from_numpy(pixels.clip(0, 1)), (side, side))


def point(files: dict[str, str], **coordinates: Any) -> dict[str, float]:
    """One training run; workers are told of sets of one's own by `files`."""
    for name, file in files.items():
        experiments.DATA.setdefault(name, (functools.partial(own, file), 100))
    return experiments.on_images(**coordinates)


def rows(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    """Means and standard errors over the seeds, one row for each point of the rest of the grid."""
    mean = dataset[list(_MEASURED)].mean("seed")
    error = dataset[["risk", "random"]].std("seed", ddof=1) / len(dataset.seed) ** 0.5
    frame = mean.merge(error.rename(risk="risk_error", random="random_error")).round(5)
    order = [axis for axis in ("data", "whitened", "rate", "samples") if axis in frame.dims]
    return frame.to_dataframe(order).reset_index().to_dict("records")


def save(main: xarray.Dataset, few: xarray.Dataset) -> None:
    """Write the record."""
    record = {
        "seeds": len(main.seed),
        "versions": {"aetutor": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "points": rows(main),
        "few": rows(few),
    }
    _files.replace(RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """Run what is missing and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--own", action="append", default=[], metavar="NAME=FILE")
    files = dict(pair.split("=", 1) for pair in parser.parse_args().own)
    there = list(files)
    for name in SETS:
        try:
            experiments.DATA[name][0]()
            there.append(name)
        except OSError as error:
            print(f"without {name}: {error}")
    grid = {"data": there, "rate": RATES, "whitened": [True, False], "seed": SEEDS}
    folder = ROOT / "_build" / "images"
    whole = sweep.run(point, grid, folder / "all", constants={"files": files})
    scarce = {"data": [n for n in there if "MNIST" in n or "CIFAR" in n], "rate": (0.5, 1.0, 2.0)}
    few = sweep.run(
        point, scarce | {"samples": SAMPLES, "seed": SEEDS}, folder / "few", constants={"files": files}
    )
    save(whole, few)


if __name__ == "__main__":
    main()
