"""What a row of layers holds and needs, by arithmetic alone: nothing is built, nothing allocated."""

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np

from minicnn.layers.base import Layer, Shape


def name_layers(layers: Iterable[Layer]) -> None:
    """Name each layer by its kind and its number among those of the kind: ``conv2d_1``, ``relu_1``."""
    seen: Counter[str] = Counter()
    for layer in layers:
        kind = type(layer).__name__.lower()
        seen[kind] += 1
        layer.name = f"{kind}_{seen[kind]}"


def output_shape(layers: Iterable[Layer], input_shape: Shape) -> Shape:
    """Return the shape of one result; raises ShapeError where a layer cannot take what it gets."""
    shape = input_shape
    for layer in layers:
        shape = layer.compute_output_shape(shape)
    return shape


def array_shapes(layers: Iterable[Layer], input_shape: Shape) -> dict[str, Shape]:
    """Return the shapes of ``Sequential.arrays()`` of these layers, once they are named."""
    shapes, shape = {}, input_shape
    for layer in layers:
        output = layer.compute_output_shape(shape)  # refuses what the layer cannot take
        held = layer.param_shapes(shape) | layer.state_shapes(shape)
        shapes |= {f"{layer.name}.{name}": of_array for name, of_array in held.items()}
        shape = output
    return shapes


def image_memory(layers: Iterable[Layer], input_shape: Shape, dtype: np.dtype) -> tuple[int, int]:
    """Return the bytes that predicting one image takes at most: all activations, and all workspaces.

    The fast engines keep every layer's workspace, one for each thread.
    """
    shape, activations, workspace = input_shape, math.prod(input_shape), 0
    for layer in layers:
        output = layer.compute_output_shape(shape)
        workspace += layer.workspace(shape)
        shape = output
        activations += math.prod(shape)
    itemsize = np.dtype(dtype).itemsize
    return activations * itemsize, workspace * itemsize


def image_operations(layers: Iterable[Layer], input_shape: Shape) -> int:
    """Return the operations that predicting one image takes, see ``Layer.operations``."""
    shape, operations = input_shape, 0
    for layer in layers:
        output = layer.compute_output_shape(shape)
        operations += layer.operations(shape)
        shape = output
    return operations
