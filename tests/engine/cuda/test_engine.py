"""The captured engine, its kernels run on the host, takes the same steps as the layers."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minicnn as mc
from minicnn import layers as L
from minicnn.data import Augmentation
from minicnn.engine import make_engine
from minicnn.engine.cuda import engine as cuda_engine
from minicnn.engine.cuda import network as cuda_network
from minicnn.engine.cuda.engine import CudaGraphEngine
from minicnn.errors import ConfigError, DataError, DTypeError, NonFiniteError, ShapeError, StateError
from tests.engine.cuda import hostcupy
from tests.images import erased_variants, variants

SGD = mc.optimizers.SGD

# Models that run every kernel on odd sizes: their layers, and the shape of an image.
MODELS = {
    "same, pool, dense": (
        lambda: [L.Conv2D(5, 3, padding="same"), L.ReLU(), L.MaxPool2D(2), L.Conv2D(35, 3, padding="same"),
                 L.ReLU(), L.MaxPool2D(2), L.Flatten(), L.Dense(33), L.ReLU(), L.Dense(3)], (9, 8, 1)),
    "pool before ReLU, stride, dilation": (
        lambda: [L.Conv2D(3, (2, 3), strides=(2, 1), padding=((1, 0), (0, 2))), L.MaxPool2D(2), L.ReLU(),
                 L.Conv2D(4, 2, dilation_rate=(1, 2), use_bias=False), L.Flatten(),
                 L.Dense(3, use_bias=False)], (11, 9, 2)),
    "norm": (
        lambda: [L.Conv2D(4, 3, use_bias=False), L.BatchNorm(), L.ReLU(), L.MaxPool2D(2), L.Conv2D(3, 2),
                 L.BatchNorm(momentum=0.8), L.Flatten(), L.Dense(6), L.BatchNorm(), L.ReLU(), L.Dense(3)],
        (8, 7, 1)),
    "all pools, leaky": (
        lambda: [L.Conv2D(3, 3, padding="same"), L.LeakyReLU(0.2), L.MaxPool2D(3, strides=2, padding="same"),
                 L.Conv2D(4, 2), L.ReLU(), L.AvgPool2D(2, strides=1), L.Conv2D(4, 1), L.GlobalAvgPool2D(),
                 L.Dense(3)], (9, 10, 1)),
    "a pool first, global maximum": (
        lambda: [L.MaxPool2D(2), L.ReLU(), L.Conv2D(5, 3), L.GlobalMaxPool2D(), L.Dense(3)], (10, 9, 2)),
}  # fmt: skip
OPTIMIZERS = {
    "plain": lambda: SGD(0.05),
    "momentum": lambda: SGD(0.02, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda: SGD(
        0.02, momentum=0.9, nesterov=True, weight_decay=1e-2, decoupled=True, decay_all=True
    ),
    "adam": lambda: mc.optimizers.Adam(0.01, weight_decay=1e-3),
    "adamw": lambda: mc.optimizers.AdamW(0.01, weight_decay=0.1),
    "clipped": lambda: SGD(0.1, momentum=0.9, weight_decay=1e-2, global_clipnorm=0.3),
    "clipped adam": lambda: mc.optimizers.Adam(0.01, epsilon=0.1, global_clipnorm=0.3),
}


def make(name, device="cpu", precision="fp32"):
    layers, shape = MODELS[name]
    model = mc.Sequential(layers(), shape, seed=3, preprocessing=mc.Standardize(0.3, 0.4)).to(device)
    model.precision = precision
    return model


def batch(model, N, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (N, *model.input_shape), np.uint8), rng.integers(0, 3, N)


def engines(name, optimizer="momentum", precision="fp32", smoothing=0.0):
    """Return the captured engine, and the layerwise one in main memory."""
    result = []
    for device, kind in (("cuda", "cuda_graph"), ("cpu", "layerwise")):
        loss = mc.SoftmaxCrossEntropy(smoothing)
        result.append(make_engine(kind, make(name, device, precision), loss, OPTIMIZERS[optimizer]()))
    return result


def assert_same_step(fast, plain, images, labels, rel=1e-4):
    loss = plain.train_step(images, labels).loss
    assert fast.train_step(images, labels).loss == pytest.approx(loss, rel=rel)


def assert_same_arrays(fast, plain):
    for name, array in plain.arrays().items():
        got = hostcupy.asnumpy(fast.arrays()[name])
        assert_allclose(got, array, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("N", [1, 5, 70])
@pytest.mark.parametrize("name", MODELS)
def test_all_gradients_and_the_next_weights_are_those_of_the_layers(name, N, cupy):
    fast, plain = engines(name)
    images, labels = batch(plain.model, N)
    got, expected = fast.train_step(images, labels), plain.train_step(images, labels)
    assert got.loss == pytest.approx(expected.loss, rel=1e-5)
    assert got.correct == expected.correct
    for a, b in zip(fast.model.layers, plain.model.layers, strict=True):
        for part in ("grads", "params", "state"):
            held, wanted = getattr(a, part), getattr(b, part)
            assert held.keys() == wanted.keys()
            for key, array in wanted.items():
                scale = max(abs(array).max(), 1e-3)
                assert_allclose(
                    hostcupy.asnumpy(held[key]), array, atol=3e-5 * scale, err_msg=f"{a.name}.{key}"
                )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_ten_steps_give_the_losses_of_the_layers(optimizer, cupy):
    fast, plain = engines("same, pool, dense", optimizer, smoothing=0.1)
    for seed in range(10):
        images, labels = batch(plain.model, 6, seed)
        assert_same_step(fast, plain, images, labels, rel=2e-4)


@pytest.mark.parametrize(("precision", "tolerance"), [("tf32", 2e-3), ("bf16", 2e-2)])
def test_the_tensor_cores_round_the_factors_and_nothing_else(precision, tolerance, cupy):
    fast, plain = engines("same, pool, dense", precision=precision)
    exact, _ = engines("same, pool, dense")
    images, labels = batch(plain.model, 20)
    losses = [engine.train_step(images, labels).loss for engine in (fast, plain, exact)]
    assert losses[0] == pytest.approx(losses[1], rel=tolerance)
    assert abs(losses[0] - losses[1]) > abs(losses[2] - losses[1])


def test_training_with_a_smaller_last_batch_gives_the_history_of_the_layers(cupy):
    images, labels = batch(make("norm"), 50)
    data = mc.data.Dataset(images, labels, ("a", "b", "c"))
    histories = {}
    for device, engine in (("cuda", "auto"), ("cpu", "layerwise")):
        trainer = mc.Trainer(make("norm"), SGD(0.05), device=device, engine=engine, precision="fp32")
        trainer.fit(data, epochs=2, batch_size=16, validation=0.2, progress=False)
        histories[device] = trainer.history
        assert trainer.evaluate(data).loss < 1.3
    assert trainer.engine.name == "layerwise"
    for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert_allclose(histories["cuda"][key], histories["cpu"][key], rtol=1e-3)


def test_small_batches_share_a_graph_and_a_transfer(cupy):
    fast, _ = engines("same, pool, dense")
    images, labels = batch(fast.model, 12)
    fast.load(images, labels)
    hostcupy.transfers.reset()
    for first in range(0, 16 * 4, 4):
        assert fast.step(np.arange(first, first + 4) % 12) is None
    seen = fast.finish()
    assert seen.images == 64
    assert len(fast.graphs) == 1
    # Two launches of 8 steps with their rows; the tables of two graphs, of one step and of 8; one look.
    assert (hostcupy.transfers.to_device, hostcupy.transfers.to_host) == (2 + 4, 1)


def test_steps_in_one_graph_are_the_steps_one_by_one(cupy):
    together, _ = engines("norm", "adam")
    apart, _ = engines("norm", "adam")
    images, labels = batch(together.model, 24)
    for engine in (together, apart):
        engine.load(images, labels)
        for number in range(24 // 3):
            engine.optimizer.learning_rate = 0.01 / (number + 1)
            engine.step(np.arange(3 * number, 3 * number + 3))
            if engine is apart:
                engine.finish()
        engine.finish()
    for name, array in together.model.arrays().items():
        assert_array_equal(hostcupy.asnumpy(array), hostcupy.asnumpy(apart.model.arrays()[name]), name)


def test_results_are_returned_every_so_many_steps(cupy):
    fast, _ = engines("a pool first, global maximum")
    images, labels = batch(fast.model, 8)
    fast.load(images, labels)
    answers = [fast.step(np.arange(8)) for _ in range(cuda_engine.LOOK_EVERY + 3)]
    assert [number for number, answer in enumerate(answers) if answer] == [cuda_engine.LOOK_EVERY - 1]
    assert answers[cuda_engine.LOOK_EVERY - 1].images == 8 * cuda_engine.LOOK_EVERY
    assert fast.finish().images == 3 * 8
    assert fast.finish() is None


def test_a_loss_that_is_not_finite_stops_the_updates_and_raises_with_its_cause(cupy):
    fast, _ = engines("norm", "plain")
    images, labels = batch(fast.model, 8)
    fast.load(images, labels)
    fast.step(np.arange(8))
    fast.finish()
    before = {name: hostcupy.asnumpy(array) for name, array in fast.model.arrays().items()}
    first = fast.model.layers[0].params["W"]
    spoilt = before["conv2d_1.W"].copy()
    spoilt[0] = np.inf
    first.set(spoilt)
    fast.step(np.arange(8))
    with pytest.raises(NonFiniteError, match="'conv2d_1' produced it, its W became NaN") as error:
        fast.step(np.arange(8)), fast.finish()
    assert error.value.steps_ago == 1
    assert fast.optimizer.steps == 1
    first.set(before["conv2d_1.W"])
    for name, array in fast.model.arrays().items():
        assert_array_equal(hostcupy.asnumpy(array), before[name], name)
    assert np.isfinite(fast.train_step(images, labels).loss)  # training continues


def test_dropout_zeroes_its_rate_in_training_only(cupy):
    layers = [L.Dropout(0.25), L.Flatten(), L.Dense(3)]
    model = mc.Sequential(layers, (20, 20, 1), seed=0).to("cuda")
    engine = make_engine("cuda_graph", model, mc.SoftmaxCrossEntropy(), SGD(1e-9))
    images, labels = np.full((40, 20, 20, 1), 255, np.uint8), np.zeros(40, np.int64)
    kept = []
    for _ in range(2):
        engine.train_step(images, labels)
        x = hostcupy.asnumpy(engine.network.activations[1])
        assert set(np.unique(x)) == {0, np.float32(1 / 0.75)}
        assert (x == 0).mean() == pytest.approx(0.25, abs=0.01)
        kept.append(x)
    assert (kept[0] != kept[1]).any()
    expected = mc.Sequential([L.Flatten(), L.Dense(3)], (20, 20, 1))
    expected.set_arrays({name: hostcupy.asnumpy(array) for name, array in model.arrays().items()})
    assert_allclose(model.logits(images[:3]), expected.logits(images[:3]), rtol=1e-5)


@pytest.mark.parametrize("batch_size", [3, 8, 100])
@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_those_of_the_layers(name, batch_size, cupy):
    images, _ = batch(make(name), 11)
    logits = make(name, "cuda").logits(images, batch_size)
    assert_allclose(logits, make(name).logits(images), rtol=1e-4, atol=1e-5)
    floats = (images / np.float32(255)).astype(np.float32)
    assert_allclose(make(name, "cuda").logits(floats), logits, rtol=1e-3, atol=1e-4)


def test_replaced_arrays_are_used(cupy):
    fast, _ = engines("same, pool, dense")
    images, labels = batch(fast.model, 5)
    fast.train_step(images, labels)
    fast.model.set_arrays(make("same, pool, dense").arrays())
    again, _ = engines("same, pool, dense")
    assert fast.train_step(images, labels).loss == again.train_step(images, labels).loss


def test_auto_selects_it_for_supported_models(cupy):
    class Mine(L.ReLU):
        pass

    class MyLoss(mc.SoftmaxCrossEntropy):
        pass

    class MySGD(SGD):
        pass

    def auto(layer=None, loss=None, optimizer=None, dtype="float32"):
        layers = [L.Flatten(), L.Dense(3), layer or L.ReLU()]
        model = mc.Sequential(layers, (4, 4, 1), dtype=dtype).to("cuda")
        return make_engine("auto", model, loss or mc.SoftmaxCrossEntropy(), optimizer or SGD(0.1))

    assert isinstance(auto(), CudaGraphEngine)
    images, labels = batch(mc.Sequential([L.Flatten()], (4, 4, 1)), 4)
    for others in ({"layer": Mine()}, {"loss": MyLoss()}, {"optimizer": MySGD(0.1)}, {"dtype": "float64"}):
        engine = auto(**others)
        assert engine.name == "layerwise"
        assert np.isfinite(engine.train_step(images, labels).loss)
    with pytest.raises(ConfigError, match="minicnn's own layers"):
        make_engine("cuda_graph", make("norm"), mc.SoftmaxCrossEntropy(), SGD(0.1))


def test_labels_are_checked_before_anything_else(cupy):
    fast, _ = engines("norm")
    images, labels = batch(fast.model, 4)
    with pytest.raises(DataError, match="labels must be in 0"):
        fast.train_step(images, labels + 3)


@pytest.mark.parametrize(("device", "engine", "asked", "used"), [
    ("cuda", "auto", "auto", "tf32"), ("cuda", "auto", "bf16", "bf16"), ("cuda", "auto", "fp32", "fp32"),
    ("cuda", "layerwise", "auto", "fp32"), ("cpu", "auto", "auto", "fp32"), ("cpu", "fused", "fp32", "fp32"),
])  # fmt: skip
def test_the_precision_that_is_used(device, engine, asked, used, cupy):
    trainer = mc.Trainer(make("norm"), SGD(0.1), device=device, engine=engine, precision=asked)
    assert trainer.model.precision == used


def test_an_unknown_precision_is_rejected(cupy):
    with pytest.raises(ConfigError, match='"tf32" needs the cuda_graph engine'):
        mc.Trainer(make("norm"), SGD(0.1), precision="tf32")
    cupy.cuda.Device().compute_capability = "75"
    with pytest.raises(ConfigError, match='"bf16" needs the cuda_graph engine and a GPU of compute'):
        mc.Trainer(make("norm"), SGD(0.1), device="cuda", precision="bf16")
    assert mc.Trainer(make("norm"), SGD(0.1), device="cuda").model.precision == "fp32"
    with pytest.raises(ConfigError, match="unknown precision 'half'"):
        mc.Trainer(make("norm"), SGD(0.1), precision="half")


def test_too_little_memory_raises_and_frees_it(cupy, monkeypatch):
    class OutOfMemoryError(MemoryError):
        pass

    fast, _ = engines("norm")
    images, labels = batch(fast.model, 4)
    zeros = cupy.zeros

    def small(shape, dtype):
        if np.prod(shape) > 100:
            raise OutOfMemoryError("out of memory allocating 1,024 bytes")
        return zeros(shape, dtype)

    monkeypatch.setattr(cupy, "zeros", small)
    with pytest.raises(
        mc.errors.DeviceError, match="too little memory for batches of 4 images; use a smaller"
    ):
        fast.train_step(images, labels)
    assert fast.network is None
    monkeypatch.setattr(cupy, "zeros", zeros)
    assert np.isfinite(fast.train_step(images, labels).loss)


def test_batches_are_the_rows_that_the_host_asks_for(cupy):
    fast, _ = engines("a pool first, global maximum")
    images, _ = batch(fast.model, 30)
    labels = np.arange(30) % 3
    fast.load(images, labels)
    rng = np.random.default_rng(0)
    for N in (7, 7, 3, 7):
        rows = rng.permutation(30)[:N]
        fast.step(rows)
        fast.finish()
        assert_array_equal(hostcupy.asnumpy(fast.network.labels)[:N], labels[rows])
        gathered = hostcupy.asnumpy(fast.network.activations[0]).reshape(-1, *fast.model.input_shape)[:N]
        assert_allclose(gathered, fast.model.preprocessing(images[rows], np.float32), rtol=1e-6, atol=1e-6)


def test_buffers_are_not_reallocated(cupy):
    fast, _ = engines("norm")
    images, labels = batch(fast.model, 9)
    fast.load(images, labels)

    def addresses():
        network = fast.network
        arrays = [*network.activations, *network.gradients, *fast.model.arrays().values()]
        return [array.data.ptr for array in arrays if array is not None]

    fast.step(np.arange(8)), fast.finish()
    first = addresses()
    for N in (8, 3, 8, 1):
        fast.step(np.arange(N)), fast.finish()
    assert addresses() == first
    assert isinstance(fast.network, cuda_network.Network)


def augmented(augmentation, image):
    """Return the network input of two steps on 1,000 copies of an image, as bytes."""
    model = mc.Sequential([L.Flatten(), L.Dense(3)], image.shape, seed=0).to("cuda")
    engine = make_engine("cuda_graph", model, mc.SoftmaxCrossEntropy(), SGD(0.1))
    engine.load(image[None], np.zeros(1, np.int64), augmentation, seed=1)
    seen = set()
    for _ in range(2):
        engine.step(np.zeros(1000, np.int64)), engine.finish()
        x = hostcupy.asnumpy(engine.network.activations[0]).reshape(-1, *image.shape)
        seen |= {np.rint(one * 255).astype(np.uint8).tobytes() for one in x}
        if len(seen) == 1:
            pytest.fail("each step draws anew")
    return seen


@pytest.mark.parametrize(("flip", "shift"), [(True, 0), (False, 1), (True, 2)])
def test_images_are_mirrored_and_shifted_on_the_device(flip, shift, cupy):
    image = np.random.default_rng(0).integers(1, 256, (4, 5, 2), np.uint8)
    assert augmented(Augmentation(flip, shift), image) == set(variants(image, flip, shift))


def test_rectangles_are_erased_on_the_device(cupy):
    image = np.random.default_rng(0).integers(1, 256, (9, 3, 2), np.uint8)
    erased = erased_variants(image)
    assert augmented(Augmentation(erase=1.0), image) == erased
    assert augmented(Augmentation(erase=0.5), image) == erased | {image.tobytes()}


def test_a_trainer_augments_on_both_devices(cupy):
    images, labels = batch(make("norm"), 40)
    data = mc.data.Dataset(images, labels, ("a", "b", "c"))
    for device in ("cpu", "cuda"):
        losses = []
        for augmentation in (None, Augmentation(flip=True, shift=1), Augmentation(flip=True, shift=1)):
            trainer = mc.Trainer(make("norm"), SGD(0.05), device=device)
            history = trainer.fit(data, epochs=1, batch_size=20, progress=False, augmentation=augmentation)
            losses.append(history["loss"][0])
        assert losses[0] != losses[1]
        assert losses[1] == losses[2]
    with pytest.raises(ConfigError, match="expected an Augmentation such as"):
        trainer.fit(data, epochs=1, augmentation=2)


SMALL = [L.Conv2D(3, 3, padding="same"), L.MaxPool2D(3, strides=1), L.GlobalMaxPool2D(), L.Dense(3)]


def small_engines(layers=SMALL):
    """Return the captured engine for a small model, and the layerwise one in main memory."""
    made = []
    for device, kind in (("cuda", "cuda_graph"), ("cpu", "layerwise")):
        model = mc.Sequential([type(layer)(**layer.config()) for layer in layers], (8, 7, 2), seed=1)
        loss, optimizer = mc.SoftmaxCrossEntropy(), SGD(0.02, momentum=0.9)
        made.append(make_engine(kind, model.to(device), loss, optimizer))
    return made


def test_changes_between_steps_take_effect(cupy):
    made = small_engines([L.Conv2D(3, 3), L.BatchNorm(), L.LeakyReLU(0.1), L.Flatten(), L.Dense(3)])
    images, labels = batch(made[0].model, 8)
    changes = [
        lambda e: None,
        lambda e: setattr(e.model, "preprocessing", mc.Standardize(0.5, 0.25)),
        lambda e: setattr(e.loss, "label_smoothing", 0.2),
        lambda e: setattr(e.optimizer, "momentum", 0.5),
        lambda e: setattr(e.optimizer, "weight_decay", 0.1),
        lambda e: setattr(e.model.layers[1], "momentum", 0.5),
        lambda e: setattr(e.model.layers[2], "negative_slope", 0.7),
        lambda e: None,
    ]
    for change in changes:
        for engine in made:
            change(engine)
        assert_same_step(*made, images, labels)
    assert_allclose(made[0].model.logits(images), made[1].model.logits(images), rtol=1e-3, atol=1e-4)


def test_pending_steps_use_the_settings_at_their_time(cupy):
    fast, plain = engines("norm")
    images, labels = batch(plain.model, 24)
    for engine in (fast, plain):
        engine.load(images, labels)
        for number in range(6):
            if number == 5:
                engine.optimizer.momentum, engine.loss.label_smoothing = 0.5, 0.3
            engine.step(np.arange(4 * number, 4 * number + 4))
        engine.finish()
    assert_same_arrays(fast.model, plain.model)


class Stop(mc.train.Callback):
    def __init__(self, after):
        self.left = after

    def on_step_end(self, trainer, images, loss, accuracy):
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("enough")


@pytest.mark.parametrize("after", [3, 63, 64, 70])
def test_an_interrupted_fit_leaves_the_completed_steps(after, cupy):
    images, labels = batch(make("a pool first, global maximum"), 300)
    data = mc.data.Dataset(images, labels, ("a", "b", "c"))
    small = mc.data.Dataset(images[:40], labels[:40], ("a", "b", "c"))
    trainers = [
        mc.Trainer(
            make("a pool first, global maximum"), SGD(0.01), device=device, engine=engine, precision="fp32"
        )
        for device, engine in (("cuda", "cuda_graph"), ("cpu", "layerwise"))
    ]
    for trainer in trainers:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="enough"):
                trainer.fit(data, epochs=1, batch_size=4, progress=False, callbacks=[Stop(after)])
    fast, plain = trainers
    assert_same_arrays(fast.model, plain.model)
    losses = [t.fit(small, epochs=1, batch_size=4, progress=False)["loss"][0] for t in trainers]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_callback_sees_the_model_as_the_step_leaves_it(cupy):
    seen = {}

    class Look(mc.train.Callback):
        watches_steps = True

        def on_step_end(self, trainer, images, loss, accuracy):
            seen.setdefault(trainer.device, []).append(trainer.evaluate(data).loss)

    images, labels = batch(make("same, pool, dense"), 24)
    data = mc.data.Dataset(images, labels, ("a", "b", "c"))
    for device in ("cuda", "cpu"):
        trainer = mc.Trainer(make("same, pool, dense"), SGD(0.05), device=device, precision="fp32")
        trainer.fit(data, epochs=1, batch_size=4, progress=False, callbacks=[Look()])
    assert_allclose(seen["cuda"], seen["cpu"], rtol=1e-4)


def test_a_callback_before_a_step_sees_the_result_of_the_last_one(cupy):
    class Shrink(mc.train.Callback):
        watches_steps = True

        def on_step_begin(self, trainer):
            for layer in trainer.model.layers:
                for w in layer.params.values():
                    w *= 0.5

    images, labels = batch(make("same, pool, dense"), 24)
    data, arrays = mc.data.Dataset(images, labels, ("a", "b", "c")), {}
    for device in ("cuda", "cpu"):
        trainer = mc.Trainer(make("same, pool, dense"), SGD(0.1), device=device, precision="fp32")
        trainer.fit(data, epochs=1, batch_size=4, progress=False, callbacks=[Shrink()])
        arrays[device] = trainer.model.to("cpu").arrays()
    for name, array in arrays["cpu"].items():
        assert_allclose(arrays["cuda"][name], array, rtol=1e-3, atol=1e-6, err_msg=name)


def test_batch_sizes_may_change_at_any_step(cupy):
    fast, plain = engines("a pool first, global maximum", "plain")
    images, labels = batch(plain.model, 600)
    seen = {fast: 0, plain: 0}
    for engine in (fast, plain):
        engine.load(images, labels)
        for N in (520, *[4] * 63, 520, 3, 5, 4):
            some = engine.step(np.arange(N))
            seen[engine] += some.images if some else 0
        rest = engine.finish()
        seen[engine] += rest.images if rest else 0
    assert seen[fast] == seen[plain]
    assert_same_arrays(fast.model, plain.model)


def test_rows_are_copied_and_checked(cupy):
    fast, plain = engines("norm")
    images, labels = batch(plain.model, 40)
    rows = np.arange(4)
    for engine in (fast, plain):
        engine.load(images, labels)
        for number in range(5):
            rows[:] = np.arange(4) + 4 * number
            engine.step(rows)
        engine.finish()
    assert_same_arrays(fast.model, plain.model)
    for bad in ([40], [-1], []):
        with pytest.raises(ShapeError, match="expected rows from 0 to 39, at least one"):
            fast.step(np.array(bad, int))


def test_engines_and_trainers_are_copied_and_pickled(cupy):
    trainer = mc.Trainer(make("norm"), SGD(0.05, momentum=0.9), device="cuda", precision="fp32")
    images, labels = batch(trainer.model, 8)
    trainer.engine.train_step(images, labels)
    twin = copy.deepcopy(trainer)
    for _ in range(3):
        assert twin.engine.train_step(images, labels).loss == trainer.engine.train_step(images, labels).loss


def test_the_moments_move_with_the_model(cupy):
    losses = {}
    for devices in (("cpu", "cuda", "cpu"), ("cpu", "cpu", "cpu")):
        model, optimizer = make("norm"), SGD(0.05, momentum=0.9)
        images, labels = batch(model, 8)
        trainers = [mc.Trainer(model, optimizer, device=device, precision="fp32") for device in devices[:1]]
        losses[devices] = [trainers[0].engine.train_step(images, labels).loss]
        for device in devices[1:]:
            trainer = mc.Trainer(model, optimizer, device=device, precision="fp32")
            losses[devices].append(trainer.engine.train_step(images, labels).loss)
    assert_allclose(*losses.values(), rtol=1e-4)


def test_a_model_that_was_moved_away_is_rejected(cupy):
    fast, _ = engines("norm")
    images, labels = batch(fast.model, 4)
    fast.model.to("cpu")
    with pytest.raises(ConfigError, match="this engine trains on a GPU, but the model is now float32 on cpu"):
        fast.train_step(images, labels)


def test_a_rejected_trainer_does_not_move_the_model(cupy):
    model = make("norm", "cuda")
    with pytest.raises(ConfigError):
        mc.Trainer(model, SGD(0.1), device="cpu", precision="tf32")
    assert model.device == "cuda"


def test_a_huge_batch_size_takes_no_more_than_there_are_images(cupy):
    images, _ = batch(make("norm"), 3)
    model = make("norm", "cuda")
    assert_allclose(model.logits(images, 10**9), make("norm").logits(images), rtol=1e-4, atol=1e-5)
    assert model.predictors.free[0].chunk == 3


# ---- Replacements between two steps. ----


def test_a_pool_rebuilt_in_place_is_detected(cupy):
    fast, plain = small_engines()
    images, labels = batch(plain.model, 6)
    assert_same_step(fast, plain, images, labels)
    fast.model.logits(images)
    for engine in (fast, plain):
        pool = engine.model.layers[1]
        pool.padding = "same"
        with pytest.raises(StateError, match="'maxpool2d_1': its attributes give an output"):
            engine.train_step(images, labels)
        with pytest.raises(StateError, match="'maxpool2d_1': its attributes give an output"):
            engine.model.logits(images)
        for layer in engine.model.layers[1:3]:
            layer.build(layer.input_shape if layer is pool else pool.output_shape, np.random.default_rng(0))
    assert_same_step(fast, plain, images, labels)
    assert_allclose(fast.model.logits(images), plain.model.logits(images), rtol=1e-3, atol=1e-4)


def test_graphs_write_to_replaced_moments(cupy):
    fast, plain = small_engines()
    images, labels = batch(plain.model, 6)
    for _ in range(2):
        assert_same_step(fast, plain, images, labels)
        for engine in (fast, plain):
            for moments in engine.optimizer._state.values():
                moments[:] = [3 * moment for moment in moments]
    assert_same_step(fast, plain, images, labels)
    for key, (moment,) in plain.optimizer._state.items():
        (held,) = fast.optimizer._state[key]
        assert_allclose(hostcupy.asnumpy(held), moment, rtol=1e-3, atol=1e-5, err_msg=key)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (
            lambda w, asarray: asarray(np.zeros((1, 3), np.float32)),
            ShapeError,
            r"W of shape \(3, 3\), got \(1, 3\)",
        ),
        (lambda w, asarray: asarray(np.zeros((3, 3))), DTypeError, "float32, got float64"),
        (
            lambda w, asarray: hostcupy.asnumpy(w),
            DTypeError,
            r"cupy.ndarray, got numpy.ndarray: .*model.to\('cuda'\)",
        ),
    ],
    ids=["shape", "dtype", "device"],
)
@pytest.mark.parametrize("what", ["parameter", "moment"])
def test_an_array_of_another_kind_is_rejected_before_any_launch(what, change, error, match, cupy):
    fast, plain = small_engines()
    images, labels = batch(plain.model, 6)
    fast.train_step(images, labels)
    layer = fast.model.layers[-1]
    if what == "parameter":
        layer.params["W"] = change(layer.params["W"], cupy.asarray)
        with pytest.raises(error, match=match):
            fast.model.logits(images)
    else:
        moments = fast.optimizer.moments("dense_1.W", layer.params["W"], 1)
        moments[0] = change(moments[0], cupy.asarray)
        if error is DTypeError and "numpy" in match:  # brought along, as when a model is moved
            assert np.isfinite(fast.train_step(images, labels).loss)
            return
        match = match.replace("W of", "average of the gradients of W of")
    with pytest.raises(error, match=match):
        fast.train_step(images, labels)
    assert fast.optimizer.steps == 1


def test_parameters_and_moments_in_another_memory_order_are_copied(cupy):
    fast, plain = small_engines()
    images, labels = batch(plain.model, 6)
    for _ in range(2):
        assert_same_step(fast, plain, images, labels)
        layer = fast.model.layers[0]
        layer.params["W"] = hostcupy.ndarray(np.asfortranarray(layer.params["W"]._data))
        (moment,) = moments = fast.optimizer.moments("conv2d_1.W", layer.params["W"], 1)
        moments[0] = hostcupy.ndarray(np.asfortranarray(moment._data))
    assert_allclose(fast.model.logits(images), plain.model.logits(images), rtol=1e-3, atol=1e-4)


def test_a_layer_loss_or_optimizer_replaced_later_by_one_without_kernels_is_rejected(cupy):
    fast, plain = small_engines()
    images, labels = batch(plain.model, 6)
    fast.train_step(images, labels)
    things = (fast.model.layers[1], "forward"), (fast.loss, "backward"), (fast.optimizer, "step")
    for thing, method in things:
        setattr(thing, method, getattr(thing, method))
        with pytest.raises(ConfigError, match="layer, loss or optimizer without kernels"):
            fast.train_step(images, labels)
        delattr(thing, method)
    fast.train_step(images, labels)
