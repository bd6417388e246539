"""Real servers, started once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from real_servers import RealServer, litellm_proxy, worker


@pytest.fixture(scope="session")
def real_worker(starter_gguf: Path) -> Iterator[RealServer]:
    """The embedded engine's HTTP server with SmolLM2."""
    with worker(starter_gguf) as server:
        yield server


@pytest.fixture(scope="session")
def real_litellm(real_worker: RealServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """LiteLLM's proxy in front of it."""
    with litellm_proxy(real_worker, tmp_path_factory.mktemp("litellm")) as server:
        yield server
