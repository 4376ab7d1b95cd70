"""Checks of cameras: dark, saturated, blank or frozen ones, repeated frames and episodes, and frames out of step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from worldmodel.data import EpisodeStore
from worldmodel.data.layout import checksum
from worldmodel.quality.finding import FAIL, OK, SKIPPED, WARN, Finding, episodes_of, percent
from worldmodel.quality.frames import Track
from worldmodel.quality.signal_checks import changes, inside, moves, rows
from worldmodel.schema import ACTION, IMAGES, STATE

DARK, BLANK, BURNT_SHARE = 12.0, 2.0, 0.6
"""A frame is poor below this mean grey level, below this contrast, or with this share of saturated pixels."""
MOVING = 0.01
"""A frame ought to differ from the one before when the state moved by this share of its range."""
LAGS, SURE, BETTER = 6, 0.3, 0.1
"""Lags tried, in steps; correlation that counts as such; how much better than lag 0 the best one has to be."""
TIMESTAMP = "timestamp"

type Tracks = Mapping[str, Track]


def cameras(store: EpisodeStore, tracks: Tracks) -> Finding:
    """Cameras that show nothing: dark, saturated or blank frames, or one picture for a whole episode."""
    check = "cameras"
    if not tracks:
        return Finding(check, SKIPPED, "no cameras in this store")
    named, poor_steps, verdict = [], np.zeros(store.steps, bool), OK
    for camera, seen in tracks.items():
        dark, blank = seen.brightness < DARK, seen.contrast < BLANK
        kinds = {"dark": dark, "saturated": ~dark & (seen.burnt > BURNT_SHARE), "blank": blank & ~dark}
        frozen = {"frozen for whole episodes": _frozen(store, seen)}
        poor = np.zeros(store.steps, bool)
        for kind, where in (kinds | frozen).items():
            if where.any():
                named.append(f"{camera}: {percent(where.sum(), store.steps)} of frames {kind}")
                poor |= where
        poor_steps |= poor
        verdict = FAIL if poor.mean() > 0.5 else max(verdict, WARN if poor.any() else OK, key=(OK, WARN, FAIL).index)
    if not named:
        levels = ", ".join(f"{name} mean grey level {seen.brightness.mean():.0f}" for name, seen in tracks.items())
        return Finding(check, OK, levels)
    advice = "lens cap, exposure, unplugged or stuck camera: leave these episodes or this camera out"
    return Finding(check, verdict, "; ".join(named), episodes_of(store, poor_steps.nonzero()[0]), advice)


def repeated_frames(store: EpisodeStore, tracks: Tracks) -> Finding:
    """Frames identical to the one before although the robot moved: a camera that is slower than the recording."""
    check = "repeated frames"
    if not tracks:
        return Finding(check, SKIPPED, "no cameras in this store")
    moved = np.ones(store.steps - 1, bool) if STATE not in store.keys else moves(rows(store, STATE)) > MOVING
    moved &= inside(store)
    if not moved.any():
        return Finding(check, SKIPPED, "nothing moves in this store")
    named, where, share = [], np.zeros(store.steps - 1, bool), 0.0
    for camera, seen in tracks.items():
        stuck = moved & seen.same[1:] & ~_frozen(store, seen)[1:]
        where |= stuck
        share = max(share, stuck.sum() / moved.sum())
        if stuck.any():
            named.append(f"{camera}: {stuck.sum()} frames, {percent(stuck.sum(), moved.sum())} of the moving ones")
    if not named:
        return Finding(check, OK, f"every frame is new where the robot moves ({moved.sum()} steps)")
    advice = "the camera is slower than the recording, or dropped frames: lower the rate, or drop the repeated steps"
    verdict = FAIL if share > 0.1 else WARN
    return Finding(check, verdict, "; ".join(named), episodes_of(store, where.nonzero()[0]), advice)


def repeated_episodes(store: EpisodeStore) -> Finding:
    """Whole episodes that are in the store more than once, by the checksums taken when they were recorded."""
    check, compared = (
        "repeated episodes",
        [key for key in store.keys if key in (ACTION, STATE) or key.startswith(IMAGES)],
    )
    if not compared:
        return Finding(check, SKIPPED, "no frames, states or actions to compare")
    groups: dict[tuple[int, ...], list[int]] = {}
    marks = store.checksums[:, [store.keys.index(key) for key in compared]]
    if not store.checksums.any():  # LeRobot keeps none
        spans = [store.span(episode) for episode in range(store.episodes)]
        small = [store.array(key)[:] for key in compared if key in (ACTION, STATE)]
        marks = np.array([[checksum(values[a:b]) for values in small] for a, b in spans], np.uint64)
    if not marks.size:
        return Finding(check, SKIPPED, "no checksums, states or actions to compare")
    for episode, (length, mark) in enumerate(zip(np.diff(store.ends, prepend=0), marks, strict=True)):
        groups.setdefault((int(length), *map(int, mark)), []).append(episode)
    copies = [group for group in groups.values() if len(group) > 1]
    if not copies:
        return Finding(check, OK, f"{store.episodes} different recordings")
    shown = "; ".join(" = ".join(map(str, group[:4])) for group in copies[:3])
    extra = sum(len(group) - 1 for group in copies)
    advice = "keep one of each: copies weigh double, and one of them may be held out"
    return Finding(
        check, FAIL, f"{extra} copies: {shown}", tuple(sorted(episode for group in copies for episode in group)), advice
    )


def timing(store: EpisodeStore, tracks: Tracks) -> Finding:
    """Frames that lag behind the state, and recorded times that are not evenly spaced."""
    check = "camera timing"
    if not tracks:
        return Finding(check, SKIPPED, "no cameras in this store")
    uneven = _uneven(store)
    if uneven is not None:
        return uneven
    if STATE not in store.keys:
        return Finding(check, SKIPPED, "no state to time the cameras by")
    motion, within = changes(rows(store, STATE)), inside(store)
    named, fine, worst = [], [], 0
    for camera, seen in tracks.items():
        scores = {lag: _explained(motion, seen.change[1:], within, lag) for lag in range(-LAGS, LAGS + 1)}
        best = max(scores, key=lambda lag: (scores[lag], -abs(lag)))
        if scores[best] < SURE:
            fine.append(f"{camera}: no common motion to time it by")
        elif best and scores[best] > scores[0] + BETTER:
            side = "behind" if best > 0 else "ahead of"
            steps = "step" if abs(best) == 1 else "steps"
            named.append(f"{camera} is {abs(best)} {steps} {side} the state (correlation {scores[best]:.2f})")
            worst = max(worst, abs(best))
        else:
            fine.append(f"{camera} in step with the state (correlation {scores[0]:.2f})")
    if not named:
        return Finding(check, OK, f"{store.steps} frames each; " + ", ".join(fine))
    advice = "shift the frames by so many steps, or record with the cameras' own times"
    return Finding(check, FAIL if worst > 2 else WARN, "; ".join(named + fine), (), advice)


def _frozen(store: EpisodeStore, seen: Track) -> Bool[np.ndarray, " T"]:
    """Steps of episodes (of at least ten steps) in which no frame differs from the first."""
    frozen = np.zeros(store.steps, bool)
    for episode in range(store.episodes):
        start, stop = store.span(episode)
        frozen[start:stop] = stop - start >= 10 and bool(seen.same[start + 1 : stop].all())
    return frozen


def _explained(
    motion: Float[np.ndarray, "gaps n"], change: Float[np.ndarray, " gaps"], within: Bool[np.ndarray, " gaps"], lag: int
) -> float:
    """How well the state's motion explains the picture's change ``lag`` steps later: multiple correlation, 0 to 1,
    less twice what chance gives (a few dozen noisy steps correlate with anything).

    Each dimension's weight is fitted, since a camera shows some of them only. Motion and change are differenced:
    their variation from step to step distinguishes one lag from the next.
    """
    x, y = np.diff(motion, axis=0), np.diff(change.astype(np.float64))
    count = len(y) - abs(lag)
    if count < 8:
        return 0.0
    through = np.convolve(~within, np.ones(abs(lag) + 2, int), "valid") == 0  # no episode ends between the two
    x, y = (x[:count][through], y[lag:][through]) if lag >= 0 else (x[-lag:][through], y[:count][through])
    if len(y) < 10 * (x.shape[1] + 1) or y.std() < 1e-9:
        return 0.0
    design = np.column_stack([x, np.ones(len(x))])
    fitted = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    if fitted.std() < 1e-9:
        return 0.0
    return max(0.0, float(np.corrcoef(fitted, y)[0, 1]) - 2 * float(np.sqrt(x.shape[1] / len(x))))


def _uneven(store: EpisodeStore) -> Finding | None:
    """Recorded times that stand still, run backwards or leave gaps; None where there are none or all is well."""
    if TIMESTAMP not in store.keys:
        return None
    gaps, within = np.diff(rows(store, TIMESTAMP)[:, 0]), inside(store)
    if not within.any():
        return None
    usual = float(np.median(gaps[within]))
    odd = within & (np.abs(gaps - usual) > 0.5 * abs(usual))
    if usual > 0 and not odd.any():
        return None
    seen = f"{odd.sum()} of {within.sum()} steps are not {1000 * usual:.1f} ms after the one before"
    verdict = FAIL if usual <= 0 or odd.sum() > 0.01 * within.sum() else WARN
    advice = "frames were dropped or times are wrong: resample, or leave these episodes out"
    return Finding("camera timing", verdict, seen, episodes_of(store, odd.nonzero()[0]), advice)
