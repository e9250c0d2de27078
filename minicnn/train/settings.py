"""The settings of a training, as plain values for a run's metrics and its report."""

import numbers
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from minicnn.data import Augmentation, Dataset
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optimizers import Optimizer
from minicnn.preprocessing import Preprocessing, Scale
from minicnn.train.callbacks import Callback, LearningRateSchedule, WeightEMA

PLAIN = str | int | float | None


def settings(
    optimizer: Optimizer,
    loss: SoftmaxCrossEntropy,
    preprocessing: Preprocessing,
    callbacks: Sequence[Callback],
    augmentation: Augmentation | None,
    validation: float | Dataset | None,
    batch_size: int,
    seed: int,
) -> dict[str, Any]:
    """Return the settings of a training besides the network and the data, as values for JSON.

    ``learning_rate`` is the highest one, ``held_out`` the share of the training images that was held out.
    """
    schedule = next((c.schedule for c in callbacks if isinstance(c, LearningRateSchedule)), None)
    schedule_name = getattr(schedule, "__name__", type(schedule).__name__)
    numbers_of_optimizer = {
        name: value
        for name, value in vars(optimizer).items()
        if isinstance(value, PLAIN) and name != "steps" and not name.startswith("_")
    }
    return {
        "optimizer": type(optimizer).__name__,
        **numbers_of_optimizer,
        "learning_rate": getattr(schedule, "learning_rate", optimizer.learning_rate),
        "schedule": "constant" if schedule is None else schedule_name,
        "batch_size": batch_size,
        "label_smoothing": loss.label_smoothing,
        "augmentation": None if augmentation is None else asdict(augmentation),
        "ema_decay": next((c.decay for c in callbacks if isinstance(c, WeightEMA)), None),
        "pixels": "scaled to 0…1" if isinstance(preprocessing, Scale) else "standardized",
        "held_out": float(validation) if isinstance(validation, numbers.Real) else None,
        "seed": seed,
    }
