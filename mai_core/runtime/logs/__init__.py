"""A structured log, one JSON object a line, in rotating files that several processes share.

Importing this installs nothing. The command line calls ``configure``, which gives the logger ``mai`` its handlers and
leaves the root logger alone. Modules log with ``logging.getLogger("mai.<area>")`` and ``extra={...}``; what people and
models write is left out unless the settings ask for it.
"""

from __future__ import annotations

from mai_core.runtime.logs.reading import LogEntry, follow, tail
from mai_core.runtime.logs.session import CONTENT_FIELDS, LogSession, configure

__all__ = ["CONTENT_FIELDS", "LogEntry", "LogSession", "configure", "follow", "tail"]
