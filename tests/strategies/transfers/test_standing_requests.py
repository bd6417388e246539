"""What counts as a standing request, in several languages, and what only looks like one."""

from __future__ import annotations

import pytest

from mai_strategies.transfers.requests import LONGEST, explicit_requests, is_request, takes_back

STANDING = [
    "Always answer in French.",
    "always reply in rhyme",
    "Please always explain the units.",
    "Never use emojis.",
    "Please never recommend dishes with nuts",
    "You should always cite your sources.",
    "I want you to always check the arithmetic twice.",
    "From now on, call me Captain.",
    "From now on you only answer with yes or no.",
    "Going forward, please use British spelling.",
    "For the rest of this conversation answer like a pirate.",
    "Remember that my name is Ana.",
    "Please remember my daughter is allergic to hazelnuts.",
    "Remember: the staging server is db-7.",
    "Keep in mind that I am a beginner.",
    "Don't forget that we deploy on Fridays.",
    "My name is Ingrid.",
    "Hi, my name is Ingrid!",
    "You can call me Bo.",
    "Call me Ishmael.",
    "Don't use bullet points.",
    "Do not ever apologise.",
    "Stop apologising.",
    "No emojis, please.",
    "Answer in German.",
    "Please reply in one sentence.",
    "Keep your answers short.",
    "Be concise.",
    "Use metric units.",
    "Whenever I paste code, only show the diff, please.",
    "Every time you write Python, add type hints.",
    "Act as my Spanish tutor.",
    "You are now a strict examiner.",
    "Can you always answer in Dutch?",
    "Could you please never use the word 'delve'?",
    "Would you stop using emojis?",
    "Make sure you always show the formula.",
    "Ok, and please always use tabs.",
    "Antworte immer auf Deutsch.",
    "Bitte antworte ab jetzt nur noch auf Englisch.",
    "Ab jetzt bitte keine Emojis mehr.",
    "Merk dir, dass ich Vegetarier bin.",
    "Vergiss nicht, dass ich in Wien wohne.",
    "Mein Name ist Jörg.",
    "Nenn mich Chef.",
    "Verwende nie Fachbegriffe.",
    "Bitte immer duzen.",
    "Kannst du immer auf Deutsch antworten?",
    "Réponds toujours en français.",
    "Désormais, réponds en anglais.",
    "À partir de maintenant, tutoie-moi.",
    "N'utilise jamais d'emojis.",
    "Souviens-toi que je m'appelle Zoé.",
    "Je m'appelle Zoé.",
    "Responde siempre en español.",
    "A partir de ahora, háblame de tú.",
    "Recuerda que me llamo Inés.",
    "No uses emojis.",
    "Rispondi sempre in italiano.",
    "D'ora in poi usa solo esempi in Rust.",
    "Ricordati che mi chiamo Luca.",
    "Responda sempre em português.",
    "A partir de agora, escreva sem gírias, você consegue.",
    "Meu nome é João.",
    "Antwoord altijd in het Nederlands.",
    "Vanaf nu graag korte antwoorden.",
    "Onthoud dat ik Sanne heet.",
    "Всегда отвечай на русском.",
    "Запомни: меня зовут Оля.",
    "从现在开始请用中文回答。",
    "请记住我叫小明。",
    "今後は日本語で答えてください。",
    "これを覚えておいて。",
    "Actually, call me Bob instead.",
    "Forget that, call me Bob.",
    "Forget what I said about emojis.",
    "Stop answering in French.",
    "You don't have to answer in French any more.",
    "You can use emojis again.",
    "No need to answer in rhyme.",
    "Back to English, please.",
    "Switch to German.",
    "Vergiss, was ich gesagt habe, antworte bitte wieder auf Deutsch.",
    "Du musst nicht mehr auf Französisch antworten.",
    "Oublie ce que j'ai dit sur les emojis.",
    "Tu peux de nouveau me vouvoyer.",
    "Olvida lo que dije de los emojis.",
    "Vuelve al español.",
    "Dimentica quello che ho detto.",
    "Esqueça o que eu disse.",
    "Vergeet wat ik zei.",
    "Забудь, что я просил.",
    "请忘记我说的话。",
    "もうフランス語で答えなくていい。",
]

PASSING = [
    "I always answer the phone.",
    "She never uses emojis.",
    "Never mind.",
    "Never again!",
    "Never heard of it.",
    "Always a pleasure.",
    "Always wondered how that works.",
    "Always the same error.",
    "Always crashes when I start it.",
    "Have you never seen snow?",
    "Why does it always fail?",
    "What is always true in a ring?",
    "Can you always see the moon from here?",
    "Do you remember that my name is Ana?",
    "Remember when we went to Oslo?",
    "Remember how slow it was last year.",
    "I remember that day.",
    "From now on the train runs every hour.",
    "Whenever I restart the server it crashes.",
    "How do I call my mother on Sundays?",
    "Call me later.",
    "He will call me tomorrow.",
    "Don't worry.",
    "Don't you think so?",
    "Do not go gentle into that good night.",
    "Don't use recursion in this function.",
    "Just this once, answer in Latin.",
    'Translate "always answer in French" into German.',
    "He said: 'remember that my name is Ana'.",
    "What does `never use eval` mean?",
    "Write a poem about snow.",
    "Translate this into French: good morning",
    "What is the capital of France?",
    "Is it polite to answer in French in Quebec?",
    "My name for the variable is too long.",
    "The book is called Remember.",
    "Ich antworte immer zu spät.",
    "Es regnet hier immer.",
    "Ab jetzt fährt der Zug stündlich.",
    "Warum ist das immer so?",
    "Il pleut toujours.",
    "Elle ne répond jamais.",
    "Siempre llueve en Bergen.",
    "Non ho mai visto la neve.",
    "Het regent altijd.",
    "Я всегда опаздываю.",
    "我总是迟到。",
    "Forget it.",
    "Never mind that.",
    "Stop the timer at noon.",
    "You can see the sea again from here.",
    "Switch to the next chapter.",
    "Go to sleep.",
    "Now what?",
    "Actually, that is always so.",
    "Olvídalo.",
    "Du kannst das Fenster sehen.",
    "Thanks!",
    "ok",
    "?",
    "",
]


@pytest.mark.parametrize("text", STANDING)
def test_standing_request_is_found(text: str) -> None:
    assert explicit_requests(text) == (text,)


@pytest.mark.parametrize("text", PASSING)
def test_passing_remark_is_not(text: str) -> None:
    assert not is_request(text)
    assert explicit_requests(text) == ()


def test_short_message_is_kept_whole() -> None:
    text = "I cook for my sister tonight.\nRemember that she is allergic to hazelnuts."
    assert explicit_requests(text) == ("I cook for my sister tonight. Remember that she is allergic to hazelnuts.",)


def test_long_message_gives_its_decisive_sentences() -> None:
    filler = "The quarterly report covers the northern region and its forty depots. " * 6
    assert explicit_requests(f"{filler}From now on answer in Danish. {filler}Never use tables.") == (
        "From now on answer in Danish.",
        "Never use tables.",
    )


def test_colon_brings_what_it_announces() -> None:
    filler = "The quarterly report covers the northern region and its forty depots. " * 4
    (found,) = explicit_requests(f"{filler}\nFrom now on use this form, please:\n- title\n- date")
    assert found == "From now on use this form, please: - title - date"


def test_pointing_back_brings_what_it_points_to() -> None:
    filler = "The quarterly report covers the northern region and its forty depots. " * 4
    (found,) = explicit_requests(f"{filler}Round everything to two digits. Always do that.")
    assert found == "Round everything to two digits. Always do that."


@pytest.mark.parametrize(
    "text",
    [
        "What does this do?\n```\n# Always use tabs.\nRemember that x is 1.\n```",
        "Summarise:\n> Always answer in French.\n> Never use emojis.",
        "Summarise this manual.\n\n" + "\n\n".join(["Always switch off the mains first."] * 80) + "\n\nThank you.",
    ],
    ids=["code", "quote", "pasted"],
)
def test_what_others_wrote_is_not_read(text: str) -> None:
    assert explicit_requests(text) == ()


def test_request_around_a_pasted_text_is_read() -> None:
    text = "Always answer in French.\n\n" + "\n\n".join(["Switch off the mains first."] * 80) + "\n\nBe concise."
    assert explicit_requests(text) == ("Always answer in French. Be concise.",)


def test_a_request_has_bounds() -> None:
    (found,) = explicit_requests("Remember that " + "very " * 1000 + "important.")
    assert len(found) <= LONGEST + 2


@pytest.mark.parametrize(
    "text",
    [
        *("Forget that.", "Oh, scratch that, please!", "Never mind that.", "Vergiss das wieder.", "Oublie ça."),
        *("Olvídalo.", "Dimenticalo.", "Esquece isso.", "Vergeet dat maar.", "Забудь об этом.", "算了。"),
        "忘れてください。",
    ],
)
def test_a_message_may_take_back_the_one_before(text: str) -> None:
    assert takes_back(text)


@pytest.mark.parametrize(
    "text", ["Forget that it rained.", "Never mind the gap.", "That is it.", "Forget it all night"]
)
def test_what_only_looks_like_it_takes_nothing_back(text: str) -> None:
    assert not takes_back(text)
