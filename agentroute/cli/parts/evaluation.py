"""The parts of ``eval`` beyond the table of scores: sweeps, curves, estimates from a ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from agentroute.cli.parts.common import emit, table
from agentroute.inspector.money import usd

if TYPE_CHECKING:
    from agentroute.evaluation.runner import EvalSpec
    from agentroute.evaluation.sweep import Sweep
    from agentroute.model.plans import Spec


def one_table(spec: EvalSpec, folder: Path) -> EvalSpec:
    """The spec on one table; on stderr which of its rows are scored, where nobody said.

    Raises:
        UsageError: another table is named beside it.
        TableError: see ``load_table``.
    """
    from agentroute.errors import UsageError
    from agentroute.evaluation.tables.alone import parts_of
    from agentroute.evaluation.tables.reading import load_table

    if spec.train is not None or spec.test is not None:
        raise UsageError("one table or two?", hint="TABLE alone, or --train DIR --test DIR")
    whole = load_table(folder)
    if spec.holdout is not None:
        return replace(spec, train=whole)
    found = parts_of(whole, spec.test_split)
    typer.echo(f"{whole.name}: {found.words}", err=True)
    if found.holdout is None:
        return replace(spec, train=whole, test=whole, test_split=found.splits)
    splits = spec.train_split or found.splits
    return replace(spec, train=whole, holdout=found.holdout, train_split=splits)


def with_baselines(spec: EvalSpec) -> EvalSpec:
    """The spec with the baselines that can be had here; what an extra would add is said."""
    from agentroute.errors import MissingExtraError
    from agentroute.evaluation.baselines.tfidf import require_fit

    try:
        require_fit()
    except MissingExtraError as e:
        typer.echo(f"left out: {e} ({e.hint})", err=True)
        return replace(spec, baselines=[b for b in spec.baselines if b != "linear"])
    return spec


def sweeps(spec: EvalSpec) -> list[Sweep]:
    """The cost sweep of each router of the spec."""
    from agentroute.evaluation.sweep import cost_sweep

    return cost_sweep(spec)


def learning(spec: EvalSpec) -> dict[str, Any]:
    """Scores by the number of train rows."""
    from agentroute.evaluation.learning import learning_curve

    return asyncio.run(learning_curve(spec))


def show_sweeps(found: Sequence[Sweep]) -> None:
    """The curve of each router beside the single arms."""
    for s in found:
        rows = [(p.label, f"{100 * p.quality:.2f}", usd(p.cost_usd)) for p in s.curve]
        table(
            f"{s.router}: cost weight ({s.rows:,} scored rows)",
            ["weight", ">score", ">usd a task"],
            rows,
        )
        arms = [(p.label, f"{100 * p.quality:.2f}", usd(p.cost_usd)) for p in s.arms]
        table("single arms", ["arm", ">score", ">usd a task"], arms)
        typer.echo(
            f"cost {'never rises' if s.monotone else 'RISES SOMEWHERE'} with its weight (at most "
            f"{100 * s.largest_rise:.2f} % of the dearest); dominates "
            f"{len(s.dominated)} of {len(s.arms)} arms; hypervolume {s.hypervolume:.4f}, "
            f"single arms {s.arms_hypervolume:.4f}"
        )


def chosen_sets(spec: EvalSpec, withhold: int) -> dict[str, dict[str, float | None]]:
    """Set metrics by router; None where no row asks for one."""
    from agentroute.evaluation.setchoice import set_choices

    found = set_choices(spec, withhold=withhold)
    return {n: {k: None if v != v else v for k, v in m.items()} for n, m in found.items()}


def show_sets(found: Mapping[str, Mapping[str, float | None]]) -> None:
    """One row a metric."""
    if not found:
        return
    names = next(iter(found.values()))
    rows = [(k, *("-" if m[k] is None else f"{m[k]:.3f}" for m in found.values())) for k in names]
    table("sets of agents", ["metric", *(f">{r}" for r in found)], rows)


def newcomers(spec: EvalSpec, withhold: int) -> dict[str, list[dict[str, float | None]]]:
    """Each draw's scores of agents that were not learned of, and of the others, by router."""
    from agentroute.evaluation.newcomers import onboarding

    found = onboarding(spec, withhold)
    return {
        name: [{k: None if v != v else v for k, v in d.to_json().items()} for d in draws]
        for name, draws in found.items()
    }


def show_newcomers(
    found: Mapping[str, Sequence[Mapping[str, float | None]]], withhold: int
) -> None:
    """One row a draw, and their mean."""
    columns = ("newcomers", "before", "after", "lost")
    for name, draws in found.items():
        rows = [(str(i), *(_percent(d[c]) for c in columns)) for i, d in enumerate(draws)]
        means = [[v for d in draws if (v := d[c]) is not None] for c in columns]
        rows.append(("mean", *(_percent(sum(m) / len(m) if m else None) for m in means)))
        title = f"{name}: {withhold} agents met by their cards alone; score x 100"
        heads = ("newcomers", "others before", "others after", "others lost")
        table(title, ["draw", *(f">{h}" for h in heads)], rows)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def show_curve(found: Mapping[str, Any]) -> None:
    """Score x 100 by train rows."""
    rows = [(n, *(f"{100 * v:.2f}" for v in values)) for n, values in found["routers"].items()]
    rows += [
        (f"({n})", *(f"{100 * v:.2f}" for v in values)) for n, values in found["baselines"].items()
    ]
    table("score by train rows", ["who", *(f">{n}" for n in found["at"])], rows)


def off_policy(url: str, routers: Sequence[Spec], embedder: str, *, as_json: bool) -> None:
    """What each router would have earned on the logged decisions: IPS, SNIPS, doubly robust."""
    from agentroute.evaluation.contestants import factories
    from agentroute.evaluation.offpolicy.estimators import estimate
    from agentroute.evaluation.offpolicy.logged import from_ledger
    from agentroute.features.text import make_embedder
    from agentroute.ledger import Ledger

    out = {}
    with Ledger.open(url, read_only=True) as ledger:
        for name, make in factories(routers, make_embedder(embedder)).items():
            policy = make(0)
            logged = asyncio.run(from_ledger(ledger, policy))
            out[name] = {**asdict(estimate(logged.rows)), "left_out": logged.left_out}
    if as_json:
        emit(out)
        return
    rows = []
    for name, e in out.items():
        for kind in ("logged", "ips", "snips", "dr"):
            v = e[kind]
            rows.append((name, kind, f"{v['value']:.4f}", f"{v['lo']:.4f}", f"{v['hi']:.4f}"))
    table("expected reward, 95 % interval", ["router", "estimate", ">value", ">from", ">to"], rows)
    for name, e in out.items():
        typer.echo(f"{name}: {e['rows']} decisions, effective sample size {e['effective']:.1f}")
        for words in e["warnings"]:
            typer.echo(f"{name}: {words}")
        for why, n in e["left_out"].items():
            typer.echo(f"{name}: {n} left out ({why})")
