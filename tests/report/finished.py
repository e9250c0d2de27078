"""Small finished runs, and how these tests read a page."""

import hashlib
import json
from html.parser import HTMLParser

import numpy as np

import minicnn as mc
from minicnn import layers as L
from minicnn import report
from minicnn.data import DatasetSpec

SHAPE = (8, 7, 1)
SPEC = DatasetSpec("mnist", train_csv="train.csv", test_csv="test.csv", images=24)
COMMAND = "minicnn train mnist-quick --images 24"


def data(n=24, seed=0, name="trainset", shape=SHAPE, names=("ant", "bee", "cat")):
    """Return noise whose labels go round the classes."""
    images = np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)
    return mc.data.Dataset(images, np.arange(n) % len(names), names, name)


def convolutional(classes=3):
    return [L.Conv2D(2, 3), L.ReLU(), L.MaxPool2D(2), L.Flatten(), L.Dense(classes)]


def trained(train, layers=None, epochs=2, validation=0.25, seed=0):
    """Return a trainer that has trained a new network on ``train``."""
    layers = convolutional(len(train.class_names)) if layers is None else layers
    trainer = mc.Trainer(mc.Sequential(layers, train.image_shape, seed), mc.optimizers.SGD(0.1))
    trainer.fit(train, epochs=epochs, batch_size=8, validation=validation, progress=False)
    return trainer


def finished(folder, train=None, test=None, command=COMMAND, **options):
    """Train, test and write a run; return it with its trainer, training and test set."""
    train = data() if train is None else train
    test = data(9, 1, "testset", train.image_shape, train.class_names) if test is None else test
    trainer = trained(train, **options)
    evaluation = trainer.evaluate(test)
    run = report.write_run(folder, trainer, train, test, evaluation, SPEC, command)
    return run, trainer, train, test


def sign(folder):
    """Note what is in the folder as what the run wrote, as somebody does who crafts one."""
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    for name in ("model.safetensors", "history.csv", "predictions.npz"):
        metrics["digests"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(metrics), encoding="utf-8")


class Parsed(HTMLParser):
    """What an HTML page is made of: its tags in order with their attributes, and the text in each.

    Fails for a tag that is closed where another one is open, or never.
    """

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs), []))
        if tag not in ("meta", "img"):
            self.open.append(self.tags[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, text):
        for _, _, texts in self.open:
            texts.append(text)

    def texts(self, tag):
        """Return what is written in each of the tags of that name."""
        return ["".join(texts).strip() for name, _, texts in self.tags if name == tag]

    def attributes(self, tag):
        """Return the attributes of each of the tags of that name."""
        return [attributes for name, attributes, _ in self.tags if name == tag]


def parsed(path):
    return Parsed(path.read_text(encoding="utf-8"))
