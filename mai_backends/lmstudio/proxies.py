"""LM Studio's SDK sends its sockets through the proxies of the environment, even to this machine, and can't be told."""

from __future__ import annotations

import os
from urllib.request import getproxies_environment

from mai_backends.hosts import LOCAL, host_of

__all__ = ["keep_direct"]


def keep_direct(host: str) -> None:
    """Let no proxy of the environment come between this process and a ``host`` that is this machine.

    The one way there is: the host is named in ``NO_PROXY``. Nothing changes where no proxy is set.
    """
    proxies = getproxies_environment()
    if host_of(host) != LOCAL or not any(scheme != "no" for scheme in proxies):
        return
    spared = [name for name in proxies.get("no", "").split(",") if name.strip()]
    if "*" in spared or host in spared:
        return
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join([*spared, host])
