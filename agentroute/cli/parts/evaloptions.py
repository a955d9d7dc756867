"""Options of ``eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

OneTable = Annotated[
    Path | None,
    typer.Argument(help="One table: its test split is scored, else its val, else 30 % of it."),
]
TestTable = Annotated[Path | None, typer.Option("--test", help="Table to score.")]
TrainTable = Annotated[Path | None, typer.Option("--train", help="Table to learn from.")]
Routers = Annotated[
    list[str] | None,
    typer.Option("--router", help="A name, or '{name: knn, label: k5, k: 5}'; repeat."),
]
Mode = Annotated[
    Literal["full", "bandit"],
    typer.Option("--mode", help="Learn from all arms' scores, or the chosen arm's."),
]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, help="Repetitions.")]
TrainSplit = Annotated[list[str] | None, typer.Option("--train-split")]
TestSplit = Annotated[list[str] | None, typer.Option("--test-split")]
Holdout = Annotated[
    float | None, typer.Option("--holdout", min=0.01, max=0.99, help="Cut inside one table.")
]
GroupBy = Annotated[str | None, typer.Option("--group-by", metavar="FEATURE")]
Cuts = Annotated[int, typer.Option("--cuts", min=1, help="How many random cuts.")]
EmbedderName = Annotated[str, typer.Option("--embedder")]
Exploration = Annotated[
    float | None, typer.Option("--exploration", min=0, max=1, help="Epsilon while learning.")
]
CostWeight = Annotated[float, typer.Option("--cost-weight", min=0)]
LatencyWeight = Annotated[float, typer.Option("--latency-weight", min=0)]
Sweep = Annotated[
    bool, typer.Option("--sweep", help="Also sweep the cost weight: Pareto, hypervolume.")
]
Curve = Annotated[
    bool, typer.Option("--curve", help="Also score after 50, 200, 1000, ... train rows.")
]
Sets = Annotated[
    bool, typer.Option("--sets", help="Also choose sets of agents: hit, exact, F1, newcomers.")
]
Withhold = Annotated[
    int,
    typer.Option("--withhold", min=0, help="Arms kept from training, then met by their cards."),
]
Depths = Annotated[
    list[str] | None,
    typer.Option(
        "--depth", metavar="SPEC",
        help="Instead: what asking more agents earns: sigma, '{name: cascade, ...}'; repeat.",
    ),
]  # fmt: skip
Tune = Annotated[
    bool, typer.Option("--tune", help="Also --depth tuned on a fifth of the train rows.")
]
Verifier = Annotated[
    float | None,
    typer.Option(
        "--verifier-accuracy", min=0, max=1, metavar="SHARE",
        help="With --depth: a free verifier scores each answer, right this often.",
    ),
]  # fmt: skip
DepthOut = Annotated[
    Path | None, typer.Option("--out", help="Also write what --depth found here, as JSON.")
]
LedgerUrl = Annotated[
    str | None,
    typer.Option("--off-policy", metavar="URL", help="Estimate from a ledger instead."),
]
Report = Annotated[
    Path | None, typer.Option("--report", help="Write an HTML report.", metavar="FILE")
]
