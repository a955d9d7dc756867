"""Text that others wrote, made safe to show to a model: cleaned, capped, and fenced as data."""

from __future__ import annotations

import unicodedata

from agentroute.errors import AgentRouteError

CARD_CHARS = 512
TASK_CHARS = 20_000

_KEPT_CONTROLS = "\n\t"
_CUT = " [cut]"


def neutralise(text: str, limit: int) -> str:
    """``text`` in NFKC without control, bidi and zero-width characters, at most ``limit`` long.

    Removes the Unicode categories Cc (but newline and tab), Cf (bidi marks, zero-width joiners,
    tags), Co and Cs, which can hide an instruction from a reader but not from a model. A cut is
    marked with ``[cut]``, inside the limit.
    """
    wide = unicodedata.normalize("NFKC", text[: 4 * limit])
    kept = "".join(c for c in wide if c in _KEPT_CONTROLS or unicodedata.category(c)[0] != "C")
    if len(kept) <= limit and len(text) <= 4 * limit:
        return kept
    return kept[: max(0, limit - len(_CUT))] + _CUT


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

    The block is ``<label>`` ... ``</label>`` on lines of their own; angle brackets inside become
    ``‹`` and ``›``. ``label`` is ours, never input.
    """
    inner = neutralise(text, limit).replace("<", "‹").replace(">", "›")
    return f"<{label}>\n{inner}\n</{label}>"
