"""``python -m tests.standins.lmstudio``: the stand-in as a process of its own, to be frozen or killed."""

from __future__ import annotations

import argparse
import time
from typing import Any

from tests.standins.faults import Fault
from tests.standins.lmstudio import LMStudioStandIn, StandInModel
from tests.standins.lmstudio.models import Message


def seen(messages: list[Message]) -> str:
    """What the latest message shows and says."""
    return f"You show me {messages[-1].get('files', [])} and say: {messages[-1]['content']}"


def main() -> None:
    """Prints the port when it listens, and serves until it is killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.standins.lmstudio", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    parser.add_argument("--model", action="append", metavar="KEY", help="a downloaded model; may be given again")
    parser.add_argument("--token-seconds", type=float, default=0.0, help="seconds between tokens")
    parser.add_argument("--load-seconds", type=float, default=0.0, help="seconds a load takes")
    parser.add_argument("--reply", metavar="TEXT", help="what the models say")
    parser.add_argument("--memory", type=int, metavar="BYTES", help="what all loaded models together may take")
    parser.add_argument("--vision", action="store_true", help="let every model see images and say what it is shown")
    parser.add_argument("--token", help="sk-lm-xxxxxxxx:xxxxxxxxxxxxxxxxxxxx")
    parser.add_argument("--fault", type=_fault, metavar="NAME", help=", ".join(fault.name.lower() for fault in Fault))
    given = parser.parse_args()
    said: dict[str, Any] = {"reply": given.reply} if given.reply is not None else {}
    if given.vision:
        said |= {"vision": True, "reply": seen}
    models = [
        StandInModel(key=key, token_seconds=given.token_seconds, load_seconds=given.load_seconds, **said)
        for key in given.model or ["qwen2.5-0.5b-instruct"]
    ]
    standin = LMStudioStandIn(models=models, port=given.port, token=given.token)
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
