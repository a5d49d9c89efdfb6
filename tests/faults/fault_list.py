"""The list of faults: data in the `.toml` files beside this module, one file for each part of the program."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PACKAGE = "embcx_tui"


@dataclass(frozen=True, slots=True)
class Fault:
    """One small fault: in `file` of the package the text `old`, which stands there once, becomes `new`.

    `tests` are what covers it, as pytest takes them, in the order in which they run: those of the file's own folder
    first. `harm` says what would go wrong for a user.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    harm: str

    @property
    def is_in_kernels(self) -> bool:
        """Whether machine code may depend on it: a kernel takes constants and other kernels from all of `compute`."""
        return self.file.startswith(f"{PACKAGE}/compute/")

    def put_into(self, text: str) -> str:
        """Return `text` with the fault; raises ValueError unless the old text stands in it exactly once."""
        count = text.count(self.old)
        if count != 1:
            raise ValueError(f"{self.name}: its old text stands in {self.file} {count} times, not once")
        return text.replace(self.old, self.new)


def read_faults() -> tuple[Fault, ...]:
    """Return all faults, part by part; raises ValueError where two have one name."""
    faults: dict[str, Fault] = {}
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        for name, entry in tomllib.loads(path.read_text(encoding="utf-8")).items():
            if name in faults:
                raise ValueError(f"{path.name}: there is another fault called {name}")
            tests = tuple(f"tests/{test}" for test in entry.pop("tests"))
            faults[name] = Fault(name=name, file=f"{PACKAGE}/{entry.pop('file')}", tests=tests, **entry)
    return tuple(faults.values())


def chosen(faults: Iterable[Fault], patterns: Iterable[str]) -> tuple[Fault, ...]:
    """Return the faults whose name or file matches one of `patterns` (`*` stands for anything); all without any."""
    wanted = tuple(patterns) or ("*",)
    return tuple(
        fault
        for fault in faults
        if any(fnmatchcase(fault.name, one) or fnmatchcase(fault.file, f"{PACKAGE}/{one}") for one in wanted)
    )
