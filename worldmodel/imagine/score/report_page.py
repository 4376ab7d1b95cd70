"""The page of a scorecard, as values for its template: worst cases first, then what was measured, with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from worldmodel.imagine.score.gallery import Gallery, film
from worldmodel.imagine.score.summary import READ
from worldmodel.report import page
from worldmodel.report.page import decibels, interval, number
from worldmodel.report.plots import Curve, figure

type Table = dict[str, Any]
type Rows = Sequence[Mapping[str, Any]]

STEP = "control step of the chunk"
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
        by_time=by_time(rows),
        lpips=by_mark(found["lpips"]) if "lpips" in found else None,
        sensitivity=found.get("action_sensitivity"),
        inverse=inverse_error(found.get("inverse_error")),
        actions=action_error(found["actions"]),
        groups=_groups(found),
        parts=bool(rows) and "parts_psnr" in rows[0]["copy_last_frame"],
        left_out=[(name.replace("_", " "), why) for name, why in found["left_out"].items()],
        record=found,
    )


def _frame_tiles(rows: Rows) -> list[tuple[str, str, str]]:
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
        for place, shown in enumerate(windows):
            one = found["shown"][kind][place]
            label = f"episode {one['episode']}, step {one['step']}: {one['psnr']:.1f} dB"
            groups = ", ".join(str(one[key]) for key in ("task", "behaviour") if key in one)
            heading = f"{place + 1}. worst" if kind == "worst" else "drawn at random"
            about = f"{label}; {groups}" if groups else label
            cards.append({**film(shown, cameras, seconds), "label": label, "heading": heading, "about": about})
    return cards


def _curves(rows: Rows) -> list[dict[str, str]]:
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
    return [{"title": name, "table": by_group(name, groups)} for name, groups in kinds.items()]


def by_time(rows: Rows) -> Table:
    """Every metric at every time ahead, with its interval; no rows for none."""
    names = [name for name in NAMES if rows and name in rows[0]]
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


def by_mark(rows: Rows) -> Table:
    """One metric per source, at a few times ahead."""
    known = [name for name in NAMES if any(name in row for row in rows)]
    body = [(*_when(row), *(number(row.get(name), 3) for name in known)) for row in rows]
    return {"head": ("ahead", "windows", *(NAMES[name] for name in known)), "rows": body}


def by_group(title: str, groups: Mapping[str, Rows]) -> Table:
    """PSNR (gripper and object alone behind it, where known) at a few times ahead, a row per group and time."""
    rows = []
    for group, marks in groups.items():
        for row in marks:
            cells = [group, *_when(row)]
            for name in NAMES:
                figures = row.get(name, {})
                text = decibels(figures.get("psnr"))
                cells.append(f"{text} / {number(figures['parts_psnr'])}" if "parts_psnr" in figures else text)
            rows.append(cells)
    return {"head": (title, "ahead", "windows", *NAMES.values()), "rows": rows}


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
