"""When what was called: one bar a call, side by side where they ran side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from agentroute.inspector.charts import W, colour, linked, shortened, svg, text, ticks

LEFT, RIGHT, STEP, MOST = 190, 96, 22, 60


@dataclass(frozen=True, slots=True)
class Bar:
    """One call, in seconds from the run's start."""

    label: str
    start_s: float
    end_s: float
    failed: bool = False
    note: str = ""
    href: str = ""
    hot: bool = False


def timeline(calls: Sequence[Bar], *, title: str) -> Markup:
    """Bars in order of their start; more than 60 are cut, which is said."""
    shown = sorted(calls, key=lambda b: b.start_s)[:MOST]
    if not shown:
        return Markup("")
    end = max(max(b.end_s for b in shown), 1e-6)
    width, height = W - LEFT - RIGHT, STEP * len(shown) + 34
    body = [_grid(end, width, height)]
    for i, b in enumerate(shown):
        y = 6 + i * STEP
        x = LEFT + max(b.start_s, 0.0) / end * width
        w = max(1.5, (b.end_s - max(b.start_s, 0.0)) / end * width)
        fill = colour(1 if b.failed else 0) + (" hot" if b.hot else "")
        tip = escape(f"{b.label}: {b.end_s - b.start_s:.3g} s{', failed' if b.failed else ''}")
        body.append(text(LEFT - 8, y + 14, shortened(b.label, 28), "end"))
        drawn = (
            f'<rect x="{x:.1f}" y="{y + 3}" width="{w:.1f}" height="{STEP - 8}" rx="2" '
            f'class="{fill}"><title>{tip}</title></rect>'
        )
        body.append(linked(drawn, b.href))
        body.append(
            text(min(x + w + 6, W - RIGHT + 8), y + 14, b.note[:16], "start", 'class="dim"')
        )
    return svg("".join(body), title, W, height)


def _grid(end: float, width: float, height: int) -> str:
    out = []
    for t in ticks(0.0, end):
        x = LEFT + t / end * width
        out.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 24}"/>')
        out.append(text(x, height - 8, f"{t:g} s", "middle", 'class="dim"'))
    return "".join(out)
