"""The contract of `minicnn.layers.base`, for every layer, kernel set and dtype."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import layers, ops
from minicnn.errors import DTypeError, ShapeError, StateError
from minicnn.losses import SoftmaxCrossEntropy
from tests.cases import CASES, Case, N, names
from tests.strategies import DTYPES

pytestmark = pytest.mark.quick


@pytest.fixture(params=DTYPES)
def dtype(request):
    return request.param


@pytest.fixture(params=ops.KERNELS, autouse=True)
def kernel_set(request):
    with ops.use(request.param):
        yield


@pytest.fixture(params=CASES, ids=names)
def case(request, dtype):
    return Case(*request.param, dtype)


def assert_same(grads, expected):
    assert grads.keys() == expected.keys()
    for name, g in grads.items():
        assert_array_equal(g, expected[name], name)


def test_build_returns_the_shape_of_what_forward_returns(case):
    layer = case.make()
    shape = layer.build(case.input_shape, np.random.default_rng(0), case.dtype)
    assert shape == layer.output_shape == case.output_shape
    for training in (True, False):
        assert layer.forward(case.x, training).shape == (N, *case.output_shape)


def test_declared_shapes_match_the_built_arrays(case):
    layer = case.make()
    shapes = layer.param_shapes(case.input_shape), layer.state_shapes(case.input_shape)
    output, workspace = layer.compute_output_shape(case.input_shape), layer.workspace(case.input_shape)
    assert (layer.params, layer.state, hasattr(layer, "output_shape")) == ({}, {}, False)
    layer.build(case.input_shape, np.random.default_rng(0), case.dtype)
    held = [{name: array.shape for name, array in arrays.items()} for arrays in (layer.params, layer.state)]
    assert (*held, layer.output_shape) == (*shapes, output)
    assert layer.workspace(case.input_shape) == workspace > 0


def test_a_batch_of_one_is_allowed(case):
    y, dx, _ = case.results(case.x[:1], case.dy[:1])
    assert y.shape == (1, *case.output_shape)
    assert dx.shape == (1, *case.input_shape)


def test_parameters_have_the_declared_shapes(case):
    layer = case.built()
    assert {name: w.shape for name, w in layer.params.items()} == case.param_shapes
    assert layer.grads == {}


def test_gradients_have_the_keys_shapes_and_dtypes_of_the_parameters(case):
    layer = case.built()
    layer.forward(case.x, training=True)
    layer.backward(case.dy)
    assert {name: (g.shape, g.dtype) for name, g in layer.grads.items()} == {
        name: (shape, case.dtype) for name, shape in case.param_shapes.items()
    }


def test_every_result_has_the_dtype_of_the_layer(case):
    layer = case.built()
    for _ in range(2):  # the second time with a state that has been updated
        y = layer.forward(case.x, training=True)
        dx = layer.backward(case.dy)
        prediction = layer.forward(case.x)
        held = (*layer.params.values(), *layer.grads.values(), *layer.state.values())
        assert {a.dtype for a in (y, dx, prediction, *held)} == {case.dtype}


def test_prediction_saves_nothing(case):
    layer = case.built()
    layer.forward(case.x, training=False)
    with pytest.raises(StateError, match=repr(layer.name)):
        layer.backward(case.dy)


def test_each_backward_needs_its_own_forward(case):
    layer = case.built()
    layer.forward(case.x, training=True)
    layer.backward(case.dy)
    with pytest.raises(StateError, match=repr(layer.name)):
        layer.backward(case.dy)


def test_forget_frees_the_cache(case):
    layer = case.built()
    layer.forward(case.x, training=True)
    layer.forget()
    with pytest.raises(StateError, match="forward"):
        layer.backward(case.dy)


def test_a_prediction_in_between_does_not_disturb_backward(case):
    layer = case.built()
    layer.forward(case.x, training=True)
    layer.forward(case.x[:2] * 3)
    dx = layer.backward(case.dy)
    _, expected_dx, expected = case.results()
    assert_array_equal(dx, expected_dx)
    assert_same(layer.grads, expected)


def test_backward_assigns_and_never_accumulates(case):
    layer = case.built()
    for _ in range(2):
        layer.forward(case.x, training=True)
        layer.backward(case.dy)
    _, _, expected = case.results()
    assert_same(layer.grads, expected)


def test_gradients_of_an_earlier_batch_are_not_overwritten(case):
    layer = case.built()
    layer.forward(case.x, training=True)
    layer.backward(case.dy)
    earlier = dict(layer.grads)
    copies = {name: g.copy() for name, g in earlier.items()}
    layer.forward(2 * case.x, training=True)
    layer.backward(3 * case.dy)
    assert_same(earlier, copies)


def test_nothing_is_written_into_x_dy_or_the_parameters(case):
    layer = case.built()
    x, dy = case.x.copy(), case.dy.copy()
    before = {name: w.copy() for name, w in layer.params.items()}
    layer.forward(x, training=True)
    layer.backward(dy)
    layer.forward(x)
    assert_array_equal(x, case.x)
    assert_array_equal(dy, case.dy)
    assert_same(layer.params, before)


def test_read_only_images_are_allowed(case):
    x, dy = case.x.copy(), case.dy.copy()
    x.flags.writeable = dy.flags.writeable = False
    y, dx, grads = case.results(x, dy)
    expected_y, expected_dx, expected = case.results()
    assert_array_equal(y, expected_y)
    assert_array_equal(dx, expected_dx)
    assert_same(grads, expected)


def test_without_need_dx_the_gradients_are_the_same_and_dx_is_none(case):
    _, dx, grads = case.results(need_dx=False)
    assert dx is None
    _, _, expected = case.results()
    assert_same(grads, expected)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2]])
def test_the_memory_layout_does_not_matter(case, layout):
    rtol = 50 * np.finfo(case.dtype).eps  # sums may be added in another order
    y, dx, grads = case.results(layout(case.x), layout(case.dy))
    expected_y, expected_dx, expected = case.results()
    assert_allclose(y, expected_y, rtol, rtol)
    assert_allclose(dx, expected_dx, rtol, rtol)
    for name, g in grads.items():
        assert_allclose(g, expected[name], rtol, rtol)


def test_a_wrong_input_is_rejected_with_the_name_of_the_layer(case):
    layer = case.built()
    wider = np.concatenate([case.x, case.x], axis=-1)
    for bad in (wider, case.x[0], case.x[None], case.x[:0]):
        with pytest.raises(ShapeError, match=repr(layer.name)):
            layer.forward(bad, training=True)


@pytest.mark.parametrize("case", [case for case in CASES if len(case[1]) == 3], ids=names, indirect=True)
def test_swapped_height_and_width_are_rejected(case):
    with pytest.raises(ShapeError, match="expected an input of shape"):
        case.built().forward(case.x.transpose(0, 2, 1, 3))


def test_an_input_of_another_dtype_is_rejected(case):
    other = "float32" if case.dtype == np.float64 else "float64"
    for bad in (other, "int64", "uint8"):
        with pytest.raises(DTypeError, match=str(case.dtype)):
            case.built().forward(case.x.astype(bad))


def test_a_wrong_dy_is_rejected_and_backward_may_be_called_again(case):
    layer = case.built()
    layer.forward(case.x, training=True)
    for bad in (case.dy[:-1], case.dy[0], np.concatenate([case.dy, case.dy], axis=-1), case.dy[None]):
        with pytest.raises(ShapeError, match=repr(layer.name)):
            layer.backward(bad)
    dx = layer.backward(case.dy)
    _, expected_dx, expected = case.results()
    assert_array_equal(dx, expected_dx)
    assert_same(layer.grads, expected)


def test_a_dy_of_another_dtype_is_rejected(case):
    layer = case.built()
    layer.forward(case.x, training=True)
    other = "float32" if case.dtype == np.float64 else "float64"
    with pytest.raises(DTypeError, match=str(case.dtype)):
        layer.backward(case.dy.astype(other))


def test_forward_before_build_is_rejected(case):
    with pytest.raises(StateError, match="build"):
        case.make().forward(case.x)


def test_duplicating_the_batch_leaves_the_gradients_of_the_mean_loss_unchanged(case):
    def gradients(x, labels):
        layer, criterion = case.built(), SoftmaxCrossEntropy()
        y = layer.forward(x, training=True)
        criterion.forward(y.reshape(len(y), -1), labels)
        return layer.backward(criterion.backward().reshape(y.shape)), layer.grads

    labels = np.arange(N) % int(np.prod(case.output_shape))
    dx, grads = gradients(case.x, labels)
    dx_twice, grads_twice = gradients(np.concatenate([case.x, case.x]), np.concatenate([labels, labels]))
    tolerance = 100 * np.finfo(case.dtype).eps
    for name, g in grads_twice.items():
        assert_allclose(g, grads[name], tolerance, tolerance)
    if "Dropout" not in repr(case.make()):  # whose mask for the second half is another one
        assert_allclose(2 * dx_twice, np.concatenate([dx, dx]), tolerance, tolerance)


def test_config_gives_the_arguments_of_an_equal_layer(case):
    layer = case.built()
    layer.forward(case.x, training=True)  # moves a running average
    twin = type(layer)(**layer.config())
    assert twin.config() == layer.config()
    assert twin.build(case.input_shape, np.random.default_rng(0), case.dtype) == layer.output_shape
    assert twin.params.keys() == layer.params.keys()
    assert twin.state.keys() == layer.state.keys()
    twin.params.update(layer.params)
    twin.state.update(layer.state)
    assert_array_equal(twin.forward(case.x), layer.forward(case.x))


def test_the_repr_evaluates_to_an_equal_layer(case):
    layer = case.make()
    twin = eval(repr(layer), vars(layers).copy())
    assert type(twin) is type(layer)
    assert twin.config() == layer.config()


def test_the_same_seed_builds_the_same_layer(case):
    first, second = case.built(), case.built()
    assert_same(first.params, second.params)
    assert_array_equal(first.forward(case.x, training=True), second.forward(case.x, training=True))


def test_building_again_resets_the_layer(case):
    layer = case.built()
    layer.forward(case.x, training=True)
    layer.backward(case.dy)
    layer.forward(case.x, training=True)
    layer.build(case.input_shape, np.random.default_rng(0), case.dtype)
    fresh = case.make()
    fresh.build(case.input_shape, np.random.default_rng(0), case.dtype)
    assert layer.grads == {}
    assert_same(layer.params, fresh.params)
    assert_same(layer.state, fresh.state)
    with pytest.raises(StateError, match="forward"):
        layer.backward(case.dy)


def test_multiply_adds_are_those_of_the_matrix_product(case):
    layer = case.built()
    weights = layer.params["W"].size if "W" in layer.params else 0
    positions = int(np.prod(case.output_shape[:-1]))  # 1 for vectors
    assert layer.multiply_adds() == positions * weights
    assert layer.operations(case.input_shape) >= max(positions * weights, *case.output_shape)
