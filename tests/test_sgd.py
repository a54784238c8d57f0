import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from aetutor import encoders, limits, risk, sgd, sources
from aetutor.activations import cubic, erf, from_function, hard_tanh, identity, sign, sin, tanh

QUANTIZER = limits.lloyd_max_quantizer(3)
three = from_function(QUANTIZER, "3 levels", QUANTIZER.thresholds)  # for NumPy arrays only
stairs = from_function(
    lambda x: x + (torch.sign(x) if isinstance(x, torch.Tensor) else np.sign(x)), "x + sign(x)", [0.0]
)
numpy_tanh = from_function(lambda x: np.tanh(np.asarray(x)), "tanh of NumPy", [])


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Such small matrices gain nothing from threads, which wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def train(d=8, rate=1.0, activation=sign, **options):
    return sgd.train(sources.Gaussian(d), rate, activation, **{"steps": 40, "device": "cpu", **options})


def same(one, other):
    assert one.stopped == other.stopped
    assert torch.equal(one.A, other.A)
    assert torch.equal(one.B, other.B)
    assert np.array_equal(one.times, other.times)
    assert np.array_equal(one.risk, other.risk)


# One step, by hand


class Listed(sources.Source):
    """Gives out prepared batches, in their order."""

    def __init__(self, batches):
        self.batches = list(batches)
        self.dimension_ = batches[0].shape[-1]

    dimension = property(lambda self: self.dimension_)

    def sample(self, count, seed=0, *, dtype=torch.float32, device="cpu"):
        x = self.batches.pop(0)
        assert len(x) == count
        return x.to(device, dtype)


BATCHES = torch.randn(6, 32, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def start(activation, n=7):
    """The encoder to start from and the best multiple of its transpose."""
    B = encoders.gaussian(n, 5, 0)
    F = risk.kernel_matrix(B, activation)
    return B, activation.c1 * n / torch.trace(B @ B.T @ F) * B.T


def gradients(A, B, x, activation, slope):
    """Those of the mean of ‖x − Aσ(Bx)‖², with `slope` for σ′, written out sample by sample."""
    of_A, of_B = torch.zeros_like(A), torch.zeros_like(B)
    for v in x:
        z = B @ v
        error = A @ activation(z) - v
        of_A += 2 / len(x) * torch.outer(error, activation(z))
        of_B += 2 / len(x) * torch.outer((A.T @ error) * slope(z), v)
    return of_A, of_B - (of_B * B).sum(dim=1, keepdim=True) * B


def bump(z, tau):
    return 1 / tau / torch.cosh(z / tau) ** 2


SLOPES = [
    (sign, None, lambda z: bump(z, 1.0)),
    (sign, 0.3, lambda z: bump(z, 0.3)),
    (
        three,
        0.5,
        lambda z: QUANTIZER.points[2] / 2 * sum(bump(z - t, 0.5) for t in QUANTIZER.thresholds),
    ),
    (stairs, 2.0, lambda z: 1 + bump(z, 2.0)),
    (tanh, None, lambda z: 1 - torch.tanh(z) ** 2),
    (sin, None, torch.cos),
    (cubic, None, lambda z: 3 * z**2),
    (hard_tanh, None, lambda z: (z.abs() < 1).double()),
    (identity, None, torch.ones_like),
]


@pytest.mark.parametrize(
    ("activation", "temperature", "slope"), SLOPES, ids=lambda v: getattr(v, "name", None)
)
@pytest.mark.parametrize(("schedule", "factors"), [("constant", (1, 1, 1)), ("linear", (1, 2 / 3, 1 / 3))])
def test_plain_steps(activation, temperature, slope, schedule, factors):
    B, A = start(activation)
    eta = 0.05 / activation.second_moment
    for x, factor in zip(BATCHES, factors, strict=False):
        of_A, of_B = gradients(A, B, x, activation, slope)
        A, B = A - eta * factor * of_A, encoders.normalize(B - eta * factor * of_B)
    run = sgd.train(
        Listed(BATCHES),
        7 / 5,
        activation,
        B=start(activation)[0],
        steps=3,
        batch_size=32,
        optimizer="sgd",
        learning_rate=eta,
        schedule=schedule,
        temperature=temperature,
        validation=BATCHES[0],
        device="cpu",
        dtype=torch.float64,
    )
    assert torch.allclose(run.A, A, atol=1e-12)
    assert torch.allclose(run.B, B, atol=1e-12)
    assert run.risk[-1] == pytest.approx(float(risk.empirical(A, B, activation, BATCHES[0])), abs=1e-12)


def test_smooth_gradient_is_that_of_the_loss():
    B, A = (w.requires_grad_() for w in start(erf))
    (BATCHES[0] - erf(BATCHES[0] @ B.T) @ A.T).square().sum(dim=1).mean().backward()
    B0, A0 = start(erf)
    tangent = B.grad - (B.grad * B0).sum(dim=1, keepdim=True) * B0
    run = sgd.train(
        Listed(BATCHES),
        7 / 5,
        erf,
        B=B0,
        steps=1,
        batch_size=32,
        optimizer="sgd",
        learning_rate=0.1,
        validation=BATCHES[0],
        device="cpu",
        dtype=torch.float64,
    )
    assert torch.allclose(run.A, A0 - 0.1 * A.grad, atol=1e-12)
    assert torch.allclose(run.B, encoders.normalize(B0 - 0.1 * tangent), atol=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_adam_is_that_of_pytorch(schedule):
    B, A = (w.requires_grad_() for w in start(sign))
    optimizer = torch.optim.Adam([A, B], lr=0.01)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)
    for x in BATCHES:
        slope = lambda z: bump(z, 1.0)  # noqa: E731
        A.grad, B.grad = gradients(A.detach(), B.detach(), x, sign, slope)
        optimizer.step()
        B.data = encoders.normalize(B.data)
        if schedule == "cosine":
            cosine.step()
    run = sgd.train(
        Listed(BATCHES),
        7 / 5,
        B=start(sign)[0],
        steps=6,
        batch_size=32,
        learning_rate=0.01,
        schedule=schedule,
        validation=BATCHES[0],
        device="cpu",
        dtype=torch.float64,
    )
    assert torch.allclose(run.A, A, atol=1e-10)
    assert torch.allclose(run.B, B, atol=1e-10)


# Where it leads


@pytest.mark.parametrize(
    ("activation", "rate", "optimizer"),
    [
        (sign, 0.5, "adam"),
        (sign, 1.0, "adam"),
        (sign, 1.0, "sgd"),
        (sign, 2.0, "adam"),
        (tanh, 1.0, "sgd"),
        (sin, 1.0, "adam"),  # whose radial gradient would lead Adam astray by a fourth
        (three, 1.0, "adam"),
    ],
    ids=lambda v: getattr(v, "name", v),
)
def test_reaches_the_limit(activation, rate, optimizer):
    run = train(20, rate, activation, steps=600, schedule="linear", optimizer=optimizer)
    assert run.stopped == "steps"
    assert run.risk[-1] < (1.03 if rate > 1 else 1.01) * run.limit
    assert run.risk[-1] > run.limit - 1e-9
    assert run.risk[0] > 1.05 * run.limit


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float32, 3e-7), (torch.float64, 5e-16)])
def test_rows_stay_on_the_spheres(dtype, digits):
    run = train(steps=200, dtype=dtype, learning_rate=0.01)
    assert run.A.dtype == run.B.dtype == dtype
    assert ((run.B.norm(dim=-1) - 1).abs() <= digits).all()


def test_same_seed_same_numbers():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = train(seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    same(first, train(seed=3))
    assert not torch.equal(first.B, train(seed=4).B)
    from_generators = [train(seed=torch.Generator().manual_seed(7)) for _ in range(2)]
    same(*from_generators)


def test_batched_equals_one_by_one():
    B = encoders.gaussian(6, 5, 0, batch=(2, 3))
    kept = B.clone()
    options = {"steps": 40, "record": 15, "dtype": torch.float64}
    together = train(5, 6 / 5, B=B, **options)
    assert together.risk.shape == (2, 3, 4)
    assert (together.stopped == "steps").all()
    for i in np.ndindex(2, 3):
        alone = train(5, 6 / 5, B=B[i], **options)
        assert torch.allclose(together.A[i], alone.A, atol=1e-9)
        assert torch.allclose(together.B[i], alone.B, atol=1e-9)
        assert np.allclose(together.risk[i], alone.risk, atol=1e-9)
    assert torch.equal(B, kept)


def test_what_is_recorded():
    run = train(steps=20, record=7)
    assert run.times.tolist() == [0, 7, 14, 20]
    assert (run.method, run.rate) == ("training on samples", 1.0)
    assert run.step_size == 16 / (400 * 8)
    exact = risk.population(run.A.double(), encoders.normalize(run.B.double()), sign)
    assert run.risk[-1] == pytest.approx(float(exact), abs=1e-12)
    assert np.array_equal(train(steps=14, record=7).risk, run.risk[:3]), "steps do not depend on their number"
    assert train(steps=0).times.tolist() == [0]
    assert train(steps=10, record=10).times.tolist() == [0, 10]
    assert train(8, 0.01, steps=0).B.shape == (1, 8), "at least one row"


def test_default_learning_rates():
    assert train(40, 2, steps=0, batch_size=64).step_size == pytest.approx(8 / (400 * 80))
    plain = {"steps": 0, "batch_size": 64, "optimizer": "sgd"}
    assert train(40, 2, **plain).step_size == pytest.approx(64 / (400 * 80))
    assert train(40, 2, cubic, **plain).step_size == pytest.approx(64 / (400 * 80 * 15))
    assert train(1, 1, steps=0, batch_size=10**4).step_size == pytest.approx(0.05)


# Images and other sources


def images(count, seed=0):
    scales = torch.linspace(2, 0.2, 6, dtype=torch.float64)
    data = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scales
    return sources.Images("blobs", data, (2, 3))


def test_images():
    training, test = images(800).split(300)
    for validation in (test, test.data):
        run = sgd.train(training, 1, steps=300, validation=validation, device="cpu")
        expected = risk.empirical(run.A, run.B, sign, test.data.float())
        assert run.risk[-1] == pytest.approx(float(expected), rel=1e-6)
        assert run.risk[-1] < 0.9 * run.risk[0]
    B = encoders.gaussian(6, 6, 0, batch=2)
    assert sgd.train(training, 1, B=B, steps=5, validation=test, device="cpu").risk.shape == (2, 2)
    own = sgd.train(training, 1, steps=5, device="cpu")
    assert not np.array_equal(own.risk, run.risk[:2])
    assert np.array_equal(own.risk, sgd.train(training, 1, steps=5, device="cpu").risk)


def test_validation_of_a_gaussian():
    x = sources.Gaussian(8).sample(200_000, 1)
    simulated, exact = train(validation=x), train()
    assert torch.equal(simulated.B, exact.B)
    assert simulated.risk == pytest.approx(exact.risk, abs=0.005)


# Too large a learning rate


@pytest.mark.parametrize("batch", [(), (2,)])
def test_overflow(batch):
    B = encoders.gaussian(8, 8, 0, batch=batch)
    with pytest.warns(
        RuntimeWarning, match=r"learning_rate 30 is too large: numbers overflow \(the default is"
    ):
        run = train(B=B, steps=400, record=10, optimizer="sgd", learning_rate=30)
    assert np.all(run.stopped == "diverged")
    assert run.risk.shape == (*batch, len(run.times))
    assert run.times[-1] < 400
    assert np.isfinite(run.risk).all()
    assert run.A.isfinite().all()
    exact = risk.population(run.A.double(), encoders.normalize(run.B.double()), sign)
    assert run.risk[..., -1] == pytest.approx(exact.numpy(), rel=1e-9), (
        "the risk of the weights that are given"
    )


def test_overflow_after_the_last_record():
    with pytest.warns(RuntimeWarning, match="numbers overflow"):
        run = train(steps=150, record=1000, optimizer="sgd", learning_rate=30)
    assert run.times.tolist() == [0]
    assert torch.equal(run.B, train(steps=0).B)


def test_rising_risk():
    with pytest.warns(RuntimeWarning, match="learning_rate 10 is too large: the risk rises"):
        run = train(learning_rate=10)
    assert run.stopped == "diverged"
    assert run.risk[-1] > 1


def test_infinite_start():
    data = sources.Images("huge", torch.full((4, 6), 1e30, dtype=torch.float64), (2, 3))
    with pytest.raises(ValueError, match="source must have finite squares"):
        sgd.train(data, 1, steps=3, device="cpu")


# Checkpoints

SMALL = {"d": 4, "rate": 1.5, "steps": 12, "batch_size": 8, "record": 3, "checkpoint_every": 4}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.pt"


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("where", ["sample", "moved", "population", "replace", "fsync"])
def test_interrupted_and_resumed(monkeypatch, path, optimizer, where):
    whole = train(**SMALL, optimizer=optimizer)
    module = {"sample": sources.Gaussian, "moved": sgd._State, "population": risk}.get(where, os)
    function, calls = getattr(module, where), []

    def interrupting(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    monkeypatch.setattr(module, where, interrupting)
    partial = train(**SMALL, optimizer=optimizer, checkpoint=path)
    monkeypatch.undo()
    assert partial.stopped == "interrupted"
    assert partial.times[-1] < 12
    assert partial.risk[-1] == pytest.approx(
        float(risk.population(partial.A.double(), encoders.normalize(partial.B.double()), sign)), abs=1e-12
    )
    assert os.listdir(path.parent) == ["run.pt"]
    same(train(**SMALL, optimizer=optimizer, checkpoint=str(path)), whole)


def test_interrupted_without_a_checkpoint(monkeypatch):
    moved = sgd._State.moved

    def interrupting(state, *arguments):
        if state.step == 7:
            raise KeyboardInterrupt
        return moved(state, *arguments)

    monkeypatch.setattr(sgd._State, "moved", interrupting)
    run = train(record=5)
    assert run.stopped == "interrupted"
    assert run.times.tolist() == [0, 5, 7]
    monkeypatch.undo()
    assert np.array_equal(run.risk, train(steps=7, record=5).risk)


def test_interrupted_at_any_line(tmp_path, monkeypatch):
    """Ctrl-C before the k-th line that is executed in the module, for many k."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # slow, and nobody pulls the plug here
    whole, lines = train(**SMALL), 0

    def tracing(stop):
        def trace(frame, event, _):
            nonlocal lines
            if frame.f_code.co_filename != sgd.__file__:
                return None
            if event == "line":
                lines += 1
                if lines == stop:
                    raise KeyboardInterrupt
            return trace

        return trace

    def traced(stop, path):
        nonlocal lines
        lines, before = 0, sys.gettrace()
        sys.settrace(tracing(stop))
        try:
            return train(**SMALL, checkpoint=path)
        except KeyboardInterrupt:
            return None
        finally:
            sys.settrace(before)

    same(traced(0, tmp_path / "all"), whole)
    assert lines > 500
    for stop in range(1, lines, 11):
        path = tmp_path / f"{stop}"
        traced(stop, path)
        same(train(**SMALL, checkpoint=path), whole)


def test_finished_runs_return_at_once(monkeypatch, path):
    whole = train(**SMALL, checkpoint=path)
    kept = path.read_bytes()
    monkeypatch.setattr(sgd._State, "moved", None)
    monkeypatch.setattr(sgd, "_save", None)
    same(train(**SMALL, checkpoint=path), whole)
    assert path.read_bytes() == kept


def test_diverged_runs_return_at_once(monkeypatch, path):
    bad = {"steps": 400, "record": 10, "optimizer": "sgd", "learning_rate": 30.0, "checkpoint": path}
    with pytest.warns(RuntimeWarning, match="numbers overflow"):
        first = train(**bad)
    monkeypatch.setattr(sgd._State, "moved", None)
    with pytest.warns(RuntimeWarning, match="numbers overflow"):
        same(train(**bad), first)


def test_a_run_can_be_prolonged(path):
    train(**{**SMALL, "steps": 5}, checkpoint=path)
    same(train(**SMALL, checkpoint=path), train(**SMALL))
    kept = path.read_bytes()
    with pytest.raises(
        ValueError, match=r"steps must be at least the 12 that checkpoint '.*run.pt' has taken, got 5"
    ):
        train(**{**SMALL, "steps": 5}, checkpoint=path)
    assert path.read_bytes() == kept


def test_batched_problems_and_images_resume(path):
    B = encoders.gaussian(6, 6, 0, batch=(2,))
    options = {"B": B, "record": 4, "device": "cpu", "schedule": "cosine"}
    whole = sgd.train(images(50), 1, steps=10, **options)
    calls = []

    class Interrupting(sources.Images):
        def sample(self, count, *arguments, **kwargs):
            calls.append(count)
            if len(calls) == 7:
                raise KeyboardInterrupt
            return super().sample(count, *arguments, **kwargs)

    Interrupting.__name__ = "Images"
    data = images(50)
    sgd.train(Interrupting(data.name, data.data, data.shape), 1, steps=10, checkpoint=path, **options)
    resumed = sgd.train(images(50), 1, steps=10, checkpoint=path, **options)
    assert torch.equal(resumed.B, whole.B)
    assert np.array_equal(resumed.risk, whole.risk)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d": 6, "rate": 1}, "source was Gaussian of dimension 4 .*, and is Gaussian of dimension 6 .* now"),
        ({"rate": 1}, "rate was 6/4, and is 4/4 now"),
        ({"activation": tanh}, r"activation was sign .*, and is tanh \(c1 0.605706"),
        ({"seed": 1}, "seed was 0, and is 1 now"),
        ({"dtype": torch.float64}, "dtype was torch.float32, and is torch.float64 now"),
        ({"B": encoders.gaussian(6, 4, 1)}, "B was not given, and is shape"),
        ({"batch_size": 9}, "batch_size was 8, and is 9 now"),
        ({"optimizer": "sgd"}, "optimizer was adam, and is sgd now"),
        ({"learning_rate": 0.01}, "learning_rate was 0.00.*, and is 0.01 now"),
        ({"schedule": "linear"}, "schedule was constant, and is linear now"),
        ({"temperature": 2.0}, "temperature was 1.0, and is 2.0 now"),
        ({"validation": torch.ones(3, 4)}, "validation was not given, and is shape"),
        ({"record": 4}, "record was 3, and is 4 now"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_checkpoint_of_another_call(path, change, message):
    train(**SMALL, checkpoint=path)
    kept = path.read_bytes()
    with pytest.raises(
        ValueError, match=rf"checkpoint '{re.escape(str(path))}' is of another call: {message}"
    ):
        train(**{**SMALL, **change}, checkpoint=path)
    assert path.read_bytes() == kept
    assert os.listdir(path.parent) == ["run.pt"]


def test_checkpoint_of_other_images_or_steps(path):
    options = {"steps": 4, "device": "cpu", "checkpoint": path, "schedule": "linear"}
    sgd.train(images(50), 1, **options)
    kept = path.read_bytes()
    with pytest.raises(ValueError, match="source was Images of dimension 6"):
        sgd.train(images(50, seed=1), 1, **options)
    with pytest.raises(ValueError, match="steps was 4, and is 5 now"):
        sgd.train(images(50), 1, **{**options, "steps": 5})
    assert path.read_bytes() == kept


def test_damaged_and_foreign_checkpoints(path):
    train(**{**SMALL, "steps": 6}, checkpoint=path)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    flipped = []
    for place in (0, 30, 95, len(whole) - 1, *generator.integers(len(whole), size=40)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << generator.integers(8)
        flipped.append(bytes(damaged))
    lengths = (0, 1, 20, 25, 60, 90, 500, len(whole) // 2, len(whole) - 1)
    torch.save({"step": 1}, path)
    foreign = path.read_bytes()
    others = [*flipped, *(whole[:k] for k in lengths), whole + b"\0", foreign, b"a text\n", b"\x80\x04N."]
    for content in others:
        path.write_bytes(content)
        words = "is damaged|must be a file that aetutor.sgd has written"
        with pytest.raises(ValueError, match=rf"checkpoint.*({words})") as caught:
            train(**SMALL, checkpoint=path)
        assert str(path) in str(caught.value)
        assert path.read_bytes() == content
        assert os.listdir(path.parent) == ["run.pt"]
    path.write_bytes(whole)
    same(train(**SMALL, checkpoint=path), train(**SMALL))


@pytest.mark.parametrize(("where", "third"), [("fsync", 4), ("replace", 2)])
def test_a_failed_write_keeps_the_checkpoint_before(monkeypatch, path, where, third):
    function, seen = getattr(os, where), []

    def failing(*arguments):
        seen.append(path.read_bytes() if path.exists() else None)
        if len(seen) == third + 1:  # of the third checkpoint; a file and its folder are flushed in turn
            raise OSError(28, "No space left on device")
        return function(*arguments)

    monkeypatch.setattr(os, where, failing)
    with pytest.raises(OSError, match="No space left"):
        train(**{**SMALL, "checkpoint_every": 1}, checkpoint=path)
    monkeypatch.undo()
    assert path.read_bytes() == seen[-1]
    assert os.listdir(path.parent) == ["run.pt"]
    same(train(**SMALL, checkpoint=path), train(**SMALL))


def test_a_folder_that_cannot_be_flushed(monkeypatch, path):
    function = os.open

    def refusing(name, *arguments, **options):
        if str(name) == str(path.parent):
            raise PermissionError(13, "Permission denied")
        return function(name, *arguments, **options)

    monkeypatch.setattr(os, "open", refusing)
    same(train(**SMALL, checkpoint=path), train(**SMALL))


def test_a_folder_that_cannot_be_written_to(path, monkeypatch):
    def refusing(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sgd._State, "moved", None)  # fails before any training
    monkeypatch.setattr(os, "replace", refusing)
    with pytest.raises(OSError, match="Permission denied"):
        train(**SMALL, checkpoint=path)
    assert os.listdir(path.parent) == []


KILLER = """
import io, os, random, signal, sys, time
import numpy as np, torch
from aetutor import sgd, sources

folder = sys.argv[1]
file, result = os.path.join(folder, "run.pt"), os.path.join(folder, "..", "result.npz")
chance = random.Random(0)

def attempt(checkpoint):
    # The parent never trains: a fork of a process in which autograd has run is not sound everywhere.
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run = sgd.train(sources.Gaussian(12), 1.5, steps=600, batch_size=32, record=10,
                            checkpoint=checkpoint, checkpoint_every=4, device="cpu")
            np.savez(result, A=run.A, B=run.B, times=run.times, risk=run.risk)
            code = 0
        finally:
            os._exit(code)
    return child

def outcome():
    with np.load(result) as saved:
        return {name: saved[name].tobytes() for name in saved}

def step():
    if not os.path.exists(file):
        return -1
    magic, digest, data = open(file, "rb").read().split(b"\\n", 2)
    return torch.load(io.BytesIO(data), weights_only=True)["step"]

began = time.perf_counter()
assert os.waitpid(attempt(os.path.join(folder, "whole.pt")), 0)[1] == 0
duration = time.perf_counter() - began
os.remove(os.path.join(folder, "whole.pt"))
assert os.waitpid(attempt(None), 0)[1] == 0
expected = outcome()
os.remove(result)

kills, steps, parts = 0, [step()], 0
while kills < 24:
    child = attempt(file)
    time.sleep(chance.uniform(0, duration / 12))
    how = (signal.SIGKILL, signal.SIGTERM)[kills % 2]
    os.kill(child, how)
    status = os.waitpid(child, 0)[1]
    if status == 0:  # it was done before the signal came: once more from the start
        assert outcome() == expected
        os.remove(file)
        steps.append(-1)
        continue
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == how, status
    kills += 1
    parts += os.listdir(folder) not in ([], ["run.pt"])
    assert step() >= steps[-1], steps
    steps.append(step())
assert os.waitpid(attempt(file), 0)[1] == 0
assert outcome() == expected
assert os.listdir(folder) == ["run.pt"], os.listdir(folder)
print(kills, "kills,", parts, "in the middle of writing; steps", steps)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_killed_at_random_moments(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("24 kills")


# Bad input

GAUSSIAN = sources.Gaussian(4)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: sgd.train(torch.ones(5, 4), 1),
            TypeError,
            "source must be an aetutor.sources.Source, got Tensor",
        ),
        (lambda: train(4, 0), ValueError, "rate must be a finite number greater than 0, got 0"),
        (lambda: train(4, "1"), TypeError, "rate must hold real numbers"),
        (lambda: train(4, 1, "sign"), TypeError, "activation must be"),
        (lambda: train(4, 1, numpy_tanh), TypeError, "activation must be one that PyTorch can differentiate"),
        (lambda: train(B=torch.eye(8) * 2), ValueError, "B must have rows of unit norm"),
        (
            lambda: train(B=torch.eye(4)),
            ValueError,
            r"B must have shape \(..., n, d\) = \(..., 8, 8\), got \(4, 4\)",
        ),
        (lambda: train(B=np.eye(8)), TypeError, "B must be a torch.Tensor"),
        (lambda: train(steps=-1), ValueError, "steps must be at least 0, got -1"),
        (lambda: train(steps=1e3), TypeError, "steps must be a whole number"),
        (lambda: train(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
        (lambda: train(record=0), ValueError, "record must be at least 1"),
        (lambda: train(checkpoint_every=0), ValueError, "checkpoint_every must be at least 1"),
        (lambda: train(optimizer="lbfgs"), ValueError, "optimizer must be one of 'adam', 'sgd', got 'lbfgs'"),
        (
            lambda: train(schedule=None),
            ValueError,
            "schedule must be one of 'constant', 'cosine', 'linear', got None",
        ),
        (
            lambda: train(learning_rate=0),
            ValueError,
            "learning_rate must be a finite number greater than 0, got 0",
        ),
        (lambda: train(temperature=0.0), ValueError, "temperature must be a finite number greater than 0"),
        (lambda: train(4, 1, tanh, temperature=1.0), ValueError, "temperature must be left out for .*tanh"),
        (lambda: train(validation=[1.0]), TypeError, "validation must be a torch.Tensor, got list"),
        (
            lambda: train(validation=torch.ones(3, 4)),
            ValueError,
            r"validation must have shape .* d = 8, got \(3, 4\)",
        ),
        (lambda: train(seed=-1), ValueError, "seed must be at least 0"),
        (lambda: train(seed=0.5), TypeError, "seed must be a whole number"),
        (lambda: train(device="abacus"), ValueError, "device must be one that PyTorch can use here"),
        (lambda: train(dtype=torch.float16), TypeError, "dtype must be torch.float32 or torch.float64"),
        (lambda: train(checkpoint=3), TypeError, "checkpoint must be a path, got 3"),
        (
            lambda: train(checkpoint="no/such/folder/x"),
            ValueError,
            "checkpoint must be a file in a folder that exists",
        ),
        (
            lambda: train(checkpoint="."),
            ValueError,
            "checkpoint must be a file in a folder that exists, got '.'",
        ),
        (
            lambda: train(checkpoint="x", seed=torch.Generator()),
            TypeError,
            "seed must be an int for a checkpoint",
        ),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_progress(capsys):
    train(progress=True)
    assert "40.0/40.0" in capsys.readouterr().err


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("activation", [sign, tanh, three], ids=lambda v: v.name)
def test_on_cuda(activation, path):
    here = train(16, 1, activation, steps=1200, schedule="linear")
    there = train(16, 1, activation, steps=1200, schedule="linear", device="cuda")
    assert there.B.device.type == there.A.device.type == "cuda"
    assert there.risk[0] == pytest.approx(here.risk[0], abs=1e-9)
    assert there.risk[-1] == pytest.approx(here.risk[-1], rel=0.01)
    train(16, 1, activation, steps=300, device="cuda", checkpoint=path)
    moved = train(16, 1, activation, steps=600, checkpoint=path)
    assert moved.risk[-1] < moved.risk[0]


def test_callback_sees_what_is_recorded_and_may_end_the_run():
    seen = []

    def follow(step, risk):
        seen.append((step, float(risk)))
        if step == 30:
            raise KeyboardInterrupt

    run = sgd.train(sources.Gaussian(10), 0.5, steps=100, record=10, callback=follow)
    assert run.times.tolist() == [0, 10, 20, 30]
    assert seen == list(zip([0, 10, 20, 30], run.risk.tolist(), strict=True))
    assert run.stopped == "interrupted"
