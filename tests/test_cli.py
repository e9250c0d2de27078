"""The command line: what it prints, and its exit status."""

import subprocess
import sys

import numpy as np
import pytest

import minicnn
from minicnn import cli, gradcheck, kernels
from minicnn import layers as L


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "minicnn", *arguments], capture_output=True, text=True, encoding="utf-8"
    )


@pytest.fixture
def one_layer(monkeypatch):
    """Let the check be of one layer only, which is a tenth of the work."""

    def use(layer):
        monkeypatch.setattr(gradcheck, "standard_layers", lambda: [("dense", layer, (5,))])

    return use


def test_gradcheck_prints_the_table_and_ends_well():
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


@pytest.mark.parametrize("name", kernels.KERNELS)
def test_the_kernels_named_are_used(one_layer, monkeypatch, name):
    used = []
    check = gradcheck.check_layer
    monkeypatch.setattr(
        gradcheck, "check_layer", lambda *a, **k: used.append(kernels.active()) or check(*a, **k)
    )
    one_layer(L.Dense(4))
    assert cli.main(["gradcheck", "--kernels", name]) == 0
    assert used == [name]
    assert kernels.active() == "cpu"


def test_the_seed_is_used(one_layer, capsys):
    one_layer(L.Dense(4))
    outputs = []
    for seed in ("0", "7"):
        assert cli.main(["gradcheck", "--seed", seed]) == 0
        outputs.append(capsys.readouterr().out)
    assert "(seed 7)" in outputs[1]
    assert outputs[0].splitlines()[1] != outputs[1].splitlines()[1]


def test_a_seed_below_0_is_exit_status_2_in_one_line(capsys):
    assert cli.main(["gradcheck", "--seed", "-1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("minicnn: seed must be")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["gradchek"],
        ["gradcheck", "--seed", "x"],
        ["gradcheck", "--kernels", "cuda"],
        ["gradcheck", "file"],
    ],
)
def test_bad_input_is_exit_status_2_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: minicnn" in capsys.readouterr().err


def test_version_and_help(capsys):
    for argument, text in (("--version", f"minicnn {minicnn.__version__}\n"), ("--help", "gradcheck")):
        with pytest.raises(SystemExit) as caught:
            cli.main([argument])
        assert caught.value.code == 0
        assert text in capsys.readouterr().out
