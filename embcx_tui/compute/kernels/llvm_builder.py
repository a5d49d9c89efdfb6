"""LLVM's own code with vectors of float32, for the few loops that numba's compiler cannot keep in registers.

A kernel here is written twice over: what it does once for a vector, and how often. LLVM makes machine code for the
processor at hand, of two or four registers a vector where they are narrower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
from llvmlite import ir

INDEX, FLOAT = ir.IntType(64), ir.FloatType()
_LANE = ir.IntType(32)
# Sums may be taken in another order and products joined with them; what is not a number stays so.
FLAGS = ("reassoc", "contract", "nsz")


def wide() -> bool:
    """Tell whether this processor has vectors of 16 float32, and 32 registers for them."""
    try:
        return bool(llvmlite.binding.get_host_cpu_features().get("avx512f", False))
    except RuntimeError:  # LLVM does not know this kind of processor's features
        return False


def arrays(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> list[Any]:
    """Return numba's arrays among the arguments of an intrinsic with their `data` and `shape`, other values as they
    are.
    """
    return [
        context.make_array(kind)(context, builder, value) if hasattr(kind, "ndim") else value
        for kind, value in zip(signature.args, arguments, strict=True)
    ]


class Vectors:
    """Writes code with `builder`; `builder` itself does what needs no vectors."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def loop(
        self, start: Any, step: int, end: Any, carried: list[Any], body: Callable[[Any, list[Any]], list[Any]]
    ) -> tuple[Any, list[Any]]:
        """Write `for (i = start; i + step <= end; i += step) carried = body(i, carried)`; return the last of both."""
        b = self.builder
        before = b.block
        test, inside, after = (b.append_basic_block() for _ in range(3))
        b.branch(test)
        b.position_at_end(test)
        i = b.phi(INDEX)
        i.add_incoming(start, before)
        now = [b.phi(one.type) for one in carried]
        for phi, one in zip(now, carried, strict=True):
            phi.add_incoming(one, before)
        b.cbranch(b.icmp_signed("<=", b.add(i, INDEX(step)), end), inside, after)
        b.position_at_end(inside)
        then = body(i, now)
        i.add_incoming(b.add(i, INDEX(step)), b.block)
        for phi, one in zip(now, then, strict=True):
            phi.add_incoming(one, b.block)
        b.branch(test)
        b.position_at_end(after)
        return i, now

    def constant(self, lanes: int, value: float) -> Any:
        return ir.VectorType(FLOAT, lanes)([value] * lanes)

    def numbered(self, lanes: int) -> Any:
        """Return the integers 0 … lanes - 1."""
        return ir.VectorType(INDEX, lanes)(list(range(lanes)))

    def spread(self, value: Any, lanes: int) -> Any:
        """Return a vector with `value` in every lane."""
        vector = ir.VectorType(value.type, lanes)
        one = self.builder.insert_element(vector(ir.Undefined), value, _LANE(0))
        return self.builder.shuffle_vector(one, one, ir.VectorType(_LANE, lanes)([0] * lanes))

    def at(self, array: Any, place: Any) -> Any:
        """Return array[place]."""
        return self.builder.load(self.builder.gep(array, [place]))

    def load(self, array: Any, place: Any, lanes: int) -> Any:
        """Return array[place : place + lanes] of float32."""
        return self.builder.load(self._vector(array, place, lanes), align=4)

    def store(self, value: Any, array: Any, place: Any) -> None:
        """Set array[place : place + lanes] to a vector."""
        self.builder.store(value, self._vector(array, place, value.type.count), align=4)

    def _vector(self, array: Any, place: Any, lanes: int) -> Any:
        return self.builder.bitcast(self.builder.gep(array, [place]), ir.VectorType(FLOAT, lanes).as_pointer())

    def add_product(self, total: Any, one: Any, other: Any) -> Any:
        """Return total + one · other."""
        return self.builder.fadd(total, self.builder.fmul(one, other, FLAGS), FLAGS)

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
