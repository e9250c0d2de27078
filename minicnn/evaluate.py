"""`evaluate`: the loss and the scores of a model on a labeled data set."""

import numpy as np

from minicnn import hints
from minicnn.checks import flag
from minicnn.data import Dataset
from minicnn.data.dataset import check_dataset
from minicnn.errors import ConfigError, DataError
from minicnn.losses import SoftmaxCrossEntropy, softmax
from minicnn.metrics import Evaluation
from minicnn.model import Sequential


@hints.arguments
def evaluate(model: Sequential, data: Dataset, batch_size: int = 256, flip_tta: bool = False) -> Evaluation:
    """Compute loss and accuracy on ``data``, and the probabilities from which all other scores follow.

    The loss is the cross-entropy without label smoothing, so that models trained with and without it can be
    compared. Memory grows with ``batch_size``, not with the data, except for a few (N, K) arrays.

    Parameters
    ----------
    model : Sequential
    data : Dataset
        Its classes are matched to the model's by name.
    batch_size : int
    flip_tta : bool
        Test-time augmentation: average the logits of each image and its mirror image, at twice the cost.

    Raises
    ------
    ConfigError
        If the model is not a classifier.
    DataError, ShapeError, DTypeError, NonFiniteError
        If the model cannot take the data; see ``match_classes`` and ``Sequential.logits``.
    NonFiniteError
        If the model's output holds NaN or infinity.
    """
    check_classifier(model)
    flip_tta = flag(flip_tta, "flip_tta")
    data = match_classes(data, model)
    # In float64, so that rounding does not turn two close logits into a tie, and change the prediction.
    logits = model.logits(data.images, batch_size).astype(np.float64)
    if flip_tta:
        logits = (logits + model.logits(data.images[:, :, ::-1], batch_size)) / 2
    loss = SoftmaxCrossEntropy()(logits, data.labels)
    return Evaluation(loss, data.labels, softmax(logits), data.class_names)


def check_classifier(model: Sequential) -> None:
    """Raise ConfigError if ``model`` is not a Sequential whose output is one logit for each class."""
    if not isinstance(model, Sequential):
        raise ConfigError(f"expected a Sequential model, got {model!r}")
    model.require_classifier()


def match_classes(data: Dataset, model: Sequential, class_names: tuple[str, ...] | None = None) -> Dataset:
    """Return ``data`` with the labels of the model's outputs, matched by class name.

    ``class_names`` are by default the model's; if it has none yet, labels stay unchanged. Raises DataError if
    ``data`` is not a Dataset, or its classes are not the model's, or not as many as its outputs.
    """
    check_dataset(data)
    class_names = class_names or model.class_names
    if class_names is not None:
        try:
            data = data.in_classes(class_names)
        except DataError as reason:
            raise DataError(
                f"{reason}, the classes of the model. If only the names differ, use "
                "Dataset(images, labels, model.class_names); to train the model for other classes, call "
                "model.set_class_names(data.class_names) first"
            ) from reason
    classes = len(data.class_names)
    if model.output_shape != (classes,):
        advice = f"end the model in Dense({classes}), or, " if classes > 1 else ""
        raise DataError(
            f"{data.name} has {classes} class{'es' * (classes > 1)}, the model has {model.output_shape[0]} "
            f"outputs: {advice}if some classes have no image, name all classes: "
            "Dataset(images, labels, class_names)"
        )
    return data
