"""``eval``: routers against baselines on outcome tables."""

from __future__ import annotations

import typer

from agentroute.cli.parts import evaloptions as o
from agentroute.cli.parts.common import Json, spec_of

PLACE = 80  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("eval")(evaluate_command)


def evaluate_command(
    alone: o.OneTable = None,
    test: o.TestTable = None,
    train: o.TrainTable = None,
    router: o.Routers = None,
    mode: o.Mode = "full",
    seeds: o.Seeds = None,
    train_split: o.TrainSplit = None,
    test_split: o.TestSplit = None,
    holdout: o.Holdout = None,
    group_by: o.GroupBy = None,
    cuts: o.Cuts = 1,
    embedder: o.EmbedderName = "wordllama",
    exploration: o.Exploration = None,
    cost: o.CostWeight = 0.0,
    latency: o.LatencyWeight = 0.0,
    sweep: o.Sweep = False,
    curve: o.Curve = False,
    sets: o.Sets = False,
    withhold: o.Withhold = 0,
    depth: o.Depths = None,
    tune: o.Tune = False,
    verifier: o.Verifier = None,
    out: o.DepthOut = None,
    ledger: o.LedgerUrl = None,
    report: o.Report = None,
    as_json: Json = False,
) -> None:
    """Which router is worth it on your data: baselines, intervals, seeds.

    The form of a table is in examples/data/README.md; one is enough, or --train and --test. Score
    is the mean quality over rows that somebody should get; learning and tuning see train rows
    alone.
    """
    from agentroute.cli.measuring.depths import depths
    from agentroute.cli.parts import evalshown
    from agentroute.cli.parts import evaluation as parts
    from agentroute.evaluation.runner import EvalSpec
    from agentroute.model.objective import Objective

    routers = tuple(map(spec_of, router or ["default"]))
    if ledger is not None:
        parts.off_policy(ledger, routers, embedder, as_json=as_json)
        return
    spec = EvalSpec(
        test=test, train=train, routers=routers, mode=mode, seeds=seeds, cuts=cuts,
        train_split=tuple(train_split or ()), test_split=tuple(test_split or ()),
        holdout=holdout, group_by=group_by, embedder=embedder, exploration=exploration,
        objective=Objective(1.0, cost, latency),
    )  # fmt: skip
    if alone is not None:
        spec = parts.one_table(spec, alone)
    if depth or tune or verifier is not None or out is not None:
        depths(spec, depth or (), tuning=tune, verifier=verifier, out=out, as_json=as_json)
        return
    found = evalshown.evaluated(spec, sweep=sweep, curve=curve, sets=sets, withhold=withhold)
    if report is not None:
        evalshown.write_report(found, report)
    (evalshown.emit_found if as_json else evalshown.show_found)(found)
