"""The sections that reports are put together from."""

from typing import Any

import numpy as np

from minicnn import explain, plots
from minicnn.data import Dataset
from minicnn.model import Sequential
from minicnn.report.page import Page
from minicnn.train import Evaluation, History
from minicnn.train.metrics import class_scores


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


def add_training(page: Page, history: History) -> None:
    """Add the learning curves."""
    caption = "Loss and accuracy over the epochs. Training values are means while the weights still moved."
    figure = plots.learning_curves(history, f"{history.dataset}: learning curves")
    page.section("Training", figures={"learning_curves": (figure, caption)})


def add_results(page: Page, test: Dataset, evaluation: Evaluation) -> None:
    """Add what the model gets right and wrong on the test set."""
    scores = class_scores(evaluation.confusion)
    columns = zip(scores.precision, scores.recall, scores.f1, scores.support, strict=True)
    rows = [
        (name, f"{p:.1%}", *((f"{r:.1%}", f"{f:.1%}") if n else ("–", "–")), f"{n:,}")
        for name, (p, r, f, n) in zip(evaluation.class_names, columns, strict=True)
    ]
    page.section(
        "Classes",
        "Precision: how many of those called this class are it. Recall: how many of this class were found. "
        "F1: their harmonic mean.",
        {
            "confusion_matrix": (
                plots.confusion_matrix(evaluation, f"{test.name}: accuracy {evaluation.accuracy:.2%}"),
                "Which class (row) was taken for which (column), in images.",
            )
        },
        [("class", "precision", "recall", "F1", "images"), *rows],
    )
    caption = "Above the diagonal the model is too modest, below it too sure of itself."
    page.section("Calibration", figures={"calibration": (plots.calibration(evaluation), caption)})
    caption = "The test images classified wrongly with the most confidence. Some may be mislabelled."
    page.section("Mistakes", figures={"mistakes": (plots.mistakes(test, evaluation), caption)})


def add_inside(page: Page, model: Sequential, test: Dataset) -> None:
    """Add filters, feature maps and the pixels that matter, if the network has convolutions."""
    seen = [layer for layer in model.layers if len(layer.output_shape) == 3]
    convolutions = [layer for layer in seen if "W" in layer.params]
    pixels = [layer for layer in seen if layer.output_shape[0] * layer.output_shape[1] > 1]
    if not convolutions or not pixels:
        return
    image = test.images[:1]
    figures = {"filters": (plots.filters(model), "The filters of the first convolution.")}
    for name, layer in (("first_maps", convolutions[0]), ("last_maps", pixels[-1])):
        maps = explain.feature_maps(model, image, layer.name)[0]
        title = f"What {layer.name} makes of the first test image"
        figures[name] = plots.feature_maps(maps, title), f"{title}: each tile is one of its channels."
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
        plots.heat_maps(images, explain.grad_cam(model, images), captions, "Grad-CAM"),
        "Grad-CAM: where the last convolution found what speaks for the predicted class.",
    )
    page.section("Looking inside", figures=figures)


def add_origin(page: Page, metrics: dict[str, Any]) -> None:
    """Add the command, the settings, the time and the machine."""
    left_out = {"versions", "data", "images", "command"}
    numbers = {name: value for name, value in metrics.items() if name not in left_out} | metrics["versions"]
    rows = [(name.replace("_", " "), _text(value)) for name, value in numbers.items()]
    page.section("Origin", "This command makes the run again.", code=metrics["command"])
    page.section("Numbers and machine", table=[("name", "value"), *rows])


def _text(value: object) -> str:
    """Return a number with as many digits as say something."""
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Return seconds as a person says them."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
