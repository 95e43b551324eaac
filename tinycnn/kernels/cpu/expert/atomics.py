"""Numbers that threads change together while they compute: how they share out jobs, and wait for each other."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from llvmlite import ir
from numba import njit, types

from tinycnn.kernels.cpu.expert.simd import intrinsic
from tinycnn.kernels.cpu.ranges import OPTIONS

# llvmlite 0.43 (Numba 0.60) knows the type from the pointer; its successors, whose pointers have none, must be told.
_INT64: dict[str, Any] = (
    {"typ": ir.IntType(64)} if "typ" in inspect.signature(ir.IRBuilder.load_atomic).parameters else {}
)
SPINS = 2000  # look so often (some 10 µs) before letting other threads use this core
_let_others_run: Any = types.ExternalFunction(
    "SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32()
)


@intrinsic
def fetch_add(typingctx, array, index, value):  # type: ignore[no-untyped-def]
    """array[index] += value, which no other thread can come between; returns what was there before."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        data = context.make_array(array)(context, builder, args[0]).data
        return builder.atomic_rmw("add", builder.gep(data, [args[1]]), args[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), codegen


@intrinsic
def load(typingctx, array, index):  # type: ignore[no-untyped-def]
    """array[index] as other threads left it; what they wrote before that can be read from now on."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        data = context.make_array(array)(context, builder, args[0]).data
        return builder.load_atomic(builder.gep(data, [args[1]]), "acquire", 8, **_INT64)

    return types.int64(array, types.intp), codegen


@njit(**OPTIONS)
def wait_for(array, index, value):  # type: ignore[no-untyped-def]
    """Return as soon as array[index] is at least `value`."""
    spins = 0
    while load(array, index) < value:
        spins += 1
        if spins > SPINS:
            _let_others_run()
