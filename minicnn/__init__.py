"""minicnn: convolutional networks from scratch, every forward and backward pass written by hand.

>>> import minicnn as mc
>>> from minicnn import layers as L
>>> train, test = mc.data.load("fashion-mnist")
>>> model = mc.Sequential([L.Flatten(), L.Dense(10)], input_shape=(28, 28, 1))
>>> trainer = mc.Trainer(model, mc.optimizers.SGD(0.05, momentum=0.9))
>>> history = trainer.fit(train, epochs=1)
>>> print(trainer.evaluate(test))
"""

from minicnn import (
    data,
    errors,
    explain,
    gradcheck,
    initializers,
    layers,
    losses,
    metrics,
    ops,
    optimizers,
    schedules,
    train,
    zoo,
)
from minicnn.evaluate import evaluate
from minicnn.hints import module_names
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.model import Sequential, load
from minicnn.preprocessing import Preprocessing, Scale, Standardize
from minicnn.runtime.threads import set_num_threads
from minicnn.train import Trainer

__version__ = "0.1.0"

__all__ = [
    "Preprocessing",
    "Scale",
    "Sequential",
    "SoftmaxCrossEntropy",
    "Standardize",
    "Trainer",
    "data",
    "errors",
    "evaluate",
    "explain",
    "gradcheck",
    "initializers",
    "layers",
    "load",
    "losses",
    "metrics",
    "ops",
    "optimizers",
    "schedules",
    "set_num_threads",
    "train",
    "zoo",
]

__getattr__ = module_names(__name__)
