"""Optimizers: two steps by hand, weight decay, clipping, errors."""

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicnn.errors import ConfigError, StateError
from minicnn.layers import BatchNorm, Dense
from minicnn.model import Sequential
from minicnn.optimizers import SGD, Adam, AdamW, Optimizer

pytestmark = pytest.mark.quick


def tiny(w=1.0, b=0.5, dtype="float64"):
    """Return a model of one weight and one bias."""
    model = Sequential([Dense(1)], input_shape=(1,), dtype=dtype)
    layer = model.layers[0]
    layer.params["W"][:], layer.params["b"][:] = w, b
    return model


def walk(optimizer, gradients, model=None):
    """Take a step for each gradient, the same for W and b; return W and b after each step."""
    model = model or tiny()
    layer, path = model.layers[0], []
    for g in gradients:
        layer.grads = {name: np.full_like(w, g) for name, w in layer.params.items()}
        optimizer.step(model)
        path.append((layer.params["W"].item(), layer.params["b"].item()))
    return path


def assert_path(path, expected):
    assert np.array(path) == pytest.approx(np.array(expected), rel=1e-14)


def test_sgd_by_hand():
    # 1 − 0.1·2 = 0.8, − 0.1·4 = 0.4; the bias is 0.5 below.
    assert_path(walk(SGD(0.1), [2, 4]), [(0.8, 0.3), (0.4, -0.1)])


def test_momentum_by_hand():
    # v = 2: 1 − 0.1·2 = 0.8; v = 0.5·2 + 4 = 5: 0.8 − 0.1·5 = 0.3.
    assert_path(walk(SGD(0.1, momentum=0.5), [2, 4]), [(0.8, 0.3), (0.3, -0.2)])


def test_nesterov_by_hand():
    # v = 2, step g + 0.5·v = 3: 1 − 0.3 = 0.7; v = 0.5·2 + 4 = 5, step 4 + 2.5 = 6.5: 0.7 − 0.65 = 0.05.
    assert_path(walk(SGD(0.1, momentum=0.5, nesterov=True), [2, 4]), [(0.7, 0.2), (0.05, -0.45)])


def test_gradients_whose_norm_is_too_large_are_scaled_to_it():
    # Two gradients of 3 and 4: ‖g‖ = 5, clipped to 2.5 they are 1.5 and 2; to 5 they stay.
    for most, expected in ((2.5, (0.85, 0.3)), (5.0, (0.7, 0.1))):
        model = tiny()
        model.layers[0].grads = {"W": np.full((1, 1), 3.0), "b": np.full(1, 4.0)}
        SGD(0.1, global_clipnorm=most).step(model)
        layer = model.layers[0]
        assert (layer.params["W"].item(), layer.params["b"].item()) == pytest.approx(expected, rel=1e-14)
        assert (layer.grads["W"].item(), layer.grads["b"].item()) == (3, 4)


def test_weight_decay_is_not_clipped():
    # ‖(30, 40)‖ = 50 is clipped to 5, g = (3, 4); then λ·w = 0.2·1 is added to W's: 1 − 0.1·3.2, 0.5 − 0.1·4.
    model = tiny()
    model.layers[0].grads = {"W": np.full((1, 1), 30.0), "b": np.full(1, 40.0)}
    SGD(0.1, weight_decay=0.2, global_clipnorm=5).step(model)
    arrays = model.arrays()
    assert arrays["dense_1.W"].item() == pytest.approx(0.68, rel=1e-14)
    assert arrays["dense_1.b"].item() == pytest.approx(0.1, rel=1e-14)


def test_a_norm_beyond_float32_is_clipped():
    # ‖(1e30, 1e30)‖ = √2·1e30, clipped to √2: 1 − 1, 0.5 − 1.
    path = walk(SGD(1.0, global_clipnorm=2**0.5), [1e30], tiny(dtype="float32"))
    assert path == [(pytest.approx(0, abs=1e-6), pytest.approx(-0.5))]


@pytest.mark.parametrize("wrong", [0, -1, math.inf, math.nan, True, "1"])
@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW])
def test_the_clipping_norm_must_be_above_0(optimizer, wrong):
    with pytest.raises(ConfigError, match="global_clipnorm must be a number in"):
        optimizer(global_clipnorm=wrong)
    changed = optimizer(global_clipnorm=1)
    changed.global_clipnorm = wrong
    with pytest.raises(ConfigError, match="global_clipnorm must be a number in"):
        walk(changed, [1])


@pytest.mark.parametrize("wrong", [None, "0.9", [0.5], -1, math.nan])
@pytest.mark.parametrize(
    ("optimizer", "name"),
    [(SGD, "momentum"), (SGD, "weight_decay"), (Adam, "beta_1"), (Adam, "beta_2"), (AdamW, "epsilon")],
)
def test_an_invalid_number_raises_at_the_next_step(optimizer, name, wrong):
    changed, model = optimizer(), tiny()
    setattr(changed, name, wrong)
    with pytest.raises(ConfigError, match=rf"{name} must be a number in"):
        walk(changed, [1], model)
    assert changed.steps == 0
    assert model.arrays()["dense_1.W"].item() == 1


def test_the_learning_rate_may_change_between_steps_and_momentum_is_not_rescaled():
    # v = 2: 1 − 0.1·2 = 0.8; then η = 0.01 and v = 5: 0.8 − 0.01·5 = 0.75.
    optimizer, model = SGD(0.1, momentum=0.5), tiny()
    walk(optimizer, [2], model)
    optimizer.learning_rate = 0.01
    assert_path(walk(optimizer, [4], model), [(0.75, 0.25)])


def test_l2_by_hand():
    # g = 2 + 0.5·1 = 2.5: 1 − 0.25 = 0.75; g = 4 + 0.5·0.75 = 4.375: 0.75 − 0.4375 = 0.3125. No decay of b.
    assert_path(walk(SGD(0.1, weight_decay=0.5), [2, 4]), [(0.75, 0.3), (0.3125, -0.1)])


def test_l2_goes_through_the_momentum():
    # g = 2.5 = v: 0.75; g = 4.375, v = 0.5·2.5 + 4.375 = 5.625: 0.75 − 0.5625 = 0.1875.
    path = walk(SGD(0.1, momentum=0.5, weight_decay=0.5), [2, 4])
    assert_path(path, [(0.75, 0.3), (0.1875, -0.2)])


def test_decoupled_decay_by_hand():
    # 1·(1 − 0.1·0.5) − 0.1·2 = 0.95 − 0.2 = 0.75; v = 5: 0.75·0.95 − 0.5 = 0.2125.
    path = walk(SGD(0.1, momentum=0.5, weight_decay=0.5, decoupled=True), [2, 4])
    assert_path(path, [(0.75, 0.3), (0.2125, -0.2)])


def test_adam_by_hand():
    # β₁ = 0.5, β₂ = 0.75. Step 1, g = 2: m = 1, m̂ = 1/0.5 = 2; s = 0.25·4 = 1, ŝ = 1/0.25 = 4:
    #   step m̂/(√ŝ + ε) = 2/(2 + 1) with ε = 1; 1 − 0.3·2/3 = 0.8.
    # Step 2, g = 4: m = 0.5 + 2 = 2.5, m̂ = 2.5/0.75 = 10/3; s = 0.75 + 4 = 4.75, ŝ = 4.75/0.4375 = 76/7.
    second = 0.3 * (10 / 3) / (math.sqrt(76 / 7) + 1)
    path = walk(Adam(0.3, beta_1=0.5, beta_2=0.75, epsilon=1), [2, 4])
    assert_path(path, [(0.8, 0.3), (0.8 - second, 0.3 - second)])


def test_adam_with_l2_by_hand():
    # Every first step of Adam is ±η·|g|/(|g| + ε): of W g = −0.3 + 0.5·1 = 0.2, of b g = −0.3.
    path = walk(Adam(0.1, epsilon=0.1, weight_decay=0.5), [-0.3])
    assert_path(path, [(1 - 0.1 * 0.2 / 0.3, 0.5 + 0.1 * 0.3 / 0.4)])


def test_adamw_by_hand():
    # The decay is beside the step: 1·(1 − 0.1·0.5) + 0.1·0.3/0.4. The default decay is 0.01.
    path = walk(AdamW(0.1, epsilon=0.1, weight_decay=0.5), [-0.3])
    assert_path(path, [(0.95 + 0.075, 0.5 + 0.075)])
    assert_path(walk(AdamW(0.1, epsilon=0.1), [-0.3]), [(0.999 + 0.075, 0.5 + 0.075)])


def test_adam_at_the_first_step_moves_by_the_learning_rate_whatever_the_size_of_the_gradient():
    for g in (1e-3, 1e3):
        assert walk(Adam(0.1), [g])[0][0] == pytest.approx(0.9, rel=1e-5)


OPTIMIZERS = {
    "sgd": lambda **more: SGD(0.1, **more),
    "sgd decoupled": lambda **more: SGD(0.1, decoupled=True, **more),
    "momentum": lambda **more: SGD(0.1, momentum=0.9, **more),
    "nesterov": lambda **more: SGD(0.1, momentum=0.9, nesterov=True, **more),
    "adam": lambda **more: Adam(0.1, **more),
    "adam decoupled": lambda **more: Adam(0.1, decoupled=True, **more),
    "adamw": lambda **more: AdamW(0.1, **more),
}
EVERY = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def with_norm(dtype="float64"):
    model = Sequential([Dense(3), BatchNorm(), Dense(2)], input_shape=(4,), dtype=dtype)
    for layer in model.layers:
        layer.params = {name: np.ones_like(w) for name, w in layer.params.items()}
        layer.grads = {name: np.zeros_like(w) for name, w in layer.params.items()}
    return model


@EVERY
def test_only_weights_decay_and_with_decay_all_everything_does(make):
    for decay_all, expected in ((False, {"W"}), (True, {"W", "b", "gamma", "beta"})):
        model = with_norm()
        make(weight_decay=0.1, decay_all=decay_all).step(model)
        params = [(name, w) for layer in model.layers for name, w in layer.params.items()]
        assert {name for name, w in params if (w < 1).all()} == expected
        assert {name for name, w in params if (w == 1).all()} == {"W", "b", "gamma", "beta"} - expected


@EVERY
def test_float32_stays_float32(make):
    model = with_norm("float32")
    optimizer = make(weight_decay=0.1)
    for _ in range(2):
        optimizer.step(model)
    held = [w for layer in model.layers for w in layer.params.values()]
    held += [moment for moments in optimizer._state.values() for moment in moments]
    assert {a.dtype for a in held} == {np.dtype("float32")}


@EVERY
def test_parameters_are_updated_in_place_and_gradients_unchanged(make):
    model = with_norm()
    rng = np.random.default_rng(0)
    for layer in model.layers:
        layer.grads = {name: rng.normal(size=w.shape) for name, w in layer.params.items()}
        for g in layer.grads.values():
            g.flags.writeable = False
    arrays = model.arrays()
    optimizer = make(weight_decay=0.1)
    for _ in range(2):
        optimizer.step(model)
    assert all(model.arrays()[name] is array for name, array in arrays.items())


@EVERY
def test_each_parameter_has_its_own_state(make):
    # Two layers with the same parameter names: together they take the same steps as alone.
    model = Sequential([Dense(1), Dense(1)], input_shape=(1,), dtype="float64")
    optimizer, alone = make(), [walk(make(), gradients) for gradients in ([2, 4, 8], [-1, 0.5, 3])]
    for layer in model.layers:
        layer.params["W"][:], layer.params["b"][:] = 1.0, 0.5
    for g0, g1 in zip([2, 4, 8], [-1, 0.5, 3], strict=True):
        for layer, g in zip(model.layers, (g0, g1), strict=True):
            layer.grads = {name: np.full_like(w, g) for name, w in layer.params.items()}
        optimizer.step(model)
    for layer, path in zip(model.layers, alone, strict=True):
        assert (layer.params["W"].item(), layer.params["b"].item()) == path[-1]


@EVERY
def test_a_model_without_gradients_is_rejected_before_anything_is_updated(make):
    model = with_norm()
    model.layers[2].grads = {}
    before = {name: a.copy() for name, a in model.arrays().items()}
    for layer in model.layers[:2]:
        layer.grads = {name: np.ones_like(w) for name, w in layer.params.items()}
    optimizer = make()
    with pytest.raises(StateError, match=r"'dense_2'.*backward"):
        optimizer.step(model)
    assert optimizer.steps == 0
    for name, a in model.arrays().items():
        assert_array_equal(a, before[name])


@EVERY
@pytest.mark.parametrize("rate", [float("nan"), -1, "fast", None])
def test_an_invalid_learning_rate_raises_at_the_step(make, rate):
    model, optimizer = with_norm(), make()
    optimizer.learning_rate = rate
    with pytest.raises(ConfigError, match="learning_rate must be a number in"):
        optimizer.step(model)
    assert all((w == 1).all() for layer in model.layers for w in layer.params.values())


def test_moments_are_checked_before_anything_is_updated():
    optimizer, model = Adam(0.1), tiny()
    walk(optimizer, [2], model)
    before = model.arrays()["dense_1.W"].copy()
    optimizer.moments("dense_1.b", model.layers[0].params["b"], 2).pop()
    with pytest.raises(StateError, match=r"dense_1.b: expected 2 running averages, there are 1: make a new"):
        optimizer.step(model)
    assert_array_equal(model.arrays()["dense_1.W"], before)


def test_a_gradient_without_a_parameter_raises():
    model = tiny()
    model.layers[0].grads = {name: np.ones(1) for name in ("W", "b", "c")}
    with pytest.raises(StateError, match="'dense_1' has gradients of c, which are not parameters"):
        SGD(0.1).step(model)


class Heavy(Optimizer):
    """A custom optimizer that only defines the direction."""

    def __init__(self):
        super().__init__(0.1, 0.0, False, False)

    def _direction(self, key, g):
        (v,) = self.moments(key, g, 1)
        v *= 0.5
        v += g
        return v


def test_a_custom_optimizer_need_not_declare_its_moments():
    assert_path(walk(Heavy(), [2, 4, 8]), walk(SGD(0.1, momentum=0.5), [2, 4, 8]))


@EVERY
def test_a_step_raises_nothing_where_something_underflows(make):
    with np.errstate(all="raise"):
        walk(make(), [1.2e-38] * 2, tiny(dtype="float32"))


def test_steps_are_counted():
    optimizer = SGD(0.1)
    walk(optimizer, [1, 1, 1])
    assert optimizer.steps == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SGD(0), "learning_rate"),
        (lambda: SGD(-0.1), "learning_rate"),
        (lambda: SGD(float("nan")), "learning_rate"),
        (lambda: SGD(0.1, momentum=1), "momentum"),
        (lambda: SGD(0.1, momentum=-0.1), "momentum"),
        (lambda: SGD(0.1, nesterov=True), "nesterov"),
        (lambda: SGD(0.1, weight_decay=-1), "weight_decay"),
        (lambda: SGD(0.1, weight_decay=float("nan")), "weight_decay"),
        (lambda: Adam(0), "learning_rate"),
        (lambda: Adam(beta_1=1), "beta_1"),
        (lambda: Adam(beta_2=-0.1), "beta_2"),
        (
            lambda: Adam(beta_2=0),
            "beta_2 must be above 0, such as 0.999: .* gradient is 0 once",
        ),
        (lambda: AdamW(beta_2=0), "beta_2 must be above 0"),
        (lambda: Adam(epsilon=0), "epsilon"),
        (lambda: AdamW(weight_decay=-0.1), "weight_decay"),
        (lambda: AdamW(beta_2=1), "beta_2"),
    ],
)
def test_bad_arguments_are_rejected_by_name(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_one_optimizer_does_not_train_two_models():
    optimizer = SGD(0.1, momentum=0.5)
    walk(optimizer, [2])
    other = tiny()
    with pytest.raises(ConfigError, match="make one for each model"):
        walk(optimizer, [2], other)
    assert other.layers[0].params["W"].item() == 1.0
