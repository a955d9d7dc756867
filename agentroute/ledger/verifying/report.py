"""What ``verify`` found, in one record and in words."""

from __future__ import annotations

from dataclasses import dataclass

from agentroute.errors import LedgerTamperedError
from agentroute.ledger.chain import Anchor

UNANCHORED = (
    "without an anchor it cannot be excluded that the last rows were cut off, "
    "or that everything was written anew"
)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What ``verify`` found. ``bad_seq`` is the first bad row (0: not about one row).

    ``head`` is to be kept elsewhere as the next anchor; ``erased`` counts texts that were erased
    by a recorded event; ``caveat`` says what this check cannot know.
    """

    ok: bool
    rows: int
    head: Anchor
    erased: int = 0
    bad_seq: int | None = None
    problem: str = ""
    caveat: str = ""

    def words(self) -> str:
        """What was found, for people; the head is what to keep elsewhere as the next anchor."""
        if not self.ok:
            where = f"row {self.bad_seq}: " if self.bad_seq else ""
            return f"NOT as it was written. {where}{self.problem}"
        lines = [f"{self.rows:,} rows are as they were written", f"head {self.head}"]
        if self.erased:
            lines.insert(1, f"{self.erased} texts were erased, each by a recorded event")
        return "\n".join([*lines, self.caveat] if self.caveat else lines)

    def raise_if_bad(self) -> None:
        """Raise ``LedgerTamperedError`` unless all is well."""
        if not self.ok:
            raise LedgerTamperedError(
                f"row {self.bad_seq}: {self.problem}",
                seq=self.bad_seq or 0,
                hint="restore a backup; later rows cannot be trusted",
            )


class BadRowError(Exception):
    """The first thing that is not as it was written, and the row it is about."""

    def __init__(self, seq: int, problem: str) -> None:
        super().__init__(problem)
        self.seq, self.problem = seq, problem
