"""The commands as a person types them, each in a process of its own."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from embcx_tui.cli import cli, main
from embcx_tui.cli.studies import list_row
from embcx_tui.store.library import create_study, list_studies
from embcx_tui.study.settings import validate

SMALL = """
name = "small"
[data]
datasets = ["digits"]
samples_per_class = 15
[networks]
depths = [2]
activations = ["relu"]
runs = 2
width = 20
[training]
epochs = 3
[measure]
perplexity = 10
"""

# Far beyond any command on a crowded machine: the first one compiles all kernels, which is 20 s of two quiet cores.
PATIENCE_S = 900.0


def embcx(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "embcx_tui", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
        timeout=PATIENCE_S,
        check=False,
    )


# Minutes of training, however fast the machine: for what happens in its midst.
LONG = ("--set", "training.epochs=10000", "--set", "training.batch_size=1")


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that says what is wrong."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("embcx-tui: "), done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.fixture
def study_file(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return str(path)


def test_a_study_from_its_file_to_its_figures(study_file: str, tmp_path: Path) -> None:
    run = embcx("run", study_file, "--name", "first try")
    assert run.returncode == 0, run.stderr
    assert "complete: 10 embeddings" in run.stderr

    listed = json.loads(embcx("list", "--json").stdout)
    assert [(one["name"], one["state"], one["progress"]) for one in listed] == [("first try", "complete", 1.0)]
    assert set(listed[0]) == {"id", "name", "state", "created", "progress", "damage", "partly", "note", "queue", "job"}
    study = listed[0]["id"]

    shown = json.loads(embcx("show", study[:6], "--json").stdout)
    assert shown["id"] == study and shown["state"] == "complete" and len(shown["statistics"]["trend"]) == 2
    assert len(shown["networks"]) == 4
    one = shown["networks"][0]
    assert {"dataset", "depth", "activation", "run", "control", "status", "epochs", "train_accuracy", "test_accuracy",
            "layers"} <= set(one)  # fmt: skip
    assert {"layer", "units", "kl", "degenerate", "converged", "method"} <= set(one["layers"][0])
    assert [one["layer"] for one in shown["summary"]] == [0, 1, 2, 0, 1, 2]
    assert {"kl_mean", "kl_sd", "n"} <= set(shown["summary"][0])

    rows = list(csv.DictReader(io.StringIO(embcx("show", "last", "--csv").stdout)))
    assert len(rows) == 12
    assert float(rows[0]["kl"]) == shown["networks"][0]["layers"][0]["kl"]

    table = embcx("show", "first try").stdout
    assert "digits 2x20 relu untrained" in table

    assert "complete" in embcx("logs", "last", "-f").stdout.splitlines()[-1]

    names = embcx("export", "last", "--list").stdout.split()
    assert names
    for kind, magic in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        exported = embcx("export", "last", "--figure", names[0], "--format", kind, "--out", str(tmp_path / "figures"))
        assert exported.returncode == 0, exported.stderr
        path = Path(exported.stdout.strip())
        assert path.parent == tmp_path / "figures" and path.read_bytes().startswith(magic)
    assert "no figure 'fig99'" in refused(embcx("export", "last", "--figure", "fig99"))

    assert "complete" in refused(embcx("resume", "last"))
    assert "is not running" in refused(embcx("stop", "last"))
    assert "where there is no terminal, pass --yes" in refused(embcx("delete", "last"))
    assert embcx("delete", "last", "--yes").returncode == 0
    assert json.loads(embcx("list", "--json").stdout) == []


def test_a_file_dataset_is_found_from_the_study_files_folder_and_noticed_when_it_changes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 60)
    points = (rng.normal(size=(180, 5)) + 4 * labels[:, None]).astype(np.float32)
    np.savez(tmp_path / "mine.npz", X=points, y=labels)
    study = tmp_path / "mine.toml"
    study.write_text(SMALL.replace('"digits"', '"file:mine.npz"'))
    assert embcx("run", str(study), "--set", "training.epochs=2").returncode == 0
    shown = json.loads(embcx("show", "last", "--json").stdout)
    assert shown["networks"][0]["dataset"] == f"file:{tmp_path}/mine.npz"
    assert shown["networks"][0]["layers"][0]["units"] == 5

    running = embcx("run", str(study), "--detach", *LONG).stdout.strip()
    embcx("stop", running)
    np.savez(tmp_path / "mine.npz", X=points + 1, y=labels)
    assert "has changed since this study began" in refused(embcx("resume", running))


def test_detach_stop_resume(study_file: str) -> None:
    study = embcx("run", study_file, "--detach", *LONG).stdout.strip()
    assert json.loads(embcx("list", "--json").stdout)[0]["state"] == "running"
    assert "stop it first" in refused(embcx("delete", study, "--yes"))
    assert embcx("stop", study).stdout.startswith("stopped")
    assert json.loads(embcx("list", "--json").stdout)[0]["state"] == "stopped"
    resumed = json.loads(embcx("resume", study, "--detach", "--json").stdout)
    assert resumed == {"id": study}
    embcx("stop", study, "--now")
    assert json.loads(embcx("list", "--json").stdout)[0]["state"] in ("stopped", "lost")


def test_ctrl_c_stops_the_study_cleanly_and_says_how_to_go_on(study_file: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "embcx_tui", "run", study_file, *LONG],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What the tests run in may ignore it, as a shell's background does, and children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        give_up = time.monotonic() + PATIENCE_S
        while not (studies := list_studies()) or list_row(studies[0])["progress"] == 0:
            assert time.monotonic() < give_up
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert f"embcx-tui resume {studies[0].id}" in errors
    assert json.loads(embcx("list", "--json").stdout)[0]["state"] == "stopped"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("run", "fig99"), "'fig99' is no preset"),
        (("run", "./missing.toml"), "cannot be read"),
        (("run", "demo", "--set", "measure.perplexty=3"), "did you mean measure.perplexity?"),
        (("run", "demo", "--set", "measure.perplexity=2000"), "measure.perplexity"),
        (("run", "demo", "--set", "networks.activations=swish"), "networks.activations.0"),
        (("run", "demo", "--set", "machine.device=cuda:99"), "cuda:99"),
        (("run",), "Missing argument 'STUDY'"),
        (("show", "0123456789"), "there is no study"),
        (("open", "nothing"), "there is no study"),
        (("frobnicate",), "there is no command 'frobnicate'"),
        (("data", "fetch", "mnits"), "'mnits' is not a dataset"),
        (("export", "last"), "there are no studies yet"),
    ],
)
def test_a_bad_request_is_one_line_and_exit_code_2(
    words: tuple[str, ...],
    wanted: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, all but one: ten starts of an interpreter would show nothing more."""
    if words[1:] == ("fig99",):
        done = embcx(*words)
    else:
        monkeypatch.setattr(os, "umask", lambda mask: mask)  # this process keeps its own
        with pytest.raises(SystemExit) as left:
            main([*words])
        code = left.value.code
        assert isinstance(code, int)
        done = subprocess.CompletedProcess(words, code, *capsys.readouterr())
    assert wanted in refused(done)
    assert not list(home.glob("studies/*")), "nothing half-made is left behind"


def test_a_missing_data_folder_is_one_line_naming_the_files(home: Path) -> None:
    line = refused(embcx("run", "fig2", EMBCX_DATA_DIR="/nowhere"))
    assert "train-images-idx3-ubyte" in line and "/nowhere" in line and "embcx-tui data fetch mnist" in line
    assert not list(home.glob("studies/*"))


def test_a_home_that_cannot_be_written_is_one_line(tmp_path: Path, study_file: str) -> None:
    (tmp_path / "file").touch()
    assert "cannot be created" in refused(embcx("run", study_file, EMBCX_HOME=str(tmp_path / "file")))


def test_presets_data_and_doctor_speak_to_people_and_scripts(tmp_path: Path) -> None:
    assert embcx("presets").stdout.startswith("demo")
    presets = json.loads(embcx("presets", "--json").stdout)
    assert {"demo", "fig2"} <= {one["name"] for one in presets}
    known = json.loads(embcx("data", "list", "--json", EMBCX_DATA_DIR=str(tmp_path)).stdout)
    states = {one["name"]: one["state"] for one in known["datasets"]}
    assert states["digits"] == "embedded" and states["mnist"] == "missing"
    findings = {one["what"]: one for one in json.loads(embcx("doctor", "--json").stdout)}
    assert findings["libraries"]["verdict"] == "ok"
    assert "torch" in findings["libraries"]["text"]


def test_a_reader_that_leaves_early_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m embcx_tui presets --json | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "[\n" and done.stderr == ""


def test_real_mnist_is_checked_and_a_flipped_byte_is_found(mnist: Path, tmp_path: Path) -> None:
    good = embcx("data", "check", "mnist", "--json")
    assert good.returncode == 0
    assert json.loads(good.stdout)["datasets"][0]["state"] == "present"
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (mnist / "MNIST" / "raw").iterdir():
        (raw / path.name).write_bytes(path.read_bytes())
    labels = raw / "t10k-labels-idx1-ubyte.gz"
    data = bytearray(labels.read_bytes())
    data[1000] ^= 1
    labels.write_bytes(bytes(data))
    bad = embcx("data", "check", "mnist", EMBCX_DATA_DIR=str(tmp_path / "data"))
    assert bad.returncode == 3
    assert "wrong checksum" in bad.stdout


def test_every_help_has_an_example_of_its_own_command() -> None:
    for name in cli.list_commands(click.Context(cli)):
        done = CliRunner().invoke(cli, [name, "--help"])
        (example,) = re.findall(r"Example: embcx-tui (.*)", done.output)
        words = shlex.split(example.partition(">")[0])
        assert words[0] == name
        # What it shows is understood: its options are the command's.
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        command.make_parser(click.Context(command)).parse_args(words[1:])
    for name in ("list", "fetch", "check"):
        assert f"Example: embcx-tui data {name}" in CliRunner().invoke(cli, ["data", name, "--help"]).output


def completed(words: str, home: Path) -> list[str]:
    """Return what a shell would offer for the last of `words`."""
    environment = {
        **os.environ,
        "EMBCX_HOME": str(home),
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "_EMBCX_TUI_COMPLETE": "bash_complete",
    }
    command = [sys.executable, "-m", "embcx_tui"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_the_shell_completes_commands_presets_and_studies(home: Path) -> None:
    paths = create_study(validate({"name": "mine alone"}))
    assert completed("embcx-tui re", home) == ["resume", "report"]
    assert completed("embcx-tui run fig", home) == [f"fig{number}" for number in range(1, 9)]
    assert completed("embcx-tui show la", home) == ["last"]
    assert completed("embcx-tui show mi", home) == ["mine alone"]
    assert completed(f"embcx-tui resume {paths.id[:6]}", home) == [paths.id]
