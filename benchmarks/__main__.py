"""Run every comparison, print a table and write _build/benchmarks.json."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import integrate

from aetutor import activations, encoders, limits, risk, sources

REPEATS = 5
RESULTS = Path("_build/benchmarks.json")


def seconds(call: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Median wall time of a call, after one to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def limit_curve() -> tuple[str, float, str, float]:
    """A million rates at once, against a loop over floats (timed on a hundredth)."""
    rates = np.linspace(0.01, 5, 1_000_000)
    gain = activations.sign.gain
    few = rates[::100].tolist()

    def loop() -> list[float]:
        return [1 - r / (1 + gain) if r <= 1 else 1 - r / (r + gain) for r in few]

    return (
        "limit at 10⁶ rates",
        seconds(lambda: limits.isotropic(rates, activations.sign)),
        "Python loop",
        100 * seconds(loop),
    )


def kernel_of_tanh() -> tuple[str, float, str, float]:
    """A million correlations from the table, against SciPy's double integral (timed on two)."""
    rho = np.linspace(-1, 1, 1_000_000)

    def integral(r: float) -> float:
        def integrand(z: float, x: float) -> float:
            density = np.exp(-(x * x + z * z) / 2) / (2 * np.pi)
            return float(np.tanh(x) * np.tanh(r * x + np.sqrt(1 - r * r) * z) * density)

        return float(integrate.dblquad(integrand, -8, 8, -8, 8, epsabs=1e-8)[0])

    slow = seconds(lambda: [integral(0.3), integral(0.9)], repeats=2) / 2
    return (
        "kernel of tanh at 10⁶ values",
        seconds(lambda: activations.tanh.kernel(rho)),
        "scipy dblquad each",
        1e6 * slow,
    )


def best_decoder() -> tuple[str, float, str, float]:
    """Cholesky with its checks, against the explicit inverse that the formula suggests."""
    B = encoders.tight_frame(1000, 500, 0)
    sign = activations.sign

    def inverse() -> torch.Tensor:
        F = (2 / np.pi) * torch.arcsin((B @ B.T).clamp(-1, 1))
        return sign.c1 * B.T @ torch.linalg.inv(F)

    return (
        "best decoder, n = 1000, d = 500",
        seconds(lambda: risk.optimal_decoder(B, sign)),
        "explicit inverse",
        seconds(inverse),
    )


def exact_risk() -> tuple[str, float, str, float]:
    """The formula, against Monte Carlo to a standard error of 1e-5 (extrapolated from fewer samples)."""
    B = encoders.tight_frame(200, 100, 0)
    sign = activations.sign
    A = risk.optimal_decoder(B, sign)
    samples = 100_000
    error = risk.monte_carlo(A, B, sign, sources.Gaussian(100), samples).standard_error
    needed = (error / 1e-5) ** 2
    simulate = seconds(lambda: risk.monte_carlo(A, B, sign, sources.Gaussian(100), samples), repeats=2)
    return (
        "risk, n = 200, d = 100",
        seconds(lambda: risk.population(A, B, sign)),
        "Monte Carlo to 1e-5",
        needed * simulate,
    )


def main() -> None:
    """Print and record all comparisons."""
    rows = []
    print(f"{'what':34} {'aetutor':>11}   {'instead':20} {'time':>11} {'ratio':>10}")
    for compare in (limit_curve, kernel_of_tanh, best_decoder, exact_risk):
        what, ours, peer, theirs = compare()
        rows.append(
            {"what": what, "seconds": ours, "peer": peer, "peer_seconds": theirs, "ratio": theirs / ours}
        )
        print(f"{what:34} {ours:9.4f} s   {peer:20} {theirs:9.4g} s {theirs / ours:9.3g}×", flush=True)
    machine = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    partial = RESULTS.with_suffix(".partial")
    partial.write_text(json.dumps({"machine": machine, "comparisons": rows}, indent=1, ensure_ascii=False))
    os.replace(partial, RESULTS)


if __name__ == "__main__":
    main()
