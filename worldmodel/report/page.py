"""Pieces of an HTML page that opens from disk: no server, no script, nothing fetched from elsewhere."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

type Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 240, 52, 14, 14, 40
"""Size and margins of a plot, in SVG units."""

PROSE = 32
"""Characters from which on a table's cell is a sentence and may wrap."""


def document(title: str, *parts: str) -> str:
    """A whole page."""
    style = Path(__file__).with_name("page.css").read_text()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def facts(rows: Iterable[tuple[str, str, str]]) -> str:
    """Tiles of (name, value, remark)."""
    small = lambda remark: f"<small>{escape(remark)}</small>" if remark else ""  # noqa: E731
    tiles = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}{small(more)}</dd></div>" for name, value, more in rows)
    return f'<dl class="facts">{"".join(tiles)}</dl>'


def video(source: str, poster: str, label: str, autoplay: bool = False) -> str:
    """A video with controls; ``source`` and ``poster`` are relative to the page."""
    start = " autoplay" if autoplay else ""
    return (
        f'<video src="{escape(source)}" poster="{escape(poster)}" aria-label="{escape(label)}" '
        f'controls muted loop playsinline preload="none"{start}></video>'
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain text, sentences wrapped; a cell that starts with ``<`` is taken as HTML made here."""

    def cell(text: str) -> str:
        if text.startswith("<"):
            return f"<td>{text}</td>"
        return f"<td{' class="prose"' if len(text) > PROSE else ''}>{escape(text)}</td>"

    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>'


def details(title: str, inside: str) -> str:
    """A part of the page that is folded away."""
    return f"<details><summary>{escape(title)}</summary>{inside}</details>"


def record(values: Any) -> str:
    """A JSON record, readable."""
    return f"<pre>{escape(json.dumps(values, indent=1, sort_keys=True))}</pre>"


def interval_bar(rate: float, low: float, high: float, label: str) -> str:
    """A success rate on a line from 0 to 100 %, with its interval."""
    x = lambda value: 20 + 600 * value  # noqa: E731  (a scale)
    ticks = "".join(f'<text x="{x(t / 100)}" y="52" text-anchor="middle">{t} %</text>' for t in (0, 25, 50, 75, 100))
    return (
        f'<figure><svg viewBox="0 0 640 58" role="img" aria-label="{escape(label)}">'
        f'<path class="axis" d="M{x(0)} 24H{x(1)}"/>'
        f'<rect class="band" x="{x(low):.1f}" y="12" width="{x(high) - x(low):.1f}" height="24" rx="5"/>'
        f'<circle class="point" cx="{x(rate):.1f}" cy="24" r="7"/>{ticks}</svg></figure>'
    )


def plot(lines: Sequence[tuple[str, Points]], x_label: str, y_label: str, label: str, steps: bool = False) -> str:
    """One or two named lines over shared axes; the first is drawn strong, the second dashed."""
    points = [point for _, line in lines for point in line]
    if not points:
        return ""
    x0, x1 = _span([x for x, _ in points])
    y0, y1 = _span([y for _, y in points])
    x = lambda value: LEFT + (value - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)  # noqa: E731
    y = lambda value: HEIGHT - BOTTOM - (value - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)  # noqa: E731
    marks = []
    for at in _ticks(y0, y1):
        marks.append(f'<path class="axis" d="M{LEFT} {y(at):.1f}H{WIDTH - RIGHT}"/>')
        marks.append(f'<text x="{LEFT - 7}" y="{y(at) + 4:.1f}" text-anchor="end">{at:.4g}</text>')
    below = f'y="{HEIGHT - BOTTOM + 16}" text-anchor="middle"'
    marks += [f'<text x="{x(at):.1f}" {below}>{at:.4g}</text>' for at in _ticks(x0, x1)]
    marks.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    for (_, line), kind in zip(lines, ("first", "second"), strict=False):
        corner = (lambda a, b: f"H{x(a):.1f}V{y(b):.1f}") if steps else (lambda a, b: f"L{x(a):.1f} {y(b):.1f}")
        path = f"M{x(line[0][0]):.1f} {y(line[0][1]):.1f}" + "".join(corner(a, b) for a, b in line[1:])
        marks.append(f'<path class="{kind}" d="{path}"/>')
    key = " · ".join(f"{escape(name)} ({style})" for (name, _), style in zip(lines, ("line", "dashed"), strict=False))
    shown = key if len(lines) > 1 else escape(lines[0][0])
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(marks)}</svg>'
        f"<figcaption>{escape(y_label)}: {shown}</figcaption></figure>"
    )


def percent(value: float) -> str:
    """0.955 -> ``95.5 %``."""
    return f"{100 * value:.1f} %"


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from ``low`` to ``high``."""
    rough = (high - low) / 5
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= rough * 0.999)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
