"""The phrases by which a person says that something shall hold from now on.

Precision comes from form, not from vocabulary: an imperative opens its sentence ("Always answer ...") where a
statement does not ("I always answer ..."). So openings are looked up by the first word of a sentence, which is also
fast; phrases that may stand anywhere need a second sign that the assistant is meant. All text is in lower
case, with straight apostrophes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

__all__ = [
    "ADDRESSED",
    "ANYWHERE",
    "ASCII_HINTS",
    "COURTESIES",
    "COURTESY",
    "ONCE",
    "OPENINGS",
    "POLITE",
    "STANDING",
    "TAKES_BACK",
    "VERBS",
]


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{p})" for p in patterns))


def _by_first_word(*rows: tuple[str, str]) -> Mapping[str, re.Pattern[str]]:
    table: dict[str, list[str]] = {}
    for first_words, rest in rows:
        for word in first_words.split():
            table.setdefault(word, []).append(rest)
    return MappingProxyType({word: _any(*rests) for word, rests in table.items()})


_COURTESIES = (
    "please|pls|ok(?:ay)?|and|but|also|so|oh|yes|no(?=[,.!;])|hi|hey|hello|thanks|thank you|btw|by the way|mai|first|"
    "actually|wait|sorry|hmm?|well|instead|on second thoughts?|now(?=,)|"
    "bitte|und|aber|danke|hallo|doch|moment|eigentlich|s'il (?:te|vous) pla[iî]t|stp|svp|et|mais|merci|bonjour|"
    "en fait|finalement|por favor|y|pero|gracias|hola|en realidad|mejor|per favore|ti prego|e|ma|grazie|ciao|anzi|"
    "mas|obrigad[oa]|ol[aá]|na verdade|alsjeblieft|graag|en|maar|hoi|eigenlijk|toch|пожалуйста|и|но|лучше"
)
COURTESY = re.compile(rf"(?:(?:{_COURTESIES})\b[\s,!.:;-]*)*")
"""Fillers before the first word that counts."""
COURTESIES = frozenset(re.findall(r"(?:^|\|)([\w']+)", _COURTESIES)) | {"okay", "obrigado", "obrigada", "olá", "ola"}
"""The first words of those."""

_SAY = r"(?:answer|reply|respond|speak|talk|write|explain|communicate|chat|converse)"
_DO = (
    r"(?:use|add|include|write|call|mention|suggest|recommend|answer|reply|respond|explain|apologi[sz]e|repeat|show|"
    r"ask|give|speak|translate|assume|refer|address|format|cite|quote|bring up|talk|say|tell|lie|invent|make up|"
    r"start|begin|end|finish|put|offer|summari[sz]e|swear|be)\b"
)
_LANGUAGE = (
    r"(?:english|german|deutsch|french|fran[cç]ais|spanish|espa[nñ]ol|castellano|italiano?|portuguese|portugu[eê]s|"
    r"dutch|nederlands|russian|polish|polski|turkish|t[uü]rk[cç]e|arabic|hindi|chinese|mandarin|japanese|korean|"
    r"swedish|svenska|norwegian|norsk|danish|dansk|finnish|suomi|greek|latin|czech|hungarian|romanian|ukrainian)\b"
)
_FORM = (
    r"(?:one|two|three|short|full|complete|at most|capital|upper|lower|bullet|verse|rhyme|json|markdown|yaml|"
    r"the style of|character)\b"
)
# What follows "always" or "never" in a statement or an exclamation rather than in an instruction.
_STATEMENT = (
    r"(?:mind|again|ever|been|seen|had|was|were|did|done|knew|known|thought|heard|got|gotten|a|an|the|in|at|on|to|too|"
    r"so|more|less|fun|nice|good|great|true|false|wrong|right|easy|hard|glad|happy|sad|here|there|my|your|his|her|"
    r"\w+ed|\w+ing|\w+[^s\W]s)\b"
)
_FACT = r"(?:[,:]|that\b|this\b|the following\b|my\b|i\b|we\b|our\b|to always\b|to never\b)(?! when| how| last)"
_YOU_DO = rf"(?:always|never) (?!{_STATEMENT})[a-z]+\b|remember ?{_FACT}|keep in mind|only {_DO}"

_GERMAN_WAY = (
    r".*\b(?:immer|stets|nie|niemals|nur|ausschließlich|künftig|kein(?:e|en|er)?|nicht mehr|deutsch|englisch|"
    r"französisch|kurz|knapp)\b"
)
_FRENCH_WAY = (
    r".*\b(?:toujours|jamais|uniquement|seulement|français|anglais|allemand|espagnol|bref|brève|concise?|désormais)\b"
)
_SPANISH_WAY = r".*\b(?:siempre|nunca|jamás|sol[oa]|sólo|solamente|únicamente|español|inglés|francés|breve|conciso)\b"
_ITALIAN_WAY = r".*\b(?:sempre|mai|solo|soltanto|italiano|inglese|francese|breve|conciso)\b"
_PORTUGUESE_WAY = r".*\b(?:sempre|nunca|jamais|só|somente|apenas|português|inglês|breve|conciso)\b"
_DUTCH_WAY = r".*\b(?:altijd|nooit|alleen|geen|voortaan|nederlands|engels|kort|bondig)\b"
_RUSSIAN_WAY = r".*\b(?:всегда|никогда|только|русском|английском|кратко|коротко|больше)\b"

OPENINGS = _by_first_word(
    # English
    ("always never", rf"(?!{_STATEMENT})[a-z]+\b"),
    ("never", r"forget\b"),
    ("make be see", r"(?:sure|to it)(?: that)?(?: you| to)? (?:always|never)\b"),
    ("ensure", r"(?:that )?(?:you )?(?:always|never)\b"),
    ("don't dont", rf"(?:ever |please )?{_DO}|forget ?{_FACT}"),
    ("do must should may", rf"not (?:ever |please )?(?:{_DO}|forget ?{_FACT})"),
    (
        "stop quit avoid",
        r"(?:us|add|call|say|apologi[sz]|ask|repeat|giv|writ|translat|mention|includ|answer|reply|respond|speak|talk|"
        r"act|pretend|do)ing\b",
    ),
    # What is taken back or changed is told, too: after what it changes, so that it holds.
    (
        "forget ignore disregard scratch drop cancel undo",
        rf"(?:about )?(?:what i|everything i|my|all (?:my|the|of)|the|that i|that you|(?:that|this|it|those|them)"
        rf"(?:[,;:.] | and )|using|{_SAY}ing|calling)\b",
    ),
    ("no", rf"(?:need to|longer) (?:{_DO})"),
    (
        "you",
        rf"(?:needn't|(?:don't|do not) (?:have|need) to) .*\b(?:any ?more|any longer|{_LANGUAGE})"
        rf"|no longer (?:have|need) to|(?:can|may|should) {_DO}.*\b(?:again|any ?more|after all|once more)\b",
    ),
    ("switch change go", rf"(?:back )?to (?:{_LANGUAGE}|metric|imperial)"),
    ("back", rf"to (?:{_LANGUAGE}|metric|imperial|normal)"),
    ("let's", rf"(?:switch|change|go) (?:back )?to {_LANGUAGE}|(?:{_SAY}) in {_LANGUAGE}"),
    (
        "no",
        r"(?:more )?(?:emojis?|apolog\w+|bullet points?|bullets|markdown|lists|tables|small talk|disclaimers?|jargon|"
        r"swearing|spoilers?)\b",
    ),
    ("remember note", _FACT),
    ("keep bear", r"in mind\b|(?:all |every )?(?:of )?(?:your|the) (?:answers?|repl(?:y|ies)|responses?|messages?)\b"),
    ("make", r"(?:all |every )?(?:of )?(?:your|the) (?:answers?|repl(?:y|ies)|responses?|messages?)\b"),
    ("for", r"the record\b"),
    ("my", r"(?:name is|name's|pronouns are)\b"),
    ("i i'm", r"(?:am )?called\b"),
    ("call address", r"me (?!back|later|when|if|at|on|tomorrow|today|a |an |crazy|old)\S"),
    ("you", rf"(?:(?:should|must|have to|need to|are to|can|may) )?(?:{_YOU_DO}|call me)|are now\b"),
    ("i i'd", rf"(?:want|need|expect|(?:would )?like) you to (?:{_YOU_DO})"),
    (
        "answer reply respond speak talk write explain chat",
        rf"(?:to me )?(?:only |always |just )?in (?:plain |simple |american |british )*(?:{_LANGUAGE}|{_FORM})",
    ),
    ("only just always", rf"{_SAY} (?:to me )?in (?:{_LANGUAGE}|{_FORM})|{_DO}.*\b(?:in|with)\b"),
    (
        "be stay remain",
        r"(?:more |very |always )?(?:brief|concise|short|terse|formal|informal|polite|direct|honest|friendly|casual|"
        r"professional|precise|verbose|in character)\b",
    ),
    (
        "use",
        r"(?:only )?(?:the )?(?:metric|imperial|british|american|celsius|fahrenheit|si|24[- ]hour|12[- ]hour|formal|"
        r"informal|simple|plain|type hints)\b",
    ),
    ("act behave respond answer", r"(?:as|like) (?:if you|a|an|my|the)\b"),
    ("pretend", r"(?:to be|that you|you)\b"),
    ("play roleplay role-play", r"(?:the role of|as)\b"),
    # German
    (
        "antworte schreib schreibe sprich rede verwende benutz benutze nutze gib erklär erkläre nenn nenne frag frage "
        "sag sage sei bleib bleibe halt halte",
        _GERMAN_WAY,
    ),
    ("antworten schreiben sprechen verwenden benutzen nutzen geben erklären nennen", rf"sie\b{_GERMAN_WAY}"),
    (
        "immer nie niemals nur stets kein keine",
        r"(?:\S+ ){0,4}(?:antworten|schreiben|verwenden|benutzen|duzen|siezen|sprechen|erklären|nennen|emojis?)\b",
    ),
    ("merk merke", r"dir\b"),
    ("merken denken vergessen", r"sie (?:sich|daran|nicht|nie)\b"),
    ("denk denke", r"daran\b"),
    ("vergiss", r"(?:, )?(?:bitte )?(?:nicht|nie|dass|was ich|meine?n?|die|das(?:,| mit| und))\b"),
    ("du", r"(?:musst|brauchst|sollst|darfst|kannst) .*\b(?:nicht (?:mehr|länger)|wieder)\b"),
    ("wieder zurück", r"(?:auf|zu[mr]?) (?:deutsch|englisch|französisch|spanisch|italienisch|normal)\b"),
    ("hör", r"auf\b"),
    ("behalt behalte", r"im (?:kopf|hinterkopf)\b"),
    ("beachte", r"dass\b"),
    ("nenn nenne duz duze siez sieze", r"mich\b"),
    ("nennen duzen siezen", r"sie mich\b"),
    ("ich", r"(?:heiße|heisse)\b|(?:möchte|will), dass du (?:immer|nie|niemals|nur)\b"),
    ("mein", r"name ist\b"),
    ("du", r"(?:sollst|darfst|musst) (?:bitte )?(?:immer|nie|niemals|nur)\b"),
    # French
    (
        "réponds répondez écris écrivez parle parlez utilise utilisez explique expliquez sois soyez",
        _FRENCH_WAY,
    ),
    ("ne n'", r"\S+(?: \S+)? (?:jamais|plus)\b|oublie[sz]? (?:pas|jamais)\b"),
    ("toujours ne", r"(?:jamais |pas )?(?:me )?(?:répond|écri|utilis|parl|employ|tutoy|vouvoy|mentionn)\w+"),
    ("souviens-toi souvenez-vous rappelle-toi rappelez-vous retiens retenez appelle-moi appelez-moi", r""),
    ("tutoie-moi tutoyez-moi vouvoie-moi vouvoyez-moi", r""),
    ("garde gardez", r"à l'esprit"),
    ("oublie oubliez", r"(?:ce que|que|ma|mes|mon|la|les)\b"),
    ("tu vous", r"(?:peux|pouvez|n'as|n'avez|n'es) .*\b(?:à nouveau|de nouveau|plus)\b"),
    ("arrête arrêtez cesse cessez", r"(?:de |d')"),
    ("reviens revenez repasse repassez", r"(?:à l'|au |en )"),
    ("je", r"m'appelle\b|(?:veux|voudrais) que tu\b.*\b(?:toujours|jamais)\b"),
    ("mon", r"(?:pré)?nom est\b"),
    # Spanish
    ("responde respóndeme contesta conteste escribe escriba habla háblame hable explica sé", _SPANISH_WAY),
    (
        "siempre nunca jamás",
        r"(?:respond|contest|escrib|habl|us[ae]|dig|mencion|recomiend)\w*\b",
    ),
    ("no", r"(?:uses|utilices|escribas|respondas|digas|menciones|vuelvas a|hables|me hables|me digas|olvides)\b"),
    ("recuerda recuerde acuérdate llámame llámeme tutéame", r""),
    ("ten tenga", r"en cuenta\b"),
    ("olvida olvide", r"(?:lo que|que|mis?|la|las)\b"),
    ("deja deje", r"de\b"),
    ("ya", r"no (?:hace falta|tienes que|es necesario|me llames|respondas|contestes|uses|escribas)\b"),
    ("vuelve vuelva", r"al? (?:español|inglés|francés|alemán|italiano|portugués)\b"),
    ("me", r"(?:llamo|chamo|chame)\b"),
    ("mi", r"nombre es\b|chiamo\b"),
    ("quiero", r"que\b.*\b(?:siempre|nunca)\b"),
    # Italian
    ("rispondi risponda rispondimi scrivi scriva parla parlami usi spiega sii", _ITALIAN_WAY),
    ("non", r"(?:usare|scrivere|rispondere|dire|menzionare|parlare|chiamarmi|dimenticare)\b"),
    ("ricorda ricordati chiamami", r""),
    ("tieni", r"(?:presente|a mente)\b"),
    ("dimentica dimenticati", r"(?:quello che|ciò che|che|di|il|la|le)\b"),
    ("smetti smettila", r"(?:di|con)\b"),
    ("torna", r"all'(?:italiano|inglese)|al (?:francese|tedesco|spagnolo)\b"),
    ("dammi", r"del (?:tu|lei)\b"),
    ("il", r"mio nome è(?!\w)"),
    # Portuguese
    ("responda responde escreva escreve fale fala use explique seja", _PORTUGUESE_WAY),
    ("usa", rf"{_SPANISH_WAY}|{_ITALIAN_WAY}|{_PORTUGUESE_WAY}"),
    ("nunca sempre não", r"(?:responda|escreva|use|fale|diga|mencione|(?:se |te )?esque[çc]a)\b"),
    ("lembre lembre-se lembra-te chame-me chama-me chamo-me", r""),
    ("tenha", r"em mente\b"),
    ("esqueça esquece", r"(?:o que|que|meu|minha|meus|minhas|as?)\b"),
    ("pare", r"de\b"),
    ("volte volta", r"(?:para o|ao?) (?:português|inglês|francês|alemão|espanhol|italiano)\b"),
    ("meu", r"nome é(?!\w)"),
    ("o", r"meu nome é(?!\w)"),
    # Dutch
    ("antwoord schrijf spreek praat gebruik leg wees geef", _DUTCH_WAY),
    ("onthoud", r""),
    ("vergeet", r"(?:niet|nooit|wat ik|dat ik|mijn|de|het)\b"),
    ("stop hou", r"(?:op )?met\b"),
    ("je", r"hoeft (?:me |mij )?(?:niet|geen) (?:meer|langer)\b"),
    ("denk", r"eraan\b"),
    ("noem", r"m(?:e|ij)\b"),
    ("mijn", r"naam is\b"),
    ("ik", r"heet\b"),
    # Russian
    ("отвечай отвечайте пиши пишите говори говорите используй используйте", _RUSSIAN_WAY),
    ("всегда никогда только", r"(?:не )?(?:отвечай|пиши|говори|используй)\w*"),
    ("не", r"(?:используй|пиши|забывай)\w*"),
    ("запомни запомните помни помните учти", r""),
    ("забудь забудьте", r"(?:, )?(?:об?|про|что|мо[йюяеё]\w*)\b"),
    ("перестань перестаньте хватит", r""),
    ("больше", r"не\b"),
    ("называй называйте зови зовите меня", r"(?:меня|зовут)\b"),
)
"""What must follow the first word of a sentence, and a space, to make it a standing request."""

STANDING = (
    *("from now on", "from here on", "from today on", "from this point", "from this moment", "going forward"),
    *("henceforth", "for the rest of this c", "for the rest of our c", "for the rest of the c", "in future,"),
    *("in the future,", "in all your", "in every answer", "in every reply", "every time you", "every time i"),
    *("each time you", "each time i", "whenever you", "whenever i", "until i say", "until i tell", "unless i say"),
    *("unless i ask", "ab jetzt", "ab sofort", "ab heute", "ab nun", "von jetzt an", "von nun an", "künftig"),
    *("in zukunft", "fortan", "jedes mal wenn", "jedes mal, wenn", "désormais", "dorénavant", "à l'avenir"),
    *("à partir de maintenant", "à partir d'aujourd", "dans toutes tes réponses", "a partir de ahora"),
    *("a partir de hoy", "de ahora en adelante", "desde ahora", "en adelante", "d'ora in poi", "d'ora in avanti"),
    *("da ora in poi", "da adesso in poi", "da oggi in poi", "a partir de agora", "de agora em diante"),
    *("daqui em diante", "daqui para a frente", "doravante", "vanaf nu", "voortaan", "van nu af aan"),
    *("in het vervolg", "отныне", "с этого момента", "с сегодняшнего дня", "впредь", "从现在开始", "从现在起"),
    *("从今以后", "以后", "今后", "これから", "今後", "これ以降"),
)
"""Phrases that say "for all that follows", wherever they stand; the assistant must be addressed too."""

ADDRESSED = _any(
    r"\b(?:you|your|please|answer|reply|respond|write|speak|explain|use|call|include|add|end|start|keep|translate|"
    r"only|always|never|don't|do not|no more|stop|be|give|show|format|address|assume)\b",
    r"\b(?:du|dich|dir|deine?\w*|bitte|antworte\w*|schreibe?|sprich|verwende|benutze|nenne?|duze|sieze|nur|keine?|"
    r"immer|nie)\b",
    r"\b(?:tu|te|toi|vous|ta|tes|réponds|répondez|écris|écrivez|parle|parlez|utilise|utilisez|sois|tutoie)\b|-moi\b",
    r"\b(?:tú|tus?|responde|contesta|escribe|habla|háblame|usa|llámame|siempre|nunca|no uses|por favor)\b",
    r"\b(?:ti|tuoi?|tue|rispondi|scrivi|parla|parlami|chiamami|sempre|solo|per favore)\b",
    r"\b(?:você|teus?|tuas?|suas?|responda|escreva|fale|chame|só)\b",
    r"\b(?:je|jij|jouw?|antwoord|schrijf|spreek|gebruik|noem|alleen|altijd|nooit|graag|alsjeblieft)\b",
    r"\b(?:ты|тебя|вы|отвечай\w*|пиши\w*|говори\w*|используй\w*|называй|только|всегда|не)\b",
    r"请|你|您|用|都|不要|只|ください|下さい|して|答え|話し",
)
"""Signs that the assistant, not the world, is spoken of."""

ANYWHERE = _any(
    r"\b(?:i want|i'd like|i would like|i need|i expect) you to (?:always|never|remember|only)\b",
    r"\byou (?:should|must|have to|need to|are to|shall) (?:always|never)\b",
    rf"\bplease (?:always|never) (?!{_STATEMENT})\w|\bplease remember (?:that|my|i|this)\b",
    r"(?:始终|总是|一直|务必|永远|只)(?:用|以|使用|不要|回答|称呼)(?!了)",
    r"^\W*(?:请|麻烦)?你?(?:记住|牢记|别忘了|不要忘记|不要再|永远不要|别再|用\S{1,3}[文语]回答|叫我|称呼我|我叫|我的名字)",
    r"^\W*(?:请)?(?:忘记|忘掉)(?:我|之前|刚才)|^\W*(?:你)?(?:不用再|不必再)|改用\S{1,3}[文语]|改叫我",
    r"もう\S*(?:なくていい|必要はない|ないでください)|(?:言った|頼んだ)こと\S*忘れて",
    r"(?:常に|いつも|必ず|絶対に).*(?:ください|下さい|して|しないで|答えて|書いて)",
    r"覚えて(?:おいて)?|忘れないで|と呼んで|語で(?:答え|返事|回答|返信|話し)|^\W*私の名前は",
)
"""Requests that do not open their sentence, and those of languages without spaces."""

HINTS = (*STANDING, "always", "never", "remember", "only", *"始总一务永只记牢忘再文语叫呼名常い必絶覚語掉")
"""A text with none of these holds nothing that ``STANDING`` or ``ANYWHERE`` would find."""
ASCII_HINTS = tuple(filter(str.isascii, HINTS))
"""Those an ASCII text can hold."""

POLITE = _by_first_word(
    ("can could would will", r"you (?:please |kindly )?"),
    ("kannst könntest würdest magst", r"du (?:bitte )?"),
    ("peux-tu pourrais-tu pouvez-vous pourriez-vous", r"(?:s'il te plaît |s'il vous plaît )?"),
    ("tu", r"peux "),
    ("puedes podrías puede podría", r"(?:por favor )?"),
    ("puoi potresti può potrebbe", r"(?:per favore )?"),
    ("você", r"pode "),
    ("pode poderia podes", r"(?:por favor )?"),
    ("kun kan zou wil", r"je (?:alsjeblieft )?"),
    ("можешь можете можно", r""),
)
"""How a question begins that is a request; what follows must be one, and hold one of ``VERBS``."""

VERBS = _any(
    rf"\b(?:{_DO}|{_SAY}\b)|\b(?:remember|keep|call|stop|please)\b",
    r"antwort|schreib|sprech|verwend|benutz|merk|duz|siez|nenn|répond|écri|parl|utilis|tuto|rappel|souvenir",
    r"respond|contest|escrib|habl|usar|record|llam|rispond|scriv|chiam|escrev|fal|lembr",
    r"antwoord|schrijf|gebruik|noem|onthoud|отвеча|писать|говорить|запомн",
)
"""What an assistant does with words; "can you always see the moon?" asks for nothing."""

TAKES_BACK = re.compile(
    r"(?:(?:forget|scratch|cancel|undo|ignore|disregard|drop|never ?mind) (?:about )?"
    r"(?:that|it|this|what i (?:just )?said)|"
    r"i (?:take (?:that|it) back|didn't mean (?:that|it))|"
    r"vergiss (?:das|es)|(?:ich )?nehme? (?:das|es) zurück|oublie(?:z)?(?: ça| cela|-le)|olvida (?:eso|esto)|olvídalo|"
    r"dimentica(?:lo| questo| quello)|esque[çc]a isso|esquece(?: isso)?|vergeet (?:dat|het)|"
    r"забудь(?:те)?(?: это| об этом)?|"
    r"(?:请)?(?:忘了吧|忘掉吧|别管了|算了)|(?:それは|今のは)?忘れて(?:ください)?)"
    r"(?:[\s,]+(?:please|again|now|then|bitte|wieder|mal|s'il (?:te|vous) plaît|por favor|per favore|alsjeblieft|maar|"
    r"пожалуйста))*\W*"
)
"""A whole message that takes back what was asked for just before."""

ONCE = _any(
    r"\b(?:in|for|to|from) (?:this|that|the following|the above) (?:one|sentence|function|paragraph|file|example|poem|"
    r"case|question|text|essay|e-?mail|letter|class|method|query|script|line|word|story|step|time)\b",
    r"\b(?:this time|(?:just |only )?this once|for now|for the moment)\b",
    r"\b(?:diesmal|dieses (?:eine )?mal|in diesem (?:satz|text|fall|absatz)|in dieser (?:funktion|datei))\b",
    r"\b(?:cette fois|dans (?:cette|ce) (?:phrase|texte|fonction|fichier)|esta vez)\b",
    r"\b(?:en est[ae] (?:frase|texto|función)|questa volta|desta vez|deze keer|на этот раз|в этот раз)\b",
    r"这次|这一次|今回だけ",
)
"""Words that bind a request to one occasion."""
