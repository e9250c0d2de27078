"""The examples, run in this process on a small data set: what they write, print and return."""

import argparse
import csv
import inspect
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from minicnn import zoo
from minicnn.data import spec
from minicnn.errors import DataNotFoundError
from minicnn.metrics import Evaluation
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


pytestmark = pytest.mark.usefixtures("learned")


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

    def load(name, root=None):
        loaded.append((name, root))
        return small(name)

    monkeypatch.setattr(spec, "load", load)
    monkeypatch.setattr(mc.data, "load", load)

    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{script}.py", "--epochs", "1", "--batch-size", "50", *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(EXAMPLES / f"{script}.py"), run_name="__main__")
        return ended.value.code

    return run


@pytest.fixture
def no_data(start, monkeypatch):
    """Make all data but the synthetic unavailable."""

    def load(name, root=None):
        if name != "synthetic":
            raise DataNotFoundError(f"{name}: no network")
        return small(name)

    monkeypatch.setattr(spec, "load", load)


@pytest.fixture
def fits(monkeypatch):
    """Collect the optimizer and the arguments of each training."""
    seen, fit = [], mc.Trainer.fit

    def spy(self, *arguments, **named):
        bound = inspect.signature(fit).bind(self, *arguments, **named)
        seen.append((vars(self.optimizer).copy(), bound.arguments))
        return fit(self, *arguments, **named)

    monkeypatch.setattr(mc.Trainer, "fit", spy)
    return seen


@pytest.mark.parametrize(("script", "name"), [("train_fashion", "fashion-mnist"), ("train_mnist", "mnist")])
def test_a_run_writes_every_file_to_the_folder_of_its_data_set(start, capsys, script, name):
    assert start(script, "--seed", "3") == 0
    folder = Path("runs", name)
    assert set(os.listdir(folder)) == FILES
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    wanted = {"dataset": name, "epochs": 1, "seed": 3, "batch_size": 50, "parameters": 206_922}
    assert {key: metrics[key] for key in wanted} == wanted
    assert metrics["command"].startswith("python ")
    assert metrics["command"].endswith(f"{script}.py --epochs 1 --batch-size 50 --seed 3")
    assert metrics["threads"] == threads.num_threads()
    printed = capsys.readouterr().out
    assert re.search(r"Ankle boot +\d+ images", printed)  # the class counts
    assert "conv2d_1" in printed  # the summary
    assert "precision" in printed  # the table of each class
    assert f"{name}, test set: loss" in printed
    assert f"accuracy {metrics['test_accuracy']:.2%}" in printed
    assert f"see {folder}/report.html" in printed


@pytest.mark.parametrize("script", OTHERS)
@pytest.mark.usefixtures("blank_figures")
def test_the_other_examples_do_all_that_they_say(start, loaded, capsys, script):
    name, folder, further = OTHERS[script]
    assert start(script, "--seed", "3") == 0
    assert loaded == [(name, None)]
    assert set(os.listdir(Path("runs", folder))) == FILES | further
    metrics = json.loads(Path("runs", folder, "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["dataset"], metrics["seed"]) == (name, 3)
    assert (metrics["batch_size"], metrics["optimizer"]) == (50, "SGD")
    assert metrics.get("custom_sections", False) is bool(further)
    page = Path("runs", folder, "report.html").read_text(encoding="utf-8")
    assert page.count("<img ") == len([file for file in FILES | further if file.endswith(".png")])
    assert f"accuracy {metrics['test_accuracy']:.2%}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "recipe"),
    [
        ("train_fashion", "fashion-quick"),
        ("train_mnist", "mnist-quick"),
        ("fashion_multi", "fashion-multi"),
        ("fashion_vgg3", "fashion-vgg3"),
    ],
)
@pytest.mark.usefixtures("no_figures")
def test_an_example_trains_as_the_recipe_of_that_name_does(start, script, recipe):
    assert start(script, "--seed", "2", "--out", "here") == 0
    found = mc.load("here/model.safetensors").arrays()
    recipe, (train, _) = replace(zoo.recipe(recipe), epochs=1, batch_size=50), small("any")
    trainer = recipe.trainer(train, 2)
    trainer.fit(train, validation=0.05, seed=2, progress=False, **recipe.fit_options())
    for name, array in trainer.model.arrays().items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("name", ["baseline", "improved"])
def test_both_networks_for_digits_are_trained_as_their_recipes_are(name):
    train_on = runpy.run_path(str(EXAMPLES / "mnist_improve.py"))[name]
    recipe = replace(zoo.recipe(f"mnist-{name}"), epochs=1, batch_size=50)
    train, held_out = small("mnist")
    args = argparse.Namespace(epochs=1, batch_size=50, lr=None, seed=2, device="cpu")
    found = train_on(train, held_out, args)
    trainer = recipe.trainer(train, 2)
    trainer.fit(train, validation=held_out, seed=2, progress=False, **recipe.fit_options())
    for name, array in trainer.model.arrays().items():
        np.testing.assert_array_equal(found.model.arrays()[name], array)


@pytest.mark.usefixtures("blank_figures")
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
    rows = re.findall(r"<tr><td>(?:baseline|improved)(, again)?</td><td>[\d,]+</td><td>(\d+)</td>", page)
    assert rows == [("", "167"), ("", "167"), (", again", "200")]


@pytest.mark.parametrize("image", ["-1", "50"])
def test_an_image_to_look_into_that_does_not_exist_is_an_error_before_training(start, fits, capsys, image):
    assert start("fashion_multi", "--image", image) == 2
    assert f"--image must be from 0 to 49, got {image}" in capsys.readouterr().err
    assert not fits


@pytest.mark.usefixtures("blank_figures")
def test_too_few_images_to_search_in_are_an_error_before_training(start, fits, capsys):
    assert start("fashion_multi", "--images", "34") == 2
    assert "needs more than 6 test images, got 6: use more --images" in capsys.readouterr().err
    assert not fits
    assert start("fashion_multi", "--images", "35") == 0


def test_files_and_a_folder_to_make_them_from_exclude_each_other(start, loaded, capsys):
    assert start("fashion_basic", "--csv", "here", "--data", "there") == 2
    assert "give one of them" in capsys.readouterr().err
    assert loaded == []


@pytest.mark.usefixtures("no_figures")
def test_the_csv_files_are_made_once(start, loaded):
    assert start("fashion_basic") == start("fashion_basic") == 0
    assert loaded == [("fashion-mnist", None)]
    assert start("fashion_basic", "--data", "there") == 0
    assert start("fashion_basic", "--csv", "runs/csv") == 0
    assert loaded == [("fashion-mnist", None), ("fashion-mnist", "there")]


@pytest.mark.usefixtures("no_data", "blank_figures")
class TestSyntheticInPlaceOfReal:
    def test_it_is_announced_loudly_and_every_output_carries_the_name(self, start, capsys):
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
        page = (folder / "report.html").read_text(encoding="utf-8")
        assert "<h1>synthetic: " in page
        assert "fashion-mnist" not in page

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("fashion-mnist", ["train_fashion", "--strict-data"]),
            ("fashion-mnist", ["train_fashion", "--data", "folder"]),
            ("mnist", ["train_mnist"]),
        ],
        ids=["strict", "a folder was named", "MNIST has no stand-in"],
    )
    def test_otherwise_it_is_an_error(self, start, capsys, fits, name, arguments):
        assert start(*arguments) == 2
        assert capsys.readouterr().err == f"minicnn: {name}: no network\n"
        assert fits == []
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
        monkeypatch.setattr(Evaluation, "accuracy", 0.015)
        assert start("train_fashion", "--target-accuracy", target) == 0

    def test_one_means_all_of_them(self, start, monkeypatch):
        monkeypatch.setattr(Evaluation, "accuracy", 0.995)
        assert start("train_fashion", "--target-accuracy", "1") == 1

    @pytest.mark.parametrize("target", ["-0.1", "101", "nan", "high"])
    def test_nonsense_is_an_error(self, start, loaded, target):
        assert start("train_fashion", "--target-accuracy", target) == 2
        assert loaded == []


@pytest.mark.usefixtures("no_figures")
class TestOutcome:
    def test_nothing_learned_is_exit_status_1(self, start, capsys, monkeypatch, learned):
        monkeypatch.setattr(Evaluation, "learned", learned)
        assert start("train_mnist", "--lr", "1e-9") == 1
        err = capsys.readouterr().err
        assert "mnist: nothing was learned: of 50 images" in err
        assert err.endswith(f"{'!' * 88}\n")

    def test_a_second_run_gets_a_number_and_a_named_folder_is_not_replaced(self, start, capsys, fits):
        assert start("train_mnist") == start("train_mnist") == 0
        assert sorted(os.listdir("runs")) == ["mnist", "mnist-2"]
        assert start("train_mnist", "--out", "runs/mnist") == 2
        assert "holds a run already" in capsys.readouterr().err
        assert len(fits) == 2
        assert start("train_mnist", "--out", "runs/mnist", "--force") == 0

    @pytest.mark.parametrize("script", ["train_mnist", *OTHERS])
    def test_a_mistyped_option_is_answered_with_the_right_one(self, start, loaded, capsys, script):
        assert start(script, "--epohcs", "3") == 2
        assert "unknown: --epohcs 3; did you mean '--epochs'?" in capsys.readouterr().err
        assert loaded == []


class TestBadInput:
    """One line on stderr, exit status 2, and no training."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--epochs", "0"), "argument --epochs: expected a whole number"),
            (("--batch-size", "-1"), "argument --batch-size: expected a whole number"),
            (("--lr", "0"), "argument --lr: expected a number above 0"),
            (("--lr", "nan"), "argument --lr: expected a number above 0"),
            (("--seed", "-1"), "argument --seed: expected a whole number"),
            (("--images", "0"), "argument --images: expected a whole number"),
            (("--epochs", "1.5"), "argument --epochs: expected a whole number"),
            (("--device", "tpu"), "argument --device: invalid choice"),
            (("--unknown",), "unknown: --unknown"),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("script", SCRIPTS)
    def test_values_that_cannot_be_used(self, start, fits, capsys, monkeypatch, script, arguments, message):
        monkeypatch.setattr(mc.Trainer, "_train_epoch", None)
        assert start(script, *arguments) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
        assert not Path("runs").exists() or os.listdir("runs") == []

    @pytest.mark.parametrize("script", ["train_fashion", *OTHERS])
    def test_an_output_folder_that_cannot_be_written(self, start, capsys, fits, script):
        Path("file").write_text("")
        assert start(script, "--out", "file/run") == 2
        message = capsys.readouterr().err.replace(os.sep, "/")
        assert message.startswith("minicnn: cannot write ")
        assert "/file/run: " in message
        assert fits == []

    def test_an_output_file_that_cannot_be_written(self, start, capsys, fits):
        Path("here", "metrics.json").mkdir(parents=True)
        assert start("train_fashion", "--out", "here") == 2
        assert "metrics.json: there is a folder of that name" in capsys.readouterr().err
        assert fits == []

    def test_a_gpu_that_does_not_exist(self, start, capsys, fits, monkeypatch):
        monkeypatch.setitem(sys.modules, "cupy", None)
        assert start("train_fashion", "--device", "cuda") == 2
        assert "CuPy" in capsys.readouterr().err
        assert fits == []

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
        assert run.stderr.startswith(f"minicnn: {name}: ")
        assert "train-images-idx3-ubyte" in run.stderr
        assert "Traceback" not in run.stderr
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.usefixtures("no_figures")
def test_options_reach_the_training(start, loaded, fits, script):
    options = ["--lr", "0.02", "--seed", "5", "--out", "here", "--data", "some/folder"]
    assert start(script, *options) == 0
    ((optimizer, seen),) = fits
    wanted = {"learning_rate": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    assert {name: optimizer[name] for name in wanted} == wanted
    assert (seen["epochs"], seen["batch_size"], seen["seed"], seen["validation"]) == (1, 50, 5, 0.05)
    assert seen["callbacks"][0].schedule == mc.schedules.OneCycle(0.02)
    assert loaded == [("fashion-mnist" if script == "train_fashion" else "mnist", "some/folder")]
    assert Path("here", "metrics.json").exists()
    assert not Path("runs").exists()


def test_through_a_pipe_the_summary_is_read_before_training(start, monkeypatch):
    pipe, read = io.BytesIO(), []

    def fit(*_, **__):
        read.append(pipe.getvalue().decode())
        raise KeyboardInterrupt

    monkeypatch.setattr(mc.Trainer, "fit", fit)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, encoding="utf-8"))  # keeps what is not flushed
    assert start("train_mnist") == 130
    assert "conv2d_1" in read[0]


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
    assert capsys.readouterr().err.splitlines()[-1] == "minicnn: interrupted"
    assert os.listdir("runs") == []


@pytest.mark.skipif(not os.environ.get("MINICNN_DATA"), reason="needs real data: MINICNN_DATA is not set")
@pytest.mark.parametrize("script", [*SCRIPTS, *(pytest.param(s, marks=pytest.mark.slow) for s in OTHERS)])
@pytest.mark.usefixtures("no_figures")
def test_an_example_learns_from_a_part_of_the_real_data(start, monkeypatch, script):
    from minicnn.data import loader

    monkeypatch.setattr(spec, "load", loader.load)
    monkeypatch.setattr(mc.data, "load", loader.load)
    rate = [] if script in SCRIPTS else ["--lr", "0.02"]
    assert start(script, "--images", "2000", "--epochs", "3", *rate, "--target-accuracy", "0.6") == 0


@pytest.mark.parametrize(
    ("same", "more", "chosen"),
    [
        ([91, 92, 93], [90, 91, 92], 0),  # neither is better
        ([95.0, 96.1, 97.0], [96.0, 97.1, 98.0], 2),  # both are, and the second more so
        ([95.0, 96.1, 97.0], [99.9, 91.0, 99.9], 1),  # the second may be chance
        ([90, 99, 99], [90, 99, 99], 0),  # the higher means may be chance
    ],
)
def test_the_harness_chooses_a_significantly_better_network(same, more, chosen):
    choose = runpy.run_path(str(EXAMPLES / "fashion_harness.py"))["choose"]

    def judged(accuracies):
        """Return folds of a thousand images, of which the first ones are classified correctly."""
        labels = np.zeros(1000, np.int64)
        right = [np.arange(1000) < round(10 * accuracy) for accuracy in accuracies]
        folds = [Evaluation(0.0, labels, np.stack([r, ~r], 1), ("a", "b")) for r in right]
        return mc.train.CrossValidation("", (), tuple(folds))

    assert choose([judged([91, 92, 93]), judged(same), judged(more)]) == chosen
