"""Changes that a user may make to a model between two steps, for comparing the engines."""

from contextlib import suppress

import numpy as np

import minicnn as mc
from minicnn import layers as L

SHAPE = (8, 7, 2)
K = 3
# Values for a number that a layer reads at each step; the last one is invalid.
NUMBERS = {
    "momentum": [0.5, np.float64(0.3), "half"],
    "epsilon": [1e-3, np.float32(1e-4), -1.0],
    "rate": [0.0, np.float64(0.0), 1.0],
    "negative_slope": [0.3, np.float64(0.2), np.nan],
}
# What build reads, and values for it that suit every layer here.
ATTRIBUTES = {
    "filters": [3, 5, 17],
    "units": [4, 9, 33],
    "use_bias": [True, False],
    "kernel_size": [(1, 1), (2, 3), (3, 3)],
    "strides": [(1, 1), (1, 2), (2, 2)],
    "padding": ["same", "valid", ((1, 0), (0, 1))],
    "dilation_rate": [(1, 1), (1, 2)],
    "pool_size": [(2, 2), (3, 2)],
}


class Scale(L.Layer):
    """A custom layer with a parameter for each channel."""

    def param_shapes(self, input_shape):
        return {"s": input_shape[-1:]}

    def _build(self, input_shape, rng):
        self.params["s"] = np.full(input_shape[-1], 1.5, self.dtype)

    def forward(self, x, training=False):
        if training:
            self._save_for_backward(x, x)
        return self.params["s"] * x

    def backward(self, dy, need_dx=True):
        x = self._saved(dy)
        self.grads["s"] = (dy * x).sum(axis=tuple(range(dy.ndim - 1)))
        return self.params["s"] * dy if need_dx else None


def make_model(rng, dtype="float32"):
    """Return a model of layers drawn from all kinds."""
    layers = [L.Conv2D(4, 3, padding="same")]
    for word in rng.permutation(["relu", "pool", "bn", "scale", "leaky", "average", ""])[
        : rng.integers(2, 6)
    ]:
        layers += {
            "relu": [L.ReLU()],
            "pool": [L.MaxPool2D(2, strides=1, padding="same")],
            "bn": [L.BatchNorm()],
            "scale": [Scale()],
            "leaky": [L.LeakyReLU(0.1), L.Dropout(0.0)],
            "average": [L.AvgPool2D(2, padding="same")],
            "": [L.Conv2D(16, 3, padding="same"), L.ReLU()],
        }[str(word)]
    layers += [[L.Flatten()], [L.GlobalMaxPool2D()]][rng.integers(2)]
    layers += [L.Dense(6), L.ReLU(), L.Dense(K)] if rng.random() < 0.7 else [L.Dense(K)]
    return mc.Sequential(layers, SHAPE, seed=int(rng.integers(100)), dtype=dtype)


def build_from(model, i, rng):
    """Build the layers from number i on, each for the output of the one before."""
    shape = model.layers[i - 1].output_shape if i else model.input_shape
    for layer in model.layers[i:]:
        shape = layer.build(shape, rng, model.dtype)
    model.output_shape = shape


def spoilt(array, rng):
    """Return a replacement for an array, suitable or not."""
    shape = array.shape
    plain = rng.normal(0, 0.1, shape).astype(array.dtype)
    locked = plain.copy()
    locked.flags.writeable = False
    buffer = np.empty(plain.nbytes + 1, np.uint8)
    unaligned = buffer[1:].view(array.dtype).reshape(shape)
    unaligned[...] = plain
    choices = [
        plain,
        np.asfortranarray(plain),
        np.repeat(plain[..., None], 2, axis=-1)[..., 1],
        plain[..., ::-1],
        unaligned,
        locked,
        plain.astype("float64"),
        plain.astype("float16"),
        plain.astype(">f4"),
        (9 * plain).astype("int64"),
        plain.tolist(),
        np.ma.masked_array(plain, plain > 0),
        plain.ravel(),
        plain[:1],
        plain[None],
        np.zeros((), array.dtype),
        np.zeros((*shape[:-1], shape[-1] + 1), array.dtype),
        np.zeros((*shape[:-1], 0), array.dtype),
        None,
    ]
    return choices[rng.integers(len(choices))]


def pick(rng, values):
    values = list(values)
    return values[rng.integers(len(values))] if values else None


def set_attribute(model, optimizer, rng):
    """Change an argument, and rebuild all layers, that one, or none."""
    i = int(rng.integers(len(model.layers)))
    layer = model.layers[i]
    name = pick(rng, [name for name in ATTRIBUTES if hasattr(layer, name)])
    if name:
        setattr(layer, name, pick(rng, ATTRIBUTES[name]))
    how = rng.integers(4)
    if how < 2:
        build_from(model, i, rng)
    elif how == 2:
        layer.build(layer.input_shape, rng, model.dtype)


def build_again(model, optimizer, rng):
    build_from(model, int(rng.integers(len(model.layers))), rng)


def set_number(model, optimizer, rng):
    layer = pick(rng, model.layers)
    for name, values in NUMBERS.items():
        if hasattr(layer, name):
            setattr(layer, name, pick(rng, values))


def set_fact(model, optimizer, rng):
    """Set an attribute that only build should set."""
    layer = pick(rng, model.layers)
    name = pick(
        rng, [n for n in ("input_shape", "output_shape", "window", "dtype", "name") if hasattr(layer, n)]
    )
    other = pick(rng, [each for each in model.layers if hasattr(each, name)])
    setattr(layer, name, getattr(other, name))


def set_array(kind):
    def change(model, optimizer, rng):
        layer = pick(rng, [layer for layer in model.layers if getattr(layer, kind)])
        if layer is None:
            return
        arrays = getattr(layer, kind)
        name = pick(rng, arrays)
        arrays[name] = spoilt(arrays[name], rng)

    change.__name__ = f"set_{kind}"
    return change


def set_moment(model, optimizer, rng):
    key = pick(rng, optimizer._state)
    if key:
        moments = optimizer._state[key]
        moments[0] = spoilt(moments[0], rng)
        if rng.random() < 0.2:
            moments.append(moments[0])


def set_dictionary(model, optimizer, rng):
    layer, kind = pick(rng, model.layers), pick(rng, ["params", "grads", "state"])
    held = getattr(layer, kind)
    what = rng.integers(4)
    if what == 0:
        setattr(layer, kind, None)
    elif what == 1:
        setattr(layer, kind, {})
    elif what == 2 and held:
        held.pop(pick(rng, held))
    else:
        held["more"] = np.zeros(3, model.dtype)


def replace_layer(model, optimizer, rng):
    """Replace a layer by another, built or not, with or without rebuilding the next ones."""
    i = int(rng.integers(len(model.layers)))
    new = pick(
        rng,
        [L.ReLU, lambda: L.LeakyReLU(0.2), lambda: L.AvgPool2D(2), lambda: L.Dense(5), L.BatchNorm, Scale],
    )()
    new.name = f"new_{rng.integers(10**6)}"
    if rng.random() < 0.8:
        try:
            new.build(model.layers[i].input_shape, rng, model.dtype)
        except mc.errors.ShapeError:
            return
    model.layers[i] = new
    if rng.random() < 0.5:
        with suppress(mc.errors.ShapeError):
            build_from(model, i, rng)


def move_layers(model, optimizer, rng):
    i, j = rng.integers(len(model.layers), size=2)
    what = rng.integers(4)
    if what == 0:
        model.layers.pop(i)
    elif what == 1:
        model.layers.insert(i, model.layers[j])
    elif what == 2:
        model.layers[i], model.layers[j] = model.layers[j], model.layers[i]
    else:
        model.layers.append("relu")


def set_class(model, optimizer, rng):
    layer = pick(rng, [layer for layer in model.layers if type(layer) in (L.ReLU, L.MaxPool2D, L.AvgPool2D)])
    if layer is not None:
        layer.__class__ = {L.ReLU: Doubled, L.MaxPool2D: L.AvgPool2D, L.AvgPool2D: L.MaxPool2D}[type(layer)]


class Doubled(L.ReLU):
    def forward(self, x, training=False):
        return super().forward(x, training) * 2

    def backward(self, dy, need_dx=True):
        return super().backward(dy * 2, need_dx)


def set_method(model, optimizer, rng):
    """Wrap a layer's forward method on the object, as for logging."""
    layer = pick(rng, model.layers)
    forward, backward = layer.forward, layer.backward
    layer.forward = lambda x, training=False: forward(x, training) * 2
    layer.backward = lambda dy, need_dx=True: backward(dy * 2, need_dx)


def set_optimizer_number(model, optimizer, rng):
    name = pick(rng, [n for n in ("learning_rate", "weight_decay", "momentum") if hasattr(optimizer, n)])
    setattr(optimizer, name, pick(rng, [0.0, 0.01, np.float64(0.02), np.float32(0.005)]))
    if rng.random() < 0.2:
        optimizer.learning_rate = pick(rng, [np.nan, -1.0, "fast", None])


def set_model(model, optimizer, rng):
    what = rng.integers(4)
    if what == 0:
        model.output_shape = pick(rng, [(K,), (K + 1,), (2, K)])
    elif what == 1:
        model.input_shape = pick(rng, [SHAPE, (7, 8, 2), (9, 9, 2)])
    elif what == 2:
        model.preprocessing = mc.Standardize(0.2, 0.5)
    else:
        mc.set_num_threads(int(rng.integers(1, 4)))


CHANGES = [
    set_attribute, set_attribute, build_again, set_number, set_fact, set_array("params"), set_array("params"),
    set_array("state"), set_array("grads"), set_moment, set_dictionary, replace_layer, move_layers, set_class,
    set_method, set_optimizer_number, set_model,
]  # fmt: skip
