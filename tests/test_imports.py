"""What an import drags in, in a fresh interpreter: the first frame must not wait for numerics."""

from __future__ import annotations

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

NUMERICS = {
    "torch",
    "torchvision",
    "openTSNE",
    "sklearn",
    "matplotlib",
    "scipy",
    "numba",
    "llvmlite",
    "PIL",
    "textual_image",
}


def loaded(code: str) -> set[str]:
    """Return the top-level modules loaded after `code` has run in a fresh interpreter."""
    report = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


TERMINAL_PROCESS = (
    "tui.app, tui.studies.screen, tui.configure.screen, tui.live.screen, tui.layers.screen, tui.export.dialog, "
    "figures.builders, figures.cells, analysis.summary, analysis.forecast, worker.launch, "
    "cli.run, cli.studies, cli.show, cli.data, cli.doctor, cli.figures"
)


def test_the_terminal_process_loads_no_numerics() -> None:
    code = "import " + ", ".join(f"embcx_tui.{module}" for module in TERMINAL_PROCESS.split(", "))
    assert loaded(code) & NUMERICS == set()


def test_the_application_loads_neither_settings_nor_arrays_before_its_first_frame() -> None:
    # Not numerics, but 0.3 s: they come with the list of studies, after the first frame.
    assert loaded("import embcx_tui.tui.app") & (NUMERICS | {"numpy", "pydantic", "plotext"}) == set()


def test_help_loads_neither_screens_nor_settings() -> None:
    code = "from embcx_tui.cli import cli\ntry: cli(['--help'])\nexcept SystemExit: pass"
    assert loaded(code) & (NUMERICS | {"textual", "numpy", "pydantic", "rich", "plotext"}) == set()


def test_the_worker_loads_no_screens() -> None:
    code = "import embcx_tui.worker.run, embcx_tui.worker.process, embcx_tui.worker.__main__"
    assert loaded(code) & {"textual", "plotext", "matplotlib"} == set()


def test_ray_stays_in_the_bridge_and_numerics_out_of_it() -> None:
    assert "ray" not in loaded("import embcx_tui.worker.run, embcx_tui.worker.cluster, embcx_tui.worker.__main__")
    pytest.importorskip("ray", reason="Ray is not installed")
    assert not loaded("import embcx_tui.worker.ray_bridge") & (NUMERICS | {"textual"})


def test_a_worker_takes_its_lock_before_it_loads_numerics() -> None:
    assert loaded("import embcx_tui.worker.process") & NUMERICS == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    # Imports inside functions and under TYPE_CHECKING count: a circle that is only put off is one all the same.
    graph = grimp.build_graph("embcx_tui", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_python_gets_its_names_without_torch_until_it_asks_for_one_that_needs_it() -> None:
    assert not loaded("import embcx_tui; embcx_tui.__version__, dir(embcx_tui)") & (NUMERICS | {"numpy", "pydantic"})
    assert not loaded("import embcx_tui; embcx_tui.load, embcx_tui.Study, embcx_tui.EmbcxError") & NUMERICS
    code = "import embcx_tui; embcx_tui.measure, embcx_tui.measure_rows, embcx_tui.layers, embcx_tui.Recorder"
    # Neither screens nor compiled kernels: they stay in the worker.
    assert not loaded(code) & {"textual", "plotext", "matplotlib", "numba", "openTSNE", "sklearn"}


def test_a_list_of_studies_waits_for_no_arrays_and_help_for_no_settings() -> None:
    assert not loaded("import embcx_tui.cli.studies") & {"numpy", "scipy", "rich", "textual"}
    assert not loaded("import embcx_tui.cli") & {"numpy", "pydantic", "rich", "platformdirs", "psutil"}
