"""The page of the demo: the task, what the robot did, and what the model had imagined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worldmodel.evaluate.report import heading
from worldmodel.report import page
from worldmodel.report.plots import Curve, figure
from worldmodel.schema import CONTROL_HZ


def render(found: Mapping[str, Any]) -> str:
    """The whole page, for a record of `worldmodel.demo.command.summarize`; files are beside it in ``videos/``."""
    does = found.get("task_summary") or found["task"]
    psnr = found["psnr"]
    ms = {ahead: 1000 * int(ahead) // CONTROL_HZ for ahead in psnr}
    sources = {"imagined": "imagined", "copy-last-frame baseline": "copy_last_frame"}
    lines = [
        Curve(name, [ms[a] for a in psnr], [psnr[a][key] for a in psnr], dashed=key != "imagined")
        for name, key in sources.items()
    ]
    rows = [(f"{ms[a]} ms", *(f"{psnr[a][key]:.2f}" for key in sources.values())) for a in psnr]
    return page.render(
        "demo.html",
        title=f"The robot {does}: {found['successes']} of {found['episodes']}",
        tiles=_tiles(found),
        remarks=found["notes"],
        episodes=[_episode(scene) for scene in found["scenes"]],
        curve=figure("PSNR of imagined frames by time ahead", lines, "time ahead, ms", "PSNR, dB"),
        psnr={"head": ("ahead", *(f"{name}, dB" for name in sources)), "rows": rows},
        record=found,
    )


def _tiles(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    (low, high), act, imagine = found["interval"], found["act_ms"], found["imagine_ms"]
    span, steps = f"95 % interval {100 * low:.0f} to {100 * high:.0f} %", found["n_action_steps"]
    held = f"{100 * found['within_one_step']:.0f} % within one control step ({1000 // CONTROL_HZ} ms)"
    return [
        ("success", f"{found['successes']} of {found['episodes']}", span),
        ("control rate", f"{CONTROL_HZ} Hz", f"replanning every {found['chunk_ms']:.0f} ms, {steps} steps"),
        ("policy latency, median", f"{act['p50']:.1f} ms", f"p95 {act['p95']:.1f} ms per action chunk; {held}"),
        ("imagination, median", f"{imagine['p50']:.0f} ms", f"for {steps} later frames of each camera"),
        ("checkpoint", str(found["checkpoint"]), f"weights {found['weights'][:12]}"),
    ]


def _episode(scene: Mapping[str, Any]) -> dict[str, Any]:
    name, psnr = f"videos/{scene['episode']:04d}", scene["psnr"]
    return {
        **heading(scene["episode"], scene),
        "source": f"{name}.mp4",
        "poster": f"{name}.jpg",
        "strip": f"{name}.png",
        "label": f"episode {scene['episode']}, {'succeeded' if scene['success'] else 'failed'}",
        "psnr": f"imagined {psnr['imagined']:.1f} dB, copy-last-frame baseline {psnr['copy_last_frame']:.1f} dB",
    }
