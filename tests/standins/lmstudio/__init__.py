"""A server on the loopback that an unmodified LM Studio SDK takes for LM Studio."""

from __future__ import annotations

from tests.standins.lmstudio.models import Instance, StandInModel, ToolUse
from tests.standins.lmstudio.quirks import Quirk
from tests.standins.lmstudio.server import LMStudioStandIn

__all__ = ["Instance", "LMStudioStandIn", "Quirk", "StandInModel", "ToolUse"]
