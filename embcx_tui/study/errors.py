"""The program's own errors: each message is one line that says what is wrong and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from embcx_tui.study.text import safe_text


class EmbcxError(Exception):
    """Something that a user can act on; its text is one line, shown as it is."""


class RequestError(EmbcxError):
    """A request that cannot be fulfilled: an unknown name, a wrong value, a missing file (exit code 2)."""


class DataError(RequestError):
    """A dataset is missing, incomplete or damaged."""


class StoreError(EmbcxError):
    """A study folder cannot be read or written."""


class MeasureError(EmbcxError):
    """One layer cannot be measured; the study goes on."""


class DeviceFailed(EmbcxError):
    """A device, its driver or its compiler failed, or its numbers are wrong: never a property of a layer or a network.

    `passing`: short of memory, which other programs may give back; the same may work at the next try.
    """

    def __init__(self, text: str, *, passing: bool = False) -> None:
        super().__init__(text)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake of a study file: the dotted key it concerns (`measure.perplexity`) and what is wrong with it."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


class SettingsError(RequestError):
    """A study file with mistakes, all of them at once in `mistakes`."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(str(mistake) for mistake in mistakes))


def error_line(error: Exception) -> str:
    """Return one line for the user on `error`: our own say it themselves, those of the system name the file."""
    if isinstance(error, EmbcxError):
        return str(error)
    if isinstance(error, OSError):
        return f"{safe_text(error.filename or 'input/output')}: {error.strerror or safe_text(error)}"
    return safe_text(error) or type(error).__name__


def import_failure(error: Exception) -> str:
    """Return one line on the library that cannot be imported and why; empty where `error` is of another kind.

    A broken installation raises whatever it likes (ImportError, OSError, AttributeError, MemoryError): what is raised
    while a module of another package is being executed is a failure of that package.
    """
    library, step = "", error.__traceback__
    while step and not library:
        module = step.tb_frame.f_globals.get("__name__", "").partition(".")[0]
        if step.tb_frame.f_code.co_name == "<module>" and module not in ("embcx_tui", "__main__"):
            library = module
        step = step.tb_next
    if not library and not isinstance(error, ImportError):
        return ""
    if not library and isinstance(error, ImportError):
        library = (error.name or "").partition(".")[0]
    reason = safe_text(getattr(error, "strerror", None) or error, 300) or type(error).__name__
    short = isinstance(error, MemoryError) or "memory" in reason or "map segment" in reason
    how = "raise the limit of memory, or install it again" if short else "install it again"
    return f"{library or 'a library'} cannot be imported ({reason}); {how}"
