"""What only a GPU can show: ``pytest -m gpu``. The same code runs on the host in ``tests/engine/cuda``.

For memory errors and races: ``compute-sanitizer --tool memcheck python -m pytest -m gpu -k short``, also with
``--tool racecheck``.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import minicnn as mc
from minicnn import layers as L
from minicnn.backend import resolve_device, to_device, to_numpy
from minicnn.engine import make_engine
from minicnn.errors import DeviceError
from tests.cases import CASES, Case, names

try:
    resolve_device("cuda")
    REASON = ""
except DeviceError as reason:
    REASON = str(reason)

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(REASON), reason=REASON)]
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def model(seed=0):
    layers = [
        L.Conv2D(8, 3, padding="same", use_bias=False), L.BatchNorm(), L.ReLU(), L.MaxPool2D(2),
        L.Conv2D(40, 3), L.ReLU(), L.MaxPool2D(2), L.Conv2D(9, (2, 3), strides=(1, 2)), L.LeakyReLU(),
        L.Flatten(), L.Dense(70), L.ReLU(), L.Dense(10),
    ]  # fmt: skip
    return mc.Sequential(layers, (20, 17, 1), seed=seed)


def data(N, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (N, 20, 17, 1), np.uint8), rng.integers(0, 10, N)


def engine(device, kind, precision="fp32", optimizer=None):
    m = model().to(device)
    m.precision = precision
    return make_engine(kind, m, mc.SoftmaxCrossEntropy(), optimizer or mc.optimizers.SGD(0.02, momentum=0.9))


@pytest.mark.parametrize("parts", CASES, ids=names)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer_computes_what_it_computes_in_main_memory(parts, dtype):
    case = Case(*parts, dtype)
    here, there = case.built(), case.built()
    for arrays in (there.params, there.state):
        arrays.update({name: to_device(array, "cuda") for name, array in arrays.items()})
    y, dx = (
        there.forward(to_device(case.x, "cuda"), training=True),
        there.backward(to_device(case.dy, "cuda")),
    )
    pairs = [(y, here.forward(case.x, training=True)), (dx, here.backward(case.dy))]
    pairs += [(there.grads[name], gradient) for name, gradient in here.grads.items()]
    for got, wanted in pairs:
        assert_allclose(to_numpy(got), wanted, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("N", [1, 7, 130])
def test_short_all_gradients_are_those_of_the_layers(N):
    fast, plain = engine("cuda", "cuda_graph"), engine("cpu", "layerwise")
    images, labels = data(N)
    assert fast.train_step(images, labels).loss == pytest.approx(
        plain.train_step(images, labels).loss, rel=1e-5
    )
    for a, b in zip(fast.model.layers, plain.model.layers, strict=True):
        for name, gradient in b.grads.items():
            scale = max(abs(gradient).max(), 1e-3)
            assert_allclose(to_numpy(a.grads[name]), gradient, atol=5e-5 * scale, err_msg=f"{a.name}.{name}")


@pytest.mark.parametrize(("precision", "tolerance"), [("tf32", 3e-3), ("bf16", 3e-2)])
def test_short_the_tensor_cores_gradients_are_near(precision, tolerance):
    fast, plain = engine("cuda", "cuda_graph", precision), engine("cpu", "layerwise")
    images, labels = data(130)
    assert fast.train_step(images, labels).loss == pytest.approx(
        plain.train_step(images, labels).loss, rel=tolerance
    )
    for a, b in zip(fast.model.layers, plain.model.layers, strict=True):
        for name, gradient in b.grads.items():
            error = np.linalg.norm(to_numpy(a.grads[name]) - gradient)
            assert error <= 10 * tolerance * np.linalg.norm(gradient) + 1e-6, f"{a.name}.{name}"


@pytest.mark.parametrize("optimizer", [mc.optimizers.SGD(0.05, momentum=0.9), mc.optimizers.AdamW(0.003)])
def test_ten_steps_give_the_losses_of_the_layers(optimizer):
    import copy

    fast, plain = (
        engine(d, k, optimizer=copy.deepcopy(optimizer))
        for d, k in (("cuda", "cuda_graph"), ("cpu", "layerwise"))
    )
    for seed in range(10):
        images, labels = data(32, seed)
        assert fast.train_step(images, labels).loss == pytest.approx(
            plain.train_step(images, labels).loss, rel=1e-3
        )


def test_a_hundred_replays_are_a_hundred_steps_one_by_one():
    images, labels = data(640)
    together, apart = engine("cuda", "cuda_graph"), engine("cuda", "cuda_graph")
    for e in (together, apart):
        e.load(images, labels)
        for step in range(100):
            e.step(np.arange(32) + step * 32 % 608)
            if e is apart:
                e.finish()
        e.finish()
    for name, array in together.model.arrays().items():
        np.testing.assert_array_equal(to_numpy(array), to_numpy(apart.model.arrays()[name]), name)


def test_memory_stays_flat_over_a_thousand_steps():
    import cupy

    e = engine("cuda", "cuda_graph")
    e.load(*data(640))
    used = []
    for step in range(1000):
        e.step(np.arange(64) + step * 64 % 576)
        if step in (100, 999):
            e.finish()
            used.append(cupy.get_default_memory_pool().used_bytes())
    assert used[0] == used[1]


def test_too_little_memory_raises_and_is_given_back():
    import cupy

    e, pool = engine("cuda", "cuda_graph"), cupy.get_default_memory_pool()
    pool.set_limit(size=pool.used_bytes() + 2**20)
    try:
        with pytest.raises(DeviceError, match="too little memory"):
            e.train_step(*data(4096))
    finally:
        pool.set_limit(size=0)
    assert np.isfinite(e.train_step(*data(32)).loss)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_short_training_learns(precision):
    images, labels = data(200)
    trainer = mc.Trainer(model(), mc.optimizers.SGD(0.05, momentum=0.9), device="cuda", precision=precision)
    images[np.arange(200), labels] = 255  # a bright line shows the class
    history = trainer.fit(
        mc.data.Dataset(images, labels, tuple("0123456789")), epochs=15, batch_size=32, progress=False
    )
    assert trainer.engine.name == "cuda_graph"
    assert history["loss"][-1] < 0.5 * history["loss"][0]
