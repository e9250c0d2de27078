"""The commands that train, evaluate and predict, on small data, as in a shell."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minicnn as mc
from minicnn import cli

SMALL = ["--dataset", "synthetic", "--images", "300", "--epochs", "2", "--batch-size", "10", "--lr", "0.05"]

pytestmark = pytest.mark.usefixtures("synthetic_once", "learned")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, synthetic_once, learned):
    """Train once with the command line, and return the run's folder."""
    out = tmp_path_factory.mktemp("runs") / "one"
    assert cli.main(["train", *SMALL, "--epochs", "6", "--lr", "0.1", "--seed", "3", "--out", str(out)]) == 0
    return out


def as_json(capsys, *arguments):
    """Run a command with --json; return its exit status, its result, and its messages on stderr."""
    status = cli.main([*arguments, "--json"])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else None, err


class TestTrain:
    def test_the_folder_holds_the_run(self, folder):
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        assert metrics["recipe"] == "fashion-quick"
        assert (metrics["seed"], metrics["epochs"], metrics["batch_size"]) == (3, 6, 10)
        assert metrics["data"]["name"] == "synthetic"
        assert metrics["images"] == {"training": 285, "validation": 15, "test": 60}
        assert (folder / "report.html").exists()
        assert not (folder / "checkpoint.safetensors").exists()

    @pytest.mark.usefixtures("no_figures")
    def test_the_result_is_on_stdout_and_the_rest_on_stderr(self, capsys, tmp_path):
        assert cli.main(["train", *SMALL, "--out", str(tmp_path)]) == 0
        out, err = capsys.readouterr()
        assert out.startswith("class ")
        assert "synthetic, test set: loss" in out
        assert out.endswith(f"see {tmp_path}/report.html\n")
        assert "conv2d_1" in err
        assert "epoch 2/2" in err
        assert "epoch" not in out

    @pytest.mark.usefixtures("no_figures")
    def test_with_json_stdout_is_json_alone(self, capsys, tmp_path):
        status, facts, _ = as_json(capsys, "train", *SMALL, "--out", str(tmp_path))
        assert status == 0
        assert facts == json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))

    @pytest.mark.usefixtures("no_figures")
    def test_a_missed_target_is_exit_status_1_and_the_run_is_there(self, capsys, tmp_path):
        assert cli.main(["train", *SMALL, "--out", str(tmp_path), "--target-accuracy", "99.9"]) == 1
        assert "minicnn: below the target of 99.90%" in capsys.readouterr().err
        assert (tmp_path / "metrics.json").exists()

    @pytest.mark.usefixtures("blank_figures")
    def test_nothing_learned_is_exit_status_1_and_in_the_report(self, capsys, tmp_path, monkeypatch, learned):
        monkeypatch.setattr(mc.metrics.Evaluation, "learned", learned)
        arguments = ["train", *SMALL[:-4], "--lr", "1e-9", "--out", str(tmp_path)]
        status, facts, err = as_json(capsys, *arguments)
        assert (status, facts["learned"], facts["most_frequent_share"]) == (1, False, 0.1)
        lines = err.splitlines()
        assert lines[-1] == "!" * 88
        assert "fashion-quick: nothing was learned: of 60 images" in err
        assert 'role="alert">nothing was learned' in (tmp_path / "report.html").read_text("utf-8")

    @pytest.mark.usefixtures("no_figures")
    def test_without_out_it_is_named_after_the_recipe_and_numbered(self, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for name in ("mnist-quick", "mnist-quick-2"):
            assert cli.main(["train", "--recipe", "mnist-quick", *SMALL]) == 0
            out, err = capsys.readouterr()
            assert f"the run goes to {Path('runs', name)}\n" in err
            assert out.endswith(f"see {Path('runs', name)}/report.html\n")
        assert sorted(os.listdir("runs")) == ["mnist-quick", "mnist-quick-2"]

    def test_a_run_is_only_replaced_by_force(self, folder, capsys, monkeypatch):
        before = (folder / "metrics.json").read_bytes()
        arguments = ["train", *SMALL, "--out", str(folder)]
        assert cli.main(arguments) == 2
        assert capsys.readouterr().err.startswith(f"minicnn: {folder} holds a run already, with model.safe")
        assert (folder / "metrics.json").read_bytes() == before
        assert cli.main(["train", *SMALL, "--force"]) == 2
        assert "force replaces the run in the folder given as out" in capsys.readouterr().err

    @pytest.mark.usefixtures("no_figures")
    def test_it_trains_on_csv_files(self, capsys, tmp_path):
        train, test = mc.data.load("synthetic", sizes=(200, 40))
        for data, name in ((train, "a.csv.gz"), (test, "b.csv")):
            mc.data.write_csv(data, tmp_path / name)
        files = ["--train-csv", str(tmp_path / "a.csv.gz"), "--test-csv", str(tmp_path / "b.csv")]
        status, facts, _ = as_json(capsys, "train", *files, "--epochs", "1", "--out", str(tmp_path / "run"))
        assert status == 0
        assert facts["images"] == {"training": 190, "validation": 10, "test": 40}
        model = mc.load(tmp_path / "run" / "model.safetensors")
        assert (model.info["dataset"], model.class_names[:2]) == ("a", ("0", "1"))

    @pytest.mark.usefixtures("no_figures")
    def test_csv_files_can_have_the_classes_of_a_known_data_set(self, tmp_path):
        train, test = mc.data.load("synthetic", sizes=(200, 40))
        for data, name in ((train, "a.csv"), (test, "b.csv")):
            mc.data.write_csv(data, tmp_path / name)
        files = ["--train-csv", str(tmp_path / "a.csv"), "--test-csv", str(tmp_path / "b.csv")]
        arguments = ["--dataset", "fashion-mnist", "--epochs", "1", "--out", str(tmp_path / "run")]
        assert cli.main(["train", *files, *arguments]) == 0
        assert mc.load(tmp_path / "run" / "model.safetensors").class_names == train.class_names

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--recipe", "fashion-bst"],
            ["--epochs", "0"],
            ["--images", "0"],
            ["--lr", "nan"],
            ["--target-accuracy", "101"],
            ["--device", "tpu"],
        ],
        ids=" ".join,
    )
    def test_bad_options_are_exit_status_2(self, arguments, capsys):
        with pytest.raises(SystemExit) as caught:
            cli.main(["train", *arguments])
        assert caught.value.code == 2
        assert f"error: argument {arguments[0]}: " in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--dataset", "fashion"], "did you mean 'fashion-mnist'"),
            (["--train-csv", "a.csv"], "expected a CSV file to train on and one to test on"),
            (["--train-csv", "a.csv", "--test-csv", "b.csv", "--data", "c"], "got both: leave one out"),
            (["--train-csv", "a.csv", "--test-csv", "b.csv"], "a.csv"),
            (["--data", "nowhere"], "train-images-idx3-ubyte"),
        ],
    )
    def test_missing_data_is_exit_status_2_in_one_line(
        self, arguments, message, capsys, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        assert cli.main(["train", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("minicnn: ")
        assert message in err
        assert os.listdir(tmp_path) == []

    def test_ctrl_c_leaves_the_last_checkpoint_and_says_so(self, tmp_path):
        arguments = ["train", "--dataset", "synthetic", "--images", "3000", "--epochs", "500", "--out", "run"]
        process = subprocess.Popen(
            [sys.executable, "-m", "minicnn", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=tmp_path,
            # Tests that a shell runs in the background ignore Ctrl-C, and what they start inherits that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        checkpoint = tmp_path / "run" / "checkpoint.safetensors"
        while process.poll() is None and not checkpoint.exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert out == ""
        assert "Traceback" not in err
        assert f"is in {Path('run', 'checkpoint.safetensors')}\n" in err
        assert err.endswith("minicnn: interrupted\n")
        assert os.listdir(tmp_path / "run") == ["checkpoint.safetensors"]
        assert mc.load(checkpoint).info["dataset"] == "synthetic"

    def test_a_warning_is_one_line(self, capsys, tmp_path, no_figures):
        train, test = mc.data.load("synthetic", sizes=(60, 20))
        files = []
        for name, data in (("train", train.subset(train.labels != 4)), ("test", test)):
            files += [f"--{name}-csv", str(tmp_path / f"{name}.csv")]
            mc.data.write_csv(data, files[-1])
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            cli.main(["train", *files, "--epochs", "1", "--out", str(tmp_path / "run")])
        assert (
            "\nminicnn: train has no image of 4: the model will never predict it\n" in capsys.readouterr().err
        )


class TestEvaluate:
    def test_it_gives_the_scores_of_the_run(self, folder, capsys):
        model = str(folder / "model.safetensors")
        status, facts, err = as_json(capsys, "evaluate", model, "--images", "60")
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        assert (status, err) == (0, "")
        assert (facts["dataset"], facts["images"]) == ("synthetic", 60)
        assert (facts["accuracy"], facts["loss"]) == (metrics["test_accuracy"], metrics["test_loss"])
        assert np.sum(facts["confusion"]) == 60
        low, high = facts["accuracy_interval"]
        assert 0 <= low < facts["accuracy"] < high <= 1
        assert facts["balanced_accuracy"] == facts["macro"]["recall"] == metrics["balanced_accuracy"]
        assert facts["accuracy"] <= facts["top_2_accuracy"] <= facts["top_5_accuracy"]
        assert facts["log_loss"] == pytest.approx(facts["loss"])

    def test_the_text_is_the_table_and_the_accuracy(self, folder, capsys):
        assert cli.main(["evaluate", str(folder / "model.safetensors"), "--images", "60"]) == 0
        out = capsys.readouterr().out
        assert out.startswith("class ")
        assert "synthetic, 60 test images: loss" in out
        assert re.search(r"\nmacro average +\d.*\nweighted average +\d", out)
        assert re.search(r"\(95% interval [\d.]+% to [\d.]+%\)\n.*, balanced accuracy 0\.\d{4}, top 2", out)

    def test_flip_tta_gives_other_scores(self, folder, capsys):
        arguments = ["evaluate", str(folder / "model.safetensors"), "--images", "60"]
        plain, flipped = (as_json(capsys, *arguments, *more)[1] for more in ([], ["--flip-tta"]))
        assert plain["loss"] != flipped["loss"]

    def test_a_csv_file_as_the_test_set(self, folder, capsys, tmp_path):
        _, test = mc.data.load("synthetic")
        mc.data.write_csv(test.subset(slice(60)), tmp_path / "test.csv")
        model, file = str(folder / "model.safetensors"), str(tmp_path / "test.csv")
        _, facts, _ = as_json(capsys, "evaluate", model, "--test-csv", file)
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        assert facts["accuracy"] == metrics["test_accuracy"]

    def test_a_model_trained_on_a_file_needs_a_test_set(self, folder, capsys, tmp_path):
        model = mc.load(folder / "model.safetensors")
        model.info["dataset"] = "pets_train"
        model.save(tmp_path / "pets.safetensors")
        assert cli.main(["evaluate", str(tmp_path / "pets.safetensors")]) == 2
        err = capsys.readouterr().err
        assert "trained on 'pets_train': name a test set with --dataset, --data or --test-csv" in err

    def test_a_model_without_a_data_set_needs_a_test_set(self, folder, capsys, tmp_path):
        model = mc.load(folder / "model.safetensors")
        del model.info["dataset"]
        model.save(tmp_path / "a.safetensors")
        assert cli.main(["evaluate", str(tmp_path / "a.safetensors")]) == 2
        assert "does not name its training data: name a test set with" in capsys.readouterr().err

    def test_a_missed_target_is_exit_status_1(self, folder, capsys):
        model = str(folder / "model.safetensors")
        assert cli.main(["evaluate", model, "--images", "60", "--target-accuracy", "100"]) == 1
        assert "below the target of 100.00%" in capsys.readouterr().err

    def test_classes_in_another_order_are_known_by_name(self, folder, capsys, monkeypatch):
        _, test = mc.data.load("synthetic")
        names = test.class_names[::-1]
        other = mc.data.Dataset(test.images[:60], 9 - test.labels[:60], names, "reversed")
        monkeypatch.setattr(mc.data.spec, "load", lambda name, root=None: (other, other))
        _, facts, _ = as_json(capsys, "evaluate", str(folder / "model.safetensors"), "--dataset", "synthetic")
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        assert facts["accuracy"] == metrics["test_accuracy"]
        assert facts["class_names"] == list(test.class_names)

    def test_the_column_of_labels_can_be_given(self, folder, capsys, tmp_path):
        _, test = mc.data.load("synthetic")
        rows = [[*image.ravel(), label] for image, label in zip(test.images[:60], test.labels, strict=False)]
        (tmp_path / "last.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
        arguments = ["evaluate", str(folder / "model.safetensors"), "--test-csv", str(tmp_path / "last.csv")]
        assert cli.main(arguments) == 2
        assert "choose the label with label='last'" in capsys.readouterr().err
        _, facts, _ = as_json(capsys, *arguments, "--label", "last")
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        assert facts["accuracy"] == metrics["test_accuracy"]

    def test_data_with_other_classes_is_exit_status_2(self, folder, tmp_path, capsys, monkeypatch):
        digits = mc.data.Dataset(
            np.zeros((10, 28, 28, 1), np.uint8), np.arange(10), tuple("0123456789"), "mnist"
        )
        monkeypatch.setattr(mc.data.spec, "load", lambda name, root=None: (digits, digits))
        assert cli.main(["evaluate", str(folder / "model.safetensors"), "--dataset", "mnist"]) == 2
        assert "mnist has the classes 0, 1, 2" in capsys.readouterr().err

    def test_a_file_that_is_not_a_model_is_exit_status_2(self, tmp_path, capsys):
        (tmp_path / "model.safetensors").write_text("no model")
        assert cli.main(["evaluate", str(tmp_path / "model.safetensors")]) == 2
        assert capsys.readouterr().err.startswith("minicnn: ")


@pytest.fixture
def picture(tmp_path):
    """Write a picture of a dark trouser on white, and return its path."""
    _, test = mc.data.load("synthetic")
    image = test.images[test.labels == 1][0, ..., 0]
    large = Image.fromarray(255 - image).resize((280, 280))
    canvas = Image.new("L", (500, 400), 255)
    canvas.paste(large, (150, 60))
    canvas.save(tmp_path / "trouser.png")
    return str(tmp_path / "trouser.png")


class TestPredict:
    def test_it_prints_the_three_most_probable_classes(self, folder, capsys, picture):
        status, facts, _ = as_json(capsys, "predict", str(folder / "model.safetensors"), picture)
        (answer,) = facts
        model = mc.load(folder / "model.safetensors")
        fed = mc.data.read_picture(picture, margin=model.preparation.margin)
        wanted = model.predict_proba(fed[None])[0]
        assert status == 0
        assert answer["image"] == picture
        probabilities = [a["probability"] for a in answer["answers"]]
        assert probabilities == pytest.approx(sorted(wanted, reverse=True)[:3])
        assert answer["answers"][0]["class"] == "Trouser"

    def test_several_pictures_give_a_line_each(self, folder, capsys, picture):
        assert cli.main(["predict", str(folder / "model.safetensors"), picture, picture]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 2
        assert lines[0].startswith(f"{picture}: Trouser ")
        assert lines[0].count("%") == 3

    def test_the_input_of_the_model_can_be_saved(self, folder, capsys, picture, tmp_path):
        fed = tmp_path / "fed.png"
        model = str(folder / "model.safetensors")
        assert cli.main(["predict", model, picture, "--show-input", str(fed)]) == 0
        with Image.open(fed) as image:
            assert (image.size, image.mode) == ((28, 28), "L")
            expected = mc.data.read_picture(picture, margin=mc.load(model).preparation.margin)
            np.testing.assert_array_equal(np.asarray(image), expected[..., 0])

    def test_inversion_can_be_given(self, folder, capsys, picture):
        model, answers = str(folder / "model.safetensors"), {}
        for option in ("--invert", "--no-invert"):
            answers[option] = as_json(capsys, "predict", model, picture, option)[1][0]["answers"]
        assert answers["--invert"] == as_json(capsys, "predict", model, picture)[1][0]["answers"]
        assert answers["--invert"] != answers["--no-invert"]

    def test_a_picture_of_nothing_gets_a_remark(self, folder, capsys, tmp_path):
        Image.new("L", (50, 40), 128).save(tmp_path / "gray.png")
        assert cli.main(["predict", str(folder / "model.safetensors"), str(tmp_path / "gray.png")]) == 0
        out, err = capsys.readouterr()
        assert err == f"minicnn: {tmp_path / 'gray.png'}: nothing stands out: the prediction means nothing\n"
        assert out.count("%") == 3

    def test_a_picture_is_given_the_margin_of_the_training_images(self, folder, picture, tmp_path):
        model = mc.load(folder / "model.safetensors")
        model.preparation = replace(model.preparation, margin=4 / 28)
        model.save(tmp_path / "digits.safetensors")
        assert self.extent(tmp_path / "digits.safetensors", picture, tmp_path) == 20

    def test_another_margin_can_be_given(self, folder, picture, tmp_path):
        assert self.extent(folder / "model.safetensors", picture, tmp_path, "--margin", "0.25") == 14

    def extent(self, model, picture, tmp_path, *options):
        """Return the longer side of the object in the model's input."""
        fed = str(tmp_path / "fed.png")
        assert cli.main(["predict", str(model), picture, "--show-input", fed, *options]) == 0
        with Image.open(fed) as image:
            lit = np.nonzero(np.asarray(image) > 50)
        return max(np.ptp(axis) + 1 for axis in lit)

    def test_a_model_without_a_margin_gives_a_remark(self, folder, picture, capsys, tmp_path):
        model, path = mc.load(folder / "model.safetensors"), str(tmp_path / "old.safetensors")
        model.preparation = None
        model.save(path)
        assert cli.main(["predict", path, picture]) == 0
        assert "has no margin of its training images: assuming 0" in capsys.readouterr().err
        assert cli.main(["predict", path, picture, "--margin", "0"]) == 0
        assert capsys.readouterr().err == ""

    def test_a_broken_picture_does_not_affect_the_others(self, folder, picture, capsys, tmp_path):
        model, broken = str(folder / "model.safetensors"), tmp_path / "broken.png"
        broken.write_bytes(Path(picture).read_bytes()[:100])
        pictures = [picture, str(broken), str(tmp_path), "nowhere.png", "nul\0.png", picture]
        assert cli.main(["predict", model, *pictures]) == 2
        out, err = capsys.readouterr()
        assert [line.partition(":")[0] for line in out.splitlines()] == [picture, picture]
        assert len(err.splitlines()) == 4
        for bad, line in zip(
            [broken, tmp_path, "nowhere.png", "nul\\x00.png"], err.splitlines(), strict=True
        ):
            assert str(bad) in line

    def test_in_json_a_broken_picture_has_an_error(self, folder, picture, capsys):
        model = str(folder / "model.safetensors")
        assert cli.main(["predict", model, "nowhere.png", picture, "--json"]) == 2
        lost, found = json.loads(capsys.readouterr().out)
        assert lost.keys() == {"image", "error"}
        assert "nowhere.png: there is no such file" in lost["error"]
        assert found.keys() == {"image", "remarks", "answers"}
        assert found["remarks"] == []

    def test_two_objects_get_a_remark(self, folder, picture, capsys, tmp_path):
        with Image.open(picture) as one:
            two = Image.new("L", (1000, 400), 255)
            two.paste(one, (0, 0))
            two.paste(one, (500, 0))
        two.save(tmp_path / "two.png")
        model = str(folder / "model.safetensors")
        status, facts, err = as_json(capsys, "predict", model, str(tmp_path / "two.png"), picture)
        assert status == 0
        assert "several objects stand out" in facts[0]["remarks"][0]
        assert facts[1]["remarks"] == []
        assert err == f"minicnn: {facts[0]['remarks'][0]}\n"

    def test_of_several_frames_the_first_is_used_with_a_remark(self, folder, picture, capsys, tmp_path):
        with Image.open(picture) as one:
            one.save(tmp_path / "two.gif", save_all=True, append_images=[Image.new("L", one.size, 255)])
        facts = as_json(capsys, "predict", str(folder / "model.safetensors"), str(tmp_path / "two.gif"))[1]
        assert facts[0]["answers"][0]["class"] == "Trouser"
        assert facts[0]["remarks"] == [f"{tmp_path / 'two.gif'} holds several pictures: the first is used"]

    @pytest.mark.parametrize(
        ("more", "message"),
        [(["nowhere.png"], "nowhere.png"), (["a.png", "b.png", "--show-input", "c.png"], "got 2 pictures")],
    )
    def test_bad_input_is_exit_status_2_in_one_line(self, folder, capsys, more, message):
        assert cli.main(["predict", str(folder / "model.safetensors"), *more]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err
        assert len(err.splitlines()) == 1


class TestCrossval:
    RECIPES = ("--recipe", "fashion-quick", "fashion-baseline")

    def test_all_recipes_are_compared_with_the_first(self, capsys):
        status, facts, err = as_json(capsys, "crossval", *self.RECIPES, "--folds", "3", *SMALL)
        assert status == 0
        assert [r["recipe"] for r in facts["recipes"]] == ["fashion-quick", "fashion-baseline"]
        first, second = (np.array(r["accuracies"]) for r in facts["recipes"])
        assert len(first) == 3
        assert facts["recipes"][0]["mean"] == pytest.approx(first.mean())
        (comparison,) = facts["comparisons"]
        assert comparison["difference"] == pytest.approx((second - first).mean())
        assert comparison["text"].startswith("fashion-baseline is ")
        assert "epoch 2/2" in err

    def test_equal_differences_in_all_folds_give_no_p(self, capsys):
        recipes = "--recipe", "fashion-quick", "fashion-quick"
        (comparison,) = as_json(capsys, "crossval", *recipes, "--folds", "2", *SMALL)[1]["comparisons"]
        assert (comparison["difference"], comparison["p"], comparison["interval"]) == (0, None, None)
        assert "the variance cannot be estimated" in comparison["text"]

    def test_the_text_is_a_line_for_each(self, capsys):
        assert cli.main(["crossval", *self.RECIPES, "--folds", "2", *SMALL]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 3
        assert lines[0].startswith("fashion-quick: ")
        assert lines[0].endswith("% (2 folds)")

    def test_recipes_for_different_data_need_a_data_set(self, capsys):
        assert cli.main(["crossval", "--recipe", "mnist-quick", "fashion-quick", "--images", "300"]) == 2
        assert "for fashion-mnist and mnist" in capsys.readouterr().err
        options = ["--recipe", "mnist-quick", "fashion-quick", "--folds", "2", *SMALL]
        assert as_json(capsys, "crossval", *options)[1]["dataset"] == "synthetic"

    def test_one_fold_is_exit_status_2(self, capsys):
        assert cli.main(["crossval", *self.RECIPES, "--folds", "1", *SMALL]) == 2
        assert "minicnn: " in capsys.readouterr().err


class TestReport:
    def test_it_is_redrawn_and_the_same(self, folder, capsys):
        page = folder / "report.html"
        before = page.read_text(encoding="utf-8")
        page.unlink()
        status, facts, _ = as_json(capsys, "report", str(folder))
        assert (status, facts) == (0, {"report": str(page)})
        assert page.read_text(encoding="utf-8") == before

    def test_a_report_with_custom_sections_is_not_redrawn(self, folder, tmp_path, capsys):
        for name in os.listdir(folder):
            (tmp_path / name).write_bytes((folder / name).read_bytes())
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        metrics |= {"custom_sections": True, "command": "python examples/other.py"}
        (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        before = (tmp_path / "report.html").read_bytes()
        assert cli.main(["report", str(tmp_path)]) == 2
        assert capsys.readouterr().err.endswith(
            "can draw; run it again, into another folder: python examples/other.py\n"
        )
        assert (tmp_path / "report.html").read_bytes() == before

    @pytest.mark.usefixtures("no_figures")
    def test_data_that_was_moved_is_found_with_an_option(self, tmp_path, capsys, monkeypatch):
        train, test = mc.data.load("synthetic", sizes=(100, 20))
        (tmp_path / "old").mkdir()
        for data, name in ((train, "a.csv"), (test, "b.csv")):
            mc.data.write_csv(data, tmp_path / "old" / name)
        monkeypatch.chdir(tmp_path)
        files = ["--train-csv", "old/a.csv", "--test-csv", "old/b.csv"]
        assert cli.main(["train", *files, "--epochs", "1", "--out", "run"]) == 0
        monkeypatch.chdir("run")
        assert cli.main(["report", "."]) == 0
        (tmp_path / "old").rename(tmp_path / "new")
        assert cli.main(["report", "."]) == 2
        assert "a.csv" in capsys.readouterr().err
        assert cli.main(["report", ".", "--data", "../new"]) == 0

    def test_a_folder_without_a_run_is_exit_status_2(self, tmp_path, capsys):
        assert cli.main(["report", str(tmp_path)]) == 2
        assert "expected the folder of a finished run" in capsys.readouterr().err

    def test_metrics_without_the_data_set_are_exit_status_2(self, folder, tmp_path, capsys):
        for name in ("model.safetensors", "history.csv", "predictions.npz"):
            (tmp_path / name).write_bytes((folder / name).read_bytes())
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        metrics["data"] = {"place": "unknown"}
        (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        assert cli.main(["report", str(tmp_path)]) == 2
        assert "'name' is missing" in capsys.readouterr().err


class TestData:
    def test_it_describes_the_data(self, capsys):
        status, facts, _ = as_json(capsys, "data", "--dataset", "synthetic", "--images", "100")
        assert status == 0
        assert facts["training"]["images"] == 100
        assert facts["test"]["images"] == 20
        assert sum(facts["training"]["classes"].values()) == 100
        train, _ = mc.data.load("synthetic")
        assert facts["training"]["mean"] == pytest.approx((train.images[:100] / 255).mean())

    def test_the_text_is_a_table(self, capsys):
        assert cli.main(["data", "--dataset", "synthetic"]) == 0
        out = capsys.readouterr().out
        assert out.startswith("synthetic: 20,000 training and 4,000 test images\nimages 28 × 28 × 1, uint8\n")
        assert "\nTrouser" in out

    def test_it_writes_csv_files_that_are_the_same_data(self, capsys, tmp_path):
        arguments = ["data", "--dataset", "synthetic", "--images", "50", "--write-csv", str(tmp_path)]
        assert cli.main(arguments) == 0
        train, _ = mc.data.load("synthetic")
        read = mc.data.read_csv(tmp_path / "train.csv", train.class_names)
        np.testing.assert_array_equal(read.images, train.images[:50])
        assert str(tmp_path / "test.csv") in capsys.readouterr().out

    @pytest.mark.parametrize("name", ["train.csv", "test.csv"])
    def test_an_existing_file_is_not_replaced(self, capsys, tmp_path, name):
        (tmp_path / name).write_text("mine")
        assert cli.main(["data", "--dataset", "synthetic", "--write-csv", str(tmp_path)]) == 2
        assert f"{tmp_path / name}: there is a file of that name already" in capsys.readouterr().err
        assert os.listdir(tmp_path) == [name]
        assert (tmp_path / name).read_text() == "mine"
