"""float32 is float32: TF32, whose products keep 10 bits, is off whatever the environment asks for."""

from __future__ import annotations

import os

# torch reads the first when it is imported, cuBLAS and cuDNN the second, below torch's own settings.
_SWITCHES = ("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "NVIDIA_TF32_OVERRIDE")
_asked: list[str] = []


def clear_environment() -> None:
    """Take back what the environment asks for. Call it before torch is imported: cuBLAS may read it only once."""
    _asked[:] = [name for name in _SWITCHES if os.environ.get(name, "0").strip() not in ("", "0")] or _asked
    os.environ.update(dict.fromkeys(_SWITCHES, "0"))


def forbid_tf32() -> None:
    """Switch TF32 off in this process's torch."""
    import torch

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


def asked_for_tf32() -> tuple[str, ...]:
    """Return the environment's variables that asked for TF32 before they were cleared."""
    return tuple(_asked)
