"""MNIST from a baseline to something better: validate both, choose, finalize, save, load, predict."""

import argparse

import common
from common import START, command

import minicnn as mc
from minicnn import plots, report
from minicnn.cli import options
from minicnn.data import Dataset, DatasetSpec
from minicnn.report import Page, Run
from minicnn.report.sections import curves_caption
from minicnn.train import History
from minicnn.zoo import Recipe

RECIPES = "mnist-baseline", "mnist-improved"


def main() -> int:
    """Do what the module says. The test images choose nothing: the validation has chosen before."""
    args = common.parser(__doc__).parse_args()
    out = report.prepare_folder(args.out, "runs/mnist-improve", args.force)
    spec, train, test = common.load(DatasetSpec("mnist", args.data, images=args.images))
    kept, held_out = mc.data.split(train, 1 / 6, args.seed)

    trials = {}
    for name in RECIPES:
        recipe = options.changed(mc.zoo.recipe(name), args)
        trials[recipe] = train_on(recipe, kept, held_out, args)
    baseline = next(iter(trials.values())).evaluate(test)
    best = max(trials, key=lambda recipe: trials[recipe].history["val_accuracy"][-1])
    print(f"chosen by the validation: {best.name}")

    final = train_on(best, train, None, args)  # anew, on all training images
    print(f"{RECIPES[0]}, test set: {baseline}")
    settings = best.settings() | {"held_out": None, "seed": args.seed}
    settings |= {"baseline_test_accuracy": baseline.accuracy, "sections_of_its_own": True}
    evaluation = final.evaluate(test)
    run = report.write_run(out, final, train, test, evaluation, spec, command(), START, **settings)
    model = mc.load(out / report.MODEL)
    loaded = mc.Trainer(model, mc.optimizers.SGD()).evaluate(test)  # the trainer is not asked to train
    print(f"{best.name}, saved and loaded again, test set: {loaded}")

    page = report.page_of(run, train, test)
    add_comparison(page, trials, len(kept), baseline, run)
    page.write(out)
    common.tell(run)
    return common.status(args, run, loaded.accuracy)


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
    page: Page, trials: dict[Recipe, mc.Trainer], images: int, baseline: mc.metrics.Evaluation, run: Run
) -> None:
    """Add what was tried on so many images, and what came of it."""
    rows = [("network", "parameters", "images trained on", "seconds", "validation accuracy", "test accuracy")]
    figures = {}
    for recipe, trainer in trials.items():
        history = trainer.history
        validated = f"{history['val_accuracy'][-1]:.2%}"
        tested = f"{baseline.accuracy:.2%}" if recipe.name == RECIPES[0] else ""
        rows.append(row(recipe.name, trainer.model, images, history, validated, tested))
        caption = f"{recipe.name}. {curves_caption(history, recipe.settings())}"
        figures[recipe.name] = plots.learning_curves(history, f"{recipe.name}: {recipe.about}"), caption
    everything, tested = run.metrics["images"]["training"], f"{run.evaluation.accuracy:.2%}"
    rows.append(row(f"{run.metrics['recipe']}, anew", run.model, everything, run.history, "", tested))
    page.section(
        "Comparison",
        "Both networks were trained on five sixths of the training images and judged on the rest. The better "
        "one was then trained anew on all of them, and tested.",
        figures,
        rows,
    )


def row(
    name: str, model: mc.Sequential, images: int, history: History, validated: str, tested: str
) -> tuple[str, ...]:
    """Return a row of the comparison."""
    return name, f"{model.num_params:,}", f"{images:,}", f"{history.seconds:.0f}", validated, tested


if __name__ == "__main__":
    common.run(main)
