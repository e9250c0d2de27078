"""Vectors of float32 for the compiled kernels: a few CPU registers that are computed with as one value.

    total = load(y, at, 2)                                  # 2 registers: 2·LANES numbers
    total = multiply_add(0.5, load(x, at, 2), total)        # 0.5·x + total
    store(y, at, total)

A compiler that meets plain loops cannot know that arrays do not overlap, and so leaves sums in
memory; what is loaded into a vector stays in registers until it is stored. All arrays are flat
float32, all positions count elements, and nothing is checked but with ``NUMBA_BOUNDSCHECK=1``.

``LANES`` is the width of a register on this machine: 16 numbers with AVX-512, 8 with AVX2, 4 with
NEON or SSE. Each function is written twice: in NumPy, where a vector is an array of n·LANES
numbers, which says what it means and runs when compilation is off (``NUMBA_DISABLE_JIT=1``, to
step through a kernel in a debugger), and as the instructions that LLVM is given for it.
"""

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
    """Ask LLVM how many float32 numbers it puts into a register on the CPU that Numba compiles for."""
    module = llvm.parse_assembly(
        "define <16 x float> @add(<16 x float> %a, <16 x float> %b) {\n"
        "  %c = fadd <16 x float> %a, %b\n  ret <16 x float> %c\n}"
    )
    assembly = cpu_target.target_context.codegen()._tm.emit_assembly(module)
    return 16 if "zmm" in assembly else 8 if "ymm" in assembly else 4


LANES = _register_width()


def load(x: np.ndarray, at: int, n: int) -> np.ndarray:
    """Return x[at : at + n·LANES] as n registers; n is a constant."""
    return x[at : at + n * LANES].copy()


def store(x: np.ndarray, at: int, vector: np.ndarray) -> None:
    """Write the vector to x, from x[at] on."""
    x[at : at + len(vector)] = vector


def splat(value: float, n: int) -> np.ndarray:
    """Return n registers that hold ``value`` everywhere."""
    return np.full(n * LANES, value, np.float32)


def multiply_add(factor: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return factor·a + b; the factor is one number."""
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
    """Write a vector that holds rows of n registers to x, from x[at], x[at + step], … on."""
    for r, row in enumerate(vector.reshape(-1, n * LANES)):
        store(x, at + r * step, row)


def transpose(block: np.ndarray) -> np.ndarray:
    """Return LANES registers with rows and columns exchanged."""
    return block.reshape(LANES, LANES).T.ravel()


def where(mask: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a where the mask, from a comparison of vectors, is true, else b."""
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


class _Vector(types.Type):
    """n registers of float32, or of the truth values that comparing them gives."""

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


def _pack(builder: Any, registers: list) -> Any:
    vector = ir.Constant(ir.ArrayType(registers[0].type, len(registers)), ir.Undefined)
    for k, register in enumerate(registers):
        vector = builder.insert_value(vector, register, k)
    return vector


def _unpack(builder: Any, vector: Any) -> list:
    return [builder.extract_value(vector, k) for k in range(vector.type.count)]


def _splat(context: Any, builder: Any, value: Any, kind: Any) -> Any:
    value = context.cast(builder, value, kind, types.float32)
    one = builder.insert_element(ir.Constant(_REGISTER, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(_REGISTER, ir.Undefined), mask)


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    # fmuladd, not fma: one instruction where the CPU has it, else two, never a call.
    kind = ir.FunctionType(_REGISTER, [_REGISTER] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
    return builder.call(function, [a, b, c])


def _pointer(context: Any, builder: Any, kind: Any, x: Any, at: Any, register: ir.Type) -> Any:
    array = context.make_array(kind)(context, builder, x)
    if config.BOUNDSCHECK:
        numbers = getattr(register, "count", 1)
        for i in (at, builder.add(at, at.type(numbers - 1))):
            cgutils.do_boundscheck(context, builder, i, array.nitems)
    return builder.bitcast(builder.gep(array.data, [at]), register.as_pointer())


def _read(context: Any, builder: Any, kind: Any, x: Any, at: Any, n: int) -> list:
    offsets = [builder.add(at, at.type(k * LANES)) for k in range(n)]
    return [builder.load(_pointer(context, builder, kind, x, i, _REGISTER), align=4) for i in offsets]


def _write(context: Any, builder: Any, kind: Any, x: Any, at: Any, registers: list) -> None:
    for k, register in enumerate(registers):
        i = builder.add(at, at.type(k * LANES))
        builder.store(register, _pointer(context, builder, kind, x, i, register.type), align=4)


def _typed(function: Callable) -> Callable:
    """Register the typing rule ``rule(argument types) -> result type`` of a function or operator."""

    def register(rule: Callable) -> Callable:
        type_callable(function)(lambda context: rule)
        return rule

    return register


@_typed(load)
def _(x, at, n):
    if isinstance(n, types.IntegerLiteral):
        return _Vector(n.literal_value)


@lower_builtin(load, types.Array, types.Integer, types.IntegerLiteral)
def _(context, builder, signature, arguments):
    x, at, _ = arguments
    at = context.cast(builder, at, signature.args[1], types.intp)
    return _pack(builder, _read(context, builder, signature.args[0], x, at, signature.return_type.n))


@_typed(store)
def _(x, at, vector):
    if _is_vector(vector):
        return types.none


@lower_builtin(store, types.Array, types.Integer, _Vector)
def _(context, builder, signature, arguments):
    x, at, vector = arguments
    at = context.cast(builder, at, signature.args[1], types.intp)
    _write(context, builder, signature.args[0], x, at, _unpack(builder, vector))
    return context.get_dummy_value()


@_typed(splat)
def _(value, n):
    if isinstance(value, types.Number) and isinstance(n, types.IntegerLiteral):
        return _Vector(n.literal_value)


@lower_builtin(splat, types.Number, types.IntegerLiteral)
def _(context, builder, signature, arguments):
    register = _splat(context, builder, arguments[0], signature.args[0])
    return _pack(builder, [register] * signature.return_type.n)


@_typed(multiply_add)
def _(factor, a, b):
    if isinstance(factor, types.Number) and _is_vector(a, b) and a.n == b.n:
        return a


@lower_builtin(multiply_add, types.Number, _Vector, _Vector)
def _(context, builder, signature, arguments):
    factor, a, b = arguments
    factor = _splat(context, builder, factor, signature.args[0])
    pairs = zip(_unpack(builder, a), _unpack(builder, b), strict=True)
    return _pack(builder, [_fma(builder, factor, x, y) for x, y in pairs])


@_typed(add_outer)
def _(total, x, at, step, row):
    if _is_vector(total, row) and total.n % row.n == 0:
        return total


@lower_builtin(add_outer, _Vector, types.Array, types.Integer, types.Integer, _Vector)
def _(context, builder, signature, arguments):
    total, x, at, step, row = arguments
    kind = signature.args[1]
    at = context.cast(builder, at, signature.args[2], types.intp)
    step = context.cast(builder, step, signature.args[3], types.intp)
    total, row, sums = _unpack(builder, total), _unpack(builder, row), []
    for r in range(len(total) // len(row)):
        i = builder.add(at, builder.mul(step, step.type(r)))
        factor = builder.load(_pointer(context, builder, kind, x, i, _FLOAT))
        factor = _splat(context, builder, factor, types.float32)
        sums += [_fma(builder, factor, row[k], total[r * len(row) + k]) for k in range(len(row))]
    return _pack(builder, sums)


@_typed(load_rows)
def _(x, at, step, rows, n):
    if isinstance(rows, types.IntegerLiteral) and isinstance(n, types.IntegerLiteral):
        return _Vector(rows.literal_value * n.literal_value)


@lower_builtin(
    load_rows, types.Array, types.Integer, types.Integer, types.IntegerLiteral, types.IntegerLiteral
)
def _(context, builder, signature, arguments):
    x, at, step, *_ = arguments
    kind, _, _, rows, n = signature.args
    at = context.cast(builder, at, signature.args[1], types.intp)
    step = context.cast(builder, step, signature.args[2], types.intp)
    registers = []
    for r in range(rows.literal_value):
        i = builder.add(at, builder.mul(step, step.type(r)))
        registers += _read(context, builder, kind, x, i, n.literal_value)
    return _pack(builder, registers)


@_typed(store_rows)
def _(x, at, step, vector, n):
    if _is_vector(vector) and isinstance(n, types.IntegerLiteral):
        return types.none


@lower_builtin(store_rows, types.Array, types.Integer, types.Integer, _Vector, types.IntegerLiteral)
def _(context, builder, signature, arguments):
    x, at, step, vector, _ = arguments
    kind, n = signature.args[0], signature.args[4].literal_value
    at = context.cast(builder, at, signature.args[1], types.intp)
    step = context.cast(builder, step, signature.args[2], types.intp)
    registers = _unpack(builder, vector)
    for r in range(len(registers) // n):
        i = builder.add(at, builder.mul(step, step.type(r)))
        _write(context, builder, kind, x, i, registers[r * n : (r + 1) * n])
    return context.get_dummy_value()


@_typed(transpose)
def _(block):
    if _is_vector(block) and block.n == LANES:
        return block


@lower_builtin(transpose, _Vector)
def _(context, builder, signature, arguments):
    # Exchange the off-diagonal quarters of blocks of 2 × 2, of 4 × 4, …; a shuffle counts on from a to b.
    rows, span, lanes = _unpack(builder, arguments[0]), 1, range(LANES)
    while span < LANES:
        upper = [k if not k & span else LANES + k - span for k in lanes]
        lower = [k + span if not k & span else LANES + k for k in lanes]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), LANES), mask) for mask in (upper, lower)]
        for i in lanes:
            if not i & span:
                a, b = rows[i], rows[i + span]
                rows[i], rows[i + span] = [builder.shuffle_vector(a, b, mask) for mask in masks]
        span *= 2
    return _pack(builder, rows)


@_typed(where)
def _(mask, a, b):
    if _is_vector(mask, of="bool") and _is_vector(a, b) and mask.n == a.n == b.n:
        return a


@lower_builtin(where, _Vector, _Vector, _Vector)
def _(context, builder, signature, arguments):
    triples = zip(*(_unpack(builder, vector) for vector in arguments), strict=True)
    return _pack(builder, [builder.select(m, a, b) for m, a, b in triples])


@_typed(load_bytes)
def _(x, at, n):
    if isinstance(n, types.IntegerLiteral):
        return _Vector(n.literal_value)


@lower_builtin(load_bytes, types.Array, types.Integer, types.IntegerLiteral)
def _(context, builder, signature, arguments):
    x, at, _ = arguments
    at = context.cast(builder, at, signature.args[1], types.intp)
    registers = []
    for k in range(signature.return_type.n):
        i = builder.add(at, at.type(k * LANES))
        pointer = _pointer(context, builder, signature.args[0], x, i, ir.VectorType(ir.IntType(8), LANES))
        # By way of int32, for which every CPU has an instruction.
        integers = builder.zext(builder.load(pointer, align=1), ir.VectorType(ir.IntType(32), LANES))
        registers.append(builder.sitofp(integers, _REGISTER))
    return _pack(builder, registers)


@_typed(store_bytes)
def _(x, at, vector):
    if _is_vector(vector):
        return types.none


@lower_builtin(store_bytes, types.Array, types.Integer, _Vector)
def _(context, builder, signature, arguments):
    x, at, vector = arguments
    at = context.cast(builder, at, signature.args[1], types.intp)
    # By way of int32 again.
    integers = [
        builder.trunc(
            builder.fptosi(register, ir.VectorType(ir.IntType(32), LANES)),
            ir.VectorType(ir.IntType(8), LANES),
        )
        for register in _unpack(builder, vector)
    ]
    for k, register in enumerate(integers):
        i = builder.add(at, at.type(k * LANES))
        pointer = _pointer(context, builder, signature.args[0], x, i, register.type)
        builder.store(register, pointer, align=1)
    return context.get_dummy_value()


def _operator(function: Callable, instruction: Callable, operands: str, result: str) -> None:
    """Define an operator between two vectors, register by register."""

    @_typed(function)
    def _(a, b):
        if _is_vector(a, b, of=operands) and a.n == b.n:
            return _Vector(a.n, result)

    @lower_builtin(function, _Vector, _Vector)
    def _(context, builder, signature, arguments):
        pairs = zip(*(_unpack(builder, vector) for vector in arguments), strict=True)
        return _pack(builder, [instruction(builder, a, b) for a, b in pairs])


_operator(operator.add, lambda builder, a, b: builder.fadd(a, b), "float32", "float32")
_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b), "float32", "float32")
_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b), "float32", "float32")
_operator(operator.gt, lambda builder, a, b: builder.fcmp_ordered(">", a, b), "float32", "bool")
_operator(operator.le, lambda builder, a, b: builder.fcmp_ordered("<=", a, b), "float32", "bool")
_operator(operator.eq, lambda builder, a, b: builder.fcmp_ordered("==", a, b), "float32", "bool")
_operator(operator.ne, lambda builder, a, b: builder.fcmp_unordered("!=", a, b), "float32", "bool")
_operator(operator.and_, lambda builder, a, b: builder.and_(a, b), "bool", "bool")
_operator(operator.or_, lambda builder, a, b: builder.or_(a, b), "bool", "bool")
