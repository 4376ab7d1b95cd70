"""The page of the demo: what was asked of the robot, what it did, and what it had imagined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worldmodel.evaluate.report import heading
from worldmodel.report import page
from worldmodel.schema import CONTROL_HZ

DOES = {
    "place_can": "moves the can into the green bin",
    "place_can_anywhere": "finds can and bin, and brings them together",
    "lift_can": "lifts the can",
}


def render(found: Mapping[str, Any]) -> str:
    """The whole page, for a record of `worldmodel.demo.verb.summarize`; files are beside it in ``videos/``."""
    does = DOES.get(found["task"], found["task"])
    title = f"The robot {does}: {found['successes']} of {found['episodes']}"
    return page.document(
        title,
        f"<h1>{page.escape(title)}</h1>",
        "<p>A simulated arm, steered by a small world model from two cameras and its own position alone, from starts "
        "it has never seen. At each look the model chooses the next actions and imagines the frames they will lead "
        "to. Below each real frame is the frame that was imagined for that moment.</p>",
        page.facts(_tiles(found)),
        *(f"<p>Note: {page.escape(note)}</p>" for note in found["notes"]),
        "<h2>Episodes</h2>",
        f'<ul class="cards">{"".join(_card(scene, i == 0) for i, scene in enumerate(found["scenes"]))}</ul>',
        "<h2>How well it imagines</h2>",
        _imagination(found["psnr"]),
        page.details("Everything measured", page.record(found)),
    )


def _tiles(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    (low, high), act = found["interval"], found["act_ms"]
    held = f"{100 * found['within_one_step']:.0f} % of chunks within one control step ({1000 // CONTROL_HZ} ms)"
    return [
        (
            "succeeded",
            f"{found['successes']} of {found['episodes']}",
            f"95 % interval {100 * low:.0f} to {100 * high:.0f} %",
        ),
        ("control rate", f"{CONTROL_HZ} Hz", f"a look every {found['chunk_ms']:.0f} ms, {found['execute']} steps"),
        ("thinking, median", f"{act['p50']:.1f} ms", f"p95 {act['p95']:.1f} ms per chunk; {held}"),
        ("imagining, median", f"{found['imagine_ms']['p50']:.0f} ms", f"{found['execute']} moments, both cameras"),
        ("checkpoint", str(found["checkpoint"]), f"weights {found['weights'][:12]}"),
    ]


def _card(scene: Mapping[str, Any], autoplay: bool) -> str:
    name, psnr = f"videos/{scene['episode']:04d}", scene["psnr"]
    outcome = "succeeded" if scene["success"] else "failed"
    film = page.video(f"{name}.mp4", f"{name}.jpg", f"episode {scene['episode']}, {outcome}", autoplay)
    strip = (
        f'<div class="strip" tabindex="0" role="group" aria-label="film strip of episode {scene["episode"]}">'
        f'<img src="{name}.png" loading="lazy" alt="real frames above imagined ones, a column per chunk"></div>'
    )
    text = f"imagined {psnr['imagined']:.1f} dB, copying the last frame {psnr['copy_last_frame']:.1f} dB"
    return (
        f'<li class="card">{film}<div>{heading(scene["episode"], scene)}<p class="muted">{text}</p></div>{strip}</li>'
    )


def _imagination(psnr: Mapping[str, Mapping[str, float]]) -> str:
    if not psnr:
        return "<p>Nothing was imagined.</p>"
    ms = {ahead: 1000 * int(ahead) // CONTROL_HZ for ahead in psnr}
    lines = [
        (name, [(float(ms[ahead]), psnr[ahead][key]) for ahead in psnr])
        for name, key in (("imagined", "imagined"), ("copying the last frame", "copy_last_frame"))
    ]
    rows = [(f"{ms[a]} ms", f"{psnr[a]['imagined']:.2f}", f"{psnr[a]['copy_last_frame']:.2f}") for a in psnr]
    return (
        "<p>Likeness of the imagined frames to what was then seen, in decibels: more is better, and 6 dB is half the "
        "error. Most of a scene stands still, so the fair opponent is to copy the last frame seen.</p>"
        + page.plot(lines, "milliseconds ahead", "PSNR in dB", "likeness of imagined frames by time ahead")
        + page.details("As a table", page.table(("ahead", "imagined, dB", "copying, dB"), rows))
    )
