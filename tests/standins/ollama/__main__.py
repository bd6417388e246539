"""``python -m tests.standins.ollama``: the stand-in as a process of its own, to be stopped or killed."""

from __future__ import annotations

import argparse
import time
from typing import Any

from tests.standins.faults import Fault
from tests.standins.ollama import OllamaStandIn, StandInModel


def main() -> None:
    """Prints the port when it listens, and serves until it is killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.standins.ollama", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    parser.add_argument("--model", action="append", metavar="NAME", help="a model on its disk; may be given again")
    parser.add_argument("--token-seconds", type=float, default=0.0, help="seconds between tokens")
    parser.add_argument("--load-seconds", type=float, default=0.0, help="seconds a load takes")
    parser.add_argument("--reply", metavar="TEXT", help="what the models say, again and again")
    parser.add_argument("--reply-tokens", type=int, default=400, help="how much they say")
    parser.add_argument("--memory", type=int, metavar="BYTES", help="what all loaded models together may take")
    parser.add_argument("--vision", action="store_true", help="let every model see images")
    parser.add_argument("--fault", type=_fault, metavar="NAME", help=", ".join(fault.name.lower() for fault in Fault))
    given = parser.parse_args()
    said: dict[str, Any] = {"reply": given.reply} if given.reply is not None else {}
    models = [
        StandInModel(
            name=name,
            token_seconds=given.token_seconds,
            load_seconds=given.load_seconds,
            reply_tokens=given.reply_tokens,
            capabilities=("completion", "tools", *(["vision"] if given.vision else [])),
            **said,
        )
        for name in given.model or ["llama3.2:latest"]
    ]
    standin = OllamaStandIn(models=models, port=given.port)
    if given.memory is not None:
        standin.memory = given.memory
    standin.fault = given.fault
    with standin:
        print(standin.port, flush=True)
        while True:
            time.sleep(60)


def _fault(name: str) -> Fault:
    try:
        return Fault[name.upper().replace("-", "_")]
    except KeyError:
        raise argparse.ArgumentTypeError(f"no fault {name!r}") from None


if __name__ == "__main__":
    main()
