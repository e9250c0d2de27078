"""What a contributor and CI run, each in its own environment: ``pip install nox``, then ``nox --list``."""

import os
import shlex
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")["project"]
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
BENCHMARKS = [
    "benchmarks/train_step.py --models M0 --batches 32 --steps 5",
    "benchmarks/predict.py --models M0 --batches 32 --steps 5",
    "benchmarks/blocks.py --models M0 --times 1",
    "benchmarks/cpu_vs_gpu.py --models M0 --batches 32",
    "benchmarks/false_alarms.py --comparisons 2",
    "benchmarks/stability.py fashion-quick --data synthetic --seeds 2",
    "benchmarks/ablation.py --variants 'the recipe' --images 600 --epochs 1 --seeds 0",
]


def dev(name: str) -> str:
    """Return the requirement of a tool, which the extra ``dev`` pins."""
    (requirement,) = [r for r in PROJECT["optional-dependencies"]["dev"] if r.startswith(name)]
    return requirement


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style, and that the code is formatted."""
    session.install(dev("ruff"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types: strictly what users import, and the rest as pyright does by default."""
    session.install("-e", ".[image]", dev("pyright"))
    session.run("pyright")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests; arguments go to pytest: ``nox -s tests-3.12 -- -m quick``."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest version of each dependency that pyproject.toml allows."""
    constraints = Path(session.create_tmp()) / "lowest.txt"
    requirements = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    constraints.write_text("\n".join(requirement.replace(">=", "==") for requirement in requirements))
    session.install("-e", ".[test]", "-c", str(constraints))
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Run what the tests leave out: the CUDA sources under GCC's sanitizers, and the slow tests."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-m", "sanitizers or slow", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure which branches the tests reach; what Numba has compiled is not seen."""
    session.install("-e", ".[test]", dev("coverage"))
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "report")


@nox.session
def docs(session: nox.Session) -> None:
    """Check the links and run the code of the documentation."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "tests/test_docs.py", "tests/test_contributing.py")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run the benchmarks on as little as it takes to see them work; they need the real data."""
    if "MINICNN_DATA" not in os.environ:
        session.skip("MINICNN_DATA names no folder with the real data")
    session.install("-e", ".")
    for command in BENCHMARKS:
        session.run("python", *shlex.split(command))
