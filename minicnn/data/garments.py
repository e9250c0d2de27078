"""The ten garments of Fashion-MNIST as drawings: one short function each, and the table of them.

A drawing takes a `Canvas` (where each pixel lies, and how to vary a measure) and the fabric (a tone
for each pixel, 0…1), both for M images of the class at once, and returns M pictures with values
around 0…1, light on black. x runs to the right, y downwards, both from −1 to 1. Garments that are
symmetric are drawn once, with ``abs(x)``. The measures are ours; the look follows the pictures of
Fashion-MNIST (https://github.com/zalandoresearch/fashion-mnist): shoes point to the left.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minicnn.data.shapes import Measure, box, ellipse, limb, paint, trapezoid, without

SEAM = 0.45  # a seam or a shadow: the fabric, darkened to this part


@dataclass(frozen=True)
class Canvas:
    """Pixel coordinates ``x`` and ``y``, float32 (M, H, W), and the source of variation."""

    x: np.ndarray
    y: np.ndarray
    rng: np.random.Generator

    def vary(self, low: float, high: float) -> np.ndarray:
        """One measure for each image, uniform in low…high, float32 (M, 1, 1)."""
        unit = self.rng.random((len(self.x), 1, 1), dtype=np.float32)
        return np.float32(low) + np.float32(high - low) * unit

    def some(self, share: float) -> np.ndarray:
        """Draw True for about this share of the images, bool (M, 1, 1)."""
        return self.vary(0, 1) < share


# Parts that several garments have


def torso(c: Canvas, top: Measure, bottom: Measure, shoulder: Measure, hem: Measure) -> np.ndarray:
    """Distance to a body of cloth with sloping shoulders."""
    cloth = trapezoid(c.x, c.y, top, bottom, shoulder, hem)
    return np.maximum(cloth, top + np.float32(0.3) * np.abs(c.x) - c.y)


def sleeves(
    c: Canvas, top: Measure, shoulder: Measure, hand_x: Measure, hand_y: Measure, width: Measure
) -> np.ndarray:
    """Distance to both sleeves, from the shoulders to the hands."""
    return limb(np.abs(c.x), c.y, shoulder - width, top + 0.3, hand_x, hand_y, width, width * 0.75)


def neckline(c: Canvas, top: Measure, width: Measure, depth: Measure) -> np.ndarray:
    """Distance to the round hole for the neck."""
    return ellipse(c.x, c.y, 0.0, top, width, depth)


def long_sleeved(
    c: Canvas, top: Measure, bottom: Measure, fabric: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Body and long sleeves, with the shadow between them; returns the picture and the distance."""
    shoulder, width = c.vary(0.46, 0.56), c.vary(0.13, 0.17)
    hand_x, hand_y = c.vary(0.68, 0.86), c.vary(0.5, 0.72)
    body = torso(c, top, bottom, shoulder, shoulder + c.vary(-0.06, 0.08))
    arms = sleeves(c, top, shoulder, hand_x, hand_y, width)
    whole = without(np.minimum(body, arms), neckline(c, top, 0.2, c.vary(0.1, 0.18)))
    picture = paint(0, whole, fabric)
    shadow = np.maximum(np.maximum(np.abs(body) - 0.03, arms), top + 0.35 - c.y)
    return paint(picture, shadow, SEAM * fabric), whole


# The garments


def tshirt(c: Canvas, fabric: np.ndarray) -> np.ndarray:
    """Draw short sleeves, a round neck, often a print on the chest."""
    top, shoulder, width = c.vary(-0.85, -0.72), c.vary(0.48, 0.58), c.vary(0.15, 0.2)
    body = torso(c, top, c.vary(0.65, 0.9), shoulder, shoulder + c.vary(-0.08, 0.06))
    arms = sleeves(c, top, shoulder, c.vary(0.68, 0.86), top + c.vary(0.48, 0.7), width)
    whole = without(np.minimum(body, arms), neckline(c, top, c.vary(0.18, 0.26), c.vary(0.15, 0.3)))
    chest = box(c.x, c.y, 0.0, top + 0.7, c.vary(0.1, 0.3), c.vary(0.06, 0.25))
    tone = np.where(c.some(0.5), c.vary(0.1, 1.0), fabric)
    return paint(paint(0, whole, fabric), chest, tone)


def trouser(c: Canvas, fabric: np.ndarray) -> np.ndarray:
    """Draw two legs below a waistband."""
    top, hip, width = c.vary(-0.95, -0.85), c.vary(0.2, 0.28), c.vary(0.17, 0.22)
    foot_x = c.vary(0.16, 0.42)
    leg = limb(np.abs(c.x), c.y, hip - 0.04, top + 0.45, foot_x, 1.0, width, width * c.vary(0.55, 0.9))
    waist = trapezoid(c.x, c.y, top, top + 0.5, hip + 0.06, hip + 0.14)
    gap = trapezoid(c.x, c.y, top + c.vary(0.55, 0.7), 1.2, 0.0, c.vary(0.06, 0.14))
    whole = np.maximum(without(np.minimum(leg, waist), gap), c.y - c.vary(0.85, 0.98))
    picture = paint(0, whole, fabric)
    band = np.maximum(np.abs(c.y - top - 0.13) - 0.03, whole)
    fly = box(c.x, c.y, 0.0, top + 0.3, 0.025, 0.2)
    return paint(picture, np.minimum(band, fly), SEAM * fabric)


def pullover(c: Canvas, fabric: np.ndarray) -> np.ndarray:
    """Draw long sleeves, a ribbed hem, a collar, a closed front."""
    top, bottom = c.vary(-0.85, -0.72), c.vary(0.7, 0.9)
    picture, whole = long_sleeved(c, top, bottom, fabric)
    hem = np.maximum(np.abs(c.y - bottom + 0.16) - 0.035, np.maximum(whole, np.abs(c.x) - 0.5))
    collar = np.maximum(np.abs(neckline(c, top, 0.27, c.vary(0.2, 0.28))) - 0.03, whole)
    return paint(picture, np.minimum(hem, collar), SEAM * fabric)


def dress(c: Canvas, fabric: np.ndarray) -> np.ndarray:
    """Draw a narrow bodice on straps or short sleeves, and a skirt that widens to the hem."""
    top, waist_y = c.vary(-0.95, -0.85), c.vary(-0.35, -0.1)
    waist, hem = c.vary(0.17, 0.26), c.vary(0.36, 0.66)
    bodice = trapezoid(c.x, c.y, top, waist_y, waist + c.vary(0.06, 0.16), waist)
    skirt = trapezoid(c.x, c.y, waist_y, c.vary(0.8, 0.98), waist, hem)
    arms = sleeves(c, top, waist + 0.12, waist + 0.26, top + c.vary(0.35, 0.6), c.vary(0.09, 0.12))
    arms = np.where(c.some(0.4), arms, bodice)
    whole = np.minimum(np.minimum(bodice, skirt), arms)
    whole = without(whole, neckline(c, top, c.vary(0.12, 0.2), c.vary(0.15, 0.4)))
    belt = np.maximum(np.abs(c.y - waist_y) - 0.035, whole)
    return paint(paint(0, whole, fabric), belt, SEAM * fabric)


def coat(c: Canvas, fabric: np.ndarray) -> np.ndarray:
    """Draw long sleeves, lapels, and a front that is open all the way down."""
    top, bottom = c.vary(-0.92, -0.8), c.vary(0.8, 0.98)
    picture, whole = long_sleeved(c, top, bottom, fabric)
    width, depth = c.vary(0.2, 0.3), c.vary(0.45, 0.65)
    front = np.abs(c.x) - c.vary(0.03, 0.06)
    picture = paint(picture, np.maximum(np.maximum(front, top + depth - c.y), whole), 0.1 * fabric)
    inside = trapezoid(c.x, c.y, top, top + depth, width, 0.0)
    picture = paint(picture, np.maximum(inside, whole), SEAM * fabric)
    pockets = box(np.abs(c.x), c.y, 0.28, c.vary(0.25, 0.45), 0.12, 0.035)
    return paint(picture, pockets, SEAM * fabric)


def sandal(c: Canvas, fabric: np.ndarray) -> np.ndarray:
    """Draw a thin sole, flat or on a heel, with a strap over the toes and one around the ankle."""
    floor, rise = c.vary(0.35, 0.5), np.where(c.some(0.4), c.vary(0.25, 0.6), c.vary(0.0, 0.08))
    thick = c.vary(0.05, 0.08)
    sole = limb(c.x, c.y, -0.3, floor, 0.75, floor - rise, thick, thick)
    sole = np.minimum(sole, limb(c.x, c.y, -0.85, floor, -0.3, floor, thick, thick))
    heel = limb(c.x, c.y, 0.75, floor - rise, 0.8, floor, thick, thick * 0.7)
    toes = ellipse(c.x, c.y, c.vary(-0.6, -0.4), floor, c.vary(0.18, 0.28), c.vary(0.22, 0.36))
    ankle = ellipse(c.x, c.y, 0.55, floor - rise - 0.1, c.vary(0.18, 0.28), c.vary(0.25, 0.42))
    straps = np.minimum(np.abs(toes), np.abs(ankle)) - c.vary(0.03, 0.055)
    above = c.y - floor + rise * np.clip((c.x + 0.3) / 1.05, 0, 1)
    whole = np.minimum(np.minimum(sole, heel), np.maximum(straps, above))
    return paint(0, whole, fabric)


def shirt(c: Canvas, fabric: np.ndarray) -> np.ndarray:
    """Draw a collar with two points and a row of buttons; sleeves long or rolled up."""
    top, bottom = c.vary(-0.85, -0.72), c.vary(0.7, 0.95)
    picture, whole = long_sleeved(c, top, bottom, fabric)
    rolled = np.maximum(c.y - c.vary(-0.1, 0.2), 0.45 - np.abs(c.x))
    picture = paint(picture, np.where(c.some(0.4), rolled, 1), 0)
    placket = np.maximum(np.maximum(np.abs(np.abs(c.x) - 0.075) - 0.02, top + 0.3 - c.y), whole)
    picture = paint(picture, placket, 0.6 * fabric)
    row = (c.y - top - 0.35) % np.float32(0.24) - np.float32(0.12)
    buttons = np.maximum(np.maximum(box(c.x, row, 0.0, 0.0, 0.04, 0.04), whole), top + 0.3 - c.y)
    picture = paint(picture, buttons, 0.1)
    collar = limb(np.abs(c.x), c.y, 0.2, top + 0.06, 0.08, top + 0.28, 0.06, 0.04)
    return paint(picture, collar, np.clip(1.5 * fabric, 0, 1))


def shoe(c: Canvas, floor: Measure, toe_y: Measure, ankle_y: Measure, ankle_x: Measure) -> np.ndarray:
    """Distance to a closed shoe: a low toe on the left that rises to an upright back on the right."""
    step = np.clip((c.x - ankle_x + 0.5) / 0.5, 0, 1)
    rise = toe_y + (ankle_y - toe_y) * step * step * (3 - 2 * step)
    profile = np.maximum(np.maximum(rise - c.y, c.y - floor), np.abs(c.x - 0.05) - 0.8)
    corner = ellipse(c.x, c.y, -0.35, floor, 0.52, floor - toe_y + 0.02)
    return np.where(c.x < -0.35, np.maximum(corner, c.y - floor), profile)


def sneaker(c: Canvas, fabric: np.ndarray) -> np.ndarray:
    """Draw a low shoe on a light, thick sole, laced, with a round opening for the foot."""
    floor, ankle_y, ankle_x = c.vary(0.35, 0.5), c.vary(-0.3, -0.12), c.vary(0.2, 0.35)
    upper = shoe(c, floor, floor - c.vary(0.3, 0.4), ankle_y, ankle_x)
    upper = without(upper, ellipse(c.x, c.y, 0.55, ankle_y, 0.22, c.vary(0.08, 0.16)))
    picture = paint(0, upper, fabric)
    along = (c.x - ankle_x) % np.float32(0.16) - np.float32(0.08)
    laced = np.maximum(np.maximum(upper + 0.02, -upper - 0.2), np.abs(c.x - ankle_x + 0.25) - 0.22)
    picture = paint(picture, np.maximum(np.abs(along) - 0.03, laced), c.vary(0.1, 1.0))
    sole = limb(c.x, c.y, -0.78, floor, 0.78, floor, 0.08, c.vary(0.08, 0.12))
    return paint(picture, sole, c.vary(0.75, 1.0))


def bag(c: Canvas, fabric: np.ndarray) -> np.ndarray:
    """Draw a body with a flap and a clasp, hanging from a handle."""
    top, bottom, width = c.vary(-0.35, 0.0), c.vary(0.6, 0.85), c.vary(0.55, 0.82)
    body = trapezoid(c.x, c.y, top, bottom, width, width + c.vary(-0.1, 0.1))
    ring = np.abs(ellipse(c.x, c.y, 0.0, top, c.vary(0.25, 0.5), c.vary(0.3, 0.6))) - c.vary(0.04, 0.07)
    picture = paint(0, np.maximum(ring, c.y - top), c.vary(0.4, 1.0))
    picture = paint(picture, body, fabric)
    flap = top + (bottom - top) * c.vary(0.25, 0.5)
    picture = paint(picture, np.maximum(np.abs(c.y - flap) - 0.03, body), SEAM * fabric)
    return paint(picture, box(c.x, c.y, 0.0, flap, 0.09, 0.07), c.vary(0.1, 1.0))


def ankle_boot(c: Canvas, fabric: np.ndarray) -> np.ndarray:
    """Draw a shoe with a shaft above the ankle and a heel below."""
    floor, top, ankle_x = c.vary(0.45, 0.6), c.vary(-0.85, -0.4), c.vary(0.15, 0.3)
    upper = shoe(c, floor, floor - c.vary(0.3, 0.42), top, ankle_x)
    heel_x, heel = c.vary(0.45, 0.65), c.vary(0.08, 0.3)
    block = box(c.x, c.y, (heel_x + 0.85) / 2, floor + heel / 2, (0.85 - heel_x) / 2, heel / 2)
    picture = paint(0, np.minimum(upper, block), fabric)
    sole = np.maximum(np.abs(c.y - floor) - 0.04, np.abs(c.x) - 0.82)
    picture = paint(picture, sole, SEAM * fabric)
    gore = np.maximum(np.abs(c.x - ankle_x - 0.25) - c.vary(0.02, 0.08), upper)
    return paint(picture, np.maximum(gore, c.y - top - 0.5), SEAM * fabric)


GARMENTS: dict[str, Callable[[Canvas, np.ndarray], np.ndarray]] = {
    "T-shirt/top": tshirt,
    "Trouser": trouser,
    "Pullover": pullover,
    "Dress": dress,
    "Coat": coat,
    "Sandal": sandal,
    "Shirt": shirt,
    "Sneaker": sneaker,
    "Bag": bag,
    "Ankle boot": ankle_boot,
}
