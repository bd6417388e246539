"""``mai chat``: one question and its answer, or a conversation."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mai_core.cli.help import new_app
from mai_core.cli.invocation import Invocation, run
from mai_core.errors import MaiError

if TYPE_CHECKING:
    from mai_core.policy.messages import Image
    from mai_core.runtime.mai import AsyncMai

__all__ = ["app"]

app = new_app()


@app.command()
def chat(
    ctx: typer.Context,
    prompt: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROMPT", help="What to ask; without it a conversation begins."),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option("--image", "-i", metavar="FILE", help="Show this PNG, JPEG, WebP or GIF; may be given again."),
    ] = None,
    go_on: Annotated[bool, typer.Option("--continue", "-c", help="Go on with the latest conversation.")] = False,
    resume: Annotated[
        str | None, typer.Option("--resume", "-r", metavar="ID", help="Go on with this conversation.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="KEY", help="Let this model answer; another one only if it cannot."),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown/--no-markdown", help="Render markdown when writing to a terminal.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reply and how it came about as JSON.")] = False,
) -> None:
    """Talk to the model that serves best right now.

    With a PROMPT, or text on standard input, the answer is all that standard output gets. With both, the text follows
    the prompt: git diff | mai chat "Write a commit message for this."

    With --image a model that sees answers: mai chat --image cat.jpg "What is this?"
    """
    if go_on and resume is not None:
        raise typer.BadParameter("--continue and --resume exclude each other")
    invocation = Invocation.of(ctx)
    images = _images(image or ())
    text = _question(prompt, shows=bool(images))
    if text is None and (as_json or not sys.stdout.isatty()):
        raise typer.BadParameter("a conversation needs a terminal: give a PROMPT or pipe text in")

    async def main() -> None:
        async with invocation.mai() as mai:
            if go_on or resume is not None:
                await mai.resume(resume)
            if model is not None:
                await mai.switch(model, here_only=True)
            if text is not None:
                await _answer(mai, text, images, markdown=markdown, as_json=as_json)
            else:
                from mai_core.cli.repl import converse

                await converse(mai, invocation, images, markdown=markdown)

    run(main)


async def _answer(mai: AsyncMai, text: str, images: Sequence[Image], *, markdown: bool, as_json: bool) -> None:
    from mai_core.cli.asking import asking
    from mai_core.cli.output import print_json, to_json
    from mai_core.cli.turnview import TurnView, show_turn

    reply = await show_turn(mai.stream(asking(text, images)), TurnView(markdown=markdown, silent=as_json))
    if as_json:
        print_json({"text": reply.text, **to_json(reply)})


def _images(files: Sequence[Path]) -> tuple[Image, ...]:
    """Read before anything is started, and nothing is imported where there are none."""
    if not files:
        return ()
    from mai_core.runtime.sight import read_image

    return tuple(map(read_image, files))


def _question(prompt: list[str] | None, *, shows: bool) -> str | None:
    """The words of the command line and what was piped in; None when a person sits there with nothing said yet.

    Who ``shows`` an image need not say anything where no person sits.
    """
    asked = " ".join(prompt or ())
    if any(0xD800 <= ord(character) <= 0xDFFF for character in asked):
        raise MaiError("the prompt is not text in UTF-8", remedy="check the encoding of your terminal")
    if sys.stdin is None or sys.stdin.isatty():
        if prompt is not None and not asked.strip():
            raise MaiError("the prompt is empty", remedy='say something: mai chat "What is the capital of France?"')
        return asked or None
    piped = _read_text()
    if not (asked + piped).strip() and not shows:
        raise MaiError("there is nothing on standard input", remedy="pipe some text in, or give a PROMPT")
    return "\n\n".join(part for part in (asked, piped.rstrip("\n")) if part.strip())


def _read_text() -> str:
    data = sys.stdin.buffer.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MaiError(
            f"standard input is not text (byte 0x{data[error.start]:02x} at {error.start})",
            remedy="pipe text in UTF-8, not a binary file",
        ) from error
    if (at := text.find("\0")) >= 0:
        raise MaiError(f"standard input is not text (a zero at {at})", remedy="pipe text in UTF-8, not a binary file")
    return text
