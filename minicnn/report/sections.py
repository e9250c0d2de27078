"""The sections that reports are put together from."""

from typing import Any

import numpy as np

from minicnn import explain, plots
from minicnn.data import Dataset
from minicnn.metrics import Evaluation
from minicnn.model import Sequential
from minicnn.report.page import Page
from minicnn.train import History

# How the network was trained: the name of a number in the metrics, and what the page calls it.
SETTINGS = {
    "optimizer": "optimizer",
    "learning_rate": "highest learning rate",
    "schedule": "schedule of the rate",
    "momentum": "momentum",
    "nesterov": "Nesterov",
    "weight_decay": "weight decay",
    "batch_size": "batch size",
    "epochs": "epochs",
    "label_smoothing": "label smoothing",
    "augmentation": "augmentation",
    "ema_decay": "decay of the weight average",
    "pixels": "pixels",
    "held_out": "share held out",
    "seed": "seed",
}


def add_network(page: Page, model: Sequential) -> None:
    """Add the drawn network and its table."""
    graph = plots.model_graph(model), "The network, from the pixels to one number for each class."
    page.section("Network", figures={"network": graph}, code=model.summary_table())


def add_data(page: Page, train: Dataset, test: Dataset) -> None:
    """Add what the data look like."""
    figures = {
        "class_counts": (plots.class_counts(train, test), "How many images of each class there are."),
        "samples": (plots.samples(train), "The first nine training images, and what they are."),
        "class_means": (plots.class_means(train), "Each class's images, averaged pixel by pixel."),
    }
    page.section("Data", figures=figures)


def add_training(page: Page, history: History, metrics: dict[str, Any]) -> None:
    """Add how the network was trained, as far as the metrics tell, and the learning curves."""
    rows = [(label, _text(metrics[name])) for name, label in SETTINGS.items() if name in metrics]
    figure = plots.learning_curves(history, f"{history.dataset}: learning curves")
    page.section(
        "Training",
        figures={"learning_curves": (figure, curves_caption(history, metrics))},
        table=[("setting", "value"), *rows],
    )


def curves_caption(history: History, settings: dict[str, Any]) -> str:
    """Return what learning curves show, for a network that was trained with these settings."""
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
    """Add what the model gets right and wrong on the test set."""
    page.section(
        "Classes",
        f"Of {len(test):,} test images {evaluation.accuracy:.2%} were classified rightly; the 95% interval, "
        f"Wilson's, is {evaluation.interval_text()}. "
        "Precision: how many of those called this class are it. Recall: how many of this class were found. "
        "F1: their harmonic mean. In the macro average each class that has images counts the same, in the "
        "weighted one each image.",
        {
            "confusion_matrix": (
                plots.confusion_matrix(evaluation, f"{test.name}: accuracy {evaluation.accuracy:.2%}"),
                "Which class (row) was taken for which (column), in images.",
            )
        },
        [
            ("class", "precision", "recall", "F1", "images"),
            *evaluation.class_rows(decimals=1),
            *evaluation.average_rows(decimals=1),
        ],
    )
    caption = (
        "Above the diagonal the model is too modest, below it too sure of itself. "
        "The larger a disc, the more images have that confidence."
    )
    page.section("Calibration", figures={"calibration": (plots.calibration(evaluation), caption)})
    caption = "The test images classified wrongly with the most confidence. Some may be mislabeled."
    page.section("Mistakes", figures={"mistakes": (plots.mistakes(test, evaluation), caption)})


def add_inside(page: Page, model: Sequential, test: Dataset) -> None:
    """Add filters, feature maps and the pixels that matter, if the network has convolutions."""
    seen = [layer for layer in model.layers if len(layer.output_shape) == 3]
    convolutions = [layer for layer in seen if "W" in layer.params]
    pixels = [layer for layer in seen if layer.output_shape[0] * layer.output_shape[1] > 1]
    if not convolutions or not pixels:
        return
    image, last = test.images[:1], pixels[-1].name
    figures = {"filters": (plots.filters(model), "The filters of the first convolution.")}
    for name, layer in (("first_maps", convolutions[0]), ("last_maps", pixels[-1])):
        maps = explain.feature_maps(model, image, layer.name)[0]
        figure = plots.feature_maps(maps, f"What {layer.name} makes of the first test image")
        figures[name] = figure, f"{figure.get_suptitle()}, a tile for each."
    shown = [int(np.argmax(test.labels == label)) for label in np.unique(test.labels)][:10]
    images, names = test.images[shown], test.class_names
    captions = [
        names[is_] if is_ == predicted else f"is {names[is_]}\ntaken for {names[predicted]}"
        for is_, predicted in zip(test.labels[shown], model.predict(images), strict=True)
    ]
    figures["saliency"] = (
        plots.heat_maps(images, explain.saliency(model, images), captions, "Saliency"),
        "Saliency: the pixels whose change moves the predicted class's score most.",
    )
    figures["grad_cam"] = (
        plots.heat_maps(images, explain.grad_cam(model, images, layer=last), captions, "Grad-CAM"),
        f"Grad-CAM: where {last} found what speaks for the predicted class.",
    )
    page.section("Looking inside", figures=figures)


def add_origin(page: Page, metrics: dict[str, Any]) -> None:
    """Add, at the end of the page, the command, the other numbers and the machine."""
    left_out = {"versions", "data", "images", "command", "digests", "sections_of_its_own", *SETTINGS}
    numbers = {name: value for name, value in metrics.items() if name not in left_out} | metrics["versions"]
    rows = [(name.replace("_", " "), _text(value)) for name, value in numbers.items()]
    page.section(
        "Origin",
        "This command makes the run again; where it names this folder, name another one.",
        code=metrics["command"],
        last=True,
    )
    page.section("Numbers and machine", table=[("name", "value"), *rows], last=True)


def _text(value: object) -> str:
    """Return a value as a person writes it, a number with as many digits as say something."""
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
    """Return seconds as a person says them."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
