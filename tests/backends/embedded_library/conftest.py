from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback, loopback_server

from mai_backends.embedded.library import Library
from mai_backends.transport import Patience
from mai_core.plugin.interfaces import BackendContext
from mai_core.policy.models import KnownModel

QUICK = Patience(first_delay=0.01, longest_delay=0.05, connect_timeout=2.0, read_timeout=5.0)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback_server() as loopback:
        yield loopback


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Mai's own folder of models."""
    return tmp_path / "mai/data/models"


@pytest.fixture
def make_library(tmp_path: Path, home: Path) -> Callable[..., Library]:
    def make(*, known: tuple[KnownModel, ...] = (), **options: Any) -> Library:
        root = tmp_path / "mai"
        context = BackendContext(
            name="embedded", data_dir=root / "data", cache_dir=root / "cache", state_dir=root / "state", known=known
        )
        options = {"environment": {"PIP_CONFIG_FILE": "/dev/null"}, "home": home, "patience": QUICK} | options
        return Library(context, **options)

    return make


@pytest.fixture
def library(make_library: Callable[..., Library]) -> Library:
    return make_library()
