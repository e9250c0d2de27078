"""Learning-rate schedules: pure functions of the step, ``schedule(step, total_steps) -> learning rate``.

``step`` counts batches from 0 to total_steps − 1. The trainer applies one through the callback
``LearningRateSchedule``; in a loop of one's own::

    optimizer.learning_rate = schedule(step, total_steps)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from minicnn.checks import number, whole_number
from minicnn.errors import ConfigError


@dataclass(frozen=True)
class Schedule:
    """Base: a linear warm-up over ``warmup_steps`` steps, then the shape of the subclass over the rest.

    Parameters
    ----------
    learning_rate : float
        The highest rate, above 0.
    warmup_steps : int
        Steps of a straight line from near 0 up to the rate that the shape begins with.

    Raises
    ------
    ConfigError
        If ``learning_rate`` is not above 0, or ``warmup_steps`` not a whole number of at least 0.
    """

    learning_rate: float
    warmup_steps: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        number(self.learning_rate, "learning_rate", "(0, ∞)")
        whole_number(self.warmup_steps, "warmup_steps", 0)

    def __call__(self, step: int, total_steps: int) -> float:
        """Return the learning rate of ``step``, 0 ≤ step < total_steps."""
        if step < self.warmup_steps:
            return self.learning_rate * self._factor(0.0) * (step + 1) / self.warmup_steps
        rest = max(total_steps - self.warmup_steps - 1, 1)
        return self.learning_rate * self._factor(min((step - self.warmup_steps) / rest, 1.0))

    def _factor(self, progress: float) -> float:
        """Return the share of the highest rate at ``progress``: 0 after the warm-up, 1 at the last step."""
        raise NotImplementedError(f"{type(self).__name__} must define _factor")


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate throughout."""

    def _factor(self, progress: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Step(Schedule):
    """Multiply by ``factor`` at each of the ``milestones``.

    Parameters
    ----------
    milestones : sequence of float
        Shares of the run between 0 and 1, such as (0.5, 0.75).
    factor : float
        Above 0 and at most 1.

    Raises
    ------
    ConfigError
        If ``milestones`` is no sequence, or a number is not in its range; also what ``Schedule`` refuses.
    """

    milestones: Sequence[float] = (0.5, 0.75)
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.milestones, Sequence):
            raise ConfigError(f"milestones must be a sequence such as (0.5, 0.75), got {self.milestones!r}")
        for milestone in self.milestones:
            number(milestone, "every milestone", "(0, 1)")
        number(self.factor, "factor", "(0, 1]")

    def _factor(self, progress: float) -> float:
        return self.factor ** sum(progress >= m for m in self.milestones)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from the highest rate down to ``final`` times it.

    Source: Loshchilov & Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts",
    equation 5, without restarts.

    Parameters
    ----------
    final : float
        Share of the highest rate at the last step, between 0 and 1.

    Raises
    ------
    ConfigError
        If ``final`` is not in that range; also what ``Schedule`` refuses.
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        number(self.final, "final", "[0, 1]")

    def _factor(self, progress: float) -> float:
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from ``start`` times the highest rate and down to ``final`` times it, in half cosines.

    Source: Smith & Topin 2018, "Super-Convergence: Very Fast Training of Neural Networks Using
    Large Learning Rates", section 3 (there in straight lines).

    Parameters
    ----------
    peak : float
        Share of the run at which the highest rate is reached, above 0 and below 1.
    start, final : float
        Shares of the highest rate at the first and the last step, between 0 and 1.

    Raises
    ------
    ConfigError
        If one of them is not in its range; also what ``Schedule`` refuses.
    """

    peak: float = 0.3
    start: float = 0.04
    final: float = 0.0001

    def __post_init__(self) -> None:
        super().__post_init__()
        number(self.peak, "peak", "(0, 1)")
        number(self.start, "start", "[0, 1]")
        number(self.final, "final", "[0, 1]")

    def _factor(self, progress: float) -> float:
        if progress < self.peak:
            low, away_from_peak = self.start, 1 - progress / self.peak
        else:
            low, away_from_peak = self.final, (progress - self.peak) / (1 - self.peak)
        return low + (1 - low) * (1 + math.cos(math.pi * away_from_peak)) / 2
