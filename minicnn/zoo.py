"""Recipes: named networks and how to train them, for the command line and for Python.

>>> from minicnn import zoo
>>> recipe = zoo.recipe("fashion-quick")
>>> trainer = recipe.trainer(train, seed=0)
>>> trainer.fit(train, **recipe.fit_options())
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from minicnn import layers as L
from minicnn import optimizers, schedules
from minicnn.checks import unknown_name
from minicnn.data import Augmentation, Dataset
from minicnn.layers import Layer
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.model import Sequential
from minicnn.preprocessing import Scale, Standardize
from minicnn.train import Callback, CrossValidation, LearningRateSchedule, Trainer, WeightEMA, cross_validate


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained, with SGD.

    Attributes
    ----------
    name, about : str
        The name and a one-line description.
    dataset : str
        Its data set, one of ``data.names``.
    network : function
        Takes the number of classes, returns a list of layers.
    epochs, batch_size : int
    learning_rate : float
        The highest one.
    momentum, nesterov, weight_decay, global_clipnorm
        See ``optimizers.SGD``.
    schedule : Schedule type, optional
        How the learning rate changes; by default it is constant.
    label_smoothing : float
        See ``losses.SoftmaxCrossEntropy``.
    augmentation : Augmentation, optional
    ema_decay : float, optional
        The decay of ``train.WeightEMA``; by default the weights are not averaged.
    standardize : bool
        Standardize pixels by the mean and deviation of the training images, instead of scaling to 0…1.
    """

    name: str
    about: str
    dataset: str
    network: Callable[[int], list[Layer]]
    epochs: int
    learning_rate: float
    batch_size: int = 128
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    global_clipnorm: float | None = None
    schedule: type[schedules.Schedule] | None = None
    label_smoothing: float = 0.0
    augmentation: Augmentation | None = None
    ema_decay: float | None = None
    standardize: bool = True

    def model(self, train: Dataset, seed: int = 0) -> Sequential:
        """Return the untrained network for a data set, with the preprocessing fitted to its images."""
        preprocessing = Standardize.fit(train.images) if self.standardize else Scale()
        network, names = self.network(len(train.class_names)), train.class_names
        model = Sequential(network, train.image_shape, seed, preprocessing=preprocessing, class_names=names)
        model.info = {"dataset": train.name, "recipe": self.name}
        return model

    def trainer(self, train: Dataset, seed: int = 0, device: str = "cpu") -> Trainer:
        """Return a trainer of a new network; ``fit_options`` are the arguments for its ``fit``."""
        sgd = optimizers.SGD(
            self.learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            global_clipnorm=self.global_clipnorm,
        )
        loss = SoftmaxCrossEntropy(label_smoothing=self.label_smoothing)
        return Trainer(self.model(train, seed), sgd, loss, device=device)

    def callbacks(self) -> list[Callback]:
        """Return new callbacks for one ``fit``: the schedule and the averaging."""
        found: list[Callback] = []
        if self.schedule is not None:
            found.append(LearningRateSchedule(self.schedule(self.learning_rate)))
        if self.ema_decay is not None:
            found.append(WeightEMA(self.ema_decay))
        return found

    def fit_options(self) -> dict[str, Any]:
        """Return the arguments for one ``Trainer.fit``, except for the data and the seed."""
        return {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "augmentation": self.augmentation,
            "callbacks": self.callbacks(),
        }

    def cross_validate(
        self, data: Dataset, k: int = 5, seed: int = 0, device: str = "cpu"
    ) -> CrossValidation:
        """Cross-validate the recipe; see ``train.cross_validate``."""
        options = self.fit_options()
        del options["callbacks"]  # each fold needs new ones

        def make_trainer(rest: Dataset, seed: int) -> Trainer:
            return self.trainer(rest, seed, device)

        return cross_validate(make_trainer, data, k, seed, self.name, self.callbacks, **options)


def recipe(name: str) -> Recipe:
    """Return the recipe of that name; raise ConfigError if it is not one of ``names``."""
    if name not in _RECIPES:
        raise unknown_name(name, "the recipe", names)
    return _RECIPES[name]


def conv_relu(filters: int, pool: bool = True, padding: str = "same") -> list[Layer]:
    """Return a 3 × 3 convolution and ReLU, then a pool if asked for."""
    return [L.Conv2D(filters, 3, padding=padding), L.ReLU(), *([L.MaxPool2D(2)] if pool else [])]


def conv_bn_relu(filters: int, pool: bool = False) -> list[Layer]:
    """Return a 3 × 3 convolution, a pool if asked for, BatchNorm and ReLU.

    With the pool in front of it, BatchNorm has a quarter of the pixels to normalize.
    """
    # Without a bias, which BatchNorm would subtract again.
    convolution = L.Conv2D(filters, 3, padding="same", use_bias=False)
    return [convolution, *([L.MaxPool2D(2)] if pool else []), L.BatchNorm(), L.ReLU()]


def dense_head(classes: int, *units: int) -> list[Layer]:
    """Return hidden layers with these numbers of units, and the logits."""
    hidden = [layer for n in units for layer in (L.Dense(n), L.ReLU())]
    return [L.Flatten(), *hidden, L.Dense(classes, kernel_initializer="glorot_uniform")]


def plain(
    classes: int, filters: Sequence[int] = (32,), units: Sequence[int] = (100,), padding: str = "same"
) -> list[Layer]:
    """Return convolutions, each with a pool, and hidden layers; by default the baseline of many notebooks."""
    features = [layer for n in filters for layer in conv_relu(n, padding=padding)]
    return [*features, *dense_head(classes, *units)]


def vgg3(classes: int) -> list[Layer]:
    """Return three convolutions of 64 filters in a row, a pool and a hidden layer of 128."""
    convolutions = [*conv_relu(64, pool=False), *conv_relu(64, pool=False), *conv_relu(64)]
    return [*convolutions, *dense_head(classes, 128)]


def batchnorm_small(classes: int) -> list[Layer]:
    """Return three convolutions and a hidden layer, all with BatchNorm."""
    convolutions = [*conv_bn_relu(32, pool=True), *conv_bn_relu(64), *conv_bn_relu(64, pool=True)]
    hidden = [L.Flatten(), L.Dense(128, use_bias=False), L.BatchNorm(), L.ReLU()]
    return [*convolutions, *hidden, L.Dense(classes, kernel_initializer="glorot_uniform")]


def batchnorm_deep(classes: int, width: int = 1) -> list[Layer]:
    """Return six convolutions with BatchNorm and a pool over the whole image, without a hidden layer.

    Twice the width is four times the work.
    """
    return [
        *conv_bn_relu(16 * width),
        *conv_bn_relu(32 * width, pool=True),
        *conv_bn_relu(64 * width),
        *conv_bn_relu(64 * width, pool=True),
        *conv_bn_relu(128 * width),
        *conv_bn_relu(128 * width),
        L.GlobalMaxPool2D(),
        L.Dense(classes, kernel_initializer="glorot_uniform"),
    ]


_NOTEBOOK: dict[str, Any] = {"learning_rate": 0.01, "batch_size": 32, "epochs": 10, "standardize": False}
_HARNESS: dict[str, Any] = _NOTEBOOK | {"schedule": schedules.Cosine}
_ONE_CYCLE: dict[str, Any] = {
    "learning_rate": 0.1,
    "nesterov": True,
    "weight_decay": 5e-4,
    "schedule": schedules.OneCycle,
}
# Without clipping some seeds diverge at this learning rate: see docs/results.md.
_QUICK = _ONE_CYCLE | {
    "network": partial(plain, filters=(16, 32), units=(128,)),
    "global_clipnorm": 1.0,
}
_BEST: dict[str, Any] = _ONE_CYCLE | {"label_smoothing": 0.05}
_FLIP = Augmentation(flip=True, shift=1)

# fmt: off
_ALL = (
    Recipe("fashion-quick", "two convolutions, in seconds", "fashion-mnist", epochs=5, **_QUICK),
    Recipe("mnist-quick", "two convolutions, in seconds", "mnist", epochs=3, **_QUICK),
    Recipe("mnist-baseline", "one convolution", "mnist",
           partial(plain, padding="valid"), **_NOTEBOOK),
    Recipe("mnist-improved", "three convolutions with BatchNorm, and moved images", "mnist",
           batchnorm_small, epochs=6, augmentation=Augmentation(shift=1), **_ONE_CYCLE),
    Recipe("fashion-basic", "one convolution, pixels scaled to 0…1", "fashion-mnist",
           plain, epochs=12, learning_rate=0.05, schedule=schedules.Cosine, standardize=False),
    Recipe("fashion-multi", "several convolutions, pools and dense layers with plain SGD", "fashion-mnist",
           partial(plain, filters=(32, 64), units=(128, 64)), epochs=15, learning_rate=0.05,
           batch_size=32, momentum=0.0, schedule=schedules.Cosine, augmentation=_FLIP),
    Recipe("fashion-baseline", "one convolution", "fashion-mnist",
           partial(plain, padding="valid"), **_HARNESS),
    Recipe("fashion-same", 'one convolution, "same" padding', "fashion-mnist",
           plain, **_HARNESS),
    Recipe("fashion-64", "one convolution of 64 filters", "fashion-mnist",
           partial(plain, filters=(64,)), **_HARNESS),
    Recipe("fashion-vgg3", "three convolutions of 64 filters", "fashion-mnist",
           vgg3, epochs=20, learning_rate=0.02, weight_decay=5e-4,
           schedule=schedules.Cosine, augmentation=_FLIP),
    Recipe("fashion-best", "six convolutions with BatchNorm: the best in a sitting on two cores",
           "fashion-mnist", batchnorm_deep, epochs=17, augmentation=_FLIP, **_BEST),
    Recipe("fashion-max", "the network of fashion-best, twice as wide: for a night on two cores",
           "fashion-mnist", partial(batchnorm_deep, width=2), epochs=40,
           augmentation=Augmentation(flip=True, shift=1, erase=0.5), **_BEST),
    Recipe("mnist-best", "the network of fashion-best, for digits", "mnist",
           batchnorm_deep, epochs=13, augmentation=Augmentation(shift=2), **_BEST),
)
# fmt: on
_RECIPES = {recipe.name: recipe for recipe in _ALL}

names = tuple(_RECIPES)
