"""The machine that minicnn runs on: versions, processor, threads, BLAS and GPU."""

import importlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from minicnn import __version__
from minicnn.backend import resolve_device
from minicnn.errors import DeviceError
from minicnn.runtime.threads import available_cores, num_threads

_CUPY = ("cupy-cuda12x", "cupy-cuda13x", "cupy")


def versions() -> dict[str, str]:
    """Return the versions that results depend on."""
    return {
        "python": platform.python_version(),
        "minicnn": __version__,
        **{name: version(name) for name in ("numpy", "numba")},
        "platform": f"{platform.system()} {platform.machine()}",
    }


def processor() -> str:
    """Return the processor's name and its widest vector instructions, which only Linux reports."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        fields = {name.strip(): value.strip() for name, value in fields.items()}
        simd = next((name for name in ("avx512f", "avx2") if name in fields.get("flags", "").split()), "")
        model = f"family {fields.get('cpu family', '?')} model {fields.get('model', '?')}"
        return f"{fields.get('model name', 'unknown')} ({model}), {simd or 'no AVX2'}"
    return platform.processor() or platform.machine()


def blas() -> str:
    """Return the BLAS library that NumPy uses, with the core type that it chose.

    The wheels of NumPy and SciPy each contain their own library. Other builds of NumPy (conda, a Linux
    distribution) use a shared library.
    """
    numpy = Path(np.__file__).resolve().parent
    libraries = {Path(b["filepath"]): b for b in threadpool_info() if b["user_api"] == "blas"}
    own = [path for path in libraries if {numpy, numpy.with_name("numpy.libs")} & set(path.parents)]
    shared = [path for path in libraries if not path.parent.name.endswith("libs")]  # scipy.libs, .dylibs
    found = [libraries[path] for path in sorted(own or shared)]
    names = [f"{b['internal_api']} {b['version']} {b.get('architecture', '')}".strip() for b in found]
    return ", ".join(names) or "not recognized"


def gpu() -> str:
    """Return the GPU's name, memory, driver and CUDA version, or the reason why it cannot be used."""
    try:
        resolve_device("cuda")
    except DeviceError as reason:
        return f"not usable: {reason}"
    runtime = importlib.import_module("cupy").cuda.runtime
    properties = runtime.getDeviceProperties(runtime.getDevice())
    driver, cuda = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    return (
        f"{properties['name'].decode()}, compute capability {properties['major']}.{properties['minor']}, "
        f"{properties['totalGlobalMem'] / 2**30:.0f} GiB, driver for CUDA {_dotted(driver)}, "
        f"CUDA {_dotted(cuda)}"
    )


def _dotted(number: int) -> str:
    """Return a CUDA version, 12040, as 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _cupy_version() -> str:
    for name in _CUPY:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return "not installed"


def environment() -> dict[str, Any]:
    """Return what results and times on the CPU depend on, for the JSON of runs and benchmarks."""
    return {"threads": num_threads(), "processor": processor(), "blas": blas(), "versions": versions()}


def describe() -> dict[str, Any]:
    """Return everything by name, in printing order."""
    return {
        **versions(),
        "cupy": _cupy_version(),
        "processor": processor(),
        "cores": f"{available_cores()} of {os.cpu_count()} may be used",
        "threads": num_threads(),
        "blas": blas(),
        "gpu": gpu(),
    }
