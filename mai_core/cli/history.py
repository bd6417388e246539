"""``mai history``: list, show, search, export and delete conversations."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mai_core.cli.asking import image_line
from mai_core.cli.help import new_app
from mai_core.cli.invocation import Invocation, run
from mai_core.cli.output import ago, ink, is_fancy, note, out, print_json, print_table
from mai_core.cli.tables import table
from mai_core.errors import StoreError
from mai_core.policy.messages import Conversation, Role, StopReason

if TYPE_CHECKING:
    from rich.table import Table

    from mai_core.runtime.store import ConversationSummary

__all__ = ["ExportFormat", "app", "export_text", "history_view", "show_conversation", "write_export"]

app = new_app()

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="A conversation's id or its beginning.")]


class ExportFormat(StrEnum):
    """What a conversation is written as."""

    MARKDOWN = "md"
    JSON = "json"


@app.callback(invoke_without_command=True)
def history(ctx: typer.Context, limit: Limit = 20, as_json: Json = False) -> None:
    """List, show, search, export and delete conversations. Without a command: the latest ones."""
    if ctx.invoked_subcommand is None:
        _list(Invocation.of(ctx), limit, "", as_json)


@app.command("list")
def list_(ctx: typer.Context, limit: Limit = 20, as_json: Json = False) -> None:
    """The latest conversations."""
    _list(Invocation.of(ctx), limit, "", as_json)


@app.command()
def search(
    ctx: typer.Context,
    text: Annotated[
        list[str], typer.Argument(metavar="TEXT", help="Words that one message has to hold, or their beginnings.")
    ],
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """The conversations in which something was said."""
    _list(Invocation.of(ctx), limit, " ".join(text), as_json)


@app.command()
def show(ctx: typer.Context, id: Id, as_json: Json = False) -> None:
    """One conversation, whole."""
    with Invocation.of(ctx).store() as store:
        conversation = store.conversation(id)
    if as_json:
        print_json(conversation)
    else:
        show_conversation(conversation)


@app.command()
def export(
    ctx: typer.Context,
    id: Id,
    format: Annotated[ExportFormat, typer.Option("--format", "-f", help="Markdown, or JSON that keeps all.")] = (
        ExportFormat.MARKDOWN
    ),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to a file instead.")
    ] = None,
) -> None:
    """Write a conversation as Markdown or JSON."""
    with Invocation.of(ctx).store() as store:
        conversation = store.conversation(id)
        ratings = store.ratings(conversation.id)
    text = export_text(conversation, format, ratings)
    if output is None:
        sys.stdout.write(text)
    else:
        write_export(text, output)
        note(f"{len(conversation.messages)} messages written to {output}")


@app.command()
def delete(
    ctx: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Conversations to delete for good.")],
) -> None:
    """Delete conversations for good, and what engines kept of them."""
    invocation = Invocation.of(ctx)
    with invocation.store() as store:
        doomed = [store.conversation(id) for id in ids]
        _forget_states(invocation, [conversation.id for conversation in doomed])
        for conversation in doomed:
            store.delete(conversation.id)
            print(f"{conversation.id}  {conversation.title}  deleted")


def _forget_states(invocation: Invocation, conversations: Sequence[str]) -> None:
    """Let every backend delete what it keeps on disk; none of them is started for it."""
    from mai_core.runtime.assembly import build_backends
    from mai_core.runtime.keeping import forget
    from mai_core.settings import load_catalogue

    settings, paths = invocation.settings.settings, invocation.paths
    backends, _ = build_backends(settings, invocation.registry(), paths, load_catalogue(paths))
    run(lambda: forget(backends.values(), conversations))


def _list(invocation: Invocation, limit: int, text: str, as_json: bool) -> None:
    with invocation.store() as store:
        found = store.conversations(limit=limit, search=text)
    if as_json:
        print_json(found)
    elif found:
        print_table(history_view(found, searched=bool(text)))
    else:
        note(f"No conversation holds “{text}”." if text else "No conversations yet: mai chat begins one.")


def history_view(found: Sequence[ConversationSummary], *, searched: bool = False) -> Table:
    """One row a conversation, the latest first."""
    columns = ("Id", "When", "Messages", "Found" if searched else "Title", "Models")
    made = table(*columns, right=("Messages",), drop=("Models", "Messages"))
    made.columns[3].max_width = 60
    made.columns[4].max_width = 40
    for one in found:
        made.add_row(
            ink((one.id, "cyan")),
            ink((ago(one.updated), "dim")),
            str(one.messages),
            (one.snippet if searched else one.title) or "–",
            ink((", ".join(one.models) or "–", "dim")),
        )
    return made


def show_conversation(conversation: Conversation, *, last: int | None = None) -> None:
    """Print a conversation, or its last messages, as it was seen when it took place."""
    console, fancy = out(), is_fancy(sys.stdout)
    if last is None:
        console.print(ink((conversation.title or "Untitled", "bold"), (f"  {conversation.id}", "dim")), soft_wrap=True)
        console.print()
    messages = conversation.messages if last is None else conversation.messages[-last:]
    for message in messages:
        for image in message.images:
            console.print(ink((image_line(image), "dim")), soft_wrap=True)
        if message.role is Role.USER:
            console.print(ink(("› ", "bold cyan"), message.content), soft_wrap=True)
        elif fancy:
            from mai_core.cli.markdown import render_markdown

            sys.stdout.write("\n".join(render_markdown(console, message.content)) + "\n")
        else:
            print(message.content)
        remarks = [f"written by {', then '.join(message.authors)}"] if message.earlier else []
        if message.stop in (StopReason.CANCELLED, StopReason.FAILED):
            remarks.append(message.stop.value)
        if remarks:
            console.print(ink((f"({'; '.join(remarks)})", "dim")), soft_wrap=True)
        console.print()


def export_text(conversation: Conversation, format: ExportFormat, ratings: Mapping[int, float]) -> str:
    """The conversation in a file's format, ending with a line break; JSON has the ``ratings`` of its replies, too."""
    from mai_core.runtime.export import to_json, to_markdown

    text = to_json(conversation, ratings) if format is ExportFormat.JSON else to_markdown(conversation)
    return text if text.endswith("\n") else text + "\n"


def write_export(text: str, path: Path) -> None:
    """Write a file that must not exist yet. Raises ``StoreError``."""
    try:
        with path.expanduser().open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise StoreError(f"{path} already exists", remedy="choose another name, or delete it first") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror})", remedy="choose another place") from error
