"""Server-sent events: whatever the network does, the events are those that were sent, and memory has a bound."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mai_backends.wire.errors import Unreadable
from mai_backends.wire.sse import EventStream

ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
line_text = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)


def parse(*chunks: bytes, limit: int = 4096) -> list[str]:
    stream = EventStream(limit=limit)
    events = [event for chunk in chunks for event in stream.feed(chunk)]
    return events + stream.close()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(marks)]


@given(
    st.lists(
        st.one_of(st.binary(max_size=12), st.sampled_from([b"data: {}", b"\n\n", b"\r", b"\r\n", b":c", b"data"]))
    ),
    st.lists(st.integers(0, 10_000), max_size=12),
)
@example([b"data: a\r", b"\r", b"\ndata: b"], [8, 9])
def test_any_cutting_gives_the_same_events(pieces: list[bytes], places: list[int]) -> None:
    data = b"".join(pieces)
    assert parse(*cut(data, places)) == parse(data) == parse(*(data[i : i + 1] for i in range(len(data))))


@given(st.lists(st.lists(line_text, min_size=1, max_size=3).filter(any), max_size=4), ends, st.lists(line_text))
def test_what_was_sent_arrives_among_comments_and_other_fields(
    events: list[list[str]], end: bytes, comments: list[str]
) -> None:
    noise = b"".join(b":" + comment.encode() + end for comment in comments)
    sent = b""
    for lines in events:
        sent += noise + b"event: message" + end + b"id: 7" + end + b"retry: 5" + end
        sent += b"".join(b"data: " + line.encode() + end for line in lines) + noise + end
    assert parse(b"\xef\xbb\xbf" + sent) == ["\n".join(lines) for lines in events]


@pytest.mark.parametrize(
    ("sent", "events"),
    [
        (b"data:x\n\n", ["x"]),
        (b"data:  x \n\n", [" x "]),
        (b"data\n\n", []),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"data: a\n\n\n\n\ndata: b\n\n", ["a", "b"]),
        (b"data: no blank line", ["no blank line"]),
        (b"data: no blank line\n", ["no blank line"]),
        (b"database: x\n\n", []),
        (b"\n\n: ping\n\n", []),
        (b"data: \xff\xf0\x9f\n\n", ["\ufffd\ufffd"]),
    ],
)
def test_the_corners_of_the_format(sent: bytes, events: list[str]) -> None:
    assert parse(sent) == events


@pytest.mark.parametrize(
    "hostile", [b"x" * 5000, b"data: " + b"x" * 5000, b"data: x\n" * 2500, b"data:\n" * 6000, b": " + b"x" * 5000]
)
@pytest.mark.parametrize("size", [1, 17, 4096])
def test_what_has_no_end_is_refused(hostile: bytes, size: int) -> None:
    with pytest.raises(Unreadable, match="4096"):
        parse(*(hostile[i : i + size] for i in range(0, len(hostile), size)))


def test_what_is_passed_over_does_not_add_up() -> None:
    assert parse(*([b": " + b"x" * 90 + b"\n", b"id: 1\n"] * 500), b"data: x\n\n") == ["x"]
    assert parse(*([b"data: " + b"x" * 90 + b"\n\n"] * 500)) == ["x" * 90] * 500


def test_memory_has_a_bound() -> None:
    stream, piece = EventStream(), b"x" * 65536

    def flood() -> None:
        for _ in range(1600):
            stream.feed(piece)

    tracemalloc.start()
    try:
        with pytest.raises(Unreadable):
            flood()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * 2**20
