"""What an evaluation found, for machines (``report.json``) and for people (``index.html``, failures first)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worldmodel.config import UserError
from worldmodel.evaluate.journal import write_atomically
from worldmodel.report import page
from worldmodel.report.stats import mean_interval, paired, wilson

type Lines = Mapping[int, Mapping[str, Any]]
"""Episodes by index, as in ``episodes.jsonl``."""

REACHED, RAISED = 0.045, 0.03
"""A gripper this close to the can's centre has reached it; a can raised this much was lifted (metres)."""


def score(lines: Lines) -> dict[str, Any]:
    """Successes with their Wilson interval, and how long they took."""
    episodes, successes = len(lines), sum(bool(line["success"]) for line in lines.values())
    seconds = sorted(float(line["seconds"]) for line in lines.values() if line["success"])
    best = [float(line["best_reward"]) for line in lines.values() if "best_reward" in line]
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
    write_atomically(out / "report.json", json.dumps(plain, indent=1) + "\n")
    write_atomically(out / "index.html", render(out, report, lines))


def render(out: Path, report: Mapping[str, Any], lines: Lines) -> str:
    """The page of one evaluation."""
    rate, (low, high) = report["success_rate"], report["interval"]
    title = f"{report['task']}: {report['successes']} of {report['episodes']} succeeded"
    interval = f"{page.percent(low)} to {page.percent(high)}"
    act, batch = report["act_ms"], report["batch_ms"]
    tiles = [
        ("success rate", page.percent(rate), f"95 % interval {interval}"),
        ("starts", str(report["starts"]["name"]), f"perturbation: {report['perturb']}"),
        (
            "act, one observation",
            f"{act['p50']:.1f} ms",
            f"p95 {act['p95']:.1f} ms, chunk executed: {report['execute']} steps",
        ),
        ("act, a batch", f"{batch['p50']:.0f} ms", f"{batch['size']} observations together, p95 {batch['p95']:.0f} ms"),
        ("speed", f"{report['steps_per_second']:.0f} steps/s", "control steps, policy included"),
        ("median time to success", _seconds(report["median_seconds"]), "simulated"),
    ]
    if best := report.get("best_reward"):
        span = "95 % interval {:.3f} to {:.3f}".format(*best["interval"])
        tiles.append(("best reward", f"{best['mean']:.3f}", f"of an episode's steps, mean over episodes, {span}"))
    parts = [
        f"<h1>{page.escape(title)}</h1>",
        f'<p class="muted">Checkpoint {page.escape(report["checkpoint"])}, '
        f"weights {page.escape(str(report['fingerprint']['weights'])[:12])}.</p>",
        page.interval_bar(rate, low, high, f"success rate {page.percent(rate)}, interval {interval}"),
        page.facts(tiles),
        *(f"<p>Note: {page.escape(note)}</p>" for note in report["notes"]),
        _comparison(report.get("paired")),
        "<h2>How soon</h2>",
        _how_soon(lines),
        _failures(report["failures"]),
        "<h2>Videos, failures first</h2>",
        _videos(out, lines),
        page.details(f"All {len(lines)} episodes", _episodes(out, lines)),
        page.details("Fingerprint and full report", page.record(report)),
    ]
    return page.document(title, *parts)


def _how_soon(lines: Lines) -> str:
    """Share of episodes solved within a time."""
    times = sorted(float(line["seconds"]) for line in lines.values() if line["success"])
    longest = max((float(line["seconds"]) for line in lines.values()), default=0.0)
    total = max(len(lines), 1)
    points = [
        (0.0, 0.0),
        *((t, 100 * (i + 1) / total) for i, t in enumerate(times)),
        (longest, 100 * len(times) / total),
    ]
    what = "episodes solved within that time, %"
    return page.plot([("all episodes", points)], "simulated seconds", what, "success over time", steps=True)


def _failures(failures: Mapping[str, str]) -> str:
    if not failures:
        return ""
    rows = [(what, str(count)) for what, count in Counter(failures.values()).most_common()]
    return "<h2>What went wrong</h2>" + page.table(("failure", "episodes"), rows)


def _comparison(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return ""
    low, high = result["interval"]
    text = (
        f"On the {result['episodes']} starts shared with {result['against']}: both solved {result['both']}, "
        f"only this one {result['only_first']}, only the other {result['only_second']}, neither {result['neither']}. "
        f"Difference {page.percent(result['difference'])}, 95 % interval {page.percent(low)} to {page.percent(high)}, "
        f"exact McNemar p = {result['p_value']:.3g}."
    )
    return f"<h2>Paired comparison</h2><p>{page.escape(text)}</p>"


def _videos(out: Path, lines: Lines) -> str:
    cards = []
    for index in failures_first(lines):
        if (out / "videos" / f"{index:04d}.mp4").is_file():
            line, name = lines[index], f"videos/{index:04d}"
            film = page.video(f"{name}.mp4", f"{name}.jpg", f"episode {index}, {verdict(line)}")
            cards.append(f'<li class="card">{film}<div>{heading(index, line)}</div></li>')
    return f'<ul class="cards">{"".join(cards)}</ul>' if cards else "<p>None were asked for.</p>"


def heading(index: int, line: Mapping[str, Any]) -> str:
    """Number, outcome and length of an episode, under its video."""
    kind = "good" if line["success"] else "bad"
    return (
        f'<h3>Episode {index} <span class="{kind}">{page.escape(verdict(line))}</span></h3>'
        f'<p class="muted">{line["seconds"]:.2f} s, {line["decisions"]} decisions, start {line["start"][:12]}</p>'
    )


def _episodes(out: Path, lines: Lines) -> str:
    rows: list[Sequence[str]] = []
    for index in failures_first(lines):
        line, name = lines[index], f"videos/{index:04d}.mp4"
        film = f'<a href="{name}">video</a>' if (out / name).is_file() else ""
        gap, raised = (f"{100 * line[key]:.1f}" if key in line else "" for key in ("closest", "raised"))
        rows.append((str(index), verdict(line), f"{line['seconds']:.2f}", gap, raised, line["start"][:12], film))
    return page.table(("episode", "outcome", "seconds", "closest, cm", "raised, cm", "start", ""), rows)


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f} s"
