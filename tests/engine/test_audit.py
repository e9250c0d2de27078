"""Replacing something between two steps raises the same error on each engine, or takes effect."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minicnn as mc
from minicnn import layers as L
from minicnn import ops
from minicnn.engine import make_engine
from minicnn.errors import ConfigError, DTypeError, ShapeError, StateError
from tests.engine.models import CLASSES, SHAPE, batch, copies, network

ENGINES = pytest.mark.parametrize("engine", ["fused", "layerwise"])


def trained(engine, optimizer=None):
    runner = make_engine(engine, network(), mc.SoftmaxCrossEntropy(), optimizer or mc.optimizers.Adam())
    runner.train_step(*batch())
    return runner


def refused(runner, error, match):
    """The next step raises, and changes no parameter, running average, gradient or step count."""
    model, optimizer = runner.model, runner.optimizer
    before, steps = copies(model), optimizer.steps
    with pytest.raises(error, match=match):
        runner.train_step(*batch(seed=1))
    assert optimizer.steps == steps
    for name, array in model.arrays().items():
        assert_array_equal(array, before[name], name)


@ENGINES
@pytest.mark.parametrize("units", [4000, 3])
def test_moments_of_another_size_are_rejected(engine, units):
    runner, rng = trained(engine), np.random.default_rng(0)
    model = runner.model
    model.layers[-3].units = units
    shape = model.layers[-3].input_shape
    for layer in model.layers[-3:]:
        shape = layer.build(shape, rng)
    refused(runner, ShapeError, rf"'dense_1'.*average of the gradients of W.*{units}\).*new optimizer")


class Gain(L.Layer):
    """A custom layer that assigns ``self.wrong`` as gradient."""

    def _build(self, shape, rng):
        self.params["W"] = np.ones(shape, self.dtype)

    def forward(self, x, training=False):
        return x * self.params["W"]

    def backward(self, dy, need_dx=True):
        self.grads["W"] = self.wrong
        return dy * self.params["W"]


@pytest.mark.parametrize(
    ("wrong", "error", "found"),
    [
        (np.zeros(1, "float32"), ShapeError, r"\(72,\), got \(1,\)"),
        (np.zeros(72), DTypeError, "float32, got float64"),
        (np.zeros(72, ">f4"), DTypeError, r"float32, got float32 \(>f4\)"),
        ([0.0] * 72, DTypeError, "numpy.ndarray, got builtins.list"),
        (np.ma.zeros(72, "float32"), DTypeError, "numpy.ndarray, got numpy.MaskedArray"),
    ],
)
def test_a_gradient_unlike_its_parameter_raises_the_same_error_on_every_engine(wrong, error, found):
    told = []
    for engine in ("fused", "layerwise"):
        model = mc.Sequential([L.Flatten(), Gain(), L.Dense(CLASSES)], SHAPE)
        model.layers[1].wrong = wrong
        runner = make_engine(engine, model, mc.SoftmaxCrossEntropy(), mc.optimizers.SGD(0.1))
        with pytest.raises(error, match=f"layer 'gain_1': expected the gradient of W.*{found}") as caught:
            runner.train_step(*batch())
        told.append(str(caught.value))
    assert told[0] == told[1]


def other_arrays(w):
    locked = w.copy()
    locked.flags.writeable = False
    return {
        "another shape": (w[:1], ShapeError, r"of shape \(\d+, 3\), got \(1, 3\)"),
        "float64": (w.astype("float64"), DTypeError, r"astype\('float32'\)"),
        "big-endian": (w.astype(">f4"), DTypeError, r"\(>f4\).*astype\('float32'\)"),
        "a list": (w.tolist(), DTypeError, "got builtins.list"),
        "a mask": (np.ma.masked_array(w, w > 0), DTypeError, "got numpy.MaskedArray"),
        "nothing": (None, DTypeError, "got builtins.NoneType"),
        "read-only": (locked, StateError, r"read-only.*array\.copy\(\)"),
    }


@ENGINES
@pytest.mark.parametrize("kind", other_arrays(np.zeros((2, 3), "float32")))
def test_a_parameter_of_another_kind_is_rejected_by_name(engine, kind):
    runner = trained(engine)
    layer = runner.model.layers[-1]
    good = layer.params["W"]
    layer.params["W"], error, match = other_arrays(good)[kind]
    for _ in range(2):
        with pytest.raises(error, match=rf"layer 'dense_2'.* W.*{match}"):
            runner.train_step(*batch())
    if kind != "read-only":  # a prediction only reads
        with pytest.raises(error, match="layer 'dense_2'"):
            runner.model.logits(batch()[0])
    layer.params["W"] = good
    assert np.isfinite(runner.train_step(*batch()).loss)


@ENGINES
def test_running_averages_are_checked_too(engine):
    runner = trained(engine)
    norm = next(layer for layer in runner.model.layers if isinstance(layer, L.BatchNorm))
    norm.state["running_var"] = norm.state["running_var"][:1]
    with pytest.raises(ShapeError, match=r"'batchnorm_1'.*running_var of shape \(8,\), got \(1,\)"):
        runner.train_step(*batch())
    with pytest.raises(ShapeError, match="running_var"):
        runner.model.logits(batch()[0])


def assert_predicts_as_the_layers(model, images):
    assert_allclose(model.logits(images), model.forward(model.preprocess(images)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("trains", [False, True])
def test_a_layer_rebuilt_in_place_is_detected(trains):
    stack = [L.Conv2D(4, 3), L.ReLU(), L.MaxPool2D(2), L.GlobalMaxPool2D(), L.Dense(3)]
    model = mc.Sequential(stack, (8, 8, 1))
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    runner = make_engine("fused", model, mc.SoftmaxCrossEntropy(), mc.optimizers.SGD(0.1))

    def use():
        if trains:
            runner.train_step(images, np.arange(5) % 3)
        assert_predicts_as_the_layers(model, images)

    use()
    for index, name, value in ((0, "padding", "same"), (2, "strides", (1, 2)), (2, "pool_size", (3, 3))):
        setattr(stack[index], name, value)
        for user in [use] if trains else [lambda: model.logits(images)]:
            with pytest.raises(StateError, match=r"its attributes give .* call build\(.* after a change"):
                user()
        shape, rng = stack[index].input_shape, np.random.default_rng(index)
        for layer in stack[index:4]:
            shape = layer.build(shape, rng)
        use()


@ENGINES
@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda m: m.layers.append("relu"), ConfigError, "expected layers in model.layers, got 'relu'"),
        (lambda m: m.layers.insert(1, L.ReLU()), StateError, r"'relu' is not built yet: call build\("),
        (lambda m: m.layers.insert(1, m.layers[1]), ConfigError, "'relu_1' appears twice"),
        (lambda m: m.layers.pop(-3), ShapeError, r"'relu_4' was built .*\(20,\), .* is \(32,\): call"),
        (lambda m: setattr(m.layers[0], "name", "dense_1"), ConfigError, "two layers are called 'dense_1'"),
        (lambda m: setattr(m.layers[-1], "use_bias", False), StateError, r"give parameters \['W'\], it was"),
        (lambda m: m.layers[-1].params.pop("b"), StateError, "'dense_2' has no b: call build"),
        (lambda m: setattr(m.layers[0], "params", None), StateError, "must be dicts|are dicts"),
        (lambda m: setattr(m.layers[0], "grads", None), StateError, r"grads must be a dict.*set it to \{\}"),
        (lambda m: setattr(m.layers[6], "epsilon", 0), ConfigError, "'batchnorm_1': epsilon must be"),
        (lambda m: setattr(m.layers[6], "momentum", "x"), ConfigError, "'batchnorm_1': momentum must be"),
        (lambda m: setattr(m.layers[0], "dtype", np.dtype("f8")), DTypeError, "'conv2d_1' was built for"),
    ],
)  # fmt: skip
def test_invalid_layers_are_rejected(engine, change, error, match):
    runner = trained(engine)
    change(runner.model)
    with pytest.raises(error, match=match):
        runner.train_step(*batch())


def test_other_float_types_become_plain_floats():
    fused, plain = trained("fused", mc.optimizers.SGD(0.01)), trained("layerwise", mc.optimizers.SGD(0.01))
    for runner in (fused, plain):
        runner.model.layers[6].momentum = np.float64(0.3)
        runner.train_step(*batch(seed=1))
        assert runner.model.layers[6].state["running_mean"].dtype == np.float32
    state, expected = (runner.model.layers[6].state for runner in (fused, plain))
    assert_allclose(state["running_mean"], expected["running_mean"], rtol=1e-3, atol=1e-4)


def test_a_replaced_method_of_a_layer_is_called():
    model, images = network(), batch()[0]
    model.logits(images)
    relu = model.layers[1]
    forward = relu.forward
    relu.forward = lambda x, training=False: 3 * forward(x, training)
    fast = model.logits(images)
    with ops.use("reference"):
        assert_allclose(fast, model.logits(images), rtol=1e-4, atol=1e-5)


class Short(L.ReLU):
    """A custom layer whose output, or dx, does not have the declared shape."""

    def forward(self, x, training=False):
        return super().forward(x, training)[..., : self.outputs]

    def backward(self, dy, need_dx=True):
        self._cache = None
        return dy[..., :1]


@pytest.mark.parametrize(("outputs", "what"), [(1, "an output"), (None, "a dx")])
def test_the_output_of_a_custom_layer_is_not_broadcast(outputs, what):
    model = mc.Sequential([L.Flatten(), L.Dense(4), Short(), L.Dense(CLASSES)], SHAPE)
    model.layers[2].outputs = outputs
    runner = make_engine("fused", model, mc.SoftmaxCrossEntropy(), mc.optimizers.SGD(0.1))
    with pytest.raises(ShapeError, match=rf"'short_1': expected {what} of shape \(6, 4\), got \(6, 1\)"):
        runner.train_step(*batch())


def test_a_gradient_replaced_during_a_step_raises():
    class Clipping(L.ReLU):
        def backward(self, dy, need_dx=True):
            self.above.grads["W"] = np.clip(self.above.grads["W"], -1e-3, 1e-3)
            return super().backward(dy, need_dx)

    model = mc.Sequential([L.Flatten(), L.Dense(4), Clipping(), L.Dense(CLASSES)], SHAPE)
    model.layers[2].above = model.layers[3]
    runner = make_engine("fused", model, mc.SoftmaxCrossEntropy(), mc.optimizers.SGD(0.1))
    with pytest.raises(StateError, match=r"'dense_2': the gradient of W was replaced.*engine=\"layerwise\""):
        runner.train_step(*batch())


@dataclass
class Equal(L.Layer):
    """A custom layer that compares equal to others with the same arguments."""

    start: float = 1.0

    def __post_init__(self):
        super().__init__()

    def _build(self, shape, rng):
        self.params["W"] = np.full(shape, self.start, self.dtype)

    def forward(self, x, training=False):
        self._cache = x
        return x * self.params["W"]

    def backward(self, dy, need_dx=True):
        self.grads["W"] = (dy * self._cache).sum(axis=0)
        return dy * self.params["W"]


@ENGINES
def test_a_replaced_layer_is_detected_even_if_equal(engine):
    model = mc.Sequential([L.Flatten(), Equal(), L.Dense(CLASSES)], SHAPE)
    runner = make_engine(engine, model, mc.SoftmaxCrossEntropy(), mc.optimizers.SGD(0.1))
    runner.train_step(*batch())
    images = batch()[0] / np.float32(255)
    model.logits(images)
    other = Equal()
    other.name = "equal_1"
    other.build(model.layers[1].input_shape, np.random.default_rng(0))
    other.params["W"] *= 3
    assert other == model.layers[1]
    model.layers[1] = other
    with ops.use("reference"):
        expected = model.logits(images)
    assert_allclose(model.logits(images), expected, rtol=1e-4, atol=1e-5)
    runner.train_step(*batch())
    assert not (other.params["W"] == 3).any()


def test_a_replaced_method_of_a_loss_or_optimizer_is_called():
    asked = []

    def spied(method):
        return lambda *args: asked.append(method.__name__) or method(*args)

    runner = trained("fused", mc.optimizers.SGD(0.1, global_clipnorm=1.0))
    loss, optimizer = runner.loss, runner.optimizer
    loss.forward, loss.backward = spied(loss.forward), spied(loss.backward)
    runner.train_step(*batch())
    assert asked == ["forward", "backward"]
    optimizer._update, optimizer.clip_scale = spied(optimizer._update), spied(optimizer.clip_scale)
    runner.train_step(*batch())
    assert asked.count("clip_scale") == 1
    assert asked.count("_update") == sum(len(layer.params) for layer in runner.model.layers)
