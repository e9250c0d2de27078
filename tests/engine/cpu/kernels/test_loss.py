"""The loss kernel equals ``losses.SoftmaxCrossEntropy``, also in parts, and hides no NaN."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicnn.engine.cpu.kernels.loss import softmax_cross_entropy
from minicnn.losses import SoftmaxCrossEntropy
from tests.engine.cpu.blockwise import UNIT, UNTOUCHED
from tests.strategies import normal, seeds, whole


def run(logits, labels, smoothing=0.0, first=0, last=None):
    """Return the sum of the losses, the number of correct predictions, and dlogits."""
    logits = np.array(logits, "float32")
    N, K = logits.shape
    dlogits = np.full(logits.size, UNTOUCHED)
    total, correct = softmax_cross_entropy(
        logits.reshape(-1),
        np.array(labels, np.int64),
        first,
        N if last is None else last,
        N,
        K,
        float(smoothing),
        dlogits,
    )
    return total, correct, dlogits.reshape(N, K)


def assert_same_as_the_loss(logits, labels, smoothing=0.0):
    """Compare with the loss in float64; a row's loss is a number no larger than its spread + log K."""
    total, correct, dlogits = run(logits, labels, smoothing)
    logits, labels = np.array(logits, "float32").astype("float64"), np.array(labels)
    criterion = SoftmaxCrossEntropy(smoothing)
    expected = criterion.forward(logits, labels) * len(logits)
    K = logits.shape[1]
    spread = np.ptp(np.where(np.isfinite(logits), logits, 0), axis=1) + np.log(K)
    error = (K + 8) * UNIT
    assert_allclose(total, expected, rtol=0, atol=error * (spread + 1).sum())
    assert_allclose(dlogits, criterion.backward(), rtol=0, atol=2 * error / len(logits))
    assert correct == (logits.argmax(axis=1) == labels).sum()


@given(
    st.integers(1, 9),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.1, 0.9]),
    st.sampled_from([0.1, 1, 10, 1e4]),
    st.sampled_from([normal, whole]),
    seeds,
)
def test_loss_gradient_and_correct_answers_equal_those_of_the_loss(N, K, smoothing, scale, draw, seed):
    logits = scale * draw(seed, (N, K), "float32")
    assert_same_as_the_loss(logits, np.random.default_rng(seed).integers(0, K, N), smoothing)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_logits_of_ten_thousand_do_not_overflow(smoothing):
    assert_same_as_the_loss([[1e4, -1e4, 0], [-1e4, 1e4, 1e4], [1e4, 1e4, 1e4]], [0, 0, 2], smoothing)


def test_the_first_of_equal_largest_logits_is_the_answer():
    logits = [[5, 5, 1], [5, 5, 1], [1, 5, 5], [2, 2, 2]]
    assert [run([row], [label])[1] for row, label in zip(logits, [0, 1, 1, 2], strict=True)] == [1, 0, 1, 0]
    assert_same_as_the_loss(logits, [0, 1, 1, 2])


def test_an_impossible_class_is_ignored_unless_it_is_the_target():
    total, correct, dlogits = run([[-np.inf, 2, 1, -np.inf]], [1])
    expected, _, d = run([[2, 1]], [0])
    assert (total, correct) == (expected, 1)
    assert_array_equal(dlogits, [[0, *d[0], 0]])
    assert_same_as_the_loss([[-np.inf, 2, 1, -np.inf]], [1])


@pytest.mark.parametrize(("label", "smoothing"), [(0, 0.0), (1, 0.1)])
def test_an_impossible_target_costs_infinity(label, smoothing):
    assert run([[-np.inf, 2, 1]], [label], smoothing)[0] == np.inf


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_nan_and_plus_infinity_anywhere_give_a_nan_loss(bad, place, label):
    logits = [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]
    logits[0][place] = bad
    assert np.isnan(run(logits, [label, 0])[0])


def test_a_single_class_costs_nothing():
    total, correct, dlogits = run([[3.0], [-1e4]], [0, 0])
    assert (total, correct) == (0, 2)
    assert_array_equal(dlogits, [[0], [0]])


@given(st.integers(1, 9), st.integers(0, 9), seeds)
def test_parts_of_the_batch_add_up_and_write_only_their_own_rows(N, cut, seed):
    cut = min(cut, N)
    logits, labels = normal(seed, (N, 5), "float32"), np.random.default_rng(seed).integers(0, 5, N)
    total, correct, dlogits = run(logits, labels)
    one, other = run(logits, labels, last=cut), run(logits, labels, first=cut)
    assert one[0] + other[0] == pytest.approx(total, rel=1e-15 * N)
    assert one[1] + other[1] == correct
    assert_array_equal(np.concatenate([one[2][:cut], other[2][cut:]]), dlogits)
    assert_array_equal(one[2][cut:], UNTOUCHED)
    assert_array_equal(other[2][:cut], UNTOUCHED)
