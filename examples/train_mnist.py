"""Train a small CNN on the MNIST digits. Every step is in this file: change a layer and run it again."""

import sys

import minicnn as mc
from minicnn import cli, report
from minicnn import layers as L


def main() -> int:
    """Load, look, build, train, test, report."""
    parser = cli.options.script_parser(__doc__, "runs/mnist")
    cli.options.add_training(parser, epochs=3, batch_size=128, lr=0.1)
    args = parser.parse_args()

    spec = mc.data.DatasetSpec("mnist", args.data, images=args.images)
    train, test = spec.load()
    for name, count in zip(train.class_names, train.class_counts(), strict=True):
        print(f"{name} {count:6,} images")

    network = [
        L.Conv2D(16, 3, padding="same"),  # 28 × 28 × 1 → 28 × 28 × 16
        L.ReLU(),
        L.MaxPool2D(2),  # → 14 × 14 × 16
        L.Conv2D(32, 3, padding="same"),  # → 14 × 14 × 32
        L.ReLU(),
        L.MaxPool2D(2),  # → 7 × 7 × 32
        L.Flatten(),
        L.Dense(128),
        L.ReLU(),
        L.Dense(len(train.class_names), kernel_initializer="glorot_uniform"),
    ]
    standardize = mc.Standardize.fit(train.images)
    model = mc.Sequential(network, train.image_shape, args.seed, preprocessing=standardize)
    model.summary()

    # Without a limit on the gradients' norm, some seeds diverge at this rate.
    sgd = mc.optimizers.SGD(args.lr, momentum=0.9, nesterov=True, weight_decay=5e-4, global_clipnorm=1.0)
    one_cycle = mc.train.LearningRateSchedule(mc.schedules.OneCycle(args.lr))
    trainer = mc.Trainer(model, sgd, device=args.device)
    with report.run_folder(args.out, f"runs/{train.name}", args.force) as out:
        trainer.fit(
            train, args.epochs, args.batch_size, validation=0.05, callbacks=[one_cycle], seed=args.seed
        )

        evaluation = trainer.evaluate(test)
        run = report.write_run(out, trainer, train, test, evaluation, spec)
        report.page_of(run, train, test).write(out)
    print(f"{evaluation.table()}\n\n{test.name}, test set: {evaluation}\nsee {out}/report.html")
    return cli.options.status(args, evaluation.accuracy, {train.name: evaluation})


if __name__ == "__main__":
    sys.exit(cli.exit_status(main))
