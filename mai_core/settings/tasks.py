"""The trained weights that travel with Mai: what tells the field and the difficulty of a prompt."""

from __future__ import annotations

from mai_core.errors import SettingsError
from mai_core.policy.tasks import TaskModel
from mai_core.settings.document import display
from mai_core.settings.shipped import shipped_file

__all__ = ["load_task_model"]


def load_task_model() -> TaskModel:
    """The weights of ``tasks.json``; takes some 20 ms. Raises ``SettingsError`` where they are missing or broken."""
    file = shipped_file("tasks.json")
    try:
        return TaskModel.load(file.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{display(file)}: {error}", remedy="install Mai again") from error
