"""Text that others wrote, made safe to show to a model: cleaned, capped, and fenced as data."""

from __future__ import annotations

import re
import unicodedata

from agentroute.errors import AgentRouteError

CARD_CHARS = 512
TASK_CHARS = 20_000

_KEPT_CONTROLS = "\n\t"
_CUT = " [cut]"
_JOINERS = "\u200c\u200d"  # Persian, Hindi and emoji are spelt with them; English hides in them
_SPELLING = re.compile(r"(?<![\x00-\x7f\u200c\u200d])[\u200c\u200d](?![\x00-\x7f\u200c\u200d]|$)")
# Our own fences, the names of roles, and the special tokens of chat templates.
_OURS = (
    r"task|asked_again|transcript|input|agents|conversation|queries|team|request"
    r"|system|user|assistant|tool|developer"
)
_POSING = re.compile(rf"<(?=\s*(?:\||/?\s*(?:{_OURS})(?:_\d*)?\b))|(?<=\|)>", re.IGNORECASE)


def as_typed(text: str, limit: int) -> str:
    """``text`` without what is not seen, at most ``limit`` characters; nothing else is changed.

    Removes the Unicode categories Cc (but newline and tab), Cf (bidi marks, zero-width characters,
    tags), Co and Cs, which can hide an instruction from a reader but not from a model. A joiner
    stays where it spells a word: between two characters that are not ASCII. A cut is marked with
    ``[cut]``, inside the limit.
    """
    seen = "".join(
        c
        for c in text[: 4 * limit]
        if c in _KEPT_CONTROLS or c in _JOINERS or unicodedata.category(c)[0] != "C"
    )
    spelt = {m.start() for m in _SPELLING.finditer(seen)}
    kept = "".join(c for i, c in enumerate(seen) if c not in _JOINERS or i in spelt)
    if len(kept) <= limit and len(text) <= 4 * limit:
        return kept
    return kept[: max(0, limit - len(_CUT))].rstrip(_JOINERS) + _CUT


def neutralise(text: str, limit: int) -> str:
    """``as_typed`` in NFKC and without joiners: for names, cards and errors.

    There a look-alike is a risk, and nobody counts on the spelling.
    """
    wide = unicodedata.normalize("NFKC", text[: 4 * limit]) + text[4 * limit :]
    return as_typed(wide.replace("\u200c", "").replace("\u200d", ""), limit)


def one_line(text: str, limit: int) -> str:
    """``neutralise`` with every run of white space made one blank."""
    return " ".join(neutralise(text, limit).split())


def words_of(e: BaseException) -> str:
    """An exception in one line: ours speaks for itself, another has its type in front.

    Whatever its ``str()`` does, that is not raised.
    """
    kind = type(e).__name__
    try:
        said = " ".join(str(e).split())
    except Exception:
        return f"{kind} (its words cannot be read)"
    said = said.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be stored
    return said if isinstance(e, AgentRouteError) and said else f"{kind}: {said}"


def fence(label: str, text: str, limit: int) -> str:
    """``text`` as a block that its own content cannot close.

    The block is ``<label>`` ... ``</label>`` on lines of their own. An angle bracket inside that
    could pose as one of our tags, a role's or a chat template's becomes ``‹`` or ``›``; all others
    stay, so that code arrives as it was written. ``label`` is ours, never input.
    """
    return f"<{label}>\n{_POSING.sub(_defused, as_typed(text, limit))}\n</{label}>"


def _defused(bracket: re.Match[str]) -> str:
    return "‹" if bracket[0] == "<" else "›"
