"""Long conversations with facts planted in them, to find out what is still known of them later.

What surrounds the facts is talk of the same make: a person who tells of places, people, numbers and dates in the first
person, and replies of several paragraphs of real prose and code (CPython's own language reference, which comes with
every Python, or the paragraphs of a file). So a fact cannot be told from its surroundings by form alone.
"""

from __future__ import annotations

import csv
import gzip
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from mai_core.policy.messages import Message, Role, ToolCall

__all__ = ["FACTS", "KINDS", "TURNS", "Fact", "conversation", "paragraphs", "reference"]

TURNS = 200
SHORTEST, LONGEST = 80, 700
"""Characters of a paragraph that is used."""

Kind = Literal["passing", "reworded", "corrected", "code", "buried", "tool"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Fact:
    """What is told, the word that must survive, and how it is asked for.

    passing    told beside other things, asked for in the same words
    reworded   asked for in other words
    corrected  told, and told otherwise much later: ``key`` is the new word, ``outdated`` the old one, ``first`` how it
               was told at first
    code       a line of a program the assistant wrote
    buried     in the middle of a long message
    tool       only a tool returned it
    """

    kind: Kind
    told: str
    key: str
    question: str
    first: str = ""
    outdated: str = ""

    def known_from(self, text: str) -> bool:
        """Whether a reader of ``text`` knows it: the word is there, and after what it corrects."""
        return self.key in text and (not self.outdated or text.rfind(self.key) > text.rfind(self.outdated))


FACTS = (
    Fact("passing", "My sister Ilse lives in Tromsø.", "Tromsø", "Where does my sister Ilse live?"),
    Fact("passing", "The staging server listens on port 8471.", "8471", "Which port does the staging server use?"),
    Fact("passing", "We decided to paint the boat teal.", "teal", "What colour did we decide to paint the boat?"),
    Fact("passing", "The invoice for the roof was 3,720 euros.", "3,720", "How much was the invoice for the roof?"),
    Fact("passing", "Our landlord is called Mr Okafor.", "Okafor", "What is our landlord called?"),
    Fact("passing", "I take my medicine with buttermilk.", "buttermilk", "How do I take my medicine?"),
    Fact("reworded", "Hazelnuts make my throat swell.", "Hazelnuts", "Is there anything I must not eat?"),
    Fact("reworded", "I run a small bakery near the station.", "bakery", "What do I do for a living?"),
    Fact("reworded", "Our daughter turned nine in March.", "turned nine", "How old is our child?"),
    Fact("reworded", "The old Volvo finally gave up last week.", "Volvo", "What kind of car did I have?"),
    Fact("reworded", "I grew up on a farm outside Dundee.", "Dundee", "Where am I from?"),
    Fact("reworded", "Tests fail unless LC_ALL is set to C.", "LC_ALL", "What made the build break?"),
    Fact(
        "corrected",
        "The appointment with the notary has been moved to Friday the 21st.",
        "21st",
        "When is the appointment with the notary?",
        first="I have an appointment with the notary on Monday the 30th.",
        outdated="30th",
    ),
    Fact(
        "corrected",
        "We will call the puppy Pickle after all.",
        "Pickle",
        "What will we call the puppy?",
        first="We want to call the puppy Waldo.",
        outdated="Waldo",
    ),
    Fact(
        "corrected",
        "The hotel has put us into room 506C instead.",
        "506C",
        "Which room of the hotel are we in?",
        first="The hotel gave us room 212B.",
        outdated="212B",
    ),
    Fact(
        "corrected",
        "My budget for the kitchen is 9,400 now.",
        "9,400",
        "What is my budget for the kitchen?",
        first="My budget for the kitchen is 7,000.",
        outdated="7,000",
    ),
    Fact(
        "code",
        "```python\nMAX_RETRIES = 17\n\ndef fetch_ledger(url):\n    return with_retries(url, MAX_RETRIES)\n```",
        "MAX_RETRIES = 17",
        "What value did MAX_RETRIES have in the ledger code?",
    ),
    Fact(
        "code",
        "```sql\nSELECT berth FROM harbour_slots WHERE tonnage < 340 ORDER BY fee;\n```",
        "harbour_slots",
        "From which table did the query select the berth?",
    ),
    Fact(
        "code",
        "```python\ndef normalise_plate(text):\n    return text.upper().replace('-', '~')\n```",
        "'~'",
        "With what does normalise_plate replace the dash?",
    ),
    Fact(
        "code",
        "```bash\nrsync -a --bwlimit=4200 photos/ attic:/srv/photos\n```",
        "4200",
        "What bwlimit did we give rsync for the photos?",
    ),
    Fact("buried", "The safe in the cellar opens with 7-33-19.", "7-33-19", "How does the safe in the cellar open?"),
    Fact("buried", "Aunt Rosalind keeps the spare key.", "Rosalind", "Who keeps the spare key?"),
    Fact("buried", "The choir rehearses every second Wednesday.", "Wednesday", "When does the choir rehearse?"),
    Fact("buried", "The tenant on the top floor is a violin maker.", "violin", "Who is the tenant on the top floor?"),
    Fact("tool", '{"tracking": "parcel", "status": "held in Zwolle"}', "Zwolle", "Where is the parcel held?"),
    Fact("tool", '{"flight": "to Graz", "gate": "D47"}', "D47", "Which gate does the flight to Graz leave from?"),
    Fact("tool", '{"forecast": "regatta", "wind_knots": 31.6}', "31.6", "How many knots of wind for the regatta?"),
)

_OPENINGS = (
    "I was in {place} on the {day}th and {person} showed me {thing}.",
    "My colleague {person} bought {thing} for {number} euros, and I wonder whether that was wise.",
    "We spent {number} minutes on {thing} yesterday; I still think {person} was right.",
    "I found {thing} in {place}, next to what {person} left there in {year}.",
    "{person} from {place} wrote to me about {thing} again.",
    "Since {year} I have kept {thing} at home, and now I need {number} more.",
)
_ASKS = (
    "Can you explain how that compares with what the text below says?",
    "What do you make of it?",
    "How would you go about this?",
    "Is there a better way to think of it?",
    "Please tell me more about the background.",
)
_PEOPLE = ("Marta", "Joris", "Priya", "Anselm", "Yuki", "Bartek", "Noor", "Fiona", "Tomasz", "Leila", "Imani")
_PLACES = ("Lyon", "Porto", "Ghent", "Turku", "Basel", "Malmö", "Cork", "Trieste", "Bergamo", "Leeds", "Gdansk")
_THINGS = (
    *("an old clock", "a night train", "a crate of apples", "a paper map", "a wooden toy", "a river ferry"),
    *("a street sign", "a garden fork", "a stone wall", "a copper kettle", "a sailing chart", "a market stall"),
)


def reference() -> tuple[str, ...]:
    """Paragraphs of the Python language reference, which every CPython brings with it."""
    from pydoc_data.topics import topics

    return _usable("\n\n".join(topics[name] for name in sorted(topics)))


def paragraphs(path: Path) -> tuple[str, ...]:
    """The paragraphs of a text file, or of the longest column of a CSV file; either may be gzipped."""
    text = (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8").read()
    if ".csv" in path.suffixes:
        rows = list(csv.reader(text.splitlines(keepends=True)))
        text = "\n\n".join(max(row, key=len) for row in rows[1:] if row)
    return _usable(text)


def _usable(text: str) -> tuple[str, ...]:
    found = (block.strip("\n") for block in re.split(r"\n\s*\n", text))
    return tuple(block[:LONGEST] for block in found if len(block) >= SHORTEST)


def _told(draw: random.Random) -> str:
    return draw.choice(_OPENINGS).format(
        place=draw.choice(_PLACES),
        person=draw.choice(_PEOPLE),
        thing=draw.choice(_THINGS),
        day=draw.randint(4, 19),
        number=draw.randint(40, 400),
        year=draw.randint(1950, 2020),
    )


def conversation(
    turns: int = TURNS, facts: Sequence[Fact] = FACTS, seed: int = 1, prose: Sequence[str] = ()
) -> tuple[Message, ...]:
    """A conversation of so many exchanges, the facts planted evenly, ready for a last question.

    What is corrected is told at first in the first third, and corrected after half. ``prose`` is what replies are
    made of, the language reference by default.
    """
    draw, prose = random.Random(seed), prose or reference()
    keys = [word for fact in facts for word in (fact.key, fact.outdated) if word]
    prose = [p for p in prose if not any(key in p for key in keys)]
    at = _places(draw, turns, facts)
    messages = [Message(role=Role.SYSTEM, content="You are Mai, a helpful assistant.", pinned=True)]

    def say(role: Role, content: str, **more: object) -> None:
        messages.append(Message(role=role, content=content, id=len(messages), **more))  # type: ignore[arg-type]

    for turn in range(turns):
        asked = [_told(draw), draw.choice(_ASKS)]
        replied = draw.sample(prose, draw.randint(1, 3))
        result = ""
        for kind, told in at.get(turn, ()):
            if kind == "code":
                replied.insert(1, told)
            elif kind == "tool":
                result = told
            elif kind == "buried":
                asked[1:1] = [*draw.sample(prose, 3), f"{_told(draw)} {told} {_told(draw)}", *draw.sample(prose, 3)]
            else:
                asked.insert(1, told)
        say(Role.USER, (" " if len(asked) < 5 else "\n\n").join(asked))
        if result:
            say(Role.ASSISTANT, "", tool_calls=(ToolCall(id=f"call-{turn}", name="look_up"),))
            say(Role.TOOL, result, tool_call_id=f"call-{turn}")
        say(Role.ASSISTANT, "\n\n".join(replied))
    return tuple(messages)


def _places(draw: random.Random, turns: int, facts: Sequence[Fact]) -> dict[int, list[tuple[Kind, str]]]:
    """What is planted in which turn."""
    order = draw.sample(list(facts), len(facts))
    order.sort(key=lambda fact: fact.kind == "corrected")
    changing = sum(fact.kind == "corrected" for fact in facts)
    found: dict[int, list[tuple[Kind, str]]] = {}
    for k, fact in enumerate(order):
        if fact.kind == "corrected":
            among = (k - (len(order) - changing) + 0.5) / changing
            found.setdefault(int(turns * among / 3), []).append((fact.kind, fact.first))
            found.setdefault(int(turns * (1 + 0.8 * among) / 2), []).append((fact.kind, fact.told))
        else:
            place = int((k + 0.5) * turns / max(1, len(order) - changing))
            found.setdefault(place, []).append((fact.kind, fact.told))
    return found
