"""Rows about actions: how far off they are, whether imagined frames depend on them, inverse dynamics."""

from typing import Any

import numpy as np

from worldmodel.imagine.image_metrics import psnr
from worldmodel.imagine.score.evaluator import Measured, sensitivity_step
from worldmodel.model import ModelConfig
from worldmodel.report.bootstrap import ClusterBootstrap

READ = {
    "every": "from a real frame after every step",
    "real": "from two real frames, in the middle and at the end",
    "imagined": "from two imagined frames",
    "policy": "policy, without a later frame",
    "zero_motion": "zero-motion baseline",
}
"""Text for each source of positions."""


def acted(measured: Measured, shape: ModelConfig, draw: ClusterBootstrap) -> dict[str, Any]:
    """Mean absolute errors of the policy's chunks over valid steps, beside the zero-motion baseline."""
    values, width = measured.values, measured.width
    known = np.broadcast_to(values["known"][..., None], values["zero_motion"].shape).astype(float)
    record: dict[str, Any] = {"width": width, "steps": int(values["known"].sum())}
    for name, key in (("policy", "error"), ("zero_motion", "zero_motion")):
        if name not in values:
            continue
        share = (values[name] / width * known).sum((1, 2)), known.sum((1, 2))
        whole, drawn = draw.ratio(*share)
        record |= {key: whole, f"{key}_interval": draw.interval(drawn)}
        if name == "policy":
            by_step, _ = draw.ratio(values[name] * known, known)
            each, _ = draw.ratio((values[name] * known).sum(1), known.sum(1))
            record |= {"each": each, "by_step": by_step, "share_by_step": by_step / width}
    return record


def sensitivity(measured: Measured, shape: ModelConfig, draw: ClusterBootstrap) -> dict[str, Any]:
    """Squared error under other windows' actions over that under the true ones: 1 for a model that ignores them."""
    errors = measured.values["action_sensitivity"]
    there = measured.values["action_sensitivity.valid"][:, None].astype(float)
    true, drawn_true = draw.ratio(errors[:, 0] * there, there)
    other, drawn_other = draw.ratio(errors[:, 1] * there, there)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio, drawn = other.mean() / true.mean(), drawn_other.mean(1) / drawn_true.mean(1)
        each = dict(zip(shape.cameras, (other / true).tolist(), strict=True))
    step = sensitivity_step(shape)
    return {
        "seconds": step / shape.control_hz,
        "windows": int(there.sum()),
        "ratio": ratio,
        "ratio_interval": draw.interval(drawn),
        "cameras": each,
        "psnr": {"true": float(psnr(true.mean())), "shuffled": float(psnr(other.mean()))},
    }


def inverse_error(measured: Measured, shape: ModelConfig, draw: ClusterBootstrap) -> dict[str, Any]:
    """Median distance between the positions inferred from frames and the actions taken, by step and over all steps.

    interval: of the median over all steps; first_interval: of the chunk's first step. Our own data are in metres,
    reported in mm; other data in thousandths of their unit.
    """
    values, known = measured.values, measured.values["inverse_error.known"]
    ours = "recipe" in measured.plan.clips.stores[0].meta["provenance"]
    unit = "mm" if ours else "thousandths of the data's own unit"
    record: dict[str, Any] = {"unit": unit, "windows": int(known.any(1).sum())}
    for name in READ:
        if f"inverse_error.{name}" in values:
            distance = 1000 * values[f"inverse_error.{name}"].astype(float)
            whole, drawn = draw.median(distance, known)
            step = [draw.median(distance[:, [h]], known[:, [h]], 1)[0] for h in range(shape.chunk_size)]
            first = draw.interval(draw.median(distance[:, :1], known[:, :1])[1])
            record[name] = {"median": whole, "interval": draw.interval(drawn), "by_step": step, "first_interval": first}
    return record
