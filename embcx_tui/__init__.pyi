from embcx_tui.api.measuring import layers as layers
from embcx_tui.api.measuring import measure as measure
from embcx_tui.api.measuring import measure_rows as measure_rows
from embcx_tui.api.recorder import Recorder as Recorder
from embcx_tui.api.results import Study as Study
from embcx_tui.api.results import load as load
from embcx_tui.study.errors import EmbcxError as EmbcxError

__version__: str
