"""Timings beside what one would use instead: small comparisons, into _build/benchmarks.json, and training.

The second part, benchmarks/training.py, can be run by itself; it takes 25 minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import integrate

from aetutor import _files, activations, encoders, limits, risk
from benchmarks import training

RESULTS = Path(__file__).resolve().parents[1] / "_build" / "benchmarks.json"


@dataclass(frozen=True)
class Comparison:
    """Median seconds of aetutor and of what one would use instead, for the same work.

    `deviation` is the largest difference of their answers. Where the other way was timed on part
    of the work, `peer_seconds` is that time multiplied by `scale`.
    """

    what: str
    seconds: float
    peer: str
    peer_seconds: float
    scale: float
    deviation: float
    repeats: int

    @property
    def ratio(self) -> float:
        """How many times longer the other way takes."""
        return self.peer_seconds / self.seconds


def race(
    ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int, calls: int = 1
) -> tuple[float, float]:
    """Median seconds of each, taken in turns after a call to warm up; `calls` of ours to a time."""
    times: tuple[list[float], list[float]] = ([], [])
    ours(), theirs()
    for _ in range(repeats):
        for record, call, count in zip(times, (ours, theirs), (calls, 1), strict=True):
            start = time.perf_counter()
            for _ in range(count):
                call()
            record.append((time.perf_counter() - start) / count)
    return statistics.median(times[0]), statistics.median(times[1])


def limit_curve(repeats: int = 9) -> Comparison:
    """A million rates at once, against a loop over floats."""
    rates = np.linspace(0.01, 5, 1_000_000)
    listed, gain = rates.tolist(), activations.sign.gain

    def ours() -> Any:
        return limits.isotropic(rates, activations.sign)

    def loop() -> list[float]:
        return [1 - r / (1 + gain) if r <= 1 else 1 - r / (r + gain) for r in listed]

    deviation = float(np.abs(ours() - np.array(loop())).max())
    seconds, theirs = race(ours, loop, repeats)
    return Comparison("limit, 10⁶ rates", seconds, "Python loop", theirs, 1, deviation, repeats)


def kernel_of_tanh(repeats: int = 5) -> Comparison:
    """A million correlations from the table, once made, against SciPy's double integral for each."""
    few, many = np.array([-0.7, 0.1, 0.3, 0.9]), np.linspace(-1, 1, 1_000_000)

    def integral(r: float) -> float:
        def integrand(z: float, x: float) -> float:
            density = np.exp(-(x * x + z * z) / 2) / (2 * np.pi)
            return float(np.tanh(x) * np.tanh(r * x + np.sqrt(1 - r * r) * z) * density)

        return float(integrate.dblquad(integrand, -8, 8, -8, 8, epsabs=1e-8)[0])

    def each() -> list[float]:
        return [integral(r) for r in few]

    deviation = float(np.abs(activations.tanh.kernel(few) - np.array(each())).max())
    ours, theirs = race(lambda: activations.tanh.kernel(many), each, repeats)
    scale = many.size / few.size
    return Comparison(
        "kernel of tanh, 10⁶ values", ours, "dblquad each", theirs * scale, scale, deviation, repeats
    )


def best_decoder(repeats: int = 15) -> Comparison:
    """Cholesky with its checks, against the explicit inverse that the formula suggests."""
    B, sign = encoders.tight_frame(1000, 500, 0), activations.sign

    def ours() -> torch.Tensor:
        return risk.optimal_decoder(B, sign)

    def inverse() -> torch.Tensor:
        F = (2 / np.pi) * torch.arcsin((B @ B.mT).clamp(-1, 1))
        return sign.c1 * B.mT @ torch.linalg.inv(F)

    deviation = float((ours() - inverse()).abs().max())
    seconds, theirs = race(ours, inverse, repeats)
    return Comparison(
        "best decoder, n = 1000, d = 500", seconds, "explicit inverse", theirs, 1, deviation, repeats
    )


def exact_risk(repeats: int = 7, samples: int = 50_000, target: float = 1e-4) -> Comparison:
    """The formula, against plain Monte Carlo in single precision to a standard error of 1e-4."""
    n, d, sign = 200, 100, activations.sign
    B = encoders.tight_frame(n, d, 0)
    A = risk.optimal_decoder(B, sign)
    A32, B32, generator = A.float(), B.float(), torch.Generator().manual_seed(0)

    def simulate() -> torch.Tensor:
        x = torch.randn(samples, d, generator=generator)
        return (x - torch.sign(x @ B32.mT) @ A32.mT).square().mean(dim=-1)

    errors = simulate().double()
    standard_error = float(errors.std()) / samples**0.5
    deviation = abs(float(errors.mean()) - float(risk.population(A, B, sign)))
    seconds, theirs = race(lambda: risk.population(A, B, sign), simulate, repeats, calls=100)
    scale = (standard_error / target) ** 2
    return Comparison(
        "risk, n = 200, d = 100", seconds, "Monte Carlo to 1e-4", theirs * scale, scale, deviation, repeats
    )


def main() -> None:
    """Print and record all comparisons, then training."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="training on small problems: a minute in all")
    quick = parser.parse_args().quick
    compare_all()
    print(flush=True)
    training.main(["--quick"] if quick else [])


def compare_all() -> None:
    rows = []
    print(f"{'what':32} {'aetutor':>12}   {'instead':20} {'time':>11} {'ratio':>10} {'differ by':>10}")
    for compare in (limit_curve, kernel_of_tanh, best_decoder, exact_risk):
        row = compare()
        rows.append({**asdict(row), "ratio": row.ratio})
        estimated = " " if row.scale == 1 else "*"
        print(
            f"{row.what:32} {row.seconds:10.3g} s   {row.peer:20} {row.peer_seconds:9.3g} s"
            f"{estimated}{row.ratio:9.3g}× {row.deviation:9.1e}",
            flush=True,
        )
    print("* timed on part of the work and scaled to all of it")
    machine = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine, "comparisons": rows}, indent=1, ensure_ascii=False)
    _files.replace(RESULTS, text + "\n")


if __name__ == "__main__":
    main()
