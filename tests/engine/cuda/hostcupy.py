"""A stand-in for CuPy that needs no GPU: its arrays are in main memory, its kernels are compiled by g++.

Like CuPy it never converts an array to NumPy implicitly, and never mixes the two. It counts in ``transfers``
each copy between the "device" and NumPy, and each number that is read back. It also checks the types of a
kernel's arguments, which CuPy cannot.
"""

import ctypes
import hashlib
import os
import re
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np

SHIM = Path(__file__).with_name("shim.h")
# Such as "-fsanitize=address,undefined", from the test that runs the others under a sanitizer.
FLAGS = os.environ.get("MINICNN_SHIM_FLAGS", "")
# Any warning fails the test. These four are of no use for CUDA sources.
WARNINGS = "-Wall -Wextra -Wno-unused-function -Wno-unknown-pragmas -Wno-sign-compare -Wno-clobbered"
OPTIONS = f"-std=c++17 -O1 -shared -fPIC -ffp-contract=off {WARNINGS} {FLAGS}".split()


class Transfers:
    """The number of copies in each direction."""

    to_device = to_host = 0

    def reset(self):
        self.to_device = self.to_host = 0


transfers = Transfers()


def _data(value):
    """Return the NumPy array behind an argument; raise for a NumPy array."""
    if isinstance(value, ndarray):
        return value._data
    if isinstance(value, np.ndarray):
        raise TypeError(
            f"Unsupported type {type(value)}: a NumPy array of shape {value.shape} met a device's"
        )
    if isinstance(value, tuple | list):
        return type(value)(_data(item) for item in value)
    return value


def _wrap(value):
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    if isinstance(value, tuple):
        return tuple(_wrap(item) for item in value)
    return value


def _method(name):
    def method(self, *arguments, **keywords):
        keywords = {key: _data(value) for key, value in keywords.items()}
        return _wrap(getattr(self._data, name)(*_data(arguments), **keywords))

    method.__name__ = name
    return method


class ndarray:
    """An array on the "device"."""

    __array_ufunc__ = None  # leaves mixed operators to this class, which raises
    __hash__ = None

    def __init__(self, data):
        self._data = data

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed: use asnumpy")

    def _read(self):
        transfers.to_host += 1
        return self._data

    def __bool__(self):
        return bool(self._read())

    def __int__(self):
        return int(self._read())

    def __index__(self):
        return int(self._read())

    def __float__(self):
        return float(self._read())

    def item(self):
        return self._read().item()

    def get(self):
        return self._read().copy()

    def set(self, values):
        if type(values) is not np.ndarray or values.dtype != self.dtype or values.shape != self.shape:
            raise ValueError(f"set: expected a NumPy array {self.dtype} {self.shape}, got {values!r}")
        transfers.to_device += 1
        self._data[...] = values

    def fill(self, value):
        self._data.fill(value)

    @property
    def data(self):
        return SimpleNamespace(ptr=self._data.ctypes.data)

    def __len__(self):
        return len(self._data)

    def __iter__(self):
        return (_wrap(item) for item in self._data)

    def __setitem__(self, key, value):
        self._data[_data(key)] = _data(value)

    def __repr__(self):
        return f"hostcupy.{self._data!r}"

    @property
    def T(self):
        return _wrap(self._data.T)

    def __iadd__(self, other):
        self._data += _data(other)
        return self

    def __isub__(self, other):
        self._data -= _data(other)
        return self

    def __imul__(self, other):
        self._data *= _data(other)
        return self

    def __itruediv__(self, other):
        self._data /= _data(other)
        return self


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
    setattr(ndarray, f"__{_name}__", _method(f"__{_name}__"))
    setattr(ndarray, f"__r{_name}__", _method(f"__r{_name}__"))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "abs", "invert", "getitem"):
    setattr(ndarray, f"__{_name}__", _method(f"__{_name}__"))
for _name in (
    "all", "any", "argmax", "argmin", "astype", "copy", "cumsum", "max", "mean", "min", "ravel", "reshape",
    "sum", "transpose", "view",
):  # fmt: skip
    setattr(ndarray, _name, _method(_name))
for _name in ("dtype", "flags", "nbytes", "ndim", "shape", "size", "strides"):
    setattr(ndarray, _name, property(lambda self, name=_name: getattr(self._data, name)))
ndarray.__module__ = "cupy"


@lru_cache
def build(code):
    """Compile kernels with g++ and the shim, and return the library, which is cached on disk."""
    names = re.findall(r"^KERNEL (\w+)\(", code, re.MULTILINE)
    text = "\n".join([f'#include "{SHIM}"', "#line 1", code, *(f"SHIM_EXPORT({name})" for name in names)])
    key = hashlib.sha256("\0".join([text, SHIM.read_text(), *OPTIONS]).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"minicnn-shim-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    library = folder / f"{key}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            source, result = Path(work) / "kernels.cpp", Path(work) / "kernels.so"
            source.write_text(text)
            command = ["g++", *OPTIONS, str(source), "-o", str(result)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode or done.stderr:
                raise RuntimeError(f"g++ on the kernels:\n{done.stderr}")
            result.rename(library)
    return ctypes.CDLL(str(library))


def _argument(value):
    """Return an argument, or its address, as an array, and the type that a kernel expects."""
    if isinstance(value, ndarray):
        return np.array(value.data.ptr), value.dtype.str[1:] + "*"
    if isinstance(value, np.generic):
        return np.array(value), value.dtype.str[1:]
    raise TypeError(f"a kernel's argument must say its size: give numpy.int32(…), not {value!r}")


class Kernel:
    """One kernel, launched as CuPy's RawKernel is."""

    def __init__(self, library, name):
        self.function, self.name = getattr(library, f"run_{name}"), name
        text = ctypes.create_string_buffer(256)
        getattr(library, f"signature_{name}")(text)
        self.types = text.value.decode().split()

    def __call__(self, grid, block, arguments):
        if Stream.captured is not None:
            Stream.captured.append((self, grid, block, arguments))
        else:
            self.run(grid, block, arguments)

    def run(self, grid, block, arguments):
        sizes = [(ctypes.c_uint * 3)(*(*size, 1, 1)[:3]) for size in (grid, block)]
        held = [_argument(value) for value in arguments]
        if (types := [of for _, of in held]) != self.types:
            raise TypeError(f"kernel {self.name} takes {self.types}, it was launched with {types}")
        self.function(*sizes, (ctypes.c_void_p * len(held))(*(array.ctypes.data for array, _ in held)))


class Graph:
    """Captured launches, with their arguments."""

    def __init__(self, launches):
        self.launches = launches

    def launch(self, stream):
        for kernel, *arguments in self.launches:
            kernel.run(*arguments)


class Stream:
    """A stream that can capture launches instead of running them."""

    captured = None

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        assert Stream.captured is None, "a capture was not ended"

    def synchronize(self):
        pass

    def begin_capture(self):
        Stream.captured = []

    def end_capture(self):
        launches, Stream.captured = Stream.captured, None
        return Graph(launches)


class RawModule:
    """Kernels from CUDA source."""

    def __init__(self, code, options=()):
        self.library = build(code)

    def get_function(self, name):
        return Kernel(self.library, name)


def asnumpy(x):
    transfers.to_host += 1
    return x._data.copy()


def asarray(x, dtype=None):
    if isinstance(x, ndarray):
        return x
    transfers.to_device += 1
    return ndarray(np.array(x, dtype))


def module():
    """Return the stand-in as a module that can replace ``cupy``."""
    cupy = ModuleType("cupy")

    def function(name):
        def call(*arguments, **keywords):
            keywords = {key: _data(value) for key, value in keywords.items()}
            return _wrap(getattr(np, name)(*_data(arguments), **keywords))

        return call

    for name in (
        "abs", "arange", "argmax", "argmin", "ascontiguousarray", "broadcast_to", "concatenate", "empty",
        "empty_like", "exp", "full", "isfinite", "isnan", "log", "matmul", "maximum", "minimum", "moveaxis",
        "ones", "ones_like", "pad", "rint", "sqrt", "stack", "take_along_axis", "tanh", "where", "zeros",
        "zeros_like",
    ):  # fmt: skip
        setattr(cupy, name, function(name))
    cupy.ndarray, cupy.RawModule, cupy.asnumpy, cupy.asarray = ndarray, RawModule, asnumpy, asarray
    device = SimpleNamespace(compute_capability="90")
    cupy.cuda = SimpleNamespace(Stream=Stream, alloc_pinned_memory=bytearray, Device=lambda: device)
    cupy.inf, cupy.nan, cupy.newaxis = np.inf, np.nan, None
    cupy.float32, cupy.float64, cupy.int32, cupy.int64, cupy.uint8 = (
        np.float32, np.float64, np.int32, np.int64, np.uint8,
    )  # fmt: skip
    return cupy
