"""NumPy and CuPy: the module of an array, and moving arrays between devices.

CuPy is imported only when a GPU is requested.
"""

import importlib
import sys
from functools import lru_cache
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from minicnn.errors import ConfigError, DeviceError, DTypeError

Array: TypeAlias = np.ndarray
"""A NumPy array, or a CuPy array of the same shape and dtype."""

DEVICES = ("cpu", "cuda", "auto")

ignore_underflow = np.errstate(under="ignore")
"""A decorator: underflow gives 0, even if NumPy is set to raise an error."""


def array_module(x: Array) -> ModuleType:
    """Return the module of ``x``, ``numpy`` or ``cupy``; raise DTypeError if it is not their array."""
    if isinstance(x, np.ndarray):
        return np
    module = sys.modules.get(type(x).__module__.partition(".")[0])
    if hasattr(x, "dtype") and hasattr(module, "asnumpy"):
        return module
    raise DTypeError(f"expected a NumPy or CuPy array, got {type(x).__name__}: convert it with numpy.asarray")


def to_numpy(x: Array) -> np.ndarray:
    """Return ``x`` as a NumPy array, copied only from a GPU."""
    return x if isinstance(x, np.ndarray) else array_module(x).asnumpy(x)


def to_device(x: Array, device: str) -> Array:
    """Return ``x`` on ``device`` (``"cpu"`` or ``"cuda"``), copied only if it is elsewhere.

    For a GPU, floats are converted to native byte order and at most 64 bits.
    """
    if device == "cpu":
        return to_numpy(x)
    if isinstance(x, np.ndarray) and x.dtype.kind == "f" and (x.dtype.itemsize > 8 or not x.dtype.isnative):
        x = x.astype(np.float64 if x.dtype.itemsize > 8 else x.dtype.newbyteorder("="))
    return _cupy().asarray(x)


def device_of(x: Array) -> str:
    """Return the device of ``x``, ``"cpu"`` or ``"cuda"``."""
    return "cpu" if array_module(x) is np else "cuda"


def array_class(device: str) -> type:
    """Return the array class of ``device``, ``"cpu"`` or ``"cuda"``."""
    return np.ndarray if device == "cpu" else _cupy().ndarray


def resolve_device(device: str) -> str:
    """Return ``"cpu"`` or ``"cuda"``; ``"auto"`` is the GPU if one can be used, else the CPU.

    Raises
    ------
    ConfigError
        If ``device`` is not one of these three.
    DeviceError
        If ``"cuda"`` is requested and cannot be used; the message gives the reason.
    """
    if device not in DEVICES:
        raise ConfigError(f"unknown device {device!r}: expected one of {', '.join(DEVICES)}")
    if device == "cpu":
        return "cpu"
    try:
        _cupy()
    except DeviceError:
        if device == "cuda":
            raise
        return "cpu"
    return "cuda"


def tensor_cores() -> bool:
    """Return whether the GPU supports TF32 and bf16: compute capability 8.0 (Ampere) or later."""
    return int(_cupy().cuda.Device().compute_capability) >= 80


# Part of CuPy's error message, and the remedy; the first match counts.
_MEMORY_FULL = "its memory is full: end other programs that use it, see nvidia-smi"
_REMEDIES = {
    "InsufficientDriver": "no driver, or one too old for this CuPy: update it or install an older CuPy",
    "NoDevice": "no NVIDIA GPU is visible: look at nvidia-smi and CUDA_VISIBLE_DEVICES",
    "OutOfMemory": _MEMORY_FULL,
    "MemoryAllocation": _MEMORY_FULL,
    "nvrtc": 'CUDA\'s run-time compiler is missing: pip install "cupy-cuda12x[ctk]", or cupy-cuda13x',
    "": "check the driver with nvidia-smi",
}


def _cupy() -> Any:
    """Import CuPy, and run a small kernel to check that the device works."""
    try:
        cupy = importlib.import_module("cupy")
    except Exception as reason:  # a CuPy that does not match the driver may raise anything
        missing = isinstance(reason, ModuleNotFoundError)
        what = "is not installed" if missing else f"could not be imported ({reason})"
        raise DeviceError(
            f'device "cuda" needs CuPy, which {what}. Install the extra that fits your driver: '
            'pip install "minicnn[cuda12]" or pip install "minicnn[cuda13]", or use device="cpu".'
        ) from reason
    _check_device(cupy)
    return cupy


@lru_cache  # errors are not cached, so a failure is tried again
def _check_device(cupy: ModuleType) -> None:
    try:
        if int(cupy.arange(3).sum()) != 3:
            raise DeviceError("the GPU computed a wrong sum")
    except Exception as reason:  # CuPy raises many unrelated classes: driver, runtime, compiler
        error = f"{type(reason).__name__}: {reason}"
        remedy = next(remedy for sign, remedy in _REMEDIES.items() if sign.lower() in error.lower())
        raise DeviceError(
            f'device "cuda" cannot be used: {error}; {remedy}, or use device="cpu".'
        ) from reason
