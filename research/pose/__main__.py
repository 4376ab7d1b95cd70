"""Train the reader: ``python -m research.pose data=STORE,STORE held=STORE out=FILE [checkpoint=NAME] [steps=6000]``."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from research.pose.labels import Labelled, imagined, recorded
from worldmodel import checkpoint
from worldmodel.data.store import EpisodeStore
from worldmodel.imagine.pose import SCALE, PoseReader

BATCH, RATE, LONGEST, SHARE = 64, 1e-3, 10, 0.3
"""Frames a step; peak learning rate; most imagined steps; share of imagined frames."""


def main(words: list[str]) -> int:
    given = dict(word.split("=", 1) for word in words)
    steps, out = int(given.get("steps", 6000)), Path(given["out"])
    model = checkpoint.load(given.get("checkpoint", "shipped")).eval()
    cameras = model.config.cameras
    stores = [EpisodeStore.open(path) for path in given["data"].split(",")]
    parts = [recorded(store, cameras) for store in stores]
    many = sum(len(part.frames) for part in parts)
    for store, part in list(zip(stores, parts, strict=True)):
        parts.append(imagined(model, store, part, int(SHARE * len(part.frames)), LONGEST, seed=0))
    data = Labelled(torch.cat([part.frames for part in parts]), torch.cat([part.truth for part in parts]))
    print(f"{many} real frames, {len(data.frames) - many} imagined", flush=True)
    reader = train(data, steps)
    card = {
        "real": many,
        "imagined": len(data.frames) - many,
        "steps": steps,
        "checkpoint": given.get("checkpoint", "shipped"),
    }
    for name in given["held"].split(","):
        store = EpisodeStore.open(name)
        real = recorded(store, cameras, every=3)
        card[f"real frames of {Path(name).name}"] = errors(reader, real)
        dreamt = imagined(model, store, recorded(store, cameras), 2000, LONGEST, seed=1)
        card[f"imagined frames of {Path(name).name}"] = errors(reader, dreamt)
    save_file({name: value.to(torch.bfloat16).contiguous() for name, value in reader.state_dict().items()}, out)
    out.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))
    return 0


def train(data: Labelled, steps: int) -> PoseReader:
    """A reader trained on random frames, their brightness, gain and sharpness changed."""
    torch.manual_seed(0)
    reader, random = PoseReader(), np.random.default_rng(0)
    optimiser = torch.optim.AdamW(reader.parameters(), RATE, weight_decay=0.01)
    for step in track(range(steps), "train"):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 200, 2.0 * (1 - step / steps))
        rows = torch.as_tensor(random.integers(len(data.frames), size=BATCH))
        loss = loss_of(reader(changed(data.frames[rows], random)), data.truth[rows], reader.get_buffer("centre"))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return reader.eval()


def loss_of(found: Tensor, truth: Tensor, centre: Tensor) -> Tensor:
    """Huber loss of the positions and cross entropy of what is held."""
    place = smooth_l1_loss(found[:, :8], (truth[:, :8] - centre) / SCALE, beta=0.1)
    return place + 0.1 * binary_cross_entropy_with_logits(found[:, 8], truth[:, 8])


def changed(frames: Tensor, random: np.random.Generator) -> Tensor:
    """Frames with another gain and brightness, and half of them softened, as imagined ones are."""
    batch = len(frames)
    gain = torch.as_tensor(random.uniform(0.85, 1.15, (batch, 1, 1, 1, 1)), dtype=torch.float32)
    shift = torch.as_tensor(random.uniform(-12, 12, (batch, 1, 1, 1, 1)), dtype=torch.float32)
    pixels = frames.float()
    soft = torch.nn.functional.avg_pool2d(pixels.flatten(0, 1).permute(0, 3, 1, 2), 3, 1, 1, count_include_pad=False)
    soft = soft.permute(0, 2, 3, 1).unflatten(0, frames.shape[:2])
    share = torch.as_tensor(random.uniform(0, 1, (batch, 1, 1, 1, 1)) * (random.random((batch, 1, 1, 1, 1)) < 0.5))
    pixels = torch.lerp(pixels, soft, share.float())
    return (pixels * gain + shift).clamp(0, 255)


def errors(reader: PoseReader, data: Labelled) -> dict[str, float]:
    """Distances in centimetres, medians and 95 % quantiles, and the share of frames whose ``held`` is right."""
    found = [reader.read(part) for part in data.frames.split(256)]
    can, gripper, place = (
        100 * (torch.cat([getattr(one, name) for one in found]) - truth).norm(dim=1)
        for name, truth in zip(("can", "gripper", "bin"), data.truth[:, :8].split((3, 3, 2), 1), strict=True)
    )
    held = torch.cat([one.held for one in found]) > 0.5
    right = (held == (data.truth[:, 8] > 0.5)).float().mean()
    out = {"frames": len(data.frames), "held_right": round(float(right), 4)}
    for name, values in (("can", can), ("gripper", gripper), ("bin", place)):
        out |= {
            f"{name}_median_cm": round(float(values.median()), 3),
            f"{name}_p95_cm": round(float(values.quantile(0.95)), 3),
        }
    return out


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
