"""`gradcheck`: correct layers pass, and each kind of mistake is found."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicnn import Sequential, SoftmaxCrossEntropy, gradcheck, ops
from minicnn import layers as L
from minicnn.engine.cpu.blocks import ConvBlock
from minicnn.engine.cpu.kernels import update
from minicnn.errors import ConfigError, DTypeError, ShapeError, StateError

STANDARD = list(gradcheck.standard_layers())


def wrong(results):
    """Return the results that are not ok, by name."""
    return {r.name: r for r in results if not r.ok}


@pytest.mark.parametrize("kernel_set", ops.KERNELS)
@pytest.mark.parametrize(("name", "layer", "shape"), STANDARD, ids=[name for name, *_ in STANDARD])
def test_every_standard_layer_passes(name, layer, shape, kernel_set):
    with ops.use(kernel_set):
        results = gradcheck.check_layer(layer, shape)
    assert max(r.error for r in results) < 1e-6
    assert [r.name.rpartition(".")[2] for r in results] == ["x", *built(layer, shape).params]


def built(layer, shape):
    layer = copy.deepcopy(layer)
    layer.build(shape, np.random.default_rng(0))
    return layer


def test_every_layer_is_a_standard_layer():
    assert {type(layer) for _, layer, _ in STANDARD} == set(L.registry.values())


class TestRightLayers:
    def test_the_layer_is_unchanged(self):
        layer = built(L.Dense(3), (4,))
        before = layer.params["W"].copy()
        gradcheck.check_layer(layer, (5,))
        assert_array_equal(layer.params["W"], before)
        assert layer.input_shape == (4,)
        assert layer.grads == {}

    def test_running_averages_and_masks_do_not_disturb_the_check(self):
        for layer in (L.BatchNorm(momentum=0.0), L.Dropout(0.5)):
            assert not wrong(gradcheck.check_layer(layer, (3, 2, 2), batch=4))

    def test_another_seed_checks_at_another_point(self):
        first, second = (gradcheck.check_layer(L.Dense(3), (4,), seed=s)[1] for s in (0, 1))
        assert first.numeric != second.numeric

    @pytest.mark.parametrize("batch", [0, -1, 1.5])
    def test_an_unusable_batch_is_rejected(self, batch):
        with pytest.raises(ConfigError, match="batch"):
            gradcheck.check_layer(L.Dense(3), (4,), batch=batch)


class Broken:
    """A mixin for layers: ``spoil(dx, grads)`` changes the results of backward."""

    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        return self.spoil(dx, self.grads)


def breaking(kind, spoil):
    return type(kind.__name__, (Broken, kind), {"spoil": lambda self, dx, grads: spoil(dx, grads)})


def in_grads(name, change):
    """Return a mistake in one gradient of a parameter; dx stays right."""

    def spoil(dx, grads):
        grads[name] = change(grads[name])
        return dx

    return spoil


def at(index, value):
    """Return a mistake in one element."""

    def change(array):
        array = array.copy()
        array[index] = value if not callable(value) else value(array[index])
        return array

    return change


def in_dx(change):
    return lambda dx, grads: None if dx is None else change(dx)


class BatchNormWithoutMeans(L.BatchNorm):
    """As if μ and σ² did not depend on x."""

    def backward(self, dy, need_dx=True):
        _, inv_std = self._cache[1:]
        super().backward(dy)
        return self.params["gamma"] * inv_std * dy


# By mistake: the broken layer, its input shape, the result that must be wrong, and the element if it is one.
MISTAKES = {
    "axes of dW swapped": (
        breaking(L.Conv2D, in_grads("W", lambda g: g.swapaxes(0, 1)))(3, 3, padding="same"),
        (5, 4, 2),
        "conv2d.W",
        None,
    ),
    "channels of dW swapped": (
        breaking(L.Conv2D, in_grads("W", lambda g: g.swapaxes(2, 3)))(2, 3),
        (5, 4, 2),
        "conv2d.W",
        None,
    ),
    "a square dW transposed": (
        breaking(L.Dense, in_grads("W", lambda g: g.T))(4),
        (4,),
        "dense.W",
        None,
    ),
    "height and width of dx swapped": (
        breaking(L.MaxPool2D, in_dx(lambda dx: dx.swapaxes(1, 2)))(2),
        (4, 4, 2),
        "maxpool2d.x",
        None,
    ),
    "a missing term": (BatchNormWithoutMeans(), (4, 3, 2), "batchnormwithoutmeans.x", None),
    "dgamma twice": (
        breaking(L.BatchNorm, in_grads("gamma", lambda g: 2 * g))(),
        (6,),
        "batchnorm.gamma",
        None,
    ),
    "db divided by the batch": (
        breaking(L.Dense, in_grads("b", lambda g: g / 3))(4),
        (5,),
        "dense.b",
        None,
    ),
    "a wrong sign": (breaking(L.LeakyReLU, in_dx(np.negative))(0.1), (4, 3, 2), "leakyrelu.x", None),
    "a ReLU that lets everything pass": (
        type("ReLU", (L.ReLU,), {"backward": lambda self, dy, need_dx=True: dy * (self._saved(dy) > -1)})(),
        (4, 3, 2),
        "relu.x",
        None,
    ),
    "one element of dx": (
        breaking(L.Flatten, in_dx(at((1, 2, 0, 1), lambda v: v + 0.01)))(),
        (3, 2, 2),
        "flatten.x",
        (1, 2, 0, 1),
    ),
    "one element of dW": (
        breaking(L.Conv2D, in_grads("W", at((0, 2, 1, 0), lambda v: 1.001 * v)))(2, (2, 3)),
        (4, 5, 2),
        "conv2d.W",
        (0, 2, 1, 0),
    ),
    "a NaN": (breaking(L.Dense, in_grads("W", at((3, 1), np.nan)))(4), (5,), "dense.W", (3, 1)),
    "a NaN in dx": (breaking(L.ReLU, in_dx(at((2, 1, 0, 1), np.nan)))(), (3, 2, 2), "relu.x", (2, 1, 0, 1)),
    "an infinity": (breaking(L.Dense, in_grads("b", at((2,), np.inf)))(4), (5,), "dense.b", (2,)),
    "zeros": (breaking(L.Dense, in_grads("W", np.zeros_like))(4), (5,), "dense.W", None),
}


@pytest.mark.parametrize(("layer", "shape", "name", "index"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_found_where_it_is_and_nowhere_else(layer, shape, name, index):
    found = wrong(gradcheck.check_layer(layer, shape))
    assert list(found) == [name]
    assert index is None or found[name].index == index
    assert f"{name} " in gradcheck.table(found.values())
    assert gradcheck.table(found.values()).endswith("WRONG")


def test_the_reported_values_are_those_of_the_worst_element():
    layer = breaking(L.Dense, in_grads("W", at((3, 1), lambda v: 2 * v)))(4)
    (result,) = wrong(gradcheck.check_layer(layer, (5,))).values()
    assert result.analytic == pytest.approx(2 * result.numeric, rel=1e-6)
    assert result.error == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("change", [lambda g: g.T, lambda g: g.sum(), lambda g: g[:1]])
def test_a_gradient_of_another_shape_raises(change):
    with pytest.raises(ShapeError, match=r"dense: the gradient of W must have its shape \(5, 4\)"):
        gradcheck.check_layer(breaking(L.Dense, in_grads("W", change))(4), (5,))


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (lambda dx, grads: (grads.pop("b"), dx)[1], "b"),
        (in_grads("W", lambda g: None), "W"),
        (lambda dx, grads: None, "x"),
    ],
    ids=["missing", "None", "dx"],
)
def test_a_forgotten_gradient_raises(spoil, name):
    with pytest.raises(StateError, match=f"dense: backward gave no gradient of {name}"):
        gradcheck.check_layer(breaking(L.Dense, spoil)(4), (5,))


def test_a_gradient_of_an_unknown_parameter_raises():
    layer = breaking(L.Dense, lambda dx, grads: (grads.update(c=dx), dx)[1])(4)
    with pytest.raises(StateError, match="dense: gradients of c, which are not parameters"):
        gradcheck.check_layer(layer, (5,))


@pytest.mark.parametrize("spoil", [in_grads("W", np.float32), in_dx(np.float32)], ids=["W", "dx"])
def test_a_gradient_in_float32_raises(spoil):
    with pytest.raises(DTypeError, match=r"dense: the gradient of (W|x) must be float64, got float32"):
        gradcheck.check_layer(breaking(L.Dense, spoil)(4), (5,))


def test_gradients_that_are_added_to_the_old_ones_are_caught():
    class Accumulating(L.Dense):
        def backward(self, dy, need_dx=True):
            old = dict(self.grads)
            dx = super().backward(dy, need_dx)
            self.grads = {name: g + old.get(name, 0) for name, g in self.grads.items()}
            return dx

    assert set(wrong(gradcheck.check_layer(Accumulating(4), (5,)))) == {"accumulating.W", "accumulating.b"}


def test_a_gradient_that_is_forgotten_only_with_dx_is_caught():
    class Forgetful(L.Dense):
        def backward(self, dy, need_dx=True):
            old = dict(self.grads)
            dx = super().backward(dy, need_dx)
            if need_dx:
                self.grads["b"] = old["b"]
            return dx

    assert list(wrong(gradcheck.check_layer(Forgetful(4), (5,)))) == ["forgetful.b"]


@pytest.mark.parametrize("factor", [2, np.nan])
@pytest.mark.parametrize("when", [True, False])
def test_a_gradient_that_is_wrong_only_with_or_only_without_dx_is_caught(when, factor):
    class Sometimes(L.Dense):
        def backward(self, dy, need_dx=True):
            dx = super().backward(dy, need_dx)
            if need_dx == when:
                self.grads["W"] = factor * self.grads["W"]
            return dx

    (result,) = wrong(gradcheck.check_layer(Sometimes(4), (5,))).values()
    assert result.name == "sometimes.W"
    assert result.error == pytest.approx(1 - 1 / factor, nan_ok=True)  # the worse of the two is reported


@pytest.mark.parametrize("victim", ["x", "dy"])
def test_a_layer_that_writes_into_its_argument_raises(victim):
    class Writing(L.ReLU):
        def forward(self, x, training=False):
            y = super().forward(x, training)
            if victim == "x":
                x[0, 0] = 7
            return y

        def backward(self, dy, need_dx=True):
            dx = super().backward(dy, need_dx)
            if victim == "dy":
                dy[0, 0] = 7
            return dx

    with pytest.raises(StateError, match=f"writing: forward or backward wrote into {victim};"):
        gradcheck.check_layer(Writing(), (5,))


@pytest.mark.parametrize(("error", "ok"), [(0.0, True), (9e-7, True), (1e-6, False), (np.nan, False)])
def test_an_error_below_one_in_a_million_is_ok(error, ok):
    assert gradcheck.Result("dense.W", error, (0, 0), 1.0, 1.0).ok == ok


class TestLoss:
    def test_labels_probabilities_and_smoothing_pass(self):
        labels, p = np.array([0, 2, 1]), np.full((3, 4), 0.25)
        for loss in (SoftmaxCrossEntropy(), SoftmaxCrossEntropy(label_smoothing=0.1)):
            assert not wrong(gradcheck.check_loss(loss, labels, 4) + gradcheck.check_loss(loss, p, 4))

    def test_a_mean_that_was_forgotten_is_caught(self):
        class Summed(SoftmaxCrossEntropy):
            def backward(self):
                return 3 * super().backward()

        assert list(wrong(gradcheck.check_loss(Summed(), np.array([0, 2, 1]), 4))) == ["summed.logits"]


def model(last=None, dtype="float64", seed=0):
    layers = [L.Conv2D(2, 3, padding="same", use_bias=False), L.BatchNorm(), L.ReLU(), L.MaxPool2D(2)]
    layers += [L.Flatten(), L.Dropout(0.3), last or L.Dense(3)]
    return Sequential(layers, (6, 5, 1), seed=seed, dtype=dtype)


X = np.random.default_rng(0).standard_normal((4, 6, 5, 1))
LABELS = np.array([0, 2, 1, 1])


class TestModel:
    def test_a_correct_model_passes_and_is_unchanged(self):
        checked, x = model(), X.copy()
        x.setflags(write=False)
        before = {name: array.copy() for name, array in checked.arrays().items()}
        results = gradcheck.check_model(checked, x, LABELS)
        assert [r.name for r in results] == [
            *("model.x", "model.conv2d_1.W", "model.batchnorm_1.gamma", "model.batchnorm_1.beta"),
            *("model.dense_1.W", "model.dense_1.b"),
        ]
        assert max(r.error for r in results) < 1e-6
        assert_array_equal(x, X)
        for name, array in checked.arrays().items():
            assert_array_equal(array, before[name], name)

    @pytest.mark.parametrize("elements", [200, 5])
    def test_a_wrong_layer_inside_is_named(self, elements):
        last = breaking(L.Dense, in_grads("W", lambda g: 1.01 * g))(3)
        found = wrong(gradcheck.check_model(model(last), X, LABELS, elements=elements))
        assert list(found) == ["model.dense_1.W"]
        assert (found["model.dense_1.W"].index is None) == (elements == 5)

    def test_a_wrong_dx_is_seen_in_everything_below_it(self):
        last = breaking(L.Dense, in_dx(np.negative))(3)
        found = wrong(gradcheck.check_model(model(last), X, LABELS))
        assert "model.conv2d_1.W" in found
        assert "model.x" in found
        assert "model.dense_1.W" not in found

    def test_large_arrays_are_checked_along_a_direction(self):
        results = {r.name: r for r in gradcheck.check_model(model(), X, LABELS, elements=20)}
        assert results["model.x"].index is None
        assert "direction" in gradcheck.table([results["model.x"]])
        assert results["model.dense_1.b"].index is not None

    def test_float32_is_rejected(self):
        with pytest.raises(ConfigError, match='dtype="float64"'):
            gradcheck.check_model(model(dtype="float32"), X.astype(np.float32), LABELS)

    def test_float32_input_is_rejected(self):
        with pytest.raises(DTypeError, match="float64"):
            gradcheck.check_model(model(), X.astype(np.float32), LABELS)


class TestAll:
    def test_everything_passes_with_another_seed_too(self):
        results = gradcheck.check_all(seed=3)
        assert not wrong(results)
        assert {r.name.partition(".")[0] for r in results} == {
            *(name for name, *_ in STANDARD),
            *("softmaxcrossentropy", "model"),
        }

    @pytest.mark.parametrize("seed", [-1, 0.5])
    def test_an_unusable_seed_is_rejected(self, seed):
        with pytest.raises(ConfigError, match="seed"):
            gradcheck.check_all(seed)


class TestEngine:
    """`check_engine`, on a few of the layers: the command line runs it on all."""

    @pytest.fixture(autouse=True)
    def few_layers(self, monkeypatch):
        few = {"Conv2D, dilated and strided", "MaxPool2D, 2×2", "Dense", "Dropout", "BatchNorm, images"}
        monkeypatch.setattr(
            gradcheck, "standard_layers", lambda: [case for case in STANDARD if case[0] in few]
        )

    def test_the_fused_engine_passes(self):
        results = gradcheck.check_engine("fused", seed=1)
        assert len(results) == 2 * 5
        assert not wrong(results)
        assert max(r.error for r in results) < 1e-4

    def test_a_gradient_that_is_a_little_off_is_caught(self, monkeypatch):
        gradients = ConvBlock.gradients

        def off(block, part, parts, N):
            for piece in gradients(block, part, parts, N):
                block.dW *= 1.001 if piece.name == "W" else 1
                yield piece

        monkeypatch.setattr(ConvBlock, "gradients", off)
        found = wrong(gradcheck.check_engine("fused"))
        assert found
        assert all(".W" in name and "updated" not in name for name in found)

    @pytest.mark.parametrize("loop", ["sgd", "adam"])
    def test_an_update_that_is_a_little_off_is_caught(self, loop, monkeypatch):
        right = getattr(update, loop)

        def a_little_off(*arguments):
            *before, numbers, decay, clip = arguments
            numbers = numbers._replace(learning_rate=1.001 * numbers.learning_rate)
            right(*before, numbers, decay, clip)

        monkeypatch.setattr(update, loop, a_little_off)
        found = wrong(gradcheck.check_engine("fused"))
        assert len(found) == 5
        assert all("updated" in name for name in found)


def test_the_table_lines_up():
    results = [
        gradcheck.Result("dense.W", 1.5e-9, (0, 12), -0.25, -0.25),
        gradcheck.Result("conv.b", float("nan"), None, float("nan"), 1.0),
    ]
    assert gradcheck.table(results) == (
        "gradient  worst error  at         analytic   numeric\n"
        "dense.W   1.5e-09      (0, 12)    -0.250000  -0.250000  ok\n"
        "conv.b    nan          direction  +nan       +1.000000  WRONG"
    )
