"""The synthetic garments depend on the seed alone, are balanced, and too hard for a linear classifier."""

import numpy as np
import pytest

from minicnn.data import load, synthetic
from minicnn.data.synthetic import GARMENTS, draw
from minicnn.errors import ConfigError


def test_shape_dtype_and_names():
    data = synthetic.generate(3)
    assert data.images.shape == (3, 28, 28, 1)
    assert data.images.dtype == np.uint8
    assert data.labels.shape == (3,)
    assert data.class_names == (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
    assert data.name == "synthetic"


def test_the_seed_decides():
    first, again, other = (synthetic.generate(60, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.images != other.images).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("n", [1, 500, 501])
def test_an_image_does_not_depend_on_how_many_there_are(n):
    some, more = synthetic.generate(n, 4), synthetic.generate(1100, 4)
    np.testing.assert_array_equal(some.images, more.images[:n])
    np.testing.assert_array_equal(some.labels, more.labels[:n])


def test_no_image_comes_twice():
    data = synthetic.generate(1500)  # three chunks
    assert len(np.unique(data.images.reshape(1500, -1), axis=0)) == 1500


@pytest.mark.parametrize("n", [7, 1234])
def test_classes_are_balanced_in_a_shuffled_order(n):
    data = synthetic.generate(n)
    assert np.ptp(data.class_counts()) <= 1
    assert len({tuple(ten) for ten in data.labels[: n // 10 * 10].reshape(-1, 10)}) == n // 10


def test_garments_are_light_on_black_and_inside_the_picture():
    data = synthetic.generate(1000)
    for label in range(10):
        images = data.images[data.labels == label]
        corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.mean() < 30
        assert images.max(axis=(1, 2, 3)).min() > 60  # something can be seen in each


@pytest.mark.parametrize(
    ("name", "light", "dark"),
    [
        # points (x, y) that every garment of the class covers, and points that none does
        ("T-shirt/top", [(0, 0.5), (0.3, 0.3)], [(0, -0.95), (0.75, 0.4), (0, 0.97)]),
        ("Trouser", [(0.25, 0.2), (-0.25, 0.2)], [(0, 0.7), (0.7, -0.5), (0, 0.99)]),
        ("Pullover", [(0, 0), (0.65, 0.4)], [(0, -0.9), (0.75, -0.5)]),
        ("Dress", [(0, 0.3), (0.1, 0.6)], [(0.75, 0), (0.4, -0.9)]),
        ("Coat", [(0.3, 0.1), (0.65, 0.4)], [(0, 0.2), (0, 0.5), (0.75, -0.5)]),
        ("Sandal", [(-0.3, 0.45)], [(0, -0.4), (0.1, 0), (0, 0.8)]),
        ("Shirt", [(0.25, 0.1), (-0.25, 0.5)], [(0, -0.9), (0.75, -0.5)]),
        ("Sneaker", [(0.4, 0.2), (-0.5, 0.3)], [(-0.5, -0.3), (0, 0.8), (0.55, -0.35)]),
        ("Bag", [(0.3, 0.52), (-0.3, 0.52)], [(0.95, -0.3), (0, -0.97), (0, 0.99)]),
        ("Ankle boot", [(0.4, -0.3), (-0.3, 0.3)], [(-0.5, -0.3), (-0.4, 0.8), (0.6, -0.95)]),
    ],
)
def test_a_garment_is_drawn_where_it_belongs(name, light, dark):
    points = np.float32([light + dark] * 200)  # one row of points for each of 200 garments
    picture = draw(name, points[:, None, :, 0], points[:, None, :, 1], np.random.default_rng(0))[:, 0]
    assert picture.dtype == np.float32
    assert (picture[:, : len(light)] > 0.3).mean(axis=0).min() > 0.95
    assert (picture[:, len(light) :] < 0.3).mean(axis=0).min() > 0.95


def mean_pictures(images, labels):
    """Each class's mean picture less that of all, (10, pixels), mirrored or not."""
    means = np.stack([images[labels == label].mean(axis=0) for label in range(10)])
    means = (means + means[:, :, ::-1]).reshape(10, -1)
    return means - means.mean(axis=0)


def test_a_label_goes_with_the_picture_of_its_class():
    line = np.float32((np.arange(28) + 0.5) / 14 - 1) / np.float32(0.9)  # generated garments' mean size
    x, y = (np.stack([axis] * 100) for axis in np.meshgrid(line, line))
    drawn = np.concatenate([0.6 * draw(name, x, y, np.random.default_rng(0)) for name in GARMENTS])
    templates = mean_pictures(drawn, np.repeat(np.arange(10), 100))
    data = synthetic.generate(3000)
    generated = mean_pictures(data.images[..., 0], data.labels)
    likeness = np.corrcoef(templates, generated)[:10, 10:]  # templates down, generated across
    np.testing.assert_array_equal(likeness.argmax(axis=0), np.arange(10))


@pytest.mark.parametrize(
    ("n", "seed", "message"),
    [
        (0, 0, "n must be a whole number of at least 1, got 0"),
        (2.0, 0, "n must be a whole number of at least 1, got 2.0"),
        (5, -1, "seed must be a whole number of at least 0, got -1"),
        (5, None, "seed must be a whole number of at least 0, got None"),
    ],
)
def test_rejects_a_bad_size_or_seed(n, seed, message):
    with pytest.raises(ConfigError, match=message):
        synthetic.generate(n, seed)


def softmax_regression(x, y, steps):
    """Weights (pixels + 1, 10) of a linear classifier: Adam on the whole set, its rate falling to zero."""
    w, m, v = (np.zeros((x.shape[1], 10), np.float32) for _ in range(3))
    for step in range(steps):
        logits = x @ w
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(x)), y] -= 1
        gradient = x.T @ p / len(x)
        m += 0.1 * (gradient - m)
        v += 0.01 * (gradient**2 - v)
        w -= 0.01 * (1 - step / steps) * m / (np.sqrt(v) + 1e-6)
    return w


def test_a_linear_classifier_learns_something_but_not_enough():
    train, test = load("synthetic", sizes=(8000, 2000))

    def flat(data):
        pixels = data.images.reshape(len(data), -1).astype(np.float32) / 255
        return np.c_[pixels, np.ones(len(data), np.float32)]

    w = softmax_regression(flat(train), train.labels, steps=100)
    accuracy = ((flat(test) @ w).argmax(axis=1) == test.labels).mean()
    assert 0.6 < accuracy < 0.85
