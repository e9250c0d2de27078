"""PyTorch as a second oracle: layers, loss, optimizers, and ten steps of training, in float64.

Ours is NHWC with weights (KH, KW, C, OC); PyTorch's is NCHW with (OC, C, KH, KW), and (out, in) for
dense layers. The conversions are here, and nowhere in the library.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from minicnn import layers as L
from minicnn import optimizers
from minicnn.losses import SoftmaxCrossEntropy
from tests.strategies import distinct, normal, seeds, windows
from tests.test_golden import LOSSES, batch, two_convolutions

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'minicnn[parity]'")
torch.set_num_threads(1)  # the arrays are tiny, and threads that wait for one another are not
F = torch.nn.functional

TOLERANCE = 1e-9  # of the largest number of the array, and of each number


def assert_close(ours, theirs):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert_allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE * max(abs(theirs).max(), 1e-300))


def tensor(a):
    """Return a copy that asks for its gradient."""
    return torch.tensor(np.ascontiguousarray(a), requires_grad=True)


def nchw(t):
    return t.permute(0, 3, 1, 2)


def nhwc(t):
    return t.permute(0, 2, 3, 1)


def oihw(t):
    return t.permute(3, 2, 0, 1)


def pad(t, padding, value=0.0):
    """Pad an NCHW tensor; torch names the last axis first."""
    return F.pad(t, (*padding[1], *padding[0]), value=value)


def run(layer, shape, x, seed=0):
    """Return y, dx and dy of the built layer, whose parameters are moved off 0 and 1."""
    layer.build(shape[1:], np.random.default_rng(seed), "float64")
    for w in layer.params.values():
        w += normal(seed + 1, w.shape)
    y = layer.forward(x, training=True)
    dy = normal(seed + 2, y.shape)
    return y, layer.backward(dy), dy


def compare(layer, x, theirs, seed=0):
    """Compare y, dx and every gradient; ``theirs(x, params)`` computes y from tensors in our layout."""
    y, dx, dy = run(layer, x.shape, x, seed)
    x_torch = tensor(x)
    params = {name: tensor(w) for name, w in layer.params.items()}
    y_torch = theirs(x_torch, params)
    y_torch.backward(torch.tensor(dy))
    assert_close(y, y_torch)
    assert_close(dx, x_torch.grad)
    for name, g in layer.grads.items():
        assert_close(g, params[name].grad)


@given(window=windows(), filters=st.integers(1, 4), seed=seeds)
def test_convolution(window, filters, seed):
    def theirs(x, params):
        padded = pad(nchw(x), window.padding)
        W, b = oihw(params["W"]), params["b"]
        return nhwc(F.conv2d(padded, W, b, stride=window.stride, dilation=window.dilation))

    layer = L.Conv2D(filters, window.kernel, window.stride, window.padding, window.dilation)
    compare(layer, normal(seed, window.shape), theirs, seed)


@given(window=windows(pooling=True), seed=seeds)
def test_max_pooling(window, seed):
    def theirs(x, params):
        padded = pad(nchw(x), window.padding, -torch.inf)
        return nhwc(F.max_pool2d(padded, window.kernel, window.stride))

    compare(L.MaxPool2D(*window.pool), distinct(seed, window.shape), theirs, seed)


@given(window=windows(pooling=True), seed=seeds)
def test_average_pooling(window, seed):
    def theirs(x, params):
        """Sum over the padded window, divided by the sum over a padded image of ones."""
        mean = [F.avg_pool2d(pad(t, window.padding), window.kernel, window.stride) for t in (nchw(x), ones)]
        return nhwc(mean[0] / mean[1])

    ones = torch.ones((1, 1, *window.shape[1:3]), dtype=torch.float64)
    compare(L.AvgPool2D(*window.pool), normal(seed, window.shape), theirs, seed)


def test_average_pooling_leaves_padding_out_as_torch_can():
    def theirs(x, params):
        return nhwc(F.avg_pool2d(nchw(x), (3, 2), (2, 1), padding=1, count_include_pad=False))

    compare(L.AvgPool2D((3, 2), (2, 1), padding=1), normal(0, (2, 6, 5, 3)), theirs)


@pytest.mark.parametrize(
    ("layer", "theirs"),
    [
        (L.GlobalAvgPool2D(), lambda x, params: nchw(x).mean(dim=(2, 3))),
        (L.GlobalMaxPool2D(), lambda x, params: nchw(x).flatten(2).max(dim=2).values),
        (L.ReLU(), lambda x, params: F.relu(x)),
        (L.LeakyReLU(0.2), lambda x, params: F.leaky_relu(x, 0.2)),
        (L.Flatten(), lambda x, params: x.flatten(1)),
    ],
    ids=repr,
)
def test_layers_without_parameters(layer, theirs):
    compare(layer, distinct(0, (3, 4, 5, 2)), theirs)


@pytest.mark.parametrize("use_bias", [True, False])
def test_dense(use_bias):
    layer = L.Dense(4, use_bias=use_bias)
    compare(layer, normal(0, (5, 6)), lambda x, params: F.linear(x, params["W"].T, params.get("b")))


def test_dropout():
    layer, shape = L.Dropout(0.3), (4, 5, 6, 2)
    x = normal(0, shape)
    y, dx, dy = run(layer, shape, x)
    x_torch = tensor(x)
    y_torch = torch.where(torch.tensor(y == 0), 0.0, x_torch / (1 - 0.3))  # the mask is ours
    y_torch.backward(torch.tensor(dy))
    assert_close(y, y_torch)
    assert_close(dx, x_torch.grad)


@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 5, 2), (1, 4, 3, 2)])
def test_batch_normalization(shape):
    layer, C = L.BatchNorm(momentum=0.8, epsilon=1e-3), shape[-1]
    M = int(np.prod(shape[:-1]))
    running_mean, running_var = torch.zeros(C, dtype=torch.float64), torch.ones(C, dtype=torch.float64)

    def theirs(x, params):
        # The running averages are given to the first pass only; torch's momentum weighs the new batch.
        x = nchw(x) if len(shape) == 4 else x
        y = F.batch_norm(
            x,
            running_mean,
            running_var,
            params["gamma"],
            params["beta"],
            training=True,
            momentum=0.2,
            eps=1e-3,
        )
        return nhwc(y) if len(shape) == 4 else y

    compare(layer, 2 * normal(0, shape) + 1, theirs)
    assert_close(layer.state["running_mean"], running_mean)
    # torch averages the variance that divides by M − 1, ours divides by M: 0.8·1 + 0.2·var.
    batch_var = (running_var - 0.8) / 0.2 * (M - 1) / M
    assert_close(layer.state["running_var"], 0.8 + 0.2 * batch_var)

    x = normal(1, shape)
    ours = layer.forward(x)
    state = (torch.tensor(layer.state[name]) for name in ("running_mean", "running_var"))
    params = (torch.tensor(layer.params[name]) for name in ("gamma", "beta"))
    x_torch = torch.tensor(x)
    predicted = F.batch_norm(nchw(x_torch) if len(shape) == 4 else x_torch, *state, *params, eps=1e-3)
    assert_close(ours, nhwc(predicted) if len(shape) == 4 else predicted)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_softmax_cross_entropy(smoothing, kind):
    rng = np.random.default_rng(0)
    logits = 5 * rng.normal(size=(7, 4))
    targets = rng.integers(4, size=7) if kind == "labels" else rng.dirichlet(np.ones(4), 7)
    criterion, logits_torch = SoftmaxCrossEntropy(smoothing), tensor(logits)
    loss = criterion.forward(logits, targets)
    theirs = F.cross_entropy(logits_torch, torch.tensor(targets), label_smoothing=smoothing)
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), rel=TOLERANCE)
    assert_close(criterion.backward(), logits_torch.grad)


OPTIMIZERS = {
    "sgd": (lambda: optimizers.SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "sgd, L2": (
        lambda: optimizers.SGD(0.1, weight_decay=0.05, decay_all=True),
        lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.05),
    ),
    "momentum, L2": (
        lambda: optimizers.SGD(0.1, momentum=0.9, weight_decay=0.05, decay_all=True),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.05),
    ),
    "nesterov, L2": (
        lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.05, decay_all=True),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.05),
    ),
    "adam": (lambda: optimizers.Adam(0.01), lambda p: torch.optim.Adam(p, 0.01)),
    "adam, L2": (
        lambda: optimizers.Adam(0.01, 0.8, 0.95, 1e-3, weight_decay=0.05, decay_all=True),
        lambda p: torch.optim.Adam(p, 0.01, (0.8, 0.95), 1e-3, weight_decay=0.05),
    ),
    "adamw": (
        lambda: optimizers.AdamW(0.01, decay_all=True),
        lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.01),
    ),
    "adam, decoupled": (
        lambda: optimizers.Adam(0.01, 0.8, 0.95, 1e-3, weight_decay=0.2, decoupled=True, decay_all=True),
        lambda p: torch.optim.AdamW(p, 0.01, (0.8, 0.95), 1e-3, weight_decay=0.2),
    ),
}


class TwoConvolutions:
    """The model of `test_golden`, in torch, its parameters in our layout."""

    def __init__(self, model):
        self.params = {name: tensor(w) for name, w in model.arrays().items()}

    def __call__(self, x):
        p = self.params
        x = pad(nchw(x), ((1, 1), (0, 1)))  # "same" for a kernel of 3 × 2
        x = F.relu(F.conv2d(x, oihw(p["conv2d_1.W"]), p["conv2d_1.b"]))
        x = F.max_pool2d(x, (2, 3), 2)
        x = pad(x, ((1, 0), (0, 2)))
        x = F.relu(F.conv2d(x, oihw(p["conv2d_2.W"]), p["conv2d_2.b"], stride=(2, 1)))
        x = nhwc(x).flatten(1)
        x = F.relu(F.linear(x, p["dense_1.W"].T, p["dense_1.b"]))
        return F.linear(x, p["dense_2.W"].T, p["dense_2.b"])


@pytest.mark.parametrize(("ours", "theirs"), OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_ten_steps_of_training(ours, theirs):
    """Every loss, gradient and parameter on the way: with torch's weights nothing has drifted apart."""
    model, criterion, optimizer = two_convolutions("float64"), SoftmaxCrossEntropy(), ours()
    model_torch = TwoConvolutions(model)
    optimizer_torch = theirs(model_torch.params.values())
    x, labels = batch("float64")
    for _ in range(10):
        loss = criterion.forward(model.forward(x, training=True), labels)
        model.backward(criterion.backward())
        optimizer.step(model)

        optimizer_torch.zero_grad()
        loss_torch = F.cross_entropy(model_torch(torch.tensor(x)), torch.tensor(labels))
        loss_torch.backward()
        optimizer_torch.step()

        assert loss == pytest.approx(loss_torch.item(), rel=TOLERANCE)
        for layer in model.layers:
            for name in layer.params:
                w_torch = model_torch.params[f"{layer.name}.{name}"]
                assert_close(layer.grads[name], w_torch.grad)
                assert_close(layer.params[name], w_torch)


def test_the_golden_losses_are_those_of_torch():
    model = TwoConvolutions(two_convolutions("float64"))
    optimizer = torch.optim.SGD(model.params.values(), 0.05, momentum=0.9)
    x, labels = (torch.tensor(a) for a in batch("float64"))
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == pytest.approx(LOSSES, rel=TOLERANCE)
