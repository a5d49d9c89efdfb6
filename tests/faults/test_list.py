"""The list of faults stays true: each can be put in, and what covers it is there. The script that tries them works."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.faults import tree_copy
from tests.faults.__main__ import main
from tests.faults.fault_list import PROJECT, Fault, chosen, read_faults
from tests.faults.tree_copy import TreeCopy

FAULTS = read_faults()


def test_there_are_a_hundred_all_over_the_program() -> None:
    assert len(FAULTS) >= 100
    parts = {Path(fault.file).parts[1] for fault in FAULTS}
    assert parts >= {"study", "compute", "store", "worker", "analysis", "figures", "tui", "cli"}


@pytest.mark.parametrize("path", sorted({fault.file for fault in FAULTS}))
def test_each_can_be_put_in_once_and_is_python(path: str) -> None:
    text = (PROJECT / path).read_text(encoding="utf-8")
    whole = ast.dump(ast.parse(text))
    for fault in FAULTS:
        if fault.file == path:
            # Neither without meaning nor without effect, such as a change of a comment.
            assert ast.dump(ast.parse(fault.put_into(text))) != whole, fault.name


def test_what_covers_each_is_there() -> None:
    texts: dict[str, str] = {}
    for fault in FAULTS:
        assert fault.tests and re.fullmatch(r"[a-z0-9-]+", fault.name) and fault.harm.endswith("."), fault.name
        for test in fault.tests:
            file, _, node = test.partition("::")
            text = texts.setdefault(file, (PROJECT / file).read_text(encoding="utf-8"))
            assert not node or f"def {node.partition('[')[0]}(" in text, test


def test_a_text_that_is_gone_or_stands_twice_is_said() -> None:
    fault = Fault("wrong-sign", "embcx_tui/x.py", "a < b", "a > b", ("tests/test_x.py",), "Wrong.")
    assert fault.put_into("return a < b") == "return a > b"
    for text in ("return a <= b", "a < b or a < b"):
        with pytest.raises(ValueError, match=r"wrong-sign: its old text stands in embcx_tui/x\.py [02] times"):
            fault.put_into(text)


def test_faults_are_chosen_by_name_and_by_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert chosen(FAULTS, ()) == FAULTS
    (one,) = chosen(FAULTS, ["sd-over-n"])
    assert one.file == "embcx_tui/analysis/summary.py"
    assert {fault.file.split("/")[1] for fault in chosen(FAULTS, ["store/*", "sd-over-n"])} == {"store", "analysis"}
    assert main(["--list", "sd-over-n"]) == 0
    assert one.harm in capsys.readouterr().out
    assert main(["no such fault"]) == 2


@pytest.fixture
def small_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TreeCopy:
    """Return a copy of a project of three lines."""
    project = tmp_path / "project"
    for name, text in {
        "embcx_tui/__init__.py": "",
        "embcx_tui/compute/__init__.py": "",
        "embcx_tui/compute/sums.py": "def total(a, b):\n    return a + b\n",
        "tests/__init__.py": "",
        "tests/test_sums.py": "from embcx_tui.compute.sums import total\n\n\n"
        "def test_total():\n    assert total(2, 2) == 4\n    assert total(3, 0) == 3\n",
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    monkeypatch.setattr(tree_copy, "PROJECT", project)
    monkeypatch.setattr(tree_copy, "COPIED", ("embcx_tui", "tests"))
    return TreeCopy(tmp_path / "copy")


def _fault(new: str, file: str = "embcx_tui/compute/sums.py") -> Fault:
    return Fault("wrong-sum", file, "a + b", new, ("tests/test_sums.py",), "Wrong.")


def test_a_fault_is_taken_out_again_and_nothing_compiled_of_it_is_left(small_project: TreeCopy) -> None:
    path = small_project.root / "embcx_tui/compute/sums.py"
    before, times, kernels = path.read_text(), [path.stat().st_mtime_ns], []
    for new in ("a - b", "a * b"):
        with pytest.raises(KeyError), small_project.with_fault(_fault(new)) as folder:
            assert new in path.read_text() and not list(folder.iterdir())
            (folder / "machine code").touch()
            times.append(path.stat().st_mtime_ns)
            kernels.append(folder)
            raise KeyError
        assert path.read_text() == before and path.stat().st_mtime_ns == times[0]
    # Faults of one length are told apart by their times, of which bytecode keeps full seconds; kernels by folders.
    assert len({time // 10**9 for time in times}) == 3
    assert kernels[0] != kernels[1] and not any(folder.exists() for folder in kernels)


def test_each_fault_is_really_run(small_project: TreeCopy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # or there would be nothing to be taken for the fault
    assert small_project.run(("tests/test_sums.py",), 600).verdict == "not noticed"
    for new in ("a - b", "a * b"):
        outcome = small_project.notices(_fault(new), 600)
        assert (outcome.verdict, outcome.by) == ("noticed", "tests/test_sums.py::test_total"), outcome.output
    assert list(small_project.root.rglob("sums.*.pyc"))
    assert small_project.notices(_fault("b + a"), 600).verdict == "not noticed"
    assert small_project.notices(_fault("a +"), 600).verdict == "broken"
    with pytest.raises(RuntimeError, match="tests would not run on the copy"):
        (small_project.root / "embcx_tui/__init__.py").unlink()
        small_project.check_place()
