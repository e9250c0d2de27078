"""What a trainer says about how it trained."""

import json

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers as L

TRAIN = mc.data.Dataset(
    np.random.default_rng(0).integers(0, 256, (30, 6, 6, 1), np.uint8), np.arange(30) % 3, ("a", "b", "c")
)


def settings(optimizer=None, loss=None, preprocessing=None, **options):
    model = mc.Sequential([L.Flatten(), L.Dense(3)], (6, 6, 1), preprocessing=preprocessing)
    trainer = mc.Trainer(model, optimizer or mc.optimizers.SGD(0.1), loss)
    assert trainer.settings == {}
    trainer.fit(TRAIN, epochs=1, progress=False, **options)
    assert json.loads(json.dumps(trainer.settings)) == trainer.settings
    return trainer.settings


def test_they_name_all_that_a_training_depends_on():
    sgd = mc.optimizers.SGD(0.1, momentum=0.8, nesterov=True, weight_decay=0.01, global_clipnorm=2.0)
    one_cycle = mc.train.LearningRateSchedule(mc.schedules.OneCycle(0.05))
    assert settings(
        sgd,
        mc.SoftmaxCrossEntropy(label_smoothing=0.1),
        mc.Standardize.fit(TRAIN.images),
        batch_size=20,
        validation=0.2,
        callbacks=[one_cycle, mc.train.WeightEMA(0.9)],
        seed=4,
        augmentation=mc.data.Augmentation(shift=1),
    ) == {
        "optimizer": "SGD",
        "learning_rate": 0.05,  # the schedule's, which replaces the optimizer's
        "schedule": "OneCycle",
        "momentum": 0.8,
        "nesterov": True,
        "weight_decay": 0.01,
        "decoupled": False,
        "decay_all": False,
        "global_clipnorm": 2.0,
        "batch_size": 20,
        "label_smoothing": 0.1,
        "augmentation": {"flip": False, "shift": 1, "erase": 0.0},
        "ema_decay": 0.9,
        "pixels": "standardized",
        "held_out": 0.2,
        "seed": 4,
    }


def test_unused_settings_are_none():
    found = settings(validation=TRAIN)
    assert (found["learning_rate"], found["schedule"], found["pixels"]) == (0.1, "constant", "scaled to 0…1")
    assert [found[name] for name in ("ema_decay", "augmentation", "held_out")] == [None] * 3


@pytest.mark.parametrize("optimizer", [mc.optimizers.Adam(0.01), mc.optimizers.AdamW(0.01)])
def test_each_optimizer_has_its_own(optimizer):
    found = settings(optimizer)
    assert found["optimizer"] == type(optimizer).__name__
    assert found["beta_1"] == 0.9
    assert "steps" not in found


def test_a_schedule_may_be_a_function():
    def halved(step, total_steps):
        return 0.1 * (1 - step / (2 * total_steps))

    found = settings(callbacks=[mc.train.LearningRateSchedule(halved)])
    assert (found["learning_rate"], found["schedule"]) == (0.1, "halved")
