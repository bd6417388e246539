"""What a turn asks for, by cues alone and with the shipped weights, in the languages people write."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mai_core.policy.features import classify
from mai_core.policy.kinds import FIELDS, TaskKind
from mai_core.policy.tasks import TaskModel
from mai_core.settings import load_task_model

CUED = [
    ("Hi there!", "chat"),
    ("Write a Python function that reverses a list", "code"),
    ("Schreibe eine Python-Funktion, die eine Liste umdreht", "code"),
    ("Translate to French: where is the station?", "translation"),
    ("Übersetze ins Englische: Wo ist der Bahnhof?", "translation"),
    ("Traduis cette phrase en anglais", "translation"),
    ("Traduce esta frase al inglés", "translation"),
    ("把这句话翻译成英文", "translation"),
    ("Summarise the text below in two sentences", "summary"),
    ("Fasse den folgenden Text zusammen", "summary"),
    ("Résume ce texte en deux phrases", "summary"),
    ("Resume este texto en dos frases", "summary"),
    ("请总结下面的文章", "summary"),
    ("Extract all names from this text as JSON", "extraction"),
    ("Extrahiere alle Namen aus dem Text", "extraction"),
    ("提取文中所有的人名", "extraction"),
    ("Write a poem about the sea", "writing"),
    ("Schreib ein Gedicht über das Meer", "writing"),
    ("Écris un poème sur la mer", "writing"),
    ("Escribe un poema sobre el mar", "writing"),
    ("写一首关于秋天的诗", "writing"),
    ("Berechne das Integral von x^2", "math"),
    ("Combien font 12 + 30 ?", "math"),
    ("¿Cuánto es 12 por 30?", "math"),
    ("请计算 3+4 等于多少", "math"),
    ("Was ist die Hauptstadt von Australien?", "knowledge"),
    ("Quelle est la capitale du Pérou ?", "knowledge"),
    ("¿Cuál es la capital de Perú?", "knowledge"),
    ("什么是光合作用", "knowledge"),
    ("Search the web for the opening hours of the museum", "tool-use"),
    ("Solve this riddle step by step", "reasoning"),
    ("If all bloops are razzies, are all bloops lazzies?", "reasoning"),
    ("integrate x^2 sin x dx", "math"),
    ("fix this bug: def f(x): return x+", "code"),
    ("Explain why quicksort is O(n log n) on average", "code"),
    ("请用Python写一个快速排序", "code"),
    ("I want to return my shoes (size 44) to the shop", "chat"),
]
ASKED = [
    ("What is the molar mass of sulfuric acid?", "reasoning", "chemistry"),
    ("Explain how photosynthesis works in plants", "knowledge", "biology"),
    ("Can a landlord evict a tenant if the lease contract was breached by the tenant?", "knowledge", "law"),
    ("What is the derivative of x^2 sin(x)?", "math", "math"),
    ("Compare Kant and Mill on ethics", "knowledge", "philosophy"),
    ("How are you doing today?", "chat", ""),
    ("I feel lonely today because my cat died. What should I do?", "chat", ""),
]


@pytest.fixture(scope="module")
def model() -> TaskModel:
    return load_task_model()


@pytest.mark.parametrize(("text", "kind"), CUED)
def test_cues_tell_the_kind_with_and_without_weights(model: TaskModel, text: str, kind: str) -> None:
    assert classify(text).kind == kind
    assert classify(text, model=model).kind == kind


@pytest.mark.parametrize(("text", "kind", "field"), ASKED)
def test_weights_tell_what_a_question_is_about(model: TaskModel, text: str, kind: str, field: str) -> None:
    told = classify(text, model=model)
    assert (told.kind, told.field) == (kind, field)


def test_a_sum_is_easier_than_a_problem() -> None:
    assert classify("What is 2+2?").difficulty < classify("What is the sum of 2+2 and the roots of x^2?").difficulty


def test_what_is_asked_stands_at_the_ends() -> None:
    about_code = "def f(x):\n    return x\n" * 200
    assert classify(f"Summarise this:\n{'The function translates python code. ' * 60}").kind is TaskKind.SUMMARY
    assert classify(f"{'The essay is about a poem. ' * 60}\nTranslate this into German.").kind is TaskKind.TRANSLATION
    assert classify(f"{about_code}\nWhat does this do?").kind is TaskKind.CODE


def test_a_question_with_options_is_told_by_the_weights_whatever_the_cues_say(model: TaskModel) -> None:
    text = (
        "A patient presents with chest pain. Which drug should be written down in the letter to the physician?\n"
        "A. Aspirin\nB. Insulin\nC. Morphine\nD. Heparin"
    )
    assert classify(text).kind is TaskKind.WRITING
    told = classify(text, model=model)
    assert (told.kind, told.field) == (TaskKind.KNOWLEDGE, "health")


def test_an_examination_is_harder_than_a_word_problem(model: TaskModel) -> None:
    easy = "Tom has 3 apples and buys 5 more. How many apples does he have now?"
    hard = (
        "Let f be a holomorphic function on the unit disc. Find the eigenvalues of the associated operator.\n"
        "A. 1\nB. 0\nC. -1\nD. 2\nE. 3\nF. pi\nG. e\nH. 1/2\nI. i\nJ. None of these"
    )
    assert classify(easy, model=model).difficulty + 0.2 < classify(hard, model=model).difficulty


@settings(max_examples=200)
@given(st.text(max_size=3000))
def test_any_text_is_judged_and_always_the_same(model: TaskModel, text: str) -> None:
    told = classify(text, model=model)
    assert 0.0 <= told.difficulty <= 1.0
    assert 0.1 <= told.discrimination <= 3.0
    assert told.field == "" or told.kind is FIELDS[told.field]
    assert told == classify(text, model=model)


@settings(max_examples=50)
@given(st.permutations(["the", "molar", "mass", "of", "sulfuric", "acid", "in", "water", "at", "equilibrium", "is"]))
def test_the_order_of_words_is_no_matter_to_the_field(model: TaskModel, spoken: list[str]) -> None:
    text = f"Explain: {' '.join(spoken)}?"
    assert classify(text, model=model).field == "chemistry"


@pytest.mark.parametrize(
    "text", ["", " ", "\ud800", "\x00", "?" * 5000, "\nA. " * 3000, "𝔄" * 9000, "1" * 9000, "é" * 9]
)
def test_odd_texts_are_judged(model: TaskModel, text: str) -> None:
    assert 0.0 <= classify(text, model=model).difficulty <= 1.0
