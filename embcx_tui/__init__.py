"""embcx-tui: embedding complexity of neural network layers, measured and browsed in the terminal.

From Python (docs/measure.md): `measure`, `measure_rows`, `layers`, `Recorder`, `load`, and `EmbcxError`, what they
raise. They are imported when they are first asked for: `import embcx_tui` loads no torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_PUBLIC = {
    "measure": "embcx_tui.api.measuring",
    "measure_rows": "embcx_tui.api.measuring",
    "layers": "embcx_tui.api.measuring",
    "Recorder": "embcx_tui.api.recorder",
    "load": "embcx_tui.api.results",
    "Study": "embcx_tui.api.results",
    "EmbcxError": "embcx_tui.study.errors",
}


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
