"""`Sequential`: sizes, names, the passes through the layers, and predictions in batches."""

import io
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minicnn as mc
from minicnn import layers as L
from minicnn.errors import (
    ConfigError,
    DataError,
    DeviceError,
    DTypeError,
    NonFiniteError,
    ShapeError,
    StateError,
)
from minicnn.ops import cpu

SHAPE = (8, 7, 1)


def net(seed=0, dtype="float32", **arguments):
    """Return a small model of every common kind of layer, (8, 7, 1) → 3 logits."""
    return mc.Sequential(
        [
            L.Conv2D(2, 3, padding="same"),
            L.BatchNorm(),
            L.ReLU(),
            L.MaxPool2D(2),
            L.Conv2D(3, (2, 3)),
            L.ReLU(),
            L.Flatten(),
            L.Dense(3),
        ],
        input_shape=SHAPE,
        seed=seed,
        dtype=dtype,
        **arguments,
    )


def images(n, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


def network_input(n, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal((n, *SHAPE)).astype(dtype)


class TestBuilding:
    def test_every_layer_gets_its_input_shape_from_the_one_before(self):
        model = net()
        shapes = [layer.output_shape for layer in model.layers]
        assert shapes == [(8, 7, 2), (8, 7, 2), (8, 7, 2), (4, 3, 2), (3, 1, 3), (3, 1, 3), (9,), (3,)]
        assert model.output_shape == (3,)
        assert model.layers[4].params["W"].shape == (2, 3, 2, 3)

    def test_layers_of_a_kind_are_numbered(self):
        names = " ".join(layer.name for layer in net().layers)
        assert names == "conv2d_1 batchnorm_1 relu_1 maxpool2d_1 conv2d_2 relu_2 flatten_1 dense_1"

    def test_num_params_excludes_running_averages(self):
        # 3·3·1·2 + 2, 2 + 2, 2·3·2·3 + 3, 9·3 + 3
        assert net().num_params == 20 + 4 + 39 + 30

    def test_only_the_same_seed_gives_the_same_weights(self):
        first, again, other = net(seed=5), net(seed=5), net(seed=6)
        for name, array in first.arrays().items():
            assert_array_equal(array, again.arrays()[name], name)
        for name in ("conv2d_1.W", "conv2d_2.W", "dense_1.W"):
            assert not np.array_equal(first.arrays()[name], other.arrays()[name]), name

    def test_float64_draws_the_weights_of_float32(self):
        single, double = net().arrays(), net(dtype="float64").arrays()
        for name, array in double.items():
            assert (array.dtype, single[name].dtype) == (np.float64, np.float32), name
            assert_array_equal(array.astype(np.float32), single[name], name)

    def test_a_seed_gives_the_same_dropout_masks(self):
        x = network_input(2)
        first, again, other = (mc.Sequential([L.Dropout(0.5)], SHAPE, seed=s) for s in (1, 1, 2))
        y = first.forward(x, training=True)
        assert_array_equal(y, again.forward(x, training=True))
        assert not np.array_equal(y, other.forward(x, training=True))

    @pytest.mark.parametrize(
        ("layers", "message"),
        [
            ([], "at least one layer"),
            (L.Dense(3), "must be a list"),
            (None, "must be a list"),
            ([L.Flatten(), L.Dense], r"write ReLU\(\)"),
            ([3], "expected layers, got 3"),
        ],
    )
    def test_invalid_layers_are_rejected(self, layers, message):
        with pytest.raises(ConfigError, match=message):
            mc.Sequential(layers, SHAPE)

    def test_a_layer_object_may_not_appear_twice(self):
        relu = L.ReLU()
        with pytest.raises(ConfigError, match="appears twice"):
            mc.Sequential([relu, L.Flatten(), relu], SHAPE)

    def test_a_layer_of_another_model_is_rejected_and_that_model_is_unchanged(self):
        first = net()
        before, x = {name: array.copy() for name, array in first.arrays().items()}, images(3)
        logits = first.logits(x)
        with pytest.raises(ConfigError, match="layer 'dense_1' already belongs to a model"):
            mc.Sequential([L.Flatten(), L.Dense(2), first.layers[-1]], SHAPE)
        assert first.arrays().keys() == before.keys()
        for name, array in first.arrays().items():
            assert_array_equal(array, before[name], name)
        assert_array_equal(first.logits(x), logits)

    def test_layers_of_an_invalid_model_can_be_used_again(self):
        dense = L.Dense(3)
        with pytest.raises(ShapeError):
            mc.Sequential([dense], SHAPE)
        assert mc.Sequential([L.Flatten(), dense], SHAPE).output_shape == (3,)

    @pytest.mark.parametrize("shape", [(), 28, None, (8, 0, 1), (8, -7, 1), (8, 7.5, 1), ("8", 7, 1)])
    def test_an_unusable_input_shape_is_rejected(self, shape):
        with pytest.raises(ConfigError, match="input_shape"):
            mc.Sequential([L.ReLU()], shape)

    @pytest.mark.parametrize(
        ("layers", "shape"),
        [
            ([L.Dense(2**31 - 1)], (2**31 - 1,)),
            ([L.Flatten(), L.Dense(2)], (2**31 - 1,) * 9),
            ([L.ReLU()], (2**31 - 1,) * 5),
            ([L.Conv2D(1, 2**31 - 1, padding="same")], (28, 28, 1)),
            ([L.Conv2D(1, 1, padding=2**31 - 1)], (28, 28, 1)),
            ([L.Conv2D(1, 1, padding=2**31 - 1, strides=2**31 - 1)], (28, 28, 1)),
            ([L.Conv2D(2**31 - 1, 3)], (28, 28, 2**31 - 1)),
            ([L.BatchNorm()], (2**31 - 1,) * 3),
            ([L.GlobalAvgPool2D(), L.Dense(2**31 - 1)], (28, 28, 2**31 - 1)),
        ],
        ids=str,
    )
    def test_impossible_sizes_are_rejected_with_the_size(self, layers, shape):
        with pytest.raises(ConfigError, match=r"layer '\w+' on an input of .* TiB .*: make the layer"):
            mc.Sequential(layers, shape)

    def test_running_out_of_memory_names_the_layer(self, monkeypatch):
        def full(*_):
            raise MemoryError

        monkeypatch.setattr(L.Dense, "_build", full)
        with pytest.raises(
            ConfigError, match=r"'dense_1' on an input of \(9,\) needs 120 bytes for its param"
        ):
            net()

    @pytest.mark.parametrize("dtype", ["float16", "int32", "double precision", None])
    def test_an_unusable_dtype_is_rejected(self, dtype):
        with pytest.raises(ConfigError, match="dtype must be"):
            mc.Sequential([L.ReLU()], SHAPE, dtype=dtype)

    @pytest.mark.parametrize("seed", [-1, 1.5, "lucky", None])
    def test_an_unusable_seed_is_rejected(self, seed):
        with pytest.raises(ConfigError, match="seed"):
            mc.Sequential([L.ReLU()], SHAPE, seed=seed)

    def test_unusable_preprocessing_is_rejected(self):
        with pytest.raises(ConfigError, match=r"preprocessing must be Scale\(\)"):
            mc.Sequential([L.ReLU()], SHAPE, preprocessing=(0.5, 0.2))

    @pytest.mark.parametrize(
        ("layers", "name"),
        [
            ([L.Dense(3)], "dense_1"),
            ([L.Flatten(), L.Conv2D(2, 3, padding="same")], "conv2d_1"),
            ([L.Flatten(), L.MaxPool2D(2, padding="same")], "maxpool2d_1"),
            ([L.ReLU(), L.Conv2D(2, (3, 9))], "conv2d_1"),
            ([L.MaxPool2D(4), L.AvgPool2D(2)], "avgpool2d_1"),
        ],
    )
    def test_a_layer_that_does_not_fit_is_named(self, layers, name):
        with pytest.raises(ShapeError, match=name):
            mc.Sequential(layers, SHAPE)


class TestClassNames:
    def test_names_are_stored_as_text(self):
        assert net(class_names=["a", "b", 3]).class_names == ("a", "b", "3")
        assert net().class_names is None

    @pytest.mark.parametrize("names", [["a", "b"], list("abcd"), []])
    def test_a_wrong_number_of_names_is_rejected(self, names):
        with pytest.raises(ConfigError, match=rf"Dense\({len(names)}\)"):
            net(class_names=names)

    @pytest.mark.parametrize("names", ["abc", 3])
    def test_invalid_class_names_are_rejected(self, names):
        with pytest.raises(ConfigError, match="class names must be a sequence"):
            net(class_names=names)

    def test_a_model_without_a_vector_output_has_no_class_names(self):
        with pytest.raises(ConfigError, match="output has shape"):
            mc.Sequential([L.ReLU()], (3, 1, 1), class_names=list("abc"))


SUMMARY = """\
layer        output shape  parameters  multiply-adds  activations
input        5 × 4 × 1
conv2d_1     3 × 3 × 2             14            108     72 bytes
relu_1       3 × 3 × 2              0              0     72 bytes
maxpool2d_1  1 × 1 × 2              0              0      8 bytes
flatten_1    2                      0              0      8 bytes
dense_1      1000               3,000          2,000      3.9 KiB
total                           3,014          2,108      4.1 KiB
"""


def test_summary_is_the_table_computed_by_hand():
    # conv: W is 3·2·1·2, b 2; 9 pixels cost 12 each. dense: W is 2·1000, b 1000.
    # Activations: 18 numbers of 4 bytes are 72, twice; 2 are 8, twice; 1000 are 4000; 4160 in all.
    layers = [L.Conv2D(2, (3, 2)), L.ReLU(), L.MaxPool2D(2), L.Flatten(), L.Dense(1000)]
    model = mc.Sequential(layers, (5, 4, 1))
    text = io.StringIO()
    model.summary(text)
    assert text.getvalue() == SUMMARY


def test_summary_goes_to_stdout_by_default_and_counts_bytes_of_the_dtype(capsys):
    mc.Sequential([L.Dense(1024)], (2,), dtype="float64").summary()
    assert "8.0 KiB" in capsys.readouterr().out


@pytest.mark.parametrize(("units", "size"), [(10, "40 bytes"), (255, "1020 bytes"), (256, "1.0 KiB")])
def test_summary_prints_less_than_a_kib_in_bytes(capsys, units, size):
    mc.Sequential([L.Dense(units)], (2,)).summary()
    assert capsys.readouterr().out.splitlines()[2].endswith(f"  {size}")


def test_repr_shows_the_architecture():
    assert repr(mc.Sequential([L.Flatten(), L.Dense(2)], (2, 2, 1))) == (
        "Sequential([Flatten(), Dense(units=2, use_bias=True, kernel_initializer='he_normal')], "
        "input_shape=(2, 2, 1))"
    )


class TestPasses:
    def test_forward_and_backward_are_the_layers_called_by_hand(self):
        model, by_hand = net(dtype="float64"), net(dtype="float64")
        x, dy = network_input(4, "float64"), np.random.default_rng(1).standard_normal((4, 3))
        y = model.forward(x, training=True)
        dx = model.backward(dy, need_dx=True)

        h = x
        for layer in by_hand.layers:
            h = layer.forward(h, training=True)
        assert_array_equal(y, h)
        g = dy
        for layer in reversed(by_hand.layers):
            g = layer.backward(g)
        assert_array_equal(dx, g)
        for layer, other in zip(model.layers, by_hand.layers, strict=True):
            assert layer.grads.keys() == other.grads.keys() == layer.params.keys()
            for name, gradient in layer.grads.items():
                assert_array_equal(gradient, other.grads[name], f"{layer.name}.{name}")

    def test_need_dx_does_not_change_the_parameters_gradients(self):
        model, x, dy = net(), network_input(4), np.ones((4, 3), np.float32)
        results = []
        for need_dx in (True, False):
            model.forward(x, training=True)
            dx = model.backward(dy, need_dx=need_dx)
            assert (dx is not None) == need_dx
            results.append(
                {f"{layer.name}.{name}": g for layer in model.layers for name, g in layer.grads.items()}
            )
        for name, gradient in results[0].items():
            assert_array_equal(gradient, results[1][name], name)

    @pytest.mark.parametrize(("need_dx", "calls"), [(False, 1), (True, 2)])
    def test_the_first_layer_does_no_work_for_dx_unless_asked(self, monkeypatch, need_dx, calls):
        seen = []

        def spy(dcols, x_shape, *window, col2im=cpu.col2im):
            seen.append(x_shape)
            return col2im(dcols, x_shape, *window)

        monkeypatch.setattr(cpu, "col2im", spy)
        model = net()
        model.forward(network_input(4), training=True)
        model.backward(np.ones((4, 3), np.float32), need_dx=need_dx)
        assert len(seen) == calls  # one convolution above the first, and the first

    def test_layers_below_the_first_trained_one_are_freed_and_not_run(self, monkeypatch):
        model = mc.Sequential([L.ReLU(), L.MaxPool2D(2), L.Flatten(), L.Dense(3)], SHAPE)
        below = model.layers[:3]
        model.forward(network_input(2), training=True)
        for layer in below:
            monkeypatch.setattr(layer, "backward", None)  # calling it would raise TypeError
        assert model.backward(np.ones((2, 3), np.float32), need_dx=False) is None
        monkeypatch.undo()
        for layer in below:
            with pytest.raises(StateError, match=layer.name):
                layer.backward(np.ones((2, *layer.output_shape), np.float32))

    def test_a_model_without_parameters_has_a_backward(self):
        model = mc.Sequential([L.ReLU()], SHAPE)
        x = network_input(2)
        model.forward(x, training=True)
        assert model.backward(x, need_dx=False) is None
        model.forward(x, training=True)
        assert_array_equal(model.backward(x), np.maximum(x, 0))

    def test_forward_without_training_saves_nothing(self):
        model = net()
        model.forward(network_input(2))
        with pytest.raises(StateError, match="dense_1"):
            model.backward(np.ones((2, 3), np.float32))

    def test_backward_twice_is_rejected(self):
        model = net()
        model.forward(network_input(2), training=True)
        model.backward(np.ones((2, 3), np.float32))
        with pytest.raises(StateError, match="without a forward"):
            model.backward(np.ones((2, 3), np.float32))


class TestPredicting:
    def test_the_batch_size_does_not_change_the_result(self):
        model, x = net(), images(11)
        whole = model.logits(x, batch_size=11)
        assert whole.shape == (11, 3)
        assert_allclose(model.logits(x, batch_size=4), whole, rtol=0, atol=1e-5 * np.abs(whole).max())
        assert_array_equal(model.predict(x, batch_size=4), whole.argmax(axis=1))
        assert_allclose(model.predict_proba(x, batch_size=4), model.predict_proba(x, 11), rtol=0, atol=1e-6)

    def test_probabilities_are_the_softmax_of_the_logits(self):
        model, x = net(dtype="float64"), images(5)
        e = np.exp(model.logits(x))
        p = model.predict_proba(x)
        assert_allclose(p, e / e.sum(axis=1, keepdims=True), rtol=1e-12)
        assert_array_equal(model.predict(x), p.argmax(axis=1))
        assert model.predict(x).dtype == np.int64

    def test_memory_is_constant_no_batch_is_larger_than_asked(self, monkeypatch):
        model, sizes = net(dtype="float64"), []  # in float32 the layers are not called
        first = model.layers[0]

        def spy(x, training=False, forward=first.forward):
            sizes.append((len(x), training))
            return forward(x, training)

        monkeypatch.setattr(first, "forward", spy)
        model.predict(images(10), batch_size=4)
        assert sizes == [(4, False), (4, False), (2, False)]

    def test_the_preprocessing_is_applied(self):
        plain, scaled = net(), net(preprocessing=mc.Standardize(0.25, 0.5))
        x = images(3)
        expected = plain.forward(((x / 255 - 0.25) / 0.5).astype(np.float32))
        assert_allclose(scaled.logits(x), expected, rtol=1e-4, atol=1e-5)

    def test_running_averages_stay(self):
        model = net()
        before = {name: array.copy() for name, array in model.arrays().items()}
        model.predict(images(3))
        for name, array in model.arrays().items():
            assert_array_equal(array, before[name], name)

    @pytest.mark.parametrize("ask", ["logits", "predict", "predict_proba"])
    @pytest.mark.parametrize("weight", [np.nan, np.inf, 3e38])
    def test_a_non_finite_output_raises_without_a_warning(self, ask, weight):
        model = net()
        model.layers[-1].params["W"][...] = weight
        with pytest.raises(NonFiniteError, match="output holds NaN or infinity"):
            getattr(model, ask)(images(2))

    @pytest.mark.parametrize("ask", ["predict", "predict_proba"])
    def test_a_model_that_is_no_classifier_does_not_classify(self, ask):
        model = mc.Sequential([L.MaxPool2D(2)], SHAPE)
        assert model.logits(images(2)).shape == (2, 4, 3, 1)
        with pytest.raises(ConfigError, match=r"output is \(4, 3, 1\): let it end in Dense"):
            getattr(model, ask)(images(2))

    @pytest.mark.parametrize("batch_size", [0, -1, 2.5])
    def test_an_unusable_batch_size_is_rejected(self, batch_size):
        with pytest.raises(ConfigError, match="batch_size"):
            net().predict(images(2), batch_size=batch_size)

    @pytest.mark.parametrize("ask", ["logits", "predict", "predict_proba"])
    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            (images(2, (7, 8, 1)), ShapeError),
            (images(2).astype(np.int64), DTypeError),
            (images(2).astype(np.float32), DataError),
            ([[1, 2]], DTypeError),
        ],
        ids=["shape", "dtype", "raw floats", "list"],
    )
    def test_images_that_do_not_fit_are_rejected(self, ask, wrong, error):
        with pytest.raises(error):
            getattr(net(), ask)(wrong)


class TestArrays:
    def test_arrays_have_parameters_and_state_by_name(self):
        assert set(net().arrays()) == {
            *("conv2d_1.W", "conv2d_1.b", "conv2d_2.W", "conv2d_2.b", "dense_1.W", "dense_1.b"),
            *("batchnorm_1.gamma", "batchnorm_1.beta"),
            *("batchnorm_1.running_mean", "batchnorm_1.running_var"),
        }

    def test_set_arrays_copies(self):
        model, other = net(seed=1), net(seed=2)
        given = other.arrays()
        model.set_arrays(given)
        for name, array in model.arrays().items():
            assert_array_equal(array, given[name], name)
            assert not np.shares_memory(array, given[name]), name


class TestMoving:
    def test_to_the_cpu_changes_nothing_and_returns_the_model(self):
        model, x = net(), images(3)
        before = model.logits(x)
        assert model.to("cpu") is model
        assert model.device == "cpu"
        assert_array_equal(model.logits(x), before)

    def test_an_unknown_device_is_rejected(self):
        with pytest.raises(ConfigError, match="unknown device 'gpu'"):
            net().to("gpu")

    def test_a_device_that_is_not_there_leaves_the_model_where_it_is(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "cupy", None)
        model = net()
        with pytest.raises(DeviceError, match="CuPy"):
            model.to("cuda")
        assert model.device == "cpu"
        assert model.predict(images(2)).shape == (2,)


def test_a_rejected_model_frees_its_layers():
    stack = [L.Flatten(), L.Dense(2)]
    with pytest.raises(ConfigError, match="1 class names"):
        mc.Sequential(stack, (3, 2, 1), class_names=["a"])
    assert mc.Sequential(stack, (3, 2, 1), class_names=["a", "b"]).class_names == ("a", "b")


@pytest.mark.parametrize(
    "spoil", [lambda arrays: arrays.pop("dense_1.b"), lambda arrays: arrays.update({"dense_1.b": np.ones(3)})]
)
def test_arrays_that_do_not_fit_replace_nothing(spoil):
    model = mc.Sequential([L.Flatten(), L.Dense(2)], (3, 2, 1))
    before = {name: array.copy() for name, array in model.arrays().items()}
    arrays = {name: array + 1 for name, array in before.items()}
    spoil(arrays)
    with pytest.raises(ShapeError, match=r"dense_1\.b of shape \(2,\)"):
        model.set_arrays(arrays)
    for name, array in model.arrays().items():
        np.testing.assert_array_equal(array, before[name])
