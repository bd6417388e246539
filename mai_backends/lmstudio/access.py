"""What there is to show LM Studio who we are, and what is missing where it does not let us in."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from mai_core.errors import AccessDenied

__all__ = ["Access"]

UPGRADE = "pip install --upgrade --pre lmstudio"
"""Only the pre-releases of its SDK can show a token; without ``--upgrade`` an installed one is left as it is."""


@dataclass(frozen=True, slots=True)
class Access:
    """``token`` is whether one is set, ``shows`` whether the SDK can show one; ``option`` is the setting for it."""

    option: str
    token: bool
    shows: bool

    def denied(self, where: str, detail: str) -> AccessDenied:
        """Why LM Studio at ``where`` lets nobody in, and what is to be done about just that."""
        wants, sdk = f"LM Studio at {where} wants an API token", f"lmstudio {version('lmstudio')}"
        setting = f"make one in LM Studio, then mai config set {self.option} env:NAME"
        if self.token and self.shows:
            told = f"LM Studio at {where} refuses the API token it is shown"
            remedy = f"make another in LM Studio; {self.option} says where it is, else LM_API_TOKEN holds it"
        elif self.shows:
            told, remedy = f"{wants}, and none is set", setting
        elif self.token:
            told, remedy = f"{wants}, and {sdk} cannot show the one that is set", UPGRADE
        else:
            told, remedy = f"{wants}: none is set, and {sdk} could not show it", f"{UPGRADE}; {setting}"
        return AccessDenied(told, remedy=remedy, detail=detail)
