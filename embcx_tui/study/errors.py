"""The program's own errors: each message is one line that says what is wrong and what to do."""

from __future__ import annotations

from dataclasses import dataclass


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
