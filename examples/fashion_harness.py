"""The evaluation harness: cross-validate three networks, compare them in pairs, finalize one, predict."""

import common

import minicnn as mc
from minicnn import experiment, plots, report
from minicnn.cli import options
from minicnn.data import Dataset, DatasetSpec
from minicnn.report import Page
from minicnn.train import CrossValidation, compare_with

RECIPES = "fashion-baseline", "fashion-same", "fashion-64"


def main() -> int:
    """Do what the module says; the test images are used once, by the network that is finalized."""
    parser = common.parser(__doc__)
    parser.add_argument("--folds", type=options.count, default=5, help="at least 2 (default: 5)")
    parser.epilog = "The target is for the mean of the baseline's folds."
    args = parser.parse_args()
    out = report.prepare_folder(args.out, "runs/fashion-harness", args.force)
    spec, train, test = common.load(DatasetSpec("fashion-mnist", args.data, images=args.images))
    recipes = [options.changed(mc.zoo.recipe(name), args) for name in RECIPES]
    results = [recipe.cross_validate(train, args.folds, args.seed, args.device) for recipe in recipes]
    for line in lines(results):
        print(line, flush=True)

    best = recipes[choose(results)]
    print(f"\nfinalized on all training images: {best.name}")
    notes = {"baseline_fold_accuracy": results[0].mean}
    notes |= {f"folds_{cv.name}": list(map(float, cv.accuracies)) for cv in results}
    run = experiment.train_recipe(
        best, train, test, spec, out, common.command(), common.START, args.seed, args.device,
        validation=None, notes=notes, add=lambda page, run: add_folds(page, results),
    )  # fmt: skip
    common.tell(run)
    predict_one(run.folder / "model.safetensors", test)
    return common.status(args, run, results[0].mean)


def lines(results: list[CrossValidation]) -> list[str]:
    """Return what the folds say: mean ± standard deviation, and whether differences are more than chance."""
    return [*(f"{cv.name}: {cv}" for cv in results), *map(str, compare_with(results[0], results[1:]))]


def choose(results: list[CrossValidation]) -> int:
    """Return the place of the best of those that are better than the baseline by more than chance, else 0."""
    better = [
        place
        for place, found in enumerate(compare_with(results[0], results[1:]), start=1)
        if found.significant and found.difference > 0
    ]
    return max(better, key=lambda place: results[place].mean, default=0)


def add_folds(page: Page, results: list[CrossValidation]) -> None:
    """Add the curves of every fold, the boxes and the comparison."""
    figures = {
        f"folds_{cv.name}": (plots.fold_curves(cv), f"{cv.name}: every fold and their mean.")
        for cv in results
    }
    caption = "The accuracies of the folds; a line joins those on the same images."
    figures["boxes"] = plots.accuracy_boxes(results, "Accuracy of the folds"), caption
    page.section("Cross-validation", " ".join(f"{line}." for line in lines(results)), figures)


def predict_one(path: str, test: Dataset) -> None:
    """Load the model again and predict a single image."""
    model = mc.load(path)
    probabilities = model.predict_proba(test.images[:1])[0]
    best = probabilities.argmax()
    print(
        f"the first test image is {test.class_names[test.labels[0]]}; "
        f"the loaded model says {model.class_names[best]}, {probabilities[best]:.1%}"
    )


if __name__ == "__main__":
    common.run(main)
