"""Train a deeper network on Fashion-MNIST with plain SGD; then draw feature maps and search images."""

import sys

import numpy as np

import minicnn as mc
from minicnn import cli, explain, plots, report
from minicnn import layers as L

QUERIES, FOUND = 6, 6  # queries of the image search, and results for each


def main() -> int:
    """Train, test, draw, search, report."""
    parser = cli.options.script_parser(__doc__, "runs/fashion-multi")
    parser.add_argument("--image", type=int, default=0, help="a test image, for feature maps (default: 0)")
    cli.options.add_training(parser, epochs=15, batch_size=32, lr=0.05)
    args = parser.parse_args()

    spec = mc.data.DatasetSpec("fashion-mnist", args.data, images=args.images)
    train, test = spec.load()
    print(train, test, sep="\n")
    if not 0 <= args.image < len(test):
        parser.error(f"--image must be from 0 to {len(test) - 1}, got {args.image}")
    if len(test) <= FOUND:
        parser.error(
            f"the image search needs more than {FOUND} test images, got {len(test)}: use more --images"
        )

    network = [
        L.Conv2D(32, 3, padding="same"),
        L.ReLU(),
        L.MaxPool2D(2),
        L.Conv2D(64, 3, padding="same"),
        L.ReLU(),
        L.MaxPool2D(2),
        L.Flatten(),
        L.Dense(128),
        L.ReLU(),
        L.Dense(64),
        L.ReLU(),
        L.Dense(10, kernel_initializer="glorot_uniform"),
    ]
    standardize = mc.Standardize.fit(train.images)
    model = mc.Sequential(network, train.image_shape, args.seed, preprocessing=standardize)
    model.summary()

    trainer = mc.Trainer(model, mc.optimizers.SGD(args.lr), device=args.device)  # plain: no momentum
    cosine = mc.train.LearningRateSchedule(mc.schedules.Cosine(args.lr))
    augmentation = mc.data.Augmentation(flip=True, shift=1)  # mirror and move by up to a pixel
    with report.run_folder(args.out, "runs/fashion-multi", args.force) as out:
        trainer.fit(
            train,
            args.epochs,
            args.batch_size,
            validation=0.05,
            callbacks=[cosine],
            seed=args.seed,
            augmentation=augmentation,
        )
        evaluation = trainer.evaluate(test)
        run = report.write_run(out, trainer, train, test, evaluation, spec, custom_sections=True)
        page = report.page_of(run, train, test)
        add_feature_maps(page, model, test, args.image)
        add_search(page, model, test)
        page.write(out)
    print(f"{evaluation.table()}\n\n{test.name}, test set: {evaluation}\nsee {out}/report.html")
    return cli.options.status(args, evaluation.accuracy, {train.name: evaluation})


def add_feature_maps(page: report.Page, model: mc.Sequential, test: mc.data.Dataset, number: int) -> None:
    """Add the feature maps of an image after each pool."""
    figures = {}
    for layer in ("maxpool2d_1", "maxpool2d_2"):
        maps = explain.feature_maps(model, test.images[number : number + 1], layer)[0]
        title = f"Test image {number}, {test.class_names[test.labels[number]]}, {layer}"
        figures[f"chosen_{layer}"] = plots.feature_maps(maps, title), f"{title}, a tile for each filter."
    page.section("A chosen image", figures=figures)


def add_search(page: report.Page, model: mc.Sequential, test: mc.data.Dataset) -> None:
    """Add the nearest test images of the first few, by the cosine of the last hidden layer's features."""
    features = explain.features(model, test.images)
    found = explain.nearest(features, features[:QUERIES], count=1 + FOUND)[:, 1:]  # the nearest is itself
    same = np.mean(test.labels[found] == test.labels[:QUERIES, None])
    numbers = np.column_stack([np.arange(QUERIES), found])
    captions = [[test.class_names[label] for label in labels] for labels in test.labels[numbers]]
    title = "Nearest test images by their features"
    figure = plots.search_results(test.images[:QUERIES], test.images[found], captions, title)
    text = f"{same:.0%} of the results are of the class of their query."
    page.section(
        "Image search", text, {"search": (figure, "On the left the query, then its results, nearest first.")}
    )


if __name__ == "__main__":
    sys.exit(cli.exit_status(main))
