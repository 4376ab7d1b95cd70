"""The page's sections about actions: whether they are heeded, read out of frames, and what the model would do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from worldmodel.imagine.score.action_rows import READ
from worldmodel.imagine.score.plots import Line, figure
from worldmodel.imagine.score.tables import interval, within
from worldmodel.report import page


def heeding(found: Mapping[str, Any]) -> str:
    """What other windows' actions do to the error."""
    if not (heed := found.get("sensitivity")) or heed["ratio"] is None:
        return ""
    each = ", ".join(f"{name} {within(value)}" for name, value in heed["cameras"].items())
    text = (
        f"Given the motion of another window instead of its own, the squared error {heed['seconds']:g} s ahead is "
        f"{float(heed['ratio']):.2f} times as large (interval {interval(heed['ratio_interval'], 2)}; by camera: "
        f"{each}; {heed['windows']} windows). A model that ignores actions scores 1."
    )
    return f"<h2>Does it heed actions?</h2><p>{page.escape(text)}</p>"


def reading(found: Mapping[str, Any]) -> str:
    """Inverse dynamics, by step of the chunk."""
    read = found.get("inverse")
    if not read:
        return ""
    steps = range(1, len(read["real"]["by_step"]) + 1)
    lines = [
        Line(text, list(steps), read[name]["by_step"], None, name in ("policy", "staying"))
        for name, text in READ.items()
        if name in read
    ]
    rows = [
        (
            text,
            *(within(read[name]["by_step"][0]), interval(read[name]["first_interval"], 2)),
            *(within(read[name]["median"]), interval(read[name]["interval"], 2)),
        )
        for name, text in READ.items()
        if name in read
    ]
    unit = page.escape(read["unit"])
    return (
        f"<h2>Reading actions out of frames</h2><p>Median distance of target positions, {unit}, "
        f"{read['windows']} windows.</p>"
        + page.table(("", "first step of the chunk", "interval", "all steps", "interval"), rows)
        + figure(lines, "control step of the chunk", read["unit"], "Median distance by step of the chunk")
    )


def acting(found: Mapping[str, Any]) -> str:
    """Errors of the policy's chunks, by step and dimension."""
    actions = found["actions"]
    if actions.get("by_step") is None:
        return ""
    share, own = actions["share_by_step"], actions["by_step"]
    count = len(share[0])
    names = [f"dimension {n}" for n in range(count)]
    steps = list(range(1, len(share) + 1))
    lines = [
        Line(name, steps, [math.nan if row[n] is None else 100 * row[n] for row in share])
        for n, name in enumerate(names)
    ]
    rows: list[Sequence[str]] = [
        (name, within(actions["each"][n]), within(actions["width"][n]), within(own[0][n]), within(own[-1][n]))
        for n, name in enumerate(names)
    ]
    text = (
        f"Mean absolute error of the chunk that the model would act: {page.percent(actions['error'])} of each "
        f"dimension's range (interval {interval([100 * v for v in actions['error_interval']], 2)} %), over "
        f"{actions['steps']} steps that could be foreseen; staying where it is: {page.percent(actions['staying'])}."
    )
    return (
        f"<h2>What it would do itself</h2><p>{page.escape(text)}</p>"
        + figure(lines, "control step of the chunk", "% of range", "Error of actions by step and dimension")
        + page.table(("", "error, own units", "range", "at the first step", "at the last"), rows)
    )
