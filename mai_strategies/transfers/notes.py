"""The text that stands for what is not sent.

It ends up in the system message, so it says whose words it repeats. Every item is one line that begins with a dash:
nothing a person or a model wrote can pass for a heading.
"""

from __future__ import annotations

from dataclasses import dataclass

from mai_core.policy.messages import Role

__all__ = ["Extract", "Notes"]

TITLE = "Notes on {} earlier messages of this conversation."
ASKED = "Asked by the person"
REQUESTS = f"{ASKED}, still to be followed; where two differ, the last one holds:"
DIGEST = "In short:"
EXTRACTS = "Said earlier:"
SPEAKERS = {Role.USER: "User", Role.ASSISTANT: "Assistant", Role.TOOL: "Tool"}
_ROLES = {name: role for role, name in SPEAKERS.items()}


@dataclass(frozen=True, slots=True)
class Extract:
    """Sentences quoted from one message."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Notes:
    """Standing requests in full, what a model wrote of it all, and quotations, from about ``covered`` messages."""

    requests: tuple[str, ...] = ()
    extracts: tuple[Extract, ...] = ()
    covered: int = 0
    digest: tuple[str, ...] = ()

    @property
    def is_summary(self) -> bool:
        """Whether something in it stands for the messages that are not sent."""
        return bool(self.extracts or self.digest)

    @property
    def text(self) -> str:
        """The notes as a model reads them; empty when there are none."""
        if not self.requests and not self.is_summary:
            return ""
        lines = [TITLE.format(self.covered)]
        if self.requests:
            lines += [REQUESTS, *(f"- {request}" for request in self.requests)]
        if self.digest:
            lines += [DIGEST, *(f"- {line}" for line in self.digest)]
        if self.extracts:
            lines += [EXTRACTS, *(f"- {SPEAKERS[e.role]}: {e.text}" for e in self.extracts)]
        return "\n".join(lines)

    @classmethod
    def parse(cls, text: str) -> Notes:
        """What ``text`` was made of; lines it did not write are left out."""
        requests, extracts, digest, heading = list[str](), list[Extract](), list[str](), ""
        for line in text.split("\n"):
            if not line.startswith("- "):
                heading = line
            elif heading.startswith(ASKED):
                requests.append(line[2:])
            elif heading == DIGEST:
                digest.append(line[2:])
            elif heading == EXTRACTS:
                speaker, _, said = line[2:].partition(": ")
                if speaker in _ROLES:
                    extracts.append(Extract(_ROLES[speaker], said))
        return cls(tuple(requests), tuple(extracts), digest=tuple(digest))
