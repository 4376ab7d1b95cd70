"""The command ``imagine``: one mode of a checkpoint on recorded windows, with errors and pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodel import checkpoint
from worldmodel.backbone import fast_dtype
from worldmodel.config import UserError
from worldmodel.data.clips import Clips
from worldmodel.devices import use_threads
from worldmodel.files import write_json
from worldmodel.imagine import fidelity, modes, rollout
from worldmodel.imagine.config import ROLLOUT, ImagineConfig
from worldmodel.imagine.modes import open_clips, read_along, seen_in_training
from worldmodel.imagine.picture import AHEAD, draw, show
from worldmodel.imagine.rollout_quality import USUAL
from worldmodel.model import Prediction, WorldModel
from worldmodel.settings import keep
from worldmodel.sims.can.tasks import check_restorable, shows_can

WITHIN = (
    ("within", "imagined frames within the range of real ones"),
    ("mean_within", "means over all rollouts within it"),
    ("usual_within", f"imagined frames within the middle {USUAL:.0%} of real ones"),
)
CAN = (
    ("imagined", "the can is in view, in either camera: imagined frames"),
    ("simulated", "under the same actions in the simulator"),
    ("agree", "rollout and simulator agree on that"),
)
"""Names of shares in the record, and their text."""


def imagine(config: ImagineConfig) -> int:
    """Predict, measure, draw. Raises UserError for a mode that the checkpoint never trained, or data that misfit."""
    use_threads(config.threads)
    check_trained(config.checkpoint, config.mode)
    model = checkpoint.load(config.checkpoint)
    model.compute_in(fast_dtype("cpu"))
    clips = open_clips(model.config, config.data, config.holdout)
    told = seen_in_training(config.checkpoint, clips.stores[0], config.holdout)
    weights = str(checkpoint.card(config.checkpoint)["sha256"])
    about: dict[str, Any] = {"checkpoint": config.checkpoint, "weights": weights}
    about |= {"data": config.data, "mode": config.mode, "steps": config.steps, "seed": config.seed}
    found, lines = (_rollouts if config.mode == ROLLOUT else _windows)(model, clips, config)
    keep(Path(config.out), config)
    write_json(Path(config.out) / f"{config.mode}.json", about | found | ({"note": told} if told else {}))
    print("\n".join([*lines, *([f"note: {told}"] if told else [])]))
    return 0


def check_trained(name: str, mode: str) -> None:
    """Raises UserError where a checkpoint's card says that it never trained a mode."""
    trained = checkpoint.trained_modes(name)
    if trained is not None and mode not in trained:
        modes = ", ".join(trained)
        raise UserError(f"mode={mode}: {name} was not trained for it (modes.{mode}=0); it was for: {modes}")


def _windows(model: WorldModel, clips: Clips, config: ImagineConfig) -> tuple[dict[str, Any], list[str]]:
    """One of the five modes: the record, and lines to print."""
    chosen = np.sort(np.random.default_rng(config.seed).permutation(len(clips))[: config.windows])
    at = np.tile(modes.moments(config.mode, model.config.chunk_size), (len(chosen), 1))
    clip = clips.gather(chosen, at, done=config.mode == "inverse").map(torch.as_tensor)
    noise = torch.Generator().manual_seed(config.seed)
    if config.mode == "inverse":
        predicted = Prediction(read_along(model, clips, chosen, noise))
    else:
        predicted = modes.predict(model, clip, config.mode, config.steps, noise)
    found = modes.compare(clip, predicted, model.config.relative)
    shown = np.sort(np.random.default_rng(config.seed).permutation(len(chosen))[: config.show])
    path = Path(config.out, f"{config.mode}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(clip, predicted, shown, path, model.config, config.mode)
    return found, [*modes.lines(found), f"{path} shows {len(shown)} of {len(chosen)} windows"]


def _rollouts(model: WorldModel, clips: Clips, config: ImagineConfig) -> tuple[dict[str, Any], list[str]]:
    """Rollouts from recorded windows under recorded actions: the record, and lines to print."""
    names = config.references.strip("[]").split(",") if config.references else []
    references = [open_clips(model.config, name.strip()) for name in names] or [clips]
    if config.simulate:
        check_restorable(clips.stores[0], f"simulate=true, data={config.data}")
    chosen = rollout.choose(clips, config)
    parts = []
    for first in range(0, len(chosen), rollout.BATCH):
        some, show_first = chosen[first : first + rollout.BATCH], max(0, config.show - first)
        parts.append(rollout.roll_out(model, clips, some, config, show_first, shows_can))
    found = rollout.measure(parts, references, config.length, shows_can)
    frames = np.concatenate([part.frames for part in parts])
    above = np.concatenate([part.simulated for part in parts]) if config.simulate else None
    written = show(clips, chosen[: len(frames)], frames, Path(config.out), above)
    lines = list(modes.lines({"frames": [row for row in found["frames"] if row["steps_ahead"] in AHEAD]}))
    lines += fidelity.lines(found.get("beside_simulator", {}))
    for camera, numbers in found["image_stats"].items():
        for key, what in WITHIN:
            each = [f"{name} {_percent(number, key)}" for name, number in numbers.items()]
            lines.append(f"{camera}: {what}: {', '.join(each)}")
    kept = found["object_persistence"] or {}
    lines += [f"{what} {_percent(kept, key)}" for key, what in CAN if key in kept]
    lines.append(f"{written[-1]} and films beside it show {len(frames)} of {found['rollouts']} rollouts")
    return {"references": config.references or config.data} | found, lines


def _percent(shares: dict[str, Any], key: str) -> str:
    """``99.4 % (98.7 to 99.9)``: a share of frames, in brackets its interval over rollouts."""
    pair = shares.get(f"{key}_interval")
    span = f" ({' to '.join(f'{100 * end:.1f}' for end in pair)})" if pair else ""
    return f"{100 * shares[key]:.1f} %{span}"
