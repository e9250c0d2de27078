"""Every CUDA file compiles for the GPUs of two generations, and no kernel spills registers to memory."""

import pytest

from minicnn.runtime import cuda
from minicnn.runtime.cuda import PRECISIONS
from tests.engine.cuda.compilers import COMPILERS

POOL = {"OH": 14, "OW": 14, "OC": 64, "POOL": 2, "RELU": 1}
CONV = {
    "H": 14,
    "W": 14,
    "C": 32,
    "KH": 3,
    "KW": 3,
    "SH": 1,
    "SW": 1,
    "DH": 1,
    "DW": 1,
    "TOP": 1,
    "LEFT": 1,
    **POOL,
}
FIRST = CONV | {"H": 28, "W": 28, "C": 1, "OH": 28, "OW": 28, "OC": 32}
DENSE = {"D": 3136, "UNITS": 128, "RELU": 1}

# The files that are compiled together, one behind the other, and constants such as M1 has them.
CASES = [
    (("windows",), {"REAL": "float"}),
    (("windows",), {"REAL": "double"}),
    (
        ("records", "batch"),
        {"IMAGE": "unsigned char", "H": 28, "W": 28, "C": 1, "FLIP": 1, "SHIFT": 2, "ERASE": 9},
    ),
    (("records", "loss"), {}),
    (("records", "update"), {"CLIP": 0}),
    (("records", "update"), {"CLIP": 1}),
    (("records", "elementwise"), {}),
    (("records", "pool", "norm"), POOL),
    *(
        (("gemm", "pool", "conv"), {"precision": precision, "TILE_N": tile, **sizes})
        for precision in PRECISIONS
        for tile, sizes in ((64, CONV), (32, FIRST))
    ),
    *((("gemm", "dense"), {"precision": precision, "TILE_N": 64, **DENSE}) for precision in PRECISIONS),
    (("gemm", "dense"), {"precision": "tf32", "TILE_N": 32, **DENSE, "UNITS": 10, "RELU": 0}),
]


def test_every_file_is_compiled():
    assert {name for names, _ in CASES for name in names} == cuda.FILES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize(("names", "constants"), CASES, ids=lambda part: "+".join(part) if part else "")
def test_it_compiles_without_spills(names, constants, architecture, compiler, tmp_path):
    compile_with = COMPILERS[compiler]
    if compile_with is None:
        pytest.skip(f"no {compiler} on this machine")
    report = compile_with(cuda.source(*names, **constants), architecture, tmp_path)
    lines = [line for line in report.splitlines() if "spill stores" in line]
    assert lines, report
    for line in lines:
        assert "0 bytes spill stores, 0 bytes spill loads" in line, report
    assert "warning" not in report, report
