"""The command line: what it prints, and its exit status."""

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import minicnn
from minicnn import cli, gradcheck, info, ops
from minicnn import layers as L
from minicnn.metrics import Evaluation


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "minicnn", *arguments], capture_output=True, text=True, encoding="utf-8"
    )


@pytest.fixture
def one_layer(monkeypatch):
    """Check only one layer, which is a tenth of the work."""

    def use(layer):
        monkeypatch.setattr(gradcheck, "standard_layers", lambda: [("dense", layer, (5,))])

    return use


def test_gradcheck_prints_the_table():
    run = command("gradcheck")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("gradient")
    for name, *_ in gradcheck.standard_layers():
        assert f"\n{name}.x " in run.stdout
    assert "WRONG" not in run.stdout
    assert "gradients, 0 wrong, worst error" in run.stdout


def test_a_wrong_gradient_is_exit_status_1(one_layer, capsys):
    class Wrong(L.Dense):
        def backward(self, dy, need_dx=True):
            dx = super().backward(dy, need_dx)
            self.grads["W"] *= 2
            return dx

    one_layer(Wrong(4))
    assert cli.main(["gradcheck"]) == 1
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if line.endswith("WRONG")] == ["dense.W"]
    assert ", 1 wrong, worst error 5.0e-01 (seed 0)" in out


def test_a_nan_is_exit_status_1(one_layer):
    class NotANumber(L.Dense):
        def backward(self, dy, need_dx=True):
            super().backward(dy, need_dx)
            return np.full((len(dy), *self.input_shape), np.nan)

    one_layer(NotANumber(4))
    assert cli.main(["gradcheck"]) == 1


@pytest.mark.parametrize("name", ops.KERNELS)
def test_the_given_kernels_are_used(one_layer, monkeypatch, name):
    used = []
    check = gradcheck.check_layer
    monkeypatch.setattr(gradcheck, "check_layer", lambda *a, **k: used.append(ops.active()) or check(*a, **k))
    one_layer(L.Dense(4))
    assert cli.main(["gradcheck", "--kernels", name]) == 0
    assert used == [name]
    assert ops.active() == "cpu"


def test_the_seed_is_used(one_layer, capsys):
    one_layer(L.Dense(4))
    outputs = []
    for seed in ("0", "7"):
        assert cli.main(["gradcheck", "--seed", seed]) == 0
        outputs.append(capsys.readouterr().out)
    assert "(seed 7)" in outputs[1]
    assert outputs[0].splitlines()[1] != outputs[1].splitlines()[1]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["gradchek"],
        ["gradcheck", "--seed", "x"],
        ["gradcheck", "--seed", "-1"],
        ["gradcheck", "--kernels", "cuda"],
        ["gradcheck", "file"],
    ],
)
def test_bad_input_is_exit_status_2_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: minicnn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "usage", "error"),
    [
        (["trian"], "minicnn [-h]", "minicnn: error: unknown command 'trian'; did you mean 'train'?"),
        (["xyz"], "minicnn [-h]", "unknown command 'xyz'; choose from train, evaluate, predict, crossval, "),
        (["train", "--epochss", "3"], "minicnn train [-h]", "unknown: --epochss 3; did you mean '--epochs'?"),
        (["data", "--datsaet=x"], "minicnn data [-h]", "unknown: --datsaet=x; did you mean '--dataset'?"),
        (["predict", "a", "b", "--invrt"], "minicnn predict", "unknown: --invrt; did you mean '--invert'?"),
        (["gradcheck", "file"], "minicnn gradcheck [-h]", "minicnn gradcheck: error: unknown: file\n"),
        (["info", "--frobnicate"], "minicnn info [-h]", "minicnn info: error: unknown: --frobnicate\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_unknown_arguments_get_a_suggestion_and_the_usage(arguments, usage, error, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"usage: {usage}")
    assert error in told


def test_nothing_learned_is_reported_last(capsys):
    labels = np.arange(100) % 2
    good, bad = (Evaluation(0.5, labels, np.eye(2)[said], ("a", "b")) for said in (labels, 0 * labels))
    args = SimpleNamespace(target_accuracy=None)
    assert cli.options.status(args, 1.0, {"good": good}) == 0
    assert capsys.readouterr().err == ""
    assert cli.options.status(args, 0.5, {"good": good, "one": bad}) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == ""
    assert lines[1] == lines[-1] == "!" * 88
    assert " ".join(line[4:] for line in lines[2:-1]) == f"one: {bad.failure()}"
    assert all(len(line) <= 88 for line in lines)


COMMANDS = ("train", "evaluate", "predict", "crossval", "report", "gradcheck", "data", "info")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_has_a_valid_example(name, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--json" in text
    example = text.split("example: minicnn ")[1].split()
    assert example[0] == name
    args = cli._parser().parse_args(example)
    assert args.main.__module__ == f"minicnn.cli.{name}"


def test_the_help_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines() if line[:4] == "    " and line[4] != " "] == list(
        COMMANDS
    )


def test_ctrl_c_is_exit_status_130_in_one_line(monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(info, "describe", interrupt)
    assert cli.main(["info"]) == 130
    assert capsys.readouterr().err == "\nminicnn: interrupted\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs bash and /dev/full, as on Linux")
@pytest.mark.parametrize(("target", "status"), [("| true; exit ${PIPESTATUS[0]}", 141), ("> /dev/full", 2)])
def test_a_result_that_cannot_be_written_ends_without_a_traceback(target, status):
    line = f"{sys.executable} -m minicnn data --dataset synthetic --images 10 {target}"
    run = subprocess.run(["bash", "-c", line], capture_output=True, text=True, encoding="utf-8")
    assert run.returncode == status
    assert "Traceback" not in run.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_a_script_whose_reader_has_seen_enough_ends_without_a_traceback():
    script = "import sys; from minicnn import cli; sys.exit(cli.exit_status(lambda: print('x') or 0))"
    line = f'{{ {sys.executable} -c "{script}"; echo $? >&2; }} | true'
    run = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert run.stderr == "141\n"


def test_gradcheck_as_json(one_layer, capsys):
    one_layer(L.Dense(4))
    assert cli.main(["gradcheck", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["wrong"] == 0
    assert [gradient["name"] for gradient in facts["gradients"]][:2] == ["dense.x", "dense.W"]
    assert facts["worst"] == max(gradient["error"] for gradient in facts["gradients"])


def test_version_and_help(capsys):
    for argument, text in (("--version", f"minicnn {minicnn.__version__}\n"), ("--help", "gradcheck")):
        with pytest.raises(SystemExit) as caught:
            cli.main([argument])
        assert caught.value.code == 0
        assert text in capsys.readouterr().out


def test_info_names_versions_and_hardware():
    run = command("info")
    assert (run.returncode, run.stderr) == (0, "")
    facts = dict(line.split(maxsplit=1) for line in run.stdout.splitlines())
    assert facts["minicnn"] == minicnn.__version__
    assert facts["threads"].isdecimal()
    assert {"python", "numpy", "numba", "cupy", "processor", "cores", "blas", "gpu"} <= facts.keys()


def test_info_as_json_has_the_same_facts():
    assert list(json.loads(command("info", "--json").stdout)) == list(info.describe())


def test_info_says_why_a_gpu_cannot_be_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert info.gpu().startswith('not usable: device "cuda" needs CuPy, which is not installed')


def test_info_describes_a_gpu(monkeypatch):
    properties = {"name": b"NVIDIA H200", "major": 9, "minor": 0, "totalGlobalMem": 141 * 2**30}
    runtime = SimpleNamespace(
        getDevice=lambda: 0,
        getDeviceProperties=lambda device: properties,
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 12040,
    )
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(info, "resolve_device", lambda device: device)
    assert info.gpu() == "NVIDIA H200, compute capability 9.0, 141 GiB, driver for CUDA 13.0, CUDA 12.4"


def test_gradcheck_of_the_fused_engine(capsys):
    assert cli.main(["gradcheck", "--engine", "fused"]) == 0
    out = capsys.readouterr().out
    for name, *_ in gradcheck.standard_layers():
        assert f"{name}: " in out
    assert re.search(r"\n\d+ gradients and updates, 0 wrong, worst error \d\.\de-\d\d \(seed 0\)", out)
