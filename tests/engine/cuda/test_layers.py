"""Layers, loss and optimizers give the same results on a GPU, without extra copies."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose

import minicnn as mc
from minicnn import layers as L
from minicnn.backend import to_device
from minicnn.engine.cuda.device import Device
from tests.cases import CASES, Case, N, names
from tests.engine.cuda import hostcupy
from tests.strategies import normal

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}


@pytest.mark.parametrize("parts", CASES, ids=names)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer_gives_equal_results_on_the_device_and_in_main_memory(parts, dtype, cupy):
    case = Case(*parts, dtype)
    here, there = case.built(), case.built()
    for arrays in (there.params, there.state):
        arrays.update({name: to_device(array, "cuda") for name, array in arrays.items()})
    x, dy = to_device(case.x, "cuda"), to_device(case.dy, "cuda")
    hostcupy.transfers.reset()
    y, dx = there.forward(x, training=True), there.backward(dy)
    prediction = there.forward(x)
    masks = 1 if isinstance(there, L.Dropout) else 0  # drawn on the CPU, so that a seed gives the same
    assert (hostcupy.transfers.to_device, hostcupy.transfers.to_host) == (masks, 0)
    expected = here.forward(case.x, training=True), here.backward(case.dy), here.forward(case.x)
    results = zip((y, dx, prediction), expected, strict=True)
    arrays = [
        (held[key], there_held[key])
        for held, there_held in ((here.grads, there.grads), (here.state, there.state))
        for key in held
    ]
    for got, wanted in [*results, *((device, host) for host, device in arrays)]:
        assert isinstance(got, hostcupy.ndarray)
        assert got.dtype == wanted.dtype
        assert_allclose(hostcupy.asnumpy(got), wanted, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_the_stand_in_rejects_what_cupy_rejects(cupy):
    x = cupy.asarray(np.ones(3))
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(x)
    for mixed in (lambda: x + np.ones(3), lambda: np.ones(3) + x, lambda: cupy.maximum(x, np.ones(3))):
        with pytest.raises(TypeError):
            mixed()


def test_the_stand_in_checks_the_types_of_a_kernels_arguments(cupy):
    kernels = Device(cupy, "fp32").compile("step", "elementwise")
    x = cupy.asarray(np.float32([-2, 3]))
    kernels.launch("leaky_relu_forward", 1, x, x, 0.5, 2)()
    assert hostcupy.asnumpy(x).tolist() == [-1, 3]
    for wrong in ((x, x, 1, 2), (x, x, 0.5, np.int64(2)), (x, x, 0.5), (x, cupy.asarray(np.ones(2)), 0.5, 2)):
        with pytest.raises(TypeError, match=r"takes \['f4\*', 'f4\*', 'f4', 'i4'\], it was launched with"):
            kernels.launch("leaky_relu_forward", 1, *wrong)()


def model():
    layers = [
        L.Conv2D(3, 3, padding="same", use_bias=False), L.BatchNorm(), L.ReLU(), L.MaxPool2D(2),
        L.Conv2D(4, (2, 2)), L.LeakyReLU(), L.AvgPool2D(2), L.Dropout(0.2), L.Flatten(), L.Dense(5), L.ReLU(),
        L.Dense(3),
    ]  # fmt: skip
    return mc.Sequential(layers, (8, 7, 1), seed=1)


OPTIMIZERS = [
    mc.optimizers.SGD(0.1), mc.optimizers.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    mc.optimizers.Adam(0.01), mc.optimizers.AdamW(0.01, weight_decay=0.1),
]  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
def test_ten_steps_on_the_device_and_in_main_memory_give_equal_losses(optimizer, cupy):
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 7, 1), np.uint8)
    labels = np.arange(6) % 3
    losses = {}
    for device in ("cpu", "cuda"):
        trainer = mc.Trainer(model(), copy.deepcopy(optimizer), device=device, engine="layerwise")
        losses[device] = [trainer.engine.train_step(images, labels).loss for _ in range(10)]
    assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-5)
    assert losses["cpu"][-1] < losses["cpu"][0]


def test_a_seed_gives_the_same_weights_on_both_and_a_model_file_loads_on_both(cupy, tmp_path):
    there = model().to("cuda")
    for name, array in model().arrays().items():
        np.testing.assert_array_equal(hostcupy.asnumpy(there.arrays()[name]), array)
    there.save(tmp_path / "model.safetensors")
    here = mc.load(tmp_path / "model.safetensors")
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 7, 1), np.uint8)
    assert here.device == "cpu"
    assert_allclose(here.to("cuda").logits(images), there.to("cpu").logits(images), rtol=1e-4, atol=1e-5)


def test_the_gradients_of_a_whole_model_in_float64(cupy):
    here = mc.Sequential(
        [L.Conv2D(2, 3), L.ReLU(), L.MaxPool2D(2), L.Flatten(), L.Dense(3)], (6, 6, 2), dtype="float64"
    )
    there = copy.deepcopy(here).to("cuda")
    x, labels = normal(0, (N, 6, 6, 2)), np.arange(N) % 3
    for m, inputs in ((here, x), (there, to_device(x, "cuda"))):
        loss = mc.SoftmaxCrossEntropy()
        loss.forward(m.forward(inputs, training=True), labels)
        m.backward(loss.backward())
    for a, b in zip(here.layers, there.layers, strict=True):
        for name, gradient in a.grads.items():
            assert_allclose(hostcupy.asnumpy(b.grads[name]), gradient, rtol=1e-12, atol=1e-14)
