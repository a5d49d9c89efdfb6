"""Random seeds: every random stream of a study has its own, derived from what the stream is for; ids likewise."""

from __future__ import annotations

import hashlib
import re

# Crockford's base 32: no i, l, o, u, so an id can be read aloud and typed.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
STUDY_ID_LENGTH = 10
STUDY_ID = re.compile(f"[{_ALPHABET}]{{{STUDY_ID_LENGTH}}}")


def stream_seed(study_seed: int, dataset: str, run: int, purpose: str, epoch: int = 0) -> int:
    """Return the seed (0 … 2^63 − 1) of one random stream.

    A stream depends only on these values, never on streams drawn from before it: so the order of work, retries, the
    size of a cohort and a resume cannot change its numbers.
    """
    return int.from_bytes(digest(study_seed, dataset, run, purpose, epoch, size=8), "big") >> 1


def digest(*parts: object, size: int) -> bytes:
    """Return `size` bytes that identify `parts`; each is hashed with its length before it, so no two lists collide."""
    hasher = hashlib.blake2b(digest_size=size)
    for part in parts:
        raw = str(part).encode("utf-8", "surrogatepass")
        hasher.update(len(raw).to_bytes(8, "big") + raw)
    return hasher.digest()


def short_hash(*parts: object, length: int = STUDY_ID_LENGTH) -> str:
    """Return `length` base-32 characters derived from `parts`."""
    number = int.from_bytes(digest(*parts, size=32), "big")
    return "".join(_ALPHABET[number >> (5 * index) & 31] for index in range(length))
