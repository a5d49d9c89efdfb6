"""docs/architecture.md tells the truth: every file and every name in it exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "embcx_tui"
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"[\w/.-]+\.(?:py|toml|md|tcss)|(?:[\w-]+/)+")


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the names that a module defines, those of its classes as `Class.name` too."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        members = node.body if isinstance(node, ast.ClassDef) else []
        for member in [node, *members]:
            defined = [getattr(member, "name", "")]
            targets = member.targets if isinstance(member, ast.Assign) else [getattr(member, "target", None)]
            defined += [
                name.id for target in targets if target for name in ast.walk(target) if isinstance(name, ast.Name)
            ]
            owner = f"{node.name}." if isinstance(node, ast.ClassDef) and member is not node else ""
            names |= {owner + name for name in defined if name}
    return frozenset(names)


def file_of(words: str) -> Path | None:
    """Return the file or folder that `words` name, from the root or from the package; None where there is none."""
    return next((base / words for base in (PACKAGE, ROOT) if (base / words).exists()), None)


def rows_of(heading: str) -> list[list[str]]:
    """Return the cells of the rows of the table below `heading`."""
    table = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


WHERE = rows_of("Where is …?")


def test_every_file_of_the_page_exists() -> None:
    named = [words for words in CODE.findall(PAGE) if PATH.fullmatch(words) and not words.startswith("arrays/")]
    in_a_study = {"study.toml", "checkpoints/", "arrays/", "exports/"}
    assert len(named) > 60
    assert [words for words in named if words not in in_a_study and file_of(words) is None] == []


def test_the_page_answers_thirty_questions() -> None:
    questions = [row[0] for row in WHERE]
    assert len(questions) >= 30
    assert len(set(questions)) == len(questions)
    assert all(question.endswith("?") for question in questions)


@pytest.mark.parametrize("row", WHERE, ids=lambda row: row[0])
def test_the_names_of_an_answer_stand_in_its_files(row: list[str]) -> None:
    words = CODE.findall(row[1])
    files = [file for file in map(file_of, words) if file is not None]
    names = [name.removesuffix("()") for name in words if file_of(name) is None]
    assert files and names, row
    modules = [module for file in files for module in ([file] if file.is_file() else file.rglob("*.py"))]
    defined = set().union(*(names_in(module) for module in modules if module.suffix == ".py"))
    assert [name for name in names if name not in defined] == []


def test_every_folder_of_the_package_has_its_paragraph() -> None:
    folders = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")} - {"."}
    assert [folder for folder in sorted(folders) if f"`{folder}/`" not in PAGE] == []
