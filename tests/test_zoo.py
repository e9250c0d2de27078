"""The zoo: every recipe makes a network that learns, and trains it with its settings."""

from dataclasses import replace

import numpy as np
import pytest

import minicnn as mc
from minicnn import zoo
from minicnn.data import Augmentation
from minicnn.errors import ConfigError
from minicnn.train import LearningRateSchedule, WeightEMA

TRAIN = mc.data.synthetic.generate(60, 0)


@pytest.mark.parametrize("name", zoo.names)
def test_every_recipe_learns(name):
    recipe = zoo.recipe(name)
    assert recipe.name == name
    assert recipe.dataset in mc.data.names
    short = replace(recipe, epochs=6, batch_size=20, learning_rate=0.02)
    trainer = short.trainer(TRAIN, seed=1)
    assert trainer.engine.name == "fused"
    loss = trainer.fit(TRAIN, progress=False, **short.fit_options())["loss"]
    assert loss[-1] < loss[0]


def test_the_names_are_those_of_the_recipes():
    assert len(set(zoo.names)) == len(zoo.names) > 10


def test_an_unknown_name_is_rejected_with_the_nearest():
    with pytest.raises(ConfigError, match=r"got 'fashion-bst'; did you mean 'fashion-best'\?"):
        zoo.recipe("fashion-bst")


def test_the_model_has_seed_classes_and_info():
    recipe = zoo.recipe("fashion-quick")
    one, same, other = (recipe.model(TRAIN, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.arrays()["conv2d_1.W"], same.arrays()["conv2d_1.W"])
    assert not np.array_equal(one.arrays()["conv2d_1.W"], other.arrays()["conv2d_1.W"])
    assert one.output_shape == (10,)
    assert one.info == {"dataset": "synthetic", "recipe": "fashion-quick"}


def test_pixels_are_standardized_or_scaled():
    assert zoo.recipe("fashion-best").model(TRAIN).preprocessing == mc.Standardize.fit(TRAIN.images)
    assert zoo.recipe("fashion-baseline").model(TRAIN).preprocessing == mc.Scale()


def everything(**changes):
    arguments = {
        "name": "all",
        "about": "with everything",
        "dataset": "synthetic",
        "network": zoo.plain,
        "epochs": 3,
        "learning_rate": 0.05,
        "batch_size": 20,
        "momentum": 0.8,
        "nesterov": True,
        "weight_decay": 0.01,
        "global_clipnorm": 2.0,
        "schedule": mc.schedules.Cosine,
        "label_smoothing": 0.1,
        "augmentation": Augmentation(shift=1),
        "ema_decay": 0.9,
    }
    return zoo.Recipe(**arguments | changes)


def test_every_ingredient_reaches_the_trainer():
    trainer, options = everything().trainer(TRAIN), everything().fit_options()
    sgd = trainer.optimizer
    assert (sgd.learning_rate, sgd.momentum, sgd.nesterov, sgd.weight_decay) == (0.05, 0.8, True, 0.01)
    assert sgd.global_clipnorm == 2
    assert trainer.loss.label_smoothing == 0.1
    assert (options["epochs"], options["batch_size"], options["augmentation"]) == (
        3,
        20,
        Augmentation(shift=1),
    )
    schedule, average = options["callbacks"]
    assert isinstance(schedule, LearningRateSchedule)
    assert schedule.schedule == mc.schedules.Cosine(0.05)
    assert isinstance(average, WeightEMA)
    assert average.decay == 0.9


def test_ingredients_can_be_left_out():
    plain = everything(schedule=None, ema_decay=None, augmentation=None).fit_options()
    assert plain["callbacks"] == []
    assert plain["augmentation"] is None


def test_each_fit_gets_new_callbacks():
    recipe = everything()
    assert recipe.fit_options()["callbacks"][1] is not recipe.fit_options()["callbacks"][1]


def test_a_cross_validation_fits_the_preprocessing_to_each_fold_alone(monkeypatch):
    fitted, fit = [], mc.Standardize.fit
    monkeypatch.setattr(mc.Standardize, "fit", lambda images: fitted.append(images) or fit(images))
    result = everything(epochs=1, standardize=True).cross_validate(TRAIN, k=3, seed=5)
    assert result.name == "all"
    rests = [rest.images for rest, _ in mc.data.k_folds(TRAIN, 3, 5)]
    for images, rest in zip(fitted, rests, strict=True):
        np.testing.assert_array_equal(images, rest)


def test_a_cross_validation_draws_new_weights_for_each_fold(monkeypatch):
    seeds, model = [], zoo.Recipe.model
    monkeypatch.setattr(
        zoo.Recipe, "model", lambda self, train, seed: seeds.append(seed) or model(self, train, seed)
    )
    everything(epochs=1).cross_validate(TRAIN, k=3, seed=5)
    assert seeds == np.random.SeedSequence(5).generate_state(3).tolist()


def test_the_baseline_is_that_of_the_notebooks():
    words = [repr(layer) for layer in zoo.recipe("mnist-baseline").model(TRAIN).layers]
    assert [word.split("(")[0] for word in words] == [
        *("Conv2D", "ReLU", "MaxPool2D", "Flatten", "Dense", "ReLU", "Dense"),
    ]
    assert "filters=32, kernel_size=(3, 3)" in words[0]
    assert "padding='valid'" in words[0]
    assert "kernel_initializer='he_normal'" in words[0]
    sgd = zoo.recipe("mnist-baseline").trainer(TRAIN).optimizer
    assert (sgd.learning_rate, sgd.momentum) == (0.01, 0.9)
