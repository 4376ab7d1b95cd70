"""Checks of small arrays: dimensions that never move, idle stretches, jumps, ranges and lengths."""

import numpy as np
from jaxtyping import Float64

from worldmodel.quality.finding import FAIL, OK, SKIPPED, WARN, Finding, Subject, percent
from worldmodel.schema import ACTION, EXECUTED, STATE

SIGNALS = (STATE, ACTION, EXECUTED)
STILL = 1e-3  # A step moves when some dimension changes by more than this share of its range
IDLE = 1.0  # Seconds without any motion that make an idle stretch
SWITCH = 8  # A dimension with at most so many distinct values is a switch, and may jump
JUMP, JUMP_SHARE = 5.0, 0.1
"""A jump is larger than so many times the 95 % quantile of a dimension's steps, and than this share of its range."""
SPREAD = 4.0  # An episode is an outlier in length beyond the quartiles by so many interquartile ranges


def ranges(values: Float64[np.ndarray, "T n"]) -> Float64[np.ndarray, " n"]:
    """Robust range of each dimension: 1 to 99 % quantile, or the whole range where most of it is one value."""
    low, q01, q99, high = np.nanquantile(values, [0, 0.01, 0.99, 1], axis=0)
    return np.where(q99 > q01, q99 - q01, high - low)


def changes(values: Float64[np.ndarray, "T n"]) -> Float64[np.ndarray, "gaps n"]:
    """How far each dimension moved at each step, as a share of its range; 0 for constant ones."""
    scale = ranges(values)
    return np.abs(np.diff(values, axis=0)) / np.where(scale > 0, scale, np.inf)


def moves(values: Float64[np.ndarray, "T n"]) -> Float64[np.ndarray, " gaps"]:
    """The largest of `changes` over the dimensions."""
    return np.asarray(changes(values).max(axis=1, initial=0.0))


def finite(on: Subject) -> Finding:
    """Numbers that are none: NaN and infinities in states or actions."""
    bad = {key: ~np.isfinite(on.rows(key)).all(axis=1) for key in on.keys(*SIGNALS)}
    named = [f"{key} at {where.sum()} steps" for key, where in bad.items() if where.any()]
    if not named:
        return Finding(OK, "states and actions are finite")
    advice = "leave these episodes out: one NaN ends a training run"
    episodes = on.episodes(np.any(list(bad.values()), axis=0))
    return Finding(FAIL, f"NaN or infinite: {', '.join(named)}", episodes, advice)


def degenerate(on: Subject) -> Finding:
    """State and action dimensions that never move."""
    dead, verdict, keys = [], WARN, on.keys(*SIGNALS)
    for key in keys:
        low, high = np.nanmin(on.rows(key), axis=0), np.nanmax(on.rows(key), axis=0)
        constant = (high - low) <= 1e-6 * np.maximum(np.abs(high), 1e-3)
        dead += [f"{key}[{i}] is always {low[i]:.4g}" for i in constant.nonzero()[0]]
        verdict = FAIL if constant.all() else verdict
    if not dead:
        return Finding(OK, f"every dimension of {', '.join(keys)} moves")
    seen = ", ".join(dead[:6]) + (f" and {len(dead) - 6} more" if len(dead) > 6 else "")
    return Finding(
        verdict, seen, (), "a joint or channel was not recorded, or is not needed: record it or leave it out"
    )


def idle(on: Subject) -> Finding:
    """Stretches of a second and more in which neither state nor action moves."""
    rate, still = on.store.rate, on.inside.copy()
    for key in on.keys(*SIGNALS):
        still &= moves(on.rows(key)) <= STILL
    edges = np.flatnonzero(np.diff(np.concatenate([[0], still, [0]])))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    long = lengths >= IDLE * rate
    if not long.any():
        return Finding(OK, f"longest rest {lengths.max() / rate:.2f} s" if len(lengths) else "never at rest")
    total, where = lengths[long].sum(), np.zeros(len(still), bool)
    where[starts[long]] = True
    seen = f"{long.sum()} stretches, the longest {lengths.max() / rate:.1f} s, {percent(total, on.store.steps)}"
    advice = "trim them: a policy that imitates waiting may wait for ever"
    verdict = FAIL if total > on.store.steps / 2 else WARN
    return Finding(verdict, f"{seen} of all steps", on.episodes(where), advice)


def jumps(on: Subject) -> Finding:
    """Actions that leap within one step, far beyond what that dimension usually does."""
    values = on.rows(ACTION)
    steps, leap, scale, named = np.abs(np.diff(values, axis=0)), np.zeros(len(values) - 1, bool), ranges(values), []
    for i in range(values.shape[1]):
        moving = steps[on.inside & (steps[:, i] > 0), i]
        if not len(moving) or len(np.unique(values[:, i])) <= SWITCH:
            continue
        limit = max(JUMP * float(np.quantile(moving, 0.95)), JUMP_SHARE * float(scale[i]))
        here = on.inside & (steps[:, i] > limit)
        leap |= here
        named += [f"dimension {i}: {here.sum()} up to {steps[here, i].max():.3g}"] if here.any() else []
    if not named:
        return Finding(OK, "steps are of one kind")
    advice = "view these steps with `data view`: a dropped packet, a wrapped angle, or a reset in mid-episode"
    return Finding(FAIL if leap.sum() > 0.01 * len(values) else WARN, "; ".join(named), on.episodes(leap), advice)


def bounds(on: Subject) -> Finding:
    """Actions outside the env's range."""
    if on.limits is None:
        return Finding(SKIPPED, "the env's range is not known here")
    low, high = (np.asarray(limit, np.float64) for limit in on.limits)
    beyond, named, slack = np.zeros(on.store.steps, bool), [], 1e-4 * np.maximum(high - low, 1e-6)
    for key in on.keys(ACTION, EXECUTED):
        values = on.rows(key)
        if values.shape[1:] != low.shape:
            return Finding(SKIPPED, f"{key} has {values.shape[1]} dimensions, the env's actions {len(low)}")
        here = np.asarray((values < low - slack) | (values > high + slack))
        beyond |= here.any(axis=1)
        named += [f"{key}[{i}] at {here[:, i].sum()} steps" for i in np.flatnonzero(here.any(axis=0))]
    if not named:
        return Finding(OK, "inside the env's range")
    verdict = FAIL if beyond.sum() > 0.01 * on.store.steps else WARN
    advice = "the env clips these: check units, scaling and reference frame"
    return Finding(verdict, "outside: " + ", ".join(named), on.episodes(beyond), advice)


def lengths(on: Subject) -> Finding:
    """Episodes much shorter or longer than the others."""
    steps = np.diff(on.store.ends, prepend=0)
    q25, median, q75 = np.quantile(steps, [0.25, 0.5, 0.75])
    room = SPREAD * max(q75 - q25, 0.1 * median)
    odd = (steps < q25 - room) | (steps > q75 + room) | (steps < median / 4)
    seen = f"{steps.min()} to {steps.max()} steps, median {median:g}"
    if not odd.any():
        return Finding(OK, seen)
    outliers = f"{odd.sum()} outliers of {', '.join(map(str, steps[odd][:6]))} steps; all: {seen}"
    advice = "an aborted or forgotten recording: look, then leave it out"
    return Finding(WARN, outliers, tuple(odd.nonzero()[0].tolist()), advice)
