"""Flat shapes as signed distances: negative inside, positive outside, one formula a shape.

A picture is composed of them with three rules: the union is the minimum of two distances, the
intersection is the maximum, and ``cover`` turns a distance into the part of a pixel that lies inside.
All functions work elementwise on float32 arrays and broadcast parameters of shape (M, 1, 1) against
coordinates of shape (M, H, W), so one call draws M images.

Source: I. Quilez, "2D distance functions", https://iquilezles.org/articles/distfunctions2d/.
The distances are exact near the edge only, which is where they are looked at.
"""

import numpy as np

SIZE = 28
Measure = float | np.ndarray
"""One number for all pictures, or an array with one for each."""

PIXEL = np.float32(2 / SIZE)  # a picture spans −1…1 both ways


def cover(distance: np.ndarray) -> np.ndarray:
    """Part of each pixel (0…1) that lies inside: an edge is one pixel wide, so it is not jagged."""
    return np.clip(0.5 - distance / PIXEL, 0, 1)


def paint(picture: np.ndarray, distance: np.ndarray, tone: Measure) -> np.ndarray:
    """Return the picture with the shape painted over it in a tone (a number or an array)."""
    return picture + cover(distance) * (tone - picture)


def without(distance: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Distance to a shape with another one cut out of it."""
    return np.maximum(distance, -hole)


def box(
    x: np.ndarray,
    y: np.ndarray,
    center_x: Measure,
    center_y: Measure,
    half_width: Measure,
    half_height: Measure,
) -> np.ndarray:
    """Distance to an upright rectangle."""
    return np.maximum(np.abs(x - center_x) - half_width, np.abs(y - center_y) - half_height)


def trapezoid(
    x: np.ndarray, y: np.ndarray, top: Measure, bottom: Measure, half_top: Measure, half_bottom: Measure
) -> np.ndarray:
    """Distance to an upright trapezoid around x = 0, measured across; close enough while sides are steep."""
    down = (y - top) / (bottom - top)
    sides = np.abs(x) - (half_top + (half_bottom - half_top) * down)
    return np.maximum(sides, np.maximum(top - y, y - bottom))


def ellipse(
    x: np.ndarray, y: np.ndarray, center_x: Measure, center_y: Measure, radius_x: Measure, radius_y: Measure
) -> np.ndarray:
    """Distance to an ellipse, scaled by its smaller radius."""
    radius = np.sqrt(((x - center_x) / radius_x) ** 2 + ((y - center_y) / radius_y) ** 2)
    return (radius - 1) * np.minimum(radius_x, radius_y)


def limb(
    x: np.ndarray,
    y: np.ndarray,
    start_x: Measure,
    start_y: Measure,
    end_x: Measure,
    end_y: Measure,
    start_radius: Measure,
    end_radius: Measure,
) -> np.ndarray:
    """Distance to a line from start to end with round ends and a thickness that changes along it."""
    along_x, along_y = end_x - start_x, end_y - start_y
    part = ((x - start_x) * along_x + (y - start_y) * along_y) / (along_x**2 + along_y**2)
    part = np.clip(part, 0, 1)
    off_x, off_y = x - start_x - part * along_x, y - start_y - part * along_y
    return np.sqrt(off_x**2 + off_y**2) - (start_radius + (end_radius - start_radius) * part)
