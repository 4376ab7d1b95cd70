"""``worldmodel data health``: every check of a store in one table, with what was seen and what to do about it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worldmodel import __version__
from worldmodel.config import option
from worldmodel.data import EpisodeStore
from worldmodel.data.source import open_source
from worldmodel.files import out_folder, write_json
from worldmodel.quality import camera_checks, leakage, signal_checks
from worldmodel.quality.finding import FAIL, OK, SKIPPED, WARN, Finding, Subject, track, worst
from worldmodel.schema import ACTION, cameras_of

COLOURS = {OK: "green", WARN: "yellow", FAIL: "bold red", SKIPPED: "dim"}
FAILED = 1  # Exit code where a check fails

CHECKS: tuple[tuple[str, str, Callable[[Subject], Finding]], ...] = (
    ("episode lengths", "", signal_checks.lengths),
    ("numbers", "", signal_checks.finite),
    ("degenerate dimensions", "finite signals", signal_checks.degenerate),
    ("idle stretches", "finite signals", signal_checks.idle),
    ("action jumps", "finite actions", signal_checks.jumps),
    ("action range", "finite actions", signal_checks.bounds),
    ("camera timing", "finite cameras", camera_checks.timing),
    ("repeated frames", "finite cameras", camera_checks.repeated_frames),
    ("cameras", "cameras", camera_checks.cameras),
    ("repeated episodes", "", camera_checks.repeated_episodes),
)
"""Every check in the report's order: its name, what a store must have for it, and the function."""


@dataclass(frozen=True)
class HealthConfig:
    """Which store to check, and which data it must share nothing with."""

    store: str = option("folder of the store, or lerobot:PATH_OR_REPO_ID")
    against: str | None = option("stores or starts files (.npz) that are tested on, separated by commas", None)
    starts: bool = option("compare with the shipped validation and test starts of the store's tasks, too", True)
    out: str | None = option("also write health.json into this folder", None)
    json: bool = option("print one JSON record instead of a table", False)


def health(config: HealthConfig) -> int:
    """Check a store; 1 where any check fails, else 0."""
    store = open_source(config.store)
    others = [leakage.opposite(name.strip()) for name in (config.against or "").split(",") if name.strip()]
    others += leakage.frozen_for(store.tasks) if config.starts else []
    findings = check_store(store, others)
    record = report(store, findings)
    if config.out is not None:
        write_json(out_folder(config.out) / "health.json", record)
    if config.json:
        print(json.dumps(record, indent=1))
    else:
        _print(store, findings)
    return FAILED if record["verdict"] == FAIL else 0


def check_store(store: EpisodeStore, others: Sequence[leakage.Openings] = ()) -> list[Finding]:
    """All findings on a store, each frame read once."""
    cameras = cameras_of(dict.fromkeys(store.keys))
    tracks = {camera: track(store, camera) for camera in cameras}
    on, findings, finite = Subject(store, tracks, limits_of(store)), list[Finding](), True
    lacks = {
        "cameras": "" if cameras else "no cameras in this store",
        "actions": "" if on.keys(ACTION) else "no actions in this store",
        "signals": "" if on.keys(*signal_checks.SIGNALS) else "no state and no actions in this store",
    }
    for name, needs, check in CHECKS:
        if "finite" not in needs or finite:  # quantiles of NaN say nothing
            why = lacks.get(needs.removeprefix("finite "))
            findings.append(replace(Finding(SKIPPED, why) if why else check(on), check=name))
            finite &= name != "numbers" or findings[-1].verdict == OK
    if others:
        ours = leakage.of_store(store)
        findings += [replace(leakage.shared(ours, one), check=f"leakage: {one.name}") for one in others]
    return findings


def limits_of(store: EpisodeStore) -> tuple[Sequence[float], Sequence[float]] | None:
    """Lowest and highest action of the env: as the provenance says (``action_range``), or as our own tasks have it."""
    limits = store.meta["provenance"].get("action_range")
    if isinstance(limits, dict) and {"low", "high"} <= limits.keys():
        return limits["low"], limits["high"]
    if ACTION not in store.keys or "environment" not in store.meta["provenance"]:
        return None
    from worldmodel import envs  # here, because importing MuJoCo takes half a second

    if not all(task in envs.TASKS for task in store.tasks):
        return None
    space: Any = envs.make(store.tasks[0], render_images=False).action_space
    return space.low.tolist(), space.high.tolist()


def report(store: EpisodeStore, findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "store": str(store.path),
        "fingerprint": store.fingerprint,
        "version": __version__,
        "verdict": worst(findings),
        "checks": [finding.record() for finding in findings],
    }


def _print(store: EpisodeStore, findings: Sequence[Finding]) -> None:
    table = Table("check", "verdict", "seen", "episodes", "what to do")
    for found in findings:
        verdict = f"[{COLOURS[found.verdict]}]{found.verdict}[/]"
        table.add_row(found.check, verdict, escape(found.seen), found.named(), escape(found.advice))
    Console().print(table)
    counts = ", ".join(f"{sum(f.verdict == v for f in findings)} {v}" for v in (OK, WARN, FAIL, SKIPPED))
    print(f"{store.path}: {worst(findings)} ({counts}); {store.episodes} episodes, {store.steps} steps")
