"""Named networks, and the recipes by which they are trained: what the examples and the command line run.

>>> from minicnn import zoo
>>> recipe = zoo.recipe("fashion-quick")
>>> trainer = recipe.trainer(train, seed=0)
>>> trainer.fit(train, **recipe.fit_options())
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from minicnn import layers as L
from minicnn import optimizers, schedules
from minicnn.checks import unknown_name
from minicnn.data import Augmentation, Dataset
from minicnn.layers import Layer
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.model import Sequential
from minicnn.preprocessing import Scale, Standardize
from minicnn.train import (
    Callback,
    CrossValidation,
    LearningRateSchedule,
    Trainer,
    WeightEMA,
    cross_validate,
)


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained, with SGD.

    Attributes
    ----------
    name, about : str
        What it is called, and what it is, in a line.
    dataset : str
        The data set that it is for, see ``data.names``.
    network : function of the number of classes, returns a list of Layer
    epochs, batch_size : int
    learning_rate : float
        The highest.
    momentum, nesterov, weight_decay, global_clipnorm
        See ``optimizers.SGD``.
    schedule : Schedule type, optional
        How the learning rate moves below its highest; constant without.
    label_smoothing : float
        See ``losses.SoftmaxCrossEntropy``.
    augmentation : Augmentation, optional
    ema_decay : float, optional
        The decay of ``train.WeightEMA``.
    standardize : bool
        Whether pixels are standardized by the training images' mean and deviation, or scaled to 0…1.
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
        """Return the untrained network for a data set, its preprocessing fitted to these images."""
        preprocessing = Standardize.fit(train.images) if self.standardize else Scale()
        network = self.network(len(train.class_names))
        model = Sequential(
            network, train.image_shape, seed, preprocessing=preprocessing, class_names=train.class_names
        )
        model.info = {"dataset": train.name, "recipe": self.name}
        return model

    def trainer(self, train: Dataset, seed: int = 0, device: str = "cpu") -> Trainer:
        """Return a trainer of a new network; see ``fit_options`` for its ``fit``."""
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

    def cross_validate(
        self, data: Dataset, k: int = 5, seed: int = 0, device: str = "cpu"
    ) -> CrossValidation:
        """Cross-validate the recipe, each fold with weights of its own; see ``train.cross_validate``."""
        options = self.fit_options()
        del options["callbacks"]  # made anew for each fold

        def make_trainer(rest: Dataset, seed: int) -> Trainer:
            return self.trainer(rest, seed, device)

        return cross_validate(make_trainer, data, k, seed, self.name, self.callbacks, **options)

    def fit_options(self) -> dict[str, Any]:
        """Return the arguments for one ``Trainer.fit``, but for the data and the seed."""
        return {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "augmentation": self.augmentation,
            "callbacks": self.callbacks(),
        }

    def settings(self) -> dict[str, Any]:
        """Return the name and how the network is trained, as plain values for JSON and for the report."""
        return {
            "recipe": self.name,
            "optimizer": "SGD",
            "learning_rate": self.learning_rate,
            "schedule": "constant" if self.schedule is None else self.schedule.__name__,
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "weight_decay": self.weight_decay,
            "global_clipnorm": self.global_clipnorm,
            "batch_size": self.batch_size,
            "epochs": self.epochs,
            "label_smoothing": self.label_smoothing,
            "augmentation": None if self.augmentation is None else asdict(self.augmentation),
            "ema_decay": self.ema_decay,
            "pixels": "standardized" if self.standardize else "scaled to 0…1",
        }


def recipe(name: str) -> Recipe:
    """Return the recipe of that name, one of ``names``.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if name not in _RECIPES:
        raise unknown_name(name, "the recipe", names)
    return _RECIPES[name]


def two_convolutions(classes: int) -> list[Layer]:
    """Return two convolutions of 16 and 32 filters with a pool each, and a hidden layer of 128."""
    return [
        L.Conv2D(16, 3, padding="same"),
        L.ReLU(),
        L.MaxPool2D(2),
        L.Conv2D(32, 3, padding="same"),
        L.ReLU(),
        L.MaxPool2D(2),
        L.Flatten(),
        L.Dense(128),
        L.ReLU(),
        L.Dense(classes, kernel_initializer="glorot_uniform"),
    ]


def one_convolution(classes: int, filters: int = 32, padding: str = "valid") -> list[Layer]:
    """Return one convolution, a pool, a hidden layer of 100: the baseline of many a notebook."""
    return [
        L.Conv2D(filters, 3, padding=padding),
        L.ReLU(),
        L.MaxPool2D(2),
        L.Flatten(),
        L.Dense(100),
        L.ReLU(),
        L.Dense(classes, kernel_initializer="glorot_uniform"),
    ]


def same_padding(classes: int) -> list[Layer]:
    """Return ``one_convolution`` with "same" padding: 14 × 14 instead of 13 × 13 pixels behind the pool."""
    return one_convolution(classes, padding="same")


def sixty_four_filters(classes: int) -> list[Layer]:
    """Return ``one_convolution`` with "same" padding and twice the filters."""
    return one_convolution(classes, filters=64, padding="same")


def several_layers(classes: int) -> list[Layer]:
    """Return two convolutions with pools and three dense layers."""
    return [
        L.Conv2D(32, 3, padding="same"),
        L.ReLU(),
        L.MaxPool2D(2),
        L.Conv2D(64, 3, padding="same"),
        L.ReLU(),
        L.MaxPool2D(2),
        L.Flatten(),
        L.Dense(128),
        L.ReLU(),
        L.Dense(64),
        L.ReLU(),
        L.Dense(classes, kernel_initializer="glorot_uniform"),
    ]


def vgg3(classes: int) -> list[Layer]:
    """Return three convolutions of 64 filters in a row, a pool, a hidden layer of 128."""
    convolutions = [layer for _ in range(3) for layer in (L.Conv2D(64, 3, padding="same"), L.ReLU())]
    head = [L.Flatten(), L.Dense(128), L.ReLU(), L.Dense(classes, kernel_initializer="glorot_uniform")]
    return [*convolutions, L.MaxPool2D(2), *head]


def conv_bn_relu(filters: int, pool: bool = False) -> list[Layer]:
    """Return a convolution, with or without a pool, BatchNorm and ReLU.

    The pool stands in front of BatchNorm, which then has a quarter of the pixels to normalize, and behind
    the convolution, whose backward pass is then over a quarter of the pixels.
    """
    # Without a bias of its own: BatchNorm would take it away again.
    convolution = L.Conv2D(filters, 3, padding="same", use_bias=False)
    return [convolution, *([L.MaxPool2D(2)] if pool else []), L.BatchNorm(), L.ReLU()]


def normalized_small(classes: int) -> list[Layer]:
    """Return three normalized convolutions and a normalized hidden layer."""
    convolutions = [*conv_bn_relu(32, pool=True), *conv_bn_relu(64), *conv_bn_relu(64, pool=True)]
    head = [L.Flatten(), L.Dense(128, use_bias=False), L.BatchNorm(), L.ReLU()]
    return [*convolutions, *head, L.Dense(classes, kernel_initializer="glorot_uniform")]


def normalized_deep(classes: int, width: int = 1) -> list[Layer]:
    """Return six normalized convolutions and a pool over the whole image: no hidden layer is needed."""
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


def normalized_wide(classes: int) -> list[Layer]:
    """Return ``normalized_deep`` with twice the filters, which is four times the work."""
    return normalized_deep(classes, width=2)


_QUICK = {
    "network": two_convolutions,
    "learning_rate": 0.1,
    "nesterov": True,
    "weight_decay": 5e-4,
    "global_clipnorm": 1.0,  # without it some seeds diverge at this rate: see docs/results.md
    "schedule": schedules.OneCycle,
}
_NOTEBOOK = {"learning_rate": 0.01, "batch_size": 32, "epochs": 10, "standardize": False}
_HARNESS = _NOTEBOOK | {"schedule": schedules.Cosine}
_BEST = {
    "learning_rate": 0.1,
    "nesterov": True,
    "weight_decay": 5e-4,
    "schedule": schedules.OneCycle,
    "label_smoothing": 0.05,
}

_RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("fashion-quick", "two convolutions, in seconds", "fashion-mnist", epochs=5, **_QUICK),
        Recipe("mnist-quick", "two convolutions, in seconds", "mnist", epochs=3, **_QUICK),
        Recipe("mnist-baseline", "one convolution", "mnist", one_convolution, **_NOTEBOOK),
        Recipe(
            "mnist-improved",
            "three convolutions with BatchNorm, and moved images",
            "mnist",
            normalized_small,
            epochs=6,
            learning_rate=0.1,
            nesterov=True,
            weight_decay=5e-4,
            schedule=schedules.OneCycle,
            augmentation=Augmentation(shift=1),
        ),
        Recipe(
            "fashion-basic",
            "one convolution, pixels scaled to 0…1",
            "fashion-mnist",
            same_padding,
            epochs=12,
            learning_rate=0.05,
            schedule=schedules.Cosine,
            standardize=False,
        ),
        Recipe(
            "fashion-multi",
            "several convolutions, pools and dense layers with plain SGD",
            "fashion-mnist",
            several_layers,
            epochs=15,
            learning_rate=0.05,
            batch_size=32,
            momentum=0.0,
            schedule=schedules.Cosine,
            augmentation=Augmentation(flip=True, shift=1),
        ),
        Recipe("fashion-baseline", "one convolution", "fashion-mnist", one_convolution, **_HARNESS),
        Recipe("fashion-same", 'one convolution, "same" padding', "fashion-mnist", same_padding, **_HARNESS),
        Recipe(
            "fashion-64", "one convolution of 64 filters", "fashion-mnist", sixty_four_filters, **_HARNESS
        ),
        Recipe(
            "fashion-vgg3",
            "three convolutions of 64 filters",
            "fashion-mnist",
            vgg3,
            epochs=20,
            learning_rate=0.02,
            weight_decay=5e-4,
            schedule=schedules.Cosine,
            augmentation=Augmentation(flip=True, shift=1),
        ),
        Recipe(
            "fashion-best",
            "six convolutions with BatchNorm: the best in a sitting on two cores",
            "fashion-mnist",
            normalized_deep,
            epochs=17,
            augmentation=Augmentation(flip=True, shift=1),
            **_BEST,
        ),
        Recipe(
            "fashion-max",
            "the network of fashion-best, twice as wide: for a night on two cores",
            "fashion-mnist",
            normalized_wide,
            epochs=40,
            augmentation=Augmentation(flip=True, shift=1, erase=0.5),
            **_BEST,
        ),
        Recipe(
            "mnist-best",
            "the network of fashion-best, for digits",
            "mnist",
            normalized_deep,
            epochs=13,
            augmentation=Augmentation(shift=2),
            **_BEST,
        ),
    )
}

names = tuple(_RECIPES)
