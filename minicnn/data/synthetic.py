"""Synthetic garments: a data set that needs no download, for tests, demonstrations and first steps.

A garment is a list of strokes, painted one after the other. Every stroke, the fabric, the pose and the noise
vary from image to image, so that a linear classifier fails and a small CNN does not.
"""

import numpy as np

from minicnn.checks import whole_number
from minicnn.data.dataset import Dataset

SIZE = 28
PIXEL = 2 / SIZE  # a picture spans −1…1 in both directions
CHUNK = 500  # images drawn at once, a multiple of the classes: the arrays stay in the processor's cache

# Strokes (x, y, to x, to y, radius, radius at the end, tone): x to the right, y down, both −1…1. The tone is
# relative to the fabric: 0 cuts a hole. Symmetric garments are drawn on both sides; shoes point to the left.
_TORSO = [(0.2, -0.5, 0.2, 0.7, 0.28, 0.28, 1), (0, 1.15, 0.6, 1.15, 0.3, 0.3, 0)]
_LONG_SLEEVES = [(0.4, -0.52, 0.72, 0.55, 0.17, 0.12, 1), (0.46, -0.2, 0.52, 0.75, 0.03, 0.02, 0.4)]
_NECK = [(0, -0.85, 0, -0.8, 0.2, 0.2, 0)]
_FLAT_SOLE = [(-1, 0.75, 1, 0.75, 0.25, 0.25, 0)]

# fmt: off
GARMENTS = {
    "T-shirt/top": [*_TORSO, (0.4, -0.55, 0.66, -0.15, 0.18, 0.15, 1), *_NECK],
    "Trouser": [
        (0.14, -0.75, 0.3, 0.8, 0.2, 0.15, 1),
        (0, 0, 0, 0.95, 0.01, 0.1, 0),  # between the legs
        (0, -0.75, 0.35, -0.75, 0.03, 0.03, 0.4),  # waistband
    ],
    "Pullover": [
        *_TORSO, *_LONG_SLEEVES, *_NECK,
        (0, -0.48, 0.26, -0.72, 0.05, 0.05, 0.4),  # collar
        (0, 0.7, 0.45, 0.7, 0.05, 0.05, 0.4),  # hem
    ],
    "Dress": [
        (0.05, -0.7, 0.02, -0.2, 0.2, 0.16, 1),
        (0, -0.2, 0.2, 0.75, 0.16, 0.22, 1),
        *_NECK,
        (0, -0.2, 0.3, -0.2, 0.04, 0.04, 0.4),  # belt
    ],
    "Coat": [
        *_TORSO, *_LONG_SLEEVES, *_NECK,
        (0, -0.5, 0, 0.6, 0.1, 0.1, 0.1),  # open front
        (0.05, 0, 0.25, -0.7, 0.05, 0.07, 0.4),  # lapels
        (0.2, 0.35, 0.36, 0.35, 0.04, 0.04, 0.3),  # pockets
    ],
    "Sandal": [
        (-0.8, 0.45, -0.2, 0.45, 0.06, 0.06, 1),
        (-0.2, 0.45, 0.75, 0.2, 0.06, 0.06, 1),
        (0.75, 0.2, 0.78, 0.5, 0.06, 0.05, 1),  # heel
        (-0.75, 0.4, -0.45, 0.05, 0.05, 0.05, 1), (-0.45, 0.05, -0.2, 0.4, 0.05, 0.05, 1),
        (0.25, 0.3, 0.45, -0.2, 0.05, 0.05, 1), (0.45, -0.2, 0.75, 0.2, 0.05, 0.05, 1),
    ],
    "Shirt": [
        *_TORSO, *_LONG_SLEEVES, *_NECK,
        (0.07, -0.5, 0.07, 0.8, 0.03, 0.03, 0.5),  # button strip
        (0.06, -0.5, 0.24, -0.72, 0.08, 0.06, 1.7),  # collar
        (0.26, -0.25, 0.38, -0.25, 0.06, 0.06, 0.5),  # pockets
    ],
    "Sneaker": [
        (-0.6, 0.3, 0.1, 0.2, 0.17, 0.25, 1),
        (0.1, 0.15, 0.55, 0.1, 0.3, 0.3, 1),
        (0.4, -0.3, 0.65, -0.3, 0.18, 0.18, 0), *_FLAT_SOLE,
        (-0.72, 0.44, 0.78, 0.44, 0.08, 0.08, 1.7),  # sole
        (-0.25, 0.05, 0.1, -0.15, 0.06, 0.06, 0.4),  # laces
    ],
    "Bag": [
        (0, 0.38, 0.35, 0.38, 0.36, 0.36, 1), (0.5, 0.2, 0.5, 0.56, 0.2, 0.2, 1),
        (0.4, 0, 0.3, -0.5, 0.06, 0.06, 1), (0.3, -0.5, 0, -0.6, 0.06, 0.06, 1),
        (0, 0.25, 0.7, 0.25, 0.04, 0.04, 0.4),  # flap
        (0, 0.28, 0, 0.3, 0.09, 0.09, 1.7),  # clasp
    ],
    "Ankle boot": [
        (-0.6, 0.3, 0.3, 0.2, 0.18, 0.3, 1),
        (0.42, -0.5, 0.4, 0.2, 0.26, 0.3, 1),  # shaft
        *_FLAT_SOLE, (0.55, 0.45, 0.6, 0.65, 0.13, 0.11, 1),  # sole and heel
        (-0.7, 0.46, 0.7, 0.46, 0.05, 0.05, 0.4),  # seam above the sole
        (0.3, -0.2, 0.35, 0.15, 0.08, 0.06, 0.4),  # elastic
    ],
}
# fmt: on
_SHOES = ("Sandal", "Sneaker", "Ankle boot")


def generate(n: int, seed: int = 0) -> Dataset:
    """Draw n synthetic garments, 28×28 and gray, of the ten classes of Fashion-MNIST.

    The classes come in a shuffled order, each once in every ten images.

    Parameters
    ----------
    n : int
        How many images, at least 1.
    seed : int
        At least 0. The same seed gives the same images, and ``generate(n)`` begins with those of a smaller n.

    Returns
    -------
    Dataset
        Images uint8 (n, 28, 28, 1), labels int64 (n,).
    """
    whole_number(n, "n")
    whole_number(seed, "seed", 0)
    images = np.empty((n, SIZE, SIZE, 1), np.uint8)
    labels = np.empty(n, np.int64)
    # Each chunk has its own random generator and is drawn whole: image i is the same for any n.
    for start in range(0, n, CHUNK):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(start // CHUNK,)))
        stop = min(start + CHUNK, n)
        images[start:stop], labels[start:stop] = (drawn[: stop - start] for drawn in _chunk(rng))
    return Dataset(images, labels, tuple(GARMENTS), "synthetic")


def _chunk(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one chunk: images uint8 (CHUNK, 28, 28, 1) and labels int64 (CHUNK,)."""
    m, classes = CHUNK // len(GARMENTS), np.arange(len(GARMENTS))
    labels = rng.permuted(np.tile(classes, (m, 1)), axis=1).ravel()
    images = np.empty((CHUNK, SIZE, SIZE, 1), np.uint8)
    for label, name in enumerate(GARMENTS):
        x, y = _pose(rng, m)
        picture = draw(name, x, y, rng) * _fabric(rng, x, y)
        picture += _vary(rng, m, 0.01, 0.08) * rng.standard_normal(picture.shape, np.float32)
        images[labels == label, ..., 0] = np.rint(np.clip(picture, 0, 1) * 255)
    return images, labels


def draw(name: str, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint the strokes of a garment at pixels ``x``, ``y``; return their tones, all float32 (M, H, W).

    A stroke is a line with round ends, whose radius changes along it. How much of a pixel it covers follows
    from the distance to its edge. Source: I. Quilez, "2D distance functions",
    https://iquilezles.org/articles/distfunctions2d/.
    """
    m, x = len(x), x if name in _SHOES else np.abs(x)
    tones = np.zeros_like(x)
    for *line, radius, end_radius, tone in GARMENTS[name]:
        x0, y0, x1, y1 = (_vary(rng, m, value - 0.07, value + 0.07) for value in line)
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy + 1e-6), 0, 1)
        width = _vary(rng, m, 0.8, 1.2) * (radius + (end_radius - radius) * along)
        distance = np.hypot(x - x0 - along * dx, y - y0 - along * dy) - width
        tones += np.clip(0.5 - distance / PIXEL, 0, 1) * (tone - tones)
    return tones


def _pose(rng: np.random.Generator, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates of m images: each shifted, turned, sheared and scaled, half of them mirrored."""
    shift_x, shift_y, angle, shear = (_vary(rng, m, -0.25, 0.25) for _ in range(4))
    scale_x, scale_y = (_vary(rng, m, 0.75, 1.05) for _ in range(2))
    scale_x *= rng.choice(np.array([-1, 1], np.float32), (m, 1, 1))
    line = (np.arange(SIZE, dtype=np.float32) + 0.5) * PIXEL - 1
    x, y = line[None, None, :] - shift_x, line[None, :, None] - shift_y
    turned_x = (np.cos(angle) * x + np.sin(angle) * y) / scale_x
    turned_y = (np.cos(angle) * y - np.sin(angle) * x) / scale_y
    return turned_x + shear * turned_y, turned_y


def _fabric(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tone of the cloth at each pixel, float32 (M, 28, 28): color, stripes or checks, and light."""
    m = len(x)
    waves = np.array([0, 14], np.float32)
    across, down = (rng.choice(waves, (m, 1, 1)) * _vary(rng, m, 0.8, 1.6) for _ in range(2))
    pattern = _vary(rng, m, 0.1, 0.3) * (np.sin(across * x) + np.sin(down * y))
    light = _vary(rng, m, -0.2, 0.2) * x + _vary(rng, m, -0.2, 0.2) * y
    return np.clip(_vary(rng, m, 0.4, 0.95) * (1 + pattern + light), 0.08, 1)


def _vary(rng: np.random.Generator, m: int, low: float, high: float) -> np.ndarray:
    """One number for each image, uniform in low…high, float32 (m, 1, 1)."""
    return np.float32(low) + np.float32(high - low) * rng.random((m, 1, 1), np.float32)
