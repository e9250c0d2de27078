"""What a row of layers needs, by arithmetic alone: nothing is built, nothing allocated."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from minicnn.layers.base import Layer, Shape


def name_layers(layers: Iterable[Layer]) -> None:
    """Name each layer by its class and a count: ``conv2d_1``, ``relu_1``, ``conv2d_2``."""
    seen: Counter[str] = Counter()
    for layer in layers:
        kind = type(layer).__name__.lower()
        seen[kind] += 1
        layer.name = f"{kind}_{seen[kind]}"


def walk(layers: Iterable[Layer], input_shape: Shape) -> Iterator[tuple[Layer, Shape, Shape]]:
    """Yield each layer with its input shape and its output shape.

    Raises
    ------
    ShapeError
        If a layer cannot take the output of the one before it.
    """
    shape = input_shape
    for layer in layers:
        output = layer.compute_output_shape(shape)
        yield layer, shape, output
        shape = output


def output_shape(layers: Iterable[Layer], input_shape: Shape) -> Shape:
    """Return the shape of one output of these layers."""
    return [input_shape, *(output for _, _, output in walk(layers, input_shape))][-1]


def array_shapes(layers: Iterable[Layer], input_shape: Shape) -> dict[str, Shape]:
    """Return the shapes of the arrays that these named layers will have: see ``Stack.arrays``."""
    return {
        f"{layer.name}.{name}": of_array
        for layer, shape, _ in walk(layers, input_shape)
        for name, of_array in (layer.param_shapes(shape) | layer.state_shapes(shape)).items()
    }


def image_memory(layers: Iterable[Layer], input_shape: Shape, dtype: np.dtype) -> tuple[int, int]:
    """Return the bytes that predicting one image takes at most: all activations, and all workspaces.

    The fast engines have a workspace for every layer in each thread.
    """
    activations, workspace = math.prod(input_shape), 0
    for layer, shape, output in walk(layers, input_shape):
        activations += math.prod(output)
        workspace += layer.workspace(shape)
    itemsize = np.dtype(dtype).itemsize
    return activations * itemsize, workspace * itemsize


def image_operations(layers: Iterable[Layer], input_shape: Shape) -> int:
    """Return the operations that predicting one image takes: see ``Layer.operations``."""
    return sum(layer.operations(shape) for layer, shape, _ in walk(layers, input_shape))
