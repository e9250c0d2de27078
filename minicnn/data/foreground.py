"""Finding the one object in a picture: what stands out from the background.

A photograph of a digit also shows the crumbs on the paper, the table beside it and the shadow of the hand.
So the background is guessed in several ways, and the first on which the object stands free is used::

    plane          a plane through the border, which allows for uneven light
    reached        what is reached from the border without a sharp edge on the way: shadows are soft
    plane, inside  a plane through a frame a little inside: rulings and edges are at the border

An object stands free if it does not touch the border and most of the border is background. If it stands
free on none, it fills the picture: then the plane is the background, and only specks are removed.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

FAINTEST = 0.05 * 255  # an object differs from its background by more than this, as in Fashion-MNIST
EDGE = 0.2  # the object's edge, as a share of its contrast: JPEG artifacts beside edges are fainter
NOISE = 6  # the object differs from its background by more than this many standard deviations of its noise
SMALL = 40  # narrower pictures are drawings made for the model, and everything in them is the object
LARGE = 200  # narrower pictures are not photographs: no shadows, and a few pixels are not a soft edge
# Parts with a smaller share of the largest part's ink are specks: near it, and far from it.
SPECK, FAR_SPECK = 0.05, 0.2
FAR = 0.25  # of the largest part's longer side: the bar of a 5 is nearer than that, a staple is not
ALONG = 0.3  # of its height and width at the border: a table runs along the border, a cut stroke does not
QUIET = 0.7  # the share of the border that is background, at least, if the object stands free
SOFT = 0.35  # the slope of a shadow's edge, at most, as a share of the picture's steepest slopes
ENCLOSED = 0.3  # a region that differs less from the background, as a share of the most, is background too
DARKEST = 0.4  # a shadow leaves this share of the light, at least
STRONGEST = 0.75  # of the largest difference from the plane: no shadow is so dark, so this is ink
CLEAR = 0.05  # of height and width: an object within a shadow is at least so far from the border
INSIDE = 0.06  # of height and width: how far the inner frame is from the border


class Guess(NamedTuple):
    """What stands out from one guess at the background."""

    raw: np.ndarray  # (h, w): how far each pixel differs from the background, 0 where it is background
    cleaned: np.ndarray  # (h, w): the same, without specks and what is at the border
    free: bool  # whether it stands free


def foreground(gray: np.ndarray, invert: bool | None = None) -> np.ndarray:
    """Return how far each pixel of the object differs from the background, and 0 everywhere else.

    ``gray`` is (h, w) floating, 0…255, and so is the result, or the part of it in an inner frame. ``invert``
    is whether the object is darker than the background; if None, the stronger difference decides.
    """
    background, noise = plane(gray)
    difference, found = _differing(gray, background, noise, invert)
    if min(gray.shape) < SMALL:
        return found
    first = _guess(difference, found)
    even = NOISE * noise <= EDGE * difference.max()  # else the background may not be a plane
    if first.free and even:
        return first.cleaned
    if min(gray.shape) >= LARGE:
        guess = _guess(*_differing(gray, *_reached(gray, background, noise), invert))
        if guess.free and _clear(guess.cleaned) and _keeps_the_strongest(guess.raw, difference):
            return guess.cleaned
    if first.free:
        return first.cleaned
    inner = gray[tuple(slice(k, n - k) for n in gray.shape for k in [round(INSIDE * n)])]
    guess = _guess(*_differing(inner, *plane(inner), invert))
    if guess.free:
        return guess.cleaned
    labels, ink = _parts(found)
    return np.where(_no_specks(labels, ink)[labels], found, 0)


def plane(gray: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit a plane to the border of a picture (h, w); return the plane, (h, w), and the noise around it.

    Least trimmed squares: the plane fits the better half of the border, so it does not matter if the
    object touches the other half. The noise is the standard deviation, from the median residual.

    Source: P. Rousseeuw, K. van Driessen, "Computing LTS Regression for Large Data Sets", 2006, the
    C-step in section 2.
    """
    rows, columns = np.indices(gray.shape)
    terms = np.stack([np.ones(gray.shape), rows / len(gray), columns / len(gray[0])], axis=-1)
    on = _border(gray.shape)
    seen, at = gray[on], terms[on]
    fitted = np.array([np.median(seen), 0, 0])
    for _ in range(10):
        residuals = np.abs(seen - at @ fitted)
        better = residuals <= np.median(residuals)
        fitted = np.linalg.lstsq(at[better], seen[better])[0]
    return terms @ fitted, _deviation(seen - at @ fitted)


def _border(shape: tuple[int, int]) -> np.ndarray:
    """Return where a picture has its outermost pixels, (h, w) bool."""
    on = np.ones(shape, bool)
    on[1:-1, 1:-1] = False
    return on


def _deviation(residuals: np.ndarray) -> float:
    """Return the standard deviation of normal residuals, robust against outliers."""
    return 1.4826 * np.median(np.abs(residuals))


def _differing(
    gray: np.ndarray, background: np.ndarray, noise: float, invert: bool | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far a picture differs from its background toward the object, and the same without noise."""
    difference = gray - background
    if invert is None:
        invert = -difference.min() > difference.max()
    if invert:
        difference = -difference
    least = max(FAINTEST, EDGE * difference.max(), NOISE * noise)
    return difference, np.where(difference > least, difference, 0)


def _reached(gray: np.ndarray, background: np.ndarray, noise: float) -> tuple[np.ndarray, float]:
    """Return the background reached from the border without crossing a sharp edge, and its noise.

    It starts where the border fits the plane ``background``. Behind the object it is the nearest pixel of the
    background, smoothed. Enclosed regions that are similar, as within a zero, are background, too.
    """
    start = _border(gray.shape) & (np.abs(gray - background) <= max(FAINTEST, 3 * noise))
    light = np.median(gray[start])
    lit = (gray > DARKEST * light - FAINTEST) & (gray < light / DARKEST + FAINTEST)
    slope = ndimage.gaussian_gradient_magnitude(gray, 2)
    regions, count = ndimage.label((slope < SOFT * np.percentile(slope, 99.5)) & lit)
    is_background = np.zeros(count + 1, bool)
    is_background[regions[start]] = True
    is_background[0] = False
    if not is_background.any():
        return background, noise
    smooth = ndimage.gaussian_filter(gray, 2)
    away = np.abs(smooth - _filled(smooth, is_background[regions]))
    is_background[1:] |= ndimage.mean(away, regions, range(1, count + 1)) < ENCLOSED * away.max()
    reached = is_background[regions]
    return _filled(smooth, reached), _deviation((gray - smooth)[reached])


def _filled(smooth: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return a smoothed picture where it is known, and elsewhere its nearest value, smoothed once more."""
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.where(known, smooth, ndimage.gaussian_filter(smooth[tuple(nearest)], max(smooth.shape) / 50))


def _clear(found: np.ndarray) -> bool:
    """Whether an object is clear of the border; the rest of one that a soft edge cuts off is not."""
    rows, columns = (round(CLEAR * n) for n in found.shape)
    return np.count_nonzero(found[rows:-rows, columns:-columns]) == np.count_nonzero(found)


def _keeps_the_strongest(found: np.ndarray, difference: np.ndarray) -> bool:
    """Whether the object has most of the pixels that differ most from the plane, as ink does in a shadow."""
    toward = difference if np.vdot(found, difference) > 0 else -difference
    strongest = toward > STRONGEST * toward.max()
    return bool(np.count_nonzero(found[strongest]) >= 0.5 * np.count_nonzero(strongest))


def _guess(difference: np.ndarray, found: np.ndarray) -> Guess:
    """Remove what is at the border, and specks; see whether the rest stands free."""
    labels, ink = _parts(found)
    on = _border(found.shape)
    contact = np.bincount(labels[on], minlength=len(ink))
    contact[0] = 0
    ink[_surroundings(labels, contact, ink)] = 0
    main = ink.argmax()
    free = bool(ink[main] > 0) and contact[main] == 0
    keep = _no_specks(labels, ink)
    if free:
        keep &= contact == 0
        quiet = np.abs(difference[on]) <= max(FAINTEST, EDGE * difference.max())
        free = bool(quiet.mean() >= QUIET)
    return Guess(found, np.where(keep[labels], found, 0), free)


def _parts(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the connected parts of an object, numbered from 1, (h, w) int, and the ink of each number."""
    labels, count = ndimage.label(found > 0, np.ones((3, 3)))
    return labels, np.bincount(labels.ravel(), found.ravel(), count + 1)


def _surroundings(labels: np.ndarray, contact: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """Return which parts surround the object: (parts + 1,) bool.

    They touch the border and are not in the middle of the picture; they run along the border, or there is a
    larger part that does not touch it.
    """
    h, w = labels.shape
    central = np.zeros(len(ink), bool)
    central[labels[h // 3 : h - h // 3, w // 3 : w - w // 3]] = True
    extent = np.array([0, *(sum(s.stop - s.start for s in box) for box in ndimage.find_objects(labels))])
    largest_inside = ink[contact == 0].max()
    return (contact > 0) & ~central & ((contact > ALONG * extent) | (ink < largest_inside))


def _no_specks(labels: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """Return which parts have enough ink beside the largest, (parts + 1,) bool; far ones need more."""
    if not ink.any():
        return ink > 0
    boxes = ndimage.find_objects(labels)
    main = boxes[ink.argmax() - 1]
    far = FAR * max(s.stop - s.start for s in main)
    share = [1.0, *(FAR_SPECK if _gap(box, main) > far else SPECK for box in boxes)]
    return ink >= np.array(share) * ink.max()


def _gap(one: tuple[slice, slice], other: tuple[slice, slice]) -> int:
    """Return how many rows, or columns, lie between two boxes."""
    return max(max(a.start - b.stop, b.start - a.stop) for a, b in zip(one, other, strict=True))
