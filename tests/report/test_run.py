"""`write_run`, `read_run`, `page_of`: a folder with everything about a run, correct and readable."""

import csv
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import minicnn as mc
from minicnn import info, report
from minicnn.data import Dataset
from minicnn.errors import ConfigError, DataError, ModelFileError, OutputError, StateError
from minicnn.report import run as module
from minicnn.runtime import threads
from tests.report.finished import COMMAND, SPEC, data, finished, sign, trained

FILES = {"model.safetensors", "metrics.json", "history.csv", "predictions.npz"}
PICTURES = {
    *("network.png", "class_counts.png", "samples.png", "class_means.png", "learning_curves.png"),
    *("confusion_matrix.png", "calibration.png", "mistakes.png"),
    *("filters.png", "first_maps.png", "last_maps.png", "saliency.png", "grad_cam.png"),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Train a tiny model, write the run once; return the run, the trainer and both sets."""
    return finished(tmp_path_factory.mktemp("runs") / "one" / "deep")


@pytest.fixture
def folder(done, tmp_path):
    """A folder with the files of a run, to be damaged."""
    return shutil.copytree(done[0].folder, tmp_path / "run")


@pytest.fixture(scope="module")
def other_run(tmp_path_factory):
    """The folder of a run on the same data, with other weights."""
    folder = tmp_path_factory.mktemp("other")
    finished(folder, seed=1)
    return folder


def write(folder, done, **notes):
    """Write the run again, elsewhere."""
    run, trainer, train, test = done
    return report.write_run(folder, trainer, train, test, run.evaluation, SPEC, COMMAND, **notes)


def no_constant(constant):
    raise AssertionError(f"{constant} is not JSON")


class TestWriteRun:
    def test_every_file_is_there_and_no_other(self, done):
        assert set(os.listdir(done[0].folder)) == FILES

    def test_the_repr_of_a_run_is_one_line(self, done):
        run = done[0]
        assert repr(run) == f"Run({run.folder}: {run.evaluation})"

    def test_the_metrics_are_the_json_file(self, done):
        text = (done[0].folder / "metrics.json").read_text(encoding="utf-8")
        assert json.loads(text, parse_constant=no_constant) == done[0].metrics
        assert text.endswith("}\n")

    def test_the_metrics_are_correct(self, done):
        run, trainer, _, _ = done
        metrics = run.metrics
        assert metrics["dataset"] == "testset"
        assert metrics["test_accuracy"] == run.evaluation.accuracy
        assert metrics["test_loss"] == run.evaluation.loss
        assert metrics.items() >= run.evaluation.scores().items()
        assert metrics["epochs"] == 2
        assert metrics["seconds_training"] == trainer.history.seconds > 0
        assert metrics["images_per_second"] == trainer.history.images_per_second > 0
        assert metrics["parameters"] == (3 * 3 * 2 + 2) + (3 * 2 * 2 * 3 + 3)
        assert metrics["images"] == {"training": 18, "validation": 6, "test": 9}
        assert metrics["device"] == "cpu"
        assert metrics["engine"] == "fused"
        assert metrics["precision"] == "fp32"

    def test_the_data_and_the_command_are_recorded(self, done):
        metrics = json.loads((done[0].folder / "metrics.json").read_text(encoding="utf-8"))
        assert metrics["data"] == SPEC.asdict()
        assert metrics["command"] == COMMAND

    def test_the_command_is_that_of_this_process_by_default(self, done, tmp_path, monkeypatch):
        run, trainer, train, test = done
        monkeypatch.setattr(sys, "argv", ["examples/one.py", "--out", "a b"])
        metrics = report.write_run(tmp_path, trainer, train, test, run.evaluation, SPEC).metrics
        assert metrics["command"] == "python examples/one.py --out 'a b'"

    def test_the_settings_of_the_training_and_the_notes_are_in_the_metrics(self, done, tmp_path):
        metrics = write(tmp_path, done, recipe="tiny").metrics
        assert metrics.items() >= done[1].settings.items()
        assert (metrics["recipe"], metrics["batch_size"], metrics["held_out"]) == ("tiny", 8, 0.25)

    def test_the_threads_are_those_of_the_kernels(self, done, tmp_path, monkeypatch):
        assert done[0].metrics["threads"] == threads.num_threads()
        monkeypatch.setattr(info, "num_threads", lambda: 3)
        assert write(tmp_path, done).metrics["threads"] == 3

    @pytest.mark.parametrize(("validation", "images"), [(None, (24, 0)), (data(5), (24, 5))], ids=str)
    def test_the_held_out_images_are_counted(self, tmp_path, validation, images):
        metrics = finished(tmp_path, validation=validation)[0].metrics
        assert metrics["images"] == {"training": images[0], "validation": images[1], "test": 9}

    def test_it_never_replaces_a_run(self, done, tmp_path):
        write(tmp_path, done)
        with pytest.raises(OutputError, match="holds a run already"):
            write(tmp_path, done)

    def test_the_versions_that_a_result_depends_on_are_named(self, done):
        versions = done[0].metrics["versions"]
        assert versions["python"] == platform.python_version()
        assert versions["minicnn"] == mc.__version__
        assert versions["numpy"] == np.__version__
        assert versions["numba"] == importlib.metadata.version("numba")
        assert versions["platform"]

    def test_the_model_predicts_and_names_its_training_data(self, done):
        run, _, _, test = done
        model = mc.load(run.folder / "model.safetensors")
        assert model.info == {"dataset": "trainset", "test_accuracy": f"{run.evaluation.accuracy:.4f}"}
        assert model.class_names == ("ant", "bee", "cat")
        assert_array_equal(model.predict(test.images), run.evaluation.predicted)

    def test_the_info_of_the_model_is_saved(self, tmp_path):
        train, test = data(), data(9, 1, "testset")
        trainer = trained(train)
        trainer.model.info = {"recipe": "tiny"}
        evaluation = trainer.evaluate(test)
        report.write_run(tmp_path, trainer, train, test, evaluation, SPEC, COMMAND)
        info = mc.load(tmp_path / "model.safetensors").info
        assert (info["recipe"], info["dataset"]) == ("tiny", "trainset")

    def test_the_history_is_the_trainers(self, done):
        run, trainer, _, _ = done
        with (run.folder / "history.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["val_loss"]) for row in rows] == trainer.history["val_loss"]
        assert {row["dataset"] for row in rows} == {"trainset"}

    def test_the_predictions_are_plain_arrays(self, done):
        run, _, _, test = done
        with np.load(run.folder / "predictions.npz", allow_pickle=False) as file:
            assert set(file) == {"labels", "probabilities"}
            assert_array_equal(file["labels"], test.labels)
            assert_array_equal(file["probabilities"], run.evaluation.probabilities)

    def test_a_folder_that_cannot_be_written_is_rejected(self, done, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="cannot write"):
            write(tmp_path / "file", done)

    def test_nothing_is_written_before_training(self, done, tmp_path):
        run, trainer, train, test = done
        untrained = mc.Trainer(trainer.model, mc.optimizers.SGD(0.1))
        with pytest.raises(StateError, match=r"call trainer\.fit"):
            report.write_run(tmp_path, untrained, train, test, run.evaluation, SPEC, COMMAND)
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("value", [np.int64(3), {1, 2}, float("nan"), float("inf")], ids=repr)
    def test_notes_that_are_not_json_are_rejected_before_anything_is_written(self, done, tmp_path, value):
        info = dict(done[1].model.info)
        with pytest.raises(ConfigError, match=r"a note must be text or a plain number: .*JSON"):
            write(tmp_path, done, note=value)
        assert os.listdir(tmp_path) == []
        assert done[1].model.info == info

    def test_a_failure_leaves_the_old_predictions(self, done, tmp_path, monkeypatch):
        def broken(file, **_):
            file.write_bytes(b"half")
            raise RuntimeError("no more disk")

        (tmp_path / "predictions.npz").write_bytes(b"old")
        report.check_run(tmp_path, force=True)
        monkeypatch.setattr(module.np, "savez_compressed", broken)
        with pytest.raises(RuntimeError, match="disk"):
            write(tmp_path, done)
        assert (tmp_path / "predictions.npz").read_bytes() == b"old"
        assert set(os.listdir(tmp_path)) <= FILES


class TestReadRun:
    def test_a_round_trip(self, done):
        run, trainer, _, test = done
        read = report.read_run(str(run.folder))
        assert read.folder == run.folder
        assert read.metrics == run.metrics
        assert read.history.dataset == "trainset"
        assert read.history.rows == trainer.history.rows
        assert read.evaluation.loss == run.evaluation.loss
        assert read.evaluation.class_names == ("ant", "bee", "cat")
        for name in ("labels", "probabilities"):
            expected, found = getattr(run.evaluation, name), getattr(read.evaluation, name)
            assert found.dtype == expected.dtype
            assert_array_equal(found, expected)
        assert_array_equal(read.model.logits(test.images), run.model.logits(test.images))

    @pytest.mark.parametrize("name", sorted(FILES))
    def test_a_missing_file_is_named(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(DataError, match=rf"the folder of a finished run, with metrics.*no file {name}\)"):
            report.read_run(folder)

    @pytest.mark.parametrize("name", sorted(FILES - {"metrics.json"}))
    def test_a_file_of_another_run_is_named(self, folder, other_run, name):
        shutil.copy(other_run / name, folder / name)
        with pytest.raises(DataError, match=rf"{name} changed since the run .*{COMMAND}$"):
            report.read_run(folder)

    def test_metrics_of_another_run_are_rejected(self, folder, other_run):
        shutil.copy(other_run / "metrics.json", folder)
        with pytest.raises(DataError, match=r"model.safetensors, history.csv, predictions.npz changed since"):
            report.read_run(folder)

    @pytest.mark.parametrize(
        ("name", "value"), [("test_accuracy", 0.123), ("parameters", 7), ("epochs", 3), ("images", 8)]
    )
    def test_numbers_that_disagree_with_the_other_files_are_rejected(self, folder, name, value):
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        metrics |= {name: {**metrics["images"], "test": value} if name == "images" else value}
        (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        with pytest.raises(DataError, match=rf"{name} is|differ in the number of test images"):
            report.read_run(folder)

    def test_a_missing_folder_is_rejected(self, tmp_path):
        with pytest.raises(DataError, match="nothing: expected the folder of a finished run"):
            report.read_run(tmp_path / "nothing")

    @pytest.mark.parametrize(
        "content", ["", "{", "[]", "3", "{}", '{"test_loss": null}', '{"test_loss": "low"}', b"\xff\xfe{}"]
    )
    def test_damaged_metrics_are_rejected(self, folder, content):
        content = content if isinstance(content, bytes) else content.encode()
        (folder / "metrics.json").write_bytes(content)
        with pytest.raises(DataError, match="expected the folder of a finished run"):
            report.read_run(folder)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("test_accuracy", "high"), ("parameters", None), ("images", []), ("images", {"training": 3})),
            ("images", {"training": 3, "test": 2}),
            ("images", {"training": 3, "validation": 1, "test": "2"}),
            *(("versions", None), ("seconds_training", "long"), ("command", 7)),
        ],
    )
    def test_metrics_of_another_kind_are_rejected(self, folder, name, value):
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        (folder / "metrics.json").write_text(json.dumps(metrics | {name: value}), encoding="utf-8")
        with pytest.raises(DataError, match="expected the folder of a finished run"):
            report.read_run(folder)

    @pytest.mark.parametrize("name", ["test_accuracy", "images", "versions", "command"])
    def test_metrics_without_the_entries_of_the_page_are_rejected(self, folder, name):
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        del metrics[name]
        (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        with pytest.raises(DataError, match=f"expected the folder of a finished run.*{name}"):
            report.read_run(folder)

    def test_predictions_of_another_number_are_rejected(self, folder):
        with np.load(folder / "predictions.npz") as file:
            arrays = dict(file)
        np.savez(
            folder / "predictions.npz", labels=arrays["labels"][1:], probabilities=arrays["probabilities"]
        )
        sign(folder)
        with pytest.raises(DataError, match="the files are not of one run"):
            report.read_run(folder)

    @pytest.mark.parametrize("keep", [0, 1, 10, -10])
    def test_truncated_predictions_are_rejected(self, folder, keep):
        content = (folder / "predictions.npz").read_bytes()
        (folder / "predictions.npz").write_bytes(content[:keep])
        sign(folder)
        with pytest.raises(DataError, match="expected the folder of a finished run"):
            report.read_run(folder)

    def test_predictions_with_a_changed_byte_are_rejected(self, folder):
        path = folder / "predictions.npz"
        content = path.read_bytes()
        with zipfile.ZipFile(path) as file:  # the probabilities are its last member
            stop, size = file.start_dir, file.getinfo("probabilities.npy").compress_size
        for place in range(stop - size, stop, 7):
            changed = bytearray(content)
            changed[place] ^= 0xFF
            path.write_bytes(changed)
            sign(folder)
            with pytest.raises(DataError, match="expected the folder of a finished run"):
                report.read_run(folder)

    @pytest.mark.parametrize(
        "arrays",
        [
            {"labels": np.zeros(9, np.int64)},
            {"probabilities": np.ones((9, 3))},
            {"labels": np.array(["ant", None], object), "probabilities": np.ones((9, 3))},
            {"labels": np.zeros(9, np.int64), "probabilities": np.ones((9, 3), int)},
            {"labels": np.zeros(9), "probabilities": np.full((9, 3), 1 / 3)},
        ],
        ids=("without probabilities", "without labels", "with objects", "whole numbers", "floating labels"),
    )
    def test_other_predictions_are_rejected(self, folder, arrays):
        np.savez_compressed(folder / "predictions.npz", **arrays)
        sign(folder)
        with pytest.raises(DataError, match="expected the folder of a finished run"):
            report.read_run(folder)

    @pytest.mark.parametrize(
        "arrays",
        [
            {"labels": np.zeros(9, np.int64), "probabilities": np.full((9, 2), 1 / 2)},
            {"labels": np.zeros(9, np.int64), "probabilities": np.full((8, 3), 1 / 3)},
            {"labels": np.zeros(9, np.int64), "probabilities": np.full((9, 3), np.nan)},
            {"labels": np.zeros(9, np.int64), "probabilities": np.full((9, 3), 0.5)},
            {"labels": np.zeros(9, np.int64), "probabilities": np.full((9, 3), 1 / 3) * [5, -1, -1]},
            {"labels": np.full(9, 3), "probabilities": np.full((9, 3), 1 / 3)},
            {"labels": np.full(9, -1), "probabilities": np.full((9, 3), 1 / 3)},
        ],
        ids=("classes", "images", "NaN", "no shares of one", "negative", "high labels", "low labels"),
    )
    def test_predictions_of_another_model_are_rejected(self, folder, arrays):
        np.savez_compressed(folder / "predictions.npz", **arrays)
        sign(folder)
        with pytest.raises(DataError, match=r"for the 3 classes of model\.safetensors.*not of one run"):
            report.read_run(folder)

    def test_a_damaged_history_is_rejected(self, folder):
        (folder / "history.csv").write_text("dataset,epoch,loss,accuracy\ntrainset,1,low,0.5\n")
        sign(folder)
        with pytest.raises(DataError, match="expected a history"):
            report.read_run(folder)

    def test_a_damaged_model_is_rejected(self, folder):
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[:-8])
        sign(folder)
        with pytest.raises(ModelFileError, match="not a readable safetensors file"):
            report.read_run(folder)


class TestPageOf:
    def test_a_run_that_was_read_gives_the_same_page(self, done):
        run, _, train, test = done
        page, again = (report.page_of(found, train, test) for found in (run, report.read_run(run.folder)))
        assert (again.title, again.lead, again.facts) == (page.title, page.lead, page.facts)
        for one, other in zip(page.sections, again.sections, strict=True):
            assert (one.title, one.text, one.table, one.code) == (
                *(other.title, other.text, other.table, other.code),
            )
            assert [p.name for p in one.pictures] == [p.name for p in other.pictures]

    def test_the_facts_are_those_of_the_run(self, done):
        run, _, train, test = done
        metrics = run.metrics | {"test_accuracy": 0.91234, "test_loss": 0.25678, "parameters": 1234567}
        metrics |= {"seconds_training": 61.4, "epochs": 12}
        metrics["images"] = {"training": 54000, "validation": 0, "test": 10000}
        page = report.page_of(replace(run, metrics=metrics), train, test)
        assert page.title == "trainset: 91.23%"
        assert page.facts == {
            "test accuracy": "91.23%",
            "95% interval": run.evaluation.interval_text(),
            "test loss": "0.2568",
            "parameters": "1,234,567",
            "epochs": "12",
            "training time": "61 s",
        }
        assert page.lead == (
            "A network of 5 layers, trained on 54,000 images of trainset and at the end tested on 10,000 "
            "others."
        )

    def test_the_lead_names_the_recipe_and_the_held_out_images(self, done):
        run, _, train, test = done
        images = {"training": 57000, "validation": 3000, "test": 10000}
        metrics = run.metrics | {"recipe": "tiny", "images": images}
        assert report.page_of(replace(run, metrics=metrics), train, test).lead == (
            "A network of 5 layers, trained by the recipe tiny on 57,000 images of trainset, 3,000 more for "
            "the learning curves, and at the end tested on 10,000 others."
        )

    def test_added_sections_come_before_the_origin(self, done):
        run, _, train, test = done
        page = report.page_of(run, train, test)
        page.section("My own")
        page.section("Another")
        titles = [section.title for section in page.sections]
        assert titles[-5:] == ["Looking inside", "My own", "Another", "Origin", "Numbers and machine"]

    def test_the_accuracy_with_mirror_images_is_a_fact(self, done):
        run, _, train, test = done
        page = report.page_of(replace(run, metrics=run.metrics | {"mirrored_accuracy": 0.875}), train, test)
        assert page.facts["with mirror images"] == "87.50%"

    def test_drawing_a_page_writes_nothing(self, done):
        run, _, train, test = done
        report.page_of(run, train, test)
        assert set(os.listdir(run.folder)) == FILES

    def test_the_page_is_written_with_its_figures(self, done, tmp_path):
        run, _, train, test = done
        report.page_of(run, train, test).write(tmp_path)
        assert set(os.listdir(tmp_path)) == PICTURES | {"report.html"}

    @pytest.mark.parametrize("which", ["fewer", "in another order"])
    def test_other_test_data_are_rejected(self, done, which):
        run, _, train, test = done
        order = np.arange(8) if which == "fewer" else np.arange(9)[::-1]
        other = Dataset(test.images[order], test.labels[order], test.class_names, "other")
        assert len(order) < 9 or not np.array_equal(other.labels, test.labels)
        with pytest.raises(DataError, match=f"other images than these {len(order)} of other: give the data"):
            report.page_of(run, train, other)

    def test_other_images_with_the_same_labels_are_rejected(self, done):
        run, _, train, test = done
        images = test.images.copy()
        images[3, 2, 1] ^= 1
        other = Dataset(images, test.labels, test.class_names, "other")
        with pytest.raises(DataError, match="other images than these 9 of other: give the data"):
            report.page_of(run, train, other)

    def test_test_images_of_other_classes_are_rejected(self, done):
        run, _, train, test = done
        other = Dataset(test.images, test.labels, ("ant", "cat", "bee"), "other")
        with pytest.raises(DataError, match="other images than these 9 of other: give the data"):
            report.page_of(run, train, other)

    @pytest.mark.parametrize("other", [{"names": ("ant", "bee")}, {"shape": (8, 8, 1)}], ids=str)
    def test_other_training_data_are_rejected(self, done, other):
        run, _, _, test = done
        with pytest.raises(DataError, match="the training set, trainset, has other classes"):
            report.page_of(run, data(**other), test)


def test_the_version_is_that_of_the_package():
    try:
        installed = importlib.metadata.version("minicnn")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("minicnn is not installed, only on the path")
    assert mc.__version__ == installed
