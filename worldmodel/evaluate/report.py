"""What an evaluation found, for machines (``report.json``) and for people (``index.html``, failures first)."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worldmodel.config import UserError
from worldmodel.files import write_file, write_json
from worldmodel.report import page
from worldmodel.report.plots import Curve, figure
from worldmodel.report.stats import mean_interval, paired, wilson

type Lines = Mapping[int, Mapping[str, Any]]
"""Episodes by index, as in ``episodes.jsonl``."""

REACHED, RAISED = 0.045, 0.03
"""A gripper this close to the can's centre has reached it; a can raised this much was lifted (metres)."""


def score(lines: Lines) -> dict[str, Any]:
    """Successes with their Wilson interval, and how long they took."""
    seconds = sorted(float(line["seconds"]) for line in lines.values() if line["success"])
    best = [float(line["best_reward"]) for line in lines.values() if "best_reward" in line]
    episodes, successes = len(lines), len(seconds)
    return {
        "episodes": episodes,
        "successes": successes,
        "success_rate": successes / episodes if episodes else 0.0,
        "interval": list(wilson(successes, episodes)),
        "confidence": 0.95,
        "median_seconds": seconds[len(seconds) // 2] if seconds else None,
        **({"best_reward": dict(zip(("mean", "interval"), mean_interval(best), strict=True))} if len(best) > 1 else {}),
        "failures": {str(i): verdict(lines[i]) for i in failures_first(lines) if not lines[i]["success"]},
    }


def verdict(line: Mapping[str, Any]) -> str:
    """What an episode came to, in a few words."""
    if line["success"]:
        return "success"
    if "closest" not in line:
        return "not solved in time"
    if line["closest"] > REACHED:
        return "never reached the can"
    return "reached it, never lifted it" if line["raised"] < RAISED else "lifted it, did not finish"


def failures_first(lines: Lines) -> list[int]:
    """Indices of episodes, failures before successes, each in order."""
    return sorted(lines, key=lambda i: (bool(lines[i]["success"]), i))


def compare(lines: Lines, other: Path) -> dict[str, Any]:
    """This evaluation against another one's folder, episode by episode on the starts they share."""
    file = other / "episodes.jsonl"
    if not file.is_file():
        raise UserError(f"against={other}: no episodes.jsonl there; give the out= folder of an evaluation")
    theirs = {line["start"]: line for line in map(json.loads, file.read_text().splitlines())}
    shared = [line for line in lines.values() if line["start"] in theirs]
    if not shared:
        raise UserError(f"against={other}: has no start in common with this evaluation; use the same task and starts")
    result = paired([line["success"] for line in shared], [theirs[line["start"]]["success"] for line in shared])
    return {"against": str(other), "episodes": result.episodes, **asdict(result)}


def write(out: Path, report: Mapping[str, Any], lines: Lines) -> None:
    """Write ``report.json`` and ``index.html`` into ``out``; videos that are there are shown."""
    plain = json.loads(json.dumps(report), parse_constant=lambda _: None)  # what was not timed: JSON knows no NaN
    write_json(out / "report.json", plain)
    write_file(out / "index.html", render(out, report, lines))


def render(out: Path, report: Mapping[str, Any], lines: Lines) -> str:
    counts = Counter(report["failures"].values()).most_common()
    return page.render(
        "evaluation.html",
        title=f"{report['task']}: {report['successes']} of {report['episodes']} succeeded",
        checkpoint=report["checkpoint"],
        weights=str(report["fingerprint"]["weights"])[:12],
        rate=report["success_rate"],
        interval=report["interval"],
        tiles=_tiles(report),
        remarks=report["notes"],
        paired=report.get("paired"),
        curve=_time_to_success(lines),
        failures={"head": ("failure", "episodes"), "rows": [(what, str(count)) for what, count in counts]},
        videos=[_video(index, lines[index]) for index in failures_first(lines) if _filmed(out, index)],
        episodes=_episodes(out, lines),
        record=report,
    )


def heading(index: int, line: Mapping[str, Any]) -> dict[str, Any]:
    """Number, outcome and length of an episode, under its video."""
    about = f"{line['seconds']:.2f} s, {line['decisions']} decisions, initial state {line['start'][:12]}"
    return {"index": index, "success": bool(line["success"]), "outcome": verdict(line), "about": about}


def _tiles(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    act, batch, median, rate = (report[name] for name in ("act_ms", "batch_ms", "median_seconds", "steps_per_second"))
    interval = " to ".join(map(page.percent, report["interval"]))
    single = f"p95 {act['p95']:.1f} ms, {report['n_action_steps']} steps executed per chunk"
    together = f"{batch['size']} observations together, p95 {batch['p95']:.0f} ms"
    tiles = [
        ("success rate", page.percent(report["success_rate"]), f"95 % interval {interval}"),
        ("initial states", str(report["starts"]["name"]), f"perturbation: {report['perturb']}"),
        *([("policy latency, one observation", f"{act['p50']:.1f} ms", single)] if act.get("n", 1) else []),
        *([("policy latency, batch", f"{batch['p50']:.0f} ms", together)] if batch.get("n", 1) else []),
        *([("throughput", f"{rate:.0f} steps/s", "control steps, policy included")] if rate else []),
        ("median time to success", "none" if median is None else f"{median:.1f} s", "simulated"),
    ]
    if best := report.get("best_reward"):
        span = "95 % interval {:.3f} to {:.3f}".format(*best["interval"])
        tiles.append(("best reward", f"{best['mean']:.3f}", f"of an episode's steps, mean over episodes, {span}"))
    return tiles


def _time_to_success(lines: Lines) -> dict[str, str]:
    times = sorted(float(line["seconds"]) for line in lines.values() if line["success"])
    longest = max((float(line["seconds"]) for line in lines.values()), default=0.0)
    solved = [100 * (i + 1) / len(lines) for i in range(len(times))]
    line = Curve("all episodes", [0.0, *times, longest], [0.0, *solved, (solved or [0.0])[-1]], steps=True)
    caption = "Share of episodes solved within a simulated time"
    return figure(caption, [line], "simulated time, s", "episodes solved, %")


def _filmed(out: Path, index: int) -> bool:
    return (out / "videos" / f"{index:04d}.mp4").is_file()


def _video(index: int, line: Mapping[str, Any]) -> dict[str, Any]:
    name = f"videos/{index:04d}"
    label = f"episode {index}, {verdict(line)}"
    return {**heading(index, line), "source": f"{name}.mp4", "poster": f"{name}.jpg", "label": label}


def _episodes(out: Path, lines: Lines) -> dict[str, Any]:
    rows = []
    for index in failures_first(lines):
        line = lines[index]
        film = {"text": "video", "href": f"videos/{index:04d}.mp4"} if _filmed(out, index) else ""
        gap, raised = (f"{100 * line[key]:.1f}" if key in line else "" for key in ("closest", "raised"))
        rows.append((str(index), verdict(line), f"{line['seconds']:.2f}", gap, raised, line["start"][:12], film))
    head = ("episode", "outcome", "seconds", "closest, cm", "raised, cm", "initial state", "")
    return {"head": head, "rows": rows}
