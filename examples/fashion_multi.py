"""Train several layers with plain SGD on Fashion-MNIST, then look inside: filters, maps, image search."""

import common
import numpy as np

from minicnn import experiment, explain, plots, report, zoo
from minicnn.cli import options
from minicnn.data import Dataset, DatasetSpec
from minicnn.errors import ConfigError
from minicnn.report import Page, Run

QUERIES, FOUND = 6, 6


def main() -> int:
    """Train, evaluate, look inside, report."""
    parser = common.parser(__doc__)
    parser.add_argument(
        "--image", type=int, default=0, help="number of the test image to look into (default: 0)"
    )
    args = parser.parse_args()
    spec, train, test = common.load(DatasetSpec("fashion-mnist", args.data, images=args.images))
    if not 0 <= args.image < len(test):
        raise ConfigError(f"--image must be from 0 to {len(test) - 1}, got {args.image}")
    if len(test) <= FOUND:
        raise ConfigError(
            f"the image search needs more than {FOUND} test images, got {len(test)}: give more --images"
        )

    def look_inside(page: Page, run: Run) -> None:
        add_feature_maps(page, run, test, args.image)
        add_search(page, run, test)

    recipe = options.changed(zoo.recipe("fashion-multi"), args)
    out = report.prepare_folder(args.out, "runs/fashion-multi", args.force)
    run = experiment.train_recipe(
        recipe, train, test, spec, out, common.command(), common.START, args.seed, args.device,
        add=look_inside,
    )  # fmt: skip
    common.tell(run)
    return common.status(args, run)


def add_feature_maps(page: Page, run: Run, test: Dataset, number: int) -> None:
    """Add what each convolution makes of the chosen image."""
    name = test.class_names[test.labels[number]]
    figures = {}
    for layer in (layer.name for layer in run.model.layers if layer.name.startswith("maxpool")):
        maps = explain.feature_maps(run.model, test.images[number : number + 1], layer)[0]
        figure = plots.feature_maps(maps, f"Test image {number}, {name}, {layer}")
        figures[f"chosen_{layer}"] = figure, f"{figure.get_suptitle()}, a tile for each."
    page.section("A chosen image", figures=figures)


def add_search(page: Page, run: Run, test: Dataset) -> None:
    """Add the test images that are nearest to the first few, by what the last hidden layer makes of them."""
    features = explain.features(run.model, test.images)
    # One more, because the nearest is the image itself.
    found = explain.nearest(features, features[:QUERIES], count=1 + FOUND)[:, 1:]
    same = np.mean(test.labels[found] == test.labels[:QUERIES, None])
    numbers = np.column_stack([np.arange(QUERIES), found])  # what is searched with comes first
    captions = [[test.class_names[label] for label in labels] for labels in test.labels[numbers]]
    figure = plots.search_results(
        test.images[:QUERIES], test.images[found], captions, "Nearest test images by their features"
    )
    page.section(
        "Image search",
        f"The nearest test images by the cosine of the last hidden layer's features; {same:.0%} of those "
        "shown are of the class of the image that was searched with.",
        {"search": (figure, "Left the image that is searched with, then what is found, the nearest first.")},
    )


if __name__ == "__main__":
    common.run(main)
