"""Both directions against the classes the SDK itself was generated with, unknown keys included."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from lmstudio import _sdk_models as sdk

from tests.standins.lmstudio.envelopes import Authentication, FromClient, FromServer
from tests.standins.lmstudio.newer import ENDPOINTS, wrong_newer
from tests.standins.lmstudio.settings import wrong_settings

__all__ = ["Schema"]

_CHANNEL_SIDES = ("creationParameter", "toClientPacket", "toServerPacket")


def _fields(struct: Any) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(struct)}


@cache
def _side(namespace: str, endpoint: str, side: str) -> Any:
    """The type of one side of an endpoint, None where nothing may be said. ``LookupError`` if there is no such."""
    if (namespace, endpoint) in ENDPOINTS:
        return ENDPOINTS[namespace, endpoint].get(side)
    kind = "channel" if side in _CHANNEL_SIDES else "rpc"
    name = kind + endpoint[:1].upper() + endpoint[1:]
    spoken = _fields(sdk.Model)
    if namespace not in spoken or name not in _fields(spoken[namespace]):
        raise LookupError(f"{namespace}.{endpoint}")
    try:
        found = _fields(_fields(spoken[namespace])[name]).get(side)
    except TypeError:  # an endpoint that says nothing in either direction has no class of its own
        return None
    return None if found in (None, Any, Any | None) else found


class Schema:
    """Collects in ``violations`` what does not keep to the schema.

    Every method returns whether a server would understand what it got: keys it does not know are noted, but LM Studio
    passes over them.
    """

    def __init__(self, violations: list[str]) -> None:
        self.violations = violations

    def authentication(self, packet: Any) -> bool:
        """The packet a client begins with."""
        return self._check("authentication", packet, Authentication)

    def from_client(self, message: Any) -> bool:
        """A message of one of the shapes clients send."""
        return self._check("message", message, FromClient)

    def from_server(self, message: Any) -> bool:
        """A message of one of the shapes servers send."""
        return self._check("message", message, FromServer)

    def problem(self, error: Any) -> bool:
        """What an ``rpcError`` or a ``channelError`` holds."""
        fits = self._check("error", error, sdk.SerializedLMSExtendedError)
        if fits and error.get("displayData") is not None:
            return self._check("error.displayData", error["displayData"], sdk.ErrorDisplayData)
        return fits

    def packet(self, namespace: str, endpoint: str, side: str, data: Any) -> bool:
        """One side of an endpoint: parameter, returns, creationParameter, toClientPacket or toServerPacket."""
        where = f"{namespace}.{endpoint}.{side}"
        try:
            expected = _side(namespace, endpoint, side)
        except LookupError:
            self.violations.append(f"{where}: unknown endpoint")
            return False
        if expected is None:
            if data is not None:
                self.violations.append(f"{where}: nothing is expected here")
            return data is None
        if data is None and side == "returns":
            return True
        return self._check(where, data, expected)

    def _check(self, where: str, data: Any, expected: Any) -> bool:
        try:
            kept = msgspec.to_builtins(msgspec.convert(data, expected))
        except msgspec.ValidationError as error:
            self.violations.append(f"{where}: {error}")
            return False
        self.violations.extend(wrong_newer(where, data, kept))
        if where.endswith(("creationParameter", ".parameter")):
            self.violations.extend(wrong_settings(where, data))
        return True
