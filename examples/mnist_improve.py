"""MNIST from a baseline to something better: validate both, choose, finalise, save, load, predict."""

import argparse

import common
from common import START, command

import minicnn as mc
from minicnn import plots, report
from minicnn.cli import options
from minicnn.data import Choice, Dataset
from minicnn.report import Page, Run
from minicnn.zoo import Recipe

RECIPES = "mnist-baseline", "mnist-improved"


def main() -> int:
    """Do what the module says. Each model meets the test images once."""
    args = common.parser(__doc__).parse_args()
    out = report.check_run(args.out or "runs/mnist-improve")
    choice, train, test = common.load(Choice("mnist", args.data, images=args.images))
    kept, held_out = mc.data.split(train, 1 / 6, args.seed)

    trials = {}
    for name in RECIPES:
        recipe = options.changed(mc.zoo.recipe(name), args)
        trials[recipe] = train_on(recipe, kept, held_out, args)
    baseline = next(iter(trials.values())).evaluate(test)
    best = max(trials, key=lambda recipe: trials[recipe].history["val_accuracy"][-1])
    print(f"chosen by the validation: {best.name}")

    final = train_on(best, train, None, args)  # anew, on all training images
    final.model.save(out / "model.safetensors")
    final.model = mc.load(out / "model.safetensors")
    evaluation = final.evaluate(test)
    print(f"{mc.zoo.recipe(RECIPES[0]).name}, test set: {baseline}")
    settings = {"recipe": best.name, "seed": args.seed, "baseline_test_accuracy": baseline.accuracy}
    settings["sections_of_its_own"] = True
    run = report.write_run(out, final, train, test, evaluation, choice, command(), START, **settings)
    page = report.page_of(run, train, test)
    add_comparison(page, trials, baseline, run)
    page.write(out)
    common.tell(run)
    return options.status(args, evaluation.accuracy)


def train_on(
    recipe: Recipe, train: Dataset, held_out: Dataset | None, args: argparse.Namespace
) -> mc.Trainer:
    """Train a recipe's network and say how long that took, and how well it does on what was held out."""
    trainer = recipe.trainer(train, args.seed, args.device)
    history = trainer.fit(train, validation=held_out, seed=args.seed, **recipe.fit_options())
    validated = f", validation accuracy {history['val_accuracy'][-1]:.2%}" if held_out else ""
    print(f"{recipe.name}, {len(train):,} images: {history.seconds:.0f} s{validated}", flush=True)
    return trainer


def add_comparison(
    page: Page, trials: dict[Recipe, mc.Trainer], baseline: mc.train.Evaluation, run: Run
) -> None:
    """Add what was tried, and what came of it."""
    rows = [("network", "parameters", "seconds", "validation accuracy", "test accuracy")]
    figures = {}
    for i, (recipe, trainer) in enumerate(trials.items()):
        history = trainer.history
        tested = f"{baseline.accuracy:.2%}" if i == 0 else ""
        validated = f"{history['val_accuracy'][-1]:.2%}"
        rows.append(
            (recipe.name, f"{trainer.model.parameters:,}", f"{history.seconds:.0f}", validated, tested)
        )
        curves = plots.learning_curves(history, f"{recipe.name}: {recipe.about}")
        figures[recipe.name] = curves, f"{recipe.name}, trained on five sixths of the training images."
    name, seconds = f"{run.metrics['recipe']}, all training images", f"{run.history.seconds:.0f}"
    rows.append((name, f"{run.model.parameters:,}", seconds, "", f"{run.evaluation.accuracy:.2%}"))
    page.section(
        "Comparison",
        "Both networks were trained on five sixths of the training images and judged on the rest. The better "
        "one was then trained anew on all of them, saved, loaded, and tested.",
        figures,
        rows,
    )


if __name__ == "__main__":
    common.run(main)
