"""Things LM Studio does that are no fault of a machine, and that a client must live with."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Quirk"]


class Quirk(StrEnum):
    """Each may be put into ``LMStudioStandIn.quirks`` while the server runs."""

    CLOSES_WITHOUT_SUCCESS = "a channel closes without its success packet"
    CRASHES_MID_STREAM = "the engine dies in mid-stream and says nothing about why"
    STOPS_AS_FAILED = "a prediction ends with the stop reason failed"
    NEWER_CONFIG_VALUE = "the success packet holds a configuration value the SDK does not know"
    NEWER_PACKET = "a channel sends a packet of a type the SDK does not know"
    NO_ESTIMATE = "an older server, which does not know estimateModelUsage"
    LACKS_IS_STRUCTURAL = "an older server, which does not send fragment.isStructural"
    FAILS_TO_LOAD = "the engine cannot load the model, for a reason other than memory"
    CLOSES_THE_SOCKET = "the socket is closed in mid-stream as WebSocket asks, code 1001"
    ANSWERS_AFRESH = "an assistant message at the end of the history is answered, not continued"
