"""The demo's story as one HTML page."""

from __future__ import annotations

from agentroute.demo.story import Story
from agentroute.inspector.charts import bars, dag, lines
from agentroute.inspector.evalpage import curve_charts
from agentroute.inspector.page import Section, render


def demo_page(story: Story, *, made_by: str = "") -> str:
    """All four parts, with the graph, the choice, the course of learning and the table; ``made_by``
    is the command that made it.
    """
    sections = [_run(story), _contest(story), _learning(story), *_table(story)]
    lead = f"Computed on this machine in {story.seconds:.1f} s, offline. Ledger: {story.ledger}"
    footer = f"Run {story.run.run_id}. Made by {made_by or 'agentroute demo'}."
    return render("What agentroute does", sections, lead=lead, footer=footer)


def _run(story: Story) -> Section:
    stats = story.plan.choice.stats
    who = {d.task_id: ", ".join(d.chosen) for d in story.run.decisions if d.kind == "route"}
    edges = [(a, b) for a, b, _ in story.plan.graph().edges]
    chart = dag(
        stats.generations, edges, title="The tasks and who did them", notes=who,
        marked=[story.contest.task_id],
    )  # fmt: skip
    files = [f"artefact: {a.path}" for a in story.run.artifacts if a.name.endswith(".html")]
    return Section(
        f"1. {story.plan.name} on this environment",
        f"{story.run.topology}: {story.plan.choice.reason}.",
        chart,
        notes=[*story.run.degraded, *files],
        pre=story.run.answer,
    )


def _contest(story: Story) -> Section:
    found = story.contest.found
    terms = sorted({k for r in found.ranked for k in r.terms})
    rows = [
        (
            r.agent,
            f"{r.propensity:.3f}",
            "" if r.mean is None else f"{r.mean:.3f}",
            "" if r.bonus is None else f"{r.bonus:.3f}",
            *(f"{r.terms.get(k, 0.0):+.3f}" for k in terms),
        )
        for r in found.ranked
    ]
    return Section(
        f"2. Who does '{story.contest.task_id}', and why",
        f"Chosen: {', '.join(found.chosen)} ({found.status}, policy {found.policy}). "
        f"{found.reason}",
        columns=("agent", ">probability", ">mean", ">bonus", *(f">{t}" for t in terms)),
        rows=rows,
        marked=frozenset(i for i, r in enumerate(found.ranked) if r.agent in found.chosen),
        notes=list(story.contest.why_not.values()),
    )


def _learning(story: Story) -> Section:
    learned = story.learning
    agents = sorted({a for c in learned.chances for a in c})
    x = list(range(1, len(learned.chances) + 1))
    chart = lines(
        {a: (x, [c.get(a, 0.0) for c in learned.chances]) for a in agents},
        title="Chance of each agent, run by run",
        xlabel="run",
        ylabel="probability of being chosen",
    )
    means = [(a, learned.mean_score(a)) for a in agents]
    scored = bars(
        [(a, m, None) for a, m in means if m is not None],
        title="Mean verified score",
        marked=agents,
    )
    return Section(
        "3. The same step again: the verifier's score moves the choice",
        f"{len(learned.agents)} runs in {learned.seconds:.1f} s, on legacy code that a syntax tree "
        "cannot read; run 1 is the choice of part 2. Above: the probability with which "
        "each agent would be chosen. Below: the mean score of the runs it did.",
        chart + scored,
    )


def _table(story: Story) -> list[Section]:
    result = story.table
    chart = bars(
        [(n, s, (lo, hi)) for n, s, lo, hi, _ in sorted(result.bars(), key=lambda b: -b[1])],
        title="Score by policy, 95 % interval",
        marked=list(result.routers),
    )
    return [
        Section(
            f"4. {result.test}: real outcomes of {len(result.arms)} language models",
            f"One pass over {result.train_rows} recorded tasks, seeing only the chosen arm's "
            f"score; then scored frozen on {result.rows} other tasks.",
            chart,
        ),
        Section("While it learned", chart=curve_charts(result)),
    ]
