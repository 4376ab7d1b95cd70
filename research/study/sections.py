"""The report's parts as tables of text, the same for the page and for the README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

type Record = Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """A heading, a remark on how to read it, a table (none without rows), and the names of plots."""

    title: str
    remark: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    plots: Sequence[str] = ()


def sections(found: Record, plots: Sequence[str]) -> list[Section]:
    """All parts that there are rows for."""
    every = [
        _verdicts(found["verdicts"]),
        _success(found),
        _paired(found["paired"]),
        _sampled(found["sampled"]),
        _delayed(found["delayed"]),
        _learning(found),
        _held_out(found["held_out"]),
        _cost(found),
        _probes(found["probe"]),
        _imagination(found["imagination"]),
        _diagnostics(found["diagnostics"]),
        _arms(found["arms"]),
    ]
    kept = [part for part in every if part.rows]
    return [
        Section(part.title, part.remark, part.head, part.rows, [name for name in part.plots if name in plots])
        for part in kept
    ]


def _verdicts(verdicts: Sequence[Record]) -> Section:
    rows = [(v["name"], v["claim"], f"**{v['verdict']}**", v["numbers"], v["rule"]) for v in verdicts]
    remark = "Rules were written down beforehand (../PLAN.md) and are applied by `research/study/verdicts.py`."
    return Section("Verdicts", remark, ("", "claim", "verdict", "numbers", "rule"), rows)


def _success(found: Record) -> Section:
    cells = {(one["arm"], one["demonstrations"], one["under"]): one for one in found["success"]}
    columns = [
        (size, under)
        for under in dict.fromkeys(one["under"] for one in found["success"])
        for size in found["demonstrations"]
        if any((arm, size, under) in cells for arm in found["arms"])
    ]
    head = ["arm", *(f"{size} demonstrations" + ("" if kind == "none" else f", {kind}") for size, kind in columns)]
    rows = [[arm, *(_counted(cells.get((arm, *column))) for column in columns)] for arm in found["arms"]]
    remark = (
        "Last checkpoint, closed loop: solved of all starts over the seeds, 95 % Wilson interval; each seed's count."
    )
    return Section("Success", remark, head, rows, ("success.png",))


def _counted(one: Record | None) -> str:
    if one is None:
        return ""
    low, high = one["interval"]
    seeds = ", ".join(map(str, one["by_seed"].values()))
    rate = 100 * one["successes"] / one["episodes"]
    return f"{one['successes']}/{one['episodes']} = {rate:.1f} % ({100 * low:.0f} to {100 * high:.0f}); {seeds}"


def _paired(records: Sequence[Record]) -> Section:
    rows = [
        (
            one["arm"],
            " + ".join(map(str, one["demonstrations"])),
            "" if one["under"] == "none" else one["under"],
            f"{100 * one['difference']:+.1f}",
            f"{100 * one['interval'][0]:+.1f} to {100 * one['interval'][1]:+.1f}",
            ", ".join(f"{100 * value:+.0f}" for value in one["by_seed"]),
            f"{one['only_first']} : {one['only_second']} of {one['episodes']}",
            f"{one['p_value']:.2g}",
        )
        for one in records
    ]
    head = (
        "arm minus flow",
        "demonstrations",
        "under",
        "points",
        "95 %",
        "by seed",
        "only this : only flow",
        "McNemar p",
    )
    remark = (
        "The same starts and seeds, last checkpoint. Intervals resample seeds and starts; with few seeds they are "
        "wide, and McNemar's p, which takes episodes of one seed as independent, is too small."
    )
    return Section("Paired differences", remark, head, rows)


def _sampled(records: Sequence[Record]) -> Section:
    rows = [(one["arm"], str(one["demonstrations"]), one["under"], _counted(one)) for one in records]
    return Section("Sampler steps", "", ("arm", "demonstrations", "steps", "solved"), rows)


def _delayed(records: Sequence[Record]) -> Section:
    rows = [
        (
            one["arm"],
            str(one["demonstrations"]),
            str(one["delay"]),
            _counted(one),
            f"{100 * one['against_none']['difference']:+.1f}",
            "{:+.1f} to {:+.1f}".format(*(100 * end for end in one["against_none"]["interval"])),
        )
        for one in records
    ]
    remark = (
        "Chunks are there so many control steps after the look they were computed from; meanwhile the last one is "
        "carried out. Arms named prefix are given those actions and continue them, others do not know of them."
    )
    head = ("arm", "demonstrations", "delay", "solved", "minus delay 0, points", "95 %")
    return Section("Injected delay", remark, head, rows)


def _learning(found: Record) -> Section:
    rate, cells, rows = found["reach"]["rate"], found["reach"]["cells"], []
    for arm in found["arms"]:
        for size in found["demonstrations"]:
            mine = [one for one in cells if one["arm"] == arm and one["demonstrations"] == size]
            if mine:
                steps = ", ".join(f">{one['of']}" if one["step"] is None else str(one["step"]) for one in mine)
                spent = ", ".join("-" if one["step"] is None else f"{one['cpu_seconds']:.0f}" for one in mine)
                rows.append((arm, str(size), steps, spent))
    remark = (
        f"First checkpoint that solves {100 * rate:g} % of the starts that all of them are tried on, each seed apart; "
        "the run's length with > where none does. Seconds are of processor time in training."
    )
    plots = [f"curves-{size}.png" for size in found["demonstrations"]]
    head = ("arm", "demonstrations", "steps", "processor seconds")
    return Section("Learning curves", remark, head, rows, plots)


def _held_out(records: Sequence[Record]) -> Section:
    rows = [
        (
            one["arm"],
            one["loss"],
            f"{one['ratio']:.3f}",
            f"{one['interval'][0]:.3f} to {one['interval'][1]:.3f}" if one["interval"] else "",
            str(one["pairs"]),
        )
        for one in records
    ]
    remark = (
        "Held-out flow loss at the end of training over flow's, same seed and size: geometric mean with its 95 % "
        "Student interval over pairs. Below 1 is better. Less noisy than success, and no proof of it."
    )
    return Section("Held-out losses", remark, ("arm", "loss", "over flow's", "95 %", "pairs"), rows)


def _cost(found: Record) -> Section:
    rows = [
        (
            one["arm"],
            str(one["demonstrations"]),
            str(one["seconds"]),
            str(one["cpu_seconds"]),
            "" if one["against_baseline"] is None else f"{one['against_baseline']:.2f}",
        )
        for one in found["cost"]
    ]
    remark = "Training alone, mean over seeds. Wall-clock time depends on what else ran; processor time much less."
    return Section("Cost", remark, ("arm", "demonstrations", "seconds", "processor seconds", "against flow"), rows)


def _probes(records: Sequence[Record]) -> Section:
    targets = list(dict.fromkeys(one["target"] for one in records))
    cells = {(one["arm"], one["demonstrations"], one["target"]): one for one in records}
    rows: list[Sequence[str]] = []
    for arm, size in dict.fromkeys((one["arm"], one["demonstrations"]) for one in records):
        rows.append((arm, str(size), *(_probed(cells.get((arm, size, target))) for target in targets)))
    for kind, name in (("random", "untrained"), ("pixels", "pixels")) if records else ():
        known = [
            next((o[kind] for o in records if o["target"] == target and o[kind] is not None), None)
            for target in targets
        ]
        rows.append((name, "", *("" if value is None else f"{value:.3f}" for value in known)))
    remark = (
        "R², or balanced accuracy of classes, on held-out episodes: the best block and pooling for clean observed "
        "frames, mean over seeds with its 95 % Student interval."
    )
    return Section("Linear probes", remark, ("arm", "demonstrations", *targets), rows, ("probes.png",))


def _probed(one: Record | None) -> str:
    if one is None:
        return ""
    return f"{one['score']:.3f}" + (
        f" ({one['interval'][0]:.3f} to {one['interval'][1]:.3f})" if one["interval"] else ""
    )


def _imagination(records: Sequence[Record]) -> Section:
    ahead = (1, 4, 8, 16)
    rows: list[Sequence[str]] = [
        (one["arm"], str(one["demonstrations"]), *(_decibels(one["imagined"], step) for step in ahead))
        for one in records
    ]
    if records:
        rows.append(("last frame copied", "", *(_decibels(records[-1]["copy_last_frame"], step) for step in ahead)))
    remark = "PSNR in dB of frames imagined under the executed actions on held-out episodes, by control steps ahead."
    head = ("arm", "demonstrations", *(f"{step} ahead" for step in ahead))
    return Section("Imagination", remark, head, rows, ("imagination.png",))


def _decibels(curve: Sequence[float], step: int) -> str:
    return f"{curve[step - 1]:.2f}" if step <= len(curve) else ""


def _diagnostics(records: Sequence[Record]) -> Section:
    names = list(dict.fromkeys(one["what"] for one in records))
    cells = {(one["arm"], one["demonstrations"], one["what"]): one["last"] for one in records}
    rows = [
        (arm, str(size), *(f"{cells[arm, size, name]:.3f}" if (arm, size, name) in cells else "" for name in names))
        for arm, size in dict.fromkeys((one["arm"], one["demonstrations"]) for one in records)
    ]
    remark = (
        "At the end of training. `align` is minus the cosine between student and teacher; `mean_direction` is the "
        "cosine that an uninformative student would reach, so only what lies beyond it was learnt."
    )
    return Section("Representation losses", remark, ("arm", "demonstrations", *names), rows, ("diagnostics.png",))


def _arms(arms: Mapping[str, str]) -> Section:
    return Section("Arms", "The question of each.", ("arm", "question"), list(arms.items()))
