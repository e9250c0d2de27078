"""Pictures made from images of a data set: photographs of sheets with shadows, scans, drawings.

Each kind is a function of an image, (28, 28, 1) uint8, light on black, and of a random generator; it returns
a picture. ``KINDS`` lists them, with the format in which each is saved.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

SIDE = 900  # of a photographed sheet
Y, X = np.mgrid[:SIDE, :SIDE]
FROM_EDGE = ((X, Y), (SIDE - 1 - X, Y), (Y, X), (SIDE - 1 - Y, X))  # how far from each side, and along it


@dataclass(frozen=True)
class Kind:
    """How a kind of picture is drawn and saved."""

    draw: Callable[[np.ndarray, np.random.Generator], Image.Image]
    suffix: str = ".png"
    options: dict[str, Any] = field(default_factory=dict)


def larger(image: np.ndarray, side: int) -> np.ndarray:
    """Return how much of each pixel ink covers in an enlarged image, (side, side) on the scale 0…1."""
    cover = Image.fromarray(image[..., 0]).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(cover, np.float64) / 255


def sheet(image: np.ndarray, rng: np.random.Generator, paper: float = 235, ink: float = 60) -> np.ndarray:
    """Return an image, 300 to 500 pixels large, somewhere on a sheet of paper: (SIDE, SIDE) float64."""
    side = int(rng.integers(300, 500))
    top, left = rng.integers(100, SIDE - 100 - side, 2)
    pixels = np.full((SIDE, SIDE), float(paper))
    pixels[top : top + side, left : left + side] += larger(image, side) * (ink - paper)
    return pixels


def picture(pixels: np.ndarray) -> Image.Image:
    """Return gray levels as an 8-bit picture."""
    return Image.fromarray(np.clip(pixels, 0, 255).round().astype(np.uint8))


def clean(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw just the sheet."""
    return picture(sheet(image, rng))


def specks(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw one to three crumbs near a corner."""
    pixels = sheet(image, rng)
    for _ in range(rng.integers(1, 4)):
        y, x = rng.integers(5, 70, 2)
        side = rng.integers(8, 22)
        pixels[y : y + side, x : x + side] = 50
    return picture(pixels)


def staple(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw a staple in the upper left corner."""
    pixels, (y, x) = sheet(image, rng), rng.integers(15, 80, 2)
    pixels[(np.abs(Y - y - rng.uniform(-0.8, 0.8) * (X - x)) < 4) & (x < X) & (x + 90 > X)] = 90
    return picture(pixels)


def punch_holes(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw three holes on the left, which show the table."""
    pixels, x, level = sheet(image, rng), rng.integers(10, 70), rng.choice([20, 40, 90])
    for y in (150, 450, 750):
        pixels[(X - x) ** 2 + (Y - y) ** 2 < 14**2] = level
    return picture(pixels)


def table_edge(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw a darker table beside the sheet, on one side and slightly askew."""
    pixels, (distance, along) = sheet(image, rng), FROM_EDGE[rng.integers(4)]
    pixels[distance < rng.integers(12, 90) + rng.uniform(-0.06, 0.06) * along] = rng.choice([30, 60, 110])
    return picture(pixels)


def table_corner(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw a darker table in one corner of a sheet that lies askew."""
    pixels = sheet(image, rng)
    pixels[X / rng.integers(90, 300) + Y / rng.integers(90, 300) < 1] = rng.choice([30, 60, 110])
    return picture(pixels)


def table_around(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw a darker table on all four sides."""
    pixels, level = sheet(image, rng), rng.choice([30, 60, 110])
    for distance, along in FROM_EDGE:
        pixels[distance < rng.integers(20, 70) + rng.uniform(-0.03, 0.03) * along] = level
    return picture(pixels)


def cell(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an image in a cell of a scanned table, 60 to 120 pixels wide: (h, w) float64."""
    h, w = rng.integers(60, 90), rng.integers(60, 120)
    side = int(rng.integers(40, min(h, w) - 10))
    top, left = rng.integers(5, h - side - 4), rng.integers(5, w - side - 4)
    pixels = 240 + rng.normal(0, 3, (h, w))
    pixels[top : top + side, left : left + side] -= larger(image, side) * 190
    return pixels


def table_cell(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw a cell cut out of a scanned table."""
    return picture(cell(image, rng))


def ruled_cell(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw a cell with the table's lines on two of its edges."""
    pixels, width, level = cell(image, rng), rng.integers(1, 4), rng.choice([20, 60, 100])
    vertical, horizontal = rng.choice([0, -1], 2)
    for line in range(width):
        pixels[:, vertical - line if vertical else line] = level
        pixels[horizontal - line if horizontal else line] = level
    return picture(pixels)


def ruled_paper(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw lines across the whole sheet, through the digit."""
    pixels = sheet(image, rng)
    space, slope, level = rng.integers(50, 110), rng.uniform(-0.02, 0.02), rng.integers(150, 200)
    on = (Y + slope * X) % space < 3
    pixels[on] = np.minimum(pixels[on], level)
    return picture(pixels)


def hand_shadow(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw the soft edge of a shadow at any angle, somewhere across the sheet."""
    angle, at = rng.uniform(0, 2 * np.pi), rng.uniform(-250, 250)
    depth, softness = rng.uniform(0.2, 0.5), rng.uniform(15, 40)
    across = (X - SIDE / 2) * np.cos(angle) + (Y - SIDE / 2) * np.sin(angle) - at
    return picture(sheet(image, rng) * (1 - depth / (1 + np.exp(across / softness))))


def finger_shadow(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw the shadow of a phone or a finger: a soft band that ends near the middle."""
    distance, along = FROM_EDGE[rng.integers(4)]
    depth, softness, center = rng.uniform(0.2, 0.5), rng.uniform(10, 25), rng.uniform(200, 700)
    inside = np.minimum(rng.uniform(300, 600) - distance, rng.uniform(60, 160) - np.abs(along - center))
    return picture(sheet(image, rng) * (1 - depth / (1 + np.exp(-inside / softness))))


def vignette(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Darken the corners."""
    far = ((X - SIDE / 2) ** 2 + (Y - SIDE / 2) ** 2) / (SIDE**2 / 2)
    return picture(sheet(image, rng) * (1 - rng.uniform(0.3, 0.7) * far))


def noise(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Add noise of up to 35 gray levels."""
    return picture(sheet(image, rng) + rng.normal(0, rng.uniform(5, 35), (SIDE, SIDE)))


def low_contrast(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw in pencil: 35 to 70 gray levels below the paper."""
    return picture(sheet(image, rng, 190, 190 - rng.integers(35, 70)) + rng.normal(0, 3, (SIDE, SIDE)))


def blurred(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Blur the picture, as out of focus."""
    return clean(image, rng).filter(ImageFilter.GaussianBlur(rng.uniform(5, 12)))


def turned(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Rotate the sheet by 15 degrees."""
    return clean(image, rng).rotate(rng.choice([-15, 15]), Image.Resampling.BICUBIC, fillcolor=235)


def light_on_dark(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw in chalk on a blackboard."""
    return picture(sheet(image, rng, 40, 220) + rng.normal(0, 4, (SIDE, SIDE)))


def telephone(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Make a picture of 12 million pixels, with a shadow, the table's edge and noise."""
    pixels = np.asarray(hand_shadow(image, rng), np.float64)
    pixels[SIDE - rng.integers(20, 80) < X] = 70
    large = picture(pixels + rng.normal(0, 6, pixels.shape)).resize((4000, 3000), Image.Resampling.BILINEAR)
    return large.convert("RGB")


def drawing(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Return the image itself, dark on white."""
    return Image.fromarray(255 - image[..., 0])


def cut_drawing(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Return the image cropped to the drawing, which touches all four edges."""
    rows, columns = np.nonzero(image[..., 0] > 60)
    return Image.fromarray(255 - image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1, 0])


def cut_photograph(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Return the cropped image, 25 times as large."""
    small = cut_drawing(image, rng)
    return small.resize((small.width * 25, small.height * 25), Image.Resampling.BICUBIC)


def transparent(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw in ink of a random color on a transparent background."""
    alpha = picture(larger(image, 280) * 255)
    color = Image.new("RGB", alpha.size, str(rng.choice(["black", "navy", "white"])))
    return Image.merge("RGBA", (*color.split(), alpha))


def sixteen_bits(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Scan with 16 bits a pixel."""
    return Image.fromarray((sheet(image, rng) * 256).clip(0, 65535).astype(np.uint16))


def palette(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw with a palette of 16 colors."""
    return clean(image, rng).convert("P", palette=Image.Palette.ADAPTIVE, colors=16)


def cmyk(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Store as CMYK, the inks of a printer."""
    return clean(image, rng).convert("CMYK")


def upright(orientation: int) -> dict[str, Any]:
    """Return the EXIF data of a picture taken with a rotated phone."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif, "quality": 90}


def on_its_side(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Store the picture rotated by 90 degrees, as the EXIF data say."""
    return clean(image, rng).transpose(Image.Transpose.ROTATE_90)


JPEG = {"quality": 90}
KINDS = {
    "clean": Kind(clean, ".jpg", JPEG),
    "specks": Kind(specks, ".jpg", JPEG),
    "staple": Kind(staple, ".jpg", JPEG),
    "punch holes": Kind(punch_holes, ".jpg", JPEG),
    "table's edge": Kind(table_edge, ".jpg", JPEG),
    "table's corner": Kind(table_corner, ".jpg", JPEG),
    "table all around": Kind(table_around, ".jpg", JPEG),
    "cell of a table": Kind(table_cell),
    "cell with ruling": Kind(ruled_cell),
    "ruled paper": Kind(ruled_paper, ".jpg", JPEG),
    "hand's shadow": Kind(hand_shadow, ".jpg", JPEG),
    "finger's shadow": Kind(finger_shadow, ".jpg", JPEG),
    "vignette": Kind(vignette, ".jpg", JPEG),
    "JPEG, quality 30": Kind(clean, ".jpg", {"quality": 30}),
    "noise": Kind(noise),
    "low contrast": Kind(low_contrast),
    "blurred": Kind(blurred, ".jpg", JPEG),
    "turned by 15°": Kind(turned, ".jpg", JPEG),
    "light on dark": Kind(light_on_dark, ".jpg", JPEG),
    "telephone, 12 MP": Kind(telephone, ".jpg", JPEG),
    "drawing of 28 × 28": Kind(drawing),
    "drawing, cut": Kind(cut_drawing),
    "photograph, cut": Kind(cut_photograph, ".jpg", JPEG),
    "transparent": Kind(transparent),
    "EXIF rotation": Kind(on_its_side, ".jpg", upright(6)),
    "16 bits": Kind(sixteen_bits),
    "palette": Kind(palette),
    "CMYK": Kind(cmyk, ".tif"),
}
