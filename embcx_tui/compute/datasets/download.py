"""Fetching one file: from mirrors in turn, checked, and visible under its name only when whole."""

from __future__ import annotations

import hashlib
import http.client
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

# A mirror that sends nothing for so long is taken for dead and the next one is tried.
TIMEOUT_SECONDS = 30.0
_CHUNK_BYTES = 1 << 16


def md5_of(path: Path) -> str:
    """Return the MD5 of a file, as torchvision's lists give it (against damage, not against malice)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def download(
    urls: Sequence[str], target: Path, md5: str, size: int, progress: Callable[[int], None] = lambda done: None
) -> None:
    """Put the file of `size` bytes and checksum `md5` at `target`, from the first of `urls` that gives it.

    `progress` gets the bytes of this file so far. Nothing half-made stays behind. Raises DataError: with every
    mirror's answer where none gave the file, or naming the folder where it cannot be written.
    """
    answers = []
    for url in urls:
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            reason = _fetch(url, temporary, md5, size, progress)
            if not reason:
                temporary.replace(target)
                return
            answers.append(f"{safe_text(url.split('/')[2])}: {reason}")
        except OSError as error:  # of the disk: _fetch returns what the network did as a reason
            raise DataError(f"{safe_text(target.parent)} cannot be written ({error.strerror})") from None
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    raise DataError("; ".join(answers))


def _fetch(url: str, temporary: Path, md5: str, size: int, progress: Callable[[int], None]) -> str:
    """Write what `url` sends to `temporary`; return why it cannot be used, or nothing."""
    hasher = hashlib.md5(usedforsecurity=False)
    done = 0
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "embcx-tui"})
            answer = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return safe_text(getattr(error, "reason", None) or error, 120)
        with answer:
            while True:
                try:
                    chunk = answer.read(_CHUNK_BYTES)
                except (OSError, http.client.HTTPException) as error:
                    return f"broke off after {done:,} of {size:,} bytes ({safe_text(error, 80)})"
                if not chunk:
                    break
                done += len(chunk)
                if done > size:
                    return f"sent more than the {size:,} bytes of the file"
                hasher.update(chunk)
                file.write(chunk)
                progress(done)
        if done < size:
            return f"broke off after {done:,} of {size:,} bytes"
        if hasher.hexdigest() != md5:
            return "sent a file with the wrong checksum"
        file.flush()
        os.fsync(file.fileno())
    return ""
