import numpy as np
import pytest

from minicnn import checks, losses, optimizers, schedules
from minicnn import layers as L
from minicnn.errors import ConfigError, DTypeError, ShapeError


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ("(0, ∞)", [1e-9, 1e9], [0, -1, np.inf]),
        ("[0, ∞)", [0, 3], [-1e-9, np.inf]),
        ("(0, 1)", [0.5], [0, 1]),
        ("[0, 1)", [0, 0.99], [1, -0.1]),
        ("(0, 1]", [0.01, 1], [0, 1.1]),
        ("[0, 1]", [0, 1], [-0.1, 1.1]),
        ("(−∞, ∞)", [-1e300, 1e300], [np.inf, -np.inf]),
    ],
)
def test_an_interval_ends_where_its_brackets_say(interval, inside, outside):
    for value in inside:
        assert checks.number(value, "x", interval) == value
    for value in [*outside, np.nan, "0.5", None, [0.5], 0.5j]:
        with pytest.raises(ConfigError, match="x must be a number in"):
            checks.number(value, "x", interval)


def test_every_interval_is_tested():
    assert len(checks.INTERVALS) == 7


def test_a_number_becomes_a_plain_float():
    assert type(checks.number(np.float32(0.5), "x", "[0, 1]")) is float


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", None, True, np.float64(2)])
def test_other_than_a_whole_number_is_rejected(value):
    with pytest.raises(ConfigError, match="n must be a whole number of at least 1"):
        checks.whole_number(value, "n")


@pytest.mark.parametrize("value", [2**31, 10**30, 10**5000], ids=["2^31", "10^30", "10^5000"])
def test_a_size_larger_than_any_array_is_rejected(value):
    assert checks.size(2**31 - 1, "n") == checks.LARGEST_SIZE
    for refuse in (
        lambda: checks.size(value, "n"),
        lambda: checks.shape((28, value), "n"),
        lambda: L.Conv2D(2, (3, value)),
        lambda: L.Conv2D(2, 3, strides=value),
        lambda: L.Conv2D(value, 3),
        lambda: L.Conv2D(2, 3, padding=value),
        lambda: L.Conv2D(2, 3, dilation_rate=value),
        lambda: L.MaxPool2D(value),
        lambda: L.Dense(value),
    ):
        with pytest.raises(ConfigError, match="must be at most 2,147,483,647"):
            refuse()


def test_a_shape_with_too_many_axes_is_rejected():
    assert checks.shape((1,) * 16, "input_shape") == (1,) * 16
    with pytest.raises(ConfigError, match="input_shape must have at most 16 axes, got 17"):
        checks.shape((1,) * 17, "input_shape")


@pytest.mark.parametrize("value", [10**400, -(10**400), 10**5000], ids=["10^400", "-10^400", "10^5000"])
def test_a_number_too_large_for_a_float_is_rejected(value):
    for interval in checks.INTERVALS:
        with pytest.raises(ConfigError, match="x must be a number in"):
            checks.number(value, "x", interval)


def test_a_value_that_cannot_be_printed_is_rejected_too():
    endless = []
    endless.append(endless)
    for value in (-(10**5000), endless, "x" * 10**6):
        with pytest.raises(ConfigError, match="n must be a whole number") as caught:
            checks.whole_number(value, "n")
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [(), 28, "28", None, (28, 0), (28, 1.5), np.array([28, 28])])
def test_other_than_a_shape_is_rejected(value):
    with pytest.raises(ConfigError, match="input_shape must be"):
        checks.shape(value, "input_shape")


@pytest.mark.parametrize("value", ["int32", "float16", np.uint8, None, 32])
def test_only_two_dtypes_are_allowed(value):
    with pytest.raises(ConfigError, match="dtype must be"):
        checks.float_dtype(value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.Dropout(None),
        lambda: L.LeakyReLU("a"),
        lambda: L.BatchNorm(momentum=1),
        lambda: L.BatchNorm(epsilon=np.inf),
        lambda: L.Dense(3, kernel_initializer=["he_normal"]),
        lambda: L.Dense(3, use_bias="no"),
        lambda: L.Conv2D(3, 3, use_bias=0),
        lambda: optimizers.SGD(True),
        lambda: optimizers.SGD(0.1, momentum=0.9, nesterov="yes"),
        lambda: optimizers.Adam(decoupled=None),
        lambda: optimizers.AdamW(decay_all=1),
        lambda: losses.SoftmaxCrossEntropy("x"),
        lambda: optimizers.SGD("0.1"),
        lambda: optimizers.SGD(np.inf),
        lambda: optimizers.Adam(weight_decay=np.inf),
        lambda: schedules.Cosine("0.1"),
        lambda: schedules.Step(0.1, milestones=0.5),
        lambda: schedules.Constant(0.1, warmup_steps=2.5),
    ],
)
def test_every_constructor_rejects_arguments_of_another_type(make):
    with pytest.raises(ConfigError):
        make()


def test_lists_and_integer_logits_are_rejected():
    layer = L.Dense(2)
    layer.build((3,), np.random.default_rng(0))
    with pytest.raises(DTypeError, match="NumPy or CuPy array"):
        layer.forward([[1.0, 2.0, 3.0]])
    loss = losses.SoftmaxCrossEntropy()
    with pytest.raises(DTypeError, match="NumPy or CuPy array"):
        loss.forward([[0.0, 1.0]], np.array([0]))
    with pytest.raises(DTypeError, match="floating logits"):
        loss.forward(np.array([[0, 1]]), np.array([0]))
    with pytest.raises(ShapeError, match="K ≥ 1"):
        loss.forward(np.empty((2, 0)), np.array([0, 0]))


def test_a_flag_becomes_a_plain_bool():
    assert L.Dense(3, use_bias=np.bool_(False)).use_bias is False
