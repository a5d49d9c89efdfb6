"""Derived ids and keyed random seeds."""

from __future__ import annotations

import hashlib
import re

# Crockford's base 32: no i, l, o, u, so an id can be read aloud and typed.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
STUDY_ID_LENGTH = 10
STUDY_ID = re.compile(f"[{_ALPHABET}]{{{STUDY_ID_LENGTH}}}")


def _digest(*parts: object, size: int) -> bytes:
    """Hash `parts` without ambiguity: each is written with its length before it."""
    hasher = hashlib.blake2b(digest_size=size)
    for part in parts:
        raw = str(part).encode("utf-8", "surrogatepass")
        hasher.update(len(raw).to_bytes(8, "big") + raw)
    return hasher.digest()


def short_hash(*parts: object, length: int = STUDY_ID_LENGTH) -> str:
    """Return `length` base-32 characters derived from `parts`."""
    number = int.from_bytes(_digest(*parts, size=32), "big")
    return "".join(_ALPHABET[number >> (5 * place) & 31] for place in range(length))


def seed(study_seed: int, dataset: str, run: int, purpose: str, epoch: int = 0) -> int:
    """Return the seed (0 … 2^63-1) of one random stream.

    Streams are keyed by what they are for, never carried from one use to the next: so order, retries, cohort size and
    resume cannot shift them.
    """
    return int.from_bytes(_digest(study_seed, dataset, run, purpose, epoch, size=8), "big") >> 1


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
