"""The scorecard's tables and its sections about actions, as values for the page's template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worldmodel.imagine.score.action_rows import READ
from worldmodel.report.page import percent
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
            cells.append(f"{within(row[name][key], digits)} ({interval(row[name][f'{key}_interval'], digits)})")
        body.append(cells)
    return {"head": ["ahead", "windows", *(f"{short[name]}, {titles[key]}" for name, key in figures)], "rows": body}


def by_mark(rows: Rows, names: Mapping[str, str]) -> Table:
    """One metric per source, at a few times ahead."""
    known = [name for name in names if any(name in row for row in rows)]
    body = [(*_when(row), *(within(row.get(name), 3) for name in known)) for row in rows]
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
                cells.append(f"{text} / {within(figures['parts_psnr'])}" if "parts_psnr" in figures else text)
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
        first = within(read[name]["by_step"][0]), interval(read[name]["first_interval"], 2)
        rows.append((text, *first, within(read[name]["median"]), interval(read[name]["interval"], 2)))
    return {
        "remark": f"Median distance of target positions, {read['unit']}, {read['windows']} windows.",
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
        (name, within(actions["each"][n]), within(actions["width"][n]), within(own[0][n]), within(own[-1][n]))
        for n, name in enumerate(names)
    ]
    span = interval([100 * value for value in actions["error_interval"]], 2)
    remark = (
        f"Mean absolute error of predicted action chunks: {percent(actions['error'])} of each dimension's range "
        f"(interval {span} %), over {actions['steps']} predictable steps; zero-motion baseline: "
        f"{percent(actions['zero_motion'])}."
    )
    return {
        "remark": remark,
        "curve": figure("Error of predicted actions by step and dimension", lines, STEP, "error, % of range"),
        "table": {"head": ("", "error, own units", "range", "at the first step", "at the last"), "rows": rows},
    }


def _when(row: Mapping[str, Any]) -> tuple[str, str]:
    return f"{row['seconds']:.2f} s", str(row["moments"])


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
    return " to ".join(within(value, digits) for value in pair)
