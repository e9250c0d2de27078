"""How CUDA C++ is compiled: from the library's own files, by CuPy."""

from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = Path(__file__).parent.parent
FILES = {
    path.stem: path for folder in ("ops", "engine/cuda/kernels") for path in (_PACKAGE / folder).glob("*.cu")
}
PRECISIONS = {"fp32": 0, "tf32": 1, "bf16": 2}  # as ``product.cu`` numbers them


def source(*files: str, precision: str = "fp32", **constants: int | str) -> str:
    """Return the files, one behind the other, behind the constants of the compilation: numbers and types."""
    defined = [f"#define PRECISION {PRECISIONS[precision]}"]
    for name, value in constants.items():
        defined.append(
            f"typedef {value} {name};" if isinstance(value, str) else f"const int {name} = {value};"
        )
    return "\n".join([*defined, *(FILES[name].read_text(encoding="utf-8") for name in files)])


@lru_cache(maxsize=256)
def compiled(xp: ModuleType, code: str, *options: str) -> Any:
    """Return the kernels of ``code``, which CuPy compiles at their first use and keeps in its own cache."""
    return xp.RawModule(code=code, options=("-std=c++17", *options))
