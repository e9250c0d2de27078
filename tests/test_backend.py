"""`backend`: the module of an array, moving arrays, and messages about an unusable GPU."""

import sys
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicnn import backend
from minicnn.errors import ConfigError, DeviceError, DTypeError


class FakeArray:
    """A stand-in for CuPy's arrays; the data stays in main memory."""

    def __init__(self, data):
        self.data = np.array(data)
        self.dtype, self.shape = self.data.dtype, self.data.shape

    def sum(self):
        return self.data.sum()


FakeArray.__module__ = "cupy._core"


def fake_cupy(arange=lambda n: FakeArray(np.arange(n))):
    module = ModuleType("cupy")
    module.arange, module.asarray, module.asnumpy = arange, FakeArray, lambda x: x.data.copy()
    return module


@pytest.fixture
def cupy(monkeypatch):
    """Put a CuPy that works in place."""
    module = fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


@pytest.fixture
def broken_cupy(monkeypatch):
    """Put a CuPy in place that imports, and fails at its first kernel."""

    def arange(n):
        raise OSError("cudaErrorInsufficientDriver: driver too old")

    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(arange))


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # importing it raises ImportError


class TestArrayModule:
    @pytest.mark.parametrize("x", [np.zeros(3), np.zeros((), np.uint8), np.ma.zeros(3)])
    def test_a_numpy_array_belongs_to_numpy(self, x):
        assert backend.array_module(x) is np
        assert backend.device_of(x) == "cpu"

    def test_a_cupy_array_belongs_to_cupy(self, cupy):
        assert backend.array_module(FakeArray([1])) is cupy
        assert backend.device_of(FakeArray([1])) == "cuda"

    @pytest.mark.parametrize("x", [[1.0], 1.0, None, "array", np.float32(1), memoryview(b"x")])
    def test_anything_else_is_rejected_with_its_type(self, x):
        with pytest.raises(DTypeError, match=rf"got {type(x).__name__}: convert it with numpy\.asarray"):
            backend.array_module(x)

    def test_an_array_of_another_library_is_rejected(self, monkeypatch):
        class Tensor:
            dtype = np.dtype("float32")

        Tensor.__module__ = "torch"
        monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
        with pytest.raises(DTypeError, match="got Tensor"):
            backend.array_module(Tensor())


class TestMoving:
    def test_arrays_already_on_the_device_are_not_copied(self):
        x = np.arange(3)
        assert backend.to_numpy(x) is x
        assert backend.to_device(x, "cpu") is x

    def test_a_model_survives_saving_and_loading(self, cupy):
        x = np.arange(3.0)
        moved = backend.to_device(x, "cuda")
        assert isinstance(moved, FakeArray)
        assert_array_equal(backend.to_numpy(moved), x)
        assert_array_equal(backend.to_device(moved, "cpu"), x)

    @pytest.mark.parametrize(
        ("kind", "moved"),
        [(">f4", "f4"), (">f2", "f2"), (">f8", "f8"), ("longdouble", "f8"), ("f2", "f2"), ("u1", "u1")],
    )
    def test_floats_that_a_gpu_lacks_are_converted(self, cupy, kind, moved):
        x = np.arange(3).astype(kind)
        assert backend.to_device(x, "cuda").dtype.str[1:] == moved
        assert backend.to_device(x, "cuda").dtype.isnative
        assert_array_equal(backend.to_numpy(backend.to_device(x, "cuda")), x)

    def test_a_list_is_rejected(self):
        with pytest.raises(DTypeError):
            backend.to_numpy([1, 2])

    def test_without_a_gpu_the_reason_is_given(self, no_cupy):
        with pytest.raises(DeviceError, match="CuPy"):
            backend.to_device(np.arange(3), "cuda")


class TestResolveDevice:
    @pytest.mark.parametrize("device", ["gpu", "CPU", "", None, 0])
    def test_an_unknown_device_is_rejected_with_the_known_ones(self, device):
        with pytest.raises(ConfigError, match="expected one of cpu, cuda, auto"):
            backend.resolve_device(device)

    def test_the_cpu_needs_no_cupy(self, broken_cupy):
        assert backend.resolve_device("cpu") == "cpu"

    @pytest.mark.parametrize("device", ["cuda", "auto"])
    def test_a_gpu_that_works_is_used(self, cupy, device):
        assert backend.resolve_device(device) == "cuda"

    def test_without_cupy_the_extras_are_named(self, no_cupy):
        with pytest.raises(DeviceError, match=r"minicnn\[cuda12\].*minicnn\[cuda13\].*device=\"cpu\""):
            backend.resolve_device("cuda")

    def test_a_failing_kernel_is_reported_with_the_reason(self, broken_cupy):
        with pytest.raises(DeviceError, match=r"OSError: cudaErrorInsufficientDriver.*too old for this CuPy"):
            backend.resolve_device("cuda")

    @pytest.mark.parametrize(
        ("message", "remedy"),
        [
            ("cudaErrorNoDevice: no CUDA-capable device is detected", "no NVIDIA GPU is visible"),
            ("OutOfMemoryError: allocating 512 bytes", "its memory is full"),
            ("libnvrtc.so.12: cannot open shared object file", "run-time compiler is missing"),
            ("something else", "check the driver with nvidia-smi"),
        ],
    )
    def test_the_remedy_fits_the_reason(self, monkeypatch, message, remedy):
        def arange(n):
            raise RuntimeError(message)

        monkeypatch.setitem(sys.modules, "cupy", fake_cupy(arange))
        with pytest.raises(DeviceError, match=remedy) as error:
            backend.resolve_device("cuda")
        assert message in str(error.value)

    def test_a_working_gpu_is_tested_once(self, monkeypatch):
        asked = []
        module = fake_cupy(lambda n: asked.append(n) or FakeArray(np.arange(n)))
        monkeypatch.setitem(sys.modules, "cupy", module)
        for _ in range(3):
            assert backend.resolve_device("cuda") == "cuda"
        assert asked == [3]

    def test_a_gpu_with_wrong_results_is_rejected(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "cupy", fake_cupy(lambda n: FakeArray(np.zeros(n))))
        with pytest.raises(DeviceError, match="wrong sum"):
            backend.resolve_device("cuda")

    def test_an_error_while_cupy_is_imported_is_reported(self, monkeypatch, tmp_path):
        (tmp_path / "cupy.py").write_text("raise RuntimeError('libcuda.so is from another driver')")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "cupy", raising=False)
        with pytest.raises(DeviceError, match=r"could not be imported \(libcuda.so is from another driver\)"):
            backend.resolve_device("cuda")
        assert backend.resolve_device("auto") == "cpu"

    def test_auto_falls_back_without_cupy(self, no_cupy):
        assert backend.resolve_device("auto") == "cpu"

    def test_auto_falls_back_when_the_gpu_fails(self, broken_cupy):
        assert backend.resolve_device("auto") == "cpu"
