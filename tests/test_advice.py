"""The line of code in a message gives the intended data; in uncertain cases there is no line."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import minicnn as mc
from minicnn import Scale, advice
from minicnn import layers as L
from minicnn.data import Dataset
from minicnn.engine.base import check_data
from minicnn.errors import DataError, MiniCNNError
from minicnn.losses import check_labels

N, SIDE = 24, 10
RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (N, SIDE, SIDE, 1), np.uint8)
COLOR = RNG.integers(0, 256, (N, 12, 11, 3), np.uint8)
BINARY = GRAY > 127
LABELS = RNG.permutation(np.arange(N) % 3)
NAMES = np.array(["ant", "bee", "cow"])
MOST_STEPS = 4


@dataclass
class Tensor:
    """A tensor or a table of another library, which NumPy can convert to an array."""

    values: np.ndarray

    def __array__(self, dtype=None, copy=None):
        return self.values

    def __len__(self):
        return len(self.values)


def line_of(message):
    """Return the line of code at the end of a message, or None."""
    found = re.search(r"write (\w+(?:, \w+)* = .+)$", str(message))
    return found and found[1]


def mended(make, **arrays):
    """Call ``make(**arrays)`` and return the result; after each error, follow the message and try again."""
    for _ in range(MOST_STEPS):
        try:
            return make(**arrays)
        except MiniCNNError as message:
            arrays = followed(message, arrays)
    raise AssertionError(f"still refused after {MOST_STEPS} lines")


def followed(message, arrays):
    """Return the arrays after running the line of code at the end of a message."""
    line = line_of(message)
    assert line, f"no line of code in: {message}"
    names = {"np": np, **arrays}
    exec(line, names)
    return {name: value for name, value in names.items() if name not in ("np", "__builtins__")}


def as_objects(images):
    """Return a 1-D array whose elements are images."""
    objects = np.empty(len(images), object)
    for place, image in enumerate(images):
        objects[place] = image
    return objects


def usable(images, labels, class_names=()):
    """Return a data set that a model can be trained on."""
    data = Dataset(images, labels, class_names)
    Scale().check(data.images, data.image_shape)
    return data


def on_scale(images):
    """Return pixels as a network gets them by default, on 0…1."""
    return Scale()(images, np.dtype(np.float64))


LABEL_KINDS = {
    "a column": LABELS[:, None],
    "a row": LABELS[None],
    "one-hot": np.eye(3)[LABELS],
    "one-hot, bool": np.eye(3, dtype=bool)[LABELS],
    "floats": LABELS.astype("f4"),
    "a column of floats": LABELS[:, None] * 1.0,
    "objects": LABELS.astype(object),
    "float objects": LABELS.astype(float).astype(object),
    "text that is numbers": LABELS.astype(str),
    "bytes that are numbers": LABELS.astype("S"),
    "a list": LABELS.tolist(),
    "a tensor": Tensor(LABELS),
    "a list of rows": LABELS[:, None].tolist(),
    "from 1, without names": LABELS + 1,
    "from 1, one-hot with a column too many": np.eye(4)[LABELS + 1],
    "a mask without a masked value": np.ma.array(LABELS),
}


@pytest.mark.parametrize("labels", LABEL_KINDS.values(), ids=LABEL_KINDS)
def test_advice_for_labels_gives_what_was_meant(labels):
    data = mended(usable, images=GRAY, labels=labels)
    assert_array_equal(data.labels, LABELS)
    assert data.images is GRAY


@pytest.mark.parametrize("kind", ["U", "S", object])
@pytest.mark.parametrize("column", [False, True])
def test_labels_that_are_words_get_their_names(kind, column):
    words = NAMES[LABELS].astype(kind)
    data = mended(usable, images=GRAY, labels=words[:, None] if column else words)
    assert data.class_names == tuple(NAMES)
    assert_array_equal(data.labels, LABELS)


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        (LABELS + 1, NAMES, LABELS),
        (np.where(LABELS == 0, -1, 1), ("no", "yes"), LABELS > 0),
        (LABELS > 0, ("no", "yes"), LABELS > 0),
    ],
    ids=["from 1", "-1 and 1", "bool"],
)
def test_labels_with_another_numbering(labels, names, expected):
    data = mended(usable, images=GRAY, labels=labels, class_names=names)
    assert_array_equal(data.labels, expected)
    assert data.class_names == tuple(names)


def test_masked_labels_are_left_out_with_their_images():
    hidden = np.arange(N) < 5
    data = mended(usable, images=GRAY, labels=np.ma.array(LABELS, mask=hidden))
    assert_array_equal(data.images, GRAY[5:])
    assert_array_equal(data.labels, LABELS[5:])


UNSURE_LABELS = {
    "several in a row": np.eye(3)[LABELS] + np.eye(3)[0],
    "probabilities": np.full((N, 3), 1 / 3),
    "halves": LABELS / 2,
    "NaN": np.where(np.arange(N) == 3, np.nan, LABELS),
    "None": np.where(np.arange(N) == 3, None, LABELS),
    "words and numbers": np.where(np.arange(N) == 3, "ant", LABELS.astype(object)),
    "too many": np.arange(N + 1) % 3,
    "a table": np.zeros((N, 3), int),
    "complex": LABELS + 0j,
    "time": LABELS.astype("M8[s]"),
    "ragged": [[0], [1, 2]],
    "negative": LABELS - 1,
    "an id": LABELS + 10**9,
}


@pytest.mark.parametrize("labels", UNSURE_LABELS.values(), ids=UNSURE_LABELS)
def test_ambiguous_labels_get_no_line(labels):
    with pytest.raises(MiniCNNError) as caught:
        Dataset(GRAY, labels)
    assert line_of(caught.value) is None
    assert re.search(r"labels", str(caught.value))


def test_the_message_names_the_values_found():
    for labels, seen in [
        (np.where(np.arange(N) == 3, np.nan, LABELS), "labels[3] is nan"),
        (LABELS / 2, "is 0.5, which is not a class"),
        (UNSURE_LABELS["None"], "NoneType and int"),
        (NAMES[LABELS], f"such as {NAMES[LABELS][0]!r}"),
        (LABELS + 1, "they are 1 to 3"),
    ]:
        with pytest.raises(MiniCNNError, match=re.escape(seen)):
            Dataset(GRAY, labels)


def test_labels_from_1_may_lack_a_class_0_if_all_are_named():
    assert Dataset(GRAY, LABELS + 1, tuple("abcd")).class_names == tuple("abcd")


IMAGE_KINDS = {
    "int64": GRAY.astype(int),
    "int16": GRAY.astype("i2"),
    "big-endian uint16": GRAY.astype(">u2"),
    "floats on 0…255": GRAY * 1.0,
    "float16 on 0…255": GRAY.astype("f2"),
    "without channel": GRAY[..., 0],
    "without channel, int64": GRAY[..., 0].astype(int),
    "rows": GRAY.reshape(N, -1),
    "rows of int64": GRAY.reshape(N, -1).astype(int),
    "columns": GRAY.reshape(N, -1).T,
    "channels first": GRAY.transpose(0, 3, 1, 2),
    "a list": GRAY.tolist(),
    "a list of rows": GRAY.reshape(N, -1).tolist(),
    "a tensor": Tensor(GRAY.transpose(0, 3, 1, 2) / 255),
    "objects": GRAY.astype(object),
    "objects that are images": as_objects(GRAY),
    "text": GRAY.reshape(N, -1).astype(str),
    "complex": GRAY / 255 + 0j,
    "a mask without a masked value": np.ma.array(GRAY),
    "masked where it is black": np.ma.masked_equal(GRAY, 0),
    "images last": GRAY.transpose(1, 2, 3, 0),
    "images last, without channel": GRAY[..., 0].transpose(1, 2, 0),
}


@pytest.mark.parametrize("images", IMAGE_KINDS.values(), ids=IMAGE_KINDS)
def test_advice_for_images_gives_what_was_meant(images):
    data = mended(usable, images=images, labels=LABELS)
    assert data.images.shape == GRAY.shape
    assert_allclose(on_scale(data.images), GRAY / 255, atol=1e-12)


COLOR_KINDS = {
    "channels first": COLOR.transpose(0, 3, 1, 2),
    "channels first, on 0…1": (COLOR / 255).transpose(0, 3, 1, 2),
    "images last": COLOR.transpose(1, 2, 3, 0),
}


def test_as_many_images_as_they_are_high_with_the_images_last():
    data = mended(usable, images=COLOR[:12].transpose(1, 2, 3, 0), labels=LABELS[:12])
    assert_array_equal(data.images, COLOR[:12])


@pytest.mark.parametrize("images", COLOR_KINDS.values(), ids=COLOR_KINDS)
def test_color_images_too(images):
    data = mended(usable, images=images, labels=LABELS)
    assert_allclose(on_scale(data.images), COLOR / 255, atol=1e-12)


@pytest.mark.parametrize(
    "images",
    [BINARY, BINARY.astype(np.uint8), BINARY.astype("i8"), BINARY.astype("i1")],
    ids=["bool", "uint8", "int64", "int8"],
)
def test_black_and_white_becomes_black_and_white(images):
    data = mended(usable, images=images, labels=LABELS)
    assert_array_equal(on_scale(data.images), BINARY * 1.0)


@pytest.mark.parametrize("white", [16, 1023, 4095, 65_535])
@pytest.mark.parametrize("dtype", ["u2", "i4", "f8"])
def test_pixels_of_other_depths_are_scaled_to_0_to_1(white, dtype):
    images = RNG.integers(0, white + 1, GRAY.shape)
    images[0, 0, 0, 0], images[0, 0, 1, 0] = 0, white
    data = mended(usable, images=images.astype(dtype), labels=LABELS)
    assert_allclose(on_scale(data.images), images / white)


@pytest.mark.parametrize("labels", [[2], np.array(2), np.eye(3)[2:]], ids=["list", "number", "one-hot"])
def test_a_single_image_with_its_label(labels):
    data = mended(usable, images=GRAY[:1], labels=labels)
    assert data.labels.tolist() == [2]


@pytest.mark.parametrize("image", [GRAY[0].reshape(1, -1), GRAY[0].reshape(-1, 1)], ids=["row", "column"])
def test_a_single_row(image):
    assert_array_equal(mended(usable, images=image, labels=LABELS[:1]).images, GRAY[:1])


@pytest.mark.parametrize(
    "image", [GRAY[0], GRAY[0, ..., 0], GRAY[0].ravel(), COLOR[0], COLOR[0].transpose(2, 0, 1)]
)
def test_a_single_image(image):
    data = mended(usable, images=image, labels=LABELS[:1] + 2)
    expected = COLOR[:1] if image.size == COLOR[0].size else GRAY[:1]
    assert_array_equal(data.images, expected)


def test_labels_and_images_in_the_wrong_order():
    data = mended(usable, images=LABELS, labels=GRAY)
    assert data.images is GRAY
    assert_array_equal(data.labels, LABELS)


UNSURE_IMAGES = {
    "negative whole numbers": GRAY.astype(int) - 128,
    "an unknown white": GRAY * 1000.0,
    "rows that are no square": GRAY.reshape(N, -1)[:, :90],
    "rows of color images": COLOR.reshape(N, -1),
    "complex": GRAY + 1j,
    "ragged": [[1], [2, 3]],
    "of several sizes": as_objects([*GRAY[1:], GRAY[0, 1:]]),
    "words": np.array(["a", "b", "c"] * (N // 3), object),
    "None": GRAY.astype(object) * np.where(np.arange(GRAY.size).reshape(GRAY.shape) == 3, np.nan, 1),
    "time": GRAY.astype("M8[s]"),
    "NaN": np.where(GRAY == 3, np.nan, GRAY / 255),
    "five axes": GRAY[None],
    "a number": np.uint8(3),
}


@pytest.mark.parametrize("images", UNSURE_IMAGES.values(), ids=UNSURE_IMAGES)
def test_ambiguous_images_get_no_line(images):
    if isinstance(images, np.ndarray) and images.dtype.kind == "O" and images.ndim > 1:
        images = images.astype(float)  # the first advice
    with pytest.raises(MiniCNNError) as caught:
        usable(images, LABELS)
    assert line_of(caught.value) is None


GOOD = {
    "bytes": GRAY,
    "floats": GRAY / 255,
    "float16": (GRAY / 255).astype("f2"),
    "big-endian": (GRAY / 255).astype(">f4"),
    "long double": (GRAY / 255).astype(np.longdouble),
    "around 0": GRAY / 127.5 - 1,
    "standardized": (GRAY - GRAY.mean()) / GRAY.std(),
    "blank": np.zeros_like(GRAY),
    "read-only": np.broadcast_to(GRAY[:1], GRAY.shape),
    "not contiguous": GRAY[:, ::-1, ::2],
    "Fortran order": np.asfortranarray(GRAY),
    "color": COLOR,
    "wide": np.zeros((N, 1, 40, 2), np.uint8),
}


@pytest.mark.parametrize("images", GOOD.values(), ids=GOOD)
def test_good_images_pass_without_a_message(images):
    assert usable(images, LABELS).images is images


def test_a_memory_mapped_file_is_not_copied(tmp_path):
    GRAY.tofile(tmp_path / "images")
    images = np.memmap(tmp_path / "images", np.uint8, "r", shape=GRAY.shape)
    assert Dataset(images, LABELS).images is images


def model(channels=1, side=(SIDE, SIDE), **arguments):
    return mc.Sequential([L.Flatten(), L.Dense(3)], (*side, channels), **arguments)


MODEL_KINDS = {
    "single": GRAY[0],
    "single without channel": GRAY[0, ..., 0],
    "row": GRAY[0].ravel(),
    "rows": GRAY.reshape(N, -1),
    "columns": GRAY.reshape(N, -1).T,
    "without channel": GRAY[..., 0],
    "channels first": GRAY.transpose(0, 3, 1, 2),
    "single, channels first": GRAY[0].transpose(2, 0, 1),
    "images last": GRAY.transpose(1, 2, 3, 0),
    "images last, without channel": GRAY[..., 0].transpose(1, 2, 0),
    "int64": GRAY.astype(int),
    "raw floats": GRAY * 1.0,
    "raw floats with halves": (GRAY + np.roll(GRAY, 1)) / 2.0,
    "gray as colors": GRAY.repeat(3, axis=3),
    "gray with transparency": np.concatenate([GRAY.repeat(3, axis=3), np.full_like(GRAY, 255)], axis=3),
}


@pytest.mark.parametrize("images", MODEL_KINDS.values(), ids=MODEL_KINDS)
def test_predicting_gives_the_same_advice(images):
    net = model()
    meant = (GRAY + np.roll(GRAY, 1)) / 510 if "f" in images.dtype.str and (images % 1).any() else GRAY
    logits = mended(net.logits, images=images)
    assert_allclose(logits, net.logits(meant)[: len(logits)], rtol=1e-5)
    assert len(logits) in (1, N)


@pytest.mark.parametrize(
    "given", [GRAY.tolist(), Tensor(GRAY), Dataset(GRAY, LABELS)], ids=["list", "tensor", "data"]
)
def test_predicting_from_something_else_than_an_array(given):
    assert_array_equal(mended(model().logits, images=given), model().logits(GRAY))


@pytest.mark.parametrize("given", [None, 3, "images", [[1], [2, 3]]])
def test_what_cannot_become_an_array_gets_no_line(given):
    with pytest.raises(MiniCNNError) as caught:
        model().logits(given)
    assert line_of(caught.value) is None


def test_predicting_in_color():
    net = model(3, (12, 11))
    opaque = np.concatenate([COLOR, np.full((N, 12, 11, 1), 255, np.uint8)], axis=3)
    for images in (opaque, COLOR.transpose(0, 3, 1, 2), COLOR[0]):
        logits = mended(net.logits, images=images)
        assert_allclose(logits, net.logits(COLOR)[: len(logits)], rtol=1e-5)
    assert_array_equal(
        mended(net.logits, images=COLOR[..., :1]), net.logits(COLOR[..., :1].repeat(3, axis=3))
    )


@pytest.mark.parametrize("images", [COLOR, np.concatenate([COLOR, COLOR[..., :1]], axis=3), COLOR[:, :, :4]])
def test_no_line_makes_colors_gray_or_cuts_images(images):
    with pytest.raises(MiniCNNError) as caught:
        model(1, (12, 11)).logits(images)
    assert line_of(caught.value) is None


@given(labels=st.lists(st.integers(-3, 6), min_size=1, max_size=8), classes=st.integers(1, 6))
def test_a_line_for_labels_out_of_range_brings_them_into_it(labels, classes):
    labels = np.array(labels)
    line = advice.counting_line(labels, classes)
    if line:
        names = {"np": np, "labels": labels}
        exec(line, names)
        assert set(names["labels"]) <= set(range(classes))
        assert len(set(names["labels"])) == len(set(labels))


@given(shape=st.lists(st.integers(1, 12), min_size=1, max_size=4), n=st.integers(1, 12))
def test_a_line_for_a_shape_gives_one_that_fits(shape, n):
    line = advice.shape_line(tuple(shape), lambda result: result[0] == n and result[3] == 1)
    if line:
        names = {"images": np.zeros(shape, np.uint8)}
        exec(line, names)
        assert names["images"].shape[0] == n
        assert names["images"].shape[3] == 1
        assert names["images"].size == np.prod(shape)


def test_a_custom_loop_gets_the_same_error():
    net = model()
    with pytest.raises(MiniCNNError) as caught:
        check_data(net, GRAY, LABELS[:, None])
    assert line_of(caught.value) == "labels = labels.ravel()"
    for labels, line in [
        (LABELS + 1, "labels = labels - 1"),
        (LABELS * 1.0, "labels = labels.astype(int)"),
        (LABELS + 2, None),
    ]:
        with pytest.raises(MiniCNNError) as caught:
            check_labels(labels, 3)
        assert line_of(caught.value) == line


class TestScaleOfAModel:
    """A model that was trained on one scale does not predict on another."""

    PIXELS = np.where(GRAY < 100, 0, GRAY)  # with a black ground, as digits and garments have

    def trained(self, images):
        trainer = mc.Trainer(model(), mc.optimizers.SGD(0.1))
        trainer.fit(Dataset(images, LABELS), epochs=1, progress=False)
        return trainer

    @pytest.mark.parametrize(
        ("trained", "given"),
        [
            (PIXELS, PIXELS / 127.5 - 1),
            (PIXELS / 255, PIXELS / 127.5 - 1),
            (PIXELS / 127.5 - 1, PIXELS),
            (PIXELS / 127.5 - 1, PIXELS / 255),
            (PIXELS, PIXELS / 255 / 255),
            (PIXELS / 255, PIXELS * 1.0),
            (PIXELS / 255, PIXELS.astype(int)),
            (PIXELS, (PIXELS > 0).astype(np.uint8)),
        ],
    )
    def test_the_line_brings_images_to_it(self, trained, given):
        net = self.trained(trained).model
        meant = (given > 0) * 1.0 if given.max() == 1 and given.dtype == np.uint8 else trained
        assert_allclose(mended(net.logits, images=given), net.logits(meant), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        ("trained", "given"),
        [
            (PIXELS, (PIXELS - 40.0) / 70),
            ((PIXELS - 40.0) / 70, PIXELS),
            ((PIXELS - 40.0) / 70, PIXELS / 255),
            (PIXELS / 255 / 255, PIXELS),
        ],
    )
    def test_without_a_line_it_is_an_error_too(self, trained, given):
        trainer = self.trained(trained)
        for use in (trainer.model.predict, lambda images: trainer.evaluate(Dataset(images, LABELS))):
            with pytest.raises(DataError, match="the model was trained on pixels from"):
                use(given)

    @pytest.mark.parametrize(
        "given",
        [
            PIXELS / 255,
            (PIXELS / 255).astype("f2"),
            np.zeros_like(PIXELS),
            PIXELS // 8,
            PIXELS / 255 + RNG.normal(0, 0.3, PIXELS.shape),
            PIXELS / 200,
        ],
        ids=["floats", "half", "blank", "dark", "noisy", "light"],
    )
    def test_other_images_on_its_scale_pass(self, given):
        assert len(self.trained(self.PIXELS).model.predict(given)) == N

    def test_a_few_standardized_pixels_may_be_far_out(self):
        trained = (self.PIXELS - 40.0) / 70
        given = trained.copy()
        given[0, 0, 0] = 100 * trained.max()
        assert len(self.trained(trained).model.predict(given)) == N

    def test_the_scale_is_saved_with_the_model(self, tmp_path):
        self.trained(self.PIXELS / 127.5 - 1).model.save(tmp_path / "a.safetensors")
        with pytest.raises(DataError, match="from -1 to 1, these go from 0 to 1"):
            mc.load(tmp_path / "a.safetensors").predict(self.PIXELS)

    def test_validation_images_must_have_the_scale_of_the_training_images(self):
        trainer = mc.Trainer(model(), mc.optimizers.SGD(0.1))
        other = Dataset(self.PIXELS / 127.5 - 1, LABELS)
        with pytest.raises(DataError, match="trained on pixels from 0 to 1"):
            trainer.fit(Dataset(self.PIXELS, LABELS), validation=other, progress=False)
        assert trainer.model.preprocessing == Scale()
