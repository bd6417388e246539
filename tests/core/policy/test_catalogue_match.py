"""Which entry of a catalogue speaks of a name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.catalogue import match, normalise
from mai_core.policy.models import KnownModel


def entry(key: str, *patterns: str) -> KnownModel:
    return KnownModel(key=key, patterns=patterns)


FAMILY, FILE, ANY = entry("llama-1b", "llama-1b*"), entry("llama-1b-q4", "llama-1b-q4*"), entry("llama", "llama*")


@given(st.permutations([FAMILY, FILE, ANY]))
def test_the_most_specific_entry_wins_in_any_order(known: list[KnownModel]) -> None:
    assert match(known, "llama-1b-q4_k_m") is FILE
    assert match(known, "llama-1b-q8_0") is FAMILY
    assert match(known, "llama-7b") is ANY
    assert match(known, "lama-7b") is None


def test_a_key_outweighs_every_pattern() -> None:
    short = entry("a")
    assert match([entry("b", "a", "a*", "?"), short], "a") is short


def test_wildcards_do_not_count_as_literals() -> None:
    assert match([entry("wide", "a-*****z"), entry("close", "a-b-*z")], "a-b-c-d-z") == entry("close", "a-b-*z")


def test_of_equally_specific_entries_the_first_wins() -> None:
    first, second = entry("one", "a*c"), entry("two", "ab*")
    assert match([first, second], "abc") is first
    assert match([second, first], "abc") is second


def test_a_publisher_is_looked_past_only_when_the_whole_name_is_unknown() -> None:
    bare, whole = entry("bare", "phi-4*"), entry("whole", "microsoft_phi-4-special*")
    assert match([bare, whole], "Microsoft_Phi-4-Mini.gguf") is bare
    assert match([bare, whole], "microsoft_phi-4-special-q4") is whole
    assert match([entry("k", "k_m*")], "smollm2-135m-q4_k_m") is None or match([bare], "llama-q4_k_m") is None


@given(st.text(max_size=30))
def test_spelling_is_settled_after_one_time(name: str) -> None:
    assert normalise(normalise(name)) == normalise(name)


def test_spellings() -> None:
    for name in (
        "Qwen2.5-0.5B-Instruct.Q4_K_M.gguf",
        "qwen2.5:0.5b-instruct-q4_K_M",
        "qwen/qwen2.5-0.5b-instruct@q4_k_m",
    ):
        assert normalise(name) == "qwen2.5-0.5b-instruct-q4_k_m"
