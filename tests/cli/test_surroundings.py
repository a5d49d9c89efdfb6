"""What shells, containers and notebooks surround a command with: it works, or one line says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from embcx_tui.cli import main
from embcx_tui.cli import studies as studies_module
from tests.fake_studies import make_study, settings_of

# What would set the title of the terminal and clear it.
TITLE = "\x1b]0;OWNED\x07\x1b[2J"
PYTHON = (sys.executable, "-m", "embcx_tui")


def run_in_process(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    monkeypatch.setattr(os, "umask", lambda mask: mask)  # this process keeps its own
    with pytest.raises(SystemExit) as left:
        main(words)
    assert isinstance(left.value.code, int)
    return left.value.code, *capsys.readouterr()


@pytest.fixture
def study() -> str:
    settings = settings_of(name="±ρ → ●", networks__runs=1, networks__activations=["relu"])
    return make_study(settings, "complete").paths.id


@pytest.mark.parametrize(
    "words",
    [
        ("run", "a.toml", TITLE), ("show", "last", TITLE), ("list", f"--{TITLE}"), ("list", f"-{TITLE}"), (TITLE,),
        ("export", "last", "--format", TITLE), ("export", "last", "--dpi", TITLE), ("show", "last", "--table", TITLE),
        ("export", "last", "--figure", TITLE), ("run", "demo", "--set", TITLE), ("run", "demo", "--set", f"{TITLE}=3"),
        ("run", "demo", "--set", f"training.epochs={TITLE}"), ("run", f"{TITLE}.toml"), ("run", f"~{TITLE}/a.toml"),
        ("data", TITLE), ("data", "fetch", TITLE), ("data", "check", TITLE), ("delete", TITLE, "--yes"),
        ("logs", TITLE), ("bench", TITLE), ("draw", "--room", TITLE, "--cell", "1x1"),
    ],
)  # fmt: skip
def test_escape_sequences_among_the_arguments_are_not_printed(
    words: tuple[str, ...], study: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_in_process([*words], monkeypatch, capsys)
    assert code == 2 and len(err.splitlines()) == 1
    assert not {"\x1b", "\x07"} & set(out + err)


def test_nor_are_those_of_the_folders(
    study: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / f"h{TITLE}"
    home.rename(elsewhere)
    monkeypatch.setenv("EMBCX_HOME", str(elsewhere))
    out = f"{tmp_path}/out{TITLE}"
    export = ["export", study, "--figure", "training-digits"]
    for words in (["list"], ["show", study], export, ["report", study, "--out", out], ["data", "list"]):
        code, printed, err = run_in_process(words, monkeypatch, capsys)
        assert code == 0, err
        assert not {"\x1b", "\x07"} & set(printed + err)
    assert Path(out, "report.md").is_file()
    monkeypatch.setattr(studies_module, "StudyListCache", lambda: 1 // 0)
    code, _, err = run_in_process(["list"], monkeypatch, capsys)
    assert code == 70 and "ZeroDivisionError" in err and "\x1b" not in err and (elsewhere / "defect.log").is_file()


def nobody(name: str) -> Path:
    raise KeyError(name)


@pytest.mark.parametrize("known", [lambda name: Path("~/.local/share") / name, nobody])
def test_without_any_home_one_line_says_what_to_set(
    known: object, study: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("embcx_tui.store.paths.platformdirs.user_data_path", known)
    assert study in run_in_process(["list"], monkeypatch, capsys)[1]
    monkeypatch.delenv("EMBCX_HOME")
    code, out, err = run_in_process(["list"], monkeypatch, capsys)
    assert (code, out, err.count("\n")) == (2, "", 1) and "set EMBCX_HOME" in err
    # And what a defect says of itself needs no home.
    monkeypatch.setattr(studies_module, "StudyListCache", lambda: 1 // 0)
    code, _, err = run_in_process(["list"], monkeypatch, capsys)
    assert code == 70 and err.count("\n") == 1
    assert "ZeroDivisionError: integer division" in err and "could not be written down" in err


@pytest.mark.parametrize("variable", ["EMBCX_HOME", "EMBCX_DATA_DIR"])
def test_a_folder_of_nobody_is_one_line_that_names_the_variable(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "~nobodyhere/x")
    code, _, err = run_in_process(["data", "list"], monkeypatch, capsys)
    assert code == 2 and err.startswith(f"embcx-tui: {variable}=~nobodyhere/x: ") and err.count("\n") == 1


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = " ".join(PYTHON)
    return subprocess.run(
        ["bash", "-c", line.replace("EMBCX", command)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("EMBCX <&-", 2, "needs a terminal"),
        ("EMBCX show last >&-", 0, ""),
        ("EMBCX show nothing >&- 2>&-", 2, ""),
        ("EMBCX show last > /dev/full", 2, "embcx-tui: input/output: No space left on device\n"),
        ("EMBCX show nothing 2> /dev/full", 2, ""),
        ("PYTHONIOENCODING=latin-1 EMBCX show last", 0, ""),
        ("PYTHONIOENCODING=ascii EMBCX show last", 0, ""),
        ("TZ=UTC+168 EMBCX list", 0, ""),
        ("EMBCX list | true; exit ${PIPESTATUS[0]}", 0, ""),
        ("PYTHONIOENCODING=ascii EMBCX show é", 2, "there is no study"),
        ("mkdir gone; cd gone; rmdir ../gone; EMBCX export last --out here", 2, "the current folder is gone"),
    ],
)
def test_streams_encodings_and_clocks(line: str, code: int, says: str, study: str, tmp_path: Path) -> None:
    done = shell(f"cd {tmp_path}; {line}")
    assert done.returncode == code, done
    assert says in done.stderr and len(done.stderr.splitlines()) == (1 if says else 0), done.stderr
    if code == 0 and ">&-" not in line and "|" not in line:
        assert study in done.stdout
    if "latin-1" in line:
        assert "\ufffd? > o" in done.stdout  # the name: ± in latin-1, which is no UTF-8, and what is like the others


@pytest.mark.parametrize("where", ["here", "MATPLOTLIBRC", "MPLCONFIGDIR"])
def test_figures_are_drawn_whatever_matplotlib_was_set_up_for(where: str, study: str, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"axes.titlesize: 30  # gr\xf6\xdfer\nbackend: nosuch\n")
    environment = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    if where != "here":
        environment[where] = str(tmp_path)
    line = f"cd {tmp_path if where == 'here' else '/'}; EMBCX export last --figure training-digits --out {tmp_path}/out"
    done = shell(line, **environment)
    assert done.returncode == 0 and not done.stderr, done
    assert Path(done.stdout.strip()).read_bytes().startswith(b"\x89PNG")
