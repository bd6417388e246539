"""What the settings of an embedded backend may say."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mai_core.errors import SettingsError

__all__ = ["EmbeddedOptions"]


class EmbeddedOptions(BaseModel):
    """Options under ``backends.NAME``.

    threads           threads of every model; 0 takes the cores that are free when a model is loaded, one less to write
    models_dirs       more folders with GGUF files
    scan_other_tools  whether to offer what LM Studio, Ollama, the Hugging Face and llama.cpp caches hold
    load_timeout      seconds without a sign of life after which a load has failed
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    models_dirs: tuple[Path, ...] = ()
    scan_other_tools: bool = True
    load_timeout: Annotated[float, Field(gt=0.0)] = 60.0

    @classmethod
    def of(cls, name: str, options: Mapping[str, Any]) -> EmbeddedOptions:
        """The options of the backend ``name``. Raises ``SettingsError`` for one it does not know or understand."""
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in ("backends", name, *first["loc"]))
            if first["type"] == "extra_forbidden":
                near = difflib.get_close_matches(str(first["loc"][-1]), cls.model_fields, n=1)
                known = f'did you mean "{near[0]}"?' if near else f"there are: {', '.join(cls.model_fields)}"
                raise SettingsError(f"{where}: the embedded backend has no such option", remedy=known) from None
            raise SettingsError(f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None
