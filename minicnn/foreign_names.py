"""Names of Keras, PyTorch and scikit-learn, and what to write instead: the table behind ``hints.py``.

Names that are similar to the right one, such as MaxPooling2D or stride, need no entry.
"""

Hint = str | tuple[str, str]
"""The code to write, or a pair of that code ("" for none) and a remark. For an argument that only has
another name here, the code is that name. ``mc`` is minicnn; ``model``, ``trainer`` etc. are the user's."""

_MODEL = "mc.Sequential([mc.layers.Flatten(), mc.layers.Dense(10)], input_shape=(28, 28, 1))"
_SEED = (
    "mc.Sequential([mc.layers.Flatten(), mc.layers.Dense(10)], (28, 28, 1), seed=0)",
    "there is no global seed",
)
_TRAINER = "trainer = mc.Trainer(model, mc.optimizers.SGD(0.05), mc.SoftmaxCrossEntropy())"
_RATE = "trainer.optimizer.learning_rate = 0.01"
_FIT, _EVALUATE = "trainer.fit(train)", "mc.evaluate(model, test)"
_LOSS = "mc.SoftmaxCrossEntropy()"
_AUGMENTATION = "trainer.fit(train, augmentation=mc.data.Augmentation(flip=True, shift=2))"
_WRAP = "mc.data.Dataset(images, labels)"
_INPUT = _MODEL, "the model has the input's shape"
_INFERRED = "", "leave it out, as Sequential infers the input's size"
_ACTIVATION = "mc.layers.ReLU()", "an activation is a separate layer, and the softmax is in the loss"
_SCHEDULE = "callbacks=[mc.train.LearningRateSchedule(mc.schedules.Cosine(0.05))]"
_DECAY = "mc.optimizers.SGD(0.05, weight_decay=2e-4)", "an L2 penalty of λ is a weight_decay of 2·λ"
_NO_ZEROING = "", "leave it out, as backward assigns the gradients and never adds to them"
_QUIET = "", "leave it out, as nothing is printed"
_ACCURACY = "", "leave it out, as the accuracy is always measured"

# By place: "minicnn" is any module, "Trainer." the attributes of a class and its subclasses, "Trainer()" and
# "Trainer.fit()" the arguments of a constructor and a method. Names with the same hint share a line.
_TABLE: dict[str, dict[str, Hint]] = {
    "minicnn": {
        "Activation": _ACTIVATION,
        "AdaptiveAvgPool2d": "mc.layers.GlobalAvgPool2D()",
        "Add Concatenate Model Module models": (_MODEL, "a model is a sequence of layers"),
        "AveragePooling2D": "mc.layers.AvgPool2D(2)",
        "BatchNormalization": "mc.layers.BatchNorm()",
        "CategoricalCrossentropy SparseCategoricalCrossentropy": _LOSS,
        "CrossEntropyLoss NLLLoss cross_entropy": _LOSS,
        "CosineAnnealingLR CosineDecay lr_scheduler": "mc.schedules.Cosine(0.05)",
        "DataLoader TensorDataset": _WRAP,
        "ELU GELU SELU Sigmoid Tanh": ("mc.layers.LeakyReLU()", "there are only ReLU and LeakyReLU"),
        "ImageDataGenerator RandomFlip RandomTranslation transforms": _AUGMENTATION,
        "Input InputLayer": _INPUT,
        "KFold StratifiedKFold": "mc.data.k_folds(train, 5)",
        "Linear": "mc.layers.Dense(10)",
        "RMSprop Adagrad Adadelta Nadam": "mc.optimizers.Adam()",
        "ReduceLROnPlateau": ("mc.schedules.Step(0.05)", "the learning rate follows a schedule"),
        "Rescaling": ("mc.Scale()", "the model scales uint8 pixels to 0…1 by itself"),
        "Softmax LogSoftmax": (
            "model.predict_proba(images)",
            "the softmax is in the loss; for probabilities",
        ),
        "ZeroPadding2D": ('mc.layers.Conv2D(32, 3, padding="same")', "convolutions and pools pad"),
        "accuracy_score metrics": f"{_EVALUATE}.accuracy",
        "callbacks": ("mc.train.EarlyStopping()", "the callbacks are in mc.train"),
        "classification_report": f"{_EVALUATE}.table()",
        "confusion_matrix": f"{_EVALUATE}.confusion",
        "datasets load_data": 'mc.data.load("fashion-mnist")',
        "fetch_openml": 'mc.data.load("mnist")',
        "l2 regularizers": _DECAY,
        "load_model": 'model = mc.load("model.safetensors")',
        "nn": ("mc.layers.Dense(10)", "the layers are in mc.layers"),
        "no_grad": ("model.predict(images)", "nothing is saved for gradients without training=True"),
        "optim": ("mc.optimizers.SGD(0.05)", "the optimizers are in mc.optimizers"),
        "plots": "from minicnn import plots",
        "report": "from minicnn import report",
        "experiment": "from minicnn import experiment",
        "save save_model": 'model.save("model.safetensors")',
        "seed set_seed set_random_seed manual_seed": _SEED,
        "to_categorical one_hot": (_WRAP, "labels stay whole numbers, one for each image"),
        "train_test_split": "mc.data.split(train, 0.1)",
    },
    "Sequential.": {
        "add append": (_MODEL, "all layers are given at once"),
        "compile": _TRAINER,
        "count_params": "model.num_params",
        "eval": ("model.predict(images)", "a prediction never trains"),
        "evaluate score": _EVALUATE,
        "fit train": f"{_TRAINER}; {_FIT}",
        "get_layer children modules": "model.layers[0]",
        "get_weights weights state_dict named_parameters trainable_variables": "model.arrays()",
        "load_weights": 'model.set_arrays(mc.load("model.safetensors").arrays())',
        "save_weights": 'model.save("model.safetensors")',
        "set_weights load_state_dict": "model.set_arrays(arrays)",
        "zero_grad": _NO_ZEROING,
    },
    "Trainer.": {
        "compile": ("", "leave it out, as Trainer(model, optimizer, loss) has all it needs"),
        "lr": "trainer.optimizer.learning_rate",
        "predict": "trainer.model.predict(images)",
        "predict_proba": "trainer.model.predict_proba(images)",
        "save": 'trainer.model.save("model.safetensors")',
        "score test validate": "trainer.evaluate(test)",
        "summary": "trainer.model.summary()",
        "train": _FIT,
    },
    "Optimizer.": {"lr param_groups": "optimizer.learning_rate", "zero_grad": _NO_ZEROING},
    "Layer.": {
        "bias": 'layer.params["b"]',
        "get_weights weights": "layer.params",
        "kernel weight": 'layer.params["W"]',
    },
    "History.": {
        "epoch epochs": 'history["epoch"]',
        "history": ('history["loss"]', "a History is the table itself"),
        "keys": "history.columns()",
    },
    "Dataset.": {
        "X x data": "train.images",
        "classes target_names": "train.class_names",
        "y target targets": "train.labels",
    },
    "Sequential()": {"loss optimizer": _TRAINER, "metrics": _EVALUATE, "random_state": "seed"},
    "Sequential.predict()": {"X x": "images", "verbose": _QUIET},
    "Sequential.predict_proba()": {"X x": "images", "verbose": _QUIET},
    "Trainer()": {
        "batch_size": "trainer.fit(train, batch_size=128)",
        "callbacks": 'trainer.fit(train, callbacks=[mc.train.EarlyStopping("loss")])',
        "criterion": "loss",
        "epochs": "trainer.fit(train, epochs=5)",
        "learning_rate lr": _RATE,
        "metrics": _ACCURACY,
        "scheduler": f"trainer.fit(train, {_SCHEDULE})",
        "seed": "trainer.fit(train, seed=0)",
    },
    "Trainer.fit()": {
        "X x y": f"trainer.fit({_WRAP})",
        "class_weight sample_weight": ("", "leave it out, as all images have the same weight"),
        "learning_rate lr": _RATE,
        "loss optimizer": _TRAINER,
        "max_iter": "epochs",
        "metrics": _ACCURACY,
        "random_state": "seed",
        "shuffle": ("", "leave it out, as each epoch shuffles the images, with the given seed"),
        "validation_data": f"validation={_WRAP}",
        "verbose": ("progress=False", "for no bar and no lines"),
    },
    "Trainer.evaluate()": {"X x y": f"trainer.evaluate({_WRAP})", "verbose": _QUIET},
    "Optimizer()": {
        "clipnorm": ("global_clipnorm=1.0", "the norm is that of all gradients together"),
        "decay": (f"trainer.fit(train, {_SCHEDULE})", "a falling learning rate is a schedule"),
        "lr": "learning_rate",
        "params": ("", "leave it out, as Trainer gives the model to the optimizer"),
    },
    "Adam()": {"betas": "beta_1=0.9, beta_2=0.999", "eps": "epsilon"},
    "SoftmaxCrossEntropy()": {"from_logits": ("", "leave it out, as it always takes logits")},
    "Layer()": {
        "activation": _ACTIVATION,
        "data_format": ("", "leave it out, as images are (N, H, W, C)"),
        "dtype": ('mc.Sequential([mc.layers.ReLU()], (28, 28, 1), dtype="float32")', "the model has it"),
        "input_dim input_shape batch_input_shape": _INPUT,
        "kernel_regularizer": _DECAY,
        "name": ("", "leave it out, as Sequential names the layers: conv2d_1, relu_1, …"),
        "seed": _SEED,
        "trainable": ("", "leave it out, as all layers are trained"),
    },
    "Conv2D()": {"bias": "use_bias", "in_channels": _INFERRED, "out_channels": "filters"},
    "Dense()": {"bias": "use_bias", "in_features": _INFERRED, "out_features": "units"},
    "_Pool2D()": {"kernel_size": "pool_size"},
    "BatchNorm()": {"eps": "epsilon", "num_features": _INFERRED},
    "LeakyReLU()": {"alpha": "negative_slope"},
    "Dropout()": {"p": "rate"},
    "Callback()": {
        "mode": ("", "leave it out, as the monitor implies whether higher is better"),
        "verbose": _QUIET,
    },
    "Checkpoint()": {
        "filepath": "path",
        "save_best_only": ("", "leave it out, as only a better model is saved"),
    },
    "Augmentation()": {"horizontal_flip": "flip"},
    "Dataset()": {"X x data": "images", "target_names": "class_names", "y target targets": "labels"},
}

HINTS: dict[str, dict[str, Hint]] = {
    place: {name: hint for names, hint in table.items() for name in names.split()}
    for place, table in _TABLE.items()
}
"""The hints by place and name."""
