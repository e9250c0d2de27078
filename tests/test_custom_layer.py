"""A layer that the library has never seen does everything that the library's own layers do."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minicnn as mc
from minicnn import explain, gradcheck, plots
from minicnn import layers as L
from minicnn.backend import array_module
from minicnn.data import Dataset
from minicnn.engine import make_engine
from minicnn.errors import ConfigError, DTypeError, ModelFileError, ShapeError
from tests.strategies import normal

SHAPE, CLASSES, N = (8, 7, 2), 3, 30


class PReLU(L.Layer):
    """y = x where x > 0, else a·x, with a trained for each channel (He et al. 2015, section 2.1)."""

    decayed = ()

    def __init__(self, initial=0.25):
        super().__init__()
        self.initial = initial

    def param_shapes(self, input_shape):
        return {"a": input_shape[-1:]}

    def _build(self, input_shape, rng):
        self.params = {"a": np.full(input_shape[-1:], self.initial, self.dtype)}

    def forward(self, x, training=False):
        self._check(x)
        if training:
            self._save_for_backward(x, x)
        return array_module(x).where(x > 0, x, self.params["a"] * x)

    def backward(self, dy, need_dx=True):
        x = self._saved(dy)
        where = array_module(dy).where
        self.grads["a"] = where(x > 0, 0, x * dy).reshape(-1, x.shape[-1]).sum(axis=0)
        return where(x > 0, dy, self.params["a"] * dy) if need_dx else None


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(L, "registry", dict(L.registry))
    return L.register(PReLU)


def network(dtype="float32", seed=0):
    layers = [
        L.Conv2D(4, 3, padding="same"),
        PReLU(0.1),
        L.MaxPool2D(2),
        L.BatchNorm(),
        PReLU(),
        L.Flatten(),
        L.Dense(CLASSES),
    ]
    return mc.Sequential(layers, SHAPE, seed, dtype)


def data():
    rng = np.random.default_rng(0)
    labels = np.arange(N) % CLASSES
    images = rng.integers(0, 80, (N, *SHAPE), np.uint8)
    images[np.arange(N), labels * 2] += 150  # a bright row tells the class
    return Dataset(images, labels)


def trained(engine="auto"):
    trainer = mc.Trainer(network(), mc.optimizers.SGD(0.05, 0.9, weight_decay=1e-3), engine=engine)
    trainer.fit(data(), epochs=8, batch_size=10, progress=False)
    return trainer


@pytest.mark.parametrize("engine", ["layerwise", "fused"])
def test_it_trains_and_predicts(engine):
    trainer = trained(engine)
    assert trainer.history["loss"][-1] < 0.5 * trainer.history["loss"][0]
    assert trainer.evaluate(data()).accuracy > 0.9
    assert (trainer.model.layers[1].params["a"] != np.float32(0.1)).any()
    model, images = trainer.model, data().images
    expected = model.forward(model.preprocess(images))
    assert_allclose(model.logits(images), expected, rtol=1e-4, atol=1e-5)


def test_the_engines_take_the_same_steps():
    engines = [
        make_engine(name, network(), mc.SoftmaxCrossEntropy(), mc.optimizers.AdamW(0.01, weight_decay=0.1))
        for name in ("layerwise", "fused")
    ]
    for _ in range(3):
        losses = [engine.train_step(data().images, data().labels).loss for engine in engines]
        assert_allclose(*losses, rtol=1e-5)


def test_its_parameters_decay_only_if_it_says_so(monkeypatch):
    sgd = mc.optimizers.SGD(0.1, weight_decay=0.5)
    assert sgd.decay_of(PReLU(), "a") == 0
    monkeypatch.setattr(PReLU, "decayed", ("a",))
    assert sgd.decay_of(PReLU(), "a") == 0.5


def test_once_registered_it_is_saved_and_loaded(registered, tmp_path):
    path, model = tmp_path / "model.safetensors", trained().model
    model.save(path)
    loaded = mc.load(path)
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    assert loaded.layers[1].initial == 0.1
    assert_array_equal(loaded.logits(data().images), model.logits(data().images))


def test_a_file_never_names_code(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    with pytest.raises(ConfigError, match=r"'PReLU' is not a registered layer.*layers\.register\(PReLU\)"):
        network().save(path)
    with monkeypatch.context() as patch:
        patch.setattr(L, "registry", L.registry | {"PReLU": PReLU})
        network().save(path)
    with pytest.raises(ModelFileError, match=r"'PReLU' is not a registered layer: .* call layers\.register"):
        mc.load(path)


def test_another_class_cannot_take_a_registered_name(registered):
    assert L.register(PReLU) is PReLU
    with pytest.raises(ConfigError, match=r"another layer is registered as 'ReLU'"):
        L.register(type("ReLU", (L.Layer,), {}))
    for other in (L.Layer, PReLU(), int, "PReLU"):
        with pytest.raises(ConfigError, match="expected a subclass of Layer"):
            L.register(other)


def test_its_gradients_are_checked(registered):
    assert all(result.ok for result in gradcheck.check_layer(PReLU(0.3), (4, 3, 2)))
    assert ("PReLU", (4, 3, 2)) in [(name, shape) for name, _, shape in gradcheck.standard_layers()]
    x, labels = normal(1, (5, *SHAPE), "float64"), np.arange(5) % CLASSES
    assert all(result.ok for result in gradcheck.check_model(network("float64"), x, labels))


def test_it_is_drawn():
    figure = plots.model_graph(network())
    texts = " ".join(text.get_text() for text in figure.findobj(match=lambda a: hasattr(a, "get_text")))
    assert "PReLU" in texts or "prelu_1" in texts
    assert "prelu_2" in network().summary_table()


def test_a_model_with_it_is_explained():
    model, images = trained().model, data().images[:4]
    assert explain.feature_maps(model, images, "prelu_1").shape == (4, *SHAPE[:2], 4)
    assert_allclose(explain.features(model, images).shape, (4, 4 * 3 * 4))
    labels = data().labels[:4]
    for maps in (explain.saliency(model, images, labels), explain.grad_cam(model, images, labels)):
        assert maps.shape == (4, *SHAPE[:2])
        assert np.isfinite(maps).all()
        assert maps.max() > 0


@pytest.mark.parametrize("method", ["forward", "backward"])
@pytest.mark.parametrize("engine", ["layerwise", "fused"])
def test_training_with_a_method_that_returns_no_array_is_an_error(engine, method, monkeypatch):
    monkeypatch.setattr(PReLU, method, lambda self, *args, **options: None)
    with pytest.raises(DTypeError, match="NoneType"):
        trained(engine)


def test_predicting_with_a_forward_that_returns_no_array_is_an_error(monkeypatch):
    monkeypatch.setattr(PReLU, "forward", lambda self, x, training: x.tolist())
    with pytest.raises(DTypeError, match=r"'prelu_1': expected an output .* got builtins\.list"):
        network().predict(data().images)


def test_a_constructor_that_forgets_the_base_class_is_an_error(monkeypatch):
    monkeypatch.setattr(PReLU, "__init__", lambda self: None)
    with pytest.raises(ConfigError, match=r"PReLU.__init__ must first call super\(\).__init__\(\)"):
        mc.Sequential([PReLU()], SHAPE)


@pytest.mark.parametrize(
    ("method", "result", "message"),
    [
        ("param_shapes", {}, r"prelu_1\.a is \(4,\) float32, but .* declare no such array"),
        ("param_shapes", {"a": (2,)}, r"prelu_1\.a is \(4,\) float32, but .* declare \(2,\) float32"),
        ("state_shapes", {"mean": (4,)}, r"prelu_1\.mean is missing, but .* declare \(4,\) float32"),
    ],
)
def test_a_model_whose_layers_declare_other_arrays_is_not_saved(
    registered, tmp_path, monkeypatch, method, result, message
):
    model = network()
    monkeypatch.setattr(PReLU, method, lambda self, input_shape: result)
    with pytest.raises(ConfigError, match=message):
        model.save(tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()


def test_a_parameter_may_be_a_single_number(registered, tmp_path, monkeypatch):
    monkeypatch.setattr(PReLU, "param_shapes", lambda self, input_shape: {"a": ()})
    monkeypatch.setattr(
        PReLU, "_build", lambda self, *_: self.params.update(a=np.array(self.initial, self.dtype))
    )
    model = network()
    model.save(tmp_path / "model.safetensors")
    loaded = mc.load(tmp_path / "model.safetensors")
    assert_array_equal(loaded.predict(data().images), model.predict(data().images))


def test_an_output_of_another_shape_than_declared_is_named_by_the_gradient_check(monkeypatch):
    monkeypatch.setattr(PReLU, "compute_output_shape", lambda self, input_shape: input_shape[:-1])
    with pytest.raises(ShapeError, match="expected an output of shape"):
        gradcheck.check_layer(PReLU(), (4, 3, 2))
