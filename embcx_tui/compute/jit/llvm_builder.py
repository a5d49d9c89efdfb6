"""Writes LLVM's own code with vectors of float32, for the two loops whose sums numba's compiler does not keep in
registers (`tsne.descent_cpu`, `training.sparse_inputs`).

LLVM makes machine code for the processor at hand: a vector takes two or four registers where those are narrower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
from llvmlite import ir

INDEX, FLOAT = ir.IntType(64), ir.FloatType()
_LANE = ir.IntType(32)
# Sums may be reordered and fused with products (FMA); NaN is preserved.
FLAGS = ("reassoc", "contract", "nsz")


def has_avx512() -> bool:
    """Return whether this processor has vectors of 16 float32, and 32 registers for them."""
    try:
        return bool(llvmlite.binding.get_host_cpu_features().get("avx512f", False))
    except RuntimeError:  # LLVM does not know this kind of processor's features
        return False


def unpack_arrays(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> list[Any]:
    """Return the arguments of a numba intrinsic: arrays with their `data` and `shape`, other values unchanged."""
    return [
        context.make_array(kind)(context, builder, value) if hasattr(kind, "ndim") else value
        for kind, value in zip(signature.args, arguments, strict=True)
    ]


class VectorBuilder:
    """Writes vector code with llvmlite's `builder`, which itself writes what needs no vectors."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def loop(
        self, start: Any, step: int, end: Any, carried: list[Any], body: Callable[[Any, list[Any]], list[Any]]
    ) -> tuple[Any, list[Any]]:
        """Write `for (i = start; i + step <= end; i += step) carried = body(i, carried)`; return both at the end."""
        b = self.builder
        before = b.block
        test, inside, after = (b.append_basic_block() for _ in range(3))
        b.branch(test)
        b.position_at_end(test)
        i = b.phi(INDEX)
        i.add_incoming(start, before)
        current = [b.phi(value.type) for value in carried]
        for phi, value in zip(current, carried, strict=True):
            phi.add_incoming(value, before)
        b.cbranch(b.icmp_signed("<=", b.add(i, INDEX(step)), end), inside, after)
        b.position_at_end(inside)
        following = body(i, current)
        i.add_incoming(b.add(i, INDEX(step)), b.block)
        for phi, value in zip(current, following, strict=True):
            phi.add_incoming(value, b.block)
        b.branch(test)
        b.position_at_end(after)
        return i, current

    def constant(self, lanes: int, value: float) -> Any:
        return ir.VectorType(FLOAT, lanes)([value] * lanes)

    def numbered(self, lanes: int) -> Any:
        """Return the integers 0 … lanes - 1."""
        return ir.VectorType(INDEX, lanes)(list(range(lanes)))

    def spread(self, value: Any, lanes: int) -> Any:
        """Return a vector with `value` in every lane."""
        vector = ir.VectorType(value.type, lanes)
        first = self.builder.insert_element(vector(ir.Undefined), value, _LANE(0))
        return self.builder.shuffle_vector(first, first, ir.VectorType(_LANE, lanes)([0] * lanes))

    def at(self, array: Any, index: Any) -> Any:
        """Return array[index]."""
        return self.builder.load(self.builder.gep(array, [index]))

    def load(self, array: Any, index: Any, lanes: int) -> Any:
        """Return array[index : index + lanes] of float32."""
        return self.builder.load(self._vector(array, index, lanes), align=4)

    def store(self, value: Any, array: Any, index: Any) -> None:
        """Set array[index : index + lanes] to a vector."""
        self.builder.store(value, self._vector(array, index, value.type.count), align=4)

    def _vector(self, array: Any, index: Any, lanes: int) -> Any:
        return self.builder.bitcast(self.builder.gep(array, [index]), ir.VectorType(FLOAT, lanes).as_pointer())

    def add_product(self, total: Any, a: Any, b: Any) -> Any:
        """Return total + a · b."""
        return self.builder.fadd(total, self.builder.fmul(a, b, FLAGS), FLAGS)

    def sum(self, vector: Any) -> Any:
        """Return the sum of the lanes: halves first, always in the same order."""
        b, lanes = self.builder, vector.type.count
        while lanes > 1:
            lanes //= 2
            low, high = (
                b.shuffle_vector(vector, vector, ir.VectorType(_LANE, lanes)(list(range(first, first + lanes))))
                for first in (0, lanes)
            )
            vector = b.fadd(low, high)
        return b.extract_element(vector, _LANE(0))
