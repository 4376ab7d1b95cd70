"""The hypotheses, each with the rule that decides it; rules are written down before any run (PLAN.md) and here in code.

One scheme for all: an effect is *supported* where the whole 95 % interval lies above the bar and every seed agrees,
*not supported* where the interval excludes an effect worth having, and *undecided* between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from research.study.stats import compare
from research.study.summary import BASELINE, against_no_delay, held_out, paired_outcomes, solved
from research.study.table import Table
from worldmodel.report.stats import mean_interval

WORTH, WORTH_SCORE, WORTH_DECIBELS, LOSES = 0.05, 0.02, 0.3, 0.02
"""Effects worth having: success rate, probe score, PSNR; and the success that few sampler steps may lose."""
CONTINUE, LATEST = ("action_only_prefix", "flow_prefix"), 8
"""Arms whose chunks continue committed actions, and the longest delay that they have to bridge."""
FRESH, LOWER_LOSS = 3, 0.95
"""First seed that explored nothing before R1 to R3 were written down; a ratio of losses worth having."""
SUPPORTED, NOT_SUPPORTED, UNDECIDED, NOT_RUN = "supported", "not supported", "undecided", "not run"


@dataclass(frozen=True)
class Verdict:
    """A hypothesis, its rule, what was found and what follows."""

    name: str
    claim: str
    rule: str
    verdict: str
    numbers: str


def verdicts(table: Table) -> list[Verdict]:
    """All of them, in order."""
    return [
        video_helps(table),
        *self_flow_helps(table),
        augmentation(table),
        delays(table),
        few_steps(table),
        *sound_helps(table),
        *regime(table),
    ]


def video_helps(table: Table) -> Verdict:
    """H1."""
    claim = "Future frames in training raise the policy's success at equal steps (flow above action_only)"
    return _success("H1", claim, table, BASELINE, "action_only")


def self_flow_helps(table: Table) -> list[Verdict]:
    """H2 and its three parts."""
    parts = [
        _scalar("H2a", "Self-Flow has better linear probes than flow matching", table, _probe_score, WORTH_SCORE),
        _scalar("H2b", "Self-Flow imagines 16 steps ahead better than flow", table, _imagined_last, WORTH_DECIBELS),
        _success("H2c", "Self-Flow succeeds more often than flow", table, "self_flow", BASELINE),
    ]
    found = [part.verdict for part in parts]
    if found[2] == NOT_RUN:
        whole = NOT_RUN
    elif found[2] == NOT_SUPPORTED:
        whole = NOT_SUPPORTED
    else:
        whole = SUPPORTED if all(verdict == SUPPORTED for verdict in found) else UNDECIDED
    rule = "Supported where H2a, H2b and H2c are; not supported where H2c is not; undecided otherwise."
    text = ", ".join(f"{part.name} {part.verdict}" for part in parts)
    return [Verdict("H2", "Self-Flow is better than joint flow matching", rule, whole, text), *parts]


def augmentation(table: Table) -> Verdict:
    """H3."""
    claim = "The second noise level is augmentation: blocking attention between the noise groups changes nothing"
    rule = (
        f"Supported where the interval of self_flow minus separated lies within {_points(WORTH)} of 0; not supported "
        "where it lies wholly above 0; undecided otherwise."
    )
    found = _compare(table, "self_flow", "separated")
    if found is None:
        return Verdict("H3", claim, rule, NOT_RUN, "no rows of self_flow and separated on the same seeds and sizes")
    (difference, (low, high), _), text = found
    equal = max(abs(low), abs(high)) < WORTH
    verdict = SUPPORTED if equal else NOT_SUPPORTED if low > 0 and difference > 0 else UNDECIDED
    return Verdict("H3", claim, rule, verdict, text)


def delays(table: Table) -> Verdict:
    """H4."""
    claim = f"Noise per token makes real-time chunking trainable: success is flat in delays of 0 to {LATEST} steps"
    rule = (
        f"Every delay minus delay 0 on the same seeds, sizes and starts, on {' and '.join(CONTINUE)}: supported where "
        f"every 95 % interval's lower end is above -{_points(WORTH)}; not supported where an upper end is below it; "
        f"undecided otherwise, with one seed, without delay {LATEST}, or where delay 0 solves less than that."
    )
    steps = sorted({int(delay) for row in table.rows for delay in row.get("delayed", {})})
    found = {(arm, step): against_no_delay(table, arm, step) for arm in table.arms for step in steps}
    known = {key: compared for key, compared in found.items() if compared}
    text = "; ".join(f"{arm} at {step}: {_signed(one.difference, one.interval)}" for (arm, step), one in known.items())
    mine = {key: compared for key, compared in known.items() if key[0] in CONTINUE}
    if not mine:
        none = "no rows of " + " or ".join(CONTINUE) + " with delays"
        return Verdict("H4", claim, rule, NOT_RUN, f"{none}; {text}" if text else none)
    if min(len(one.by_seed) for one in mine.values()) < 2:
        return Verdict("H4", claim, rule, UNDECIDED, f"{text}; one seed cannot decide")
    high = min(one.interval[1] for one in mine.values())
    low = min(one.interval[0] for one in mine.values())
    strong = all((arm, LATEST) in mine and _rate(table, arm) > WORTH for arm, _ in mine)
    verdict = NOT_SUPPORTED if high < -WORTH else SUPPORTED if low > -WORTH and strong else UNDECIDED
    return Verdict("H4", claim, rule, verdict, text)


def few_steps(table: Table) -> Verdict:
    """H5."""
    claim = "One to four sampler steps lose at most 2 points of success"
    rule = (
        "Up to 4 steps against the most steps run, on flow: supported where every interval's lower end is above "
        f"-{_points(LOSES)}; not supported where an upper end is below it; undecided otherwise."
    )
    rows = [row for size in table.sizes for row in table.of(BASELINE, size) if len(row.get("sampled", {})) > 1]
    counts = sorted({int(count) for row in rows for count in row["sampled"]})
    if not rows or not [count for count in counts if count <= 4 < counts[-1]]:
        return Verdict("H5", claim, rule, NOT_RUN, "no rows of flow with few and with many sampler steps")
    found, text = [], []
    for count in [count for count in counts if count <= 4]:
        few, many = (_bits(table, f"{n} sampler steps") for n in (count, counts[-1]))
        compared = compare(few, many)
        found.append(compared.interval)
        text.append(f"{count} against {counts[-1]}: {_signed(compared.difference, compared.interval)}")
    low, high = min(low for low, _ in found), min(high for _, high in found)
    verdict = SUPPORTED if low > -LOSES else NOT_SUPPORTED if high < -LOSES else UNDECIDED
    return Verdict("H5", claim, rule, verdict, "; ".join(text))


def sound_helps(table: Table) -> list[Verdict]:
    """S1 and S2."""
    claim = "Contact sound raises the policy's success (action_only_heard above action_only)"
    first = _success("S1", claim, table, "action_only_heard", "action_only")
    claim = "The chunk's sound is predicted better than by its mean"
    rule = (
        "Explained variance of held-out log-power, flow_heard, averaged over sizes: supported where the 95 % Student "
        "interval over seeds, and every seed, lie above 0; not supported where the interval lies below 0.02; "
        "undecided otherwise."
    )
    heard: dict[int, list[float]] = {}
    for row in table.rows:
        if row["arm"] == "flow_heard" and row.get("sound"):
            heard.setdefault(row["seed"], []).append(row["sound"]["r2"])
    if not heard:
        return [first, Verdict("S2", claim, rule, NOT_RUN, "no rows of flow_heard with this measure")]
    each = [float(np.mean(values)) for values in heard.values()]
    mean, interval = mean_interval(each)
    text = f"{mean:.3f} ({interval[0]:.3f} to {interval[1]:.3f}), by seed {', '.join(f'{v:.3f}' for v in each)}"
    verdict = decide(mean, interval, each, WORTH_SCORE) if len(each) > 1 else UNDECIDED
    return [first, Verdict("S2", claim, rule, verdict, text)]


def regime(table: Table) -> list[Verdict]:
    """R1 to R3, on seeds that had no part in suggesting them."""
    fresh = Table(row for row in table.rows if row["seed"] >= FRESH)
    strong, control = "self_flow_strong", "dual_strong"
    claim = "With 25 % of the tokens masked Self-Flow succeeds more often than flow"
    first = _success("R1", claim, fresh, strong, BASELINE)
    claim = "It does because of the representation loss: more often than the same two noise levels without it"
    second = _success("R2", claim, fresh, strong, control)
    claim = "Its held-out loss of actions is lower than flow's"
    rule = (
        f"Held-out policy loss of {strong} over flow's, same seed, geometric mean: supported where the 95 % Student "
        "interval and every seed lie below 1; not supported where the interval lies above 0.95; undecided otherwise."
    )
    found = [one for one in held_out(fresh) if (one["arm"], one["loss"]) == (strong, "policy")]
    if not found or found[0]["pairs"] < 2:
        return [first, second, Verdict("R3", claim, rule, NOT_RUN, "no rows of both on two seeds")]
    ratio, (low, high), each = found[0]["ratio"], found[0]["interval"], found[0]["each"]
    text = f"{ratio:.3f} ({low:.3f} to {high:.3f}), by seed {', '.join(f'{value:.3f}' for value in each)}"
    verdict = SUPPORTED if high < 1 and max(each) < 1 else NOT_SUPPORTED if low > LOWER_LOSS else UNDECIDED
    return [first, second, Verdict("R3", claim, rule, verdict, text)]


def decide(difference: float, interval: tuple[float, float], each: Sequence[float], worth: float) -> str:
    """The common rule: every seed (or cell's seed) on the same side counts for support."""
    low, high = interval
    if low > 0 and min(each) > 0:
        return SUPPORTED
    return NOT_SUPPORTED if high < worth else UNDECIDED


def _success(name: str, claim: str, table: Table, first: str, second: str) -> Verdict:
    rule = (
        f"{first} minus {second} on the same seeds, sizes and starts, last checkpoint: supported where the 95 % "
        "interval (resampling seeds and starts) lies above 0 and every seed's difference does; not supported where it "
        f"lies below {_points(WORTH)}; undecided otherwise."
    )
    found = _compare(table, first, second)
    if found is None:
        return Verdict(name, claim, rule, NOT_RUN, f"no rows of {first} and {second} on the same seeds and sizes")
    (difference, interval, each), text = found
    if len(each) < 2:
        return Verdict(name, claim, rule, UNDECIDED, f"{text}; one seed cannot decide")
    return Verdict(name, claim, rule, decide(difference, interval, each, WORTH), text)


def _compare(
    table: Table, first: str, second: str
) -> tuple[tuple[float, tuple[float, float], tuple[float, ...]], str] | None:
    """Difference, interval, each seed's difference, and the same in words; None without rows in common."""
    sizes = table.shared_sizes(first, second)
    pair = paired_outcomes(table, (first, second), sizes) if sizes else None
    if pair is None:
        return None
    found = compare(*pair)
    seeds = ", ".join(f"{100 * value:+.1f}" for value in found.by_seed)
    text = (
        f"{_signed(found.difference, found.interval)} over {found.episodes} pairs (sizes {', '.join(map(str, sizes))}; "
        f"by seed {seeds}; McNemar p = {found.p_value:.2g})"
    )
    return (found.difference, found.interval, found.by_seed), text


def _scalar(name: str, claim: str, table: Table, read: Callable[[Any], float | None], worth: float) -> Verdict:
    """A verdict on one number per cell: Self-Flow minus flow, averaged over sizes, as many values as seeds."""
    rule = (
        "self_flow minus flow per seed, averaged over sizes: supported where the 95 % Student interval over seeds, and "
        f"every seed, lie above 0; not supported where the interval lies below {worth:g}; undecided otherwise."
    )
    sizes = table.shared_sizes("self_flow", BASELINE)
    one, two = table.both("self_flow", BASELINE, sizes)
    pairs = [[(read(a), read(b)) for a, b in zip(*lines, strict=True)] for lines in zip(one, two, strict=True)]
    each = [
        float(np.mean([a - b for a, b in line if a is not None and b is not None]))
        for line in pairs
        if line and all(a is not None and b is not None for a, b in line)
    ]
    if not each:
        return Verdict(name, claim, rule, NOT_RUN, "no rows with this measure on the same seeds and sizes")
    mean, interval = mean_interval(each)
    text = f"{mean:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f}), by seed {', '.join(f'{v:+.3f}' for v in each)}"
    return Verdict(name, claim, rule, decide(mean, interval, each, worth), text)


def _probe_score(row: Any) -> float | None:
    """Mean over targets of the best probe of clean observed frames."""
    best = (row.get("probe") or {}).get("best")
    return float(np.mean([scores["model"] for scores in best.values()])) if best else None


def _imagined_last(row: Any) -> float | None:
    """PSNR of the last step ahead."""
    imagination = row.get("imagination")
    return float(imagination["psnr"]["imagined"][-1]) if imagination else None


def _bits(table: Table, kind: str) -> np.ndarray:
    """Outcomes of flow under a kind of evaluation, (seeds, sizes, starts), of seeds that have it at every size."""
    found = paired_outcomes(table, (BASELINE, BASELINE), table.shared_sizes(BASELINE, BASELINE), kind)
    assert found is not None
    return found[0]


def _rate(table: Table, arm: str) -> float:
    """Share of the starts that an arm solves without delay, all its rows together."""
    text = "".join(solved(row) or "" for row in table.rows if row["arm"] == arm)
    return text.count("1") / len(text)


def _points(share: float) -> str:
    return f"{100 * share:g} points"


def _signed(difference: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * difference:+.1f} points (95 % {100 * low:+.1f} to {100 * high:+.1f})"
