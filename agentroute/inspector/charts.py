"""Charts as SVG text, drawn on the server: no script, selectable text, everything escaped.

Colours come from CSS variables of the page, so that a chart follows light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape

from markupsafe import Markup

W, H = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 130, 14, 34
NODE_LETTERS = 18  # of 13 px, inside a node of 150
GREY = 7  # the colour of baselines
BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], lo: float = 0.0, hi: float = 1.0) -> str:
    """Values as one line of block characters, for a terminal."""
    span = (hi - lo) or 1.0
    steps = [min(7, max(0, int((v - lo) / span * 8))) for v in values]
    return "".join(BLOCKS[s] for s in steps)


def colour(i: int, *, line: bool = False) -> str:
    """The class of the i-th colour, of a surface or of a line: a page's policy may forbid styles.

    The eighth is the grey of baselines, which no series comes to by counting.
    """
    n = i if i == GREY else i % GREY
    return f"s{n}" if line else f"f{n}"


def svg(body: str, title: str, width: int = W, height: int = H) -> Markup:
    """A picture with its words for who cannot see it; a wide one keeps its size and scrolls."""
    wide = f' class="wide" width="{width}" height="{height}"' if width > W else ""
    return Markup(
        f'<svg{wide} viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )


def text(x: float, y: float, words: str, anchor: str = "start", extra: str = "") -> str:
    """Escaped words at a place."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(str(words))}</text>'
    )


def colours(names: Iterable[str], baselines: Collection[str] = ()) -> dict[str, int]:
    """A colour's number for each name: the baselines' grey, or the next of the others."""
    rest = iter(range(10**6))
    return {name: GREY if name in baselines else next(rest) for name in names}


def _number(v: float) -> str:
    if v == 0:
        return "0"
    if abs(v) >= 1000:
        return f"{v:,.0f}"
    return f"{v:.3g}"


def ticks(lo: float, hi: float, most: int = 5) -> list[float]:
    """At most ``most`` round numbers in [lo, hi]: 1, 2 or 5 times a power of ten apart."""
    raw = (hi - lo) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    first = math.ceil(lo / step)
    return [round(k * step, 12) for k in range(first, math.floor(hi / step + 1e-9) + 1)]


def _axes(x: tuple[float, float], y: tuple[float, float], xlabel: str, ylabel: str) -> str:
    out = []
    for v in ticks(*y):
        py = _py(v, y)
        out.append(f'<line class="grid" x1="{LEFT}" x2="{W - RIGHT}" y1="{py:.1f}" y2="{py:.1f}"/>')
        out.append(text(LEFT - 6, py + 4, _number(v), "end"))
    for v in ticks(*x):
        px = _px(v, x)
        out.append(text(px, H - BOTTOM + 16, _number(v), "middle"))
    out.append(text((LEFT + W - RIGHT) / 2, H - 4, xlabel, "middle", 'class="dim"'))
    out.append(text(LEFT, TOP - 3, ylabel, "start", 'class="dim"'))
    return "".join(out)


def _range(values: Sequence[float], pad: float = 0.05) -> tuple[float, float]:
    lo, hi = min(values), max(values)
    if hi <= lo:
        hi = lo + (abs(lo) or 1.0) * 0.1
    return lo - (hi - lo) * pad, hi + (hi - lo) * pad


def _spread(ends: list[tuple[float, str, int]], gap: float = 13.0) -> list[tuple[float, str, int]]:
    """Labels at the right edge, pushed apart so that none covers another."""
    out: list[tuple[float, str, int]] = []
    for y, name, i in sorted(ends):
        out.append((max(y, out[-1][0] + gap) if out else y, name, i))
    over = (out[-1][0] - (H - BOTTOM)) if out else 0
    return [(y - max(0.0, over), name, i) for y, name, i in out]


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    xlabel: str = "",
    ylabel: str = "",
    baselines: Collection[str] = (),
) -> Markup:
    """One line a name: ``name -> (x, y)``; named at its right end. Baselines are grey."""
    xs = [v for x, _ in series.values() for v in x]
    ys = [v for _, y in series.values() for v in y]
    if not xs:
        return Markup("")
    xr, yr = (min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1), _range(ys)
    body, ends = [_axes(xr, yr, xlabel, ylabel)], []
    number = colours(series, baselines)
    for name, (x, y) in series.items():
        i = number[name]
        points = [(_px(a, xr), _py(b, yr)) for a, b in zip(x, y, strict=True)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        dash = " dash" if name in baselines else ""
        body.append(f'<polyline class="line {colour(i, line=True)}{dash}" points="{path}"/>')
        ends.append((points[-1][1] + 4, name, i))
    for at, name, i in _spread(ends):
        body.append(text(W - RIGHT + 6, at, shortened(name, 20), "start", f'class="{colour(i)}"'))
    return svg("".join(body), title)


def _px(v: float, r: tuple[float, float]) -> float:
    return LEFT + (v - r[0]) / (r[1] - r[0]) * (W - LEFT - RIGHT)


def _py(v: float, r: tuple[float, float]) -> float:
    return H - BOTTOM - (v - r[0]) / (r[1] - r[0]) * (H - TOP - BOTTOM)


def scatter(
    groups: Mapping[str, Sequence[tuple[float, float, str]]],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    joined: Sequence[str] = (),
    baselines: Collection[str] = (),
) -> Markup:
    """Points ``(x, y, label)`` by group; those in ``joined`` are connected, baselines are grey."""
    points = [p for g in groups.values() for p in g]
    if not points:
        return Markup("")
    xr, yr = _range([p[0] for p in points]), _range([p[1] for p in points])
    body = [_axes(xr, yr, xlabel, ylabel)]
    number = colours(groups, baselines)
    for row, (name, group) in enumerate(groups.items()):
        i = number[name]
        at = [(_px(x, xr), _py(y, yr)) for x, y, _ in group]
        if name in joined:
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in at)
            body.append(f'<polyline class="line {colour(i, line=True)}" points="{path}"/>')
        for (a, b), (x, y, label) in zip(at, group, strict=True):
            tip = escape(f"{label}: {_number(x)}, {_number(y)}")
            body.append(
                f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" class="{colour(i)}">'
                f"<title>{tip}</title></circle>"
            )
            if name not in joined:
                body.append(text(a + 6, b + 4, shortened(label, 22), "start", 'class="dim"'))
        y = TOP + 12 + 14 * row
        body.append(text(W - RIGHT + 6, y, shortened(name, 20), "start", f'class="{colour(i)}"'))
    return svg("".join(body), title)


def bars(
    rows: Sequence[tuple[str, float, tuple[float, float] | None]],
    *,
    title: str,
    marked: Sequence[str] = (),
) -> Markup:
    """Horizontal bars ``(name, value, interval or None)``; ``marked`` names stand out."""
    if not rows:
        return Markup("")
    step, left, right = 24, 190, 70
    height = step * len(rows) + 12
    ends = [v for _, v, ci in rows for v in (v, *(ci or ()))]
    hi = max([*ends, 1e-9])
    width = W - left - right
    body = []
    for i, (name, value, ci) in enumerate(rows):
        y = 6 + i * step
        c = colour(0 if name in marked else GREY)
        w = max(0.0, value / hi * width)
        body.append(text(left - 8, y + 15, shortened(name, 28), "end"))
        body.append(
            f'<rect x="{left}" y="{y + 3}" width="{w:.1f}" height="{step - 8}" rx="2" class="{c}"/>'
        )
        end = left + w
        if ci is not None:
            a, b = left + max(0, ci[0]) / hi * width, left + ci[1] / hi * width
            mid = y + step / 2 - 1
            body.append(f'<line class="whisker" x1="{a:.1f}" x2="{b:.1f}" y1="{mid}" y2="{mid}"/>')
            end = max(end, b)
        body.append(text(end + 6, y + 15, _number(value), "start", 'class="dim"'))
    return svg("".join(body), title, W, height)


def dag(
    generations: Sequence[Sequence[str]],
    edges: Sequence[tuple[str, str]],
    *,
    title: str,
    notes: Mapping[str, str] | None = None,
    marked: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
) -> Markup:
    """A task graph, one column a topological generation; long generations are cut and said.

    ``links`` are addresses by node.
    """
    most, cell_w, cell_h = 12, 178, 54
    notes = notes or {}
    place: dict[str, tuple[float, float]] = {}
    body: list[str] = []
    rows = max(min(len(g), most + 1) for g in generations)
    height = rows * cell_h + 16
    for c, generation in enumerate(generations):
        shown = list(generation[:most])
        offset = (height - min(len(generation), most + 1) * cell_h) / 2
        for r, node in enumerate(shown):
            place[node] = (c * cell_w + 10, offset + r * cell_h + 6)
        if len(generation) > most:
            y = offset + most * cell_h + 26
            body.append(text(c * cell_w + 20, y, f"and {len(generation) - most} more"))
    for a, b in edges:
        if a in place and b in place:
            (x1, y1), (x2, y2) = place[a], place[b]
            sx, sy, ex, ey = x1 + 150, y1 + 20, x2, y2 + 20
            m = (sx + ex) / 2
            body.append(
                f'<path class="edge" d="M{sx:.0f},{sy:.0f} C{m:.0f},{sy:.0f} {m:.0f},{ey:.0f} '
                f'{ex:.0f},{ey:.0f}"/>'
            )
    for node, (x, y) in place.items():
        drawn = _node(node, notes.get(node, ""), x, y, hot=node in marked)
        body.append(linked(drawn, (links or {}).get(node, "")))
    width = max(W, len(generations) * cell_w)
    return svg("".join(body), title, width, int(height))


def shortened(words: str, letters: int) -> str:
    """``words``, cut with a mark where they are longer; the whole stands in the node's title."""
    return words if len(words) <= letters else words[: letters - 1] + "\u2026"


def _node(name: str, note: str, x: float, y: float, *, hot: bool) -> str:
    extra = " hot" if hot else ""
    return (
        f'<rect class="node{extra}" x="{x:.0f}" y="{y:.0f}" width="150" height="40" rx="6">'
        f"<title>{escape(name)}: {escape(note)}</title></rect>"
        + text(x + 8, y + 17, shortened(name, NODE_LETTERS))
        + text(x + 8, y + 32, shortened(note, NODE_LETTERS), "start", 'class="dim"')
    )


def linked(drawn: str, href: str) -> str:
    """A part of a picture as a link, where there is an address."""
    return f'<a href="{escape(href)}">{drawn}</a>' if href else drawn
