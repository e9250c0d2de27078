"""Train a CNN on the MNIST digits and show what came of it: two convolutions, two dense layers."""

import common

import minicnn as mc
from minicnn import layers as L


def build_model(seed: int) -> mc.Sequential:
    """Return the untrained network, 206,922 parameters."""
    return mc.Sequential(
        [
            L.Conv2D(16, 3, padding="same"),
            L.ReLU(),
            L.MaxPool2D(2),
            L.Conv2D(32, 3, padding="same"),
            L.ReLU(),
            L.MaxPool2D(2),
            L.Flatten(),
            L.Dense(128),
            L.ReLU(),
            L.Dense(10, kernel_initializer="glorot_uniform"),
        ],
        input_shape=(28, 28, 1),
        seed=seed,
        # Mean and standard deviation of the training pixels on the scale 0…1.
        preprocessing=mc.Preprocessing(mean=0.1307, std=0.3081),
    )


def main() -> int:
    """Train, evaluate, report."""
    args = common.arguments(__doc__, epochs=3, batch_size=128, lr=0.1)
    optimizer = mc.optimizers.SGD(args.lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    trainer = mc.Trainer(build_model(args.seed), optimizer, device=args.device)
    train, test = common.load("mnist", args)
    return common.train_and_report(trainer, train, test, args)


if __name__ == "__main__":
    common.run(main)
