"""``mai config``: show, change and check the settings."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mai_core.cli.help import new_app
from mai_core.cli.invocation import Invocation
from mai_core.cli.output import err, ink, note, print_json, print_table
from mai_core.cli.tables import table
from mai_core.errors import SettingsError

__all__ = ["app"]

app = new_app()

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="KEY", help="A setting, such as selection.arbiter.")]


@app.callback(invoke_without_command=True)
def config(ctx: typer.Context) -> None:
    """Show, change and check the settings. Without a command: show them."""
    if ctx.invoked_subcommand is None:
        show(ctx)


@app.command()
def path(ctx: typer.Context) -> None:
    """Where your settings file is, whether it exists yet or not."""
    print(Invocation.of(ctx).paths.settings_file)


@app.command()
def show(
    ctx: typer.Context,
    section: Annotated[str, typer.Argument(metavar="SECTION", help="Only settings that begin so.")] = "",
    changed: Annotated[bool, typer.Option("--changed", "-c", help="Only what differs from the defaults.")] = False,
    as_json: Json = False,
) -> None:
    """Every setting, its value, and where that comes from."""
    loaded = Invocation.of(ctx).settings
    leaves = [
        leaf
        for leaf in loaded.leaves()
        if (leaf.name == section or leaf.name.startswith(f"{section}.") or not section)
        and not (changed and leaf.origin == "default")
    ]
    if section and not leaves and not changed:
        loaded.origin(section)
    if as_json:
        print_json([{"name": leaf.name, "value": leaf.value, "origin": leaf.origin} for leaf in leaves])
        return
    made = table("Setting", "Value", "From", wrap=("Value",), drop=("From",))
    for leaf in leaves:
        own = leaf.origin != "default"
        made.add_row(
            ink((leaf.name, "cyan")),
            ink((_shown(leaf.name, leaf.value), "bold" if own else "")),
            ink((leaf.origin, "" if own else "dim")),
        )
    print_table(made)


@app.command()
def get(ctx: typer.Context, key: Name, as_json: Json = False) -> None:
    """The value of one setting."""
    loaded = Invocation.of(ctx).settings
    for leaf in loaded.leaves():
        if leaf.name == key:
            print_json(leaf.value) if as_json else print(_shown(key, leaf.value))
            return
    loaded.origin(key)


@app.command("set")
def set_(
    ctx: typer.Context,
    key: Name,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Text, a number, true, or a list such as [a, b].")],
) -> None:
    """Change one setting in your file; comments stay."""
    from mai_core.cli.acceptance import accepted
    from mai_core.settings import propose

    invocation = Invocation.of(ctx)
    change = propose(invocation.paths.settings_file, key, value)
    remarks = accepted(change, invocation)
    change.write()
    note(f"{key} is now {_shown(key, change.value)} in {change.file}")
    for remark in remarks:
        note(f"still amiss: {remark}")


@app.command()
def unset(ctx: typer.Context, key: Name) -> None:
    """Take one setting out of your file, so that its default counts again."""
    from mai_core.settings import unset_value

    file = Invocation.of(ctx).paths.settings_file
    note(f"{key} is back to its default" if unset_value(file, key) else f"{key} is not set in {file}")


@app.command()
def validate(ctx: typer.Context) -> None:
    """Check your file; exit code 1 when something in it is wrong."""
    invocation = Invocation.of(ctx)
    file = invocation.paths.settings_file
    if _problems(file):
        raise typer.Exit(1)
    if _refused(invocation):
        raise typer.Exit(1)
    print(f"{file} is fine" if file.exists() else f"{file} does not exist: every setting has its default")


@app.command()
def edit(ctx: typer.Context) -> None:
    """Open your file in $EDITOR and check it afterwards; a file that is wrong never stays behind unnoticed."""
    invocation = Invocation.of(ctx)
    file = invocation.paths.settings_file
    before = _contents(file)
    while True:
        _run_editor(file)
        if not _problems(file):
            break
        if not (sys.stdin.isatty() and typer.confirm("Edit again?", default=True, err=True)):
            _put_back(file, before)
            raise SettingsError("the file was not valid", remedy="your former settings were put back")
    # What a backend still lacks may follow: the file is kept, and what is amiss is told.
    if not _refused(invocation):
        note("no changes" if _contents(file) == before else f"{file} is fine")


def _shown(key: str, value: Any) -> str:
    from mai_core.settings import Settings
    from mai_core.settings.overrides import written
    from mai_core.settings.secrecy import masked

    where = tuple(key.split("."))
    return written(Settings, where, masked(value, where))


def _problems(file: Path) -> tuple[str, ...]:
    from mai_core.settings import validate as problems_of

    found = problems_of(file)
    for problem in found:
        err().print(ink(problem), soft_wrap=True)
    return found


def _refused(invocation: Invocation) -> bool:
    """Whether a backend cannot be made from the settings as they are in the files now; tells why."""
    from mai_core.runtime.assembly import build_backends
    from mai_core.settings import load_catalogue, load_settings

    paths = invocation.paths
    settings = load_settings(paths, invocation.environment).settings
    registry = invocation.registry(settings=settings)
    refusals = build_backends(settings, registry, paths, load_catalogue(paths))[1]
    for refused in refusals:
        told = refused.error if refused.error.startswith("backends.") else f"{refused.name}: {refused.error}"
        err().print(ink("; ".join(part for part in (told, refused.remedy) if part)), soft_wrap=True)
    return bool(refusals)


def _contents(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"{file} cannot be read ({error.strerror})", remedy="check who may read it") from error


def _run_editor(file: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{file} cannot be written ({error.strerror})", remedy="make its folder writable"
        ) from error
    try:
        ended = subprocess.run([*shlex.split(editor), str(file)], check=False)
    except (OSError, ValueError) as error:
        raise SettingsError(f"the editor “{editor}” does not start ({error})", remedy="set EDITOR") from error
    if ended.returncode:
        raise SettingsError(f"the editor “{editor}” ended with code {ended.returncode}", remedy=f"edit {file} yourself")


def _put_back(file: Path, before: bytes | None) -> None:
    if before is None:
        file.unlink(missing_ok=True)
    else:
        file.write_bytes(before)
