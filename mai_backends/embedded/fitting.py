"""What a saved state depends on beside its conversation: with anything of it changed, the engine must not have it."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mai_backends.embedded.states import digest
from mai_backends.gguf.reader import read_header
from mai_backends.gguf.splits import files_of
from mai_core.policy.models import LoadPlan

__all__ = ["fit_of"]

_LONG_ROPE = "rope_factors_long"


def fit_of(first: Path, plan: LoadPlan) -> str:
    """The digest of the engine's version, the model's files and all of the plan that a state depends on.

    Files count as the same while path, size, modification time and inode are. The context does not matter, a state fits
    every window that is larger than it; but models with two sets of rotary factors take the one or the other by it.
    Blocks: the header of the file is read. Raises ``OSError`` or ``ModelFileError``.
    """
    identities = [_identity(file) for file in files_of(first)]
    two_ropes = any(_LONG_ROPE in tensor.name for tensor in read_header(first).tensors)
    return digest(
        _engine_version(),
        *identities,
        plan.kv_type.value,
        plan.gpu_layers or 0,
        plan.context if two_ropes else "",
    )


def _identity(file: Path) -> tuple[str, int, int, int]:
    real = os.path.realpath(file)
    status = os.stat(real)
    return real, status.st_size, status.st_mtime_ns, status.st_ino


def _engine_version() -> str:
    try:
        return version("xllamacpp")
    except PackageNotFoundError:
        return "unknown"
