"""The verdict on an answer at the top of its files, so that a file alone says what it is worth.

Copies are stamped: the files that agents left stay as they are, and a resumed run stamps anew.
"""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from agentroute.execution.progress import Run
from agentroute.execution.runner import ALL, sinks
from agentroute.model.calls import Artifact
from agentroute.model.runs import Verdict
from agentroute.toolbox.handover import copy_file

FOLDER = "answer"  # beside the folders of calls, whose names have dots
MAX_BYTES = 50_000_000
PAGES, TEXTS = {".html", ".htm"}, {".txt", ".md", ".markdown"}
BODY = re.compile(r"<body\b[^>]*>|<!doctype[^>]*>", re.IGNORECASE)
LOW = "background:#b3261e;color:#fff;font:600 1rem/1.4 system-ui,sans-serif;padding:.8rem 1rem"
HIGH = "background:#e3f1e6;color:#1d3b26;font:.9rem/1.4 system-ui,sans-serif;padding:.4rem 1rem"


def stamped(
    run: Run, artifacts: Sequence[Artifact], verdict: Verdict | None
) -> tuple[Artifact, ...]:
    """The files of a run, those of its answer that people read with the verdict at their top.

    HTML says it in any case, plain text and Markdown where the answer was not accepted; other
    formats would break. A file that cannot be copied is said in ``run.said`` and left unstamped.
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
    text = on_page(text, verdict) if page else f"{verdict.words}\n\n{text}"
    target.write_bytes(text.encode("utf-8", errors="surrogateescape"))
    shutil.copystat(source, target)
    return a.model_copy(update={"path": str(target.resolve())})


def on_page(page: str, verdict: Verdict) -> str:
    """A page with the verdict as the first thing of its body; its words are escaped."""
    style, role = (HIGH, "note") if verdict.accepted else (LOW, "alert")
    band = f'<div role="{role}" style="{style}">{html.escape(verdict.words)}</div>'
    found = list(BODY.finditer(page[:100_000]))
    at = found[-1].end() if found else 0
    return f"{page[:at]}\n{band}{page[at:]}"
