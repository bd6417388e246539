"""Cues: words and phrases that tell what is asked for, where no outcomes teach it.

What is asked for stands at the beginning or the end of a message; what stands between is what it is asked of. So only
the ends are looked at, and a text about translation that is to be summarised is a summary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mai_core.policy.kinds import TaskKind
from mai_core.policy.terms import words

__all__ = ["Cued", "cued", "ends"]

HEAD, TAIL = 320, 200
# What is done to a text is said first; whatever else is cued then is what the text is about.
FIRST_WORDS = 4
FIRST_BONUS = 1.5
_DONE_TO_TEXT = frozenset({TaskKind.TRANSLATION, TaskKind.SUMMARY, TaskKind.EXTRACTION})

Cued = dict[TaskKind, float]

# Beginnings of words, ``$`` for a whole one: English, German, French, Spanish.
_STEMS: tuple[tuple[TaskKind, float, str], ...] = (
    (TaskKind.TRANSLATION, 3.0, "translat übersetz ubersetz tradui traduc traduz traduis"),
    (TaskKind.SUMMARY, 3.0, "summar tldr$ zusammenfass fasse$ résum resum condense"),
    (TaskKind.EXTRACTION, 2.5, "extract extrah extrai extrae classif klassifi categori parse$"),
    (
        TaskKind.CODE,
        2.0,
        "python javascript typescript rust$ java$ golang kotlin sql$ bash$ regex docker git$ html$ css$ api$ code$ "
        "coding function$ script$ refactor debug compile$ compiler stacktrace traceback unittest implement programm "
        "program$ funktion$ código fonction función funcion algorithm pytest numpy pandas json$ yaml$ kubernetes",
    ),
    (
        TaskKind.MATH,
        2.0,
        "solve$ equation integral$ derivative probabilit calculat compute$ percent theorem matrix$ polynomial modulo "
        "berechn combien cuánt cuant calcul wieviel gleichung équation ecuaci ableitung dérivée resuelv résou löse$ "
        "wahrscheinlichkeit",
    ),
    (
        TaskKind.REASONING,
        2.0,
        "reason$ reasoning puzzle riddle logic$ logical deduce prove$ tradeoff rätsel énigme acertijo beweise$ démontr "
        "demuestr razona",
    ),
    (TaskKind.REASONING, 1.5, "compar analyz analys evaluat plan$ strategy vergleich bewerte analiz"),
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
# Phrases, ``*`` where the last word may go on.
_PHRASES: tuple[tuple[TaskKind, float, str], ...] = (
    (
        TaskKind.TRANSLATION,
        3.0,
        "in french, into french, into german, into spanish, into english, to french, to english, to german, "
        "to spanish, in german, in spanish, ins deutsche, auf englisch, ins englische, en anglais, au français, "
        "en inglés, al inglés",
    ),
    (TaskKind.SUMMARY, 3.0, "key points, tl dr, main points, fass, in a nutshell"),
    (
        TaskKind.EXTRACTION,
        2.5,
        "list all, list every, find all, pull out, as json, parse th*, alle namen, toutes les, todos los",
    ),
    (TaskKind.CODE, 2.0, "unit test*, stack trace, shell command"),
    (TaskKind.MATH, 2.0, "how many, how much, sum of, wie viel*, square root, what percentage"),
    (TaskKind.REASONING, 2.0, "step by step, trade off*, schritt für schritt, étape par étape, paso a paso"),
    (
        TaskKind.REASONING,
        1.5,
        "why does, pros and cons, what if, which of, vor und nachteile, warum, pourquoi, por qué",
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
# Chinese and Japanese write no spaces: these are looked for anywhere.
_UNSPACED: tuple[tuple[TaskKind, float, tuple[str, ...]], ...] = (
    (TaskKind.TRANSLATION, 3.0, ("翻译", "翻譯", "翻訳")),
    (TaskKind.SUMMARY, 3.0, ("总结", "總結", "摘要", "概括", "要約")),
    (TaskKind.EXTRACTION, 2.5, ("提取", "抽取", "列出所有", "抽出")),
    (TaskKind.CODE, 2.0, ("代码", "代碼", "函数", "编程", "程序", "コード")),
    (TaskKind.MATH, 2.0, ("计算", "計算", "方程", "多少", "概率", "积分")),
    (TaskKind.REASONING, 2.0, ("推理", "证明", "逐步", "为什么", "比较")),
    (TaskKind.WRITING, 2.5, ("写一", "写首", "作文", "诗", "邮件", "書いて")),
    (TaskKind.TOOL_USE, 2.5, ("搜索网络", "上网搜", "调用工具")),
    (TaskKind.KNOWLEDGE, 1.5, ("什么是", "是什么", "谁是", "解释", "首都", "とは")),
)
_CODE = re.compile(r"```|^[ \t]*(?:def|class|import|from|#include|fn|func|SELECT)\s", re.MULTILINE)
_SUM = re.compile(r"\d\s*[-+*/^=×÷]\s*\d|\\(?:frac|int|sum)|\$[^$]+\$|[∑∫√≤≥]")


def _stems() -> dict[bytes, tuple[tuple[bytes, bool, TaskKind, float], ...]]:
    """Stems by their first two bytes: a word is held against the few that begin as it does."""
    found: dict[bytes, list[tuple[bytes, bool, TaskKind, float]]] = {}
    for kind, weight, listed in _STEMS:
        for stem in listed.split():
            bare = stem.rstrip("$").encode()
            found.setdefault(bare[:2], []).append((bare, bare != stem.encode(), kind, weight))
    return {start: tuple(stems) for start, stems in found.items()}


_BY_START = _stems()
_SPACED = tuple(
    (kind, weight, tuple(f" {phrase} ".replace("* ", "").encode() for phrase in listed.split(", ")))
    for kind, weight, listed in _PHRASES
)


def ends(text: str) -> str:
    """The beginning and the end of a text, where the asking is done."""
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n{text[-TAIL:]}"


def cued(asked: str) -> Cued:
    """Weight of evidence for every kind of task that has any, from ``asked``, the ends of a message.

    A second and third cue of one kind add three tenths of the first each.
    """
    spoken = words(asked)
    first = spoken[:FIRST_WORDS]
    found: Cued = {}
    hits: dict[tuple[TaskKind, float], int] = {}
    for word in set(spoken):
        for stem, whole, kind, weight in _BY_START.get(word[:2], ()):
            if word == stem if whole else word.startswith(stem):
                hits[kind, weight] = hits.get((kind, weight), 0) + 1
                if kind in _DONE_TO_TEXT and word in first:
                    found[kind] = FIRST_BONUS
    joined = b" " + b" ".join(spoken) + b" "
    for kind, weight, phrases in _SPACED:
        _count(hits, kind, weight, (p in joined for p in phrases))
    if not asked.isascii():
        for kind, weight, signs in _UNSPACED:
            _count(hits, kind, weight, (sign in asked for sign in signs))
    if _CODE.search(asked):
        hits[TaskKind.CODE, 3.0] = 1
    if _SUM.search(asked):
        hits[TaskKind.MATH, 3.0] = 1
    for (kind, weight), times in hits.items():
        found[kind] = found.get(kind, 0.0) + weight * (1.0 + 0.3 * (min(3, times) - 1))
    return found


def _count(hits: dict[tuple[TaskKind, float], int], kind: TaskKind, weight: float, seen: Iterable[bool]) -> None:
    if times := sum(seen):
        hits[kind, weight] = hits.get((kind, weight), 0) + times
