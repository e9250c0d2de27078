"""Train three 3×3 convolutions in a row on Fashion-MNIST: the VGG way, with a drawn model graph."""

import common

import minicnn as mc
from minicnn.cli import options


def main() -> int:
    """Train, evaluate, report; then load the model again and predict with it."""
    args = common.parser(__doc__).parse_args()
    run = common.train_and_report("fashion-vgg3", args, "runs/fashion-vgg3")
    print(f"the drawn network: {run.folder}/network.png")
    model = mc.load(run.folder / "model.safetensors")
    _, test = mc.data.Choice(**run.metrics["data"]).load()
    for image, label in zip(test.images[:5], test.labels[:5], strict=True):
        probabilities = model.predict_proba(image[None])[0]
        best = probabilities.argmax()
        print(f"is {test.class_names[label]}: taken for {model.class_names[best]}, {probabilities[best]:.1%}")
    return options.status(args, run.evaluation.accuracy)


if __name__ == "__main__":
    common.run(main)
