"""The sections of a report."""

from typing import Any

import numpy as np

from minicnn import explain, plots
from minicnn.data import Dataset
from minicnn.metrics import Evaluation
from minicnn.model import Sequential
from minicnn.report.page import Page
from minicnn.train import History

# The metrics that are settings of the training, and their labels on the page.
SETTINGS = {
    "optimizer": "optimizer",
    "learning_rate": "highest learning rate",
    "schedule": "learning rate schedule",
    "momentum": "momentum",
    "nesterov": "Nesterov",
    "weight_decay": "weight decay",
    "global_clipnorm": "largest gradient norm",
    "batch_size": "batch size",
    "epochs": "epochs",
    "label_smoothing": "label smoothing",
    "augmentation": "augmentation",
    "ema_decay": "EMA decay",
    "pixels": "pixels",
    "held_out": "share held out",
    "seed": "seed",
}


def add_network(page: Page, model: Sequential) -> None:
    """Add the drawn network and its table."""
    graph = plots.model_graph(model), "The network, from the pixels to one number for each class."
    page.section("Network", figures={"network": graph}, code=model.summary_table())


def add_data(page: Page, train: Dataset, test: Dataset) -> None:
    """Add class counts, samples and the mean image of each class."""
    figures = {
        "class_counts": (plots.class_counts(train, test), "The number of images in each class."),
        "samples": (plots.samples(train), "The first nine training images with their classes."),
        "class_means": (plots.class_means(train), "The mean image of each class."),
    }
    page.section("Data", figures=figures)


def add_training(page: Page, history: History, metrics: dict[str, Any]) -> None:
    """Add the settings that are in the metrics, and the learning curves."""
    rows = [(label, _text(metrics[name])) for name, label in SETTINGS.items() if name in metrics]
    figure = plots.learning_curves(history, f"{history.dataset}: learning curves")
    page.section(
        "Training",
        figures={"learning_curves": (figure, curves_caption(history, metrics))},
        table=[("setting", "value"), *rows],
    )


def curves_caption(history: History, settings: dict[str, Any]) -> str:
    """Return the caption of the learning curves of a network that was trained with these settings."""
    caption = "Loss and accuracy over the epochs. Training values are means while the weights still moved"
    harder = ["of augmented images"] if settings.get("augmentation") else []
    harder += ["with label smoothing"] if settings.get("label_smoothing") else []
    if harder:
        caption += f", {' and '.join(harder)}"
    if "val_loss" in history:
        caption += ": they can be worse than those of the validation" if harder else ""
        caption += ". The validation's loss is the plain cross-entropy"
    return f"{caption}."


def add_results(page: Page, test: Dataset, evaluation: Evaluation) -> None:
    """Add the scores of each class, the confusion matrix, the calibration and the worst mistakes."""
    matrix = plots.confusion_matrix(evaluation, f"{test.name}: accuracy {evaluation.accuracy:.2%}")
    page.section(
        "Classes",
        f"{evaluation.accuracy:.2%} of the {len(test):,} test images were classified correctly; Wilson's 95% "
        f"interval is {evaluation.interval_text()}. Precision: the share of images predicted as this class "
        "that belong to it. Recall: the share of this class's images that were found. F1: their harmonic "
        "mean. In the macro average every class with images counts the same, in the weighted average every "
        "image.",
        {"confusion_matrix": (matrix, "True class (row) against predicted class (column), in images.")},
        [
            ("class", "precision", "recall", "F1", "images"),
            *evaluation.class_rows(decimals=1),
            *evaluation.average_rows(decimals=1),
        ],
    )
    caption = (
        "Above the diagonal the model is underconfident, below it overconfident. "
        "The larger a disc, the more images have that confidence."
    )
    page.section("Calibration", figures={"calibration": (plots.calibration(evaluation), caption)})
    caption = "The misclassified test images with the highest confidence. Some may be mislabeled."
    page.section("Mistakes", figures={"mistakes": (plots.mistakes(test, evaluation), caption)})


def add_inside(page: Page, model: Sequential, test: Dataset) -> None:
    """Add filters, feature maps, saliency and Grad-CAM, if the network has convolutions."""
    spatial = [layer for layer in model.layers if len(layer.output_shape) == 3]
    convolutions = [layer for layer in spatial if "W" in layer.params]
    pixels = [layer for layer in spatial if layer.output_shape[0] * layer.output_shape[1] > 1]
    if not convolutions or not pixels:
        return
    last = pixels[-1].name
    figures = {"filters": (plots.filters(model), "The filters of the first convolution.")}
    for name, layer in (("first_maps", convolutions[0].name), ("last_maps", last)):
        maps = explain.feature_maps(model, test.images[:1], layer)[0]
        figure = plots.feature_maps(maps, f"Feature maps of {layer} for the first test image")
        figures[name] = figure, f"{figure.get_suptitle()}, one tile each."
    shown = [int(np.argmax(test.labels == label)) for label in np.unique(test.labels)][:10]
    images, names = test.images[shown], test.class_names
    captions = [
        names[label] if label == predicted else f"is {names[label]}\npredicted {names[predicted]}"
        for label, predicted in zip(test.labels[shown], model.predict(images), strict=True)
    ]
    figures["saliency"] = (
        plots.heat_maps(images, explain.saliency(model, images), captions, "Saliency"),
        "Saliency: the pixels that change the predicted class's score most.",
    )
    figures["grad_cam"] = (
        plots.heat_maps(images, explain.grad_cam(model, images, layer=last), captions, "Grad-CAM"),
        f"Grad-CAM: where {last} found evidence for the predicted class.",
    )
    page.section("Looking inside", figures=figures)


def add_origin(page: Page, metrics: dict[str, Any]) -> None:
    """Add, at the end of the page, the command, the other numbers and the machine."""
    left_out = {"versions", "data", "images", "command", "digests", "custom_sections", *SETTINGS}
    numbers = {name: value for name, value in metrics.items() if name not in left_out} | metrics["versions"]
    rows = [(name.replace("_", " "), _text(value)) for name, value in numbers.items()]
    page.section(
        "Origin",
        "This command repeats the run; if it names this folder, choose another one.",
        code=metrics["command"],
        last=True,
    )
    page.section("Numbers and machine", table=[("name", "value"), *rows], last=True)


def _text(value: object) -> str:
    """Return a value for people to read, floats with five significant digits."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Return seconds as text, in minutes from two minutes on."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
