"""Ids of studies, networks, layers and samples, derived from what they identify."""

from __future__ import annotations

import hashlib
import re

# Crockford's base 32: no i, l, o, u, so an id can be read aloud and typed.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
STUDY_ID_LENGTH = 10
STUDY_ID = re.compile(f"[{_ALPHABET}]{{{STUDY_ID_LENGTH}}}")


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


def dataset_key(dataset: str) -> str:
    """Return a name for `dataset` that is safe in file names: its own name, or `file-` and a hash of its path."""
    return f"file-{short_hash(dataset, length=6)}" if dataset.startswith("file:") else dataset


def network_id(dataset: str, depth: int, activation: str, run: int, control: str | None = None) -> str:
    """Return the id of one network, such as `mnist-d5-relu-r0` or `mnist-d5-relu-r0-untrained`."""
    return f"{dataset_key(dataset)}-d{depth}-{activation}-r{run}" + (f"-{control}" if control else "")


def layer_id(network: str, layer: int) -> str:
    """Return the id of a hidden layer of a network, such as `mnist-d5-relu-r0-l3`."""
    return f"{network}-l{layer}"


def input_id(dataset: str, run: int) -> str:
    """Return the id of layer 0, which all networks of a run share: they see the same sample."""
    return f"{dataset_key(dataset)}-r{run}-input"


def sample_id(dataset: str, run: int) -> str:
    """Return the id of the balanced sample of a run."""
    return f"{dataset_key(dataset)}-r{run}-sample"
