"""Switching the log on and off, and what its records look like."""

from __future__ import annotations

import copy
import logging
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mai_core.errors import MaiError
from mai_core.runtime.logs.files import SharedFile
from mai_core.settings.model import LogSettings

__all__ = ["CONTENT_FIELDS", "LogSession", "configure"]

CONTENT_FIELDS = frozenset({"prompt", "reply", "text", "content"})
STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@dataclass(frozen=True, slots=True)
class LogSession:
    """What ``configure`` installed, to be closed at the end; ``warning`` says in one line why no log is kept."""

    handlers: tuple[logging.Handler, ...]
    level_before: int
    warning: str = ""

    def close(self) -> None:
        """Take the handlers off again and close the file. A second time does nothing."""
        logger = logging.getLogger("mai")
        for handler in self.handlers:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(self.level_before)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def configure(log_file: Path, settings: LogSettings, verbose: bool = False) -> LogSession:
    """Write what Mai logs to ``log_file``; ``verbose`` also shows everything on standard error.

    Raises nothing: a log that cannot be written is told by the session's ``warning``, and Mai goes on without.
    """
    from pythonjsonlogger.json import JsonFormatter

    logger = logging.getLogger("mai")
    level: int = getattr(logging, settings.level.upper())
    handlers: list[logging.Handler] = []
    warning = ""
    try:
        kept: logging.Handler = SharedFile(log_file, settings.max_bytes, settings.files)
    except OSError as error:
        warning = f"no log is kept: {log_file} cannot be written ({error.strerror})"
        kept = logging.NullHandler()
    renamed = {"levelname": "level", "name": "logger", "process": "pid"}
    as_json = JsonFormatter([*renamed, "message"], rename_fields=renamed, timestamp="time")
    handlers.append(_formatting(kept, as_json, level, settings.content))
    if verbose:
        handlers.append(_formatting(logging.StreamHandler(), _Line(), logging.DEBUG, settings.content))
    session = LogSession(tuple(handlers), logger.level, warning)
    for handler in handlers:
        logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else level)
    return session


def _formatting(handler: logging.Handler, formatter: logging.Formatter, level: int, content: bool) -> logging.Handler:
    handler.setLevel(level)
    handler.setFormatter(formatter if content else _WithoutContent(formatter))
    return handler


class _WithoutContent(logging.Formatter):
    """Formats a copy of the record that holds nothing a person or a model wrote."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        private = copy.copy(record)
        vars(private).clear()
        vars(private).update(_without_content(vars(record)))
        if record.exc_info:
            private.exc_info, private.exc_text = None, _frames(record.exc_info[1])
        return self._inner.format(private)


def _without_content(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_content(value) if isinstance(value, Mapping) else value
        for key, value in fields.items()
        if key not in CONTENT_FIELDS
    }


def _frames(error: BaseException | None) -> str:
    """Where an error came from, and its class. The message stays out, which may quote anything, unless it is Mai's."""
    told: list[str] = []
    while error is not None and len(told) < 10:
        frames = "".join(traceback.format_tb(error.__traceback__))
        told.append(f"{frames}{type(error).__qualname__}{f': {error}' if isinstance(error, MaiError) else ''}")
        error = error.__cause__ or error.__context__
    return "\ncaused by\n".join(told)


class _Line(logging.Formatter):
    """One line for a person: time, level, area, message, fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {key: value for key, value in vars(record).items() if key not in STANDARD_FIELDS}
        told = [
            time.strftime("%H:%M:%S", time.localtime(record.created)),
            record.levelname.lower(),
            f"{record.name}:",
            record.getMessage(),
            *(f"{key}={value}" for key, value in fields.items()),
        ]
        trouble = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        return " ".join(told) + (f"\n{trouble}" if trouble else "")
