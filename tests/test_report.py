"""`report.write_run`: a folder with everything about a run, true and readable by others."""

import csv
import importlib.metadata
import json
import os
import platform
import time

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers as L
from minicnn import report
from minicnn.errors import ConfigError, OutputError, StateError
from minicnn.kernels import threads

FILES = {
    *("model.safetensors", "metrics.json", "history.csv"),
    *("learning_curves.png", "confusion_matrix.png", "samples.png", "mistakes.png"),
}


def data(n, seed, name):
    rng = np.random.default_rng(seed)
    return mc.data.Dataset(rng.integers(0, 256, (n, 4, 3, 1), np.uint8), np.arange(n) % 2, ("a", "b"), name)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train a tiny model, write the run once; return folder, what was returned, trainer and evaluation."""
    folder = tmp_path_factory.mktemp("runs") / "one" / "deep"
    train, test = data(20, 0, "trainset"), data(8, 1, "testset")
    trainer = mc.Trainer(mc.Sequential([L.Flatten(), L.Dense(2)], (4, 3, 1)), mc.optimizers.SGD(0.1))
    trainer.fit(train, epochs=2, batch_size=5, validation=0.2, progress=False)
    evaluation = trainer.evaluate(test)
    settings = {"seed": 7, "lr": 0.1, "batch_size": 5}
    metrics = report.write_run(folder, trainer, train, test, evaluation, time.perf_counter(), **settings)
    return folder, metrics, trainer, evaluation


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def test_every_file_is_there_and_no_other(run):
    folder, *_ = run
    assert set(os.listdir(folder)) == FILES
    for name in FILES:
        assert (folder / name).stat().st_size > 0
        if name.endswith("png"):
            assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_the_metrics_are_json_and_what_was_returned(run):
    folder, metrics, *_ = run
    text = (folder / "metrics.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse) == metrics
    assert text.endswith("}\n")


def test_the_metrics_are_true(run):
    _, metrics, trainer, evaluation = run
    assert metrics["dataset"] == "testset"
    assert metrics["test_accuracy"] == evaluation.accuracy
    assert metrics["test_loss"] == evaluation.loss
    assert metrics["epochs"] == 2
    assert metrics["seconds_training"] == trainer.history.seconds > 0
    assert metrics["images_per_second"] == trainer.history.images_per_second > 0
    assert metrics["parameters"] == 12 * 2 + 2
    assert metrics["device"] == "cpu"
    assert metrics["engine"] == "fused"


def test_the_threads_are_those_of_the_kernels(run, tmp_path, monkeypatch):
    _, metrics, trainer, evaluation = run
    assert metrics["threads"] == threads.num_threads()
    monkeypatch.setattr(report, "num_threads", lambda: 3)
    monkeypatch.setattr(report.plots, "save", lambda figure, path: None)
    sets = data(20, 0, "trainset"), data(8, 1, "testset")
    assert report.write_run(tmp_path, trainer, *sets, evaluation, started=0.0)["threads"] == 3


def test_seconds_total_counts_from_the_start_until_all_but_the_metrics_are_written(
    run, tmp_path, monkeypatch
):
    _, _, trainer, evaluation = run
    drawn = []
    monkeypatch.setattr(report.plots, "save", lambda figure, path: drawn.append(time.perf_counter()))
    started = time.perf_counter()
    sets = data(20, 0, "trainset"), data(8, 1, "testset")
    metrics = report.write_run(tmp_path, trainer, *sets, evaluation, started=started)
    assert drawn[-1] - started <= metrics["seconds_total"] <= time.perf_counter() - started
    earlier = report.write_run(tmp_path, trainer, *sets, evaluation, started=started - 1000)
    assert earlier["seconds_total"] >= 1000
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == earlier


def test_the_settings_are_in_the_metrics(run):
    _, metrics, *_ = run
    assert {name: metrics[name] for name in ("seed", "lr", "batch_size")} == {
        "seed": 7,
        "lr": 0.1,
        "batch_size": 5,
    }


def test_the_versions_that_a_result_depends_on_are_named(run):
    _, metrics, *_ = run
    versions = metrics["versions"]
    assert versions["python"] == platform.python_version()
    assert versions["minicnn"] == mc.__version__
    assert versions["numpy"] == np.__version__
    assert versions["numba"] == importlib.metadata.version("numba")
    assert versions["platform"]


def test_the_model_predicts_and_knows_what_it_was_trained_on(run):
    folder, _, _, evaluation = run
    model = mc.load(folder / "model.safetensors")
    assert model.info == {"dataset": "trainset", "test_accuracy": f"{evaluation.accuracy:.4f}"}
    assert model.class_names == ("a", "b")
    x = data(8, 1, "testset").images
    np.testing.assert_array_equal(model.predict(x), evaluation.predicted)


def test_the_history_is_the_trainers(run):
    folder, _, trainer, _ = run
    with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in rows] == trainer.history["val_loss"]
    assert {row["dataset"] for row in rows} == {"trainset"}


def test_figures_carry_the_names_of_their_data(run, tmp_path, monkeypatch):
    _, _, trainer, evaluation = run
    figures = {}
    monkeypatch.setattr(report.plots, "save", lambda figure, path: figures.update({path.name: figure}))
    train, test = data(20, 0, "trainset"), data(8, 1, "testset")
    report.write_run(tmp_path, trainer, train, test, evaluation, started=0.0)
    titles = {name: f.get_suptitle() or f.axes[0].get_title() for name, f in figures.items()}
    assert {name: text.partition(":")[0] for name, text in titles.items()} == {
        "learning_curves.png": "trainset",
        "confusion_matrix.png": "testset",
        "samples.png": "trainset",
        "mistakes.png": "testset",
    }
    assert f"{evaluation.accuracy:.2%}" in titles["confusion_matrix.png"]
    shown = [axes.images[0].get_array() for axes in figures["samples.png"].axes]
    np.testing.assert_array_equal(shown, train.images[:9, ..., 0])


def test_a_folder_that_cannot_be_written_is_refused(run, tmp_path):
    _, _, trainer, evaluation = run
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        report.write_run(tmp_path / "file", trainer, data(4, 0, "x"), data(8, 1, "y"), evaluation, 0.0)


class TestCheckRun:
    def test_the_folder_is_made_empty_and_returned(self, tmp_path):
        assert report.check_run(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
        assert os.listdir(tmp_path / "a" / "b") == []

    def test_an_earlier_run_stays_as_it_is(self, tmp_path):
        (tmp_path / "metrics.json").write_text("old")
        report.check_run(tmp_path)
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"metrics.json": "old"}

    def test_a_place_that_cannot_be_written_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="cannot write"):
            report.check_run(tmp_path / "file")

    @pytest.mark.parametrize("name", sorted(FILES))
    def test_a_folder_in_the_place_of_any_file_is_refused(self, tmp_path, name):
        (tmp_path / name).mkdir()
        with pytest.raises(OutputError, match=f"{name}: there is a folder of that name"):
            report.check_run(tmp_path)


def test_the_files_are_listed():
    assert len(report.FILES) == len(FILES)
    assert set(report.FILES) == FILES


def test_the_version_is_that_of_the_package():
    try:
        installed = importlib.metadata.version("minicnn")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("minicnn is not installed, only on the path")
    assert mc.__version__ == installed


def test_nothing_is_written_before_training_or_of_settings_that_are_no_json(run, tmp_path):
    _, _, trainer, evaluation = run
    sets = data(20, 0, "trainset"), data(8, 1, "testset")
    untrained = mc.Trainer(trainer.model, mc.optimizers.SGD(0.1))
    with pytest.raises(StateError, match=r"call trainer\.fit"):
        report.write_run(tmp_path, untrained, *sets, evaluation, started=0.0)
    with pytest.raises(ConfigError, match="not JSON"):
        report.write_run(tmp_path, trainer, *sets, evaluation, started=0.0, seed=np.int64(3))
    assert list(tmp_path.iterdir()) == []
