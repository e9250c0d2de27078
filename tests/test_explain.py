"""`explain` against numerical differences, plain loops and other libraries."""

import copy
import os
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from minicnn import data, explain, ops, zoo
from minicnn import layers as L
from minicnn.errors import ConfigError, DataError, DTypeError, MiniCNNError, NonFiniteError, ShapeError
from minicnn.model import Sequential
from minicnn.ops import cpu, reference
from minicnn.preprocessing import Standardize
from minicnn.runtime import threads
from tests.strategies import seeds, whole

STEP = 1e-6
CLASSES = 3
SHAPE = (7, 5, 2)


def network(shape=SHAPE, dtype="float64", seed=3, kernel=(3, 2), stride=1):
    """Return a model with BatchNorm and Dropout in every kind of position, with trained-like arrays."""
    layers = [L.Conv2D(3, kernel, strides=stride, padding="same", use_bias=False)]
    layers += [L.BatchNorm(epsilon=1e-2), L.ReLU()]
    layers += [L.MaxPool2D((2, 3), strides=(1, 2), padding="same"), L.Dropout(0.5)]
    layers += [L.Conv2D(4, (2, 3), padding="same"), L.LeakyReLU(0.1), L.Dropout(0.2)]
    layers += [L.Flatten(), L.Dense(6), L.BatchNorm(), L.Dropout(0.5), L.ReLU(), L.Dense(CLASSES)]
    preprocessing = Standardize(0.3, 0.5)
    model = Sequential(layers, shape, seed, dtype, preprocessing, class_names=("a", "b", "c"))
    rng = np.random.default_rng(seed)
    model.set_arrays(
        {
            name: rng.uniform(0.5, 2, a.shape) if name.endswith("_var") else a + rng.normal(0, 0.3, a.shape)
            for name, a in model.arrays().items()
        }
    )
    return model


def pixels(n=4, shape=SHAPE, seed=1):
    return np.random.default_rng(seed).random((n, *shape))


networks = st.builds(
    network,
    shape=st.tuples(st.integers(3, 6), st.integers(3, 6), st.integers(1, 3)),
    seed=seeds,
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 2),
)


def differences(function, x):
    """Return the derivative of each sample's ``function`` value, (N,), with respect to each of its x."""
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape[1:]):
        values = []
        for step in (STEP, -STEP):
            moved = x.copy()
            moved[(slice(None), *index)] += step
            values.append(function(moved))
        gradient[(slice(None), *index)] = (values[0] - values[1]) / (2 * STEP)
    return gradient


def logit(model, classes):
    """Return the function from images to the logit of each one's class, as the model predicts it."""
    return lambda images: model.logits(images)[np.arange(len(images)), classes]


class TestFoldBatchNorm:
    @pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-4)])
    def test_its_training_pass_computes_the_prediction(self, dtype, rtol):
        model = network(dtype=dtype)
        twin = explain.fold_batchnorm(model)
        expected = model.logits(pixels())
        assert_allclose(twin.logits(pixels()), expected, rtol)
        output = twin.forward(twin.preprocess(pixels()), training=True)
        assert output.dtype == np.float64
        assert_allclose(output, expected, rtol)

    @given(networks)
    def test_its_backward_pass_is_the_gradient_of_the_prediction(self, model):
        images = pixels(2, model.input_shape)
        classes = np.array([2, 0])
        twin = explain.fold_batchnorm(model)
        twin.forward(twin.preprocess(images), training=True)
        dx = twin.backward(np.eye(CLASSES)[classes], need_dx=True)
        numeric = differences(logit(model, classes), images)
        assert_allclose(dx / model.preprocessing.std, numeric, rtol=1e-5, atol=1e-7)

    def test_batchnorm_is_folded_and_dropout_removed(self):
        model = network(dtype="float32")
        twin = explain.fold_batchnorm(model)
        expected = [type(layer) for layer in model.layers if not isinstance(layer, L.Dropout)]
        expected[1], expected[8] = L.Conv2D, L.Dense
        assert len(twin.layers) == len(expected)
        assert all(map(isinstance, twin.layers, expected))
        assert twin.dtype == np.float64
        assert twin.preprocessing == model.preprocessing
        assert twin.class_names == model.class_names
        assert twin.output_shape == model.output_shape

    def test_it_shares_no_array_with_the_model(self):
        model = network()
        before = {name: array.copy() for name, array in model.arrays().items()}
        for array in explain.fold_batchnorm(model).arrays().values():
            array += 1
        for name, array in model.arrays().items():
            assert_array_equal(array, before[name], name)

    def test_a_custom_layer_is_copied_with_its_arrays(self):
        class Scale(L.Layer):
            def __init__(self, exponent):
                super().__init__()
                self.power = exponent  # not under the argument's name: config() would fail

            def state_shapes(self, input_shape):
                return {"factor": (1,)}

            def _build(self, input_shape, rng):
                self.state["factor"] = np.ones(1, self.dtype)

            def forward(self, x, training=False):
                return x * self.state["factor"] ** self.power

            def backward(self, dy, need_dx=True):
                return dy * self.state["factor"] ** self.power

        model = Sequential([Scale(2), L.Flatten(), L.Dense(2)], (2, 2, 1))
        model.layers[0].state["factor"][:] = 3
        images = pixels(2, (2, 2, 1))
        twin = explain.fold_batchnorm(model)
        assert twin.layers[0].power == 2
        assert_allclose(twin.logits(images), model.logits(images), rtol=1e-5)
        expected = np.abs(9 * model.layers[2].params["W"][:, 0]).reshape(2, 2)
        assert_allclose(explain.saliency(model, images, np.zeros(2, int))[0], expected, rtol=1e-6)
        assert explain.grad_cam(model, images, layer="scale_1").shape == (2, 2, 2)


class TestTies:
    """Of pixels that are equal but for rounding errors, the first gets the gradient."""

    @pytest.mark.parametrize("pool", [L.MaxPool2D, L.GlobalMaxPool2D])
    @pytest.mark.parametrize(("more", "winner"), [(1e-14, 0), (1e-10, 0), (1e-4, 2), (0.3, 2)])
    def test_a_rounding_error_does_not_win(self, pool, more, winner):
        model = Sequential([pool(), L.Flatten(), L.Dense(1)], (2, 2, 1), dtype="float64")
        model.layers[2].params["W"][:] = 1
        # The other image is far brighter, which must not matter.
        images = np.array([[7, 6, 7 + more, 7], [1000, 0, 0, 0]]).reshape(2, 2, 2, 1) / 1000
        assert_array_equal(explain.saliency(model, images)[0].ravel(), np.eye(4)[winner])

    def test_a_custom_pool_decides_itself(self):
        class MinPool(L.MaxPool2D):
            def forward(self, x, training=False):
                return -super().forward(-x, training)

        model = Sequential([MinPool(2), L.Flatten(), L.Dense(1)], (2, 2, 1), dtype="float64")
        images = np.array([7, 6, 8, 6 + 1e-14]).reshape(1, 2, 2, 1) / 10
        assert_array_equal(np.flatnonzero(explain.saliency(model, images)), [1])


def rounded_otherwise(matmul, seed):
    """Return a matrix product with the rounding errors of another order of its sums."""
    rng = np.random.default_rng(seed)

    def product(a, b):
        exact = matmul(a, b)
        error = np.finfo(exact.dtype).eps * (np.abs(a) @ np.abs(b))
        return exact + (rng.uniform(-1, 1, exact.shape) * error).astype(exact.dtype)

    return product


def on_black(n=5, seed=0):
    """Return images like photographs: something bright in the middle of black."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, 16, 14, 1), np.uint8)
    images[:, 6:11, 5:9] = rng.integers(50, 256, (n, 5, 4, 1))
    return images


def pooled(kind, shape=(16, 14, 1)):
    """Return a float32 network for standardized images, whose pools see the black of ``on_black``."""
    layers = {
        "behind ReLU": [L.Conv2D(9, 3, padding="same"), L.ReLU(), L.MaxPool2D(2), L.Conv2D(8, 3), L.ReLU()],
        "before BatchNorm": [L.Conv2D(9, 3), L.MaxPool2D(2), L.BatchNorm(), L.ReLU(), L.Conv2D(8, 3)],
        "overlapping": [L.Conv2D(9, 3), L.MaxPool2D(3, 1, "same"), L.LeakyReLU(), L.MaxPool2D(3, 2)],
        "whole image": [L.Conv2D(9, 3), L.ReLU(), L.Conv2D(8, 3), L.GlobalMaxPool2D()],
    }[kind]
    rest = [L.Dense(3)] if kind == "whole image" else [L.Flatten(), L.Dense(3)]
    return Sequential([*layers, *rest], shape, seed=1, preprocessing=Standardize(0.28, 0.35))


def assert_same_maps(found, expected):
    """Compare to a millionth of each map's maximum."""
    for one, other in zip(found, expected, strict=True):
        assert_allclose(one, other, rtol=0, atol=1e-6 * np.abs(other).max())


@pytest.mark.parametrize("kind", ["behind ReLU", "before BatchNorm", "overlapping", "whole image"])
@pytest.mark.parametrize(
    "function",
    [
        explain.saliency,
        explain.grad_cam,
        lambda model, images: explain.grad_cam(model, images, layer="conv2d_1"),
    ],
    ids=["saliency", "grad_cam", "grad_cam of the first layer"],
)
class TestRounding:
    def test_maps_do_not_depend_on_how_products_are_rounded(self, function, kind, monkeypatch):
        model, images = pooled(kind), on_black()
        expected = function(model, images)
        for seed in range(3):
            with monkeypatch.context() as patch:
                for module in (cpu, reference):
                    patch.setattr(module, "matmul", rounded_otherwise(module.matmul, seed))
                assert_same_maps(function(model, images), expected)

    def test_maps_do_not_depend_on_batch_threads_and_kernels(self, function, kind, monkeypatch):
        model, images = pooled(kind), on_black()
        expected = function(model, images)
        assert_same_maps(np.concatenate([function(model, image[None]) for image in images]), expected)
        for batch in (1, 2, 3):
            monkeypatch.setattr(explain, "BATCH", batch)
            assert_same_maps(function(model, images), expected)
        before = threads.num_threads()
        try:
            for number in (1, 2, 3, 5):
                threads.set_num_threads(number)
                assert_same_maps(function(model, images), expected)
        finally:
            threads.set_num_threads(before)
        with ops.use("reference"):
            assert_same_maps(function(model, images), expected)


@pytest.mark.parametrize("function", [explain.saliency, explain.grad_cam])
def test_nothing_raises_where_a_gradient_underflows(function):
    model = pooled("behind ReLU")
    model.layers[-1].params["W"] *= np.float32(1e-37)
    with np.errstate(all="raise"):
        function(model, on_black())


@pytest.mark.skipif(not os.environ.get("MINICNN_DATA"), reason="needs real data: MINICNN_DATA is not set")
@pytest.mark.parametrize("recipe", ["fashion-quick", "fashion-best"])
@pytest.mark.parametrize("function", [explain.saliency, explain.grad_cam])
def test_maps_of_real_images_do_not_depend_on_rounding(recipe, function, monkeypatch):
    train, test = data.load("fashion-mnist")
    model, images = zoo.recipe(recipe).model(train), test.images[:4]
    expected = function(model, images)
    assert_same_maps(np.concatenate([function(model, image[None]) for image in images]), expected)
    monkeypatch.setattr(cpu, "matmul", rounded_otherwise(cpu.matmul, 0))
    assert_same_maps(function(model, images), expected)


def state(model):
    """Return all state of a model that a function could change."""
    kept = [layer._cache for layer in model.layers]
    grads = [dict(layer.grads) for layer in model.layers]
    draws = [copy.deepcopy(layer)._rng.random() for layer in model.layers if isinstance(layer, L.Dropout)]
    return {name: a.tobytes() for name, a in model.arrays().items()}, kept, grads, draws, model.predictors


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "function",
    [
        lambda model, images: explain.fold_batchnorm(model),
        lambda model, images: explain.feature_maps(model, images, "batchnorm_1"),
        explain.features,
        explain.saliency,
        explain.grad_cam,
    ],
    ids=["fold_batchnorm", "feature_maps", "features", "saliency", "grad_cam"],
)
def test_the_model_and_the_images_are_unchanged(function, dtype):
    model, images = network(dtype=dtype), pixels()
    before = state(model)
    function(model, images)
    assert state(model) == before
    assert_array_equal(images, pixels())


@pytest.mark.parametrize(
    "function",
    [
        lambda model, images: explain.feature_maps(model, images, "relu_1"),
        explain.features,
        explain.saliency,
        explain.grad_cam,
    ],
    ids=["feature_maps", "features", "saliency", "grad_cam"],
)
class TestImages:
    def test_batches_do_not_change_the_result(self, function, monkeypatch):
        model, images = network(), pixels(7)
        at_once = function(model, images)
        assert len(at_once) == 7
        monkeypatch.setattr(explain, "BATCH", 3)
        assert_allclose(function(model, images), at_once, rtol=1e-9, atol=1e-12)

    def test_uint8_and_floats_from_0_to_1_give_equal_results(self, function):
        stored = np.random.default_rng(2).integers(0, 256, (3, *SHAPE), np.uint8)
        model = network()
        assert_allclose(function(model, stored), function(model, stored / 255), rtol=1e-9, atol=1e-12)

    def test_the_result_has_the_dtype_of_the_model(self, function):
        assert function(network(dtype="float32"), pixels()).dtype == np.float32

    @pytest.mark.parametrize(
        ("images", "error"),
        [
            (pixels()[0], ShapeError),
            (pixels()[:0], DataError),
            (pixels().astype(int), DTypeError),
            (pixels() * np.nan, NonFiniteError),
        ],
        ids=["one", "none", "integers", "NaN"],
    )
    def test_images_that_prediction_rejects_are_rejected(self, function, images, error):
        with pytest.raises(error):
            function(network(), images)


class TestFeatureMaps:
    def test_every_layer_gives_its_output_in_prediction(self):
        model = network()
        x = model.preprocess(pixels())
        for layer in model.layers:
            x = layer.forward(x)
            assert_array_equal(explain.feature_maps(model, pixels(), layer.name), x)

    def test_an_unknown_name_is_rejected_with_the_known_names(self):
        with pytest.raises(ConfigError, match=r"no layer 'conv2d_9'.* conv2d_1, batchnorm_1, relu_1,"):
            explain.feature_maps(network(), pixels(), "conv2d_9")


class TestFeatures:
    def test_features_are_the_input_of_the_last_layer(self):
        model = network()
        found = explain.features(model, pixels())
        assert found.shape == (4, 6)
        assert_allclose(model.layers[-1].forward(found), model.logits(pixels()), rtol=1e-12)

    def test_features_of_a_single_dense_layer_are_its_input(self):
        model = Sequential([L.Flatten(), L.Dense(2)], SHAPE, dtype="float64")
        assert_array_equal(explain.features(model, pixels()), pixels().reshape(4, -1))

    def test_a_model_that_does_not_end_in_dense_is_rejected(self):
        model = Sequential([L.Flatten(), L.Dense(2), L.ReLU()], SHAPE)
        with pytest.raises(ConfigError, match=r"ends in ReLU\(\): call feature_maps"):
            explain.features(model, pixels())


def exact_cosine(f, q):
    """Return the cosine of two whole-numbered vectors, squared, with its sign: without rounding."""
    f, q = f.astype(int).tolist(), q.astype(int).tolist()
    product = sum(a * b for a, b in zip(f, q, strict=True))
    lengths = sum(a * a for a in f) * sum(b * b for b in q)
    return Fraction(product * abs(product), lengths) if lengths else Fraction(0)


class TestNearest:
    @given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 4), st.data(), seeds)
    def test_the_highest_cosine_comes_first_and_of_equals_the_lower_index(self, n, d, queries, data, seed):
        count = data.draw(st.integers(1, n))
        features, query = whole(seed, (n, d)), whole(seed + 1, (queries, d), "float32")
        found = explain.nearest(features, query, count)
        for row, q in zip(found, query, strict=True):
            best = sorted(range(n), key=lambda i: (-exact_cosine(features[i], q), i))
            assert_array_equal(row, best[:count])

    def test_equal_rows_come_in_order_wherever_a_product_rounds_them(self):
        rng = np.random.default_rng(0)
        features = np.tile(rng.normal(size=(1, 37)), (101, 1)).astype(np.float32)
        found = explain.nearest(features, rng.normal(size=(5, 37)), 101)
        assert_array_equal(found, np.tile(np.arange(101), (5, 1)))

    def test_length_does_not_count(self):
        features = np.array([[1.0, 0.1], [100, 90], [0.001, 0]])
        assert_array_equal(explain.nearest(features, np.array([[5.0, 0]]), 3), [[2, 0, 1]])

    def test_zeros_have_similarity_0(self):
        features = np.array([[-1.0, 0], [0, 0], [1, 0]])
        assert_array_equal(explain.nearest(features, np.array([[1.0, 0], [0, 0]]), 3), [[2, 1, 0], [0, 1, 2]])

    def test_many_queries_equal_single_queries(self):
        rng = np.random.default_rng(0)
        features, query = rng.normal(size=(30, 5)), rng.normal(size=(2 * explain.BATCH + 1, 5))
        found = explain.nearest(features, query)
        assert found.shape == (len(query), 8)
        for row, q in zip(found, query, strict=True):
            assert_array_equal(row, explain.nearest(features, q[None])[0])

    @pytest.mark.parametrize(("features", "query"), [((5, 3), (3,)), ((5, 3), (1, 2)), ((5,), (1, 5))])
    def test_shapes_that_do_not_match_are_rejected(self, features, query):
        with pytest.raises(ShapeError, match=r"expected features \(N, D\) and a query \(Q, D\)"):
            explain.nearest(np.ones(features), np.ones(query), 1)

    @pytest.mark.parametrize("count", [0, 6, 1.5])
    def test_an_invalid_count_is_rejected(self, count):
        with pytest.raises(ConfigError, match="count must be"):
            explain.nearest(np.ones((5, 2)), np.ones((1, 2)), count)

    def test_lists_are_rejected(self):
        with pytest.raises(DTypeError, match="expected a NumPy"):
            explain.nearest([[1, 2]], np.ones((1, 2)), 1)


@pytest.mark.parametrize("function", [explain.saliency, explain.grad_cam])
class TestClasses:
    def test_by_default_they_are_the_predicted_ones(self, function):
        model, images = network(), pixels(12)
        predicted = model.predict(images)
        assert len(set(predicted)) > 1
        assert_array_equal(function(model, images), function(model, images, predicted))
        assert (function(model, images) != function(model, images, (predicted + 1) % CLASSES)).any()

    @pytest.mark.parametrize(
        ("classes", "error", "text"),
        [
            (np.array([0, 1]), ShapeError, r"one class for each image, shape \(4,\), got \(2,\)"),
            (np.array(1), ShapeError, "one class for each image"),
            (np.array([0, 1, 2, 3]), DataError, "labels must be in 0 … 2"),
            (np.array([0, 1, 2, -1]), DataError, "labels must be in 0 … 2"),
            (np.ones(4), DTypeError, "integer"),
            (np.ones(4, bool), DTypeError, "integer"),
            ([0, 1, 2, 0], DTypeError, "expected a NumPy or CuPy array"),
        ],
    )
    def test_other_than_one_class_for_each_image_is_rejected(self, function, classes, error, text):
        with pytest.raises(error, match=text):
            function(network(), pixels(), classes)

    def test_a_model_that_is_not_a_classifier_is_rejected(self, function):
        model = Sequential([L.Conv2D(2, 3)], SHAPE)
        with pytest.raises(ConfigError, match="a classifier ends in"):
            function(model, pixels())

    def test_weights_that_grew_too_large_are_rejected(self, function):
        model = network()
        model.layers[-1].params["b"][0] = np.inf
        with pytest.raises(NonFiniteError, match="grew too large"):
            function(model, pixels(), np.zeros(4, int))


class TestSaliency:
    @given(networks)
    def test_it_is_the_largest_difference_over_the_channels(self, model):
        images, classes = pixels(3, model.input_shape), np.array([1, 2, 0])
        numeric = np.abs(differences(logit(model, classes), images)).max(axis=3)
        assert_allclose(explain.saliency(model, images, classes), numeric, rtol=1e-5, atol=1e-7)

    def test_saliency_of_a_linear_model_is_its_weights(self):
        model = Sequential([L.Flatten(), L.Dense(2)], (1, 2, 2), preprocessing=Standardize(0.5, 0.25))
        model.layers[1].params["W"][:] = [[1, 0], [-3, 0], [0, 0.5], [2, 0]]  # (pixel and channel, class)
        maps = explain.saliency(model, pixels(2, (1, 2, 2)), np.array([0, 1]))
        assert_array_equal(maps, [[[12, 8]], [[0, 2]]])

    def test_a_model_whose_input_is_not_an_image_is_rejected(self):
        model = Sequential([L.Dense(2)], (6,), dtype="float64")
        with pytest.raises(ConfigError, match=r"an image \(H, W, C\), got \(6,\): begin"):
            explain.saliency(model, pixels(4, (6,)))


def numeric_cam(model, images, classes, place):
    """Return the maps before they are resized: by differences, in prediction, with the model's own layers."""
    A = model.preprocess(images)
    for layer in model.layers[: place + 1]:
        A = layer.forward(A)

    def logits_behind(x):
        for layer in model.layers[place + 1 :]:
            x = layer.forward(x)
        return x[np.arange(len(x)), classes]

    dA = differences(logits_behind, A)
    maps = np.zeros(A.shape[:3])
    for k in range(A.shape[3]):
        for n in range(len(A)):
            maps[n] += dA[n, :, :, k].mean() * A[n, :, :, k]
    return np.maximum(maps, 0)


def enlarged(maps, H, W):
    """Resize by Pillow, whose bilinear filter is the same where an image grows, and scale to 0…1.

    A maximum below 1e-7 is the rounding of differences that should be 0.
    """
    grown = np.stack([np.array(Image.fromarray(m.astype("f4")).resize((W, H), Image.BILINEAR)) for m in maps])
    return np.stack([m / m.max() if m.max() > 1e-7 else 0 * m for m in grown])


class TestGradCam:
    # Not after relu_1, where the maximum of a window of zeros has no derivative.
    @given(networks, st.sampled_from([None, "conv2d_1", "batchnorm_1", "maxpool2d_1", "dropout_1"]))
    def test_it_is_the_sum_of_channels_weighted_by_the_mean_difference(self, model, layer):
        images, classes = pixels(3, model.input_shape), np.array([1, 2, 0])
        names = [layer.name for layer in model.layers]
        place = names.index(layer or "dropout_2")
        expected = enlarged(numeric_cam(model, images, classes, place), *model.input_shape[:2])
        found = explain.grad_cam(model, images, classes, layer)
        assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

    def test_each_map_goes_up_to_1_and_not_below_0(self):
        maps = explain.grad_cam(network(), pixels(20))
        assert maps.min() == 0
        assert_array_equal(maps.max(axis=(1, 2)), np.ones(20))

    def test_where_nothing_supports_the_class_the_map_is_zero(self):
        model = network()
        model.layers[-1].params["W"][:, 1] = 0
        assert_array_equal(explain.grad_cam(model, pixels(), np.ones(4, int)), np.zeros((4, 7, 5)))

    def test_terms_that_cancel_up_to_rounding_give_zeros(self):
        model = Sequential([L.Conv2D(3, 1), L.GlobalAvgPool2D(), L.Dense(2)], (4, 4, 1))
        model.layers[0].params["W"][:] = 1  # the three channels are the same
        model.layers[2].params["W"][:, 0] = 3, 7, -10
        images = pixels(2, (4, 4, 1))
        assert (3 * images + 7 * images - 10 * images).any()
        assert_array_equal(explain.grad_cam(model, images, np.zeros(2, int)), np.zeros((2, 4, 4)))

    def test_the_last_layer_with_more_than_one_pixel_is_the_default(self):
        layers = [L.Conv2D(2, 3), L.ReLU(), L.MaxPool2D((5, 3)), L.BatchNorm(), L.Flatten(), L.Dense(2)]
        model = Sequential(layers, SHAPE, dtype="float64")
        assert model.layers[2].output_shape == (1, 1, 2)
        by_default = explain.grad_cam(model, pixels())
        assert by_default.max() == 1
        assert_array_equal(by_default, explain.grad_cam(model, pixels(), layer="relu_1"))

    def test_the_output_of_dropout_is_its_input(self):
        model = network()
        expected = explain.grad_cam(model, pixels(), layer="maxpool2d_1")
        assert_array_equal(explain.grad_cam(model, pixels(), layer="dropout_1"), expected)

    @pytest.mark.parametrize("layer", ["flatten_1", "dense_1", "batchnorm_2", "dropout_3", "dense_2"])
    def test_a_layer_whose_output_is_not_an_image_is_rejected(self, layer):
        with pytest.raises(ConfigError, match=f"needs a layer whose output is an image.*'{layer}'"):
            explain.grad_cam(network(), pixels(), layer=layer)

    def test_an_unknown_layer_is_rejected(self):
        with pytest.raises(ConfigError, match="no layer 'conv'"):
            explain.grad_cam(network(), pixels(), layer="conv")

    def test_a_model_without_an_image_inside_is_rejected(self):
        with pytest.raises(MiniCNNError, match="more than one pixel: there is none"):
            explain.grad_cam(Sequential([L.Flatten(), L.Dense(2)], SHAPE), pixels())
