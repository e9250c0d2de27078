"""Names of other libraries: the error says what to write here, and the advice works."""

import copy
import inspect
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest

import minicnn as mc
from minicnn import hints
from minicnn import layers as L
from minicnn.errors import ArgumentError, ConfigError, MiniCNNError, UnknownNameError
from minicnn.foreign_names import HINTS
from minicnn.hints import Hinted

MODULES = mc, mc.layers, mc.optimizers, mc.losses, mc.schedules, mc.train, mc.data
# The constructors and methods of the table, with the arguments that they require.
FIT, EVALUATE = mc.Trainer.fit, mc.Trainer.evaluate
CALLS = {
    "Sequential()": (mc.Sequential, ["layers", "input_shape"]),
    "Sequential.predict()": (mc.Sequential.predict, ["model", "images"]),
    "Sequential.predict_proba()": (mc.Sequential.predict_proba, ["model", "images"]),
    "Trainer()": (mc.Trainer, ["model", "optimizer"]),
    "Trainer.fit()": (FIT, ["trainer", "train"]),
    "Trainer.evaluate()": (EVALUATE, ["trainer", "train"]),
    "Optimizer()": (mc.optimizers.SGD, []),
    "Adam()": (mc.optimizers.AdamW, []),
    "SoftmaxCrossEntropy()": (mc.SoftmaxCrossEntropy, []),
    "Layer()": (L.ReLU, []),
    "Conv2D()": (L.Conv2D, ["filters", "kernel_size"]),
    "Dense()": (L.Dense, ["units"]),
    "_Pool2D()": (L.MaxPool2D, []),
    "BatchNorm()": (L.BatchNorm, []),
    "LeakyReLU()": (L.LeakyReLU, []),
    "Dropout()": (L.Dropout, ["rate"]),
    "Callback()": (mc.train.EarlyStopping, []),
    "Checkpoint()": (mc.train.Checkpoint, ["path"]),
    "Dataset()": (mc.data.Dataset, ["images", "labels"]),
    "Augmentation()": (mc.data.Augmentation, []),
}
OWNERS = {
    "Sequential.": "model",
    "Trainer.": "trainer",
    "Optimizer.": "optimizer",
    "Layer.": "layer",
    "History.": "history",
    "Dataset.": "train",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mine")


@pytest.fixture(scope="module")
def made(folder):
    """The objects that the code of the hints uses."""
    train, test = mc.data.synthetic.generate(40, 0), mc.data.synthetic.generate(20, 1)
    layers = [L.Flatten(), L.Dense(10)]
    model = mc.Sequential(layers, (28, 28, 1))
    trainer = mc.Trainer(model, mc.optimizers.SGD(0.01))
    model.backward(np.zeros_like(model.forward(model.preprocess(train.images), training=True)))
    model.save(folder / "model.safetensors")

    return {
        **{"mc": mc, "train": train, "test": test, "model": model, "trainer": trainer, "layers": layers},
        **{"images": train.images, "labels": train.labels, "layer": model.layers[1]},
        **{"arrays": model.arrays(), "optimizer": trainer.optimizer},
        **{
            "history": trainer.fit(train, epochs=1, progress=False),
            "input_shape": (28, 28, 1),
            "filters": 2,
            "kernel_size": 3,
        },
        **{"units": 10, "rate": 0.5, "path": "best.safetensors"},
    }


@pytest.fixture
def mine(made, folder, monkeypatch):
    """Return these objects, in the folder with the model; data sets and trainings are small."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(mc.data, "load", lambda name: mc.data.synthetic.generate(4, 0))
    monkeypatch.setattr(mc.Trainer, "fit", quick(mc.Trainer.fit))
    return made | {"layers": [L.Flatten(), L.Dense(10)]}


def quick(fit):
    """Return ``fit`` without its bar, for one epoch by default."""

    def one_epoch(self, train, **arguments):
        return fit(self, train, **{"epochs": 1, "progress": False, **arguments})

    return one_epoch


def code_of(hint):
    return hint if isinstance(hint, str) else hint[0]


def entries(*endings):
    return [
        pytest.param(place, name, id=f"{place} {name}")
        for place, names in HINTS.items()
        for name in names
        if place.endswith(endings)
    ]


def mentioned(place, name, mine):
    """Return the messages for a name of a module or of an object."""
    owners = MODULES if place == "minicnn" else [mine[OWNERS[place]]]
    owners = [owner for owner in owners if not hasattr(owner, name)]
    assert owners, f"{name} is there now: it needs no hint"
    said = []
    for owner in owners:
        with pytest.raises(UnknownNameError) as caught:
            getattr(owner, name)
        said.append(str(caught.value))
    return said


class TestAdvice:
    """Each entry of the table, exactly as written."""

    @pytest.mark.parametrize(("place", "name"), entries("minicnn", "."))
    def test_of_a_name(self, place, name, mine):
        code = code_of(HINTS[place][name])
        said = mentioned(place, name, mine)
        assert len({message.split(": ", 1)[1] for message in said}) == 1
        for message in said:
            assert repr(name) in message
            assert len(message.splitlines()) == 1
            assert not code or message.endswith(f"write {code}")
        exec(code, mine)

    @pytest.mark.parametrize(("place", "name"), entries("()"))
    def test_of_an_argument(self, place, name, mine):
        function, needed = CALLS[place]
        known = list(inspect.signature(function).parameters)
        assert name not in known
        with pytest.raises(ArgumentError, match=f"has no argument {name!r}: ") as caught:
            function(**{name: 3})
        hint, message = HINTS[place][name], str(caught.value)
        assert len(message.splitlines()) == 1
        code = code_of(hint)
        if code in known:
            assert message.endswith(f"write {code}=3")
        elif re.match(r"\w+=[^=]", code) and code.split("=")[0] in known:
            given = ", ".join(key for key in needed if key not in code.split("=")[0])
            exec(f"function({given}{', ' if given else ''}{code})", mine | {"function": function})
        else:
            assert message.endswith(f"write {code}" if code else hint[1])
            exec(code, mine)

    def test_the_new_name_comes_with_the_value_that_was_given(self):
        with pytest.raises(ArgumentError) as caught:
            L.Conv2D(in_channels=1, out_channels=8, kernel_size=3, stride=(2, 1))
        assert str(caught.value) == (
            "Conv2D has no argument 'in_channels': leave it out, as Sequential infers the input's size; "
            "Conv2D has no argument 'out_channels': write filters=8; "
            "Conv2D has no argument 'stride'; did you mean 'strides'?"
        )
        assert L.Conv2D(filters=8, kernel_size=3, strides=(2, 1)).strides == (2, 1)

    def test_an_l2_penalty_is_twice_its_weight_as_decay(self):
        """One step with λ·Σ w² in the loss, by hand, and one with the decay that the hint gives."""
        model = mc.Sequential([L.Dense(3)], (2,))
        before, λ = model.layers[0].params["W"].copy(), 0.25
        model.forward(np.ones((1, 2), np.float32), training=True)
        model.backward(np.zeros((1, 3), np.float32))
        mc.optimizers.SGD(0.1, weight_decay=2 * λ).step(model)
        np.testing.assert_allclose(model.layers[0].params["W"], before - 0.1 * λ * 2 * before, rtol=1e-6)


class TestMistypedNames:
    def test_an_argument(self):
        with pytest.raises(ArgumentError, match="Conv2D has no argument 'pading'; did you mean 'padding'"):
            L.Conv2D(8, 3, pading="same")

    def test_without_a_similar_argument_all_are_listed(self):
        with pytest.raises(ArgumentError, match="'frobnicate'; it takes units, use_bias, kernel_initializer"):
            L.Dense(8, frobnicate=1)

    @pytest.mark.parametrize(
        "name", ["MaxPooling2D", "MaxPool2d", "Conv2d", "BatchNorm2d", "GlobalMaxPooling2D"]
    )
    def test_names_of_other_libraries_that_are_spelled_similarly(self, name):
        with pytest.raises(UnknownNameError, match=r"did you mean '(Max|Conv|Batch|GlobalMax)"):
            getattr(mc.layers, name)

    def test_a_name_of_a_module_and_of_an_object(self, mine):
        with pytest.raises(UnknownNameError, match="did you mean 'Conv2D'"):
            mc.layers.Conv2  # noqa: B018
        with pytest.raises(UnknownNameError, match="did you mean 'predict'"):
            mine["model"].predikt  # noqa: B018

    @pytest.mark.parametrize(
        ("module", "name", "full"),
        [
            (mc, "Conv2D", "mc.layers.Conv2D"),
            (mc.layers, "Adam", "mc.optimizers.Adam"),
            (mc, "EarlyStopping", "mc.train.EarlyStopping"),
            (mc.train, "Dataset", "mc.data.Dataset"),
            (mc.data, "Sequential", "mc.Sequential"),
        ],
    )
    def test_a_name_of_another_module(self, module, name, full):
        with pytest.raises(UnknownNameError, match=f"no attribute {name!r}: write {full}$"):
            getattr(module, name)
        assert eval(full, {"mc": mc}).__name__ == name


class TestImports:
    def test_an_unknown_name_is_an_error_of_python(self):
        with pytest.raises(ImportError, match="cannot import name 'MaxPooling2D'"):
            exec("from minicnn.layers import MaxPooling2D")

    @pytest.mark.parametrize("name", ["plots", "report", "experiment"])
    def test_modules_that_are_not_loaded_yet_can_be_imported(self, name):
        code = (
            f"import minicnn as mc\nassert not hasattr(mc, {name!r})\nfrom minicnn import {name}\nmc.{name}"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestNothingElseChanges:
    def test_the_errors_are_those_that_python_raises(self):
        assert issubclass(UnknownNameError, AttributeError)
        assert issubclass(ArgumentError, TypeError)
        assert issubclass(ArgumentError, ConfigError)
        assert issubclass(UnknownNameError, MiniCNNError)

    def test_hasattr_and_defaults_work(self, mine):
        for owner in (mine["model"], mine["trainer"], mc, mc.layers):
            assert not hasattr(owner, "weights_of_others")
            assert getattr(owner, "fit_generator", 3) == 3

    def test_copies_and_pickles_work(self, mine):
        for value in (mine["model"], mine["train"], mine["history"], mine["optimizer"]):
            for other in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
                assert type(other) is type(value)
                assert vars(other).keys() == vars(value).keys()

    def test_an_object_that_was_not_initialized_does_not_recurse(self):
        for kind in (mc.Sequential, mc.Trainer, L.Layer, mc.train.History):
            with pytest.raises(AttributeError):
                kind.__new__(kind).missing  # noqa: B018

    def test_signatures_are_those_of_the_constructors_and_methods(self):
        assert list(inspect.signature(L.Dense).parameters) == ["units", "use_bias", "kernel_initializer"]
        assert list(inspect.signature(L.ReLU).parameters) == []
        assert list(inspect.signature(mc.data.Dataset).parameters)[:2] == ["images", "labels"]
        assert list(inspect.signature(FIT).parameters)[:4] == [*("self", "train", "epochs", "batch_size")]
        assert FIT.__doc__.startswith("Train for")
        assert FIT.__qualname__ == "Trainer.fit"

    def test_missing_and_surplus_arguments_are_errors_of_python(self):
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'units'"):
            L.Dense()
        with pytest.raises(TypeError, match="positional argument"):
            L.ReLU(1)

    def test_a_class_without_a_constructor_takes_no_arguments(self):
        class Mine(mc.train.Callback):
            pass

        for arguments, named in ((1,), {}), ((), {"paht": 1}):
            with pytest.raises(TypeError, match=r"Mine( has no argument 'paht'|\(\) takes no arguments)"):
                Mine(*arguments, **named)
        with pytest.raises(ArgumentError, match="leave it out, as nothing is printed"):
            Mine(verbose=1)
        assert isinstance(Mine(), mc.train.Callback)

    def test_an_error_in_a_custom_property_is_not_changed(self):
        class Mine(L.ReLU):
            @property
            def gain(self):
                return self.gian

        with pytest.raises(AttributeError, match=r"'Mine' object has no attribute 'gian'"):
            _ = Mine().gain

    def test_a_custom_layer_need_not_store_its_arguments(self):
        class Mine(L.Dense):
            def __init__(self, units, gain=1.0, **rest):
                super().__init__(units, **rest)

        assert repr(Mine(3, use_bias=False)) == "Mine(units=3)"

    def test_a_custom_class_may_take_any_arguments(self):
        class Mine(L.ReLU):
            def __init__(self, activation, **more):
                super().__init__()
                self.activation, self.more = activation, more

        mine = Mine(activation="x", lr=1)
        assert (mine.activation, mine.more) == ("x", {"lr": 1})

    def test_the_places_of_the_table_exist(self):
        assert {"minicnn", *OWNERS, *CALLS} == HINTS.keys()
        for function, _ in CALLS.values():
            assert not inspect.isclass(function) or issubclass(function, Hinted)

    def test_a_module_is_only_searched_for_its_own_names(self):
        assert hints._elsewhere("np") is None


def test_separate_images_and_labels_must_be_wrapped(mine):
    trainer, message = mine["trainer"], r"wrap arrays as minicnn\.data\.Dataset\(images, labels\)$"
    for call in (FIT, EVALUATE):
        with pytest.raises(MiniCNNError, match=message):
            call(trainer, mine["images"], mine["labels"])
