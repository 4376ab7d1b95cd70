"""What a plan's rows say together: tables of plain values, from which pages, plots and verdicts are made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from research.study.arms import ARMS
from research.study.diagnostics import diagnostics
from research.study.rows import Row
from research.study.stats import Comparison, compare, outcomes
from research.study.table import SHARED, Table, matched
from worldmodel.report.stats import mean_interval, wilson

BASELINE = "flow"


def solved(row: Row, kind: str = "none") -> str | None:
    """Outcomes of the last checkpoint: "none" as recorded, a perturbation's name, "2 sampler steps", or "delay 4"."""
    if kind == "none":
        return str(row["checkpoints"][-1]["solved"])
    if kind.endswith(" sampler steps"):
        return row.get("sampled", {}).get(kind.split()[0])
    if kind.startswith("delay "):
        return row.get("delayed", {}).get(kind.split()[1])
    return row.get("perturbed", {}).get(kind)


def summarize(rows: Sequence[Row], reach: float) -> dict[str, Any]:
    """All tables of the report. Every list holds records, so that it reads well as JSON."""
    table = Table(rows)
    first = next((row["settings"] for row in table.rows if not matched(row)), table.rows[0]["settings"])
    kinds = ["none", *dict.fromkeys(name for row in table.rows for name in row.get("perturbed", {}))]
    return {
        "settings": {key: first.get(key) for key in (*SHARED, "backbone.width", "backbone.depth", "execute")},
        "arms": {arm: ARMS[arm].question if arm in ARMS else "" for arm in table.arms},
        "demonstrations": table.sizes,
        "seeds": table.seeds,
        "cells": len(table.rows),
        "made": [dict(made) for made in sorted({tuple(sorted(_made(row).items())) for row in table.rows})],
        "success": [found for kind in kinds for found in success(table, kind)],
        "sampled": [found for kind in _sampled(table) for found in success(table, kind)],
        "delayed": delayed(table),
        "paired": [found for kind in kinds for found in differences(table, kind)],
        "held_out": held_out(table),
        "cost": cost(table),
        "reach": {"rate": reach, "cells": reached(table, reach)},
        "curves": curves(table),
        "imagination": imagination(table),
        "probe": probes(table),
        "diagnostics": diagnostics(table),
    }


def success(table: Table, kind: str = "none") -> list[dict[str, Any]]:
    """k of n pooled over seeds with its Wilson interval, and each seed's k."""
    found = []
    for arm in table.arms:
        for size in table.sizes:
            bits = {row["seed"]: text for row in table.of(arm, size) if (text := solved(row, kind)) is not None}
            if bits:
                wins, n = sum(text.count("1") for text in bits.values()), sum(map(len, bits.values()))
                what = {"arm": arm, "demonstrations": size, "under": kind, "successes": wins, "episodes": n}
                by_seed = {str(seed): text.count("1") for seed, text in bits.items()}
                found.append(what | {"interval": _round(wilson(wins, n)), "by_seed": by_seed})
    return found


def differences(table: Table, kind: str = "none", against: str = BASELINE) -> list[dict[str, Any]]:
    """Every other arm minus the baseline, per size and over all sizes that both have."""
    found = []
    for arm in table.arms:
        sizes = table.shared_sizes(arm, against)
        for chosen in [[size] for size in sizes] + ([sizes] if len(sizes) > 1 else []):
            if arm != against and (one := paired_outcomes(table, (arm, against), chosen, kind)):
                compared = compare(*one)
                what = {"arm": arm, "against": against, "demonstrations": chosen, "under": kind, "seeds": len(one[0])}
                facts = asdict(compared) | {"interval": _round(compared.interval), "by_seed": _round(compared.by_seed)}
                found.append(what | facts | {"difference": round(compared.difference, 4)})
    return found


def delayed(table: Table) -> list[dict[str, Any]]:
    """Success under every injected delay, and minus the same cells' without any."""
    found = []
    for delay in sorted({int(delay) for row in table.rows for delay in row.get("delayed", {})}):
        for one in success(table, f"delay {delay}"):
            compared = against_no_delay(table, one["arm"], delay, [one["demonstrations"]])
            assert compared is not None
            facts = {"difference": round(compared.difference, 4), "interval": _round(compared.interval)}
            found.append(one | {"delay": delay, "against_none": facts})
    return sorted(found, key=lambda one: (table.arms.index(one["arm"]), one["demonstrations"]))


def against_no_delay(table: Table, arm: str, delay: int, sizes: Sequence[int] | None = None) -> Comparison | None:
    """An arm under a delay minus the same cells without, over ``sizes`` (None: all that have it); None without rows."""
    kind = f"delay {delay}"
    there = [size for size in table.sizes if any(solved(row, kind) is not None for row in table.of(arm, size))]
    pair = paired_outcomes(table, (arm, arm), there if sizes is None else sizes, (kind, "none"))
    return compare(*pair) if pair else None


def paired_outcomes(
    table: Table, arms: tuple[str, str], sizes: Sequence[int], kind: str | tuple[str, str] = "none"
) -> tuple[np.ndarray, np.ndarray] | None:
    """Outcomes bool (seeds, sizes, starts) of a pair of arms on what both have; None where that is nothing.

    kind: of evaluation (see `solved`), the same for both or one for each.
    """
    sides = zip(table.both(*arms, sizes), (kind, kind) if isinstance(kind, str) else kind, strict=True)
    bits = [[[solved(row, way) for row in line] for line in rows] for rows, way in sides]
    keep = [n for n in range(len(bits[0])) if all(text is not None for side in bits for text in side[n])]
    if not keep:
        return None
    first, second = (np.array([[outcomes(str(text)) for text in side[n]] for n in keep]) for side in bits)
    return first, second


def held_out(table: Table) -> list[dict[str, Any]]:
    """Held-out losses at the end, as ratios to the baseline's on the same seed and size, with a Student interval.

    Far less noisy than success, and no proof of it. Only arms whose loss is a flow's, on clean observations, compare.
    """
    found = []
    for arm in table.arms:
        if arm == BASELINE or (arm in ARMS and not ARMS[arm].comparable):
            continue
        pairs = [
            (row, table.get(BASELINE, row["demonstrations"], row["seed"])) for row in table.rows if row["arm"] == arm
        ]
        ends = [(a["checkpoints"][-1]["held_out"], b["checkpoints"][-1]["held_out"]) for a, b in pairs if b]
        for name in ("policy", "forward"):
            if ratios := [float(np.log(a[name] / b[name])) for a, b in ends if name in a and name in b]:
                mean, interval = mean_interval(ratios)
                what = {"arm": arm, "loss": name, "pairs": len(ratios), "ratio": round(float(np.exp(mean)), 4)}
                what["each"] = _round(np.exp(ratios).tolist())
                found.append(what | {"interval": _round(np.exp(interval).tolist()) if len(ratios) > 1 else None})
    return found


def cost(table: Table) -> list[dict[str, Any]]:
    """Mean seconds of training per arm and size, and processor time relative to the baseline on the same seeds."""
    found = []
    for arm in table.arms:
        for size in table.sizes:
            if rows := table.of(arm, size):
                one, two = table.both(arm, BASELINE, [size])
                times = [sum(line[0]["cpu_seconds"] for line in side) for side in (one, two)]
                facts = {key: round(float(np.mean([row[key] for row in rows]))) for key in ("seconds", "cpu_seconds")}
                ratio = round(times[0] / times[1], 3) if times[0] and times[1] else None
                found.append({"arm": arm, "demonstrations": size, **facts, "against_baseline": ratio})
    return found


def reached(table: Table, rate: float) -> list[dict[str, Any]]:
    """First checkpoint of every cell whose success on the curve's starts is ``rate`` or more; None where none is."""
    found = []
    for row in table.rows:
        n = row["settings"]["curve_episodes"]
        first = next((at for at in row["checkpoints"] if early(at, n) >= rate), None)
        what = {key: row[key] for key in ("arm", "demonstrations", "seed")}
        facts = {key: first[key] if first else None for key in ("step", "seconds", "cpu_seconds")}
        found.append(what | facts | {"of": row["checkpoints"][-1]["step"]})
    return found


def early(checkpoint: Row, episodes: int) -> float:
    """Success on the first ``episodes`` starts, which every checkpoint was evaluated on."""
    text = checkpoint["solved"][:episodes]
    return text.count("1") / len(text)


def curves(table: Table) -> list[dict[str, Any]]:
    """Success and held-out losses at every checkpoint: means over seeds, against steps and seconds."""
    found = []
    for arm in table.arms:
        for size in table.sizes:
            rows = table.of(arm, size)
            for number in range(min((len(row["checkpoints"]) for row in rows), default=0)):
                at = [row["checkpoints"][number] for row in rows]
                rates = [early(one, row["settings"]["curve_episodes"]) for one, row in zip(at, rows, strict=True)]
                losses = {name: _mean(one["held_out"].get(name) for one in at) for name in at[0]["held_out"]}
                spent = {key: _mean(one[key] for one in at) for key in ("seconds", "cpu_seconds")}
                what = {"arm": arm, "demonstrations": size, "step": at[0]["step"], **spent, "seeds": len(rows)}
                found.append(what | {"success": _mean(rates), "by_seed": _round(rates), "held_out": losses})
    return found


def imagination(table: Table) -> list[dict[str, Any]]:
    """PSNR by steps ahead, mean over seeds, beside copying the last frame."""
    found = []
    for arm in table.arms:
        for size in table.sizes:
            if facts := [row["imagination"]["psnr"] for row in table.of(arm, size) if row.get("imagination")]:
                curves = {key: np.mean([one[key] for one in facts], axis=0).round(2).tolist() for key in facts[0]}
                found.append({"arm": arm, "demonstrations": size, "seeds": len(facts), **curves})
    return found


def probes(table: Table) -> list[dict[str, Any]]:
    """Probe scores by target: best of observed clean frames with its Student interval over seeds, and by block."""
    found = []
    for arm in table.arms:
        for size in table.sizes:
            rows = [row["probe"] for row in table.of(arm, size) if row.get("probe")]
            for target in rows[0]["best"] if rows else []:
                mean, interval = mean_interval([row["best"][target]["model"] for row in rows])
                beside = {key: _mean(r["best"][target].get(key) for r in rows) for key in ("random", "pixels")}
                layers = {
                    kind: {b: _mean(r["layers"][kind][target][b] for r in rows) for b in blocks.get(target, {})}
                    for kind, blocks in rows[0]["layers"].items()
                }
                what = {
                    "arm": arm,
                    "demonstrations": size,
                    "target": target,
                    "seeds": len(rows),
                    "score": round(mean, 4),
                }
                ends = _round(interval) if len(rows) > 1 else None
                found.append(what | {"interval": ends, **beside, "layers": layers})
    return found


def _sampled(table: Table) -> list[str]:
    steps = {int(steps) for row in table.rows for steps in row.get("sampled", {})}
    return [f"{count} sampler steps" for count in sorted(steps)]


def _made(row: Row) -> dict[str, str]:
    """What may differ among rows without making them incomparable."""
    return {key: str(row["made"].get(key)) for key in ("code", "torch", "device", "system", "cores")}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 5) if known else None


def _round(values: Sequence[float]) -> list[float]:
    return [round(float(value), 4) for value in values]
