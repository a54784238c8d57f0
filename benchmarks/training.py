"""Training to the limit beside its peers, and what a step of ours costs: ``python -m benchmarks.training``.

race      seconds to come within 1 % and 0.1 % of the limit: `descent.projected_gradient` with its default
          step size, and each peer with the options that were best for it (benchmarks/tuned.json).
          Same start, same threads, in turns; the median of repeats.
floor     one step of ours, and the products, solves and factorisation in it by themselves.
batching  64 problems at once, and one by one.
growth    one step of ours as d doubles, at rate 1.
memory    the most that a run holds at n = d = 3000, in matrices of n × n doubles.

Every finished piece is written at once, so that an interrupted run keeps what it has.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.metadata
import importlib.util
import itertools
import json
import math
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aetutor import _files, descent, encoders, limits
from benchmarks.peers import PEERS, TUNED, USUAL, Outcome, Watch, tuned

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "aetutor" / "benchmark.json"  # shipped: the book draws its figure from it
STATUS = Path("/proc/self/status")
QUICK_RESULTS = ROOT / "_build" / "benchmark-quick.json"

OURS = "aetutor"
TARGETS = (0.01, 0.001)


@dataclass(frozen=True)
class Settings:
    """How much of everything. Seeds and caps (in seconds) are per dimension."""

    dimensions: tuple[int, ...] = (100, 200, 400, 800)
    rates: tuple[float, ...] = (0.5, 1.0, 2.0)
    seeds: tuple[int, ...] = (3, 2, 1, 1)
    caps: tuple[float, ...] = (6, 30, 20, 20)
    most_steps: int = 1000  # of ours
    repeats: int = 9  # of a run, as long as they fit into `budget` seconds
    budget: float = 2
    timed_steps: int = 10
    problems: int = 64
    problem_dimension: int = 50
    problem_steps: int = 50
    growth: tuple[int, ...] = (100, 200, 400, 800, 1600)
    memory: int = 3000


QUICK = Settings(
    dimensions=(40, 80),
    seeds=(1, 1),
    caps=(1, 1),
    most_steps=50,
    repeats=3,
    budget=1,
    problems=8,
    problem_steps=10,
    growth=(50, 100, 200),
    memory=500,
)


class Record:
    """What is measured, on disk after every addition."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self.content: dict[str, Any] = {"machine": machine(), "settings": asdict(settings)}

    def resume(self, parts: Iterable[str]) -> None:
        """Keep the other parts of the file, if it was made on this machine with these settings."""
        if not self.path.exists():
            return
        old = json.loads(self.path.read_text(encoding="utf-8"))
        mine = json.loads(json.dumps(self.content))
        if any(old.get(key) != mine[key] for key in mine):
            raise SystemExit(
                f"{self.path} is of another machine or has other settings: measure all parts together, "
                "or say --output for another file"
            )
        again = {*parts, *(f"{part}_exponent" for part in parts)}
        self.content |= {key: value for key, value in old.items() if key not in again}

    def add(self, part: str, entry: dict[str, Any]) -> None:
        self.content.setdefault(part, []).append(_rounded(entry))
        self._write()

    def put(self, part: str, entry: Any) -> None:
        self.content[part] = _rounded(entry)
        self._write()

    def _write(self) -> None:
        pieces = []
        for key, value in self.content.items():
            text = json.dumps(value, ensure_ascii=False)
            if isinstance(value, list):  # a line an entry
                text = "[\n  " + ",\n  ".join(json.dumps(v, ensure_ascii=False) for v in value) + "\n ]"
            pieces.append(f" {json.dumps(key)}: {text}")
        self.path.parent.mkdir(exist_ok=True)
        _files.replace(self.path, "{\n" + ",\n".join(pieces) + "\n}\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value


def machine() -> dict[str, Any]:
    """Versions and processor."""
    versions: dict[str, str | None] = {}
    for name in ("torch", "numpy", "geoopt", "pymanopt"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    processor = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    return {
        "python": platform.python_version(),
        **versions,
        "threads": torch.get_num_threads(),
        "processor": processor,
        "cores": os.cpu_count(),
    }


def missing() -> list[str]:
    """What the peers need and is not installed."""
    needed = dict.fromkeys(needs for _, needs in PEERS.values())
    return [name for name in needed if importlib.util.find_spec(name) is None]


# The race


def race(settings: Settings, record: Record) -> None:
    """Seconds and steps to each target, for every method.

    Each has a process of its own: a pool of threads that automatic differentiation leaves behind
    would slow down whatever comes after it in the same process, by up to four times.
    """
    peers = [name for name, (_, needs) in PEERS.items() if needs not in missing()]
    record.put("tuned", json.loads(TUNED.read_text(encoding="utf-8")))
    spawn = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for name in (OURS, *peers)
        }
        for d, seeds, cap in zip(settings.dimensions, settings.seeds, settings.caps, strict=True):
            for rate, seed in itertools.product(settings.rates, range(seeds)):
                _heat(settings, record, workers, Start(d, rate, seed), cap)
                print(f"race: d = {d}, rate {rate}, seed {seed}", flush=True)


def _heat(
    settings: Settings, record: Record, workers: dict[str, ProcessPoolExecutor], start: Start, cap: float
) -> None:
    """All methods from one start, to each target."""
    limit = limits.isotropic(start.rate)
    for excess in TARGETS:
        found = workers[OURS].submit(_steps_of_ours, start, excess, cap, settings.most_steps).result()
        runs: dict[str, Callable[[float], Outcome]] = {}
        for name, worker in workers.items():
            if name == USUAL and excess < max(TARGETS):
                continue  # its constant learning rate leaves it above
            task: Any = functools.partial(_theirs, name, start, excess)
            if name == OURS:
                task = functools.partial(_ours, start, found)
            runs[name] = functools.partial(_elsewhere, worker, task)
        for name, outcomes in _in_turns(runs, cap, settings).items():
            median = sorted(outcomes, key=lambda o: o.seconds)[len(outcomes) // 2]
            entry = {
                "d": start.d,
                "rate": start.rate,
                "seed": start.seed,
                "method": name,
                "target": excess,
                "reached": median.reached,
                "ended": median.ended,
                "steps": median.steps,
                "seconds": statistics.median(o.seconds for o in outcomes),
                "fastest": min(o.seconds for o in outcomes),
                "excess": median.risk / limit - 1,
                "repeats": len(outcomes),
            }
            record.add("race", entry)


@dataclass(frozen=True)
class Start:
    """A Gaussian start, made anew in each process."""

    d: int
    rate: float
    seed: int

    def encoder(self) -> torch.Tensor:
        return encoders.gaussian(round(self.rate * self.d), self.d, self.seed)


def _in_turns(
    runs: dict[str, Callable[[float], Outcome]], cap: float, settings: Settings
) -> dict[str, list[Outcome]]:
    """Outcomes of each, a round at a time, after a call to warm up."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in runs}
    for run in runs.values():
        run(0)
    left = list(runs)
    while left:
        for name in list(left):
            outcomes[name].append(runs[name](cap))
            spent = sum(o.seconds for o in outcomes[name])
            if len(outcomes[name]) == settings.repeats or spent > settings.budget:
                left.remove(name)
    return outcomes


def _elsewhere(worker: ProcessPoolExecutor, task: Callable[[float], Outcome], cap: float) -> Outcome:
    time.sleep(0.05)  # until the threads of the process before have gone to sleep
    return worker.submit(task, cap).result()


def _steps_of_ours(start: Start, excess: float, cap: float, most: int) -> Outcome:
    """How many steps it takes, off the clock."""
    here, done, watch = start.encoder(), 0, Watch(limits.isotropic(start.rate), excess, cap, most)
    while not watch.ended:
        part = descent.projected_gradient(here, steps=min(64, 4 + done))
        for step, risk in zip(part.times.tolist(), part.risk.tolist(), strict=True):
            if watch.over(done + step, risk):
                break
        assert part.B is not None
        done, here = done + int(part.times[-1]), part.B
    return watch.outcome()


def _ours(start: Start, found: Outcome, cap: float) -> Outcome:
    """A run of exactly so many steps."""
    if cap and not found.reached:
        return found
    B, steps = start.encoder(), found.steps if cap else 1
    descent.projected_gradient(B, steps=1)  # wakes the threads, off the clock
    return replace(found, seconds=_seconds(lambda: descent.projected_gradient(B, steps=steps)))


def _theirs(name: str, start: Start, excess: float, cap: float) -> Outcome:
    B, limit, options = start.encoder(), limits.isotropic(start.rate), tuned(name, start.rate, excess)
    watch = Watch(limit, excess, math.inf, 1)
    PEERS[name][0](B, watch, **options)  # wakes the threads, off the clock
    if cap:
        watch = Watch(limit, excess, cap)
        PEERS[name][0](B, watch, **options)
    return watch.outcome()


# What a step costs


def floor(settings: Settings, record: Record) -> None:
    """One step of ours, beside the work in it that no other could do without."""
    for d, rate in itertools.product(settings.dimensions, settings.rates):
        B = encoders.gaussian(round(rate * d), d, 0)
        parts: dict[str, list[float]] = {"products": [], "factorisation": [], "solves": []}
        steps = []
        for _ in _repeats(settings):
            for name, seconds in _unavoidable(B, settings.timed_steps).items():
                parts[name].append(seconds)
            steps.append(_one_step(B, settings.timed_steps))
        medians = {name: statistics.median(times) for name, times in parts.items()}
        bare, step = sum(medians.values()), statistics.median(steps)
        entry = {"d": d, "rate": rate, "step": step, "floor": bare, "ratio": step / bare, **medians}
        record.add("floor", entry)
        print(f"floor: d = {d}, rate {rate}", flush=True)


def _one_step(B: torch.Tensor, count: int) -> float:
    """Seconds of one more step, once under way."""
    short = _seconds(lambda: descent.projected_gradient(B, steps=2))
    long = _seconds(lambda: descent.projected_gradient(B, steps=2 + count))
    return (long - short) / count


def _unavoidable(B: torch.Tensor, count: int) -> dict[str, float]:
    """Mean seconds of the products BBᵀ, XXᵀ and SB, of a Cholesky factor and of the two solves with it."""
    n = B.shape[0]
    G, S, X = B.new_empty(n, n), B.new_empty(n, n), torch.empty_like(B)
    Y = torch.empty_like(B.mT, memory_format=torch.contiguous_format).mT  # by columns, for LAPACK
    F = 2 / math.pi * torch.arcsin((B @ B.mT).clamp_(-1, 1))
    L, info = torch.empty_like(F).mT, torch.empty((), dtype=torch.int32)
    rows = []
    for _ in range(count + 1):
        L.copy_(F)  # off the clock
        marks = [time.perf_counter()]
        torch.matmul(B, B.mT, out=G)
        marks.append(time.perf_counter())
        torch.linalg.cholesky_ex(L, out=(L, info))
        marks.append(time.perf_counter())
        torch.linalg.solve_triangular(L, B, upper=False, out=Y)
        torch.linalg.solve_triangular(L.mT, Y, upper=True, out=Y)
        marks.append(time.perf_counter())
        X.copy_(Y)  # off the clock
        marks.append(time.perf_counter())
        torch.matmul(X, X.mT, out=S)
        torch.addmm(X, S, B, beta=-1, out=X)
        marks.append(time.perf_counter())
        rows.append(np.diff(marks))
    first, factorisation, solves, _, second = np.mean(rows[1:], axis=0).tolist()  # one to warm up
    return {"products": first + second, "factorisation": factorisation, "solves": solves}


def batching(settings: Settings, record: Record) -> None:
    """Many small problems at once, and one by one."""
    d, many, steps = settings.problem_dimension, settings.problems, settings.problem_steps
    for rate in settings.rates:
        B = encoders.gaussian(round(rate * d), d, 0, batch=many)

        def together(B: torch.Tensor = B) -> None:
            descent.projected_gradient(B, steps=steps)

        def each(B: torch.Tensor = B) -> None:
            for problem in B:
                descent.projected_gradient(problem, steps=steps)

        together()
        each()
        pairs = [(_seconds(together), _seconds(each)) for _ in _repeats(settings)]
        batched, single = (statistics.median(times) for times in zip(*pairs, strict=True))
        entry = {
            "d": d,
            "rate": rate,
            "problems": many,
            "steps": steps,
            "batched": batched,
            "one_by_one": single,
            "ratio": single / batched,
        }
        record.add("batching", entry)
        print(f"batching: rate {rate}", flush=True)


def growth(settings: Settings, record: Record) -> None:
    """One step at rate 1 as d doubles, and the power of d that fits best."""
    starts = {d: encoders.gaussian(d, d, 0) for d in settings.growth}
    times: dict[int, list[float]] = {d: [] for d in starts}
    for _ in _repeats(settings):
        for d, B in starts.items():
            if sum(times[d]) * settings.timed_steps < settings.budget:
                times[d].append(_one_step(B, settings.timed_steps))
    seconds = [statistics.median(times[d]) for d in starts]
    for i, d in enumerate(starts):
        ratio = seconds[i] / seconds[i - 1] if i else None
        record.add("growth", {"d": d, "seconds": seconds[i], "ratio": ratio})
    power = float(np.polyfit(np.log(list(starts)), np.log(seconds), 1)[0])
    record.put("growth_exponent", {"all": power, "last": math.log2(seconds[-1] / seconds[-2])})
    print("growth", flush=True)


def memory(settings: Settings, record: Record) -> None:
    """The most that a run of two steps holds, its start included, in a process of its own."""
    n = settings.memory
    if not STATUS.exists():
        print("memory: left out, it is read from what Linux says of a process", flush=True)
        return
    command = [sys.executable, "-c", f"from benchmarks.training import _peak; _peak({n})"]
    peak = float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    record.put("memory", {"n": n, "d": n, "bytes": peak, "matrices": peak / (8 * n * n)})
    print("memory", flush=True)


def _peak(n: int) -> None:
    """Print by how many bytes the peak of a run exceeds what the libraries hold before it."""
    descent.projected_gradient(encoders.gaussian(300, 300, 0), steps=2)
    before = _status("VmRSS")
    descent.projected_gradient(encoders.gaussian(n, n, 0), steps=2)
    print(_status("VmHWM") - before)


def _status(field: str) -> int:
    """Bytes of this process."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise LookupError(field)


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _repeats(settings: Settings) -> Iterator[int]:
    """Count repeats until they have taken the budget: at least one, at most as many as for a run."""
    start = time.perf_counter()
    for i in range(settings.repeats):
        if i and time.perf_counter() - start > 4 * settings.budget:
            return
        yield i


# To read


def table(content: dict[str, Any]) -> str:
    """Everything that was measured, as text."""
    lines: list[str] = []
    rows = content.get("race", [])
    methods = list(dict.fromkeys(row["method"] for row in rows))
    if rows:
        lines += [
            "Seconds (steps) to within a target of the limit; peers as multiples of aetutor's time.",
            "",
        ]
        lines += [f"{'d':>5} {'rate':>5} {'target':>7}" + "".join(f"{name:>24}" for name in methods)]
    for d, rate, target in dict.fromkeys((row["d"], row["rate"], row["target"]) for row in rows):
        chosen = [row for row in rows if (row["d"], row["rate"], row["target"]) == (d, rate, target)]
        cells = [_cell(name, chosen) for name in methods]
        lines.append(f"{d:5} {rate:5} {target:7.1%}" + "".join(f"{cell:>24}" for cell in cells))
    if "floor" in content:
        lines += ["", f"{'d':>5} {'rate':>5} {'a step':>12} {'its floor':>12} {'ratio':>7}"]
    for row in content.get("floor", []):
        times = f"{1e3 * row['step']:9.2f} ms {1e3 * row['floor']:9.2f} ms {row['ratio']:7.2f}"
        lines.append(f"{row['d']:5} {row['rate']:5} {times}")
    lines.append("")
    for row in content.get("batching", []):
        lines.append(
            f"{row['problems']} problems, d = {row['d']}, rate {row['rate']}: one by one takes "
            f"{row['ratio']:.2f} times as long as all at once ({row['batched']:.3g} s)"
        )
    for row in content.get("growth", []):
        ratio = f", {row['ratio']:.2f} times the one before" if row["ratio"] else ""
        lines.append(f"a step at n = d = {row['d']}: {1e3 * row['seconds']:.3g} ms{ratio}")
    if "growth_exponent" in content:
        power = content["growth_exponent"]
        lines.append(f"growth like d^{power['all']:.2f}, d^{power['last']:.2f} in the last doubling")
    if "memory" in content:
        row = content["memory"]
        lines.append(f"memory at n = d = {row['n']}: {row['matrices']:.2f} matrices of n × n doubles")
    return "\n".join(lines)


def _cell(name: str, rows: list[dict[str, Any]]) -> str:
    """Median over the seeds."""
    ours = {row["seed"]: row for row in rows if row["method"] == OURS}
    mine = [row for row in rows if row["method"] == name]
    if not mine:
        return "–"
    arrived = [row["reached"] for row in mine]
    steps = round(statistics.median(row["steps"] for row in mine))
    comparable = all(row["reached"] for row in ours.values())
    if not any(arrived) and (name == OURS or not comparable):
        return f"not reached, {statistics.median(row['excess'] for row in mine):.2%}"
    more = "" if all(arrived) else "> "
    if name == OURS or not comparable:
        return f"{more}{statistics.median(row['seconds'] for row in mine):.3g} s ({steps})"
    ratio = statistics.median(row["seconds"] / ours[row["seed"]]["seconds"] for row in mine)
    return f"{more}{ratio:.3g}× ({steps})"


PARTS: dict[str, Callable[[Settings, Record], None]] = {
    "race": race,
    "floor": floor,
    "batching": batching,
    "growth": growth,
    "memory": memory,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure the parts that are named, all if none is."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "part",
        nargs="*",
        help=f"of {', '.join(PARTS)}: the file keeps the others; all, anew, if none is named",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"a minute, to see that it runs; {QUICK_RESULTS.relative_to(ROOT)}",
    )
    parser.add_argument("--output", type=Path, help=f"file to write (default: {RESULTS.relative_to(ROOT)})")
    wanted = parser.parse_args(arguments)
    if unknown := set(wanted.part) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if missing() and not wanted.quick and wanted.output is None:
        parser.error(
            f"it needs every peer: pip install {' '.join(missing())}, or say --output for another file"
        )
    settings = QUICK if wanted.quick else Settings()
    record = Record(wanted.output or (QUICK_RESULTS if wanted.quick else RESULTS), settings)
    if wanted.part:
        record.resume(wanted.part)
    warnings.simplefilter("error", RuntimeWarning)  # a default step size that diverges
    begin = time.perf_counter()
    try:
        for part in wanted.part or PARTS:
            record.put("load", record.content.get("load", {}) | {part: os.getloadavg()[0]})
            PARTS[part](settings, record)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    print(table(record.content))
    print(f"{time.perf_counter() - begin:.0f} s; {record.path}")


if __name__ == "__main__":
    main()
