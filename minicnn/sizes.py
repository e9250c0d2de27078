"""Names and sizes of a list of layers, by arithmetic: nothing is built or allocated."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from minicnn.layers.base import Layer, Shape


def name_layers(layers: Iterable[Layer]) -> None:
    """Name each layer by its class and a number: ``conv2d_1``, ``relu_1``, ``conv2d_2``."""
    seen: Counter[str] = Counter()
    for layer in layers:
        kind = type(layer).__name__.lower()
        seen[kind] += 1
        layer.name = f"{kind}_{seen[kind]}"


def walk(layers: Iterable[Layer], input_shape: Shape) -> Iterator[tuple[Layer, Shape, Shape]]:
    """Yield each layer with its input shape and its output shape; ShapeError if they do not fit."""
    shape = input_shape
    for layer in layers:
        output = layer.compute_output_shape(shape)
        yield layer, shape, output
        shape = output


def output_shape(layers: Iterable[Layer], input_shape: Shape) -> Shape:
    """Return the output shape of these layers."""
    return [input_shape, *(output for _, _, output in walk(layers, input_shape))][-1]


def array_shapes(layers: Iterable[Layer], input_shape: Shape) -> dict[str, Shape]:
    """Return the shapes of the arrays of these named layers: see ``Stack.arrays``."""
    return {
        f"{layer.name}.{name}": of_array
        for layer, shape, _ in walk(layers, input_shape)
        for name, of_array in (layer.param_shapes(shape) | layer.state_shapes(shape)).items()
    }


def image_memory(layers: Iterable[Layer], input_shape: Shape, dtype: np.dtype) -> tuple[int, int]:
    """Return upper bounds on the bytes for predicting one image: all activations, all workspaces."""
    activations, workspace = math.prod(input_shape), 0
    for layer, shape, output in walk(layers, input_shape):
        activations += math.prod(output)
        workspace += layer.workspace(shape)
    itemsize = np.dtype(dtype).itemsize
    return activations * itemsize, workspace * itemsize


def image_operations(layers: Iterable[Layer], input_shape: Shape) -> int:
    """Return the operations for predicting one image: see ``Layer.operations``."""
    return sum(layer.operations(shape) for layer, shape, _ in walk(layers, input_shape))
