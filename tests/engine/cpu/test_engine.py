"""`FusedEngine` takes the steps of `LayerwiseEngine`: gradients, states, weights, errors."""

import copy

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import minicnn as mc
from minicnn import layers as L
from minicnn.engine.cpu.engine import FusedEngine
from minicnn.engine.cpu.kernels.simd import LANES
from minicnn.engine.layerwise import LayerwiseEngine
from minicnn.errors import ShapeError
from minicnn.optimizers import SGD, Optimizer
from tests.changes import Scale
from tests.engine.cpu.fences import fenced
from tests.strategies import seeds

SHAPE = (9, 11, 3)
K = 4


class Halved(L.Conv2D):
    """A custom convolution that computes something else: it must not be treated as a Conv2D."""

    def forward(self, x, training=False):
        return super().forward(x, training) / 2

    def backward(self, dy, need_dx=True):
        return super().backward(dy / 2, need_dx)


class HalvedReLU(L.ReLU):
    """The same for a layer after a convolution."""

    def forward(self, x, training=False):
        return super().forward(x, training) / 2

    def backward(self, dy, need_dx=True):
        return super().backward(dy / 2, need_dx)


WORDS = {
    "conv": lambda: L.Conv2D(2 * LANES, 3, padding="same"),
    "wide": lambda: L.Conv2D(3 * LANES + 1, 3, padding=1),
    "conv5": lambda: L.Conv2D(LANES + 1, 5, padding="same"),
    "narrow": lambda: L.Conv2D(3, (2, 3), strides=(1, 2)),
    "dilated": lambda: L.Conv2D(LANES, 3, padding=((2, 1), (1, 2)), dilation_rate=(1, 2), use_bias=False),
    "pool": lambda: L.MaxPool2D(2),
    "pool3": lambda: L.MaxPool2D((3, 2), strides=(2, 1), padding="same"),
    "average": lambda: L.AvgPool2D(2),
    "dense": lambda: L.Dense(2 * LANES + 3),
    "dropout": lambda: L.Dropout(0.5),
    "leaky": lambda: L.LeakyReLU(0.25),
    "halved": lambda: Halved(LANES, 3, padding="same"),
    "halvedrelu": HalvedReLU,
    "scale": Scale,
    "bn": L.BatchNorm,
    "relu": L.ReLU,
    "flat": L.Flatten,
    "globalmax": L.GlobalMaxPool2D,
    "globalmean": L.GlobalAvgPool2D,
}


def stack(words, classes=K):
    """Return new layers as named by ``words``, followed by a Dense."""
    return [*(WORDS[word]() for word in words.split()), L.Dense(classes)]


def make(layers, dtype="float32", shape=SHAPE, seed=0, **arguments):
    """Return a model; ``layers`` are words, or pairs of a class and its arguments."""
    if isinstance(layers, str):
        layers = stack(layers)
    elif isinstance(layers[0], tuple):
        layers = [kind(**given) for kind, given in layers]
    return mc.Sequential(layers, shape, seed=seed, dtype=dtype, **arguments)


def twins(layers, optimizer=lambda: SGD(0.05, momentum=0.9), loss=mc.SoftmaxCrossEntropy, **arguments):
    """Return the fused engine, and the layerwise one in float64 with the same weights."""
    model, reference = make(layers, **arguments), make(layers, dtype="float64", **arguments)
    reference.set_arrays({name: array.astype("float64") for name, array in model.arrays().items()})
    return FusedEngine(model, loss(), optimizer()), LayerwiseEngine(reference, loss(), optimizer())


def batch(N, shape=SHAPE, classes=K, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (N, *shape), np.uint8), rng.integers(classes, size=N)


def copies(model):
    return {name: array.copy() for name, array in model.arrays().items()}


def bits(model):
    return {name: array.tobytes() for name, array in model.arrays().items()}


def assert_same_arrays(model, expected):
    for name, array in model.arrays().items():
        assert_array_equal(array, expected[name], name)


def largest(arrays):
    return max((float(np.abs(a).max()) for a in arrays), default=0.0)


def assert_same_step(fused, reference, images, labels, tolerance=1e-4, single=None):
    """Take a step with both. Gradients are compared on the scale of the layer's largest.

    A gradient that is 0 but for rounding, as that of a bias in front of a BatchNorm, has no scale but
    that of what cancels out: it is measured by the largest of the model. Where a gradient is badly
    conditioned, as behind a BatchNorm whose channel is open at a single pixel, ``single``, the layers
    in float32, shows by its own distance from the reference what rounding does.
    """
    result, expected = fused.train_step(images, labels), reference.train_step(images, labels)
    if single is not None:
        single.train_step(images, labels)
    assert result.loss == pytest.approx(expected.loss, rel=1e-5, abs=1e-6)
    assert result.correct == expected.correct
    layers = list(zip(fused.model.layers, reference.model.layers, strict=True))
    rounded = {layer.name: layer for layer in single.model.layers} if single else {}
    anywhere = largest(g for _, layer in layers for g in layer.grads.values())
    for ours, theirs in layers:
        assert ours.grads.keys() == ours.params.keys()
        scale = max(largest(theirs.grads.values()), 1e-2 * anywhere)
        for name, g in theirs.grads.items():
            where = f"{ours.name}: gradient of {name}"
            rounding = largest([rounded[ours.name].grads[name] - g]) if rounded else 0
            allowed = max(tolerance * scale, 4 * rounding)
            assert_allclose(ours.grads[name], g, rtol=0, atol=allowed, err_msg=where)
            w = theirs.params[name]
            assert_allclose(ours.params[name], w, rtol=tolerance, atol=max(tolerance / 10, allowed / 10))
        for name, average in theirs.state.items():
            assert_allclose(ours.state[name], average, rtol=1e-4, atol=1e-5, err_msg=ours.name)


@pytest.fixture(autouse=True)
def _default_threads():
    yield
    mc.set_num_threads(None)


ORDERS = [
    "conv relu pool conv relu pool flat dense relu",
    "conv pool relu conv pool relu flat dense relu",
    "conv bn relu pool conv bn relu pool flat dense",
    "conv relu bn pool conv relu bn pool flat",
    "conv bn pool relu conv bn pool relu flat",
    "conv relu pool bn conv relu pool bn flat",
    "conv conv conv flat",
    "conv relu conv relu conv relu pool flat",
    "bn conv relu pool flat dense relu",
    "bn relu pool conv relu flat",
    "conv pool flat dense bn relu dense relu bn",
    "flat dense relu dense",
    "conv5 relu pool wide relu pool flat",
    "conv5 pool3 relu wide relu pool3 flat",
    "narrow relu conv5 relu pool dilated relu flat",
    "dilated bn relu pool3 wide bn relu flat",
    "conv relu conv dropout relu pool flat dropout",
    "dropout conv leaky pool flat",
    "conv relu average conv average relu flat",
    "average conv relu globalmax",
    "conv globalmax dense relu",
    "conv globalmax relu dense",
    "conv pool globalmax dense",
    "conv bn relu globalmax dense",
    "conv pool bn relu conv bn globalmax relu",
    "pool conv bn relu globalmean",
    "relu conv relu relu pool pool flat dense relu relu",
    "halved relu pool conv relu pool flat",
    "conv relu halved bn relu flat",
    "conv halvedrelu pool conv relu pool scale flat",
    "scale conv relu pool flat scale dense relu",
]


@pytest.mark.parametrize("words", ORDERS)
def test_common_orders_of_layers_give_the_layerwise_steps(words):
    fused, reference = twins(words, loss=lambda: mc.SoftmaxCrossEntropy(0.1))
    single = LayerwiseEngine(make(words), mc.SoftmaxCrossEntropy(0.1), SGD(0.05, momentum=0.9))
    mc.set_num_threads(2)
    for step in range(3):
        assert_same_step(fused, reference, *batch(9, seed=step), single=single)


# ---- Whole numbers: their sums and products are exact, so every gradient is equal to the last bit. ----


class WholeLoss(mc.SoftmaxCrossEntropy):
    """A loss whose gradient is whole numbers, Σ slope · logits."""

    def forward(self, logits, labels):
        k = np.arange(logits.shape[1])
        self._slope = ((3 * labels[:, None] + 5 * k) % 7 - 3).astype(logits.dtype)
        return float((self._slope * logits).sum())

    def backward(self):
        return self._slope


class Still(Optimizer):
    """A custom optimizer that does not change the weights."""

    def __init__(self):
        super().__init__(0.1, 0.0, False, False)

    def step(self, model):
        self.begin_step(model)


def set_whole_weights(model, seed):
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for w in layer.params.values():
            w[...] = rng.integers(-1, 2, w.shape)


CHANNELS = [1, 3, LANES, LANES + 1, 2 * LANES, 3 * LANES - 1]
KERNELS = [3, 3, 3, 5, 1, 2, (2, 3), (3, 1), (1, 4)]
BEHIND = [
    *("", "relu", "relu pool", "pool relu", "pool", "relu relu", "pool pool", "relu pool relu"),
    *("dropout relu", "relu leaky pool", "relu average", "halvedrelu pool", "pool scale relu"),
]


def _pools(draw):
    size = draw(st.sampled_from([2, 2, 2, 3, (2, 1), (1, 3)]))
    return L.MaxPool2D, {
        "pool_size": size,
        "strides": draw(st.sampled_from([None, None, 1, 2, (3, 2)])),
        "padding": draw(st.sampled_from(["valid", "same"])),
    }


@st.composite
def convolutions(draw, behind=BEHIND):
    """Draw a convolution and its followers, as pairs of a class and its arguments."""
    kind = draw(st.sampled_from([L.Conv2D] * 7 + [Halved]))
    layers = [
        (
            kind,
            {
                "filters": draw(st.sampled_from(CHANNELS)),
                "kernel_size": draw(st.sampled_from(KERNELS)),
                "strides": draw(st.sampled_from([1, 1, 1, 1, 2, (1, 2)])),
                "padding": draw(st.sampled_from(["same", "same", "valid", 1, ((1, 0), (0, 2))])),
                "dilation_rate": draw(st.sampled_from([1, 1, 1, 1, 2, (1, 2), (3, 1)])),
                "use_bias": draw(st.sampled_from([True, True, False])),
            },
        )
    ]
    for word in draw(st.sampled_from(behind)).split():
        layers.append(_pools(draw) if word == "pool" else (WORDS[word], {}))
    return layers


@st.composite
def networks(draw, behind=BEHIND):
    """Draw the layers of a network, as pairs of a class and its arguments, and an image's shape."""
    layers = [layer for _ in range(draw(st.integers(1, 2))) for layer in draw(convolutions(behind))]
    layers.append((draw(st.sampled_from([L.Flatten, L.Flatten, L.GlobalMaxPool2D])), {}))
    if draw(st.booleans()):
        layers += [(L.Dense, {"units": draw(st.sampled_from([5, LANES, 2 * LANES + 1]))}), (L.ReLU, {})]
    layers.append((L.Dense, {"units": draw(st.integers(2, 2 * LANES + 1))}))
    shape = (draw(st.integers(4, 10)), draw(st.integers(4, 10)), draw(st.sampled_from([1, 2, LANES])))
    return layers, shape


thread_counts = st.sampled_from([1, 2, 3, 8])
batch_sizes = st.lists(st.integers(1, 6), min_size=1, max_size=3)


def built(build, *arguments, **more):
    """Return what ``build`` makes, if the windows that were drawn fit into the image."""
    try:
        return build(*arguments, **more)
    except ShapeError:
        assume(False)


@settings(max_examples=80)
@given(networks(), batch_sizes, thread_counts, seeds)
def test_gradients_of_whole_numbers_equal_the_layerwise_ones_exactly(network, sizes, threads, seed):
    layers, shape = network
    mc.set_num_threads(threads)
    fused, reference = built(twins, layers, Still, WholeLoss, shape=shape)
    rng = np.random.default_rng(seed)
    for N in sizes:
        for engine in (fused, reference):  # in place, which the engine has to see
            set_whole_weights(engine.model, seed + N)
        images = rng.integers(-3, 4, (N, *shape)).astype("float32")
        labels = rng.integers(fused.model.output_shape[0], size=N)
        with fenced() as fences:
            fences.fence(fused.model, fused.optimizer)
            result, expected = fused.train_step(images, labels), reference.train_step(images, labels)
        fences.check()
        gradients = [layer.grads for layer in reference.model.layers]
        assume(largest(g for grads in gradients for g in grads.values()) < 2**20)  # else float32 rounds
        assume(largest([reference.model.forward(reference.model.preprocess(images))]) < 2**20)
        assert result == expected
        for layer, grads in zip(fused.model.layers, gradients, strict=True):
            assert layer.grads.keys() == grads.keys()
            for name, g in grads.items():
                assert_array_equal(layer.grads[name], g, f"{layer.name}: gradient of {name}")


# ---- Real numbers, with BatchNorm: equal to rounding, where the gradients are well conditioned. ----

BEHIND_WITH_NORM = [
    *("bn relu pool", "relu bn pool", "bn pool relu", "relu pool bn", "pool relu bn", "pool bn relu"),
    *("bn", "bn relu", "relu bn", "relu pool", "bn bn relu", "dropout bn relu", "relu average bn"),
]


def gradients(model, images, labels, loss):
    logits = model.forward(images, training=True)
    loss.forward(logits, labels)
    model.backward(loss.backward())
    return [layer.grads for layer in model.layers if layer.grads]


def well_posed(reference, images, labels):
    """Whether the gradients hardly change when all weights and pixels move a little, there or back.

    Near the kink of a ReLU, or with two equal maxima, rounding alone decides where a gradient goes.
    """
    runs = []
    for step in (0, 1e-5, -1e-5):
        model, rng = copy.deepcopy(reference.model), np.random.default_rng(0)
        for layer in model.layers:
            for w in layer.params.values():
                w += step * largest([w]) * rng.normal(size=w.shape)
        x = model.preprocess(images)
        x += step * largest([x]) * rng.normal(size=x.shape)
        runs.append(gradients(model, x, labels, copy.deepcopy(reference.loss)))
    anywhere = largest(g for grads in runs[0] for g in grads.values())
    for grads, *moved in zip(*runs, strict=True):
        scale = max(largest(grads.values()), 1e-3 * anywhere)
        if largest(other[name] - g for other in moved for name, g in grads.items()) > 1e-3 * scale:
            return False
    return True


@settings(max_examples=40)
@given(networks(BEHIND_WITH_NORM), batch_sizes, thread_counts, st.sampled_from([0, 0.1]), seeds)
def test_steps_with_real_numbers_equal_the_layerwise_ones_to_rounding(network, sizes, threads, smooth, seed):
    layers, shape = network
    mc.set_num_threads(threads)
    fused, reference = built(
        twins, layers, loss=lambda: mc.SoftmaxCrossEntropy(smooth), shape=shape, seed=seed,
        preprocessing=mc.Standardize(0.3, 0.4),
    )  # fmt: skip
    for N in sizes:
        images, labels = batch(2 + N, shape, fused.model.output_shape[0], seed + N)
        assume(well_posed(reference, images, labels))
        with fenced() as fences:
            fences.fence(fused.model, fused.optimizer)
            assert_same_step(fused, reference, images, labels)
        fences.check()


# ---- Regressions. ----


def small(*layers, shape=(7, 7, 1), seed=1, **arguments):
    return [
        mc.Sequential(layers, shape, seed=seed, **arguments) for layers in (layers, copy.deepcopy(layers))
    ]


@pytest.mark.parametrize("filters", [2 * LANES + 1, 2 * LANES, 3 * LANES])
def test_pixels_that_no_pool_covers_contribute_to_no_filter(filters):
    ours, theirs = small(L.Conv2D(filters, 3), L.ReLU(), L.MaxPool2D(2), L.Flatten(), L.Dense(3))
    engines = (
        FusedEngine(ours, mc.SoftmaxCrossEntropy(), SGD(0.1)),
        LayerwiseEngine(theirs, mc.SoftmaxCrossEntropy(), SGD(0.1)),
    )
    for engine in engines:
        for seed in range(2):
            engine.train_step(*batch(4, (7, 7, 1), 3, seed))
    assert_allclose(ours.layers[0].grads["W"], theirs.layers[0].grads["W"], atol=1e-6)


def test_a_pool_of_one_cell_may_skip_pixels():
    ours, theirs = small(L.Conv2D(4, 3), L.MaxPool2D(1, strides=2), L.Flatten(), L.Dense(3), shape=(8, 8, 1))
    FusedEngine(ours, mc.SoftmaxCrossEntropy(), SGD(0.1)).train_step(*batch(4, (8, 8, 1), 3))
    LayerwiseEngine(theirs, mc.SoftmaxCrossEntropy(), SGD(0.1)).train_step(*batch(4, (8, 8, 1), 3))
    assert_allclose(ours.layers[0].grads["W"], theirs.layers[0].grads["W"], atol=1e-6)


@pytest.mark.parametrize("warm", [False, True])
def test_an_interrupted_setup_is_repeated_by_the_next_step(warm, monkeypatch):
    fused, reference = twins("conv relu flat")
    if warm:
        assert_same_step(fused, reference, *batch(2))
    with monkeypatch.context() as patch:
        patch.setattr("minicnn.engine.cpu.network.Network.connect_gradients", lambda network: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fused.train_step(*batch(50))
    assert_same_step(fused, reference, *batch(50))


def test_a_model_without_logits_is_rejected():
    model = mc.Sequential([L.Conv2D(3, 3)], (5, 5, 1))
    with pytest.raises(ShapeError, match=r"\(3, 3, 3\).*Flatten"):
        FusedEngine(model, mc.SoftmaxCrossEntropy(), SGD(0.1)).train_step(*batch(2, (5, 5, 1), 3))


@pytest.mark.parametrize("predict", [False, True])
def test_a_parameter_of_another_shape_is_rejected(predict):
    model = make("conv relu flat")
    engine = FusedEngine(model, mc.SoftmaxCrossEntropy(), SGD(0.1))
    model.layers[-1].params["W"] = np.zeros((3, 2), "float32")
    with pytest.raises(ShapeError, match=r"'dense_1'.*W.*\(3, 2\)"):
        model.logits(batch(2)[0]) if predict else engine.train_step(*batch(2))


def test_a_rejected_step_does_not_change_the_gradients():
    model = make("conv bn relu flat dense relu")
    engine = FusedEngine(model, mc.SoftmaxCrossEntropy(), SGD(0.1))
    images, labels = batch(2)
    images = images.astype("float32") / 255
    images[0, 0, 0, 0] = np.nan
    with pytest.raises(mc.errors.NonFiniteError):
        engine.train_step(images, labels)
    assert all(layer.grads == {} for layer in model.layers)


def test_a_prediction_does_not_write_to_the_parameters():
    model = make("conv bn relu flat dense relu")
    for layer in model.layers:
        for name, w in layer.params.items():
            layer.params[name] = np.asfortranarray(w)
    before = {layer.name: dict(layer.params) for layer in model.layers}
    model.logits(batch(3)[0])
    assert all(layer.params[name] is w for layer in model.layers for name, w in before[layer.name].items())
