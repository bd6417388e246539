"""Cues: words and phrases that tell what is asked for, where no outcomes teach it.

What is asked for stands at the beginning or the end of a message; what stands between is what it is asked of. So only
the ends are looked at, and a text about translation that is to be summarised is a summary.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from mai_core.policy.kinds import TaskKind
from mai_core.policy.terms import words

__all__ = ["Cues", "cues_in", "ends"]

HEAD, TAIL = 280, 140
# What is done to a text is said first; whatever else is cued then is what the text is about.
FIRST_WORDS = 4
FIRST_BONUS = 1.5
# What has no more words and a sum in it asks for nothing but the sum.
FEW_WORDS = 6
_DONE_TO_TEXT = frozenset({TaskKind.TRANSLATION, TaskKind.SUMMARY, TaskKind.EXTRACTION})

# Beginnings of words, ``$`` for a whole one: English, German, French, Spanish.
_STEMS: tuple[tuple[TaskKind, float, str], ...] = (
    (TaskKind.TRANSLATION, 3.0, "translat übersetz ubersetz tradui traduc traduz traduis"),
    (TaskKind.SUMMARY, 3.0, "summar tldr$ zusammenfass fass$ fasse$ résum resum condense"),
    (TaskKind.EXTRACTION, 2.5, "extract extrah extrai extrae classif klassifi categori parse$"),
    (
        TaskKind.CODE,
        2.0,
        "python javascript typescript rust$ java$ golang kotlin sql$ bash$ regex docker git$ html$ css$ api$ code$ "
        "coding function$ script$ refactor debug compile$ compiler stacktrace traceback unittest implement programm "
        "program$ funktion$ código fonction función funcion algorithm pytest numpy pandas json$ yaml$ kubernetes bug$ "
        "bugs$ segfault recursi quicksort mergesort hashmap bytecode",
    ),
    (
        TaskKind.MATH,
        2.0,
        "solve$ equation integral$ derivative probabilit calculat compute$ percent theorem matrix$ polynomial modulo "
        "berechn combien cuánt cuant calcul wieviel gleichung équation ecuaci ableitung dérivée resuelv résou löse$ "
        "wahrscheinlichkeit integrate$ differentiate$ factorial",
    ),
    (
        TaskKind.REASONING,
        2.0,
        "reason$ reasoning puzzle riddle logic$ logical deduce prove$ tradeoff rätsel énigme acertijo beweise$ démontr "
        "demuestr razona",
    ),
    (TaskKind.REASONING, 1.5, "warum$ pourquoi$ compar analyz analys evaluat plan$ strategy vergleich bewerte analiz"),
    (
        TaskKind.WRITING,
        2.5,
        "compose$ draft poem story essay email letter$ blog rewrite rephras schreib verfass gedicht geschichte$ brief$ "
        "écri ecri rédige poème histoire$ escrib redact poema cuento$ carta$ lettre$ haiku lyrics slogan",
    ),
    (
        TaskKind.KNOWLEDGE,
        1.5,
        "explain define$ erklär erklar explique explica définis capital$ hauptstadt capitale history$ meaning$ wer$ "
        "who$ wann$ quand$ cuándo$ quién$",
    ),
)
# Phrases of two words and more.
_PHRASES: tuple[tuple[TaskKind, float, str], ...] = (
    (
        TaskKind.TRANSLATION,
        3.0,
        "in french, into french, into german, into spanish, into english, to french, to english, to german, "
        "to spanish, in german, in spanish, ins deutsche, auf englisch, ins englische, en anglais, au français, "
        "en inglés, al inglés",
    ),
    (TaskKind.SUMMARY, 3.0, "key points, tl dr, main points, in a nutshell"),
    (
        TaskKind.EXTRACTION,
        2.5,
        "list all, list every, find all, pull out, as json, parse this, parse the, alle namen, toutes les, todos los",
    ),
    (TaskKind.CODE, 2.0, "unit test, unit tests, stack trace, shell command"),
    (TaskKind.MATH, 2.0, "how many, how much, sum of, wie viel, wie viele, square root, what percentage"),
    (TaskKind.REASONING, 2.0, "step by step, trade off, trade offs, schritt für schritt, étape par étape, paso a paso"),
    (
        TaskKind.REASONING,
        1.5,
        "why does, pros and cons, what if, if all, which of, vor und nachteile, por qué",
    ),
    (TaskKind.WRITING, 2.5, "write a, write an, write me, write the, write my, write to"),
    (
        TaskKind.TOOL_USE,
        2.5,
        "call the tool, use the tool, call the function, use the function, search the web, open the file, "
        "run the command, suche im internet, cherche sur internet, busca en internet",
    ),
    (
        TaskKind.KNOWLEDGE,
        1.5,
        "what is, what are, what was, what were, when did, when was, when is, where is, where was, tell me about, "
        "difference between, was ist, was sind, wo liegt, qu est ce, qui est, quel est, quelle est, qué es, quién fue, "
        "cuál es",
    ),
)
# What tells nothing of the kind, but how hard or how long it is.
_MODIFIERS = {
    "hard": (
        "prove$ proof$ optimis optimiz concurren distributed rigorous theorem asymptotic comprehensive architect",
        "edge case, edge cases, in depth",
    ),
    "greeting": (
        "hi$ hello hey$ thank bye$ ok$ okay$ yes$ no$ hallo danke merci bonjour hola gracias",
        "good morning, good night, good evening, guten morgen, guten abend, gute nacht, bonne nuit, buenos días",
    ),
    "long": ("essay story stories article detailed comprehensive report chapter tutorial ausführlich", "in depth"),
    "short": (
        "briefly short$ shortly$ kurz$",
        "one word, one sentence, yes or no, in a word, in a sentence, only the, en une phrase, en una frase",
    ),
}
# Chinese and Japanese write no spaces, nor around what they borrow: these are looked for anywhere.
_UNSPACED: tuple[tuple[TaskKind, float, tuple[str, ...]], ...] = (
    (TaskKind.TRANSLATION, 3.0, ("翻译", "翻譯", "翻訳")),
    (TaskKind.SUMMARY, 3.0, ("总结", "總結", "摘要", "概括", "要約")),
    (TaskKind.EXTRACTION, 2.5, ("提取", "抽取", "列出所有", "抽出")),
    (TaskKind.CODE, 2.0, ("代码", "代碼", "函数", "编程", "程序", "算法", "排序", "コード", "Python", "Java", "SQL")),
    (TaskKind.MATH, 2.0, ("计算", "計算", "方程", "多少", "概率", "积分")),
    (TaskKind.REASONING, 2.0, ("推理", "证明", "逐步", "为什么", "比较")),
    (TaskKind.WRITING, 2.5, ("写一篇", "写一首", "写一封", "写首", "作文", "诗", "邮件", "書いて")),
    (TaskKind.TOOL_USE, 2.5, ("搜索网络", "上网搜", "调用工具")),
    (TaskKind.KNOWLEDGE, 1.5, ("什么是", "是什么", "谁是", "解释", "首都", "とは")),
)
_CODE_LINES = ("```", "def ", "class ", "import ", "from ", "#include", "fn ", "func ", "SELECT ", "[PYTHON]")
# Code in the middle of a line, and how the cost of algorithms is written.
_CODE_SIGNS = (" def ", "=>", "();", ") {", "==", "!=", "&&", "||", "</", "/>", "::", "O(n", "O(log")
_SUM = re.compile(r"\d(?:\s*[+*^=×÷]\s*|\s+[-/]\s+)\d")
_POWER = re.compile(r"\w\^\d")
_TEX = ("\\frac", "\\int", "\\sum", "\\sqrt")


@dataclass(frozen=True, slots=True)
class Cues:
    """Evidence for every kind of task that has any, and whether it is hard, long, short, just a greeting or a sum."""

    kinds: dict[TaskKind, float] = field(default_factory=dict)
    hard: int = 0
    greeting: bool = False
    sum: bool = False
    long: bool = False
    short: bool = False

    @property
    def kind(self) -> TaskKind:
        """The kind with most evidence; chat where there is none."""
        return max(self.kinds, key=self.kinds.__getitem__) if self.kinds else TaskKind.CHAT


_Tag = tuple[TaskKind | str, float]
_Spelled = tuple[bytes, _Tag]
# Letters that find the few stems a word is held against: none is shorter.
_START = 4


def _lexicon() -> tuple[
    dict[bytes, list[_Tag]], dict[bytes, list[_Spelled]], dict[tuple[bytes, bytes], list[_Spelled]]
]:
    """Whole words, stems by how they start, and phrases by their first two."""
    whole: dict[bytes, list[_Tag]] = {}
    stems: dict[bytes, list[_Spelled]] = {}
    phrases: dict[tuple[bytes, bytes], list[_Spelled]] = {}
    words_of: list[tuple[_Tag, str]] = [((kind, weight), listed) for kind, weight, listed in _STEMS]
    phrases_of: list[tuple[_Tag, str]] = [((kind, weight), listed) for kind, weight, listed in _PHRASES]
    for name, (single, several) in _MODIFIERS.items():
        words_of.append(((name, 1.0), single))
        phrases_of.append(((name, 1.0), several))
    for tag, listed in words_of:
        for stem in listed.split():
            spelled = stem.rstrip("$").encode()
            if stem.endswith("$"):
                whole.setdefault(spelled, []).append(tag)
            else:
                stems.setdefault(spelled[:_START], []).append((spelled, tag))
    for tag, listed in phrases_of:
        for phrase in listed.split(", "):
            one, two, *_ = phrase.encode().split()
            phrases.setdefault((one, two), []).append((f" {phrase} ".encode(), tag))
    return whole, stems, phrases


_WHOLE, _BY_START, _BY_TWO_WORDS = _lexicon()
_WHOLE_WORDS, _TWO_WORDS = frozenset(_WHOLE), frozenset(_BY_TWO_WORDS)


def ends(text: str) -> str:
    """The beginning and the end of a text, where the asking is done."""
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n{text[-TAIL:]}"


def cues_in(asked: str) -> Cues:
    """The cues in ``asked``, the ends of a message. A second and third of one kind add three tenths of the first."""
    spoken = words(asked)
    first = spoken[:FIRST_WORDS]
    starts = _BY_START.get
    found: dict[TaskKind, float] = {}
    hits: dict[_Tag, int] = {}
    distinct = set(spoken)
    told = [(word, tag) for word in distinct & _WHOLE_WORDS for tag in _WHOLE[word]]
    for word in distinct:
        if (near := starts(word[:_START])) is not None:
            told += [(word, tag) for stem, tag in near if word.startswith(stem)]
    for word, tag in told:
        hits[tag] = hits.get(tag, 0) + 1
        if tag[0] in _DONE_TO_TEXT and word in first:
            found[TaskKind(tag[0])] = FIRST_BONUS
    for two in _TWO_WORDS.intersection(pairwise(spoken)):
        joined = b" " + b" ".join(spoken) + b" "
        for phrase, tag in _BY_TWO_WORDS[two]:
            if phrase in joined:
                hits[tag] = hits.get(tag, 0) + 1
    if not asked.isascii():
        for kind, weight, signs in _UNSPACED:
            hits[kind, weight] = hits.get((kind, weight), 0) + sum(sign in asked for sign in signs)
    if _shows_code(asked):
        hits[TaskKind.CODE, 3.0] = 1 + hits.get((TaskKind.CODE, 3.0), 0)
    if _reckons(asked):
        hits[TaskKind.MATH, 3.0] = 1 + hits.get((TaskKind.MATH, 3.0), 0)
    for (cue, weight), times in hits.items():
        if times and isinstance(cue, TaskKind):
            found[cue] = found.get(cue, 0.0) + weight * (1.0 + 0.3 * (min(3, times) - 1))
    return Cues(
        kinds=found,
        hard=hits.get(("hard", 1.0), 0),
        greeting=("greeting", 1.0) in hits,
        sum=len(spoken) <= FEW_WORDS and _SUM.search(asked) is not None,
        long=("long", 1.0) in hits,
        short=("short", 1.0) in hits,
    )


def _shows_code(asked: str) -> bool:
    return any(map(asked.__contains__, _CODE_SIGNS)) or any(
        line.lstrip().startswith(_CODE_LINES) for line in asked.splitlines()
    )


def _reckons(asked: str) -> bool:
    """Whether figures are put together, or formulas written. Dates and prices are not."""
    if _SUM.search(asked) or any(command in asked for command in _TEX):
        return True
    if "^" in asked and _POWER.search(asked):
        return True
    if asked.count("$") > 1 and ("^" in asked or "\\" in asked or "=" in asked):
        return True
    return not asked.isascii() and not set(asked).isdisjoint("∑∫√≤≥")
