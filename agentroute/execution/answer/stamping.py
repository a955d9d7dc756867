"""The verdict on an answer at the top of its files, so that a file alone says what it is worth,
and of which run it is.

Copies are stamped: the files that agents left stay as they are, and a resumed run stamps anew.
"""

from __future__ import annotations

import html
import re
import shlex
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from agentroute.execution.progress import Run
from agentroute.execution.runner import ALL, sinks
from agentroute.ledger.rows.redaction import redact
from agentroute.model.calls import Artifact
from agentroute.model.plans import Plan
from agentroute.model.runs import Verdict
from agentroute.toolbox.handover import copy_file

FOLDER = "answer"  # beside the folders of calls, whose names have dots
MAX_BYTES = 50_000_000
PAGES, TEXTS = {".html", ".htm"}, {".txt", ".md", ".markdown"}
BODY = re.compile(r"<body\b[^>]*>|<!doctype[^>]*>", re.IGNORECASE)
LOW = "background:#b3261e;color:#fff;font:600 1rem/1.4 system-ui,sans-serif;padding:.8rem 1rem"
SMALL = "font:400 .8rem/1.4 system-ui,sans-serif;overflow-wrap:anywhere"
MAX_COMMAND = 500
HIGH = "background:#e3f1e6;color:#1d3b26;font:.9rem/1.4 system-ui,sans-serif;padding:.4rem 1rem"


def stamped(
    run: Run, artifacts: Sequence[Artifact], verdict: Verdict | None
) -> tuple[Artifact, ...]:
    """The files of a run, those of its answer that people read with the verdict at their top.

    HTML says it in any case, with date, run and command; plain text and Markdown where the answer
    was not accepted; other formats would break. A file that cannot be copied is said in
    ``run.said`` and left unstamped.
    """
    if verdict is None:
        return tuple(artifacts)
    last = (ALL,) if ALL in run.outcomes else sinks(run.graph)
    replies = [o.reply for v in last if (o := run.outcomes.get(v)) and o.reply]
    ours = {a.path for r in replies for a in r.artifacts}
    out = []
    for i, a in enumerate(artifacts):
        try:
            out.append(_stamp(run, a, i, verdict) if a.path in ours else a)
        except OSError as e:
            run.said.append(f"the artefact '{a.name}' does not say the verdict: {e.strerror or e}")
            out.append(a)
    return tuple(out)


def is_stamped(path: str) -> bool:
    """Whether a file is one that was made here."""
    return len(Path(path).parts) > 2 and Path(path).parts[-3] == FOLDER


def _stamp(run: Run, a: Artifact, i: int, verdict: Verdict) -> Artifact:
    kind = Path(a.name).suffix.lower()
    page = kind in PAGES
    if not page and (kind not in TEXTS or verdict.accepted):
        return a
    source = Path(a.path)
    if source.stat().st_size > MAX_BYTES:
        raise OSError("it is too large")
    target = run.workroot / run.run_id / FOLDER / str(i) / a.name
    target.parent.mkdir(parents=True, exist_ok=True)
    copy_file(a.path, target)  # and not what was put in its place since
    text = target.read_bytes().decode("utf-8", errors="surrogateescape")
    text = on_page(text, verdict, origin_of(run)) if page else f"{verdict.words}\n\n{text}"
    target.write_bytes(text.encode("utf-8", errors="surrogateescape"))
    shutil.copystat(source, target)
    return a.model_copy(update={"path": str(target.resolve())})


def origin_of(run: Run) -> str:
    """When the answer was put together, the run, and the command that gives the graph again."""
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, run {run.run_id}"
    command = command_of(run.plan)
    return f"{made}: {command}" if command else made


def command_of(plan: Plan) -> str:
    """The command of a graph, secrets redacted and at most 500 characters; '' where it is none."""
    command = redact(shlex.join(["agentroute", "run", *plan.source])) if plan.source else ""
    return command if len(command) <= MAX_COMMAND else f"{command[: MAX_COMMAND - 4]} ..."


def on_page(page: str, verdict: Verdict, origin: str) -> str:
    """A page with the verdict and its origin as the first of its body; their words are escaped."""
    style, role = (HIGH, "note") if verdict.accepted else (LOW, "alert")
    words, origin = html.escape(verdict.words), html.escape(origin)
    small = f'<div style="{SMALL}">{origin}</div>'
    band = f'<div role="{role}" style="{style}">{words}{small}</div>'
    found = list(BODY.finditer(page[:100_000]))
    at = found[-1].end() if found else 0
    return f"{page[:at]}\n{band}{page[at:]}"
