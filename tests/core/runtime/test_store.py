"""Conversations, search, the pin and measurements, through the store's public methods."""

from __future__ import annotations

import itertools
import sqlite3
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mai_core.errors import StoreError
from mai_core.policy.context import ContextState, Receipt
from mai_core.policy.features import TaskFeatures
from mai_core.policy.messages import Conversation, Message, Role, StopReason, ToolCall, Usage
from mai_core.policy.models import Footprint
from mai_core.policy.selection import Decision, Move
from mai_core.policy.speed import MeasuredSpeed
from mai_core.runtime.store import Store, decisions, measurements, schema
from mai_core.runtime.store import search as index
from tests.pictures import image

START = 1_800_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "mai.db"


def ticking(start: float = START, step: float = 1.0) -> Callable[[], float]:
    return itertools.count(start, step).__next__


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store.open(path, now=ticking())
    yield opened
    opened.close()


def user(content: str) -> Message:
    return Message(role=Role.USER, content=content)


def reply(content: str, model: str = "small") -> Message:
    return Message(role=Role.ASSISTANT, content=content, model=model, stop=StopReason.STOP)


def decision(choice: str = "small") -> Decision:
    return Decision(move=Move.START, choice=choice, reason="it fits", features=TaskFeatures())


# Conversations


def test_a_conversation_comes_back_as_it_was_said_also_from_another_process(store: Store, path: Path) -> None:
    conversation = store.new_conversation()
    first = store.append(conversation.id, user("What is\n the capital of France?"))
    second = store.append(conversation.id, replace(reply("Paris."), pinned=True, stop=StopReason.LENGTH))

    assert (first.id, second.id) == (1, 2)
    assert conversation.created < first.created < second.created
    other = Store.open(path, now=ticking())
    assert other.conversation(conversation.id) == Conversation(
        id=conversation.id,
        title="What is the capital of France?",
        messages=(first, second),
        created=conversation.created,
        updated=second.created,
    )
    other.close()


@pytest.mark.parametrize("content", ["", "\0", "a\r\nb", "é😀", "x" * 1_000_000, "'; DROP TABLE messages; --"])
def test_any_text_survives(store: Store, content: str) -> None:
    conversation = store.new_conversation()
    assert store.append(conversation.id, user(content)).content == content
    assert store.conversation(conversation.id).messages[0].content == content


def test_bytes_that_were_no_text_are_marked_and_the_rest_is_kept(store: Store) -> None:
    conversation = store.new_conversation()
    stored = store.append(conversation.id, user(b"caf\xe9 \xf0".decode(errors="surrogateescape") + "\ud83d\ude00"))
    assert stored.content == "caf\ufffd \ufffd😀"
    assert store.conversation(conversation.id).messages == (stored,)


def test_the_title_is_one_short_line_and_a_given_title_stays(store: Store) -> None:
    untitled, titled = store.new_conversation(), store.new_conversation("Mine")
    store.append(untitled.id, Message(role=Role.SYSTEM, content="Be brief."))
    store.append(untitled.id, user("word " * 5_000 + "\x1b[31m"))
    store.append(titled.id, user("Hello"))
    title = store.conversation(untitled.id).title
    assert title.startswith("word word")
    assert title.endswith("…")
    assert len(title) <= 60
    assert store.conversation(titled.id).title == "Mine"


def test_ids_are_short_sorted_and_found_by_what_a_person_types(store: Store) -> None:
    ids = [store.new_conversation().id for _ in range(5)]
    assert ids == sorted(set(ids))
    assert {len(id) for id in ids} == {8}
    typed = ids[2].upper().replace("0", "O").replace("1", "l")
    assert store.conversation(f" {typed} ").id == ids[2]


def test_ids_made_in_the_same_instant_differ(path: Path) -> None:
    store = Store.open(path, now=lambda: START)
    ids = [store.new_conversation().id for _ in range(50)]
    assert ids == sorted(set(ids))
    store.close()


def test_a_beginning_that_fits_several_conversations_or_none_names_the_nearest(store: Store) -> None:
    with pytest.raises(StoreError, match="there are none yet"):
        store.conversation("abc")
    first, second = store.new_conversation("Apples").id, store.new_conversation("Pears").id
    common = next(first[:n] for n in range(8, 0, -1) if first[:n] == second[:n])
    with pytest.raises(StoreError, match=rf"more than one.*{second} \(Pears\), {first} \(Apples\)"):
        store.conversation(common)
    assert store.conversation(first[: len(common) + 1]).id == first
    wrong = first[:-1] + ("z" if first[-1] != "z" else "y")
    with pytest.raises(StoreError, match=rf'no conversation "{wrong}".*{first} \(Apples\)'):
        store.conversation(wrong)
    with pytest.raises(StoreError, match="no conversation"):
        store.conversation("")


def test_the_latest_is_the_one_last_spoken_in_even_when_the_clock_is_set_back(path: Path) -> None:
    store = Store.open(path, now=ticking(step=-60.0))
    assert store.latest() is None
    first, second = store.new_conversation(), store.new_conversation()
    store.append(second.id, user("two"))
    store.append(first.id, user("one"))
    store.new_conversation("never used")
    latest = store.latest()
    assert latest is not None
    assert latest.id == first.id
    assert [c.id for c in store.conversations()] == [first.id, second.id]
    assert [c.id for c in store.conversations(limit=1)] == [first.id]
    store.close()


def test_a_summary_counts_messages_and_names_the_models_in_order(store: Store) -> None:
    conversation = store.new_conversation()
    for message in (user("a"), reply("b", "zeta"), user("c"), reply("d", "alpha"), user("e"), reply("f g", "zeta")):
        store.append(conversation.id, message)
    (summary,) = store.conversations()
    assert (summary.messages, summary.models, summary.title) == (6, ("zeta", "alpha"), "a")
    assert summary.snippet == "f g"
    assert summary.updated == store.conversation(conversation.id).updated


def test_a_reply_of_several_models_names_them_all(store: Store) -> None:
    conversation = store.new_conversation().id
    asked = store.append(conversation, user("a"))
    assert store.authors(conversation, asked.id) == ()
    told = store.append(conversation, replace(reply("b", "end"), earlier=("begin", "middle")))
    assert store.conversation(conversation).messages[1] == told
    assert told.authors == ("begin", "middle", "end")
    assert store.authors(conversation, asked.id) == told.authors
    assert store.conversations()[0].models == told.authors


def test_images_are_kept_once_for_each_content_and_go_with_the_last_who_shows_them(store: Store, path: Path) -> None:
    cat, dog = image("cat.png", grey=1), image("dog.png", grey=2)
    one, other = store.new_conversation().id, store.new_conversation().id
    shown = store.append(one, Message(role=Role.USER, content="", images=(cat, dog, replace(cat, name="again.png"))))
    store.append(one, user("and?"))
    store.append(other, Message(role=Role.USER, content="and this?", images=(dog,)))
    assert shown.images == (cat, dog, replace(cat, name="again.png"))
    assert store.conversation(one).messages[0] == shown
    assert store.conversation(one).title == "cat.png, dog.png, again.png"
    assert rows(path, "SELECT count(*) FROM images") == [(2,)]
    store.delete(one)
    assert rows(path, "SELECT data FROM images") == [(dog.data,)]
    assert store.conversation(other).messages[0].images == (dog,)
    store.delete(other)
    assert rows(path, "SELECT count(*) FROM images") == [(0,)]
    assert not any(cat.data in file.read_bytes() for file in path.parent.iterdir()), "beyond recovery"


def test_an_image_that_cannot_be_read_any_more_costs_no_conversation(store: Store, path: Path) -> None:
    name = store.new_conversation().id
    store.append(name, Message(role=Role.USER, content="this?", images=(image("cat.png"), image("dog.png", grey=2))))
    rows(path, "UPDATE images SET data = x'00' WHERE rowid = 1")
    (message,) = store.conversation(name).messages
    assert [one.name for one in message.images] == ["dog.png"]


def test_messages_for_a_conversation_that_is_gone_are_refused(store: Store) -> None:
    conversation = store.new_conversation("Gone")
    kept = store.new_conversation("Kept")
    store.append(conversation.id, user("x"))
    store.save_decision(conversation.id, 1, decision())
    store.delete(conversation.id)
    for use in (
        lambda: store.append(conversation.id, user("y")),
        lambda: store.delete(conversation.id),
        lambda: store.save_decision(conversation.id, 1, decision()),
        lambda: store.set_pinned_message(conversation.id, 1, True),
    ):
        with pytest.raises(StoreError, match=conversation.id):
            use()
        assert store.append(kept.id, user("still here")), "what was refused leaves no transaction behind"
    assert store.last_decision() is None
    assert store.conversation(kept.id).title == "Kept"


@pytest.mark.parametrize("searched", [False, True])
def test_deleted_words_are_in_none_of_the_files(store: Store, path: Path, searched: bool) -> None:
    conversation, kept = store.new_conversation(), store.new_conversation()
    store.append(kept.id, user("harmless"))
    for n in range(20):
        store.append(conversation.id, user(f"xyzzyplugh{n} " * 500))
    store.save_context_state(conversation.id, ContextState(summary="xyzzyplugh"))
    if searched:
        assert store.conversations(search="xyzzyplugh7")
    everything = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"xyzzyplugh" in everything
    store.delete(conversation.id)
    left = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"xyzzyplugh" not in left
    assert not store.conversations(search="xyzzyplugh7")
    assert store.conversations(search="harmless")


def test_a_message_is_pinned_and_released(store: Store) -> None:
    conversation = store.new_conversation()
    store.append(conversation.id, user("Always answer in French."))
    store.append(conversation.id, user("Hi"))
    store.set_pinned_message(conversation.id, 1, True)
    assert [m.pinned for m in store.conversation(conversation.id).messages] == [True, False]
    store.set_pinned_message(conversation.id, 1, False)
    assert [m.pinned for m in store.conversation(conversation.id).messages] == [False, False]


def test_a_restored_conversation_is_the_same_under_a_free_id(store: Store) -> None:
    conversation = store.new_conversation()
    store.append(conversation.id, user("Hi"))
    store.append(conversation.id, reply("Hello"))
    whole = store.conversation(conversation.id)
    copy = store.restore(whole)
    assert copy.id != whole.id
    assert replace(copy, id=whole.id) == whole
    store.delete(whole.id)
    assert store.restore(whole) == whole
    assert store.conversation(whole.id) == whole
    assert store.append(whole.id, user("More")).id == 3


# Search


@pytest.fixture(params=["full-text", "no FTS5"])
def searching(request: pytest.FixtureRequest, store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "no FTS5":
        monkeypatch.setattr(index, "has_full_text", lambda _: False)
    return store


def said(store: Store, *contents: str) -> str:
    conversation = store.new_conversation()
    for content in contents:
        store.append(conversation.id, user(content))
    return conversation.id


def found(store: Store, term: str) -> list[str]:
    return [summary.id for summary in store.conversations(search=term)]


def test_search_finds_words_and_their_beginnings_newest_match_first(searching: Store) -> None:
    paris = said(searching, "The capital of France is Paris.", "Thanks")
    rome = said(searching, "And the capital of Italy?")
    said(searching, "Nothing of the kind")
    assert found(searching, "CAPITAL") == [rome, paris]
    assert found(searching, "capit") == [rome, paris]
    searching.append(paris, user("What else is a capital?"))
    assert found(searching, "capital") == [paris, rome]
    assert found(searching, "nowhere") == []
    assert len(searching.conversations(search="capital", limit=1)) == 1


def test_the_index_wants_all_words_in_any_order(store: Store) -> None:
    paris = said(store, "The capital of France is Paris.")
    said(store, "France")
    assert found(store, "paris france") == [paris]
    assert found(store, "café") == []
    cafe = said(store, "un CAFÉ noir")
    assert found(store, "cafe") == [cafe]


def test_the_snippet_is_one_line_around_the_match(searching: Store) -> None:
    said(searching, "before " * 50 + "the needle\nhere " + "after " * 50, "unrelated")
    (summary,) = searching.conversations(search="needle")
    assert summary.snippet.startswith("…")
    assert "the needle here after" in summary.snippet
    assert summary.snippet.endswith("…")
    assert len(summary.snippet) < 100


@pytest.mark.parametrize(
    "term",
    ['"', "a OR", "NEAR(", "content:x", "*", "^a", "(((", "AND", "-a", "{x}:", "%", "_", "\\", "\0", "x" * 60_000],
)
def test_a_term_is_data_not_syntax(searching: Store, term: str) -> None:
    said(searching, "neither of them")
    assert found(searching, term) == []
    holds = said(searching, f"before {term} after")
    assert found(searching, term) == [holds]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=30), st.text(max_size=8), st.text(max_size=8))
def test_what_was_said_is_found(tmp_path: Path, term: str, before: str, after: str) -> None:
    if not term.strip():
        return
    store = Store.open(tmp_path / "law.db", now=ticking())
    for old in store.conversations():
        store.delete(old.id)
    holds = said(store, f"{before}{term}{after}")
    assert found(store, term) == [holds]
    store.close()


def test_scripts_without_spaces_are_searched_inside(searching: Store) -> None:
    inside = said(searching, "法国的首都是巴黎")
    beginning = said(searching, "首都")
    assert found(searching, "首都") == [beginning, inside]


def test_a_file_is_searched_by_whichever_sqlite_has_it_open(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = said(store, "apple one")
    assert found(store, "apple") == [first]
    with monkeypatch.context() as without:
        without.setattr(index, "has_full_text", lambda _: False)
        second = said(store, "apple two")
        assert found(store, "apple") == [second, first]
        store.delete(first)
    third = said(store, "apple three")
    assert found(store, "apple") == [third, second]


# Context state, pin, decisions


def test_the_context_state_is_kept_per_conversation(store: Store) -> None:
    one, two = store.new_conversation().id, store.new_conversation().id
    state = ContextState(covered=7, kept=(1, 3), summary='They said "hi" \ud800')
    assert store.context_state(one) is None
    store.save_context_state(one, state)
    assert store.context_state(one) == state
    assert store.context_state(two) is None
    store.save_context_state(one, None)
    assert store.context_state(one) is None


def test_the_pin_is_shared_by_all_processes(store: Store, path: Path) -> None:
    other = Store.open(path, now=ticking())
    assert other.pinned() is None
    store.pin("qwen")
    assert other.pinned() == "qwen"
    other.pin("smol")
    assert store.pinned() == "smol"
    store.pin(None)
    assert other.pinned() is None
    other.close()


def test_the_last_model_wrote_the_newest_reply(store: Store) -> None:
    one, two = store.new_conversation().id, store.new_conversation().id
    assert store.last_model() is None
    store.append(one, reply("a", "first"))
    store.append(two, reply("b", "second"))
    store.append(one, user("c"))
    assert store.last_model() == "second"


def test_decisions_and_receipts_come_back(store: Store) -> None:
    one, two = store.new_conversation().id, store.new_conversation().id
    assert store.last_decision() is None
    first = store.save_decision(one, 1, decision("a"))
    second = store.save_decision(two, 5, decision("b"))
    receipt = Receipt(kept=3, dropped=2, note="old messages left out")
    store.save_receipt(first, receipt)
    newest, of_one = store.last_decision(), store.last_decision(one)
    assert newest is not None
    assert of_one is not None
    assert (newest.id, newest.conversation, newest.message_id, newest.receipt) == (second, two, 5, None)
    assert (of_one.decision, of_one.receipt) == (decision("a"), receipt)
    assert newest.made > of_one.made
    assert store.last_decision("unknown") is None


def test_only_the_newest_decisions_stay(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "DECISIONS_KEPT", 5)
    conversation = store.new_conversation().id
    for n in range(12):
        store.save_decision(conversation, n, decision(f"m{n}"))
    last = store.last_decision()
    assert last is not None
    assert last.decision.choice == "m11"
    assert rows(path, "SELECT message_id FROM decisions") == [(n,) for n in range(7, 12)]


def test_what_another_version_wrote_is_passed_over(store: Store, path: Path) -> None:
    conversation = store.new_conversation().id
    store.save_decision(conversation, 1, decision())
    store.save_context_state(conversation, ContextState(covered=1))
    rows(path, 'UPDATE decisions SET decision = \'{"move": "leap"}\'')
    rows(path, "UPDATE conversations SET context_state = '[1]'")
    assert store.last_decision() is None
    assert store.context_state(conversation) is None


# Measurements


def usage(prompt: int = 100, cached: int = 0, completion: int = 50, prompt_s: float = 1.0, s: float = 2.0) -> Usage:
    return Usage(
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=completion,
        prompt_seconds=prompt_s,
        completion_seconds=s,
    )


def record(store: Store, key: str, used: Usage) -> None:
    store.record_reply(key=key, backend="embedded", usage=used, first_token_seconds=0.5)


def load(store: Store, key: str, seconds: float) -> None:
    store.record_load(
        key=key,
        backend="embedded",
        context=2048,
        predicted=Footprint(1, 2, {"gpu0": 3}),
        observed=Footprint(4, 5),
        seconds=seconds,
    )


def test_speeds_are_medians_by_model(store: Store) -> None:
    for seconds in (1.0, 2.0, 10.0):
        record(store, "a", usage(prompt=110, cached=10, completion=50, prompt_s=seconds, s=seconds))
        load(store, "a", seconds)
    record(store, "b", usage())
    load(store, "c", 0.4)
    assert store.speeds() == {
        ("embedded", "a"): MeasuredSpeed(prompt_tps=50.0, generation_tps=25.0, load_seconds=2.0),
        ("embedded", "b"): MeasuredSpeed(prompt_tps=100.0, generation_tps=25.0),
        ("embedded", "c"): MeasuredSpeed(load_seconds=0.4),
    }


def test_only_the_last_runs_count(store: Store) -> None:
    for _ in range(30):
        record(store, "a", usage(s=1.0))
    for _ in range(measurements.RUNS_COUNTED):
        record(store, "a", usage(s=5.0))
    assert store.speeds()["embedded", "a"].generation_tps == 10.0


@pytest.mark.parametrize(
    ("used", "speed"),
    [
        (usage(prompt=16, completion=7), MeasuredSpeed(prompt_tps=16.0)),
        (usage(prompt=116, cached=101, completion=8), MeasuredSpeed(generation_tps=4.0)),
        (usage(prompt_s=0.0), MeasuredSpeed(generation_tps=25.0)),
        (usage(s=0.0), MeasuredSpeed(prompt_tps=100.0)),
        (usage(s=float("nan")), MeasuredSpeed(prompt_tps=100.0)),
    ],
)
def test_runs_too_short_to_measure_do_not_count(store: Store, used: Usage, speed: MeasuredSpeed) -> None:
    record(store, "a", used)
    assert store.speeds().get(("embedded", "a")) == speed


def test_loads_and_failures_are_remembered(store: Store) -> None:
    load(store, "a", 1.5)
    (remembered,) = store.loads()
    assert (remembered.predicted, remembered.observed) == (Footprint(1, 2, {"gpu0": 3}), Footprint(4, 5))
    assert (remembered.key, remembered.context, remembered.seconds) == ("a", 2048, 1.5)
    for error in ("OutOfMemory", "ModelCrashed"):
        store.record_failure(key="a", backend="embedded", error=error)
    store.record_failure(key="b", backend="embedded", error="ModelStalled")
    failures = store.failures(since=0.0)
    assert [f[:3] for f in failures] == [
        ("a", "embedded", "OutOfMemory"),
        ("a", "embedded", "ModelCrashed"),
        ("b", "embedded", "ModelStalled"),
    ]
    assert store.failures(since=failures[1].at) == failures[1:]
    store.forgive(key="a", backend="another")
    assert len(store.failures(since=0.0)) == 3
    store.forgive(key="a", backend="embedded")
    assert store.failures(since=0.0) == failures[2:]


def test_only_the_newest_measurements_stay(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "ROWS_KEPT", 3)
    for n in range(8):
        record(store, f"m{n}", usage())
        load(store, f"m{n}", 1.0)
        store.record_failure(key=f"m{n}", backend="x", error="y")
    for table in ("replies", "loads", "failures"):
        assert rows(path, f"SELECT key FROM {table} ORDER BY id") == [("m5",), ("m6",), ("m7",)]


# The file


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    with connection:
        found = connection.execute(sql).fetchall()
    connection.close()
    return found


def test_the_files_are_private(store: Store, path: Path) -> None:
    said(store, "secret")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_every_commit_waits_for_the_disk(store: Store) -> None:
    synchronous = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
    assert synchronous[store._connection.execute("PRAGMA synchronous").fetchone()[0]] == "FULL"


def test_readers_and_the_writer_do_not_wait_for_each_other(store: Store, path: Path) -> None:
    conversation = said(store, "before")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN")
    assert other.execute("SELECT count(*) FROM messages").fetchone() == (1,)
    store.append(conversation, user("while another one reads"))
    assert other.execute("SELECT count(*) FROM messages").fetchone() == (1,)
    other.execute("COMMIT")
    assert other.execute("SELECT count(*) FROM messages").fetchone() == (2,)
    other.close()


def test_an_older_database_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(path, now=ticking()).close()
    added = (*schema.MIGRATIONS, ("CREATE TABLE added (x)", "INSERT INTO added VALUES (1)"))
    monkeypatch.setattr(schema, "MIGRATIONS", added)
    for _ in range(2):
        Store.open(path, now=ticking()).close()
    assert rows(path, "SELECT x FROM added") == [(1,)]
    assert rows(path, "PRAGMA user_version") == [(len(added),)]


@pytest.mark.parametrize("version", range(1, len(schema.MIGRATIONS)))
def test_every_older_schema_is_read_and_written(path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    with monkeypatch.context() as then:
        then.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:version])
        Store.open(path, now=ticking()).close()
    rows(path, "INSERT INTO conversations VALUES ('dd4x4000', 'Once', 1.0, 2.0, 1, NULL)")
    rows(
        path,
        "INSERT INTO messages (number, conversation, id, role, pinned, model, stop, created, content) "
        "VALUES (1, 'dd4x4000', 1, 'assistant', 0, 'small', 'stop', 2.0, 'Good day.')",
    )
    store = Store.open(path, now=ticking())
    kept = Message(id=1, role=Role.ASSISTANT, content="Good day.", model="small", stop=StopReason.STOP, created=2.0)
    assert store.conversation("dd4x4000").messages == (kept,)
    added = store.append("dd4x4000", replace(reply("And good night."), earlier=("large",)))
    assert store.conversation("dd4x4000").messages == (kept, added)
    store.close()


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(path, now=ticking()).close()
    before = rows(path, "SELECT sql FROM sqlite_master")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE added (x)", "NO SQL")))
    with pytest.raises(StoreError):
        Store.open(path, now=ticking())
    assert rows(path, "SELECT sql FROM sqlite_master") == before


def test_threads_share_a_store(store: Store) -> None:
    conversation = store.new_conversation().id
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda n: store.append(conversation, user(str(n))).id, range(80)))
        assert sorted(ids) == list(range(1, 81))
    assert [m.id for m in store.conversation(conversation).messages] == list(range(1, 81))


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.pinned()


def test_what_a_message_has_to_do_with_tools_is_kept(store: Store) -> None:
    conversation = store.new_conversation()
    call = ToolCall(id="1", name="weather", arguments='{"city": "Paris\ud800"}')
    asked = store.append(conversation.id, replace(reply(""), tool_calls=(call,), stop=StopReason.TOOLS))
    told = store.append(conversation.id, Message(role=Role.TOOL, content="rain", tool_call_id="1"))
    assert store.conversation(conversation.id).messages == (asked, told)
    assert asked.tool_calls == (call,)


# What has to do with a question


def test_relevant_messages_are_of_one_conversation_and_the_best_comes_first(store: Store) -> None:
    other, name = store.new_conversation().id, store.new_conversation().id
    store.append(other, user("The safe opens with 7-33-19."))
    for text in ("Good morning.", "The safes open with 4-4-4.", "An open door.", "The ferry leaves.", "Hello"):
        store.append(name, user(text))
        store.append(other, user("The ferry is late."))
    found = store.relevant(name, "how do I open the SAFE", 10)
    assert next(iter(found))[0] == 2
    assert {id for id, _ in found} <= {2, 3, 4}
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0
    assert len(store.relevant(name, "how do I open the SAFE", 1)) == 1


def test_relevant_messages_are_found_as_soon_as_they_are_said(store: Store) -> None:
    name = store.new_conversation().id
    store.append(name, user("one thing"))
    assert store.relevant(name, "zebra", 5) == []
    store.append(name, user("a Zebra"))
    assert [id for id, _ in store.relevant(name, "zebra", 5)] == [2]


@pytest.mark.parametrize("text", ["", "?!", "猫はどこ", '" OR words MATCH "', "a* NEAR(b", "\0"])
def test_relevant_takes_any_text(store: Store, text: str) -> None:
    name = store.new_conversation().id
    store.append(name, user("nothing of that kind"))
    assert store.relevant(name, text, 5) == []


def test_relevant_of_a_database_that_was_never_searched(path: Path) -> None:
    """An index is made of what was said before there was one."""
    first = Store.open(path, now=ticking())
    name = first.new_conversation().id
    first.append(name, user("the zebra"))
    first.close()
    again = Store.open(path, now=ticking())
    assert [id for id, _ in again.relevant(name, "zebra", 5)] == [1]
    again.close()


def test_digest_is_kept_beside_the_state(store: Store) -> None:
    name = store.new_conversation().id
    store.save_digest(name, "They met.", 2)
    assert store.context_state(name) == ContextState(digest="They met.", digested=2)
    store.save_context_state(name, ContextState(covered=4, summary="notes"))
    store.save_digest(name, "They met again.", 5)
    assert store.context_state(name) == ContextState(covered=4, summary="notes", digest="They met again.", digested=5)
    store.save_digest("nowhere", "They met.", 2)
