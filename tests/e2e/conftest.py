"""One installation for all tests that need one: it takes a minute."""

from __future__ import annotations

import pytest

from tests.e2e.fresh_install import FreshInstall


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> FreshInstall:
    """Mai and the examples of third parties, installed."""
    return FreshInstall(tmp_path_factory.mktemp("third-party"))
