"""Compiling and launching CUDA kernels with CuPy."""

from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import Array

SOURCES = {path.stem: path for path in (Path(__file__).parent / "kernels").glob("*.cu")}
THREADS = 256  # per block, unless a kernel sets its own
PRELUDE = '#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS)'


class Launch(NamedTuple):
    """A kernel with its grid and arguments."""

    kernel: Any
    grid: tuple[int, ...]
    threads: int
    arguments: tuple[Any, ...]

    def __call__(self) -> None:
        """Launch the kernel on the current stream."""
        self.kernel(self.grid, (self.threads,), self.arguments)


class Kernels:
    """Compiled kernels, launched with a fixed number of threads per block."""

    def __init__(self, module: Any, threads: int) -> None:
        self._module, self._threads = module, threads

    def launch(self, name: str, grid: int | tuple[int, ...], *arguments: Any) -> Launch:
        """Return a launch of a kernel; Python numbers are passed as 32-bit int and float."""
        types = {int: np.int32, bool: np.int32, float: np.float32}
        passed = tuple(types[type(a)](a) if type(a) in types else a for a in arguments)
        grid = grid if isinstance(grid, tuple) else (grid,)
        return Launch(self._module.get_function(name), grid, self._threads, passed)


class Device:
    """The array module, and the precision of the kernels."""

    def __init__(self, xp: ModuleType, precision: str) -> None:
        self.xp = xp
        self.precision = precision

    def zeros(self, *shape: int, dtype: Any = np.float32) -> Array:
        """Return an array of zeros on the device."""
        return self.xp.zeros(shape, dtype)

    def contiguous(self, array: Array) -> Array:
        """Return the array in C order, copied if necessary."""
        return array if array.flags.c_contiguous else self.xp.ascontiguousarray(array)

    def compile(self, *files: str, threads: int = THREADS, **constants: int | str) -> Kernels:
        """Compile these files with these constants."""
        code = source(*files, precision=self.precision, THREADS=threads, **constants)
        return Kernels(_compiled(self.xp, code), threads)


def source(*files: str, precision: str = "fp32", **constants: int | str) -> str:
    """Return the constants (numbers, or names of types) and the files as one source."""
    lines = [PRELUDE, f"#define PRECISION {precision.upper()}"]
    for name, value in constants.items():
        lines.append(f"typedef {value} {name};" if isinstance(value, str) else f"const int {name} = {value};")
    return "\n".join([*lines, *(SOURCES[name].read_text(encoding="utf-8") for name in files)])


@lru_cache(maxsize=256)
def _compiled(xp: ModuleType, code: str) -> Any:
    # CuPy compiles at the first use of a kernel, and caches the result on disk.
    return xp.RawModule(code=code, options=("-std=c++17",))
