"""Measuring frameworks in turns: each has its own process, and all exist at the same time."""

import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from peers import FRAMEWORKS

import minicnn as mc
from minicnn.runtime.threads import num_threads

# Settings that change the speed of OpenBLAS: it is measured with its defaults.
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
WARM_UP = 4  # steps
TURN = 0.4  # seconds, but at least MIN_TURN steps, after a fifth as many that are not counted
MIN_TURN = 5
SLOW = 1.0  # seconds; slower steps get only one turn


def environment() -> dict[str, str]:
    """Return the environment of all processes: the same number of threads."""
    threads = str(num_threads())
    inherited = {name: value for name, value in os.environ.items() if name not in UNSET}
    return inherited | {
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "MINICNN_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # JAX has no such setting: XLA uses the cores that the process may use.
    }


def installed() -> list[str]:
    """Return the frameworks that are installed."""
    return [name for name, (package, _) in FRAMEWORKS.items() if importlib.util.find_spec(package)]


@contextmanager
def images(count: int) -> Iterator[Path]:
    """Write ``count`` images of Fashion-MNIST to a file for all processes."""
    train, _ = mc.data.load("fashion-mnist")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npz"
        np.savez(path, images=train.images[:count], labels=train.labels[:count])
        yield path


class Process:
    """A process that answers each command, a line of text, with a line of JSON."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
        )

    def ask(self, command: str) -> Any:
        """Send a command and return the answer.

        Raises
        ------
        RuntimeError
            If the process has ended; the message is what it wrote to stderr.
        """
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(f"{self.name} ended: {self.process.stderr.read()[-2000:]}")
        return json.loads(answer)

    def try_ask(self, command: str) -> Any:
        """Return the answer, or None, with the reason on stderr, if the process has ended."""
        try:
            return self.ask(command)
        except RuntimeError as reason:
            last_line = str(reason).strip().splitlines()[-1]
            print(f"{self.name} cannot be measured: {last_line}", file=sys.stderr)
            return None

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


class Runner(Process):
    """One framework with one model and batch size, in its process."""

    def __init__(self, framework: str, model: str, batch: int, data: Path, predict: bool) -> None:
        script = Path(__file__).with_name("peers.py")
        command = [sys.executable, str(script), framework, model, str(batch), str(data)]
        super().__init__(framework, [*command, *(["--predict"] if predict else [])])
        self.seconds: list[float] = []
        self.step = 0.0  # approximate seconds


def compare(
    frameworks: list[str], model: str, batch: int, data: Path, steps: int, predict: bool = False
) -> dict[str, dict[str, float]]:
    """Return the median, minimum and maximum milliseconds of a step, and the memory, for each framework.

    After a warm-up the frameworks take turns, so that other load on the machine affects all of them equally.
    The first steps of a turn, in which caches fill and cores wake up, are not counted.
    """
    with ExitStack() as endings:
        started = [Runner(name, model, batch, data, predict) for name in frameworks]
        runners = []
        for runner in started:
            endings.callback(runner.close)
            if seconds := runner.try_ask(f"steps {WARM_UP}"):
                runner.step = seconds[-1]
                runners.append(runner)
        turns = -(-steps // MIN_TURN)
        for turn in range(turns):
            for runner in runners:
                if turn > 0 and runner.step > SLOW:
                    continue
                time.sleep(0.2)  # the threads of the previous one may still spin
                count = max(MIN_TURN, round(TURN / runner.step))
                runner.ask(f"steps {count // 5}")
                runner.seconds += runner.ask(f"steps {count}")
        return {
            runner.name: {
                "median_ms": 1000 * statistics.median(runner.seconds),
                "min_ms": 1000 * min(runner.seconds),
                "max_ms": 1000 * max(runner.seconds),
                "steps": len(runner.seconds),
                "peak_mib": runner.ask("memory"),
            }
            for runner in runners
        }


def sgemm_peak() -> float:
    """Return the GFLOP/s of a 2048³ product with NumPy's BLAS in a new process, median of nine."""
    code = (
        "import time, statistics, numpy as np\n"
        "a = np.ones((2048, 2048), np.float32); c = np.empty_like(a); seconds = []\n"
        "for _ in range(10):\n"
        "    start = time.perf_counter(); np.matmul(a, a, out=c)\n"
        "    seconds.append(time.perf_counter() - start)\n"
        "print(2 * 2048**3 / statistics.median(seconds[1:]) / 1e9)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment(), check=True, capture_output=True, text=True
    )
    return float(answer.stdout)


def package_versions() -> dict[str, str]:
    """Return the versions of the compared packages."""
    names = ("tensorflow-cpu", "tensorflow", "keras", "torch", "jax", "cupy-cuda12x", "cupy-cuda13x")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
