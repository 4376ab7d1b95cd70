"""What the features are probed for: where the can is, how far from the gripper, whether it is held, and the phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from worldmodel.config import UserError
from worldmodel.data import EpisodeStore
from worldmodel.schema import ENVIRONMENT_STATE, STATE
from worldmodel.sims.can.expert import Phase
from worldmodel.sims.can.scene import CAN_RADIUS

PHASE = "phase"


@dataclass(frozen=True)
class Target:
    """One question. values: metres, float32 (n, d), or class indices, int64 (n, 1). where: rows that have it.

    names: of the axes or classes.
    """

    name: str
    label: str
    kind: Literal["metres", "class"]
    values: np.ndarray
    where: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Steps:
    """Recorded steps and the part that each plays; all steps of an episode play the same.

    time: step in concatenated time; episode: its number; int64 (n,). part: 0 to fit, 1 to choose the ridge, 2 to test.
    """

    time: np.ndarray
    episode: np.ndarray
    part: np.ndarray


def split(episodes: np.ndarray, seed: int) -> np.ndarray:
    """Part of every episode, at random: three in ten test, a quarter of the others choose the ridge, the rest fit.

    Raises UserError for fewer than four episodes.
    """
    if len(episodes) < 4:
        raise UserError(f"{len(episodes)} episodes cannot be split to fit, choose and test; give at least 4")
    order = np.random.default_rng([seed, 1]).permutation(len(episodes))
    test = max(1, round(0.3 * len(episodes)))
    choose = max(1, round(0.25 * (len(episodes) - test)))
    part = np.zeros(len(episodes), np.int64)
    part[order[:test]], part[order[test : test + choose]] = 2, 1
    return part


def draw_steps(store: EpisodeStore, episodes: np.ndarray, frames: int, ahead: int, seed: int) -> Steps:
    """Up to ``frames`` steps of each episode, at random, that have a step ``ahead`` of them in the same episode.

    They come in random order, those to fit first.
    """
    random, time, owner = np.random.default_rng([seed, 2]), [], []
    for episode in episodes.tolist():
        start, end = store.span(episode)
        usable = np.arange(start, end - ahead)
        time.append(np.sort(random.permutation(usable)[:frames]))
        owner.append(np.full(len(time[-1]), episode))
    all_time, all_owner = np.concatenate(time), np.concatenate(owner)
    part = split(episodes, seed)[np.searchsorted(episodes, all_owner)]
    order = random.permutation(len(part))
    order = order[np.argsort(part[order], kind="stable")]
    return Steps(all_time[order], all_owner[order], part[order])


def targets(store: EpisodeStore, time: np.ndarray) -> list[Target]:
    """Every question that the store can answer at ``time`` (n,).

    Yaw is left out: the can is round. Nor is tilt: it stands within 1 degree in 99 % of the expert's steps.
    Raises UserError where a store has neither the can's pose nor phases.
    """
    found: list[Target] = []
    everywhere = np.ones(len(time), bool)
    if ENVIRONMENT_STATE in store.keys:
        pose, state = (np.asarray(store.array(key)[:], np.float32) for key in (ENVIRONMENT_STATE, STATE))
        can, gripper = pose[:, :3], state[:, :3]
        gap = np.linalg.norm(can - gripper, axis=1, keepdims=True)
        closed = held(can, state)
        early = before_first(closed, store.ends)
        found += [
            Target("can", "can position", "metres", can[time], everywhere, ("x", "y", "z")),
            Target("can_early", "can position before the grasp", "metres", can[time, :2], early[time], ("x", "y")),
            Target("gap", "gripper to can distance", "metres", gap[time], everywhere, ("distance",)),
            Target("held", "can held", "class", closed[time, None].astype(np.int64), everywhere, ("free", "held")),
        ]
    if PHASE in store.keys:
        phase = np.asarray(store.array(PHASE)[:], np.int64)
        kinds = np.unique(phase)
        values = np.searchsorted(kinds, phase[time])[:, None]
        found.append(
            Target("phase", "task phase", "class", values, everywhere, tuple(map(_phase_name, kinds.tolist())))
        )
    if not found:
        raise UserError(f"{store.path} has neither {ENVIRONMENT_STATE} nor {PHASE}; `worldmodel collect` records both")
    return [target for target in found if target.where.any()]


def held(can: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Whether the closed fingers hold the can, bool (T,), from its centre (T, 3) and the gripper's state (T, 4).

    The centre lies between the fingertips and the opening is a can's diameter. On 6,000 recorded time steps this agreed
    with MuJoCo's contacts (both pads touch the can) in 98.9 %; the others are the first steps of letting go.
    """
    aside = np.hypot(can[:, 0] - state[:, 0], can[:, 1] - state[:, 1])
    width = state[:, 3] - 2 * CAN_RADIUS
    closed: np.ndarray = (
        (aside < 0.022) & (np.abs(can[:, 2] - state[:, 2]) < 0.06) & (width > -0.006) & (width < 0.0015)
    )
    return closed


def before_first(flags: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Steps before their episode's first flagged one, bool (T,); all steps of an episode without any."""
    out = np.zeros(len(flags), bool)
    for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        out[start:end] = np.cumsum(flags[start:end]) == 0
    return out


def _phase_name(number: int) -> str:
    known = {int(phase): phase.name.lower() for phase in Phase}
    return known.get(number, f"phase {number}")
