"""`read_picture` makes the same image of the same object, however it was photographed."""

import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import PIL
import pytest
from PIL import Image

from minicnn.data import load
from minicnn.data.picture import read_picture
from minicnn.errors import ConfigError, DataError, DataNotFoundError, PictureWarning, ShapeError

BOOT = np.zeros((120, 120))  # the part of each pixel that the object covers
BOOT[10:110, 20:60] = 1
BOOT[70:110, 60:105] = 1
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
OLD_PILLOW = int(PIL.__version__.partition(".")[0]) < 13


def on_canvas(size=(300, 300), at=(90, 90), cover=BOOT):
    canvas = np.zeros(size)
    canvas[at[0] : at[0] + len(cover), at[1] : at[1] + len(cover[0])] = cover
    return canvas


def draw(cover, ink=BLACK, background=WHITE):
    """Mix two colors, (h, w, 3) float64."""
    return background + (np.subtract(ink, background)) * cover[..., None]


def eight_bits(pixels):
    return Image.fromarray(np.clip(pixels, 0, 255).round().astype(np.uint8))


def noise(shape, deviation=6):
    return np.random.default_rng(0).normal(0, deviation, shape)


@pytest.fixture
def saved(tmp_path):
    def save(picture, name="picture.png", **options):
        picture.save(tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.fixture
def expected(saved):
    return read_picture(saved(eight_bits(draw(on_canvas()))))


def assert_same(image, expected, tolerance=14.0):
    """Compare two images by their root mean square difference; two different objects are 80 apart."""
    assert image.shape == expected.shape
    assert image.dtype == np.uint8
    difference = image.astype(float) - expected
    assert np.sqrt(np.mean(difference**2)) < tolerance


def png_header(width, height):
    """Return a PNG file that claims a size and holds no pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


class TestTheImage:
    def test_a_rectangle_by_hand_fills_the_longer_side(self, saved):
        rectangle = on_canvas(at=(30, 180), cover=np.ones((100, 50)))
        image = read_picture(saved(eight_bits(draw(rectangle))))
        by_hand = np.zeros((28, 28, 1), np.uint8)
        by_hand[:, 7:21] = 255
        np.testing.assert_array_equal(image, by_hand)

    def test_a_margin_stays_empty_on_each_side(self, saved):
        square = on_canvas(cover=np.ones((60, 60)))
        image = read_picture(saved(eight_bits(draw(square))), margin=4 / 28)
        by_hand = np.zeros((28, 28, 1), np.uint8)
        by_hand[4:24, 4:24] = 255
        np.testing.assert_array_equal(image, by_hand)

    def test_height_and_width_may_differ(self, saved):
        square = on_canvas(cover=np.ones((60, 60)))
        image = read_picture(saved(eight_bits(draw(square))), (10, 16, 1))
        by_hand = np.zeros((10, 16, 1), np.uint8)
        by_hand[:, 3:13] = 255
        np.testing.assert_array_equal(image, by_hand)

    def test_an_odd_pixel_goes_above_and_to_the_left(self, saved):
        upright, level = np.ones((80, 50)), np.ones((50, 80))
        by_hand = np.zeros((8, 8, 1), np.uint8)
        by_hand[:, 2:7] = 255
        image = read_picture(saved(eight_bits(draw(on_canvas(cover=upright)))), (8, 8, 1))
        np.testing.assert_array_equal(image, by_hand)
        image = read_picture(saved(eight_bits(draw(on_canvas(cover=level)))), (8, 8, 1))
        np.testing.assert_array_equal(image, by_hand.transpose(1, 0, 2))

    def test_a_margin_lets_the_center_of_mass_into_the_middle(self, saved):
        path = saved(eight_bits(draw(on_canvas())))
        mass = read_picture(path, (56, 56, 1), margin=8 / 56)[..., 0].astype(float)
        assert np.average(np.arange(56), weights=mass.sum(axis=1)) == pytest.approx(28, abs=0.51)
        assert np.average(np.arange(56), weights=mass.sum(axis=0)) == pytest.approx(28, abs=0.51)
        rows, columns = np.nonzero(mass > 128)
        assert (rows.min() + rows.max() + 1) / 2 < 26  # the boot is heavy below and on its left
        assert (columns.min() + columns.max() + 1) / 2 > 29

    @pytest.mark.parametrize(("side", "beside"), [(28, 0.7), (29, -0.3)])
    def test_the_center_of_mass_is_at_the_pixel_after_half_of_them(self, side, beside, saved):
        # A ramp, whose center of mass lies beside the middle of its box; to the nearest pixel, it is there.
        box = np.arange(side - 8) - (side - 9) / 2
        ramp = 1 + beside / np.mean(box**2) * box
        image = np.zeros((side, side, 1))
        image[4:-4, 4:-4, 0] = np.outer(ramp, ramp) * 255 / ramp.max() ** 2
        image = image.round().astype(np.uint8)
        fed = read_picture(saved(Image.fromarray(image[..., 0])), image.shape, margin=4 / side)
        np.testing.assert_array_equal(fed, image)

    @pytest.mark.skipif(
        not os.environ.get("MINICNN_DATA"), reason="MINICNN_DATA names no folder with the real data"
    )
    @pytest.mark.parametrize(("name", "margin", "most"), [("mnist", 4 / 28, 3), ("fashion-mnist", 0, 9)])
    def test_prepared_images_are_unchanged(self, name, margin, most, saved):
        # A pixel's width beside its place, an image differs by 15 and more.
        images = load(name)[1].images[:100]
        fed = [read_picture(saved(Image.fromarray(image[..., 0])), margin=margin) for image in images]
        assert np.abs(np.subtract(fed, images, dtype=float)).mean() < most

    @pytest.mark.parametrize(("margin", "first"), [(0, 0), (2 / 28, 4)])
    def test_the_center_of_mass_moves_no_farther_than_the_margin(self, margin, first, saved):
        # Except for a thin line, the object is far to the left.
        hammer = np.zeros((60, 120))
        hammer[:, :20] = hammer[28:32] = 1
        image = read_picture(saved(eight_bits(draw(on_canvas(cover=hammer)))), margin=margin)
        lit = np.flatnonzero(image[..., 0].max(axis=0))
        np.testing.assert_array_equal(lit, np.arange(first, 28))

    def test_an_image_of_a_data_set_is_unchanged(self, saved):
        image = np.zeros((28, 28, 1), np.uint8)
        image[:, 7:21, 0] = np.random.default_rng(0).integers(100, 256, (28, 14))
        image[5, 10] = 255
        np.testing.assert_array_equal(read_picture(saved(Image.fromarray(image[..., 0]))), image)


class TestTheSameObject:
    @pytest.mark.parametrize("at", [(0, 0), (5, 170), (180, 3)])
    def test_off_center(self, at, saved, expected):
        assert_same(read_picture(saved(eight_bits(draw(on_canvas(at=at))))), expected, 0.1)

    def test_in_a_wide_picture(self, saved, expected):
        assert_same(read_picture(saved(eight_bits(draw(on_canvas((230, 420)))))), expected, 0.1)

    def test_in_a_large_picture(self, saved, expected):
        large = eight_bits(draw(on_canvas())).resize((1500, 1500))
        assert_same(read_picture(saved(large)), expected)

    def test_in_a_large_picture_where_noise_hides_it_from_single_pixels(self, saved, expected):
        pixels = draw(on_canvas(), (50, 50, 50), (200, 200, 200)).repeat(5, axis=0).repeat(5, axis=1)
        assert_same(read_picture(saved(eight_bits(pixels + noise(pixels.shape, 60)))), expected, 30)

    @pytest.mark.parametrize(
        ("ink", "background"),
        [(WHITE, BLACK), ((40, 40, 40), (170, 170, 170)), ((230, 230, 230), (120, 120, 120))],
        ids=["white on black", "dark on gray", "light on gray"],
    )
    def test_in_other_grays(self, ink, background, saved, expected):
        assert_same(read_picture(saved(eight_bits(draw(on_canvas(), ink, background)))), expected, 1)

    @pytest.mark.parametrize(
        ("ink", "background"), [((160, 20, 30), (250, 240, 200)), ((250, 220, 60), (20, 40, 110))]
    )
    def test_in_color(self, ink, background, saved, expected):
        assert_same(read_picture(saved(eight_bits(draw(on_canvas(), ink, background)))), expected, 1)

    def test_on_a_noisy_background(self, saved, expected):
        pixels = draw(on_canvas(), (60, 60, 60), (200, 200, 200))
        assert_same(read_picture(saved(eight_bits(pixels + noise(pixels.shape)))), expected)

    def test_in_uneven_light(self, saved, expected):
        rows, columns = np.indices((300, 300))
        light = (rows - columns)[..., None] / 6  # 100 levels from corner to corner
        pixels = draw(on_canvas(), (30, 30, 30), (190, 190, 190)) + light
        assert_same(read_picture(saved(eight_bits(pixels + noise(pixels.shape)))), expected)

    @pytest.mark.parametrize("quality", [30, 90])
    def test_as_jpeg(self, quality, saved, expected):
        picture = eight_bits(draw(on_canvas(), (20, 60, 30), (210, 200, 190)))
        assert_same(read_picture(saved(picture, "picture.jpg", quality=quality)), expected)

    def test_touching_half_of_the_border(self, saved):
        # It covers most of the lower edge; noise elsewhere.
        block = on_canvas((100, 100), at=(30, 15), cover=np.ones((70, 70)))
        pixels = draw(block) + noise((100, 100, 3), 2)
        assert_same(read_picture(saved(eight_bits(pixels))), np.full((28, 28, 1), 255, np.uint8))

    @pytest.mark.parametrize(
        "mode",
        [
            *("1", "L", "P", "CMYK", "LAB", "F"),
            pytest.param("YCbCr", marks=pytest.mark.skipif(OLD_PILLOW, reason="cannot read what it wrote")),
        ],
    )
    def test_in_every_mode(self, mode, saved, expected):
        picture = eight_bits(draw(on_canvas())).convert(mode)
        name = "picture.png" if mode in ("1", "L", "P") else "picture.tif"
        assert_same(read_picture(saved(picture, name)), expected, 1)

    @pytest.mark.parametrize("background", [65_535, 40_000, 12_000])
    @pytest.mark.parametrize("name", ["picture.png", "picture.tif"])
    def test_with_16_bits(self, name, background, saved, expected):
        # 12,000 is below mid-gray, and still lighter than what is on it.
        pixels = (background * (1 - 0.9 * on_canvas())).astype(np.uint16)
        assert_same(read_picture(saved(Image.fromarray(pixels), name)), expected, 4)

    @pytest.mark.parametrize(
        ("black", "white"), [(0, 1), (0, 255), (-1, 1), (30_000, 60_000), (-3e38, 3e38), (0, 1e-45)]
    )
    def test_in_floating_numbers_of_any_range(self, black, white, saved, expected):
        pixels = np.where(on_canvas() == 1, np.float32(white), np.float32(black))
        assert_same(read_picture(saved(Image.fromarray(pixels), "picture.tif")), expected, 1)

    @pytest.mark.parametrize(
        ("black", "white"), [(0, 1), (0, 255), (100_000, 120_000), (-(2**31), 2**31 - 1)]
    )
    def test_in_32_bits_of_any_range(self, black, white, saved, expected):
        pixels = np.where(on_canvas() == 1, black, white).astype(np.int32)
        assert_same(read_picture(saved(Image.fromarray(pixels), "picture.tif")), expected, 1)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_rotated_by_exif_data(self, orientation, saved, expected):
        upright = eight_bits(draw(on_canvas()))
        turns = {
            2: ["FLIP_LEFT_RIGHT"],
            3: ["ROTATE_180"],
            4: ["FLIP_TOP_BOTTOM"],
            5: ["TRANSPOSE"],
            6: ["ROTATE_90"],
            7: ["TRANSVERSE"],
            8: ["ROTATE_270"],
        }
        for turn in turns.get(orientation, []):
            upright = upright.transpose(Image.Transpose[turn])
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = saved(upright, "picture.jpg", exif=exif, quality=95)
        assert_same(read_picture(path), expected)


class TestTransparency:
    @pytest.mark.parametrize("ink", [0, 90, 200, 255])
    @pytest.mark.parametrize("hidden", [0, 255])
    @pytest.mark.parametrize("mode", ["LA", "RGBA"])
    def test_the_object_is_found_under_any_hidden_colors(self, mode, hidden, ink, saved, expected):
        cover = on_canvas()
        gray = eight_bits(hidden + (ink - hidden) * cover)
        layers = [gray] * (len(mode) - 1) + [eight_bits(255 * cover)]
        assert_same(read_picture(saved(Image.merge(mode, layers))), expected, 1)

    @pytest.mark.parametrize("ink", [WHITE, BLACK])
    def test_of_a_palette(self, ink, saved, expected):
        picture = Image.fromarray(on_canvas().astype(np.uint8)).convert("P")
        picture.putpalette([128, 128, 128, *ink])
        assert_same(read_picture(saved(picture, transparency=0)), expected, 1)
        assert_same(read_picture(saved(picture, "picture.gif", transparency=0)), expected, 1)

    def test_of_everything_leaves_nothing(self, saved):
        assert not read_picture(saved(Image.new("RGBA", (40, 30)))).any()


class TestInvert:
    @pytest.fixture
    def light_and_dark(self, saved):
        # An upright bar that is lighter than the background, and a level one that is a little darker.
        pixels = np.full((100, 100), 100.0)
        pixels[10:50, 40:50] = 255
        pixels[70:80, 30:70] = 60
        return saved(eight_bits(pixels))

    def test_none_takes_the_stronger_difference(self, light_and_dark):
        lighter = read_picture(light_and_dark, invert=False)
        np.testing.assert_array_equal(read_picture(light_and_dark), lighter)

    def test_false_takes_what_is_lighter_than_the_background(self, light_and_dark):
        by_hand = np.zeros((28, 28, 1), np.uint8)
        by_hand[:, 11:18] = 255
        np.testing.assert_array_equal(read_picture(light_and_dark, invert=False), by_hand)

    def test_true_takes_what_is_darker_than_the_background(self, light_and_dark):
        by_hand = np.zeros((28, 28, 1), np.uint8)
        by_hand[11:18] = 255
        np.testing.assert_array_equal(read_picture(light_and_dark, invert=True), by_hand)


class TestNothingToSee:
    @pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (300, 200)])
    @pytest.mark.parametrize("level", [0, 128, 255])
    def test_a_picture_of_one_color_is_black(self, level, size, saved):
        image = read_picture(saved(Image.new("L", size, level)))
        np.testing.assert_array_equal(image, np.zeros((28, 28, 1), np.uint8))

    @pytest.mark.parametrize("level", [0, 0.5, -7, 1e6])
    def test_a_float_picture_of_one_value_is_black(self, level, saved):
        pixels = np.full((30, 20), level, np.float32)
        assert not read_picture(saved(Image.fromarray(pixels), "picture.tif")).any()

    @pytest.mark.parametrize("deviation", [1, 10])
    def test_noise_is_not_stretched(self, deviation, saved):
        pixels = 128 + noise((300, 300), deviation)
        assert not read_picture(saved(eight_bits(pixels))).any()

    def test_dust_is_not_stretched(self, saved):
        pixels = draw(on_canvas(), (240, 240, 240), (250, 250, 250))
        assert not read_picture(saved(eight_bits(pixels))).any()

    def test_a_line_one_pixel_wide_is_seen(self, saved):
        image = read_picture(saved(eight_bits(draw(on_canvas(at=(10, 150), cover=np.ones((280, 1)))))))
        assert image[..., 0].sum(axis=1).min() > 128
        assert np.count_nonzero(image[14]) == 1


class TestColor:
    def test_is_padded_with_the_color_of_the_border(self, saved):
        pixels = np.full((50, 100, 3), (200, 30, 60), np.uint8)
        pixels[10:40, 20:80] = (10, 220, 90)
        image = read_picture(saved(Image.fromarray(pixels)), (32, 32, 3))
        assert image.shape == (32, 32, 3)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image[0, 0], (200, 30, 60))
        np.testing.assert_allclose(image[16, 16], (10, 220, 90), atol=1)
        # 50 × 100 becomes 16 × 32, so the object is 30/50 of 16 rows high.
        assert np.count_nonzero(image[:, 16, 1] > 128) == pytest.approx(9.6, abs=1)

    def test_transparency_is_laid_on_the_background_that_contrasts(self, saved):
        picture = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
        picture.paste((250, 240, 20, 255), (5, 5, 15, 15))
        image = read_picture(saved(picture), (20, 20, 3))
        np.testing.assert_array_equal(image[0, 0], BLACK)
        np.testing.assert_array_equal(image[10, 10], (250, 240, 20))

    def test_is_not_inverted(self, saved):
        with pytest.raises(ConfigError, match="invert is for images of one channel"):
            read_picture(saved(Image.new("RGB", (9, 9))), (8, 8, 3), invert=True)


class TestRefuses:
    @pytest.mark.parametrize("size", [(10_000, 10_000), (40_000_001, 1)])
    def test_too_many_pixels_before_it_reads_them(self, size, tmp_path):
        # There is nothing after the header: to read on would say that the file is cut short.
        path = tmp_path / "vast.png"
        path.write_bytes(png_header(*size) + struct.pack(">I", 1) + b"IDAT")
        with pytest.raises(DataError, match=r"at most 40,000,000 pixels.* × .*make it smaller") as refused:
            read_picture(path)
        assert f"{size[0]:,} × {size[1]:,}" in str(refused.value)
        assert str(path) in str(refused.value)

    def test_more_pixels_than_pillow_opens(self, tmp_path):
        path = tmp_path / "vast.png"
        path.write_bytes(png_header(100_000, 100_000) + struct.pack(">I", 1) + b"IDAT")
        with pytest.raises(DataError, match=r"at most 40,000,000 pixels.*10000000000 pixels.*smaller"):
            read_picture(path)

    def test_a_whole_picture_that_is_too_large(self, saved):
        with pytest.raises(DataError, match="10,000 × 10,000"):
            read_picture(saved(Image.new("1", (10_000, 10_000))))

    @pytest.mark.parametrize("name", ["picture.png", "picture.jpg", "picture.gif", "picture.tif"])
    @pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
    def test_a_file_cut_short(self, share, name, saved):
        path = saved(eight_bits(draw(on_canvas()) + noise((300, 300, 3))), name)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(DataError, match=r"picture\.\w+: expected a whole picture, .*save"):
            read_picture(path)

    @pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
    def test_a_file_that_is_not_a_picture(self, content, tmp_path):
        path = tmp_path / "picture.png"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"picture\.png: expected a whole picture"):
            read_picture(path)

    @pytest.mark.parametrize("pixel", [np.nan, np.inf, -np.inf])
    def test_pixels_that_are_not_numbers(self, pixel, saved):
        pixels = on_canvas().astype(np.float32)
        pixels[5, 7] = pixel
        with pytest.raises(
            DataError, match=r"picture\.tif: expected finite pixels; some are NaN or infinite"
        ):
            read_picture(saved(Image.fromarray(pixels), "picture.tif"))

    def test_a_folder(self, tmp_path):
        with pytest.raises(DataError, match=r"expected a whole picture.*check the path"):
            read_picture(tmp_path)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(DataNotFoundError, match=r"none\.png: there is no such file; check the path"):
            read_picture(tmp_path / "none.png")

    @pytest.mark.parametrize("shape", [(28, 28), (28, 28, 2), (28, 28, 4), (784,), (1, 28, 28, 1)])
    def test_a_shape_that_is_not_an_image(self, shape):
        with pytest.raises(ShapeError, match=r"\(H, W, 1\), gray, or \(H, W, 3\), in color; got"):
            read_picture("none.png", shape)

    @pytest.mark.parametrize(
        ("argument", "message"),
        [
            ({"image_shape": (0, 28, 1)}, "at least 1"),
            ({"invert": "no"}, "invert must be True or False"),
            ({"margin": -0.1}, "margin must be a number"),
            ({"margin": 0.5}, "must be below 0.5 and leave a pixel"),
            ({"margin": 0.4, "image_shape": (2, 28, 1)}, "0.4 of 2 × 28 leaves none"),
        ],
    )
    def test_a_bad_argument_before_it_looks_for_the_file(self, argument, message):
        with pytest.raises(ConfigError, match=message):
            read_picture("none.png", **argument)

    def test_without_pillow_the_message_says_how_to_install_it(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "PIL", None)
        monkeypatch.delitem(sys.modules, "minicnn.data.decode", raising=False)
        with pytest.raises(ConfigError, match=r'needs Pillow: pip install "minicnn\[image\]"'):
            read_picture("picture.png")


BIG = (8000, 5000)  # exactly as many pixels as are allowed


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is read from Linux's /proc")
class TestMemory:
    """A small file of many pixels takes less than 512 MiB, with all that the process needs beside it."""

    PEAK = (
        "import re, sys, minicnn as mc\n"
        "print(mc.data.read_picture(sys.argv[1]).shape)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])"
    )

    @pytest.mark.parametrize(
        ("mode", "name", "options"),
        [
            ("F", "picture.tif", {"compression": "tiff_lzw"}),
            ("I;16", "picture.tif", {"compression": "tiff_lzw"}),
            ("CMYK", "picture.tif", {"compression": "tiff_lzw"}),
            ("RGBA", "picture.png", {"compress_level": 1}),
            ("P", "picture.gif", {}),
        ],
    )
    def test_of_a_picture_of_the_allowed_pixels(self, mode, name, options, saved):
        self.check(saved(Image.new(mode, BIG), name, **options))

    def test_of_a_larger_jpeg_file(self, saved):
        self.check(saved(Image.new("L", (12_000, 9_000)), "picture.jpg"))

    def check(self, path):
        command = [sys.executable, "-c", self.PEAK, str(path)]
        shape, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        assert shape == "(28, 28, 1)"
        assert int(peak) < 512 * 1024


class TestLargeFiles:
    def test_a_jpeg_file_with_more_pixels_than_allowed_is_read_reduced(self, saved, expected):
        large = eight_bits(255 * (1 - on_canvas())).resize((8000, 8000))
        assert_same(read_picture(saved(large, "picture.jpg")), expected)

    def test_a_progressive_jpeg_file_is_rejected_because_it_is_decoded_at_full_size(self, saved):
        path = saved(Image.new("L", (8000, 8000)), "picture.jpg", progressive=True)
        with pytest.raises(DataError, match=r"at most 40,000,000 pixels; the picture has 8,000 × 8,000"):
            read_picture(path)

    def test_of_formats_that_take_more_memory_fewer_pixels_are_allowed(self, tmp_path):
        path = tmp_path / "picture.webp"
        Image.new("L", (5000, 3000)).save(path)
        with pytest.raises(DataError, match=r"at most 10,000,000 pixels; the picture has 5,000 × 3,000"):
            read_picture(path)

    def test_a_program_is_not_run(self, tmp_path):
        path = tmp_path / "picture.eps"
        Image.new("L", (30, 20)).save(path)
        with pytest.raises(DataError, match="expected a whole picture"):
            read_picture(path)


class TestFrames:
    def test_the_first_picture_is_used_with_a_warning(self, saved, expected):
        first, second = eight_bits(draw(on_canvas())), Image.new("RGB", (300, 300))
        for name in ("picture.gif", "picture.tif"):
            path = saved(first, name, save_all=True, append_images=[second])
            with pytest.warns(PictureWarning, match="holds several pictures: the first is used"):
                assert_same(read_picture(path), expected)


class TestTheWholePicture:
    def test_is_taken_without_a_margin(self, saved):
        pixels = np.full((50, 100), 200, np.uint8)
        pixels[10:40, 20:80] = 90
        image = read_picture(saved(Image.fromarray(pixels)), (32, 32, 1), margin=None)
        assert image[0, 0, 0] == 200
        assert image[16, 16, 0] == pytest.approx(90, abs=1)

    def test_cannot_be_inverted(self, saved):
        with pytest.raises(ConfigError, match="invert is for images of one channel that show an object"):
            read_picture(saved(Image.new("L", (9, 9))), margin=None, invert=True)


class TestNegative:
    def test_gives_dark_objects_on_white(self, saved, expected):
        path = saved(eight_bits(draw(on_canvas())))
        np.testing.assert_array_equal(read_picture(path, negative=True), 255 - expected)

    def test_must_be_true_or_false(self):
        with pytest.raises(ConfigError, match="negative must be True or False"):
            read_picture("none.png", negative="yes")
