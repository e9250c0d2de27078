"""Untrusted model files: any description gives a ModelFileError or a model that predicts."""

import copy
import json
import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import minicnn as mc
from minicnn import checks, sizes
from minicnn import layers as L
from minicnn.description import MOST_IMAGE_MEMORY, describe
from minicnn.errors import MiniCNNError, ModelFileError
from minicnn.text import printable

EXAMPLES = int(os.environ.get("MINICNN_EXAMPLES", "300"))
SHAPE = (8, 7, 2)


def whole():
    """Return a model with every kind of layer, its description and its arrays."""
    model = mc.Sequential(
        [
            L.Conv2D(3, (2, 3), padding=((1, 0), (1, 1))),
            L.BatchNorm(),
            L.ReLU(),
            L.MaxPool2D(2, padding="same"),
            L.Conv2D(2, 1, use_bias=False),
            L.LeakyReLU(0.1),
            L.AvgPool2D(2, strides=1),
            L.Dropout(0.5),
            L.Flatten(),
            L.Dense(3),
        ],
        SHAPE,
        preprocessing=mc.Standardize(0.2, 0.3, trained_on=(0, 1)),
        class_names=("ant", "bee", "cat"),
    )
    model.info = {"dataset": "insects"}
    return model, json.loads(json.dumps(describe(model))), dict(model.arrays())


MODEL, DESCRIPTION, ARRAYS = whole()


def places(tree, path=()):
    """Yield the path to every value of a JSON tree."""
    yield path
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from places(value, (*path, key))


def changed(tree, path, value):
    """Return the tree with another value at ``path``; without it, if that is ``...``."""
    if not path:
        return value
    tree = copy.deepcopy(tree)
    at = tree
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return tree


numbers = st.one_of(
    st.integers(-3, 12),
    st.integers(0, 3000),
    st.sampled_from([2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**30, 10**400, -(2**63)]),
    st.floats(),
    st.booleans(),
)
leaves = st.one_of(
    st.integers(1, 9),
    numbers,
    st.none(),
    st.text(st.characters(exclude_categories=()), max_size=8),
    st.sampled_from(["same", "valid", "he_uniform", "float64", "float16", *L.__all__]),
    st.lists(numbers, max_size=4),
    st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=2, max_size=2),
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def judged(path):
    """Load and use a file, check that it is rejected or predicts, and return the outcome."""
    try:
        model = mc.load(path)
    except ModelFileError as error:
        text = str(error)
        model = None
    if model is None:
        assert printable(text) == text
        assert len(text) < 2000
        return "refused"
    assert sum(model.image_memory) <= MOST_IMAGE_MEMORY
    for text in (*(model.class_names or ()), *model.info, *model.info.values(), model.summary_table()):
        assert all(printable(line) == line for line in text.split("\n"))
    if sum(model.image_memory) > 2**25 or sizes.image_operations(model.layers, model.input_shape) > 10**8:
        return "large"
    try:
        found = model.predict(np.zeros((1, *model.input_shape), np.uint8))
    except MiniCNNError as error:
        return f"predicts not: {type(error).__name__}"
    assert found.shape == (1,)
    return "predicts"


def write(path, description, arrays=ARRAYS):
    text = description if isinstance(description, str) else json.dumps(description)
    save_file(arrays, path, {"format": "minicnn", "version": "1", "model": text})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("foreign") / "model.safetensors"


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_any_value_at_any_place_of_the_description(path, data):
    tree = DESCRIPTION
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(sorted(places(tree), key=repr)))
        value = data.draw(values | st.just(...)) if place else data.draw(values)
        tree = changed(tree, place, value)
    write(path, tree)
    judged(path)


number = st.one_of(
    *[st.integers(1, 4)] * 4,
    st.integers(1, 40),
    st.integers(1, 4000),
    st.sampled_from([10**5, 10**7, 2**31 - 1]),
)
sides = st.tuples(*[st.tuples(number, number)] * 2)
paddings = st.one_of(st.just("same"), st.just("valid"), st.integers(0, 3), sides)
layer_texts = st.one_of(
    st.builds(
        lambda **arguments: {"type": "Conv2D", "filters": 1, "kernel_size": 1, **arguments},
        strides=number, padding=paddings | number, dilation_rate=number,
    ),
    st.builds(
        lambda kind, **arguments: {"type": kind, **arguments},
        st.sampled_from(["MaxPool2D", "AvgPool2D"]),
        pool_size=number, strides=st.none() | number, padding=st.just("same") | paddings,
    ),
    st.builds(lambda kind: {"type": kind}, st.sampled_from(["ReLU", "GlobalAvgPool2D", "Flatten"])),
)  # fmt: skip


def fitting(layers, shape):
    """Return the arrays that such layers have, where they can be made and have few."""
    try:
        made = [
            getattr(L, layer["type"])(**{k: v for k, v in layer.items() if k != "type"}) for layer in layers
        ]
        sizes.name_layers(made)
        shapes = sizes.array_shapes(made, checks.shape(shape, "shape"))
    except MiniCNNError:
        shapes = {}
    few = sum(map(math.prod, shapes.values())) < 10_000
    return {name: np.ones(shape, np.float32) for name, shape in shapes.items()} if few else {}


@settings(max_examples=EXAMPLES)
@given(
    st.lists(layer_texts, min_size=1, max_size=3),
    st.tuples(number, number, st.just(1) | number),
    st.booleans(),
)
def test_any_sizes_of_layers_with_few_parameters(path, layers, shape, ends):
    layers = [*layers, {"type": "Flatten"}] if ends else layers
    arrays = fitting(layers, shape)
    write(path, DESCRIPTION | {"layers": layers, "input_shape": shape, "class_names": None}, arrays)
    judged(path)
