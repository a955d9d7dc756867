"""Ledgers that the inspector is shown: empty, real runs, ten thousand runs, hostile texts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from unittest.mock import patch

from agentroute import Orchestrator, Registry, Task
from agentroute.bench.reading.pages import MARK, copied
from agentroute.ledger import Ledger
from agentroute.model.events import Note
from agentroute.model.outcomes import Feedback, Outcome
from tests.ledger.sample import cardset, record

PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>",
    "'><svg/onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</svg><script>alert(1)</script>",
    "</pre><iframe src=javascript:alert(1)>",
    "javascript:alert(1)",
    "\" onmouseover=\"alert(1)",
    "' onfocus='alert(1)' autofocus='",
    "` onclick=alert(1) `",
    "{{ 7 * 7 }}{% raw %}",
    "${7*7}#{7*7}",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<style>*{display:none}</style>",
    "<base href=//evil.example><a href=//evil.example>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
]  # fmt: skip
_TAGS = [
    "<{0} onload=alert({1})>", "<{0} src=x onerror=alert({1})>", "<{0}/onmouseover=alert({1})//",
    "</{0}><{0} autofocus onfocus=alert({1})>", "%3C{0}%20onerror%3Dalert({1})%3E",
    "\\u003c{0} onclick=alert({1})\\u003e", "<{0} href=javascript:alert({1})>x",
    "\u202e<{0} style=x:expression(alert({1}))>",
]  # fmt: skip
PAYLOADS += [t.format(tag, i) for tag in ("a", "body", "details", "input", "video", "object",
             "embed", "marquee") for i, t in enumerate(_TAGS)]  # fmt: skip
PAYLOADS += [
    "=HYPERLINK(\"http://evil.example\",\"x\")", "=cmd|' /C calc'!A0", "+1+cmd|'/C calc'!A0",
    "-2+3+cmd|'/C calc'!A0", "@SUM(1+1)*cmd|'/C calc'!A0", "=IMPORTXML(\"http://evil.example\")",
    "\t=1+1", "=DDE(\"cmd\";\"/C calc\";\"x\")", "=1+1\";=2+2", "=WEBSERVICE(\"//evil.example\")",
    "//evil.example/x", "https://evil.example/?<b>", "<meta http-equiv=refresh content=0;//evil>",
    "<link rel=stylesheet href=//evil.example/a.css>", "<form action=//evil.example><input>",
    "data:text/html,<script>alert(1)</script>",
]  # fmt: skip


def diamonds(folder, n, *, broken=-1):
    """``n`` runs of a diamond through the front door, number ``broken`` failed; its URL."""
    registry = Registry()

    for name, price in (("cheap", 0.001), ("dear", 0.01)):

        @registry.agent(name=name, skills=["first"], cost_usd=price)
        async def begin(call):
            """Begins."""
            if "broken" in call.task.prompt:
                raise ValueError("it broke")
            return f"{call.task.prompt} begun"

    @registry.agent(skills=["second"])
    async def end(call):
        """Ends."""
        return "ended"

    async def go():
        async with Orchestrator(registry, ledger=f"sqlite:///{folder}/a.db", out=folder / "o") as o:
            for i in range(n):
                word = "broken" if i == broken else f"order {i}"
                tasks = [
                    Task(id="a", prompt=word, skills=("first",)),
                    Task(id="b", prompt="left", skills=("second",), depends_on={"a": 0.5}),
                    Task(id="c", prompt="right", skills=("second",), depends_on={"a": 0.5}),
                    Task(id="d", prompt="join", skills=("second",), depends_on={"b": 1, "c": 1}),
                ]
                await o.run(tasks, run_id=f"run{i:02d}", seed=i)
                await o.feedback(f"run{i:02d}", score=0.8)

    asyncio.run(go())
    return f"sqlite:///{folder}/a.db"


def empty_ledger(folder):
    """A ledger without a row."""
    url = f"sqlite:///{folder}/a.db"
    Ledger.open(url).close()
    return url


def many_runs(folder, n, *, first=500):
    """``n`` runs of a decision, with outcomes, scores and an end; all but the first are copies."""
    path, cards = folder / "a.db", cardset()
    with Ledger.open(f"sqlite:///{path}") as led:
        for i in range(first):
            run = f"run-{MARK}-{i:04d}"
            about = {"name": f"graph{i % 7}", "topology": "hybrid"}
            led.append(Note(id=f"s-{run}", run_id=run, type="run.started", data=about))
            rec = record(i, run=run, cards=cards)
            d = rec.decision.model_copy(update={"id": f"d-{MARK}-{i}"})
            led.append(replace(rec, decision=d))
            led.append(Outcome(decision_id=d.id, agent=d.chosen[0], cost_usd=0.01 * (i % 5),
                               latency_s=0.2, tokens=100))  # fmt: skip
            if i % 3 == 0:
                led.append(Feedback(id=f"f-{MARK}-{i}", target="decision", target_id=d.id,
                                    score=(i % 11) / 10, source="user"))  # fmt: skip
            end = {"status": "failed" if i % 10 == 1 else "completed"}
            ticket = led.append(Note(id=f"e-{run}", run_id=run, type="run.finished", data=end))
        ticket.wait(60)
    copied(path, n // first)
    return f"sqlite:///{path}"


def hostile_ledger(folder, payloads, *, per_run=1):
    """A ledger with every text field a payload, written past every check of the front door.

    With ``per_run`` > 1 the fields of a run share that many payloads, each in another field.
    """
    url = f"sqlite:///{folder}/a.db"
    unchecked = patch("agentroute.ledger.insert.RUN_STEPS", {})
    with unchecked, Ledger.open(url) as led:
        for i in range(0, len(payloads), per_run):
            last = _hostile_run(led, i, payloads[i : i + per_run])
        last.wait(30)
    return url


def _hostile_run(led, i, given):
    about, choice, scored, called, judged = (given[k % len(given)] for k in range(5))
    run = f"run {i} {about}"
    plan = led.put_text(about)
    led.append(Note(id=f"s{i}{about}", run_id=run, type="run.started",
                    data={"name": about, "topology": about, "plan": plan}))  # fmt: skip
    rec = record(i, run=run)
    d = rec.decision.model_copy(update={
        "id": f"d{i} {choice}", "task_id": choice, "policy": choice, "policy_version": choice,
        "reason": choice,
    })  # fmt: skip
    means = rec.scores.mean
    scores = replace(rec.scores, terms={scored: means, f"b{scored}": means * 0})
    task = rec.request.task.model_copy(update={"prompt": scored, "skills": (scored,)})
    request = replace(rec.request, task=task)
    rec = replace(rec, decision=d, scores=scores, request=request, reasons=(scored, scored))
    led.append(rec)
    led.append(Outcome(decision_id=d.id, agent=d.chosen[0], error=called, quality=0.0))
    led.append(Outcome(decision_id=d.id, agent=called, cost_usd=0.1, latency_s=0.1))
    for n, (kind, target) in enumerate((("run", run), ("decision", d.id))):
        led.append(Feedback(id=f"f{i}{n}", target=kind, target_id=target, score=0.5,
                            agent=judged, source=judged, method=judged))  # fmt: skip
    end = {"status": about, "answer": led.put_text(called), "degraded": [judged], "usage": {}}
    last = led.append(Note(id=f"e{i}{about}", run_id=run, type="run.finished", data=end))
    led.append(Note(id=f"o{i}{judged}", run_id=run, type=judged, data={judged: judged}))
    return last
