"""Every CUDA file compiles for two generations of GPUs, and no kernel spills registers to memory."""

import pytest

from minicnn.engine.cuda import device
from tests.engine.cuda.compilers import COMPILE

GEMM = {"THREADS": 128, "TILE_M": 64, "TILE_K": 16}
EPILOGUE = {"OH": 14, "OW": 14, "OC": 64, "POOL": 2, "RELU": 1}
WINDOW = {"SH": 1, "SW": 1, "TOP": 1, "LEFT": 1}
SECOND = {"H": 14, "W": 14, "C": 32, "KH": 3, "KW": 3, "DH": 1, "DW": 1, **WINDOW, **EPILOGUE}
FIRST = SECOND | {"H": 28, "W": 28, "C": 1, "OH": 28, "OW": 28, "OC": 32}
DENSE = SECOND | dict.fromkeys(["H", "W", "KH", "KW", "OH", "OW", "POOL"], 1)
DENSE |= {"C": 3136, "OC": 128, "TOP": 0, "LEFT": 0}
LAYERS = ((64, SECOND), (32, FIRST), (64, DENSE), (32, DENSE | {"OC": 10, "RELU": 0}))

# The files that are compiled together, with the constants of a small network.
CASES = [
    (
        ("step", "batch"),
        {"IMAGE": "unsigned char", "H": 28, "W": 28, "C": 1, "FLIP": 1, "SHIFT": 2, "ERASE": 9},
    ),
    (("step", "loss"), {}),
    (("step", "update"), {"CLIP": 0}),
    (("step", "update"), {"CLIP": 1}),
    (("step", "elementwise"), {}),
    (("step", "epilogue", "norm"), EPILOGUE),
    (("pool",), {"H": 14, "W": 14, "C": 32, "KH": 3, "KW": 3, **WINDOW, "OH": 14, "OW": 14}),
    *(
        (("gemm", "epilogue", "conv"), {"precision": precision, "TILE_N": tile, **GEMM, **sizes})
        for precision in ("fp32", "tf32", "bf16")
        for tile, sizes in LAYERS
    ),
]


def test_every_file_is_compiled():
    assert {name for names, _ in CASES for name in names} == device.SOURCES.keys()


@pytest.mark.slow
@pytest.mark.skipif(COMPILE is None, reason="neither nvcc nor NVRTC is installed")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize(("names", "constants"), CASES, ids=lambda part: "+".join(part) if part else "")
def test_it_compiles_without_spills(names, constants, architecture, tmp_path):
    source = device.source(*names, **{"THREADS": device.THREADS} | constants)
    report = COMPILE(source, architecture, tmp_path)
    lines = [line for line in report.splitlines() if "spill stores" in line]
    assert lines, report
    for line in lines:
        assert "0 bytes spill stores, 0 bytes spill loads" in line, report
    assert "warning" not in report, report
