"""Checks of cameras: dark, saturated, blank or frozen ones, repeated frames and episodes, and frames out of step."""

from collections import defaultdict

import numpy as np
from jaxtyping import Bool, Float

from worldmodel.data import EpisodeStore
from worldmodel.data.layout import checksum
from worldmodel.quality.finding import FAIL, OK, SKIPPED, WARN, Finding, Subject, Track, percent
from worldmodel.quality.signal_checks import changes, moves
from worldmodel.schema import ACTION, IMAGES, STATE

DARK, BLANK, BURNT_SHARE = 12.0, 2.0, 0.6
"""A frame is poor below this mean grey level, below this contrast, or with this share of saturated pixels."""
MOVING = 0.01  # A frame ought to differ from the one before when the state moved by this share of its range
LAGS, SURE, BETTER = 6, 0.3, 0.1
"""Lags tried, in steps; correlation that counts as such; how much better than lag 0 the best one has to be."""
TIMESTAMP = "timestamp"


def cameras(on: Subject) -> Finding:
    """Cameras that show nothing: dark, saturated or blank frames, or one picture for a whole episode."""
    named, poor_steps, verdict = [], np.zeros(on.store.steps, bool), OK
    for camera, seen in on.tracks.items():
        dark, blank = seen.brightness < DARK, seen.contrast < BLANK
        kinds = {"dark": dark, "saturated": ~dark & (seen.burnt > BURNT_SHARE), "blank": blank & ~dark}
        kinds["frozen for whole episodes"] = _frozen(on.store, seen)
        shares = {kind: percent(where.sum(), on.store.steps) for kind, where in kinds.items() if where.any()}
        named += [f"{camera}: {share} of frames {kind}" for kind, share in shares.items()]
        poor = np.any(list(kinds.values()), axis=0)
        poor_steps |= poor
        verdict = FAIL if poor.mean() > 0.5 else max(verdict, WARN if poor.any() else OK, key=(OK, WARN, FAIL).index)
    if not named:
        grey = [f"{name} mean grey level {seen.brightness.mean():.0f}" for name, seen in on.tracks.items()]
        return Finding(OK, ", ".join(grey))
    advice = "lens cap, exposure, unplugged or stuck camera: leave these episodes or this camera out"
    return Finding(verdict, "; ".join(named), on.episodes(poor_steps), advice)


def repeated_frames(on: Subject) -> Finding:
    """Frames identical to the one before although the robot moved: a camera that is slower than the recording."""
    moved = on.inside & (moves(on.rows(STATE)) > MOVING) if on.keys(STATE) else on.inside
    if not moved.any():
        return Finding(SKIPPED, "nothing moves in this store")
    stuck = {name: moved & seen.same[1:] & ~_frozen(on.store, seen)[1:] for name, seen in on.tracks.items()}
    counts = {name: where.sum() for name, where in stuck.items() if where.any()}
    if not counts:
        return Finding(OK, f"every frame is new where the robot moves ({moved.sum()} steps)")
    named = [f"{name}: {n} frames, {percent(n, moved.sum())} of the moving ones" for name, n in counts.items()]
    advice = "the camera is slower than the recording, or dropped frames: lower the rate, or drop the repeated steps"
    verdict = FAIL if max(counts.values()) > 0.1 * moved.sum() else WARN
    return Finding(verdict, "; ".join(named), on.episodes(np.any(list(stuck.values()), axis=0)), advice)


def repeated_episodes(on: Subject) -> Finding:
    """Whole episodes that are in the store more than once, by the checksums taken when they were recorded."""
    store = on.store
    compared = [key for key in store.keys if key in (ACTION, STATE) or key.startswith(IMAGES)]
    if not compared:
        return Finding(SKIPPED, "no frames, states or actions to compare")
    marks = store.checksums[:, [store.keys.index(key) for key in compared]]
    if not store.checksums.any():  # LeRobot keeps none
        spans = [store.span(episode) for episode in range(store.episodes)]
        small = [store.array(key)[:] for key in on.keys(ACTION, STATE)]
        marks = np.array([[checksum(values[a:b]) for values in small] for a, b in spans], np.uint64)
    if not marks.size:
        return Finding(SKIPPED, "no checksums, states or actions to compare")
    groups = defaultdict[tuple[int, ...], list[int]](list)
    for episode, (length, mark) in enumerate(zip(np.diff(store.ends, prepend=0), marks, strict=True)):
        groups[int(length), *map(int, mark)].append(episode)
    copies = [group for group in groups.values() if len(group) > 1]
    if not copies:
        return Finding(OK, f"{store.episodes} different recordings")
    shown = "; ".join(" = ".join(map(str, group[:4])) for group in copies[:3])
    seen = f"{sum(len(group) - 1 for group in copies)} copies: {shown}"
    advice = "keep one of each: copies weigh double, and one of them may be held out"
    return Finding(FAIL, seen, tuple(sorted(episode for group in copies for episode in group)), advice)


def timing(on: Subject) -> Finding:
    """Frames that lag behind the state, and recorded times that are not evenly spaced."""
    uneven = _uneven(on)
    if uneven is not None:
        return uneven
    if not on.keys(STATE):
        return Finding(SKIPPED, "no state to time the cameras by")
    motion = changes(on.rows(STATE))
    named, fine, most = [], [], 0
    for camera, seen in on.tracks.items():
        scores = {lag: _explained(motion, seen.change[1:], on.inside, lag) for lag in range(-LAGS, LAGS + 1)}
        best = max(scores, key=lambda lag: (scores[lag], -abs(lag)))
        if scores[best] < SURE:
            fine.append(f"{camera}: no common motion to time it by")
        elif best and scores[best] > scores[0] + BETTER:
            side, steps = "behind" if best > 0 else "ahead of", "step" if abs(best) == 1 else "steps"
            named.append(f"{camera} is {abs(best)} {steps} {side} the state (correlation {scores[best]:.2f})")
            most = max(most, abs(best))
        else:
            fine.append(f"{camera} in step with the state (correlation {scores[0]:.2f})")
    if not named:
        return Finding(OK, f"{on.store.steps} frames each; " + ", ".join(fine))
    advice = "shift the frames by so many steps, or record with the cameras' own times"
    return Finding(FAIL if most > 2 else WARN, "; ".join(named + fine), (), advice)


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


def _uneven(on: Subject) -> Finding | None:
    """Recorded times that stand still, run backwards or leave gaps; None where there are none or all is well."""
    if not on.keys(TIMESTAMP) or not on.inside.any():
        return None
    gaps = np.diff(on.rows(TIMESTAMP)[:, 0])
    usual = float(np.median(gaps[on.inside]))
    odd, count = on.inside & (np.abs(gaps - usual) > 0.5 * abs(usual)), on.inside.sum()
    if usual > 0 and not odd.any():
        return None
    seen = f"{odd.sum()} of {count} steps are not {1000 * usual:.1f} ms after the one before"
    verdict = FAIL if usual <= 0 or odd.sum() > 0.01 * count else WARN
    advice = "frames were dropped or times are wrong: resample, or leave these episodes out"
    return Finding(verdict, seen, on.episodes(odd), advice)
