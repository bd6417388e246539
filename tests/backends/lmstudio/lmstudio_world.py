"""What the tests of LM Studio share."""

from __future__ import annotations

from collections.abc import Callable

import psutil

from mai_backends.lmstudio.backend import LMStudioBackend

KEY = "qwen2.5-0.5b-instruct"
REPLY = "One two three four five six seven eight nine ten, and that is all there is to be said."

MakeBackend = Callable[..., LMStudioBackend]


def sockets_to(port: int) -> int:
    """How many connections to a port this process has open."""
    return sum(
        bool(connection.raddr) and connection.raddr.port == port and connection.status == psutil.CONN_ESTABLISHED
        for connection in psutil.Process().net_connections("tcp")
    )
