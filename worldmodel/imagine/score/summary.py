"""From numbers per window to a scorecard: averages by time, camera, task and behaviour, intervals over episodes."""

import math
from functools import partial
from typing import Any

import numpy as np

from worldmodel.imagine.config import ScoreConfig
from worldmodel.imagine.image_metrics import psnr
from worldmodel.imagine.score.evaluator import Measured, sensitivity_step
from worldmodel.imagine.score.gallery import Shown
from worldmodel.imagine.score.windows import groups
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


def summarise(measured: Measured, shape: ModelConfig, config: ScoreConfig) -> dict[str, Any]:
    """The scorecard, a JSON record; "left_out" names in a sentence each what could not be measured.

    frames: a row per time ahead; for imagined, no_action and copy_last_frame: psnr (dB, of mean squared errors; may be
    "inf"), ssim and, with segmentation, parts_psnr (gripper and object alone), each with an interval; gain: imagined
    minus copy_last_frame, dB. cameras, groups, lpips: at the marks. action_sensitivity, inverse_error: see there.
    actions: mean absolute errors; error and zero_motion as a share of each dimension's range, each and by_step (H, A)
    in the data's units.
    """
    plan, values = measured.plan, measured.values
    count = len(values["known"])
    episode = plan.episode[:count]
    draw = ClusterBootstrap(episode, config.resamples, config.seed)
    store = plan.clips.stores[0]
    record: dict[str, Any] = {
        "fingerprint": store.fingerprint,
        "windows": count,
        "episodes": len(np.unique(episode)),
        "rate": shape.control_hz,
        "sampling_steps": config.steps,
        "interval": f"95 %, {config.resamples} bootstrap resamples of episodes",
        "notes": measured.notes,
        "left_out": measured.left_out,
        "actions": acted(measured, shape, draw),
    }
    names = {name: each[:count] for name, each in groups(plan).items()}
    members = {name: {str(one): each == one for one in np.unique(each)} for name, each in names.items()}
    record["counts"] = {name: {one: int(here.sum()) for one, here in each.items()} for name, each in members.items()}
    if "valid" in values:
        at = partial(marks, measured, shape.control_hz, draw)
        record["frames"] = curve(measured, shape.control_hz, draw)
        record["cameras"] = {camera: at(np.ones(count, bool), [n]) for n, camera in enumerate(shape.cameras)}
        record["groups"] = {name: {one: at(here) for one, here in each.items()} for name, each in members.items()}
        record["shown"] = {"worst": shown(measured, names, measured.gallery.worst)}
        record["shown"]["at random"] = shown(measured, names, measured.gallery.typical)
        if "lpips" not in measured.left_out:
            record["lpips"] = perceived(measured, shape.control_hz)
    if "action_sensitivity" in values:
        record["action_sensitivity"] = sensitivity(measured, shape, draw)
    if "inverse_error.known" in values:
        record["inverse_error"] = inverse_error(measured, shape, draw)
    return dict(plain(record))


def shown(measured: Measured, names: dict[str, np.ndarray], ones: list[Shown]) -> list[dict[str, Any]]:
    """Which windows the page shows: episode, its seed, the step of the observation, likeness, task and behaviour."""
    plan, rows = measured.plan, []
    for one in ones:
        row = int(np.flatnonzero(plan.chosen == one.window)[0])
        step = int(plan.clips.time[one.window] - plan.clips.begin[one.window])
        seed = int(plan.clips.stores[0].seeds[one.episode])
        kinds = {name: str(each[row]) for name, each in names.items()}
        rows.append({"episode": one.episode, "seed": seed, "step": step, "psnr": psnr(one.error), **kinds})
    return rows


def sources(values: dict[str, np.ndarray]) -> list[str]:
    """Those that were measured, in the order of a table."""
    return [name for name in ("imagined", "no_action", "copy_last_frame") if f"{name}.squared" in values]


def figures(
    values: dict[str, np.ndarray], there: np.ndarray, draw: ClusterBootstrap, cameras: list[int] | None = None
) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """By source and metric: the figure at each time (K,), and redrawn (R, K).

    there: weight of each window and time, float (W, K). cameras: None for all.
    """
    found: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    some = cameras or slice(None)
    for name in sources(values):
        error = draw.ratio(values[f"{name}.squared"][..., some].mean(2) * there, there)
        found[name] = {"psnr": (psnr(error[0]), psnr(error[1]))}
        found[name]["ssim"] = draw.ratio(values[f"{name}.ssim"][..., some].mean(2) * there, there)
        if f"{name}.parts" in values:
            pixels = values["parts.pixels"][..., some].sum(2) * there
            part = draw.ratio(values[f"{name}.parts"][..., some].sum(2) * there, pixels)
            found[name]["parts_psnr"] = (psnr(part[0]), psnr(part[1]))
    return found


def curve(measured: Measured, rate: float, draw: ClusterBootstrap) -> list[dict[str, Any]]:
    """A row per time ahead, with intervals."""
    there = measured.values["valid"].astype(float)
    found, rows = figures(measured.values, there, draw), []
    for k, step in enumerate(measured.plan.ahead.tolist()):
        row: dict[str, Any] = {"steps_ahead": step, "seconds": step / rate, "moments": int(there[:, k].sum())}
        for name, metrics in found.items():
            row[name] = {}
            for metric, (value, resampled) in metrics.items():
                row[name] |= {metric: value[k], f"{metric}_interval": draw.interval(resampled[:, k])}
        if "imagined" in found:
            (mine, drawn), (copied, redrawn) = found["imagined"]["psnr"], found["copy_last_frame"]["psnr"]
            row |= {"gain": mine[k] - copied[k], "gain_interval": draw.interval(drawn[:, k] - redrawn[:, k])}
        rows.append(row)
    return rows


def marks(
    measured: Measured, rate: float, draw: ClusterBootstrap, chosen: np.ndarray, cameras: list[int] | None = None
) -> list[dict[str, Any]]:
    """Figures without intervals at the marks, of the windows ``chosen`` and some cameras (None: all)."""
    there = (measured.values["valid"] & chosen[:, None]).astype(float)
    found, rows = figures(measured.values, there, draw, cameras), []
    for k in measured.plan.marks:
        row: dict[str, Any] = {"seconds": measured.plan.ahead[k] / rate, "moments": int(there[:, k].sum())}
        for name, metrics in found.items() if row["moments"] else ():
            row[name] = {metric: value[k] for metric, (value, _) in metrics.items() if not np.isnan(value[k])}
        rows.append(row)
    return rows


def perceived(measured: Measured, rate: float) -> list[dict[str, Any]]:
    values, rows = measured.values, []
    for number, k in enumerate(measured.plan.marks):
        here = values["valid"][:, k]
        row: dict[str, Any] = {"seconds": measured.plan.ahead[k] / rate, "moments": int(here.sum())}
        row |= {name: values[f"{name}.lpips"][here, number].mean() for name in sources(values) if here.any()}
        rows.append(row)
    return rows


def plain(value: Any) -> Any:
    """For JSON: five digits; NaN as null and infinities as text, which JSON has no numbers for."""
    if isinstance(value, np.ndarray) and not value.ndim:
        return plain(value.item())
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(each) for each in value]
    if isinstance(value, float | np.floating):
        if math.isnan(value):
            return None
        return str(float(value)) if math.isinf(value) else float(f"{float(value):.5g}")
    return value.item() if isinstance(value, np.generic) else value


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
