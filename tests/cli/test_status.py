"""What is in memory is shown once, as whose it is."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from fakes import LOADED
from rich.console import Console

from mai_core.cli.status import host_name, status_view
from mai_core.policy.models import LoadedModel
from mai_core.policy.resources import ResourceSnapshot
from mai_core.runtime.presence import ProcessNote
from mai_core.runtime.status import Status

SERVED = replace(LOADED, instance="m", key="m", backend="one", owned=False)


def rows(here: tuple[LoadedModel, ...], **processes: tuple[LoadedModel, ...]) -> list[list[str]]:
    """The table of what is loaded: model, backend and whose it is."""
    notes = tuple(ProcessNote(pid=int(pid[1:]), born=0.0, loaded=loaded) for pid, loaded in processes.items())
    view = status_view(
        Status(current=None, pinned=None, loaded=here, resources=ResourceSnapshot((), 0.0, 0.0), processes=notes)
    )
    console = Console(width=200)
    with console.capture() as captured:
        console.print(view)
    table = captured.get().split("\n\n")[1].splitlines()[1:]
    return [[cells[0], cells[-3], " ".join(cells[-2:])] for cells in map(str.split, table)]


def test_one_name_on_two_backends_is_two_models() -> None:
    two = replace(SERVED, key="two/m", backend="two")
    assert rows((SERVED, two)) == [["m", "one", "not Mai"], ["two/m", "two", "not Mai"]]


def test_one_name_in_two_processes_is_two_models() -> None:
    assert rows((LOADED,), p41=(LOADED,), p42=(LOADED,)) == [
        [LOADED.key, "embedded", "process 41"],
        [LOADED.key, "embedded", "process 42"],
        [LOADED.key, "embedded", f"process {os.getpid()}"],
    ]


@pytest.mark.parametrize("owner_first", [True, False])
def test_what_another_process_loaded_is_its_own_whoever_else_sees_it(owner_first: bool) -> None:
    loaded = replace(SERVED, owned=True)
    notes = {"p41": (loaded,), "p42": (SERVED,)} if owner_first else {"p40": (SERVED,), "p41": (loaded,)}
    assert rows((SERVED,), **notes) == [["m", "one", "process 41"]]


def test_another_machine_behind_a_door_of_this_one_is_not_called_local() -> None:
    assert [host_name("local", remote=False), host_name("box", remote=True), host_name("local", remote=True)] == [
        "local",
        "box (remote)",
        "another machine",
    ]
