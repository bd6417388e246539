"""``python -m tests.standins.openai --port N``: a stand-in as a process of its own, until its standard input closes."""

from __future__ import annotations

import argparse
import os
import sys

from tests.standins.faults import Fault
from tests.standins.openai import Flavour, OpenAIStandIn, StandInModel


def main() -> None:
    """Serve, tell the URL in one line, and wait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--flavour", type=Flavour, default=Flavour.LLAMA_SERVER, choices=list(Flavour))
    parser.add_argument("--model", action="append", default=[], help="KEY or KEY=REPLY; may be repeated")
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
        models.append(model)
    key = os.environ.get(arguments.key_from, "") if arguments.key_from else ""
    stand_in = OpenAIStandIn(models, flavour=arguments.flavour, key=key, port=arguments.port)
    stand_in.fault = Fault[arguments.fault] if arguments.fault else None
    with stand_in:
        print(stand_in.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
