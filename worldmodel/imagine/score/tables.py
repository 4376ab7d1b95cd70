"""The scorecard's tables, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worldmodel.report import page


def by_time(rows: Sequence[Mapping[str, Any]]) -> str:
    """Every figure at every time ahead, with its interval."""
    names = [name for name in ("imagined", "no_action", "copied") if name in rows[0]]
    figures = [(name, key) for name in names for key in ("psnr", "parts_psnr", "ssim") if key in rows[0][name]]
    titles = {"psnr": "dB", "parts_psnr": "parts dB", "ssim": "SSIM"}
    head = ["ahead", "moments", *(f"{name.replace('_', ' ')}, {titles[key]}" for name, key in figures)]
    body = []
    for row in rows:
        cells = [f"{row['seconds']:.2f} s", str(row["moments"])]
        for name, key in figures:
            digits = 2 if key == "ssim" else 1
            span = interval(row[name][f"{key}_interval"], digits)
            cells.append(f"{within(row[name][key], digits)} ({span})")
        body.append(cells)
    return page.table(head, body)


def by_mark(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """One figure per source at the marks."""
    known = [name for name in names if any(name in row for row in rows)]
    head = ("ahead", "moments", *(names[name] for name in known))
    body = [
        (f"{row['seconds']:.2f} s", str(row["moments"]), *(within(row.get(name), 3) for name in known)) for row in rows
    ]
    return page.table(head, body)


def by_group(title: str, groups: Mapping[str, Sequence[Mapping[str, Any]]], names: Mapping[str, str]) -> str:
    """PSNR (gripper and object alone behind it, where known) at the marks, a row per group and mark."""
    rows: list[Sequence[str]] = []
    for group, marks in groups.items():
        for row in marks:
            cells = [group, f"{row['seconds']:.2f} s", str(row["moments"])]
            for name in names:
                figures = row.get(name, {})
                text = decibels(figures.get("psnr"))
                cells.append(f"{text} / {within(figures['parts_psnr'])}" if "parts_psnr" in figures else text)
            rows.append(cells)
    shown = f'<h3 style="margin-top:1.4rem">By {page.escape(title)}</h3>'
    return shown + page.table((title, "ahead", "moments", *names.values()), rows)


def decibels(value: Any) -> str:
    """``18.2 dB``; a dash where there is none."""
    return "-" if value is None else f"{within(value)} dB"


def within(value: Any, digits: int | None = None) -> str:
    """A number, short: three digits, or so many behind the point; a dash where there is none."""
    if value is None:
        return "-"
    number = float(value)
    if digits is None:
        return f"{number:.1f}" if abs(number) >= 10 else f"{number:.3g}"
    return f"{number:.{digits}f}"


def interval(pair: Sequence[Any], digits: int) -> str:
    """``1.2 to 3.4``."""
    return " to ".join(within(value, digits) for value in pair)
