"""What the settings of an embedded backend may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mai_core.settings.model import Bytes

__all__ = ["EmbeddedOptions"]


class EmbeddedOptions(BaseModel):
    """Options under ``backends.NAME``.

    threads           threads of every model; 0 takes the cores that are free when a model is loaded, one less to write
    models_dirs       more folders with GGUF files
    scan_other_tools  whether to offer what LM Studio, Ollama, the Hugging Face and llama.cpp caches hold
    load_timeout      seconds without a sign of life after which a load has failed
    saved_states      room on disk for what models have read of conversations, so that they need not read it again when
                      they come back; 0 keeps nothing
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    models_dirs: tuple[Path, ...] = ()
    scan_other_tools: bool = True
    load_timeout: Annotated[float, Field(gt=0.0)] = 60.0
    saved_states: Bytes = 2 * 2**30
