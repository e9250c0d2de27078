"""Train three 3×3 convolutions in a row on Fashion-MNIST: the VGG way, with a drawn model graph."""

import common

import minicnn as mc
from minicnn import experiment, report, zoo
from minicnn.cli import options
from minicnn.data import DatasetSpec


def main() -> int:
    """Train, evaluate, report; then load the model again and predict with it."""
    args = common.parser(__doc__).parse_args()
    spec, train, test = common.load(DatasetSpec("fashion-mnist", args.data, images=args.images))
    recipe = options.changed(zoo.recipe("fashion-vgg3"), args)
    out = report.prepare_folder(args.out, "runs/fashion-vgg3", args.force)
    run = experiment.train_recipe(
        recipe, train, test, spec, out, common.command(), common.START, args.seed, args.device
    )
    common.tell(run)
    print(f"the drawn network: {run.folder}/network.png")
    model = mc.load(run.folder / "model.safetensors")
    for image, label in zip(test.images[:5], test.labels[:5], strict=True):
        probabilities = model.predict_proba(image[None])[0]
        best = probabilities.argmax()
        print(f"is {test.class_names[label]}: taken for {model.class_names[best]}, {probabilities[best]:.1%}")
    return common.status(args, run)


if __name__ == "__main__":
    common.run(main)
