"""Model files: loading restores every bit; any other file raises an error with the reason."""

import copy
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from safetensors import safe_open
from safetensors.numpy import save_file

import minicnn as mc
from minicnn import gradcheck, serialize
from minicnn import layers as L
from minicnn.description import MOST_IMAGE_MEMORY, describe
from minicnn.errors import ConfigError, ModelFileError, NonFiniteError, OutputError

SHAPE = (8, 7, 2)


def images(n=5, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


def net(seed=0):
    """Return a model without default values in its saved parts."""
    model = mc.Sequential(
        [
            L.Conv2D(
                3, (2, 3), strides=(2, 1), padding=((1, 0), (0, 2)), dilation_rate=(1, 2), use_bias=False
            ),
            L.BatchNorm(momentum=0.8, epsilon=1e-3),
            L.LeakyReLU(0.2),
            L.AvgPool2D((2, 1), strides=1, padding="same"),
            L.Dropout(0.25),
            L.Flatten(),
            L.Dense(3, kernel_initializer="glorot_uniform"),
        ],
        SHAPE,
        seed=seed,
        preprocessing=mc.Standardize(0.28, 0.35),
        class_names=("T-shirt", "Ärmel", "靴"),
    )
    model.info = {"dataset": "synthetic", "test_accuracy": "0.9123"}
    x = model.preprocess(images(seed=1))
    model.forward(x, training=True)  # moves the running averages
    return model


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


positive = st.integers(1, 3)
pairs = st.one_of(positive, st.tuples(positive, positive))


@st.composite
def poolings(draw):
    size = draw(st.tuples(positive, positive))
    side = st.tuples(*[st.tuples(*2 * [st.integers(0, k - 1)]) for k in size])
    kind = draw(st.sampled_from([L.MaxPool2D, L.AvgPool2D]))
    return kind(size, draw(st.none() | pairs), draw(st.just("same") | side))


image_layers = st.one_of(
    st.builds(
        L.Conv2D,
        positive,
        pairs,
        strides=pairs,
        padding=st.just("same"),
        dilation_rate=pairs,
        use_bias=st.booleans(),
        kernel_initializer=st.sampled_from(["he_normal", "he_uniform", "glorot_normal", "glorot_uniform"]),
    ),
    st.builds(L.Conv2D, positive, st.just(2), padding=st.sampled_from([1, (1, 2), ((1, 1), (2, 1))])),
    poolings(),
    st.builds(L.BatchNorm, momentum=st.floats(0, 0.99), epsilon=st.floats(1e-6, 1)),
    st.builds(L.Dropout, st.floats(0, 0.9)),
    st.builds(L.LeakyReLU, st.floats(0, 0.9)),
    st.builds(L.ReLU),
)
vector_layers = st.one_of(
    st.builds(L.Dense, positive, use_bias=st.booleans()), st.builds(L.BatchNorm), st.builds(L.ReLU)
)
architectures = st.builds(
    lambda body, middle, head: [*body, middle, *head],
    st.lists(image_layers, max_size=4),
    st.sampled_from([L.Flatten, L.GlobalAvgPool2D, L.GlobalMaxPool2D]).map(lambda kind: kind()),
    st.lists(vector_layers, max_size=2),
)


class TestRoundTrip:
    @settings(max_examples=60)
    @given(architecture=architectures, seed=st.integers(0, 9), dtype=st.sampled_from(["float32", "float64"]))
    def test_every_architecture_is_restored(self, tmp_path_factory, architecture, seed, dtype):
        path = tmp_path_factory.mktemp("models") / "m"
        model = mc.Sequential(architecture, SHAPE, seed=seed, dtype=dtype)
        model.save(path)
        loaded = mc.load(path)
        assert repr(loaded) == repr(model)
        assert loaded.dtype == model.dtype
        assert loaded.arrays().keys() == model.arrays().keys()
        for name, array in model.arrays().items():
            assert loaded.arrays()[name].dtype == array.dtype, name
            assert_array_equal(loaded.arrays()[name], array, name)
        assert_array_equal(loaded.logits(images()), model.logits(images()))

    @pytest.mark.parametrize("case", list(gradcheck.standard_layers()), ids=lambda case: case[0])
    def test_every_layer_is_restored_with_unusual_arguments(self, path, case):
        _, layer, shape = case
        model = mc.Sequential([copy.deepcopy(layer)], shape)
        model.save(path)
        assert repr(mc.load(path)) == repr(model)
        x = np.random.default_rng(0).standard_normal((2, *shape), np.float32)
        assert_array_equal(mc.load(path).forward(x), model.forward(x))

    def test_everything_but_the_weights_is_restored(self, path):
        model = net()
        model.save(path)
        loaded = mc.load(path)
        assert loaded.preprocessing == mc.Standardize(0.28, 0.35)
        assert loaded.class_names == ("T-shirt", "Ärmel", "靴")
        assert loaded.info == {"dataset": "synthetic", "test_accuracy": "0.9123"}
        assert loaded.input_shape == SHAPE
        assert [layer.config() for layer in loaded.layers] == [layer.config() for layer in model.layers]
        state = loaded.layers[1].state
        assert not np.array_equal(state["running_mean"], np.zeros(3))
        assert_array_equal(state["running_mean"], model.layers[1].state["running_mean"])
        assert_array_equal(state["running_var"], model.layers[1].state["running_var"])

    def test_a_fresh_process_predicts_bit_for_bit_the_same(self, path, tmp_path):
        model = net()
        model.save(path)
        np.save(tmp_path / "x.npy", images(20))
        code = (
            "import sys, numpy as np, minicnn as mc\n"
            "model, x = mc.load(sys.argv[1]), np.load(sys.argv[2])\n"
            "np.save(sys.argv[3], model.logits(x))"
        )
        names = [str(p) for p in (path, tmp_path / "x.npy", tmp_path / "y.npy")]
        subprocess.run([sys.executable, "-c", code, *names], check=True)
        assert np.load(tmp_path / "y.npy").tobytes() == model.logits(images(20)).tobytes()

    def test_a_loaded_model_can_be_trained_on(self, path):
        net().save(path)
        loaded = mc.load(path)
        data = mc.data.Dataset(images(6), np.arange(6) % 3, loaded.class_names)
        before = loaded.arrays()["dense_1.W"].copy()
        mc.Trainer(loaded, mc.optimizers.SGD(0.1)).fit(data, epochs=1, progress=False)
        assert not np.array_equal(loaded.arrays()["dense_1.W"], before)

    def test_the_preprocessing_may_contain_numpy_numbers(self, path):
        mean, std = np.float32(0.25), np.float32(0.5)
        mc.Sequential([L.Flatten()], SHAPE, preprocessing=mc.Standardize(mean, std)).save(path)
        assert mc.load(path).preprocessing == mc.Standardize(0.25, 0.5)

    def test_paths_may_be_text_and_any_name(self, tmp_path):
        net().save(str(tmp_path / "model.bin"))
        assert mc.load(str(tmp_path / "model.bin")).output_shape == (3,)


class TestTheFile:
    def test_it_is_safetensors_and_no_pickle(self, path):
        model = net()
        model.save(path)
        with safe_open(path, framework="numpy") as file:
            assert set(file.keys()) == set(model.arrays())
            assert file.metadata()["format"] == "minicnn"
            assert json.loads(file.metadata()["model"])["input_shape"] == list(SHAPE)
        content = path.read_bytes()
        assert content[8:9] == b"{"
        assert not zipfile.is_zipfile(path)
        with pytest.raises(pickle.UnpicklingError):
            pickle.loads(content)


class Halve(L.ReLU):
    """A custom layer that is not registered."""


class Dense(L.Dense):
    """Another one, with the name of a layer of minicnn."""


def add_own_layer(model):
    model.layers.insert(0, Halve())


class TestSaving:
    def test_an_old_file_is_replaced_without_leftovers(self, path):
        path.write_text("old")
        net().save(path)
        assert os.listdir(path.parent) == [path.name]
        assert mc.load(path).output_shape == (3,)

    def test_a_folder_that_cannot_be_written_is_rejected(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="cannot write"):
            net().save(tmp_path / "file" / "model.safetensors")

    def test_a_folder_of_that_name_is_rejected(self, tmp_path):
        with pytest.raises(OutputError, match="folder of that name"):
            net().save(tmp_path)

    def test_an_unloadable_model_raises_before_anything_is_written(self, path):
        for spoil, words in (
            (add_own_layer, "'Halve' is not a registered layer"),
            (
                lambda model: setattr(model.layers[-1], "__class__", Dense),
                "'Dense' is not a registered layer",
            ),
            (lambda model: setattr(model.layers[0], "name", "first"), "must be called conv2d_1, batchnorm_1"),
            (lambda model: model.info.update(of=b"bytes"), "info must map str to str"),
            (lambda model: setattr(model, "info", ["notes"]), "could not be loaded again"),
        ):
            model = net()
            assert describe(model)["input_shape"] == SHAPE
            spoil(model)
            for refuse in (describe, lambda model: model.save(path)):
                with pytest.raises(ConfigError, match=words):
                    refuse(model)
            assert os.listdir(path.parent) == []

    def test_a_full_disk_leaves_only_the_old_file(self, path):
        resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
        net().save(path)
        old = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # Python ignores the signal: EFBIG
        try:
            with pytest.raises(OutputError, match="cannot write"):
                net(seed=1).save(path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_bytes() == old
        assert os.listdir(path.parent) == [path.name]


def description(**changes):
    """Return the JSON of a Dense(2) on three inputs."""
    whole = {
        "layers": [{"type": "Dense", "units": 2}],
        "input_shape": [3],
        "dtype": "float32",
        "preprocessing": {"mean": 0.0, "std": 1.0},
        "class_names": None,
        "info": {},
    }
    return json.dumps(whole | changes)


def weights():
    return {"dense_1.W": np.ones((3, 2), np.float32), "dense_1.b": np.zeros(2, np.float32)}


def write(path, arrays=None, **metadata):
    metadata = {"format": "minicnn", "version": "1", "model": description()} | metadata
    save_file(
        weights() if arrays is None else arrays, path, {k: v for k, v in metadata.items() if v is not None}
    )


def refused(path, match):
    with pytest.raises(ModelFileError, match=match) as caught:
        mc.load(path)
    assert str(path) in str(caught.value)


def test_a_file_of_format_1_predicts_as_when_it_was_written():
    model = mc.load(Path(__file__).parent / "files" / "model_1.safetensors")
    rng, labels = np.random.default_rng(0), np.arange(60) % 3
    pictures = rng.integers(0, 80, (60, 8, 7, 1), np.uint8)
    pictures[np.arange(60), labels * 2] += 150
    expected = [[-0.3798251, 0.02460638, -0.3023402], [-0.31957904, 0.02559394, -0.24737023]]
    assert_allclose(model.logits(pictures[:2]), expected, rtol=1e-5)
    assert model.preprocessing == mc.Standardize.fit(pictures).trained(pictures)
    assert model.class_names == ("cat", "dog", "bird")
    assert model.info == {"dataset": "rows", "recipe": "none"}
    assert model.preparation.margin is None


class TestWhatIsNoModelFile:
    def test_the_helpers_write_a_model_that_loads(self, path):
        write(path)
        assert_array_equal(mc.load(path).forward(np.ones((1, 3), np.float32)), [[3, 3]])

    def test_a_missing_file(self, path):
        refused(path, "no such file")

    def test_a_folder(self, tmp_path):
        refused(tmp_path, "this is a folder")

    def test_a_name_that_the_disk_does_not_take(self, tmp_path):
        refused(tmp_path / ("x" * 300), "no such file")

    @pytest.mark.parametrize(
        "content",
        [b"", b"x", b"a model\n" * 50, pickle.dumps({"W": [1.0]}), bytes(100), b"\xff" * 100],
        ids=["empty", "a byte", "text", "pickle", "zeros", "ones"],
    )
    def test_other_content(self, path, content):
        path.write_bytes(content)
        refused(path, "not a readable safetensors file")

    @pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
    def test_a_truncated_file(self, path, share):
        net().save(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        refused(path, "not a readable safetensors file")

    def test_a_file_with_something_appended(self, path):
        net().save(path)
        path.write_bytes(path.read_bytes() + b"more")
        refused(path, "not a readable safetensors file")

    @pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "minicnn2", "version": "1"}])
    def test_another_projects_tensors(self, path, metadata):
        save_file(weights(), path, metadata)
        refused(path, "not a minicnn model")


class TestVersions:
    @pytest.mark.parametrize("version", ["2", "10", "999999999"])
    def test_a_newer_one_says_to_upgrade(self, path, version):
        write(path, version=version)
        refused(path, rf"format {version}.*up to {serialize.VERSION}.*pip install --upgrade")

    @pytest.mark.parametrize("version", ["", "one", "-1", "1.0", "²", "9" * 5000, None])
    def test_an_invalid_number_is_rejected(self, path, version):
        write(path, version=version)
        refused(path, "expected a number")


class TestTensors:
    def test_a_missing_one_is_named(self, path):
        write(path, {"dense_1.W": np.ones((3, 2), np.float32)})
        refused(path, r"missing: dense_1\.b; extra: none")

    def test_an_extra_one_is_named(self, path):
        write(path, weights() | {"dense_2.W": np.ones(1, np.float32)})
        refused(path, r"missing: none; extra: dense_2\.W")

    @pytest.mark.parametrize("shape", [(2, 3), (6,), (3, 2, 1), (3, 3)])
    def test_a_wrong_shape_is_reported(self, path, shape):
        write(path, weights() | {"dense_1.W": np.ones(shape, np.float32)})
        refused(path, r"dense_1\.W is .*needs \(3, 2\) F32")

    @pytest.mark.parametrize(
        ("dtype", "name"), [(np.float64, "F64"), (np.float16, "F16"), (np.int32, "I32"), (bool, "BOOL")]
    )
    def test_a_wrong_dtype_is_reported(self, path, dtype, name):
        write(path, weights() | {"dense_1.b": np.zeros(2, dtype)})
        refused(path, rf"dense_1\.b is \(2,\) {name}, the architecture needs \(2,\) F32")

    def test_a_dtype_that_numpy_does_not_have_is_rejected(self, path):
        write(path, weights() | {"dense_1.b": np.zeros(2, np.float16)})
        content = path.read_bytes()
        size = int.from_bytes(content[:8], "little")  # of the header, in front of it
        header = content[8 : 8 + size].replace(b'"F16"', b'"BF16"')
        path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])
        refused(path, r"dense_1\.b is \(2,\) BF16, the architecture needs \(2,\) F32")

    def test_very_many_names_are_shortened_in_the_message(self, path):
        write(path, weights() | {f"extra_{i:04}": np.zeros(1, np.float32) for i in range(1000)})
        refused(path, r"extra: extra_0000, .*, extra_0009 and 990 more$")

    def test_their_names_are_only_shown(self, path):
        write(path, weights() | {"\x1b[2J\n": np.zeros(1, np.float32)})
        refused(path, r"extra: \\x1b\[2J\\n$")

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_non_finite_arrays_are_rejected_in_reading_and_writing(self, path, value):
        spoiled = weights()
        spoiled["dense_1.W"][1, 1] = value
        write(path, spoiled)
        refused(path, "dense_1.W holds NaN or infinity.*: train it again")
        model = net()
        model.save(path)
        content = path.read_bytes()
        model.layers[1].state["running_var"][2] = value
        with pytest.raises(NonFiniteError, match=r"batchnorm_1\.running_var holds NaN or infinity"):
            model.save(path)
        assert path.read_bytes() == content


class TestDescriptions:
    @pytest.mark.parametrize(
        "model",
        [None, "", "{", "not json", "[]", "3", "null", '"text"', "{}", "[" * 100_000],
        ids=["none", "empty", "cut off", "text", "list", "number", "null", "string", "no keys", "deep"],
    )
    def test_an_invalid_description_is_rejected(self, path, model):
        write(path, model=model)
        refused(path, "description cannot be used")

    @pytest.mark.parametrize("kind", ["Denser", "Layer", "__init__", "os", "", None, 3, ["Dense"]])
    def test_an_unknown_layer_is_rejected(self, path, kind):
        write(path, model=description(layers=[{"type": kind, "units": 2}]))
        refused(path, "is not a registered layer")

    @pytest.mark.parametrize(
        "layer",
        [
            {},
            {"type": "Dense"},
            {"type": "Dense", "units": 2, "hook": "rm"},
            {"type": "Dense", "units": -2},
            {"type": "Dense", "units": 2.5},
            {"type": "Dense", "units": "2"},
            {"type": "Dense", "units": 2, "kernel_initializer": "os.system"},
            {"type": "Dense", "units": 2, "kernel_initializer": ["he_normal"]},
            {"type": "Dropout", "rate": "half"},
            {"type": "BatchNorm", "epsilon": 10**400},
            {"type": "Conv2D", "filters": 2, "kernel_size": 3},
            {"type": "MaxPool2D", "padding": [[1]]},
            "Dense",
            None,
        ],
        ids=str,
    )
    def test_a_layer_that_cannot_be_made_is_rejected(self, path, layer):
        write(path, model=description(layers=[layer]))
        refused(path, "description cannot be used")

    @pytest.mark.parametrize(
        "change",
        [
            {"layers": []},
            {"layers": 3},
            {"layers": {"Dense": 2}},
            {"input_shape": []},
            {"input_shape": 3},
            {"input_shape": [-3]},
            {"input_shape": [3.0]},
            {"input_shape": ["3"]},
            {"dtype": "object"},
            {"dtype": "float16"},
            {"dtype": 3},
            {"preprocessing": {"mean": 0.0, "std": 0.0}},
            {"preprocessing": {"mean": float("nan"), "std": 1.0}},
            {"preprocessing": {"mean": 0.0, "std": 1.0, "hook": "rm"}},
            {"preprocessing": None},
            {"class_names": ["a"]},
            {"class_names": 3},
            {"class_names": "ab"},
            {"info": 3},
            {"info": ["a"]},
        ],
        ids=str,
    )
    def test_a_description_that_fits_no_model_is_rejected(self, path, change):
        write(path, model=description(**change))
        refused(path, "description cannot be used")

    @pytest.mark.parametrize(
        "key", ["layers", "input_shape", "dtype", "preprocessing", "class_names", "info"]
    )
    def test_each_part_of_it_is_needed(self, path, key):
        whole = json.loads(description())
        del whole[key]
        write(path, model=json.dumps(whole))
        refused(path, f"'{key}'")

    @pytest.mark.parametrize(
        ("layers", "shape"),
        [
            ([{"type": "Dense", "units": 10**12}], [3]),
            ([{"type": "Dense", "units": 10**30}], [3]),
            ([{"type": "Dense", "units": 2}], [10**12]),
            ([{"type": "Dense", "units": 2, "use_bias": False}] * 2, [3]),
            ([{"type": "Flatten"}, {"type": "Dense", "units": 2}], [10**6, 10**6, 1]),
            ([{"type": "BatchNorm"}], [10**12]),
            ([{"type": "Conv2D", "filters": 10**12, "kernel_size": 1}], [1, 1, 1]),
            ([{"type": "Conv2D", "filters": 1, "kernel_size": 10**6}], [10**6, 10**6, 1]),
            ([{"type": "Conv2D", "filters": 1, "kernel_size": 1}], [1, 1, 10**12]),
            ([{"type": "Dense", "units": 2**31 - 1}], [2**31 - 1]),
            ([{"type": "Flatten"}, {"type": "Dense", "units": 2}], [10**4, 10**3, 1]),
        ],
        ids=str,
    )
    def test_an_architecture_larger_than_the_file_takes_no_memory(self, path, layers, shape):
        write(path, model=description(layers=layers, input_shape=shape))
        refused(
            path, "at most 2,147,483,647, got|the architecture needs|missing: |to predict one image would"
        )


POINT = {"type": "Conv2D", "filters": 1, "kernel_size": 1}
POOLED = {"type": "GlobalAvgPool2D"}


class TestWhatCannotBeAfforded:
    """A file of a kilobyte whose model would take all memory or all time."""

    # Four bytes for each number of the image, the padded image, its windows, and the results, which the fast
    # kernels round up to 32 channels.
    @pytest.mark.parametrize(
        ("layer", "shape", "size"),
        [
            (POINT | {"padding": 3000}, [28, 28, 1], "4.9 GiB"),
            (POINT | {"padding": [[0, 10**6], [0, 0]]}, [28, 28, 1], "3.8 GiB"),
            (POINT, [100_000, 100_000, 1], "1.3 TiB"),
            (POINT | {"strides": 1000, "padding": 20_000}, [28, 28, 1], "6.0 GiB"),
            (
                {"type": "MaxPool2D", "pool_size": 9000, "strides": 1, "padding": "same"},
                [9000, 9000, 1],
                "1.5 GiB",
            ),
            (
                {"type": "MaxPool2D", "pool_size": 40_000, "strides": 1, "padding": "same"},
                [9, 9, 1],
                "operations",
            ),
            (
                {"type": "AvgPool2D", "pool_size": 2000, "strides": 1, "padding": "same"},
                [2000, 2000, 1],
                "operations",
            ),
        ],
        ids=str,
    )
    def test_it_is_rejected_and_the_size_named(self, path, layer, shape, size):
        arrays = {"conv2d_1.W": np.ones((1, 1, 1, 1), np.float32), "conv2d_1.b": np.ones(1, np.float32)}
        arrays = arrays if layer["type"] == "Conv2D" else {}
        write(path, arrays, model=description(layers=[layer, POOLED], input_shape=shape))
        refused(
            path,
            rf"to predict one image would take .*{size}.*; a model from a file may take up to 512\.0 MiB",
        )

    def test_a_huge_stride_is_rejected(self, path):
        write(path, model=description(layers=[POINT | {"strides": 10**30}, POOLED], input_shape=[28, 28, 1]))
        refused(path, "strides must be at most 2,147,483,647")

    def test_very_many_layers_are_rejected(self, path):
        write(path, {}, model=description(layers=[{"type": "ReLU"}] * 10_001))
        refused(path, "expected between 1 and 10,000 layers, got 10,001")

    def test_a_header_that_would_fill_the_memory_is_not_read(self, path):
        path.write_bytes((2**24 + 1).to_bytes(8, "little") + bytes(2**24 + 1))
        refused(path, r"not a readable safetensors file \(its header would be 16\.0 MiB long\)")

    def test_a_model_that_could_not_be_loaded_again_is_not_saved(self, path):
        model = mc.Sequential([L.Conv2D(1, 1, padding=3000), L.GlobalAvgPool2D()], (28, 28, 1))
        with pytest.raises(ConfigError, match=r"could not be loaded again from a file: to predict one image"):
            model.save(path)
        assert not path.exists()

    def test_the_largest_allowed_model_predicts_in_little_memory(self, path):
        pytest.importorskip("resource", reason="needs a limit on memory")
        layers = [
            POINT | {"padding": 600},
            {"type": "MaxPool2D", "strides": 1},
            {"type": "BatchNorm"},
            POOLED,
        ]
        arrays = {"conv2d_1.W": np.ones((1, 1, 1, 1), np.float32), "conv2d_1.b": np.ones(1, np.float32)}
        arrays |= {
            f"batchnorm_1.{name}": np.ones(1, np.float32)
            for name in ("gamma", "beta", "running_mean", "running_var")
        }
        write(path, arrays, model=description(layers=layers, input_shape=[28, 28, 1]))
        assert sum(mc.load(path).image_memory) > 0.8 * MOST_IMAGE_MEMORY
        code = (
            "import resource, sys, numpy as np, minicnn as mc\n"
            "mc.set_num_threads(2)\n"
            "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
            "model = mc.load(sys.argv[1])\n"
            "print(model.predict(np.zeros((3, 28, 28, 1), np.uint8)))\n"
        )
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
        assert (done.stdout, done.stderr, done.returncode) == ("[0 0 0]\n", "", 0)


class TestDescriptionsThatPythonWouldRead:
    @pytest.mark.parametrize(
        ("model", "words"),
        [
            (description().replace("0.0", "NaN"), "NaN is not a number in JSON"),
            (description().replace("1.0", "Infinity"), "Infinity is not a number in JSON"),
            (description().replace("1.0", "1e999"), "the number '1e999' is infinite"),
            (description().replace('"info"', '"dtype"'), "the key 'dtype' is there twice"),
            (
                description().replace('"units": 2', '"units": 2, "units": 2'),
                "the key 'units' is there twice",
            ),
            (description().replace("[3]", "[" * 30 + "3" + "]" * 30), "nested more than 20 deep"),
            (description().replace("[3]", "[" + "9" * 5000 + "]"), "Exceeds the limit"),
            (description(info={"dataset": ["mnist"]}), "'dataset' must be of type str"),
            (description(info={"dataset": 3}), "'dataset' must be of type str"),
            (description(info=[["a", "b"]]), "'info' must be of type dict"),
            (description(preparation=[]), "'preparation' must be of type dict"),
            (description(preparation={"margin": 2}), "margin must be a number"),
            (description(preparation={"negative": 1}), "negative must be True or False"),
            (description(preparation={"color": 1}), "unexpected keyword argument 'color'"),
            (description(class_names=["a", 3]), "expected the names of an output"),
            (description(class_names=["a", None]), "expected the names of an output"),
            (description(layers=[[["type", "Flatten"]]]), "a layer must be described by an object"),
            (description(input_shape=[True]), "input_shape must be a whole number"),
            (description(input_shape=[1] * 100), "at most 16 axes"),
            (description(dtype=True), "'dtype' must be of type str"),
        ],
        ids=lambda value: None if value.startswith("{") else value,
    )
    def test_it_is_rejected(self, path, model, words):
        write(path, model=model)
        refused(path, words)


class TestNames:
    def test_they_are_only_shown(self, path):
        names = ["\x1b[2Jcat", "\ud800"]
        write(path, model=description(class_names=names, info={"\x07": "x\n\u202ey"}))
        model = mc.load(path)
        assert model.class_names == (r"\x1b[2Jcat", r"\ud800")
        assert model.info == {r"\x07": r"x\n\u202ey"}
        model.save(path)
        assert mc.load(path).class_names == model.class_names
