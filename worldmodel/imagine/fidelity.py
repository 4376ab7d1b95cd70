"""How true imagined rollouts are beside the simulator under the same actions: moving pixels, and where things are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from worldmodel.imagine.image_metrics import CAP, psnr
from worldmodel.imagine.pose import PoseReader
from worldmodel.objectives import next_step
from worldmodel.report.bootstrap import ClusterBootstrap
from worldmodel.sims.can.tasks import shows_can

HORIZONS = (1, 10, 40, 100, 200)
"""Control steps after which rollouts are compared."""
CHANGED, NEAR, RESAMPLES = 8, 2.0, 1000
"""Grey levels by which a pixel that moves differs from the first frame; centimetres that count as the same place."""


@dataclass(frozen=True)
class Truth:
    """What the simulator does in B rollouts: frames; centre of the can, and gripper, in metres; whether it is held."""

    frames: UInt8[np.ndarray, "B C H W 3"]
    can: Float[np.ndarray, "B 3"]
    gripper: Float[np.ndarray, "B 3"]
    held: Bool[np.ndarray, " B"]


@dataclass(frozen=True)
class Compared:
    """B rollouts beside the simulator after some steps.

    error, copied: squared, of imagined frames and of the first, summed over moving ``pixels``. shown, lost: the can is
    in the simulator's view; and not in the imagined one. can, gripper: distances in cm. held: predicted rightly.
    """

    error: Float[np.ndarray, " B"]
    copied: Float[np.ndarray, " B"]
    pixels: Float[np.ndarray, " B"]
    shown: Bool[np.ndarray, " B"]
    lost: Bool[np.ndarray, " B"]
    can: Float[np.ndarray, " B"]
    gripper: Float[np.ndarray, " B"]
    held: Bool[np.ndarray, " B"]


def moving(first: UInt8[np.ndarray, "*b H W 3"], then: UInt8[np.ndarray, "*b H W 3"]) -> Bool[np.ndarray, "*b H W"]:
    """Pixels that differ from the first frame by more than `CHANGED` in a channel, and those within two pixels."""
    before, after = (torch.as_tensor(frames).float() for frames in (first, then))
    return np.asarray(next_step.moving(before, after, CHANGED)[..., 0].numpy() > 0)


def compare(first: np.ndarray, imagined: np.ndarray, truth: Truth, reader: PoseReader) -> Compared:
    """Imagined frames uint8 (B, C, H, W, 3) beside the simulator's; ``first``: those the rollouts began at."""
    mask = moving(first, truth.frames)
    error, copied = (
        (np.square(frames.astype(np.float64) - truth.frames).mean(-1) * mask).sum((1, 2, 3))
        for frames in (imagined, first)
    )
    pose, shown = reader.read(torch.as_tensor(imagined)), shows_can(truth.frames)
    can = 100 * np.linalg.norm(pose.can.numpy() - truth.can, axis=1)
    gripper = 100 * np.linalg.norm(pose.gripper.numpy() - truth.gripper, axis=1)
    held = (pose.held.numpy() >= 0.5) == truth.held
    return Compared(
        error, copied, mask.sum((1, 2, 3)).astype(float), shown, shown & ~shows_can(imagined), can, gripper, held
    )


def summary(found: Mapping[int, Sequence[Compared]]) -> dict[str, Any]:
    """By horizon: each figure as [value, low, high], the ends of a 95 % interval over rollouts, and their number ``n``.

    moving_db, copied_db: PSNR of moving pixels, imagined and with the first frame copied. can_lost: share of the
    rollouts in which the simulator shows the can. can_cm, gripper_cm: medians. can_near: share within `NEAR` cm.
    """
    out: dict[str, Any] = {}
    for horizon, parts in sorted(found.items()):
        whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Compared.__annotations__}
        count = len(whole["can"])
        resampled = ClusterBootstrap(np.arange(count), RESAMPLES, seed=0)

        def ratio(top: np.ndarray, bottom: np.ndarray, sampled: ClusterBootstrap = resampled) -> list[float]:
            value, drawn = sampled.ratio(top.astype(float), bottom.astype(float))
            return [float(value), *sampled.interval(drawn)]

        def decibels(errors: np.ndarray, pixels: np.ndarray = whole["pixels"]) -> list[float]:
            middle, low, high = (float(psnr(value, CAP)) for value in ratio(errors, pixels))
            return [middle, high, low]

        def median(values: np.ndarray, sampled: ClusterBootstrap = resampled) -> list[float]:
            value, drawn = sampled.median(values[:, None], np.ones((len(values), 1), bool))
            return [value, *sampled.interval(drawn)]

        one = np.ones(count)
        figures = {
            "moving_db": decibels(whole["error"]),
            "copied_db": decibels(whole["copied"]),
            "can_lost": ratio(whole["lost"], whole["shown"]),
            "can_cm": median(whole["can"]),
            "can_near": ratio(whole["can"] <= NEAR, one),
            "gripper_cm": median(whole["gripper"]),
            "held_right": ratio(whole["held"], one),
        }
        out[str(horizon)] = {"n": count} | {name: [round(v, 3) for v in each] for name, each in figures.items()}
    return out


def lines(found: dict[str, Any]) -> list[str]:
    """The summary as a table for people."""
    names = {
        "moving_db": "moving pixels, dB",
        "copied_db": "(first frame)",
        "can_lost": "can lost",
        "can_cm": "can, cm",
    }
    names |= {"can_near": f"within {NEAR:g} cm", "gripper_cm": "gripper, cm", "held_right": "held right"}
    table = ["steps  " + "  ".join(f"{text:>17}" for text in names.values())]
    table += [f"{steps:>5}  " + "  ".join(f"{row[name][0]:17.2f}" for name in names) for steps, row in found.items()]
    return table
