"""An Ollama server on the loopback: its HTTP interface, its scheduler of one runner a model, and its failures.

Built from Ollama's sources at version 0.33 (``api/types.go``, ``server/routes.go``, ``server/sched.go``,
``server/model_list_cache.go``, ``llm/llama_server.go``, ``llm/status.go``, ``envconfig/config.go``) and its
``docs/api.md``. No Ollama was there to be measured. What follows from those sources:

- one runner for the same weights, loaded anew for a request that differs in ``num_ctx`` (clamped to the trained
  context, at least 2048 with vision), ``num_gpu`` unless -1, ``num_thread``, ``num_batch`` or ``shift``
- ``truncate`` true drops the oldest messages without a word; false has the engine refuse; before 0.12.6 neither
  ``truncate`` nor ``shift`` is known in a chat, before 0.11 ``/api/ps`` tells no context
- a chat of no messages loads, with ``keep_alive`` 0 unloads; a negative one keeps for ever; without one the last stays
- ``prompt_eval_count`` counts the cached part of a prompt, too; counts and durations of 0 are left out
- errors before the first line have a status, those after it are a line with ``error`` under status 200
- whoever hangs up stops the load or the reply; a stream may end without ``done`` after thirty equal pieces
- tool calls come whole, in the last line of the engine's own chat template

Guesses, to be replaced by what a real server is seen to do:

- a last message of the assistant is continued: true of the engine's own templates and of most of Ollama's
- what the engine says about a prompt that is too long, and of a runner out of memory, is from its sources and from
  reports, passed on by Ollama as a JSON text within ``error``
- the version at which "llama runner process" became "llama-server process" in errors
- a wrong key is refused by a proxy in front of Ollama, which has no keys of its own, with 401 and JSON
- sizes of the pieces, and the times loads and tokens take
"""

from tests.standins.ollama.models import StandInModel
from tests.standins.ollama.server import OllamaStandIn

__all__ = ["OllamaStandIn", "StandInModel"]
