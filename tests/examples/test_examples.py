"""The training examples, run in this process on a small set: what they write, print and return."""

import csv
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from minicnn import experiment, ops, report
from minicnn.data import spec
from minicnn.errors import DataNotFoundError
from minicnn.runtime import threads

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = ("train_fashion", "train_mnist")
FILES = {
    *("model.safetensors", "metrics.json", "history.csv", "predictions.npz", "report.html"),
    *("network.png", "class_counts.png", "class_means.png", "samples.png", "learning_curves.png"),
    *("confusion_matrix.png", "calibration.png", "mistakes.png"),
    *("filters.png", "first_maps.png", "last_maps.png", "saliency.png", "grad_cam.png"),
}
OTHERS = {
    "mnist_improve": ("mnist", "mnist-improve", {"mnist-baseline.png", "mnist-improved.png"}),
    "fashion_basic": ("fashion-mnist", "fashion-basic", set()),
    "fashion_multi": (
        "fashion-mnist",
        "fashion-multi",
        {"chosen_maxpool2d_1.png", "chosen_maxpool2d_2.png", "search.png"},
    ),
    "fashion_harness": (
        "fashion-mnist",
        "fashion-harness",
        {"boxes.png", *(f"folds_fashion-{name}.png" for name in ("baseline", "same", "64"))},
    ),
    "fashion_vgg3": ("fashion-mnist", "fashion-vgg3", set()),
}


LEARNED = mc.metrics.Evaluation.learned


@pytest.fixture(scope="module", autouse=True)
def _learned():
    """Trainings are too short here to learn much; what comes of that is tested on its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mc.metrics.Evaluation, "learned", True)
        yield


def small(name):
    """Return 200 + 50 synthetic garments under the name of any data set."""
    both = mc.data.synthetic.generate(200, 0), mc.data.synthetic.generate(50, 1)
    return tuple(mc.data.Dataset(d.images, d.labels, d.class_names, name) for d in both)


@pytest.fixture
def loaded():
    """Return the list of the data sets that were loaded, and from where."""
    return []


@pytest.fixture
def start(monkeypatch, tmp_path, loaded):
    """Return a function that runs an example in an empty folder and returns its exit status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(spec, "load", lambda name, root=None: loaded.append((name, root)) or small(name))

    def run(script, *arguments):
        monkeypatch.delitem(sys.modules, "common", raising=False)
        monkeypatch.setattr(sys, "argv", [f"{script}.py", "--epochs", "1", "--batch-size", "50", *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(EXAMPLES / f"{script}.py"), run_name="__main__")
        return ended.value.code

    yield run
    sys.modules.pop("common", None)


@pytest.fixture
def no_figures(monkeypatch):
    """Leave the figures out, which take most of the time."""
    monkeypatch.setattr(report, "page_of", lambda run, train, test: report.Page("without figures"))


@pytest.fixture
def no_data(start, monkeypatch):
    """Let only synthetic data be had."""

    def load(name, root=None):
        if name != "synthetic":
            raise DataNotFoundError(f"{name}: no network")
        return small(name)

    monkeypatch.setattr(spec, "load", load)


@pytest.fixture
def training(monkeypatch):
    """Count how often training begins."""
    begun, fit = [], mc.Trainer.fit
    monkeypatch.setattr(mc.Trainer, "fit", lambda *a, **k: begun.append(1) or fit(*a, **k))
    return begun


@pytest.mark.parametrize(("script", "name"), [("train_fashion", "fashion-mnist"), ("train_mnist", "mnist")])
def test_a_run_writes_every_file_to_the_folder_of_its_data_set(start, capsys, script, name):
    before = time.perf_counter()
    assert start(script, "--seed", "3") == 0
    elapsed = time.perf_counter() - before
    folder = Path("runs", name)
    assert set(os.listdir(folder)) == FILES
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    wanted = {"dataset": name, "epochs": 1, "seed": 3, "batch_size": 50, "parameters": 206_922}
    assert {key: metrics[key] for key in wanted} == wanted
    assert metrics["command"].startswith("python ")
    assert metrics["command"].endswith(f"{script}.py --epochs 1 --batch-size 50 --seed 3")
    assert 0 < metrics["seconds_training"] < metrics["seconds_until_written"] < elapsed
    assert metrics["threads"] == threads.num_threads()
    printed, told = capsys.readouterr()
    assert f"data {name}: 200 training and 50 test images" in told
    assert "conv2d_1" in told  # the summary
    assert "precision" in printed  # the table per class
    assert f"accuracy {metrics['test_accuracy']:.2%}" in printed


@pytest.mark.parametrize("script", OTHERS)
def test_the_other_examples_do_all_that_they_say(start, loaded, capsys, script):
    name, folder, further = OTHERS[script]
    assert start(script, "--seed", "3") == 0
    assert loaded == [(name, None)]
    assert set(os.listdir(Path("runs", folder))) == FILES | further
    metrics = json.loads(Path("runs", folder, "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["dataset"], metrics["seed"]) == (name, 3)
    assert (metrics["batch_size"], metrics["optimizer"]) == (50, "SGD")
    page = Path("runs", folder, "report.html").read_text(encoding="utf-8")
    assert page.count("<img ") == len([file for file in FILES | further if file.endswith(".png")])
    assert f"accuracy {metrics['test_accuracy']:.2%}" in capsys.readouterr().out


def test_the_better_digits_are_tested_as_they_were_saved(start, capsys, monkeypatch):
    """What is loaded is another model here, as if saving had gone wrong: its accuracy is what counts."""
    load = mc.load

    def other(path):
        model = load(path)
        model.layers[-1].params["W"][:] = 0
        model.layers[-1].params["b"][:] = range(10)
        return model

    monkeypatch.setattr(mc, "load", other)
    share = np.mean(small("mnist")[1].labels == 9)
    assert start("mnist_improve", "--target-accuracy", str(share + 0.01)) == 1
    printed = capsys.readouterr().out
    assert re.search(rf"saved and loaded again, test set: loss .*, accuracy {share:.2%}", printed)
    page = Path("runs", "mnist-improve", "report.html").read_text(encoding="utf-8")
    assert '<th scope="col">images trained on</th>' in page
    rows = re.findall(r"<tr><td>mnist-(\w+)(, anew)?</td><td>[\d,]+</td><td>(\d+)</td>", page)
    assert [(new, images) for _, new, images in rows] == [("", "167"), ("", "167"), (", anew", "200")]


def test_the_digits_are_saved_once(start, monkeypatch):
    saved, save = [], mc.Sequential.save
    monkeypatch.setattr(mc.Sequential, "save", lambda model, path: saved.append(path) or save(model, path))
    assert start("mnist_improve") == 0
    assert saved == [Path("runs", "mnist-improve", "model.safetensors")]


@pytest.mark.parametrize("image", ["-1", "50"])
def test_an_image_to_look_into_that_is_not_there_is_refused_before_training(start, training, capsys, image):
    assert start("fashion_multi", "--image", image) == 2
    assert f"--image must be from 0 to 49, got {image}" in capsys.readouterr().err
    assert not training


def test_too_few_images_to_search_in_are_refused_before_training(start, training, capsys):
    assert start("fashion_multi", "--images", "34") == 2
    assert "needs more than 6 test images, got 6: give more --images" in capsys.readouterr().err
    assert not training
    assert start("fashion_multi", "--images", "35") == 0


def test_files_and_a_folder_to_make_them_from_are_refused_together(start, loaded, capsys):
    assert start("fashion_basic", "--csv", "here", "--data", "there") == 2
    assert "got both: leave one out" in capsys.readouterr().err
    assert loaded == []


@pytest.mark.usefixtures("no_data")
class TestSyntheticInPlaceOfReal:
    def test_it_is_said_loudly_and_every_output_carries_the_name(self, start, capsys):
        assert start("train_fashion") == 0
        captured = capsys.readouterr()
        assert "FASHION-MNIST COULD NOT BE FOUND OR DOWNLOADED" in captured.err
        assert "SYNTHETIC" in captured.err
        assert "fashion-mnist: no network" in captured.err
        assert "synthetic, test set: loss" in captured.out

        folder = Path("runs", "synthetic")
        assert os.listdir("runs") == ["synthetic"]
        assert set(os.listdir(folder)) == FILES
        assert json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["dataset"] == "synthetic"
        with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
            assert {row["dataset"] for row in csv.DictReader(file)} == {"synthetic"}
        assert mc.load(folder / "model.safetensors").info["dataset"] == "synthetic"

    def test_the_report_carries_the_name(self, start):
        assert start("train_fashion") == 0
        page = Path("runs", "synthetic", "report.html").read_text(encoding="utf-8")
        assert "<h1>synthetic: " in page
        assert "fashion-mnist" not in page

    def test_strict_data_makes_it_an_error(self, start, capsys, training):
        assert start("train_fashion", "--strict-data") == 2
        assert capsys.readouterr().err == "error: fashion-mnist: no network\n"
        assert training == []
        assert not Path("runs").exists()

    def test_a_folder_without_the_data_set_is_an_error(self, start, capsys, training):
        assert start("train_fashion", "--data", "folder") == 2
        assert capsys.readouterr().err == "error: fashion-mnist: no network\n"
        assert training == []
        assert not Path("runs").exists()

    def test_mnist_has_no_stand_in(self, start, capsys, training):
        assert start("train_mnist") == 2
        assert capsys.readouterr().err == "error: mnist: no network\n"
        assert training == []
        assert not Path("runs").exists()


@pytest.mark.usefixtures("no_figures")
class TestTarget:
    @pytest.mark.parametrize("target", ["0.999", "99.9"])
    def test_below_it_the_exit_status_is_1_and_the_run_is_written(self, start, capsys, target):
        assert start("train_fashion", "--target-accuracy", target) == 1
        assert "below the target of 99.90%" in capsys.readouterr().err
        assert Path("runs", "fashion-mnist", "metrics.json").exists()

    @pytest.mark.parametrize("target", ["0", "0.01", "1.5"])
    def test_at_or_above_it_the_exit_status_is_0(self, start, monkeypatch, target):
        monkeypatch.setattr(mc.metrics.Evaluation, "accuracy", 0.015)
        assert start("train_fashion", "--target-accuracy", target) == 0

    def test_one_means_all_of_them(self, start, monkeypatch):
        monkeypatch.setattr(mc.metrics.Evaluation, "accuracy", 0.995)
        assert start("train_fashion", "--target-accuracy", "1") == 1

    @pytest.mark.parametrize("target", ["-0.1", "101", "nan", "high"])
    def test_nonsense_is_refused(self, start, loaded, target):
        assert start("train_fashion", "--target-accuracy", target) == 2
        assert loaded == []


@pytest.mark.usefixtures("no_figures")
class TestOutcome:
    def test_nothing_learned_is_exit_status_1(self, start, capsys, monkeypatch):
        monkeypatch.setattr(mc.metrics.Evaluation, "learned", LEARNED)
        assert start("train_mnist", "--lr", "1e-9") == 1
        err = capsys.readouterr().err
        assert "mnist-quick: nothing was learned that shows: of 50 images" in err
        assert err.endswith(f"{'!' * 88}\n")

    def test_a_second_run_gets_a_number_and_a_named_folder_is_kept(self, start, capsys, training):
        assert start("train_mnist") == start("train_mnist") == 0
        assert sorted(os.listdir("runs")) == ["mnist", "mnist-2"]
        begun = len(training)
        assert start("train_mnist", "--out", "runs/mnist") == 2
        assert "holds a run already" in capsys.readouterr().err
        assert len(training) == begun
        assert start("train_mnist", "--out", "runs/mnist", "--force") == 0

    @pytest.mark.parametrize("script", ["train_mnist", *OTHERS])
    def test_a_mistyped_option_is_told_with_the_right_one(self, start, loaded, capsys, script):
        assert start(script, "--epohcs", "3") == 2
        assert "unknown: --epohcs 3; did you mean '--epochs'?" in capsys.readouterr().err
        assert loaded == []


class TestBadInput:
    """One line on stderr, exit status 2, and no training."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--epochs", "0"),
            ("--epochs", "1.5"),
            ("--batch-size", "0"),
            ("--batch-size", "-1"),
            ("--lr", "0"),
            ("--lr", "nan"),
            ("--lr", "inf"),
            ("--seed", "-1"),
        ],
        ids=" ".join,
    )
    @pytest.mark.parametrize("script", SCRIPTS)
    def test_numbers_out_of_range(self, start, loaded, capsys, script, arguments):
        option, value = arguments
        assert start(script, *arguments) == 2
        assert f"error: argument {option}: expected a " in (message := capsys.readouterr().err)
        assert message.endswith(f", got '{value}'\n")
        assert loaded == []
        assert not Path("runs").exists()

    @pytest.mark.parametrize(
        "arguments", [("--epochs", "two"), ("--device", "tpu"), ("--unknown",)], ids=" ".join
    )
    def test_what_cannot_be_read(self, start, capsys, loaded, arguments):
        assert start("train_fashion", *arguments) == 2
        assert "usage:" in capsys.readouterr().err
        assert loaded == []

    @pytest.mark.parametrize("script", ["train_fashion", *OTHERS])
    def test_an_output_folder_that_cannot_be_written(self, start, capsys, training, script):
        Path("file").write_text("")
        assert start(script, "--out", "file/run") == 2
        message = capsys.readouterr().err.replace(os.sep, "/")
        assert message.startswith("error: cannot write ")
        assert "/file/run: " in message
        assert training == []

    def test_an_output_file_that_cannot_be_written(self, start, capsys, training):
        Path("here", "metrics.json").mkdir(parents=True)
        assert start("train_fashion", "--out", "here") == 2
        assert "metrics.json: there is a folder of that name" in capsys.readouterr().err
        assert training == []

    def test_a_gpu_that_is_not_there(self, start, capsys, training, monkeypatch):
        monkeypatch.setitem(sys.modules, "cupy", None)
        assert start("train_fashion", "--device", "cuda") == 2
        assert "CuPy" in capsys.readouterr().err
        assert training == []

    @pytest.mark.parametrize(
        ("script", "name"), [("train_fashion", "fashion-mnist"), ("train_mnist", "mnist")]
    )
    def test_a_folder_without_the_data_names_what_is_missing(self, tmp_path, script, name):
        run = subprocess.run(
            [sys.executable, EXAMPLES / f"{script}.py", "--data", tmp_path],
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=tmp_path,
        )
        assert run.returncode == 2
        assert run.stderr.startswith(f"error: {name}: ")
        assert "train-images-idx3-ubyte" in run.stderr
        assert "Traceback" not in run.stderr
        assert os.listdir(tmp_path) == []


@pytest.fixture
def fits(monkeypatch):
    """Collect the optimizer and the arguments of each training."""
    seen, fit = [], mc.Trainer.fit

    def spy(self, train, **arguments):
        seen.append((vars(self.optimizer).copy(), arguments))
        return fit(self, train, **arguments)

    monkeypatch.setattr(mc.Trainer, "fit", spy)
    return seen


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.usefixtures("no_figures")
def test_the_recipe(start, fits, script):
    assert start(script, "--lr", "0.02") == 0
    ((optimizer, arguments),) = fits
    wanted = {"learning_rate": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    assert {name: optimizer[name] for name in wanted} == wanted
    assert (optimizer["decoupled"], optimizer["decay_all"]) == (False, False)
    assert len(arguments["validation"]) == 10
    assert arguments["callbacks"][0].schedule == mc.schedules.OneCycle(0.02)


@pytest.mark.usefixtures("no_figures")
def test_it_is_said_what_the_result_depends_on(start, capsys, monkeypatch):
    monkeypatch.setattr(experiment, "num_threads", lambda: 3)
    with ops.use("reference"):
        assert start("train_mnist", "--seed", "4") == 0
    assert "\ndevice cpu, layerwise engine, 3 threads, fp32, seed 4\n" in capsys.readouterr().err


@pytest.mark.usefixtures("no_figures")
def test_the_clock_starts_with_the_program_before_the_data_is_loaded(start, monkeypatch):
    load, run, moments = spec.load, experiment.train_recipe, [time.perf_counter()]

    def note(recipe, train, test, chosen, out, command, started, *arguments, **settings):
        moments.insert(1, started)
        return run(recipe, train, test, chosen, out, command, started, *arguments, **settings)

    monkeypatch.setattr(spec, "load", lambda *a: moments.append(time.perf_counter()) or load(*a))
    monkeypatch.setattr(experiment, "train_recipe", note)
    assert start("train_mnist") == 0
    assert len(moments) == 3
    assert moments == sorted(moments)


def test_through_a_pipe_the_summary_is_read_before_training(start, monkeypatch):
    pipe, read = io.BytesIO(), []

    def fit(*_, **__):
        read.append(pipe.getvalue().decode())
        raise KeyboardInterrupt

    monkeypatch.setattr(mc.Trainer, "fit", fit)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(pipe, encoding="utf-8"))  # keeps what is not flushed
    assert start("train_mnist") == 130
    assert "conv2d_1" in read[0]


@pytest.mark.usefixtures("no_figures")
def test_options_reach_the_training(start, loaded, fits):
    options = ["--lr", "0.02", "--seed", "5", "--out", "here", "--data", "some/folder"]
    assert start("train_mnist", *options) == 0
    ((_, seen),) = fits
    assert (seen["epochs"], seen["batch_size"], seen["seed"]) == (1, 50, 5)
    assert loaded == [("mnist", "some/folder")]
    assert Path("here", "metrics.json").exists()
    assert not Path("runs").exists()


@pytest.mark.usefixtures("no_figures")
def test_the_same_seed_gives_the_same_model(start):
    models = []
    for seed in ("1", "1", "2"):
        shutil.rmtree("runs", ignore_errors=True)
        assert start("train_mnist", "--seed", seed) == 0
        models.append(mc.load("runs/mnist/model.safetensors").arrays()["dense_2.W"])
    np.testing.assert_array_equal(models[0], models[1])
    assert not np.array_equal(models[0], models[2])


@pytest.mark.usefixtures("no_figures")
def test_ctrl_c_ends_in_one_line(start, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(mc.Trainer, "fit", interrupt)
    assert start("train_fashion") == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    assert os.listdir("runs") == []


@pytest.mark.skipif(not os.environ.get("MINICNN_DATA"), reason="needs real data: MINICNN_DATA is not set")
@pytest.mark.parametrize(("script", "name"), [("train_fashion", "fashion-mnist"), ("train_mnist", "mnist")])
@pytest.mark.usefixtures("no_figures")
def test_on_real_data_a_first_part_is_learned(start, monkeypatch, script, name):
    from minicnn.data import loader

    monkeypatch.setattr(spec, "load", loader.load)
    arguments = ["--images", "2000", "--epochs", "3", "--target-accuracy", "0.6"]
    assert start(script, *arguments) == 0
    prepare = mc.load(f"runs/{name}/model.safetensors").preprocessing
    pixels = loader.load(name)[0].images[:2000] / 255
    assert (pixels.mean(), pixels.std()) == pytest.approx((prepare.mean, prepare.std), abs=0.004)


@pytest.mark.skipif(not os.environ.get("MINICNN_DATA"), reason="needs real data: MINICNN_DATA is not set")
@pytest.mark.parametrize("script", OTHERS)
@pytest.mark.usefixtures("no_figures")
def test_the_other_examples_learn_from_a_slice_of_the_real_data(start, monkeypatch, script):
    from minicnn.data import loader

    monkeypatch.setattr(spec, "load", loader.load)
    arguments = ["--images", "2000", "--epochs", "3", "--lr", "0.02", "--target-accuracy", "0.6"]
    assert start(script, *arguments) == 0


@pytest.mark.parametrize(
    ("same", "more", "chosen"),
    [
        ([91, 92, 93], [90, 91, 92], 0),  # neither is better
        ([95.0, 96.1, 97.0], [96.0, 97.1, 98.0], 2),  # both are, and the second more so
        ([95.0, 96.1, 97.0], [99.9, 91.0, 99.9], 1),  # the second may be chance
        ([90, 99, 99], [90, 99, 99], 0),  # the higher means may be chance
    ],
)
def test_the_harness_takes_what_is_better_than_the_baseline_by_more_than_chance(
    monkeypatch, same, more, chosen
):
    monkeypatch.syspath_prepend(EXAMPLES)
    choose = runpy.run_path(str(EXAMPLES / "fashion_harness.py"))["choose"]
    sys.modules.pop("common", None)

    def judged(accuracies):
        """Return folds of a thousand images, the first of which were classified rightly."""
        labels = np.zeros(1000, np.int64)
        right = [np.arange(1000) < round(10 * accuracy) for accuracy in accuracies]
        folds = [mc.metrics.Evaluation(0.0, labels, np.stack([r, ~r], 1), ("a", "b")) for r in right]
        return mc.train.CrossValidation("", (), tuple(folds))

    assert choose([judged([91, 92, 93]), judged(same), judged(more)]) == chosen
