"""``mai rate``: say how the last reply was, and see what that taught."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mai_core.cli.help import new_app
from mai_core.cli.invocation import Invocation, run
from mai_core.cli.output import ink, note, print_json, print_table
from mai_core.cli.tables import table

if TYPE_CHECKING:
    from rich.table import Table

    from mai_core.policy.lessons import Lesson

__all__ = ["app", "lessons_view", "rated"]

app = new_app()


class Verdict(StrEnum):
    """What a person says of a reply."""

    GOOD = "good"
    BAD = "bad"


@app.command()
def rate(
    ctx: typer.Context,
    verdict: Annotated[
        Verdict | None, typer.Argument(metavar="good|bad", help="How the last reply was.", case_sensitive=False)
    ] = None,
    conversation: Annotated[
        str | None,
        typer.Option("--conversation", metavar="ID", help="Rate the last reply of this one, not of the latest."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show what your own outcomes taught of each model.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Delete all outcomes, and what they taught.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how the last reply was, or see what that taught.

    Models are judged by how their replies turn out for you: by what you say here or with /good and /bad, by /retry and
    /edit, by what goes wrong. It stays in your own database, without a word of what was said. The setting
    learning.outcomes turns it off.
    """
    invocation = Invocation.of(ctx)
    if (verdict is not None) + show + forget != 1:
        raise typer.BadParameter("say good or bad, or give --show or --forget")
    if forget:
        _forget(invocation, as_json)
    elif verdict is None:
        _show(invocation, as_json)
    else:
        _rate(invocation, verdict, conversation, as_json)


def _rate(invocation: Invocation, verdict: Verdict, conversation: str | None, as_json: bool) -> None:
    async def main() -> str:
        async with invocation.mai() as mai:
            await mai.resume(conversation)
            return await mai.rate(verdict is Verdict.GOOD)

    model = run(main)
    if as_json:
        print_json({"model": model, "verdict": verdict.value})
    else:
        print(rated(model, good=verdict is Verdict.GOOD))


def _show(invocation: Invocation, as_json: bool) -> None:
    async def main() -> tuple[Lesson, ...]:
        async with invocation.mai() as mai:
            return await mai.learnt()

    lessons = run(main)
    if as_json:
        print_json(lessons)
    elif lessons:
        print_table(lessons_view(lessons))
    elif invocation.settings.settings.learning.outcomes:
        note("Nothing is learnt yet: talk to Mai, and say /good or /bad.")
    else:
        note("Nothing is learnt from outcomes: mai config set learning.outcomes true")


def _forget(invocation: Invocation, as_json: bool) -> None:
    with invocation.store() as store:
        forgotten = store.forget_outcomes()
    if as_json:
        print_json({"forgotten": forgotten})
    else:
        print(
            f"{'1 outcome' if forgotten == 1 else f'{forgotten} outcomes'} forgotten; models are as they were shipped."
        )


def rated(model: str, *, good: bool) -> str:
    """What a person is told after rating."""
    return f"{model} did {'well' if good else 'badly'}: that counts when a model is chosen for such tasks."


def lessons_view(lessons: Iterable[Lesson]) -> Table:
    """One row for each model and kind of task."""
    numbers = ("Outcomes", "Rated", "Expected", "Turned out", "Now")
    made = table("Model", "Task", *numbers, right=numbers, drop=("Rated", "Turned out"))
    for lesson in lessons:
        change = lesson.now - lesson.before
        colour = "green" if change >= 0.005 else "red" if change <= -0.005 else ""
        made.add_row(
            ink((lesson.model, "cyan")),
            lesson.kind.value,
            str(lesson.outcomes),
            str(lesson.rated),
            f"{lesson.before:.2f}",
            f"{lesson.turned_out:.2f}",
            ink((f"{lesson.now:.2f}", colour), (f" ±{lesson.error:.2f}", "dim")),
        )
    return made
