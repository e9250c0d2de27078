"""Softmax cross-entropy: against the naive loops, at extreme logits, and its gradient."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import losses
from minicnn.errors import ConfigError, DataError, DTypeError, ShapeError, StateError
from minicnn.losses import SoftmaxCrossEntropy, log_softmax, softmax
from tests import oracle
from tests.strategies import normal, seeds

pytestmark = pytest.mark.quick

sizes = st.integers(1, 6)
smoothings = st.sampled_from([0.0, 0.1, 0.5])


def one_hot(labels, K):
    target = np.zeros((len(labels), K))
    for n, label in enumerate(labels):
        target[n, label] = 1
    return target


def draw_batch(seed, N, K):
    """Return logits, labels and probabilities (some of them 0)."""
    rng = np.random.default_rng(seed)
    probabilities = rng.random((N, K)) * (rng.random((N, K)) < 0.7)
    probabilities[:, 0] += 0.1
    return (
        3 * rng.normal(size=(N, K)),
        rng.integers(K, size=N),
        probabilities / probabilities.sum(1, keepdims=True),
    )


@given(N=sizes, K=sizes, smoothing=smoothings, seed=seeds)
def test_the_loss_and_its_gradient_equal_the_loops(N, K, smoothing, seed):
    logits, labels, probabilities = draw_batch(seed, N, K)
    for targets, plain in ((labels, one_hot(labels, K)), (probabilities, probabilities)):
        smoothed = (1 - smoothing) * plain + smoothing / K
        expected, expected_gradient = oracle.softmax_cross_entropy(logits, smoothed)
        criterion = SoftmaxCrossEntropy(smoothing)
        assert criterion(logits, targets) == pytest.approx(expected, rel=1e-12, abs=1e-13)
        assert criterion.forward(logits, targets) == pytest.approx(expected, rel=1e-12, abs=1e-13)
        assert_allclose(criterion.backward(), expected_gradient, rtol=1e-11, atol=1e-14)


@given(N=sizes, K=sizes, smoothing=smoothings, seed=seeds)
def test_the_gradient_equals_the_numerical_one(N, K, smoothing, seed):
    logits, labels, probabilities = draw_batch(seed, N, K)
    criterion = SoftmaxCrossEntropy(smoothing)
    for targets in (labels, probabilities):
        criterion.forward(logits, targets)
        expected = oracle.numerical_gradient(lambda targets=targets: criterion(logits, targets), logits)
        assert_allclose(criterion.backward(), expected, rtol=1e-6, atol=1e-9)


@given(N=sizes, K=sizes, seed=seeds)
def test_labels_equal_one_hot_probabilities(N, K, seed):
    logits, labels, _ = draw_batch(seed, N, K)
    by_label, by_probability = SoftmaxCrossEntropy(0.2), SoftmaxCrossEntropy(0.2)
    assert by_label.forward(logits, labels) == by_probability.forward(logits, one_hot(labels, K))
    assert_array_equal(by_label.backward(), by_probability.backward())


def test_by_hand():
    # softmax(0, ln 3) = (1/4, 3/4); the mean of −ln 1/4 and −ln 3/4; gradients (p − t) / 2.
    logits = np.array([[0, math.log(3)], [0, math.log(3)]])
    criterion = SoftmaxCrossEntropy()
    loss = criterion.forward(logits, np.array([0, 1]))
    assert loss == pytest.approx((math.log(4) + math.log(4 / 3)) / 2, rel=1e-15)
    assert_allclose(criterion.backward(), [[-3 / 8, 3 / 8], [1 / 8, -1 / 8]], rtol=1e-15)


def test_label_smoothing_by_hand():
    # α = 0.3, K = 3: the target is (0.8, 0.1, 0.1). Equal logits: p = 1/3, the loss ln 3.
    criterion = SoftmaxCrossEntropy(0.3)
    assert criterion.forward(np.zeros((1, 3)), np.array([0])) == pytest.approx(math.log(3), rel=1e-15)
    assert_allclose(criterion.backward(), [[1 / 3 - 0.8, 1 / 3 - 0.1, 1 / 3 - 0.1]], rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_of_ten_thousand_are_exact(dtype):
    logits = np.array([[1e4, -1e4, 0], [1e4, -1e4, 0], [-1e4, -1e4, -1e4]], dtype)
    assert_array_equal(log_softmax(logits)[:2], [[0, -2e4, -1e4]] * 2)
    assert_allclose(log_softmax(logits)[2], -math.log(3), rtol=np.finfo(dtype).eps)
    criterion = SoftmaxCrossEntropy()
    assert criterion.forward(logits[:2], np.array([0, 1])) == 1e4  # the mean of 0 and 20000
    assert_array_equal(criterion.backward(), [[0, 0, 0], [0.5, -0.5, 0]])


def test_a_certain_prediction_has_loss_zero_if_right_and_a_finite_one_if_wrong():
    logits = np.array([[800.0, 0.0]])
    assert str(SoftmaxCrossEntropy()(logits, np.array([0]))) == "0.0"  # not -0.0
    assert SoftmaxCrossEntropy()(logits, np.array([1])) == 800


def test_a_logit_of_minus_infinity_is_ignored_where_the_target_is_zero():
    logits = np.array([[0.0, -np.inf, math.log(3)]])
    criterion = SoftmaxCrossEntropy()
    for targets in (np.array([0]), np.array([[1.0, 0.0, 0.0]])):
        assert criterion.forward(logits, targets) == pytest.approx(math.log(4), rel=1e-15)
        assert_allclose(criterion.backward(), [[-0.75, 0, 0.75]], rtol=1e-15)
    assert criterion(logits, np.array([1])) == math.inf


def test_nan_in_the_logits_is_not_hidden():
    assert math.isnan(SoftmaxCrossEntropy()(np.array([[np.nan, 1.0], [0.0, 0.0]]), np.array([1, 0])))


@given(N=sizes, K=sizes, seed=seeds, shift=st.sampled_from([0, -700, 5000]))
def test_softmax_is_a_distribution_and_invariant_to_shifts(N, K, seed, shift):
    logits = normal(seed, (N, K))
    p = softmax(logits + shift)
    assert_allclose(p.sum(axis=1), np.ones(N), rtol=1e-14)
    assert_allclose(p, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), rtol=1e-11)
    assert_allclose(log_softmax(logits), np.log(softmax(logits)), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "targets", [np.array([0, 1]), np.eye(2), np.eye(2, dtype="float32"), np.eye(2, dtype=int)]
)
@pytest.mark.parametrize("smoothing", [0, 0.1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_has_the_dtype_of_the_logits(dtype, smoothing, targets):
    criterion = SoftmaxCrossEntropy(smoothing)
    logits = np.ones((2, 2), dtype)
    assert type(criterion.forward(logits, targets)) is float
    assert criterion.backward().dtype == logits.dtype
    assert log_softmax(logits).dtype == softmax(logits).dtype == logits.dtype


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "uint64"])
def test_labels_may_have_any_integer_dtype(dtype):
    logits = normal(0, (3, 4))
    expected = SoftmaxCrossEntropy()(logits, np.array([3, 0, 2]))
    assert SoftmaxCrossEntropy()(logits, np.array([3, 0, 2], dtype)) == expected


def test_nothing_is_written_into_the_arguments():
    for targets in (np.array([1, 0]), np.array([[0.25, 0.75], [1, 0]])):
        logits, before = normal(0, (2, 2)), targets.copy()
        logits.flags.writeable = targets.flags.writeable = False
        criterion = SoftmaxCrossEntropy(0.1)
        criterion.forward(logits, targets)
        criterion.backward()
        assert_array_equal(logits, normal(0, (2, 2)))
        assert_array_equal(targets, before)


def test_each_backward_needs_its_own_forward():
    criterion, logits, labels = SoftmaxCrossEntropy(), normal(0, (2, 3)), np.array([0, 1])
    criterion(logits, labels)  # keeps nothing
    with pytest.raises(StateError, match="forward"):
        criterion.backward()
    criterion.forward(logits, labels)
    criterion(2 * logits, labels)  # does not affect the saved values
    expected = oracle.softmax_cross_entropy(logits, one_hot(labels, 3))[1]
    assert_allclose(criterion.backward(), expected, rtol=1e-12, atol=1e-14)
    with pytest.raises(StateError, match="forward"):
        criterion.backward()


@pytest.mark.parametrize("bad", [-0.1, 1, 1.5, float("nan")])
def test_a_bad_smoothing_is_rejected(bad):
    with pytest.raises(ConfigError, match="label_smoothing"):
        SoftmaxCrossEntropy(bad)


@pytest.mark.parametrize(
    ("logits", "targets", "error", "words"),
    [
        (np.zeros(3), np.array([0, 1, 2]), ShapeError, "logits"),
        (np.zeros((2, 3, 1)), np.array([0, 1]), ShapeError, "logits"),
        (np.zeros((0, 3)), np.zeros(0, int), ShapeError, "N ≥ 1"),
        (np.zeros((2, 3)), np.array([0, 1, 2]), ShapeError, r"labels of shape \(2,\)"),
        (np.zeros((2, 3)), np.zeros((2, 4)), ShapeError, r"\(2, 3\)"),
        (np.zeros((2, 3)), np.array([[0], [1]]), ShapeError, r"\(2, 1\)"),
        (np.zeros((2, 3)), np.array([0.0, 1.0]), DTypeError, "integer labels"),
        (np.zeros((2, 3)), np.array([False, True]), DTypeError, "integer labels"),
        (np.zeros((2, 3)), np.array([0, 3]), DataError, "0 … 2"),
        (np.zeros((2, 3)), np.array([-1, 0]), DataError, "0 … 2"),
        (
            np.zeros((1, 2)),
            np.array([[0.5, 0.6]]),
            DataError,
            r"row 0 .* sum is 1\.1, expected 1 to rounding",
        ),
        (np.zeros((2, 2)), np.array([[0.5, 0.5], [0.5, 0.501]]), DataError, r"row 1 .* sum is 1\.001,"),
        (np.zeros((2, 2)), np.array([[0.5, 0.5], [0.5, 0.499]]), DataError, r"row 1 .* sum is 0\.999,"),
        (np.zeros((2, 2)), np.array([[3, 1], [1, 0]]), DataError, "row 0 .* sum is 4, .* pass targets / "),
        (np.zeros((2, 2)), np.array([[1, 0], [0, 0]]), DataError, "row 1 .* all are 0: remove such rows"),
        (
            np.zeros((1, 2)),
            np.array([[1.5, -0.5]]),
            DataError,
            r"row 0 .* smallest is -0\.5, expected at",
        ),
        (np.zeros((1, 2)), np.array([[np.nan, 0.5]]), DataError, "row 0 .* sum is NaN or infinite"),
        (np.zeros((1, 2)), np.array([[np.inf, 0.5]]), DataError, "row 0 .* sum is NaN or infinite"),
        (np.zeros((1, 2)), np.array([[np.inf, -np.inf]]), DataError, "row 0 .* sum is NaN or infinite"),
        (np.zeros((1, 2)), np.array([["1", "0"]]), DTypeError, "probabilities as numbers, got <U1"),
        (np.zeros((1, 2)), np.array([[1 + 0j, 0]]), DTypeError, "probabilities as numbers, got complex128"),
    ],
)
def test_unusable_targets_are_rejected(logits, targets, error, words):
    with pytest.raises(error, match=words):
        SoftmaxCrossEntropy().forward(logits, targets)


@pytest.mark.parametrize("logits_dtype", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(N=sizes, K=st.sampled_from([1, 2, 3, 10, 100, 1000]), spread=st.sampled_from([0.1, 3, 8]), seed=seeds)
def test_a_sum_of_1_up_to_rounding_is_allowed(logits_dtype, dtype, N, K, spread, seed):
    logits, scores = normal(seed, (N, K), logits_dtype), (spread * normal(seed + 1, (N, K))).astype(dtype)
    divided = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    for targets in (divided, np.asfortranarray(divided), softmax(scores)):
        expected = oracle.softmax_cross_entropy(logits.astype(float), targets.astype(float))[0]
        assert SoftmaxCrossEntropy()(logits, targets) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_probability_too_small_for_the_logits_is_0():
    with np.errstate(all="raise"):
        loss = SoftmaxCrossEntropy()(np.zeros((1, 2), "float32"), np.array([[1e-300, 1]]))
    assert loss == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("logits_dtype", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_more_than_rounding_is_rejected(logits_dtype, dtype):
    eps = max(np.finfo(dtype).eps, np.finfo(logits_dtype).eps)
    for error in (-20 * eps, 20 * eps, -1e-4, 1e-4):
        targets = np.array([[0.25, 0.75], [0.25, 0.75 + error]], dtype)
        with pytest.raises(DataError, match=r"row 1 .* expected 1 to rounding"):
            SoftmaxCrossEntropy()(np.zeros((2, 2), logits_dtype), targets)


rows = st.sampled_from(
    [
        np.array([[3, 1, 0], [0, 0, 7]]),
        np.array([[255, 0, 0], [0, 255, 255]], "uint8"),
        np.array([[True, True, False], [True, False, False]]),
        np.array([[0.3, 0.3, 0.3], [1e-30, 0, 0]], "float32"),
        np.array([[3e38, 3e38, 3e38], [1e-45, 1e-45, 0]], "float32"),
        np.array([[6e4, 6e4, 6e4], [6e-8, 0, 0]], "float16"),
        np.array([[5e-324, 0, 0], [1e300, 1e300, 1]]),
    ]
)


@pytest.mark.parametrize("logits_dtype", ["float32", "float64"])
@given(targets=rows | st.builds(lambda seed: np.abs(normal(seed, (4, 3), "float32")), seeds))
def test_the_advice_followed_to_the_letter_is_right(logits_dtype, targets):
    logits = normal(0, (len(targets), 3), logits_dtype)
    with pytest.raises(DataError) as refused:
        SoftmaxCrossEntropy()(logits, targets)
    advised = eval(str(refused.value).partition("pass ")[2], {"targets": targets})
    exact = targets.astype(float) / targets.astype(float).sum(axis=1, keepdims=True)
    expected = oracle.softmax_cross_entropy(logits.astype(float), exact)[0]
    assert SoftmaxCrossEntropy()(logits, advised) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_suggested_code_turns_logits_into_probabilities(dtype):
    targets = normal(1, (5, 4), dtype)
    with pytest.raises(DataError) as refused:
        SoftmaxCrossEntropy()(np.zeros((5, 4), dtype), targets)
    advised = eval(str(refused.value).partition("pass ")[2], {"targets": targets, "losses": losses})
    assert SoftmaxCrossEntropy()(np.zeros((5, 4), dtype), advised) == pytest.approx(math.log(4), rel=1e-6)


@pytest.mark.parametrize("wrong", [None, math.nan, -1, 1, "0.1"])
def test_a_label_smoothing_that_is_set_later_is_checked_too(wrong):
    loss = SoftmaxCrossEntropy(0.1)
    with pytest.raises(ConfigError, match="label_smoothing must be a number in"):
        loss.label_smoothing = wrong
    assert loss.label_smoothing == 0.1


def test_logits_of_whole_numbers_are_an_error():
    with pytest.raises(DTypeError, match="expected floating logits, got int64"):
        SoftmaxCrossEntropy().forward(np.zeros((2, 3), np.int64), np.zeros(2, np.int64))
