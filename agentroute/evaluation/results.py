"""What an evaluation found, as data: JSON for tools, rows for a table, series for charts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agentroute.evaluation.metrics import Interval

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RouterResult:
    """One router's numbers.

    ``score`` is the mean quality over rows in scope (an abstention there scores 0), ``ci95`` its
    interval over tasks; ``cost_usd`` the mean measured cost of a row, None where not measured;
    ``per_seed`` the score of each repetition; ``differences`` baseline -> (gain, lo, hi), paired.
    ``learning`` (bandit) is the mean quality while learning; ``curve`` its course.
    """

    score: float
    ci95: Interval
    abstain_recall: float | None
    abstain_precision: float | None
    cost_usd: float | None
    mean_agents: float
    decision_us_p50: float
    decision_us_p95: float
    per_seed: tuple[float, ...]
    differences: dict[str, tuple[float, float, float]]
    fit_s: float = 0.0
    learning: float | None = None
    curve: Json | None = None

    def to_json(self) -> Json:
        """The keys of the command line's ``--json``."""
        out: Json = {
            "score": self.score,
            "ci95": list(self.ci95),
            "abstain_recall": self.abstain_recall,
            "abstain_precision": self.abstain_precision,
            "cost_usd": self.cost_usd,
            "mean_agents": self.mean_agents,
            "decision_us_p50": self.decision_us_p50,
            "decision_us_p95": self.decision_us_p95,
            "per_seed": list(self.per_seed),
            "differences": {b: list(d) for b, d in self.differences.items()},
            "fit_s": self.fit_s,
        }
        if self.curve is not None:
            out |= {"learning": self.learning, "curve": self.curve}
        return out


@dataclass(frozen=True, slots=True)
class EvalResult:
    """Routers beside baselines on one table, over ``repetitions`` seeds or cuts."""

    train: str | None
    test: str
    mode: str
    rows: int
    train_rows: int
    arms: tuple[str, ...]
    repetitions: int
    baselines: dict[str, float]
    baseline_ci95: dict[str, Interval]
    routers: dict[str, RouterResult]
    notes: tuple[str, ...] = ()
    settings: Json = field(default_factory=dict)

    def to_json(self) -> Json:
        """The report as JSON: settings, baselines and routers by name."""
        return {
            "train": self.train,
            "test": self.test,
            "rows": self.rows,
            "arms": list(self.arms),
            "baselines": dict(self.baselines),
            "routers": {name: r.to_json() for name, r in self.routers.items()},
            "mode": self.mode,
            "train_rows": self.train_rows,
            "repetitions": self.repetitions,
            "baseline_ci95": {name: list(ci) for name, ci in self.baseline_ci95.items()},
            "settings": dict(self.settings),
            "notes": list(self.notes),
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows for people, best first; scores in points (100 = perfect)."""
        header = ["who", "score", "95 % interval", "vs best baseline", "cost USD", "us p50"]
        lines = [(s, self._baseline_line(b, s)) for b, s in self.baselines.items()]
        lines += [(r.score, self._router_line(n, r)) for n, r in self.routers.items()]
        return header, [line for _, line in sorted(lines, key=lambda pair: -pair[0])]

    def best_baseline(self) -> str:
        """The strongest baseline but the oracle."""
        honest = {b: s for b, s in self.baselines.items() if b != "oracle"}
        return max(honest, key=lambda b: honest[b])

    def bars(self) -> list[tuple[str, float, float, float, bool]]:
        """(name, score, lo, hi, is_router) for a bar chart."""
        rows = [(b, s, *self.baseline_ci95[b], False) for b, s in self.baselines.items()]
        return rows + [(n, r.score, *r.ci95, True) for n, r in self.routers.items()]

    def _baseline_line(self, name: str, score: float) -> list[str]:
        return [f"({name})", _points(score), _interval(self.baseline_ci95[name]), "", "", ""]

    def _router_line(self, name: str, r: RouterResult) -> list[str]:
        gain, lo, hi = r.differences[self.best_baseline()]
        cost = "" if r.cost_usd is None else f"{r.cost_usd:.4g}"
        gained = f"{100 * gain:+.2f} [{100 * lo:+.2f}, {100 * hi:+.2f}]"
        speed = f"{r.decision_us_p50:.0f}"
        return [name, _points(r.score), _interval(r.ci95), gained, cost, speed]


def _points(score: float) -> str:
    return f"{100 * score:.2f}"


def _interval(ci: Interval) -> str:
    return f"{100 * ci[0]:.2f} to {100 * ci[1]:.2f}"
