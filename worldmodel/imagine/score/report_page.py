"""The page of a scorecard, as values for its template: worst cases first, then what was measured, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worldmodel.imagine.score import tables
from worldmodel.imagine.score.gallery import Gallery, film
from worldmodel.report import page
from worldmodel.report.page import decibels, interval
from worldmodel.report.plots import Curve, figure

NAMES = {
    "imagined": "imagined, actions given",
    "no_action": "imagined without actions",
    "copy_last_frame": "copy-last-frame baseline",
}
FIGURES = (
    ("psnr", "PSNR, dB", "PSNR over all pixels"),
    ("parts_psnr", "PSNR, dB", "PSNR over the pixels of gripper and object in the recorded frame"),
    ("ssim", "SSIM", "Structural similarity: 1 for the same picture"),
)


def render(found: Mapping[str, Any], gallery: Gallery) -> str:
    """The whole page, for a record of `summarise` and the windows to show."""
    rows = [row for row in found.get("frames", ()) if row["moments"]]
    return page.render(
        "scorecard.html",
        title=f"Scorecard of {found['checkpoint']} on {found['data']}",
        extent=f"{found['windows']} windows of {found['episodes']} episodes; intervals: {found['interval']}.",
        tiles=[*_frame_tiles(rows), *_action_tiles(found)],
        remarks=found["notes"],
        films=_films(found, gallery),
        curves=_curves(rows),
        by_time=tables.by_time(rows),
        lpips=tables.by_mark(found["lpips"], NAMES) if "lpips" in found else None,
        sensitivity=found.get("action_sensitivity"),
        inverse=tables.inverse_error(found.get("inverse_error")),
        actions=tables.action_error(found["actions"]),
        groups=_groups(found),
        parts=bool(rows) and "parts_psnr" in rows[0]["copy_last_frame"],
        left_out=[(name.replace("_", " "), why) for name, why in found["left_out"].items()],
        record=found,
    )


def _frame_tiles(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    if not (rows := [row for row in rows if "imagined" in row]):
        return []
    row = min(rows, key=lambda row: abs(row["seconds"] - 0.5))
    copied = f"copy-last-frame baseline: {decibels(row['copy_last_frame']['psnr'])}"
    span = f"interval {interval(row['gain_interval'], 1)} dB"
    tiles = [
        (f"imagined, {row['seconds']:g} s ahead", decibels(row["imagined"]["psnr"]), copied),
        ("gain over copy-last-frame", decibels(row["gain"]), span),
    ]
    if "parts_psnr" in row["imagined"]:
        copied = f"copy-last-frame baseline: {decibels(row['copy_last_frame']['parts_psnr'])}"
        tiles.append(("gripper and object alone", decibels(row["imagined"]["parts_psnr"]), copied))
    return tiles


def _action_tiles(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    tiles = []
    if (ratio := (found.get("action_sensitivity") or {}).get("ratio")) is not None:
        more = f"interval {interval(found['action_sensitivity']['ratio_interval'], 2)}; 1: ignores actions"
        tiles.append(("action sensitivity", f"{float(ratio):.2f} times", f"the error under other actions, {more}"))
    if (read := found.get("inverse_error")) and (first := read["every"]["by_step"][0]) is not None:
        more = f"interval {interval(read['every']['first_interval'], 2)}; action to the next frame, real frames"
        tiles.append(("inverse-dynamics error", f"{first:.1f} {read['unit']}", more))
    actions = found["actions"]
    if actions.get("error") is not None:
        more = f"of each dimension's range; zero-motion baseline: {page.percent(actions['zero_motion'])}"
        tiles.append(("action error", page.percent(actions["error"]), more))
    return tiles


def _films(found: Mapping[str, Any], gallery: Gallery) -> list[dict[str, str]]:
    if not gallery.worst:
        return []
    seconds, cameras = [row["seconds"] for row in found["frames"]], list(found["cameras"])
    cards = []
    for kind, windows in (("worst", gallery.worst), ("at random", gallery.typical)):
        for number, shown in enumerate(windows):
            one = found["shown"][kind][number]
            label = f"episode {one['episode']}, step {one['step']}: {one['psnr']:.1f} dB"
            groups = ", ".join(str(one[key]) for key in ("task", "behaviour") if key in one)
            heading = f"{number + 1}. worst" if kind == "worst" else "drawn at random"
            about = f"{label}; {groups}" if groups else label
            cards.append({**film(shown, cameras, seconds), "label": label, "heading": heading, "about": about})
    return cards


def _curves(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    figures = []
    for key, label, caption in FIGURES:
        lines = [
            Curve(
                name=text,
                x=[row["seconds"] for row in rows],
                y=[row[name][key] for row in rows],
                band=[row[name][f"{key}_interval"] for row in rows],
                dashed=name == "copy_last_frame",
            )
            for name, text in NAMES.items()
            if rows and key in rows[0].get(name, ())
        ]
        figures.append(figure(f"{caption}; band: 95 % interval", lines, "time ahead, s", label))
    return figures


def _groups(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "cameras" not in found:
        return []
    kinds = {"camera": found["cameras"], **found["groups"]}
    return [{"title": name, "table": tables.by_group(name, groups, NAMES)} for name, groups in kinds.items()]
