"""`DatasetSpec`: data from a folder or from files, all or a part of them."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minicnn.data import Dataset, DatasetSpec, spec, write_csv
from minicnn.data.catalog import SOURCES
from minicnn.errors import ConfigError, DataError, DataNotFoundError


def numbered(n, start=0, labels=3, names=(), name="numbers"):
    """A data set in which each image holds its index."""
    images = np.arange(start, start + n, dtype=np.uint8).repeat(4).reshape(n, 2, 2, 1)
    return Dataset(images, np.arange(n) % labels, names, name)


def numbers(data):
    return data.images[:, 0, 0, 0].tolist()


@pytest.fixture
def files(tmp_path):
    """Return the paths of a file of 20 images to train on and one of 10 to test on."""
    paths = {"train_csv": str(tmp_path / "train.csv"), "test_csv": str(tmp_path / "test.csv")}
    write_csv(numbered(20), paths["train_csv"])
    write_csv(numbered(10, start=100, labels=2), paths["test_csv"])
    return paths


@pytest.fixture
def loaded(monkeypatch):
    """Stand in for ``load``; return the list of what it was asked for."""
    asked = []

    def load(name, root):
        asked.append((name, root))
        return numbered(20, name=name), numbered(10, start=100, name=name)

    monkeypatch.setattr(spec, "load", load)
    return asked


class TestByName:
    def test_fashion_mnist_is_the_default(self, loaded):
        train, test = DatasetSpec().load()
        assert loaded == [("fashion-mnist", None)]
        assert (len(train), len(test)) == (20, 10)

    def test_name_and_folder_are_passed_on(self, loaded):
        assert [data.name for data in DatasetSpec("mnist", "/data").load()] == ["mnist", "mnist"]
        assert loaded == [("mnist", "/data")]

    def test_either_part_can_be_loaded_alone(self, loaded):
        assert numbers(DatasetSpec("mnist").load_train()) == list(range(20))
        assert numbers(DatasetSpec("mnist").load_test(("a", "b", "c"))) == list(range(100, 110))

    def test_an_unknown_name_is_rejected(self):
        with pytest.raises(ConfigError, match="did you mean 'mnist'"):
            DatasetSpec("mnisd").load()

    def test_the_synthetic_set_needs_no_files(self):
        train, test = DatasetSpec("synthetic", images=10).load()
        assert (len(train), len(test), train.name) == (10, 2, "synthetic")


class TestFromFiles:
    def test_both_files_are_read(self, files, loaded):
        train, test = DatasetSpec("pets", **files).load()
        assert numbers(train) == list(range(20))
        assert numbers(test) == list(range(100, 110))
        assert (train.name, test.name) == ("pets", "pets")
        assert loaded == []

    def test_the_test_set_has_the_classes_of_the_training_set(self, files):
        train, test = DatasetSpec("pets", **files).load()
        assert train.class_names == test.class_names == ("0", "1", "2")

    @pytest.mark.parametrize("name", SOURCES)
    def test_a_known_name_lends_its_class_names(self, files, name):
        for data in DatasetSpec(name, **files).load():
            assert data.class_names == SOURCES[name].class_names
        assert DatasetSpec(name, **files).load_train().class_names == SOURCES[name].class_names

    def test_the_test_set_alone_has_the_classes_of_a_model(self, files):
        only = DatasetSpec("pets", test_csv=files["test_csv"])
        assert only.load_test(("ant", "bee", "cat")).class_names == ("ant", "bee", "cat")
        known = DatasetSpec("mnist", test_csv=files["test_csv"])
        assert known.load_test(("ant", "bee", "cat")).class_names == tuple("0123456789")

    def test_the_column_of_labels_is_passed_on(self, tmp_path):
        files = {f"{part}_csv": str(tmp_path / f"{part}.csv") for part in ("train", "test")}
        for path in files.values():
            Path(path).write_text("a1,a2,a3,a4,a5\n9,9,9,9,1\n8,8,8,8,0\n")
        for data in DatasetSpec("pets", **files, label="last").load():
            assert data.labels.tolist() == [1, 0]
        assert DatasetSpec("pets", **files, label="a5").load_train().labels.tolist() == [1, 0]
        assert DatasetSpec("pets", **files, label="a5").load_test(("x", "y")).labels.tolist() == [1, 0]

    def test_a_column_without_files_is_rejected(self):
        with pytest.raises(ConfigError, match="label names a column of CSV files, got 'last' without any"):
            DatasetSpec("mnist", label="last")

    def test_more_labels_than_a_model_has_classes_are_rejected(self, files):
        with pytest.raises(DataError, match=r"test\.csv: labels must be within 0…0"):
            DatasetSpec("pets", test_csv=files["test_csv"]).load_test(("ant",))

    def test_training_needs_no_test_file(self, files):
        assert numbers(DatasetSpec("pets", train_csv=files["train_csv"]).load_train()) == list(range(20))

    @pytest.mark.parametrize("given", ["train_csv", "test_csv"])
    def test_one_file_is_not_enough_for_both_parts(self, files, given):
        with pytest.raises(ConfigError, match="got one of them: give both"):
            DatasetSpec("pets", **{given: files[given]}).load()

    def test_the_other_part_cannot_be_loaded_from_one_file(self, files):
        with pytest.raises(ConfigError, match="give both"):
            DatasetSpec("pets", train_csv=files["train_csv"]).load_test(("ant",))
        with pytest.raises(ConfigError, match="give both"):
            DatasetSpec("pets", test_csv=files["test_csv"]).load_train()

    def test_a_file_that_is_not_there_is_named(self, files):
        with pytest.raises(DataNotFoundError, match=r"none\.csv"):
            DatasetSpec("pets", **(files | {"test_csv": "none.csv"})).load()


class TestImages:
    def test_all_images_are_used_by_default(self, loaded):
        assert [len(data) for data in DatasetSpec().load()] == [20, 10]

    @pytest.mark.parametrize(("images", "train", "test"), [(10, 10, 2), (14, 14, 2), (3, 3, 1), (1, 1, 1)])
    def test_images_limits_both_sets(self, files, images, train, test):
        some = DatasetSpec("pets", **files, images=images)
        assert [len(data) for data in some.load()] == [train, test]
        assert numbers(some.load_train()) == list(range(train))

    @pytest.mark.parametrize(("images", "test"), [(4, 4), (1, 1), (1000, 10)])
    def test_images_limits_the_test_set_alone(self, files, loaded, images, test):
        some = DatasetSpec("pets", **files, images=images)
        assert numbers(some.load_test(tuple("abc"))) == list(range(100, 100 + test))
        assert numbers(DatasetSpec("mnist", images=images).load_test(tuple("abc"))) == list(
            range(100, 100 + test)
        )

    def test_more_than_there_are_is_all(self, loaded):
        assert [len(data) for data in DatasetSpec(images=1000).load()] == [20, 10]

    def test_a_sample_of_a_sorted_file_has_every_class(self, tmp_path):
        files = {f"{part}_csv": str(tmp_path / f"{part}.csv") for part in ("train", "test")}
        for path in files.values():
            data = numbered(40, labels=4)
            write_csv(data.subset(np.argsort(data.labels, kind="stable")), path)
        train, test = DatasetSpec("pets", **files, images=20).load()
        assert train.class_counts().tolist() == [5] * 4
        assert test.class_counts().tolist() == [1] * 4
        assert numbers(DatasetSpec("pets", **files, images=8).load_train()) == [0, 4, 1, 5, 2, 6, 3, 7]

    @pytest.mark.parametrize("images", [0, -1, 2.0, True, "10"])
    def test_a_bad_number_is_rejected(self, images):
        with pytest.raises(ConfigError, match="images must be a whole number of at least 1"):
            DatasetSpec(images=images)


@pytest.mark.parametrize(
    "files", [{"train_csv": "a"}, {"test_csv": "a"}, {"train_csv": "a", "test_csv": "b"}]
)
def test_rejects_a_folder_together_with_files(files):
    with pytest.raises(ConfigError, match="from a folder or from CSV files, got both: leave one out"):
        DatasetSpec("mnist", "/data", **files)
    with pytest.raises(ConfigError, match="got both"):
        replace(DatasetSpec("mnist", **files), folder="/data")


@pytest.mark.parametrize(
    "chosen",
    [DatasetSpec(), DatasetSpec("mnist", "/data"), DatasetSpec("pets", None, "/a.csv", "/b.csv", 10, "last")],
    ids=str,
)
def test_it_goes_through_json(chosen):
    values = json.loads(json.dumps(chosen.asdict()))
    assert set(values) == {"name", "folder", "train_csv", "test_csv", "images", "label"}
    assert DatasetSpec(**values) == chosen


def test_its_values_hold_in_another_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = DatasetSpec("pets", None, "a.csv", "sub/b.csv").asdict()
    assert values["train_csv"] == str(tmp_path / "a.csv")
    assert values["test_csv"] == str(tmp_path / "sub" / "b.csv")
    assert DatasetSpec("mnist", "data").asdict()["folder"] == str(tmp_path / "data")
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    assert DatasetSpec("mnist", "~/data").asdict()["folder"] == str(tmp_path / "home" / "data")


def test_it_can_be_moved():
    assert DatasetSpec("mnist", "/old", images=5).moved("/new") == DatasetSpec("mnist", "/new", images=5)
    moved = DatasetSpec("pets", None, "/old/a.csv", "/old/b.csv").moved("new")
    assert moved == DatasetSpec("pets", None, str(Path("new", "a.csv")), str(Path("new", "b.csv")))


def test_rejects_testing_on_the_training_file(tmp_path):
    file = tmp_path / "a.csv"
    with pytest.raises(ConfigError, match="is given for training and for testing: test on other images"):
        DatasetSpec("pets", None, str(file), str(tmp_path / "." / "a.csv")).load()


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_rejects_testing_on_a_link_to_the_training_file(link, files, tmp_path):
    other = str(tmp_path / "other.csv")
    link(files["train_csv"], other)
    with pytest.raises(ConfigError, match="is given for training and for testing"):
        DatasetSpec("pets", None, files["train_csv"], other).load()


def test_rejects_a_link_to_a_file_that_is_missing_too(tmp_path):
    missing, other = str(tmp_path / "none.csv"), str(tmp_path / "other.csv")
    os.symlink(missing, other)
    with pytest.raises(ConfigError, match="is given for training and for testing"):
        DatasetSpec("pets", None, missing, other).load()


@pytest.mark.parametrize("name", ["folder", "train_csv", "test_csv"])
@pytest.mark.parametrize("path", [5, True, ["a"], b"a"])
def test_rejects_other_than_a_path(name, path):
    with pytest.raises(ConfigError, match=f"{name} must be a path such as 'data', got "):
        DatasetSpec("mnist", **{name: path})
