"""The Triton kernels without a GPU: what they compute, in Triton's interpreter, and that they compile for GPUs."""

import os
import subprocess
import sys
from typing import Any

import pytest

triton = pytest.importorskip("triton")

pytestmark = pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")

REAL32, REAL64, INT, LONGS = "*fp32", "*fp64", "i32", "*i64"


def test_the_kernels_equal_plain_torch() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "tests.compute.triton_interpreter"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.stdout.strip() == "same", done.stderr[-2000:]


def kernels() -> list[tuple[Any, dict[str, str], dict[str, int], int]]:
    """Every kernel with its arguments' types, its constants as for 1,000 rows, and its warps."""
    from embcx_tui.compute.jit import triton_sum
    from embcx_tui.compute.training import kernels_triton
    from embcx_tui.compute.tsne import affinities_triton, descent_triton

    tile = {"ROWS": descent_triton.BLOCK_ROWS, "COLUMNS": descent_triton.BLOCK_COLUMNS}
    state = dict.fromkeys(("points", "moved", "velocity", "gain", "z_parts", "new_z_parts", "joint"), REAL32)
    settings = ("exaggeration", "learning_rate", "momentum", "min_gain", "gain_increase", "gain_decay")
    step = state | {"p_index": LONGS, "n": INT, "parts": INT} | dict.fromkeys(settings, "fp32")
    gradient = {"points": REAL32, "z": REAL32, "joint": REAL32, "p_index": LONGS, "z_parts": REAL32}
    cross = {"points": REAL32, "joint": REAL64, "p_index": LONGS, "cross": REAL64, "weight": REAL64}
    calibrate = {"squared": REAL64, "nearest": REAL64, "reached": "*i1", "target": REAL64, "n": INT}
    side = {"SIDE": affinities_triton.TILE}
    sizes = {"n": INT, "parts": INT}
    return [
        (descent_triton.iterate_kernel, step, tile | {"PARTS": 128}, 4),
        (descent_triton.gradient_kernel, gradient | {"square_parts": REAL64} | sizes, tile, 4),
        (descent_triton.cross_entropy_kernel, cross | sizes, tile | {"ROWS": descent_triton.WIDE_ROWS}, 4),
        (affinities_triton.distances_kernel, {"units": REAL64, "squared": REAL64, "n": INT, "d": INT}, side, 4),
        (
            affinities_triton.perplexity_kernel,
            calibrate | {"tolerance": "fp32", "accepted": "fp32", "max_steps": INT},
            {"COLUMNS": 1024},
            4,
        ),
        (affinities_triton.symmetrise_kernel, {"joint": REAL64, "parts": REAL64, "n": INT, "tiles": INT}, side, 4),
        *(
            (
                kernels_triton.gather_kernel,
                {"x": kind, "orders": LONGS, "first": LONGS, "index": LONGS, "inputs": REAL32}
                | dict.fromkeys(("n", "features", "batch"), INT)
                | {"mean": "fp32", "scale": "fp32"},
                {"SIZE": kernels_triton.BLOCK},
                4,
            )
            for kind in ("*u8", REAL32)
        ),
        (
            kernels_triton.activate_kernel,
            {"z": REAL32, "rows": LONGS, "biases": REAL32, "a": REAL32, "last": REAL32, "activations": "*i32"}
            | dict.fromkeys(("ends_from", "count", "batch", "units"), INT),
            {"SIZE": kernels_triton.BLOCK},
            4,
        ),
        *(
            (
                kernels_triton.cross_entropy_kernel,
                {"logits": REAL32, "biases": REAL32, "velocity": REAL32, "labels": LONGS, "label_offset": LONGS}
                | {"index": LONGS, "runs": LONGS, "active": REAL32, "loss": REAL64, "correct": LONGS}
                | {"classes": INT, "batch": INT, "momentum": "fp32"},
                {"CLASSES": classes, "COLUMNS": columns},
                4,
            )
            for classes, columns in ((16, kernels_triton.COLUMNS), (1024, kernels_triton.LARGEST_TILE // 1024))
        ),
        (
            kernels_triton.backpropagate_kernel,
            dict.fromkeys(("above", "last", "values"), REAL32)
            | {"rows": LONGS, "gradient": REAL32, "velocity": REAL32, "activations": "*i32"}
            | {"ends_from": INT, "units": INT, "batch": INT, "momentum": "fp32"},
            {"ROWS": kernels_triton.UNITS, "COLUMNS": kernels_triton.INPUTS},
            4,
        ),
        (triton_sum.row_sum_kernel, {"parts": REAL64, "total": REAL64, "count": INT}, {"COLUMNS": 1024}, 4),
    ]


@pytest.mark.parametrize("number", range(len(kernels())))
def test_the_kernels_compile_for_a_gpu(number: int) -> None:
    """To machine code for an A100 and an H100 or H200, by the compiler that Triton brings; no GPU is asked."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel, types, constants, warps = kernels()[number]
    signature = types | dict.fromkeys(constants, "constexpr")
    for capability in (80, 90):
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
        binary = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})
        assert binary.asm["cubin"].startswith(b"\x7fELF")
        assert binary.metadata.shared <= 48 << 10  # what every GPU gives a block
