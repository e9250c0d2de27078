"""Training: the loop, its callbacks and its history; cross-validation."""

from minicnn.hints import module_names
from minicnn.train.callbacks import (
    Callback,
    Checkpoint,
    CSVLog,
    EarlyStopping,
    LearningRateSchedule,
    WeightEMA,
)
from minicnn.train.crossval import Comparison, CrossValidation, compare, compare_with, cross_validate
from minicnn.train.history import History
from minicnn.train.trainer import Trainer

__all__ = [
    "CSVLog",
    "Callback",
    "Checkpoint",
    "Comparison",
    "CrossValidation",
    "EarlyStopping",
    "History",
    "LearningRateSchedule",
    "Trainer",
    "WeightEMA",
    "compare",
    "compare_with",
    "cross_validate",
]

__getattr__ = module_names(__name__)
