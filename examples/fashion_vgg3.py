"""Train three 3 × 3 convolutions in a row, as in VGG; draw, save and load the network."""

import sys

import minicnn as mc
from minicnn import cli, plots, report
from minicnn import layers as L


def main() -> int:
    """Draw the network, train, test and report; then load the model and predict with it."""
    parser = cli.options.script_parser(__doc__, "runs/fashion-vgg3")
    cli.options.add_training(parser, epochs=20, batch_size=128, lr=0.02)
    args = parser.parse_args()

    spec = mc.data.DatasetSpec("fashion-mnist", args.data, images=args.images)
    train, test = spec.load()
    print(train, test, sep="\n")

    network = [
        L.Conv2D(64, 3, padding="same"),
        L.ReLU(),
        L.Conv2D(64, 3, padding="same"),
        L.ReLU(),
        L.Conv2D(64, 3, padding="same"),
        L.ReLU(),
        L.MaxPool2D(2),
        L.Flatten(),
        L.Dense(128),
        L.ReLU(),
        L.Dense(10, kernel_initializer="glorot_uniform"),
    ]
    standardize = mc.Standardize.fit(train.images)
    model = mc.Sequential(network, train.image_shape, args.seed, preprocessing=standardize)
    model.summary()

    sgd = mc.optimizers.SGD(args.lr, momentum=0.9, weight_decay=5e-4)
    trainer = mc.Trainer(model, sgd, device=args.device)
    cosine = mc.train.LearningRateSchedule(mc.schedules.Cosine(args.lr))
    augmentation = mc.data.Augmentation(flip=True, shift=1)  # mirror and move by up to a pixel
    with report.run_folder(args.out, "runs/fashion-vgg3", args.force) as out:
        plots.save(plots.model_graph(model), out / "network.png")
        print(f"the drawn network: {out}/network.png")
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
        run = report.write_run(out, trainer, train, test, evaluation, spec)
        report.page_of(run, train, test).write(out)
    print(f"{evaluation.table()}\n\n{test.name}, test set: {evaluation}\nsee {out}/report.html")

    loaded = mc.load(out / "model.safetensors")
    for label, row in zip(test.labels[:5], loaded.predict_proba(test.images[:5]), strict=True):
        best = row.argmax()
        print(f"{test.class_names[label]}, predicted: {loaded.class_names[best]} ({row[best]:.1%})")
    return cli.options.status(args, evaluation.accuracy, {train.name: evaluation})


if __name__ == "__main__":
    sys.exit(cli.exit_status(main))
