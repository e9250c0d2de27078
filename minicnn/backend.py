"""Which array module an array belongs to, and moving arrays between devices.

The array decides: ``xp = array_module(x)`` is NumPy for an array in main memory and CuPy for one on
a GPU. CuPy is imported only where a GPU is asked for.
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


def array_module(x: Array) -> ModuleType:
    """Return the module whose functions work on ``x``: ``numpy`` or ``cupy``.

    Raises
    ------
    DTypeError
        If ``x`` is not an array (a list, a tensor of another library).
    """
    if isinstance(x, np.ndarray):
        return np
    module = sys.modules.get(type(x).__module__.partition(".")[0])
    if hasattr(x, "dtype") and hasattr(module, "asnumpy"):
        return module
    raise DTypeError(f"expected a NumPy or CuPy array, got {type(x).__name__}: convert it with numpy.asarray")


def to_numpy(x: Array) -> np.ndarray:
    """Return ``x`` in main memory: itself if it is there already, else a copy."""
    return x if isinstance(x, np.ndarray) else array_module(x).asnumpy(x)


def to_device(x: Array, device: str) -> Array:
    """Return ``x`` on ``device`` (``"cpu"`` or ``"cuda"``), copied only if it is elsewhere.

    A GPU has no other byte order, and no floats of more than 64 bits: these become what it has.
    """
    if device == "cpu":
        return to_numpy(x)
    if isinstance(x, np.ndarray) and x.dtype.kind == "f" and (x.dtype.itemsize > 8 or not x.dtype.isnative):
        x = x.astype(np.float64 if x.dtype.itemsize > 8 else x.dtype.newbyteorder("="))
    return _cupy().asarray(x)


def device_of(x: Array) -> str:
    """Return ``"cpu"`` or ``"cuda"``: where ``x`` lives."""
    return "cpu" if array_module(x) is np else "cuda"


def array_class(device: str) -> type:
    """Return the class of the arrays on ``device``, ``"cpu"`` or ``"cuda"``."""
    return np.ndarray if device == "cpu" else _cupy().ndarray


def resolve_device(device: str) -> str:
    """Turn what a user asked for into the device that will be used.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"``: the GPU if one can be used, else the CPU.

    Raises
    ------
    ConfigError
        If ``device`` is none of the three.
    DeviceError
        If ``"cuda"`` is asked for and cannot be used; the message says why.
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
    """Whether the GPU multiplies in TF32 and bf16: those of compute capability 8.0 (Ampere) and later do."""
    return int(_cupy().cuda.Device().compute_capability) >= 80


# What CuPy's errors say, and what is to be done then. The first that is found counts.
_REMEDIES = (
    (
        "InsufficientDriver",
        "there is no driver, or it is too old for this CuPy: update it, or install an older CuPy",
    ),
    ("NoDevice", "no NVIDIA GPU is visible: look at nvidia-smi and CUDA_VISIBLE_DEVICES"),
    ("OutOfMemory", "its memory is full: end other programs that use it, see nvidia-smi"),
    ("MemoryAllocation", "its memory is full: end other programs that use it, see nvidia-smi"),
    ("nvrtc", 'CUDA\'s run-time compiler is missing: pip install "cupy-cuda12x[ctk]", or cupy-cuda13x'),
    ("", "check the driver with nvidia-smi"),
)


def _cupy() -> Any:
    """Import CuPy and prove that a device works by running one tiny kernel on it."""
    try:
        cupy = importlib.import_module("cupy")
    except Exception as reason:  # an installed CuPy that does not fit the driver may raise anything
        missing = isinstance(reason, ModuleNotFoundError)
        what = "is not installed" if missing else f"could not be imported ({reason})"
        raise DeviceError(
            f'device "cuda" needs CuPy, which {what}. Install the extra that fits your driver: '
            'pip install "minicnn[cuda12]" or pip install "minicnn[cuda13]", or use device="cpu".'
        ) from reason
    _prove(cupy)
    return cupy


@lru_cache  # once for each module: what has failed is tried again
def _prove(cupy: ModuleType) -> None:
    try:
        if int(cupy.arange(3).sum()) != 3:
            raise DeviceError("the GPU computed a wrong sum")
    except Exception as reason:  # CuPy raises errors of many unrelated classes: driver, runtime, compiler
        told = f"{type(reason).__name__}: {reason}"
        remedy = next(remedy for sign, remedy in _REMEDIES if sign.lower() in told.lower())
        raise DeviceError(f'device "cuda" cannot be used: {told}; {remedy}, or use device="cpu".') from reason
