"""Vectors of float32 for the compiled kernels: a few CPU registers used as one value.

    total = load(y, at, 2)                                  # 2 registers: 2·LANES numbers
    total = multiply_add(0.5, load(x, at, 2), total)        # 0.5·x + total
    store(y, at, total)

In plain loops the compiler keeps sums in memory, as it cannot know that arrays do not overlap; a vector
stays in registers until it is stored. All arrays are flat float32, positions count elements, and bounds
are only checked with ``NUMBA_BOUNDSCHECK=1``.

``LANES`` is the width of a register on this machine: 16 numbers with AVX-512, 8 with AVX2, 4 with NEON or
SSE. Each function is written twice: in NumPy, where a vector is an array of n·LANES numbers, as its
definition and for ``NUMBA_DISABLE_JIT=1`` (debugging a kernel), and as LLVM instructions for Numba.
"""

import inspect
import math
import operator
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import lower_builtin, models, register_model, type_callable


def _register_width() -> int:
    """Return how many float32 numbers LLVM puts into a register of this CPU."""
    module = llvm.parse_assembly(
        "define <16 x float> @add(<16 x float> %a, <16 x float> %b) {\n"
        "  %c = fadd <16 x float> %a, %b\n  ret <16 x float> %c\n}"
    )
    assembly = cpu_target.target_context.codegen()._tm.emit_assembly(module)
    return 16 if "zmm" in assembly else 8 if "ymm" in assembly else 4


LANES = _register_width()


def load(x: np.ndarray, at: int, n: int) -> np.ndarray:
    """Return x[at : at + n·LANES] as n registers; n must be a constant."""
    return x[at : at + n * LANES].copy()


def store(x: np.ndarray, at: int, vector: np.ndarray) -> None:
    """Write the vector to x, starting at x[at]."""
    x[at : at + len(vector)] = vector


def splat(value: float, n: int) -> np.ndarray:
    """Return n registers filled with ``value``."""
    return np.full(n * LANES, value, np.float32)


def multiply_add(factor: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return factor·a + b; the factor is a scalar."""
    return np.float32(factor) * a + b


def add_outer(total: np.ndarray, x: np.ndarray, at: int, step: int, row: np.ndarray) -> np.ndarray:
    """Return total[r] + x[at + r·step]·row for all rows r of ``total``: one step of a matrix product."""
    rows = len(total) // len(row)
    column = x[at : at + (rows - 1) * step + 1 : step]
    return total + np.outer(column, row).ravel()


def load_rows(x: np.ndarray, at: int, step: int, rows: int, n: int) -> np.ndarray:
    """Return ``rows`` rows of n registers, from x[at], x[at + step], …, as one vector."""
    return np.concatenate([load(x, at + r * step, n) for r in range(rows)])


def store_rows(x: np.ndarray, at: int, step: int, vector: np.ndarray, n: int) -> None:
    """Write the rows of n registers in ``vector`` to x, starting at x[at], x[at + step], …."""
    for r, row in enumerate(vector.reshape(-1, n * LANES)):
        store(x, at + r * step, row)


def transpose(block: np.ndarray) -> np.ndarray:
    """Return the transpose of LANES registers."""
    return block.reshape(LANES, LANES).T.ravel()


def where(mask: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a where ``mask``, a comparison of vectors, is true, else b."""
    return np.where(mask, a, b)


def load_bytes(x: np.ndarray, at: int, n: int) -> np.ndarray:
    """Return x[at : at + n·LANES] of a uint8 array as n registers of float32."""
    return x[at : at + n * LANES].astype(np.float32)


def store_bytes(x: np.ndarray, at: int, vector: np.ndarray) -> None:
    """Write a vector of whole numbers from 0 to 255 to the uint8 array x."""
    x[at : at + len(vector)] = vector.astype(np.uint8)


# ---- The same for Numba: n registers are an LLVM array of n vectors of LANES numbers. ----

_FLOAT = ir.FloatType()
_REGISTER = ir.VectorType(_FLOAT, LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)
_BYTES = ir.VectorType(ir.IntType(8), LANES)


class _Vector(types.Type):
    """n registers of float32, or of bool from a comparison."""

    def __init__(self, n: int, of: str = "float32") -> None:
        self.n = n
        self.of = of
        super().__init__(name=f"{n} registers of {LANES} × {of}")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: _Vector) -> None:
        register = _REGISTER if vector.of == "float32" else ir.VectorType(ir.IntType(1), LANES)
        super().__init__(manager, vector, ir.ArrayType(register, vector.n))


def _is_vector(*values: Any, of: str = "float32") -> bool:
    return all(isinstance(value, _Vector) and value.of == of for value in values)


def _vector(*counts: Any) -> _Vector | None:
    """Return the type of a vector whose number of registers is the product of the constants ``counts``."""
    if all(isinstance(count, types.IntegerLiteral) for count in counts):
        return _Vector(math.prod(count.literal_value for count in counts))
    return None


def _pack(builder: Any, registers: list) -> Any:
    vector = ir.Constant(ir.ArrayType(registers[0].type, len(registers)), ir.Undefined)
    for k, register in enumerate(registers):
        vector = builder.insert_value(vector, register, k)
    return vector


def _broadcast(builder: Any, value: Any) -> Any:
    one = builder.insert_element(ir.Constant(_REGISTER, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, ir.Constant(_REGISTER, ir.Undefined), ir.Constant(_INTS, [0] * LANES))


def _lowers(function: Callable, result: Callable, *kinds: Any) -> Callable:
    """Register the decorated code generator for calls of ``function`` with arguments of these ``kinds``.

    ``result(*types)`` is the type of the result, None if the arguments are unsuitable. The generator gets
    vectors as lists of registers, positions as intp, ``n`` and ``rows`` as Python ints, ``value`` and
    ``factor`` broadcast to a register; it returns a list of registers, or None.
    """
    names = inspect.signature(function).parameters
    type_callable(function)(lambda context: result)

    def register(generate: Callable) -> Callable:
        @lower_builtin(function, *(kinds or [types.VarArg(types.Any)]))
        def _(context: Any, builder: Any, signature: Any, arguments: list) -> Any:
            def prepared(name: str, kind: Any, argument: Any) -> Any:
                if isinstance(kind, _Vector):
                    return [builder.extract_value(argument, k) for k in range(kind.n)]
                if isinstance(kind, types.Array):
                    return context.make_array(kind)(context, builder, argument)
                if name in ("n", "rows"):
                    return kind.literal_value
                if name in ("value", "factor"):
                    return _broadcast(builder, context.cast(builder, argument, kind, types.float32))
                return context.cast(builder, argument, kind, types.intp)

            registers = generate(context, builder, *map(prepared, names, signature.args, arguments))
            return context.get_dummy_value() if registers is None else _pack(builder, registers)

        return generate

    return register


def _pointer(context: Any, builder: Any, x: Any, at: Any, kind: ir.Type) -> Any:
    if config.BOUNDSCHECK:
        for i in (at, builder.add(at, at.type(getattr(kind, "count", 1) - 1))):
            cgutils.do_boundscheck(context, builder, i, x.nitems)
    return builder.bitcast(builder.gep(x.data, [at]), kind.as_pointer())


def _read(context: Any, builder: Any, x: Any, at: Any, n: int, kind: ir.Type = _REGISTER) -> list:
    offsets = [builder.add(at, at.type(k * LANES)) for k in range(n)]
    return [builder.load(_pointer(context, builder, x, i, kind), align=1) for i in offsets]


def _write(context: Any, builder: Any, x: Any, at: Any, registers: list) -> None:
    for k, register in enumerate(registers):
        i = builder.add(at, at.type(k * LANES))
        builder.store(register, _pointer(context, builder, x, i, register.type), align=1)


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    # fmuladd, not fma: one instruction where the CPU has it, else two, never a call.
    kind = ir.FunctionType(_REGISTER, [_REGISTER] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
    return builder.call(function, [a, b, c])


@_lowers(load, lambda x, at, n: _vector(n))
def _(context, builder, x, at, n):
    return _read(context, builder, x, at, n)


@_lowers(store, lambda x, at, vector: types.none if _is_vector(vector) else None)
def _(context, builder, x, at, registers):
    _write(context, builder, x, at, registers)


@_lowers(splat, lambda value, n: _vector(n) if isinstance(value, types.Number) else None)
def _(context, builder, register, n):
    return [register] * n


@_lowers(multiply_add, lambda factor, a, b: a if _is_vector(a, b) and a.n == b.n else None)
def _(context, builder, factor, a, b):
    return [_fma(builder, factor, p, q) for p, q in zip(a, b, strict=True)]


@_lowers(
    add_outer,
    lambda total, x, at, step, row: total if _is_vector(total, row) and total.n % row.n == 0 else None,
)
def _(context, builder, total, x, at, step, row):
    sums = []
    for r in range(len(total) // len(row)):
        i = builder.add(at, builder.mul(step, step.type(r)))
        factor = _broadcast(builder, builder.load(_pointer(context, builder, x, i, _FLOAT)))
        sums += [_fma(builder, factor, row[k], total[r * len(row) + k]) for k in range(len(row))]
    return sums


@_lowers(load_rows, lambda x, at, step, rows, n: _vector(rows, n))
def _(context, builder, x, at, step, rows, n):
    starts = [builder.add(at, builder.mul(step, step.type(r))) for r in range(rows)]
    return [register for start in starts for register in _read(context, builder, x, start, n)]


@_lowers(store_rows, lambda x, at, step, vector, n: types.none if _is_vector(vector) and _vector(n) else None)
def _(context, builder, x, at, step, registers, n):
    for r in range(len(registers) // n):
        start = builder.add(at, builder.mul(step, step.type(r)))
        _write(context, builder, x, start, registers[r * n : (r + 1) * n])


@_lowers(transpose, lambda block: block if _is_vector(block) and block.n == LANES else None)
def _(context, builder, rows):
    # Exchange the off-diagonal quarters of blocks of 2 × 2, 4 × 4, …; shuffle indices ≥ LANES are b's.
    span, lanes = 1, range(LANES)
    while span < LANES:
        upper = [k if not k & span else LANES + k - span for k in lanes]
        lower = [k + span if not k & span else LANES + k for k in lanes]
        for i in lanes:
            if not i & span:
                a, b = rows[i], rows[i + span]
                rows[i] = builder.shuffle_vector(a, b, ir.Constant(_INTS, upper))
                rows[i + span] = builder.shuffle_vector(a, b, ir.Constant(_INTS, lower))
        span *= 2
    return rows


@_lowers(
    where,
    lambda mask, a, b: (
        a if _is_vector(mask, of="bool") and _is_vector(a, b) and mask.n == a.n == b.n else None
    ),
)
def _(context, builder, mask, a, b):
    return [builder.select(*three) for three in zip(mask, a, b, strict=True)]


# Between bytes and float32 via int32, for which every CPU has instructions.


@_lowers(load_bytes, lambda x, at, n: _vector(n))
def _(context, builder, x, at, n):
    registers = _read(context, builder, x, at, n, _BYTES)
    return [builder.sitofp(builder.zext(register, _INTS), _REGISTER) for register in registers]


@_lowers(store_bytes, lambda x, at, vector: types.none if _is_vector(vector) else None)
def _(context, builder, x, at, registers):
    numbers = [builder.trunc(builder.fptosi(register, _INTS), _BYTES) for register in registers]
    _write(context, builder, x, at, numbers)


def _operator(function: Callable, instruction: Callable, operands: str, result: str) -> None:
    """Define an operator between two vectors, register by register."""

    @_lowers(
        function,
        lambda a, b: _Vector(a.n, result) if _is_vector(a, b, of=operands) and a.n == b.n else None,
        *(_Vector, _Vector),
    )
    def _(context, builder, a, b):
        return [instruction(builder, p, q) for p, q in zip(a, b, strict=True)]


_operator(operator.add, lambda builder, a, b: builder.fadd(a, b), "float32", "float32")
_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b), "float32", "float32")
_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b), "float32", "float32")
_operator(operator.gt, lambda builder, a, b: builder.fcmp_ordered(">", a, b), "float32", "bool")
_operator(operator.le, lambda builder, a, b: builder.fcmp_ordered("<=", a, b), "float32", "bool")
_operator(operator.eq, lambda builder, a, b: builder.fcmp_ordered("==", a, b), "float32", "bool")
_operator(operator.ne, lambda builder, a, b: builder.fcmp_unordered("!=", a, b), "float32", "bool")
_operator(operator.and_, lambda builder, a, b: builder.and_(a, b), "bool", "bool")
_operator(operator.or_, lambda builder, a, b: builder.or_(a, b), "bool", "bool")
