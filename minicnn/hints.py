"""What a name of Keras, PyTorch or scikit-learn is called here: said in the error that the name meets.

``HINTS`` is the one table. Its outer keys are places: ``"minicnn"`` stands for every module, ``"Trainer."``
for the attributes of a class and those derived from it, ``"Trainer()"`` and ``"Trainer.fit()"`` for the
arguments of a constructor and of a method. A hint is the code to write, or the code ("" for none) and a
remark. For an argument that only has another name here, the hint is that name.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from opcode import opmap
from types import FrameType
from typing import Any, NoReturn

from minicnn.errors import ArgumentError, UnknownNameError
from minicnn.text import did_you_mean, shown

Hint = str | tuple[str, str]

_MODEL = "mc.Sequential([mc.layers.Flatten(), mc.layers.Dense(10)], input_shape=(28, 28, 1))"
_TRAINER = "trainer = mc.Trainer(model, mc.optimizers.SGD(0.05), mc.SoftmaxCrossEntropy())"
_SCHEDULE = "callbacks=[mc.train.LearningRateSchedule(mc.schedules.Cosine(0.05))]"
_RATE = "trainer.optimizer.learning_rate = 0.01"
_ACTIVATION = "mc.layers.ReLU()", "an activation is a layer of its own, and the softmax is in the loss"
_OTHER_ACTIVATION = "mc.layers.LeakyReLU()", "the activations here are ReLU and LeakyReLU"
_SOFTMAX = (
    "model.predict_proba(images)",
    "the loss has the softmax, so the model ends in Dense; for probabilities",
)
_LOSS = "mc.SoftmaxCrossEntropy()"
_ROW = _MODEL, "a model is a row of layers"
_SIZES = "", "leave it out, as Sequential knows what comes in"
_DECAY = "mc.optimizers.SGD(0.05, weight_decay=2e-4)", "an L2 penalty of λ is a weight_decay of 2·λ"
_AUGMENTATION = "trainer.fit(train, augmentation=mc.data.Augmentation(flip=True, shift=2))"
_EVALUATE = "trainer.evaluate(test)"
_FIT = "trainer.fit(train)"
_ARRAYS = "model.arrays()"
_SAVE, _LOAD = 'model.save("model.safetensors")', 'model = mc.load("model.safetensors")'
_WRAP = "mc.data.Dataset(images, labels)"
_WHOLE_LABELS = _WRAP, "labels stay whole numbers, one for each image"
_SEED = (
    "mc.Sequential([mc.layers.Flatten(), mc.layers.Dense(10)], (28, 28, 1), seed=0)",
    "there is no global seed",
)
_NO_ZEROING = "", "not needed, as backward assigns the gradients and never adds to them"
_QUIET = "", "leave it out, as nothing is printed"
_KNOWN_MODE = "", "leave it out, as the monitor says whether higher is better"

HINTS: dict[str, dict[str, Hint]] = {
    "minicnn": {
        "Activation": _ACTIVATION,
        "Adadelta": "mc.optimizers.Adam()",
        "Adagrad": "mc.optimizers.Adam()",
        "AdaptiveAvgPool2d": "mc.layers.GlobalAvgPool2D()",
        "Add": _ROW,
        "AveragePooling2D": "mc.layers.AvgPool2D(2)",
        "AvgPool2d": "mc.layers.AvgPool2D(2)",
        "BatchNorm1d": "mc.layers.BatchNorm()",
        "BatchNorm2d": "mc.layers.BatchNorm()",
        "BatchNormalization": "mc.layers.BatchNorm()",
        "CSVLogger": 'mc.train.CSVLog("log.csv")',
        "CategoricalCrossentropy": _LOSS,
        "Concatenate": _ROW,
        "Conv2d": 'mc.layers.Conv2D(32, 3, padding="valid")',
        "Convolution2D": 'mc.layers.Conv2D(32, 3, padding="valid")',
        "CosineAnnealingLR": "mc.schedules.Cosine(0.05)",
        "CosineDecay": "mc.schedules.Cosine(0.05)",
        "CrossEntropyLoss": _LOSS,
        "DataLoader": _WRAP,
        "Dropout2d": "mc.layers.Dropout(0.25)",
        "ELU": _OTHER_ACTIVATION,
        "GELU": _OTHER_ACTIVATION,
        "GlobalAveragePooling2D": "mc.layers.GlobalAvgPool2D()",
        "GlobalMaxPooling2D": "mc.layers.GlobalMaxPool2D()",
        "ImageDataGenerator": _AUGMENTATION,
        "Input": (_MODEL, "the model has the input's shape"),
        "InputLayer": (_MODEL, "the model has the input's shape"),
        "KFold": "mc.data.k_folds(train, 5)",
        "LearningRateScheduler": "mc.train.LearningRateSchedule(mc.schedules.Cosine(0.05))",
        "Linear": "mc.layers.Dense(10)",
        "LogSoftmax": _SOFTMAX,
        "MaxPool2d": "mc.layers.MaxPool2D(2)",
        "MaxPooling2D": "mc.layers.MaxPool2D(2)",
        "Model": _ROW,
        "ModelCheckpoint": 'mc.train.Checkpoint("best.safetensors")',
        "Module": _ROW,
        "Nadam": "mc.optimizers.Adam()",
        "NLLLoss": _LOSS,
        "OneCycleLR": "mc.schedules.OneCycle(0.1)",
        "RMSprop": "mc.optimizers.Adam()",
        "RandomFlip": _AUGMENTATION,
        "RandomTranslation": _AUGMENTATION,
        "ReduceLROnPlateau": ("mc.schedules.Step(0.05)", "the rate follows a schedule"),
        "Rescaling": ("mc.Preprocessing()", "the model scales uint8 pixels to 0…1 by itself"),
        "SELU": _OTHER_ACTIVATION,
        "Sigmoid": _OTHER_ACTIVATION,
        "Softmax": _SOFTMAX,
        "SparseCategoricalCrossentropy": _LOSS,
        "SpatialDropout2D": "mc.layers.Dropout(0.25)",
        "StepLR": "mc.schedules.Step(0.05, milestones=(0.5, 0.75))",
        "StratifiedKFold": "mc.data.k_folds(train, 5)",
        "Tanh": _OTHER_ACTIVATION,
        "TensorBoard": 'mc.train.CSVLog("log.csv")',
        "TensorDataset": _WRAP,
        "ZeroPadding2D": ('mc.layers.Conv2D(32, 3, padding="same")', "convolutions and pools pad"),
        "accuracy_score": "trainer.evaluate(test).accuracy",
        "callbacks": ("mc.train.EarlyStopping()", "the callbacks are in mc.train"),
        "classification_report": "trainer.evaluate(test).table()",
        "confusion_matrix": "trainer.evaluate(test).confusion",
        "cross_entropy": _LOSS,
        "cross_val_score": (
            "mc.train.cross_validate(new_trainer, train)",
            "with a function new_trainer(rest, seed) of your own, which returns a trainer of a new model",
        ),
        "datasets": ('mc.data.load("fashion-mnist")', "data sets are in mc.data"),
        "fetch_openml": 'mc.data.load("mnist")',
        "l2": _DECAY,
        "load_data": 'mc.data.load("fashion-mnist")',
        "load_model": _LOAD,
        "lr_scheduler": "mc.schedules.Cosine(0.05)",
        "manual_seed": _SEED,
        "metrics": (_EVALUATE, "what is measured is in an evaluation"),
        "models": _ROW,
        "nn": ("mc.layers.Dense(10)", "the layers are in mc.layers"),
        "no_grad": (
            "model.predict(images)",
            "nothing is kept for gradients unless training=True is asked for",
        ),
        "optim": ("mc.optimizers.SGD(0.05)", "the optimizers are in mc.optimizers"),
        "plots": "from minicnn import plots",
        "regularizers": _DECAY,
        "report": "from minicnn import report",
        "save": _SAVE,
        "save_model": _SAVE,
        "seed": _SEED,
        "set_seed": _SEED,
        "study": "from minicnn import study",
        "to_categorical": _WHOLE_LABELS,
        "one_hot": _WHOLE_LABELS,
        "train_test_split": "mc.data.split(train, 0.1)",
        "transforms": _AUGMENTATION,
        "utils": _WRAP,
    },
    "Sequential.": {
        "add": (_MODEL, "all layers are given at once"),
        "append": (_MODEL, "all layers are given at once"),
        "children": "model.layers",
        "classes_": "model.class_names",
        "compile": _TRAINER,
        "count_params": "model.parameters",
        "eval": ("model.predict(images)", "a prediction never trains"),
        "evaluate": f"{_TRAINER}; {_EVALUATE}",
        "fit": f"{_TRAINER}; {_FIT}",
        "fit_generator": f"{_TRAINER}; {_FIT}",
        "get_layer": "model.layers[0]",
        "get_weights": _ARRAYS,
        "history": "trainer.history",
        "load_state_dict": "model.set_arrays(arrays)",
        "load_weights": 'model.set_arrays(mc.load("model.safetensors").arrays())',
        "modules": "model.layers",
        "named_parameters": _ARRAYS,
        "predict_classes": "model.predict(images)",
        "save_weights": _SAVE,
        "score": f"{_TRAINER}; {_EVALUATE}",
        "set_weights": "model.set_arrays(arrays)",
        "state_dict": _ARRAYS,
        "train": f"{_TRAINER}; {_FIT}",
        "train_on_batch": "trainer.engine.train_step(images, labels)",
        "trainable_variables": _ARRAYS,
        "trainable_weights": _ARRAYS,
        "weights": _ARRAYS,
        "zero_grad": _NO_ZEROING,
    },
    "Trainer.": {
        "compile": ("", "leave it out, as Trainer(model, optimizer, loss) has all it needs"),
        "lr": "trainer.optimizer.learning_rate",
        "predict": "trainer.model.predict(images)",
        "predict_proba": "trainer.model.predict_proba(images)",
        "save": 'trainer.model.save("model.safetensors")',
        "score": _EVALUATE,
        "summary": "trainer.model.summary()",
        "test": _EVALUATE,
        "train": _FIT,
        "validate": _EVALUATE,
    },
    "Optimizer.": {
        "apply_gradients": "optimizer.step(model)",
        "lr": "optimizer.learning_rate",
        "minimize": "optimizer.step(model)",
        "param_groups": "optimizer.learning_rate",
        "zero_grad": _NO_ZEROING,
    },
    "Layer.": {
        "bias": 'layer.params["b"]',
        "get_weights": "layer.params",
        "kernel": 'layer.params["W"]',
        "weight": 'layer.params["W"]',
        "weights": "layer.params",
    },
    "History.": {
        "epochs": 'history["epoch"]',
        "epoch": 'history["epoch"]',
        "history": ('history["loss"]', "it is the table itself"),
        "keys": "history.columns()",
    },
    "Dataset.": {
        "X": "train.images",
        "batch": ("trainer.fit(train, batch_size=128)", "fit makes the batches"),
        "classes": "train.class_names",
        "data": "train.images",
        "num_classes": "len(train.class_names)",
        "shape": "train.images.shape",
        "shuffle": (_FIT, "each epoch has an order of its own"),
        "target": "train.labels",
        "target_names": "train.class_names",
        "targets": "train.labels",
        "x": "train.images",
        "y": "train.labels",
    },
    "Sequential()": {
        "input_dim": ("input_shape=(784,)", "for vectors of 784 numbers"),
        "loss": _TRAINER,
        "metrics": _EVALUATE,
        "name": ("", "leave it out, as a model has no name"),
        "optimizer": _TRAINER,
        "random_state": "seed",
    },
    "Sequential.predict()": {"X": "images", "verbose": _QUIET, "x": "images"},
    "Sequential.predict_proba()": {"X": "images", "verbose": _QUIET, "x": "images"},
    "Trainer()": {
        "batch_size": "trainer.fit(train, batch_size=128)",
        "callbacks": 'trainer.fit(train, callbacks=[mc.train.EarlyStopping("loss")])',
        "criterion": "loss",
        "epochs": "trainer.fit(train, epochs=5)",
        "learning_rate": _RATE,
        "lr": _RATE,
        "metrics": ("", "leave it out, as the accuracy is always measured"),
        "optim": "optimizer",
        "scheduler": f"trainer.fit(train, {_SCHEDULE})",
        "seed": "trainer.fit(train, seed=0)",
    },
    "Trainer.fit()": {
        "X": f"trainer.fit({_WRAP})",
        "class_weight": ("", "leave it out, as every image counts alike"),
        "initial_epoch": ("", "leave it out, as the model goes on from the weights that it has"),
        "learning_rate": _RATE,
        "loss": _TRAINER,
        "lr": _RATE,
        "max_epochs": "epochs",
        "max_iter": "epochs",
        "metrics": ("", "leave it out, as the accuracy is always measured"),
        "n_epochs": "epochs",
        "nb_epoch": "epochs",
        "num_epochs": "epochs",
        "optimizer": _TRAINER,
        "random_state": "seed",
        "sample_weight": ("", "leave it out, as every image counts alike"),
        "shuffle": ("", "leave it out, as each epoch has an order of its own, drawn from seed"),
        "steps_per_epoch": ("", "leave it out, as an epoch is every image once"),
        "validation_data": f"validation={_WRAP}",
        "validation_split": "validation",
        "verbose": ("progress=False", "for no bar and no lines"),
        "workers": ("mc.set_num_threads(2)", "by default all cores are used; for fewer"),
        "x": f"trainer.fit({_WRAP})",
        "y": f"trainer.fit({_WRAP})",
    },
    "Trainer.evaluate()": {
        "X": f"trainer.evaluate({_WRAP})",
        "verbose": _QUIET,
        "x": f"trainer.evaluate({_WRAP})",
        "y": f"trainer.evaluate({_WRAP})",
    },
    "Optimizer()": {
        "clipnorm": ("global_clipnorm=1.0", "the norm is that of all gradients together"),
        "decay": (f"trainer.fit(train, {_SCHEDULE})", "a rate that falls is a schedule"),
        "lr": "learning_rate",
        "params": ("", "leave it out, as Trainer gives the model to the optimizer"),
    },
    "Adam()": {
        "beta1": "beta_1",
        "beta2": "beta_2",
        "betas": "beta_1=0.9, beta_2=0.999",
        "eps": "epsilon",
    },
    "SoftmaxCrossEntropy()": {
        "from_logits": ("", "leave it out, as logits are what it takes"),
        "reduction": ("", "leave it out, as it is the mean over the batch"),
        "smoothing": "label_smoothing",
    },
    "Layer()": {
        "activation": _ACTIVATION,
        "activity_regularizer": _DECAY,
        "batch_input_shape": (_MODEL, "the model has the input's shape"),
        "bias_initializer": ("", "leave it out, as biases start at 0"),
        "bias_regularizer": _DECAY,
        "data_format": ("", "leave it out, as images are (N, H, W, C)"),
        "dtype": ('mc.Sequential([mc.layers.ReLU()], (28, 28, 1), dtype="float32")', "the model has it"),
        "input_dim": (_MODEL, "the model has the input's shape"),
        "input_shape": (_MODEL, "the model has the input's shape"),
        "inplace": ("", "leave it out, as no layer writes into its input"),
        "kernel_regularizer": _DECAY,
        "name": ("", "leave it out, as Sequential names the layers: conv2d_1, relu_1, …"),
        "seed": _SEED,
        "trainable": ("", "leave it out, as all layers are trained"),
    },
    "Conv2D()": {
        "bias": "use_bias",
        "border_mode": "padding",
        "dilation": "dilation_rate",
        "in_channels": _SIZES,
        "nb_filter": "filters",
        "out_channels": "filters",
        "padding_mode": ("", "leave it out, as images are padded with zeros"),
        "stride": "strides",
        "subsample": "strides",
    },
    "Dense()": {
        "bias": "use_bias",
        "in_features": _SIZES,
        "out_features": "units",
        "output_dim": "units",
    },
    "_Pool2D()": {"kernel_size": "pool_size", "stride": "strides"},
    "BatchNorm()": {
        "axis": ("", "leave it out, as channels are normalised, which are the last axis"),
        "eps": "epsilon",
        "num_features": _SIZES,
    },
    "LeakyReLU()": {"alpha": "negative_slope"},
    "Dropout()": {"p": "rate"},
    "Callback()": {"mode": _KNOWN_MODE, "verbose": _QUIET},
    "EarlyStopping()": {"restore_best_weights": "restore_best"},
    "Checkpoint()": {
        "filepath": "path",
        "save_best_only": ("", "leave it out, as only a better model is saved"),
        "save_weights_only": ("", "leave it out, as a model file holds weights and layers"),
    },
    "Dataset()": {
        "X": "images",
        "classes": "class_names",
        "data": "images",
        "target": "labels",
        "target_names": "class_names",
        "targets": "labels",
        "x": "images",
        "y": "labels",
    },
    "Augmentation()": {"horizontal_flip": "flip"},
}
"""In the code ``mc`` is minicnn; ``model``, ``trainer``, ``train``, ``images`` are a person's own."""

_MODULES = (
    "",
    "layers",
    "optimizers",
    "losses",
    "schedules",
    "train",
    "data",
    "initializers",
    "explain",
    "zoo",
)


class Hinted:
    """Base of the classes whose constructors and attributes are looked up in ``HINTS``.

    A name that is not there is an AttributeError, an argument that is not there a TypeError, as ever.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> "Hinted":
        """Refuse unknown arguments by name before the constructor is called."""
        if kwargs:
            _check_arguments(cls, [base.__name__ for base in cls.__mro__], cls.__name__, kwargs)
        if args and cls.__init__ is object.__init__:  # which takes anything where there is a __new__
            raise TypeError(f"{cls.__name__}() takes no arguments")
        return super().__new__(cls)

    def __getattr__(self, name: str) -> Any:
        """Say what a name that is not there is called here."""
        kind = type(self)
        if any(name in vars(base) for base in kind.__mro__):  # it is there: a property raised an error
            return object.__getattribute__(self, name)
        message = f"{kind.__name__!r} object has no attribute {name!r}"
        if not name.startswith("_"):
            places = [f"{base.__name__}." for base in kind.__mro__]
            message += _told(_found(places, name), name, dir(kind))
        raise UnknownNameError(message)


def arguments(method: Callable) -> Callable:
    """Look up what ``method`` is given by name, and has no argument for, in ``HINTS``; a decorator."""
    place = method.__qualname__

    @functools.wraps(method)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            _check_arguments(method, [place], place, kwargs)
        return method(*args, **kwargs)

    return checked


def module_names(module: str) -> Callable[[str], NoReturn]:
    """Return a ``__getattr__`` for a module: it says what a name that is not there is called here."""

    def missing(name: str) -> NoReturn:
        message = f"module {module!r} has no attribute {name!r}"
        if name.startswith("_"):
            raise UnknownNameError(message)
        hint = _found(["minicnn"], name) or _elsewhere(name)
        message += _told(hint, name, dir(sys.modules[module]))
        # Python would put a message of its own in the place of an AttributeError.
        if hint and f"{module}.{name}" not in sys.modules and _imports(sys._getframe(1)):
            raise ImportError(message, name=module)
        raise UnknownNameError(message)

    return missing


def _imports(frame: FrameType) -> bool:
    """Whether a frame is in the midst of ``from … import …``."""
    return frame.f_code.co_code[frame.f_lasti] == opmap["IMPORT_FROM"]


def _check_arguments(function: Callable, places: list[str], name: str, given: dict[str, Any]) -> None:
    """Refuse what is ``given`` by name if ``function`` has no such arguments."""
    takes_none = getattr(function, "__init__", None) is object.__init__
    parameters = {} if takes_none else inspect.signature(function).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    known = [key for key in parameters if key != "self"]
    unknown = [key for key in given if key not in known]
    if not unknown:
        return
    told: dict[str, list[str]] = {}  # what is said of which of them
    for key in unknown:
        hint = _found([f"{place}()" for place in places], key)
        if isinstance(hint, str) and hint in known:  # it is called so
            value = shown(given[key])
            hint = f"{hint}={value if len(value) <= 40 and value.isprintable() else '…'}"
        takes = f"; it takes {', '.join(known) or 'none'}"
        told.setdefault(_told(hint, key, known) or takes, []).append(repr(key))
    raise ArgumentError("; ".join(f"{name} has no argument {', '.join(told[end])}{end}" for end in told))


def _found(places: Iterable[str], name: str) -> Hint | None:
    return next((HINTS[place][name] for place in places if name in HINTS.get(place, ())), None)


def _elsewhere(name: str) -> str | None:
    """Return the full name of what stands in another module."""
    for short in _MODULES:
        module = sys.modules.get(f"minicnn.{short}" if short else "minicnn")
        found = vars(module).get(name) if module else None
        if getattr(found, "__module__", "").startswith("minicnn."):
            return f"mc.{short}.{name}" if short else f"mc.{name}"
    return None


def _told(hint: Hint | None, name: str, known: Iterable[str]) -> str:
    """Return the end of a message: the hint, or else the nearest of the names that are known."""
    if hint is None:
        return did_you_mean(name, (key for key in known if key[0] != "_"), cutoff=0.75)
    code, remark = (hint, "") if isinstance(hint, str) else hint
    return f": {': '.join([*filter(None, [remark]), *filter(None, [code and f'write {code}'])])}"
