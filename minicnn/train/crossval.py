"""k-fold cross-validation, and a test of whether one model is better than another."""

import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.checks import number
from minicnn.data import Dataset
from minicnn.data.split import k_folds
from minicnn.errors import ConfigError
from minicnn.metrics import Evaluation
from minicnn.model import Sequential
from minicnn.text import printable
from minicnn.train.callbacks import Callback
from minicnn.train.history import History
from minicnn.train.trainer import Trainer

# Smaller differences are rounding errors: shares of n and n + 1 images differ by 1 / n² or more.
EQUAL = 1e-12


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The results of k trainings, each evaluated on the fold it was not trained on.

    Attributes
    ----------
    name : str
        Name of the model in comparisons and figures.
    histories : tuple of History
        One for each fold.
    evaluations : tuple of Evaluation
        One for each fold, after its training.
    seed : int
        Seed of the folds and of the trainings.
    """

    name: str
    histories: tuple[History, ...]
    evaluations: tuple[Evaluation, ...]
    seed: int = 0

    @property
    def accuracies(self) -> np.ndarray:
        """The accuracy of each fold, (k,)."""
        return np.array([evaluation.accuracy for evaluation in self.evaluations])

    @property
    def mean(self) -> float:
        """The mean accuracy of the folds."""
        return float(self.accuracies.mean())

    @property
    def std(self) -> float:
        """The sample standard deviation (k − 1 in the denominator) of the accuracies."""
        return float(self.accuracies.std(ddof=1))

    def __repr__(self) -> str:
        return printable(f"CrossValidation({self.name}: {self})")

    def __str__(self) -> str:
        return f"{self.mean * 100:.2f} ± {self.std * 100:.2f} % ({len(self.evaluations)} folds)"


def cross_validate(
    make_trainer: Callable[[Dataset, int], Trainer],
    data: Dataset,
    k: int = 5,
    seed: int = 0,
    name: str = "model",
    make_callbacks: Callable[[], list[Callback]] | None = None,
    **fit: Any,
) -> CrossValidation:
    """Train k times, each time on all folds but one, and evaluate on that one.

    The same data, k and seed give the same folds and the same seed for each fold, so that two models can be
    compared in pairs. The seeds of the folds differ: with the same initial weights in every fold, a lucky
    draw would count k times and look like a better model.

    A callback that chooses the best epoch by its validation chooses by the fold, so the accuracy is slightly
    too high; compare only models that were trained in the same way.

    Parameters
    ----------
    make_trainer : function
        ``make_trainer(rest, seed)`` returns a trainer with a new model and a new optimizer. ``rest`` is the
        training set, to fit the preprocessing to; ``seed`` is the fold's, for the initial weights.
    data : Dataset
    k : int
        Number of folds, see ``k_folds``.
    seed : int
        Seed of the folds. The trainings' seeds are ``np.random.SeedSequence(seed).generate_state(k)``.
    name : str
        Name of the model in comparisons and figures.
    make_callbacks : function, optional
        Returns new callbacks for each fold.
    **fit
        Other arguments of ``Trainer.fit``: epochs, batch_size, progress, augmentation.
    """
    if fit.keys() & {"validation", "callbacks"}:
        raise ConfigError(
            "cross_validate takes no validation, which is the fold, and no callbacks, which must be new for "
            "each fold: pass make_callbacks, a function that returns them"
        )
    folds = k_folds(data, k, seed)
    seeds = np.random.SeedSequence(seed).generate_state(k).tolist()
    # Weak references, as the models of all folds together might fill a GPU.
    models: weakref.WeakSet[Sequential] = weakref.WeakSet()
    histories, evaluations = [], []
    for (rest, fold), fold_seed in zip(folds, seeds, strict=True):
        trainer = make_trainer(rest, fold_seed)
        if not isinstance(trainer, Trainer) or trainer.model in models:
            found = "the model of an earlier fold" if isinstance(trainer, Trainer) else repr(trainer)
            raise ConfigError(f"make_trainer must return a Trainer with a new model each time, got {found}")
        models.add(trainer.model)
        callbacks = make_callbacks() if make_callbacks else ()
        histories.append(trainer.fit(rest, validation=fold, callbacks=callbacks, seed=fold_seed, **fit))
        evaluations.append(trainer.evaluate(fold))
    return CrossValidation(name, tuple(histories), tuple(evaluations), seed)


@dataclass(frozen=True)
class Comparison:
    """How much better one model is than another, and how certain that is; ``str`` gives a sentence.

    Attributes
    ----------
    first, second : str
        The names of the models.
    difference : float
        Mean accuracy of the first minus that of the second: 0.01 is one percentage point.
    interval : (float, float), optional
        Confidence interval of the difference, of 1 − level.
    t, p : float, optional
        The statistic, and the probability of one at least as far from 0 if the models were equally good.
        These three are None if the difference is the same in every fold, and its variance unknown.
    level : float
        The probability of finding a difference where there is none.
    """

    first: str
    second: str
    difference: float
    interval: tuple[float, float] | None
    t: float | None
    p: float | None
    level: float = 0.05

    @property
    def significant(self) -> bool:
        """Whether the difference is more than chance, at the level."""
        return self.p is not None and self.p < self.level

    def __str__(self) -> str:
        sign, word = (1, "better") if self.difference >= 0 else (-1, "worse")
        found = f"{self.first} is {100 * abs(self.difference):.2f} points {word} than {self.second}"
        if self.interval is None or self.p is None:
            if self.difference == 0:
                found = f"{self.first} and {self.second} are equally good"
            return (
                f"{found} in every fold: without scatter the variance cannot be estimated, so this may be "
                "chance"
            )
        low, high = sorted(100 * sign * end for end in self.interval)
        chance = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        verdict = "more than chance" if self.significant else "cannot be told from chance"
        return (
            f"{found} ({100 * (1 - self.level):.4g} % interval {low:.2f} to {high:.2f}, {chance}): "
            f"{verdict} at the {100 * self.level:.3g} % level"
        )


def compare(a: CrossValidation, b: CrossValidation, level: float = 0.05) -> Comparison:
    """Test whether the mean accuracies of two models on the same folds differ by more than chance.

    The corrected resampled t-test, on the differences dᵢ of the k folds, with mean d̄ and sample variance s²::

        t = d̄ / √((1/k + n_test/n_train) · s²)       n_test/n_train = 1/(k − 1)

    follows Student's distribution with k − 1 degrees of freedom. The usual test has s²/k alone, as if the
    folds were independent. But any two of the k training sets share most of their images, so s² is smaller
    than the variance over new images, and the usual test finds differences where there are none.

    If all dᵢ are equal, which rounding to whole images can do by chance, s² = 0 does not estimate the
    variance: the difference is reported without t, p and interval, as not significant.

    Source: C. Nadeau, Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003,
    section 3. They derive it for repeated random splits; for k folds it is an approximation.
    """
    level = number(level, "level", "(0, 1)")
    require_same_folds(a, b)
    from scipy import stats

    differences = a.accuracies - b.accuracies
    k = len(differences)
    mean = float(differences.mean())
    if np.ptp(differences) < EQUAL:
        return Comparison(a.name, b.name, mean, None, None, None, level)
    error = math.sqrt((1 / k + 1 / (k - 1)) * differences.var(ddof=1))
    t = mean / error
    reach = float(stats.t.ppf(1 - level / 2, k - 1)) * error
    p = float(2 * stats.t.sf(abs(t), k - 1))
    return Comparison(a.name, b.name, mean, (mean - reach, mean + reach), t, p, level)


def compare_with(baseline: CrossValidation, others: Sequence[CrossValidation]) -> list[Comparison]:
    """Compare each of m others with the baseline, at the level of 5 % / m; see ``compare``.

    By Bonferroni's correction, the probability of any false positive stays below 5 %.
    """
    return [compare(other, baseline, 0.05 / len(others)) for other in others]


def require_same_folds(a: CrossValidation, b: CrossValidation) -> None:
    """Raise ConfigError if two cross-validations have different folds."""
    labels_a, labels_b = ([evaluation.labels for evaluation in cv.evaluations] for cv in (a, b))
    # The seed as well: if data are sorted by class, the folds of any seed have the same labels.
    same_labels = len(labels_a) == len(labels_b) and all(map(np.array_equal, labels_a, labels_b))
    if a.seed != b.seed or not same_labels:
        raise ConfigError(
            f"{a.name} and {b.name} were not evaluated on the same folds ({len(labels_a)}, seed {a.seed}, "
            f"and {len(labels_b)}, seed {b.seed}): cross-validate both with the same data, k and seed"
        )
