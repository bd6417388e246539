"""The real engine on real weights."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from embedded_engine import MakeBackend, backend_in, profile_of

from mai_backends.embedded.backend import EmbeddedBackend
from mai_core.policy.models import ModelProfile


@pytest.fixture
def profile(starter_gguf: Path) -> ModelProfile:
    """The starter model, where it lies."""
    return profile_of(starter_gguf)


@pytest_asyncio.fixture
async def make_backend(tmp_path: Path) -> AsyncIterator[MakeBackend]:
    """Backends that keep their files apart from the person's, and are closed after the test."""
    made: list[EmbeddedBackend] = []

    def make(**options: Any) -> EmbeddedBackend:
        made.append(backend_in(tmp_path, **options))
        return made[-1]

    yield make
    for backend in made:
        await backend.close()
