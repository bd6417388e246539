"""The trained weights prompts are judged by, read when the first prompt is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property

from mai_core.errors import SettingsError
from mai_core.policy.tasks import TaskModel

__all__ = ["Judging"]

log = logging.getLogger("mai.judging")


def _shipped() -> TaskModel:
    from mai_core.settings import load_task_model

    return load_task_model()


class Judging:
    """Holds the weights, or the reason why prompts are judged by cues alone."""

    def __init__(self, load: Callable[[], TaskModel] = _shipped) -> None:
        self._load = load
        self.trouble: SettingsError | None = None

    @cached_property
    def model(self) -> TaskModel | None:
        """The weights; None, and a warning once, where they cannot be read."""
        try:
            return self._load()
        except SettingsError as error:
            self.trouble = error
            log.warning("prompts are judged by cues alone", extra={"reason": str(error), "remedy": error.remedy})
            return None
