"""Compilers for CUDA that need no GPU: nvcc, or else NVRTC (``pip install nvidia-cuda-nvrtc``)."""

import ctypes
import importlib.util
import shutil
import subprocess
from pathlib import Path


def find_nvrtc():
    """Return NVRTC as a library, or None if it is not installed."""
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(folder) for folder in spec.submodule_search_locations] if spec else []
    found = sorted(path for folder in folders for path in folder.glob("*/lib/libnvrtc.so.*"))
    return ctypes.CDLL(str(found[-1])) if found else None


def with_nvcc(source, architecture, folder):
    """Return nvcc's report on the kernels of ``source``."""
    (folder / "kernels.cu").write_text(source)
    options = f"-std=c++17 -arch={architecture} -cubin -Xptxas -v kernels.cu -o out"
    done = subprocess.run(["nvcc", *options.split()], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def with_nvrtc(source, architecture, folder):
    """Return NVRTC's report on the kernels of ``source``."""
    library, program, size = find_nvrtc(), ctypes.c_void_p(), ctypes.c_size_t()
    made = library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    assert made == 0
    options = [b"-std=c++17", b"--gpu-architecture=" + architecture.encode(), b"--ptxas-options=-v"]
    result = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    report = log.value.decode()
    assert result == 0, report
    return report


COMPILE = with_nvcc if shutil.which("nvcc") else with_nvrtc if find_nvrtc() else None
