"""Checks of small arrays: dimensions that never move, idle stretches, jumps, ranges and lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

from worldmodel.data import EpisodeStore
from worldmodel.quality.finding import FAIL, OK, SKIPPED, WARN, Finding, episodes_of, percent
from worldmodel.schema import ACTION, EXECUTED, STATE

SIGNALS = (STATE, ACTION, EXECUTED)
STILL = 1e-3
"""A step moves when some dimension changes by more than this share of its range."""
IDLE = 1.0
"""Seconds without any motion that make an idle stretch."""
SWITCH = 8
"""A dimension with at most so many distinct values is a switch, and may jump."""
JUMP, JUMP_SHARE = 5.0, 0.1
"""A jump is larger than so many times the 95 % quantile of a dimension's steps, and than this share of its range."""
SPREAD = 4.0
"""An episode is an outlier in length beyond the quartiles by so many interquartile ranges."""


def rows(store: EpisodeStore, key: str) -> Float64[np.ndarray, "T n"]:
    """An array over all steps, flattened to one row of numbers per step."""
    return np.asarray(store.array(key)[:], np.float64).reshape(store.steps, -1)


def inside(store: EpisodeStore) -> Bool[np.ndarray, " gaps"]:
    """Which pairs of consecutive steps belong to one episode."""
    within = np.ones(store.steps - 1, bool)
    within[store.ends[:-1] - 1] = False
    return within


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


def finite(store: EpisodeStore) -> Finding:
    """Numbers that are none: NaN and infinities in states or actions."""
    check, broken, named = "numbers", np.zeros(store.steps, bool), []
    for key in _present(store):
        here = ~np.isfinite(rows(store, key)).all(axis=1)
        broken |= here
        named += [f"{key} at {here.sum()} steps"] if here.any() else []
    if not named:
        return Finding(check, OK, "states and actions are finite")
    advice = "leave these episodes out: one NaN ends a training run"
    return Finding(check, FAIL, f"NaN or infinite: {', '.join(named)}", episodes_of(store, broken.nonzero()[0]), advice)


def degenerate(store: EpisodeStore) -> Finding:
    """State and action dimensions that never move."""
    check, dead, whole = "degenerate dimensions", [], []
    keys = _present(store)
    for key in keys:
        values = rows(store, key)
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        constant = (high - low) <= 1e-6 * np.maximum(np.abs(high), 1e-3)
        dead += [f"{key}[{i}] is always {low[i]:.4g}" for i in constant.nonzero()[0]]
        whole += [key] if constant.all() else []
    if not keys:
        return Finding(check, SKIPPED, "no state and no actions in this store")
    if not dead:
        return Finding(check, OK, f"every dimension of {', '.join(keys)} moves")
    seen = ", ".join(dead[:6]) + (f" and {len(dead) - 6} more" if len(dead) > 6 else "")
    advice = "a joint or channel was not recorded, or is not needed: record it or leave it out"
    return Finding(check, FAIL if whole else WARN, seen, (), advice)


def idle(store: EpisodeStore) -> Finding:
    """Stretches of a second and more in which neither state nor action moves."""
    check, keys = "idle stretches", _present(store)
    if not keys:
        return Finding(check, SKIPPED, "no state and no actions in this store")
    still = inside(store)
    for key in keys:
        still &= moves(rows(store, key)) <= STILL
    edges = np.flatnonzero(np.diff(np.concatenate([[0], still, [0]])))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    long = lengths >= IDLE * store.rate
    if not long.any():
        rest = f"longest rest {lengths.max() / store.rate:.2f} s" if len(lengths) else "never at rest"
        return Finding(check, OK, rest)
    seen = f"{long.sum()} stretches, the longest {lengths.max() / store.rate:.1f} s, "
    seen += f"{percent(lengths[long].sum(), store.steps)} of all steps"
    verdict = FAIL if lengths[long].sum() > store.steps / 2 else WARN
    advice = "trim them: a policy that imitates waiting may wait for ever"
    return Finding(check, verdict, seen, episodes_of(store, starts[long]), advice)


def jumps(store: EpisodeStore) -> Finding:
    """Actions that leap within one step, far beyond what that dimension usually does."""
    check = "action jumps"
    if ACTION not in store.keys:
        return Finding(check, SKIPPED, "no actions in this store")
    values, within = rows(store, ACTION), inside(store)
    steps, leap = np.abs(np.diff(values, axis=0)), np.zeros(store.steps - 1, bool)
    named, scale = [], ranges(values)
    for i in range(values.shape[1]):
        moving = steps[within & (steps[:, i] > 0), i]
        if not len(moving) or len(np.unique(values[:, i])) <= SWITCH:
            continue
        limit = max(JUMP * float(np.quantile(moving, 0.95)), JUMP_SHARE * float(scale[i]))
        here = within & (steps[:, i] > limit)
        leap |= here
        named += [f"dimension {i}: {here.sum()} up to {steps[here, i].max():.3g}"] if here.any() else []
    if not named:
        return Finding(check, OK, "steps are of one kind")
    verdict = FAIL if leap.sum() > 0.01 * store.steps else WARN
    advice = "view these steps with `data view`: a dropped packet, a wrapped angle, or a reset in mid-episode"
    return Finding(check, verdict, "; ".join(named), episodes_of(store, leap.nonzero()[0]), advice)


def bounds(store: EpisodeStore, limits: tuple[Sequence[float], Sequence[float]] | None) -> Finding:
    """Actions outside the env's range; ``limits``: lowest and highest action, None where unknown."""
    check = "action range"
    keys = [key for key in (ACTION, EXECUTED) if key in store.keys]
    if not keys:
        return Finding(check, SKIPPED, "no actions in this store")
    if limits is None:
        return Finding(check, SKIPPED, "the env's range is not known here")
    low, high = (np.asarray(limit, np.float64) for limit in limits)
    beyond, named = np.zeros(store.steps, bool), []
    for key in keys:
        values = rows(store, key)
        if values.shape[1:] != low.shape:
            return Finding(check, SKIPPED, f"{key} has {values.shape[1]} dimensions, the env's actions {len(low)}")
        slack = 1e-4 * np.maximum(high - low, 1e-6)
        here = np.asarray((values < low - slack) | (values > high + slack))
        beyond |= here.any(axis=1)
        named += [f"{key}[{i}] at {here[:, i].sum()} steps" for i in np.flatnonzero(here.any(axis=0))]
    if not named:
        return Finding(check, OK, "inside the env's range")
    verdict = FAIL if beyond.sum() > 0.01 * store.steps else WARN
    advice = "the env clips these: check units, scaling and reference frame"
    return Finding(check, verdict, "outside: " + ", ".join(named), episodes_of(store, beyond.nonzero()[0]), advice)


def lengths(store: EpisodeStore) -> Finding:
    """Episodes much shorter or longer than the others."""
    check, steps = "episode lengths", np.diff(store.ends, prepend=0)
    q25, median, q75 = np.quantile(steps, [0.25, 0.5, 0.75])
    room = SPREAD * max(q75 - q25, 0.1 * median)
    odd = (steps < q25 - room) | (steps > q75 + room) | (steps < median / 4)
    seen = f"{steps.min()} to {steps.max()} steps, median {median:g}"
    if not odd.any():
        return Finding(check, OK, seen)
    shown = ", ".join(str(length) for length in steps[odd][:6])
    advice = "an aborted or forgotten recording: look, then leave it out"
    outliers = f"{odd.sum()} outliers of {shown} steps; all: {seen}"
    return Finding(check, WARN, outliers, tuple(odd.nonzero()[0].tolist()), advice)


def _present(store: EpisodeStore) -> list[str]:
    return [key for key in SIGNALS if key in store.keys]
