"""The scorecard's tables and its sections about actions, as values for the page's template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worldmodel.imagine.score.action_rows import READ
from worldmodel.report.page import decibels, interval, number
from worldmodel.report.plots import Curve, figure

type Table = dict[str, Any]
type Rows = Sequence[Mapping[str, Any]]

STEP = "control step of the chunk"


def by_time(rows: Rows) -> Table:
    """Every metric at every time ahead, with its interval; no rows for none."""
    names = [name for name in ("imagined", "no_action", "copy_last_frame") if rows and name in rows[0]]
    figures = [(name, key) for name in names for key in ("psnr", "parts_psnr", "ssim") if key in rows[0][name]]
    titles = {"psnr": "dB", "parts_psnr": "parts dB", "ssim": "SSIM"}
    short = {"imagined": "imagined", "no_action": "without actions", "copy_last_frame": "copy-last-frame"}
    body = []
    for row in rows:
        cells = list(_when(row))
        for name, key in figures:
            digits = 2 if key == "ssim" else 1
            cells.append(f"{number(row[name][key], digits)} ({interval(row[name][f'{key}_interval'], digits)})")
        body.append(cells)
    return {"head": ["ahead", "windows", *(f"{short[name]}, {titles[key]}" for name, key in figures)], "rows": body}


def by_mark(rows: Rows, names: Mapping[str, str]) -> Table:
    """One metric per source, at a few times ahead."""
    known = [name for name in names if any(name in row for row in rows)]
    body = [(*_when(row), *(number(row.get(name), 3) for name in known)) for row in rows]
    return {"head": ("ahead", "windows", *(names[name] for name in known)), "rows": body}


def by_group(title: str, groups: Mapping[str, Rows], names: Mapping[str, str]) -> Table:
    """PSNR (gripper and object alone behind it, where known) at a few times ahead, a row per group and time."""
    rows = []
    for group, marks in groups.items():
        for row in marks:
            cells = [group, *_when(row)]
            for name in names:
                figures = row.get(name, {})
                text = decibels(figures.get("psnr"))
                cells.append(f"{text} / {number(figures['parts_psnr'])}" if "parts_psnr" in figures else text)
            rows.append(cells)
    return {"head": (title, "ahead", "windows", *names.values()), "rows": rows}


def inverse_error(read: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Distance of positions read from frames, by step of the chunk; None where it was not measured."""
    if not read:
        return None
    steps = range(1, len(read["real"]["by_step"]) + 1)
    known = {name: text for name, text in READ.items() if name in read}
    flat = ("policy", "zero_motion")
    lines = [Curve(text, steps, read[name]["by_step"], dashed=name in flat) for name, text in known.items()]
    rows = []
    for name, text in known.items():
        first = number(read[name]["by_step"][0]), interval(read[name]["first_interval"], 2)
        rows.append((text, *first, number(read[name]["median"]), interval(read[name]["interval"], 2)))
    return {
        "table": {"head": ("", "first step of the chunk", "interval", "all steps", "interval"), "rows": rows},
        "curve": figure("Median distance by step of the chunk", lines, STEP, f"distance, {read['unit']}"),
    }


def action_error(actions: Mapping[str, Any]) -> dict[str, Any] | None:
    """Errors of the policy's chunks, by step and dimension; None where there is no policy."""
    if actions.get("by_step") is None:
        return None
    share, own = actions["share_by_step"], actions["by_step"]
    names = [f"dimension {n}" for n in range(len(share[0]))]
    lines = [
        Curve(name, range(1, len(share) + 1), [None if row[n] is None else 100 * row[n] for row in share])
        for n, name in enumerate(names)
    ]
    rows = [
        (name, number(actions["each"][n]), number(actions["width"][n]), number(own[0][n]), number(own[-1][n]))
        for n, name in enumerate(names)
    ]
    return {
        "curve": figure("Error of predicted actions by step and dimension", lines, STEP, "error, % of range"),
        "table": {"head": ("", "error, own units", "range", "at the first step", "at the last"), "rows": rows},
    }


def _when(row: Mapping[str, Any]) -> tuple[str, str]:
    return f"{row['seconds']:.2f} s", str(row["moments"])
