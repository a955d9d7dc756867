"""What the offline planner knows of English: verbs that open a task, and words that point back."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Base forms that hardly ever stand for a noun: a clause that opens with one is a task.
CLEAR = _words(
    """access add adjust analyse analyze apply arrange ask assess attach audit authenticate bring
    browse buy calculate calibrate cancel choose cite classify clean collect compare compile
    compose compute conduct configure confirm connect convert create cut decide decode define
    delete deliver demonstrate deploy describe detect determine develop disable discover
    download draft edit email enable encode encrypt enhance enter enumerate erase estimate
    evaluate examine execute explain explore extract fetch fill find fix forward gather generate
    get give go group identify implement import improve include inform inspect install invite
    join keep know launch let locate make manage merge modify move navigate normalise normalize
    notify obtain open optimise optimize organise organize outline parse pause perform pick
    predict prepare preprocess prioritise prioritize promote proofread propose provide put quote
    read recognise recognize recommend reconcile recover redact reduce refund remove rename
    render repair rephrase replace reply resize resolve respond restart restore retrieve revise
    rewrite rotate say scan segment select send set shorten show simplify simulate solve sort
    specify split store strip submit subtract suggest sum summarise summarize synthesise
    synthesize tabulate take tell tidy transcribe transfer transform translate transpose tune
    turn unlock unzip update upload use validate verify visualise visualize warm watch write"""
)
# Base forms that are nouns as often: a task only where an object follows.
EITHER = _words(
    """answer archive balance benchmark book build call chart check clone cook copy count crop
    debug design display document drop export filter forecast format highlight label list load
    log look map mark match measure monitor name note order pack pay plan plot post print
    process profile publish query rank rate record refactor report request research reserve
    review run sample save schedule score search share sign sketch start study tag test track
    trim view visit walk"""
)
OBJECT = _words(
    """a all an another any at both each eight either every everything five for four from her him
    his how into it its last me more my new next nine one our out over seven six some something
    ten that the their them these this those three through to two up us what when where whether
    which who your"""
)
BACK = re.compile(
    r"\b(it|its|them|they|their|she|he|him|his|this|these|those|each (?:group|one|of)|for each|"
    r"the (?:results?|output|outcome|total|same|former|latter)|that (?:one|list|file|text))\b",
    re.IGNORECASE,
)
BACK_TO_ALL = re.compile(
    r"\b(both|everything|all of (?:it|them|this|these)|where they (?:agree|disagree|differ)|"
    r"(?:all|the) (?:findings|results|answers|parts)|from both|of them all|together)\b",
    re.IGNORECASE,
)
# Verbs that speak of what was done before.
TELLS = _words("tell inform notify say report conclude")
MARK = (
    r"(?:and then|then|after that|afterwards|after this|next|finally|lastly|subsequently|"
    r"in the end)"
)
# How a request opens before its verb.
POLITE = re.compile(
    r"^(?:please|kindly|also|additionally|moreover|furthermore|besides|and|i(?: would|'d)? "
    r"(?:want|need|like)(?: you| help)? to|i(?: would|'d) like you to|i am looking to|"
    r"(?:can|could|would|will) you(?: please)?|help me(?: to)?|let us|let's|"
    r"your task is to)\b[\s,]*",
    re.IGNORECASE,
)
ORDER = re.compile(
    r"^(?:first(?:ly)?(?: of all)?|second(?:ly)?|third(?:ly)?|fourth(?:ly)?|"
    rf"to (?:begin|start)(?: with)?|{MARK})\b[\s,:]*",
    re.IGNORECASE,
)
ASKS = re.compile(
    r"^(?:what|who|whom|whose|when|where|why|which|how|is|are|was|were|do|does|did|has|have)\b",
    re.IGNORECASE,
)
# What opens a clause inside a step: verbs behind it belong to it and not to the request.
INSIDE = re.compile(
    r"\b(?:if|unless|whether|how to|in which|which|that|who|whose|where|while|because|so)\b",
    re.IGNORECASE,
)


def opens_a_task(text: str, *, loosely: bool = False) -> bool:
    """Whether a clause begins with a verb that asks for something to be done.

    ``loosely`` takes a verb that may be a noun before anything: in a list of steps, before 'then'.
    """
    first, _, rest = text.strip().partition(" ")
    verb = first.strip(",:").lower()
    if verb in CLEAR or (loosely and verb in EITHER):
        return bool(rest.strip())
    if verb not in EITHER:
        return False
    following = rest.strip().split(" ", 1)[0].strip(",.:;\"'").lower()
    own = rest.strip()[:1]
    named = own.isdigit() or own.isupper() or own in ("\ue000", "$") or "." in following
    return following in OBJECT or named


def asks(text: str) -> bool:
    """Whether a clause is a question."""
    return bool(ASKS.match(text.strip()))


def inside(text: str) -> bool:
    """Whether a clause is open at the end of ``text``, or a verb in the infinitive."""
    if INSIDE.search(text):
        return True
    return any(w.lower() in CLEAR or w.lower() in EITHER for w in re.findall(r"\bto (\w+)", text))
