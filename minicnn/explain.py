"""Looking inside a trained model: what its layers see, which images it holds alike, where it looks.

Every function takes images as they are stored, and leaves the model as it was. Saliency and Grad-CAM are
gradients, and those of max-pooling jump where two pixels of a window are equal: over a black background all
are, and the rounding of a matrix product, which changes with the batch and the number of threads, would
choose the pixel. So gradients are computed in float64, and of maxima that are equal but for rounding the
first counts (``frozen``).
"""

from collections.abc import Iterator

import numpy as np

from minicnn.backend import Array, to_numpy
from minicnn.checks import whole_number
from minicnn.errors import ConfigError, ShapeError
from minicnn.layers import Dense, Dropout, GlobalMaxPool2D, Layer, MaxPool2D
from minicnn.losses import check_labels
from minicnn.model import Sequential

# Images at a time, so that memory does not grow with their number: a convolution that is
# differentiated keeps KH·KW·C numbers for each pixel of its output.
BATCH = 32

# Of an image's largest value in a layer: nearer values are equal but for rounding. A sum of 10,000 float64
# products is exact to 1e-12 of its largest ones, and what differs in truth is seldom this near.
ROUNDING = 1e-10


def frozen(model: Sequential) -> Sequential:
    """Return a float64 model on the CPU that computes what ``model`` predicts, of layers that need no batch.

    In prediction a BatchNorm is, for each channel, a straight line through its running averages::

        y = γ·(x − mean) / √(var + ε) + β = s·x + (β − s·mean)        with s = γ / √(var + ε)

    so a 1×1 convolution, or on vectors a Dense layer, with s on the diagonal of W takes its place.
    Dropout, which predicts y = x, is left out; of every other layer there is a copy. So
    ``forward(x, training=True)`` and ``backward(dy, need_dx=True)`` give the gradient of the
    prediction. Those of ``model`` itself would not: in training its BatchNorm looks at the batch.

    Max-pooling sends the gradient to the first pixel that is the window's maximum but for rounding, so the
    gradient is the same for any batch, number of threads and kernels.

    The copy has the preprocessing and class names of ``model``; its layers are named anew.
    """
    found = [layer.for_inference() for layer in model.layers]
    layers, arrays = zip(*filter(None, found), strict=True)
    twin = Sequential(
        [_with_first_maximum(layer) for layer in layers],
        model.input_shape,
        dtype="float64",
        preprocessing=model.preprocessing,
        class_names=model.class_names,
    )
    twin.set_arrays(
        {
            f"{layer.name}.{name}": to_numpy(array)
            for layer, held in zip(twin.layers, arrays, strict=True)
            for name, array in held.items()
        }
    )
    return twin


def _with_first_maximum(layer: Layer) -> Layer:
    """Return a max-pool whose gradient goes to the first maximum but for rounding, or the layer."""
    # By the exact type: a subclass may choose its pixels in another way.
    kind = {MaxPool2D: _FirstMaxPool2D, GlobalMaxPool2D: _FirstGlobalMaxPool2D}.get(type(layer))
    return layer if kind is None else kind(**layer.config())


class _FirstMaxPool2D(MaxPool2D):
    """Max-pooling whose gradient goes to the first of the pixels that are the maximum but for rounding."""

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self._check(x)
        kernel, (SH, SW), padding = self.window
        padded = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(1, 2))[:, ::SH, ::SW]
        windows = windows.reshape(*windows.shape[:4], -1)  # (N, OH, OW, C, KH·KW)
        y, argmax = _first_maximum(windows, x)  # both (N, OH, OW, C)
        if training:
            self._save_for_backward(x, argmax.astype(np.int32))
        return y.reshape(len(x), *self.output_shape)


class _FirstGlobalMaxPool2D(_FirstMaxPool2D, GlobalMaxPool2D):
    """The same over the whole image."""


def _first_maximum(windows: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the maximum over the last axis of ``windows``, and the first place that is it but for rounding.

    ``x``, (N, H, W, C), are the images that ``windows``, (N, …), are cut from.
    """
    largest = windows.max(axis=-1, keepdims=True)
    rounding = ROUNDING * np.abs(x).max(axis=(1, 2, 3)).reshape(-1, *[1] * (windows.ndim - 1))
    return largest[..., 0], (windows >= largest - rounding).argmax(axis=-1)


def feature_maps(model: Sequential, images: Array, layer: str) -> np.ndarray:
    """Return what a layer makes of ``images`` in prediction, (N, *output_shape of the layer).

    Parameters
    ----------
    images : (N, H, W, C)
        Stored images, uint8 or floating on 0…1. Raises what ``Preprocessing.check`` raises.
    layer : str
        The layer's name as ``summary`` prints it, such as ``"conv2d_1"``.

    Raises
    ------
    ConfigError
        If the model has no layer of that name.
    """
    return _outputs(model, images, _place(model, layer) + 1)


def features(model: Sequential, images: Array) -> np.ndarray:
    """Return what the last Dense layer is fed for ``images``, (N, D): its linear classes live there.

    Images of one class lie together in this space, see ``nearest``. Takes images as ``feature_maps``.

    Raises
    ------
    ConfigError
        If the model does not end in a Dense layer.
    """
    if not isinstance(model.layers[-1], Dense):
        raise ConfigError(
            f"features are what a last Dense layer is fed, but this model ends in {model.layers[-1]!r}: "
            "name a layer and call feature_maps"
        )
    return _outputs(model, images, len(model.layers) - 1)


def _outputs(model: Sequential, images: Array, depth: int) -> np.ndarray:
    """Return what the first ``depth`` layers make of ``images`` in prediction."""
    model.preprocessing.check(images, model.input_shape)
    outputs = []
    for first in range(0, len(images), BATCH):
        x = model.preprocess(images[first : first + BATCH])
        for layer in model.layers[:depth]:
            x = layer.forward(x)
        outputs.append(to_numpy(x))
    return np.concatenate(outputs)


def _place(model: Sequential, name: str) -> int:
    """Return the index of the layer called ``name``."""
    names = [layer.name for layer in model.layers]
    if name not in names:
        raise ConfigError(f"the model has no layer {name!r}: choose one of {', '.join(names)}")
    return names.index(name)


def nearest(features: np.ndarray, query: np.ndarray, count: int = 8) -> np.ndarray:
    """Return the rows of ``features`` most alike to each row q of ``query``, (Q, count) indices.

    Alike is the cosine of the angle between them, ⟨f, q⟩ / (‖f‖·‖q‖); a row of zeros, which has no
    direction, gets 0. The best comes first, and of equals the one with the lower index.

    Parameters
    ----------
    features : (N, D)
    query : (Q, D)
    count : int
        At most N.

    Raises
    ------
    DTypeError
        If one of them is not an array.
    ShapeError
        If the shapes do not fit.
    ConfigError
        If ``count`` is not from 1 to N.
    """
    features, query = to_numpy(features), to_numpy(query)
    if features.ndim != 2 or query.ndim != 2 or features.shape[1] != query.shape[1]:
        raise ShapeError(
            f"expected features (N, D) and a query (Q, D), got {features.shape} and {query.shape}: "
            "for a single one pass query[None]"
        )
    if whole_number(count, "count") > len(features):
        raise ConfigError(f"count must be at most {len(features)}, the rows of features, got {count}")
    found = np.empty((len(query), count), np.intp)
    directions = _unit_rows(features).T  # (D, N)
    for first in range(0, len(query), BATCH):
        cosine = _unit_rows(query[first : first + BATCH]) @ directions  # (rows, N)
        # A product may round equal rows differently, by where they stand in it: 10 digits are kept.
        order = np.argsort(-cosine.round(10), axis=1, kind="stable")
        found[first : first + BATCH] = order[:, :count]
    return found


def _unit_rows(x: np.ndarray) -> np.ndarray:
    """Scale each row to length 1, in float64; a row of zeros stays as it is."""
    x = x.astype(np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1)


@np.errstate(under="ignore")  # a gradient next to nothing is 0 to rounding, and may be
def saliency(model: Sequential, images: Array, classes: np.ndarray | None = None) -> np.ndarray:
    """Return how strongly each pixel moves the logit of a class, (N, H, W).

    The largest |∂ logit / ∂ pixel| over the channels, with pixels on the scale 0…1: the logit's
    change, to first order, when the pixel goes from black to white.

    Parameters
    ----------
    images : (N, H, W, C)
        Stored images, uint8 or floating on 0…1. Raises what ``Sequential.logits`` raises.
    classes : (N,) integers, optional
        The class of each image whose logit is differentiated; by default the predicted one.

    Raises
    ------
    ConfigError
        If the model is no classifier, or its input is no image.
    ShapeError, DTypeError, DataError
        If ``classes`` are not one for each image, integers, and classes of the model.

    Notes
    -----
    Source: Simonyan, Vedaldi & Zisserman 2014, "Deep Inside Convolutional Networks: Visualizing Image
    Classification Models and Saliency Maps", section 3.
    """
    if len(model.input_shape) != 3:
        raise ConfigError(
            f"saliency needs a model whose input is an image (H, W, C); that of this one is "
            f"{model.input_shape}: begin the model with Flatten, and give it images"
        )
    std = model.preprocessing.std  # the network input is (pixel − mean) / std
    batches = _gradients(model, images, classes, depth=0)
    maps = np.concatenate([np.abs(dx).max(axis=3) / std for _, dx in batches])
    return maps.astype(model.dtype)


@np.errstate(under="ignore")
def grad_cam(
    model: Sequential, images: Array, classes: np.ndarray | None = None, layer: str | None = None
) -> np.ndarray:
    """Return which parts of each image speak for a class, (N, H, W), from 0 to 1 for each image.

    With A_k the channels of a layer's output, and each one's weight the mean gradient of the logit::

        α_k = mean over pixels of ∂ logit / ∂ A_k        map = max(Σ_k α_k·A_k, 0)

    The map is enlarged to H × W by linear interpolation between the centers of its pixels, and divided
    by its maximum. A map of zeros, where nothing speaks for the class, stays one.

    Parameters
    ----------
    images, classes
        As for ``saliency``, with the same errors.
    layer : str, optional
        By default the last one whose output is an image of more than one pixel.

    Raises
    ------
    ConfigError
        If the model is no classifier, has no such layer, or its output is no image.

    Notes
    -----
    Source: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", section 3.
    """
    place = _last_image(model) if layer is None else _place(model, layer)
    chosen = model.layers[place]
    if len(chosen.output_shape) != 3:
        raise ConfigError(
            f"Grad-CAM needs a layer whose output is an image (H, W, C); that of {chosen.name!r} is "
            f"{chosen.output_shape}: choose an earlier one"
        )
    depth = sum(not isinstance(before, Dropout) for before in model.layers[: place + 1])
    maps = []
    for A, dA in _gradients(model, images, classes, depth):  # both (N, OH, OW, OC)
        alpha = dA.mean(axis=(1, 2), keepdims=True)  # (N, 1, 1, OC)
        parts = alpha * A
        total = parts.sum(axis=3)  # (N, OH, OW)
        # What is left of parts that cancel is rounding, and divided by its maximum would be a map.
        rounding = ROUNDING * np.abs(parts).sum(axis=3).max(axis=(1, 2), keepdims=True)
        maps.append(np.where(total > rounding, total, 0))
    enlarged = _resized(np.concatenate(maps), *model.input_shape[:2])
    largest = enlarged.max(axis=(1, 2), keepdims=True)
    return (enlarged / np.where(largest > 0, largest, 1)).astype(model.dtype)


def _last_image(model: Sequential) -> int:
    """Return the index of the last layer whose output is an image of more than one pixel."""
    for place in reversed(range(len(model.layers))):
        shape = model.layers[place].output_shape
        if len(shape) == 3 and shape[0] * shape[1] > 1:
            return place
    raise ConfigError("Grad-CAM needs a layer whose output is an image of more than one pixel: there is none")


def _gradients(
    model: Sequential, images: Array, classes: np.ndarray | None, depth: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, batch by batch, the output x of the first ``depth`` frozen layers, and ∂ logit / ∂ x.

    The logit is that of the image's class. With a depth of 0, x is the network input.
    """
    twin = frozen(model)
    classes = _checked_classes(twin, images, classes)
    before, behind = twin.layers[:depth], twin.layers[depth:]
    one_hot = np.eye(*twin.output_shape, dtype=twin.dtype)
    for first in range(0, len(images), BATCH):
        x = twin.preprocess(images[first : first + BATCH])
        for layer in before:
            x = layer.forward(x)
        y = x
        for layer in behind:
            y = layer.forward(y, training=True)
        dx = one_hot[classes[first : first + BATCH]]  # the gradient of one logit with respect to all
        for layer in reversed(behind):
            dx = layer.backward(dx)
        yield x, dx


def _checked_classes(model: Sequential, images: Array, classes: np.ndarray | None) -> np.ndarray:
    """Return ``classes`` if they fit, else refuse them; for None, the predicted ones."""
    model.require_classifier()
    model.preprocessing.check(images, model.input_shape)
    if classes is not None:
        classes = to_numpy(classes)
        if classes.shape != (len(images),):
            raise ShapeError(
                f"expected one class for each image, shape ({len(images)},), got {classes.shape}"
            )
        check_labels(classes, *model.output_shape)
    predicted = model.predict(images, BATCH)  # refuses weights that grew too large
    return predicted if classes is None else classes


def _resized(maps: np.ndarray, H: int, W: int) -> np.ndarray:
    """Interpolate ``maps``, (N, OH, OW), linearly to (N, H, W)."""
    _, OH, OW = maps.shape
    rows, columns = _interpolation(OH, H), _interpolation(OW, W)  # (H, OH), (W, OW)
    return rows @ maps @ columns.T


def _interpolation(old: int, new: int) -> np.ndarray:
    """Return the (new, old) matrix that samples ``old`` pixels at the centers of ``new`` ones."""
    centers = (np.arange(new) + 0.5) * old / new - 0.5
    return np.stack([np.interp(centers, np.arange(old), pixel) for pixel in np.eye(old)], axis=1)
