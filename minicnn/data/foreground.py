"""What stands out in a picture: one object on a ground, whatever else the picture shows.

A photograph of a digit also shows the crumbs on the paper, the table beside it and the shadow of the hand.
So there are several guesses at the ground, and the first is taken on which the object stands free::

    plane          a plane through the border, which allows for uneven light
    reached        what is reached from the border without a sharp edge on the way: shadows are soft
    plane, inside  a plane through a frame a little inside: rulings and edges are at the border

An object stands free if it does not touch the border and most of the border is ground. If it does on none,
it fills the picture: then the plane is the ground, and nothing but specks is left out.
"""

from typing import NamedTuple

import numpy as np

FAINTEST = 0.05 * 255
"""An object differs from its ground by more than this, as in Fashion-MNIST."""

EDGE = 0.2
"""The object's edge, as a share of its contrast: what JPEG leaves beside edges is fainter."""

NOISE = 6
"""The object differs from its ground by more than this many standard deviations of the ground's noise."""

SMALL = 40
"""Narrower pictures are drawings, made for the model: all that stands out is the object."""

LARGE = 200
"""Narrower pictures are no photographs, and have no shadows: a few pixels are no soft edge."""

SPECK, FAR_SPECK = 0.05, 0.2
"""Parts with a smaller share of the largest part's ink are left out: near it, and far from it."""

FAR = 0.25
"""As a share of the largest part's longer side: the bar of a 5 is nearer than that, a staple is not."""

ALONG = 0.3
"""What has this share of its height and width at the border runs along it: a table, not a cut stroke."""

QUIET = 0.7
"""The share of the border that is ground, at least, if the object stands free."""

SOFT = 0.35
"""The slope of a shadow's edge, at most, as a share of the slope of the picture's sharpest edges."""

ENCLOSED = 0.3
"""What differs less from the ground around it, as a share of the strongest difference, is ground."""

DARKEST = 0.4
"""A shadow leaves this share of the light, at least."""

STRONGEST = 0.75
"""What differs from the plane by this share of the largest difference is ink: no shadow is so dark."""

CLEAR = 0.05
"""How far from the border an object within a shadow is, at least, as a share of height and width."""

INSIDE = 0.06
"""How far the inner frame is from the border, as a share of height and width."""


class Guess(NamedTuple):
    """What stands out from one guess at the ground."""

    raw: np.ndarray  # (h, w): how far each pixel differs from the ground, 0 where it is ground
    cleaned: np.ndarray  # (h, w): the same, without specks and what is at the border
    free: bool  # whether it stands free


def foreground(gray: np.ndarray, invert: bool | None = None) -> np.ndarray:
    """Return how far each pixel of the object differs from the ground; 0 is the ground, and all else.

    Parameters
    ----------
    gray : (h, w) float, 0…255
    invert : bool, optional
        Whether the object is darker than the ground; None: the stronger difference decides.

    Returns
    -------
    found : (h, w) float, at least 0, or what an inner frame holds of it
    """
    ground, noise = plane(gray)
    difference, found = _differing(gray, ground, noise, invert)
    if min(gray.shape) < SMALL:
        return found
    first = _guess(difference, found)
    even = NOISE * noise <= EDGE * difference.max()  # else the plane may not be what the ground is
    if first.free and even:
        return first.cleaned
    if min(gray.shape) >= LARGE:
        guess = _guess(*_differing(gray, *_reached(gray, ground, noise), invert))
        if guess.free and _clear(guess.cleaned) and _keeps_the_strongest(guess.raw, difference):
            return guess.cleaned
    if first.free:
        return first.cleaned
    inner = gray[tuple(slice(k, n - k) for n in gray.shape for k in [round(INSIDE * n)])]
    guess = _guess(*_differing(inner, *plane(inner), invert))
    return guess.cleaned if guess.free else _without_specks(found)


def plane(gray: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit a plane to the border of a picture (h, w); return the plane, (h, w), and the noise around it.

    Least trimmed squares: the plane fits the better half of the border, so it does not matter when the
    object touches the other half. The noise is the standard deviation, from the median residual.

    Source: P. Rousseeuw, K. van Driessen, "Computing LTS Regression for Large Data Sets", 2006, the
    C-step in section 2.
    """
    rows, columns = np.indices(gray.shape)
    terms = np.stack([np.ones(gray.shape), rows / len(gray), columns / len(gray[0])], axis=-1)
    on = border(gray)
    seen, at = gray[on], terms[on]
    fitted = np.array([np.median(seen), 0, 0])
    for _ in range(10):
        residuals = np.abs(seen - at @ fitted)
        better = residuals <= np.median(residuals)
        fitted = np.linalg.lstsq(at[better], seen[better])[0]
    return terms @ fitted, _deviation(seen - at @ fitted)


def border(pixels: np.ndarray) -> np.ndarray:
    """Return where an array (h, w, …) has its outermost pixels, (h, w) bool."""
    on = np.ones(pixels.shape[:2], bool)
    on[1:-1, 1:-1] = False
    return on


def _deviation(residuals: np.ndarray) -> float:
    """Return the standard deviation of normal residuals, some of which may be outliers."""
    return 1.4826 * np.median(np.abs(residuals))


def _differing(
    gray: np.ndarray, ground: np.ndarray, noise: float, invert: bool | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far a picture differs from its ground toward the object, and where it does so clearly."""
    difference = gray - ground
    if invert is None:
        invert = -difference.min() > difference.max()
    if invert:
        difference = -difference
    least = max(FAINTEST, EDGE * difference.max(), NOISE * noise)
    return difference, np.where(difference > least, difference, 0)


def _reached(gray: np.ndarray, ground: np.ndarray, noise: float) -> tuple[np.ndarray, float]:
    """Return the ground that is reached from the border without a sharp edge on the way, and its noise.

    What starts at the border is what fits the plane ``ground``. Where the ground is not reached, below the
    object, it is that of the nearest pixel that is, smoothed. What is enclosed and much like it, as within
    a zero, is ground too.
    """
    from scipy import ndimage

    start = border(gray) & (np.abs(gray - ground) <= max(FAINTEST, 3 * noise))
    light = np.median(gray[start])
    lit = (gray > DARKEST * light - FAINTEST) & (gray < light / DARKEST + FAINTEST)
    slope = ndimage.gaussian_gradient_magnitude(gray, 2)
    regions, count = ndimage.label((slope < SOFT * np.percentile(slope, 99.5)) & lit)
    is_ground = np.zeros(count + 1, bool)
    is_ground[regions[start]] = True
    is_ground[0] = False
    if not is_ground.any():
        return ground, noise
    smooth = ndimage.gaussian_filter(gray, 2)
    away = np.abs(smooth - _filled(smooth, is_ground[regions]))
    is_ground[1:] |= ndimage.mean(away, regions, range(1, count + 1)) < ENCLOSED * away.max()
    reached = is_ground[regions]
    return _filled(smooth, reached), _deviation((gray - smooth)[reached])


def _filled(smooth: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return a smoothed picture where it is known, and elsewhere its nearest value, smoothed once more."""
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.where(known, smooth, ndimage.gaussian_filter(smooth[tuple(nearest)], max(smooth.shape) / 50))


def _clear(found: np.ndarray) -> bool:
    """Whether an object keeps away from the border: what a soft edge leaves of a cut object does not."""
    rows, columns = (round(CLEAR * n) for n in found.shape)
    return np.count_nonzero(found[rows:-rows, columns:-columns]) == np.count_nonzero(found)


def _keeps_the_strongest(found: np.ndarray, difference: np.ndarray) -> bool:
    """Whether most of what differs most from the plane was found: ink does so, even within a shadow."""
    toward = difference if np.vdot(found, difference) > 0 else -difference
    strongest = toward > STRONGEST * toward.max()
    return np.count_nonzero(found[strongest]) >= 0.5 * np.count_nonzero(strongest)


def _guess(difference: np.ndarray, found: np.ndarray) -> Guess:
    """Leave out what is at the border, and specks; see whether what remains stands free."""
    from scipy import ndimage

    labels, parts = _parts(found)
    on = border(found)
    contact = np.bincount(labels[on], minlength=parts + 1)
    contact[0] = 0
    ink = _ink(found, labels, parts)
    outside = _surroundings(labels, contact, ink)
    ink[outside] = 0
    main = ink.argmax()
    free = bool(ink[main] > 0) and contact[main] == 0
    keep = _no_specks(ink, ndimage.find_objects(labels))
    if free:
        keep &= contact == 0
        quiet = np.abs(difference[on]) <= max(FAINTEST, EDGE * difference.max())
        free = bool(quiet.mean() >= QUIET)
    return Guess(found, np.where(keep[labels], found, 0), free)


def _parts(found: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the connected parts of what was found, numbered from 1: (h, w) int, and how many."""
    from scipy import ndimage

    return ndimage.label(found > 0, np.ones((3, 3)))


def _ink(found: np.ndarray, labels: np.ndarray, parts: int) -> np.ndarray:
    """Return the sum over each part, and 0 for the ground before them: (parts + 1,)."""
    return np.bincount(labels.ravel(), found.ravel(), parts + 1)


def _surroundings(labels: np.ndarray, contact: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """Return which parts are what lies around the object: (parts + 1,) bool.

    They touch the border and keep away from the middle of the picture; they run along the border, or
    there is a larger part that does not touch it.
    """
    from scipy import ndimage

    h, w = labels.shape
    central = np.zeros(len(ink), bool)
    central[labels[h // 3 : h - h // 3, w // 3 : w - w // 3]] = True
    extent = np.array([0, *(sum(s.stop - s.start for s in box) for box in ndimage.find_objects(labels))])
    largest_inside = ink[contact == 0].max()
    return (contact > 0) & ~central & ((contact > ALONG * extent) | (ink < largest_inside))


def _no_specks(ink: np.ndarray, boxes: list[tuple[slice, slice]]) -> np.ndarray:
    """Return which parts have enough ink beside the largest, (parts + 1,) bool; those far off need more."""
    if not ink.any():
        return ink > 0
    main = boxes[ink.argmax() - 1]
    far = FAR * max(s.stop - s.start for s in main)
    share = [1.0, *(FAR_SPECK if _gap(box, main) > far else SPECK for box in boxes)]
    return ink >= np.array(share) * ink.max()


def _gap(one: tuple[slice, slice], other: tuple[slice, slice]) -> int:
    """Return how many rows, or columns, lie between two boxes."""
    return max(max(a.start - b.stop, b.start - a.stop) for a, b in zip(one, other, strict=True))


def _without_specks(found: np.ndarray) -> np.ndarray:
    """Leave specks out of what was found, and nothing else."""
    from scipy import ndimage

    labels, parts = _parts(found)
    keep = _no_specks(_ink(found, labels, parts), ndimage.find_objects(labels))
    return np.where(keep[labels], found, 0)
