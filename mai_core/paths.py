"""Where Mai keeps its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

__all__ = ["Paths"]


@dataclass(frozen=True, slots=True)
class Paths:
    """Folders of this person's Mai; none is created before it is needed.

    ``config`` settings · ``data`` conversations and models · ``cache`` what may be deleted · ``state`` logs, input
    history and the notes of running processes.
    """

    config: Path
    data: Path
    cache: Path
    state: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Paths:
        """The system's usual folders, or everything below ``MAI_HOME`` when that is set."""
        if home := environment.get("MAI_HOME"):
            root = Path(home).expanduser().absolute()
            return cls(root / "config", root / "data", root / "cache", root / "state")
        dirs = platformdirs.PlatformDirs("mai", appauthor=False)
        return cls(dirs.user_config_path, dirs.user_data_path, dirs.user_cache_path, dirs.user_state_path)

    @property
    def settings_file(self) -> Path:
        """The person's own settings."""
        return self.config / "mai.yaml"

    @property
    def models_file(self) -> Path:
        """The person's own additions to the catalogue."""
        return self.config / "models.yaml"

    @property
    def database(self) -> Path:
        """Conversations, decisions and measurements."""
        return self.data / "mai.db"

    @property
    def log_file(self) -> Path:
        """The newest log."""
        return self.state / "mai.log"
