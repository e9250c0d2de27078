"""Explaining a model: feature maps, similar images, saliency and Grad-CAM.

Every function takes stored images and leaves the model unchanged. Saliency and Grad-CAM are gradients of the
prediction, computed on a float64 copy of the model without BatchNorm: see ``fold_batchnorm``.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.backend import Array, ignore_underflow, to_numpy
from minicnn.checks import whole_number
from minicnn.errors import ConfigError, ShapeError
from minicnn.layers import Layer
from minicnn.losses import check_labels
from minicnn.model import Sequential

BATCH = 32  # a convolution's gradient needs KH·KW·C numbers for each output pixel


def fold_batchnorm(model: Sequential) -> Sequential:
    """Return a float64 copy of ``model`` on the CPU whose training pass computes the prediction of ``model``.

    BatchNorm becomes a 1×1 convolution or, for vectors, a Dense layer; Dropout is removed; other layers are
    copied: see ``Layer.for_inference``. So ``forward(x, training=True)`` and ``backward(dy)`` give the
    gradient of the prediction, without batch statistics and random masks. The layers get new names.
    """
    folded = _folded(model.layers)
    layers, arrays = [layer for layer, _ in folded], [arrays for _, arrays in folded]
    twin = Sequential(layers, model.input_shape, 0, "float64", model.preprocessing, model.class_names)
    pairs = zip(twin.layers, arrays, strict=True)
    twin.set_arrays({f"{layer.name}.{name}": a for layer, own in pairs for name, a in own.items()})
    return twin


def _folded(layers: list[Layer]) -> list[tuple[Layer, dict[str, Array]]]:
    """Return the layers of ``fold_batchnorm``, each with its arrays."""
    return [found for layer in layers if (found := layer.for_inference()) is not None]


def feature_maps(model: Sequential, images: Array, layer: str) -> np.ndarray:
    """Return the output of a layer in prediction, (N, *output_shape of the layer).

    Parameters
    ----------
    images : (N, H, W, C)
        Stored images, uint8 or floating on 0…1. Raises what ``Preprocessing.check`` raises.
    layer : str
        The layer's name in ``summary``, such as ``"conv2d_1"``.

    Raises
    ------
    ConfigError
        If the model has no layer of that name.
    """
    return _outputs(model, images, _index(model, layer) + 1)


def features(model: Sequential, images: Array) -> np.ndarray:
    """Return the input of the last Dense layer for ``images``, as for ``feature_maps``: (N, D).

    In this space, images of one class are close together: see ``nearest``.

    Raises
    ------
    ConfigError
        If the last layer has no parameters or does not take vectors.
    """
    last = model.layers[-1]
    if not last.params or len(last.input_shape) != 1:
        raise ConfigError(
            f"features are the input of a last Dense layer, but this model ends in {last!r}: "
            "call feature_maps with a layer's name"
        )
    return _outputs(model, images, len(model.layers) - 1)


def _outputs(model: Sequential, images: Array, depth: int) -> np.ndarray:
    """Return the output of the first ``depth`` layers in prediction."""
    model.preprocessing.check(images, model.input_shape)
    outputs = []
    for first in range(0, len(images), BATCH):
        x = model.preprocess(images[first : first + BATCH])
        for layer in model.layers[:depth]:
            x = layer.forward(x)
        outputs.append(to_numpy(x))
    return np.concatenate(outputs)


def _index(model: Sequential, name: str) -> int:
    """Return the index of the layer called ``name``."""
    names = [layer.name for layer in model.layers]
    if name not in names:
        raise ConfigError(f"the model has no layer {name!r}: choose one of {', '.join(names)}")
    return names.index(name)


def nearest(features: np.ndarray, query: np.ndarray, count: int = 8) -> np.ndarray:
    """Return the ``count`` rows of ``features`` most similar to each row of ``query``: (Q, count) indices.

    The similarity is the cosine of the angle, ⟨f, q⟩ / (‖f‖·‖q‖), and 0 for a row of zeros. The most similar
    row comes first; ties go to the lower index.

    Parameters
    ----------
    features : (N, D)
    query : (Q, D)
    count : int
        From 1 to N.

    Raises
    ------
    DTypeError
        If ``features`` or ``query`` is not an array.
    ShapeError
        If the shapes do not match.
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
        # Rounded to 10 digits, as a matrix product may round equal rows differently.
        order = np.argsort(-cosine.round(10), axis=1, kind="stable")
        found[first : first + BATCH] = order[:, :count]
    return found


def _unit_rows(x: np.ndarray) -> np.ndarray:
    """Scale each row to length 1, in float64; rows of zeros are unchanged."""
    x = x.astype(np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1)


@ignore_underflow
def saliency(model: Sequential, images: Array, classes: np.ndarray | None = None) -> np.ndarray:
    """Return the largest |∂ logit / ∂ pixel| over the channels, with pixels on the scale 0…1: (N, H, W).

    To first order, that is the change of the class's logit when the pixel goes from black to white.

    Parameters
    ----------
    images : (N, H, W, C)
        Stored images, uint8 or floating on 0…1. Raises what ``Sequential.logits`` raises.
    classes : (N,) integers, optional
        The class whose logit is differentiated; by default the predicted one.

    Raises
    ------
    ConfigError
        If the model is not a classifier of images.
    ShapeError, DTypeError, DataError
        If ``classes`` is not one class of the model for each image.

    Notes
    -----
    Source: Simonyan, Vedaldi & Zisserman 2014, "Deep Inside Convolutional Networks: Visualizing Image
    Classification Models and Saliency Maps", section 3.
    """
    if len(model.input_shape) != 3:
        raise ConfigError(
            f"saliency needs a model whose input is an image (H, W, C), got {model.input_shape}: "
            "begin the model with Flatten, and give it images"
        )
    batches = _gradients(model, images, classes, depth=0)
    # The network input is (pixel − mean) / std.
    maps = np.concatenate([np.abs(dx).max(axis=3) for _, dx in batches]) / model.preprocessing.std
    return maps.astype(model.dtype)


@ignore_underflow
def grad_cam(
    model: Sequential, images: Array, classes: np.ndarray | None = None, layer: str | None = None
) -> np.ndarray:
    """Return how much each part of an image supports a class, from 0 to 1: (N, H, W).

    The channels A_k of a layer's output are weighted by the mean gradient of the logit::

        α_k = mean over pixels of ∂ logit / ∂ A_k        map = max(Σ_k α_k·A_k, 0)

    The map is interpolated linearly to H × W and divided by its maximum. If nothing supports the class, it
    is zero.

    Parameters
    ----------
    images, classes
        As for ``saliency``, with the same errors.
    layer : str, optional
        By default the last one whose output is an image of more than one pixel.

    Raises
    ------
    ConfigError
        If the model is not a classifier, has no such layer, or the layer's output is not an image.

    Notes
    -----
    Source: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", section 3.
    """
    index = _last_image(model) if layer is None else _index(model, layer)
    shape = model.layers[index].output_shape
    if len(shape) != 3:
        raise ConfigError(
            f"Grad-CAM needs a layer whose output is an image (H, W, C), that of "
            f"{model.layers[index].name!r} is {shape}: choose an earlier layer"
        )
    depth = len(_folded(model.layers[: index + 1]))
    maps = []
    for A, dA in _gradients(model, images, classes, depth):  # both (N, OH, OW, OC)
        parts = dA.mean(axis=(1, 2), keepdims=True) * A
        total = parts.sum(axis=3)  # (N, OH, OW)
        # Where the terms cancel, only a rounding error is left, which scaling to 1 would turn into a map.
        rounding = 1e-10 * np.abs(parts).sum(axis=3).max(axis=(1, 2), keepdims=True)
        maps.append(np.where(total > rounding, total, 0))
    enlarged = _enlarge(np.concatenate(maps), *model.input_shape[:2])
    largest = enlarged.max(axis=(1, 2), keepdims=True)
    return (enlarged / np.where(largest > 0, largest, 1)).astype(model.dtype)


def _last_image(model: Sequential) -> int:
    """Return the index of the last layer whose output is an image of more than one pixel."""
    for index in reversed(range(len(model.layers))):
        shape = model.layers[index].output_shape
        if len(shape) == 3 and shape[0] * shape[1] > 1:
            return index
    raise ConfigError("Grad-CAM needs a layer whose output is an image of more than one pixel: there is none")


def _enlarge(maps: np.ndarray, H: int, W: int) -> np.ndarray:
    """Interpolate ``maps``, (N, OH, OW), linearly to (N, H, W)."""
    from scipy.ndimage import zoom  # imported late: it is slow to load

    return zoom(maps, (1, H / maps.shape[1], W / maps.shape[2]), order=1, mode="nearest", grid_mode=True)


def _gradients(
    model: Sequential, images: Array, classes: np.ndarray | None, depth: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches of x, the output of the first ``depth`` folded layers, and ∂ (class logit) / ∂ x."""
    twin = fold_batchnorm(model)
    classes = _checked_classes(twin, images, classes)
    one_hot = np.eye(twin.output_shape[0])
    for first in range(0, len(images), BATCH):
        x = twin.preprocess(images[first : first + BATCH])
        for layer in twin.layers[:depth]:
            x = layer.forward(x)
        y = x
        for layer in twin.layers[depth:]:
            y = layer.forward(_without_rounding_errors(y), training=True)
        dx: Any = one_hot[classes[first : first + BATCH]]
        for layer in reversed(twin.layers[depth:]):
            dx = layer.backward(dx)
        yield x, dx


def _without_rounding_errors(x: np.ndarray) -> np.ndarray:
    """Round each sample of x to a millionth of its largest value.

    Over a black background, all pixels of a pooling window are equal. There, the rounding errors of a matrix
    product, which depend on the batch and the number of threads, would decide which pixel gets the gradient.
    After rounding, the first pixel wins every tie.
    """
    largest = np.abs(x).max(axis=tuple(range(1, x.ndim)), keepdims=True)
    unit = 1e-6 * np.where(largest > 0, largest, 1)
    return np.round(x / unit) * unit


def _checked_classes(model: Sequential, images: Array, classes: np.ndarray | None) -> np.ndarray:
    """Check and return ``classes``; if None, return the predicted ones."""
    predicted = model.predict(images, BATCH)  # also checks the model and the images
    if classes is None:
        return predicted
    classes = to_numpy(classes)
    if classes.shape != (len(images),):
        raise ShapeError(f"expected one class for each image, shape ({len(images)},), got {classes.shape}")
    check_labels(classes, *model.output_shape)
    return classes
