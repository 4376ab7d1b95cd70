"""The page of a scorecard: one file that opens from disk, on a telephone too, worst cases first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worldmodel.imagine.score.action_sections import acting, heeding, reading
from worldmodel.imagine.score.films import film
from worldmodel.imagine.score.gallery import Gallery
from worldmodel.imagine.score.plots import Line, figure
from worldmodel.imagine.score.tables import by_group, by_mark, by_time, decibels, interval
from worldmodel.report import page

NAMES = {"imagined": "imagined, actions given", "no_action": "imagined without actions", "copied": "last frame again"}


def render(found: Mapping[str, Any], gallery: Gallery) -> str:
    """The whole page, for a record of `summarise` and the windows to show."""
    title = f"Scorecard of {found['checkpoint']} on {found['data']}"
    return page.document(
        title,
        f"<h1>{page.escape(title)}</h1>",
        "<p>Recorded episodes are the examiner: from one observation the model imagines what will be seen, given the "
        "actions that were carried out, and says what it would do itself. No simulator takes part. "
        f"{page.escape(str(found['windows']))} moments of {found['episodes']} episodes; intervals: "
        f"{page.escape(found['interval'])}.</p>",
        page.facts(_tiles(found)),
        *(f"<p>{page.escape(note)}</p>" for note in found["notes"]),
        _films(found, gallery),
        _imagining(found),
        heeding(found),
        reading(found),
        acting(found),
        _groups(found),
        _left_out(found),
        page.details("Everything measured", page.record(found)),
    )


def _tiles(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    tiles = []
    rows = [row for row in found.get("frames", ()) if "imagined" in row and row["moments"]]
    if rows:
        row = min(rows, key=lambda row: abs(row["seconds"] - 0.5))
        copied = f"last frame again: {decibels(row['copied']['psnr'])}"
        tiles += [
            (f"imagined, {row['seconds']:g} s ahead", decibels(row["imagined"]["psnr"]), copied),
            ("better than copying by", decibels(row["gain"]), f"interval {interval(row['gain_interval'], 1)} dB"),
        ]
        if "parts_psnr" in row["imagined"]:
            copied = f"last frame again: {decibels(row['copied']['parts_psnr'])}"
            tiles.append(("gripper and object alone", decibels(row["imagined"]["parts_psnr"]), copied))
    if (heed := found.get("sensitivity")) and heed["ratio"] is not None:
        more = f"interval {interval(heed['ratio_interval'], 2)}; 1: ignores actions"
        tiles.append(("error under wrong actions", f"x {float(heed['ratio']):.2f}", more))
    if (read := found.get("inverse")) and (first := read["every"]["by_step"][0]) is not None:
        more = f"interval {interval(read['every']['first_interval'], 2)}; the action that leads to the next frame"
        tiles.append(("read out of real frames", f"{first:.1f} {read['unit']}", more))
    actions = found["actions"]
    if actions.get("error") is not None:
        more = f"staying where it is: {page.percent(actions['staying'])}"
        tiles.append(("actions off, of their range", page.percent(actions["error"]), more))
    return tiles


def _films(found: Mapping[str, Any], gallery: Gallery) -> str:
    if not gallery.worst:
        return ""
    seconds, cameras = [row["seconds"] for row in found["frames"]], list(found["cameras"])
    cards = []
    for kind, shown_ones in (("worst", gallery.worst), ("at random", gallery.typical)):
        for number, shown in enumerate(shown_ones):
            told = found["shown"][kind][number]
            about = ", ".join(str(told[key]) for key in ("task", "behaviour") if key in told)
            label = f"episode {told['episode']}, step {told['step']}: {told['psnr']:.1f} dB"
            words = f"{number + 1}. worst" if kind == "worst" else "drawn at random"
            cards.append(
                f'<li class="card">{film(shown, cameras, seconds, label)}<div><h3>{words}</h3>'
                f'<p class="muted">{page.escape(label)}; {page.escape(about)}</p></div></li>'
            )
    return (
        "<h2>Worst cases first</h2><p>Recorded, imagined, and their difference made twice as strong. One window an "
        f'episode at most; the last ones were drawn at random.</p><ul class="cards">{"".join(cards)}</ul>'
    )


def _imagining(found: Mapping[str, Any]) -> str:
    rows = [row for row in found.get("frames", ()) if row["moments"]]
    if not rows:
        return ""
    parts = [
        "<h2>How well it imagines</h2><p>Likeness to what was then seen: more is better, 6 dB is half the error. Later "
        "times rest on fewer moments, since episodes end; within a time all are compared on the same ones.</p>"
    ]
    figures = (
        ("psnr", "PSNR, dB", "Likeness over all pixels"),
        ("parts_psnr", "PSNR, dB", "Gripper and object alone: the pixels that are theirs in the recorded frame"),
        ("ssim", "SSIM", "Structural similarity: 1 is the same picture"),
    )
    for key, label, caption in figures:
        names = [name for name in NAMES if name in rows[0] and key in rows[0][name]]
        lines = [
            Line(
                NAMES[name],
                [row["seconds"] for row in rows],
                [row[name][key] for row in rows],
                [row[name][f"{key}_interval"] for row in rows],
                name == "copied",
            )
            for name in names
        ]
        parts.append(figure(lines, "seconds ahead", label, caption))
    parts.append(page.details("As a table", by_time(rows)))
    parts.append(
        '<h3 style="margin-top:1.4rem">Distance between sets of frames</h3>'
        "<p>Fréchet distance to the recorded frames, as a multiple of "
        "their whole variance: less is better, 0 is the same. Features: "
        f"{page.escape(found['frechet']['features'])}.</p>" + by_mark(found["frechet"]["rows"], NAMES)
    )
    if "lpips" in found:
        parts.append(
            '<h3 style="margin-top:1.4rem">LPIPS</h3>' + "<p>Less is better.</p>" + by_mark(found["lpips"], NAMES)
        )
    return "".join(parts)


def _groups(found: Mapping[str, Any]) -> str:
    if "cameras" not in found:
        return ""
    told = "; behind the stroke, of gripper and object alone" if "parts_psnr" in found["frames"][0]["copied"] else ""
    parts = [
        f"<h2>By camera and kind</h2><p>PSNR of all pixels{told}.</p>",
        by_group("camera", found["cameras"], NAMES),
    ]
    parts += [by_group(name, kinds, NAMES) for name, kinds in found["groups"].items()]
    return "".join(parts)


def _left_out(found: Mapping[str, Any]) -> str:
    if not found["left_out"]:
        return ""
    rows = [(name.replace("_", " "), text) for name, text in found["left_out"].items()]
    lines = "".join(f"<p><b>{page.escape(name)}</b>: {page.escape(text)}</p>" for name, text in rows)
    return f"<h2>What is missing</h2>{lines}"
