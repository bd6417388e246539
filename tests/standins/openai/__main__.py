"""``python -m tests.standins.openai --port N``: a stand-in as a process of its own, until its standard input closes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from tests.standins.faults import Fault
from tests.standins.openai import Flavour, OpenAIStandIn, StandInModel
from tests.standins.openai.models import images_of, text_of


def seen(messages: Sequence[dict[str, Any]]) -> str:
    """What the latest message says and shows, by its bytes."""
    shown = ", ".join(f"{len(image)} bytes" for image in images_of(messages[-1])) or "nothing"
    return f"You show me {shown} and say: {text_of(messages[-1])}"


def main() -> None:
    """Serve, tell the URL in one line, and wait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--flavour", type=Flavour, default=Flavour.LLAMA_SERVER, choices=list(Flavour))
    parser.add_argument("--model", action="append", default=[], help="KEY or KEY=REPLY; may be repeated")
    parser.add_argument("--vision", action="store_true", help="let every model see images and say what it is shown")
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--token-seconds", type=float, default=0.05)
    parser.add_argument("--fault", default="", help=f"one of: {', '.join(fault.name for fault in Fault)}")
    parser.add_argument("--key-from", default="", help="the variable of the environment that holds its API key")
    arguments = parser.parse_args()
    models = []
    for spec in arguments.model:
        key, _, reply = spec.partition("=")
        model = StandInModel(key=key, context=arguments.context, token_seconds=arguments.token_seconds)
        if reply:
            model.reply = reply
        if arguments.vision:
            model.vision, model.reply = True, seen
        models.append(model)
    key = os.environ.get(arguments.key_from, "") if arguments.key_from else ""
    stand_in = OpenAIStandIn(models, flavour=arguments.flavour, key=key, port=arguments.port)
    stand_in.fault = Fault[arguments.fault] if arguments.fault else None
    with stand_in:
        print(stand_in.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
