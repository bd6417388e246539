"""Saved states as files: who may read them, which of them leave, and which are believed."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from mai_backends.embedded.fitting import fit_of
from mai_backends.embedded.keeping import worth_saving
from mai_backends.embedded.states import SavedState, StateStore, common_tokens, digest
from mai_core.policy.models import KvType, LoadPlan
from tests.backends.embedded_library.gguf_writer import F32, LLAMA, gguf

FIT, OTHER_FIT = digest("these weights"), digest("other weights")
_clock = iter(range(10**18, 2 * 10**18, 10**9))


class Disk(NamedTuple):
    total: int
    used: int
    free: int


def store_in(folder: Path, budget: int = 10_000) -> StateStore:
    store = StateStore(folder / "states", budget)
    store.tidy()
    return store


def save(store: StateStore, conversation: str, size: int = 1000, *, fit: str = FIT, tokens: int = 100) -> SavedState:
    """What an engine does: write a draft, and have it taken."""
    key = digest(conversation)
    assert store.room_for(size, key, fit)
    draft = store.draft(os.getpid())
    draft.write_bytes(os.urandom(size))
    state = store.commit(draft, key, fit, tokens=tokens, size=size)
    assert state is not None
    used = next(_clock)
    os.utime(state.path, ns=(used, used))
    return state


def names(store: StateStore) -> set[str]:
    return {path.name for path in store.folder.iterdir()}


def test_only_their_owner_may_read_them(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    state = save(store, "talk")
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o600
    assert "talk" not in state.path.name


def test_a_newer_state_takes_the_place_of_the_older(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    save(store, "talk", tokens=100)
    newer = save(store, "talk", tokens=150)
    other = save(store, "talk", fit=OTHER_FIT)
    assert names(store) == {newer.path.name, other.path.name}


def test_a_state_fits_larger_windows_only(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    save(store, "talk", tokens=100)
    found = store.find(digest("talk"), FIT, 101)
    assert found is not None
    assert found.tokens == 100
    assert store.find(digest("talk"), FIT, 100) is None
    assert store.find(digest("talk"), OTHER_FIT, 1000) is None
    assert store.find(digest("other talk"), FIT, 1000) is None


@pytest.mark.parametrize("damage", ["truncated", "changed", "longer", "emptied"])
def test_a_damaged_state_is_recognised_and_removed(tmp_path: Path, damage: str) -> None:
    store = store_in(tmp_path)
    path = save(store, "talk").path
    whole = path.read_bytes()
    assert store.checked(digest("talk"), FIT, 1000) is not None
    changed = whole[:500] + bytes([whole[500] ^ 1]) + whole[501:]
    path.write_bytes({"truncated": whole[:-1], "changed": changed, "longer": whole + b"x", "emptied": b""}[damage])
    assert store.checked(digest("talk"), FIT, 1000) is None
    assert not names(store)


def test_the_least_recently_used_leave_first(tmp_path: Path) -> None:
    store = store_in(tmp_path, 3500)
    first, second, third = (save(store, talk) for talk in ("1", "2", "3"))
    store.touch(first)
    fourth = save(store, "4")
    assert names(store) == {state.path.name for state in (first, third, fourth)}, second.path.name
    assert not store.room_for(3501, digest("5"), FIT), "larger than all there is"
    assert len(names(store)) == 3, "nothing leaves in vain"


def test_the_state_that_is_replaced_makes_its_own_room(tmp_path: Path) -> None:
    store = store_in(tmp_path, 2000)
    other = save(store, "other")
    save(store, "talk", 1000)
    assert other.path.name in names(store)
    save(store, "talk", 1000, tokens=101)
    assert other.path.name in names(store)


def test_a_state_larger_than_expected_does_not_break_the_budget(tmp_path: Path) -> None:
    store = store_in(tmp_path, 2500)
    save(store, "old", 1000)
    key = digest("talk")
    assert store.room_for(1000, key, FIT)
    draft = store.draft(os.getpid())
    draft.write_bytes(bytes(2000))
    state = store.commit(draft, key, FIT, tokens=10, size=2000)
    assert state is not None
    assert names(store) == {state.path.name}


def test_a_part_of_the_disk_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_in(tmp_path)
    save(store, "talk")
    disk = Disk(total=100_000, used=93_500, free=6_500)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk)
    assert store.room_for(1500, digest("new"), FIT), "the last 5 % stay untouched"
    assert len(names(store)) == 1
    assert store.room_for(2400, digest("new"), FIT), "an older state makes room"
    assert not names(store)
    assert not store.room_for(1501, digest("new"), FIT)


def test_what_was_not_written_whole_is_not_kept(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    draft = store.draft(os.getpid())
    draft.write_bytes(bytes(999))
    assert store.commit(draft, digest("talk"), FIT, tokens=100, size=1000) is None
    assert not names(store)


def test_forgetting_a_conversation_leaves_the_others(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    save(store, "talk")
    save(store, "talk", fit=OTHER_FIT)
    other = save(store, "other talk")
    store.forget(digest("talk"))
    assert names(store) == {other.path.name}
    StateStore(tmp_path / "nowhere", 0).forget(digest("talk"))


def test_what_killed_processes_left_is_removed_and_what_they_saved_is_used(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    state = save(store, "talk")
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    mine, left = store.draft(os.getpid()), store.draft(ended.pid)
    mine.touch()
    left.touch()
    again = store_in(tmp_path)
    assert names(again) == {state.path.name, mine.name}
    assert again.checked(digest("talk"), FIT, 1000) == again.find(digest("talk"), FIT, 1000) is not None
    again.discard(os.getpid())
    assert names(again) == {state.path.name}


def test_without_a_budget_nothing_is_kept(tmp_path: Path) -> None:
    assert not store_in(tmp_path, 0).ready
    assert not (tmp_path / "states").exists()
    save(store_in(tmp_path), "talk")
    turned_off = store_in(tmp_path, 0)
    assert not turned_off.ready
    assert not names(turned_off)
    assert not turned_off.room_for(1, digest("talk"), FIT)


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "states").write_text("a file")
    assert not store_in(tmp_path).ready


def test_what_is_of_no_use_is_not_saved_again(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    save(store, "talk")
    other = save(store, "talk", fit=OTHER_FIT)
    store.mark_useless(FIT)
    again = store_in(tmp_path)
    assert again.is_useless(FIT)
    assert not again.is_useless(OTHER_FIT)
    assert {name for name in names(again) if name.endswith(".kv")} == {other.path.name}


@pytest.mark.parametrize(
    ("tokens", "kept", "size", "reading", "writing", "worth"),
    [
        (80, 0, 2e6, 300.0, 5e8, False),  # read again in 0.27 s
        (80, 0, 2e6, 70.0, 5e8, True),  # the same takes a larger model 1.1 s
        (1500, 0, 35e6, 300.0, 5e8, True),
        (1500, 1400, 35e6, 300.0, 5e8, False),  # what is kept spares nearly all of it
        (1500, 1100, 35e6, 300.0, 5e8, True),
        (1500, 1600, 35e6, 300.0, 5e8, True),  # what is kept was before the conversation was shortened
        (8000, 0, 2e9, 300.0, 5e8, False),  # a reply would wait 4 s for it
        (1500, 0, 35e6, 300.0, 1e7, False),  # the disk is slow
        (1500, 0, 35e6, 30_000.0, 5e8, False),  # a GPU reads it in no time
    ],
)
def test_only_what_spares_the_person_a_noticeable_time_is_saved(
    tokens: int, kept: int, size: float, reading: float, writing: float, worth: bool
) -> None:
    assert worth_saving(tokens, kept, size=int(size), reading=reading, writing=writing) is worth


def test_tokens_are_found_behind_the_engines_preamble(tmp_path: Path) -> None:
    file = tmp_path / "state"
    tokens = list(range(500, 600))
    header = struct.pack("<III", 0x67677371, 4, 104)
    file.write_bytes(header + struct.pack("<104i", -1, 1, 100, *tokens, 0) + b"state")
    assert common_tokens(file, tokens) == 100
    assert common_tokens(file, [*tokens[:40], 7, *tokens[41:]]) == 40
    assert common_tokens(file, [7, 8, 9]) == 0
    assert common_tokens(file, []) == 0
    file.write_bytes(b"junk")
    assert common_tokens(file, tokens) == 0


def test_a_state_depends_on_files_and_plan(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(gguf(LLAMA, [("token_embd.weight", (64,), F32)]))
    plan = LoadPlan(context=1024)
    fit = fit_of(file, plan)
    assert fit_of(file, LoadPlan(context=4096, threads=3, batch=16)) == fit
    assert fit_of(file, LoadPlan(context=1024, kv_type=KvType.Q8_0)) != fit
    assert fit_of(file, LoadPlan(context=1024, gpu_layers=4)) != fit
    times = file.stat()
    shutil.copy(file, tmp_path / "other")
    os.replace(tmp_path / "other", file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fit_of(file, plan) != fit, "another file of the same name, size and time"


def test_where_the_context_decides_the_rotation_a_state_depends_on_it(tmp_path: Path) -> None:
    file = tmp_path / "phi.gguf"
    file.write_bytes(gguf(LLAMA, [("rope_factors_long.weight", (64,), F32)]))
    assert fit_of(file, LoadPlan(context=4096)) != fit_of(file, LoadPlan(context=8192))
