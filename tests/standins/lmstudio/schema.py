"""Both directions against the classes the SDK itself was generated with, unknown keys included."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from lmstudio import _sdk_models as sdk

from tests.standins.lmstudio.envelopes import Authentication, FromClient, FromServer
from tests.standins.lmstudio.newer import newer_side, wrong_newer

__all__ = ["Schema"]


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


@cache
def _side(namespace: str, endpoint: str, side: str) -> Any:
    """The type of one side of an endpoint; None where nothing may be said, ``LookupError`` where it is unknown."""
    newer = newer_side(namespace, endpoint, side)
    if newer is not None:
        return newer
    kind = "channel" if side in ("creationParameter", "toClientPacket", "toServerPacket") else "rpc"
    spoken = {field.encode_name: field.type for field in msgspec.structs.fields(sdk.Model)}.get(namespace)
    if spoken is None:
        raise LookupError(namespace)
    endpoints = {field.encode_name: field.type for field in msgspec.structs.fields(spoken)}
    if kind + _capital(endpoint) not in endpoints:
        raise LookupError(f"{namespace}.{endpoint}")
    sides = {field.encode_name: field.type for field in msgspec.structs.fields(endpoints[kind + _capital(endpoint)])}
    found = sides.get(side)
    return None if found in (None, Any, Any | None) else found


class Schema:
    """Collects in ``violations`` what does not keep to the schema."""

    def __init__(self, violations: list[str]) -> None:
        self.violations = violations

    def authentication(self, packet: Any) -> bool:
        """Whether this is the packet a client begins with."""
        return self._check("authentication", packet, Authentication) is None

    def envelope(self, message: Any) -> bool:
        """Whether a message from a client has one of the known shapes."""
        return self._check("message", message, FromClient) is None

    def from_server(self, message: Any) -> bool:
        """Whether a message to a client has one of the known shapes."""
        return self._check("message", message, FromServer) is None

    def inbound_call(self, namespace: str, endpoint: str, parameter: Any) -> str | None:
        return self._inbound(namespace, endpoint, "parameter", parameter)

    def inbound_channel(self, namespace: str, endpoint: str, parameter: Any) -> str | None:
        return self._inbound(namespace, endpoint, "creationParameter", parameter)

    def outbound(self, namespace: str, endpoint: str, packet: Any) -> None:
        self._outbound(namespace, endpoint, "toClientPacket", packet)

    def result(self, namespace: str, endpoint: str, result: Any) -> None:
        self._outbound(namespace, endpoint, "returns", result)

    def problem(self, packet: Any) -> None:
        self._check("error", packet, sdk.SerializedLMSExtendedError)
        if "displayData" in packet:
            self._check("error.displayData", packet["displayData"], sdk.ErrorDisplayData)

    def _inbound(self, namespace: str, endpoint: str, side: str, data: Any) -> str | None:
        where = f"{namespace}.{endpoint}.{side}"
        try:
            expected = _side(namespace, endpoint, side)
        except LookupError:
            self.violations.append(f"{where}: unknown endpoint")
            return "unknown endpoint"
        if expected is None:
            if data is None:
                return None
            self.violations.append(f"{where}: nothing is expected here")
            return "nothing is expected here"
        return self._check(where, data, expected)

    def _outbound(self, namespace: str, endpoint: str, side: str, data: Any) -> None:
        where = f"{namespace}.{endpoint}.{side}"
        expected = _side(namespace, endpoint, side)
        if expected is None:
            if data is not None:
                self.violations.append(f"{where}: nothing is expected here")
            return
        if data is None:
            return
        self._check(where, data, expected)

    def _check(self, where: str, data: Any, expected: Any) -> str | None:
        """What is wrong with the types, if anything; unknown keys are noted only, as the server passes over them."""
        try:
            kept = msgspec.to_builtins(msgspec.convert(data, expected))
        except msgspec.ValidationError as error:
            self.violations.append(f"{where}: {error}")
            return str(error)
        self.violations.extend(wrong_newer(where, data, kept))
        return None
