"""What this machine has, and what is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

from embcx_tui import __version__
from embcx_tui.cli import FAILED, print_table
from embcx_tui.store.machine_records import NUMERIC_LIBRARIES, library_versions
from embcx_tui.store.paths import data_folder, home
from embcx_tui.study.dataset_catalogue import CATALOGUE, missing_files
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.text import safe_text
from embcx_tui.tui.terminal import colour_depth

Verdict = Literal["ok", "note", "bad"]
_GB = 1e9
# Below this a study on MNIST may not fit: the checkpoints of `paper` alone take 1.5 GB.
_LITTLE_DISK = 2e9


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `note` is worth knowing, `bad` keeps studies from running."""

    what: str
    verdict: Verdict
    text: str


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def doctor_command(ctx: click.Context, as_json: bool) -> None:
    """Check torch, GPU, what studies compute with, terminal, data, disk and what logging out does.

    Exit code 1 where something is bad: a study would fail, or compute on the CPU beside a GPU.
    """
    findings = [*_versions(), *_numerics(), _terminal(), _home(), *_data(), _logout()]
    if as_json:
        click.echo(json.dumps([{"what": f.what, "verdict": f.verdict, "text": f.text} for f in findings], indent=2))
    else:
        marks = {"ok": "ok", "note": "note", "bad": "BAD"}
        rows = ((marks[finding.verdict], finding.what, safe_text(finding.text)) for finding in findings)
        print_table((), rows, left=(0, 1, 2))
    if any(finding.verdict == "bad" for finding in findings):
        ctx.exit(FAILED)


def _versions() -> list[Finding]:
    versions = library_versions(("textual", "plotext", *NUMERIC_LIBRARIES))
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [
        Finding("embcx-tui", "ok", f"{__version__}, Python {sys.version.split()[0]} on {sys.platform}"),
        Finding("libraries", "bad" if "missing" in versions.values() else "ok", text),
    ]


def _numerics() -> list[Finding]:
    """Return what the numerics process finds of the device and of all that studies use."""
    from embcx_tui.worker.launch import ask

    parts = ["the numerics process"]

    def follow(line: dict[str, Any]) -> None:
        parts.append(str(line.get("part", parts[-1])))

    try:
        answer = ask("machine-check", on_line=follow)
    except EmbcxError as error:
        return [Finding(parts[-1], "bad", f"ends the process in which studies compute: {error}")]
    return [Finding(found["what"], found["verdict"], found["text"]) for found in answer["findings"]]


def _terminal() -> Finding:
    term = os.environ.get("TERM", "")
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    depth = colour_depth()
    colours = "none (NO_COLOR)" if "NO_COLOR" in os.environ else "16 million" if depth > 256 else str(depth)
    size = shutil.get_terminal_size()
    text = f"TERM={term or 'unset'}, colours: {colours}, encoding {sys.stdout.encoding}, {size.columns}×{size.lines}"
    if encoding != "utf8":
        return Finding("terminal", "note", f"{text}; without UTF-8 figures are drawn in ASCII (try LANG=C.UTF-8)")
    if size.columns < 80 or size.lines < 24:
        return Finding("terminal", "note", f"{text}; screens are made for 80×24 and more")
    return Finding("terminal", "ok", text)


def _home() -> Finding:
    folder = home()
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    if not os.access(existing, os.W_OK):
        return Finding("studies", "bad", f"{folder} cannot be written; set EMBCX_HOME to a folder that can")
    free = shutil.disk_usage(existing).free
    verdict: Verdict = "note" if free < _LITTLE_DISK else "ok"
    return Finding("studies", verdict, f"in {folder}, {free / _GB:.1f} GB free")


def _data() -> list[Finding]:
    folder = data_folder()
    findings = []
    for facts in CATALOGUE.values():
        missing = missing_files(facts, folder)
        if missing:
            text = f"{len(missing)} of {len(facts.files)} files missing in {folder}; embcx-tui data fetch {facts.name}"
            findings.append(Finding(facts.name, "note", text))
        else:
            findings.append(Finding(facts.name, "ok", "comes with scikit-learn" if not facts.files else f"in {folder}"))
    return findings


def _logout() -> Finding:
    """Tell whether systemd ends this user's processes, a detached worker among them, when the last login ends."""
    if not _kills_user_processes():
        return Finding("logout", "ok", "a detached study survives logging out")
    if _lingers():
        return Finding("logout", "ok", "a detached study survives logging out (lingering is enabled)")
    return Finding(
        "logout",
        "note",
        "logging out ends detached studies here (KillUserProcesses=yes); keep them with: loginctl enable-linger",
    )


def _kills_user_processes() -> bool:
    # Later files win, as systemd reads them.
    files = [Path("/etc/systemd/logind.conf"), *sorted(Path("/etc/systemd/logind.conf.d").glob("*.conf"))]
    kills = False
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition("=")
            if key.strip() == "KillUserProcesses":
                kills = value.strip().lower() in ("yes", "true", "1", "on")
    return kills


def _lingers() -> bool:
    loginctl = shutil.which("loginctl")
    if loginctl is None:
        return False
    try:
        answer = subprocess.run(
            [loginctl, "show-user", str(os.getuid()), "--property=Linger"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "Linger=yes" in answer.stdout
