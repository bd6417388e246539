"""OpenAI-compatible servers on the loopback, in the dialects people run, with everything that goes wrong with them.

What each flavour answers was written down from the servers themselves where they run here (llama-server as the embedded
engine, LiteLLM's proxy: see the tests with the real ones), and from their sources and documentation elsewhere. Guessed
are: vLLM's and SGLang's exact words of an overflow and of a dead engine, which change from release to release;
llama-swap's words when a model does not start; LM Studio's words when memory is short.
"""

from tests.standins.openai.models import Flavour, StandInModel
from tests.standins.openai.server import OpenAIStandIn

__all__ = ["Flavour", "OpenAIStandIn", "StandInModel"]
