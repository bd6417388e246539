"""A server on the loopback that an unmodified LM Studio SDK takes for LM Studio.

::

    with LMStudioStandIn(models=[StandInModel(key="qwen")]) as standin:
        with lmstudio.Client(standin.host) as client: ...
    assert standin.violations == []

Files: ``server`` (thread, port, restarts), ``session`` (one socket), ``calls``, ``loading`` and ``predicting`` (what
the endpoints do), ``machine`` (state and faults), ``problems`` (errors); ``schema``, ``envelopes``, ``settings`` and
``newer`` (the check of both directions); ``record``, ``redact``, ``frames``, ``exercise`` and ``compare`` (real frames
against these).

What is known: the messages, the endpoints and the shape of every packet are those of the published sources of
lmstudio-python and lmstudio-js, whose server side also shows what is passed over in silence: an unknown endpoint or an
invalid parameter gets a ``communicationWarning``, five in all, and never a reply; a message of no known shape gets
nothing. How the SDK takes each failure was measured.

LM Studio itself is closed and runs on no test machine. These are GUESSES, until ``record`` has heard a real one:

- An assistant message at the end of the history is continued, as llama.cpp's templates allow; LM Studio may begin a new
  reply instead. ``Quirk.ANSWERS_AFRESH`` plays that.
- A prediction ends when its socket goes; a load goes on. (That both go on when the client merely stops reading was
  measured.)
- A cancelled load fails with "Model loading was cancelled".
- A taken identifier gets a number, ``key:2``; an explicit one too, where LM Studio may refuse.
- Without a context length a load takes 4096 tokens, and any length asked for is taken, also beyond the model's.
- ``getOrLoad`` unloads every other instance that was loaded that way, of both domains, and nothing loaded explicitly.
- A TTL counts from the end of the last use; counting tokens is a use, ``getModelInfo`` is none.
- A query without an identifier means the instance loaded first.
- What is behind the codes: an unknown key is ``pathNotFound``, a handle of an unloaded model ``noModelMatchingQuery``.
  The titles of errors with a code are made up.
- Out of memory: the guardrail's text is the one people report; while generating, that the engine's own "out of memory"
  arrives as the cause of "The model has crashed without additional information. (Exit code: 6)", and that a crashed
  model is no longer loaded.
- A prompt longer than the window fails with the engine's text under ``stopAtLimit`` and is cut silently otherwise.
- ``promptProcessingProgress`` comes in quarters, one fragment holds one token, tags of reasoning are fragments of their
  own, and a tool call's text is no fragment.
- ``progress`` begins at 0 and ends at 1 just before success; a load that fails ends in ``channelError``.
- The refusal of a token reads "Invalid passkey for LM Studio API token"; ``sk-lm-<identifier>:<passkey>`` is compared
  whole.
- The estimate counts no video memory, with high confidence, and its guardrail agrees with that of the load.
- ``version`` and ``info`` say 0.4.0; listings keep the order of downloads and of loads.
- Ids of tokens, embeddings and the template (ChatML) are made up.
- Frames that are no UTF-8 or of a hundred megabytes arrive in place of a fragment or a row.
"""

from __future__ import annotations

from tests.standins.lmstudio.models import Instance, StandInModel, ToolUse
from tests.standins.lmstudio.quirks import Quirk
from tests.standins.lmstudio.server import LMStudioStandIn

__all__ = ["Instance", "LMStudioStandIn", "Quirk", "StandInModel", "ToolUse"]
