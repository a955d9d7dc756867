r"""The way to the terminal: whatever others wrote is shown there, and commands nothing.

Text of agents, cards, graphs, files and errors can hold escape sequences (which write to the
clipboard, set the title, clear the screen) and characters that turn the order of a line round.
They stand here as ``\u001b``, so that people see them, and JSON that holds them stays the same.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

# Controls but tab and newline; line separators; what has no width or sets a direction; halves of
# pairs; tags. The joiners that scripts and emoji need are none of them.
_ACTS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def shown(text: str) -> str:
    r"""``text`` with every character that acts on a terminal spelled out as ``\uXXXX``."""
    return _ACTS.sub(_spelled, text.replace("\r\n", "\n"))


def _spelled(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


class Shown:
    """A text stream that shows what is written to it. It has no ``buffer`` to go round it by."""

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        """Write ``text`` as ``shown``; the length of what was given."""
        self.raw.write(shown(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        """The stream's own, but not the bytes below it."""
        if name in ("buffer", "detach"):
            raise AttributeError(name)
        if name == "writelines":
            return lambda lines: self.write("".join(lines))
        return getattr(self.raw, name)


def raw(stream: TextIO) -> TextIO:
    """The stream below, for colours and cursor movements of our own and no text of others."""
    return stream.raw if isinstance(stream, Shown) else stream


@contextmanager
def shown_only() -> Iterator[None]:
    """Both standard streams show what is printed, errors and logging too, while it lasts."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast(TextIO, Shown(raw(out))), cast(TextIO, Shown(raw(err)))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
