"""Synthetic garments: a data set that needs no download, for tests, demonstrations and first steps.

Images are drawn in chunks. A chunk has its own random generator and is always drawn whole, so image
i is the same however many images are asked for.
"""

import numpy as np

from minicnn.checks import whole_number
from minicnn.data.dataset import Dataset
from minicnn.data.garments import GARMENTS, Canvas
from minicnn.data.shapes import SIZE

CHUNK = 500  # images drawn at once: a multiple of the classes; the arrays stay in the processor's cache

# Pattern of the fabric: waves across and down (radians from edge to center), and whether they follow
# the diagonals. Plain cloth has none.
PATTERNS = np.array(
    [
        # across, down, diagonal
        (0, 0, 0),  # plain
        (0, 14, 0),  # stripes across the body
        (14, 0, 0),  # stripes along it
        (12, 12, 0),  # checks
        (20, 20, 1),  # knit
    ],
    dtype=np.float32,
)


def generate(n: int, seed: int = 0) -> Dataset:
    """Draw n synthetic garments, 28×28 and gray, of the ten classes of Fashion-MNIST.

    Shape, fabric, pose and noise vary. The classes come in a shuffled order, each once in every ten
    images, so any first part of the data set is balanced.

    Parameters
    ----------
    n : int
        How many images, at least 1.
    seed : int
        The same seed gives the same images, and ``generate(n)`` begins with those of a smaller n.

    Returns
    -------
    Dataset
        Images uint8 (n, 28, 28, 1), labels int64 (n,).

    Raises
    ------
    ConfigError
        When n is not a positive integer or the seed not a non-negative one.
    """
    whole_number(n, "n")
    whole_number(seed, "seed", 0)
    images = np.empty((n, SIZE, SIZE, 1), np.uint8)
    labels = np.empty(n, np.int64)
    for start in range(0, n, CHUNK):
        sequence = np.random.SeedSequence(seed, spawn_key=(start // CHUNK,))
        chunk_images, chunk_labels = _chunk(np.random.default_rng(sequence))
        stop = min(start + CHUNK, n)
        images[start:stop] = chunk_images[: stop - start, :, :, None]
        labels[start:stop] = chunk_labels[: stop - start]
    return Dataset(images, labels, tuple(GARMENTS), "synthetic")


def _chunk(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one chunk: images uint8 (CHUNK, 28, 28) and labels int64 (CHUNK,)."""
    classes = len(GARMENTS)
    labels = rng.permuted(np.tile(np.arange(classes), (CHUNK // classes, 1)), axis=1).ravel()
    images = np.empty((CHUNK, SIZE, SIZE), np.uint8)
    for label, draw in enumerate(GARMENTS.values()):
        canvas = _pose(rng, CHUNK // classes)
        picture = draw(canvas, _fabric(canvas))
        images[labels == label] = _expose(rng, picture)
    return images, labels


def _pose(rng: np.random.Generator, m: int) -> Canvas:
    """Canvas of m images, each shifted, turned, scaled and sheared a little."""
    angle, shear = rng.uniform(-0.25, 0.25, (2, m, 1, 1)).astype(np.float32)
    shift_x, shift_y = rng.uniform(-0.25, 0.25, (2, m, 1, 1)).astype(np.float32)
    scale_x, scale_y = rng.uniform(0.75, 1.05, (2, m, 1, 1)).astype(np.float32)
    scale_x *= rng.choice(np.float32([-1, 1]), (m, 1, 1))  # half of them mirrored
    line = (np.arange(SIZE, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / SIZE) - 1
    x, y = line[None, None, :] - shift_x, line[None, :, None] - shift_y
    turned_x = (np.cos(angle) * x + np.sin(angle) * y) / scale_x
    turned_y = (np.cos(angle) * y - np.sin(angle) * x) / scale_y
    return Canvas(turned_x + shear * turned_y, turned_y, rng)


def _fabric(c: Canvas) -> np.ndarray:
    """Tone of the cloth at each pixel, float32 (M, 28, 28): a color, a pattern, a fall of light."""
    across, down, diagonal = PATTERNS[c.rng.integers(len(PATTERNS), size=len(c.x))].T[:, :, None, None]
    x, y = c.x + diagonal * c.y, c.y - diagonal * c.x
    stretch, depth = c.vary(0.8, 1.4), c.vary(0.1, 0.3)
    # sin(0) = 0: without waves the two terms vanish and the cloth is plain.
    pattern = depth * (np.sin(across * stretch * x) + np.sin(down * stretch * y))
    light = c.vary(-0.2, 0.2) * c.x + c.vary(-0.2, 0.2) * c.y
    return np.clip(c.vary(0.3, 0.95) * (1 + pattern + light), 0.08, 1)


def _expose(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Turn a picture around 0…1 into uint8, with noise of a strength that differs between images."""
    strength = rng.uniform(0.01, 0.08, (len(picture), 1, 1)).astype(np.float32)
    noisy = picture + strength * rng.standard_normal(picture.shape, dtype=np.float32)
    return (np.clip(noisy, 0, 1) * 255 + 0.5).astype(np.uint8)
