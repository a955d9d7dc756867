"""Depth policies on recorded outcomes, as ``eval --depth`` and ``bench sigma`` show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from agentroute.cli.parts.common import emit, spec_of, table
from agentroute.inspector.money import usd

if TYPE_CHECKING:
    from agentroute.evaluation.depths.comparing import DepthResult, DepthRow
    from agentroute.evaluation.runner import EvalSpec

WORDS = {"alike": "wrong answers all say the same", "differ": "no two wrong answers agree"}
SIGMA: tuple[dict[str, Any], ...] = (
    {"name": "fixed", "k": 3, "label": "three"},
    {"name": "sigma", "audit": 0.0, "label": "adaptive"},
)  # fmt: skip
NAMES = {"always 1": "single", "always 2": "two", "always all": "all"}


def depths(
    spec: EvalSpec, written: Sequence[str], *, tuning: bool, verifier: float | None,
    out: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare, keep what was tuned, show.

    Raises:
        UsageError: no depth policy is named; or see ``compare_depths``.
    """
    import orjson

    from agentroute.errors import UsageError
    from agentroute.evaluation.depths.comparing import compare_depths

    if not written:
        what = "--tune, --verifier-accuracy and --out belong to --depth"
        raise UsageError(what, hint="--depth SPEC")
    wanted = [spec_of(d, "--depth") for d in written]
    found = compare_depths(spec, wanted, tuning=tuning, verifier=verifier)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(orjson.dumps(_plain(asdict(found)), option=orjson.OPT_INDENT_2))
    if as_json:
        emit(_plain(asdict(found)))
    else:
        _show(found)


def _show(found: DepthResult) -> None:
    for world, words in WORDS.items():
        rows = [r for r in found.policies if r.world == world]
        cells = [
            (r.depth, f"{100 * r.quality:.2f}", f"{r.calls:.2f}", usd(r.cost_usd),
             *(_gap(r.less[k]) for k in ("equal calls", "equal cost", "always 1", "always all")))
            for r in rows
        ]  # fmt: skip
        heads = ("depth", ">score", ">calls", ">usd a task", ">less random, equal calls",
                 ">less mix, equal cost", ">less always 1", ">less always all")  # fmt: skip
        title = f"{found.table}: {found.rows} tasks, {found.seeds} seeds, {words}; score x 100"
        table(title, heads, cells)
    for t in found.tuned:
        typer.echo(f"depth: {_inline(t.spec)}")
        typer.echo(f"  tuned on {t.rows} train rows of {t.data}, sha256 {t.sha256}")
        if t.reliability is not None:
            r = t.reliability
            typer.echo(
                f"  calibration error {r.error_before:.4f} before, {r.error_after:.4f} after"
            )
            for when, bins in (("before", r.bins_before), ("after", r.bins_after)):
                said = ", ".join(f"{e:.2f}: {g:.2f} ({n})" for _, n, e, g in bins)
                typer.echo(f"  expected: got (answers) {when}: {said}")


def sigma(spec: EvalSpec, *, as_json: bool) -> None:
    """Single, two, three, all and adaptive; how often agreement is wrong; the ceiling."""
    from agentroute.evaluation.depths.comparing import compare_depths

    found = compare_depths(spec, SIGMA)
    if as_json:
        emit(_plain(asdict(found)))
        return
    for world, words in WORDS.items():
        rows = sorted((r for r in found.policies if r.world == world), key=lambda r: r.calls)
        title = f"{found.table}: {found.rows} tasks, {found.seeds} seeds, {words}"
        heads = ("who", ">right x 100", ">calls", ">usd a task", ">agreed x 100",
                 ">P(wrong | agreed)")  # fmt: skip
        table(title, heads, [_of_sigma(r) for r in rows])
    typer.echo(f"somebody was right in {100 * found.anybody:.2f} % of the tasks: the ceiling")


def _of_sigma(r: DepthRow) -> tuple[str, ...]:
    wrong = "-" if math.isnan(r.wrong_if_agreed) else f"{r.wrong_if_agreed:.3f}"
    return (
        NAMES.get(r.depth, r.depth), f"{100 * r.right:.2f}", f"{r.calls:.2f}", usd(r.cost_usd),
        f"{100 * r.agreed:.1f}", wrong,
    )  # fmt: skip


def _gap(found: tuple[float, float, float]) -> str:
    mean, lo, hi = found
    return "-" if math.isnan(mean) else f"{100 * mean:+.2f} ({100 * lo:+.2f} to {100 * hi:+.2f})"


def _inline(value: Any) -> str:
    """As settings take it, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return str(value)


def _plain(value: Any) -> Any:
    """JSON has no NaN: None."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value
