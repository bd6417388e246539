"""JSON from and to servers that are not trusted to be well."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["encode", "parse_json", "well_formed"]

_SURROGATES = re.compile("[\ud800-\udfff]")


def encode(request: dict[str, Any]) -> bytes:
    """JSON that every server's parser takes whatever a person pasted: half a surrogate pair becomes a question mark."""
    return json.dumps(request, ensure_ascii=False).encode("utf-8", "replace")


def parse_json(body: bytes | str) -> Any:
    """What the JSON says; bytes that are no UTF-8 are replaced. Raises ``ValueError``, however deep it is nested."""
    text = body if isinstance(body, str) else body.decode("utf-8", "replace")
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise ValueError("nested too deep") from None


def well_formed(text: str) -> str:
    """Text that can be written as UTF-8: escaped surrogates that belong together are joined, others replaced."""
    if not _SURROGATES.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
