"""A model of a server, and what was learned from asking it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mai_backends.estimating import TokenEstimate
from mai_backends.openai_compatible.counting import Tokenizer
from mai_backends.openai_compatible.kinds import Kind
from mai_backends.openai_compatible.listing import props_path
from mai_backends.openai_compatible.server import Server
from mai_backends.windows import believable

__all__ = ["ServedModel"]


@dataclass(slots=True)
class ServedModel:
    """What the backend keeps of a model between its replies.

    id          its id on the server
    listed_by   the kind of server that lists it
    kind        what answers for it: behind a router, the server it starts, as far as that is known
    continuing  what the settings say of ``continues``; ``auto`` goes by ``kind``
    tokenizer   counts tokens, where the server does; ``estimate`` where it does not
    window      tokens of its window, as the server behind a router or a refusal told; 0 until then
    without     fields of the request that it refused
    seen        whether the server behind a router was asked what it is
    """

    id: str
    listed_by: Kind
    kind: Kind
    continuing: Literal["auto", "yes", "no"]
    tokenizer: Tokenizer
    estimate: TokenEstimate = field(default_factory=TokenEstimate)
    window: int = 0
    without: set[str] = field(default_factory=set)
    seen: bool = False

    @classmethod
    def of(cls, key: str, kind: Kind, server: Server, *, continues: Literal["auto", "yes", "no"]) -> ServedModel:
        """A model nobody has asked yet."""
        return cls(key, kind, kind, continues, Tokenizer(server, key, kind))

    @property
    def continues(self) -> bool:
        """Whether a last message of the assistant is gone on with."""
        return self.kind.continues if self.continuing == "auto" else self.continuing == "yes"

    @property
    def props_path(self) -> str:
        """Where the server behind a router tells what it is; empty when there is no router."""
        return props_path(self.listed_by, self.id) if self.listed_by.loads else ""

    def learn(self, props: Mapping[str, Any]) -> None:
        """Take to heart what llama.cpp's server behind a router said; nothing when something else is behind it."""
        if window := believable(props.get("served_context")):
            self.window = window
            self.kind = Kind.LLAMA_SERVER
