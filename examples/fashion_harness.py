"""Cross-validate three networks, compare them in pairs, train the best on all images, and predict."""

import argparse
import sys

import minicnn as mc
from minicnn import cli, plots, report
from minicnn import layers as L
from minicnn.train import CrossValidation, compare_with, cross_validate

NETWORKS = {  # filters and padding of the one convolution
    "fashion-baseline": (32, "valid"),
    "fashion-same": (32, "same"),
    "fashion-64": (64, "same"),
}


def main() -> int:
    """Cross-validate, compare, train, test once, report, predict."""
    parser = cli.options.script_parser(__doc__, "runs/fashion-harness")
    parser.add_argument("--folds", type=int, default=5, help="at least 2 (default: 5)")
    cli.options.add_training(parser, epochs=10, batch_size=32, lr=0.01)
    parser.epilog = "The target is for the mean of the baseline's folds."
    args = parser.parse_args()
    spec = mc.data.DatasetSpec("fashion-mnist", args.data, images=args.images)
    train, test = spec.load()
    print(train, test, sep="\n")

    with report.run_folder(args.out, "runs/fashion-harness", args.force) as out:
        results = [validate(name, train, args) for name in NETWORKS]
        for comparison in compare_with(results[0], results[1:]):
            print(comparison)

        name = results[choose(results)].name
        print(f"\ntrained on all training images: {name}")
        trainer = make_trainer(name, args, args.seed)
        trainer.fit(train, args.epochs, args.batch_size, callbacks=cosine(args), seed=args.seed)
        evaluation = trainer.evaluate(test)
        notes = {f"folds_{result.name}": result.accuracies.tolist() for result in results}
        notes |= {"network": name, "baseline_fold_accuracy": results[0].mean, "custom_sections": True}
        run = report.write_run(out, trainer, train, test, evaluation, spec, **notes)
        page = report.page_of(run, train, test)
        add_folds(page, results)
        page.write(out)
    print(f"{evaluation.table()}\n\n{test.name}, test set: {evaluation}\nsee {out}/report.html")

    model = mc.load(out / "model.safetensors")
    best, name = model.predict_proba(test.images[:1])[0], test.class_names[test.labels[0]]
    print(f"first test image: {name}, predicted: {model.class_names[best.argmax()]} ({best.max():.1%})")
    return cli.options.status(args, results[0].mean, {train.name: evaluation})


def make_trainer(name: str, args: argparse.Namespace, seed: int) -> mc.Trainer:
    """Return a trainer of a new network of that name."""
    filters, padding = NETWORKS[name]
    network = [
        L.Conv2D(filters, 3, padding=padding),
        L.ReLU(),
        L.MaxPool2D(2),
        L.Flatten(),
        L.Dense(100),
        L.ReLU(),
        L.Dense(10, kernel_initializer="glorot_uniform"),
    ]
    model = mc.Sequential(network, (28, 28, 1), seed)  # pixels are scaled to 0…1
    return mc.Trainer(model, mc.optimizers.SGD(args.lr, momentum=0.9), device=args.device)


def cosine(args: argparse.Namespace) -> list[mc.train.Callback]:
    """Return the callbacks of one training."""
    return [mc.train.LearningRateSchedule(mc.schedules.Cosine(args.lr))]


def validate(name: str, train: mc.data.Dataset, args: argparse.Namespace) -> CrossValidation:
    """Cross-validate a network and print its accuracy."""
    result = cross_validate(
        lambda rest, seed: make_trainer(name, args, seed),
        train,
        args.folds,
        args.seed,
        name,
        lambda: cosine(args),
        epochs=args.epochs,
        batch_size=args.batch_size,
    )
    print(f"{name}: {result}")
    return result


def choose(results: list[CrossValidation]) -> int:
    """Return the index of the best network that is significantly better than the baseline, or 0."""
    comparisons = enumerate(compare_with(results[0], results[1:]), start=1)
    better = [index for index, found in comparisons if found.significant and found.difference > 0]
    return max(better, key=lambda index: results[index].mean, default=0)


def add_folds(page: report.Page, results: list[CrossValidation]) -> None:
    """Add the curves of every fold, the box plot and the comparisons."""
    figures = {
        f"folds_{result.name}": (plots.fold_curves(result), f"{result.name}: every fold and their mean.")
        for result in results
    }
    caption = "The accuracies of the folds; a line joins those on the same images."
    figures["boxes"] = plots.accuracy_boxes(results, "Accuracy of the folds"), caption
    lines = [f"{result.name}: {result}." for result in results]
    lines += [f"{comparison}." for comparison in compare_with(results[0], results[1:])]
    page.section("Cross-validation", " ".join(lines), figures)


if __name__ == "__main__":
    sys.exit(cli.exit_status(main))
