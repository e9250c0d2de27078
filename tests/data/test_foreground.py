"""`foreground` finds the one object in a picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from minicnn.data.foreground import foreground

SIDE = 300
Y, X = np.mgrid[:SIDE, :SIDE]
RING = np.abs(np.hypot(Y - 150, (X - 150) * 1.4) - 60) < 9  # a zero, upright
PAPER, INK = 230.0, 60.0


def sheet(cover=RING):
    return ndimage.gaussian_filter(np.where(cover, INK, PAPER), 1.5)


def same_object(found, cover=RING):
    """Whether the object was found: at most its soft edge is missing, and there is nothing else."""
    if found.shape != cover.shape:  # an inner frame
        cut = (cover.shape[0] - found.shape[0]) // 2, (cover.shape[1] - found.shape[1]) // 2
        cover = cover[cut[0] : cut[0] + found.shape[0], cut[1] : cut[1] + found.shape[1]]
    wide = ndimage.binary_dilation(cover, iterations=5)
    core = ndimage.binary_erosion(cover, iterations=2)
    return not found[~wide].any() and bool((found[core] > 0).all())


def test_a_clean_sheet():
    assert same_object(foreground(sheet()))


@pytest.mark.parametrize("at", [(10, 10), (270, 14), (8, 280)])
def test_specks_are_left_out(at):
    pixels = sheet()
    pixels[at[0] : at[0] + 8, at[1] : at[1] + 8] = 50
    assert same_object(foreground(pixels))


def test_three_punch_holes_are_left_out_beside_a_thin_digit():
    thin = (np.abs(X - 180) < 4) & (np.abs(Y - 150) < 50)
    pixels = sheet(thin)
    for y in (50, 150, 250):
        pixels[(X - 20) ** 2 + (Y - y) ** 2 < 25] = 30
    assert same_object(foreground(pixels), thin)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("level", [20, 110])
@pytest.mark.parametrize("width", [3, 15, 40])
def test_the_edge_of_a_table_is_left_out(width, level, turns):
    pixels = np.rot90(sheet(), turns).copy()
    pixels[:, -width:] = level
    assert same_object(foreground(pixels), np.rot90(RING, turns))


def test_a_corner_of_the_table_is_left_out():
    pixels = sheet()
    pixels[X / 70 + Y / 50 < 1] = 40
    assert same_object(foreground(pixels))


@pytest.mark.parametrize("lines", [1, 3])
@pytest.mark.parametrize("edges", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_the_ruling_of_a_cell_on_two_edges_is_left_out(edges, lines):
    digit = np.abs(np.hypot(*np.mgrid[-35:35, -40:40]) - 18) < 3
    pixels = np.where(digit, INK, PAPER)
    for line in range(lines):
        pixels[edges[0] - line if edges[0] else line] = 30
        pixels[:, edges[1] - line if edges[1] else line] = 30
    assert same_object(foreground(pixels), digit)


@pytest.mark.parametrize("seed", range(40))
def test_the_soft_edge_of_a_shadow_is_background(seed):
    """At random places: an edge that halves the picture, as dark as the threshold, is taken for ink."""
    angle, at, depth = np.random.default_rng(seed).uniform([0, -80, 0.2], [2 * np.pi, 80, 0.5])
    across = (X - SIDE / 2) * np.cos(angle) + (Y - SIDE / 2) * np.sin(angle) - at
    found = foreground(sheet() * (1 - depth / (1 + np.exp(across / 10))))
    assert same_object(found)


def test_dark_corners_are_background():
    far = ((X - SIDE / 2) ** 2 + (Y - SIDE / 2) ** 2) / (SIDE**2 / 2)
    assert same_object(foreground(sheet() * (1 - 0.6 * far)))


def test_the_inside_of_a_thick_object_is_found_in_a_shadow():
    coat = (np.abs(X - 150) < 60) & (np.abs(Y - 150) < 70)
    shadow = 1 - 0.4 / (1 + np.exp((X + 0.5 * Y - 190) / 10))
    assert same_object(foreground(sheet(coat) * shadow), coat)


def test_a_part_that_is_near_belongs_to_the_object():
    bar = (np.abs(Y - 70) < 5) & (np.abs(X - 150) < 30)  # above the ring, with a gap of a few pixels
    assert same_object(foreground(sheet(RING | bar)), RING | bar)


def test_two_digits_both_stay():
    two = np.roll(RING, -70, axis=1) | np.roll(RING, 70, axis=1)
    assert same_object(foreground(sheet(two)), two)


FILLING = {
    "a zero, flush with all four edges": lambda y, x: np.abs(np.hypot(y - 0.5, x - 0.5) - 0.42) <= 0.08,
    "a coat": lambda y, x: (np.abs(x - 0.5) < 0.3) | (np.abs(y - 0.3) < 0.1),
    "an i of two parts": lambda y, x: (np.abs(x - 0.5) < 0.1) & ((y < 0.2) | (y > 0.35)),
    "a seven": lambda y, x: (y < 0.12) | (np.abs(x + 0.5 * y - 0.9) < 0.09),
    "a bag with a handle of its own": lambda y, x: (
        (y > 0.6) | ((np.abs(y - 0.3) < 0.05) & (np.abs(x - 0.5) < 0.3))
    ),
}


@pytest.mark.parametrize("side", [28, 100, 300])
@pytest.mark.parametrize("name", FILLING)
def test_an_object_that_fills_the_picture_is_found(name, side):
    y, x = np.mgrid[:side, :side] / (side - 1)
    cover = FILLING[name](y, x)
    found = foreground(np.where(cover, INK, PAPER), invert=True)
    np.testing.assert_array_equal(found > 0, cover)


def test_of_a_drawing_everything_stays_even_a_dot():
    pixels = np.zeros((28, 28))
    pixels[5:25, 12:16] = 255
    pixels[2, 20] = 200
    found = foreground(pixels)
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("invert", [True, False])
def test_invert_overrides_the_guess(invert):
    pixels = sheet()
    pixels[40:60, 40:60] = 255  # a patch that is a little lighter
    found = foreground(pixels, invert)
    assert (found[150, 107] > 0) == invert
    assert (found[50, 50] > 0) != invert


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 40, 255]))
def test_any_picture_gives_finite_numbers_of_at_least_0(h, w, seed, deviation):
    pixels = np.random.default_rng(seed).normal(128, deviation, (h, w)).clip(0, 255)
    found = foreground(pixels)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert found.size
