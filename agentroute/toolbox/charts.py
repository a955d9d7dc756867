"""Charts as SVG text, drawn from plain data. Every word in them is escaped.

A chart is a mapping with ``kind`` and ``title``:

    bars       items [[label, value], ...]              horizontal bars, longest first as given
    histogram  edges [n + 1], counts [n]
    heat       rows [r], columns [c], values [r][c] in [-1, 1] or [0, 1], None for unknown
    network    nodes [name], edges [[from, to]], levels {name: column}, marks [name] (highlighted)
    points     points [[x, y, label]], x, y (axis names)

Colours come from CSS variables of the page, with fallbacks, so that a chart also stands alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from agentroute.errors import UsageError, did_you_mean

WIDTH = 640
INK, ACCENT, WARN, FAINT = (
    "var(--ink,#1f2933)",
    "var(--accent,#2f6f9f)",
    "var(--warn,#c2571a)",
    "var(--faint,#d9e2ec)",
)

Chart = Mapping[str, Any]


def draw(chart: Chart) -> Markup:
    """The chart as one ``<svg>`` element, 640 units wide, scaling with the page.

    Raises:
        UsageError: an unknown kind.
    """
    kind = str(chart.get("kind"))
    if kind not in _KINDS:
        raise UsageError(f"unknown chart kind '{kind}'", hint=did_you_mean(kind, _KINDS))
    body, height = _KINDS[kind](chart)
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" role="img" '
        'aria-label="{}" font-family="system-ui,sans-serif" font-size="12">{}</svg>'
    ).format(WIDTH, math.ceil(height), chart.get("title", kind), body)


def number(x: float | None) -> str:
    """A number as people read it: at most four significant digits, thousands apart."""
    if x is None or not math.isfinite(x):
        return "–"
    if (float(x).is_integer() or abs(x) >= 1e4) and abs(x) < 1e15:
        return f"{x:,.0f}"
    return f"{x:.4g}"


def _short(text: object, n: int) -> str:
    s = " ".join(str(text).split())
    return s if len(s) <= n else s[: n - 1] + "…"


def _text(x: float, y: float, s: object, *, anchor: str = "start", fill: str = INK) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" fill="{}">{}</text>').format(
        x, y, anchor, Markup(fill), escape(str(s))
    )


def _rect(x: float, y: float, w: float, h: float, fill: str, tip: object = "") -> Markup:
    return Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2" fill="{}">'
        "<title>{}</title></rect>"
    ).format(x, y, max(w, 0.5), h, Markup(fill), tip)


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str = FAINT) -> Markup:
    return Markup('<path d="M{:.1f} {:.1f}L{:.1f} {:.1f}" stroke="{}" fill="none"/>').format(
        x1, y1, x2, y2, Markup(stroke)
    )


def _join(parts: Sequence[Markup]) -> Markup:
    return Markup("").join(parts)


def _bars(chart: Chart) -> tuple[Markup, float]:
    items = [(str(k), float(v)) for k, v in chart.get("items", [])][:40]
    top = max((abs(v) for _, v in items), default=1.0) or 1.0
    left, room, step = 190, WIDTH - 190 - 80, 24
    out = []
    for i, (label, v) in enumerate(items):
        y, w = i * step + 4, abs(v) / top * room
        out += [
            _text(left - 8, y + 13, _short(label, 27), anchor="end"),
            _rect(left, y, w, 17, ACCENT if v >= 0 else WARN, f"{label}: {number(v)}"),
            _text(left + w + 6, y + 13, number(v)),
        ]
    return _join(out), len(items) * step + 6


def _histogram(chart: Chart) -> tuple[Markup, float]:
    edges, counts = list(chart.get("edges", [])), list(chart.get("counts", []))
    top, n, base, tall = max(counts, default=1) or 1, max(len(counts), 1), 160, 130
    step = (WIDTH - 40) / n
    out = [_line(20, base, WIDTH - 20, base)]
    for i, c in enumerate(counts):
        h = c / top * tall
        tip = f"{number(edges[i])} to {number(edges[i + 1])}: {number(c)}"
        out.append(_rect(20 + i * step + 1, base - h, step - 2, h, ACCENT, tip))
        if n <= 12:
            out.append(_text(20 + (i + 0.5) * step, base - h - 5, number(c), anchor="middle"))
    if edges:
        out += [
            _text(20, base + 16, number(edges[0])),
            _text(WIDTH - 20, base + 16, number(edges[-1]), anchor="end"),
        ]
    return _join(out), base + 24


def _heat(chart: Chart) -> tuple[Markup, float]:
    rows, columns = list(chart.get("rows", [])), list(chart.get("columns", []))
    left, top, step = 150, 24, min(56.0, (WIDTH - 160) / max(len(columns), 1))
    out = [
        _text(left + (j + 0.5) * step, 14, _short(c, max(3, int(step / 7))), anchor="middle")
        for j, c in enumerate(columns)
    ]
    for i, (name, line) in enumerate(zip(rows, chart.get("values", []), strict=False)):
        out.append(_text(left - 8, top + i * 26 + 17, _short(name, 20), anchor="end"))
        for j, v in enumerate(line):
            out.append(_cell(left + j * step, top + i * 26, step, v, f"{name}, {columns[j]}"))
    return _join(out), top + len(rows) * 26 + 6


def _cell(x: float, y: float, step: float, v: float | None, where: str) -> Markup:
    if v is None:
        return _rect(x, y, step - 2, 24, FAINT, f"{where}: unknown")
    box = Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="24" rx="2" fill="{}" '
        'fill-opacity="{:.2f}"><title>{}: {:.3f}</title></rect>'
    ).format(x, y, step - 2, Markup(ACCENT if v >= 0 else WARN), min(1.0, abs(v)), where, v)
    ink = "var(--paper,#fff)" if abs(v) > 0.6 else INK
    label = _text(x + step / 2 - 1, y + 16, f"{v:.2f}", anchor="middle", fill=ink)
    return box + (label if step > 34 else Markup())


def _network(chart: Chart) -> tuple[Markup, float]:
    levels, marks = dict(chart.get("levels", {})), set(chart.get("marks", []))
    columns: dict[int, list[str]] = {}
    for name in map(str, list(chart.get("nodes", []))[:60]):
        columns.setdefault(int(levels.get(name, 0)), []).append(name)
    tall = max((len(c) for c in columns.values()), default=1) * 17.0 + 16
    step = (WIDTH - 150) / max(len(columns) - 1, 1)
    at: dict[str, tuple[float, float]] = {}
    for i, level in enumerate(sorted(columns)):
        names = columns[level]
        for k, name in enumerate(names):
            at[name] = (12 + i * step, (k + 0.5) * tall / len(names))
    edges = [(at[a], at[b]) for a, b in chart.get("edges", []) if a in at and b in at]
    out = [_curve(a, b) for a, b in edges]
    for name, (x, y) in at.items():
        dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4" fill="{}"><title>{}</title></circle>')
        out.append(dot.format(x, y, Markup(WARN if name in marks else ACCENT), name))
        out.append(_text(x + 8, y + 4, _short(name, 20)))
    return _join(out), tall


def _curve(a: tuple[float, float], b: tuple[float, float]) -> Markup:
    middle = (a[0] + b[0]) / 2 if a[0] != b[0] else a[0] - 30
    points = (*a, middle, a[1], middle, b[1], *b)
    path = "M{:.1f} {:.1f}C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}".format(*points)
    return Markup('<path d="{}" stroke="{}" fill="none"/>').format(path, Markup(FAINT))


def _points(chart: Chart) -> tuple[Markup, float]:
    pts = [(float(p[0]), float(p[1]), str(p[2])) for p in chart.get("points", [])][:400]
    xs, ys = [p[0] for p in pts] or [0.0], [p[1] for p in pts] or [0.0]
    left, base, wide, tall = 56, 236, WIDTH - 80, 210
    sx = wide / ((max(xs) - min(xs)) or 1.0)
    sy = tall / ((max(ys) - min(ys)) or 1.0)
    out = [_line(left, base, left + wide, base), _line(left, base, left, base - tall)]
    for x, y, label in pts:
        dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4" fill="{}" fill-opacity=".65">')
        dot += Markup("<title>{}: {}, {}</title></circle>")
        cx, cy = left + (x - min(xs)) * sx, base - (y - min(ys)) * sy
        out.append(dot.format(cx, cy, Markup(ACCENT), label, number(x), number(y)))
    out += [
        _text(left, base + 16, number(min(xs))),
        _text(left + wide, base + 16, number(max(xs)), anchor="end"),
        _text(left + wide / 2, base + 30, chart.get("x", ""), anchor="middle"),
        _text(left - 6, base, number(min(ys)), anchor="end"),
        _text(left - 6, base - tall + 8, number(max(ys)), anchor="end"),
        _text(left + 6, base - tall - 6, chart.get("y", "")),
    ]
    return _join(out), base + 36


_KINDS: dict[str, Callable[[Chart], tuple[Markup, float]]] = {
    "bars": _bars,
    "histogram": _histogram,
    "heat": _heat,
    "network": _network,
    "points": _points,
}
