"""Registers the probes that come with Mai."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mai_core import hookimpl

if TYPE_CHECKING:
    from mai_core.plugin.interfaces import ResourceProbe

__all__ = ["mai_register_probes"]


@hookimpl
def mai_register_probes() -> list[type[ResourceProbe]]:
    """The probe of this machine, and those of its GPUs."""
    from mai_backends.probes.apple import AppleProbe
    from mai_backends.probes.drm import DrmProbe
    from mai_backends.probes.nvidia import NvidiaProbe
    from mai_backends.probes.system import SystemProbe

    return [SystemProbe, NvidiaProbe, DrmProbe, AppleProbe]
