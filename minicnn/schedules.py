"""Learning-rate schedules: pure functions of the step, ``schedule(step, total_steps) -> learning rate``.

``step`` counts batches from 0 to total_steps − 1. The callback ``LearningRateSchedule`` applies a schedule;
in a custom training loop::

    optimizer.learning_rate = schedule(step, total_steps)

All constructors raise ConfigError if an argument is out of range.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from minicnn.checks import number, whole_number
from minicnn.errors import ConfigError
from minicnn.hints import Hinted, module_names


@dataclass(frozen=True)
class Schedule(Hinted):
    """Base class: a linear warm-up of ``warmup_steps`` steps, then the curve of the subclass.

    A subclass defines its curve f(p) as a fraction of the highest rate. Of T steps, the first W are the
    warm-up::

        rate of step i = rate · f(0) · (i + 1) / W              i < W
                         rate · f((i − W) / (T − W − 1))        i ≥ W

    So p goes from 0 at the first step after the warm-up to 1 at the last step of the run. With T = W + 1, p
    is 0; with T ≤ W, the run ends within the warm-up.

    Parameters
    ----------
    learning_rate : float
        The highest rate, above 0.
    warmup_steps : int
        W; the last of these steps has the first rate of the curve, rate · f(0).
    """

    _intervals: ClassVar[dict[str, str]] = {}

    learning_rate: float
    warmup_steps: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        number(self.learning_rate, "learning_rate", "(0, ∞)")
        whole_number(self.warmup_steps, "warmup_steps", 0)
        for name, interval in self._intervals.items():
            number(getattr(self, name), name, interval)

    def __call__(self, step: int, total_steps: int) -> float:
        """Return the learning rate of ``step``, 0 ≤ step < total_steps."""
        if step < self.warmup_steps:
            return self.learning_rate * self._factor(0.0) * ((step + 1) / self.warmup_steps)
        length = max(total_steps - self.warmup_steps - 1, 1)
        return self.learning_rate * self._factor(min((step - self.warmup_steps) / length, 1.0))

    def _factor(self, progress: float) -> float:
        """Return f(p), p = ``progress`` from 0 to 1."""
        raise NotImplementedError(f"{type(self).__name__} must define _factor")


@dataclass(frozen=True)
class Constant(Schedule):
    """A constant rate after the warm-up."""

    def _factor(self, progress: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Step(Schedule):
    """Multiply by ``factor`` at each of the ``milestones``.

    Parameters
    ----------
    milestones : sequence of float
        Values of p between 0 and 1, such as (0.5, 0.75).
    factor : float
        Above 0 and at most 1.
    """

    milestones: Sequence[float] = (0.5, 0.75)
    factor: float = 0.1
    _intervals: ClassVar = {"factor": "(0, 1]"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.milestones, Sequence):
            raise ConfigError(f"milestones must be a sequence such as (0.5, 0.75), got {self.milestones!r}")
        for milestone in self.milestones:
            number(milestone, "every milestone", "(0, 1)")

    def _factor(self, progress: float) -> float:
        return self.factor ** sum(progress >= m for m in self.milestones)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from the highest rate down to ``final`` times that rate.

    Source: Loshchilov & Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts",
    equation 5, without restarts.

    Parameters
    ----------
    final : float
        From 0 to 1.
    """

    final: float = 0.0
    _intervals: ClassVar = {"final": "[0, 1]"}

    def _factor(self, progress: float) -> float:
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Half a cosine up from ``start`` times the highest rate, then one down to ``final`` times it.

    Source: Smith & Topin 2018, "Super-Convergence: Very Fast Training of Neural Networks Using
    Large Learning Rates", section 3 (there in straight lines).

    Parameters
    ----------
    peak : float
        The p of the highest rate, above 0 and below 1; no step may be exactly there.
    start, final : float
        From 0 to 1.
    """

    peak: float = 0.3
    start: float = 0.04
    final: float = 0.0001
    _intervals: ClassVar = {"peak": "(0, 1)", "start": "[0, 1]", "final": "[0, 1]"}

    def _factor(self, progress: float) -> float:
        if progress < self.peak:
            low, away_from_peak = self.start, 1 - progress / self.peak
        else:
            low, away_from_peak = self.final, (progress - self.peak) / (1 - self.peak)
        return low + (1 - low) * (1 + math.cos(math.pi * away_from_peak)) / 2


__getattr__ = module_names(__name__)
