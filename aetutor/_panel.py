"""Panels that train in a live kernel: sliders, a run and a stop button, the curve drawn as it goes."""

from __future__ import annotations

import asyncio
import io
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np

from aetutor import _checks, activations, descent, encoders, limits, plotting, sgd, sources, spectrum
from aetutor.activations import Activation
from aetutor.explore import ACTIVATIONS
from aetutor.trajectory import Trajectory

_EVERY = 0.15  # seconds between two drawings


class Panel(widgets.VBox):
    """Controls, a progress bar, the picture and a line of text; subclasses say what to train.

    The run is in a thread of its own, so that the kernel's event loop is free for the stop button; all
    that touches widgets is called on that loop. Where there is no loop, the run blocks.
    """

    def __init__(self, controls: dict[str, Any]) -> None:
        self.controls = controls
        for control in controls.values():
            control.style = {"description_width": "110px"}
            control.layout = widgets.Layout(width="360px")
        self.run = widgets.Button(description="Run", button_style="primary")
        self.stop = widgets.Button(description="Stop", disabled=True)
        self.progress = widgets.IntProgress(layout=widgets.Layout(width="180px"))
        self.picture = widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))
        self.message = widgets.HTML()
        self.result: Trajectory | None = None
        self._points: list[tuple[int, float]] = []
        self._stopping = threading.Event()
        self.run.on_click(lambda _: self.start())
        self.stop.on_click(lambda _: self._stopping.set())
        buttons = widgets.HBox([self.run, self.stop, self.progress])
        super().__init__([*controls.values(), buttons, self.message, self.picture])

    def train(self, callback: Callable[[int, Any], None]) -> Trajectory:
        """Train with what the controls say."""
        raise NotImplementedError

    def theory(self) -> Trajectory | float:
        """What theory has to say of the run: a learning curve, or the level that it cannot pass."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin a run, as the run button does."""
        self._stopping.clear()
        self._points = []
        self._expected = self.theory()
        self.progress.value, self.progress.max = 0, self.controls["steps"].value
        self.run.disabled, self.stop.disabled = True, False
        self.message.value = ""
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
            self._work()
        else:
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        drawn = 0.0

        def record(step: int, risk: Any) -> None:
            nonlocal drawn
            if self._stopping.is_set():
                raise KeyboardInterrupt
            self._points.append((step, float(risk)))
            if time.monotonic() - drawn > _EVERY:
                self._on_loop(self._draw)
                drawn = time.monotonic()

        try:
            result = self.train(record)
        except Exception as error:  # shown where the user looks: a thread has no cell to raise it in
            text = f"{type(error).__name__}: {error}"
            self._on_loop(lambda: self._finish(None, text))
        else:
            excess = result.risk[-1] / result.limit - 1
            text = f"risk {result.risk[-1]:.4f}, limit {result.limit:.4f} ({excess:+.1%})"
            if str(result.stopped) != "steps":
                text += f"; {result.stopped}"
            self._on_loop(lambda: self._finish(result, text))

    def _on_loop(self, call: Callable[[], None]) -> None:
        if self._loop is None:
            call()
        else:
            self._loop.call_soon_threadsafe(call)

    def _finish(self, result: Trajectory | None, text: str) -> None:
        self.result = result
        self._draw()
        self.message.value = text
        self.run.disabled, self.stop.disabled = False, True

    def _draw(self) -> None:
        steps, risks = np.array(self._points or [(0, np.nan)]).T
        fig, ax = plotting.figure(width=5.6, height=3.3)
        if isinstance(self._expected, Trajectory):
            plotting.trajectory(ax, self._expected, "theory, from the spectrum alone", 6)
        else:
            ax.axhline(self._expected, color=plotting.COLORS[6], linestyle=":", label="limit")
        shown = np.unique(np.linspace(0, len(steps) - 1, 60).round().astype(int))
        plotting.simulation(ax, steps[shown], risks[shown], label="this run")
        ax.set(xlabel="step", ylabel="risk", ylim=(0, 1.05), xlim=(0, self.progress.max))
        ax.legend(frameon=False)
        buffer = io.BytesIO()
        fig.savefig(buffer, format="png", dpi=110)
        plt.close(fig)
        self.picture.value = buffer.getvalue()
        self.progress.value = int(steps[-1])

    def values(self, *names: str) -> list[Any]:
        """What these controls say now."""
        return [self.controls[name].value for name in names]

    @property
    def activation(self) -> Activation:
        """The activation that is chosen."""
        return next(a for a in ACTIVATIONS if a.name == self.controls["activation"].value)

    @property
    def rate(self) -> float:
        """n/d, with n the whole number that the chosen rate and dimension give."""
        d = self.controls["d"].value
        return max(1, round(self.controls["rate"].value * d)) / d


def _shared(d: int, rate: float, activation: Activation) -> dict[str, Any]:
    d, rate = _checks.count(d, "d"), _checks.positive(rate, "rate")
    names = [a.name for a in ACTIVATIONS]
    if activations.check(activation).name not in names:
        raise ValueError(f"activation must be one of {', '.join(names)}, got {activation.name}")
    return {
        "d": _whole("dimension d", d, 20, 600, 20),
        "rate": widgets.FloatSlider(
            value=rate, min=min(0.1, rate), max=max(3, rate), step=0.1, description="rate r"
        ),
        "activation": widgets.Dropdown(options=names, value=activation.name, description="activation"),
    }


def _whole(label: str, value: int, low: int, high: int, step: int) -> Any:
    return widgets.IntSlider(
        value=value, min=min(low, value), max=max(high, value), step=step, description=label
    )


def _logarithmic(label: str, value: float) -> Any:
    power = math.log10(_checks.positive(value, label))
    return widgets.FloatLogSlider(
        value=value, min=min(-4, power), max=max(1, power), step=0.05, readout_format=".4f", description=label
    )


class Training(Panel):
    """Projected gradient descent on the population risk, beside the spectral learning curve."""

    def __init__(self, d: int, rate: float, activation: Activation, step_size: float, steps: int) -> None:
        controls = _shared(d, rate, activation)
        controls["step_size"] = _logarithmic("step_size", step_size)
        controls["steps"] = _whole("steps", _checks.count(steps, "steps"), 5, 500, 5)
        super().__init__(controls)

    def theory(self) -> Trajectory:
        return spectrum.learning_curve(self.rate, self.activation, *self.values("steps", "step_size"))

    def train(self, callback: Callable[[int, Any], None]) -> Trajectory:
        d, steps, step_size = self.values("d", "steps", "step_size")
        start = encoders.gaussian(round(self.rate * d), d, seed=0)
        return descent.projected_gradient(
            start, self.activation, steps=steps, step_size=step_size, callback=callback
        )


class Samples(Panel):
    """Training on samples of a Gaussian source, with Adam and straight through where σ jumps."""

    def __init__(
        self, d: int, rate: float, activation: Activation, batch_size: int, learning_rate: float, steps: int
    ) -> None:
        controls = _shared(d, rate, activation)
        batch_size = _checks.count(batch_size, "batch_size")
        controls["batch_size"] = _whole("batch_size", batch_size, 16, 1024, 16)
        controls["learning_rate"] = _logarithmic("learning_rate", learning_rate)
        controls["steps"] = _whole("steps", _checks.count(steps, "steps"), 100, 20_000, 100)
        super().__init__(controls)

    def theory(self) -> float:
        return float(limits.isotropic(self.rate, self.activation))

    def train(self, callback: Callable[[int, Any], None]) -> Trajectory:
        d, steps, batch_size, learning_rate = self.values("d", "steps", "batch_size", "learning_rate")
        return sgd.train(
            sources.Gaussian(d),
            self.rate,
            self.activation,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            record=max(1, steps // 200),
            callback=callback,
        )
