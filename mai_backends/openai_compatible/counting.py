"""Token counts by a server's own tokenizer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from mai_backends.openai_compatible.kinds import Kind
from mai_backends.openai_compatible.server import Server
from mai_backends.wire.errors import Refused, WireError
from mai_core.errors import BackendUnavailable

__all__ = ["Tokenizer"]

AT_ONCE = 4
SECONDS = 10.0
"""For all texts of a prompt together."""
_NOT_THERE = frozenset({403, 404, 405, 501})


class Tokenizer:
    """The ``/tokenize`` of one model, where there is one."""

    def __init__(self, server: Server, model: str, kind: Kind) -> None:
        upstream = f"/upstream/{quote(model)}" if kind is Kind.LLAMA_SWAP else ""
        self._path = f"{upstream}/tokenize"
        self._server = server
        self._model = model
        self._there = kind.llama or kind in (Kind.VLLM, Kind.SGLANG, Kind.LLAMA_SWAP)
        self._places = asyncio.Semaphore(AT_ONCE)

    async def count(self, texts: Sequence[str]) -> list[int] | None:
        """Tokens of each text alone; None where the server does not count. Raises ``BackendUnavailable``."""
        if not self._there:
            return None
        try:
            return await self._all(texts)
        except Refused as error:
            self._there = error.refusal.status not in _NOT_THERE
        except WireError:
            self._there = False
        return None

    async def _all(self, texts: Sequence[str]) -> list[int]:
        """None of them is asked for any more once one has failed."""
        counting = [asyncio.ensure_future(self._count(text)) for text in texts]
        try:
            async with asyncio.timeout(SECONDS):
                return await asyncio.gather(*counting)
        except TimeoutError as error:
            raise BackendUnavailable(f"{self._server.where} has not counted tokens within {SECONDS:g} s") from error
        finally:
            for count in counting:
                count.cancel()
            await asyncio.gather(*counting, return_exceptions=True)

    async def _count(self, text: str) -> int:
        if not text:
            return 0
        # Each server takes its own fields and passes over the others': llama.cpp those with content, vLLM and SGLang
        # those with prompt.
        body: dict[str, Any] = {
            "model": self._model,
            "content": text,
            "prompt": text,
            "add_special": False,
            "add_special_tokens": False,
            "parse_special": False,
        }
        async with self._places:
            answer = (await self._server.ask(self._path, body, seconds=SECONDS)).content
        return _tokens(answer)


def _tokens(answer: object) -> int:
    """llama.cpp lists the tokens; vLLM and SGLang give their number as well. Raises ``WireError`` for neither."""
    if isinstance(answer, dict):
        if isinstance(number := answer.get("count"), int) and not isinstance(number, bool) and number >= 0:
            return number
        if isinstance(tokens := answer.get("tokens"), list):
            return len(tokens)
    raise WireError("no tokens")
